"""Known benign events: the shape of an event that people named (backwash, change of source), and whether another one looks like it.

A *trajectory* is, per contributing column, the deviation from the level before the event in units of the instrument's floor, on
`STEPS` equal steps from the event's start to its end. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["STEPS", "Pattern", "Trajectory", "best_match", "may_be_known", "similarity", "trajectory"]

STEPS = 24
LEAST_SIMILARITY = 0.85
"""Correlation of the joint shape from which an event is called by a pattern's name."""
LONGEST_RATIO = 2.0
"""Duration and size may differ by this factor."""
DISINFECTION_OK = "ok"


@dataclass(frozen=True, slots=True)
class Trajectory:
    """``shape``: column to `STEPS` deviations [floors]; ``length_ms`` from start to end."""

    shape: Mapping[str, tuple[float, ...]]
    length_ms: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A named trajectory of a sampling point."""

    id: int
    name: str
    trajectory: Trajectory


def trajectory(
    series: Mapping[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]],
    floors: Mapping[str, float],
    start: int,
    end: int,
) -> Trajectory | None:
    """Shape of an event from its contributors' readings, which begin before it; ``None`` where too little was measured.

    ``series``: column to times [ms, ascending] and values. The level before is the median of readings before ``start``.
    """
    shape: dict[str, tuple[float, ...]] = {}
    grid = np.linspace(start, max(end, start + 1), STEPS)
    for column, (at, values) in series.items():
        good = np.isfinite(values)
        at, values = at[good], values[good]
        before, during = values[at < start], (at >= start) & (at <= end)
        if len(before) < 3 or not during.any():
            continue
        found = np.interp(grid, at[during], values[during]) - np.median(before)
        shape[column] = tuple(round(float(one), 3) for one in found / floors[column])
    return Trajectory(shape, end - start) if shape else None


def similarity(one: Trajectory, other: Trajectory) -> float:
    """Cosine of the joint shapes over the columns of both, -1 to 1; 0 where columns, length or size do not agree."""
    if set(one.shape) != set(other.shape) or not _near(one.length_ms, other.length_ms):
        return 0.0
    columns = sorted(one.shape)
    a = np.array([one.shape[name] for name in columns])
    b = np.array([other.shape[name] for name in columns])
    if not all(_near(float(np.abs(x).max()), float(np.abs(y).max())) for x, y in zip(a, b, strict=True)):
        return 0.0
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum() / size) if size > 0 else 0.0


def best_match(one: Trajectory, patterns: Sequence[Pattern]) -> Pattern | None:
    """The most similar pattern, if similar enough; of equal ones the older."""
    ranked = sorted(patterns, key=lambda pattern: (-similarity(one, pattern.trajectory), pattern.id))
    if not ranked or similarity(one, ranked[0].trajectory) < LEAST_SIMILARITY:
        return None
    return ranked[0]


def may_be_known(was_held: bool, disinfection: str, contributors: Sequence[str], residuals: Mapping[str, bool]) -> bool:
    """Whether a pattern may explain an event at all.

    Never while disinfection was or is not OK, nor where a residual is a contributor and stands low: what looks like a backwash may
    be the loss of the disinfectant. ``residuals``: residual column to whether its level is low (or not known).
    """
    if was_held or disinfection != DISINFECTION_OK:
        return False
    return not any(residuals.get(name.rsplit("/", 1)[-1], False) for name in contributors)


def _near(a: float, b: float) -> bool:
    low, high = sorted((abs(a), abs(b)))
    return high <= LONGEST_RATIO * low
