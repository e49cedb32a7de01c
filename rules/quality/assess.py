# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="no-untyped-def"
"""All tests of one series together: a flag for each reading and the names of the tests behind it.

A reading that fails by itself (beyond the instrument's range, failed by the device, taken without sample flow or during
maintenance) is no measure for its neighbours: the tests that compare readings pass it over. After maintenance and while no water
flows the tests that need a history begin anew.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qingquan.domain.quality import Flagged, QualitySettings, QualityTest
from rules.quality.columns import Columns, hocl_ratio, low_since
from rules.quality.qartod import (
    RANGE,
    attenuated_signal,
    compiled,
    flat_line,
    gross_range,
    rate_of_change,
    spike,
    stretch_starts,
)

__all__ = ["DAYS_BEFORE_MS", "CrossSettings", "assess", "assess_ordered", "lead_in_ms", "memory_ms"]

PASS, NOT_EVALUATED, SUSPECT, FAIL, MISSING = 1, 2, 3, 4, 9
RESIDUALS = frozenset({"free_chlorine", "total_chlorine", "chlorine_dioxide", "ozone"})
DAYS_BEFORE_MS = 2 * 86_400_000
"""How far back the pH of the day before reaches at most."""
EARLIEST_MS = 1_577_836_800_000
"""2020-01-01: an earlier year is a clock that was never set."""


@dataclass(frozen=True, slots=True)
class CrossSettings:
    """What the tests across parameters ask; the table `quality_cross.csv` holds them.

    ph_share : change of the share of HOCl against the day before that makes an uncompensated reading suspect
    over_total_mg_l, over_total_share : free chlorine above total chlorine by more than the larger of both is suspect
    starved_floor : at or below it a cell sees no disinfectant [mg/L]
    starved_after_ms, starved_for_ms : after so long without any, readings are suspect for so long after it came back
    ahead_ms : a reading so far ahead of its receipt has a wrong clock
    """

    ph_share: float
    over_total_mg_l: float
    over_total_share: float
    starved_floor: float
    starved_after_ms: int
    starved_for_ms: int
    ahead_ms: int


def lead_in_ms(settings: QualitySettings, cross: CrossSettings) -> int:
    """How far before a span readings, those of the other series too, must be known for the flags inside it to be those of
    the whole."""
    return max(memory_ms(settings, cross), DAYS_BEFORE_MS if settings.parameter == "free_chlorine" else 0)


def memory_ms(settings: QualitySettings, cross: CrossSettings) -> int:
    """How far back a flag can depend on readings of the series itself."""
    starved = cross.starved_after_ms + cross.starved_for_ms if settings.parameter in RESIDUALS else 0
    return max(settings.memory_ms, starved) + 2 * settings.gap_ms


def assess(columns: Columns, settings: QualitySettings, cross: CrossSettings, *, lateness_ms: int = 2**60) -> Flagged:
    """Flags of readings in the order of arrival.

    Parameters
    ----------
    columns : Columns
        Times in any order; the same time may come again.
    lateness_ms : int
        A reading that comes longer than this after a newer one is not tested and tests no other.

    Returns
    -------
    Flagged
        In the order given. The same time and value again is a duplicate (2); another value for a time is a conflict: all
        rows of that time are suspect, and the lower value stands for it before its neighbours.
    """
    size = len(columns)
    flag = np.full(size, NOT_EVALUATED, np.uint8)
    tests = np.zeros(size, np.int32)
    if not size:
        return Flagged(flag, tests)
    if (columns.times[1:] > columns.times[:-1]).all():
        return assess_ordered(columns, settings, cross)
    newest = np.maximum.accumulate(columns.times)
    is_behind = columns.times < newest
    too_late = columns.times < newest - lateness_ms
    tests[is_behind] |= QualityTest.OUT_OF_ORDER
    order = np.lexsort((np.arange(size), columns.times))
    order = order[~too_late[order]]
    rows, is_conflict, place = _merged(columns, order)
    judged = assess_ordered(columns.take(rows), settings, cross, is_conflict)
    flag[order] = judged.flag[place]
    tests[order] |= judged.tests[place]
    again = order[~np.isin(order, rows) & ~is_conflict[place]]
    flag[again] = NOT_EVALUATED
    tests[again] = tests[again] & QualityTest.OUT_OF_ORDER | QualityTest.DUPLICATE
    return Flagged(flag, tests)


def _merged(
    columns: Columns, order: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Rows that stand for each time, whether other values came for it, and the place of each ordered row among them."""
    times, values = columns.times[order], columns.values[order]
    place = np.cumsum(np.r_[False, times[1:] != times[:-1]])
    # Within a time the lowest value first, missing ones last, then the worst word of the device, then the first to come.
    verdict = np.where(columns.device[order] == MISSING, 0, columns.device[order].astype(np.int64))
    inner = np.lexsort((np.arange(len(order)), -verdict, values, place))
    first = inner[np.r_[True, place[1:] != place[:-1]]]
    lowest = values[first]
    differs = ~((values == lowest[place]) | (np.isnan(values) & np.isnan(lowest[place])))
    is_conflict = np.zeros(len(first), np.bool_)
    is_conflict[place[differs]] = True
    return order[first], is_conflict, place


