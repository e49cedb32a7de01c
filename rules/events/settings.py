"""Settings of event detection and the vote of them. In time, not in rows, so that they hold at any cadence."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from rules.events.layout import SETTING

__all__ = ["VOTE", "EventSetting", "setting_rows"]


@dataclass(frozen=True, slots=True)
class EventSetting:
    """One setting. Deviations are in units of ``sensitivity`` x scale of the series' usual residuals.

    ``memory_s``: time constant of the baseline. ``clip``: largest step of the baseline, in scales. ``start``: deviation from which an
    event starts, held for ``confirm_s`` and two readings. ``leave``: below it the event ends, held for ``leave_s`` and two readings.
    ``hold_s``: how long a deviation of 1 is held before it is taken for a new level, growing with its ``hold_power`` up to
    ``hold_max_s``. ``settle_s``: how long a series rests after that, while only a deviation greater by ``settle_rise`` than the lowest
    since counts. ``scale_rate``: step of the scale per minute.
    """

    sensitivity: float = 9.0
    memory_s: float = 600.0
    clip: float = 2.5
    start: float = 1.0
    leave: float = 0.75
    confirm_s: float = 45.0
    leave_s: float = 180.0
    hold_s: float = 1320.0
    hold_power: float = 1.1
    hold_max_s: float = 14_400.0
    settle_s: float = 7_200.0
    settle_rise: float = 1.0
    scale_rate: float = 5e-4


VOTE: tuple[EventSetting, ...] = tuple(
    EventSetting(sensitivity=sensitivity, memory_s=600.0 + 300.0 * ((row + column) % 3), hold_s=hold_s)
    for row, sensitivity in enumerate((8.0, 10.0, 12.0))
    for column, hold_s in enumerate((1200.0, 1500.0, 1800.0))
)
"""The settings that vote: three sensitivities by three holding times, the memories 10, 15 and 20 min spread as a Latin square. Round
values from the middle of the plateau, an odd number of them; none was picked for its score (`docs/accuracy.md`)."""


def setting_rows(settings: Sequence[EventSetting]) -> npt.NDArray[np.void]:
    """(g,) `SETTING`."""
    return np.array([astuple(one) for one in settings], SETTING)
