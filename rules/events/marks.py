"""What users' marks, real or false, change: the threshold of a works, and whether its detector speaks at all. Pure.

Few marks mislead: the first events are few and of one or two kinds, and thresholds fitted to them did worse on the rest. So nothing
changes before `ENOUGH` verdicts, the threshold is only ever raised (what was never shown cannot be marked), and not far.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

__all__ = ["ENOUGH", "Mark", "MarkVerdict", "calibrated_threshold", "is_silenced", "real_share"]

ENOUGH = 30
"""Verdicts before marks count, and how many of the newest are looked at for silence."""
LEAST_REAL = 0.2
KEPT = 0.95
"""Share of the real events that a raised threshold must still show."""
HIGHEST = 2.0


class MarkVerdict(StrEnum):
    """What a user said of an event."""

    REAL = "real"
    FALSE = "false"


class Mark(NamedTuple):
    """A user's verdict on an event: ``marked_at`` [ms since epoch], ``peak`` = highest score of the event."""

    marked_at: int
    peak: float
    verdict: MarkVerdict


def calibrated_threshold(marks: Sequence[Mark], threshold: float = 1.0) -> float:
    """Threshold for a works, at least ``threshold``.

    Raised to just above false events' peaks, as far as `KEPT` of the real ones stay shown and `HIGHEST` x ``threshold`` allows. Unchanged
    below `ENOUGH` verdicts, without a real one (then silence is the remedy) or where raising removes no false event.
    """
    real = sorted(mark.peak for mark in marks if mark.verdict is MarkVerdict.REAL)
    false = [mark.peak for mark in marks if mark.verdict is MarkVerdict.FALSE]
    if len(real) + len(false) < ENOUGH or not real:
        return threshold
    may_go = len(real) - -int(-KEPT * len(real) // 1)
    bound = min(real[may_go], HIGHEST * threshold)
    removable = [peak for peak in false if threshold <= peak < bound]
    return bound if removable else threshold


def real_share(marks: Sequence[Mark]) -> float | None:
    """Share of real ones among the newest `ENOUGH` marks; ``None`` before there are so many."""
    newest = sorted(marks, key=lambda mark: mark.marked_at)[-ENOUGH:]
    if len(newest) < ENOUGH:
        return None
    return sum(mark.verdict is MarkVerdict.REAL for mark in newest) / ENOUGH


def is_silenced(marks: Sequence[Mark]) -> bool:
    """Whether a detector tells nobody any more: fewer than 20 % of its last 30 verdicts were real."""
    share = real_share(marks)
    return share is not None and share < LEAST_REAL
