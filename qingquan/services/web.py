"""The console: pages and API, served over the stores that the other services write."""

import asyncio
import contextlib
import errno
import itertools
import json
import signal
import socket
import urllib.request
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import structlog
import uvicorn
from fastapi import FastAPI

from alerts.messages import AlertSettings
from alerts.policy import load_policy
from dashboards.web.app import build_app
from dashboards.web.compliance_port import StoreCompliance
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.ports import ConsoleActions
from dashboards.web.store_data import StoreData
from ingest.lab.template import template_workbook
from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.errors import BrokerLost, ConfigurationError, QingquanError, StoreUnavailable
from qingquan.services import ready
from qingquan.services.alive import beat
from qingquan.services.answer_desk import PhoneDesk
from qingquan.services.answers import answer_doors
from qingquan.services.compiled_tests import compiled_apart
from qingquan.services.disinfection_desk import Desk
from qingquan.services.duty_desk import RosterDesk
from qingquan.services.event_desk import StoreEventDesk
from qingquan.services.lab_upload import make_uploader
from qingquan.services.maintenance import MaintenanceDesk
from qingquan.services.operations_desk import OperationsDesk
from qingquan.services.receipts import receipts_router
from qingquan.services.redrive import Redriver, redrive_entries
from qingquan.services.rule_orders import make_rules_desk
from qingquan.services.rulesets import load_ruleset
from qingquan.services.sensors import SensorDesk
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.engine import check_schema, open_database
from qingquan.store.sql.quarantine import QuarantineEntry

__all__ = ["LogLink", "run"]

POLL_S = 1.0
EVERY_MINUTE = 60
ASK_TIMEOUT_S = 3.0
REDRIVE_TIMEOUT_S = 60.0
PHONES_TIMEOUT_S = 3.0
FOR_EVER_S = 1e9
LOOPBACK = ("127.0.0.1", "localhost", "::1")

_log = structlog.get_logger("web")


