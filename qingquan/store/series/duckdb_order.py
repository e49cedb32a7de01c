"""Readings of finished days inside the DuckDB file, put in order of series.

Readings arrive minute by minute, so the readings of one series lie thinly over everything of its time: a raw trend of three
months would read three months of a county. ``reading`` takes them as they come (the hot table); once a day is over they move
to ``reading_ordered``, in which a day of one series lies in one or two row groups that zone maps find. Every move is a
transaction of a bounded number of rows: a process killed in the middle leaves each reading in exactly one of the two.
"""

from collections.abc import Sequence
from typing import NamedTuple

import duckdb
import numpy as np

from qingquan.store.series.rollups import DAY, HOUR

__all__ = [
    "EVERY_READING",
    "MOST_ROWS",
    "NEWEST",
    "ORDER_SCHEMA",
    "Plan",
    "Portion",
    "finish",
    "mostly_even",
    "move",
    "planned",
]

COLUMNS = "series, observed_at, received_at, value, flag"
MOST_ROWS = 2_000_000
"""Rows moved at once: about a second, during which appends wait, and 150 MB."""
SETTLED_AFTER = 6 * HOUR
"""How long after its end a day is left alone [ms]: what comes buffered from an outage then still finds it as it came."""

# The newest reading of each series among those moved is kept apart, so that opening a file reads its hot table only.
ORDER_SCHEMA = """
CREATE TABLE IF NOT EXISTS reading_ordered(
    series INTEGER NOT NULL, observed_at BIGINT NOT NULL, received_at BIGINT NOT NULL, value DOUBLE,
    flag UTINYINT NOT NULL);
CREATE TABLE IF NOT EXISTS reading_ordered_newest(
    series INTEGER NOT NULL, observed_at BIGINT NOT NULL, received_at BIGINT NOT NULL, value DOUBLE,
    flag UTINYINT NOT NULL);
CREATE TABLE IF NOT EXISTS reading_ordered_until(finished BIGINT NOT NULL);
"""
EVERY_READING = f"(SELECT {COLUMNS} FROM reading UNION ALL SELECT {COLUMNS} FROM reading_ordered)"  # noqa: S608

_VALUE = "coalesce(value, 'nan'::DOUBLE)"
_OF_NEWEST = (
    f"max(observed_at) AS at, arg_max(received_at, observed_at) AS received_at, arg_max({_VALUE}, observed_at) AS value,"
    " arg_max(flag, observed_at) AS flag"
)
NEWEST = (
    f"SELECT series, {_OF_NEWEST} FROM (SELECT {COLUMNS} FROM reading UNION ALL SELECT {COLUMNS}"  # noqa: S608
    " FROM reading_ordered_newest) GROUP BY series ORDER BY series"
)
"""Newest reading of every series."""


class Portion(NamedTuple):
    """What moves at once: start <= time < end [ms], first <= series <= last."""

    start: int
    end: int
    first: int
    last: int


class Plan(NamedTuple):
    """All readings of days before ``until`` [ms], in portions."""

    until: int
    portions: list[Portion]


def mostly_even(keys: Sequence[int], counts: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Cut ascending keys into spans (first, last) of at most ``most`` rows; a key with more is a span of its own.

    >>> mostly_even([1, 2, 5, 6], [3, 3, 9, 1], 6)
    [(1, 2), (5, 5), (6, 6)]
    """
    spans: list[tuple[int, int]] = []
    rows = 0
    for key, count in zip(keys, counts, strict=True):
        if spans and rows + count <= most:
            spans[-1] = (spans[-1][0], key)
            rows += count
        else:
            spans.append((key, key))
            rows = count
    return spans


def planned(connection: duckdb.DuckDBPyConnection, newest: int, most: int = MOST_ROWS) -> Plan | None:
    """What is to be moved when ``newest`` is the latest time of all readings [ms]; ``None`` unless a further day has become
    finished since the last plan was carried out. Late readings of days before move with it. Reads two columns of the hot table."""
    until = (newest - SETTLED_AFTER) // DAY * DAY
    [(reached,)] = connection.execute("SELECT coalesce(max(finished), 0) FROM reading_ordered_until").fetchall()
    if until <= reached:
        return None
    found: list[Portion] = []
    for first, last in mostly_even(*_counted(connection, f"observed_at // {DAY}", 0, until), most):
        span = first * DAY, (last + 1) * DAY
        series = _counted(connection, "series", *span)
        found += [Portion(*span, low, high) for low, high in mostly_even(*series, most)]
    return Plan(until, found)


def finish(connection: duckdb.DuckDBPyConnection, plan: Plan) -> None:
    """Note that a plan was carried out; until then it is made anew, of what is left."""
    connection.begin()
    connection.execute("DELETE FROM reading_ordered_until")
    connection.execute("INSERT INTO reading_ordered_until VALUES (?)", [plan.until])
    connection.commit()


def move(connection: duckdb.DuckDBPyConnection, portion: Portion) -> None:
    """Move a portion from the hot table to the ordered one, in one transaction."""
    chosen = "observed_at >= $start AND observed_at < $end AND series BETWEEN $first AND $last"
    bounds = portion._asdict()
    connection.begin()
    try:
        connection.execute(
            f"INSERT INTO reading_ordered SELECT {COLUMNS} FROM reading WHERE {chosen}"  # noqa: S608 - constants only
            f" ORDER BY observed_at // {DAY}, series, observed_at",
            bounds,
        )
        connection.execute(
            f"CREATE TEMP TABLE moved AS SELECT series, {_OF_NEWEST} FROM reading WHERE {chosen} GROUP BY series",  # noqa: S608
            bounds,
        )
        connection.execute(
            "DELETE FROM reading_ordered_newest n USING moved m WHERE n.series = m.series AND n.observed_at < m.at"
        )
        connection.execute(
            "INSERT INTO reading_ordered_newest SELECT m.series, m.at, m.received_at, nullif(m.value,"
            " 'nan'::DOUBLE), m.flag FROM moved m"
            " WHERE NOT EXISTS (SELECT 1 FROM reading_ordered_newest n WHERE n.series = m.series)"
        )
        connection.execute("DROP TABLE moved")
        connection.execute(f"DELETE FROM reading WHERE {chosen}", bounds)  # noqa: S608 - constants only
        connection.commit()
    except Exception:
        connection.rollback()
        raise


def _counted(connection: duckdb.DuckDBPyConnection, by: str, start: int, end: int) -> tuple[list[int], list[int]]:
    """Rows of the hot table by something, ascending."""
    found = connection.execute(
        f"SELECT {by} AS k, count(*) AS n FROM reading WHERE observed_at >= ? AND observed_at < ?"  # noqa: S608
        " GROUP BY 1 ORDER BY 1",
        [start, end],
    ).fetchnumpy()
    keys, counts = (np.ma.getdata(found[name]) for name in ("k", "n"))
    return keys.tolist(), counts.tolist()
