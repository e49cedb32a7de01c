"""The long run in miniature: every process is looked at, every reading and every alarm is counted. No times."""

from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services.bench.soak import growth_percent, run_soak


@pytest.mark.proof
def test_a_soak_loses_nothing_and_looks_at_every_process(tmp_path: Path) -> None:
    result = run_soak(
        Config(), 30, 0.05, 500, alarms=4, services=("evaluator", "recorder", "watchdog"), folder=tmp_path
    )
    assert result["lost"] == result["too_early"] == result["restarts"] == 0
    assert result["alarms"] == 4
    assert result["acknowledged"] == result["logged"] == result["evaluated"] == result["recorded"] > 300
    assert 0 < result["p50_ms"] <= result["p99_ms"]
    assert {"messages_per_s", "readings_per_s", "growth_percent"} <= result.keys()
    names = {"log-server", "log-server: nats-server", "evaluator", "recorder", "watchdog"}
    assert result["rss_mb"].keys() == names
    assert all(mb > 1 for mb in result["rss_mb"].values())


def test_growth_is_taken_after_the_warm_up_between_the_ends_of_the_run() -> None:
    steep_at_first = [(float(s), {"a": min(100.0 + s, 400.0), "b": 50.0}) for s in range(0, 900, 10)]
    assert growth_percent(steep_at_first, 900.0) == {"a": 0.0, "b": 0.0}
    never_ends = [(float(s), {"a": 100.0 + s}) for s in range(0, 901, 10)]
    # From 300 s on: medians of 300 to 420 and of 780 to 900 s.
    assert growth_percent(never_ends, 900.0) == {"a": round((940 / 460 - 1) * 100, 2)}


def test_a_process_that_came_and_went_does_not_hide_growth() -> None:
    samples = [(float(s), {"a": 10.0} | ({"b": 5.0} if s < 100 else {})) for s in range(0, 300, 10)]
    assert growth_percent(samples, 300.0) == {"a": 0.0}
    assert growth_percent([], 300.0) == {}
