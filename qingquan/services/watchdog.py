"""The watchdog: looks at every part of the platform, tells those who run it, and keeps a watcher outside hearing from us.

It stands beside what it watches and shares nothing with it but the stores. What cannot be written while the database is away
is written when it is back; until then the heartbeat that fails to come is the alarm.
"""

import asyncio
import signal
from contextlib import suppress

import structlog
from sqlalchemy import Engine

from alerts.channels.heartbeat import HeartbeatPort, heartbeat_faults
from alerts.operations import OperationsPlan, load_operations
from alerts.operations_incidents import OperationsStyle, apply_change
from alerts.watch import Judge
from qingquan.config import Config
from qingquan.domain.operations import Change, Measure
from qingquan.errors import ConfigurationError, QingquanError, StoreUnavailable
from qingquan.services.alive import beat
from qingquan.services.metrics import exposition
from qingquan.services.metrics_door import MetricsDoor
from qingquan.services.watching import FORGOTTEN_MS, Watched, Watching, steady_s, wall_ms
from qingquan.store.reading_log import LogInfo, ReadingLog
from qingquan.store.reading_log.uplink import Uplink
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.operations import forget_signs, open_operations, save_measures

__all__ = ["Watchdog", "run"]

ROUND_S = 5.0
ASK_TIMEOUT_S = 3.0
CONDITION = {"ok": 0.0, "pending": 1.0, "firing": 2.0, "unknown": -1.0}

