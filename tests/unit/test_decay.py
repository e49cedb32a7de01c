"""Decay of the residual: by hand, with known truth, and against simulated networks where those data are at hand."""

import csv
import doctest
import gzip
from pathlib import Path

import numpy as np
import pytest

import rules.decay
from rules.decay import (
    DecayFit,
    EpaWater,
    FitReason,
    epa_residual,
    equivalent_hours,
    expected_residual,
    fit_decay,
    rate_at,
    residual_after,
)

NETWORKS = Path(__file__).parents[2].parent / "shared/data/epanet_chlorine"
needs_networks = pytest.mark.skipif(
    not NETWORKS.is_dir(), reason="simulated networks not at ../shared/data/epanet_chlorine"
)
HOURS = np.array([0.0, 4.0, 8.0, 16.0, 24.0, 36.0, 48.0, 72.0])


def network(name: str, node: str) -> tuple[np.ndarray, np.ndarray]:
    with gzip.open(NETWORKS / f"{name}.csv.gz", "rt") as lines:
        rows = list(csv.DictReader(lines))
    hours = np.array([float(row["t_s"]) for row in rows]) / 3600.0
    return hours, np.array([float(row[f"cl_{node}"]) for row in rows])


def tank_draining() -> list[DecayFit]:
    """Node 12 of Net1 carries nothing but water of the tank for these 8 hours of each day: bulk decay without pipes."""
    hours, chlorine = network("net1_normal", "12")
    starts = 113.5 + 24.0 * np.arange(9)
    runs = [(hours >= start) & (hours <= start + 8.0) for start in starts]
    return [fit_decay(hours[run] - hours[run][0], chlorine[run]) for run in runs]


def test_the_worked_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(rules.decay)
    assert result.attempted > 5
    assert result.failed == 0


def test_a_day_at_a_rate_of_ln_2_halves_the_residual() -> None:
    assert residual_after([0.8], np.log(2.0), [24.0])[0] == pytest.approx(0.4)


def test_missing_inputs_stay_missing() -> None:
    assert np.isnan(residual_after([np.nan, 0.5, 0.5], [0.5, np.nan, 0.5], [1.0, 1.0, np.nan])).all()
    assert np.isnan(residual_after([1.0], [-1e6], [1e6])).all()
    assert np.isnan(rate_at([0.5], [np.nan])).all()


def test_ten_degrees_at_theta_1_1_multiply_the_rate_by_2_59() -> None:
    assert rate_at([0.5], [30.0])[0] == pytest.approx(0.5 * 1.1**10)
    with pytest.raises(ValueError, match="theta"):
        rate_at([0.5], [30.0], theta=0.0)


@pytest.mark.parametrize("true_rate", [0.02, 0.5, 5.0, 17.0])
def test_samples_on_a_curve_give_the_curve_back(true_rate: float) -> None:
    hours = HOURS / true_rate / 2
    fit = fit_decay(hours, 1.2 * np.exp(-true_rate * hours / 24))
    assert fit.reason is FitReason.FITTED
    assert fit.rate == pytest.approx(true_rate, rel=1e-6)
    assert fit.initial == pytest.approx(1.2, rel=1e-6)
    assert fit.residual_sd < 1e-6


def test_the_initial_residual_is_that_of_hour_zero_even_if_sampling_began_later() -> None:
    fit = fit_decay(HOURS + 10.0, 0.9 * np.exp(-0.6 * (HOURS + 10.0) / 24))
    assert fit.initial == pytest.approx(0.9, rel=1e-6)


def test_the_interval_holds_the_true_rate_about_as_often_as_it_claims() -> None:
    random = np.random.default_rng(7)
    truth = 0.8 * np.exp(-0.5 * HOURS / 24)
    fits = [fit_decay(HOURS, truth + random.normal(0, 0.02, len(HOURS)), 0.9) for _ in range(200)]
    held = [fit.rate_low <= 0.5 <= fit.rate_high for fit in fits]
    assert 0.84 <= np.mean(held) <= 0.96


def test_the_expected_residual_holds_a_new_sample_about_as_often_as_it_claims() -> None:
    random = np.random.default_rng(8)
    truth, held = 0.8 * np.exp(-0.5 * HOURS / 24), 0
    for _ in range(200):
        fit = fit_decay(HOURS, truth + random.normal(0, 0.02, len(HOURS)), 0.9)
        end = expected_residual(fit, [0.6], [30.0])
        sample = 0.6 * np.exp(-0.5 * 30 / 24) + random.normal(0, 0.02)
        held += bool(end.low[0] <= sample <= end.high[0])
    assert 0.84 <= held / 200 <= 0.96


def test_samples_at_different_temperatures_give_one_rate_over_equivalent_hours() -> None:
    temperature = np.array([8.0, 12.0, 20.0, 25.0, 16.0, 10.0, 22.0, 18.0])
    chlorine = residual_after(0.8, rate_at(0.5, temperature), HOURS)
    fit = fit_decay(equivalent_hours(HOURS, temperature), chlorine)
    assert fit.rate == pytest.approx(0.5, rel=1e-6)


