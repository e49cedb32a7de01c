# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="no-untyped-def"
"""The compiled loop: readings in, transitions out, state carried in flat arrays.

Order does not matter, and yet nothing waits
--------------------------------------------
Readings of a works are judged the moment they come, in the order (`observed_at`, rank of the series in the works). Each works
keeps its readings of the last one to two lateness windows in a sorted ring and two checkpoints of its state, the
older at least one window back. A reading that comes out of order within the window is put in its place in the ring; at the end
of the batch the works is rolled back to the older checkpoint and folded forward again. What was said meanwhile and
no longer holds is withdrawn by the caller, who gets the complete list of findings since that checkpoint. So any split, any
duplicates and any order within the window end in the same state and the same findings, while an orderly
stream pays one comparison for it.

Same time, same value again is a duplicate and changes nothing. Same time, other value is a conflict: neither can be
believed, so the pair counts as one suspect reading (the lower value is kept for display: it does not depend on
which came first). Of the device's own verdicts on one reading the worst stands. Readings older than the window are left to
the caller (``LATE``).

Functions here change the arrays they are given: the state is owned by the fold that passes through.
"""

import numpy as np

from rules import compound
from rules.compiling import compiled, inlined, prefetch
from rules.layout import LOCAL_BITS, NEVER, UNSET, UnitTimer

__all__ = ["CARRIED", "CLOSED", "GAP", "OPENED", "REFOLDED", "fold_batch"]

OPENED, CLOSED, GAP, REFOLDED, CARRIED = 1, 2, 3, 4, 5
ABOVE, BELOW, OUTSIDE, FLAT, UNIT = 1, 2, 3, 4, 5
COMPOUND = 20
TRUE, FALSE, HELD = 1, 0, -1
PASS, NOT_EVALUATED, SUSPECT, FAIL, MISSING = 1, 2, 3, 4, 9
OK, LOW, LOST, HIGH, UNKNOWN, IDLE = 0, 1, 2, 3, 4, 6

T_LOW, T_MISSING, T_HIGH, T_VERY_HIGH, T_UNKNOWN = (
    UnitTimer.LOW, UnitTimer.MISSING, UnitTimer.HIGH, UnitTimer.VERY_HIGH, UnitTimer.UNKNOWN,
)  # fmt: skip
T_STANDING = UnitTimer.STANDING
T_FLOOR, T_EQUIPMENT, T_BOTH, T_IDLE = UnitTimer.FLOOR, UnitTimer.EQUIPMENT, UnitTimer.BOTH, UnitTimer.IDLE
UNIT_TIMERS = UnitTimer.COUNT
# Shares of the difference by which each reading moves the usual level of a residual, and how near counts as at it.
LEVEL_RISES, LEVEL_FALLS, NEAR_LEVEL = 0.2, 0.02, 0.8
RANK_MASK = (1 << LOCAL_BITS) - 1
# Of a device's flag only "not said", suspect and fail count: two bits.
FLAG_BITS = 2
# So many messages ahead memory is fetched, first what is found by number, then what that leads to.
FAR, NEAR = 16, 8


@compiled
def _emit(events, n, what, target, works, start, end, evidence, extreme):
    e = events[n]
    e.what = what
    e.target = target
    e.works = works
    e.start = start
    e.end = end
    e.evidence = evidence
    e.extreme = extreme
    return n + 1


@compiled
def _reset(s):
    """A timer that holds nothing is all zeros, whatever it held before: its bytes do not depend on the way there."""
    s.pending = UNSET
    s.held = 0
    s.firing = UNSET
    s.clear_since = UNSET
    s.seen = UNSET
    s.evidence = UNSET
    s.extreme = 0.0
    s.clear_count = 0


@compiled
def _note(s, gap_ms, condition, t, value, direction):
    """Carry a timer's condition to time t: since when it holds, how much of that is unknown, its extreme.

    A timer that holds nothing is not written, so that the memory of timers that never hold anything is never touched.
    """
    if s.pending != UNSET:
        if condition == HELD or t - s.seen > gap_ms:
            s.held += t - s.seen
        s.seen = t
    if condition == TRUE:
        if s.pending == UNSET:
            s.pending = t
            s.held = 0
            s.extreme = value
        elif (direction > 0 and value > s.extreme) or (direction < 0 and value < s.extreme) or direction == 0:
            s.extreme = value
        s.seen = t
        s.evidence = t
        s.clear_since = UNSET
    elif condition == FALSE and s.firing == UNSET and s.pending != UNSET:
        _reset(s)


@compiled
def _is_due(s, t, for_ms):
    return s.pending != UNSET and t - s.pending - s.held >= for_ms


@compiled
def _break_clear(s, t, gap_ms):
    """Silence proves nothing: what was clear before a gap has to be shown again."""
    if s.clear_since != UNSET and t - s.seen > gap_ms:
        s.clear_since = UNSET


@compiled
def _try_clear(s, is_clear, is_sample, t, clear_ms, clear_samples):
    """Whether a firing timer is over: clear for ``clear_ms`` and at least ``clear_samples`` fresh readings."""
    if not is_clear:
        s.clear_since = UNSET
        return False
    if s.clear_since == UNSET:
        s.clear_since = t
        s.clear_count = 0
    if is_sample:
        s.clear_count += 1
    return t - s.clear_since >= clear_ms and s.clear_count >= clear_samples


