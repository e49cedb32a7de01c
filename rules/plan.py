"""From register, standards and ruleset to the flat facts the compiled loop walks.

A plan is compiled once and again only when works or rules change. It numbers series, timers and units; everything a
finding needs to say (rule, clause, bound) is looked up here by timer number. Works that are alike are compiled once
(`rules.form_build`) and share all facts (`rules.forms`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from qingquan.domain.parameters import Limit, Parameter
from qingquan.domain.profiles import Binding
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from rules.compound_plan import CompoundTables
from rules.form_build import FormRows, Shared, form_rows
from rules.forms import Layout, PerWorks, SlotOf
from rules.layout import (
    COMPOUND_FACTS,
    LEAF_FACTS,
    NODE,
    SERIES_FACTS,
    SERIES_KIND,
    TIMER_FACTS,
    UNIT_FACTS,
    UNIT_LIMIT,
    WORKS_FACTS,
    WORKS_FORM,
    ZONE,
    UnitTimer,
)
from rules.meanings import Meanings, TimerMeaning
from rules.ruleset import Ruleset

__all__ = ["Layout", "Limits", "Plan", "TimerMeaning", "compile_plan"]

Limits = Sequence[Limit] | Callable[[str], Binding]
"""Rows that bind everywhere, or what binds in a county by its code."""

Structs = npt.NDArray[np.void]


@dataclass(frozen=True)
class Plan:
    """Facts by number. Arrays are read-only for the loop; sequences run parallel to them.

    ``series_facts``, ``kind_of`` (of timers), ``unit_facts`` and the tables of ``compounds`` have a row for each of a
    form's; ``works_forms`` says where a form's begin, ``works_facts`` which form a works has and where its memory begins.
    """

    works: tuple[Works, ...]
    layout: Layout
    meanings: Meanings
    unit_limit_rows: tuple[Limit | None, ...]
    series_facts: Structs
    series_kinds: Structs
    timer_kinds: Structs
    kind_of: npt.NDArray[np.int32]
    unit_facts: Structs
    unit_limits: Structs
    works_forms: Structs
    works_facts: Structs
    compounds: CompoundTables
    expected: npt.NDArray[np.bool_]
    ruleset: Ruleset

    @cached_property
    def series(self) -> PerWorks[SeriesKey]:
        """Series by slot."""
        return PerWorks(self.layout, "series", self.layout.series_key)

    @cached_property
    def unit_points(self) -> PerWorks[SeriesKey]:
        """The series that shows the disinfection of an outlet, by number of the unit."""
        return PerWorks(self.layout, "unit", self.layout.unit_point)

    @cached_property
    def timer_keys(self) -> PerWorks[tuple[str, ...]]:
        """Name of a timer by number, the same over changes of the plan."""
        return PerWorks(self.layout, "timer", self.layout.timer_key)

    @cached_property
    def timer_facts(self) -> PerWorks[np.void]:
        """Facts of a timer by its number."""
        return PerWorks(self.layout, "timer", self._timer_facts)

    def _timer_facts(self, works: int, place: int) -> np.void:
        row: np.void = self.timer_kinds[self.kind_of[self.form_of(works)["timer_row"] + place]]
        return row

    @cached_property
    def slot_of(self) -> SlotOf:
        """Series slot by key."""
        return SlotOf(self.layout)

    @property
    def works_number(self) -> dict[tuple[str, str], int]:
        """Number of a works by (county, id)."""
        return self.layout.works_number

    @cached_property
    def ring_size(self) -> int:
        """Readings that may have to be judged again, of all works."""
        return self.layout.total("ring")

    @cached_property
    def most_events(self) -> int:
        """Transitions that one works can cause at most when it is judged again from its older checkpoint on."""
        forms = self.works_forms
        each = forms["ring_capacity"].astype(np.int64) * forms["room"] + forms["timer_count"]
        return int(each.max(initial=0))

    def form_of(self, works: int) -> np.void:
        """What a works has in common with others of its form."""
        row: np.void = self.works_forms[self.works_facts[works]["form"]]
        return row

    def series_of(self, works: int) -> slice:
        """Slots of a works' series."""
        first = int(self.works_facts[works]["series_first"])
        return slice(first, first + int(self.form_of(works)["series_count"]))

    def units_of(self, works: int) -> slice:
        """Numbers of a works' units."""
        first = int(self.works_facts[works]["unit_first"])
        return slice(first, first + int(self.form_of(works)["unit_count"]))

    def unit_of(self, timer: int) -> np.void | None:
        """Facts of the unit a timer belongs to, if it belongs to one."""
        works, place = self.layout.place_of("timer", timer)
        form = self.form_of(works)
        units = self.unit_facts[form["unit_row"] : form["unit_row"] + form["unit_count"]]
        return next((one for one in units if one["timer_first"] <= place < one["timer_first"] + UnitTimer.COUNT), None)

    @cached_property
    def works_of_series(self) -> npt.NDArray[np.int32]:
        """(series,) Number of the works of each series."""
        return np.repeat(np.arange(len(self.works), dtype=np.int32), self.layout.counts("series"))

    @cached_property
    def row_of_series(self) -> npt.NDArray[np.int32]:
        """(series,) Row of each series in ``series_facts``."""
        counts = self.layout.counts("series")
        shift = self.works_forms["series_row"][self.works_facts["form"]] - self.works_facts["series_first"]
        rows: npt.NDArray[np.int32] = np.arange(int(counts.sum()), dtype=np.int32) + np.repeat(shift, counts)
        return rows

    @property
    def stale_ms(self) -> npt.NDArray[np.int64]:
        """(series,) Silence of each series that is longer than usual begins after so long."""
        of_works = self.works_forms["stale_ms"][self.works_facts["form"]]
        return np.repeat(of_works, self.layout.counts("series"))

    @cached_property
    def digest(self) -> str:
        """Fingerprint of everything that gives the arrays their meaning; a snapshot fits only the same one."""
        h = blake2b(digest_size=16)
        tables = self.compounds
        for part in (
            self.series_facts, self.series_kinds, self.timer_kinds, self.kind_of, self.unit_facts, self.unit_limits,
            self.works_forms, self.works_facts, tables.compounds, tables.leaves, tables.nodes, tables.zones, self.meanings.number,
        ):  # fmt: skip
            h.update(part.tobytes())
        names = [
            (one.kind.value, one.rule, one.rule_version, one.fingerprint, one.limit_id)
            for one in self.meanings.distinct
        ]
        h.update(repr((self.layout.works, self.layout.forms, names, self.ruleset.version)).encode())
        return h.hexdigest()


