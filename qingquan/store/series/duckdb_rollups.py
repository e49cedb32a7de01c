"""Rollups inside the DuckDB file: kept in the transaction of the rows, put in order and dropped by age now and then."""

from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from qingquan.store.ports import Retention
from qingquan.store.series.duckdb_given import given
from qingquan.store.series.duckdb_order import EVERY_READING
from qingquan.store.series.identity import NEVER, stretches
from qingquan.store.series.rollups import DAY, LEVELS, Level, Piece, Touched, touched

__all__ = ["SCHEMA", "build_missing", "drop_old", "frozen_before", "keep", "put_in_order", "query_of"]

Ints = npt.NDArray[np.int64]

_COLUMNS = "series, bucket, count, good, sum, min, max, last, last_at"
SCHEMA = (
    "".join(
        f"""
CREATE TABLE IF NOT EXISTS {level.table}(
    series INTEGER NOT NULL, bucket BIGINT NOT NULL, count BIGINT NOT NULL, good BIGINT NOT NULL, sum DOUBLE NOT NULL,
    min DOUBLE NOT NULL, max DOUBLE NOT NULL, last DOUBLE NOT NULL, last_at BIGINT NOT NULL);"""
        for level in LEVELS
    )
    + """
CREATE TABLE IF NOT EXISTS rollup_state(name VARCHAR NOT NULL, value BIGINT NOT NULL);
"""
)
_USABLE = "value IS NOT NULL AND flag NOT IN (4, 9)"
# Of readings. The sum is compensated: it must not depend on the order in which threads add.
_FROM_READINGS = (
    "count(*), count(*) FILTER (flag = 1), fsum(value), min(value), max(value), arg_max(value, observed_at),"
    " max(observed_at)"
)
# Of the next finer level.
_FROM_FINER = "sum(count), sum(good), fsum(sum), min(min), max(max), arg_max(last, last_at), max(last_at)"
_AGGREGATES = {
    "mean": "fsum(sum) / sum(count)", "min": "min(min)", "max": "max(max)", "count": "sum(count)::DOUBLE",
    "last": "arg_max(last, last_at)", "good": "sum(good)::DOUBLE",
}  # fmt: skip
# A level is put in order of series up to two days behind the newest reading: later ones still change often.
_UNSETTLED = 2 * DAY


def keep(connection: duckdb.DuckDBPyConnection, series: Ints, observed_at: Ints, newest_at: Ints, frozen: int) -> None:
    """Bring all levels up to date after new readings (in order of series, then time) were inserted; the caller commits."""
    for number, level in enumerate(LEVELS):
        changed = touched(level, series, observed_at, newest_at, frozen)
        for stretch in stretches(changed.bucket):
            _compute(
                connection, number, Touched(changed.series[stretch], changed.bucket[stretch], changed.is_held[stretch])
            )