@compiled
def _step(f, s, k, condition, is_clear, is_sample, t, value, direction, works, events, n):
    """Carry timer ``k``, with facts ``f`` and state ``s``, to time t, and say what that opens or closes."""
    if t < f.valid_from or t >= f.valid_to:
        if s.firing != UNSET:
            n = _emit(events, n, CLOSED, k, works, s.firing, f.valid_to, s.evidence, s.extreme)
        if s.pending != UNSET:
            _reset(s)
        return n
    _break_clear(s, t, f.gap_ms)
    _note(s, f.gap_ms, condition, t, value, direction)
    if s.firing == UNSET:
        if condition == TRUE and _is_due(s, t, f.for_ms):
            s.firing = s.pending
            n = _emit(events, n, OPENED, k, works, s.firing, NEVER, t, s.extreme)
    elif condition == HELD:
        s.clear_since = UNSET
    elif condition == FALSE and _try_clear(s, is_clear, is_sample, t, f.clear_ms, f.clear_samples):
        n = _emit(events, n, CLOSED, k, works, s.firing, s.clear_since, s.evidence, s.extreme)
        _reset(s)
    return n


@compiled
def _is_trusted(w, m, series, place, t):
    """Whether a signal may explain a residual: there, fresh, within the instrument's range and good by the device's word."""
    if place < 0:
        return False
    s = series[w.series_first + place]
    return s.last_t != NEVER and t - s.last_t <= m.stale_ms and s.last_flag == PASS


@compiled
def _last_of(w, series, place):
    """Newest value of a signal that is there."""
    return series[w.series_first + place].last_value


@compiled
def _is_maintained(w, f, kind, series, t):
    """Whether people work on the instruments of the series' point: said so, and not longer ago than that may last."""
    if f.maintenance < 0:
        return False
    s = series[w.series_first + f.maintenance]
    return s.last_value >= 0.5 and t - s.last_t <= kind.maintenance_most_ms


@inlined
def _flag(w, m, f, kind, s, series, t, value, device_flag):
    """QARTOD flag of a reading: device's own verdict, instrument range, flat line (gap-aware, only while water flows)."""
    is_outside = value < kind.range_min or value > kind.range_max
    if _is_maintained(w, f, kind, series, t):
        s.flat_since = t
        s.flat_value = value
        return FAIL if is_outside or device_flag == FAIL else SUSPECT
    flat = PASS
    if kind.flat_suspect_ms > 0:
        moved = s.last_t == NEVER or abs(value - s.flat_value) > kind.flat_tolerance or t - s.last_t > m.stale_ms
        if not moved and f.flow >= 0:
            moved = _is_trusted(w, m, series, f.flow, t) and _last_of(w, series, f.flow) <= 0
        if moved:
            s.flat_since = t
            s.flat_value = value
        elif value > kind.flat_floor:
            if kind.flat_fail_ms > 0 and t - s.flat_since >= kind.flat_fail_ms:
                flat = FAIL
            elif t - s.flat_since >= kind.flat_suspect_ms:
                flat = SUSPECT
    if is_outside or device_flag == FAIL or flat == FAIL:
        return FAIL
    if device_flag == SUSPECT or flat == SUSPECT:
        return SUSPECT
    return PASS


@inlined
def _judge_series(p, works, w, m, ws, i, t, value, device_flag, events, n):
    series_facts, series, series_kinds = p[0], p[5], p[7]
    f = series_facts[m.series_row + i - w.series_first]
    kind = series_kinds[f.kind]
    s = series[i]
    if s.last_t != NEVER and t - s.last_t > m.stale_ms:
        n = _emit(events, n, GAP, i, works, s.last_t, t, t, value)
    flag = _flag(w, m, f, kind, s, series, t, value, device_flag)
    maintained = _is_maintained(w, f, kind, series, t)
    s.last_t = t
    s.last_value = value
    s.last_flag = flag
    # The usual reading: nothing holds, nothing begins to. Its timers need not be fetched from memory.
    may_be_stuck = kind.flat_suspect_ms > 0 and t - s.flat_since >= kind.flat_suspect_ms
    if s.is_active == 0 and (maintained or (kind.quiet_min <= value <= kind.quiet_max and not may_be_stuck)):
        return n
    return _judge_timers(p, works, w, m, ws, i, t, value, flag, maintained, events, n)


@compiled
def _judge_timers(p, works, w, m, ws, i, t, value, flag, maintained, events, n):
    """The unusual reading of a series: something holds, or begins to."""
    (series_facts, timer_kinds, _, _, _, series, timers, series_kinds, kind_of) = p
    f = series_facts[m.series_row + i - w.series_first]
    kind = series_kinds[f.kind]
    s = series[i]
    ws.stirred = 1
    s.is_active = 0
    for place in range(f.timer_first, f.timer_first + kind.timer_count):
        r = timer_kinds[kind_of[m.timer_row + place]]
        k = w.timer_first + place
        one = timers[k]
        if r.operation == ABOVE:
            condition = HELD if flag != PASS else (TRUE if value > r.bound else FALSE)
            condition = FALSE if maintained and one.firing == UNSET else condition
            n = _step(r, one, k, condition, value <= r.clear_bound, True, t, value, 1, works, events, n)
        elif r.operation == BELOW:
            condition = HELD if flag != PASS else (TRUE if value < r.bound else FALSE)
            condition = FALSE if maintained and one.firing == UNSET else condition
            n = _step(r, one, k, condition, value >= r.clear_bound, True, t, value, -1, works, events, n)
        elif r.operation == OUTSIDE:
            outside = value < kind.range_min or value > kind.range_max
            condition = TRUE if outside else FALSE
            if maintained:
                condition = FALSE if one.firing == UNSET else HELD
            n = _step(r, one, k, condition, True, True, t, value, 0, works, events, n)
        else:
            # Beyond the instrument's range it is out of range, whether it moves or not.
            inside = value >= kind.range_min and value <= kind.range_max
            same = inside and abs(value - s.flat_value) <= kind.flat_tolerance and value > kind.flat_floor
            stuck = kind.flat_suspect_ms > 0 and same and t - s.flat_since >= kind.flat_suspect_ms
            n = _step_flat(one, k, stuck, s.flat_since, t, value, works, events, n)
        if one.pending != UNSET:
            s.is_active = 1
    return n


