"""From trees of conditions to the rows the compiled loop walks, works by works."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from qingquan.domain.parameters import Limit
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import PointKind, SamplingPoint, Works
from rules import compound
from rules.conditions import Condition, Tree, leaves_of
from rules.layout import NO_SLOT
from rules.ruleset import Rule

__all__ = ["CompoundRows", "CompoundTables", "Subject", "reachable"]

ALWAYS = 2**62
HOUR, DAY = 3_600_000, 86_400_000
SPAN_MS = {"hour": HOUR, "day": DAY}
ARITHMETIC = {"": compound.PLAIN, "ratio": compound.RATIO, "difference": compound.DIFFERENCE}
# The shortest window over which coverage means anything, in readings.
FEWEST_EXPECTED = 10
FIRST_YEAR, LAST_YEAR = 1995, 2045

Limits = Callable[[str, PointKind], Sequence[tuple[Limit, int, int]]]
"""Rows of the standard for a parameter and a kind of point, each with the span in which it is in force [ms]."""


@dataclass(frozen=True, slots=True)
class CompoundTables:
    """Arrays of `rules.layout`: those of one form stand side by side and are counted from its first."""

    compounds: npt.NDArray[np.void]
    leaves: npt.NDArray[np.void]
    nodes: npt.NDArray[np.void]
    zones: npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Subject:
    """Where a compound rule is judged: the series its findings speak of, and the point it stands at."""

    slot: int
    key: SeriesKey
    point: SamplingPoint


@dataclass(slots=True)
class CompoundRows:
    """Rows of a works under construction. Offsets of time zones are shared with others."""

    zones: list[tuple[int, int]]
    zone_rows: dict[str, tuple[int, int]]
    compounds: list[tuple[object, ...]] = field(default_factory=list)
    leaves: list[tuple[object, ...]] = field(default_factory=list)
    nodes: list[tuple[int, int]] = field(default_factory=list)
    leaf_names: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)

    def add(
        self, works: Works, rule: Rule, subject: Subject, slots: Mapping[SeriesKey, int], limits: Limits, timer: int
    ) -> float | None:
        """Add a rule of which `reachable` says that it can hold here; its bound, NaN where several decide.

        ``None`` if none of its conditions has a limit here: then it can never hold, and is left out.
        ``timer`` is the first of its two timers.
        """
        assert rule.when is not None
        build = _One(self, works, rule, subject, slots, limits)
        leaf_first, node_first = len(self.leaves), len(self.nodes)
        build.tree(rule.when, leaf_first)
        node_count = len(self.nodes) - node_first
        if len(self.leaves) == leaf_first:
            del self.nodes[node_first:]
            return None
        clear_first = len(self.nodes)
        if rule.clear is not None:
            build.tree(rule.clear, leaf_first)
        lead = self.leaves[leaf_first]
        self.compounds.append(
            (
                timer, leaf_first, len(self.leaves) - leaf_first, node_first, node_count, clear_first,
                len(self.nodes) - clear_first, 0, lead[0] if lead[0] != NO_SLOT else lead[1],
            )
        )  # fmt: skip
        leaves = list(leaves_of(rule.when))
        return float(lead[7]) if len(leaves) == 1 and isinstance(lead[7], float) else float("nan")

    def zone(self, name: str) -> tuple[int, int]:
        """First row and number of rows of a time zone's offsets."""
        found = self.zone_rows.get(name)
        if found is None:
            rows = _offsets(name)
            found = self.zone_rows[name] = (len(self.zones), len(rows))
            self.zones += rows
        return found


def slot_of(
    works: Works, signal: str, point: SamplingPoint, at: PointKind | None, slots: Mapping[SeriesKey, int]
) -> int:
    """The series of a signal: at the point itself, else anywhere in the works; with ``at``, only at points of that kind.

    A measuring cell's own flow is never taken from elsewhere.
    """
    name = works.disinfectant.residual if signal == "residual" else signal
    kinds = {one.id: one.kind for one in works.points}
    here = slots.get(SeriesKey(works.county, works.id, point.id, name or ""))
    if here is not None and at in (None, point.kind):
        return here
    if at is None and signal == "sample_flow":
        return NO_SLOT
    found = [key for key in slots if key.parameter == name and at in (None, kinds.get(key.point))]
    return slots[min(found)] if found else NO_SLOT


