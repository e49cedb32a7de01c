"""Facts about disinfection, measurements by hand, and the advice drawn from both."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from qingquan.domain.disinfection import (
    Advice,
    Delivery,
    DisinfectionFacts,
    HandMeasurement,
    HandMethod,
    Segment,
)
from qingquan.store.sql import disinfection_schema as tables
from qingquan.store.sql.columns import without_missing
from qingquan.store.sql.schema import incident as incident_table
from qingquan.store.sql.statements import Page, insert_ignoring, insert_or_update, page_of, region

__all__ = [
    "add_delivery",
    "get_advice",
    "hand_measurements",
    "insert_hand_measurements",
    "load_advice",
    "load_facts",
    "mark_logged",
    "newest_hand_measurement",
    "note_on_incidents",
    "save_advice",
    "save_facts",
    "unlogged_measurements",
    "works_measured_since",
]

_PLAIN = (
    "giardia_log", "virus_log", "tank_volume_l", "pump_capacity_l_h", "store_temperature_c", "network_end_hours",
)  # fmt: skip
_HAND_KEY = ("county", "works", "point", "parameter", "observed_at")


def load_facts(connection: Connection, county: str, works: str) -> DisinfectionFacts:
    """Facts of a works; empty ones where nobody has entered any."""
    facts, segment, delivery = tables.dosing_facts, tables.contact_segment, tables.chemical_delivery
    row = connection.execute(
        select(facts).where(facts.c.county == county, facts.c.works == works)
    ).one_or_none()  # fmt: skip
    segments = connection.execute(
        select(segment).where(segment.c.county == county, segment.c.works == works).order_by(segment.c.position)
    )
    deliveries = connection.execute(
        select(delivery).where(delivery.c.county == county, delivery.c.works == works).order_by(delivery.c.delivered_at)
    )
    plain = {} if row is None else {name: getattr(row, name) for name in _PLAIN}
    return DisinfectionFacts(
        **plain,
        segments=tuple(Segment(s.name, s.volume_m3, s.baffling_factor, s.peak_flow_m3_h) for s in segments),
        deliveries=tuple(Delivery(d.delivered_at, d.strength_g_l, d.amount_l) for d in deliveries),
    )


def save_facts(
    connection: Connection, county: str, works: str, facts: DisinfectionFacts, at_ms: int, by: str
) -> None:  # fmt: skip
    """Replace what is known of a works, its segments and deliveries with it."""
    key = {"county": county, "works": works}
    plain = {name: getattr(facts, name) for name in _PLAIN}
    insert_or_update(
        connection, tables.dosing_facts, [{**key, **plain, "changed_at": at_ms, "changed_by": by}],
        key=["county", "works"], stamp="changed_at",
    )  # fmt: skip
    for table in (tables.contact_segment, tables.chemical_delivery):
        connection.execute(delete(table).where(table.c.county == county, table.c.works == works))
    segments = [
        {**key, "position": n, "name": s.name, "volume_m3": s.volume_m3, "baffling_factor": s.baffling_factor,
         "peak_flow_m3_h": s.peak_flow_m3_h}
        for n, s in enumerate(facts.segments)
    ]  # fmt: skip
    insert_ignoring(connection, tables.contact_segment, segments, key=["county", "works", "position"])
    for one in facts.deliveries:
        add_delivery(connection, county, works, one)


def add_delivery(connection: Connection, county: str, works: str, one: Delivery) -> None:
    """Note a delivery; one of the same time is replaced."""
    row = {"county": county, "works": works, "delivered_at": one.delivered_at, "strength_g_l": one.strength_g_l, "amount_l": one.amount_l}  # fmt: skip
    insert_or_update(connection, tables.chemical_delivery, [row], key=["county", "works", "delivered_at"])


# --- measured by hand -------------------------------------------------------------------------------------------------


def insert_hand_measurements(connection: Connection, measured: Sequence[HandMeasurement]) -> int:
    """Keep measurements; how many were new. One of the same place, parameter and time is there already."""
    rows = [
        {name: getattr(one, name) for name in (*_HAND_KEY, "qualifier", "value", "person", "entered_at", "entered_by", "source", "note", "sequence")}
        | {"method": one.method.value}
        for one in measured
    ]  # fmt: skip
    return insert_ignoring(connection, tables.hand_measurement, rows, key=_HAND_KEY)


def unlogged_measurements(connection: Connection, limit: int = 200) -> list[HandMeasurement]:
    """Measurements that the reading log has not got yet, oldest first."""
    table = tables.hand_measurement
    query = select(table).where(table.c.sequence.is_(None)).order_by(table.c.id).limit(limit)
    return [_measured(row) for row in connection.execute(query)]


def mark_logged(connection: Connection, key: HandMeasurement, sequence: int) -> None:
    """Note where in the reading log a measurement stands."""
    table = tables.hand_measurement
    connection.execute(
        update(table)
        .where(*(table.c[name] == getattr(key, name) for name in _HAND_KEY))
        .values(sequence=sequence)
    )  # fmt: skip


def hand_measurements(
    connection: Connection, county: str = "", works: str = "", limit: int = 100, offset: int = 0
) -> Page[HandMeasurement]:
    """Measurements of a region or a works, newest first."""
    table = tables.hand_measurement
    query = select(table)
    if county:
        query = query.where(region(table.c.county, county))
    if works:
        query = query.where(table.c.works == works)
    page = page_of(connection, query, [table.c.observed_at.desc(), table.c.id.desc()], limit, offset)
    return Page([_measured(row) for row in page.items], page.total)


def newest_hand_measurement(connection: Connection) -> int:
    """Id of the measurement entered last; 0 before the first."""
    return int(connection.scalar(select(func.max(tables.hand_measurement.c.id))) or 0)


def works_measured_since(connection: Connection, after: int) -> tuple[set[tuple[str, str]], int]:
    """County and works of the measurements entered after the one with id ``after``, and the newest id."""
    table = tables.hand_measurement.c
    rows = connection.execute(select(table.id, table.county, table.works).where(table.id > after)).all()
    return {(row.county, row.works) for row in rows}, max((row.id for row in rows), default=after)


def _measured(row: Row[Any]) -> HandMeasurement:
    return HandMeasurement(
        row.county, row.works, row.point, row.parameter, row.observed_at, row.value, HandMethod(row.method), row.person,
        row.entered_at, row.entered_by, row.source, row.note, row.sequence, row.id, row.qualifier,
    )  # fmt: skip


# --- advice -----------------------------------------------------------------------------------------------------------


def save_advice(connection: Connection, advice: Iterable[Advice]) -> int:
    """Write the newest advice of works; how many changed."""
    rows = [
        {"county": one.county, "works": one.works, "computed_at": one.computed_at, "document": one.document}
        for one in advice
    ]
    return insert_or_update(
        connection, tables.disinfection_advice, rows, key=["county", "works"], stamp="computed_at"
    )  # fmt: skip


def get_advice(connection: Connection, county: str, works: str) -> Advice | None:
    """Advice on one works; ``None`` if none was drawn yet."""
    table = tables.disinfection_advice
    row = connection.execute(select(table).where(table.c.county == county, table.c.works == works)).one_or_none()
    return None if row is None else Advice(row.county, row.works, row.computed_at, row.document)


def load_advice(connection: Connection, county: str = "") -> list[Advice]:
    """Advice on the works of a region, by county and works."""
    table = tables.disinfection_advice
    query = select(table).order_by(table.c.county, table.c.works)
    if county:
        query = query.where(region(table.c.county, county))
    return [Advice(row.county, row.works, row.computed_at, row.document) for row in connection.execute(query)]


def note_on_incidents(
    connection: Connection, county: str, works: str, cause: str, notes: dict[str, str]
) -> int:  # fmt: skip
    """Put ``notes`` into the summary of the works' unresolved incident of that cause; how many changed (0 or 1).

    Only these keys are touched, within the caller's writing transaction, so that nothing the evaluator wrote is lost.
    """
    table = incident_table
    query = select(table.c.id, table.c.summary).where(
        table.c.county == county, table.c.works == works, table.c.cause == cause,
        table.c.open_key.is_not(None),
    ).with_for_update()  # fmt: skip
    changed = 0
    for row in connection.execute(query).all():
        summary = without_missing(row.summary)
        if {**summary, **notes} != summary:
            connection.execute(update(table).where(table.c.id == row.id).values(summary={**summary, **notes}))
            changed += 1
    return changed