@compiled
def _step_flat(s, k, stuck, since, t, value, works, events, n):
    """A flat line opens with its own beginning, not with the moment it was called one."""
    if stuck:
        if s.firing == UNSET:
            s.pending = since
            s.firing = since
            s.extreme = value
            n = _emit(events, n, OPENED, k, works, since, NEVER, t, value)
        s.evidence = t
    elif s.firing != UNSET:
        n = _emit(events, n, CLOSED, k, works, s.firing, t, s.evidence, s.extreme)
        _reset(s)
    return n


@compiled
def _limits_in_force(unit_limits, u, t):
    for row in range(u.limit_first, u.limit_first + u.limit_count):
        if unit_limits[row].valid_from <= t < unit_limits[row].valid_to:
            return row
    return -1


@compiled
def _is_standing(w, m, u, unit, series, t):
    """Whether the water in the measuring cell seems to stand, told by the other instruments on its sample line.

    In a standing cell the residual is used up while particles settle (the turbidity falls steadily) and the water takes on the
    room's temperature and loses carbon dioxide (the pH drifts). Lost dosing does neither. Turbidity together with one of the two
    counts as a sign; each alone happens in flowing water. The doubt ends after ``standing_most_ms`` without a sound residual.
    """
    if u.turbidity < 0 or unit.sound_at == NEVER or t - unit.sound_at > u.standing_most_ms:
        return False
    if not _is_trusted(w, m, series, u.turbidity, t):
        return False
    if not _last_of(w, series, u.turbidity) <= u.standing_turbidity * unit.sound_turbidity:
        return False
    knows_ph = _is_trusted(w, m, series, u.ph, t)
    if knows_ph and abs(_last_of(w, series, u.ph) - unit.sound_ph) >= u.standing_ph:
        return True
    knows_temperature = _is_trusted(w, m, series, u.temperature, t)
    drift = abs(_last_of(w, series, u.temperature) - unit.sound_temperature) if knows_temperature else 0.0
    return knows_temperature and drift >= u.standing_temperature


@compiled
def _note_step(u, unit, is_short, value):
    """Note whether the residual came near the floor by one step from within its limits, until it is well above again."""
    if unit.was_sound and value <= u.floor_begin:
        unit.has_stepped = 1
    elif value >= u.floor_clear:
        unit.has_stepped = 0
    unit.was_sound = not is_short


@compiled
def _note_sound(w, u, unit, series, value, t):
    """Remember the sample line as it is while the residual is at its usual level: not as it is in the middle of a fall."""
    if u.turbidity < 0:
        return
    unit.sound_residual += (value - unit.sound_residual) * (LEVEL_RISES if value > unit.sound_residual else LEVEL_FALLS)
    if value < NEAR_LEVEL * unit.sound_residual:
        return
    unit.sound_at = t
    unit.sound_turbidity = _last_of(w, series, u.turbidity)
    # What is not there compares as no drift at all.
    unit.sound_ph = _last_of(w, series, u.ph) if u.ph >= 0 else np.nan
    unit.sound_temperature = _last_of(w, series, u.temperature) if u.temperature >= 0 else np.nan


@compiled
def _both(mine, other):
    """Three-valued and."""
    if mine == FALSE or other == FALSE:
        return FALSE
    return TRUE if mine == TRUE and other == TRUE else HELD


@inlined
def _is_usual(p, w, m, place, rank, t):
    """Whether an outlet without anything pending is as it should be; if so that is noted, and all there is to judge.

    Says of a few conditions what `_judge_unit` says of all, and stands in the loop itself: nearly every reading ends here.
    """
    (series_facts, _, unit_facts, unit_limits, units, series, _, _, _) = p
    u = unit_facts[m.unit_row + place]
    state = units[w.unit_first + place]
    if state.is_active or u.partner >= 0 or series_facts[m.series_row + u.residual].maintenance >= 0:
        return False
    row = _limits_in_force(unit_limits, u, t)
    if row < 0 or not _is_trusted(w, m, series, u.residual, t):
        return False
    value = _last_of(w, series, u.residual)
    limits = unit_limits[row]
    if value < limits.low or value <= u.floor_begin or value > limits.high or value > u.very_high:
        return False
    if _is_trusted(w, m, series, u.sample_flow, t) and _last_of(w, series, u.sample_flow) < 0.5:
        return False
    if _is_trusted(w, m, series, u.flow, t) and not _last_of(w, series, u.flow) > u.flow_min:
        return False
    if _is_trusted(w, m, series, u.doser, t) and _last_of(w, series, u.doser) < 0.5:
        return False
    if _is_trusted(w, m, series, u.stock, t) and _last_of(w, series, u.stock) <= u.stock_empty:
        return False
    if rank == u.residual:
        _note_step(u, state, False, value)
        _note_sound(w, u, state, series, value, t)
    _enter(state, OK, t)
    state.blind_at = UNSET
    return True


