"""The recorder: reads the log from its own position, decodes, and writes the time-series store.

Exactly once: rows, totals and the mark of what they cover go to the store as one append; what was set aside goes to SQL
before it, where it is unique by sequence and position. So after a crash the same messages are read again, and nothing
doubles. It shares nothing with the evaluator but the log.
"""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import structlog
from sqlalchemy import Connection, Engine

from ingest.decode import Decoded, Decoder, PointDirectory
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.readings import LogMessage, QuarantineReason, ReadingBatch, SeriesCatalog
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.services.alive import beat
from qingquan.services.compliance_marks import LateDays
from qingquan.services.held_register import HeldRegister
from qingquan.services.log_space import Laggard, reserve_now
from qingquan.services.one_log import require_one_log
from qingquan.services.recorded_rows import RowMaker
from qingquan.services.single import sole_process
from qingquan.standards.loader import load_standards
from qingquan.store.ports import AppendResult, SeriesStore
from qingquan.store.reading_log import LogReader, ReadingLog
from qingquan.store.series.opening import open_series_store, recorder_socket, retention_of
from qingquan.store.series.remote import serving_series
from qingquan.store.sql.compliance import mark_dirty
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.ownership import is_shared
from qingquan.store.sql.progress import (
    DETECTOR_PARTITION,
    RECORDER_PARTITION,
    SNAPSHOT_PARTITION,
    applied_sequence,
    set_applied_sequence,
)
from qingquan.store.sql.quarantine import insert_quarantined
from qingquan.store.sql.register import register_version
from qingquan.tasks import unless_stopped

__all__ = ["READER", "Recorder", "purge_floor", "run"]

READER = "all"
"""The recorder's name in the series store: it reads all partitions."""

BATCH_MESSAGES = 20_000
BATCH_SPAN_S = 0.5
REGISTER_POLL_S = 3.0
REPORT_S = 10.0
PURGE_EVERY_S = 60.0
MAINTAIN_EVERY_S = 1800.0
FIRST_MAINTENANCE_S = 120.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 30.0
FOR_EVER_S = 1e9

_UNREGISTERED = {QuarantineReason.UNKNOWN_WORKS, QuarantineReason.UNKNOWN_POINT}

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class _Stopped(Exception):
    """The service was told to stop while a store was out of reach."""


class Books(Protocol):
    """Where the position of a recorder is noted, and who owns what it records."""

    partition: int | None
    reader: str

    def fence(self, connection: Connection) -> None:
        """Inside a transaction: raise `OwnershipLost` unless we are the owner until its end."""
        ...

    def show(self, connection: Connection, covered: int) -> int:
        """Note how far the recorder is; how far everything is recorded."""
        ...


class WholeLogRecorded:
    """One recorder for all partitions."""

    partition: int | None = None
    reader = READER

    def fence(self, connection: Connection) -> None:
        """Nothing: nobody else records."""

    def show(self, connection: Connection, covered: int) -> int:
        """See `Books.show`."""
        set_applied_sequence(connection, RECORDER_PARTITION, covered)
        return covered