def assess_ordered(
    columns: Columns, settings: QualitySettings, cross: CrossSettings, is_conflict: npt.NDArray[np.bool_] | None = None
) -> Flagged:
    """The same of readings with ascending, unique times."""
    s, values, times, around = settings, columns.values, columns.times, columns.around
    size = len(columns)
    no_flow = around.sample_flow < 0.5
    in_service = around.maintenance >= 0.5
    ranges = gross_range(values, s.fail_min, s.fail_max, s.suspect_min, s.suspect_max)
    is_sound = (ranges != FAIL) & (columns.device != FAIL) & ~in_service
    if s.no_sample_flow == FAIL:
        is_sound &= ~no_flow
    sound = np.where(is_sound, values, np.nan)
    restarts = in_service | np.r_[False, in_service[:-1]] | (around.flow <= 0)
    starts = stretch_starts(times, sound, restarts, s.gap_ms)
    spikes = spike(times, sound, s.spike_suspect, s.spike_fail, s.spike_relative, s.spike_opposed, s.gap_ms)
    is_spike = (spikes == SUSPECT) | (spikes == FAIL)
    flags = np.full(size, NOT_EVALUATED, np.uint8)
    tests = np.zeros(size, np.int32)
    _count(flags, tests, values, ranges, QualityTest.GROSS_RANGE)
    _count(flags, tests, values, spikes, QualityTest.SPIKE)
    if s.rate_suspect > 0 or s.rate_fail > 0:
        rates = rate_of_change(
            times, sound, is_spike, s.rate_suspect, s.rate_fail, s.rate_base_ms, s.rate_relative, s.gap_ms
        )
        _count(flags, tests, values, rates, QualityTest.RATE_OF_CHANGE)
    if s.flat_suspect_ms > 0 or s.flat_fail_ms > 0:
        flat = flat_line(times, sound, starts, s.flat_tolerance, s.flat_suspect_ms, s.flat_fail_ms, s.flat_floor)
        _count(flags, tests, values, flat, QualityTest.FLAT_LINE)
    if s.attenuated_ms > 0:
        least = max(3, round(0.6 * s.attenuated_ms / max(1, s.gap_ms / 3)))
        weak = attenuated_signal(
            times, sound, starts, s.attenuated_ms, s.attenuated_suspect, s.attenuated_fail, RANGE, least
        )
        weak[sound <= s.flat_floor] = PASS
        _count(flags, tests, values, weak, QualityTest.ATTENUATED_SIGNAL)
    for test, level, where in _conditions(columns, s, cross, starts, no_flow, in_service, is_conflict):
        _raise(flags, tests, values, where, level, test)
    tests[_after_silence(times, values, s.gap_ms)] |= QualityTest.GAP
    return Flagged(flags, tests)