@compiled
def _judge_unit(p, works, w, m, ws, place, rank, t, events, n):
    """Disinfection of one outlet: conditions with `for` times, then the one state it is in.

    LOW, MISSING, HIGH and their times: ruleset. Fault or loss: without sample flow, with a failed or stuck sensor the
    residual is no evidence; then only the equipment can show a loss, and otherwise the state is unknown, never good.

    A generator of chlorine dioxide with chlorine has a unit for each of its residuals, partners of each other: each must stay
    below its own limit, and one of them suffices as a residual (GB 5749-2022 Table 2).
    """
    (series_facts, timer_kinds, unit_facts, unit_limits, units, series, timers, series_kinds, kind_of) = p
    u = unit_facts[m.unit_row + place]
    state = units[w.unit_first + place]
    residual = series[w.series_first + u.residual]
    k = w.timer_first + u.timer_first
    # What adds to a timer's number to find its kind.
    shift = m.timer_row - w.timer_first
    row = _limits_in_force(unit_limits, u, t)
    low_bound, low_clear, high_bound = -np.inf, -np.inf, np.inf
    if row >= 0:
        low_bound, low_clear, high_bound = unit_limits[row].low, unit_limits[row].low_clear, unit_limits[row].high
    value = residual.last_value
    f = series_facts[m.series_row + u.residual]
    maintained = _is_maintained(w, f, series_kinds[f.kind], series, t)
    has_sample = not _is_trusted(w, m, series, u.sample_flow, t) or _last_of(w, series, u.sample_flow) >= 0.5
    is_readable = _is_trusted(w, m, series, u.residual, t) and has_sample and not maintained
    knows_flow = _is_trusted(w, m, series, u.flow, t)
    is_flowing = not knows_flow or _last_of(w, series, u.flow) > u.flow_min
    is_short = value < low_bound or value <= u.floor_begin
    is_standing = is_readable and is_short and _is_standing(w, m, u, state, series, t)
    is_evidence = is_readable and not is_standing
    if is_evidence and rank == u.residual:
        _note_step(u, state, is_short, value)
        if not is_short and is_flowing:
            _note_sound(w, u, state, series, value, t)
    knows_doser = _is_trusted(w, m, series, u.doser, t)
    knows_stock = _is_trusted(w, m, series, u.stock, t)
    is_dosing_off = (knows_doser and _last_of(w, series, u.doser) < 0.5) or (
        knows_stock and _last_of(w, series, u.stock) <= u.stock_empty
    )
    is_sample = rank == u.residual and is_evidence

    # A stretch at the floor begins within the instrument's accuracy of it and is left only well above; it speaks once a
    # reading in it lay at the floor. After a step the instrument itself is in doubt: then only what lies at the floor counts.
    is_begun = timers[k + T_FLOOR].pending != UNSET
    is_low_enough = value <= u.floor
    if not state.has_stepped:
        is_low_enough = value <= u.floor_begin or (is_begun and value < u.floor_clear)
    at_floor = HELD if not (is_evidence and is_flowing) else (TRUE if is_low_enough else FALSE)
    off = HELD if not is_flowing or not (knows_doser or knows_stock) else (TRUE if is_dosing_off else FALSE)
    low = HELD if row < 0 or not (is_evidence and is_flowing) else (TRUE if value < low_bound else FALSE)
    high = HELD if row < 0 or not is_evidence else (TRUE if value > high_bound else FALSE)
    very_high = HELD if not is_evidence else (TRUE if value > u.very_high else FALSE)
    is_back = is_evidence and value >= u.floor_clear
    is_enough = value >= low_clear
    is_proven = is_evidence
    if u.partner >= 0:
        # The partner's cell stands on the same sample line: what is no evidence here is none there.
        other = unit_facts[m.unit_row + u.partner]
        other_value = _last_of(w, series, other.residual)
        other_row = _limits_in_force(unit_limits, other, t)
        is_other_evidence = _is_trusted(w, m, series, other.residual, t) and has_sample
        is_other_evidence = is_other_evidence and not maintained and not is_standing
        knows_other = is_other_evidence and is_flowing
        is_other_begun = other_value <= other.floor_begin or (is_begun and other_value < other.floor_clear)
        at_floor = _both(at_floor, HELD if not knows_other else (TRUE if is_other_begun else FALSE))
        knows_other_low = knows_other and other_row >= 0
        is_other_low = knows_other_low and other_value < unit_limits[other_row].low
        low = _both(low, HELD if not knows_other_low else (TRUE if is_other_low else FALSE))
        is_back = is_back or (is_other_evidence and other_value >= other.floor_clear)
        is_enough = is_enough or (knows_other_low and other_value >= unit_limits[other_row].low_clear)
        is_proven = is_evidence and is_other_evidence
        is_sample = is_sample or (rank == other.residual and is_other_evidence)
    both = FALSE if at_floor == FALSE or off == FALSE else (TRUE if at_floor == TRUE and off == TRUE else HELD)
    blind = HELD if not is_flowing or is_standing or maintained else (FALSE if is_proven else TRUE)
    standing = TRUE if is_standing and is_flowing else (FALSE if is_evidence else HELD)
    begins = at_floor == TRUE or off == TRUE or low == TRUE or high == TRUE or very_high == TRUE or blind == TRUE
    if state.is_active == 0 and is_flowing and not begins and standing != TRUE:
        # The usual reading again: none of the timers holds anything, none begins to.
        was = state.state
        _enter(state, OK if is_proven else (UNKNOWN if was == IDLE or maintained else was), t)
        state.blind_at = UNSET
        return n
    # A works that begins: its signals are judged before the residual of the same message. Being blind is noted where
    # it costs nothing; only if it lasts beyond that message a timer takes it over.
    is_first = residual.last_t == NEVER and (state.blind_at == UNSET or state.blind_at == t)
    is_only_blind = state.is_active == 0 and blind == TRUE and off != TRUE and standing != TRUE
    if is_first and is_only_blind and timer_kinds[kind_of[k + shift + T_UNKNOWN]].for_ms > 0:
        state.blind_at = t
        _enter(state, UNKNOWN if state.state == IDLE else state.state, t)
        return n
    if state.blind_at != UNSET:
        _note(timers[k + T_UNKNOWN], 0, TRUE, state.blind_at, 0.0, 0)
        state.blind_at = UNSET
    ws.stirred = 1

    if maintained:
        # What had begun before has to begin again after it.
        at_floor, off, both = FALSE, FALSE, FALSE
        low = HELD if timers[k + T_LOW].firing != UNSET else FALSE
        high = HELD if timers[k + T_HIGH].firing != UNSET else FALSE
        very_high = HELD if timers[k + T_VERY_HIGH].firing != UNSET else FALSE
        blind = HELD if timers[k + T_UNKNOWN].firing != UNSET else FALSE
        standing = HELD if timers[k + T_STANDING].firing != UNSET else FALSE
    # Dosing may be off without a residual to believe; then none is kept as the lowest.
    believed = value if is_evidence else np.inf
    _note(timers[k + T_FLOOR], timer_kinds[kind_of[k + shift + T_FLOOR]].gap_ms, at_floor, t, value, -1)
    _note(timers[k + T_EQUIPMENT], timer_kinds[kind_of[k + shift + T_EQUIPMENT]].gap_ms, off, t, believed, -1)
    _note(timers[k + T_BOTH], timer_kinds[kind_of[k + shift + T_BOTH]].gap_ms, both, t, value, -1)
    is_over = is_flowing and is_back
    n = _judge_missing(p, works, k, shift, at_floor, off, is_evidence, is_over, value, is_sample, u.floor, t, events, n)

    is_below = value <= high_bound
    is_far_below = value <= u.very_high
    n = _step_unit(p, k, shift, T_LOW, low, is_enough, is_sample, t, value, -1, works, events, n)
    n = _step_unit(p, k, shift, T_HIGH, high, is_below, is_sample, t, value, 1, works, events, n)
    n = _step_unit(p, k, shift, T_VERY_HIGH, very_high, is_far_below, is_sample, t, value, 1, works, events, n)
    n = _step_unit(p, k, shift, T_UNKNOWN, blind, True, is_sample, t, value, 0, works, events, n)
    n = _step_unit(p, k, shift, T_STANDING, standing, True, is_sample, t, value, -1, works, events, n)
    idle = timers[k + T_IDLE]
    idle_kind = timer_kinds[kind_of[k + shift + T_IDLE]]
    _note(idle, idle_kind.gap_ms, FALSE if is_flowing else TRUE, t, 0.0, 0)

    was = state.state
    if timers[k + T_MISSING].firing != UNSET:
        now = LOST
    elif _is_due(idle, t, idle_kind.for_ms):
        now = IDLE
    elif timers[k + T_HIGH].firing != UNSET or timers[k + T_VERY_HIGH].firing != UNSET:
        now = HIGH
    elif timers[k + T_UNKNOWN].firing != UNSET or timers[k + T_STANDING].firing != UNSET or maintained:
        now = UNKNOWN
    elif timers[k + T_LOW].firing != UNSET:
        now = LOW
    elif is_proven:
        now = OK
    else:
        now = was if was != IDLE else UNKNOWN
    _enter(state, now, t)
    state.is_active = 0
    for part in range(UNIT_TIMERS):
        if timers[k + part].pending != UNSET:
            state.is_active = 1
    return n