_log = structlog.get_logger("watchdog")


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; exit status 0.

    Raises
    ------
    ConfigurationError
        If the table of operations, the heartbeat's settings or the port of the metrics are faulty, or the database's
        schema is not this version's.
    """
    faults = heartbeat_faults(config.heartbeat_url, config.heartbeat_secret, config.heartbeat_sender)
    if faults:
        raise ConfigurationError(faults)
    asyncio.run(_serve(config, load_operations(config.operations_file)))
    return 0


async def _serve(config: Config, plan: OperationsPlan) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = open_database(config.sql_url)
    with suppress(StoreUnavailable):
        await asyncio.to_thread(check_schema, engine)
    watchdog = Watchdog(config, engine, plan)
    try:
        with MetricsDoor(config.metrics_host, config.metrics_port, watchdog.metrics, watchdog.is_ready):
            await watchdog.run(stop)
    finally:
        watchdog.close()
        engine.dispose()


class Watchdog:
    """One watchdog; several may run, the database admits one open incident a cause."""

    def __init__(self, config: Config, engine: Engine, plan: OperationsPlan, round_s: float = ROUND_S) -> None:
        self._config, self._engine, self._plan, self._round_s = config, engine, plan, round_s
        # What is switched off is not "unknown".
        self._watches = tuple(
            one
            for one in plan.watches
            if (plan.senders or one.measure != "heartbeat_overdue_ratio")
            and (config.heartbeat_url or one.measure != "heartbeat_failures")
            and (config.edges_file or not one.measure.startswith("edge_"))
            and (config.log_hub_url or not one.measure.startswith("uplink_"))
        )
        self._series = open_series_reader(config)
        self._watching = Watching(config, engine, self._series, plan)
        self._style = OperationsStyle(config.language, config.time_zone, config.public_url)
        self._judge: Judge | None = None
        self._log: ReadingLog | None = None
        self._unwritten: list[Change] = []
        self._watched = Watched([])
        self._port = HeartbeatPort(
            config.heartbeat_url, method=config.heartbeat_method, secret=config.heartbeat_secret, sender=config.heartbeat_sender
        ) if config.heartbeat_url else None  # fmt: skip
        self._heartbeat_due_s = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until told to stop."""
        _log.info("watchdog_started", watches=len(self._watches), contacts=len(self._plan.contacts))
        try:
            while not stop.is_set():
                log = await self._ask_log()
                uplink = await self._ask_uplink() if log is not None else None
                await asyncio.to_thread(self.round, log, uplink)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), self._round_s)
        finally:
            if self._log is not None:
                await self._log.close()

    def round(self, log: LogInfo | None, uplink: Uplink | None = None) -> list[Change]:
        """Measure, judge, write, tell the watcher outside; what changed."""
        beat(self._config, "watchdog")
        now_s, now_ms = steady_s(), wall_ms()
        watched = self._watching.look(log, now_s, now_ms, uplink)
        judge = self._judge_now()
        changes = judge.judge(watched.measures, now_s, self._config.clock.now_ms())
        for change in changes:
            told = _log.error if change.is_firing else _log.info
            told("operations_alert", cause=change.cause, firing=change.is_firing, value=change.value)
        self._unwritten += changes
        self._heartbeat(judge, now_s, now_ms)
        conditions = [Measure("watch_condition", CONDITION[one.condition], one.cause) for one in judge.standings()]
        self._watched = Watched([*watched.measures, *conditions], watched.totals, watched.quarantined, watched.signs)
        self._write(now_ms)
        return changes

    def metrics(self) -> bytes:
        """Text for Prometheus, as of the last round."""
        return exposition(self._watched, wall_ms())

    def is_ready(self) -> bool:
        """Whether a round was made and the database has a judge's memory."""
        return self._judge is not None

    def close(self) -> None:
        """Release the store's reader and the connection to the watcher."""
        self._series.close()
        if self._port is not None:
            self._port.close()

    def _judge_now(self) -> Judge:
        """The judge, with what was open before our start as soon as the database tells."""
        if self._judge is not None:
            return self._judge
        try:
            with reading(self._engine) as connection:
                firing = open_operations(connection)
        except StoreUnavailable:
            # Nothing may be judged twice: until the database answers, a judge that forgets is used for the heartbeat alone.
            return Judge(self._watches)
        self._judge = Judge(self._watches, firing)
        return self._judge

    def _write(self, now_ms: int) -> None:
        try:
            with writing(self._engine) as connection:
                queued = sum(apply_change(connection, one, self._plan.contacts, self._style) for one in self._unwritten)
                save_measures(connection, self._watched.measures, now_ms)
                forget_signs(connection, now_ms - FORGOTTEN_MS)
        except StoreUnavailable as error:
            _log.warning("operations_not_written", waiting=len(self._unwritten), why=str(error))
            return
        self._unwritten = []
        if queued:
            _log.info("operations_messages_queued", messages=queued)

    def _heartbeat(self, judge: Judge, now_s: float, now_ms: int) -> None:
        if self._port is None or now_s < self._heartbeat_due_s:
            return
        broken = judge.breaks_chain()
        if broken:
            _log.warning("heartbeat_withheld", causes=broken)
            return
        self._heartbeat_due_s = now_s + self._config.heartbeat_interval_s
        fault = self._port.send({"interval_s": self._config.heartbeat_interval_s, "status": "up"})
        if fault:
            self._watching.heartbeat_failures += 1
            _log.warning("heartbeat_not_delivered", why=fault, failures=self._watching.heartbeat_failures)
            return
        self._watching.heartbeat_failures, self._watching.heartbeat_at_ms = 0, now_ms

    async def _ask_log(self) -> LogInfo | None:
        try:
            if self._log is None:
                self._log = await ReadingLog.connect(self._config, name="watchdog", wait_s=ASK_TIMEOUT_S)
            return await asyncio.wait_for(self._log.info(), ASK_TIMEOUT_S)
        except (QingquanError, TimeoutError) as error:
            _log.debug("log_does_not_answer", why=str(error))
            return None

    async def _ask_uplink(self) -> Uplink | None:
        assert self._log is not None
        try:
            return await asyncio.wait_for(self._log.uplink(), ASK_TIMEOUT_S)
        except (QingquanError, TimeoutError) as error:
            _log.debug("uplink_not_known", why=str(error))
            return None
