"""What the watchdog measures each round, source by source; a source that does not answer gives its ``…_up`` as 0 and nothing else.

Ages and steps are seconds of the wall; those of messages, which bear our time, are divided by the speed of a demo clock.
"""

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection, Engine

from alerts.operations import OperationsPlan
from qingquan.config import Config
from qingquan.domain.edges import EdgeLink
from qingquan.domain.operations import Measure, ServiceSign
from qingquan.edge_table import load_edges
from qingquan.errors import QingquanError
from qingquan.services.log_server import SELF_TEST_FAILED
from qingquan.store.ports import SeriesReader
from qingquan.store.reading_log import LogInfo
from qingquan.store.reading_log.uplink import Uplink
from qingquan.store.sql import ownership
from qingquan.store.sql.edges import load_edge_links
from qingquan.store.sql.engine import reading
from qingquan.store.sql.operations import days_to_reckon, heartbeats, load_signs, look_at_outbox, progress_rows
from qingquan.store.sql.progress import DETECTOR_PARTITION, RECORDER_PARTITION, SNAPSHOT_PARTITION, counts
from qingquan.store.sql.quarantine import counts_by_reason

__all__ = ["Ages", "ClockWatch", "LogReaders", "Watched", "Watching", "steady_s", "wall_ms"]

DAY_MS = 86_400_000
# A process not seen for so long was replaced or taken out of service.
FORGOTTEN_MS = 7 * DAY_MS
# It cannot tell of its own silence: that is what the watcher outside is for.
WATCHDOG = "watchdog"
READERS = {"recorder": RECORDER_PARTITION, "detector": DETECTOR_PARTITION}


def wall_ms() -> int:
    """Time of the wall [ms since epoch]."""
    return time.time_ns() // 1_000_000


def steady_s() -> float:
    """Seconds that go on while the machine sleeps and never jump."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


@dataclass(slots=True)
class ClockWatch:
    """How far the wall clock jumped since the last look [s], against one that never jumps."""

    _last: tuple[float, int] | None = None

    def step_s(self, now_s: float, now_ms: int) -> float:
        """Seconds, never negative; 0 at the first look."""
        last, self._last = self._last, (now_s, now_ms)
        return 0.0 if last is None else abs((now_ms - last[1]) / 1000 - (now_s - last[0]))


@dataclass(slots=True)
class Ages:
    """For how long something that waits has not moved: 0 while nothing waits or it moves."""

    _held: dict[str, tuple[float, float]] = field(default_factory=dict)

    def of(self, name: str, position: float, waits: bool, now_s: float) -> float:
        """``position`` is whatever changes when there is progress."""
        held = self._held.get(name)
        if held is None or held[0] != position or not waits:
            self._held[name] = held = (position, now_s)
        return now_s - held[1]


@dataclass(frozen=True, slots=True)
class LogReaders:
    """Log sequence each reader has applied; those that never began are left out."""

    positions: Mapping[str, int]
    snapshot: int | None = None
    """How far the evaluator's snapshots reach; from there a restart reads again, and the log keeps what lies beyond."""

    @classmethod
    def read(cls, connection: Connection) -> "LogReaders":
        """From the books of one process or of shared partitions, whichever is kept."""
        rows = progress_rows(connection)
        found = {name: rows[number] for name, number in READERS.items() if number in rows}
        partitions = [sequence for partition, sequence in rows.items() if partition >= 0]
        if partitions:
            found["evaluator"] = min(partitions)
        for name in ("evaluator", "recorder", "detector"):
            if ownership.is_shared(connection, name):
                found[name] = ownership.least_applied(connection, name)
        shared = ownership.is_shared(connection, "evaluator")
        snapshot = ownership.least_snapshot(connection, "evaluator") if shared else rows.get(SNAPSHOT_PARTITION)
        return cls(found, snapshot)


@dataclass(frozen=True, slots=True)
class Watched:
    """A round: what was measured, running totals, and who is alive (both empty while the database is away)."""

    measures: Sequence[Measure]
    totals: Mapping[str, int] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    signs: Sequence[ServiceSign] = ()


