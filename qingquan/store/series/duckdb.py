"""Time-series store of the embedded default: one DuckDB file, one process, one transaction per append.

No primary key guards the readings: maintaining its index costs more than everything else together. The newest time of
every series is kept in memory instead (rebuilt on opening), so a later row is surely new, and only earlier rows are
looked up, by a join that zone maps confine to the row groups of their time.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition, RLock
from typing import Any, TypeVar

import duckdb
import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.store.ports import AppendResult, LatestReading, Readings, RecordedCounts, Retention, SeriesRows, Trend
from qingquan.store.series.buckets import check_aggregation
from qingquan.store.series.duckdb_bulk import readings_of
from qingquan.store.series.duckdb_copy import copy_database
from qingquan.store.series.duckdb_given import given
from qingquan.store.series.duckdb_order import EVERY_READING, MOST_ROWS, NEWEST, ORDER_SCHEMA, finish, move, planned
from qingquan.store.series.duckdb_rollups import (
    SCHEMA,
    build_missing,
    drop_old,
    frozen_before,
    keep,
    put_in_order,
    query_of,
)
from qingquan.store.series.identity import NEVER, Held, Settled, canonical_bits, settle, stretches
from qingquan.store.series.index import SeriesIndex
from qingquan.store.series.rollups import closed_by, pieces

__all__ = ["DuckdbSeriesStore"]

Ints = npt.NDArray[np.int64]
T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series(
    id INTEGER NOT NULL, county VARCHAR NOT NULL, works VARCHAR NOT NULL, point VARCHAR NOT NULL,
    parameter VARCHAR NOT NULL);
CREATE TABLE IF NOT EXISTS reading(
    series INTEGER NOT NULL, observed_at BIGINT NOT NULL, received_at BIGINT NOT NULL, value DOUBLE,
    flag UTINYINT NOT NULL);
CREATE TABLE IF NOT EXISTS conflict(
    series INTEGER NOT NULL, observed_at BIGINT NOT NULL, received_at BIGINT NOT NULL, value DOUBLE,
    flag UTINYINT NOT NULL);
CREATE TABLE IF NOT EXISTS progress(reader VARCHAR NOT NULL, covered BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS total(name VARCHAR NOT NULL, value BIGINT NOT NULL);
"""
# A missing value is NULL in the tables (numpy's NaN becomes NULL on the way in) and NaN on the way out.
_VALUE = "coalesce(value, 'nan'::DOUBLE)"
_TOTALS = ("readings", "duplicates", "conflicts", "messages")
_TURN_S = 0.02
# Blocks that were written or read are kept in memory as if somebody would soon ask for them, up to the limit, and a recorder of a province
# would grow towards it for hours. So it does with little, and has more for as long as that does not suffice. Of many rows that is known
# beforehand.
USUAL_MEMORY = "48MB"
MANY_ROWS = 100_000
# What DuckDB knows of the blocks of an open file is kept too, outside any limit: 0.6 MB per million rows that came by the thousand, for
# as long as the file is open. To close and open it takes about 0.1 s and gives that back.
RENEWED_AFTER = 2_000_000
# How long an append that is to open the file anew waits for readers, who keep it open.
_READERS_S = 0.25
_TRANSIENT = (duckdb.OperationalError, duckdb.InternalError, duckdb.FatalException, duckdb.ConnectionException)


class _NeedsMemory(StoreUnavailable):
    """What was asked did not do with the memory there was."""