def run(config: Config) -> int:
    """Serve until SIGTERM or SIGINT; exit status 0. That it serves it says in ``run/web.ready``.

    Raises
    ------
    ConfigurationError
        If the address is taken or the database's schema is not this version's.
    """
    ready.clear(config, "web")
    engine = open_database(config.sql_url)
    with contextlib.suppress(StoreUnavailable):
        check_schema(engine)
    series = open_series_reader(config)
    link = LogLink(config)
    data = StoreData(engine, series, link.logged, load_policy(config.alerts_file).lease_ms)

    def redrive(ids: Sequence[int]) -> int:
        return redrive_entries(engine, link.publish, config.clock.now_ms, ids)

    desk = Desk(engine, config.clock, link.publish_one, config.language)
    most_ms = load_ruleset(config).instrument.maintenance_most_ms
    maintenance = MaintenanceDesk(engine, config.clock, link.publish_one, most_ms // 60_000)

    def every_minute() -> None:
        desk.send_unlogged()
        maintenance.every_minute()

    link.every_minute = every_minute
    actions = ConsoleActions(
        upload=make_uploader(engine, config), lab_template=lambda: ("lab-template.xlsx", template_workbook(config.language)),
        redrive=redrive, phone_messages=_phones(config), phones_url=_phones_url(config), disinfection=desk,
        compliance=StoreCompliance(engine), quality=SensorDesk(engine, series, config.clock, most_ms), maintenance=maintenance,
        rules=make_rules_desk(config, engine, series), duty=RosterDesk(engine, config), answers=PhoneDesk(engine, config),
        operations=OperationsDesk(config, engine),
        events=StoreEventDesk(engine, series, config.clock, AlertSettings.from_config(config)),
    )  # fmt: skip
    console = Console(data, actions, config.clock, CountyFeed(data, config.clock), config.language, config.time_zone)
    app = build_app(console, link.lifespan, [receipts_router(engine, config), answer_doors(engine, config)])
    listening = _listening(config)
    # uvicorn raises the signal that ended it once more: it has been obeyed by then.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    served = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
    _log.info("web_started", url=f"http://{config.web_host}:{config.web_port}")
    try:
        with compiled_apart():
            _Server(served, lambda: ready.say(config, "web")).run(sockets=[listening])
    finally:
        series.close()
        engine.dispose()
    return 0


class _Server(uvicorn.Server):
    """Says when it serves: its socket takes connections long before somebody answers them."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


class LogLink:
    """The console's connection to the reading log, kept by a task on the event loop and used from threads."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._log: ReadingLog | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.every_minute: Callable[[], object] = lambda: None
        """Done in a thread once a minute while the log is connected; `StoreUnavailable` is taken for "later"."""

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Keeps the connection while the application runs."""
        self._loop = asyncio.get_running_loop()
        following = asyncio.create_task(self._follow())
        try:
            yield
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            if self._log is not None:
                await self._log.close()

    def logged(self) -> int | None:
        """How many messages the log has taken so far; ``None`` while it does not answer. Not for the loop's own thread."""
        if self._loop is None or self._log is None:
            return None
        future = asyncio.run_coroutine_threadsafe(self._log.last_sequence(), self._loop)
        try:
            return future.result(ASK_TIMEOUT_S)
        except (QingquanError, TimeoutError):
            future.cancel()
            return None

    def publish(self, entries: Sequence[QuarantineEntry]) -> set[int]:
        """Send quarantined messages through the door again, each once; old sequences of those that went.

        Called from a thread other than the loop's. Raises `BrokerLost` when the log takes none.
        """
        if self._loop is None or self._log is None:
            raise BrokerLost("the reading log does not answer")
        future = asyncio.run_coroutine_threadsafe(self._publish(self._log, entries), self._loop)
        try:
            return future.result(REDRIVE_TIMEOUT_S)
        except TimeoutError as error:
            future.cancel()
            raise BrokerLost(f"the reading log took longer than {REDRIVE_TIMEOUT_S:.0f} s") from error

    def publish_one(self, topic: Topic, payload: bytes) -> int:
        """Store one message; its sequence. Called from a thread other than the loop's. Raises `BrokerLost` when the log takes none."""
        if self._loop is None or self._log is None:
            raise BrokerLost("the reading log does not answer")
        future = asyncio.run_coroutine_threadsafe(self._log.publish(topic, payload), self._loop)
        try:
            return future.result(ASK_TIMEOUT_S)
        except TimeoutError as error:
            future.cancel()
            raise BrokerLost(f"the reading log took longer than {ASK_TIMEOUT_S:.0f} s") from error

    async def _publish(self, log: ReadingLog, entries: Sequence[QuarantineEntry]) -> set[int]:
        redriver = Redriver(log)
        sent = await redriver.publish(entries)
        if redriver.is_lost and not sent:
            raise BrokerLost(redriver.error)
        return sent

    async def _follow(self) -> None:
        for turn in itertools.count():
            try:
                if self._log is None:
                    self._log = await ReadingLog.connect(self._config, name="web", wait_s=FOR_EVER_S)
            except QingquanError as error:
                _log.warning("web_reading_log_lost", why=str(error))
            await asyncio.to_thread(beat, self._config, "web")
            if self._log is not None and turn % EVERY_MINUTE == 0:
                with contextlib.suppress(StoreUnavailable):
                    await asyncio.to_thread(self.every_minute)
            await asyncio.sleep(POLL_S)


def _phones(config: Config) -> "Phones | None":
    """What the gateway double accepted; ``None`` unless messages go to a double on this machine."""
    return Phones(config.wecom_url) if urlsplit(config.wecom_url).hostname in LOOPBACK else None


def _phones_url(config: Config) -> str:
    """The double's own page; empty where messages go to real providers."""
    return f"{config.wecom_url.rstrip('/')}/double/phones" if urlsplit(config.wecom_url).hostname in LOOPBACK else ""


class Phones:
    """Reads the gateway double."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/double/messages?limit=60"

    def __call__(self) -> Sequence[Mapping[str, object]]:
        """Messages it accepted, newest first. Raises `StoreUnavailable` when it does not answer."""
        try:
            with urllib.request.urlopen(self._url, timeout=PHONES_TIMEOUT_S) as answer:  # noqa: S310 - a loopback address
                messages: Sequence[Mapping[str, object]] = json.load(answer)["messages"]
        except (OSError, ValueError, KeyError) as error:
            raise StoreUnavailable(f"the gateway double does not answer: {error}") from error
        return messages


def _listening(config: Config) -> socket.socket:
    """A socket bound to the console's address, so that a taken port is one line and not a traceback."""
    try:
        return socket.create_server((config.web_host, config.web_port), backlog=2048)
    except OSError as error:
        raise ConfigurationError([_not_listening(config, error)]) from error


def _not_listening(config: Config, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"web_port = {config.web_port}: in use by another program: end it, or set web_port (`qingquan up`: --port)"
        )
    where = f"web_host = {config.web_host!r}, web_port = {config.web_port}"
    return f"{where}: the console cannot listen there: {error.strerror}"
