# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="no-untyped-def"
"""The QARTOD tests of one series, each a compiled function from columns to flags.

Times are int64 ms, ascending and unique; values float64 with NaN for missing. Every function returns (n,) uint8 flags: 1 pass,
2 not evaluated, 3 suspect, 4 fail, 9 missing. A threshold of 0 switches its level off. Where a test differs from the one of
the same name in ioos_qc, `docs/quality-flags.md` says how and why.

References
----------
.. [1] U.S. IOOS, "Manual for Real-Time Quality Control of In-situ Temperature and Salinity Data", version 2.1, 2020, tests 1 to 8.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

__all__ = ["RANGE", "STD", "attenuated_signal", "flat_line", "gross_range", "rate_of_change", "spike", "stretch_starts"]

PASS, NOT_EVALUATED, SUSPECT, FAIL, MISSING = 1, 2, 3, 4, 9
RANGE, STD = 0, 1
"""What `attenuated_signal` compares: largest less smallest of the window, or its standard deviation."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile once and keep."""
    return njit(cache=True)(function)  # type: ignore[no-any-return, unused-ignore]


@compiled
def gross_range(values, fail_min, fail_max, suspect_min, suspect_max):
    """Fail outside what the instrument can read, suspect outside what the water can be; the ends are inside."""
    flags = np.empty(len(values), np.uint8)
    for n in range(len(values)):
        v = values[n]
        if np.isnan(v):
            flags[n] = MISSING
        elif v < fail_min or v > fail_max:
            flags[n] = FAIL
        elif v < suspect_min or v > suspect_max:
            flags[n] = SUSPECT
        else:
            flags[n] = PASS
    return flags


@compiled
def spike(times, values, suspect, fail, relative, is_opposed, gap_ms):
    """A reading that stands out from both its neighbours; judged when the next one is there.

    ``is_opposed`` False: distance to the mean of the neighbours. True: the smaller of the two steps, and only where they go
    opposite ways. A threshold is at least ``relative`` x level of the neighbours. Not evaluated at the ends, beside a
    missing value and beside a silence longer than ``gap_ms``.
    """
    size = len(values)
    flags = np.empty(size, np.uint8)
    for n in range(size):
        v = values[n]
        if np.isnan(v):
            flags[n] = MISSING
            continue
        flags[n] = NOT_EVALUATED
        if n == 0 or n == size - 1:
            continue
        before, after = values[n - 1], values[n + 1]
        if np.isnan(before) or np.isnan(after) or times[n] - times[n - 1] > gap_ms or times[n + 1] - times[n] > gap_ms:
            continue
        middle = (before + after) / 2
        if is_opposed:
            rise, fall = v - before, after - v
            out = 0.0 if rise * fall >= 0 else min(abs(rise), abs(fall))
        else:
            out = abs(v - middle)
        least = relative * abs(middle)
        if fail > 0 and out > max(fail, least * (fail / suspect if suspect > 0 else 1.0)):
            flags[n] = FAIL
        elif suspect > 0 and out > max(suspect, least):
            flags[n] = SUSPECT
        else:
            flags[n] = PASS
    return flags


@compiled
def rate_of_change(times, values, is_spike, suspect, fail, base_ms, relative, gap_ms):
    """A change faster than water changes. [unit/s]

    A change is judged as if it had taken at least ``base_ms``, so that noise between two quick readings is no rate. It is
    compared with the reading before a spike, not with the spike. A change of less than ``relative`` x level is never one.
    """
    size = len(values)
    flags = np.empty(size, np.uint8)
    for n in range(size):
        v = values[n]
        if np.isnan(v):
            flags[n] = MISSING
            continue
        flags[n] = NOT_EVALUATED
        p = n - 1
        if p > 0 and is_spike[p]:
            p -= 1
        if p < 0 or np.isnan(values[p]) or times[n] - times[n - 1] > gap_ms:
            continue
        change = abs(v - values[p])
        rate = change / (max(times[n] - times[p], base_ms) / 1000.0)
        if fail > 0 and rate > fail and change > relative * abs(values[p]) * (fail / suspect if suspect > 0 else 1.0):
            flags[n] = FAIL
        elif suspect > 0 and rate > suspect and change > relative * abs(values[p]):
            flags[n] = SUSPECT
        else:
            flags[n] = PASS
    return flags


