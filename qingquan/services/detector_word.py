"""Whether the detector of a works speaks, and from what score on: for the detector itself and for people who ask."""

from collections.abc import Sequence

from qingquan.store.sql.events import EventMark, EventSwitch
from rules.events.marks import Mark, MarkVerdict, calibrated_threshold, is_silenced

__all__ = ["detector_says"]


def detector_says(marks: Sequence[EventMark], switch: EventSwitch | None) -> tuple[float, bool]:
    """Threshold of a works, and whether its detector is silent: a person's word first, else the verdicts given since then."""
    taken = [Mark(one.marked_at, one.peak, MarkVerdict(one.verdict)) for one in marks]
    threshold = calibrated_threshold(taken)
    if switch is None:
        return threshold, is_silenced(taken)
    if switch.is_silent is not None and switch.is_silent:
        return threshold, True
    return threshold, is_silenced([mark for mark in taken if mark.marked_at > switch.since])