@compiled
def _step_unit(p, k, shift, part, condition, is_clear, is_sample, t, value, direction, works, events, n):
    r = p[1][p[8][k + shift + part]]
    return _step(r, p[6][k + part], k + part, condition, is_clear, is_sample, t, value, direction, works, events, n)


@compiled
def _enter(state, now, t):
    if state.state != now:
        state.state = now
        state.since = t


@compiled
def _judge_missing(p, works, k, shift, at_floor, off, is_evidence, is_back, value, is_sample, floor, t, events, n):
    """MISSING by any of: residual at the floor, dosing off, both together (sooner), each with its own `for`."""
    (_, timer_kinds, _, _, _, _, timers, _, kind_of) = p
    s = timers[k + T_MISSING]
    f = timer_kinds[kind_of[k + T_MISSING + shift]]
    if s.firing != UNSET:
        _break_clear(s, t, f.gap_ms)
        s.seen = t
        if at_floor == TRUE or off == TRUE:
            s.evidence = t
            if is_evidence and (np.isnan(s.extreme) or value < s.extreme):
                s.extreme = value
    if s.firing == UNSET:
        start = UNSET
        lowest = np.inf
        for part in (T_FLOOR, T_EQUIPMENT, T_BOTH):
            due = timers[k + part]
            if due.pending != UNSET:
                lowest = min(lowest, due.extreme)
            if part != T_EQUIPMENT and not (at_floor == TRUE and due.extreme <= floor):
                continue
            for_ms = timer_kinds[kind_of[k + part + shift]].for_ms
            if _is_due(due, t, for_ms) and (start == UNSET or due.pending < start):
                start = due.pending
        if start != UNSET:
            s.pending = start
            s.firing = start
            s.seen = t
            s.evidence = t
            s.clear_since = UNSET
            s.extreme = lowest if lowest < np.inf else np.nan
            n = _emit(events, n, OPENED, k + T_MISSING, works, start, NEVER, t, s.extreme)
    else:
        is_clear = is_back and off != TRUE
        if _try_clear(s, is_clear, is_sample, t, f.clear_ms, f.clear_samples):
            n = _emit(events, n, CLOSED, k + T_MISSING, works, s.firing, s.clear_since, s.evidence, s.extreme)
            _reset(s)
            # What is proven over must not fire again from a signal that has fallen silent meanwhile.
            for part in (T_FLOOR, T_EQUIPMENT, T_BOTH):
                _reset(timers[k + part])
    return n


