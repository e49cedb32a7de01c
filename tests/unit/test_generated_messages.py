"""Messages and columns from a simulated county: the same run, told twice."""

import json
from collections import defaultdict
from datetime import datetime

import numpy as np
import pytest

from simulators.county import county
from simulators.generate import frames, messages, series_keys

START = 1_780_012_800_000
WORKS = county(60, 1)
FAULTS = "all-faults-24h"


def test_the_same_seed_sends_the_same_bytes():
    assert list(messages(WORKS, FAULTS, START, 2, 7)) == list(messages(WORKS, FAULTS, START, 2, 7))


def test_another_seed_sends_other_bytes():
    assert list(messages(WORKS, "calm", START, 0.1, 7)) != list(messages(WORKS, "calm", START, 0.1, 8))


def test_messages_come_in_order_of_time_and_belong_to_their_step():
    times = [at for at, _, _ in messages(WORKS, FAULTS, START, 3, 1)]
    assert times == sorted(times)
    start = START - START % 60_000
    assert start <= times[0] < start + 60_000
    assert times[-1] < start + 3 * 3_600_000


def _decoded(payload):
    body = json.loads(payload)
    for item in body if isinstance(body, list) else [body]:
        t = item["t"] if isinstance(item["t"], int) else round(datetime.fromisoformat(item["t"]).timestamp() * 1000)
        for code, value in item["v"].items():
            yield t, code, np.nan if value is None else float(value), item.get("q", {}).get(code)


@pytest.mark.parametrize("scenario", [FAULTS, "demo"])
def test_columns_hold_exactly_what_the_messages_say(scenario):
    keys = series_keys(WORKS)
    told, held = defaultdict(list), defaultdict(list)
    for _, topic, payload in messages(WORKS, scenario, START, 5, 1):
        for t, code, value, quality in _decoded(payload):
            flag = quality if quality is not None else 9 if np.isnan(value) else 2
            told[topic.county, topic.works, topic.point, code].append((t, value, flag))
    for frame in frames(WORKS, scenario, START, 5, 1):
        for row in zip(
            frame.series, frame.observed_at.tolist(), frame.value.tolist(), frame.flag.tolist(), strict=True
        ):
            held[tuple(keys[row[0]])].append(row[1:])
    assert set(told) == set(held)
    for key, rows in told.items():
        assert np.array_equal(np.array(rows), np.array(held[key]), equal_nan=True)


def test_readings_arrive_after_they_were_sent_and_in_the_order_of_their_series_clock():
    for frame in frames(WORKS, "calm", START, 1, 1):
        assert len(frame) == len(frame.value) == len(frame.flag) == len(frame.received_at) == len(frame.observed_at)
        assert (frame.received_at >= frame.at_ms).all()
        # Live devices are within two seconds of the true time, buffered ones in the past.
        assert (frame.observed_at - frame.received_at).max() <= 2000


def test_most_devices_write_epoch_milliseconds_and_some_write_text_with_offset():
    kinds = defaultdict(set)
    for _, topic, payload in messages(WORKS, "calm", START, 0.1, 1):
        body = json.loads(payload)
        kinds[topic.works].add(type((body[0] if isinstance(body, list) else body)["t"]))
    assert all(len(kind) == 1 for kind in kinds.values())
    texts = sum(kind == {str} for kind in kinds.values())
    assert 0 < texts < 0.35 * len(kinds)


def test_a_day_of_calm_readings_stays_where_working_disinfection_keeps_it():
    keys = series_keys(WORKS)
    is_chlorine = np.array([key.parameter == "free_chlorine" and key.point == "outlet" for key in keys])
    values = np.concatenate([f.value[is_chlorine[f.series]] for f in frames(WORKS, "calm", START, 24, 1)])
    assert len(values) > 20_000
    assert np.nanmin(values) > 0.3
    assert np.nanmax(values) < 2.0
    assert np.isnan(values).mean() < 1e-3