def reachable(works: Works, tree: Tree, subject: Subject, slots: Mapping[SeriesKey, int]) -> bool:
    """Whether a works has the instruments for a tree ever to hold: one it never had is not one that is silent."""
    if isinstance(tree, Condition):
        return all(slot_of(works, signal, subject.point, tree.at, slots) != NO_SLOT for signal in tree.signals)
    each = [reachable(works, part, subject, slots) for part in tree.parts]
    return any(each) if tree.is_any else all(each)


@dataclass(slots=True)
class _One:
    """A rule at a point."""

    rows: CompoundRows
    works: Works
    rule: Rule
    subject: Subject
    slots: Mapping[SeriesKey, int]
    limits: Limits

    def tree(self, tree: Tree, leaf_first: int) -> None:
        if isinstance(tree, Condition):
            self.leaf(tree, leaf_first)
            return
        parts = [part for part in tree.parts if reachable(self.works, part, self.subject, self.slots)]
        for part in parts:
            self.tree(part, leaf_first)
        self.rows.nodes.append((compound.NODE_ANY if tree.is_any else compound.NODE_ALL, len(parts)))

    def leaf(self, one: Condition, leaf_first: int) -> None:
        """A comparison; one leaf per edition where the standard gives the bound, of which that in force decides."""
        bounds = self.bounds(one)
        for bound, valid_from, valid_to in bounds:
            self.rows.nodes.append((compound.NODE_LEAF, len(self.rows.leaves) - leaf_first))
            self.row(one, bound, valid_from, valid_to)
        if len(bounds) != 1:
            self.rows.nodes.append((compound.NODE_ANY, len(bounds)))

    def bounds(self, one: Condition) -> list[tuple[float, int, int]]:
        if not isinstance(one.bound, str):
            return [(one.bound, -ALWAYS, ALWAYS)]
        (signal,) = one.signals
        name = self.works.disinfectant.residual if signal == "residual" else signal
        rows = self.limits(name or "", one.at or self.subject.point.kind)
        sides = [(row.max if one.bound == "limit.max" else row.min, start, end) for row, start, end in rows]
        return [(side, start, end) for side, start, end in sides if side is not None]

    def row(self, one: Condition, bound: float, valid_from: int, valid_to: int) -> None:
        operands = [self.operand(operand, one) for operand in one.operands]
        (slot_a, const_a), (slot_b, const_b) = (*operands, (NO_SLOT, 0.0))[:2]
        cadence = self.works.cadence_s * 1000
        window = SPAN_MS[one.average] if one.average else max(self.rule.for_ms, FEWEST_EXPECTED * cadence)
        sign = -1 if one.is_above else 1
        zone = self.rows.zone(self.works.time_zone) if one.average else (0, 0)
        self.rows.leaves.append(
            (
                slot_a, slot_b, const_a, const_b, ARITHMETIC[one.arithmetic],
                compound.MEAN if one.average else compound.INSTANT, one.is_above, bound,
                round(bound + sign * one.clear_margin, 9), valid_from, valid_to, window, max(1.0, window / cadence),
                self.rule.min_coverage, *zone,
            )
        )  # fmt: skip
        names, rank = self.rows.leaf_names, self.subject.slot
        number = sum((other, words[0]) == (rank, self.rule.id) for other, words in names)
        names.append((rank, (self.rule.id, self.rule.fingerprint, str(window), str(number))))

    def operand(self, operand: str | float, one: Condition) -> tuple[int, float]:
        if not isinstance(operand, str):
            return NO_SLOT, operand
        return slot_of(self.works, operand, self.subject.point, one.at, self.slots), 0.0


@lru_cache(maxsize=64)
def _offsets(name: str) -> list[tuple[int, int]]:
    """Offsets of a time zone from UTC [ms], each with the moment from which it holds."""
    zone = ZoneInfo(name)

    def offset(at: datetime) -> timedelta:
        return at.astimezone(zone).utcoffset() or timedelta()

    at, last = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC), datetime(LAST_YEAR, 1, 1, tzinfo=UTC)
    rows = [(-ALWAYS, _ms(offset(at)))]
    while at < last:
        following = at + timedelta(7)
        if offset(following) != offset(at):
            low, high = at, following
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) / 2
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            moment = high.replace(second=0, microsecond=0)
            rows.append((round(moment.timestamp() * 1000), _ms(offset(high))))
        at = following
    return rows


def _ms(span: timedelta) -> int:
    return round(span.total_seconds() * 1000)
