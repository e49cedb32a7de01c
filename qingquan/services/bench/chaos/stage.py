"""The whole system of a run: three log servers, evaluators, recorders, alerter, gateway double, database, series store."""

import asyncio
import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.services.bench.chaos.databases import Databases
from qingquan.services.bench.chaos.disks import SmallDisk, can_mount
from qingquan.services.bench.chaos.network import Network, network
from qingquan.services.bench.chaos.nodes import PASSWORD, USER, node_configuration
from qingquan.services.bench.chaos.processes import Process
from qingquan.services.bench.chaos.schedule import LEASE_S, Cast
from qingquan.services.bench.system import TooSlow
from qingquan.services.gateway_double import demonstration_settings
from qingquan.store.reading_log import ReadingLog, ensure_streams
from qingquan.store.reading_log.binary import server_binary
from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.ports import free_port
from qingquan.wiring import environment_of

__all__ = ["Stage", "stage"]

NODES = ("nats-1", "nats-2", "nats-3")
EVALUATORS = ("evaluator-1", "evaluator-2")
START_S = 240.0
DOORS = ("client", "route", "mqtt")
LOG_BYTES = 512 * 2**20
NODE_DISK_MB, RECORDER_DISK_MB = 1024, 512
PRODUCT = (sys.executable, "-m", "qingquan", "run")


