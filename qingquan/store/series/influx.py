"""Time-series store in InfluxDB 1.x to 3. Schema: see `influx_lines`.

InfluxDB has no transactions and overwrites a point that comes again with another value. So one process writes (the
recorder), it looks before it writes, and it puts the progress mark last. Other processes may read at any time.
"""

import time
from collections.abc import Callable, Iterable, Sequence
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
from qingquan.store.series.identity import Held, settle
from qingquan.store.series.index import SeriesIndex
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.store.series.influx_held import HeldRows, conflicts_held, rows_held
from qingquan.store.series.influx_lines import (
    StoredRow,
    arrival_lines,
    conflict_lines,
    identifier,
    is_at,
    progress_line,
    reading_lines,
)

__all__ = ["InfluxSeriesStore"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_HOUR_MS = 3_600_000
_SERIES_AT_ONCE = 50
_TOTALS = ("messages", "readings", "duplicates", "conflicts")


@dataclass(slots=True)
class _Mark:
    """Last progress line of a reader."""

    revision: int = 0
    covered: int = 0
    series: int = 0
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_TOTALS, 0))


@dataclass(slots=True)
class _Written:
    """What the writer knows of the store: the newest time of every series, and every reader's mark."""

    index: SeriesIndex
    marks: dict[str, _Mark]


