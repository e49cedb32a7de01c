"""What timers mean, by number. A province has a million and a half of them but only some dozens of different meanings, so each
timer keeps two numbers: its meaning and its series. The rest is put together when it is asked for."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import numpy.typing as npt

from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.readings import SeriesKey

__all__ = ["MeaningTable", "Meanings", "Numbered", "TimerKeys", "TimerMeaning"]

_NOBODY = SeriesKey("", "", "", "")


@dataclass(frozen=True, slots=True)
class TimerMeaning:
    """What a timer says when it fires. ``bound`` is NaN where the edition in force decides (units)."""

    kind: FindingKind
    severity: Severity
    key: SeriesKey
    rule: str
    bound: float
    clause: str
    limit_id: str = ""
    speaks: bool = True
    rule_version: str = ""
    fingerprint: str = ""
    """Of the condition: a rule that is changed begins anew."""


class MeaningTable:
    """Meanings under construction, numbered as they first appear."""

    def __init__(self) -> None:
        self._number: dict[tuple[object, ...], int] = {}
        self._distinct: list[TimerMeaning] = []
        self._meaning = array("i")
        self._series = array("i")

    def add(self, meaning: TimerMeaning, series: int) -> None:
        """The next timer, of the series with this number."""
        m = meaning
        # NaN is not equal to itself.
        bound = None if m.bound != m.bound else m.bound
        what = (m.kind, m.severity, m.rule, bound, m.clause, m.limit_id, m.speaks, m.rule_version, m.fingerprint)
        number = self._number.get(what)
        if number is None:
            number = self._number[what] = len(self._distinct)
            self._distinct.append(replace(m, key=_NOBODY))
        self._meaning.append(number)
        self._series.append(series)

    def finish(self, series: tuple[SeriesKey, ...]) -> "Meanings":
        """The table as a sequence."""
        return Meanings(
            tuple(self._distinct), np.array(self._meaning, np.int32), np.array(self._series, np.int32), series
        )


class Meanings(Sequence[TimerMeaning]):
    """`TimerMeaning` by timer number."""

    __slots__ = ("distinct", "meaning", "series", "series_keys")

    def __init__(
        self,
        distinct: tuple[TimerMeaning, ...],
        meaning: npt.NDArray[np.int32],
        series: npt.NDArray[np.int32],
        series_keys: tuple[SeriesKey, ...],
    ) -> None:
        self.distinct = distinct
        self.meaning = meaning
        self.series = series
        self.series_keys = series_keys

    def __len__(self) -> int:
        return len(self.meaning)

    @overload
    def __getitem__(self, timer: int) -> TimerMeaning: ...
    @overload
    def __getitem__(self, timer: slice) -> list[TimerMeaning]: ...
    def __getitem__(self, timer: int | slice) -> TimerMeaning | list[TimerMeaning]:
        if isinstance(timer, slice):
            return [self[n] for n in range(*timer.indices(len(self)))]
        what: TimerMeaning = self.distinct[self.meaning[timer]]
        return replace(what, key=self.series_keys[self.series[timer]])

    def __iter__(self) -> Iterator[TimerMeaning]:
        return (self[timer] for timer in range(len(self)))


@dataclass(frozen=True, slots=True)
class Numbered:
    """Rows of a table by the numbers of those that have them: ``self[n]`` is ``table[number[n]]``."""

    table: npt.NDArray[np.void]
    number: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.number)

    def __getitem__(self, n: int) -> np.void:
        row: np.void = self.table[self.number[n]]
        return row


class TimerKeys(Sequence[tuple[str, ...]]):
    """What a timer is called over changes of the plan: its series, kind, rule and limit."""

    __slots__ = ("_meanings",)

    def __init__(self, meanings: Meanings) -> None:
        self._meanings = meanings

    def __len__(self) -> int:
        return len(self._meanings)

    @overload
    def __getitem__(self, timer: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, timer: slice) -> list[tuple[str, ...]]: ...
    def __getitem__(self, timer: int | slice) -> tuple[str, ...] | list[tuple[str, ...]]:
        if isinstance(timer, slice):
            return [self[n] for n in range(*timer.indices(len(self)))]
        m = self._meanings
        what = m.distinct[m.meaning[timer]]
        return (*m.series_keys[m.series[timer]], what.kind, what.rule, what.limit_id, what.fingerprint)

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return (self[timer] for timer in range(len(self)))
