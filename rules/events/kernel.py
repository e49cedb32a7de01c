# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="no-untyped-def"
"""The compiled loop of event detection.

Theory
------
Every series is followed by itself, under several settings at once (a *track* each). A track keeps a baseline, an exponential mean
whose steps are clipped so that an event can hardly move it, and a scale, the running 0.8 quantile of |reading - baseline|, never
below the floor of the instrument. The deviation is ``z = |reading - baseline| / (sensitivity * scale)``.

* *Normal*: the baseline follows. An event starts once z has been at least ``start`` for two readings and ``confirm_s``; with another
  series in agreement it counts at once, alone it counts from the third minute on. Instruments slower than ``SLOW_S`` are taken at one
  reading less.
* *Event*: the baseline stands still; a reading with z >= ``leave`` is an alarm. The event ends when z has been lower for ``leave_s``.
  It times out after ``hold_s * z ** hold_power`` (at most ``hold_max_s``): a weak lasting shift is soon a new level, a strong
  one is held for hours.
* *Settling* after a time-out: the water often takes hours to recover, and that is no new event. Only a deviation that exceeds the lowest
  since the time-out by ``settle_rise`` is an alarm. It ends when z < ``leave``, or after ``settle_s`` with a new baseline.

A track's score is z, kept below 1 where it is no alarm and at 1 or more where it is. A row's score per setting is the largest of its
series; the row's score is the median over the settings, so it reaches 1 exactly when a majority of them alarms.

Data every 15 or 20 minutes cannot be followed with time constants of minutes: spans that need several readings to mean anything
are stretched to so many typical intervals (``MEMORY_READINGS`` ...). At one reading a minute none of these stretches binds.

``excused`` rows (after a pump start or a backwash) start no events, and a level that is still different afterwards is taken as it is.
In ``held`` rows (disinfection not OK) nothing is learnt: neither baseline nor scale moves, nothing times out, so lasting loss never
becomes the new normal. A series of less than ``LEARN_S`` learns all the same: it has no normal that loss could replace, and frozen
at its first readings it would alarm as long as the hold lasts.

Functions here change the arrays they are given: the state is owned by the caller that passes through.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from rules.events.layout import EVENT, NORMAL, SETTLING

__all__ = ["fold_rows"]

MEMORY_READINGS = 5.0
HOLD_READINGS = 6.0
HOLD_MAX_READINGS = 48.0
SETTLE_READINGS = 24.0
GAP_READINGS = 5.0
LAST_S = 4_200_000_000
"""Seconds that fit the field, 133 years."""
GAP_S = 3600.0
"""After a longer gap the baseline begins anew."""
WARM_UP_S = 3600
WARM_UP_READINGS = 60
"""No alarms before both have passed since a series' first reading."""
LEARN_S = 6 * 3600
"""A younger series learns even while disinfection is not OK: long enough for a wrong first level to be left through a time-out."""
QUANTILE = 0.8
LEAST_SCALE = 0.3
"""The scale may sink to this share of the floor, so that it need not climb far when noise returns."""
FASTEST_RATE = 0.005
LONE_S = 105
YOUNG_S = 45
"""An event of one series alone counts from ``LONE_S`` on (three readings a minute apart): one spike touches two means."""
SLOW_S = 300.0
"""From this interval on an event may last for one reading only: it then starts at the first, which counts if another series agrees."""
COMPANION = 0.5
"""Score from which another series corroborates."""
COMPANIONS, BEST = 0, 1
NO_ALARM = np.float32(0.999)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without reference counts: nothing here allocates."""
    return njit(cache=True, _nrt=False)(function)  # type: ignore[call-overload, no-any-return]


@compiled
def _notice(s, t, held):
    """Take note of a reading's time. Returns seconds since the last one, and whether the baseline must begin anew."""
    if s.count == 0:
        s.last = t
        s.first = t
        s.spacing = 60.0
        s.count = 1
        s.fresh = 1
        return 0.0, True
    passed = max(t - s.last, 0)
    anew = False
    if passed > 0:
        if s.count == 1:
            s.spacing = passed
        else:
            # Steps clipped: a gap is not a cadence.
            s.spacing += 0.1 * min(max(passed - s.spacing, -0.5 * s.spacing), 0.5 * s.spacing)
            anew = passed > max(GAP_S, GAP_READINGS * s.spacing) and not held
        s.last = t
    s.count = min(s.count + 1, 4_000_000_000)
    s.fresh = 1 if anew else min(s.fresh + 1, 3)
    return float(passed), anew


@compiled
def _run(k, t, holds):
    """Length in seconds of the run of readings for which a condition holds; -1 unless it holds for two or more."""
    if not holds:
        k.run = 0
        return -1.0
    if k.run == 0:
        k.turned = t
    k.run = min(k.run + 1, 255)
    return float(t - k.turned) if k.run >= 2 else -1.0


@compiled
def _turn(k, mode, t):
    k.mode = mode
    k.since = t
    k.run = 0