@dataclass
class Stage:
    """A running system. ``config`` is that of a process beside it, at the hub of the network."""

    folder: Path
    config: Config
    cast: Cast
    network: Network
    processes: dict[str, Process]
    disks: dict[str, SmallDisk]
    databases: Databases
    engine: Engine
    brokers: list[tuple[str, int]]
    gateway: str

    @property
    def recorder_config(self) -> Config:
        """Settings with which the series store is opened, or asked for."""
        return replace(self.config, data_dir=str(self.folder / self.cast.recorders[0]))

    def watch(self) -> None:
        """Look after the processes once."""
        for process in self.processes.values():
            process.watch()

    def wait(self, condition: Callable[[], object], what: str, timeout_s: float) -> None:
        """Until the condition holds. Raises `TooSlow` with everybody's last words."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.watch()
            if time.monotonic() > deadline:
                words = "; ".join(f"{name}: {one.last_words(1)}" for name, one in self.processes.items())
                raise TooSlow(f"{what}: not within {timeout_s:g} s. {words}")
            time.sleep(0.1)

    def last_sequence(self) -> int | None:
        """Newest sequence of the log; ``None`` while it does not answer."""

        async def ask() -> int:
            async with await ReadingLog.connect(self.config, name="bench", wait_s=2.0) as log:
                return await log.last_sequence()

        with suppress(BrokerLost, TimeoutError):
            return asyncio.run(ask())
        return None

    def accepted(self) -> list[dict[str, Any]]:
        """What the gateway double has accepted."""
        with urllib.request.urlopen(f"{self.gateway}/double/messages?limit=10000", timeout=10) as answer:  # noqa: S310
            messages: list[dict[str, Any]] = json.load(answer)["messages"]
            return messages


@contextmanager
def stage(folder: Path, register: Sequence[Works], store: str, say: Callable[[str], None]) -> Iterator[Stage]:
    """Start everything below ``folder`` with these works registered; ``store`` is ``duckdb`` or ``influx``."""
    recorders = ("recorder",) if store == "duckdb" else ("recorder-1", "recorder-2")
    places = (*NODES, *EVALUATORS, *recorders)
    with ExitStack() as stack:
        net = stack.enter_context(closing(network(places, NODES)))
        disks = {}
        if can_mount():
            sizes = dict.fromkeys(NODES, NODE_DISK_MB) | ({"recorder": RECORDER_DISK_MB} if store == "duckdb" else {})
            disks = {name: stack.enter_context(closing(SmallDisk(folder / name, mb))) for name, mb in sizes.items()}
        databases = stack.enter_context(closing(Databases(folder, net.hub, store)))
        config = _settings(folder, net, databases)
        upgrade(config.sql_url)
        engine = open_database(config.sql_url)
        stack.callback(engine.dispose)
        with writing(engine) as connection:
            save_works(connection, list(register))
        # Without small disks of their own only files can be kept from growing: those of an embedded store.
        fillable = list(disks) or [name for name in recorders if name == "recorder"]
        cast = Cast(
            NODES, EVALUATORS, recorders, "alerter", databases.name, databases.series_name,
            [name for name in places if net.can_cut(name)], fillable,
        )  # fmt: skip
        processes = {name: _node(folder, net, name) for name in NODES}
        brokers = [net.way(name, net.ports(name, DOORS)["mqtt"], "devices") for name in NODES]
        made = Stage(folder, config, cast, net, processes, disks, databases, engine, brokers, config.wecom_url)
        stack.callback(_stop, processes)
        _start(made, recorders, say)
        yield made


def _settings(folder: Path, net: Network, databases: Databases) -> Config:
    base = Config(
        data_dir=str(folder / "bench"), log_user=USER, log_password=PASSWORD, log_replicas=len(NODES), log_max_bytes=LOG_BYTES,
        log_sharing="on", log_lease_s=LEASE_S, database_url=databases.url, snapshot_interval_s=4.0,
        # A run is over before the usual minute is.
        restart_hold_s=1.0, restart_hold_most_s=10.0,
    )  # fmt: skip
    base = replace(base, **databases.series_settings)
    return replace(demonstration_settings(base, free_port()), log_url=_urls(net, "services"))


def _urls(net: Network, by: str) -> str:
    ways = [net.way(name, net.ports(name, DOORS)["client"], by) for name in NODES]
    return ",".join(f"nats://{host}:{port}" for host, port in ways)


def _node(folder: Path, net: Network, name: str) -> Process:
    home = folder / name
    home.mkdir(parents=True, exist_ok=True)
    ports = net.ports(name, DOORS)
    routes = [net.way(other, net.ports(other, DOORS)["route"], name) for other in NODES if other != name]
    path = folder / f"{name}.conf"
    path.write_text(
        node_configuration(
            name,
            net.listens(name),
            (ports["client"], ports["route"], ports["mqtt"]),
            [f"{host}:{port}" for host, port in routes],
            home / "js",
            len(NODES),
        )
    )
    command = net.command(name, [str(server_binary()), "-c", str(path)])
    return Process(name, command, os.environ, folder / f"{name}.log")


def _service(made: Stage, name: str, service: str) -> Process:
    home = made.folder / name
    home.mkdir(parents=True, exist_ok=True)
    config = replace(made.config, data_dir=str(home), log_url=_urls(made.network, name))
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("QINGQUAN_")}
    environment = {**inherited, **environment_of(config), "PYTHONUNBUFFERED": "1"}
    command = made.network.command(name, [*PRODUCT, service])
    return Process(name, command, environment, made.folder / f"{name}.log")


def _start(made: Stage, recorders: Sequence[str], say: Callable[[str], None]) -> None:
    for process in made.processes.values():
        process.start()
    say("三个日志节点启动 three log servers start")
    made.wait(lambda: _prepared(made.config), "streams of the log", START_S)
    services = dict.fromkeys(EVALUATORS, "evaluator") | dict.fromkeys(recorders, "recorder")
    services |= {"alerter": "alerter", "gateway-double": "gateway-double"}
    for name, service in services.items():
        made.processes[name] = _service(made, name, service)
        made.processes[name].start()
    say("评判、存储、通知启动 services start")
    begun = {**dict.fromkeys(EVALUATORS, "evaluator started"), "alerter": "alerter_started"}
    begun |= dict.fromkeys(recorders, "recorder_started")
    for name, words in begun.items():
        made.wait(lambda n=name, w=words: w in made.processes[n].last_words(10_000), f"{name} started", START_S)  # type: ignore[misc]


def _prepared(config: Config) -> bool:
    with suppress(BrokerLost, ConfigurationError, StoreUnavailable, TimeoutError):
        asyncio.run(ensure_streams(config))
        return True
    return False


def _stop(processes: dict[str, Process]) -> None:
    for process in reversed(list(processes.values())):
        if process.name.startswith("nats"):
            process.kill()
        else:
            process.stop()
