"""Incidents, the findings they group, and their history.

The history (`add_event`) is append-only: there is no function that changes or removes an entry, and there must be none.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, insert, select, update
from sqlalchemy.exc import IntegrityError

from qingquan.clock import from_ms, to_ms
from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.incidents import Incident, IncidentEvent, IncidentState, MessageState, TransitionReason
from qingquan.errors import NotFound, TransitionRefused
from qingquan.store.sql.columns import as_time, ms_or_none, without_missing
from qingquan.store.sql.schema import incident as table
from qingquan.store.sql.schema import incident_event, incident_finding, outbox
from qingquan.store.sql.statements import Page, insert_ignoring, page_of, region

__all__ = [
    "ANSWER_MARKS",
    "CAUSE_CODES",
    "LEASE_MS",
    "acknowledge",
    "add_event",
    "cause_of",
    "close",
    "events_of",
    "extend_lease",
    "get_incident",
    "incidents_of_finding",
    "insert_incident",
    "link_finding",
    "list_incidents",
    "open_incident_for",
    "update_incident",
]

ANSWER_MARKS = ("fixed_by", "fixed_at", "help_by")
"""Keys of the summary that tell of an answer still standing; a new acknowledgement begins without them."""

_OVER = (IncidentState.RESOLVED.value, IncidentState.CLOSED.value)

LEASE_MS = {
    Severity.CRITICAL: 3_600_000, Severity.MAJOR: 4 * 3_600_000, Severity.MINOR: 24 * 3_600_000, Severity.INFO: 24 * 3_600_000,
}  # fmt: skip
"""How long an acknowledgement holds where the caller names no span: as the policy that ships has it."""

CAUSE_CODES = (
    "no_chemical", "doser_fault", "power_cut", "source_turbid", "no_water", "operation", "instrument_fault", "network",
    "false_alarm", "other",
)  # fmt: skip
"""Why an incident came about, in the words a person closes it with."""


def open_incident_for(connection: Connection, county: str, works: str, cause: str) -> Incident | None:
    """The incident of a works and cause that is not resolved yet; ``None`` if there is none.

    In a writing transaction the row is held until its end, so that nobody acknowledges in between what
    `update_incident` is about to write.
    """
    query = select(table).where(table.c.open_key == _open_key(county, works, cause))
    return _one(connection, query if _is_reading(connection) else query.with_for_update())


def insert_incident(connection: Connection, incident: Incident, cause: str) -> Incident:
    """Store a new incident (its ``id`` is ignored) and link its findings; the incident with the id it got.

    Raises
    ------
    TransitionRefused
        If an incident of this works and cause is open already: the database admits one.
    """
    values = _row(incident) | {"cause": cause, "open_key": _open_key_of(incident, cause)}
    try:
        with connection.begin_nested():
            number = connection.scalars(insert(table).values(values).returning(table.c.id)).one()
    except IntegrityError as error:
        if open_incident_for(connection, incident.county, incident.works, cause) is None:
            raise
        where = f"{incident.county}/{incident.works}"
        raise TransitionRefused(f"an incident of {where} with cause {cause} is open already") from error
    for finding_id in incident.finding_ids:
        link_finding(connection, number, finding_id)
    return replace(incident, id=number)


def update_incident(connection: Connection, incident: Incident) -> None:
    """Bring a stored incident to the values given; findings are linked by `link_finding` alone.

    Resolving it frees its cause for a new incident.

    Raises
    ------
    NotFound
        If there is no incident with this id.
    """
    cause = cause_of(connection, incident.id)
    values = _row(incident) | {"open_key": _open_key_of(incident, cause)}
    connection.execute(update(table).where(table.c.id == incident.id).values(values))


def cause_of(connection: Connection, incident_id: int) -> str:
    """The cause an incident was opened for.

    Raises
    ------
    NotFound
        If there is no incident with this id.
    """
    cause = connection.scalar(select(table.c.cause).where(table.c.id == incident_id))
    if cause is None:
        raise NotFound(f"incident {incident_id}")
    return str(cause)


def link_finding(connection: Connection, incident_id: int, finding_id: str) -> bool:
    """Put a stored finding under an incident; ``False`` if it was there already."""
    row = {"incident_id": incident_id, "finding_id": finding_id}
    return insert_ignoring(connection, incident_finding, [row], key=["incident_id", "finding_id"]) > 0


def incidents_of_finding(connection: Connection, finding_id: str) -> list[Incident]:
    """Incidents a finding stands under, newest first."""
    joined = select(table).join(incident_finding, incident_finding.c.incident_id == table.c.id)
    query = joined.where(incident_finding.c.finding_id == finding_id).order_by(table.c.id.desc())
    return _incidents(connection, connection.execute(query).all())


def add_event(
    connection: Connection, incident_id: int, at_ms: int, reason: TransitionReason, actor: str = "", detail: str = ""
) -> None:
    """Add a line to an incident's history. ``actor`` is a person's name, ``""`` for the system itself."""
    row = {"incident_id": incident_id, "at": at_ms, "reason": reason.value, "actor": actor, "detail": detail}
    connection.execute(insert(incident_event).values(row))


def events_of(connection: Connection, incident_id: int) -> list[IncidentEvent]:
    """History of an incident, oldest first."""
    query = select(incident_event).where(incident_event.c.incident_id == incident_id).order_by(incident_event.c.id)
    return [
        IncidentEvent(from_ms(row.at), TransitionReason(row.reason), row.actor, row.detail)
        for row in connection.execute(query)
    ]


def get_incident(connection: Connection, incident_id: int) -> Incident | None:
    """One incident with the ids of its findings; ``None`` if there is none."""
    return _one(connection, select(table).where(table.c.id == incident_id))


def list_incidents(
    connection: Connection,
    *,
    county: str | None = None,
    works: str | None = None,
    states: Collection[IncidentState] | None = None,
    kinds: Collection[FindingKind] | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    worst_first: bool = False,
    drills: bool = False,
    limit: int = 100,
    offset: int = 0,
) -> Page[Incident]:
    """Incidents that fit every filter given, newest first; an empty filter is no filter.

    ``county`` may be a shorter division code. ``from_ms`` <= opened < ``to_ms``. ``worst_first`` puts the unresolved
    before the resolved and the more severe before the less. Drills are listed by themselves (``drills``) or not at all.
    """
    where: list[ColumnElement[bool]] = [table.c.drill_number.is_not(None) if drills else table.c.drill_number.is_(None)]
    if county:
        where.append(region(table.c.county, county))
    if works:
        where.append(table.c.works == works)
    if states:
        where.append(table.c.state.in_([str(state) for state in states]))
    if kinds:
        where.append(table.c.kind.in_([str(kind) for kind in kinds]))
    if from_ms is not None:
        where.append(table.c.opened_at >= from_ms)
    if to_ms is not None:
        where.append(table.c.opened_at < to_ms)
    order: list[ColumnElement[Any]] = [table.c.opened_at.desc(), table.c.id.desc()]
    if worst_first:
        is_resolved = case((table.c.state.in_(_OVER), 1), else_=0)
        order = [is_resolved, table.c.severity.desc(), *order]
    page = page_of(connection, select(table).where(*where), order, limit, offset)
    return Page(_incidents(connection, page.items), page.total)


def acknowledge(connection: Connection, incident_id: int, by: str, at_ms: int, lease_ms: int | None = None) -> Incident:
    """Note that a person has taken an incident on, with an entry in its history; the incident as it is then.

    The promise holds for ``lease_ms`` (default: by severity, `LEASE_MS`); then the ladder goes on. What waits in the outbox
    for others is called off. Again by the same or by another person changes nothing: the first one stands.

    Raises
    ------
    NotFound
        If there is no incident with this id.
    TransitionRefused
        If it is resolved.
    """
    held = _held(connection, incident_id)
    if held.state.is_over:
        raise TransitionRefused(f"incident {incident_id} is resolved: it cannot be acknowledged any more")
    if held.state is IncidentState.ACKNOWLEDGED:
        return held
    # A drill has reached its aim: it ends with the acknowledgement.
    span = 0 if held.is_drill else LEASE_MS[held.severity] if lease_ms is None else lease_ms
    until = from_ms(at_ms + span)
    taken = replace(
        held, state=IncidentState.ACKNOWLEDGED, acknowledged_at=from_ms(at_ms), acknowledged_by=by,
        lease_until=until, next_at=until,
        summary={name: text for name, text in held.summary.items() if name not in ANSWER_MARKS},
    )  # fmt: skip
    update_incident(connection, taken)
    add_event(connection, incident_id, at_ms, TransitionReason.ACKNOWLEDGED, by)
    waiting = (outbox.c.incident_id == incident_id) & (outbox.c.state == MessageState.QUEUED.value)
    called_off = {
        "state": MessageState.NOT_SENT.value, "why": NotSent.OVER.value, "error": f"acknowledged by {by} before it was sent",
    }  # fmt: skip
    connection.execute(update(outbox).where(waiting).values(called_off))
    return taken


def extend_lease(connection: Connection, incident_id: int, until_ms: int) -> bool:
    """Let an acknowledgement hold until then; ``False``, and nothing changed, where none holds or it holds longer already."""
    held = _held(connection, incident_id)
    if held.state is not IncidentState.ACKNOWLEDGED or held.is_drill or held.lease_until is None:
        return False
    if to_ms(held.lease_until) >= until_ms:
        return False
    until = from_ms(until_ms)
    next_at = until if held.next_at == held.lease_until else held.next_at
    update_incident(connection, replace(held, lease_until=until, next_at=next_at))
    return True


def close(connection: Connection, incident_id: int, by: str, cause_code: str, at_ms: int) -> Incident:
    """Settle an incident that is over; a critical one needs a cause. Again changes nothing.

    Raises
    ------
    NotFound
        If there is no incident with this id.
    TransitionRefused
        If it is not resolved yet, the cause is none of `CAUSE_CODES`, or a critical one is given none.
    """
    held = _held(connection, incident_id)
    if held.state is IncidentState.CLOSED:
        return held
    if held.state is not IncidentState.RESOLVED:
        raise TransitionRefused(f"incident {incident_id} is {held.state}: only data show that it is over")
    if cause_code not in CAUSE_CODES and (cause_code or held.severity is Severity.CRITICAL):
        raise TransitionRefused(f"cause {cause_code!r}; allowed: {', '.join(CAUSE_CODES)}")
    closed = replace(
        held, state=IncidentState.CLOSED, closed_at=from_ms(at_ms), closed_by=by, cause_code=cause_code, next_at=None
    )
    update_incident(connection, closed)
    add_event(connection, incident_id, at_ms, TransitionReason.CLOSED, by, cause_code)
    return closed


def _held(connection: Connection, incident_id: int) -> Incident:
    held = _one(connection, select(table).where(table.c.id == incident_id).with_for_update())
    if held is None:
        raise NotFound(f"incident {incident_id}")
    return held


def _is_reading(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("postgresql_readonly"))


def _open_key(county: str, works: str, cause: str) -> str:
    return f"{county}|{works}|{cause}"


def _open_key_of(incident: Incident, cause: str) -> str | None:
    if incident.state.is_over:
        return None
    return _open_key(incident.county, incident.works, cause)


def _one(connection: Connection, query: Any) -> Incident | None:
    row = connection.execute(query).one_or_none()
    return None if row is None else _incidents(connection, [row])[0]


def _incidents(connection: Connection, rows: Sequence[Row[Any]]) -> list[Incident]:
    links = incident_finding.c
    query = select(incident_finding).where(links.incident_id.in_([row.id for row in rows]))
    findings: dict[int, list[str]] = {}
    for link in connection.execute(query.order_by(links.incident_id, links.finding_id)):
        findings.setdefault(link.incident_id, []).append(link.finding_id)
    return [_incident(row, tuple(findings.get(row.id, ()))) for row in rows]


def _row(incident: Incident) -> dict[str, Any]:
    return {
        "county": incident.county,
        "works": incident.works,
        "kind": incident.kind.value,
        "severity": int(incident.severity),
        "state": incident.state.value,
        "stale": incident.stale,
        "late": incident.late,
        "opened_at": to_ms(incident.opened_at),
        "acknowledged_at": ms_or_none(incident.acknowledged_at),
        "acknowledged_by": incident.acknowledged_by,
        "resolved_at": ms_or_none(incident.resolved_at),
        "summary": incident.summary,
        "round": incident.round,
        "ladder_at": ms_or_none(incident.ladder_at),
        "next_at": ms_or_none(incident.next_at),
        "lease_until": ms_or_none(incident.lease_until),
        "parent_id": incident.parent_id,
        "drill_number": incident.drill_number,
        "closed_at": ms_or_none(incident.closed_at),
        "closed_by": incident.closed_by,
        "cause_code": incident.cause_code,
    }


def _incident(row: Row[Any], finding_ids: tuple[str, ...]) -> Incident:
    return Incident(
        id=row.id,
        county=row.county,
        works=row.works,
        kind=FindingKind(row.kind),
        severity=Severity(row.severity),
        state=IncidentState(row.state),
        stale=row.stale,
        late=row.late,
        opened_at=from_ms(row.opened_at),
        acknowledged_at=as_time(row.acknowledged_at),
        acknowledged_by=row.acknowledged_by,
        resolved_at=as_time(row.resolved_at),
        finding_ids=finding_ids,
        summary=without_missing(row.summary),
        round=row.round,
        ladder_at=as_time(row.ladder_at),
        next_at=as_time(row.next_at),
        lease_until=as_time(row.lease_until),
        parent_id=row.parent_id,
        drill_number=row.drill_number,
        closed_at=as_time(row.closed_at),
        closed_by=row.closed_by,
        cause_code=row.cause_code,
    )
