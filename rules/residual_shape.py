"""How the residual went in the last hours: a step, a fast or a slow fall, frozen, at zero all along. Pure.

The shape tells a fault from a loss: water that loses its chlorine mixes in pipe and tank, so a true loss falls over
minutes to hours; a wire that breaks falls between two readings.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from rules.ct_required import Values, aligned

__all__ = ["ResidualPath", "ResidualShape", "residual_path"]

MS_PER_HOUR = 3_600_000.0
MIN_READINGS = 8
STEP_SHARE = 0.8
"""Share of the whole fall that must lie between two neighbouring readings to call it a step."""
STEP_GAP = 3.0
"""Two readings are neighbours if no further apart than this many usual intervals: a fall in a gap may be anything."""
FROZEN_SPAN_H = 3.0
SLOW_FALL_H = 6.0
VISIBLE_FALL = 0.25
"""A fall smaller than this share of where it began is no fall."""


class ResidualShape(StrEnum):
    """What the residual did. AT_FLOOR = at zero from the first reading on; UNKNOWN = too little to tell."""

    STEP_TO_FLOOR = "step_to_floor"
    FAST_FALL = "fast_fall"
    SLOW_FALL = "slow_fall"
    AT_FLOOR = "at_floor"
    FROZEN = "frozen"
    STEADY = "steady"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class ResidualPath:
    """Shape, with what it rests on: residual before and now [mg/L], and how long the fall took [h] (``None`` = no fall)."""

    shape: ResidualShape
    before: float | None
    now: float | None
    fall_hours: float | None


def residual_path(
    observed_at: ArrayLike, residual: ArrayLike, floor: float = 0.05, resolution: float = 1e-9
) -> ResidualPath:
    """Shape of the last hours of a residual.

    Parameters
    ----------
    observed_at : (n,) float64
        Times of the readings, any order. [ms since epoch]
    residual : (n,) float64
        Readings of the last 6 to 48 h, with NaN left out; also those flagged as flat or suspect. [mg/L]
    floor : float
        At or below this there is none: the larger of 0.05 mg/L and the sensor's detection limit. [mg/L]
    resolution : float
        Readings that differ by no more than this are the same digits. [mg/L]

    Returns
    -------
    ResidualPath
        UNKNOWN with fewer than 8 readings.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    The fall runs from the last reading within 10 % of where it began (median of the highest fifth of the readings) to the first
    within 10 % of where it ended. STEP: at least 80 % of it between two neighbouring readings, down to the floor. FAST:
    shorter than 6 h, else SLOW, which is the slope of a tank that runs out (6 to 48 h). FROZEN: the same digits for at least 3 h,
    but never at zero: a zero that stands still is treated as a loss until disproved.

    Examples
    --------
    >>> minutes = np.arange(120)
    >>> residual_path(minutes * 60_000, np.where(minutes < 60, 0.5 + 0.01 * np.sin(minutes), 0.0)).shape
    <ResidualShape.STEP_TO_FLOOR: 'step_to_floor'>
    >>> residual_path(minutes * 60_000, 0.5 * np.exp(-np.maximum(minutes - 30, 0) / 10)).shape
    <ResidualShape.FAST_FALL: 'fast_fall'>
    """
    hours, series = _ordered(observed_at, residual)
    if len(series) < MIN_READINGS:
        return ResidualPath(ResidualShape.UNKNOWN, None, float(series[-1]) if len(series) else None, None)
    fifth = max(2, len(series) // 5)
    before, now = float(np.median(np.sort(series)[-fifth:])), float(np.median(series[-3:]))
    if before <= floor:
        return ResidualPath(ResidualShape.AT_FLOOR, before, now, None)
    if now > floor and _frozen_hours(hours, series, resolution) >= FROZEN_SPAN_H:
        return ResidualPath(ResidualShape.FROZEN, before, now, None)
    if before - now < VISIBLE_FALL * before:
        return ResidualPath(ResidualShape.STEADY, before, now, None)
    start, end = _fall(series, before, now)
    took = float(hours[end] - hours[start])
    if now <= floor and _is_step(hours[start : end + 1], series[start : end + 1], before - now, hours):
        return ResidualPath(ResidualShape.STEP_TO_FLOOR, before, now, took)
    return ResidualPath(ResidualShape.FAST_FALL if took < SLOW_FALL_H else ResidualShape.SLOW_FALL, before, now, took)


def _ordered(observed_at: ArrayLike, residual: ArrayLike) -> tuple[Values, Values]:
    at, series = aligned(observed_at=observed_at, residual=residual)
    good = np.isfinite(at) & np.isfinite(series)
    at, series = at[good], series[good]
    order = np.argsort(at, kind="stable")
    at = at[order]
    return (at - at[0]) / MS_PER_HOUR if len(at) else at, series[order]


def _frozen_hours(hours: Values, series: Values, resolution: float) -> float:
    """How long the newest value has stood still."""
    other = np.flatnonzero(np.abs(series - series[-1]) > resolution)
    return float(hours[-1] - hours[other[-1] + 1 if len(other) else 0])


def _fall(series: Values, before: float, now: float) -> tuple[int, int]:
    margin = 0.1 * (before - now)
    high = np.flatnonzero(series >= before - margin)
    start = int(high[-1]) if len(high) else 0
    low = np.flatnonzero(series[start:] <= now + margin)
    return start, start + int(low[0]) if len(low) else len(series) - 1


def _is_step(hours: Values, series: Values, fall: float, all_hours: Values) -> bool:
    if len(series) < 2:
        return False
    usual = float(np.median(np.diff(all_hours)))
    falls = -np.diff(series)
    steepest = int(np.argmax(falls))
    return bool(falls[steepest] >= STEP_SHARE * fall and np.diff(hours)[steepest] <= STEP_GAP * usual)
