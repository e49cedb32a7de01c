"""Record layouts of event detection: what is kept per series, and per series and setting. Times are in seconds."""

import numpy as np

__all__ = ["EVENT", "FACTS", "NORMAL", "SERIES", "SETTING", "SETTLING", "TRACK"]

NORMAL, EVENT, SETTLING = 0, 1, 2
"""Modes of a track."""

# What is known of a column beforehand, from the table of floors.
FACTS = np.dtype([("floor", np.float64), ("relative", np.float64)])

# One setting of the vote; meanings in `rules.events.settings.EventSetting`.
SETTING = np.dtype(
    [
        (name, np.float64)
        for name in (
            "sensitivity", "memory_s", "clip", "start", "leave", "confirm_s", "leave_s", "hold_s", "hold_power", "hold_max_s",
            "settle_s", "settle_rise", "scale_rate",
        )
    ]
)  # fmt: skip

# Shared by all settings of a series.
SERIES = np.dtype(
    [
        ("first", np.int64),  # first reading with a value, from which tracks count their seconds
        ("last", np.int64),  # newest reading with a value
        ("spacing", np.float32),  # typical time between readings [s]
        ("count", np.uint32),  # readings so far
        ("fresh", np.uint8),  # readings since the baseline began anew, up to 3
        ("excused", np.uint8),  # whether starts were suppressed at the last reading
    ],
    align=True,
)

# One per series and setting.
TRACK = np.dtype(
    [
        ("base", np.float32),
        ("scale", np.float32),
        ("lowest", np.float32),  # lowest deviation since the time-out
        ("since", np.uint32),  # start of the event, or of settling
        ("turned", np.uint32),  # first reading of the present run above the start level, or below the leaving level
        ("run", np.uint8),  # readings in that run, up to 255
        ("mode", np.uint8),
    ],
    align=True,
)
