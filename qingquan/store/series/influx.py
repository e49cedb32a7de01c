"""Time-series store in InfluxDB 1.x to 3. Schema: see `influx_lines`.

InfluxDB has no transactions and overwrites a point that comes again with another value. So one process writes (the
recorder), it looks before it writes, and it puts the progress mark last. Other processes may read at any time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import RLock
from typing import Any

import numpy as np
import numpy.typing as npt

from qingquan.domain.flags import Flag
from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.store.ports import AppendResult, LatestReading, Readings, RecordedCounts, Retention, SeriesRows, Trend
from qingquan.store.series.buckets import aggregated, check_aggregation, joined
from qingquan.store.series.identity import NEVER, Held, settle
from qingquan.store.series.index import SeriesIndex
from qingquan.store.series.influx_answers import (
    by_point,
    came_together,
    columns_of,
    conflict_trend,
    conflicts_of,
    during,
    raw_of,
    raw_trend,
)
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.store.series.influx_held import HeldRows, conflicts_held, rows_held
from qingquan.store.series.influx_known import Newest, newest_of
from qingquan.store.series.influx_lines import (
    LineNames,
    StoredColumns,
    StoredRow,
    arrival_lines,
    conflict_lines,
    identifier,
    is_at,
    progress_line,
    reading_lines,
)
from qingquan.store.series.influx_rollups import InfluxRollups
from qingquan.store.series.open_buckets import OpenBuckets
from qingquan.store.series.rollup_rows import RollupRows, chosen_aggregates, rows_of_readings, summed
from qingquan.store.series.rollups import DAY, LEVELS, Piece, pieces

__all__ = ["InfluxSeriesStore"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

KEEP_ALL = Retention(0, 0, 0, 0)
_HOUR_MS = 3_600_000
_SERIES_AT_ONCE = 50
_MARGIN_DAYS = 2
"""The server keeps so much more than was asked for: what is still computed from must be there."""
_MARKED = ("covered", "series", "found", "rollups_from")
_TOTALS = ("messages", "readings", "duplicates", "conflicts")


# Who has just ended an append gives the lock back within that.
CLOSE_WAIT_S = 0.05


@dataclass(slots=True)
class _Mark:
    """Last progress line of a reader. ``found``: series that it was the first to write; ``series``: those counted before series
    were counted so. ``rollups_from``: all readings from then on are in the rollups [ms]."""

    revision: int = 0
    covered: int = 0
    series: int = 0
    found: int = 0
    rollups_from: int = 0
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TOTALS, 0))


@dataclass(slots=True)
class _Written:
    """What the writer knows of the store: every reader's mark, and the newest time of the series it has met since it began.

    ``parameters``: those the store has readings of. ``covered_at``: newest covered time of series whose newest reading is left
    of an append that was cut short.
    """

    index: SeriesIndex
    marks: dict[str, _Mark]
    parameters: set[str]
    covered_at: dict[int, int] = field(default_factory=dict)
    opened: OpenBuckets = field(default_factory=OpenBuckets)
    names: LineNames = field(default_factory=LineNames)


class InfluxSeriesStore:
    """Series store in the bucket (database) ``bucket`` of the server at ``url``.

    ``api`` is the write door: "v2", or "v1" for a 1.x server, where ``token`` is ``user:password`` and the database is
    made if need be. No request is made before the first call. ``retention``: how long the server keeps readings and rollups;
    ``wall_ms`` is the server's kind of time [ms].
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        org: str = "",
        bucket: str = "qingquan",
        api: str = "v2",
        *,
        retention: Retention = KEEP_ALL,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._door = InfluxDoor(url, token, org, bucket, api)
        self._bucket = bucket
        self._rollups = InfluxRollups(self._door, bucket)
        self._retention = retention
        self._frozen_before = _frozen_before(wall_ms(), retention)
        self._needs_bucket = True
        self._wall_ms = wall_ms
        self._lock = RLock()
        self._written: _Written | None = None
        self._begun: dict[str, _Mark] = {}
        self._is_closing = self._is_closed = False

    def append(self, rows: SeriesRows, reader: str, covered: int, messages: int = 0) -> AppendResult:
        """See `SeriesStore.append`. One process only may append."""
        with self._alone():
            written, self._written = self._written or self._load(), None
            mark = written.marks.setdefault(reader, _Mark(rollups_from=self._rollups_from(written.marks)))
            if 0 < covered <= mark.covered:
                self._written = written
                return AppendResult(0, 0, 0)
            result, found = self._record(rows, written, mark.covered)
            self._mark(reader, mark, written, result, found, covered, messages)
            # Only an append that went through keeps the memory; after any error it is read afresh.
            self._written = written
            self._begun.pop(reader, None)
            return result

    def maintain(self, now_ms: int, retention: Retention) -> None:
        """See `SeriesStore.maintain`: the server drops by its own clock and retention, which is set here if it is another."""
        with self._alone():
            self._retention = retention
            self._frozen_before = _frozen_before(now_ms, retention)
            self._keep_for(retention)

    def rewind(self, reader: str, covered: int) -> None:
        """See `SeriesStore.rewind`."""
        with self._alone():
            self._written = None
            self._begun.pop(reader, None)
            marks = self._marks()
            mark = marks.get(reader) or _Mark(rollups_from=self._rollups_from(marks))
            self._put_mark(reader, replace(mark, revision=mark.revision + 1, covered=covered))

    def covered(self, reader: str) -> int:
        """See `SeriesStore.covered`.

        Who begins to write at what it is told here books what lies behind it, whatever a predecessor that was stopped in the middle
        of an append still writes: else the readings of that append would be booked twice.
        """
        marks = self._marks()
        # Recorders that share the log have a mark for every partition; together they cover what the slowest does.
        shares = [mark.covered for name, mark in marks.items() if name.startswith(f"{reader}/")]
        if shares:
            return min(shares)
        mark = marks.get(reader) or _Mark(rollups_from=self._rollups_from(marks))
        with self._lock:
            if self._written is None:
                self._begun[reader] = mark
        return mark.covered

    def latest(self, county: str, works: str | None = None) -> list[LatestReading]:
        """See `SeriesStore.latest`. Asked of the server, for another process may be the writer."""
        parameters = self._parameters()
        place = f"{is_at(county, works)} GROUP BY county, works, point"
        answers = self._query(
            [
                statement
                for name in parameters
                for statement in (
                    f"SELECT last({identifier(name + '_sequence')}), {identifier(name + '_received_at')}"  # noqa: S608
                    f" FROM arrival WHERE {place}",
                    f"SELECT last({identifier(name)}) FROM reading WHERE {place}",  # noqa: S608 - quoted by us
                    f"SELECT last({identifier(name)}) FROM flag WHERE {place}",  # noqa: S608
                )
            ]
        )
        [answer] = self._query([f"SELECT last(sequence), received_at FROM arrival WHERE {place}, of"])  # noqa: S608
        together = came_together(answer)
        found: list[LatestReading] = []
        for number, name in enumerate(parameters):
            arrivals, values, flags = (by_point(answer, name) for answer in answers[3 * number : 3 * number + 3])
            for key, row in together.get(name, {}).items():
                arrivals[key] = max(arrivals.get(key, row), row)
            for key, (at, _, received_at) in arrivals.items():
                value = values.get(key, (None, np.nan))
                flag = flags.get(key, (None, Flag.PASS))
                found.append(
                    LatestReading(
                        key,
                        at,
                        received_at,
                        float(value[1]) if value[0] == at else float("nan"),
                        int(flag[1]) if flag[0] == at else int(Flag.PASS),
                    )
                )
        return found

    def range(
        self, key: SeriesKey, start: int, end: int, step_ms: int | None = None, aggregates: Sequence[str] = ("mean",)
    ) -> Trend:
        """See `SeriesStore.range`. Answered from the coarsest rollups that answer exactly."""
        check_aggregation(step_ms, aggregates)
        if step_ms is None:
            return self._raw(key, start, end)
        levels = [level for level in LEVELS if step_ms % level.step == 0]
        if not levels or start < max((mark.rollups_from for mark in self._marks().values()), default=0):
            return self._by_server(key, start, end, step_ms, aggregates)
        parts = pieces(start, end, step_ms, self._rollups.closed(key, levels), levels)
        rows = summed(RollupRows.joined([self._piece(key, part) for part in parts]), step_ms)
        return Trend(key, rows.bucket, chosen_aggregates(rows, aggregates))

    def _piece(self, key: SeriesKey, part: Piece) -> RollupRows:
        if part.level is not None:
            return self._rollups.rows(part.level, key, part.start, part.end)
        raw = self._raw(key, part.start, part.end)
        series = np.zeros(len(raw.observed_at), np.int64)
        return rows_of_readings(series, raw.observed_at, raw.columns["value"], raw.columns["flag"])

    def _by_server(self, key: SeriesKey, start: int, end: int, step_ms: int, aggregates: Sequence[str]) -> Trend:
        """Steps that no rollup fits, or that begin before there were any, aggregated by the server; buckets with failed readings
        here."""
        # InfluxQL cannot count by flag, and `last` beside other functions is no trouble: good = count less those flagged.
        chosen = ", ".join(
            f"{'count' if name == 'good' else name}({identifier(key.parameter)}) AS {identifier(name)}"
            for name in aggregates
        )
        place = during(key, start, end)
        values, flags = self._query(
            [
                f"SELECT {chosen} FROM reading WHERE {place} GROUP BY time({step_ms}ms) fill(none)",  # noqa: S608
                f"SELECT {identifier(key.parameter)} FROM flag WHERE {place}",  # noqa: S608 - quoted by us
            ]
        )
        at, columns = columns_of(values, len(aggregates))
        spoilt_at, (flag,) = columns_of(flags, 1)
        spoilt = np.unique(spoilt_at[np.isin(flag, (Flag.FAIL, Flag.MISSING))] // step_ms * step_ms)
        trend = Trend(key, at, dict(zip(aggregates, columns, strict=True)))
        if "good" in aggregates:
            doubted = np.isin(flag, (Flag.NOT_EVALUATED, Flag.SUSPECT))
            bucket, count = np.unique(spoilt_at[doubted] // step_ms * step_ms, return_counts=True)
            trend.columns["good"][np.searchsorted(at, bucket)] -= count
        return self._repaired(trend, spoilt, start, end, step_ms) if len(spoilt) else trend

    def conflicts(self, key: SeriesKey, start: int, end: int) -> Trend:
        """See `SeriesStore.conflicts`."""
        [answer] = self._query([conflicts_of(key, start, end)])
        return conflict_trend(key, answer)

    def readings(self, keys: Sequence[SeriesKey], start: int, end: int) -> Readings:
        """See `SeriesStore.readings`. Three statements a series, `_SERIES_AT_ONCE` series a request."""
        trends: list[Trend] = []
        conflicts: list[Ints] = []
        for first in range(0, len(keys), _SERIES_AT_ONCE):
            part = keys[first : first + _SERIES_AT_ONCE]
            answers = self._query(
                [text for key in part for text in (*raw_of(key, start, end), conflicts_of(key, start, end))]
            )
            for number, key in enumerate(part):
                values, flags, others = answers[3 * number : 3 * number + 3]
                trends.append(raw_trend(key, values, flags))
                conflicts.append(conflict_trend(key, others).observed_at)
        return joined(trends, conflicts)

    def counts(self) -> RecordedCounts:
        """See `SeriesStore.counts`."""
        marks = self._marks().values()
        totals = {name: sum(mark.totals[name] for mark in marks) for name in _TOTALS}
        series = max((mark.series for mark in marks), default=0) + sum(mark.found for mark in marks)
        return RecordedCounts(series=series, **totals)

    def close(self) -> None:
        """See `SeriesStore.close`. An append under way in another thread ends at its next request, and closes for us: nobody waits for
        the minutes that it may take, least of all who has lost the right to write."""
        self._is_closing = True
        self._door.stop()
        if self._lock.acquire(timeout=CLOSE_WAIT_S):
            try:
                self._finish()
            finally:
                self._lock.release()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            finally:
                if self._is_closing:
                    self._finish()

    def _finish(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._door.close()

    def _record(self, rows: SeriesRows, written: _Written, covered: int) -> tuple[AppendResult, int]:
        """Write what is new; what became of the rows, and how many series had no reading before."""
        index = written.index
        self._meet(rows, written, covered)
        series, _ = index.numbered(rows)
        sequence = rows.sequence if rows.sequence is not None else np.zeros(len(rows), np.int64)
        key_of = index.keys
        readings, others = HeldRows(), HeldRows()

        def held(asked: Ints) -> Held:
            rows_held(self._query, _identities(asked), readings)
            return readings.answer(_identities(asked), sequence[asked].tolist(), covered)

        def is_known_conflict(asked: Ints) -> npt.NDArray[np.bool_]:
            conflicts_held(self._query, _identities(asked), others)
            return others.knows(_identities(asked), rows.value[asked].tolist(), sequence[asked].tolist(), covered)

        def _identities(chosen: Ints) -> list[tuple[SeriesKey, int]]:
            return [
                (key_of[number], at)
                for number, at in zip(series[chosen].tolist(), rows.observed_at[chosen].tolist(), strict=True)
            ]

        def picked(chosen: Ints) -> list[StoredRow]:
            columns = (rows.received_at, rows.value, rows.flag, sequence)
            fields = zip(*(column[chosen].tolist() for column in columns), strict=True)
            return [StoredRow(key, at, *rest) for (key, at), rest in zip(_identities(chosen), fields, strict=True)]

        settled = settle(series, rows.observed_at, rows.value, index.newest_at, held, is_known_conflict)
        chosen = settled.stored
        at = rows.observed_at[chosen]
        stored = StoredColumns(
            series[chosen], at, rows.received_at[chosen], rows.value[chosen], rows.flag[chosen], sequence[chosen]
        )
        names = written.names.follow(key_of)
        self._write(reading_lines(names, stored))
        self._write(arrival_lines(names, stored))
        self._write(conflict_lines(others.numbered(picked(settled.conflicts))))
        known = index.newest_at[: len(index)].copy()
        covered_at = known.copy()
        covered_at[list(written.covered_at)] = list(written.covered_at.values())
        self._rollups.keep(key_of, names, stored, (covered_at, known), self._frozen_before, written.opened)
        index.advance(series[chosen], at, rows.received_at[chosen], rows.value[chosen], rows.flag[chosen])
        found = int((covered_at[np.unique(series[chosen])] == NEVER).sum())
        _forget_finished(written, series[chosen], at)
        return AppendResult(len(settled.stored), settled.duplicates, len(settled.conflicts)), found

    def _meet(self, rows: SeriesRows, written: _Written, covered: int) -> None:
        """Ask for the newest readings of series that were not met before."""
        index = written.index
        used = [rows.keys[number] for number in np.unique(rows.series).tolist()]
        unmet = [key for key in used if index.id(key) is None]
        if not unmet:
            return
        asked = [key for key in unmet if key.parameter in written.parameters]
        around = int(np.median(rows.observed_at))
        newest = newest_of(self._query, asked, around, covered) if asked else {}
        first = len(index)
        index.add(unmet)
        written.parameters |= {key.parameter for key in unmet}
        for number, key in enumerate(unmet, first):
            held, at_covered = newest.get(key, Newest())
            index.newest_at[number] = held
            if at_covered != held:
                written.covered_at[number] = at_covered

    def _mark(
        self,
        reader: str,
        mark: _Mark,
        written: _Written,
        result: AppendResult,
        found: int,
        covered: int,
        messages: int,
    ) -> None:
        added = {
            "messages": messages,
            "readings": result.stored,
            "duplicates": result.duplicates,
            "conflicts": result.conflicts,
        }
        written.marks[reader] = replace(
            mark,
            revision=mark.revision + 1,
            covered=max(covered, mark.covered),
            found=mark.found + found,
            totals={name: total + added[name] for name, total in mark.totals.items()},
        )
        self._put_mark(reader, written.marks[reader])

    def _put_mark(self, reader: str, mark: _Mark) -> None:
        """Marks are put by the hour: one point an hour stays, and retention never finds the last one old. Retention goes
        by the server's wall clock, so this does too; which mark is the last is told by its revision, not its time."""
        fields = {name: getattr(mark, name) for name in ("revision", *_MARKED)} | mark.totals
        self._write([progress_line(reader, fields, self._wall_ms() // _HOUR_MS * _HOUR_MS)])

    def _load(self) -> _Written:
        self._keep_for(self._retention)
        return _Written(SeriesIndex(), self._marks() | self._begun, set(self._parameters()))

    def _keep_for(self, retention: Retention) -> None:
        raw, *rollups = (days + _MARGIN_DAYS if days else 0 for days in retention.days())
        self._door.ensure_bucket(self._bucket, raw)
        self._rollups.ensure(rollups)

    def _rollups_from(self, marks: Mapping[str, _Mark]) -> int:
        """Since when a new reader's readings are all in the rollups: as those of the others; 0 in an empty store."""
        return max((mark.rollups_from for mark in marks.values()), default=0)

    def _marks(self) -> dict[str, _Mark]:
        names = ", ".join(map(identifier, (*_MARKED, *_TOTALS)))
        [answer] = self._query([f"SELECT max(revision), {names} FROM progress GROUP BY reader"])  # noqa: S608
        marks: dict[str, _Mark] = {}
        for series in answer:
            _, revision, covered, count, found, begun, *totals = series["values"][0]
            if begun is None:
                # Written before there were rollups: they are whole from the day after this version's first append on.
                begun = (self._wall_ms() // DAY + 1) * DAY
            marks[series["tags"]["reader"]] = _Mark(
                revision, covered, count or 0, found or 0, begun, dict(zip(_TOTALS, totals, strict=True))
            )
        return marks

    def _parameters(self) -> list[str]:
        """Of all readings held, in order; perhaps more, left of an append that was cut short."""
        answers = self._query(["SHOW FIELD KEYS FROM reading", "SHOW FIELD KEYS FROM flag"])
        return sorted({row[0] for answer in answers for series in answer for row in series["values"]})

    def _raw(self, key: SeriesKey, start: int, end: int) -> Trend:
        values, flags = self._query(raw_of(key, start, end))
        return raw_trend(key, values, flags)

    def _repaired(self, trend: Trend, spoilt: Ints, start: int, end: int, step_ms: int) -> Trend:
        """Buckets that hold failed readings, aggregated here from the readings: InfluxQL cannot join flags to values."""
        raw = self._raw(trend.key, max(start, int(spoilt[0])), min(end, int(spoilt[-1]) + step_ms))
        names = list(trend.columns)
        at, columns = aggregated(raw.observed_at, raw.columns["value"], raw.columns["flag"], step_ms, names)
        good, mended = ~np.isin(trend.observed_at, spoilt), np.isin(at, spoilt)
        both = np.concatenate([trend.observed_at[good], at[mended]])
        order = np.argsort(both, kind="stable")
        merged = {n: np.concatenate([trend.columns[n][good], columns[n][mended]])[order] for n in names}
        return Trend(trend.key, both[order], merged)

    def _query(self, statements: Iterable[str]) -> list[list[dict[str, Any]]]:
        self._refuse_if_closed()
        if self._needs_bucket:
            self._door.make_bucket(self._bucket)
            self._needs_bucket = False
        return self._door.query(list(statements))

    def _write(self, lines: Sequence[str]) -> None:
        self._refuse_if_closed()
        self._door.write(lines)

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise StoreUnavailable("InfluxDB: this store was closed")


def _frozen_before(now_ms: int, retention: Retention) -> int:
    """Buckets before are never computed again: their readings are no longer kept."""
    return (now_ms - retention.raw * DAY) // DAY * DAY if retention.raw else NEVER + 1


def _forget_finished(written: _Written, series: Ints, observed_at: Ints) -> None:
    """What was cut short and is now written again is covered with this append."""
    if written.covered_at:
        for number, at in zip(series.tolist(), observed_at.tolist(), strict=True):
            if number in written.covered_at:
                written.covered_at[number] = max(written.covered_at[number], at)
        newest = written.index.newest_at
        written.covered_at = {number: at for number, at in written.covered_at.items() if at < newest[number]}