def test_missing_and_negative_samples_are_dropped_and_counted() -> None:
    truth = 0.8 * np.exp(-0.5 * HOURS / 24)
    truth[2], truth[5] = np.nan, -0.1
    fit = fit_decay(HOURS, truth)
    assert (fit.samples, fit.dropped) == (6, 2)
    assert fit.rate == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    ("hours", "chlorine", "reason"),
    [
        ([], [], FitReason.TOO_FEW_SAMPLES),
        ([0, 1, 2], [0.8, 0.7, 0.6], FitReason.TOO_FEW_SAMPLES),
        ([1, 1, 1, 1], [0.8, 0.7, 0.6, 0.5], FitReason.NO_SPREAD_IN_TIME),
        ([0, 1, 2, 3], [0, 0, 0, 0], FitReason.NO_CHLORINE),
        ([0, 1, 2, 3], [np.nan] * 4, FitReason.TOO_FEW_SAMPLES),
    ],
)
def test_where_nothing_can_be_fitted_a_reason_says_why(
    hours: list[float], chlorine: list[float], reason: FitReason
) -> None:
    fit = fit_decay(hours, chlorine)
    assert fit.reason is reason
    assert np.isnan(fit.rate)
    assert not fit.is_decaying
    assert np.isnan(expected_residual(fit, [0.5], [1.0]).value).all()


def test_a_steady_residual_shows_no_decay() -> None:
    random = np.random.default_rng(9)
    assert not fit_decay(HOURS, 0.5 + random.normal(0, 0.02, len(HOURS))).is_decaying


def test_wrong_arguments_are_errors() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        fit_decay([0, 1], [0.5, 0.4, 0.3])
    with pytest.raises(ValueError, match="confidence"):
        fit_decay(HOURS, HOURS, 1.0)


def test_nothing_is_expected_of_water_that_has_not_left() -> None:
    fit = fit_decay(HOURS, 0.8 * np.exp(-0.5 * HOURS / 24))
    assert np.isnan(expected_residual(fit, [0.6], [-1.0]).value[0])
    assert expected_residual(fit, [0.6], [0.0]).value[0] == pytest.approx(0.6)
    assert expected_residual(fit, [0.01], [500.0]).low[0] >= 0.0


@pytest.mark.parametrize("water", list(EpaWater))
def test_the_epa_model_solves_its_own_equation(water: EpaWater) -> None:
    a, b, c = {EpaWater.RAW: (-0.8147, -2.2808, -1.2971), EpaWater.COAGULATED: (-0.8404, -0.4040, -0.9108)}[water]
    dose, hours, toc, uv = (
        np.array(x) for x in ([3.0, 2.0, 5.0], [1.0, 24.0, 48.0], [2.0, 1.5, 3.0], [0.05, 0.03, 0.06])
    )
    left = epa_residual(dose, hours, toc, uv, water)
    rest = a * dose * np.log(dose / left) - b * (dose / uv) ** c * toc * hours + dose - left
    assert np.abs(rest).max() < 1e-9
    assert ((left > 0) & (left < dose)).all()


def test_the_epa_model_falls_with_time_and_stays_in_its_domain() -> None:
    hours = np.array([0.2, 0.25, 1.0, 24.0, 120.0, 121.0, np.nan])
    left = epa_residual(3.0, hours, 3.0, 0.06, EpaWater.RAW)
    assert np.isnan(left[[0, 5, 6]]).all()
    assert (np.diff(left[1:5]) < 0).all()
    assert np.isnan(epa_residual([3, 3, 0, 3], 1.0, [1.1, 16.1, 3, 3], [0.06, 0.06, 0.06, 0], EpaWater.RAW)).all()


@needs_networks
def test_water_of_a_tank_in_net1_decays_at_the_bulk_rate_the_network_was_given() -> None:
    rates = np.array([fit.rate for fit in tank_draining()])
    assert len(rates) == 9
    assert np.abs(rates - 0.5).max() < 0.015


@needs_networks
def test_standing_water_in_a_wide_pipe_of_net3_lies_between_bulk_and_bulk_plus_wall() -> None:
    """Node 10 at night: wall 0.05 m/day in a pipe of 99 inches adds at most 2 x 0.05 / 1.257 = 0.08 /day."""
    hours, chlorine = network("net3_dosing_faults", "10")
    run = (hours >= 111.5) & (hours <= 120.0)
    fit = fit_decay(hours[run] - hours[run][0], chlorine[run])
    assert 0.5 <= fit.rate <= 0.58


@needs_networks
def test_the_rate_of_one_night_foretells_the_next() -> None:
    hours, chlorine = network("net1_normal", "12")
    fit = tank_draining()[0]
    run = (hours >= 137.5) & (hours <= 145.5)
    first = chlorine[run][0]
    expected = expected_residual(fit, np.full(run.sum(), first), hours[run] - hours[run][0])
    assert np.abs(expected.value - chlorine[run]).max() < 0.002


@needs_networks
def test_with_instrument_noise_the_interval_still_holds_the_bulk_rate() -> None:
    random = np.random.default_rng(11)
    hours, chlorine = network("net1_normal", "12")
    held = 0
    for day in range(9):
        run = (hours >= 113.5 + 24 * day) & (hours <= 121.5 + 24 * day)
        fit = fit_decay(hours[run] - hours[run][0], chlorine[run] + random.normal(0, 0.01, run.sum()))
        held += fit.rate_low <= 0.5 <= fit.rate_high
    assert held >= 7
