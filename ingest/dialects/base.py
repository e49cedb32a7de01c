"""What a payload format must be able to do. One file per dialect; the registry is the package itself."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from ingest.times import ZoneClock
from qingquan.domain.flags import Flag
from qingquan.domain.readings import QuarantineReason

__all__ = ["MAX_ITEMS", "PLAIN_REFUSALS", "Dialect", "Item", "Plain", "RawValue", "Reject", "Unfolded", "child"]

MAX_ITEMS = 2000
"""Most objects in one message; a buffered upload of a day of minute readings has 1,440."""
PLAIN_REFUSALS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a plain reader may raise for a payload that it leaves to the lenient one."""


class RawValue(NamedTuple):
    """One value as the device named and wrote it; ``unit`` is ``None`` where it is the parameter's own."""

    position: str
    parameter: str
    value: object
    unit: object
    flag: Flag


class Item(NamedTuple):
    """Values read at one time [ms since epoch, UTC]. ``position`` is that of the time, for refusals."""

    position: str
    observed_at: int
    values: list[RawValue]


class Reject(NamedTuple):
    """A part of the payload that could not be understood."""

    position: str
    reason: QuarantineReason
    detail: str


class Unfolded(NamedTuple):
    """Everything found in a payload: nothing in it is neither an item nor a reject."""

    items: list[Item]
    rejects: list[Reject]


class Plain(msgspec.Struct, gc=False):
    """The usual message, read without a look at each part: canonical codes and units, numbers or null.

    ``q`` may hold quality codes of values that are there, by the same names. ``u`` given means: not the usual message.
    """

    t: int | float | str
    v: dict[str, float | None]
    q: dict[str, int | float | str | bool | None] | int | float | str | bool | None = None
    u: msgspec.Raw | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """A payload format. Both functions are pure.

    ``decode`` takes any bytes and never raises. ``plain``, where the format has one, reads the usual message fast and
    raises one of `PLAIN_REFUSALS` for all others; on what both take they agree.
    """

    name: str
    decode: Callable[[bytes, ZoneClock], Unfolded]
    plain: Callable[[bytes], Plain | list[Plain]] | None = None


def child(position: str, name: str) -> str:
    """Position of a named part inside another, printable and of bounded length whatever the device called it."""
    shown = name if name.isprintable() else repr(name)[1:-1]
    if len(shown) > 64:
        digest = blake2b(name.encode("utf-8", "backslashreplace"), digest_size=4).hexdigest()
        shown = f"{shown[:48]}~{digest}"
    return f"{position}.{shown}" if position else shown
