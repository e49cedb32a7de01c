"""Whether a residual is falling and when it will be too low."""

import doctest

import numpy as np
import pytest

import rules.trend
from rules.trend import bucket_medians, fall_below, forecast_sentence, sen_trend

MINUTES = np.arange(360) * 60_000.0
HOURS = np.arange(360) / 60.0


def noise(seed: int, sd: float, memory: float = 0.9) -> np.ndarray:
    """Readings that resemble their neighbours, as those of an instrument do."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, sd * np.sqrt(1 - memory**2), len(MINUTES))
    found = np.empty(len(MINUTES))
    found[0] = random.normal(0, sd)
    for index in range(1, len(found)):
        found[index] = memory * found[index - 1] + steps[index]
    return found


def test_the_worked_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(rules.trend)
    assert result.attempted > 5
    assert result.failed == 0


def test_a_steady_fall_is_foretold_with_an_interval_that_holds_the_truth() -> None:
    """0.60 mg/L falling 0.04 an hour: 0.36 after six hours, 0.30 another hour and a half later."""
    found = [fall_below(MINUTES, 0.60 - 0.04 * HOURS + noise(seed, 0.01), 0.3, 0.02) for seed in range(20)]
    assert all(one is not None for one in found)
    assert np.median([one.hours for one in found if one]) == pytest.approx(1.5, abs=0.15)
    assert np.mean([one.hours_low <= 1.5 <= one.hours_high for one in found if one]) >= 0.8
    assert all(one.hours_low <= one.hours <= one.hours_high for one in found if one)


def test_order_of_arrival_and_missing_readings_change_nothing() -> None:
    series = 0.60 - 0.04 * HOURS + noise(1, 0.01)
    order = np.random.default_rng(2).permutation(len(series))
    holed = np.append(series[order], [np.nan, np.nan])
    assert fall_below(np.append(MINUTES[order], [0.0, np.nan]), holed, 0.3, 0.02) == fall_below(
        MINUTES, series, 0.3, 0.02
    )


def test_steady_water_with_an_instruments_memory_is_seldom_called_falling() -> None:
    found = [fall_below(MINUTES, 0.45 + noise(seed, 0.05, 0.9), 0.3, 0.02) for seed in range(30)]
    assert sum(one is not None for one in found) <= 1


@pytest.mark.parametrize(
    "series",
    [
        np.where(HOURS < 2, 0.8, 0.5) + noise(3, 0.005),
        0.40 + 0.03 * HOURS + noise(3, 0.005),
        0.45 - 0.004 * HOURS,
        np.full(360, 0.5),
        0.28 - 0.03 * HOURS,
        2.00 - 0.03 * HOURS,
        np.full(360, np.nan),
    ],
    ids=["a step hours ago", "rising", "too little to see", "flat", "below already", "far away", "no readings"],
)  # fmt: skip
def test_where_there_is_nothing_to_foretell_there_is_no_forecast(series: np.ndarray) -> None:
    assert fall_below(MINUTES, series, 0.3, 0.02) is None


def test_few_readings_are_no_history() -> None:
    assert fall_below(MINUTES[:11], 0.6 - 0.02 * np.arange(11), 0.3, 0.02) is None
    assert fall_below([], [], 0.3, 0.02) is None


def test_a_forecast_reaches_at_most_twice_as_far_as_its_history_and_no_further_than_asked() -> None:
    series = 0.9 - 0.025 * HOURS
    assert fall_below(MINUTES, series, 0.3, 0.02) is None
    near = 0.72 - 0.025 * HOURS
    assert fall_below(MINUTES, near, 0.3, 0.02) is not None
    assert fall_below(MINUTES, near, 0.3, 0.02, horizon_h=6.0) is None


def test_a_few_spikes_do_not_move_the_slope() -> None:
    series = 0.60 - 0.04 * HOURS
    series[50:53] = 4.0
    one = fall_below(MINUTES, series, 0.3, 0.02)
    assert one is not None
    assert one.slope_per_h == pytest.approx(-0.04, rel=0.01)


def test_the_slope_is_the_median_of_all_pairs() -> None:
    """Pairs of (0, 1), (1, 3), (2, 2), (3, 6) rise by 2, 1/2, 5/3, -1, 3/2, 4 per hour."""
    trend = sen_trend(np.arange(4.0), np.array([1.0, 3.0, 2.0, 6.0]), 0.05)
    assert trend.slope == pytest.approx((1.5 + 5 / 3) / 2)
    assert sen_trend(np.arange(2.0), np.arange(2.0), 0.05).p_value == 1.0


def test_buckets_of_one_instant_or_of_nothing_are_answered() -> None:
    assert [a.tolist() for a in bucket_medians([5, 5, 5], [1, 2, 9], 4)] == [[0.0], [2.0]]
    assert [a.tolist() for a in bucket_medians([np.nan], [1], 4)] == [[], []]
    with pytest.raises(ValueError, match="shapes differ"):
        bucket_medians([1, 2], [1, 2, 3], 4)


def test_less_than_an_hour_and_a_half_is_told_in_minutes() -> None:
    one = fall_below(MINUTES, 0.57 - 0.04 * HOURS, 0.3, 0.02)
    assert one is not None
    assert "45分钟后将低于0.3 mg/L" in forecast_sentence(one, "游离氯", "mg/L")
    assert "in about 45 min" in forecast_sentence(one, "Free chlorine", "mg/L", "en")
