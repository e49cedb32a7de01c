"""Faults: what each does to the signals, and what the truth file says about it."""

import csv
import json
from datetime import datetime

import numpy as np
import pytest

from qingquan.domain.flags import Flag
from simulators.county import county
from simulators.generate import simulation
from simulators.payloads import MAX_PAYLOAD_BYTES, Payloads
from simulators.scenario import parse_scenario
from simulators.simulation import Simulation
from simulators.truth import COLUMNS, Truth

START = 1_780_012_800_000  # 08:00 Beijing time
WORKS = county(60, 1)


class Run:
    """A county of 60 works under one fault, everything it showed and sent, minute by minute."""

    def __init__(self, fault, minutes, works=WORKS, rain=0):
        text = f'name = "t"\nrain = {rain}\n' + (f"[[fault]]\n{fault}" if fault else "")
        self.simulation = Simulation(works, parse_scenario(text, "t.toml"), START, 1)
        payloads = Payloads(self.simulation)
        self.value, self.flag, self.outlet, self.flow, self.sent = [], [], [], [], []
        for _ in range(minutes):
            sending = self.simulation.step()
            self.value.append(sending.value)
            self.flag.append(sending.flag)
            self.outlet.append(self.simulation.model.outlet.copy())
            self.flow.append(self.simulation.model.flow.copy())
            self.sent += [(at, topic, json.loads(payload), len(payload)) for at, topic, payload in payloads.of(sending)]

    def series(self, parameter, works="W0001", point="outlet"):
        k = next(k for k, key in enumerate(self.simulation.keys) if key[1:] == (works, point, parameter))
        return np.array([row[k] for row in self.value])

    def flags(self, parameter, works="W0001", point="outlet"):
        k = next(k for k, key in enumerate(self.simulation.keys) if key[1:] == (works, point, parameter))
        return [int(row[k]) for row in self.flag]

    def messages(self, works="W0001", point="outlet"):
        return [
            (at, body, size) for at, topic, body, size in self.sent if topic.works == works and topic.point == point
        ]

    @property
    def rows(self):
        return self.simulation.truth.rows


def fault(kind, start=10, duration=120, works="W0001", **more):
    rest = "".join(f"{name} = {value!r}\n" for name, value in more.items())
    return f'kind = "{kind}"\nworks = ["{works}"]\nstart_min = {start}\nduration_min = {duration}\n{rest}'


def test_stopped_dosing_shows_at_the_pump_contact_and_in_the_residual():
    run = Run(fault("dosing_stop"), 200)
    pump = run.series("doser_running")
    assert pump[:10].tolist() == [1.0] * 10
    assert pump[10:130].tolist() == [0.0] * 120
    assert pump[130:].tolist() == [1.0] * 70
    residual = run.series("free_chlorine")
    assert np.nanmean(residual[:10]) > 0.4
    assert np.nanmean(residual[120:130]) < 0.05


def test_the_truth_of_a_loss_is_the_models_own_residual_while_water_flows():
    run = Run(fault("dosing_stop", duration=180), 260)
    (row,) = run.rows
    below = [START + k * 60_000 for k in range(260) if run.outlet[k][0] < 0.05 and run.flow[k][0] > 0]
    assert row.injected_at == START + 10 * 60_000
    assert row.ended_at == START + 190 * 60_000
    assert row.lost_at == below[0]
    assert row.restored_at == below[-1] + 60_000
    assert row.losses == 1


def test_chlorine_dioxide_counts_as_lost_at_its_own_mark():
    works = next(w for w in WORKS if w.disinfectant.residual == "chlorine_dioxide" and w.cadence_s == 60)
    w = WORKS.index(works)
    run = Run(fault("dosing_stop", duration=300, works=works.id), 310)
    (row,) = run.rows
    first = next(k for k in range(310) if run.outlet[k][w] < 0.02 and run.flow[k][w] > 0)
    assert row.lost_at == START + first * 60_000
    assert run.outlet[first - 1][w] >= 0.02


def test_an_empty_tank_shows_at_the_level_and_not_at_the_pump():
    run = Run(fault("tank_empty", duration=180), 185)
    assert run.series("doser_running").min() == 1.0
    assert np.nanmax(run.series("disinfectant_level")[10:]) < 1.0
    assert run.rows[0].lost_at is not None


