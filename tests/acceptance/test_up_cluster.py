"""`qingquan up --cluster`: a log server and an evaluator are killed while devices publish; what went in comes out."""

import asyncio
import json
import os
import signal
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qingquan.config import Config, load_config
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import open_database, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.devices import Device
from qingquan.testing.engine import MINUTE, make_works
from qingquan.testing.ports import free_port
from qingquan.testing.system import processes_of
from qingquan.testing.up import Up, running

READY_S = 600.0
STOP_S = 60.0
REGISTER = [make_works(f"W{number:03}", ("free_chlorine", "flow")) for number in range(24)]
MINUTES = 40
SENDERS = 4


def until(condition: Callable[[], object], what: Callable[[], object], timeout_s: float = 240.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)


def counts(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/api/v1/counts", timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def ports_of(ready: dict[str, Any]) -> list[int]:
    return [int(address.rpartition(":")[2]) for address in ready["mqtt_all"]]


def process(folder: Path, words: str) -> int:
    return min(pid for pid, line in processes_of(folder).items() if words in line)


def send(config: Config, ports: list[int], begun: int, first: int) -> None:
    device = Device(ports, config.mqtt_user, config.mqtt_password)
    for minute in range(MINUTES):
        for number in range(first, len(REGISTER), SENDERS):
            low = 0.1 if number % 6 == 0 else 0.5
            payload = {"t": begun + minute * MINUTE, "v": {"free_chlorine": low, "flow": 8.0}}
            device.publish(
                f"wq/{REGISTER[number].county}/{REGISTER[number].id}/outlet/json", json.dumps(payload).encode()
            )
    device.close()


def published(config: Config, ready: dict[str, Any], meanwhile: Callable[[], None]) -> None:
    """Everything that the devices have, acknowledged; ``meanwhile`` happens in the middle."""
    begun = config.clock.now_ms() // MINUTE * MINUTE - MINUTES * MINUTE
    # The server that will be killed is everybody's first choice.
    ports = ports_of(ready)[1:] + ports_of(ready)[:1]
    senders = [threading.Thread(target=send, args=(config, ports, begun, number)) for number in range(SENDERS)]
    for sender in senders:
        sender.start()
    until(lambda: counts(ready["url"])["evaluated"] > 40, lambda: counts(ready["url"]))
    meanwhile()
    for sender in senders:
        sender.join()


def stored(config: Config) -> int:
    """Messages that the log holds."""

    async def ask() -> int:
        async with await ReadingLog.connect(config, name="test") as log:
            return (await log.info()).messages

    return asyncio.run(ask())


def registered(config: Config) -> None:
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_works(connection, REGISTER)
    engine.dispose()


def assert_settled(up: Up, url: str) -> dict[str, Any]:
    """In = out: every message that the log holds is judged and recorded, and each reading once."""
    wanted = MINUTES * len(REGISTER) * 2

    def is_settled() -> bool:
        found = counts(url)
        return found["logged"] == found["evaluated"] == found["recorded"] and found["readings"] >= wanted

    until(is_settled, lambda: (counts(url), up.said[-5:]))
    assert counts(url)["readings"] == wanted
    return counts(url)


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that PostgreSQL's own user may enter where the tests run as root."""
    with tempfile.TemporaryDirectory(prefix="qingquan-cluster-") as made:
        Path(made).chmod(0o755)
        yield Path(made) / "cluster"


@pytest.mark.proof
@pytest.mark.timeout(1500)
def test_a_killed_log_server_and_evaluator_come_back_and_nothing_is_lost(folder: Path) -> None:
    arguments = ("--cluster", "--data", str(folder), "--port", str(free_port()))
    with running(*arguments, mqtt_port=0) as up:
        ready = up.wait_for("ready", READY_S)
        settings = folder / "cluster.toml"
        assert settings.stat().st_mode & 0o077 == 0, "it holds passwords"
        config = load_config(settings, environ={})
        assert (config.log_replicas, config.log_sharing) == (3, "on")
        registered(config)

        def kill() -> None:
            for pid in (process(folder, "nodes/2/run/nats.conf"), process(folder, "run evaluator")):
                os.kill(pid, signal.SIGKILL)

        published(config, ready, kill)
        before = assert_settled(up, ready["url"])
        assert any("evaluator" in line and "starting it again" in line for line in up.said)
        until(lambda: process(folder, "nodes/2/run/nats.conf"), lambda: processes_of(folder))
        assert up.end(signal.SIGINT, STOP_S) == 0
    until(lambda: not processes_of(folder), lambda: processes_of(folder), 20.0)

    with running(*arguments, mqtt_port=0) as up:
        up.wait_for("services", READY_S)
        assert stored(load_config(settings, environ={})) >= before["logged"]
        # Killed outright it can stop nobody; they end by themselves.
        up.end(signal.SIGKILL)
        until(lambda: not processes_of(folder), lambda: processes_of(folder), STOP_S)


def test_log_servers_of_somebody_else_and_a_cluster_of_our_own_do_not_go_together(tmp_path: Path) -> None:
    up = Up(
        "--cluster",
        "--data",
        str(tmp_path),
        "--port",
        str(free_port()),
        log_url="nats://127.0.0.1:1",
        database_url=f"sqlite:///{tmp_path}/q.db",
    )
    assert up.wait() == 2
    assert [line for line in up.said if line.startswith("log_url")] == [up.said[-1]]
    assert "leave log_url empty" in up.said[-1]
