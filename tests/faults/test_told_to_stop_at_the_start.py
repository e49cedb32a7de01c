"""A service that is told to stop before it has begun ends at once, whatever it waits for: the log, or the compiler.

Where the whole system is killed outright, nobody ends those that do not.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.packages import TREE
from qingquan.store.sql.engine import upgrade
from qingquan.testing.ports import free_port
from qingquan.testing.system import child_environment, processes_of, system_settings

START_S = 60.0
STOP_S = 10.0


def until(condition: Callable[[], object], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def listens_for(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it has a handler of its own for SIGTERM (proc(5), SigCgt)."""
    caught = Path(f"/proc/{process.pid}/status").read_text().partition("SigCgt:")[2].split()[0]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def without_a_log(folder: Path, **settings: object) -> Config:
    config = system_settings(folder, log_url=f"nats://127.0.0.1:{free_port()}", **settings)
    upgrade(config.sql_url)
    return config


def started(config: Config, name: str, **environment: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "qingquan", "run", name],
        env=child_environment(config) | environment, cwd=TREE, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("sharing", ["off", "on"])
@pytest.mark.parametrize("name", ["evaluator", "detector", "recorder"])
def test_who_waits_for_the_log_ends_when_told_to(tmp_path: Path, name: str, sharing: str) -> None:
    with started(without_a_log(tmp_path, log_sharing=sharing), name) as process:
        try:
            until(lambda: listens_for(process), "it never listened", START_S)
            # Now it is looking for the log, or is about to: both must end.
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S) == 0
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "compiler"), [("evaluator", "services.compiled_loop"), ("detector", "services.compiled_events")]
)
def test_who_waits_for_the_compiler_ends_with_it_when_told_to(tmp_path: Path, name: str, compiler: str) -> None:
    def compiling() -> bool:
        return any(compiler in line for line in processes_of(tmp_path).values())

    with started(without_a_log(tmp_path), name, NUMBA_CACHE_DIR=str(tmp_path / "compiled")) as process:
        try:
            until(compiling, "it never compiled", START_S)
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S) == 0
            assert not compiling()
        finally:
            process.kill()
