"""`qingquan up`: the whole system in one go on the embedded default, and the demo on top of it."""

import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import IO
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine

from qingquan.clock import from_ms, to_ms
from qingquan.config import Config
from qingquan.domain.findings import FindingKind
from qingquan.domain.incidents import MessageState
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.services.duty_desk import RosterDesk
from qingquan.services.gateway_double import demonstration_settings
from qingquan.services.supervisor import Supervisor
from qingquan.store.reading_log import resolve_log_config
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.progress import counts
from qingquan.store.sql.register import get_works, save_works
from qingquan.wiring import environment_of
from simulators.county import county, duty_people
from simulators.place_names import COUNTY_CODE

__all__ = ["DEMO_SPEED", "DEMO_WORKS", "run"]

DEMO_WORKS = 120
DEMO_SPEED = 60.0
DEMO_SEED = 1
# The simulated day begins when people get up: water flows, so a loss of dosing shows.
DEMO_HOUR = 6
DEMO_ROSTER_DAYS = 60
DEMO_MARK = ".qingquan-demo"
# A service that lives is waited for: slow disks and crowded machines take minutes for a first start.
START_WAIT_S = 600.0
STILL_STARTING_S = 30.0
POLL_S = 0.3
LATER_PORTS = 50

Say = Callable[[str, dict[str, object]], None]


def run(config: Config, *, demo: bool = False, as_json: bool = False) -> int:
    """Start everything, report milestones, run until Ctrl-C or SIGTERM, stop everything; exit status.

    Raises
    ------
    ConfigurationError
        One line each: a busy port, a data folder in use or not ours, a refused service.
    """
    stop = _stopped_by_signal()
    folder = config.data_path
    if demo:
        _clear_demo_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _lock(folder / "up.lock"):
        config = _with_ports(config, demo)
        return _Up(config, demo, _say_json if as_json else _say_text).run(stop)


class _Up:
    """One run of the whole system."""

    def __init__(self, config: Config, demo: bool, say: Say) -> None:
        self._config = config
        self._demo = demo
        self._say = say
        environment = {**os.environ, **environment_of(config), "PYTHONUNBUFFERED": "1"}
        self._supervisor = Supervisor(environment, config.data_path / "log")

    def run(self, stop: threading.Event) -> int:
        try:
            self._prepare()
            self._start(stop)
            self._milestones(stop)
        finally:
            self._say("stopping", {})
            self._supervisor.stop()
            self._say("stopped", {})
        return 0

    def _prepare(self) -> None:
        self._say("database", {"at": str(self._config.data_path)})
        upgrade(self._config.sql_url)
        if self._demo:
            register = county(DEMO_WORKS, DEMO_SEED)
            engine = open_database(self._config.sql_url)
            with writing(engine) as connection:
                save_works(connection, register)
            self._man(RosterDesk(engine, self._config))
            engine.dispose()
            self._say("register", {"works": len(register), "simulated": True})

    @staticmethod
    def _man(desk: RosterDesk) -> None:
        """Put made-up people at the posts above the caretakers, so that a ladder can be watched up to its end."""
        for person in duty_people():
            desk.add_person(person)
        desk.plan([one.id for one in desk.week(COUNTY_CODE).persons if one.role == "county_duty"], [], DEMO_ROSTER_DAYS)

    def _start(self, stop: threading.Event) -> None:
        config = self._config
        if not config.log_url:
            self._say("log", {})
            self._supervisor.start("log-server", "run", "log-server")
            self._await(lambda: _log_is_up(config), "log-server", stop)
        if self._demo:
            self._supervisor.start("gateway-double", "run", "gateway-double")
        for name in ("evaluator", "recorder", "alerter", "web", "adviser", "compliance", "detector", "watchdog"):
            self._supervisor.start(name, "run", name)
        if config.bridge_host:
            self._supervisor.start("bridge", "run", "bridge")
        if config.edges_file:
            self._supervisor.start("edges", "run", "edges")
        self._say("services", {})
        if self._demo:
            truth = config.data_path / "truth.csv"
            arguments = (
                "--works",
                str(DEMO_WORKS),
                "--scenario",
                "demo",
                "--seed",
                str(DEMO_SEED),
                "--truth",
                str(truth),
            )
            self._supervisor.start("simulator", "simulate", *arguments)
        self._await(lambda: _answers(config.web_host, config.web_port), "web", stop)
        if not stop.is_set():
            self._say("ready", {"url": f"http://{config.web_host}:{config.web_port}", **self._mqtt()})

    def _mqtt(self) -> dict[str, object]:
        resolved = resolve_log_config(self._config)
        return {"mqtt": f"{resolved.mqtt_host}:{resolved.mqtt_port}"}

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

    def _milestones(self, stop: threading.Event) -> None:
        engine = open_database(self._config.sql_url)
        waiting = dict(_MILESTONES)
        while not stop.wait(POLL_S):
            self._watch()
            if not waiting:
                continue
            try:
                self._report_reached(engine, waiting)
            except StoreUnavailable:
                continue
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


def _first_reading(connection: Connection) -> dict[str, object] | None:
    readings = counts(connection).get("evaluated.readings", 0)
    return {"readings": readings} if readings else None