def build_missing(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the rollups of a file that was written before there were any."""
    if _stated(connection, "built") is not None:
        return
    connection.begin()
    connection.execute("CREATE TEMP TABLE newest AS SELECT series, max(observed_at) AS at FROM reading GROUP BY series")
    for number, level in enumerate(LEVELS):
        source, at, made, usable = _source(number)
        connection.execute(
            f"INSERT INTO {level.table} SELECT s.series, {at} // {level.step} * {level.step} AS b, {made}"  # noqa: S608
            f" FROM {source} s JOIN newest n USING (series)"
            f" WHERE {usable} AND {at} // {level.step} * {level.step} < n.at // {level.step} * {level.step} GROUP BY 1, 2"
        )
    connection.execute("DROP TABLE newest")
    connection.execute("INSERT INTO rollup_state VALUES ('built', 1), ('frozen', ?)", [NEVER + 1])
    connection.commit()


def frozen_before(connection: duckdb.DuckDBPyConnection) -> int:
    """Before when readings are no longer kept, and rollups final [ms]."""
    found = _stated(connection, "frozen")
    return NEVER + 1 if found is None else found


def _stated(connection: duckdb.DuckDBPyConnection, name: str) -> int | None:
    # All rows are fetched: a result half read would keep the connection busy.
    rows = connection.execute("SELECT max(value) FROM rollup_state WHERE name = ?", [name]).fetchall()
    return None if rows[0][0] is None else int(rows[0][0])


def query_of(parts: Sequence[Piece], aggregates: Sequence[str]) -> str:
    """Aggregates of one series (``$series``) by ``$step`` over pieces; ``$a0``, ``$b0`` … are their bounds."""
    chosen = ", ".join(f'{_AGGREGATES[name]} AS "{name}"' for name in aggregates)
    sources = " UNION ALL ".join(
        f"SELECT bucket, count, good, sum, min, max, last, last_at FROM {part.level.table}"  # noqa: S608
        f" WHERE series = $series AND bucket >= $a{n} AND bucket < $b{n}"
        if part.level is not None
        else f"SELECT observed_at, 1, (flag = 1)::BIGINT, value, value, value, value, observed_at FROM {EVERY_READING}"  # noqa: S608
        f" WHERE series = $series AND observed_at >= $a{n} AND observed_at < $b{n} AND {_USABLE}"
        for n, part in enumerate(parts)
    )
    return (
        f"SELECT moment // $step * $step AS observed_at, {chosen}"  # noqa: S608 - constants only
        f" FROM ({sources}) AS parts(moment, count, good, sum, min, max, last, last_at) GROUP BY 1 ORDER BY 1"
    )


def put_in_order(connection: duckdb.DuckDBPyConnection, newest: int) -> int:
    """Sort finished blocks by series, so that a year of one series lies in few places; how many blocks."""
    done = 0
    for level in LEVELS:
        name = f"ordered:{level.table}"
        reached = _stated(connection, name)
        if reached is None:
            [(least,)] = connection.execute(f"SELECT min(bucket) FROM {level.table}").fetchall()  # noqa: S608
            if least is None:
                continue
            reached = int(least) // level.block * level.block
        begin = reached
        while begin + level.block <= newest - _UNSETTLED:
            _sort_block(connection, level, name, begin)
            begin += level.block
            done += 1
    return done


def drop_old(
    connection: duckdb.DuckDBPyConnection, now: int, retention: Retention, series: Ints, newest_at: Ints
) -> int:
    """Delete what is older than its time, whole days (UTC) at once, in one transaction; from when on readings are kept.

    Of every series the newest reading stays. Buckets that were still open are written before their readings go.
    """
    frozen = frozen_before(connection)
    cutoffs = [_cutoff(now, days) for days in retention.days()]
    connection.begin()
    try:
        if cutoffs[0] > frozen:
            _close(connection, series, newest_at, cutoffs[0], frozen)
            connection.register("kept", {"series": series, "at": newest_at})
            for table in ("reading", "reading_ordered"):
                connection.execute(
                    f"DELETE FROM {table} r WHERE observed_at < ? AND NOT EXISTS (SELECT 1 FROM kept k"  # noqa: S608
                    " WHERE k.series = r.series AND k.at = r.observed_at)",
                    [cutoffs[0]],
                )
            connection.unregister("kept")
            connection.execute("DELETE FROM conflict WHERE observed_at < ?", [cutoffs[0]])
            connection.execute("UPDATE rollup_state SET value = ? WHERE name = 'frozen'", [cutoffs[0]])
            frozen = cutoffs[0]
        for level, cutoff in zip(LEVELS, cutoffs[1:], strict=True):
            connection.execute(f"DELETE FROM {level.table} WHERE bucket < ?", [cutoff])  # noqa: S608
        connection.commit()
    except Exception:
        connection.rollback()
        raise
    return frozen


def _cutoff(now: int, days: int) -> int:
    return (now - days * DAY) // DAY * DAY if days else NEVER + 1


def _close(connection: duckdb.DuckDBPyConnection, series: Ints, newest_at: Ints, cutoff: int, frozen: int) -> None:
    """Write the open buckets of series that have been silent since before the cutoff."""
    silent = (newest_at < cutoff) & (newest_at >= frozen)
    for number, level in enumerate(LEVELS):
        bucket = newest_at[silent] // level.step * level.step
        for stretch in stretches(bucket):
            changed = Touched(series[silent][stretch], bucket[stretch], np.ones(len(stretch), bool))
            _compute(connection, number, changed)


def _compute(connection: duckdb.DuckDBPyConnection, number: int, changed: Touched) -> None:
    """Compute buckets of a level, which lie close to each other in time, from what is one finer."""
    level = LEVELS[number]
    source, at, made, usable = _source(number)
    first, last = int(changed.bucket.min()), int(changed.bucket.max()) + level.step
    with given(connection, "changed", _columns(changed)):
        if changed.is_held.any():
            connection.execute(
                f"DELETE FROM {level.table} r USING changed c"  # noqa: S608 - constants only
                " WHERE c.is_held AND r.series = c.series AND r.bucket = c.bucket AND r.bucket BETWEEN ? AND ?",
                [first, last],
            )
        connection.execute(
            f"INSERT INTO {level.table} SELECT c.series, c.bucket, {made} FROM {source} s JOIN changed c"  # noqa: S608
            f" ON s.series = c.series AND s.{at} // {level.step} * {level.step} = c.bucket"
            f" WHERE s.{at} >= ? AND s.{at} < ? AND {usable} GROUP BY 1, 2",
            [first, last],
        )


def _columns(changed: Touched) -> Mapping[str, npt.NDArray[Any]]:
    return {"series": changed.series, "bucket": changed.bucket, "is_held": changed.is_held}


def _source(number: int) -> tuple[str, str, str, str]:
    """Table, time column, aggregates and condition from which a level is made."""
    if number == 0:
        return EVERY_READING, "observed_at", _FROM_READINGS, _USABLE
    return LEVELS[number - 1].table, "bucket", _FROM_FINER, "TRUE"


def _sort_block(connection: duckdb.DuckDBPyConnection, level: Level, name: str, begin: int) -> None:
    span = [begin, begin + level.block]
    connection.begin()
    try:
        connection.execute(
            f"CREATE TEMP TABLE sorted AS SELECT {_COLUMNS} FROM {level.table}"  # noqa: S608 - constants only
            " WHERE bucket >= ? AND bucket < ? ORDER BY series, bucket",
            span,
        )
        connection.execute(f"DELETE FROM {level.table} WHERE bucket >= ? AND bucket < ?", span)  # noqa: S608
        connection.execute(f"INSERT INTO {level.table} SELECT {_COLUMNS} FROM sorted")  # noqa: S608
        connection.execute("DROP TABLE sorted")
        connection.execute("DELETE FROM rollup_state WHERE name = ?", [name])
        connection.execute("INSERT INTO rollup_state VALUES (?, ?)", [name, span[1]])
        connection.commit()
    except Exception:
        connection.rollback()
        raise
