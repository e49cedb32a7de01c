"""Rollup levels of a series store: which buckets an append touches, and which levels answer a question exactly. Pure.

A bucket of a series is closed once the series has a reading beyond it. Closed buckets stand in the rollup of their level;
the open one is computed from the readings when it is asked for. A late reading touches closed buckets, which are then
computed anew; a duplicate or a conflict touches none, because the first value of a time stays.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qingquan.store.series.identity import NEVER

__all__ = ["LEVELS", "Closed", "Level", "Piece", "Touched", "closed_by", "pieces", "touched"]

Ints = npt.NDArray[np.int64]

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Level(NamedTuple):
    """A rollup: its table, length of its buckets [ms], and how much is put in order of series at once [ms]."""

    table: str
    step: int
    block: int


LEVELS = (
    Level("rollup_5min", 5 * MINUTE, 2 * DAY),
    Level("rollup_1h", HOUR, 32 * DAY),
    Level("rollup_1d", DAY, 512 * DAY),
)
"""From fine to coarse; each is a multiple of the one before. Buckets are aligned to the epoch, days therefore to UTC."""


Closed = Callable[[Level], int]
"""Until when a level's buckets stand in its rollup [ms]."""


class Touched(NamedTuple):
    """Closed buckets to be computed; ``is_held``: the rollup may hold it already."""

    series: Ints
    bucket: Ints
    is_held: npt.NDArray[np.bool_]


class Piece(NamedTuple):
    """A stretch start <= t < end to be read from a level, or from the readings (``None``)."""

    level: Level | None
    start: int
    end: int


def touched(level: Level, series: Ints, observed_at: Ints, newest_at: Ints, frozen_before: int) -> Touched:
    """Buckets that these new readings close or change.

    Parameters
    ----------
    series, observed_at : (n,)
        New readings in order of series, then time.
    newest_at
        Newest time held by series number before them (`NEVER` = none).
    frozen_before
        Buckets before are never computed again: their readings are no longer kept [ms].
    """
    if not len(series):
        return Touched(series, observed_at, np.zeros(0, bool))
    last = np.flatnonzero(np.concatenate([series[1:] != series[:-1], [True]]))
    place = np.searchsorted(series[last], series)
    before = newest_at[series[last]]
    after = np.maximum(before, observed_at[last])
    open_before = np.where(before == NEVER, NEVER, before // level.step * level.step)
    open_after = after // level.step * level.step
    bucket = observed_at // level.step * level.step
    is_closed = bucket < open_after[place]
    left = (before != NEVER) & (open_before < open_after)
    pairs = np.concatenate(
        [
            np.stack([series[is_closed], bucket[is_closed]], axis=1),
            np.stack([series[last][left], open_before[left]], axis=1),
        ]
    ).astype(np.int64)
    pairs = pairs[pairs[:, 1] >= frozen_before]
    if not len(pairs):
        return Touched(np.empty(0, np.int64), np.empty(0, np.int64), np.zeros(0, bool))
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    pairs = pairs[order]
    is_new = np.concatenate([[True], (np.diff(pairs, axis=0) != 0).any(axis=1)])
    pairs = pairs[is_new]
    held_until = open_before[np.searchsorted(series[last], pairs[:, 0])]
    return Touched(pairs[:, 0], pairs[:, 1], pairs[:, 1] < held_until)


def closed_by(newest_at: int, frozen_before: int) -> Closed:
    """Until when each level is closed, for a series whose newest reading is at ``newest_at``; before ``frozen_before`` all are."""
    return lambda level: max(newest_at // level.step * level.step, frozen_before)


def pieces(start: int, end: int, step: int, closed: Closed, levels: Sequence[Level] = LEVELS) -> list[Piece]:
    """How a series is read between two times by a step: the coarsest level that divides the step, as far as it is closed,
    finer ones and readings at the edges."""
    if start >= end:
        return []
    fitting = [level for level in levels if step % level.step == 0]
    if not fitting:
        return [Piece(None, start, end)]
    coarsest, finer = fitting[-1], fitting[:-1]
    first = -(-start // coarsest.step) * coarsest.step
    last = min(end // coarsest.step * coarsest.step, closed(coarsest))
    if last <= first:
        return pieces(start, end, step, closed, finer)
    return [
        *pieces(start, first, step, closed, finer),
        Piece(coarsest, first, last),
        *pieces(last, end, step, closed, finer),
    ]
