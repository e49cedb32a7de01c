"""Rules tried on stored history: the embedded store's own file, the recorder's socket, the command line and the API agree."""

import asyncio
import json
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from dashboards.web.app import build_app
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.ports import ConsoleActions
from dashboards.web.store_data import StoreData
from qingquan.cli import app
from qingquan.config import Config
from qingquan.domain.readings import SeriesKey
from qingquan.services.backtest import backtest
from qingquan.services.rule_orders import make_rules_desk, read_ruleset, try_rules
from qingquan.services.ruleset_watch import ruleset_in_force
from qingquan.store.ports import SeriesRows
from qingquan.store.series.opening import open_series_store, recorder_socket
from qingquan.store.series.remote import serving_series
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.engine import MINUTE, make_works

DEFAULT = files("rules").joinpath("default.toml").read_text(encoding="utf-8")
DRY = """
[[rule]]
id = "pumping-without-dosing"
parameter = "residual"
points = ["outlet"]
for_min = 20
severity = "major"
basis = "house"
when = { all = [ { signal = "flow", above = 1 }, { signal = "doser_running", below = 0.5 } ] }

[[rule]]
id = "needs-power"
points = ["outlet"]
severity = "minor"
basis = "house"
when = { signal = "power", below = 0.5 }
"""
WORKS = make_works("W1", ("free_chlorine", "turbidity", "flow", "doser_running"))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Two days of a works in the embedded store: one hour of turbid water, one without dosing."""
    made = Config(data_dir=str(tmp_path))
    upgrade(made.sql_url)
    engine = open_database(made.sql_url)
    with writing(engine) as connection:
        save_works(connection, [WORKS])
    engine.dispose()
    count = 2 * 1440
    at = made.clock.now_ms() // MINUTE * MINUTE - (count - np.arange(count)) * MINUTE
    minute = np.arange(count)
    values = {
        "free_chlorine": 0.6 + 0.02 * (minute % 7), "flow": 8 + 0.1 * (minute % 5),
        "turbidity": np.where((minute > 300) & (minute <= 360), 4.0, 0.4) + 0.02 * (minute % 3),
        "doser_running": np.where((minute > 1000) & (minute <= 1060), 0.0, 1.0),
    }  # fmt: skip
    store = open_series_store(made)
    for name, value in values.items():
        key = SeriesKey("520425", "W1", "outlet", name)
        flags = np.ones(count, np.uint8)
        store.append(SeriesRows([key], np.zeros(count, np.int32), at, at, np.asarray(value, float), flags), "test", 0)
    store.close()
    return made


def ruleset_file(folder: Path, text: str = DEFAULT + DRY) -> Path:
    path = folder / "try.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_backtest_says_what_would_have_alarmed_and_what_is_new(config: Config, tmp_path: Path) -> None:
    engine = open_database(config.sql_url)
    try:
        tried = read_ruleset(ruleset_file(tmp_path))[1]
        done = try_rules(config, engine, "520425/W1", 3, config.clock.now_ms(), tried)
        assert done.readings == 4 * 2 * 1440
        assert {one.rule for one in done.in_force.alarms} == {
            "turbidity-above-limit", "turbidity-above-3", "disinfection-missing",
        }  # fmt: skip
        assert [(one.rule, (one.end or 0) - one.start) for one in done.new] == [("pumping-without-dosing", 60 * MINUTE)]
        assert done.gone == ()
        assert "needs-power" in done.tried.without_instruments

        looser = DEFAULT.replace("above = 3.0\nclear_margin", "above = 30.0\nclear_margin")
        done = try_rules(
            config, engine, "W1", 3, config.clock.now_ms(), read_ruleset(ruleset_file(tmp_path, looser))[1]
        )
        assert ([one.rule for one in done.gone], done.new) == (["turbidity-above-3"], ())
    finally:
        engine.dispose()


def test_the_recorders_socket_gives_the_same_as_the_file(config: Config) -> None:
    engine = open_database(config.sql_url)
    with reading(engine) as connection:
        rules = ruleset_in_force(config, connection)
    now = config.clock.now_ms()
    from_file = backtest(config, WORKS, now - 3 * 86_400_000, now, rules)

    async def served() -> list[str]:
        store = open_series_store(config)
        try:
            async with serving_series(store, recorder_socket(config)):
                done = await asyncio.to_thread(backtest, config, WORKS, now - 3 * 86_400_000, now, rules)
                return [one.id for one in done.in_force.alarms]
        finally:
            store.close()

    assert asyncio.run(served()) == [one.id for one in from_file.in_force.alarms]
    engine.dispose()


def test_the_command_line_tells_it_as_table_and_json(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINGQUAN_DATA_DIR", config.data_dir)
    run = CliRunner().invoke
    told = run(app, ["rules", "backtest", "--works", "W1", "--days", "3", "--ruleset", str(ruleset_file(tmp_path))])
    assert told.exit_code == 0, told.output
    assert "would have alarmed 4 次 times" in told.output
    assert "pumping-without-dosing: 0 -> 1" in told.output
    as_json = json.loads(run(app, ["rules", "backtest", "--works", "W1", "--days", "3", "--json"]).output)
    assert as_json["in_force"]["alarms"] == 3
    assert run(app, ["rules", "backtest", "--works", "nobody"]).exit_code == 2
    assert run(app, ["rules", "backtest", "--works", "W1", "--days", "0"]).exit_code == 2
    refused = run(app, ["rules", "activate", str(ruleset_file(tmp_path, "version = 3")), "--by", "me"])
    assert refused.exit_code == 2


def test_the_api_tries_rules_and_says_what_is_in_force(config: Config, tmp_path: Path) -> None:
    engine = open_database(config.sql_url)
    series = open_series_store(config)
    data = StoreData(engine, series, lambda: 0)
    actions = ConsoleActions(rules=make_rules_desk(config, engine, series))
    console = Console(data, actions, config.clock, CountyFeed(data, config.clock), "zh", "Asia/Shanghai")
    client = TestClient(build_app(console))
    try:
        asked = {"works": "520425:W1", "days": 3, "ruleset": DEFAULT + DRY}
        done = client.post("/api/v1/rules/backtest", json=asked)
        assert done.status_code == 200, done.text
        assert [one["rule"] for one in done.json()["new"]] == ["pumping-without-dosing"]
        faulty = client.post("/api/v1/rules/backtest", json=asked | {"ruleset": DEFAULT + "[[rule]]\nid = 1"})
        assert faulty.status_code == 422
        assert re.search(r"rule\[\d+\]\.id = 1: allowed: a word", faulty.json()["detail"])
        assert client.post("/api/v1/rules/backtest", json=asked | {"works": "nobody"}).status_code == 404
        assert client.get("/api/v1/rules").json() == []
        parts = {one["name"]: one["detail"] for one in client.get("/api/v1/health").json()["parts"]}
        assert parts["ruleset"] == "no evaluator has reported yet"
    finally:
        series.close()
        engine.dispose()
