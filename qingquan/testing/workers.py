"""Services as plain processes that a test starts, stops in their tracks, wakes and kills one by one."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from qingquan.config import Config
from qingquan.testing.system import child_environment

__all__ = ["Worker"]

END_S = 20.0


class Worker:
    """``qingquan run SERVICE`` with settings of its own; everything it says goes to ``log``."""

    def __init__(self, config: Config, service: str, log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "qingquan", "run", service],
                env=child_environment(config), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = END_S) -> int:
        """Exit status, once it has ended."""
        return self._process.wait(timeout_s)

    def said(self, words: str) -> list[str]:
        """Lines of its log that contain these words."""
        return [line for line in self.log.read_text(errors="replace").splitlines() if words in line]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it, asleep or not."""
        if self.is_running:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            try:
                self.wait()
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
