"""`qingquan up`: the whole system in one go, on the embedded default or as a cluster on loopback, and the demo on top of it."""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from types import FrameType
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from qingquan.clock import to_ms
from qingquan.config import ENVIRONMENT_PREFIX, Config
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.services import ready
from qingquan.services.database_server import database_server
from qingquan.services.duty_desk import RosterDesk
from qingquan.services.gateway_double import demonstration_settings
from qingquan.services.supervisor import Child, Supervisor
from qingquan.services.topology import (
    Part,
    Topology,
    cluster_topology,
    single_topology,
    with_series_store,
    write_settings,
)
from qingquan.services.up_place import answers, clear_demo_folder, free_port_from, is_busy, one_up
from qingquan.services.up_words import MILESTONES, Say, note, say_json, say_text
from qingquan.store.reading_log import resolve_log_config
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.register import save_works
from qingquan.store.sql.server import PostgresMissing, PostgresServer
from qingquan.wiring import environment_of
from simulators.county import county, duty_people
from simulators.place_names import COUNTY_CODE

__all__ = ["DEMO_SPEED", "DEMO_WORKS", "has_said_ready", "run"]

DEMO_WORKS = 120
DEMO_SPEED = 60.0
DEMO_SEED = 1
# The simulated day begins when people get up: water flows, so a loss of dosing shows.
DEMO_HOUR = 6
DEMO_ROSTER_DAYS = 60
# A service that lives is waited for: slow disks and crowded machines take minutes for a first start.
START_WAIT_S = 600.0
STILL_STARTING_S = 30.0
POLL_S = 0.3


def run(config: Config, *, demo: bool = False, cluster: bool = False, as_json: bool = False) -> int:
    """Start everything, report milestones, run until Ctrl-C or SIGTERM, stop everything; exit status.

    Raises
    ------
    ConfigurationError
        One line each: a busy port, a data folder in use or not ours, a refused service.
    """
    stop = _stopped_by_signal()
    folder = config.data_path
    if demo:
        clear_demo_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with one_up(folder):
        config = _with_ports(config, demo)
        return _Up(config, demo, cluster, say_json if as_json else say_text).run(stop)