def test_a_flat_sensor_repeats_its_last_value_to_the_last_digit_while_the_water_goes_on():
    run = Run(fault("sensor_flatline"), 180)
    residual = run.series("free_chlorine")
    assert len(set(residual[10:130].tolist())) == 1
    assert residual[10] == residual[9]
    assert len(set(residual[130:].tolist())) > 3
    assert np.ptp([row[0] for row in run.outlet[10:130]]) > 0
    assert run.rows[0].lost_at is None
    assert (run.rows[0].point, run.rows[0].parameter) == ("outlet", "free_chlorine")


def test_an_offset_shifts_one_series_and_no_other():
    plain, shifted = Run("", 100), Run(fault("sensor_offset", offset=0.6), 100)
    difference = shifted.series("free_chlorine") - plain.series("free_chlorine")
    assert np.nanmean(difference[:10]) == 0
    assert np.nanmean(difference[10:]) == pytest.approx(0.6, abs=0.01)
    assert np.array_equal(shifted.series("turbidity"), plain.series("turbidity"), equal_nan=True)


def test_without_sample_flow_the_cell_runs_down_while_the_water_is_good():
    run = Run(fault("no_sample_flow", decay_min=20), 140)
    residual, switch = run.series("free_chlorine"), run.series("sample_flow")
    assert switch[10:130].tolist() == [0.0] * 120
    assert np.nanmean(residual[15:25]) > np.nanmean(residual[40:130])
    assert np.nanmax(residual[40:130]) < 0.08
    assert min(row[0] for row in run.outlet) > 0.3
    assert run.series("doser_running").min() == 1.0
    assert run.rows[0].lost_at is None


def test_a_failed_filter_lets_turbidity_through_to_its_peak():
    run = Run(fault("turbidity_breakthrough", peak_ntu=5.0), 130)
    turbidity = run.series("turbidity")
    assert np.nanmedian(turbidity[:10]) < 1.0
    assert np.nanmedian(turbidity[100:130]) == pytest.approx(5.0, abs=0.3)


