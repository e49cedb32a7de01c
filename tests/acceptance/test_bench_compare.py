"""The comparison in miniature, with real broker, database and rivals: all of them get everything into the database."""

import json
import tomllib
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services.bench.compare import node_red, telegraf
from qingquan.services.bench.compare.rivals import rivals
from qingquan.services.bench.compare.run import Effort, run_compare, table_text
from qingquan.testing.brokers import Mosquitto
from qingquan.testing.influx import influxd_path

MINIATURE = Effort(works=20, repeats=1, seconds=0.5, trial=20, marks=4, mark_s=0.1, rate=20.0)
HOST = "http://127.0.0.1:8086"


@pytest.mark.proof
@pytest.mark.debian
@pytest.mark.skipif(bool(Mosquitto.missing()) or not influxd_path(), reason="needs mosquitto and influxd")
def test_ours_and_a_plain_script_bring_the_same_load_into_the_database(tmp_path: Path) -> None:
    chosen = [one for one in rivals(None) if one.name in ("qingquan", "plain script, a write a message")]
    absent = [one for one in rivals(None) if one.name == "Node-RED"]
    result = run_compare(Config(), MINIATURE, only=[*chosen, *absent], folder=tmp_path)
    assert [row["name"] for row in result["rows"]] == ["qingquan", "plain script, a write a message"]
    keys = {"messages_per_s", "readings_per_s", "lost", "p50_ms", "p99_ms", "rss_mb", "ratio"}
    for row in result["rows"]:
        assert keys <= row.keys()
        assert row["lost"] == row["marks_lost"] == 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert row["rss_mb"] > 10
        # What broker and database used is part of it.
        spent = row["processor_us_by_process"]
        assert {"mosquitto", "influxd"} < spent.keys()
        assert spent["influxd"] > 0
    assert {"bridge", "log-server", "recorder", "evaluator"} < result["rows"][0]["processor_us_by_process"].keys()
    assert result["rows"][0]["ratio"] == 1.0
    # What is not there is one line, not a row of zeros.
    assert len(result["skipped"]) == 1
    assert result["skipped"][0].startswith("Node-RED: ")
    assert table_text(result).count("\n") >= 5


def test_the_flow_of_node_red_is_wired_from_broker_to_database() -> None:
    nodes = {str(node["id"]): node for node in node_red.flow(1884, HOST, "q")}
    assert nodes["in"]["qos"] == "1"
    assert nodes["in"]["broker"] in nodes
    assert nodes["broker"]["cleansession"] is False
    assert nodes["broker"]["port"] == "1884"
    assert nodes["out"]["influxdb"] in nodes
    assert (nodes["influx"]["hostname"], nodes["influx"]["port"]) == ("127.0.0.1", "8086")
    assert json.dumps(nodes["check"]["wires"]) == '[["out"], ["out"]]'


def test_what_is_missing_is_said_with_what_brings_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert telegraf.missing() == "telegraf is not on the PATH"
    assert node_red.missing(tmp_path) == "node is not installed"
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\n")
    node.chmod(0o755)
    assert "--node-red" in node_red.missing(None)
    assert node_red.PACKAGES[0] in node_red.missing(tmp_path)


def test_telegraf_acknowledges_late_and_writes_the_same_rows() -> None:
    settings = tomllib.loads(telegraf.configuration(1884, HOST, "q"))
    (consumer,) = settings["inputs"]["mqtt_consumer"]
    assert (consumer["qos"], consumer["persistent_session"], consumer["servers"]) == (1, True, ["tcp://127.0.0.1:1884"])
    assert consumer["topic_parsing"][0]["tags"] == "_/county/works/point/_"
    assert settings["outputs"]["influxdb"][0]["urls"] == [HOST]
