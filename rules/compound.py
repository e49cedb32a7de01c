# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="no-untyped-def"
"""Compound conditions in the compiled loop: comparisons of signals, joined by any/all, each true, false or unknown.

A *leaf* is one comparison. It takes readings of its signals (two of them in pairs, so that a ratio never mixes an old value with
a new one while both are coming in), counts how many of those expected have come, and gathers clock hours and days. A
*compound* is a row of leaves with a small program in reverse Polish order over them.

Unknown (`HELD`) is what rests on a silent, suspect or failed signal, on too few readings, or on a division by zero. It is
neither true nor false: ``all`` with one part false is false, ``any`` with one part true is true, whatever else is unknown.

All memory is in `LEAF_STATE` rows that are copied, rolled back and stored with the works, so the order in which readings arrive
changes nothing. `rules.kernel` calls `feeds`, `take` and `weigh`; numba's cache of it does not notice changes here.
"""

import numpy as np

from rules.compiling import compiled
from rules.layout import NEVER

__all__ = [
    "CAUSE_COVERAGE",
    "CAUSE_DIVISION",
    "CAUSE_NONE",
    "CAUSE_SILENT",
    "CAUSE_SUSPECT",
    "DIFFERENCE",
    "FALSE",
    "HELD",
    "INSTANT",
    "MEAN",
    "NODE_ALL",
    "NODE_ANY",
    "NODE_LEAF",
    "PLAIN",
    "RATIO",
    "TRUE",
    "feeds",
    "take",
    "value_of",
    "weigh",
]  # fmt: skip

TRUE, FALSE, HELD = 1, 0, -1
PASS = 1
ALWAYS = 2**62
PLAIN, RATIO, DIFFERENCE = 0, 1, 2
INSTANT, MEAN = 0, 1
NODE_LEAF, NODE_ALL, NODE_ANY = 0, 1, 2
# Why a condition is unknown; the worst is told.
CAUSE_NONE, CAUSE_SILENT, CAUSE_SUSPECT, CAUSE_COVERAGE, CAUSE_DIVISION = 0, 1, 2, 3, 4


@compiled
def feeds(leaf_facts, first, count, rank):
    """Whether the series at ``rank`` of its works is a signal of any of these leaves."""
    found = False
    for j in range(first, first + count):
        found = found or leaf_facts[j].slot_a == rank or leaf_facts[j].slot_b == rank
    return found


@compiled
def _roll(f, s, zones, t):
    """Go over to the bucket ``t`` lies in: the clock hour or day at the works, or a coverage window."""
    if t < s.until:
        return
    offset = 0
    changes_at = ALWAYS
    if f.basis == MEAN:
        for row in range(f.zone_first, f.zone_first + f.zone_count):
            if zones[row].since <= t:
                offset = zones[row].offset_ms
            else:
                changes_at = min(changes_at, zones[row].since)
    bucket = (t + offset) // f.window_ms
    # A change of the clock may end an hour or a day early.
    s.until = min((bucket + 1) * f.window_ms - offset, changes_at)
    if s.bucket == NEVER or bucket <= s.bucket:
        return
    s.before = s.count if bucket == s.bucket + 1 else 0
    if f.basis == MEAN:
        s.done_bucket = s.bucket
        s.done_share = min(1.0, s.count / f.expected)
        s.done_value = s.total / s.count if s.count > 0 else np.nan
    s.bucket = bucket
    s.count = 0
    s.total = 0.0


@compiled
def _is_new(series, first, rank, used):
    """Whether a signal has a good reading that the leaf has not used yet; constants always have."""
    if rank < 0:
        return True
    s = series[first + rank]
    return s.last_t != NEVER and s.last_t > used and s.last_flag == PASS


@compiled
def _take_leaf(f, s, zones, series, first, rank, t):
    _roll(f, s, zones, t)
    if rank != f.slot_a and rank != f.slot_b:
        return
    if s.begin == NEVER:
        s.begin = t
        s.until = NEVER
        s.bucket = NEVER + 1
        _roll(f, s, zones, t)
        s.done_bucket = NEVER
        s.done_value = np.nan
    if not (_is_new(series, first, f.slot_a, s.used_a) and _is_new(series, first, f.slot_b, s.used_b)):
        return
    a = f.const_a
    b = f.const_b
    if f.slot_a >= 0:
        a = series[first + f.slot_a].last_value
        s.used_a = series[first + f.slot_a].last_t
    if f.slot_b >= 0:
        b = series[first + f.slot_b].last_value
        s.used_b = series[first + f.slot_b].last_t
    s.has_failed = 0
    if f.arithmetic == DIFFERENCE:
        s.value = a - b
    elif f.arithmetic == RATIO:
        if b == 0.0 or abs(b) < 1e-300:
            s.has_failed = 1
            s.errors += 1
            s.value = np.nan
            return
        s.value = a / b
    else:
        s.value = a
    s.count += 1
    s.total += s.value