@compiled
def _judge_compounds(p, c, works, w, m, ws, rank, t, events, n):
    """Compound conditions that read the series at ``rank``: true or false as far as known, else on the way to "not evaluated"."""
    (_, timer_kinds, _, _, _, series, timers, _, kind_of) = p
    (compounds, leaf_facts, nodes, zones, leaves) = c
    for number in range(m.compound_row, m.compound_row + m.compound_count):
        f = compounds[number]
        # Rows of the leaves' facts, which works of a form share, and of their memory, which is each works' own.
        row, own = m.leaf_row + f.leaf_first, w.leaf_first + f.leaf_first
        if not compound.feeds(leaf_facts, row, f.leaf_count, rank):
            continue
        compound.take(leaf_facts, leaves, zones, row, own, f.leaf_count, series, w.series_first, rank, t)
        condition, cause = compound.weigh(
            leaf_facts,
            leaves,
            nodes,
            row,
            own,
            f.node_first,
            f.node_count,
            series,
            w.series_first,
            m.stale_ms,
            t,
            False,
        )
        k = w.timer_first + f.timer
        # The usual reading: nothing holds, nothing begins to.
        if condition == FALSE and timers[k].pending == UNSET and timers[k + 1].pending == UNSET:
            continue
        ws.stirred = 1
        is_clear = False
        if timers[k].firing != UNSET and condition == FALSE:
            has_own = f.clear_count > 0
            first, count = (f.clear_first, f.clear_count) if has_own else (f.node_first, f.node_count)
            cleared, _ = compound.weigh(
                leaf_facts, leaves, nodes, row, own, first, count, series, w.series_first, m.stale_ms, t, not has_own
            )
            is_clear = cleared == (TRUE if has_own else FALSE)
        value = compound.value_of(leaf_facts[row + f.lead], leaves[own + f.lead])
        direction = 1 if leaf_facts[row + f.lead].is_above else -1
        is_sample = f.sample_slot < 0 or f.sample_slot == rank
        holds = timer_kinds[kind_of[m.timer_row + f.timer]]
        fails = timer_kinds[kind_of[m.timer_row + f.timer + 1]]
        n = _step(holds, timers[k], k, condition, is_clear, is_sample, t, value, direction, works, events, n)
        unknown = TRUE if condition == HELD and cause != compound.CAUSE_NONE else FALSE
        # What made it unknown first is told, not what followed from it.
        why = float(cause) if timers[k + 1].pending == UNSET else -1.0
        n = _step(fails, timers[k + 1], k + 1, unknown, True, True, t, why, 1, works, events, n)
    return n


@inlined
def _judge(p, c, works, w, m, ws, key, value, device_flag, events, n):
    first = n
    t = key >> LOCAL_BITS
    rank = key & RANK_MASK
    i = w.series_first + rank
    n = _judge_series(p, works, w, m, ws, i, t, value, device_flag, events, n)
    if p[7][p[0][m.series_row + rank].kind].feeds_unit:
        for place in range(m.unit_count):
            if not _is_usual(p, w, m, place, rank, t):
                n = _judge_unit(p, works, w, m, ws, place, rank, t, events, n)
    if m.compound_count > 0:
        n = _judge_compounds(p, c, works, w, m, ws, rank, t, events, n)
    for e in range(first, n):
        events[e].at = key
    return n


@compiled
def _copy_works(w, m, to, source, with_timers):
    for j in range(w.series_first, w.series_first + m.series_count):
        to[0][j] = source[0][j]
    if with_timers:
        for j in range(w.timer_first, w.timer_first + m.timer_count):
            # What holds nothing on either side stays as it is, most often in memory that was never touched.
            if source[1][j].pending != UNSET or to[1][j].pending != UNSET:
                to[1][j] = source[1][j]
    for j in range(w.unit_first, w.unit_first + m.unit_count):
        to[2][j] = source[2][j]
    for j in range(w.leaf_first, w.leaf_first + m.leaf_count):
        to[3][j] = source[3][j]


@inlined
def _at(w, m, ws, n):
    """Where reading ``n`` of a works' ring lies."""
    place = ws.ring_begin + n
    return w.ring_first + (place if place < m.ring_capacity else place - m.ring_capacity)


@compiled
def _place_of(w, m, ws, ring, key):
    """How many readings of a works' ring, whose keys ascend, lie before ``key``."""
    first, last = 0, ws.ring_count
    while first < last:
        middle = (first + last) >> 1
        if ring[_at(w, m, ws, middle)].key >> FLAG_BITS < key:
            first = middle + 1
        else:
            last = middle
    return first