class InfluxSeriesStore:
    """Series store in the bucket (database) ``bucket`` of the server at ``url``.

    ``api`` is the write door: "v2", or "v1" for a 1.x server, where ``token`` is ``user:password`` and the database is
    made if need be. No request is made before the first call. ``wall_ms`` is the server's kind of time [ms].
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        org: str = "",
        bucket: str = "qingquan",
        api: str = "v2",
        *,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._door = InfluxDoor(url, token, org, bucket, api)
        self._bucket = bucket
        self._needs_database = api == "v1"
        self._wall_ms = wall_ms
        self._lock = RLock()
        self._written: _Written | None = None
        self._is_closed = False

    def append(self, rows: SeriesRows, reader: str, covered: int, messages: int = 0) -> AppendResult:
        """See `SeriesStore.append`. One process only may append."""
        with self._lock:
            written, self._written = self._written or self._load(), None
            mark = written.marks.setdefault(reader, _Mark())
            if 0 < covered <= mark.covered:
                self._written = written
                return AppendResult(0, 0, 0)
            result = self._record(rows, written.index, mark.covered)
            self._mark(reader, mark, written, result, covered, messages)
            # Only an append that went through keeps the memory; after any error it is read afresh.
            self._written = written
            return result

    def maintain(self, now_ms: int, retention: Retention) -> None:
        """See `SeriesStore.maintain`: nothing, the server drops by its own retention."""

    def rewind(self, reader: str, covered: int) -> None:
        """See `SeriesStore.rewind`."""
        with self._lock:
            self._written = None
            mark = self._marks().get(reader, _Mark())
            self._put_mark(reader, replace(mark, revision=mark.revision + 1, covered=covered))

    def covered(self, reader: str) -> int:
        """See `SeriesStore.covered`."""
        marks = self._marks()
        # Recorders that share the log have a mark for every partition; together they cover what the slowest does.
        shares = [mark.covered for name, mark in marks.items() if name.startswith(f"{reader}/")]
        return min(shares) if shares else marks.get(reader, _Mark()).covered

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
        found: list[LatestReading] = []
        for number, name in enumerate(parameters):
            arrivals, values, flags = (_by_point(answer, name) for answer in answers[3 * number : 3 * number + 3])
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
        """See `SeriesStore.range`. Buckets without failed readings are aggregated by the server."""
        check_aggregation(step_ms, aggregates)
        if step_ms is None:
            return self._raw(key, start, end)
        # InfluxQL cannot count by flag, and `last` beside other functions is no trouble: good = count less those flagged.
        chosen = ", ".join(
            f"{'count' if name == 'good' else name}({identifier(key.parameter)}) AS {identifier(name)}"
            for name in aggregates
        )
        during = _during(key, start, end)
        values, flags = self._query(
            [
                f"SELECT {chosen} FROM reading WHERE {during} GROUP BY time({step_ms}ms) fill(none)",  # noqa: S608
                f"SELECT {identifier(key.parameter)} FROM flag WHERE {during}",  # noqa: S608 - quoted by us
            ]
        )
        at, columns = _columns(values, len(aggregates))
        spoilt_at, (flag,) = _columns(flags, 1)
        spoilt = np.unique(spoilt_at[np.isin(flag, (Flag.FAIL, Flag.MISSING))] // step_ms * step_ms)
        trend = Trend(key, at, dict(zip(aggregates, columns, strict=True)))
        if "good" in aggregates:
            doubted = np.isin(flag, (Flag.NOT_EVALUATED, Flag.SUSPECT))
            bucket, count = np.unique(spoilt_at[doubted] // step_ms * step_ms, return_counts=True)
            place = np.searchsorted(at, bucket)
            trend.columns["good"][place] -= count
        return self._repaired(trend, spoilt, start, end, step_ms) if len(spoilt) else trend

    def conflicts(self, key: SeriesKey, start: int, end: int) -> Trend:
        """See `SeriesStore.conflicts`."""
        [answer] = self._query([_conflicts_of(key, start, end)])
        return _conflict_trend(key, answer)

    def readings(self, keys: Sequence[SeriesKey], start: int, end: int) -> Readings:
        """See `SeriesStore.readings`. Three statements a series, `_SERIES_AT_ONCE` series a request."""
        trends: list[Trend] = []
        conflicts: list[Ints] = []
        for first in range(0, len(keys), _SERIES_AT_ONCE):
            part = keys[first : first + _SERIES_AT_ONCE]
            answers = self._query(
                [text for key in part for text in (*_raw_of(key, start, end), _conflicts_of(key, start, end))]
            )
            for number, key in enumerate(part):
                values, flags, others = answers[3 * number : 3 * number + 3]
                trends.append(_raw_trend(key, values, flags))
                conflicts.append(_conflict_trend(key, others).observed_at)
        return joined(trends, conflicts)

    def counts(self) -> RecordedCounts:
        """See `SeriesStore.counts`."""
        marks = self._marks().values()
        totals = {name: sum(mark.totals[name] for mark in marks) for name in _TOTALS}
        return RecordedCounts(series=max((mark.series for mark in marks), default=0), **totals)

    def close(self) -> None:
        """See `SeriesStore.close`."""
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self._door.close()

    def _record(self, rows: SeriesRows, index: SeriesIndex, covered: int) -> AppendResult:
        series, new_keys = index.numbered(rows)
        sequence = rows.sequence if rows.sequence is not None else np.zeros(len(rows), np.int64)
        key_of = [*index.keys, *new_keys]
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
        stored = picked(settled.stored)
        self._write(reading_lines(stored))
        self._write(arrival_lines(stored))
        self._write(conflict_lines(others.numbered(picked(settled.conflicts))))
        index.add(new_keys)
        chosen = settled.stored
        index.advance(
            series[chosen], rows.observed_at[chosen], rows.received_at[chosen], rows.value[chosen], rows.flag[chosen]
        )
        return AppendResult(len(settled.stored), settled.duplicates, len(settled.conflicts))

    def _mark(
        self, reader: str, mark: _Mark, written: _Written, result: AppendResult, covered: int, messages: int
    ) -> None:
        added = {
            "messages": messages,
            "readings": result.stored,
            "duplicates": result.duplicates,
            "conflicts": result.conflicts,
        }
        written.marks[reader] = _Mark(
            mark.revision + 1,
            max(covered, mark.covered),
            len(written.index),
            {name: total + added[name] for name, total in mark.totals.items()},
        )
        self._put_mark(reader, written.marks[reader])

    def _put_mark(self, reader: str, mark: _Mark) -> None:
        """Marks are put by the hour: one point an hour stays, and retention never finds the last one old. Retention goes
        by the server's wall clock, so this does too; which mark is the last is told by its revision, not its time."""
        fields = {"revision": mark.revision, "covered": mark.covered, "series": mark.series, **mark.totals}
        self._write([progress_line(reader, fields, self._wall_ms() // _HOUR_MS * _HOUR_MS)])

    def _load(self) -> _Written:
        parameters = self._parameters()
        answers = self._query(
            f"SELECT last({identifier(name + '_sequence')}) FROM arrival GROUP BY county, works, point"  # noqa: S608
            for name in parameters
        )
        newest: dict[SeriesKey, int] = {}
        for name, answer in zip(parameters, answers, strict=True):
            newest |= {key: at for key, (at, _) in _by_point(answer, name).items()}
        index = SeriesIndex(list(newest))
        index.newest_at[: len(newest)] = list(newest.values())
        return _Written(index, self._marks())

    def _marks(self) -> dict[str, _Mark]:
        names = ", ".join(map(identifier, ("covered", "series", *_TOTALS)))
        [answer] = self._query([f"SELECT max(revision), {names} FROM progress GROUP BY reader"])  # noqa: S608
        marks: dict[str, _Mark] = {}
        for series in answer:
            _, revision, covered, count, *totals = series["values"][0]
            marks[series["tags"]["reader"]] = _Mark(revision, covered, count, dict(zip(_TOTALS, totals, strict=True)))
        return marks

    def _parameters(self) -> list[str]:
        [answer] = self._query(["SHOW FIELD KEYS FROM arrival"])
        names = [row[0] for series in answer for row in series["values"]]
        return [name.removesuffix("_sequence") for name in names if name.endswith("_sequence")]

    def _raw(self, key: SeriesKey, start: int, end: int) -> Trend:
        values, flags = self._query(_raw_of(key, start, end))
        return _raw_trend(key, values, flags)

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
        if self._needs_database:
            self._door.query([f"CREATE DATABASE {identifier(self._bucket)}"])
            self._needs_database = False
        return self._door.query(list(statements))

    def _write(self, lines: Sequence[str]) -> None:
        self._refuse_if_closed()
        self._door.write(lines)

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise StoreUnavailable("InfluxDB: this store was closed")


def _during(key: SeriesKey, start: int, end: int) -> str:
    return f"{is_at(key.county, key.works, key.point)} AND time >= {start}ms AND time < {end}ms"


def _raw_of(key: SeriesKey, start: int, end: int) -> tuple[str, str]:
    asked = f"WHERE {_during(key, start, end)}"
    name = identifier(key.parameter)
    return f"SELECT {name} FROM reading {asked}", f"SELECT {name} FROM flag {asked}"  # noqa: S608 - quoted by us


def _conflicts_of(key: SeriesKey, start: int, end: int) -> str:
    name = key.parameter
    return (
        f"SELECT {identifier(name + '_flag')}, {identifier(name)}"  # noqa: S608 - quoted by us
        f" FROM conflict WHERE {_during(key, start, end)}"
    )


def _raw_trend(key: SeriesKey, values: list[dict[str, Any]], flags: list[dict[str, Any]]) -> Trend:
    value_at, (value,) = _columns(values, 1)
    flag_at, (flag,) = _columns(flags, 1)
    at = np.union1d(value_at, flag_at)
    columns = {"value": np.full(len(at), np.nan), "flag": np.full(len(at), float(Flag.PASS))}
    columns["value"][np.searchsorted(at, value_at)] = value
    columns["flag"][np.searchsorted(at, flag_at)] = flag
    return Trend(key, at, columns)


def _conflict_trend(key: SeriesKey, answer: list[dict[str, Any]]) -> Trend:
    at, (flag, value) = _columns(answer, 2)
    is_ours = ~np.isnan(flag)  # a line may be of another parameter
    return Trend(key, at[is_ours], {"value": value[is_ours], "flag": flag[is_ours]})


def _by_point(answer: list[dict[str, Any]], parameter: str) -> dict[SeriesKey, list[Any]]:
    """First row of each series of an answer grouped by point."""
    found: dict[SeriesKey, list[Any]] = {}
    for series in answer:
        tags = series["tags"]
        found[SeriesKey(tags["county"], tags["works"], tags["point"], parameter)] = series["values"][0]
    return found


def _columns(answer: list[dict[str, Any]], count: int) -> tuple[Ints, list[Floats]]:
    """Times and value columns of an ungrouped answer; null is NaN."""
    rows = answer[0]["values"] if answer else []
    columns = list(zip(*rows, strict=True)) if rows else [()] * (count + 1)
    values = [np.array([np.nan if v is None else v for v in column], np.float64) for column in columns[1:]]
    return np.array(columns[0], np.int64), values