@compiled
def take(leaf_facts, leaves, zones, row, own, count, series, first, rank, t):
    """Let the leaves know of a reading of the series at ``rank`` at ``t``, which the series' state holds already.

    ``row`` is the leaves' place in the facts, ``own`` that in the memory; the works' series begin at ``first``.
    """
    for j in range(count):
        _take_leaf(leaf_facts[row + j], leaves[own + j], zones, series, first, rank, t)


@compiled
def _share(f, s, t):
    """Share of the readings expected in the window up to ``t`` that came: whole buckets slide out in proportion."""
    if s.begin == NEVER:
        return 0.0
    # Before a signal's first reading nothing was expected of it.
    span = t - s.begin
    if span < f.window_ms:
        return (s.before + s.count) / (1.0 + span / f.window_ms * f.expected)
    part = (t - s.until + f.window_ms) / f.window_ms
    return (s.before * (1.0 - part) + s.count) / f.expected


@compiled
def _doubt(series, first, rank, stale_ms, t):
    if rank < 0:
        return CAUSE_NONE
    s = series[first + rank]
    if s.last_t == NEVER or t - s.last_t > stale_ms:
        return CAUSE_SILENT
    return CAUSE_NONE if s.last_flag == PASS else CAUSE_SUSPECT


@compiled
def value_of(f, s):
    """What a leaf compares: its newest value, or the mean of the last whole hour or day."""
    return s.done_value if f.basis == MEAN else s.value


@compiled
def _weigh_leaf(f, s, series, first, stale_ms, t, bound):
    """A comparison and why it is unknown, if it is."""
    if t < f.valid_from or t >= f.valid_to:
        return FALSE, CAUSE_NONE
    if f.basis == MEAN:
        is_whole = s.done_bucket != NEVER and s.done_share >= f.min_share
        if not is_whole and (s.begin == NEVER or t - s.begin < 2 * f.window_ms):
            # The first whole hour or day is not over yet: that is no fault.
            return HELD, CAUSE_NONE
        if s.done_bucket == NEVER or s.bucket != s.done_bucket + 1:
            return HELD, CAUSE_SILENT
        if s.done_share < f.min_share or np.isnan(s.done_value):
            return HELD, CAUSE_DIVISION if s.has_failed else CAUSE_COVERAGE
    else:
        doubt = max(_doubt(series, first, f.slot_a, stale_ms, t), _doubt(series, first, f.slot_b, stale_ms, t))
        if doubt != CAUSE_NONE:
            return HELD, doubt
        if s.has_failed:
            return HELD, CAUSE_DIVISION
        if np.isnan(s.value):
            return HELD, CAUSE_SILENT
        if _share(f, s, t) < f.min_share:
            return HELD, CAUSE_COVERAGE
    value = value_of(f, s)
    holds = value > bound if f.is_above else value < bound
    return (TRUE if holds else FALSE), CAUSE_NONE


@compiled
def weigh(leaf_facts, leaves, nodes, row, own, node_first, node_count, series, first, stale_ms, t, is_clearing):
    """Whether a program holds at ``t``, and the worst cause among its unknown leaves.

    ``row`` and ``own`` are the places of its first leaf in the facts and in the memory; the works' series begin at ``first``.
    ``is_clearing`` compares with the bounds for clearing. The stack of three-valued results is two bits each of one number, so
    nothing is allocated; `rules.ruleset` keeps groups small enough for it.
    """
    stack = 0
    worst = CAUSE_NONE
    for place in range(node_first, node_first + node_count):
        node = nodes[place]
        if node.operation == NODE_LEAF:
            f = leaf_facts[row + node.operand]
            bound = f.clear_bound if is_clearing else f.bound
            found, cause = _weigh_leaf(f, leaves[own + node.operand], series, first, stale_ms, t, bound)
            worst = max(worst, cause)
        else:
            decisive = TRUE if node.operation == NODE_ANY else FALSE
            found = FALSE if node.operation == NODE_ANY else TRUE
            for _ in range(node.operand):
                part = (stack & 3) - 1
                stack >>= 2
                if part == decisive:
                    found = decisive
                elif part == HELD and found != decisive:
                    found = HELD
        stack = (stack << 2) | (found + 1)
    return (stack & 3) - 1, worst