def _first_finding(connection: Connection, kind: FindingKind | None = None) -> dict[str, object] | None:
    page = list_findings(connection, kinds=[kind] if kind else None, limit=1)
    if not page.items:
        return None
    finding = page.items[0]
    works = get_works(connection, finding.county, finding.works)
    name = works.name if works else finding.works
    at = from_ms(finding.start).isoformat()
    return {"kind": finding.kind.value, "works": name, "since": at, "reason": finding.reason}


def _first_incident(connection: Connection) -> dict[str, object] | None:
    page = list_incidents(connection, limit=1)
    return {"id": page.items[0].id, "kind": page.items[0].kind.value} if page.items else None


def _first_message(connection: Connection) -> dict[str, object] | None:
    page = list_messages(connection, states=[MessageState.ACCEPTED, MessageState.DELIVERED], limit=1)
    if not page.items:
        return None
    message = page.items[0]
    return {"channel": message.channel, "to": message.receiver_name, "text": message.body}


_MILESTONES: dict[str, Callable[[Connection], dict[str, object] | None]] = {
    "reading": _first_reading,
    "finding": _first_finding,
    "incident": _first_incident,
    "missing": lambda connection: _first_finding(connection, FindingKind.DISINFECTION_MISSING),
    "message": _first_message,
}

_WORDS = {
    "database": "[1/4] 数据库 database: {at}",
    "register": "      登记模拟工程 simulated works: {works}",
    "log": "[2/4] 读数日志 reading log (NATS, MQTT)",
    "services": "[3/4] 评判、存储、告警、网页 evaluator, recorder, alerter, web",
    "waiting": "      仍在启动 still starting: {service}, {seconds} s (日志 log: {log})",
    "ready": "[4/4] 就绪 ready: {url}   (MQTT {mqtt}; Ctrl-C 结束 to stop)",
    "reading": "      首批读数 first readings: {readings}",
    "finding": "      首个判定 first finding: {works} {reason}",
    "incident": "      首个事件 first incident: {kind}",
    "missing": "  !   首个消毒缺失 first missing disinfection: {works} {reason}",
    "message": "      首条通知 first message: {channel} -> {to}",
    "stopping": "停止中 stopping …",
    "stopped": "已停止 stopped",
    "port": "      端口 {busy} 已占用，改用 {port} (port {busy} is taken, using {port}; choose one with --port)",
}


def _say_text(event: str, facts: dict[str, object]) -> None:
    print(_WORDS[event].format(**facts), flush=True)


def _say_json(event: str, facts: dict[str, object]) -> None:
    print(json.dumps({"event": event, **facts}, ensure_ascii=False), flush=True)


def _with_ports(config: Config, demo: bool) -> Config:
    """The console takes the next free port when its own is busy; the demo takes free ones throughout."""
    port = _free_port(config.web_host, config.web_port)
    if port != config.web_port:
        print(_WORDS["port"].format(busy=config.web_port, port=port), file=sys.stderr)
    config = replace(config, web_port=port)
    if not demo:
        return config
    now = time.time_ns() // 1_000_000
    morning = datetime.now(ZoneInfo(config.time_zone)).replace(hour=DEMO_HOUR, minute=0, second=0, microsecond=0)
    config = replace(
        config, clock_speed=DEMO_SPEED, clock_epoch_ms=now, clock_start_ms=to_ms(morning), log_port=0, log_url=""
    )
    if _is_busy(config.mqtt_host, config.mqtt_port):
        config = replace(config, mqtt_port=0)
    config = replace(config, public_url=config.public_url or f"http://{config.web_host}:{port}")
    return demonstration_settings(config, _free_port("127.0.0.1", port + 1))


def _free_port(host: str, wanted: int) -> int:
    for port in range(wanted, min(wanted + LATER_PORTS, 65_536)):
        if not _is_busy(host, port):
            return port
    raise ConfigurationError(
        [f"web_port = {wanted}: this and the next {LATER_PORTS} ports are taken; choose one with --port"]
    )


def _is_busy(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError as error:
            raise ConfigurationError(
                [f"web_port = {port}: not allowed for this user; choose one above 1023 with --port"]
            ) from error
        except OSError:
            return True
    return False


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except OSError:
        return False


def _log_is_up(config: Config) -> bool:
    """Whether the embedded server has its streams and passed its self-test: it says so in a file beside its ports."""
    try:
        resolved = resolve_log_config(config)
    except (BrokerLost, ConfigurationError):
        return False
    return _answers(resolved.mqtt_host, resolved.mqtt_port) and (config.data_path / "run" / "log-server.ready").exists()


def _clear_demo_folder(folder: Path) -> None:
    """A demo begins clean; a folder that is not a demo's is never touched."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / DEMO_MARK).exists():
            raise ConfigurationError([f"--data {folder}: holds something else than a demo; name an empty folder"])
        with _lock(folder / "up.lock"):
            for entry in folder.iterdir():
                if entry.name in (DEMO_MARK, "up.lock"):
                    continue
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DEMO_MARK).touch()


class _lock:  # noqa: N801 (reads as a function)
    """One `up` a data folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise ConfigurationError(
                [
                    f"{self._path.parent}: another `qingquan up` runs on this folder; stop it, or choose another with --data"
                ]
            ) from None

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _stopped_by_signal() -> threading.Event:
    stop = threading.Event()

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, handle)
    return stop
