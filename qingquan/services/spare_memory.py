"""Memory that was freed goes back to the system.

The C library keeps what threads have freed, each thread's apart, in case it is wanted again: a service with many threads grows for hours,
although it uses no more. glibc gives it back when asked; elsewhere nothing is done.
"""

import ctypes
import time
from collections.abc import Callable

__all__ = ["SpareMemory"]

EVERY_S = 60.0


class SpareMemory:
    """Asks for it once in ``every_s``."""

    def __init__(self, every_s: float = EVERY_S, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._every_s, self._monotonic = every_s, monotonic
        self._due = monotonic() + every_s

    def give_back(self) -> bool:
        """Give back what is spare, if it is time; whether it was. Some milliseconds, in which other threads go on."""
        now = self._monotonic()
        if now < self._due:
            return False
        self._due = now + self._every_s
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
        return True
