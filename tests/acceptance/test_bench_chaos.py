"""The chaos run in miniature: one seed, few readings, every kind of fault; and that its count would notice."""

import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from qingquan.services.bench.chaos.grid import laid_over, whole
from qingquan.services.bench.chaos.schedule import KINDS, LEASE_S, Cast, schedule
from qingquan.services.bench.chaos.water import Water
from qingquan.testing.system import ROOT

CAST = Cast(
    ("nats-1", "nats-2", "nats-3"), ("evaluator-1", "evaluator-2"), ("recorder",), "alerter", "postgres", "",
    ("nats-1", "nats-2", "nats-3", "evaluator-1", "evaluator-2", "recorder"), ("nats-1", "recorder"),
)  # fmt: skip
START = 1_782_000_000_000


@pytest.mark.proof
def test_a_small_run_is_whole_after_everything_was_done_to_it(tmp_path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qingquan", "bench", "chaos", "--seed", "3", "--readings", "6000", "--works", "40",
         "--together", "3", "--seconds", "4", "--store", "duckdb", "--folder", str(tmp_path), "--json"],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=170, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr[-3000:]
    result = json.loads(done.stdout)
    (row,) = result["seeds"]
    assert result["is_whole"], (row["differences"], row.get("kept"), row.get("ended_by_themselves"))
    assert (result["readings"], result["lost"], result["duplicated"], result["messages_duplicated"]) == (6000, 0, 0, 0)
    assert result["incidents_expected"] == result["incidents_found"] > 5
    assert result["faults_injected"].keys() == set(KINDS)
    assert row["truth"]["checksum"] == row["log"]["checksum"] == row["store"]["checksum"]


def test_the_seed_alone_decides_and_every_seed_has_every_kind() -> None:
    for seed in range(50):
        script = schedule(seed, CAST)
        assert script == schedule(seed, CAST)
        assert {fault.kind for fault in script} == set(KINDS)
        targets = {(fault.kind, fault.target) for fault in script}
        assert {("restart", "broker"), ("restart", "postgres"), ("kill", "alerter")} <= targets
        assert [fault.at for fault in script] == sorted(fault.at for fault in script)
    assert schedule(1, CAST) != schedule(2, CAST)
    asleep = Counter(
        fault.for_s > LEASE_S
        for seed in range(50)
        for fault in schedule(seed, CAST)
        if fault.kind == "stop" and fault.target in CAST.evaluators
    )
    assert asleep[True] > asleep[False] > 0


def test_what_is_missing_twice_or_different_is_counted() -> None:
    water = Water(10, 6, 3, START, 1)
    series = np.repeat(np.arange(50), 6)
    at = START + np.tile(np.arange(6), 50) * 60_000
    values = water.values.reshape(-1).copy()
    assert laid_over(water, series, at, values) == whole(water)
    kept = np.arange(len(values)) != 7
    values[9] += 0.001
    rows = np.concatenate([np.flatnonzero(kept), [3, 3]])
    found = laid_over(water, np.append(series[rows], -1), np.append(at[rows], START), np.append(values[rows], 1.0))
    assert (found.readings, found.missing, found.repeated, found.different, found.foreign) == (299, 1, 2, 1, 1)
    assert found.checksum != whole(water).checksum


def test_what_is_sent_is_what_the_grid_says() -> None:
    water = Water(10, 6, 4, START, 1)
    sent = [json.loads(one.payload) for one in water.messages() if one.payload.endswith(b"]")]
    assert sum(len(rows) for rows in sent) == 60
    first = next(one for one in water.messages() if one.topic.split("/")[2] == water.register[2].id)
    row = json.loads(first.payload)[1]
    assert row["t"] == START + 60_000
    assert list(row["v"].values()) == water.values[2, :, 1].tolist()
