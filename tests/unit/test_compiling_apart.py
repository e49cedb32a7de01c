"""Evaluator and detector have their loops compiled by a process of its own, which takes the compiler's memory with it when it ends."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qingquan.packages import TREE
from qingquan.services import compiling
from qingquan.services.compiling import compile_apart, is_compiled
from qingquan.store.reading_log.probes import command_line

_LIGHT = """
import sys
from qingquan.services.{module} import {work}
from qingquan.services.compiling import NOT_IN_LOOPS, set_up_for_loops

set_up_for_loops()
{work}()
assert not set(NOT_IN_LOOPS) & sys.modules.keys(), "loaded after all"
import scipy.linalg
assert scipy.linalg.norm([3.0, 4.0]) == 5.0, "whoever needs it has it"
"""

# What the process that starts it has loaded of the compiler, and how often its loops were compiled there.
_PROGRAM = """
import sys
from qingquan.services.{module} import {apart}
from rules.events import kernel, operations
from rules import kernel as rules

{apart}()
loops = [*vars(kernel).values(), *vars(operations).values(), *vars(rules).values()]
stats = [loop.stats for loop in loops if hasattr(loop, "stats")]
print(sum(sum(one.cache_misses.values()) for one in stats))
"""


def run(folder: Path, program: str) -> str:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=TREE,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_detectors_loop_is_compiled_by_another_process_and_whole(tmp_path: Path) -> None:
    assert run(tmp_path, _PROGRAM.format(module="compiled_events", apart="compile_events_apart")) == "0"
    before = sorted(one.name for one in tmp_path.rglob("*.nbc"))
    assert any(name.startswith("kernel.fold_rows") for name in before)
    # A detector that judges adds nothing to it.
    run(tmp_path, _DETECTS)
    assert sorted(one.name for one in tmp_path.rglob("*.nbc")) == before


_DETECTS = """
import numpy as np
from ingest.decode import Decoder
from pathlib import Path
import tempfile
from qingquan.config import Config
from qingquan.domain.readings import LogMessage
from qingquan.services.detector import Detector
from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.store.sql.register import save_works
from simulators.county import county

with tempfile.TemporaryDirectory() as folder:
    config = Config(data_dir=folder)
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    works = county(3, 1)
    with writing(engine) as connection:
        save_works(connection, works)
    detector = Detector(config, engine)
    detector.resume()
    at = 1_780_272_000_000
    for minute in range(10):
        time = at + 60_000 * minute
        payload = b'{"t":%d,"v":{"free_chlorine":0.5,"turbidity":0.3,"ph":7.2,"flow":9.0}}' % (time // 1000)
        detector.fold([
            LogMessage(minute * 3 + n + 1, time, f"part.0.wq.{one.county}.{one.id}.outlet.json", payload)
            for n, one in enumerate(works)
        ])
    detector.tick()
    detector.commit()
    assert (detector._state.points["judged"] > 0).any()
    engine.dispose()
"""


def test_what_is_compiled_already_starts_no_process_and_what_cannot_start_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def noted(command: list[str], **_: object) -> None:
        started.append(command)
        raise OSError("no process to be had")

    monkeypatch.setattr(subprocess, "Popen", noted)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    compile_apart("a.program", "rules.kernel", lambda: True)
    assert started == []
    compile_apart("a.program", "rules.kernel", lambda: False)
    assert started == [[sys.executable, "-m", "a.program"]]
    kept = tmp_path / "rules_1234" / "kernel.judge-81.py311.nbi"
    kept.parent.mkdir()
    kept.touch()
    assert is_compiled("rules.kernel")
    compile_apart("a.program", "rules.kernel", lambda: False)
    assert len(started) == 1
    # Of an earlier version.
    os.utime(kept, (1, 1))
    assert not is_compiled("rules.kernel")
    assert not is_compiled("rules.nothing_of_that_name")


def test_a_process_that_compiles_ends_with_the_one_that_started_it() -> None:
    inner = f"import time; from {compiling.__name__} import work_apart; print('up', flush=True); work_apart(lambda: time.sleep(120))"
    outer = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {inner!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", outer], cwd=TREE, capture_output=True, text=True, check=True)
    pid, deadline = int(done.stdout), time.monotonic() + 20
    while time.monotonic() < deadline and "work_apart" in command_line(pid):
        time.sleep(0.05)
    assert "work_apart" not in command_line(pid)


@pytest.mark.parametrize(("module", "work"), [("compiled_loop", "compile_loop"), ("compiled_events", "compile_events")])
def test_loops_run_without_what_the_compiler_loads_for_others(module: str, work: str) -> None:
    # Not in a folder of its own: compiled by another test, or by whoever ran the rules before.
    done = subprocess.run(
        [sys.executable, "-c", _LIGHT.format(module=module, work=work)],
        cwd=TREE, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