@compiled
def _advance_marks(w, m, ws, live, older, newer, mark):
    """Move both checkpoints up: the newer becomes the older, the live state the newer."""
    _copy_works(w, m, older, newer, ws.stirred_before)
    _copy_works(w, m, newer, live, ws.stirred)
    ws.stirred_before = ws.stirred
    ws.stirred = 0
    ws.older_mark = ws.newer_mark
    ws.newer_mark = mark


@compiled
def _drop(m, ws, count):
    """Drop the first readings of a ring."""
    begin = ws.ring_begin + count
    ws.ring_begin = begin if begin < m.ring_capacity else begin - m.ring_capacity
    ws.ring_count -= count


@compiled
def _move_up(w, m, ws, live, older, newer):
    """Move both checkpoints up to the newest reading, and drop what lies before the older one then."""
    count = ws.ring_marked
    _advance_marks(w, m, ws, live, older, newer, ws.newest)
    _drop(m, ws, count)
    ws.ring_marked = ws.ring_count


@compiled
def _is_mark_due(m, ws, key):
    """Whether the newer checkpoint lies a window or more behind the reading before ``key``."""
    return ws.newer_mark == NEVER or (key >> LOCAL_BITS) - (ws.newer_mark >> LOCAL_BITS) >= m.window_ms


@compiled
def _refold(p, c, works, w, m, ws, live, older, newer, ring, events, n):
    """Roll a works back to its older checkpoint and judge the ring again, in order, moving the checkpoints along."""
    timers = p[6]
    _copy_works(w, m, live, older, True)
    ws.stirred = 1
    ws.stirred_before = 1
    n = _emit(events, n, REFOLDED, -1, works, NEVER, NEVER, NEVER, 0.0)
    events[n - 1].at = ws.older_mark
    for k in range(w.timer_first, w.timer_first + m.timer_count):
        s = timers[k]
        if s.firing != UNSET:
            n = _emit(events, n, CARRIED, k, works, s.firing, NEVER, s.evidence, s.extreme)
            events[n - 1].at = ws.older_mark
    passed = False
    before = ws.older_mark
    for j in range(ws.ring_count):
        one = ring[_at(w, m, ws, j)]
        key = one.key >> FLAG_BITS
        if not passed and key > ws.newer_mark:
            _copy_works(w, m, newer, live, True)
            passed = True
        if passed and before != NEVER and _is_mark_due(m, ws, before):
            _advance_marks(w, m, ws, live, older, newer, before)
        n = _judge(p, c, works, w, m, ws, key, one.value, _flag_of(one), events, n)
        before = key
    if not passed:
        _copy_works(w, m, newer, live, True)
    ws.dirty = 0
    _drop(m, ws, _place_of(w, m, ws, ring, ws.older_mark + 1))
    ws.ring_marked = _place_of(w, m, ws, ring, ws.newer_mark + 1)
    return n


@compiled
def _flag_of(one):
    """What counts of the device's flag of a reading in the ring."""
    return np.uint8((one.key & ((1 << FLAG_BITS) - 1)) + NOT_EVALUATED)


@inlined
def _write(one, key, value, flag):
    """Write a reading into the ring."""
    one.key = (key << FLAG_BITS) | (_verdict(flag) - NOT_EVALUATED)
    one.value = value


@compiled
def _put(w, m, ws, ring, n, key, value, flag):
    """Put a reading into a works' ring, behind ``n`` others and before the rest."""
    for j in range(ws.ring_count, n, -1):
        ring[_at(w, m, ws, j)] = ring[_at(w, m, ws, j - 1)]
    _write(ring[_at(w, m, ws, n)], key, value, flag)
    ws.ring_count += 1
    if n < ws.ring_marked:
        ws.ring_marked += 1


@compiled
def _verdict(device_flag):
    """What counts of a device's own flag, worse is larger."""
    return device_flag if device_flag in (SUSPECT, FAIL) else NOT_EVALUATED


@compiled
def _fetch_checkpoints(w, m, older, newer):
    """Both checkpoints of a works are about to be moved up."""
    for j in range(w.series_first, w.series_first + m.series_count):
        prefetch(older[0], j, 0)
        prefetch(newer[0], j, 0)
    for j in range(w.unit_first, w.unit_first + m.unit_count):
        prefetch(older[2], j, 0)
        prefetch(newer[2], j, 0)


@inlined
def _fetch_rows(columns, works_facts, works_states, messages, n):
    """Ask for the rows of a message that comes after some others, and for where its works' memory begins."""
    if n >= len(messages):
        return
    one = messages[n]
    first = one.row
    last = first + one.rows - 1
    (slots, observed_at, values, flags, out_flags) = columns
    prefetch(slots, first, 0)
    prefetch(slots, last, 0)
    prefetch(observed_at, first, 0)
    prefetch(values, first, 0)
    prefetch(values, last, 0)
    prefetch(flags, first, 0)
    prefetch(out_flags, first, 0)
    prefetch(works_facts, one.works, 0)
    prefetch(works_states, one.works, 0)


@inlined
def _fetch_works(p, older, newer, works_facts, forms, works_states, ring, slots, observed_at, messages, n):
    """Ask for the memory of a works whose message comes soon: the loop would wait for each."""
    if n >= len(messages):
        return
    one = messages[n]
    for row in range(one.row, one.row + one.rows):
        prefetch(p[5], slots[row], 0)
    prefetch(p[5], slots[one.row + one.rows - 1], 33)
    w = works_facts[one.works]
    m = forms[w.form]
    ws = works_states[one.works]
    last = _at(w, m, ws, ws.ring_count)
    prefetch(ring, last, 0)
    prefetch(ring, last, 64)
    prefetch(p[4], w.unit_first, 0)
    if ws.newer_mark != NEVER and observed_at[one.row] - (ws.newer_mark >> LOCAL_BITS) >= m.window_ms:
        _fetch_checkpoints(w, m, older, newer)