def compile_plan(
    works: Iterable[Works],
    parameters: Mapping[str, Parameter],
    limits: Limits,
    ruleset: Ruleset,
    extra: Iterable[SeriesKey] = (),
) -> Plan:
    """Number everything and look up every bound.

    Parameters
    ----------
    works : register entries to judge
    parameters : the table of parameters
    limits : what binds in a county, or rows that bind everywhere
    ruleset : checked rules
    extra : series that devices send although the register does not expect them; judged, but never missed

    Raises
    ------
    ValueError
        If a works has more series than the order key can number (1,024).
    """
    unexpected: dict[tuple[str, str], list[SeriesKey]] = {}
    for key in extra:
        unexpected.setdefault((key.county, key.works), []).append(key)
    forms = _Forms(Shared(parameters, limits if callable(limits) else _everywhere(limits), ruleset))
    register = tuple(works)
    numbers = [forms.number(one, unexpected.get((one.county, one.id), ())) for one in register]
    return forms.plan(register, np.array(numbers, np.int32))


def _everywhere(rows: Sequence[Limit]) -> Callable[[str], Binding]:
    binding = Binding((), tuple(rows))
    return lambda _: binding


class _Forms:
    """Forms of the works added so far; like works are compiled once."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._number_of: dict[tuple[object, ...], int] = {}
        self._rows: dict[FormRows, int] = {}

    def number(self, works: Works, extra: Sequence[SeriesKey]) -> int:
        """The form of a works."""
        alike = self._likeness(works, extra)
        number = self._number_of.get(alike)
        if number is None:
            rows = form_rows(self._shared, works, extra)
            number = self._number_of[alike] = self._rows.setdefault(rows, len(self._rows))
        return number

    def _likeness(self, works: Works, extra: Sequence[SeriesKey]) -> tuple[object, ...]:
        """Everything of a works that `rules.form_build` looks at."""
        points = tuple((point.id, point.kind, point.parameters) for point in works.points)
        unasked = tuple((key.point, key.parameter) for key in extra)
        binding = self._shared.binding(works.county)
        # Counties are few: what binds in one is known by the county.
        return (
            works.county, points, unasked, binding.traits(works), works.evidence, works.cadence_s, works.upload_interval_s,
            works.time_zone,
        )  # fmt: skip

    def plan(self, works: tuple[Works, ...], form_of: npt.NDArray[np.int32]) -> Plan:
        """The plan of these works, each of the form with this number."""
        shared, rows = self._shared, list(self._rows)
        layout = Layout(tuple((one.county, one.id) for one in works), form_of, tuple(one.names for one in rows))
        forms = _works_forms(rows)
        counted = layout.counts("series")
        starts = forms["series_row"][form_of]
        is_expected = np.array([one for form in rows for one in form.expected], np.bool_)
        within = np.arange(int(counted.sum())) - np.repeat(layout.firsts("series"), counted)
        return Plan(
            works=works, layout=layout,
            meanings=Meanings(layout, shared.meanings.distinct, _column(rows, "meanings"), forms["timer_row"].copy()),
            unit_limit_rows=tuple(shared.unit_limit_rows), series_facts=_table(rows, "series", SERIES_FACTS),
            series_kinds=np.array(list(shared.series_kinds), SERIES_KIND),
            timer_kinds=np.array(list(shared.timer_kinds), TIMER_FACTS), kind_of=_column(rows, "timer_kinds"),
            unit_facts=_table(rows, "units", UNIT_FACTS), unit_limits=np.array(shared.unit_limits, UNIT_LIMIT),
            works_forms=forms, works_facts=_works_facts(layout),
            compounds=CompoundTables(
                _compounds(rows), _table(rows, "leaves", LEAF_FACTS), _table(rows, "nodes", NODE), np.array(shared.zones, ZONE)
            ),
            expected=is_expected[np.repeat(starts, counted) + within] if len(within) else np.empty(0, np.bool_),
            ruleset=shared.ruleset,
        )  # fmt: skip


def _table(rows: Sequence[FormRows], name: str, dtype: np.dtype[np.void]) -> Structs:
    return np.array(list(chain.from_iterable(getattr(one, name) for one in rows)), dtype)


def _column(rows: Sequence[FormRows], name: str) -> npt.NDArray[np.int32]:
    return np.array(list(chain.from_iterable(getattr(one, name) for one in rows)), np.int32)


def _compounds(rows: Sequence[FormRows]) -> Structs:
    """Rows of compounds; each form's programs stand behind those of the forms before."""
    table = _table(rows, "compounds", COMPOUND_FACTS)
    row = nodes = 0
    for form in rows:
        mine = table[row : row + len(form.compounds)]
        mine["node_first"] += nodes
        mine["clear_first"] += nodes
        row, nodes = row + len(mine), nodes + len(form.nodes)
    return table


def _works_forms(rows: Sequence[FormRows]) -> Structs:
    forms = np.zeros(len(rows), WORKS_FORM)
    parts: dict[str, Callable[[FormRows], Sequence[Any]]] = {
        "series": lambda one: one.series, "timer": lambda one: one.timer_kinds, "unit": lambda one: one.units,
        "compound": lambda one: one.compounds, "leaf": lambda one: one.leaves,
    }  # fmt: skip
    for name, part in parts.items():
        counts = np.array([len(part(one)) for one in rows], np.int64)
        forms[f"{name}_count"] = counts
        forms[f"{name}_row"] = np.cumsum(counts) - counts
    for number, one in enumerate(rows):
        forms[number]["room"], forms[number]["stale_ms"] = one.room, one.stale_ms
        forms[number]["ring_capacity"], forms[number]["window_ms"] = one.names.ring_capacity, one.names.window_ms
    return forms


def _works_facts(layout: Layout) -> Structs:
    facts = np.zeros(len(layout.works), WORKS_FACTS)
    facts["form"] = layout.form_of
    for name in ("series", "timer", "unit", "leaf", "ring"):
        facts[f"{name}_first"] = layout.firsts(name)
    return facts
