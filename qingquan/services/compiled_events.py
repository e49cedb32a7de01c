"""Compiles event detection in a process of its own, before a detector takes anything on.

python -m qingquan.services.compiled_events
"""

import contextlib
import os
from collections.abc import Callable

import numpy as np

from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.services.compiling import compile_apart, set_up_for_loops, work_apart
from qingquan.services.detector_watch import watched
from qingquan.standards.loader import load_standards
from rules.events.live import LONGEST_HOLD_MS, LiveReadings, LiveState, fold_readings

__all__ = ["compile_events", "compile_events_apart"]

READ_AT_MS = 1_780_272_000_000


def compile_events() -> None:
    """Judge one row of a works that nobody has. Which parameters a point has makes no difference to the code."""
    point = SamplingPoint("outlet", PointKind.OUTLET, "outlet", ("free_chlorine", "turbidity", "flow"))
    works = Works(
        county="000000", id="none", name="none", township="", disinfectant=Disinfectant.FREE_CHLORINE,
        equipment=Equipment.EQUIPPED, capacity_m3_d=100.0, population=1, points=(point,),
    )  # fmt: skip
    plan = watched([works], load_standards().parameters)
    place = [plan.place(("000000", "none", "outlet"), code) for code in point.parameters]
    at = np.full(len(place), READ_AT_MS)
    readings = LiveReadings(
        np.array([n for n, _ in place], np.int32), np.array([column for _, column in place], np.int16),
        at, np.full(len(place), 0.5), at,
    )  # fmt: skip
    state, held, thresholds = LiveState(plan), np.zeros(1, np.bool_), np.ones(1)
    fold_readings(readings, state, plan, READ_AT_MS, held, at[:1], thresholds)
    fold_readings(
        LiveReadings.none(), state, plan, READ_AT_MS + LONGEST_HOLD_MS, held, np.zeros(1, np.int64), thresholds
    )


def compile_events_apart(is_unwanted: Callable[[], bool] = lambda: False) -> None:
    """The same, by a process of its own unless it is done. Ends early once ``is_unwanted()``."""
    compile_apart("qingquan.services.compiled_events", "rules.events.kernel", is_unwanted)
    if not is_unwanted():
        set_up_for_loops()


if __name__ == "__main__":
    # Whoever judges comes first: on a first start the loop of the rules is compiled at the same time.
    with contextlib.suppress(AttributeError, OSError):
        os.nice(19)
    work_apart(compile_events)
