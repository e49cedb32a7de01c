"""Scores of quality flags against labels."""

from pathlib import Path

import numpy as np
import pytest

from qingquan.services.bench.accuracy.sensor_faults import (
    Sensor,
    flagged,
    load_sensors,
    missing_fault_data,
    rate,
    river_settings,
)

DATA = Path(__file__).parents[2] / "../shared/data"


def sensor(values: np.ndarray, kinds: list[str]) -> Sensor:
    return Sensor("here", "ph", np.arange(len(values), dtype=np.int64) * 900_000, values, np.array(kinds))


def test_flags_and_labels_meet_within_two_rows() -> None:
    one = sensor(np.zeros(20), [""] * 8 + ["a", "a"] + [""] * 5 + ["b"] + [""] * 4)
    alarm = np.zeros(20, np.bool_)
    alarm[[7, 19]] = True
    both = rate(one, alarm)
    assert (both.labelled, both.flagged, both.episodes, both.found) == (3, 2, 2, 1)
    assert (both.precision, round(both.recall, 3)) == (0.5, 0.667)
    assert rate(one, alarm, "b").recall == 0
    assert rate(one, np.zeros(20, np.bool_)).f1 == 0


def test_a_spike_and_a_missing_value_are_flagged() -> None:
    values = 7.5 + 0.05 * np.sin(np.arange(50))
    values[[20, 30]] = 9.5, -9999
    alarm = flagged(sensor(values, [""] * 50), river_settings("ph", 4.0, 4.0, 0.0))
    assert np.flatnonzero(alarm).tolist() == [20, 30]


@pytest.mark.skipif(bool(missing_fault_data(DATA)), reason="the labelled recordings are not there")
def test_the_recordings_hold_the_labels_their_descriptions_count() -> None:
    counts = {(one.station, one.parameter): int((one.kinds != "").sum()) for one in load_sensors(DATA)}
    assert counts["MainStreet", "ph"] == 123
    assert counts["TonyGrove", "conductivity"] == 1134
    assert counts["Sandy Creek", "turbidity"] == 920
