"""Compliance figures in all their versions, and the days whose figures are to be computed again."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, delete, func, select, tuple_

from qingquan.domain.compliance import Compliance, ComplianceVerdict, ComplianceVersion
from qingquan.store.sql.columns import finite_or_none
from qingquan.store.sql.compliance_schema import compliance as table
from qingquan.store.sql.compliance_schema import compliance_dirty as dirty
from qingquan.store.sql.schema import meta
from qingquan.store.sql.statements import Page, insert_or_update, page_of, region

__all__ = [
    "DirtyDay",
    "Known",
    "as_known_at",
    "calendar_days",
    "clear_dirty",
    "count_dirty",
    "dirty_days",
    "list_compliance",
    "mark_dirty",
    "newest_of",
    "save_compliance",
    "set_calendar_day",
    "versions_of",
]

_IDENTITY = ("county", "works", "point", "parameter", "period")
_COLUMN = {"start": "start_at", "end": "end_at"}
_FIELDS = tuple(field.name for field in fields(Compliance))
_VERSION_FIELDS = ("version", "known_at", "is_published")
# Where they stand in a row of the table: by name, a row of a province's month takes twice as long.
_PLACE = {column.name: place for place, column in enumerate(table.c)}
_FIELD_PLACES = tuple(_PLACE[_COLUMN.get(name, name)] for name in _FIELDS)
_VERSION_PLACES = tuple(_PLACE[name] for name in _VERSION_FIELDS)
# Works named one by one in a statement; SQLite takes 32,766 values.
_AT_ONCE = 1_000
_MONTH = len("2026-05")
_CALENDAR = "compliance_calendar:"


class DirtyDay(NamedTuple):
    """A day (2026-05-03) of a works to be computed, because of readings up to log sequence ``sequence``."""

    county: str
    works: str
    day: str
    sequence: int = 0


class Known(NamedTuple):
    """What is known of a period now, and what was known first where that was something else."""

    now: ComplianceVersion
    then: ComplianceVersion | None


def mark_dirty(connection: Connection, days: Iterable[DirtyDay]) -> int:
    """Note days to be computed; how many were new or got a later sequence."""
    rows = [day._asdict() for day in days]
    return insert_or_update(connection, dirty, rows, key=["county", "works", "day"], only_greater="sequence")


def dirty_days(connection: Connection, limit: int, *, after: tuple[str, str, str] | None = None) -> list[DirtyDay]:
    """Days to be computed in order of day, county and works; those past ``after`` (day, county, works) only."""
    place = (dirty.c.day, dirty.c.county, dirty.c.works)
    query = select(dirty).order_by(*place).limit(limit)
    if after is not None:
        query = query.where(tuple_(*place) > tuple_(*after))
    return [DirtyDay(row.county, row.works, row.day, row.sequence) for row in connection.execute(query)]


def count_dirty(connection: Connection) -> int:
    """How many days wait to be computed."""
    return connection.scalar(select(func.count()).select_from(dirty)) or 0


def clear_dirty(connection: Connection, days: Sequence[DirtyDay]) -> None:
    """Take back the marks that were worked off; one that got a later sequence meanwhile stays."""
    if days:
        # By their keys one after the other: a list of them is another statement for each length of it.
        names = DirtyDay._fields
        taken = delete(dirty).where(*(dirty.c[name] == bindparam(f"of_{name}") for name in names))
        connection.execute(taken, [{f"of_{name}": getattr(day, name) for name in names} for day in days])


def calendar_days(connection: Connection) -> dict[str, str]:
    """The last day, by name of a group of works, that the calendar has given out."""
    rows = connection.execute(select(meta).where(meta.c.key.like(f"{_CALENDAR}%")))
    return {row.key.removeprefix(_CALENDAR): row.value for row in rows}


def set_calendar_day(connection: Connection, name: str, day: str) -> None:
    """Note that the calendar has given out all days of a group up to this one."""
    insert_or_update(connection, meta, [{"key": _CALENDAR + name, "value": day}], key=["key"])


def newest_of(
    connection: Connection, county: str, works: Sequence[str], periods: Sequence[str]
) -> list[ComplianceVersion]:
    """What is known now of these periods of these works of one county."""
    found: list[ComplianceVersion] = []
    # An expression, so that SQLite looks the works up: by the index of periods it would go through all works of the county.
    period = table.c.period.concat("")
    for part in _parts(works):
        query = select(table).where(
            table.c.county == county, table.c.works.in_(part), period.in_(periods), table.c.is_newest
        )
        found += [_version(row) for row in connection.execute(query)]
    return found


def save_compliance(
    connection: Connection, county: str, figures: Sequence[Compliance], known_at: int, *, is_published: bool
) -> int:
    """Write figures of one county; how many periods changed.

    What is published is never replaced: other figures become a further version, known from ``known_at`` on. The same
    figures again change nothing. Unpublished figures are replaced in place.
    """
    works = sorted({one.works for one in figures})
    held = {
        _identity(version.figures): version
        for version in newest_of(connection, county, works, sorted({one.period for one in figures}))
    }
    rows: list[dict[str, Any]] = []
    changed = 0
    for one in figures:
        before = held.get(_identity(one))
        is_same = before is not None and before.figures == one
        if before is not None and is_same and (before.is_published or not is_published):
            continue
        version = 1 if before is None else before.version
        if before is not None and before.is_published:
            rows.append(_row(before, is_newest=False))
            version += 1
        is_public = is_published or (before is not None and before.is_published)
        rows.append(_row(ComplianceVersion(version, known_at, is_public, one), is_newest=True))
        changed += not is_same
    insert_or_update(connection, table, rows, key=[*_IDENTITY, "version"])
    return changed


def list_compliance(
    connection: Connection,
    *,
    county: str = "",
    works: str = "",
    point: str = "",
    parameter: str = "",
    month: str = "",
    by_month: bool = False,
    limit: int = 100,
    offset: int = 0,
) -> Page[Known]:
    """Figures by day, or by month, that fit every filter given; ordered by county, works, point, parameter and period.

    ``county`` may be a shorter division code; ``month`` is 2026-05 and means its days too.
    """
    where = [table.c.is_newest, func.length(table.c.period) == _MONTH if by_month else _is_day()]
    if county:
        where.append(region(table.c.county, county))
    where += [
        column == value
        for column, value in ((table.c.works, works), (table.c.point, point), (table.c.parameter, parameter))
        if value
    ]
    if month:
        where.append(table.c.period == month if by_month else table.c.period.between(month, f"{month}-99"))
    order = tuple(table.c[name] for name in _IDENTITY)
    page = page_of(connection, select(table).where(*where), order, limit, offset)
    now = [_version(row) for row in page.items]
    first = _firsts(connection, [one for one in now if one.version > 1])
    return Page([Known(one, first.get(_identity(one.figures))) for one in now], page.total)


def versions_of(
    connection: Connection, county: str, works: str, point: str, parameter: str, period: str
) -> list[ComplianceVersion]:
    """All that was ever known of a period, oldest first."""
    given = (county, works, point, parameter, period)
    where = [table.c[name] == value for name, value in zip(_IDENTITY, given, strict=True)]
    return [_version(row) for row in connection.execute(select(table).where(*where).order_by(table.c.version))]


def as_known_at(connection: Connection, county: str, month: str, at_ms: int) -> list[ComplianceVersion]:
    """Figures of a month of a county as they were known at a moment; periods not known then are absent."""
    newest = (
        select(*(table.c[name] for name in _IDENTITY), func.max(table.c.version).label("version"))
        .where(region(table.c.county, county), table.c.period == month, table.c.known_at <= at_ms)
        .group_by(*(table.c[name] for name in _IDENTITY))
        .subquery()
    )
    joined = and_(*(table.c[name] == newest.c[name] for name in (*_IDENTITY, "version")))
    query = select(table).join(newest, joined).order_by(*(table.c[name] for name in _IDENTITY))
    return [_version(row) for row in connection.execute(query)]


def _is_day() -> ColumnElement[bool]:
    return func.length(table.c.period) > _MONTH


def _firsts(connection: Connection, changed: Sequence[ComplianceVersion]) -> dict[tuple[str, ...], ComplianceVersion]:
    found: dict[tuple[str, ...], ComplianceVersion] = {}
    for part in _parts([_identity(one.figures) for one in changed]):
        place = tuple_(*(table.c[name] for name in _IDENTITY))
        rows = connection.execute(select(table).where(place.in_(part), table.c.version == 1))
        found |= {_identity(one.figures): one for one in map(_version, rows)}
    return found


def _parts(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[first : first + _AT_ONCE] for first in range(0, len(items), _AT_ONCE))


def _identity(figures: Compliance) -> tuple[str, ...]:
    return (figures.county, figures.works, figures.point, figures.parameter, figures.period)


def _row(version: ComplianceVersion, *, is_newest: bool) -> dict[str, Any]:
    figures = version.figures
    row = {_COLUMN.get(name, name): getattr(figures, name) for name in _FIELDS}
    return row | {
        "version": version.version,
        "known_at": version.known_at,
        "is_published": version.is_published,
        "is_newest": is_newest,
        "mean": finite_or_none(figures.mean),
        "worst": finite_or_none(figures.worst),
        "verdict": figures.verdict.value,
    }


def _version(row: Row[Any]) -> ComplianceVersion:
    values = dict(zip(_FIELDS, (row[place] for place in _FIELD_PLACES), strict=True))
    values["verdict"] = ComplianceVerdict(values["verdict"])
    version, known_at, is_published = (row[place] for place in _VERSION_PLACES)
    return ComplianceVersion(version, known_at, is_published, Compliance(**values))
