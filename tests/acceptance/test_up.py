"""`qingquan up` as people start it: a process of its own, real services, the demo's county."""

import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qingquan.testing.ports import free_port
from qingquan.testing.system import processes_of
from qingquan.testing.up import Up, running

pytestmark = pytest.mark.slow

READY_S = 240.0
# MISSING needs 30 minutes of event time, which pass in 30 s.
MISSING_S = 100.0
STOP_S = 20.0


@contextmanager
def taken_port(port: int = 0) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", port)) as server:
        yield server.getsockname()[1]


def fetched(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.status, answer.read().decode()


def assert_nothing_is_left(folder: Path, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while left := processes_of(folder):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_the_demo_shows_a_lost_disinfection_stops_clean_and_starts_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "demo"
    with taken_port() as busy, running("--demo", "--data", str(folder), "--port", str(busy)) as up:
        ready = up.wait_for("ready", READY_S)
        ready_s = time.monotonic() - up.began
        # A busy port of the console: the next free one, said so.
        assert ready["url"] != f"http://127.0.0.1:{busy}"
        assert any(str(busy) in line and ready["url"].rpartition(":")[2] in line for line in up.said), up.said
        status, page = fetched(ready["url"])
        assert status == 200
        assert "清泉" in page

        second = Up("--demo", "--data", str(folder), "--port", str(free_port()))
        assert second.wait() == 2
        assert second.events == []
        assert len(second.said) == 1
        assert str(folder) in second.said[0]
        assert "--data" in second.said[0]

        found = {
            name: up.wait_for(name, MISSING_S) for name in ("reading", "finding", "incident", "missing", "message")
        }
        missing_s = time.monotonic() - up.began
        assert found["reading"]["readings"] > 0
        assert found["missing"]["kind"] == "disinfection_missing"
        assert "消毒缺失" in found["missing"]["reason"]
        assert found["message"]["channel"] in ("wecom_robot", "aliyun_sms")
        assert found["message"]["text"]
        restarted = [line for line in up.said if "ended, starting it again" in line]
        assert restarted == []

        began = time.monotonic()
        assert up.end(signal.SIGINT) == 0
        stop_s = time.monotonic() - began
    assert stop_s < STOP_S
    assert_nothing_is_left(folder, 1)
    with capsys.disabled():
        print(f"\nready {ready_s:.1f} s, first MISSING told {missing_s:.1f} s, stopped in {stop_s:.1f} s")

    left = folder / "js" / "left-by-the-first-run"
    left.touch()
    with running("--demo", "--data", str(folder), "--port", str(free_port())) as up:
        ready = up.wait_for("ready", READY_S)
        # Nothing of the first run is there: its log went with its folder, whatever this one has taken in since.
        assert not left.exists()
        assert fetched(f"{ready['url']}/api/v1/counts")[0] == 200
        up.wait_for("reading", MISSING_S)
        # Killed outright it can stop nobody; they end by themselves.
        assert len(processes_of(folder)) >= 7
        up.end(signal.SIGKILL)
        assert_nothing_is_left(folder, STOP_S)


def test_a_busy_mqtt_port_is_one_line_that_names_the_key_and_the_way_out(tmp_path: Path) -> None:
    with taken_port() as busy:
        up = Up("--data", str(tmp_path / "data"), "--port", str(free_port()), mqtt_port=busy, log_port=0)
        assert up.wait() == 2
    assert len(up.said) == 1, up.said
    assert f"mqtt_port = {busy}" in up.said[0]
    assert "set mqtt_port" in up.said[0]
    assert_nothing_is_left(tmp_path, 1)


def test_a_demo_never_touches_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "works.xlsx").write_bytes(b"years of work")
    up = Up("--demo", "--data", str(tmp_path))
    assert up.wait() == 2
    assert len(up.said) == 1, up.said
    assert str(tmp_path) in up.said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["works.xlsx"]
    assert (tmp_path / "works.xlsx").read_bytes() == b"years of work"


def test_a_service_that_refuses_its_settings_ends_everything_with_its_words(tmp_path: Path) -> None:
    up = Up("--data", str(tmp_path), "--port", str(free_port()), mqtt_port=0, log_port=0, rules_file="/nowhere.toml")
    assert up.wait() == 2
    assert any("/nowhere.toml" in line for line in up.said), up.said
    assert not any("Traceback" in line for line in up.said)
    assert_nothing_is_left(tmp_path, 1)
    assert not os.path.exists("/nowhere.toml")  # noqa: PTH110
