"""What the stages and services expect of the stores. Adapters stand beside this file; one suite tests each port."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey

__all__ = ["AGGREGATES", "AppendResult", "LatestReading", "RecordedCounts", "SeriesRows", "SeriesStore", "Trend"]

AGGREGATES = ("mean", "min", "max", "count")


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """Columns to record; all arrays have the same length n.

    ``series`` indexes ``keys``. Times are ms since epoch, UTC. ``flag`` is a `Flag`; NaN values carry flag 9.
    """

    keys: Sequence[SeriesKey]
    series: npt.NDArray[np.int32]
    observed_at: npt.NDArray[np.int64]
    received_at: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AppendResult:
    """What became of the rows of one append: ``stored + duplicates + conflicts`` = rows given."""

    stored: int
    duplicates: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class LatestReading:
    """Newest reading of a series by ``observed_at``."""

    key: SeriesKey
    observed_at: int
    received_at: int
    value: float
    flag: int


@dataclass(frozen=True, slots=True)
class Trend:
    """A stretch of one series, oldest first.

    ``observed_at`` [ms]: reading times, or bucket starts when a step was asked for (buckets are aligned to multiples
    of the step since the epoch; empty buckets are left out). ``columns`` holds ``value`` and ``flag``, or one array per
    aggregate asked for.
    """

    key: SeriesKey
    observed_at: npt.NDArray[np.int64]
    columns: Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class RecordedCounts:
    """Totals since the store was made."""

    readings: int
    duplicates: int
    conflicts: int
    series: int


class SeriesStore(Protocol):
    """Time-series store. Identity of a reading is (series, observed_at).

    Same key and value again = duplicate, ignored. Same key, other value = conflict: the first stays, the other goes to
    a side table; both are counted. Every method raises `StoreUnavailable` when the store does not answer.
    """

    def append(self, rows: SeriesRows, reader: str, covered: int) -> AppendResult:
        """Record rows and, in the same transaction where the store has one, that ``reader`` has covered the log
        up to and including sequence ``covered``. Returns only when the store holds them."""
        ...

    def covered(self, reader: str) -> int:
        """Log sequence up to which ``reader`` has recorded; 0 when it never did."""
        ...

    def latest(self, county: str, works: str | None = None) -> list[LatestReading]:
        """Newest reading of every series of a works, or of all works of a county."""
        ...

    def range(
        self, key: SeriesKey, start: int, end: int, step_ms: int | None = None, aggregates: Sequence[str] = ("mean",)
    ) -> Trend:
        """Readings with start <= observed_at < end, raw or by step with `AGGREGATES`.

        Aggregates leave out missing values and readings flagged 4 (fail).
        """
        ...

    def conflicts(self, key: SeriesKey, start: int, end: int) -> Trend:
        """The other values that came for a time already held."""
        ...

    def counts(self) -> RecordedCounts:
        """Totals."""
        ...

    def close(self) -> None:
        """Release the store; a second call does nothing."""
        ...
