"""Record layouts of the flat arrays the compiled loop walks. Everything else in `rules` names fields by these words.

Times are ms since epoch, UTC; ``NEVER`` stands for "not yet".

A *timer* is one condition with its `for` and clear times: a limit on a series, an instrument test, or one of the
conditions of a disinfection unit. Timers of a works lie side by side, as do its series, so that a works can be rolled
back by copying three short stretches of memory.
"""

import numpy as np

__all__ = [
    "COMPOUND_FACTS",
    "EVENT",
    "LEAF_FACTS",
    "LEAF_STATE",
    "LOCAL_BITS",
    "MESSAGE",
    "NEVER",
    "NODE",
    "NO_SLOT",
    "RING",
    "SERIES_FACTS",
    "SERIES_KIND",
    "SERIES_STATE",
    "TIMER_FACTS",
    "TIMER_STATE",
    "UNIT_FACTS",
    "UNIT_LIMIT",
    "UNIT_STATE",
    "UNSET",
    "WORKS_FACTS",
    "WORKS_FORM",
    "WORKS_STATE",
    "ZONE",
    "UnitTimer",
]

NEVER = -(2**62)
# The same of a timer: a timer that holds nothing is all zeros, so the memory of those that never held anything is never touched.
UNSET = 0
NO_SLOT = -1
# A reading's place in the order of its works: time in the upper bits, the series' rank within the works in the lower.
LOCAL_BITS = 10

# Facts come from register, ruleset and standards; they change only when the plan is compiled again. Works of one *form* (the
# same points, parameters, rules and limits) share all of them: places of series, timers, units and leaves are counted from
# the works' own first. So a province's facts stay in the processor's cache, and a works has 32 bytes of its own.
SERIES_FACTS = np.dtype(
    [
        ("timer_first", np.int32),
        ("flow", np.int32),  # flow that tells whether a flat line means anything; NO_SLOT = always judged
        ("maintenance", np.int32),  # says that people work on the instruments of this point
        ("kind", np.int32),
    ]
)
# What series have in common: a province has a few dozen kinds of them, which stay in the processor's cache.
SERIES_KIND = np.dtype(
    [
        ("timer_count", np.int32),
        ("range_min", np.float64),
        ("range_max", np.float64),
        ("flat_tolerance", np.float64),
        ("flat_floor", np.float64),  # at or below it a flat line is never "stuck" (possible loss of disinfection)
        ("flat_suspect_ms", np.int64),  # 0 = test off
        ("flat_fail_ms", np.int64),
        ("feeds_unit", np.int8),
        ("maintenance_most_ms", np.int64),  # what is forgotten to be ended ends by itself
        ("quiet_min", np.float64),  # no condition on the value alone holds from here
        ("quiet_max", np.float64),  # to here
    ]
)
SERIES_STATE = np.dtype(
    [
        ("last_t", np.int64),  # newest reading with a value
        ("last_value", np.float64),
        ("flat_since", np.int64),
        ("flat_value", np.float64),
        ("last_flag", np.uint8),
        ("is_active", np.uint8),  # whether any of its timers holds something
    ]
)

# One row for all timers that are alike.
TIMER_FACTS = np.dtype(
    [
        ("operation", np.int8),
        ("bound", np.float64),
        ("clear_bound", np.float64),
        ("for_ms", np.int64),
        ("clear_ms", np.int64),
        ("clear_samples", np.int32),
        ("valid_from", np.int64),
        ("valid_to", np.int64),
        ("gap_ms", np.int64),  # a longer silence does not count towards `for`
    ]
)
TIMER_STATE = np.dtype(
    [
        ("pending", np.int64),  # since when the condition holds
        ("held", np.int64),  # of which unknown: does not count towards `for`
        ("firing", np.int64),  # start of the open finding
        ("clear_since", np.int64),
        ("seen", np.int64),
        ("evidence", np.int64),  # newest reading that supports the condition
        ("extreme", np.float64),
        ("clear_count", np.int32),
    ]
)


class UnitTimer:
    """Places of a disinfection unit's timers, counted from its first."""

    LOW = 0
    MISSING = 1
    HIGH = 2
    VERY_HIGH = 3
    UNKNOWN = 4
    STANDING = 5
    FLOOR = 6
    EQUIPMENT = 7
    BOTH = 8
    IDLE = 9
    COUNT = 10
    FINDINGS = 6  # the first six speak to people; the rest only feed MISSING and the state


UNIT_FACTS = np.dtype(
    [
        ("timer_first", np.int32),
        ("residual", np.int32),
        ("flow", np.int32),
        ("doser", np.int32),
        ("stock", np.int32),
        ("sample_flow", np.int32),
        ("partner", np.int32),  # the unit of the other residual of a mixed generator at this outlet; NO_SLOT = none
        # Other instruments on the same sample line, asked only where no switch tells of the sample flow.
        ("turbidity", np.int32),
        ("ph", np.int32),
        ("temperature", np.int32),
        ("standing_turbidity", np.float64),  # share of its last sound value
        ("standing_ph", np.float64),
        ("standing_temperature", np.float64),  # [degC]
        ("standing_most_ms", np.int64),
        ("floor", np.float64),
        ("floor_begin", np.float64),  # up to here a reading counts into a stretch at the floor
        ("floor_clear", np.float64),
        ("very_high", np.float64),
        ("flow_min", np.float64),
        ("stock_empty", np.float64),
        ("limit_first", np.int32),  # rows of the unit-limit table, one per edition of the standard
        ("limit_count", np.int32),
    ]
)
UNIT_LIMIT = np.dtype(
    [
        ("valid_from", np.int64),
        ("valid_to", np.int64),
        ("low", np.float64),
        ("low_clear", np.float64),
        ("high", np.float64),
    ]
)
UNIT_STATE = np.dtype(
    [
        ("state", np.int8),
        ("is_active", np.uint8),
        ("was_sound", np.uint8),  # the newest residual that is evidence was within its limits
        (
            "has_stepped",
            np.uint8,
        ),  # … and the next one lay near the floor: faster than water can change behind a contact tank
        ("since", np.int64),
        # The sample line when the residual last stood at its usual level within its limits.
        ("sound_at", np.int64),
        ("sound_residual", np.float64),  # that level: quick to rise, slow to fall
        ("sound_turbidity", np.float64),
        ("sound_ph", np.float64),
        ("sound_temperature", np.float64),
        ("blind_at", np.int64),  # first reading of the works, when no residual had come yet and no timer has noted it
        ("spare", np.int32),  # a cache line each
    ]
)

