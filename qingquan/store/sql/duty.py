"""Persons on duty, their shifts and swaps, and silences."""

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from qingquan.domain.duty import DutyPerson, Shift, Silence, Swap
from qingquan.errors import NotFound, TransitionRefused
from qingquan.store.sql.routing_schema import duty_person, duty_shift, duty_swap
from qingquan.store.sql.routing_schema import silence as silence_table
from qingquan.store.sql.statements import insert_ignoring, insert_or_update

__all__ = [
    "add_shifts",
    "add_silence",
    "add_swap",
    "clear_shifts",
    "delete_person",
    "delete_swap",
    "end_silence",
    "list_silences",
    "load_persons",
    "load_shifts",
    "load_swaps",
    "save_persons",
    "silences_between",
]


def save_persons(connection: Connection, persons: Sequence[DutyPerson]) -> int:
    """Enter persons or bring their phone and WeCom id up to date, by role, area, township and name; how many changed."""
    rows = [
        {
            "role": p.role, "area": p.area, "township": p.township, "name": p.name, "phone": p.phone, "wecom_id": p.wecom_id,
        }
        for p in persons
    ]  # fmt: skip
    return insert_or_update(connection, duty_person, rows, key=["role", "area", "township", "name"])


def delete_person(connection: Connection, person_id: int) -> None:
    """Take a person out of the roster, with their shifts and swaps."""
    connection.execute(delete(duty_shift).where(duty_shift.c.person_id == person_id))
    connection.execute(
        delete(duty_swap).where((duty_swap.c.absent_id == person_id) | (duty_swap.c.stand_in_id == person_id))
    )
    if not connection.execute(delete(duty_person).where(duty_person.c.id == person_id)).rowcount:
        raise NotFound(f"person {person_id}")


def load_persons(connection: Connection, counties: Collection[str] | None = None) -> list[DutyPerson]:
    """Persons whose area holds one of the counties (all for ``None``), by area, role and entry."""
    query = select(duty_person).order_by(duty_person.c.area, duty_person.c.role, duty_person.c.id)
    if counties is not None:
        areas = {county[:digits] for county in counties for digits in (2, 4, 6)}
        query = query.where(duty_person.c.area.in_(areas))
    return [
        DutyPerson(row.id, row.role, row.area, row.township, row.name, row.phone, row.wecom_id)
        for row in connection.execute(query)
    ]


def add_shifts(connection: Connection, shifts: Sequence[Shift]) -> int:
    """Enter shifts; one that a person has already at that time is left out. How many were new.

    Raises
    ------
    TransitionRefused
        If a shift ends before it begins.
    """
    wrong = next((shift for shift in shifts if shift.end <= shift.start), None)
    if wrong is not None:
        raise TransitionRefused("a shift ends after it begins")
    rows = [{"person_id": s.person_id, "started_at": s.start, "ended_at": s.end} for s in shifts]
    return insert_ignoring(connection, duty_shift, rows, key=["person_id", "started_at"])


def clear_shifts(connection: Connection, person_ids: Collection[int], start: int, end: int) -> int:
    """Take out the shifts of these persons that begin within a span; how many."""
    within = (duty_shift.c.started_at >= start) & (duty_shift.c.started_at < end)
    return connection.execute(delete(duty_shift).where(duty_shift.c.person_id.in_(person_ids), within)).rowcount


def load_shifts(connection: Connection, start: int, end: int) -> list[Shift]:
    """Shifts that touch a span, and of every person who has any the last one, so that an old roster still counts as one."""
    touching = (duty_shift.c.ended_at > start) & (duty_shift.c.started_at < end)
    found = [
        Shift(row.id, row.person_id, row.started_at, row.ended_at)
        for row in connection.execute(select(duty_shift).where(touching).order_by(duty_shift.c.started_at))
    ]
    seen = {shift.person_id for shift in found}
    others = select(duty_shift).where(duty_shift.c.person_id.not_in(seen)).order_by(duty_shift.c.started_at)
    last = {
        row.person_id: Shift(row.id, row.person_id, row.started_at, row.ended_at) for row in connection.execute(others)
    }
    return [*last.values(), *found]


