"""Which rows of an append are new, which repeat, which contradict. Pure: the stores only answer look-ups.

Identity of a reading is (series, observed_at). Per identity the first value is the reading, every further distinct
value is one conflict, and all the rest are duplicates. Hence the three totals depend on the set of rows alone, not on
their order or on how they were split into appends.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["NEVER", "Held", "Settled", "are_in_order", "canonical_bits", "settle", "stretches"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NEVER = np.iinfo(np.int64).min
"""Newest ``observed_at`` of a series that has no reading yet."""

_STRETCH_MS = 6 * 3_600_000
_MOST_STRETCHES = 16


@dataclass(frozen=True, slots=True)
class Held:
    """Answer of a store about identities: whether it holds them, and the value held (undefined where it does not)."""

    found: Mask
    value: Floats


@dataclass(frozen=True, slots=True)
class Settled:
    """Row numbers of an append. ``stored`` is ordered by series, then time; ``conflicts`` by row."""

    stored: Ints
    conflicts: Ints
    duplicates: int


def canonical_bits(value: Floats) -> Ints:
    """Values as integers that are equal exactly when the values count as equal: all NaN alike, -0.0 as 0.0."""
    canonical = np.where(np.isnan(value), np.nan, value + 0.0)
    return canonical.view(np.int64)


def settle(
    series: npt.NDArray[np.integer],
    observed_at: Ints,
    value: Floats,
    newest_at: Ints,
    held: Callable[[Ints], Held],
    is_known_conflict: Callable[[Ints], Mask],
) -> Settled:
    """Sort rows into new, duplicate and conflict.

    ``newest_at`` gives per series the newest ``observed_at`` held (`NEVER` = none): a later row is surely new, so in
    ordinary operation nothing is looked up. ``held`` and ``is_known_conflict`` take row numbers; the latter says
    whether the side table has that very value for that identity.
    """
    bits = canonical_bits(value)
    leaders, rivals, rivalled = _distinct(series, observed_at, bits)
    repeated = len(series) - len(leaders) - len(rivals)

    asked = leaders[observed_at[leaders] <= newest_at[series[leaders]]]
    is_held = np.zeros(len(series), bool)
    held_bits = np.zeros(len(series), np.int64)
    if len(asked):
        answer = held(asked)
        is_held[asked] = answer.found
        held_bits[asked] = canonical_bits(answer.value)

    old = leaders[is_held[leaders]]
    rival_of_old = is_held[rivalled]
    doubtful = np.concatenate(
        [
            old[bits[old] != held_bits[old]],
            rivals[rival_of_old & (bits[rivals] != held_bits[rivalled])],
        ]
    )
    fresh = doubtful[~is_known_conflict(doubtful)] if len(doubtful) else doubtful
    conflicts = np.sort(np.concatenate([fresh, rivals[~rival_of_old]]))
    stored = leaders[~is_held[leaders]]
    duplicates = repeated + len(old) + int(rival_of_old.sum()) - len(fresh)
    return Settled(stored, conflicts, duplicates)


def stretches(observed_at: Ints) -> list[Ints]:
    """Positions grouped by time, split at the widest gaps: a look-up group by group reads little, even where one
    device is months behind the others."""
    if not len(observed_at):
        return []
    order = np.argsort(observed_at, kind="stable")
    gaps = np.diff(observed_at[order])
    wide = np.flatnonzero(gaps > _STRETCH_MS)
    widest = np.sort(wide[np.argsort(gaps[wide])[-(_MOST_STRETCHES - 1) :]])
    return np.split(order, widest + 1)


def are_in_order(series: npt.NDArray[np.integer], observed_at: Ints) -> bool:
    """Whether rows ascend strictly by series, then time."""
    later = (series[1:] > series[:-1]) | ((series[1:] == series[:-1]) & (observed_at[1:] > observed_at[:-1]))
    return bool(later.all())


def _distinct(series: npt.NDArray[np.integer], observed_at: Ints, bits: Ints) -> tuple[Ints, Ints, Ints]:
    """Per identity its first row (leader), and the first row of every other value (rival) with its leader."""
    if are_in_order(series, observed_at):
        return np.arange(len(series)), np.empty(0, np.int64), np.empty(0, np.int64)
    order = np.lexsort((observed_at, series))  # stable: equal identities keep row order
    is_first = np.ones(len(order), bool)
    is_first[1:] = (np.diff(series[order]) != 0) | (np.diff(observed_at[order]) != 0)
    leaders = order[is_first]
    followers = order[~is_first]
    followed = leaders[(np.cumsum(is_first) - 1)[~is_first]]
    differs = bits[followers] != bits[followed]
    followers, followed = followers[differs], followed[differs]
    by_value = np.lexsort((followers, bits[followers], followed))
    followers, followed = followers[by_value], followed[by_value]
    is_first = np.ones(len(followers), bool)
    is_first[1:] = (np.diff(followed) != 0) | (np.diff(bits[followers]) != 0)
    return leaders, followers[is_first], followed[is_first]
