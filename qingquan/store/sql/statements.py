"""The statements that SQL dialects spell differently, in one place: insert-or-update, insert-or-ignore, region filters."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Connection, Insert, Select, Table, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["Page", "insert_ignoring", "insert_or_update", "insert_unless_taken", "page_of", "region"]

T = TypeVar("T")
Row = Mapping[str, Any]

_COUNTY_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A stretch of a list, and how many rows the whole list has."""

    items: list[T]
    total: int

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        return self.items[index]


def insert_or_update(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    key: Sequence[str],
    stamp: str | None = None,
    add: str | None = None,
    only_greater: str | None = None,
) -> int:
    """Write rows; where a row with the same ``key`` stands, bring it to the new values. Number of rows written.

    A row that would not change is left alone, its ``stamp`` column (time of the last change) with it. ``add`` names a
    column that is added to instead of replaced; ``only_greater`` one whose row changes only when the value grows. The
    last row wins where a key comes twice.
    """
    if not rows:
        return 0
    statement = _insert(connection, table)
    new = statement.excluded
    names = [name for name in rows[0] if name not in key]
    changes = {name: table.c[name] + new[name] if name == add else new[name] for name in names}
    if only_greater is not None:
        needed: ColumnElement[bool] | None = new[only_greater] > table.c[only_greater]
    elif add is not None:
        needed = None
    else:
        needed = or_(*(table.c[name].is_distinct_from(new[name]) for name in names if name != stamp))
    statement = statement.on_conflict_do_update(index_elements=list(key), set_=changes, where=needed)
    last = {tuple(row[name] for name in key): row for row in rows}
    # One order of rows in every process: two writers then wait for each other instead of locking each other out.
    return _rows_written(connection, statement, [last[identity] for identity in sorted(last)])


def insert_ignoring(connection: Connection, table: Table, rows: Sequence[Row], *, key: Sequence[str]) -> int:
    """Insert rows, leaving out those whose ``key`` is taken. Number of rows inserted."""
    if not rows:
        return 0
    statement = _insert(connection, table).on_conflict_do_nothing(index_elements=list(key))
    return _rows_written(connection, statement, rows)


def insert_unless_taken(connection: Connection, table: Table, row: Row, *, key: Sequence[str]) -> int | None:
    """Insert one row; the ``id`` it got, ``None`` where its ``key`` is taken."""
    statement = _insert(connection, table).on_conflict_do_nothing(index_elements=list(key)).returning(table.c.id)
    return connection.scalars(statement, row).one_or_none()


def region(column: ColumnElement[str], prefix: str) -> ColumnElement[bool]:
    """Rows of a county (6 digits) or of all counties under a shorter division code (52 = province, 5204 = prefecture).

    Written as a range because both databases walk an index for it, whatever their collation.
    """
    if prefix.isascii() and prefix.isdigit() and len(prefix) < _COUNTY_DIGITS:
        return column.between(prefix.ljust(_COUNTY_DIGITS, "0"), prefix.ljust(_COUNTY_DIGITS, "9"))
    return column == prefix


def page_of(
    connection: Connection, query: Select[Any], order: Sequence[ColumnElement[Any]], limit: int, offset: int
) -> Page[Any]:
    """Rows ``offset`` to ``offset + limit`` of a query in an order, with the number of all its rows."""
    total = connection.scalar(select(func.count()).select_from(query.subquery())) or 0
    rows = connection.execute(query.order_by(*order).limit(limit).offset(offset)).all()
    return Page(list(rows), total)


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _rows_written(connection: Connection, statement: Insert, rows: Sequence[Row]) -> int:
    done = connection.execute(statement, list(rows), execution_options={"preserve_rowcount": True})
    return done.rowcount
