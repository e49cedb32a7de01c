"""`qingquan up` goes on, and stops what it started, when nobody hears it any more."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services import up
from qingquan.services.up_words import say_text
from qingquan.store.sql.engine import upgrade

TELLS = """
import sys
from qingquan.services.up_words import note, say_json, say_text
sys.stdin.readline()
say_text("stopping", {})
say_json("stopped", {})
print("to the end", file=sys.stderr)
"""


def test_a_reader_that_has_gone_keeps_nobody_from_stopping() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TELLS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as told:
        assert told.stdin is not None
        assert told.stdout is not None
        assert told.stderr is not None
        told.stdout.close()
        told.stdin.write(b"\n")
        told.stdin.close()
        assert told.stderr.read() == b"to the end\n"
        assert told.wait(60) == 0


def test_a_first_start_that_compiles_the_rules_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    say_text("judging", {"seconds": 30, "log": "data/log/evaluator.log"})
    told = capsys.readouterr().out
    assert "编译规则" in told
    assert "compiles the rules: 30 s" in told
    assert "data/log/evaluator.log" in told


def test_the_demo_says_it_as_long_as_nothing_is_judged_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(data_dir=str(tmp_path))
    upgrade(config.sql_url)
    stop, told = threading.Event(), []
    judged: list[dict[str, object] | None] = [None, None, {"readings": 7}]
    monkeypatch.setattr(up, "STILL_STARTING_S", 0.0)
    monkeypatch.setattr(up, "POLL_S", 0.01)
    monkeypatch.setattr(up, "MILESTONES", {"reading": lambda _: judged.pop(0), "missing": lambda _: None})

    def say(event: str, _: dict[str, object]) -> None:
        told.append(event)

    ended = threading.Timer(1.0, stop.set)
    ended.start()
    up._Up(config, True, False, say)._milestones(config.sql_url, stop)
    ended.join()
    assert told == ["judging", "judging", "reading"]