@compiled
def _judge(k, p, t, x, z, spacing, may_start, held):
    """Move a track to its next mode. Returns the score of the reading, at least 1 for an alarm."""
    if k.mode == NORMAL:
        lasted = _run(k, t, z >= p.start and may_start)
        if lasted < p.confirm_s and (k.run == 0 or spacing < SLOW_S):
            return min(z, NO_ALARM)
        _turn(k, EVENT, t)
        return max(z, np.float32(1.0))
    if k.mode == EVENT:
        if _run(k, t, z < p.leave) >= p.leave_s:
            _turn(k, NORMAL, t)
            return z
        if z < p.leave:
            return z
        longest = max(p.hold_max_s, HOLD_MAX_READINGS * spacing)
        if held or t - k.since < min(max(p.hold_s, HOLD_READINGS * spacing) * z**p.hold_power, longest):
            return max(z, np.float32(1.0))
        _turn(k, SETTLING, t)
        k.lowest = z
        return NO_ALARM
    k.lowest = min(k.lowest, z)
    if held:
        return max(z, np.float32(1.0)) if z >= p.leave else z
    if z < p.leave:
        _turn(k, NORMAL, t)
        return z
    if t - k.since >= max(p.settle_s, SETTLE_READINGS * spacing):
        k.base = x
        _turn(k, NORMAL, t)
        return np.float32(0.0)
    rise = z - k.lowest
    return max(rise, np.float32(1.0)) if rise > p.settle_rise else min(rise, NO_ALARM)


@compiled
def _follow(k, p, x, noise, weight):
    """Let the baseline follow a reading, by a clipped step."""
    reach = p.clip * noise
    k.base += weight * min(max(x - k.base, -reach), reach)


@compiled
def _learn_scale(k, residual, rate, floor):
    """One step of stochastic approximation towards the quantile; an event moves it by bounded steps only."""
    k.scale *= 1.0 + rate * QUANTILE if residual > k.scale else 1.0 - rate * (1.0 - QUANTILE)
    k.scale = max(k.scale, LEAST_SCALE * floor)


@compiled
def _take(k, p, f, s, t, x, passed, anew, excused, held):
    """One reading, ``t`` seconds after the series' first, on one track. Returns its score."""
    if anew:
        if s.count == 1:
            k.scale = f.floor
        k.base = x
        _turn(k, NORMAL, t)
        return np.float32(0.0)
    floor = max(f.floor, f.relative * abs(k.base))
    noise = max(k.scale, floor)
    residual = abs(x - k.base)
    if s.fresh < 3:
        k.base += (x - k.base) / s.fresh
        return np.float32(0.0)
    z = np.float32(residual / (p.sensitivity * noise))
    was_normal = k.mode == NORMAL
    if was_normal and s.excused and not excused and not held and z >= p.start:
        # What a pump start has left behind is the level of the running pump.
        k.base = x
        return np.float32(0.0)
    is_warm = t >= WARM_UP_S and s.count > WARM_UP_READINGS
    score = _judge(k, p, t, x, z, s.spacing, is_warm and not excused, held)
    if held:
        return score
    if was_normal and k.mode == NORMAL:
        memory = max(p.memory_s, MEMORY_READINGS * s.spacing)
        _follow(k, p, x, noise, 1.0 - np.exp(-passed / memory))
    rate = max(min(p.scale_rate * s.spacing / 60.0, FASTEST_RATE), 0.05 / (1.0 + 0.02 * s.count))
    _learn_scale(k, residual, rate, floor)
    return score


@compiled
def _is_young(k, t):
    """Whether an event has so far shown in no more readings than its start needs."""
    return k.mode == EVENT and t - k.since < YOUNG_S and np.int64(k.since) - np.int64(k.turned) < LONE_S


@compiled
def _median(values, count, room):
    """Middle one of an odd number of values; ``room`` is for sorting them."""
    for i in range(count):
        value = values[i]
        j = i - 1
        while j >= 0 and room[j, 0] > value:
            room[j + 1, 0] = room[j, 0]
            j -= 1
        room[j + 1, 0] = value
    return room[count // 2, 0]


@compiled
def fold_rows(works, times, values, excused, held, facts, settings, series, tracks, each, young, score, votes):
    """Fold rows in their order into the state.

    Parameters
    ----------
    works : (n,) int64
        Which block of ``width`` series a row belongs to.
    times : (n,) int64
        [s since epoch]; a time before the works' last one counts as that one.
    values : (n, width) float64
        NaN = missing.
    excused, held : (n,) bool
        No starts; nothing learnt.
    facts : (width,) FACTS
    settings : (g,) SETTING, g odd
    series : (works x width,) SERIES and tracks : (works x width, g) TRACK
        State, changed.
    each : (n or 1, g) float32
        Room for the scores per setting; with n rows they are kept.
    young : (g, 2) float32
        Room.
    score : (n,) float32 and votes : (n, width) uint8
        Written: the rows' scores, and how many settings alarm per column.
    """
    rows, width = values.shape
    count = len(settings)
    keeps = len(each) == rows
    for i in range(rows):
        room = each[i if keeps else 0]
        room[:] = 0.0
        young[:] = 0.0
        first = works[i] * width
        for j in range(width):
            votes[i, j] = 0
            x = values[i, j]
            if not np.isfinite(x):
                continue
            s = series[first + j]
            is_held = held[i] and s.count > WARM_UP_READINGS and s.last - s.first >= LEARN_S
            passed, anew = _notice(s, times[i], is_held)
            t = min(s.last - s.first, LAST_S)
            for g in range(count):
                k = tracks[first + j, g]
                one = _take(k, settings[g], facts[j], s, t, x, passed, anew, excused[i], is_held)
                votes[i, j] += one >= 1.0
                young[g, COMPANIONS] += one >= COMPANION
                if one >= 1.0 and _is_young(k, t):
                    young[g, BEST] = max(young[g, BEST], one)
                else:
                    room[g] = max(room[g], one)
            s.excused = excused[i]
        for g in range(count):
            lone = young[g, COMPANIONS] < 2.0
            room[g] = max(room[g], min(young[g, BEST], NO_ALARM) if lone else young[g, BEST])
        score[i] = _median(room, count, young)
