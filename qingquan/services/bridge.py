"""The bridge service: an outside MQTT broker into the reading log."""

import asyncio
import signal
from dataclasses import replace
from typing import Literal, cast

import structlog
from sqlalchemy import Engine

from ingest.bridge import Bridge, BridgeCounts, BridgeSettings
from qingquan.config import Config
from qingquan.domain.readings import Quarantined
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import check_schema, open_database, writing
from qingquan.store.sql.progress import add_counts
from qingquan.store.sql.quarantine import insert_quarantined
from qingquan.tasks import unless_stopped

__all__ = ["bridge_settings", "run"]

COUNTS_EVERY_S = 10.0
LOG_WAIT_S = 15.0

_log = structlog.get_logger(__name__)


def bridge_settings(config: Config) -> BridgeSettings:
    """The outside broker of ``config``.

    Raises
    ------
    ConfigurationError
        If none is set.
    """
    if not config.bridge_host:
        raise ConfigurationError(["bridge_host = '': name the outside MQTT broker to bridge from"])
    return BridgeSettings(
        config.bridge_host, config.bridge_port, config.bridge_user, config.bridge_password, config.bridge_client_id,
        config.bridge_topic, cast(Literal["3.1.1", "5"], config.bridge_protocol),
    )  # fmt: skip


def run(config: Config, *, stop: asyncio.Event | None = None) -> int:
    """Run until SIGTERM or SIGINT; exit status 0.

    Totals go to the database as ``bridge_received``, ``bridge_forwarded`` and so on, one for each field of `BridgeCounts`.

    Raises
    ------
    ConfigurationError
        If no outside broker is set, or the database's schema is not this version's.
    """
    settings = bridge_settings(config)
    asyncio.run(_serve(config, settings, stop or asyncio.Event()))
    return 0


async def _serve(config: Config, settings: BridgeSettings, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = open_database(config.sql_url)
    try:
        await _checked(engine, stop)
        log = await _log_connection(config, stop)
        if log is None:
            return
        async with log:
            bridge = Bridge(
                settings, log.publish, lambda item: asyncio.to_thread(_keep, engine, item), config.clock.now_ms
            )
            running = asyncio.create_task(bridge.run(stop))
            await _count(bridge, engine, running)
            await running
    finally:
        engine.dispose()


async def _checked(engine: Engine, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await asyncio.to_thread(check_schema, engine)
        except StoreUnavailable as error:
            _log.warning("bridge_waits_for_database", error=str(error))
            await _pause(stop, 1.0)
        else:
            return


async def _log_connection(config: Config, stop: asyncio.Event) -> ReadingLog | None:
    """The reading log, ``None`` if we are told to stop before it answers."""
    while not stop.is_set():
        try:
            return await unless_stopped(ReadingLog.connect(config, name="bridge", wait_s=LOG_WAIT_S), stop)
        except BrokerLost as error:
            _log.warning("bridge_waits_for_log", error=str(error))
    return None


async def _count(bridge: Bridge, engine: Engine, running: "asyncio.Task[None]") -> None:
    """Bring totals to the database now and then, and once more at the end; what it does not take waits for the next time."""
    stored = BridgeCounts()
    while True:
        await asyncio.wait((running,), timeout=COUNTS_EVERY_S)
        now = replace(bridge.counts)
        increments = {f"bridge_{name}": value for name, value in now.since(stored).items()}
        if increments:
            try:
                await asyncio.to_thread(_add, engine, increments)
            except StoreUnavailable as error:
                _log.warning("bridge_counts_wait", error=str(error))
            else:
                stored = now
                _log.info("bridge_counts", **increments)
        if running.done():
            return


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


def _keep(engine: Engine, item: Quarantined) -> None:
    with writing(engine) as connection:
        insert_quarantined(connection, [item])


def _add(engine: Engine, increments: dict[str, int]) -> None:
    with writing(engine) as connection:
        add_counts(connection, increments)
