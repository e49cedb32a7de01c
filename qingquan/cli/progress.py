"""Progress of long work: one line that is written over on a terminal, plain lines now and then elsewhere."""

import sys
import time
from collections.abc import Callable
from typing import Generic, Self, TypeVar

__all__ = ["Progress"]

T = TypeVar("T")

TERMINAL_S = 0.2
ELSEWHERE_S = 10.0


class Progress(Generic[T]):
    """Call it with what there is to show, as often as you like; leave the context before printing results."""

    def __init__(self, text: Callable[[T], str], every_s: float | None = None) -> None:
        self._text = text
        self._is_terminal = sys.stderr.isatty()
        self._every_s = every_s or (TERMINAL_S if self._is_terminal else ELSEWHERE_S)
        # Work that is done before the first interval needs no progress.
        self._shown_at = time.monotonic()
        self._is_line_open = False

    def __call__(self, value: T) -> None:
        """Show it if the last one was long enough ago."""
        now = time.monotonic()
        if now - self._shown_at < self._every_s:
            return
        self._shown_at = now
        if self._is_terminal:
            print(f"\r{self._text(value)}\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_line_open = True
        else:
            print(self._text(value), file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_line_open:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_line_open = False