# What works have in common. Rows are those of the shared facts, of leaves those of their facts.
WORKS_FORM = np.dtype(
    [
        ("series_row", np.int32),
        ("series_count", np.int32),
        ("timer_row", np.int32),
        ("timer_count", np.int32),
        ("unit_row", np.int32),
        ("unit_count", np.int32),
        ("compound_row", np.int32),
        ("compound_count", np.int32),
        ("leaf_row", np.int32),
        ("leaf_count", np.int32),
        ("ring_capacity", np.int32),
        ("room", np.int32),  # transitions one reading can cause at most
        ("window_ms", np.int64),
        ("stale_ms", np.int64),
    ]
)
# Where a works' memory begins.
WORKS_FACTS = np.dtype(
    [
        ("form", np.int32),
        ("series_first", np.int32),
        ("timer_first", np.int32),
        ("unit_first", np.int32),
        ("leaf_first", np.int64),
        ("ring_first", np.int64),
    ]
)
WORKS_STATE = np.dtype(
    [
        ("newest", np.int64),  # order key of the newest reading
        ("older_mark", np.int64),  # order key the older checkpoint stands at
        ("newer_mark", np.int64),
        # The ring goes round in the works' stretch of memory: place of its first reading there, how many it holds, and how many of
        # them the newer checkpoint covers.
        ("ring_begin", np.int32),
        ("ring_count", np.int32),
        ("ring_marked", np.int32),
        ("dirty", np.int8),
        ("stirred", np.uint8),  # timers may differ between the newer checkpoint and the live state
        ("stirred_before", np.uint8),  # … and between the older and the newer
        ("spare", np.uint8),
    ]
)
# A reading that may have to be judged again: its order key and, in the two lowest bits, what the device said of it (see
# `rules.kernel`).
RING = np.dtype([("key", np.int64), ("value", np.float64)])
# Neighbouring readings of one works and one time, most often what one device said at once: the first one's row, how many, and
# where the pattern of their order begins, see `rules.ordering`.
MESSAGE = np.dtype([("row", np.int32), ("rows", np.int32), ("works", np.int32), ("pattern", np.int32)])
# Compound conditions, see `rules.compound`. A compound has two timers: its condition, and that it cannot be evaluated.
COMPOUND_FACTS = np.dtype(
    [
        ("timer", np.int32),
        ("leaf_first", np.int32),
        ("leaf_count", np.int32),
        ("node_first", np.int32),
        ("node_count", np.int32),
        ("clear_first", np.int32),
        (
            "clear_count",
            np.int32,
        ),  # 0 = clear when the condition itself, held against the bounds for clearing, is false
        ("lead", np.int32),  # leaf whose value is told
        ("sample_slot", np.int32),  # its readings count as samples of a clear stretch; NO_SLOT = those of all signals
    ]
)
LEAF_FACTS = np.dtype(
    [
        ("slot_a", np.int32),  # NO_SLOT = the constant
        ("slot_b", np.int32),
        ("const_a", np.float64),
        ("const_b", np.float64),
        ("arithmetic", np.int8),
        ("basis", np.int8),
        ("is_above", np.int8),
        ("bound", np.float64),
        ("clear_bound", np.float64),
        ("valid_from", np.int64),
        ("valid_to", np.int64),
        ("window_ms", np.int64),  # over which coverage is asked for; of means: the hour or day
        ("expected", np.float64),  # readings in it
        ("min_share", np.float64),
        ("zone_first", np.int32),
        ("zone_count", np.int32),
    ]
)
LEAF_STATE = np.dtype(
    [
        ("used_a", np.int64),  # newest reading of either signal that has been used
        ("used_b", np.int64),
        ("value", np.float64),
        ("begin", np.int64),
        ("bucket", np.int64),
        ("until", np.int64),  # when it ends
        ("count", np.int32),
        ("before", np.int32),  # count of the bucket before
        ("total", np.float64),
        ("done_bucket", np.int64),
        ("done_value", np.float64),
        ("done_share", np.float64),
        ("errors", np.int32),  # divisions by zero so far
        ("has_failed", np.int32),  # the newest one was
    ]
)
NODE = np.dtype([("operation", np.int8), ("operand", np.int32)])
ZONE = np.dtype([("since", np.int64), ("offset_ms", np.int64)])
EVENT = np.dtype(
    [
        ("what", np.int8),
        ("target", np.int32),  # timer, or series for a gap
        ("works", np.int32),
        ("start", np.int64),
        ("end", np.int64),
        ("evidence", np.int64),
        ("extreme", np.float64),
        ("at", np.int64),  # order key of the reading that caused it
    ]
)
