"""Which rows an operation excuses."""

import numpy as np

from rules.events.operations import excused_rows, new_operations, total_flow

MINUTE = 60_000
START = 1_700_000_000_000


def excused(flow: np.ndarray, spacing_ms: int = MINUTE) -> np.ndarray:
    times = START + spacing_ms * np.arange(len(flow), dtype=np.int64)
    return excused_rows(times, flow.reshape(len(flow), -1), new_operations(flow.reshape(len(flow), -1).shape[1]))


def flow_with_stop(minutes: int, level: float = 20.0) -> np.ndarray:
    flow = np.full(300, level)
    flow[100 : 100 + minutes] = 0.0
    return flow


def test_thirty_minutes_after_a_start_are_excused() -> None:
    assert np.flatnonzero(excused(flow_with_stop(20))).tolist() == list(range(120, 150))


def test_a_meter_at_zero_for_a_minute_is_no_pump_stop() -> None:
    assert not excused(flow_with_stop(1)).any()
    assert not excused(flow_with_stop(4)).any()
    assert excused(flow_with_stop(5)).any()


def test_flow_that_only_sinks_has_not_stopped() -> None:
    flow = flow_with_stop(20)
    flow[100:120] = 4.0
    assert not excused(flow).any()


def test_a_missing_meter_neither_stops_nor_starts() -> None:
    flow = np.full(300, 20.0)
    flow[100:120] = np.nan
    assert not excused(flow).any()


def test_a_line_that_another_takes_over_is_no_stop() -> None:
    lines = np.array([[20.0, 0.0]] * 100 + [[0.0, 20.0]] * 100)
    assert not excused(total_flow(lines)).any()
    assert np.isnan(total_flow(np.empty((3, 0)))).all()
    assert np.isnan(total_flow(np.array([[1.0, np.nan]]))).all()


def test_a_flow_switch_that_comes_back_excuses_too() -> None:
    columns = np.c_[np.full(200, np.nan), np.r_[np.ones(100), np.zeros(10), np.ones(90)]]
    assert np.flatnonzero(excused(columns)).tolist() == list(range(110, 140))


def test_a_pump_that_starts_all_day_is_excused_for_a_third_of_the_time_at_most() -> None:
    cycle = np.r_[np.zeros(10), np.full(10, 20.0)]
    share = excused(np.tile(cycle, 72 * 10))[-5 * 1440 :].mean()
    assert 0.3 < share < 0.34