def add_swap(connection: Connection, swap: Swap) -> int:
    """Enter a swap; its id. Raises `TransitionRefused` for one with oneself or without an end after its beginning."""
    if swap.absent_id == swap.stand_in_id or swap.end <= swap.start:
        raise TransitionRefused("a swap needs two persons and an end after its beginning")
    row = {
        "absent_id": swap.absent_id, "stand_in_id": swap.stand_in_id, "started_at": swap.start, "ended_at": swap.end,
        "author": swap.author, "comment": swap.comment,
    }  # fmt: skip
    return int(connection.scalars(insert(duty_swap).values(row).returning(duty_swap.c.id)).one())


def delete_swap(connection: Connection, swap_id: int) -> None:
    """Take a swap back."""
    if not connection.execute(delete(duty_swap).where(duty_swap.c.id == swap_id)).rowcount:
        raise NotFound(f"swap {swap_id}")


def load_swaps(connection: Connection, start: int, end: int) -> list[Swap]:
    """Swaps that touch a span, in the order in which they were agreed."""
    touching = (duty_swap.c.ended_at > start) & (duty_swap.c.started_at < end)
    return [
        Swap(row.id, row.absent_id, row.stand_in_id, row.started_at, row.ended_at, row.author, row.comment)
        for row in connection.execute(select(duty_swap).where(touching).order_by(duty_swap.c.id))
    ]


def add_silence(connection: Connection, silence: Silence, most_ms: int) -> int:
    """Enter a silence; its id.

    Raises
    ------
    TransitionRefused
        If it has no end after its beginning, is longer than ``most_ms``, or lacks author, comment or county.
    """
    span = silence.end - silence.start
    if not 0 < span <= most_ms:
        raise TransitionRefused(f"a silence lasts longer than nothing and at most {most_ms // 3_600_000} h")
    if not (silence.author.strip() and silence.comment.strip() and silence.county):
        raise TransitionRefused("a silence needs a county, an author and a comment")
    row = {
        "county": silence.county, "township": silence.township, "works": silence.works, "cause": silence.cause,
        "started_at": silence.start, "ended_at": silence.end, "author": silence.author.strip(),
        "comment": silence.comment.strip(), "created_at": silence.created_at, "ended_by": "",
    }  # fmt: skip
    return int(connection.scalars(insert(silence_table).values(row).returning(silence_table.c.id)).one())


def end_silence(connection: Connection, silence_id: int, by: str, at_ms: int) -> Silence:
    """End a silence before its time; one that is over already stays as it is."""
    table = silence_table
    row = connection.execute(select(table).where(table.c.id == silence_id).with_for_update()).one_or_none()
    if row is None:
        raise NotFound(f"silence {silence_id}")
    if row.ended_at > at_ms:
        changed = update(table).where(table.c.id == silence_id).values(ended_at=at_ms, ended_by=by)
        connection.execute(changed)
    return next(one for one in list_silences(connection) if one.id == silence_id)


def list_silences(connection: Connection, region: str = "", limit: int = 500) -> list[Silence]:
    """Silences that concern a region, the one ending last first."""
    table = silence_table
    rows = connection.execute(select(table).order_by(table.c.ended_at.desc(), table.c.id.desc()).limit(limit))
    return [
        one for one in map(_silence, rows) if one.county.startswith(region) or region.startswith(one.county)
    ]  # fmt: skip


def silences_between(connection: Connection, start: int, end: int) -> list[Silence]:
    """Silences in force at some time of a span."""
    table = silence_table
    touching = (table.c.ended_at > start) & (table.c.started_at < end)
    return [_silence(row) for row in connection.execute(select(table).where(touching).order_by(table.c.id))]


def _silence(row: object) -> Silence:
    names = (
        "id",
        "county",
        "township",
        "works",
        "cause",
        "started_at",
        "ended_at",
        "author",
        "comment",
        "created_at",
        "ended_by",
    )
    return Silence(*(getattr(row, name) for name in names))
