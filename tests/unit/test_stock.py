"""How long the disinfectant lasts and how strong it is."""

import doctest

import numpy as np
import pytest

import rules.stock
from rules.stock import StockReason, days_left, hypochlorite_strength

DAY = 86_400_000.0
TIMES = np.arange(0, 14 * 24, 1.0) / 24.0


def level(per_day: float, start: float = 90.0, refill_at: float | None = None, sd: float = 0.3) -> np.ndarray:
    """Hourly level over 14 days, filled up to the start again on day ``refill_at``."""
    since = TIMES if refill_at is None else np.where(refill_at > TIMES, TIMES, TIMES - refill_at)
    return start - per_day * since + np.random.default_rng(5).normal(0, sd, len(TIMES))


def test_the_worked_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(rules.stock)
    assert result.attempted > 3
    assert result.failed == 0


def test_days_left_are_what_is_there_over_what_is_used() -> None:
    outlook = days_left(TIMES * DAY, level(5.0))
    assert outlook.reason is StockReason.ESTIMATED
    assert outlook.use_per_day == pytest.approx(5.0, rel=0.01)
    assert outlook.days == pytest.approx(20.0 / 5.0, abs=0.2)
    assert outlook.days_low is not None
    assert outlook.days_high is not None
    assert outlook.days is not None
    assert outlook.days_low <= outlook.days <= outlook.days_high


@pytest.mark.parametrize("refill_at", [3.0, 7.5, 11.0])
def test_a_refill_does_not_look_like_negative_use(refill_at: float) -> None:
    outlook = days_left(TIMES * DAY, level(5.0, refill_at=refill_at))
    assert outlook.refills == 1
    assert outlook.use_per_day == pytest.approx(5.0, rel=0.02)
    assert outlook.days == pytest.approx((90 - 5 * (14 - refill_at)) / 5.0, abs=0.4)


def test_a_refill_right_now_counts_at_once() -> None:
    series = level(5.0)
    series[-3:] = 95.0
    outlook = days_left(TIMES * DAY, series)
    assert outlook.level == pytest.approx(95.0, abs=1.0)
    assert outlook.days == pytest.approx(19.0, abs=0.6)


def test_a_slow_filling_in_small_steps_hardly_counts() -> None:
    series = level(5.0, refill_at=7.0)
    filling = (TIMES >= 6.75) & (TIMES < 7.25)
    series[filling] = np.linspace(55.0, 88.0, filling.sum())
    assert days_left(TIMES * DAY, series).use_per_day == pytest.approx(5.0, rel=0.1)


def test_dosing_by_day_only_is_averaged_over_the_days() -> None:
    by_day = 90 - 5.0 * (np.floor(TIMES) + np.clip((TIMES % 1 - 0.25) / 0.5, 0, 1))
    assert days_left(TIMES * DAY, by_day).use_per_day == pytest.approx(5.0, rel=0.05)


def test_a_level_that_stands_still_is_said_not_to_fall() -> None:
    for seed in range(10):
        series = 60.0 + np.random.default_rng(seed).normal(0, 0.3, len(TIMES))
        outlook = days_left(TIMES * DAY, series)
        if outlook.reason is StockReason.NOT_FALLING:
            break
    assert outlook.reason is StockReason.NOT_FALLING
    assert outlook.days is None
    assert days_left(TIMES * DAY, np.full(len(TIMES), 60.0)).reason is StockReason.NOT_FALLING


def test_an_empty_tank_has_no_day_left() -> None:
    outlook = days_left(TIMES * DAY, level(6.5, sd=0.0), empty=5.0)
    assert (outlook.reason, outlook.days) == (StockReason.EMPTY, 0.0)


@pytest.mark.parametrize("hours", [0, 1, 12])
def test_less_than_a_day_is_no_history(hours: int) -> None:
    outlook = days_left(TIMES[:hours] * DAY, level(5.0)[:hours])
    assert outlook.reason is StockReason.HISTORY_TOO_SHORT
    assert outlook.days is None


def test_missing_readings_and_order_of_arrival_change_nothing() -> None:
    series = level(5.0)
    order = np.random.default_rng(6).permutation(len(series))
    at, mixed = np.append(TIMES[order] * DAY, np.nan), np.append(series[order], 50.0)
    assert days_left(at, mixed) == days_left(TIMES * DAY, series)


def test_hypochlorite_of_two_molar_loses_by_second_order_as_worked_by_hand() -> None:
    """k2 at 25 degC and mu 4.1: 10^(0.611) x 1.016e-8 = 4.15e-8 L/(mol s); 30 days of 2 mol/L: 1 + 0.215."""
    assert hypochlorite_strength([141.812], [30.0], [25.0])[0] == pytest.approx(141.812 / 1.215, rel=0.005)


def test_hypochlorite_keeps_longer_cold_or_diluted() -> None:
    left = hypochlorite_strength([120.0, 120.0, 60.0], [60.0] * 3, [30.0, 15.0, 30.0]) / np.array([120.0, 120.0, 60.0])
    assert left[0] < left[2] < 1
    assert left[0] < left[1] < 1
    assert hypochlorite_strength([120.0, 0.0], [0.0, 9.0], [20.0, 20.0]).tolist() == pytest.approx([120.0, 0.0])


@pytest.mark.parametrize(
    ("initial", "age", "temperature"),
    [(np.nan, 1, 20), (120, np.nan, 20), (120, 1, np.nan), (-1, 1, 20), (120, -1, 20), (120, 1, 56), (120, 1, -1), (230, 1, 20), (np.inf, 1, 20)],
)  # fmt: skip
def test_outside_what_the_equation_covers_there_is_no_strength(initial: float, age: float, temperature: float) -> None:
    assert np.isnan(hypochlorite_strength([initial], [age], [temperature])[0])
