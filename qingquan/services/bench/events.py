"""How fast event detection is: works with five series each, a reading a minute, all settings of the vote."""

import time
from collections.abc import Callable

import numpy as np

from rules.events.detector import DetectorPlan, DetectorRows, SeriesFloor, new_state, step
from rules.events.settings import VOTE

__all__ = ["run_events"]

SERIES = 5
START_S = 1_767_225_600


def run_events(
    works: int = 5_840, rounds: int = 30, *, say: Callable[[str], None] = lambda _: None
) -> dict[str, float]:
    """Readings per second on one core, best of three parts of the rounds, and the memory of the state."""
    plan = DetectorPlan(tuple(f"series{n}" for n in range(SERIES)), (SeriesFloor(0.01),) * SERIES)
    state = new_state(plan, works)
    rng = np.random.default_rng(1)
    block = np.arange(works, dtype=np.int64)
    none = np.zeros(works, np.bool_)
    level = rng.uniform(0.3, 8.0, (works, SERIES))
    spent = []
    for n in range(rounds):
        values = level + rng.normal(0, 0.01, level.shape)
        values[::50, 0] += 0.5 * (n >= rounds // 2)
        rows = DetectorRows(block, np.full(works, (START_S + 60 * n) * 1000), values, none, none)
        began = time.perf_counter()
        step(rows, state, plan)
        spent.append(time.perf_counter() - began)
        say(f"round {n + 1} of {rounds}")
    part = max(1, rounds // 3)
    best = min(sum(spent[first : first + part]) for first in range(0, rounds - part + 1, part))
    return {
        "works": works, "settings": len(VOTE), "readings_per_s": round(works * SERIES * part / best),
        "state_bytes_per_series": round((state.series.nbytes + state.tracks.nbytes) / len(state.series)),
    }  # fmt: skip
