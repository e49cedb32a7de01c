"""What the stages and services expect of the stores. Adapters stand beside this file; one suite tests each port."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey

__all__ = [
    "AGGREGATES",
    "AppendResult",
    "LatestReading",
    "Readings",
    "RecordedCounts",
    "Retention",
    "SeriesReader",
    "SeriesRows",
    "SeriesStore",
    "Trend",
]

AGGREGATES = ("mean", "min", "max", "count", "last", "good")
"""What a step may be summed up by. ``last`` is the latest value, ``good`` counts readings flagged 1 (pass)."""


@dataclass(frozen=True, slots=True)
class SeriesRows:
    """Columns to record; all arrays have the same length n.

    ``series`` indexes ``keys``. Times are ms since epoch, UTC. ``flag`` is a `Flag`; NaN values carry flag 9.
    ``sequence`` is the log sequence of the message that carried the row, ascending. A store without transactions needs
    it to tell its own half-finished append, sent again, from a device that repeats itself.
    """

    keys: Sequence[SeriesKey]
    series: npt.NDArray[np.int32]
    observed_at: npt.NDArray[np.int64]
    received_at: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]
    sequence: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.series)


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
    """Totals since the store was made. ``messages`` counts those of the log that its readers have covered."""

    readings: int
    duplicates: int
    conflicts: int
    series: int
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Readings:
    """Readings of several series at once, for judging: rows first[i] .. first[i + 1] are those of the i-th key asked for,
    oldest first. ``flag`` is 3 (suspect) at least where another value came for the same time."""

    first: npt.NDArray[np.int64]
    observed_at: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long readings and each rollup are kept [days]; 0 = for ever. Nothing is kept longer than what is coarser."""

    raw: int = 730
    fine: int = 1100
    hour: int = 3660
    day: int = 0

    def days(self) -> tuple[int, int, int, int]:
        """From raw to coarse."""
        return self.raw, self.fine, self.hour, self.day

    def faults(self) -> list[str]:
        """What contradicts itself: a coarser level that goes before a finer one."""
        names = ("retention_raw_days", "retention_5min_days", "retention_1h_days", "retention_1d_days")
        kept = [days or 10**9 for days in self.days()]
        return [
            f"{names[n + 1]} = {self.days()[n + 1]}: allowed: {names[n]} ({self.days()[n]}) or more, or 0 = for ever"
            for n in range(3)
            if kept[n + 1] < kept[n]
        ]


class SeriesReader(Protocol):
    """What may be asked of a time-series store, from any process.

    Every method raises `StoreUnavailable` when the store does not answer.
    """

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

        Aggregates leave out missing values (NaN or flag 9) and readings flagged 4 (fail); ``count`` counts the rest.

        Raises
        ------
        ValueError
            If the step is not positive or an aggregate is unknown.
        """
        ...

    def conflicts(self, key: SeriesKey, start: int, end: int) -> Trend:
        """The other values that came for a time already held."""
        ...

    def readings(self, keys: Sequence[SeriesKey], start: int, end: int) -> Readings:
        """Readings of several series with start <= observed_at < end, in the order of the keys; none for a key unknown."""
        ...

    def counts(self) -> RecordedCounts:
        """Totals."""
        ...

    def close(self) -> None:
        """Release the store; a second call does nothing."""
        ...


class SeriesStore(SeriesReader, Protocol):
    """Time-series store. Identity of a reading is (series, observed_at).

    Same key and value again = duplicate, ignored; NaN equals NaN. Same key, other value = conflict: the first stays,
    the other goes to a side table; both are counted. A conflicting value that comes again is a duplicate of that
    conflict, so that the totals do not depend on order.
    """

    def append(self, rows: SeriesRows, reader: str, covered: int, messages: int = 0) -> AppendResult:
        """Record rows and, in the same transaction where the store has one, that ``reader`` has covered the log
        up to and including sequence ``covered`` with ``messages`` more messages. Returns only when the store holds
        them. An append that ends at or before a sequence already covered changes nothing, so it may be repeated after
        an error; ``covered`` = 0 means that the rows do not come from the log."""
        ...

    def maintain(self, now_ms: int, retention: Retention) -> None:
        """Drop what is older than its time, and put in order what makes long trends quick; now and then, by the writer's
        process, beside its appends.

        Age counts back from ``now_ms`` or from the newest reading held, whichever is earlier; where a server drops, from its clock.
        """
        ...

    def rewind(self, reader: str, covered: int) -> None:
        """Put a reader's mark back, because the log itself began anew or lost its tail; totals stay."""
        ...
