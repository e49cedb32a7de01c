"""The detector: a fold of its own over the reading log that writes advisory findings of sudden changes.

It shares nothing with the evaluator but the log, so it never delays judging. Findings and position commit together, after the
state as of that position is on disk: whatever is killed, the log is read again from there and no finding doubles. It
alerts nobody: findings are for the pages, minor at most, and no incident is opened.
"""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import structlog
from sqlalchemy import Connection, Engine

from ingest.decode import Decoder, PointDirectory
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind, Severity, finding_id
from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import LogMessage, QuarantineReason, ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.domain.works import Works
from qingquan.errors import OwnershipLost, StoreUnavailable
from qingquan.services.alive import beat
from qingquan.services.compiled_events import compile_events_apart
from qingquan.services.detector_snapshot import DetectorSnapshots
from qingquan.services.detector_watch import Advice, WorksKey, advice_of, watched
from qingquan.services.event_shapes import known_name
from qingquan.services.one_log import require_one_log
from qingquan.services.single import sole_process
from qingquan.standards.loader import load_standards
from qingquan.store.ports import SeriesReader
from qingquan.store.reading_log import LogReader, ReadingLog
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.events import note_told
from qingquan.store.sql.findings import open_findings, upsert_findings
from qingquan.store.sql.progress import (
    DETECTOR_PARTITION,
    add_counts,
    applied_sequence,
    rewind_detector,
    set_applied_sequence,
)
from qingquan.store.sql.register import register_version, scan_works
from qingquan.tasks import unless_stopped
from rules.events.live import EventChange, LiveReadings, LiveState, fold_readings
from rules.events.live_plan import LivePlan
from rules.reasons import CONTRIBUTORS, KNOWN, sentence

__all__ = ["EVENT_RULE", "Detector", "follow_log", "run"]

EVENT_RULE = "water_event"
RULE_VERSION = "1"
BATCH_MESSAGES = 20_000
COMMIT_EVERY_S = 5.0
# Every fold looks at all readings that wait for the rest of their rows, two minutes of them: a province's few at a time cost half a core.
GATHER_S = 2.0
POLL_S = 3.0
PAUSE_S = 1.0
FETCH_WAIT_S = 0.5
FOR_EVER_S = 1e9
_UNREGISTERED = {QuarantineReason.UNKNOWN_WORKS, QuarantineReason.UNKNOWN_POINT}
_log = structlog.get_logger("detector")


class _Superseded(OwnershipLost):
    """Another detector has come further: this one's state is of no use any more."""


