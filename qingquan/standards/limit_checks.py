"""What must hold between the rows of the tables of limits. Every fault names file and line of the row to mend."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise

from qingquan.domain.parameters import Limit, LimitKind, SupplyClass
from qingquan.standards.tables import Placed

__all__ = ["duplicate_faults", "limit_faults", "reference_faults"]

DISINFECTANT_POINTS = ("outlet", "network_end")
DAY = timedelta(1)


def duplicate_faults(what: str, names: Iterable[tuple[str, str]]) -> list[str]:
    """A fault for every name (``place``, ``name``) that stands a second time."""
    first: dict[str, str] = {}
    faults = []
    for place, name in names:
        if name in first:
            faults.append(f"{place}: {what} {name!r} stands already at {first[name]}")
        first.setdefault(name, place)
    return faults


def limit_faults(
    limits: Sequence[Placed[Limit]],
    parameter_units: Mapping[str, str],
    quantities: Mapping[str, str],
    *,
    is_whole: bool = True,
) -> list[str]:
    """Faults of the rows that bind: doubled ids, units, overlaps, gaps, relaxations without a row to relax.

    Parameters
    ----------
    parameter_units
        Canonical unit of each online parameter; a limit must be written in it.
    quantities
        Units a limit may be written in.
    is_whole
        Whether nothing else speaks of what these rows leave out, as the base of an override does.
    """
    faults = duplicate_faults("id", ((one.place, one.row.id) for one in limits))
    faults += _unit_faults(limits, parameter_units, quantities)
    faults += _one_value_faults("group", ((one, one.row.code, one.row.group) for one in limits))
    groups = _grouped(limits)
    for rows in groups.values():
        faults += _period_faults(rows, gaps=True)
    faults += _relaxation_faults(limits)
    return faults + (_place_faults(limits) if is_whole else [])


def reference_faults(
    limits: Sequence[Placed[Limit]], parameter_units: Mapping[str, str], quantities: Mapping[str, str]
) -> list[str]:
    """Faults of the rows that only inform. Several may speak of one parameter, each with its own aim and basis."""
    faults = duplicate_faults("id", ((one.place, one.row.id) for one in limits))
    faults += _unit_faults(limits, parameter_units, quantities)
    by_aim: dict[Hashable, list[Placed[Limit]]] = {}
    for one in limits:
        by_aim.setdefault((one.row.standard, _key(one.row), one.row.group, one.row.basis, one.row.kind), []).append(one)
    for rows in by_aim.values():
        faults += _period_faults(rows, gaps=False)
    return faults


def _key(limit: Limit) -> tuple[str, ...]:
    return limit.code, limit.point, limit.supply, limit.condition


def _grouped(limits: Iterable[Placed[Limit]]) -> dict[tuple[str, ...], list[Placed[Limit]]]:
    groups: dict[tuple[str, ...], list[Placed[Limit]]] = {}
    for one in limits:
        groups.setdefault(_key(one.row), []).append(one)
    return groups


def _unit_faults(
    limits: Sequence[Placed[Limit]], parameter_units: Mapping[str, str], quantities: Mapping[str, str]
) -> list[str]:
    faults = []
    for one in limits:
        unit, canonical = one.row.unit, parameter_units.get(one.row.code)
        if canonical is not None and unit != canonical:
            faults.append(f"{one.place}: unit {unit!r} of {one.row.code}: the parameter's unit is {canonical!r}")
        elif unit not in quantities:
            faults.append(f"{one.place}: unit {unit!r}: allowed: {', '.join(quantities)}")
    return faults + _one_value_faults("unit", ((one, one.row.code, one.row.unit) for one in limits))


def _one_value_faults(what: str, values: Iterable[tuple[Placed[Limit], str, str]]) -> list[str]:
    """All rows of a code must agree."""
    first: dict[str, tuple[str, str]] = {}
    faults = []
    for one, code, value in values:
        known, place = first.setdefault(code, (value, one.place))
        if value != known:
            faults.append(f"{one.place}: {what} {value!r} of {code}: {place} has {known!r}")
    return faults


def _period_faults(rows: Sequence[Placed[Limit]], *, gaps: bool) -> list[str]:
    faults = []
    ordered = sorted(rows, key=lambda one: (one.row.valid_from, one.place))
    for before, after in pairwise(ordered):
        end = before.row.valid_to or date.max
        if after.row.valid_from <= end:
            faults.append(
                f"{after.place}: {after.row.id} is in force at the same time as {before.row.id} ({before.place})"
            )
        elif gaps and after.row.valid_from > end + DAY:
            first, last = end + DAY, after.row.valid_from - DAY
            faults.append(
                f"{after.place}: no row of {after.row.code} is in force from {first} to {last}, after {before.row.id}"
            )
    return faults


def _relaxation_faults(limits: Sequence[Placed[Limit]]) -> list[str]:
    """A relaxed row needs the row it relaxes, with the same period of force, and must not be the stricter of the two."""
    faults = []
    general = {
        (one.row.code, one.row.point, one.row.valid_from, one.row.valid_to): one.row
        for one in limits
        if one.row.supply is SupplyClass.ANY and not one.row.condition
    }
    for one in limits:
        row = one.row
        if row.supply is SupplyClass.ANY and not row.condition:
            continue
        relaxed = general.get((row.code, row.point, row.valid_from, row.valid_to))
        if relaxed is None:
            faults.append(
                f"{one.place}: {row.id} relaxes no row: none of {row.code} has the same point and dates of force"
            )
        elif not _is_wider(row, relaxed):
            faults.append(f"{one.place}: {row.id} is no relaxation of {relaxed.id}: it is not wider")
    return faults


def _is_wider(row: Limit, other: Limit) -> bool:
    if row.kind is LimitKind.ABSENT or other.kind is LimitKind.ABSENT:
        return other.kind is LimitKind.ABSENT and row.kind is not LimitKind.ABSENT
    low, other_low = (one.min if one.min is not None else float("-inf") for one in (row, other))
    high, other_high = (one.max if one.max is not None else float("inf") for one in (row, other))
    return low <= other_low and high >= other_high and (low, high) != (other_low, other_high)


def _place_faults(limits: Sequence[Placed[Limit]]) -> list[str]:
    """Table 2 bounds a residual at the outlet and at the network end; a row for one alone leaves the other unjudged."""
    held: dict[tuple[str, date, date | None], dict[str, Placed[Limit]]] = {}
    for one in limits:
        if one.row.group == "disinfectant":
            held.setdefault((one.row.code, one.row.valid_from, one.row.valid_to), {})[one.row.point] = one
    return [
        f"{one.place}: {one.row.id} has no row beside it for the {point} with the same dates of force"
        for points in held.values()
        for one in [next(iter(points.values()))]
        for point in DISINFECTANT_POINTS
        if point not in points and "any" not in points
    ]
