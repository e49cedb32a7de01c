"""Calibration and maintenance of instruments."""

from typing import Any

from sqlalchemy import Connection, Row, and_, insert, or_, select, update

from qingquan.domain.maintenance import Maintenance
from qingquan.store.sql.maintenance_schema import maintenance
from qingquan.store.sql.statements import region

__all__ = [
    "end_maintenance",
    "insert_maintenance",
    "list_maintenance",
    "mark_sent",
    "overdue",
    "running_maintenance",
    "unsent",
]


def insert_maintenance(connection: Connection, new: Maintenance) -> int:
    """Store a beginning; its id."""
    row = {
        "county": new.county, "works": new.works, "point": new.point, "started_at": new.started_at, "started_by": new.started_by,
        "reason": new.reason, "planned_end_at": new.planned_end, "calibrated": new.calibrated, "ended_at": None, "ended_by": "",
    }  # fmt: skip
    return int(connection.scalars(insert(maintenance).returning(maintenance.c.id), row).one())


def end_maintenance(connection: Connection, maintenance_id: int, ended_at: int, by: str) -> bool:
    """Store an end; ``False`` where it had ended already."""
    ended = connection.execute(
        update(maintenance)
        .where(maintenance.c.id == maintenance_id, maintenance.c.ended_at.is_(None))
        .values(ended_at=ended_at, ended_by=by)
    )
    return bool(ended.rowcount)


def list_maintenance(connection: Connection, county: str, works: str, limit: int = 50) -> list[Maintenance]:
    """Of one works, newest first."""
    query = select(maintenance).where(maintenance.c.county == county, maintenance.c.works == works)
    return [_of(row) for row in connection.execute(query.order_by(maintenance.c.started_at.desc()).limit(limit))]


def running_maintenance(connection: Connection, counties: str = "") -> list[Maintenance]:
    """What lasts, oldest first; of a region where one is given."""
    query = select(maintenance).where(maintenance.c.ended_at.is_(None))
    if counties:
        query = query.where(region(maintenance.c.county, counties))
    return [_of(row) for row in connection.execute(query.order_by(maintenance.c.started_at))]


def overdue(connection: Connection, now: int) -> list[Maintenance]:
    """What has passed its planned end."""
    query = select(maintenance).where(maintenance.c.ended_at.is_(None), maintenance.c.planned_end_at <= now)
    return [_of(row) for row in connection.execute(query.order_by(maintenance.c.planned_end_at))]


def unsent(connection: Connection) -> list[tuple[Maintenance, bool]]:
    """Beginnings (``False``) and ends (``True``) that the reading log has not got, in the order in which they happened."""
    table = maintenance.c
    missing = or_(table.start_sequence.is_(None), and_(table.ended_at.is_not(None), table.end_sequence.is_(None)))
    found = []
    for row in connection.execute(select(maintenance).where(missing).order_by(table.started_at)):
        if row.start_sequence is None:
            found.append((_of(row), False))
        if row.ended_at is not None and row.end_sequence is None:
            found.append((_of(row), True))
    return found


def mark_sent(connection: Connection, maintenance_id: int, is_end: bool, sequence: int) -> None:
    """Note that the log has a beginning or an end."""
    column = "end_sequence" if is_end else "start_sequence"
    connection.execute(update(maintenance).where(maintenance.c.id == maintenance_id).values({column: sequence}))


def _of(row: Row[Any]) -> Maintenance:
    return Maintenance(
        row.id, row.county, row.works, row.point, row.started_at, row.started_by, row.reason, row.planned_end_at, row.calibrated,
        row.ended_at, row.ended_by,
    )  # fmt: skip
