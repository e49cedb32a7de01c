"""What the numbers of a plan mean.

Most works of a province are alike: the same points, parameters, disinfectant, rules and limits. Works of one *form* share
everything but their names, so what a number means is kept once a form, counted from a works' own first series, timer, unit or
leaf. Names are put together when they are asked for: a province has a million and a half timers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey

__all__ = ["Form", "Layout", "PerWorks", "SlotOf", "What"]

T = TypeVar("T")
What = Literal["series", "timer", "unit", "leaf", "ring"]
Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """What works of a form have, each in the order of its numbers.

    ``series``: point and parameter. ``timers``, ``leaves``: rank of their series, and what they are called beside it.
    ``units``: rank of the series that shows the disinfection. ``ring_capacity``: readings that may have to be judged again.
    """

    series: tuple[tuple[str, str], ...]
    timers: tuple[tuple[int, Words], ...]
    units: tuple[int, ...]
    leaves: tuple[tuple[int, Words], ...]
    ring_capacity: int
    window_ms: int

    def count(self, what: What) -> int:
        """How many of a kind a works has."""
        return {
            "series": len(self.series), "timer": len(self.timers), "unit": len(self.units), "leaf": len(self.leaves),
            "ring": self.ring_capacity,
        }[what]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Layout:
    """Which works a plan judges, in which order, and the form of each: enough to carry a state over to another plan."""

    works: tuple[tuple[str, str], ...]
    form_of: npt.NDArray[np.int32]
    forms: tuple[Form, ...]

    def form(self, works: int) -> Form:
        """The form of a works by its number."""
        return self.forms[int(self.form_of[works])]

    def counts(self, what: What) -> npt.NDArray[np.int64]:
        """(works,) How many of a kind each works has."""
        by_form = np.array([form.count(what) for form in self.forms], np.int64)
        return by_form[self.form_of] if len(self.form_of) else np.empty(0, np.int64)

    def firsts(self, what: What) -> npt.NDArray[np.int64]:
        """(works,) Number of each works' first of a kind."""
        found = self._firsts.get(what)
        if found is None:
            counts = self.counts(what)
            found = self._firsts[what] = np.cumsum(counts) - counts
        return found

    @cached_property
    def _firsts(self) -> dict[What, npt.NDArray[np.int64]]:
        return {}

    def total(self, what: What) -> int:
        """How many of a kind all works have."""
        return int(self.counts(what).sum())

    def place_of(self, what: What, number: int) -> tuple[int, int]:
        """Works of the series, timer, unit or leaf with this number, and its place in the works."""
        firsts = self.firsts(what)
        # Works without any begin where the next one does: the last to begin there has it.
        works = int(np.searchsorted(firsts, number, side="right")) - 1
        return works, number - int(firsts[works])

    @cached_property
    def works_number(self) -> dict[tuple[str, str], int]:
        """Number of a works by (county, id)."""
        return {works: number for number, works in enumerate(self.works)}

    @cached_property
    def ranks(self) -> tuple[dict[tuple[str, str], int], ...]:
        """Rank of a series in its works by point and parameter, of each form."""
        return tuple({place: rank for rank, place in enumerate(form.series)} for form in self.forms)

    def series_key(self, works: int, rank: int) -> SeriesKey:
        """A series of a works."""
        return SeriesKey(*self.works[works], *self.form(works).series[rank])

    def unit_point(self, works: int, place: int) -> SeriesKey:
        """The series that shows the disinfection of a works' outlet."""
        return self.series_key(works, self.form(works).units[place])

    def timer_key(self, works: int, place: int) -> Words:
        """What a timer is called over changes of the plan: its series, kind, rule, limit and condition."""
        rank, words = self.form(works).timers[place]
        return (*self.series_key(works, rank), *words)

    def leaf_key(self, works: int, place: int) -> Words:
        """What a comparison of a rule of several conditions is called over changes of the plan."""
        rank, words = self.form(works).leaves[place]
        return (*self.series_key(works, rank), *words)


class PerWorks(Sequence[T]):
    """Series, timers or units of all works by number, each made of its works and its place there when it is asked for."""

    def __init__(self, layout: Layout, what: What, make: Callable[[int, int], T]) -> None:
        self._layout = layout
        self._what: What = what
        self._make = make
        self._count = layout.total(what)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> T: ...
    @overload
    def __getitem__(self, number: slice) -> list[T]: ...
    def __getitem__(self, number: int | slice) -> T | list[T]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(self._count))]
        at = number + self._count if number < 0 else number
        if not 0 <= at < self._count:
            raise IndexError(number)
        return self._make(*self._layout.place_of(self._what, int(at)))

    def __iter__(self) -> Iterator[T]:
        for works, count in enumerate(self._layout.counts(self._what).tolist()):
            for place in range(count):
                yield self._make(works, place)


class SlotOf(Mapping[SeriesKey, int]):
    """Slot of a series by its key."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._firsts = layout.firsts("series")

    def __getitem__(self, key: SeriesKey) -> int:
        county, works, point, parameter = key
        number = self._layout.works_number[county, works]
        rank = self._layout.ranks[int(self._layout.form_of[number])][point, parameter]
        return int(self._firsts[number]) + rank

    def __len__(self) -> int:
        return self._layout.total("series")

    def __iter__(self) -> Iterator[SeriesKey]:
        return iter(PerWorks(self._layout, "series", self._layout.series_key))