def _conditions(columns, s, cross, starts, no_flow, in_service, is_conflict):
    """Conditions that make a reading suspect or fail by what is known around it: (test, flag, where)."""
    values, around, device = columns.values, columns.around, columns.device
    # A recording may well be from before 2020; a device that sends today may not.
    is_wrong = (columns.received > 0) & (
        (columns.times > columns.received + cross.ahead_ms) | (columns.times < EARLIEST_MS)
    )
    found = [
        (QualityTest.DEVICE, FAIL, device == FAIL),
        (QualityTest.DEVICE, SUSPECT, device == SUSPECT),
        (QualityTest.CLOCK, SUSPECT, is_wrong),
        (QualityTest.MAINTENANCE, SUSPECT, in_service),
    ]
    if is_conflict is not None:
        found.append((QualityTest.CONFLICT, SUSPECT, is_conflict))
    if s.no_sample_flow:
        found.append((QualityTest.SAMPLE_FLOW, s.no_sample_flow, no_flow))
    if s.parameter in ("free_chlorine", "total_chlorine"):
        free = values if s.parameter == "free_chlorine" else around.free_chlorine
        total = values if s.parameter == "total_chlorine" else around.total_chlorine
        over = free - total > np.maximum(cross.over_total_mg_l, cross.over_total_share * np.abs(total))
        found.append((QualityTest.FREE_ABOVE_TOTAL, SUSPECT, over))
    if s.parameter == "free_chlorine":
        shift = np.abs(hocl_ratio(around.ph, around.ph_before, around.temperature) - 1) > cross.ph_share
        found.append((QualityTest.PH_EFFECT, SUSPECT, shift))
    if s.parameter in RESIDUALS and cross.starved_after_ms > 0:
        since = low_since(columns.times, values, starts, cross.starved_floor)
        where = _starved(columns.times, values, since, cross.starved_after_ms, cross.starved_for_ms)
        found.append((QualityTest.STARVED_CELL, SUSPECT, where))
    return found


@compiled
def _starved(times, values, since, after_ms, for_ms):
    """Readings in the first ``for_ms`` after a cell has been without disinfectant for ``after_ms``."""
    where = np.zeros(len(values), np.bool_)
    until = -1
    for n in range(len(values)):
        if np.isnan(values[n]):
            continue
        if since[n] >= 0:
            if times[n] - since[n] >= after_ms:
                until = times[n] + for_ms
        elif times[n] <= until:
            where[n] = True
    return where


@compiled
def _after_silence(times, values, gap_ms):
    where = np.zeros(len(values), np.bool_)
    last = -1
    for n in range(len(values)):
        if not np.isnan(values[n]):
            where[n] = last >= 0 and times[n] - times[last] > gap_ms
            last = n
    return where


def _count(flags, tests, values, found, test):
    _count_in(flags, tests, values, found, int(test))


@compiled
def _count_in(flags, tests, values, found, bit):
    """Take a test's flags into the flags so far: missing < not evaluated < pass < suspect < fail."""
    for n in range(len(flags)):
        if np.isnan(values[n]):
            flags[n] = MISSING
            tests[n] = 1
            continue
        one = found[n]
        if one in (SUSPECT, FAIL):
            tests[n] |= bit
            if flags[n] != FAIL:
                flags[n] = one
        elif one == PASS and flags[n] == NOT_EVALUATED:
            flags[n] = PASS


def _raise(flags, tests, values, where, level, test):
    """Make readings at least suspect or fail where a condition holds."""
    with np.errstate(invalid="ignore"):
        held = where & ~np.isnan(values)
    flags[held & (flags != FAIL)] = level
    tests[held] |= int(test)
