"""Where the log ends, and when to believe that it ends before what was already read.

A log that lost its tail with the power, or another one in its place, gives its next sequences to other messages: a reader beyond the end
must go back. But a server of a cluster that was cut off says, for some seconds after it is back, what it held when the link broke. So with several
copies such an end is believed only once it has been said, and nothing else, for longer than the servers take to choose a leader.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qingquan.errors import BrokerLost

__all__ = ["BELIEVED_AFTER_S", "EndInDoubt", "LogEnds", "ShortLog"]

# Elections take 4 to 9 s, and a server that is back may answer before it has heard of one.
BELIEVED_AFTER_S = 20.0


class EndInDoubt(BrokerLost):
    """A server's word on where the log ends is not to be believed yet: ask again."""


@dataclass(frozen=True, slots=True)
class ShortLog:
    """A log that ends before ``position - 1``: first and last sequence it holds."""

    first: int
    last: int


class LogEnds:
    """Looks at what servers say, one answer to `STREAM.INFO` after the other."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, believed_after_s: float = BELIEVED_AFTER_S) -> None:
        self._clock = clock
        self._believed_after_s = believed_after_s
        self._short_since: float | None = None

    def look(self, answer: dict[str, Any], position: int) -> ShortLog | None:
        """The log if it ends before the message that comes before ``position``; ``None`` where all is well.

        Raises
        ------
        EndInDoubt
            If this is not to be believed yet.
        """
        state = answer["state"]
        first, last = max(int(state["first_seq"]), 1), int(state["last_seq"])
        if position <= last + 1:
            self._short_since = None
            return None
        if int(answer["config"].get("num_replicas", 1)) > 1:
            now = self._clock()
            since = self._short_since = now if self._short_since is None else self._short_since
            if now - since < self._believed_after_s:
                raise EndInDoubt(f"a log server says that the log ends at {last}, before {position - 1}: asked again")
        self._short_since = None
        return ShortLog(first, last)
