"""How fast event detection is, live and alone: works with five series each, a reading a minute, all settings of the vote."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from rules.events.detector import DetectorPlan, DetectorRows, DetectorState, SeriesFloor, new_state, step
from rules.events.live import LiveReadings, LiveState, fold_readings
from rules.events.live_plan import LivePlan, WatchedPoint
from rules.events.settings import VOTE

__all__ = ["run_events"]

SERIES = 5
START_S = 1_767_225_600
COLUMNS = tuple(f"series{n}" for n in range(SERIES))
FLOORS = (SeriesFloor(0.01),) * SERIES


def run_events(
    works: int = 5_840, rounds: int = 30, *, say: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Readings and rows per second on one core, best of three parts of the rounds, and the memory of the state.

    ``readings_per_s`` and ``rows_per_s`` are live: readings in the order in which they arrive are put together to rows, the rows judged,
    events followed. ``detection_per_s`` is the detection alone. Both see the same values. Processor time of one thread.
    """
    plan, state = DetectorPlan(COLUMNS, FLOORS), new_state(DetectorPlan(COLUMNS, FLOORS), works)
    live = LivePlan([WatchedPoint(("520425", f"W{n}", "outlet"), n, COLUMNS, FLOORS) for n in range(works)])
    follows = LiveState(live)
    rng = np.random.default_rng(1)
    level = rng.uniform(0.3, 8.0, (works, SERIES))
    arrival = rng.permutation(works)
    told, alone, judged = [], [], []
    for n in range(rounds):
        values = level + rng.normal(0, 0.01, level.shape)
        values[::50, 0] += 0.5 * (n >= rounds // 2)
        at = (START_S + 60 * n) * 1000
        before = int(follows.points["judged"].sum())
        told.append(_live(values, at, arrival, follows, live))
        judged.append(works if int(follows.points["judged"].sum()) != before else 0)
        alone.append(_alone(values, at, state, plan))
        say(f"round {n + 1} of {rounds}")
    # The first rounds wait for the rest of their rows, and compile.
    first = next((n for n, count in enumerate(judged) if count), 0) + 1
    rows, detection = _best(told[first:], works), _best(alone[first:], works)
    return {
        "works": works, "settings": len(VOTE), "readings_per_s": round(rows * SERIES), "rows_per_s": round(rows),
        "detection_per_s": round(detection * SERIES),
        "state_bytes_per_series": round((state.series.nbytes + state.tracks.nbytes) / len(state.series)),
    }  # fmt: skip


def _live(values: np.ndarray, at: int, arrival: np.ndarray, state: LiveState, plan: LivePlan) -> float:
    count = len(values) * SERIES
    point, column = np.repeat(arrival, SERIES), np.tile(np.arange(SERIES, dtype=np.int16), len(values))
    when = np.full(count, at)
    readings = LiveReadings(point, column, when, values[point, column], when)
    began = time.thread_time()
    fold_readings(readings, state, plan, at)
    return time.thread_time() - began


def _alone(values: np.ndarray, at: int, state: DetectorState, plan: DetectorPlan) -> float:
    works = len(values)
    none = np.zeros(works, np.bool_)
    rows = DetectorRows(np.arange(works, dtype=np.int64), np.full(works, at), values, none, none)
    began = time.thread_time()
    step(rows, state, plan)
    return time.thread_time() - began


def _best(spent: Sequence[float], works: int) -> float:
    """Rows per second of the best third."""
    part = max(1, len(spent) // 3)
    best = min(sum(spent[first : first + part]) for first in range(0, len(spent) - part + 1, part))
    return works * part / best
