"""The reading log of docker-compose.yml: its own configuration file, prepared, started and checked as there."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from qingquan.config import Config
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.packages import TREE
from qingquan.services.log_setup import main, set_up
from qingquan.store.reading_log.connection import JetStreamApi, connect
from qingquan.testing.ports import free_port

# The locked wheel puts it beside the interpreter.
SERVER = Path(sys.executable).with_name("nats-server")

# A password that starts with a digit, and one that reads as a number in scientific notation.
LOG_PASSWORD = "12ab34"
MQTT_PASSWORD = "5e20"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    log_port, mqtt_port = free_port(), free_port()
    return Config(
        data_dir=str(tmp_path / "log"), log_url=f"nats://127.0.0.1:{log_port}", log_user="services", log_password=LOG_PASSWORD,
        mqtt_host="127.0.0.1", mqtt_port=mqtt_port, mqtt_user="devices", mqtt_password=MQTT_PASSWORD,
        log_max_bytes=64 * 2**20, log_sync_interval="always",
    )  # fmt: skip


def moved(name: str, folder: Path, moves: dict[str, str]) -> Path:
    """A configuration file of deploy/nats with what it includes, its addresses and store moved to this test's own."""
    text = (TREE / "deploy/nats" / name).read_text(encoding="utf-8")
    for there, here in moves.items():
        assert there in text
        text = text.replace(there, here)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    (folder / "accounts.conf").write_bytes((TREE / "deploy/nats/accounts.conf").read_bytes())
    return folder / name


def environment(**more: str) -> dict[str, str]:
    """As compose hands it over: in quotes."""
    named = {"LOG_PASSWORD": LOG_PASSWORD, "MQTT_PASSWORD": MQTT_PASSWORD, "SYS_PASSWORD": "s", **more}
    return {**os.environ, **{name: f'"{value}"' for name, value in named.items()}}


@contextmanager
def server_of(path: Path, environ: dict[str, str], port: int) -> Iterator[None]:
    with (path.parent / "nats.out").open("wb") as output:
        server = subprocess.Popen([str(SERVER), "-c", str(path)], env=environ, stdout=output, stderr=output)
    try:
        _wait_for(port, server)
        yield
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def compose_server(config: Config, folder: Path) -> Iterator[None]:
    """nats-server with deploy/nats/nats.conf."""
    moves = {
        "0.0.0.0:4222": config.log_url.removeprefix("nats://"),
        "0.0.0.0:1883": f"127.0.0.1:{config.mqtt_port}",
        "0.0.0.0:8222": f"127.0.0.1:{free_port()}",
        "/data/log/js": str(folder / "log" / "js"),
    }
    with server_of(moved("nats.conf", folder, moves), environment(), config.mqtt_port):
        yield


@contextmanager
def compose_cluster(folder: Path) -> Iterator[tuple[Config, list[str]]]:
    """Three nats-servers with deploy/nats/cluster.conf; settings for services, and where each takes MQTT."""
    ports = [(free_port(), free_port(), free_port()) for _ in range(3)]
    password = "7e1"
    routes = {f"ROUTE_{n + 1}": f"nats://cluster:{password}@127.0.0.1:{port}" for n, (_, port, _) in enumerate(ports)}
    with ExitStack() as stack:
        for number, (client, route, mqtt_port) in enumerate(ports, start=1):
            moves = {
                "0.0.0.0:4222": f"127.0.0.1:{client}",
                "0.0.0.0:6222": f"127.0.0.1:{route}",
                "0.0.0.0:1883": f"127.0.0.1:{mqtt_port}",
                "0.0.0.0:8222": f"127.0.0.1:{free_port()}",
                "/data/log/js": str(folder / f"js-{number}"),
            }
            environ = environment(NODE_NAME=f"nats-{number}", CLUSTER_PASSWORD=password, **routes)
            path = moved("cluster.conf", folder / str(number), moves)
            stack.enter_context(server_of(path, environ, mqtt_port))
        urls = ",".join(f"nats://127.0.0.1:{client}" for client, _, _ in ports)
        config = Config(
            data_dir=str(folder / "service"), log_url=urls, log_user="services", log_password=LOG_PASSWORD, mqtt_user="devices",
            mqtt_password=MQTT_PASSWORD, log_replicas=3, log_max_bytes=64 * 2**20, log_sync_interval="always",
        )  # fmt: skip
        yield config, [f"127.0.0.1:{mqtt_port}" for _, _, mqtt_port in ports]


def _wait_for(port: int, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert server.poll() is None, "the server ended"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the server did not get ready")


def test_streams_made_before_the_server_are_its_own_and_the_check_passes(config: Config, tmp_path: Path) -> None:
    assert set_up(config) == "reading log: streams made"
    assert set_up(config) == "reading log: its streams are there, its server is not up yet"
    with compose_server(config, tmp_path):
        assert set_up(config).startswith("reading log: self-test passed in")


def test_on_a_volume_that_was_not_prepared_the_check_makes_the_streams(config: Config, tmp_path: Path) -> None:
    with compose_server(config, tmp_path):
        assert set_up(config).startswith("reading log: self-test passed in")


def test_the_three_servers_of_the_cluster_file_meet_and_pass_the_check_on_each(tmp_path: Path) -> None:
    with compose_cluster(tmp_path) as (config, mqtt):
        said = set_up(config, mqtt)
        assert said.startswith("reading log: self-test passed in")
        assert all(address in said for address in mqtt)
        stream = asyncio.run(_stream_info(config))
    assert stream["config"]["num_replicas"] == 3
    assert len(stream["cluster"]["replicas"]) == 2
    assert all(one["current"] for one in stream["cluster"]["replicas"])


async def _stream_info(config: Config) -> dict[str, Any]:
    client = await connect(config, name="check")
    try:
        return await JetStreamApi(client)("STREAM.INFO.READINGS")
    finally:
        await client.close()


def test_servers_of_a_cluster_that_are_not_up_are_named(config: Config) -> None:
    with pytest.raises(BrokerLost, match="start the servers of the cluster first"):
        set_up(replace(config, log_replicas=3))


def test_several_copies_on_one_server_are_refused_with_the_remedy(config: Config, tmp_path: Path) -> None:
    with (
        compose_server(config, tmp_path),
        pytest.raises(ConfigurationError, match="stands alone: set log_replicas = 1"),
    ):
        set_up(replace(config, log_replicas=3))


def test_a_device_with_a_wrong_password_is_refused(config: Config, tmp_path: Path) -> None:
    set_up(config)
    with compose_server(config, tmp_path):
        codes: list[int] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        client.username_pw_set("devices", "wrong")
        client.on_connect = lambda _client, _data, _flags, code, _properties: codes.append(code.value)
        client.connect("127.0.0.1", config.mqtt_port)
        deadline = time.monotonic() + 10
        while not codes and time.monotonic() < deadline:
            client.loop(0.2)
        assert codes == [135], "not authorized"


def test_without_a_server_of_its_own_the_set_up_is_refused(config: Config) -> None:
    with pytest.raises(ConfigurationError, match="log_url: empty"):
        set_up(replace(config, log_url=""))


def test_a_refusal_is_one_line_and_exit_status_1(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(config)
    with compose_server(config, tmp_path):
        for name in ("log_url", "log_user", "mqtt_host", "mqtt_port", "mqtt_user", "data_dir"):
            monkeypatch.setenv(f"QINGQUAN_{name.upper()}", str(getattr(config, name)))
        monkeypatch.setenv("QINGQUAN_LOG_PASSWORD", "wrong")
        assert main() == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
