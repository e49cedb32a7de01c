# mypy: allow-untyped-calls
"""Operations that explain changes: for 30 min after the flow of a works starts again, changes of quality start no event. Pure, causal.

A start is one after at least 5 min without flow: a meter that reads 0 for a minute while it is serviced is no pump stop, nor is one of
two lines taken over by the other, so lines are added up first (`total_flow`). A works whose pump starts all day would otherwise never be watched, so excuses are rationed: a third of the time, at most 8 h at once.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

__all__ = ["Operations", "excused_rows", "new_operations", "total_flow"]

EXCUSED_S = 1800
STOPPED, RUNNING = 0.05, 0.2
"""Shares of the usual level: at or below the first a flow has stopped, above the second it runs, between them it is as before."""
STOOD_S = 300
"""How long it must have stood for its start to explain anything."""
USUAL_S = 86_400.0
RATION = 0.5
"""Excuse earned per time without one: a third of all time."""
MOST_S = 28_800.0

OPERATION = np.dtype(
    [("usual", np.float64), ("last", np.int64), ("since", np.int64), ("stopped", np.uint8), ("known", np.uint8)],
    align=True,
)
EXCUSE = np.dtype([("until", np.int64), ("last", np.int64), ("credit", np.float64)], align=True)


@dataclass(frozen=True, slots=True)
class Operations:
    """State of the flows of one works; changed by the fold."""

    flows: npt.NDArray[np.void]
    excuse: npt.NDArray[np.void]


def new_operations(columns: int, works: int = 1) -> Operations:
    """Nothing read yet; the whole ration is there. Flows of several works lie in blocks of ``columns``."""
    excuse = np.zeros(works, EXCUSE)
    excuse["until"] = excuse["last"] = -(2**62)
    excuse["credit"] = MOST_S
    return Operations(np.zeros(columns * works, OPERATION), excuse)


def total_flow(flows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n,) sum of the lines of a works, of (n, k) meters; NaN where one is missing, or without meters."""
    return flows.sum(axis=1) if flows.shape[1] else np.full(len(flows), np.nan)


def excused_rows(
    observed_at: npt.NDArray[np.int64],
    flows: npt.NDArray[np.float64],
    state: Operations,
    works: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.bool_]:
    """Rows that lie within 30 min after a start.

    Parameters
    ----------
    observed_at : (n,) int64
        [ms since epoch].
    flows : (n, k) float64
        Total flow, and flow switches (0/1), any unit; NaN = missing, which is neither stopped nor started.
    state : Operations
        Carried forward in place.
    works : (n,) int64, optional
        Block of the state a row belongs to; without it all rows are of one works.
    """
    excused = np.zeros(len(observed_at), np.bool_)
    blocks = np.zeros(len(observed_at), np.int64) if works is None else works
    _excuse(blocks, observed_at // 1000, flows, state.flows, state.excuse, excused)
    return excused


@njit(cache=True)
def _excuse(works, times, flows, operations, excuses, excused):  # type: ignore[no-untyped-def]
    width = flows.shape[1]
    for i in range(len(times)):
        e = excuses[works[i]]
        started = False
        for j in range(width):
            x = flows[i, j]
            if not np.isfinite(x):
                continue
            o = operations[works[i] * width + j]
            if o.known == 0:
                o.usual = x
                o.known = 1
            if o.stopped == 0 and x <= STOPPED * o.usual:
                o.stopped = 1
                o.since = times[i]
            elif o.stopped == 1 and x > RUNNING * o.usual:
                o.stopped = 0
                started = started or times[i] - o.since >= STOOD_S
            if o.stopped == 0:
                # The level of the running pump only: nights without flow must not make a trickle look usual.
                weight = 1.0 - np.exp(-max(times[i] - o.last, 0) / USUAL_S) if o.last > 0 else 1.0
                o.usual += weight * (x - o.usual)
                o.last = times[i]
        t = max(times[i], e.last)
        if e.last > -(2**62):
            passed = t - e.last
            used = min(max(min(t, e.until) - e.last, 0), passed)
            e.credit = min(e.credit - used + RATION * (passed - used), MOST_S)
        e.last = t
        if started and e.credit >= EXCUSED_S:
            e.until = t + EXCUSED_S
        excused[i] = t < e.until
