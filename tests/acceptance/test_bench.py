"""Each measurement in miniature: it counts everything, loses nothing and gives the keys that scripts read. No times."""

import json
from pathlib import Path

import numpy as np
import pytest

from qingquan.config import Config
from qingquan.services.bench.evaluate import naive_loop, run_evaluate
from qingquan.services.bench.ingest import run_ingest
from qingquan.services.bench.latency import run_latency
from qingquan.services.bench.load import PARAMETERS, Load
from qingquan.services.bench.repeats import on_this_machine
from qingquan.services.bench.short import shown, text_of


def test_the_load_is_the_same_for_the_same_seed_and_arrives_in_another_order_than_registered() -> None:
    one, again = Load(50, 0), Load(50, 0)
    assert one.payloads(3) == again.payloads(3)
    assert one.payloads(3) != one.payloads(4)
    assert sorted(one.order.tolist()) == list(range(50))
    assert one.order.tolist() != list(range(50))
    assert one.payloads(0)[0][5:18].isdigit() or one.at(0) == 0


def test_columns_and_messages_of_a_load_say_the_same() -> None:
    load = Load(20, 1_780_272_000_000)
    values = load.values(2)[load.order]
    first = json.loads(load.payloads(2)[0])
    assert first["t"] == load.at(2)
    assert np.allclose([first["v"][name] for name in PARAMETERS], values[0], atol=0.06)


def test_evaluate_gives_its_keys_and_judges_every_reading() -> None:
    result = run_evaluate(Config(), (20, 40), repeats=1, rounds=3, with_memory=False)
    assert {"readings_per_s", "messages_per_s", "ratio", "rss_mb"} <= result.keys()
    assert [row["works"] for row in result["rule_loop"]] == [20, 40]
    assert [row["readings"] for row in result["rule_loop"]] == [20 * 5 * 3, 40 * 5 * 3]
    assert [row["messages"] for row in result["from_messages"]] == [60, 120]
    assert naive_loop(20) > 0


@pytest.mark.proof
def test_ingest_loses_nothing_on_the_way_from_mqtt_to_both_readers(tmp_path: Path) -> None:
    result = run_ingest(Config(), 30, 20, step_ms=5_000, folder=tmp_path)
    assert result["lost"] == 0
    assert result["acknowledged"] == result["logged"] == result["evaluated"] == result["recorded"] == 600
    assert result["evaluated_readings"] == result["recorded_readings"] == 3_000
    assert result["restarts"] == 0
    assert {"messages_per_s", "readings_per_s", "rss_mb"} <= result.keys()


@pytest.mark.proof
def test_latency_finds_every_alarm_after_the_reading_that_completes_it(tmp_path: Path) -> None:
    result = run_latency(Config(), 30, 8, 3.0, readings_per_s=500, folder=tmp_path)
    assert result["lost"] == 0
    assert result["too_early"] == 0
    assert 0 < result["p50_ms"] <= result["p99_ms"]


def test_of_several_runs_the_middle_one_is_shown_and_every_loss_counts() -> None:
    runs = iter(
        [{"rate": 5, "lost": 1, "run": "a"}, {"rate": 9, "lost": 0, "run": "b"}, {"rate": 7, "lost": 2, "run": "c"}]
    )
    result = on_this_machine(lambda: next(runs), 3, "rate")
    assert (result["run"], result["lost"], result["repeats"]) == ("c", 3, 3)
    assert (result["rate_least"], result["rate_most"]) == (5, 9)
    assert {"processor", "cores", "memory_gb", "load_before"} <= result["machine"].keys()
    assert on_this_machine(lambda: {"rate": 1})["rate"] == 1


def test_a_result_is_shown_as_one_json_object_and_as_a_table() -> None:
    figures = {"a": 1.5, "rows": [{"works": 660}], "each": {"evaluator": 2}}
    assert json.loads(shown(figures, True)) == figures
    assert "works 660" in shown(figures, False)
    machine = dict.fromkeys(
        (
            "processor",
            "cores",
            "memory_gb",
            "system",
            "python",
            "nats_server",
            "numpy",
            "numba",
            "duckdb",
            "load_before",
        ),
        "x",
    )
    budgets = [
        {"what": "kept", "budget": 1, "measured": 2, "kept": True}, {"what": "missed", "budget": 9, "measured": 2, "kept": False},
    ]  # fmt: skip
    text = text_of(
        {
            "machine": machine,
            "budgets": budgets,
            "ratios": {"r": 2.0},
            "evaluate": {},
            "ingest": {},
            "latency": {},
            "seconds": 1,
        }
    )
    assert [line[-1] for line in text.splitlines() if line.startswith(("kept", "missed"))] == ["✓", "✗"]
