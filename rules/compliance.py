"""Time-weighted compliance of readings with their limit, many series-days in one call. Pure.

A usable reading speaks for the time until the next reading, but never longer than the hold: after that nothing is known.
Missing, suspect, failed and held-out readings end what was known before them and begin unknown time, so silence and doubt
never count as a pass.

For a limit on the mean over an hour, four hours or a day the readings are averaged over windows of that length first,
counted from the period's start; a window of which too little is known is unknown as a whole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Limit, LimitKind

__all__ = ["MIN_COVERAGE", "STATISTICS", "WINDOWS_MS", "Bound", "Tasks", "bound_of", "statistics", "usable_readings"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MIN_COVERAGE = 0.6
"""Least share of a period or window that must be known for a verdict of "compliant"; also for a mean."""

HOUR_MS = 3_600_000
WINDOWS_MS = {"hour": HOUR_MS, "4h": 4 * HOUR_MS}
"""Length of the averaging window by basis of the limit; ``day`` and longer are judged on the period's mean."""

STATISTICS = np.dtype(
    [
        ("received", "i8"), ("usable", "i8"), ("met", "i8"), ("compliant_ms", "i8"), ("exceeding_ms", "i8"),
        ("integral", "f8"), ("worst", "f8"), ("worst_at", "i8"), ("longest_ms", "i8"), ("episodes", "i8"),
        ("head_ms", "i8"), ("tail_ms", "i8"),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bound:
    """What a value must keep to, both ends included; infinite where a side is open."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Tasks:
    """One row per series and period; all arrays have the same length m.

    start, end : int64, bounds of the period [ms]
    hold : int64, how long a reading speaks at most [ms]
    window : int64, averaging window [ms], 0 = judge every value
    low, high : float64, the bounds
    """

    start: Ints
    end: Ints
    hold: Ints
    window: Ints
    low: Floats
    high: Floats


def bound_of(limit: Limit) -> Bound:
    """A limit as two inclusive bounds: a strict one excludes its own value, and nothing but 0 meets "not detected"."""
    if limit.kind is LimitKind.ABSENT:
        return Bound(0.0, 0.0)
    high = math.inf if limit.max is None else limit.max
    if limit.kind is LimitKind.MAX_STRICT:
        high = math.nextafter(high, -math.inf)
    return Bound(-math.inf if limit.min is None else limit.min, high)


def usable_readings(
    observed_at: Ints,
    value: Floats,
    flag: npt.NDArray[np.uint8],
    held_out: Sequence[tuple[int, int]] = (),
    lost_below: float = -math.inf,
) -> Mask:
    """Which readings of one series may be judged.

    Not those missing (NaN or flag 9), suspect (3) or failed (4), nor those in a span [from, to) where the instrument was
    found out of order. A value below ``lost_below`` stays: a residual that stands still near zero is a loss until
    disproved, and must not become unknown.
    """
    usable = ~(np.isnan(value) | np.isin(flag, (Flag.SUSPECT, Flag.FAIL, Flag.MISSING)))
    for begin, until in held_out:
        usable &= ~((observed_at >= begin) & (observed_at < until) & ~(value < lost_below))
    return usable


def statistics(tasks: Tasks, first: Ints, observed_at: Ints, value: Floats, usable: Mask) -> npt.NDArray[np.void]:
    """Statistics of every task.

    Parameters
    ----------
    tasks : Tasks
        m periods of series.
    first : (m + 1,) int64
        Rows first[i] .. first[i + 1] belong to task i.
    observed_at, value, usable : (n,)
        Readings, ascending by time within a task. Those before the period's start tell what it begins with.

    Returns
    -------
    (m,) `STATISTICS`
        ``worst`` is NaN and ``worst_at`` -1 without a usable reading in the period (or, for means, a window known well
        enough). ``integral`` is value x time over the known part [unit·ms].

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if len(first) != len(tasks.start) + 1 or not len(observed_at) == len(value) == len(usable):
        raise ValueError("tasks, offsets and readings do not fit each other")
    out = np.zeros(len(tasks.start), STATISTICS)
    _walk(
        out, first, observed_at, value, usable, tasks.start, tasks.end, tasks.hold, tasks.window, tasks.low, tasks.high,
        MIN_COVERAGE,
    )  # fmt: skip
    return out


@njit(cache=True)
def _excess(value, low, high):  # type: ignore[no-untyped-def]
    """How far beyond the nearer bound, as a share of the bound; negative inside."""
    over = -np.inf
    if high < np.inf:
        over = (value - high) / (abs(high) if high != 0.0 else 1.0)
    if low > -np.inf:
        over = max(over, (low - value) / (abs(low) if low != 0.0 else 1.0))
    return over


@njit(cache=True)
def _span(row, start, since, until, value, low, high):  # type: ignore[no-untyped-def]
    """Count a stretch of known value; ``since``: where the exceedance under way began, -1 = none. Returns the next one."""
    length = until - start
    if low <= value <= high:
        row["compliant_ms"] += length
        return -1
    row["exceeding_ms"] += length
    if since < 0:
        row["episodes"] += 1
        since = start
    if until - since > row["longest_ms"]:
        row["longest_ms"] = until - since
    return since


@njit(cache=True)
def _walk(out, first, at, value, usable, starts, ends, holds, windows, lows, highs, min_coverage):  # type: ignore[no-untyped-def]
    for task in range(len(starts)):
        row = out[task]
        start, end, hold, window = starts[task], ends[task], holds[task], windows[task]
        low, high = lows[task], highs[task]
        row["worst"] = np.nan
        row["worst_at"] = -1
        worst = -np.inf
        count = (end - start + window - 1) // window if window > 0 else 0
        known = np.zeros(count, np.int64)
        area = np.zeros(count, np.float64)
        since = -1
        reached = start
        head = True
        last = first[task + 1]
        for i in range(first[task], last):
            if at[i] >= end:
                break
            if at[i] >= start:
                row["received"] += 1
                if usable[i]:
                    row["usable"] += 1
                    if low <= value[i] <= high:
                        row["met"] += 1
                    if window == 0:
                        excess = _excess(value[i], low, high)
                        if excess > worst:
                            worst = excess
                            row["worst"] = value[i]
                            row["worst_at"] = at[i]
            if not usable[i]:
                continue
            begin = max(at[i], start)
            until = min(at[i] + hold, end)
            if i + 1 < last:
                until = min(until, at[i + 1])
            if until <= begin:
                continue
            row["integral"] += value[i] * (until - begin)
            if window > 0:
                cursor = begin
                while cursor < until:
                    n = (cursor - start) // window
                    stop = min(until, start + (n + 1) * window)
                    known[n] += stop - cursor
                    area[n] += value[i] * (stop - cursor)
                    cursor = stop
                continue
            if begin > reached:
                since = -1
                head = False
            since = _span(row, begin, since, until, value[i], low, high)
            reached = until
            if head:
                if since >= 0:
                    row["head_ms"] = until - start
                else:
                    head = False
        for n in range(count):
            begin = start + n * window
            until = min(begin + window, end)
            if known[n] < min_coverage * (until - begin) or known[n] == 0:
                since = -1
                head = False
                continue
            mean = area[n] / known[n]
            excess = _excess(mean, low, high)
            if excess > worst:
                worst = excess
                row["worst"] = mean
                row["worst_at"] = begin
            since = _span(row, begin, since, until, mean, low, high)
            reached = until
            if head:
                if since >= 0:
                    row["head_ms"] = until - start
                else:
                    head = False
        if since >= 0 and reached >= end:
            row["tail_ms"] = end - since