class Detector:
    """Folds messages and commits what came of them. Its methods block."""

    def __init__(
        self,
        config: Config,
        engine: Engine,
        series: SeriesReader | None = None,
        fence: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self._fence = fence
        self._engine, self._series, self._clock = engine, series, config.clock
        self._language = config.language
        self._catalog = SeriesCatalog()
        self._parameters = load_standards().parameters
        self._decoder = Decoder(
            PointDirectory([]), self._catalog, self._parameters,
            earliest_ms=to_ms(datetime(config.earliest_accepted_year, 1, 1, tzinfo=UTC)),
            future_tolerance_ms=config.future_tolerance_s * 1000,
        )  # fmt: skip
        self._snapshots = DetectorSnapshots(config.data_path / "snapshots" / "detector")
        self._plan, self._state = LivePlan([]), LiveState(LivePlan([]))
        self._places = np.empty((0, 2), np.int32)
        self._register_version, self._poll_due = -1, 0.0
        self._lateness = np.empty(0, np.int64)
        self._advice: Advice | None = None
        self._changes: dict[tuple[tuple[str, str, str], int], EventChange] = {}
        self._counted = self._skipped = 0
        self.covered = self._committed = 0

    def resume(self) -> int:
        """Take up state and position; the log sequence that is covered."""
        self._follow(is_due=True)
        with reading(self._engine) as connection:
            self.covered = applied_sequence(connection, DETECTOR_PARTITION)
        found = self._snapshots.load(self.covered, self._plan)
        if found is not None:
            self._state = found
        elif self.covered:
            _log.warning("detector_learns_anew", covered=self.covered)
        self._counted, self._committed = self._state.overtaken, self.covered
        return self.covered

    def go_back(self, covered: int) -> None:
        """Another log has begun: forget the position."""
        self._state = LiveState(self._plan)
        self.covered = self._committed = covered
        with writing(self._engine) as connection:
            self._fence(connection)
            rewind_detector(connection, covered)

    def fold(self, messages: Sequence[LogMessage]) -> None:
        """Judge messages; nothing is written before `commit`."""
        self._follow(is_due=time.monotonic() >= self._poll_due)
        decoded = self._decoder.decode(messages)
        if any(one.reason in _UNREGISTERED for one in decoded.quarantined) and self._follow(is_due=True):
            decoded = self._decoder.decode(messages)
        if len(decoded.batch):
            self._take(self._readings(decoded.batch), int(decoded.batch.received_at.max()))
        self.covered = messages[-1].sequence

    def tick(self) -> bool:
        """Let time pass, once every message there is has been folded; whether something changed.

        Works that have fallen silent are judged to their last row, and their events told as ended.
        """
        self._follow(is_due=time.monotonic() >= self._poll_due)
        self._take(LiveReadings.none(), self._clock.now_ms())
        return bool(self._changes)

    def skip_to(self, first: int) -> None:
        """The log begins at ``first``: what lies between was freed while the detector stood still. Said, and counted."""
        self._skipped = first - self.covered - 1
        _log.error("detector_missed_messages", covered=self.covered, first=first, missed=self._skipped)

    def _take(self, readings: LiveReadings, now: int) -> None:
        advice = self._advice
        if advice is None:
            return
        for change in fold_readings(
            readings, self._state, self._plan, now, advice.held, self._lateness, advice.thresholds
        ):
            self._changes[change.key, change.start] = change

    def commit(self) -> int:
        """Write state, findings and position; how many findings. May be repeated after `StoreUnavailable`."""
        is_news = self.covered > self._committed
        if is_news:
            self._snapshots.save(self.covered, self._state, self._plan)
        findings = [self._finding(change) for change in self._changes.values()]
        now = self._clock.now_ms()
        with writing(self._engine) as connection:
            self._fence(connection)
            is_ours = set_applied_sequence(connection, DETECTOR_PARTITION, self.covered)
            if is_ours:
                counted = {
                    "detector.overtaken": self._state.overtaken - self._counted,
                    "detector.skipped": self._skipped,
                }
                add_counts(connection, counted)
            elif applied_sequence(connection, DETECTOR_PARTITION) > self.covered:
                raise _Superseded
            findings += self._orphans(open_findings(connection, [FindingKind.WATER_EVENT]), findings)
            upsert_findings(connection, findings, now)
            note_told(connection, [one.id for one in findings if not one.late], now)
        if not is_news:
            # Passed time is kept after what it changed: on a crash in between it passes once more, with the same result.
            self._snapshots.save(self.covered, self._state, self._plan)
        self._counted, self._skipped, self._committed = self._state.overtaken, 0, self.covered
        self._changes.clear()
        self._snapshots.keep(self.covered)
        return len(findings)

    @property
    def committed(self) -> int:
        """Log sequence that the database points to."""
        return self._committed

    def saved_state(self) -> tuple[int, bytes]:
        """Log sequence that is covered, and the state as of then, to be kept elsewhere as well."""
        self._snapshots.save(self.covered, self._state, self._plan)
        return self.covered, self._snapshots.raw(self.covered)

    def put_state(self, sequence: int, raw: bytes) -> None:
        """Take over a state that was kept elsewhere; to be called before `resume`."""
        self._snapshots.put(sequence, raw)

    def _orphans(self, stored: Sequence[Finding], said: Sequence[Finding]) -> list[Finding]:
        """Events that last in the database but not in the state (register changed, state lost): ended where last seen."""
        lasting = {
            (self._plan.points[n].key, int(self._state.points[n]["start"]))
            for n in np.flatnonzero(self._state.points["start"] > 0).tolist()
        }
        ids = {one.id for one in said}
        left = [
            one
            for one in stored
            if one.id not in ids and ((one.county, one.works, one.point), one.start) not in lasting
        ]
        return [replace(one, end=one.evidence_at) for one in left]

    def _readings(self, batch: ReadingBatch) -> LiveReadings:
        known = len(self._places)
        if known < len(self._catalog):
            keys = [self._catalog.key(n) for n in range(known, len(self._catalog))]
            more = np.array([self._plan.place(key[:3], key.parameter) for key in keys], np.int32).reshape(-1, 2)
            self._places = np.concatenate((self._places, more))
        place = self._places[batch.series]
        usable = (
            (place[:, 0] >= 0) & (batch.flag != Flag.FAIL) & (batch.flag != Flag.MISSING) & np.isfinite(batch.value)
        )
        return LiveReadings(
            place[usable, 0],
            place[usable, 1].astype(np.int16),
            batch.observed_at[usable],
            batch.value[usable],
            batch.received_at[usable],
        )

    def _follow(self, *, is_due: bool) -> bool:
        """Take a changed register, and what the database says; whether the register had changed."""
        if not is_due:
            return False
        self._poll_due = time.monotonic() + POLL_S
        with reading(self._engine) as connection:
            version = register_version(connection)
            is_changed = version != self._register_version
            if is_changed:
                plan, directory, self._lateness = _read_register(connection, self._parameters)
                self._state = self._state.carried(self._plan, plan)
                self._plan, self._places, self._register_version = plan, np.empty((0, 2), np.int32), version
                self._decoder.replace_directory(directory)
            self._advice = advice_of(connection, self._plan, self._clock.now_ms())
        return is_changed

    def _finding(self, change: EventChange) -> Finding:
        county, works, point = change.key
        is_silent, name = self._said_of((county, works), change)
        behind = [code for code, _ in change.contributors]
        evidence: dict[str, float | int | str] = {CONTRIBUTORS: ";".join(behind), **_shares(change.contributors)}
        evidence |= {KNOWN: name} if name else {}
        evidence |= {"silent": 1} if is_silent else {}
        evidence |= {"disinfection_not_ok": 1} if change.held else {}
        finding = Finding(
            id=finding_id(FindingKind.WATER_EVENT, EVENT_RULE, SeriesKey(county, works, point, ""), change.start),
            kind=FindingKind.WATER_EVENT, severity=Severity.INFO if is_silent or name or change.late else Severity.MINOR,
            county=county, works=works, point=point, parameter="", start=change.start, end=change.end,
            evidence_at=change.evidence_at, extreme=round(change.peak, 3), limit=1.0, clause="", rule=EVENT_RULE,
            rule_version=RULE_VERSION, reason="", late=change.late, evidence=evidence,
        )  # fmt: skip
        return replace(finding, reason=sentence(finding, None, self._language, self._parameters))

    def _said_of(self, key: WorksKey, change: EventChange) -> tuple[bool, str]:
        """Whether the works' detector is silent, and the name of a known benign event that this one looks like."""
        advice = self._advice
        if advice is None:
            return False, ""
        known = [one for one in advice.known.get(key, ()) if one.point == change.key[2]]
        if change.end is None or not known or self._series is None:
            return key in advice.silent, ""
        try:
            state = advice.disinfection.get(key)
            name = known_name(self._series, known, change, str(state.disinfection) if state else "")
        except StoreUnavailable as error:
            # Unnamed is the safe side: it is shown as any other event.
            _log.warning("patterns_not_compared", why=str(error))
            name = ""
        return key in advice.silent, name


def _read_register(
    connection: Connection, parameters: Mapping[str, Parameter]
) -> tuple[LivePlan, PointDirectory, npt.NDArray[np.int64]]:
    """What to watch, what to decode, and how late readings of each watched works may come [ms]; of the register nothing else is kept."""
    directory = PointDirectory([])
    windows: list[int] = []
    works_of: list[tuple[str, str]] = []

    def passing() -> Iterator[Works]:
        for one in scan_works(connection, for_judging=True):
            directory.include(one)
            works_of.append((one.county, one.id))
            windows.append(one.lateness_s * 1000)
            yield one

    plan = watched(passing(), parameters)
    lateness = np.zeros(max(plan.works, 1), np.int64)
    numbers = np.array([plan.works_number(*key) for key in works_of], np.int64)
    lateness[numbers[numbers >= 0]] = np.array(windows, np.int64)[numbers >= 0]
    return plan, directory, lateness


def _shares(contributors: Sequence[tuple[str, float]]) -> Mapping[str, float]:
    return {f"share.{code}": share for code, share in contributors}


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; exit status 0. Raises `ConfigurationError` where the schema is not this version's."""
    if config.log_sharing == "on":
        from qingquan.services.shared_detector import serve

        asyncio.run(serve(config))
        return 0
    with sole_process(config, "detector"):
        asyncio.run(_serve(config))
    return 0


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    engine = open_database(config.sql_url)
    series = open_series_reader(config)
    try:
        while not stop.is_set():
            try:
                await asyncio.to_thread(check_schema, engine)
                await asyncio.to_thread(compile_events_apart, stop.is_set)
                await unless_stopped(require_one_log(config, engine, "detector"), stop)
                connecting = ReadingLog.connect(config, name="detector", wait_s=FOR_EVER_S)
                connected = await unless_stopped(connecting, stop)
                if connected is None:
                    break
                async with connected as log:
                    await follow_log(config, Detector(config, engine, series), log, stop)
            except _Superseded:
                _log.warning("detector_superseded")
            except StoreUnavailable as error:
                # The state in memory is dropped; what was committed is read again.
                _log.warning("store_unavailable", why=str(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), PAUSE_S)
    finally:
        series.close()
        engine.dispose()


async def follow_log(
    config: Config,
    detector: Detector,
    log: ReadingLog,
    stop: asyncio.Event,
    publish: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Detect until told to stop; ``publish`` keeps the state where a detector on another machine finds it."""

    async def commit() -> None:
        is_news = detector.covered > detector.committed
        if publish is not None and is_news:
            await publish()
        await asyncio.to_thread(detector.commit)
        if publish is not None and not is_news:
            await publish()

    covered = await asyncio.to_thread(detector.resume)
    if await log.ends_before(covered) is not None:
        covered = 0
        await asyncio.to_thread(detector.go_back, covered)
    reader: LogReader = log.reader(covered + 1)
    _log.info("detector_started", covered=covered)
    committed, due = covered, time.monotonic() + COMMIT_EVERY_S
    while not stop.is_set():
        messages = await _gathered(reader, stop)
        if messages:
            if detector.covered and messages[0].sequence > detector.covered + 1:
                detector.skip_to(messages[0].sequence)
            await asyncio.to_thread(detector.fold, messages)
        if time.monotonic() >= due:
            due = time.monotonic() + COMMIT_EVERY_S
            # The clock may speak of silence only when nothing waits in the log.
            has_passed = (
                not messages and await reader.caught_up() is not None and await asyncio.to_thread(detector.tick)
            )
            if detector.covered > committed or has_passed:
                await commit()
                committed = detector.covered
        beat(config, "detector")
    if detector.covered > committed:
        await commit()


async def _gathered(reader: LogReader, stop: asyncio.Event) -> list[LogMessage]:
    """What comes within `GATHER_S` of the first message, or as many as are folded at once; nothing, if nothing comes."""
    messages = list(await reader.fetch(BATCH_MESSAGES, FETCH_WAIT_S))
    deadline = time.monotonic() + GATHER_S
    while messages and len(messages) < BATCH_MESSAGES and not stop.is_set():
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            break
        messages += await reader.fetch(BATCH_MESSAGES - len(messages), min(left_s, FETCH_WAIT_S))
    return messages
