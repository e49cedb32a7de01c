"""The works register: works with their sampling points and contacts."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Delete, Row, Table, bindparam, delete, select, tuple_, update

from qingquan.domain.works import Contact, Disinfectant, Equipment, PointKind, Role, SamplingPoint, Works
from qingquan.store.sql import schema
from qingquan.store.sql.columns import as_time, ms_or_none, without_missing
from qingquan.store.sql.statements import insert_ignoring, insert_or_update, region

__all__ = ["get_works", "load_works", "register_version", "save_works", "scan_works", "works_by_key"]

# Works of which rows are held at once.
PAGE = 1000

_VERSION = "register_version"
_Key = tuple[str, str]
T = TypeVar("T")


def load_works(connection: Connection, county: str | None = None) -> list[Works]:
    """Works of a county, or of all counties under a shorter division code, or all; ordered by county and id."""
    return list(scan_works(connection, county))


def scan_works(connection: Connection, county: str | None = None, *, for_judging: bool = False) -> Iterator[Works]:
    """The same one after the other: a province's rows never lie in memory together.

    ``for_judging`` leaves out what only people read, most of a register's memory: contacts, name, note and coordinates.
    """
    table, point, contact = schema.works.c, schema.point.c, schema.contact.c
    of_county = [region(table.county, county)] if county else []
    once = _Once()
    after: list[ColumnElement[bool]] = []
    while True:
        query = select(schema.works).where(*of_county, *after).order_by(table.county, table.id).limit(PAGE)
        rows = connection.execute(query).all()
        if not rows:
            return
        first, last = (rows[0].county, rows[0].id), (rows[-1].county, rows[-1].id)
        points = _points(connection, _between(point.county, point.works, first, last), once)
        people = None if for_judging else _contacts(connection, _between(contact.county, contact.works, first, last))
        for row in rows:
            yield _works(row, points, people, once)
        after = [tuple_(table.county, table.id) > last]


def works_by_key(connection: Connection, keys: Iterable[_Key]) -> dict[_Key, Works]:
    """These entries of the register, as far as it has them."""
    table, point, contact = schema.works.c, schema.point.c, schema.contact.c
    once = _Once()
    found: dict[_Key, Works] = {}
    wanted = sorted(set(keys))
    for n in range(0, len(wanted), PAGE):
        some = wanted[n : n + PAGE]
        points = _points(connection, [tuple_(point.county, point.works).in_(some)], once)
        contacts = _contacts(connection, [tuple_(contact.county, contact.works).in_(some)])
        for row in connection.execute(select(schema.works).where(tuple_(table.county, table.id).in_(some))):
            found[row.county, row.id] = _works(row, points, contacts, once)
    return found


def get_works(connection: Connection, county: str, works: str) -> Works | None:
    """One entry of the register; ``None`` if there is none."""
    table, point, contact = schema.works.c, schema.point.c, schema.contact.c
    row = connection.execute(select(schema.works).where(table.county == county, table.id == works)).one_or_none()
    if row is None:
        return None
    once = _Once()
    points = _points(connection, [point.county == county, point.works == works], once)
    return _works(row, points, _contacts(connection, [contact.county == county, contact.works == works]), once)


def save_works(connection: Connection, entries: Iterable[Works]) -> tuple[int, int]:
    """Write works with their points and contacts; how many were new, and how many changed.

    An entry equal to the one held is left alone. The register's version grows if anything was written. The last entry
    wins where a works comes twice.
    """
    given = {(entry.county, entry.id): entry for entry in entries}
    held = {
        (entry.county, entry.id): entry
        for county in sorted({county for county, _ in given})
        for entry in load_works(connection, county)
    }
    changed = [entry for key, entry in sorted(given.items()) if held.get(key) != entry]
    if not changed:
        return 0, 0
    _write(connection, changed)
    _raise_version(connection)
    inserted = sum((entry.county, entry.id) not in held for entry in changed)
    return inserted, len(changed) - inserted


def register_version(connection: Connection) -> int:
    """Number that grows with every change of the register; 0 before the first."""
    text = connection.scalar(select(schema.meta.c.value).where(schema.meta.c.key == _VERSION))
    return int(text) if text else 0


def _raise_version(connection: Connection) -> None:
    meta = schema.meta
    insert_ignoring(connection, meta, [{"key": _VERSION, "value": "0"}], key=["key"])
    held = connection.scalar(select(meta.c.value).where(meta.c.key == _VERSION).with_for_update())
    connection.execute(update(meta).where(meta.c.key == _VERSION).values(value=str(int(held or 0) + 1)))


def _write(connection: Connection, entries: Sequence[Works]) -> None:
    insert_or_update(connection, schema.works, [_works_row(entry) for entry in entries], key=["county", "id"])
    keys = [{"of_county": entry.county, "of_works": entry.id} for entry in entries]
    for table in (schema.point, schema.contact):
        connection.execute(_delete_of_works(table), keys)
    points = [_point_row(entry, n, point) for entry in entries for n, point in enumerate(entry.points)]
    contacts = [_contact_row(entry, n, contact) for entry in entries for n, contact in enumerate(entry.contacts)]
    insert_ignoring(connection, schema.point, points, key=["county", "works", "id"])
    insert_ignoring(connection, schema.contact, contacts, key=["county", "works", "position"])


def _delete_of_works(table: Table) -> Delete:
    return delete(table).where(table.c.county == bindparam("of_county"), table.c.works == bindparam("of_works"))


def _works_row(entry: Works) -> dict[str, Any]:
    return {
        "county": entry.county,
        "id": entry.id,
        "name": entry.name,
        "township": entry.township,
        "disinfectant": entry.disinfectant.value,
        "equipment": entry.equipment.value,
        "capacity_m3_d": entry.capacity_m3_d,
        "population": entry.population,
        "source_limited": entry.source_limited,
        "cadence_s": entry.cadence_s,
        "upload_interval_s": entry.upload_interval_s,
        "longitude": entry.longitude,
        "latitude": entry.latitude,
        "time_zone": entry.time_zone,
        "commissioned_at": ms_or_none(entry.commissioned_at),
        "simulated": entry.simulated,
        "note": entry.note,
        "tags": entry.tags,
        "evidence": entry.evidence,
        "treatment_limited": entry.treatment_limited,
        "groundwater_limited": entry.groundwater_limited,
        "raw_permanganate_above_6": entry.raw_permanganate_above_6,
    }


def _point_row(entry: Works, position: int, point: SamplingPoint) -> dict[str, Any]:
    return {
        "county": entry.county,
        "works": entry.id,
        "id": point.id,
        "position": position,
        "kind": point.kind.value,
        "name": point.name,
        "parameters": list(point.parameters),
    }


def _contact_row(entry: Works, position: int, contact: Contact) -> dict[str, Any]:
    return {
        "county": entry.county,
        "works": entry.id,
        "position": position,
        "role": contact.role.value,
        "name": contact.name,
        "phone": contact.phone,
        "wecom_id": contact.wecom_id,
    }


def _between(
    county: ColumnElement[str], works: ColumnElement[str], first: _Key, last: _Key
) -> list[ColumnElement[bool]]:
    """Rows of the works from ``first`` to ``last`` in the order of the register."""
    place = tuple_(county, works)
    return [county.between(first[0], last[0]), place >= first, place <= last]


class _Once:
    """Of equal values the first one: most works of a province are alike, and each column of each row comes as a new object."""

    def __init__(self) -> None:
        self._held: dict[Any, Any] = {}

    def __call__(self, value: T) -> T:
        held: T = self._held.setdefault(value, value)
        return held

    def document(self, value: dict[str, Any]) -> dict[str, Any]:
        """The same of a document of plain values."""
        held: dict[str, Any] = self._held.setdefault(("document", repr(value)), value)
        return held


def _points(connection: Connection, where: list[Any], once: _Once) -> dict[_Key, list[SamplingPoint]]:
    table = schema.point
    found: dict[_Key, list[SamplingPoint]] = {}
    for row in connection.execute(select(table).where(*where).order_by(table.c.position)):
        point = once(SamplingPoint(row.id, PointKind(row.kind), row.name, tuple(map(once, row.parameters))))
        found.setdefault((row.county, row.works), []).append(point)
    return found


def _contacts(connection: Connection, where: list[Any]) -> dict[_Key, list[Contact]]:
    table = schema.contact
    found: dict[_Key, list[Contact]] = {}
    for row in connection.execute(select(table).where(*where).order_by(table.c.position)):
        contact = Contact(Role(row.role), row.name, row.phone, row.wecom_id)
        found.setdefault((row.county, row.works), []).append(contact)
    return found


def _works(
    row: Row[Any], points: dict[_Key, list[SamplingPoint]], contacts: dict[_Key, list[Contact]] | None, once: _Once
) -> Works:
    """``contacts`` is None where the works is for judging."""
    key = (row.county, row.id)
    for_judging = contacts is None
    return Works(
        county=once(row.county),
        # The one object of this name in the process: the way of its messages knows it as well.
        id=sys.intern(row.id),
        name="" if for_judging else row.name,
        township=once(row.township),
        disinfectant=Disinfectant(row.disinfectant),
        equipment=Equipment(row.equipment),
        capacity_m3_d=row.capacity_m3_d,
        population=row.population,
        points=once(tuple(points.get(key, ()))),
        contacts=() if contacts is None else tuple(contacts.get(key, ())),
        source_limited=row.source_limited,
        cadence_s=row.cadence_s,
        upload_interval_s=row.upload_interval_s,
        longitude=None if for_judging else row.longitude,
        latitude=None if for_judging else row.latitude,
        time_zone=once(row.time_zone),
        commissioned_at=once(as_time(row.commissioned_at)),
        simulated=row.simulated,
        note="" if for_judging else once(row.note),
        tags=once.document(without_missing(row.tags)),
        evidence=once(row.evidence),
        treatment_limited=row.treatment_limited,
        groundwater_limited=row.groundwater_limited,
        raw_permanganate_above_6=row.raw_permanganate_above_6,
    )
