"""Readings on their way from the door to the engine and the stores."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = [
    "CANARY_COUNTY",
    "LogMessage",
    "QuarantineReason",
    "Quarantined",
    "ReadingBatch",
    "SeriesCatalog",
    "SeriesKey",
    "Topic",
]

# Reserved county of the log's self-test: decoders drop its messages without counting them as readings or rejects.
CANARY_COUNTY = "000000"


class Topic(NamedTuple):
    """Parts of ``wq/<county>/<works>/<point>/<dialect>``."""

    county: str
    works: str
    point: str
    dialect: str


class LogMessage(NamedTuple):
    """One message of the reading log.

    ``subject`` is the stored subject ``part.<n>.wq.<county>.<works>.<point>.<dialect>``; ``sequence`` the log's
    own; ``received_at`` the log's time of storage [ms since epoch, UTC].
    """

    sequence: int
    received_at: int
    subject: str
    payload: bytes


class SeriesKey(NamedTuple):
    """Identity of a series: sampling point x parameter."""

    county: str
    works: str
    point: str
    parameter: str


class SeriesCatalog:
    """Append-only numbering of series inside one process. Numbers are never persisted.

    A province has hundreds of thousands: points and parameters are kept once, a series is two small numbers.
    """

    __slots__ = ("_code_of", "_codes", "_names", "_numbers", "_place_of", "_places", "_spots")

    def __init__(self) -> None:
        self._places: dict[tuple[str, str, str], int] = {}
        self._spots: list[tuple[str, str, str]] = []
        self._codes: dict[str, int] = {}
        self._names: list[str] = []
        # Of each parameter, the series at each place; -1 = none.
        self._numbers: list[array[int]] = []
        self._place_of = array("i")
        self._code_of = array("i")

    def index(self, key: SeriesKey) -> int:
        """Number of the series, a new one if the key was not seen before."""
        return self.index_at(key[:3], key.parameter)

    def index_at(self, spot: tuple[str, str, str], parameter: str) -> int:
        """The same by sampling point (county, works, point) and parameter; of a new point ``spot`` itself is kept."""
        place = self._places.setdefault(spot, len(self._spots))
        if place == len(self._spots):
            self._spots.append(spot)
        code = self._codes.setdefault(parameter, len(self._names))
        if code == len(self._names):
            self._names.append(parameter)
            self._numbers.append(array("i"))
        numbers = self._numbers[code]
        if place >= len(numbers):
            numbers.extend([-1] * (len(self._spots) - len(numbers)))
        if numbers[place] < 0:
            numbers[place] = len(self._place_of)
            self._place_of.append(place)
            self._code_of.append(code)
        return numbers[place]

    def key(self, index: int) -> SeriesKey:
        """Key behind a number."""
        return SeriesKey(*self._spots[self._place_of[index]], self._names[self._code_of[index]])

    def keys(self, first: int = 0, last: int | None = None) -> list[SeriesKey]:
        """Keys by number, from ``first`` up to and without ``last``."""
        places, codes = self._place_of[first:last], self._code_of[first:last]
        return [SeriesKey(*self._spots[place], self._names[code]) for place, code in zip(places, codes, strict=True)]

    def __len__(self) -> int:
        return len(self._place_of)

    def __iter__(self) -> Iterator[SeriesKey]:
        return iter(self.keys())

    def __contains__(self, key: SeriesKey) -> bool:
        place, code = self._places.get(key[:3]), self._codes.get(key.parameter)
        return (
            place is not None and code is not None and self._numbers[code][place : place + 1].tolist() not in ([], [-1])
        )


@dataclass(frozen=True, slots=True)
class ReadingBatch:
    """Columns of readings, in log order; all arrays have the same length n.

    series : int32, number in the process' `SeriesCatalog`
    observed_at : int64, instrument time [ms since epoch, UTC]
    value : float64, in the parameter's canonical unit; NaN = the device said "no value"
    flag : uint8, the device's own quality code as a `Flag` (2 = the device said nothing)
    sequence : int64, log sequence of the message that carried the reading
    received_at : int64, log time of that message [ms since epoch, UTC]
    """

    series: npt.NDArray[np.int32]
    observed_at: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]
    sequence: npt.NDArray[np.int64]
    received_at: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.series)

    @staticmethod
    def empty() -> "ReadingBatch":
        """A batch of no readings."""
        return ReadingBatch(
            np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64),
            np.empty(0, np.uint8), np.empty(0, np.int64), np.empty(0, np.int64),
        )  # fmt: skip


class QuarantineReason(StrEnum):
    """Why something from a door could not be taken as a reading. The word serves log, metric and operator."""

    BAD_TOPIC = "bad_topic"
    UNKNOWN_DIALECT = "unknown_dialect"
    UNKNOWN_WORKS = "unknown_works"
    UNKNOWN_POINT = "unknown_point"
    UNKNOWN_PARAMETER = "unknown_parameter"
    BAD_JSON = "bad_json"
    BAD_SHAPE = "bad_shape"
    BAD_TIME = "bad_time"
    TIME_IN_FUTURE = "time_in_future"
    TIME_TOO_OLD = "time_too_old"
    BAD_VALUE = "bad_value"
    NOT_FINITE = "not_finite"
    PAYLOAD_TOO_LARGE = "payload_too_large"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A message, or a part of one, that was set aside.

    ``position`` tells which part (``""`` = the whole message; ``[3].v.ph`` = item 3, parameter ph). ``payload`` is kept
    so that it can be decoded again after a fix; ``digest`` is its SHA-256 (hex).
    """

    reason: QuarantineReason
    detail: str
    sequence: int
    received_at: int
    subject: str
    position: str
    payload: bytes
    digest: str
