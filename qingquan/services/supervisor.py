"""Starts our processes, starts them again when they end unasked, and stops all of them at the end."""

import ctypes
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

__all__ = ["Child", "Supervisor"]

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 15.0
STEADY_S = 30.0
STOP_WAIT_S = 15.0
PR_SET_PDEATHSIG = 1
# Wrong use or a refused configuration: another start would end the same way.
WRONG_USE = 2
# Lines of our own structured log; what a refused child says to people stands beside them.
_LOG_LINE = re.compile(r"\btimestamp=\S+$|^\S+Z \[")

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Child:
    """A process to keep running: ``python -m qingquan`` with ``arguments``."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    is_base: bool
    restarts: int = 0
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    next_start: float = 0.0
    log_begin: int = 0
    pause_s: float = field(default=FIRST_PAUSE_S)


class Supervisor:
    """Children share an environment unless they are given one; each writes to a log file of its own."""

    def __init__(self, environment: Mapping[str, str], log_folder: Path) -> None:
        self._environment = dict(environment)
        self._folder = log_folder
        self._children: list[Child] = []
        self.refused: str | None = None
        log_folder.mkdir(parents=True, exist_ok=True)

    def start(
        self, name: str, *arguments: str, environment: Mapping[str, str] | None = None, is_base: bool = False
    ) -> Child:
        """Start a child and keep it running from now on. Others rest on one that ``is_base``: it is stopped after them."""
        is_base = is_base or not self._children
        child = Child(name, arguments, self._environment if environment is None else environment, is_base)
        self._children.append(child)
        self._launch(child)
        return child

    def log_file(self, name: str) -> Path:
        """Where a child writes."""
        return self._folder / f"{name}.log"

    def watch(self) -> None:
        """One look at every child; those that ended are started again after a pause that grows while they keep ending.

        A child that ended with exit status 2 was refused by its configuration: `refused` then holds what it said (lines),
        and nothing is started again.
        """
        if self.refused is not None:
            return
        now = time.monotonic()
        for child in self._children:
            if child.process is None:
                if now >= child.next_start:
                    child.restarts += 1
                    self._launch(child)
                continue
            status = child.process.poll()
            if status is None:
                if now - child.started_at > STEADY_S:
                    child.pause_s = FIRST_PAUSE_S
                continue
            child.process = None
            if status == WRONG_USE:
                self.refused = "\n".join(f"{child.name}: {line}" for line in self._said(child))
                return
            _log.warning("service ended, starting it again", service=child.name, status=status)
            child.next_start = now + child.pause_s * random.uniform(0.7, 1.3)  # noqa: S311 (jitter)
            child.pause_s = min(child.pause_s * 2, LONGEST_PAUSE_S)

    def last_line(self, name: str) -> str:
        """The last thing a child wrote."""
        try:
            lines = self.log_file(name).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1] if lines else ""

    def _said(self, child: Child) -> list[str]:
        """What a child said to people since its last start; at least that it ended."""
        with self.log_file(child.name).open(encoding="utf-8", errors="replace") as log:
            log.seek(child.log_begin)
            lines = [line.strip() for line in log]
        return [line for line in lines if line and not _LOG_LINE.search(line)] or [f"ended with status {WRONG_USE}"]

    def stop(self) -> None:
        """Stop all children together, those on which they rest (the first, if none is named) after the others."""
        self._end([child for child in self._children if not child.is_base])
        self._end([child for child in self._children if child.is_base])
        self._children = []

    def retire(self, child: Child) -> None:
        """Stop one child and look after it no longer."""
        self._children.remove(child)
        self._end([child])

    @staticmethod
    def _end(children: Sequence[Child]) -> None:
        """Ask the children to end, all at once; whoever does not in time is killed."""
        running = [(child.name, child.process) for child in children if child.process is not None]
        for _, process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_WAIT_S
        for name, process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _log.warning("service did not stop, killed", service=name)
                process.kill()
                process.wait()
        for child in children:
            child.process = None

    def _launch(self, child: Child) -> None:
        own_pid = os.getpid()
        with self.log_file(child.name).open("ab") as log:
            child.log_begin = log.tell()
            child.process = subprocess.Popen(
                [sys.executable, "-m", "qingquan", *child.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=child.environment,
                # Ctrl-C goes to us alone; we stop the children in order.
                start_new_session=True,
                preexec_fn=partial(_end_with, own_pid)
                if threading.current_thread() is threading.main_thread()
                else None,
            )
        child.started_at = time.monotonic()


def _end_with(supervisor: int) -> None:
    """Linux: a child is told to end when its supervisor (process id) is killed; elsewhere nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != supervisor:
            os._exit(1)