@compiled
def stretch_starts(times, values, restarts, gap_ms):
    """Row at which the unbroken stretch of each row began: no silence longer than ``gap_ms`` between values, no restart."""
    starts = np.empty(len(values), np.int64)
    start, last = -1, -1
    for n in range(len(values)):
        if not np.isnan(values[n]):
            if start < 0 or restarts[n] or times[n] - times[last] > gap_ms:
                start = n
            last = n
        starts[n] = start
    return starts


@compiled
def _spreads(times, values, starts, span_ms, is_open):
    """Largest less smallest value of the window that ends at each row, and how many values it holds.

    The window reaches back ``span_ms``, its far end outside when ``is_open``, and never beyond the row's stretch. Two queues
    of candidates keep it at a constant cost per reading, whatever the window's length.
    """
    size = len(values)
    spread = np.full(size, np.nan)
    held = np.zeros(size, np.int64)
    low, high = np.empty(size, np.int64), np.empty(size, np.int64)
    low_head = low_tail = high_head = high_tail = 0
    first = 0
    count = 0
    for n in range(size):
        v = values[n]
        if np.isnan(v):
            continue
        if starts[n] == n:
            low_head = low_tail = high_head = high_tail = 0
            first, count = n, 0
        edge = times[n] - span_ms
        while first < n and (times[first] < edge or (is_open and times[first] == edge)):
            if not np.isnan(values[first]):
                count -= 1
            first += 1
        count += 1
        while low_tail > low_head and values[low[low_tail - 1]] >= v:
            low_tail -= 1
        low[low_tail] = n
        low_tail += 1
        while high_tail > high_head and values[high[high_tail - 1]] <= v:
            high_tail -= 1
        high[high_tail] = n
        high_tail += 1
        while low[low_head] < first:
            low_head += 1
        while high[high_head] < first:
            high_head += 1
        spread[n] = values[high[high_head]] - values[low[low_head]]
        held[n] = count
    return spread, held


@compiled
def flat_line(times, values, starts, tolerance, suspect_ms, fail_ms, floor):
    """Values that stay within ``tolerance`` (largest less smallest, itself inside) for a length of time.

    Gap-aware: only what was heard counts, so a stretch must reach back the whole time. At or below ``floor`` a flat line is
    never called stuck: water without disinfectant reads a steady zero.
    """
    size = len(values)
    flags = np.empty(size, np.uint8)
    by_suspect, _ = _spreads(times, values, starts, suspect_ms, False)
    by_fail, _ = _spreads(times, values, starts, fail_ms, False)
    for n in range(size):
        v = values[n]
        if np.isnan(v):
            flags[n] = MISSING
            continue
        since = times[starts[n]]
        flags[n] = PASS
        if v <= floor:
            continue
        if fail_ms > 0 and since <= times[n] - fail_ms and by_fail[n] <= tolerance:
            flags[n] = FAIL
        elif suspect_ms > 0 and since <= times[n] - suspect_ms and by_suspect[n] <= tolerance:
            flags[n] = SUSPECT
    return flags


@compiled
def attenuated_signal(times, values, starts, period_ms, suspect, fail, kind, least):
    """A signal that moves less than water does, over a window of ``period_ms`` with at least ``least`` values."""
    size = len(values)
    flags = np.empty(size, np.uint8)
    measure, held = _spreads(times, values, starts, period_ms, True)
    if kind == STD:
        measure = _deviations(times, values, starts, period_ms)
    for n in range(size):
        if np.isnan(values[n]):
            flags[n] = MISSING
        elif held[n] < least:
            flags[n] = NOT_EVALUATED
        elif measure[n] < fail:
            flags[n] = FAIL
        elif measure[n] < suspect:
            flags[n] = SUSPECT
        else:
            flags[n] = PASS
    return flags


@compiled
def _deviations(times, values, starts, period_ms):
    """Standard deviation of each window, of its own values alone: running sums would depend on where reading began."""
    found = np.full(len(values), np.nan)
    first = 0
    for n in range(len(values)):
        if np.isnan(values[n]):
            continue
        first = max(first, starts[n])
        while times[first] <= times[n] - period_ms:
            first += 1
        total, count = 0.0, 0
        for k in range(first, n + 1):
            if not np.isnan(values[k]):
                total += values[k]
                count += 1
        mean, squares = total / count, 0.0
        for k in range(first, n + 1):
            if not np.isnan(values[k]):
                squares += (values[k] - mean) ** 2
        found[n] = np.sqrt(squares / count)
    return found
