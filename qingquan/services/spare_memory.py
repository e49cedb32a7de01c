"""Memory that was freed goes back to the system, and what nobody needs does not come in.

The C library keeps what threads have freed, each thread's apart, in case it is wanted again: a service with many threads grows for hours,
although it uses no more. glibc gives it back when asked, and keeps less when told so at the start; elsewhere nothing is done.
"""

import ctypes
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

__all__ = ["UNUSED", "SpareMemory", "keep_little", "leave_out", "left_out"]

UNUSED = ("aiohttp", "rich")
"""Libraries of the console and the command line that others load wherever they find them, nats-py for a log behind a WebSocket and
structlog for coloured tracebacks: 9 MB in every service."""

EVERY_S = 60.0
# By default eight heaps a core, one for nearly every thread, none of which lends what it has spare to another.
HEAPS = 2
# From this size on an array has memory of its own, which goes back when it is freed. glibc raises the limit to 32 MB by itself as large
# arrays come and go, and then lays them between small pieces that stay.
OWN_MEMORY_BYTES = 1 << 20
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8


def keep_little() -> bool:
    """Tell the C library to keep little of what is freed; whether it understood. To be called before threads begin."""
    tell = getattr(ctypes.CDLL(None), "mallopt", None)
    return tell is not None and all(
        tell(option, value) for option, value in ((M_ARENA_MAX, HEAPS), (M_MMAP_THRESHOLD, OWN_MEMORY_BYTES))
    )


def leave_out(libraries: Iterable[str] = UNUSED) -> None:
    """Let this process find none of these libraries; one that is already loaded stays. To be called before others are loaded."""
    for name in libraries:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]


@contextmanager
def left_out(libraries: Iterable[str]) -> Iterator[None]:
    """The same for a while."""
    absent = [name for name in libraries if name not in sys.modules]
    leave_out(absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


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