def test_a_power_cut_stops_the_water_then_the_device_falls_silent_and_comes_back_suspect():
    run = Run(fault("power_cut", start=10, duration=60, battery_min=15.0), 90)
    assert run.series("power")[10:70].tolist() == [0.0] * 60
    assert np.nanmax(run.series("flow")[12:70]) == 0
    sent = [(at - START) // 60_000 for at, _, _ in run.messages()]
    assert sent == [*range(25), *range(70, 90)]
    assert run.flags("free_chlorine")[70:73] == [Flag.SUSPECT] * 3
    assert run.flags("free_chlorine")[73] == Flag.NOT_EVALUATED
    marked = [body for at, body, _ in run.messages() if (at - START) // 60_000 == 70]
    assert marked[0]["q"] == {"free_chlorine": 3}


def test_a_lost_link_keeps_the_readings_and_sends_them_in_order_when_it_is_back():
    run, plain = Run(fault("link_loss", duration=45), 90), Run("", 90)
    assert not [at for at, _, _ in run.messages() if 10 <= (at - START) // 60_000 < 55]
    uploads = [(at, body) for at, body, _ in run.messages() if isinstance(body, list)]
    assert len(uploads) == 1
    at, kept = uploads[0]
    assert (at - START) // 60_000 == 55
    assert len(kept) == 45
    expected = [body for at, body, _ in plain.messages() if 10 <= (at - START) // 60_000 < 55]
    assert kept == expected


def test_a_long_outage_is_uploaded_in_messages_below_the_brokers_limit():
    run = Run(fault("link_loss", duration=1100), 1120, works=WORKS[:1])
    uploads = [(body, size) for _, body, size in run.messages() if isinstance(body, list)]
    assert len(uploads) > 1
    assert max(size for _, size in uploads) <= MAX_PAYLOAD_BYTES < 64 * 1024
    times = [item["t"] for body, _ in uploads for item in body]
    assert len(times) == 1100
    assert times == sorted(times)


@pytest.mark.parametrize("minutes", [20, -180])
def test_a_wrong_clock_moves_the_stamp_and_not_the_time_of_sending(minutes):
    run, plain = Run(fault("wrong_clock", offset_min=minutes), 60), Run("", 60)
    for (at, body, _), (plain_at, plain_body, _) in zip(run.messages(), plain.messages(), strict=True):
        moved = minutes * 60_000 if at >= START + 10 * 60_000 else 0
        assert at == plain_at
        assert _ms(body["t"]) - _ms(plain_body["t"]) == moved
        assert body["v"] == plain_body["v"]


def test_a_buffered_unit_measures_every_five_minutes_and_uploads_after_its_interval():
    works = next(w for w in county(200, 1) if w.upload_interval_s == 3600)
    run = Run("", 400, works=[works])
    uploads = [(at, body) for at, body, _ in run.messages(works.id)]
    assert len(uploads) >= 6
    assert all(isinstance(body, list) for _, body in uploads)
    gaps = np.diff([at for at, _ in uploads])
    assert set(gaps.tolist()) == {3_600_000}
    assert [len(body) for _, body in uploads[1:]] == [12] * (len(uploads) - 1)
    times = [_ms(item["t"]) for _, body in uploads for item in body]
    assert set(np.diff(times).tolist()) == {300_000}


def _ms(t):
    return t if isinstance(t, int) else round(datetime.fromisoformat(t).timestamp() * 1000)


def test_a_power_cut_of_a_township_strikes_all_its_works_and_no_other():
    text = 'kind = "power_cut"\nselect = { townships = 1 }\nstart_min = 5\nduration_min = 30'
    run = Run(text, 8)
    struck = {row.works for row in run.rows}
    township = WORKS[min(struck)].township
    assert struck == {w for w, row in enumerate(WORKS) if row.township == township}


def test_a_scenario_that_repeats_comes_again_with_new_numbers():
    text = 'name = "t"\nrain = 0\nrepeat_h = 1\n[[fault]]\n' + fault("dosing_stop", start=5, duration=10)
    county_ = Simulation(WORKS, parse_scenario(text, "t.toml"), START, 1)
    for _ in range(185):
        county_.step()
    rows = [(row.fault_id, (row.injected_at - START) // 60_000) for row in county_.truth.rows]
    assert rows == [("F00001", 5), ("F00002", 65), ("F00003", 125)]


def test_a_loss_that_no_fault_explains_is_in_the_truth_as_natural():
    truth = Truth(WORKS[:2], np.zeros(2, bool))
    flow = np.array([1.0, 0.0])
    truth.observe(START, np.array([0.5, 0.5]), flow)
    truth.observe(START + 60_000, np.array([0.049, 0.01]), flow)
    truth.observe(START + 120_000, np.array([0.05, 0.01]), flow)
    (row,) = truth.rows
    assert (row.kind, row.works, row.lost_at, row.restored_at) == ("natural", 0, START + 60_000, START + 120_000)


def test_the_truth_file_names_signals_times_and_options(tmp_path):
    run = Run(fault("no_sample_flow", decay_min=20.0), 140)
    run.simulation.truth.write(tmp_path / "deep" / "truth.csv")
    with (tmp_path / "deep" / "truth.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == COLUMNS
    assert row["kind"] == "no_sample_flow"
    assert row["works"] == "W0001"
    assert row["injected_at"] == "2026-05-29T08:10:00+08:00"
    assert row["ended_at"] == "2026-05-29T10:10:00+08:00"
    assert row["disinfection_lost_at"] == ""
    assert (row["has_doser_signal"], row["has_sample_flow_switch"]) == ("1", "1")
    assert row["options"] == "decay_min=20"
    assert not list((tmp_path / "deep").glob("*.part"))


def test_all_faults_of_a_day_have_their_counts_and_every_dosing_fault_loses_disinfection():
    run = simulation(county(660, 1), "all-faults-24h", START, 1)
    for _ in range(1440):
        run.step()
    kinds = [row.kind for row in run.truth.rows]
    assert run.notes == []
    assert kinds.count("dosing_stop") == 50
    assert kinds.count("tank_empty") == 30
    assert kinds.count("no_sample_flow") == 30
    lost = [row for row in run.truth.rows if row.lost_at is not None]
    assert {row.kind for row in lost} <= {"dosing_stop", "tank_empty", "natural"}
    stopped = [row for row in run.truth.rows if row.kind in ("dosing_stop", "tank_empty")]
    assert sum(row.lost_at is not None for row in stopped) >= 0.9 * len(stopped)
