"""Processes of a run: started at their place on the network, hit from outside, started again as a supervisor would."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

__all__ = ["Process", "end_with"]

END_S = 20.0
RESTART_S = 0.5
PR_SET_PDEATHSIG = 1


class Process:
    """One process by name; what it says goes to a log file. It is kept running until it is killed or stopped by us."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.ended_by_itself: list[int] = []
        self._command = list(command)
        self._environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._again_at: float | None = None

    def start(self) -> None:
        """Start it, or start it again."""
        self._again_at = None
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, preexec_fn=partial(end_with, os.getpid()),
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it runs, asleep or not."""
        return self._process is not None and self._process.poll() is None

    def watch(self) -> None:
        """Start it again if it has ended by itself; that is noted."""
        if self._process is None or self._process.poll() is None:
            return
        if self._again_at is None:
            self.ended_by_itself.append(self._process.returncode)
            self._again_at = time.monotonic() + RESTART_S
        elif time.monotonic() >= self._again_at:
            self.start()

    def signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def kill(self) -> None:
        """``kill -9``; it stays down until `start`."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def limit_files(self, size: int | None) -> None:
        """Let no file grow beyond ``size`` bytes, as a stand-in for a full disk; ``None`` ends it."""
        if sys.platform == "linux" and self.is_running:
            _, hard = resource.prlimit(self.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))

    def stop(self) -> None:
        """End it in order; whoever does not end in time is killed."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def last_words(self, lines: int = 3) -> str:
        """The end of its log."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").strip().splitlines()[-lines:])
        return ""


def end_with(parent: int) -> None:
    """Linux, in a child before its program: when the parent is killed, so is the child."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
