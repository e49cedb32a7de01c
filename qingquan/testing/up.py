"""`qingquan up` as people start it: a process of its own, whose lines are read as they come."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qingquan.config import Config
from qingquan.testing.system import ROOT, child_environment

__all__ = ["Up", "running"]

READY_S = 240.0
STOP_S = 20.0


class Up:
    """A running `qingquan up --json`; its lines are read as they come."""

    def __init__(self, *arguments: str, **settings: Any) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "qingquan", "up", "--json", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=child_environment(Config(**settings)), cwd=ROOT, text=True, start_new_session=True,
        )  # fmt: skip
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=lambda out: self.events.extend(map(json.loads, out)), args=(self.process.stdout,)),
            threading.Thread(target=self.said.extend, args=(self.process.stderr,)),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for(self, name: str, timeout_s: float) -> dict[str, Any]:
        """The first event of a name."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = next((event for event in list(self.events) if event["event"] == name), None)
            if found is not None:
                return found
            assert self.process.poll() is None, (name, self.process.poll(), self.said)
            assert time.monotonic() < deadline, (name, self.events, self.said)
            time.sleep(0.05)

    def end(self, number: int, timeout_s: float = STOP_S) -> int:
        """Send a signal and wait; the exit status."""
        self.process.send_signal(number)
        return self.wait(timeout_s)

    def wait(self, timeout_s: float = READY_S) -> int:
        """Wait until it ends by itself; the exit status."""
        status = self.process.wait(timeout_s)
        for reader in self._readers:
            reader.join()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return status


@contextmanager
def running(*arguments: str, **settings: Any) -> Iterator[Up]:
    """`up` with these arguments and settings, ended afterwards."""
    up = Up(*arguments, **settings)
    try:
        yield up
    finally:
        if up.process.poll() is None:
            up.end(signal.SIGTERM)
