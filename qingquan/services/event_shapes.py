"""Shapes of detected events out of the series store, and their comparison with known benign ones."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qingquan.domain.readings import SeriesKey
from qingquan.standards.event_floors import load_event_floors
from qingquan.store.ports import SeriesReader
from qingquan.store.sql.events import KnownEvent
from rules.events.patterns import Pattern, Trajectory, best_match, may_be_known, trajectory

if TYPE_CHECKING:
    # A name only: who looks at shapes need not load what detects events.
    from rules.events.live import EventChange

__all__ = ["known_name", "shape_of"]

BEFORE_MS = 3_600_000
"""How long before an event its level is taken from; three readings of a slow instrument at least."""
SLOW_BEFORE_MS = 4 * BEFORE_MS
RESIDUALS = ("free_chlorine", "total_chlorine", "chlorine_dioxide", "ozone")


def shape_of(
    series: SeriesReader, key: tuple[str, str, str], columns: Sequence[str], start: int, end: int
) -> Trajectory | None:
    """Trajectory of an event's contributors. Raises `StoreUnavailable`."""
    floors = load_event_floors()
    read = {}
    for code in columns:
        trend = series.range(SeriesKey(*key, code), start - SLOW_BEFORE_MS, end + 1)
        at, values = trend.observed_at, trend.columns["value"].astype(np.float64)
        near = at >= start - BEFORE_MS
        if (at[near] < start).sum() >= 3:
            at, values = at[near], values[near]
        read[code] = (at, values)
    return trajectory(read, {code: floors[code].floor for code in columns}, start, end)


def known_name(series: SeriesReader, known: Sequence[KnownEvent], change: "EventChange", disinfection: str) -> str:
    """Name of the known event that this one looks like, ``""`` if none may explain it. Raises `StoreUnavailable`."""
    columns = [code for code, _ in change.contributors]
    found = shape_of(series, change.key, columns, change.start, change.evidence_at)
    if found is None:
        return ""
    # A residual that fell at all is taken for low: the strict side of "low".
    is_low = {code: min(found.shape.get(code, (-1.0,))) < 0 for code in columns if code in RESIDUALS}
    if not may_be_known(change.held, disinfection, columns, is_low):
        return ""
    patterns = [
        Pattern(one.id, one.name, Trajectory({name: tuple(row) for name, row in one.shape.items()}, one.length_ms))
        for one in known
    ]
    match = best_match(found, patterns)
    return "" if match is None else match.name