class Watching:
    """Takes measures. ``ask_series`` is asked whether the series store answers; times come in."""

    def __init__(self, config: Config, engine: Engine, series: SeriesReader, plan: OperationsPlan) -> None:
        self._config, self._engine, self._series, self._plan = config, engine, series, plan
        self._begun_ms, self._begun = wall_ms(), config.clock.now_ms()
        self._edges = load_edges(config.edges_file)
        self._clock, self._ages = ClockWatch(), Ages()
        self._self_tests: int | None = None
        self.heartbeat_failures = 0
        self.heartbeat_at_ms: int | None = None

    def look(self, log: LogInfo | None, now_s: float, now_ms: int, uplink: Uplink | None = None) -> Watched:
        """One round; ``log`` is what the reading log said, ``None`` when nothing; ``uplink`` a county edge's way to the province."""
        measures = [
            *_of_log(log),
            *self._uplink(uplink, now_s),
            Measure("clock_step_seconds", self._clock.step_s(now_s, now_ms)),
            *self._disks(),
        ]
        measures += self._heartbeat_out(now_ms)
        measures += [*self._of_series(), *self._quiet(log, now_s)]
        try:
            with reading(self._engine) as connection:
                watched = self._of_database(connection, log, now_s, now_ms)
        except QingquanError:
            return Watched([*measures, Measure("database_up", 0.0)])
        return Watched([*measures, *watched.measures], watched.totals, watched.quarantined, watched.signs)

    def _of_database(self, connection: Connection, log: LogInfo | None, now_s: float, now_ms: int) -> Watched:
        totals = counts(connection)
        signs = [one for one in load_signs(connection) if now_ms - one.seen_at < FORGOTTEN_MS]
        measures = [Measure("database_up", 1.0), *self._lags(LogReaders.read(connection), log, now_s)]
        measures += [
            *self._outbox(connection),
            *self._services(signs, now_ms),
            *self._heartbeats_in(connection, now_ms),
            *self._edges_in(connection),
        ]
        dirty = days_to_reckon(connection)
        measures.append(Measure("compliance_days_waiting", dirty))
        measures.append(Measure("compliance_age_seconds", self._ages.of("compliance", dirty, dirty > 0, now_s)))
        failed = totals.get(SELF_TEST_FAILED, 0)
        before, self._self_tests = self._self_tests, failed
        measures.append(Measure("log_self_test_failures", 0 if before is None else max(0, failed - before)))
        return Watched(measures, totals, counts_by_reason(connection), signs)

    def _of_series(self) -> list[Measure]:
        try:
            held = self._series.counts()
        except QingquanError:
            return [Measure("series_store_up", 0.0)]
        names = ("readings", "duplicates", "conflicts", "messages")
        totals = [Measure("recorded", getattr(held, name), name) for name in names]
        return [Measure("series_store_up", 1.0), Measure("recorded_series", held.series), *totals]

    def _quiet(self, log: LogInfo | None, now_s: float) -> list[Measure]:
        """A link that brings nothing at all shows here first: no queue grows."""
        return [] if log is None else [Measure("log_quiet_seconds", self._ages.of("log", log.last, True, now_s))]

    def _lags(self, readers: LogReaders, log: LogInfo | None, now_s: float) -> list[Measure]:
        measures = []
        for name, position in sorted(readers.positions.items()):
            if log is None:
                continue
            lag = max(0, log.last - position)
            measures.append(Measure(f"{name}_lag_messages", lag))
            measures.append(Measure(f"{name}_age_seconds", self._ages.of(name, position, lag > 0, now_s)))
        if log is not None and readers.snapshot is not None:
            measures.append(Measure("snapshot_lag_messages", max(0, log.last - readers.snapshot)))
        return measures

    def _uplink(self, uplink: Uplink | None, now_s: float) -> list[Measure]:
        if uplink is None:
            return []
        waits = uplink.is_up and uplink.waiting > 0
        return [
            Measure("uplink_up", float(uplink.is_up)), Measure("uplink_waiting_messages", uplink.waiting),
            Measure("uplink_confirmed_sequence", uplink.confirmed),
            Measure("uplink_age_seconds", self._ages.of("uplink", uplink.confirmed, waits, now_s)),
        ]  # fmt: skip

    def _edges_in(self, connection: Connection) -> list[Measure]:
        """The province's edges. Ages run on while nobody looks at the edges, so that this shows too."""
        if not self._edges:
            return []
        clock, links, measures = self._config.clock, load_edge_links(connection), []
        for edge in self._edges:
            link = links.get(edge.name, EdgeLink(edge.name, 0))
            heard = self._begun if link.heard_at is None else link.heard_at
            is_heard = link.heard_at is not None and link.heard_at == link.checked_at
            measures += [
                Measure("edge_up", float(is_heard), edge.name),
                Measure("edge_age_seconds", max(0, clock.now_ms() - heard) / 1000 / clock.speed, edge.name),
                Measure("edge_waiting_messages", link.waiting, edge.name),
                Measure("edge_last_sequence", link.last_sequence, edge.name),
                Measure("edge_refused", float(bool(link.fault)), edge.name),
            ]
        return measures

    def _outbox(self, connection: Connection) -> list[Measure]:
        clock = self._config.clock
        now = clock.now_ms()
        seen = look_at_outbox(connection, now, now - DAY_MS)
        age_s = 0.0 if seen.oldest_due_at is None else max(0.0, (now - seen.oldest_due_at) / 1000 / clock.speed)
        states = [Measure("outbox_messages", count, str(state)) for state, count in sorted(seen.by_state.items())]
        return [Measure("outbox_age_seconds", age_s), *states]

    def _services(self, signs: Sequence[ServiceSign], now_ms: int) -> list[Measure]:
        newest: dict[str, int] = dict.fromkeys(self._plan.services, self._begun_ms)
        for sign in signs:
            if sign.service != WATCHDOG:
                newest[sign.service] = max(sign.seen_at, newest.get(sign.service, 0))
        return [Measure("service_age_seconds", max(0, now_ms - at) / 1000, name) for name, at in sorted(newest.items())]

    def _heartbeats_in(self, connection: Connection, now_ms: int) -> list[Measure]:
        heard = {one.sender: one.received_at for one in heartbeats(connection)}
        ages = [(one, max(0, now_ms - heard.get(one.name, self._begun_ms)) / 1000) for one in self._plan.senders]
        return [
            *(Measure("heartbeat_received_age_seconds", age, one.name) for one, age in ages),
            *(Measure("heartbeat_overdue_ratio", age / one.late_after_s, one.name) for one, age in ages),
        ]

    def _heartbeat_out(self, now_ms: int) -> list[Measure]:
        if not self._config.heartbeat_url:
            return []
        sent = (
            []
            if self.heartbeat_at_ms is None
            else [Measure("heartbeat_sent_age_seconds", (now_ms - self.heartbeat_at_ms) / 1000)]
        )
        return [Measure("heartbeat_failures", self.heartbeat_failures), *sent]

    def _disks(self) -> list[Measure]:
        measures = []
        for folder in (str(self._config.data_path), *self._plan.disks):
            with suppress(OSError):
                usage = shutil.disk_usage(_there(Path(folder)))
                measures.append(Measure("disk_free_ratio", usage.free / max(1, usage.total), folder))
                measures.append(Measure("disk_free_bytes", usage.free, folder))
        return measures


def _of_log(log: LogInfo | None) -> list[Measure]:
    if log is None:
        return [Measure("log_up", 0.0)]
    return [
        Measure("log_up", 1.0), Measure("log_messages", log.messages), Measure("log_bytes", log.bytes),
        Measure("log_max_bytes", log.max_bytes), Measure("log_used_ratio", log.bytes / max(1, log.max_bytes)),
        Measure("log_last_sequence", log.last), Measure("log_first_sequence", log.first),
    ]  # fmt: skip


def _there(folder: Path) -> Path:
    return next(one for one in (folder.resolve(), *folder.resolve().parents) if one.exists())