class _Up:
    """One run of the whole system."""

    def __init__(self, config: Config, demo: bool, cluster: bool, say: Say) -> None:
        self._config = config
        self._demo, self._cluster = demo, cluster
        self._say = say
        self._supervisor = Supervisor(_environment(config), config.data_path / "log")

    def run(self, stop: threading.Event) -> int:
        try:
            topology = self._prepare(stop)
            if not stop.is_set():
                self._start(topology, stop)
                self._milestones(topology.config.sql_url, stop)
        finally:
            self._say("stopping", {})
            self._supervisor.stop()
            self._say("stopped", {})
        return 0

    def _prepare(self, stop: threading.Event) -> Topology:
        self._say("database", {"at": str(self._config.data_path)})
        topology = self._cluster_with_stores(stop) if self._cluster else single_topology(self._config)
        if not stop.is_set():
            upgrade(topology.config.sql_url)
        if self._demo and not stop.is_set():
            register = county(DEMO_WORKS, DEMO_SEED)
            engine = open_database(topology.config.sql_url)
            with writing(engine) as connection:
                save_works(connection, register)
            self._man(RosterDesk(engine, topology.config))
            engine.dispose()
            self._say("register", {"works": len(register), "simulated": True})
        return topology

    @staticmethod
    def _man(desk: RosterDesk) -> None:
        """Put made-up people at the posts above the caretakers, so that a ladder can be watched up to its end."""
        for person in duty_people():
            desk.add_person(person)
        desk.plan([one.id for one in desk.week(COUNTY_CODE).persons if one.role == "county_duty"], [], DEMO_ROSTER_DAYS)

    def _cluster_with_stores(self, stop: threading.Event) -> Topology:
        """The cluster's processes, once its database runs; what it has to do without is said."""
        config = with_series_store(self._config)
        if not config.database_url:
            try:
                server = database_server(config)
            except PostgresMissing as missing:
                note("sqlite", why=missing)
                config = replace(config, database_url=config.sql_url)
            else:
                server.settle_port()
                config = replace(config, database_url=server.url)
                self._start_database(config, server, stop)
        if config.series_store == "duckdb":
            note("duckdb")
        topology = cluster_topology(config)
        note("settings", path=write_settings(topology.config))
        return topology

    def _start_database(self, config: Config, server: PostgresServer, stop: threading.Event) -> None:
        self._supervisor.start(
            "database-server", "run", "database-server", environment=_environment(config), is_base=True
        )
        self._await(server.answers, "database-server", stop)

    def _start(self, topology: Topology, stop: threading.Event) -> None:
        config = topology.config
        if topology.log_servers:
            self._say("log", {})
            servers = [(part, self._start_part(part, is_base=True)) for part in topology.log_servers]
            for part, child in servers:
                self._await(partial(_log_is_up, part, child), part.name, stop)
        if self._demo:
            self._start_part(Part("gateway-double", "gateway-double", config))
        started = {part.name: (part, self._start_part(part)) for part in topology.services}
        self._say("services", {})
        if self._demo:
            self._start_simulator(config)
        # Its word, not its port: another program may have taken that since it was found free.
        self._await(partial(has_said_ready, *started["web"]), "web", stop)
        if not stop.is_set():
            self._say(
                "ready",
                {
                    "url": f"http://{config.web_host}:{config.web_port}",
                    "mqtt": topology.mqtt()[0],
                    **_further(topology),
                },
            )

    def _start_part(self, part: Part, *, is_base: bool = False) -> Child:
        # What an earlier run left says nothing of this one, not even where a process has its number again.
        ready.clear(part.config, part.service)
        environment = _environment(part.config)
        return self._supervisor.start(part.name, "run", part.service, environment=environment, is_base=is_base)

    def _start_simulator(self, config: Config) -> None:
        truth = config.data_path / "truth.csv"
        arguments = ("--works", str(DEMO_WORKS), "--scenario", "demo", "--seed", str(DEMO_SEED), "--truth", str(truth))
        self._supervisor.start("simulator", "simulate", *arguments, environment=_environment(config))

    def _await(self, is_up: Callable[[], bool], name: str, stop: threading.Event) -> None:
        begun = time.monotonic()
        tell_at = begun + STILL_STARTING_S
        where = self._supervisor.log_file(name)
        while not stop.wait(POLL_S):
            self._watch()
            if is_up():
                return
            now = time.monotonic()
            if now - begun > START_WAIT_S:
                last = self._supervisor.last_line(name)
                raise ConfigurationError([f"{name} did not start within {START_WAIT_S:.0f} s; see {where}: {last}"])
            if now > tell_at:
                tell_at = now + STILL_STARTING_S
                self._say("waiting", {"service": name, "seconds": round(now - begun), "log": str(where)})

    def _watch(self) -> None:
        self._supervisor.watch()
        if self._supervisor.refused is not None:
            raise ConfigurationError(self._supervisor.refused.splitlines())

    def _milestones(self, url: str, stop: threading.Event) -> None:
        engine = open_database(url)
        waiting = dict(MILESTONES)
        begun = time.monotonic()
        tell_at = begun + STILL_STARTING_S
        while not stop.wait(POLL_S):
            self._watch()
            if not waiting:
                continue
            try:
                self._report_reached(engine, waiting)
            except StoreUnavailable:
                continue
            if "reading" in waiting and self._demo and (now := time.monotonic()) > tell_at:
                tell_at = now + STILL_STARTING_S
                facts = {"seconds": round(now - begun), "log": str(self._supervisor.log_file("evaluator"))}
                self._say("judging", facts)
        engine.dispose()

    def _report_reached(
        self, engine: Engine, waiting: dict[str, Callable[[Connection], dict[str, object] | None]]
    ) -> None:
        with reading(engine) as connection:
            for name in list(waiting):
                facts = waiting[name](connection)
                if facts is not None:
                    del waiting[name]
                    self._say(name, facts)


def _further(topology: Topology) -> dict[str, object]:
    """Where devices may publish as well, when there are several servers."""
    return {"mqtt_all": topology.mqtt()} if len(topology.log_servers) > 1 else {}


def _environment(config: Config) -> dict[str, str]:
    """A child's settings are all in ``config``: what stands in our own environment went in there, or was overruled."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    return {**inherited, **environment_of(config), "PYTHONUNBUFFERED": "1"}


def _with_ports(config: Config, demo: bool) -> Config:
    """The console takes the next free port when its own is busy; the demo takes free ones throughout."""
    port = free_port_from(config.web_host, config.web_port)
    if port != config.web_port:
        note("port", busy=config.web_port, port=port)
    config = replace(config, web_port=port)
    if not demo:
        return config
    now = time.time_ns() // 1_000_000
    morning = datetime.now(ZoneInfo(config.time_zone)).replace(hour=DEMO_HOUR, minute=0, second=0, microsecond=0)
    config = replace(
        config, clock_speed=DEMO_SPEED, clock_epoch_ms=now, clock_start_ms=to_ms(morning), log_port=0, log_url=""
    )
    if is_busy(config.mqtt_host, config.mqtt_port):
        config = replace(config, mqtt_port=0)
    config = replace(config, public_url=config.public_url or f"http://{config.web_host}:{port}")
    return demonstration_settings(config, free_port_from("127.0.0.1", port + 1))


def has_said_ready(part: Part, child: Child) -> bool:
    """Whether the very process that runs now has said that it serves."""
    return child.process is not None and ready.is_ready(part.config, part.service, child.process.pid)


def _log_is_up(part: Part, child: Child) -> bool:
    """Whether an embedded server has its streams and passed its self-test."""
    try:
        resolved = resolve_log_config(part.config)
    except (BrokerLost, ConfigurationError):
        return False
    return answers(resolved.mqtt_host, resolved.mqtt_port) and has_said_ready(part, child)


def _stopped_by_signal() -> threading.Event:
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handle)
    return stop
