"""Event detection as a fold over readings as they come: rows are put together, judged, and runs of event rows become events.

Theory
------
A *row* is what a sampling point measured at one second. Readings of a row may come in several messages and out of order, so a row
waits until its works has measured `HOLD_MS` later; any split and order within that time gives the same events. A works one of whose
points sent a reading out of order, by up to `LONGEST_HOLD_MS`, waits that long for a day. What comes later still is judged at its own
time as long as its point has judged nothing newer, and counted as overtaken otherwise: the past of a filter cannot be changed. Event
rows of a point closer than `MERGE_MS` are one event.

A works that falls silent is not waited for: after `LONGEST_HOLD_MS` of the log's time its last rows are judged, and after `MERGE_MS` and
its lateness an open event is told as ended with its last event row. Should a row of that event still come, it goes on under its id.

Points with the same columns share a plan and one block of state each; everything else is flat arrays over points and works.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rules.events.detector import THRESHOLD, DetectorRows, step
from rules.events.live_plan import LivePlan, WatchedPoint
from rules.events.live_state import NEVER, LiveReadings, LiveState, Longs
from rules.events.operations import excused_rows

__all__ = [
    "HOLD_MS",
    "LEARNING_MS",
    "LONGEST_HOLD_MS",
    "MERGE_MS",
    "EventChange",
    "LivePlan",
    "LiveReadings",
    "LiveState",
    "WatchedPoint",
    "fold_readings",
]

HOLD_MS = 120_000
"""How long a row waits for the rest of its readings, in event time of its works."""
LONGEST_HOLD_MS = 600_000
"""The same for a works whose points have lately sent out of order; and how long a works must be silent before nothing more is waited for."""
DISORDER_MS = 86_400_000
"""How long a works is remembered to send out of order."""
MERGE_MS = 3_600_000
LEARNING_MS = 6 * 3_600_000
"""Of a point that is new nothing is told for so long: until its usual variation is known, slow changes look sudden."""


@dataclass(frozen=True, slots=True)
class EventChange:
    """An event that began, grew or ended. ``end`` is its last event row, ``None`` while it lasts; times in ms.

    ``contributors``: columns with their share of the votes, largest first. ``held``: disinfection was not OK during it.
    """

    key: tuple[str, str, str]
    start: int
    end: int | None
    evidence_at: int
    peak: float
    contributors: tuple[tuple[str, float], ...]
    late: bool
    held: bool


def fold_readings(
    readings: LiveReadings,
    state: LiveState,
    plan: LivePlan,
    now: int,
    held: npt.NDArray[np.bool_] | None = None,
    lateness: Longs | None = None,
    thresholds: npt.NDArray[np.float64] | None = None,
) -> list[EventChange]:
    """Take readings, or none to let time pass; what changed about events. ``state`` is carried forward in place.

    Parameters
    ----------
    now : int
        Time of the log [ms]: when the newest message was received, or later if there is none.
    held : (works,) bool
        Disinfection not OK: nothing is learnt, nothing times out.
    lateness : (works,) int64
        Lateness window [ms]: age on arrival from which an event's first row is late. Without it none is, and the window is
        `LONGEST_HOLD_MS`.
    thresholds : (points,) float64
        Score from which a row is an event, `THRESHOLD` unless users' marks raised it.
    """
    windows = np.full(max(plan.works, 1), LONGEST_HOLD_MS, np.int64) if lateness is None else lateness
    ready = _ready(readings, state, plan, now, windows)
    changes = _judged(ready, state, plan, held, lateness, thresholds) if len(ready.at) else []
    return changes + _fallen_silent(state, plan, now, windows)


def _judged(
    ready: LiveReadings, state: LiveState, plan: LivePlan, held: npt.NDArray[np.bool_] | None, lateness: Longs | None,
    thresholds: npt.NDArray[np.float64] | None,
) -> list[EventChange]:  # fmt: skip
    point, at, row_of = _rows(ready)
    received = np.full(len(at), NEVER, np.int64)
    np.maximum.at(received, row_of, ready.received)
    works = plan.works_of[point]
    excused = _excused(ready, row_of, works, at, state, plan)
    is_held = np.zeros(len(at), np.bool_) if held is None else held[works]
    score, votes = np.zeros(len(at), np.float32), np.zeros((len(at), plan.width), np.uint8)
    shape = plan.shape_of[point]
    quality = ready.column < plan.width
    values = np.full((len(at), plan.width), np.nan)
    # The first of two readings of one second stays.
    values[row_of[quality][::-1], ready.column[quality][::-1]] = ready.value[quality][::-1]
    for n, one in enumerate(plan.plans):
        chosen = np.flatnonzero(shape == n) if len(plan.plans) > 1 else np.arange(len(at))
        if not len(chosen):
            continue
        width = len(one.columns)
        rows = DetectorRows(
            plan.block_of[point[chosen]], at[chosen], np.ascontiguousarray(values[chosen, :width]), excused[chosen],
            is_held[chosen],
        )  # fmt: skip
        verdicts = step(rows, state.detectors[n], one)
        score[chosen], votes[chosen, :width] = verdicts.score, verdicts.votes
    last_of = np.r_[point[1:] != point[:-1], True]
    state.points["judged"][point[last_of]] = at[last_of]
    first_of = np.r_[True, last_of[:-1]]
    is_new = first_of & (state.points["first"][point] == NEVER)
    state.points["first"][point[is_new]] = at[is_new]
    limit = THRESHOLD if thresholds is None else thresholds[point]
    event = (score >= limit) & (at - state.points["first"][point] >= LEARNING_MS)
    return _changes(point, at, score, votes, event, is_held, received - at, state, plan, lateness)


def _ready(readings: LiveReadings, state: LiveState, plan: LivePlan, now: int, windows: Longs) -> LiveReadings:
    """Readings of rows that are complete, in the order of points and times; the others wait in the state."""
    _notice_disorder(readings, state, plan, windows)
    np.maximum.at(state.heard, plan.works_of[readings.point], readings.received)
    all_of, state.waiting = state.waiting.with_more(readings), LiveReadings.none()
    fresh = all_of.at > state.points["judged"][all_of.point]
    state.overtaken += int(len(fresh) - fresh.sum())
    if not fresh.all():
        all_of = all_of.of(fresh)
    works = plan.works_of[all_of.point]
    np.maximum.at(state.newest, works, all_of.at)
    holds = np.where(state.newest < state.disorder, np.minimum(LONGEST_HOLD_MS, windows), HOLD_MS)
    is_silent = now - state.heard >= LONGEST_HOLD_MS
    is_ready = (all_of.at <= (state.newest - holds)[works]) | is_silent[works]
    state.waiting = all_of.of(~is_ready)
    ready = all_of.of(is_ready)
    if not len(ready.at):
        return ready
    return ready.of(np.lexsort((ready.at, ready.point)))


def _notice_disorder(readings: LiveReadings, state: LiveState, plan: LivePlan, windows: Longs) -> None:
    """Remember works one of whose points sent a reading after a newer one, by so much that rows would soon miss some."""
    if not len(readings.at):
        return
    if (readings.at[1:] >= readings.at[:-1]).all() and (readings.at >= state.points["newest"][readings.point]).all():
        # Nothing is behind anything: the usual case needs no sorting.
        np.maximum.at(state.points["newest"], readings.point, readings.at)
        return
    order = np.argsort(readings.point, kind="stable")
    point, at = readings.point[order], readings.at[order]
    begins = np.r_[True, point[1:] != point[:-1]]
    # Running maximum of every point: each stretch is lifted above the one before it.
    span = int(at.max() - at.min()) + 1
    lift = (np.cumsum(begins) - 1) * span
    running = np.maximum.accumulate(at + lift) - lift
    before = np.where(begins, NEVER, np.r_[NEVER, running[:-1]])
    behind = np.maximum(before, state.points["newest"][point]) - at
    np.maximum.at(state.points["newest"], point, at)
    works = plan.works_of[point]
    # Older than the window is a buffered upload, which is in order by itself.
    is_late = (behind > HOLD_MS // 2) & (behind <= np.minimum(LONGEST_HOLD_MS, windows)[works])
    np.maximum.at(state.disorder, works[is_late], at[is_late] + DISORDER_MS)


def _rows(ready: LiveReadings) -> tuple[Longs, Longs, Longs]:
    """Point and time of every row, and the row of every reading."""
    seconds = ready.at // 1000
    begins = np.r_[True, (ready.point[1:] != ready.point[:-1]) | (seconds[1:] != seconds[:-1])]
    return ready.point[begins].astype(np.int64), ready.at[begins], np.cumsum(begins) - 1


def _excused(
    ready: LiveReadings, row_of: Longs, works: Longs, at: Longs, state: LiveState, plan: LivePlan
) -> npt.NDArray[np.bool_]:
    """Rows shortly after a pump start or a backwash of their works, seen at whatever point."""
    flows = np.full((len(at), plan.flows), np.nan)
    operational = ready.column >= plan.width
    flows[row_of[operational], ready.column[operational] - plan.width] = ready.value[operational]
    order = np.lexsort((at, works))
    excused = np.zeros(len(at), np.bool_)
    excused[order] = excused_rows(at[order], flows[order], state.operations, works[order])
    return excused


def _changes(
    point: Longs, at: Longs, score: npt.NDArray[np.float32], votes: npt.NDArray[np.uint8], event: npt.NDArray[np.bool_],
    held: npt.NDArray[np.bool_], age: Longs, state: LiveState, plan: LivePlan, lateness: Longs | None,
) -> list[EventChange]:  # fmt: skip
    """Follow the rows of open and beginning events, which are few."""
    ended: list[EventChange] = []
    stirred: dict[int, int] = {}
    matters = event | (state.points["start"] > NEVER)[point]
    # A point whose event begins in these rows is followed through the rest of them.
    matters |= np.isin(point, np.unique(point[event]))
    for i in np.flatnonzero(matters).tolist():
        n, t = int(point[i]), int(at[i])
        one = state.points[n]
        if one["start"] > NEVER and t - one["last"] > MERGE_MS:
            ended.append(_change(plan, state, n, is_over=True))
            one["start"], stirred[n] = NEVER, 0
        if not event[i]:
            continue
        if one["start"] == NEVER:
            one["start"], one["peak"], one["held"] = t, 0.0, 0
            one["late"] = lateness is not None and age[i] > lateness[plan.works_of[n]]
            state.votes[n] = 0
        one["last"], one["silent"] = t, 0
        one["peak"] = max(one["peak"], score[i])
        one["held"] |= bool(held[i])
        state.votes[n] += votes[i]
        stirred[n] = 1
    for n, is_open in stirred.items():
        if is_open:
            ended.append(_change(plan, state, n, is_over=False))
    return ended


def _fallen_silent(state: LiveState, plan: LivePlan, now: int, windows: Longs) -> list[EventChange]:
    """Open events of points, or whole works, of which nothing more came: told as ended, and kept in case a row still comes."""
    points = state.points
    is_open = np.flatnonzero((points["start"] > NEVER) & (points["silent"] == 0))
    works = plan.works_of[is_open]
    patience = MERGE_MS + windows[works]
    by_log, by_works = now - state.heard[works] > patience, state.newest[works] - points["last"][is_open] > patience
    ended = is_open[by_log | by_works]
    points["silent"][ended] = 1
    return [_change(plan, state, n, is_over=True) for n in ended.tolist()]


def _change(plan: LivePlan, state: LiveState, n: int, *, is_over: bool) -> EventChange:
    one, columns = state.points[n], plan.points[n].columns
    votes = state.votes[n, : len(columns)]
    total = max(int(votes.sum()), 1)
    order = np.argsort(-votes, kind="stable")
    behind = tuple((columns[j], round(int(votes[j]) / total, 3)) for j in order if 2 * votes[j] >= max(votes.max(), 1))
    last = int(one["last"])
    return EventChange(
        plan.points[n].key, int(one["start"]), last if is_over else None, last, float(one["peak"]), behind,
        bool(one["late"]), bool(one["held"]),
    )  # fmt: skip
