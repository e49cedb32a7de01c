"""What timers say when they fire. A province has some dozens of different meanings: a timer keeps the number of its own, and
the rest is put together when it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.readings import SeriesKey
from rules.forms import Layout, PerWorks

__all__ = ["MeaningTable", "Meanings", "TimerMeaning"]

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
    """Different meanings under construction, numbered as they first appear, without the series they are said of."""

    def __init__(self) -> None:
        self._number: dict[tuple[object, ...], int] = {}
        self.distinct: list[TimerMeaning] = []

    def number(self, meaning: TimerMeaning) -> int:
        """Number of a meaning, whatever its series."""
        m = meaning
        # NaN is not equal to itself.
        bound = None if m.bound != m.bound else m.bound
        what = (m.kind, m.severity, m.rule, bound, m.clause, m.limit_id, m.speaks, m.rule_version, m.fingerprint)
        number = self._number.get(what)
        if number is None:
            number = self._number[what] = len(self.distinct)
            self.distinct.append(replace(m, key=_NOBODY))
        return number


class Meanings(PerWorks[TimerMeaning]):
    """`TimerMeaning` by timer number.

    ``number`` (rows,): which of ``distinct`` the timers of each form mean, the first form's first; a form's begin at
    ``first_of_form``.
    """

    def __init__(
        self, layout: Layout, distinct: Sequence[TimerMeaning], number: npt.NDArray[np.int32], first_of_form: npt.NDArray[np.int32]
    ) -> None:  # fmt: skip
        super().__init__(layout, "timer", self._meaning)
        self.distinct = tuple(distinct)
        self.number = number
        self._first_of_form = first_of_form

    def _meaning(self, works: int, place: int) -> TimerMeaning:
        form = int(self._layout.form_of[works])
        rank, _ = self._layout.forms[form].timers[place]
        what = self.distinct[int(self.number[self._first_of_form[form] + place])]
        return replace(what, key=self._layout.series_key(works, rank))