class Recorder:
    """Decodes messages and records them. Its methods block; `follow` drives them from an event loop."""

    def __init__(
        self, config: Config, engine: Engine, store: SeriesStore, books: Books | None = None, register: HeldRegister | None = None
    ) -> None:  # fmt: skip
        self._books = books or WholeLogRecorded()
        self._register = register or HeldRegister()
        self._recorded = 0
        self._config = config
        self._engine = engine
        self._store = store
        parameters = load_standards().parameters
        catalog = SeriesCatalog()
        self._decoder = Decoder(
            PointDirectory([]), catalog, parameters,
            earliest_ms=to_ms(datetime(config.earliest_accepted_year, 1, 1, tzinfo=UTC)),
            future_tolerance_ms=config.future_tolerance_s * 1000,
        )  # fmt: skip
        self._rows = RowMaker(catalog, parameters)
        self._late_days = LateDays(catalog)
        self._register_version = -1
        self._register_due = 0.0
        self._maintain_due = time.monotonic() + FIRST_MAINTENANCE_S

    def covered(self) -> int:
        """Log sequence up to which everything is recorded."""
        return self._store.covered(self._books.reader)

    @property
    def partition(self) -> int | None:
        """The partition recorded; ``None`` = all."""
        return self._books.partition

    def record(self, messages: Sequence[LogMessage]) -> AppendResult:
        """Record messages, which follow on what is covered. May be repeated after `StoreUnavailable`."""
        decoded = self._decode(messages)
        late = self._late_days.of(decoded.batch, messages[-1].sequence)
        if decoded.quarantined or late or self.partition is not None:
            # Both before the rows: a mark counts only once the store has covered its sequence.
            with writing(self._engine) as connection:
                self._books.fence(connection)
                insert_quarantined(connection, decoded.quarantined)
                mark_dirty(connection, late)
        return self._store.append(
            self._rows.rows(decoded.batch), self._books.reader, messages[-1].sequence, len(messages)
        )

    def go_back(self, covered: int) -> None:
        """Record again from ``covered`` + 1 on: the log lost its tail, or is another one."""
        self._store.rewind(self._books.reader, covered)

    def pass_over(self, covered: int) -> None:
        """Nothing of this partition is left in the log up to ``covered``."""
        with writing(self._engine) as connection:
            self._books.fence(connection)
        self._store.append(self._rows.rows(ReadingBatch.empty()), self._books.reader, covered)

    def show_progress(self, covered: int) -> None:
        """Note in SQL how far the recorder is, for pages and for the purge."""
        with writing(self._engine) as connection:
            self._books.fence(connection)
            self._recorded = self._books.show(connection, covered)

    def recorded(self, covered: int) -> int:
        """Log sequence up to which all partitions are recorded, when this recorder has come to ``covered``."""
        return covered if self.partition is None else min(covered, self._recorded)

    def is_upkeep_due(self) -> bool:
        """Whether `maintain` is due; once in `MAINTAIN_EVERY_S`."""
        if time.monotonic() < self._maintain_due:
            return False
        self._maintain_due = time.monotonic() + MAINTAIN_EVERY_S
        return True

    def maintain(self) -> None:
        """Let the store drop what is older than its time and put the rest in order; beside `record`, from another thread."""
        self._store.maintain(self._config.clock.now_ms(), retention_of(self._config))

    def beat(self) -> None:
        """Say that the loop has come round."""
        beat(self._config, "recorder")

    def others(self) -> tuple[int, int]:
        """Log sequences up to which the evaluator's snapshots reach, from where it would have to read again, and the detector."""
        with reading(self._engine) as connection:
            return applied_sequence(connection, SNAPSHOT_PARTITION), applied_sequence(connection, DETECTOR_PARTITION)

    def _decode(self, messages: Sequence[LogMessage]) -> Decoded:
        self._follow_register(time.monotonic() >= self._register_due)
        decoded = self._decoder.decode(messages)
        if any(item.reason in _UNREGISTERED for item in decoded.quarantined) and self._follow_register(True):
            # A works enrolled a moment ago: its first message must not be set aside.
            return self._decoder.decode(messages)
        return decoded

    def _follow_register(self, is_due: bool) -> bool:
        """Take a changed register; whether it had changed."""
        if not is_due:
            return False
        self._register_due = time.monotonic() + REGISTER_POLL_S
        with reading(self._engine) as connection:
            version = register_version(connection)
            if version == self._register_version:
                return False
            works = self._register.works(connection, version)
        self._decoder.replace_directory(PointDirectory(works))
        self._rows.register(works)
        self._late_days.register(works)
        self._register_version = version
        _log.info("works_register_loaded", works=len(works), version=version)
        return True


