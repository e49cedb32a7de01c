"""The physics behind the simulated readings."""

from dataclasses import replace

import numpy as np
import pytest

from qingquan.domain.works import Disinfectant
from simulators.county import county
from simulators.instruments import INSTRUMENTS, Instruments
from simulators.weather import Weather
from simulators.works_model import Controls, WorksModel, _mixed, demand_pattern, draw_traits

START = 1_780_000_000_000
WORKS = county(60, 4)


def _model(seed=4, rain=0.0, works=WORKS, **changes):
    traits = replace(draw_traits(works, seed), **changes)
    return WorksModel(traits, seed, START, rain_factor=rain)


def _run(model, minutes, controls=None, dt_s=60, at=START):
    controls = controls or Controls.none(len(model.flow))
    rows = []
    for k in range(minutes * 60 // dt_s):
        model.step(at + k * dt_s * 1000, dt_s, controls)
        rows.append((model.flow.copy(), model.outlet.copy(), model.outlet_ntu.copy(), model.level.copy()))
    return [np.array(column) for column in zip(*rows, strict=True)]


def test_a_mixed_volume_follows_its_differential_equation():
    held, entering, exchange, decay = 0.6, 0.2, 1 / 1800, 2e-5
    small = held
    for _ in range(36_000):
        small += 0.1 * (exchange * (entering - small) - decay * small)
    exact = _mixed(np.array([held]), np.array([entering]), np.array([exchange]), np.array([decay]), 3600.0)
    assert exact[0] == pytest.approx(small, rel=1e-4)


def test_one_long_step_of_a_mixed_volume_equals_many_short_ones():
    rates = np.array([1 / 1800]), np.array([2e-5])
    once = _mixed(np.array([0.6]), np.array([0.2]), *rates, 3600.0)
    many = np.array([0.6])
    for _ in range(60):
        many = _mixed(many, np.array([0.2]), *rates, 60.0)
    assert many[0] == pytest.approx(once[0], rel=1e-12)


def test_demand_peaks_in_the_morning_and_more_in_the_evening_and_its_mean_is_one():
    hours = np.arange(0, 24, 1 / 60)
    demand = demand_pattern(hours)
    assert demand.mean() == pytest.approx(1.0)
    assert 6 < hours[:720][np.argmax(demand[:720])] < 9
    assert 17 < hours[np.argmax(demand)] < 20
    assert demand[180] < 0.7


def test_the_works_deliver_what_the_villages_use_and_the_tank_neither_empties_nor_overflows():
    model = _model(is_intermittent=np.zeros(len(WORKS), bool))
    flow, _, _, level = _run(model, 3 * 1440)
    assert flow.mean(axis=0) == pytest.approx(model.traits.mean_flow, rel=0.12)
    assert level.min() > 0.2
    assert level.max() < 0.98


def test_residual_falls_with_the_time_constant_of_the_contact_tank_once_dosing_stops():
    t = draw_traits(WORKS, 4)
    # Without immediate demand, only dilution and slow decay remain: a pure exponential in tank volumes passed.
    model = _model(demand=np.zeros(len(WORKS)), decay_per_d=np.zeros(len(WORKS)))
    before = model.outlet.copy()
    controls = Controls.none(len(WORKS))
    controls.doser_off[:] = True
    flow, outlet, _, _ = _run(model, 90, controls)
    dosed = t.has_residual & ~t.is_intermittent
    volumes = (flow / 60).sum(axis=0) / t.contact_m3
    assert outlet[-1][dosed] == pytest.approx((before * np.exp(-volumes))[dosed], rel=1e-6)
    assert np.all(np.diff(outlet[:, dosed], axis=0) < 0)


def test_a_stopped_doser_loses_the_residual_within_hours_and_brings_it_back():
    model = _model()
    dosed = model.traits.has_residual & ~model.traits.is_intermittent
    controls = Controls.none(len(WORKS))
    controls.doser_off[:] = True
    _, outlet, _, _ = _run(model, 300, controls)
    assert outlet[-1][dosed].max() < 0.01
    _, outlet, _, _ = _run(model, 480, at=START + 300 * 60_000)
    assert outlet[-1][dosed] == pytest.approx(model.traits.setpoint[dosed], rel=0.25)


def test_an_empty_tank_stops_disinfection_while_the_pump_goes_on_running():
    model = _model()
    dosed = model.traits.has_residual & ~model.traits.is_intermittent
    controls = Controls.none(len(WORKS))
    controls.solution_out[:] = True
    _, outlet, _, _ = _run(model, 300, controls)
    assert model.doser[dosed].all()
    assert (model.stock == 0).all()
    assert outlet[-1][dosed].max() < 0.01


@pytest.mark.parametrize("dt_s", [1, 60, 600])
def test_no_concentration_is_ever_negative_whatever_is_done_to_the_works(dt_s):
    model, rng = _model(rain=3.0), np.random.default_rng(1)
    for k in range(300):
        controls = Controls(*(rng.random((3, len(WORKS))) < 0.3), np.where(rng.random(len(WORKS)) < 0.2, 8.0, 0.0))
        model.step(START + k * dt_s * 1000, dt_s, controls)
        assert model.outlet.min() >= 0
        assert model.network.min() >= 0
        assert model.stock.min() >= 0
        assert 0 <= model.level.min() <= model.level.max() <= 1
        assert np.isfinite(model.source_ntu).all()


def test_without_mains_nothing_flows_and_nothing_is_dosed():
    model = _model()
    controls = Controls.none(len(WORKS))
    controls.mains_off[:] = True
    flow, outlet, _, level = _run(model, 60, controls)
    assert flow.max() == 0
    assert not model.doser.any()
    assert np.all(level[-1] < level[0])
    dosed = model.traits.has_residual
    assert np.all(outlet[-1][dosed] > 0.8 * outlet[0][dosed])  # standing water loses its residual slowly


def test_calm_weather_and_working_dosing_keep_the_water_good_for_days():
    model = _model()
    _, outlet, ntu, _ = _run(model, 2 * 1440)
    chlorine = model.traits.has_residual & ~model.traits.is_chlorine_dioxide
    dioxide = np.array([works.disinfectant is Disinfectant.CHLORINE_DIOXIDE for works in WORKS])
    assert outlet[:, chlorine].min() > 0.35
    assert outlet[:, chlorine].max() < 1.5
    assert outlet[:, dioxide].min() > 0.15
    assert outlet[:, dioxide].max() < 0.6
    assert ntu.max() < 0.8


def test_rain_makes_a_spring_turbid_quickly_and_it_clears_slowly():
    weather = Weather(13, 8, 1.0)
    wet = []
    for minute in range(30 * 1440):
        weather.step(START + minute * 60_000, 60)
        wet.append(weather.wetness[0])
    wet = np.array(wet)
    peak = int(np.argmax(wet))
    begin = peak - int(np.argmax(wet[:peak][::-1] < 0.1 * wet[peak]))
    half = peak + int(np.argmax(wet[peak:] < 0.5 * wet[peak]))
    assert wet[peak] > 0.3
    assert half - peak > 2 * (peak - begin)


def test_weather_at_a_time_does_not_depend_on_when_the_run_began():
    early, late = Weather(13, 8, 1.0), Weather(13, 8, 1.0)
    for hour in range(24 * 20):
        early.rain(START + hour * 3_600_000)
    for hour in range(24 * 15, 24 * 20):
        at = START + hour * 3_600_000
        assert np.array_equal(early.rain(at), late.rain(at))


def test_without_rain_the_springs_stay_clear():
    model = _model(rain=0.0)
    _run(model, 1440)
    assert np.all(model.source_ntu < 2.5 * model.traits.source_ntu)


def test_the_caretaker_refills_the_stock_before_it_runs_out():
    model = _model(stock_days=np.full(len(WORKS), 2.0))
    stocks = []
    for k in range(4 * 144):
        model.step(START + k * 600_000, 600, Controls.none(len(WORKS)))
        stocks.append(model.stock.copy())
    assert np.min(stocks) > 0
    dosed = model.traits.has_residual
    assert (np.ptp(np.array(stocks)[:, dosed], axis=0) > 0.5).all()


def test_instruments_show_their_resolution_and_never_less_than_nothing():
    codes = list(INSTRUMENTS)
    instruments = Instruments(codes, 1)
    truth = np.full(len(codes), 0.004)
    for k in range(200):
        shown = instruments.read(truth, START + k * 60_000, 60, np.zeros(len(codes)))
        for code, value in zip(codes, shown.tolist(), strict=True):
            if value == value:
                assert value >= 0
                assert value == round(value, INSTRUMENTS[code].decimals) or INSTRUMENTS[code].is_switch


def test_a_chlorine_cell_reaches_nine_tenths_of_a_step_within_90_seconds():
    instruments = Instruments(["free_chlorine"] * 2000, 1)
    instruments.read(np.zeros(2000), START, 10, np.zeros(2000))
    for k in range(1, 10):
        shown = instruments.read(np.full(2000, 1.0), START + k * 10_000, 10, np.zeros(2000))
    assert np.nanmean(shown) == pytest.approx(0.9, abs=0.02)


def test_a_live_chlorine_signal_moves_in_its_last_digit():
    instruments = Instruments(["free_chlorine"] * 50, 1)
    shown = np.array([instruments.read(np.full(50, 0.5), START + k * 60_000, 60, np.zeros(50)) for k in range(60)])
    assert np.all(np.nanstd(shown, axis=0) > 0.003)