class DuckdbSeriesStore:
    """Series store in the file ``path``; its folder is made if need be. Safe to use from several threads.

    ``memory_limit`` bounds DuckDB's buffers where `USUAL_MEMORY`, which is less, does not suffice, ``threads`` its workers,
    ``most_moved`` the readings put in order at once; the file is opened anew each time ``renewed_after`` rows have come.

    Raises
    ------
    StoreUnavailable
        If the file is held by another process, or cannot be read or written.
    """

    def __init__(
        self,
        path: Path,
        *,
        memory_limit: str = "512MB",
        threads: int = 2,
        most_moved: int = MOST_ROWS,
        renewed_after: int = RENEWED_AFTER,
    ) -> None:
        self._path = path
        self._most_moved = most_moved
        self._settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": memory_limit,
            "threads": threads,
            # What is not yet in the file's blocks is kept in memory: little of it, so that memory stays even.
            "checkpoint_threshold": "16MB",
        }
        self._memory_limit = memory_limit
        self._lock = RLock()
        self._open: duckdb.DuckDBPyConnection | None = None
        self._is_closed = False
        self._index = SeriesIndex()
        self._covered: dict[str, int] = {}
        self._frozen_before = NEVER
        self._totals = dict.fromkeys(_TOTALS, 0)
        self._roomy_for = 0
        self._is_usual = False
        self._renewed_after = renewed_after
        self._rows_to_come = renewed_after
        self._readers = 0
        self._no_readers = Condition()
        with self._access():
            pass

    def append(self, rows: SeriesRows, reader: str, covered: int, messages: int = 0) -> AppendResult:
        """See `SeriesStore.append`. Batches of 10,000 to 500,000 rows are best."""
        is_large = len(rows) > MANY_ROWS
        return self._enough(lambda: self._append(rows, reader, covered, messages), is_large=is_large)

    def _append(self, rows: SeriesRows, reader: str, covered: int, messages: int) -> AppendResult:
        with self._access() as connection:
            if 0 < covered <= self._covered.get(reader, 0):
                return AppendResult(0, 0, 0)
            series, new_keys = self._index.numbered(rows)
            settled = self._settled(connection, rows, series)
            result = AppendResult(len(settled.stored), settled.duplicates, len(settled.conflicts))
            totals = self._totals_after(result, messages)
            connection.begin()
            try:
                self._write(connection, rows, series, new_keys, settled)
                self._mark(connection, reader, covered, totals)
                connection.commit()
            except Exception:
                _roll_back(connection)
                raise
            self._note(rows, series, new_keys, settled)
            self._covered[reader] = max(covered, self._covered.get(reader, 0))
            self._totals = totals
            self._rows_to_come -= len(rows)
            self._go_back_to_the_usual()
            return result

    def _enough(self, work: Callable[[], T], *, is_large: bool = False) -> T:
        """What the work gives; with all the memory there may be where it is large, or does not do with the usual."""
        if not is_large:
            with suppress(_NeedsMemory):
                return work()
        with self._roomy():
            return work()

    @contextmanager
    def _roomy(self) -> Iterator[None]:
        """With all the memory there may be."""
        with self._access() as connection:
            _limit(connection, self._memory_limit)
            self._is_usual = False
            self._roomy_for += 1
        try:
            yield
        finally:
            with self._lock:
                self._roomy_for -= 1
                self._go_back_to_the_usual()

    def _go_back_to_the_usual(self) -> None:
        """Under the lock: where what is in use allows it; otherwise after one of the next appends."""
        if self._roomy_for or self._open is None:
            return
        if self._rows_to_come <= 0:
            self._renew()
        if not self._is_usual and self._open is not None:
            self._is_usual = _limit(self._open, USUAL_MEMORY)

    def _renew(self) -> None:
        """Under the lock, after a commit: close the file and open it. What is known of its series stays, unless somebody wrote in
        between; where anything fails, the next call opens the file and reads everything."""
        with self._no_readers:
            # Who would begin to read needs the lock, so those at work become fewer.
            is_free = self._no_readers.wait_for(lambda: not self._readers, _READERS_S)
        if not is_free:
            self._rows_to_come = self._renewed_after // 10
            return
        self._abandon()
        try:
            connection = self._connect()
            if _marks(connection) != (self._covered, self._totals):
                self._load(connection)
        except (duckdb.Error, OSError):
            self._abandon()

    def _connect(self) -> duckdb.DuckDBPyConnection:
        self._open = duckdb.connect(str(self._path), config=self._settings)
        self._rows_to_come = self._renewed_after
        self._is_usual = False
        return self._open

    def covered(self, reader: str) -> int:
        """See `SeriesStore.covered`."""
        with self._access():
            return self._covered.get(reader, 0)

    def rewind(self, reader: str, covered: int) -> None:
        """See `SeriesStore.rewind`."""
        with self._access() as connection:
            connection.execute("UPDATE progress SET covered = ? WHERE reader = ?", [covered, reader])
            self._covered[reader] = covered

    def latest(self, county: str, works: str | None = None) -> list[LatestReading]:
        """See `SeriesStore.latest`. Answered from memory."""
        with self._access():
            return self._index.latest(county, works)

    def range(
        self, key: SeriesKey, start: int, end: int, step_ms: int | None = None, aggregates: Sequence[str] = ("mean",)
    ) -> Trend:
        """See `SeriesStore.range`. Answered from the coarsest rollups that answer exactly."""
        check_aggregation(step_ms, aggregates)
        if step_ms is None:
            return self._raw(EVERY_READING, key, start, end)
        with self._access():
            number = self._index.id(key)
            newest = NEVER if number is None else int(self._index.newest_at[number])
            parts = pieces(start, end, step_ms, closed_by(newest, self._frozen_before))
        if not parts:
            return _trend(key, _nothing(aggregates), aggregates)
        bounds = {f"{name}{n}": at for n, part in enumerate(parts) for name, at in (("a", part.start), ("b", part.end))}
        return _trend(
            key, self._asked(key, query_of(parts, aggregates), {"step": step_ms, **bounds}, aggregates), aggregates
        )

    def maintain(self, now_ms: int, retention: Retention) -> None:
        """See `SeriesStore.maintain`. Step by step: appends come in between, and wait 1 to 3 s at most."""
        self._enough(lambda: self._maintain(now_ms, retention), is_large=True)

    def _maintain(self, now_ms: int, retention: Retention) -> None:
        with self._access() as connection:
            known = self._index.newest_at[: len(self._index)]
            if not len(known):
                return
            numbers, newest = np.arange(len(known)), int(known.max())
            # A clock that jumped ahead, or a recording of years ago, must not empty the store.
            self._frozen_before = drop_old(connection, min(now_ms, newest), retention, numbers, known)
            put_in_order(connection, newest)
        self._order_readings(newest)

    def _order_readings(self, newest: int) -> None:
        with self._access() as connection:
            plan = planned(connection, newest, self._most_moved)
        if plan is None:
            return
        for portion in plan.portions:
            with self._access() as connection:
                move(connection, portion)
            # A lock is not handed over in turn: who waits for it gets it now.
            time.sleep(_TURN_S)
        with self._access() as connection:
            finish(connection, plan)

    def conflicts(self, key: SeriesKey, start: int, end: int) -> Trend:
        """See `SeriesStore.conflicts`."""
        return self._raw("conflict", key, start, end)

    def readings(self, keys: Sequence[SeriesKey], start: int, end: int) -> Readings:
        """See `SeriesStore.readings`."""
        return self._enough(lambda: self._readings(keys, start, end))

    def _readings(self, keys: Sequence[SeriesKey], start: int, end: int) -> Readings:
        with self._access() as connection:
            numbers = [self._index.id(key) for key in keys]
            cursor = self._reader(connection)
        with self._beside(cursor):
            return readings_of(cursor, numbers, start, end)

    def counts(self) -> RecordedCounts:
        """See `SeriesStore.counts`."""
        with self._access():
            return RecordedCounts(series=len(self._index), **self._totals)

    def copy_to(self, path: Path) -> None:
        """Write a copy as of now to the new file ``path``, while appends go on. Raises `StoreUnavailable` where it cannot."""
        self._enough(lambda: self._copy_to(path), is_large=True)

    def _copy_to(self, path: Path) -> None:
        with self._access() as connection:
            cursor = self._reader(connection)
        with self._beside(cursor):
            copy_database(cursor, path)

    def close(self) -> None:
        """See `SeriesStore.close`."""
        with self._lock:
            self._is_closed = True
            self._abandon()

    def _settled(self, connection: duckdb.DuckDBPyConnection, rows: SeriesRows, series: Ints) -> Settled:
        def held(asked: Ints) -> Held:
            return self._held(connection, series[asked], rows.observed_at[asked])

        def is_known_conflict(asked: Ints) -> npt.NDArray[np.bool_]:
            return _is_in_conflict_table(connection, series[asked], rows.observed_at[asked], rows.value[asked])

        return settle(series, rows.observed_at, rows.value, self._index.newest_at, held, is_known_conflict)

    def _held(self, connection: duckdb.DuckDBPyConnection, series: Ints, observed_at: Ints) -> Held:
        """The newest reading is known here; what is older is looked up."""
        found = observed_at == self._index.newest_at[series]
        value = np.where(found, self._index.newest_value[series], np.nan)
        older = np.flatnonzero(~found)
        for stretch in stretches(observed_at[older]):
            part = older[stretch]
            row, stored = _joined(connection, EVERY_READING, series[part], observed_at[part])
            found[part[row]] = True
            value[part[row]] = stored
        return Held(found, value)

    def _write(
        self,
        connection: duckdb.DuckDBPyConnection,
        rows: SeriesRows,
        series: Ints,
        new_keys: list[SeriesKey],
        settled: Settled,
    ) -> None:
        if new_keys:
            fields = np.array(new_keys, dtype=object).reshape(-1, 4)
            numbers = np.arange(len(new_keys)) + len(self._index)
            _insert(connection, "series", {"id": numbers, **dict(zip(SeriesKey._fields, fields.T, strict=True))})
        for table, chosen in (("reading", settled.stored), ("conflict", settled.conflicts)):
            if len(chosen):
                _insert(connection, table, {"series": series[chosen], **_columns(rows, chosen)})
        stored = settled.stored
        keep(connection, series[stored], rows.observed_at[stored], self._index.newest_at, self._frozen_before)

    @staticmethod
    def _mark(connection: duckdb.DuckDBPyConnection, reader: str, covered: int, totals: Mapping[str, int]) -> None:
        connection.execute("DELETE FROM progress WHERE reader = ? AND covered <= ?", [reader, covered])
        connection.execute(
            "INSERT INTO progress SELECT $1, $2 WHERE NOT EXISTS (SELECT 1 FROM progress WHERE reader = $1)",
            [reader, covered],
        )
        connection.execute("DELETE FROM total")
        connection.execute(
            "INSERT INTO total SELECT unnest($1), unnest($2)", [list(totals), [int(n) for n in totals.values()]]
        )

    def _note(self, rows: SeriesRows, series: Ints, new_keys: list[SeriesKey], settled: Settled) -> None:
        """After the commit only: memory never runs ahead of the file."""
        self._index.add(new_keys)
        stored = settled.stored
        columns = _columns(rows, stored)
        self._index.advance(
            series[stored], columns["observed_at"], columns["received_at"], columns["value"], columns["flag"]
        )

    def _totals_after(self, result: AppendResult, messages: int) -> dict[str, int]:
        added = {
            "readings": result.stored,
            "duplicates": result.duplicates,
            "conflicts": result.conflicts,
            "messages": messages,
        }
        return {name: total + added[name] for name, total in self._totals.items()}

    def _raw(self, table: str, key: SeriesKey, start: int, end: int) -> Trend:
        columns = self._asked(
            key,
            f"SELECT observed_at, {_VALUE} AS value, flag::DOUBLE AS flag FROM {table}"  # noqa: S608 - constants only
            " WHERE series = $series AND observed_at >= $start AND observed_at < $end ORDER BY observed_at",
            {"start": start, "end": end},
            ("value", "flag"),
        )
        return _trend(key, columns, ("value", "flag"))

    def _asked(
        self, key: SeriesKey, query: str, parameters: dict[str, int], names: Sequence[str]
    ) -> Mapping[str, npt.NDArray[Any]]:
        """Run a query on a cursor of its own, outside the lock: an append does not wait for a reader."""

        def found() -> Mapping[str, npt.NDArray[Any]]:
            with self._access() as connection:
                number = self._index.id(key)
                if number is None:
                    return _nothing(names)
                cursor = self._reader(connection)
            with self._beside(cursor):
                columns: Mapping[str, npt.NDArray[Any]] = cursor.execute(
                    query, {"series": number, **parameters}
                ).fetchnumpy()
                return columns

        return self._enough(found)

    def _reader(self, connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
        """Under the lock: a cursor, which keeps the file open until `_beside` has closed it."""
        cursor = connection.cursor()
        with self._no_readers:
            self._readers += 1
        return cursor

    @contextmanager
    def _beside(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Outside the lock, while appends go on; the cursor is closed at the end."""
        try:
            with _translated(lambda: None), cursor:
                yield
        finally:
            with self._no_readers:
                self._readers -= 1
                self._no_readers.notify_all()

    @contextmanager
    def _access(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection, opened if it is not, under the lock. After an error of the store it is given up, for
        nothing tells whether the last commit went through; the next call opens it afresh and reads the truth."""
        with self._lock, _translated(self._abandon):
            if self._is_closed:
                raise StoreUnavailable(f"{self._path}: this store was closed")
            connection = self._open
            if connection is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                connection = self._connect()
                self._load(connection)
                self._go_back_to_the_usual()
            yield connection

    def _load(self, connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(_SCHEMA)
        connection.execute(ORDER_SCHEMA)
        connection.execute(SCHEMA)
        build_missing(connection)
        self._frozen_before = frozen_before(connection)
        keys = connection.execute("SELECT county, works, point, parameter FROM series ORDER BY id").fetchall()
        self._index = SeriesIndex([SeriesKey(*key) for key in keys])
        newest = connection.execute(NEWEST).fetchnumpy()
        self._index.advance(*(np.ma.getdata(newest[name]) for name in ("series", "at", "received_at", "value", "flag")))
        self._covered, self._totals = _marks(connection)

    def _abandon(self) -> None:
        connection, self._open = self._open, None
        if connection is not None:
            # A reader may still be at work; the last one out closes the file.
            with suppress(duckdb.Error):
                connection.close()


def _marks(connection: duckdb.DuckDBPyConnection) -> tuple[dict[str, int], dict[str, int]]:
    """How far each reader came, and the totals; every append changes one or the other."""
    covered = dict(connection.execute("SELECT reader, covered FROM progress").fetchall())
    return covered, dict.fromkeys(_TOTALS, 0) | dict(connection.execute("SELECT name, value FROM total").fetchall())


def _limit(connection: duckdb.DuckDBPyConnection, memory: str) -> bool:
    """Set how much memory there may be; whether that went, for where more is in use it stays as it was."""
    try:
        connection.execute(f"SET memory_limit = '{memory}'")
    except duckdb.Error:
        return False
    return True


@contextmanager
def _translated(on_error: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except (*_TRANSIENT, OSError) as error:
        on_error()
        kind = _NeedsMemory if isinstance(error, duckdb.OutOfMemoryException) else StoreUnavailable
        raise kind(f"series store: {error}") from error


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    """Roll back where that is still possible; the error that led here is the one to tell."""
    try:
        connection.rollback()
    except duckdb.Error:
        connection.close()


def _columns(rows: SeriesRows, chosen: Ints) -> dict[str, npt.NDArray[Any]]:
    return {
        "observed_at": rows.observed_at[chosen],
        "received_at": rows.received_at[chosen],
        "value": rows.value[chosen],
        "flag": rows.flag[chosen],
    }


def _insert(connection: duckdb.DuckDBPyConnection, table: str, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    with given(connection, "incoming", columns):
        connection.execute(f"INSERT INTO {table} SELECT {', '.join(columns)} FROM incoming")  # noqa: S608


def _joined(
    connection: duckdb.DuckDBPyConnection, table: str, series: Ints, observed_at: Ints
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Positions of the identities that a table holds, each with a value held; several where it holds several."""
    with given(connection, "asked", {"row": np.arange(len(series)), "series": series, "at": observed_at}):
        found = connection.execute(
            f"SELECT a.row AS row, {_VALUE} AS value FROM asked a JOIN {table} t"  # noqa: S608 - constants only
            " ON t.series = a.series AND t.observed_at = a.at WHERE t.observed_at BETWEEN ? AND ?",
            [int(observed_at.min()), int(observed_at.max())],
        ).fetchnumpy()
    return np.ma.getdata(found["row"]), np.ma.getdata(found["value"])


def _is_in_conflict_table(
    connection: duckdb.DuckDBPyConnection, series: Ints, observed_at: Ints, value: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    row, stored = _joined(connection, "conflict", series, observed_at)
    is_known = np.zeros(len(series), bool)
    is_known[row[canonical_bits(stored) == canonical_bits(value[row])]] = True
    return is_known


def _nothing(names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    return {"observed_at": np.empty(0, np.int64), **{name: np.empty(0) for name in names}}


def _trend(key: SeriesKey, columns: Mapping[str, npt.NDArray[Any]], names: Sequence[str]) -> Trend:
    return Trend(
        key,
        np.ma.getdata(columns["observed_at"]).astype(np.int64),
        {name: np.ma.getdata(columns[name]).astype(np.float64) for name in names},
    )