async def follow(
    recorder: Recorder, log: ReadingLog, stop: asyncio.Event, reserve: int | None = None, turns: asyncio.Semaphore | None = None
) -> None:  # fmt: skip
    """Record the log until told to stop; a batch that was begun is finished first.

    ``reserve`` is how many messages the log keeps behind the slower of recorder and evaluator; ``None`` = never purge. ``turns``: who
    records other partitions in the same process waits there for its turn.
    """
    try:
        covered = await _insisted(recorder.covered, stop)
    except _Stopped:
        # Also when its partition goes to another one meanwhile: that is no reason for the process to end.
        _log.warning("recorder_stopped_before_start")
        return
    reader = log.reader(covered + 1, partition=recorder.partition)
    pass_due = time.monotonic() + REPORT_S
    summary = _Summary(recorder, log, reserve)
    upkeep = _Upkeep(recorder, stop)
    _log.info("recorder_started", covered=covered)
    upcoming = asyncio.create_task(_batch(reader, stop))
    try:
        while not stop.is_set():
            messages = await upcoming
            # The next batch is fetched while this one is decoded and written.
            upcoming = asyncio.create_task(_batch(reader, stop))
            if messages:
                if messages[0].sequence <= covered:
                    _log.error("log_began_anew", covered=covered, first=messages[0].sequence)
                    await _insisted(recorder.go_back, stop, messages[0].sequence - 1)
                async with _turn(turns, stop):
                    summary.add(len(messages), await _insisted(recorder.record, stop, messages))
                covered = messages[-1].sequence
            elif recorder.partition is not None and time.monotonic() >= pass_due and not upcoming.done():
                pass_due = time.monotonic() + REPORT_S
                # Without passing over messages of other partitions the log could never be purged. What the next batch may
                # have fetched already is waited for, as the reader has counted it.
                messages = await upcoming
                last = None if messages else await reader.caught_up()
                upcoming = asyncio.create_task(_given(messages) if messages else _batch(reader, stop))
                if last is not None and last > covered:
                    await _insisted(recorder.pass_over, stop, last)
                    covered = last
            await summary.tell(covered)
            upkeep.look()
            recorder.beat()
        await summary.tell(covered, is_last=True)
    except _Stopped:
        _log.warning("recorder_stopped_without_store", covered=covered)
    finally:
        for task in (upcoming, upkeep.task):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def _turn(turns: asyncio.Semaphore | None, stop: asyncio.Event) -> AsyncIterator[None]:
    """One's turn among those who record other partitions; `_Stopped` when told to stop before: the batch is then not begun."""
    if turns is None:
        yield
        return
    taking, stopping = asyncio.ensure_future(turns.acquire()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({taking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not taking.done():
            raise _Stopped
        yield
    finally:
        stopping.cancel()
        if not taking.cancel():
            turns.release()


async def _batch(reader: LogReader, stop: asyncio.Event) -> list[LogMessage]:
    """Messages of half a second, or as many as fit into one append."""
    deadline = time.monotonic() + BATCH_SPAN_S
    messages: list[LogMessage] = []
    while len(messages) < BATCH_MESSAGES and not stop.is_set():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            break
        messages += await reader.fetch(BATCH_MESSAGES - len(messages), left_s)
    return messages


async def _given(messages: list[LogMessage]) -> list[LogMessage]:
    return messages


async def _insisted(work: Callable[..., T], stop: asyncio.Event, *arguments: object) -> T:
    """Do blocking work in a thread, again and again while a store does not answer."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await asyncio.to_thread(work, *arguments)
        except StoreUnavailable as error:
            asked_s = getattr(error, "retry_after_s", 0.0)
            wait_s = max(pause_s * random.uniform(0.5, 1.0), asked_s)  # noqa: S311 - jitter
            _log.warning("store_unavailable", error=str(error), retry_in_s=round(wait_s, 1))
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait_s)
        if stop.is_set():
            raise _Stopped


class _Upkeep:
    """Upkeep of the store in the background, one at a time; readings are recorded meanwhile."""

    def __init__(self, recorder: Recorder, stop: asyncio.Event) -> None:
        self._recorder, self._stop = recorder, stop
        self.task = asyncio.create_task(asyncio.sleep(0))

    def look(self) -> None:
        """Begin when it is due. Raises what ended the last one, unless that was the store being away."""
        if not self.task.done():
            return
        self.task.result()
        if self._recorder.is_upkeep_due():
            self.task = asyncio.create_task(self._done())

    async def _done(self) -> None:
        with suppress(_Stopped):
            await _insisted(self._recorder.maintain, self._stop)


class _Summary:
    """What was recorded since the last line about it; now and then told to the log, to SQL and to the purge."""

    def __init__(self, recorder: Recorder, log: ReadingLog, reserve: int | None) -> None:
        self._recorder = recorder
        self._log = log
        self._reserve = reserve
        self._detector = Laggard()
        self._report_due = time.monotonic() + REPORT_S
        self._purge_due = time.monotonic() + PURGE_EVERY_S
        self._shown = -1
        self._showing: asyncio.Task[None] | None = None
        self._counts = dict.fromkeys(("messages", "stored", "duplicates", "conflicts"), 0)

    def add(self, messages: int, result: AppendResult) -> None:
        self._counts["messages"] += messages
        for name in ("stored", "duplicates", "conflicts"):
            self._counts[name] += getattr(result, name)

    async def tell(self, covered: int, *, is_last: bool = False) -> None:
        """Best effort: what cannot be told now is told next time."""
        now = time.monotonic()
        if not is_last and now < self._report_due:
            return
        self._report_due = now + REPORT_S
        if covered != self._shown:
            _log.info("recorded", covered=covered, **self._counts)
            self._counts = dict.fromkeys(self._counts, 0)
            if self._showing is None or self._showing.done():
                self._showing = asyncio.create_task(self._show(covered))
        if is_last and self._showing is not None:
            await self._showing
            if covered != self._shown:
                await self._show(covered)
        if self._reserve is not None and now >= self._purge_due:
            self._purge_due = now + PURGE_EVERY_S
            await self._purge(covered, self._reserve)

    async def _show(self, covered: int) -> None:
        """In the background: a database that others keep busy must not hold up the recording."""
        try:
            await asyncio.to_thread(self._recorder.show_progress, covered)
            self._shown = covered
        except StoreUnavailable as error:
            _log.warning("progress_not_shown", error=str(error))

    async def _purge(self, covered: int, reserve: int) -> None:
        try:
            evaluated, detected = await asyncio.to_thread(self._recorder.others)
            size = await self._log.info()
            used_share = size.bytes / max(size.max_bytes, 1)
            held_at = self._detector.holds_at(detected, time.monotonic(), used_share)
            reserve = reserve_now(reserve, used_share)
            advisory = [] if held_at is None else [held_at + reserve]
            recorded = self._recorder.recorded(covered)
            uplink = await self._log.uplink()
            # What the province has not confirmed it will still ask for.
            handed_on = [] if uplink is None else [uplink.confirmed]
            await self._log.purge_to(purge_floor([recorded, evaluated, *advisory, *handed_on], reserve))
        except (BrokerLost, StoreUnavailable) as error:
            _log.warning("log_not_purged", error=str(error))


def purge_floor(covered: Sequence[int], reserve: int) -> int:
    """Newest sequence the log may forget: what all its readers have covered, less a reserve for replays; 0 = nothing.

    A reader that never covered anything holds everything back.
    """
    return max(0, min(covered, default=0) - reserve)


def run(config: Config, *, stop: asyncio.Event | None = None, reserve: int | None = None) -> int:
    """Run until SIGTERM or SIGINT; exit status 0.

    Raises
    ------
    ConfigurationError
        If the database's schema is not this version's, settings of the store are missing, or another recorder runs where it must
        be the only one.
    """
    # An embedded store has one writer, however many evaluators there are.
    if config.log_sharing == "on" and config.series_store != "duckdb":
        from qingquan.services.shared_recorders import serve

        asyncio.run(serve(config, stop or asyncio.Event(), reserve))
        return 0
    with sole_process(config, "recorder"):
        asyncio.run(_serve(config, stop or asyncio.Event(), reserve))
    return 0


async def _serve(config: Config, stop: asyncio.Event, reserve: int | None) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = open_database(config.sql_url)
    try:
        await _insisted(check_schema, stop, engine)
        await _insisted(_refuse_shared, stop, engine)
        await require_one_log(config, engine, "recorder")
        store = await _insisted(open_series_store, stop, config)
        try:
            async with _served(config, store), await _connected(config, stop) as log:
                await log.check_layout()
                keep = config.log_reserve_messages if reserve is None else reserve
                await follow(Recorder(config, engine, store), log, stop, keep)
        finally:
            await asyncio.to_thread(store.close)
    except _Stopped:
        _log.warning("recorder_stopped_before_start")
    finally:
        engine.dispose()


def _refuse_shared(engine: Engine) -> None:
    with reading(engine) as connection:
        if is_shared(connection, "recorder"):
            raise ConfigurationError(
                [
                    "log_sharing = 'off': the partitions of this database have been shared by several recorders: set log_sharing = "
                    "'on' (one process may own all of them)"
                ]
            )


def _served(config: Config, store: SeriesStore) -> AbstractAsyncContextManager[None]:
    """An embedded store is served to the other processes; InfluxDB serves itself."""
    return serving_series(store, recorder_socket(config)) if config.series_store == "duckdb" else nullcontext()


async def _connected(config: Config, stop: asyncio.Event) -> ReadingLog:
    connected = await unless_stopped(ReadingLog.connect(config, name="recorder", wait_s=FOR_EVER_S), stop)
    if connected is None:
        raise _Stopped
    return connected