@compiled
def fold_batch(
    p,
    c,
    works_facts,
    forms,
    works_states,
    live,
    older,
    newer,
    ring,
    slots,
    observed_at,
    values,
    flags,
    patterns,
    messages,
    message,
    done,
    events,
    out_flags,
    late,
    counts,
):
    """Judge messages from ``message`` on, of that the rows behind the first ``done``; stop early when the event buffer could overflow.

    Parameters
    ----------
    p : tuple of arrays
        (series_facts, timer_kinds, unit_facts, unit_limits, unit_states, series_states, timer_states, series_kinds,
        kind_of), live.
    c : tuple of arrays
        (compounds, leaf_facts, nodes, zones, leaf_states), live.
    works_facts, forms : WORKS_FACTS, WORKS_FORM
        Where each works' memory begins, and what works of a form have in common.
    live, older, newer : tuples (series, timers, units, leaves)
        The live state and its two checkpoints.
    ring : (size,) RING
    slots : (n,) int32
        Series slot of each row; negative = not of this fold, skipped.
    messages : (m,) MESSAGE
    patterns : (n,) int32
        In which order to judge the rows, see `rules.ordering`.
    message, done : int
        Where to go on. Beyond the last message works that have to be rolled back are, message by message.
    out_flags : (n,) uint8
        Filled with the flag of each row judged in order; 2 where it went another way.
    late : (n,) uint8
        Filled with 1 for rows older than their lateness window.
    counts : (5,) int64
        Added to: judged, duplicates, conflicts, late, missing.

    Returns
    -------
    (message, done, events, is_through)
        Where to go on, events written, and whether the batch and all roll-backs are through.
    """
    n = 0
    size = len(messages)
    capacity = len(events)
    columns = (slots, observed_at, values, flags, out_flags)
    # What an earlier call has left is looked for.
    is_any_dirty = message > 0 or done > 0
    while message < size:
        _fetch_rows(columns, works_facts, works_states, messages, message + FAR)
        _fetch_works(
            p, older, newer, works_facts, forms, works_states, ring, slots, observed_at, messages, message + NEAR
        )
        works = messages[message].works
        w = works_facts[works]
        m = forms[w.form]
        ws = works_states[works]
        first_row, rows, pattern = messages[message].row, messages[message].rows, messages[message].pattern
        t = observed_at[first_row]
        while done < rows:
            row = first_row + patterns[pattern + done]
            i = slots[row]
            out_flags[row] = NOT_EVALUATED
            if i < 0:
                done += 1
                continue
            if n + m.room > capacity:
                return message, done, n, False
            value, flag = values[row], flags[row]
            if np.isnan(value):
                out_flags[row] = MISSING
                counts[4] += 1
                done += 1
                continue
            key = (t << LOCAL_BITS) | (i - w.series_first)
            if ws.ring_count >= m.ring_capacity:
                if ws.dirty:
                    if n + ws.ring_count * m.room + m.timer_count > capacity and n > 0:
                        return message, done, n, False
                    n = _refold(p, c, works, w, m, ws, live, older, newer, ring, events, n)
                # A device faster than its register entry says: its window shortens rather than its memory grows.
                for _ in range(2):
                    if ws.ring_count >= m.ring_capacity:
                        _move_up(w, m, ws, live, older, newer)
            if key > ws.newest:
                if not ws.dirty:
                    if ws.newest != NEVER and _is_mark_due(m, ws, ws.newest):
                        _move_up(w, m, ws, live, older, newer)
                    n = _judge(p, c, works, w, m, ws, key, value, flag, events, n)
                    out_flags[row] = p[5][i].last_flag
                _write(ring[_at(w, m, ws, ws.ring_count)], key, value, flag)
                ws.ring_count += 1
                ws.newest = key
                counts[0] += 1
            elif key <= ws.older_mark or t <= (ws.newest >> LOCAL_BITS) - m.window_ms:
                late[row] = 1
                counts[3] += 1
            else:
                place = _place_of(w, m, ws, ring, key)
                held = ring[_at(w, m, ws, place)]
                if place < ws.ring_count and held.key >> FLAG_BITS == key:
                    # The lower value and the worst verdict, whichever came first; two values are suspect in themselves.
                    before = _flag_of(held)
                    verdict = max(before, _verdict(flag))
                    if held.value == value:
                        counts[1] += 1
                    else:
                        counts[2] += 1
                        verdict = max(verdict, SUSPECT)
                    if verdict > before or value < held.value:
                        held.key = (key << FLAG_BITS) | (verdict - NOT_EVALUATED)
                        held.value = min(value, held.value)
                        ws.dirty = 1
                else:
                    _put(w, m, ws, ring, place, key, value, flag)
                    ws.dirty = 1
                    counts[0] += 1
                is_any_dirty = True
            done += 1
        message += 1
        done = 0
    while is_any_dirty and message < 2 * size:
        works = messages[message - size].works
        ws = works_states[works]
        if ws.dirty:
            w = works_facts[works]
            m = forms[w.form]
            if n + ws.ring_count * m.room + m.timer_count > capacity and n > 0:
                return message, done, n, False
            n = _refold(p, c, works, w, m, ws, live, older, newer, ring, events, n)
        message += 1
    return message, done, n, True
