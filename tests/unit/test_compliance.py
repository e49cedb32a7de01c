"""Compliance by time: expected values worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from qingquan.domain.compliance import Compliance, ComplianceVerdict
from qingquan.domain.findings import DisinfectionState
from qingquan.standards.loader import limit_for, load_standards
from rules.compliance import Tasks, bound_of, statistics, usable_readings
from rules.compliance_periods import month_of, verdict
from rules.disinfection_time import known_spans, state_times

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
HOLD = 15 * MINUTE


def one(
    readings: list[tuple[int, float]],
    *,
    low: float = 0.3,
    high: float = 2.0,
    end: int = DAY,
    window: int = 0,
    flags: list[int] | None = None,
    held: list[tuple[int, int]] | None = None,
    lost_below: float = -math.inf,
) -> np.void:
    at = np.array([minute * MINUTE for minute, _ in readings], np.int64)
    value = np.array([v for _, v in readings], np.float64)
    flag = np.array(flags or [1] * len(readings), np.uint8)
    tasks = Tasks(*(np.array([n], np.int64) for n in (0, end, HOLD, window)), np.array([low]), np.array([high]))
    usable = usable_readings(at, value, flag, held or [], lost_below)
    return statistics(tasks, np.array([0, len(at)]), at, value, usable)[0]


def test_a_day_without_readings_is_unknown_not_compliant() -> None:
    row = one([])
    assert (row["received"], row["compliant_ms"], row["exceeding_ms"], row["worst_at"]) == (0, 0, 0, -1)
    assert math.isnan(row["worst"])


def test_a_reading_speaks_until_the_next_and_never_longer_than_the_hold() -> None:
    row = one([(0, 0.5), (10, 0.5), (60, 0.5)])
    assert row["compliant_ms"] == (10 + 15 + 15) * MINUTE


def test_time_below_and_above_the_limit_exceeds_and_the_rest_complies() -> None:
    row = one([(0, 0.5), (10, 0.2), (20, 0.1), (30, 0.5), (40, 2.5), (45, 1.0)])
    assert row["exceeding_ms"] == 25 * MINUTE
    assert row["compliant_ms"] == (10 + 10 + 15) * MINUTE
    assert (row["episodes"], row["longest_ms"]) == (2, 20 * MINUTE)
    assert (row["usable"], row["met"]) == (6, 3)
    assert (row["worst"], row["worst_at"]) == (0.1, 20 * MINUTE)


def test_the_limit_itself_complies_and_the_next_number_beyond_does_not() -> None:
    assert one([(0, 0.3), (10, 2.0)])["exceeding_ms"] == 0
    assert one([(0, math.nextafter(0.3, 0))])["exceeding_ms"] == HOLD
    assert one([(0, math.nextafter(2.0, 3))])["exceeding_ms"] == HOLD


@pytest.mark.parametrize("flag", [3, 4, 9])
def test_a_doubtful_reading_ends_what_was_known_and_counts_for_nothing(flag: int) -> None:
    row = one([(0, 0.5), (5, 0.1), (10, 0.5)], flags=[1, flag, 1])
    assert (row["compliant_ms"], row["exceeding_ms"]) == ((5 + 15) * MINUTE, 0)
    assert (row["received"], row["usable"], row["worst"]) == (3, 2, 0.5)


def test_a_missing_value_is_received_but_not_usable() -> None:
    row = one([(0, math.nan)])
    assert (row["received"], row["usable"], row["compliant_ms"]) == (1, 0, 0)


def test_readings_of_a_broken_instrument_are_held_out_except_a_residual_near_zero() -> None:
    held = [(0, 20 * MINUTE)]
    assert one([(0, 0.5), (10, 0.5)], held=held)["usable"] == 0
    row = one([(0, 0.5), (10, 0.01)], held=held, lost_below=0.3)
    assert (row["usable"], row["exceeding_ms"]) == (1, 15 * MINUTE)


def test_the_reading_before_midnight_tells_how_the_day_begins() -> None:
    row = one([(-5, 0.1), (5, 0.5)])
    assert (row["exceeding_ms"], row["head_ms"]) == (5 * MINUTE, 5 * MINUTE)
    assert (row["received"], row["worst"]) == (1, 0.5)


def test_an_exceedance_up_to_midnight_is_known_as_such() -> None:
    row = one([(24 * 60 - 10, 0.1)])
    assert (row["exceeding_ms"], row["tail_ms"], row["head_ms"]) == (10 * MINUTE, 10 * MINUTE, 0)


def test_a_gap_breaks_an_exceedance() -> None:
    row = one([(0, 0.1), (60, 0.1)])
    assert (row["episodes"], row["longest_ms"], row["exceeding_ms"]) == (2, 15 * MINUTE, 30 * MINUTE)


def test_an_hourly_mean_hides_a_peak_and_an_hour_known_too_little_is_unknown() -> None:
    readings = [(m, 5.0 if m == 0 else 0.5) for m in range(60)] + [(70, 9.0)]
    row = one(readings, low=-math.inf, high=1.0, window=HOUR)
    assert (row["compliant_ms"], row["exceeding_ms"]) == (HOUR, 0)
    assert row["worst"] == pytest.approx((5.0 + 59 * 0.5) / 60)
    assert one([(m, 1.5) for m in range(36)], high=1.0, window=HOUR)["exceeding_ms"] == HOUR


def test_the_mean_is_weighted_by_time() -> None:
    row = one([(0, 1.0), (15, 0.5)])
    assert row["integral"] / (30 * MINUTE) == pytest.approx(0.75)


def test_a_strict_limit_excludes_its_own_value() -> None:
    limits = load_standards().limits
    day = __import__("datetime").date(2026, 5, 1)
    strict = limit_for(limits, "giardia", "outlet", day, small_limited=False)
    assert strict is not None
    assert bound_of(strict).high < 1.0


def day(number: int, **changes: object) -> Compliance:
    start = (number - 1) * DAY
    plain = Compliance(
        "520425", "W0001", "outlet", "turbidity", f"2026-05-{number:02}", start, start + DAY, 1440, 1440, 1440, 1440,
        DAY, 0, 0, 0.5, 0.9, start, 0, 0, 0, 0, 0, "row", "GB 5749-2022", "Table 1", "instant", None, 1.0,
        ComplianceVerdict.COMPLIANT,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def month(days: list[Compliance], **changes: object) -> Compliance:
    return month_of([replace(d, **changes) for d in days], "2026-05", 0, 31 * DAY, MINUTE)  # type: ignore[arg-type]


def test_days_without_figures_are_unknown_in_the_month() -> None:
    found = month([day(n) for n in range(1, 11)])
    assert found.unknown_ms == 21 * DAY
    assert found.coverage == pytest.approx(10 / 31)
    assert found.verdict is ComplianceVerdict.UNDECIDED
    assert month([day(n) for n in range(1, 20)]).verdict is ComplianceVerdict.COMPLIANT


def test_one_exceedance_exceeds_on_instant_basis() -> None:
    days = [day(n) for n in range(1, 31)]
    days[4] = replace(days[4], compliant_ms=DAY - HOUR, exceeding_ms=HOUR, met=1380, worst=1.4, worst_at=5 * DAY)
    found = month(days)
    assert (found.verdict, found.worst, found.worst_at) == (ComplianceVerdict.EXCEEDING, 1.4, 5 * DAY)


def test_an_exceedance_over_midnight_is_one() -> None:
    first = day(1, exceeding_ms=HOUR, compliant_ms=DAY - HOUR, episodes=1, longest_ms=HOUR, tail_ms=HOUR)
    through = day(2, exceeding_ms=DAY, compliant_ms=0, episodes=1, longest_ms=DAY, head_ms=DAY, tail_ms=DAY)
    last = day(3, exceeding_ms=HOUR, compliant_ms=DAY - HOUR, episodes=1, longest_ms=HOUR, head_ms=HOUR)
    found = month([last, first, through])
    assert (found.episodes, found.longest_ms) == (1, DAY + 2 * HOUR)


def test_a_monthly_mean_is_judged_over_the_month_and_not_by_the_day() -> None:
    days = [day(n, basis="month", mean=1.5 if n < 10 else 0.5) for n in range(1, 31)]
    assert verdict(days[0]) is ComplianceVerdict.UNDECIDED
    assert month(days).verdict is ComplianceVerdict.COMPLIANT
    assert month([replace(d, mean=1.5) for d in days]).verdict is ComplianceVerdict.EXCEEDING
    assert month(days[:10]).verdict is ComplianceVerdict.UNDECIDED


@pytest.mark.parametrize(("met", "found"), [(1368, "compliant"), (1367, "exceeding")])
def test_a_share_of_samples_is_met_at_95_percent_exactly(met: int, found: str) -> None:
    assert verdict(day(1, basis="share_95", met=met)) == found


def test_bases_of_laboratory_samples_stay_undecided() -> None:
    assert verdict(day(1, basis="running_annual_mean")) is ComplianceVerdict.UNDECIDED
    assert verdict(day(1, basis="confirmed_sample")) is ComplianceVerdict.UNDECIDED


def test_times_by_state_cover_the_whole_period_and_the_urgent_one_counts() -> None:
    times = state_times(
        0,
        DAY,
        {
            DisinfectionState.OK: [(0, 20 * HOUR)],
            DisinfectionState.IDLE: [(2 * HOUR, 4 * HOUR)],
            DisinfectionState.MISSING: [(3 * HOUR, 5 * HOUR), (-HOUR, HOUR)],
        },
    )
    assert times == {"missing": 3 * HOUR, "idle": HOUR, "ok": 16 * HOUR, "unknown": 4 * HOUR}


def test_known_spans_join_where_they_touch() -> None:
    at = np.array([-5, 5, 15, 60], np.int64) * MINUTE
    usable = np.array([True, True, True, True])
    assert known_spans(at, usable, HOLD, 0, DAY) == [(0, 30 * MINUTE), (60 * MINUTE, 75 * MINUTE)]
    assert known_spans(at[:0], usable[:0], HOLD, 0, DAY) == []
