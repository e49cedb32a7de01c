"""A change of what the watchdog watches becomes an incident and messages, in one transaction.

One open incident a cause, by the same database constraint as the water's; recovery is told to those who were told of the
alarm. They have no works and no county, so county figures never count them and no duty ladder climbs for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from alerts.operations import OperationsContact
from alerts.operations_words import cause_words, operations_message
from qingquan.clock import from_ms
from qingquan.domain.findings import FindingKind
from qingquan.domain.incidents import Incident, IncidentState, NewMessage, TransitionReason
from qingquan.domain.operations import Change
from qingquan.errors import TransitionRefused
from qingquan.store.sql.incidents import add_event, insert_incident, open_incident_for, update_incident
from qingquan.store.sql.operations import sent_to
from qingquan.store.sql.outbox import enqueue

__all__ = ["COUNTY", "FIRED", "RECOVERED", "OperationsStyle", "apply_change"]

COUNTY = WORKS = ""
FIRED, RECOVERED = "operations", "operations_over"


@dataclass(frozen=True, slots=True)
class OperationsStyle:
    """Language, time zone and the console's address (empty = no links)."""

    language: str = "zh"
    time_zone: str = "Asia/Shanghai"
    public_url: str = ""


def apply_change(
    connection: Connection, change: Change, contacts: Sequence[OperationsContact], style: OperationsStyle
) -> int:
    """Write what a change brings about; how many messages were queued. The same change again writes nothing."""
    return (_fired if change.is_firing else _recovered)(connection, change, contacts, style)


def _fired(
    connection: Connection, change: Change, contacts: Sequence[OperationsContact], style: OperationsStyle
) -> int:
    incident = Incident(
        id=0, county=COUNTY, works=WORKS, kind=FindingKind.OPERATIONS, severity=change.watch.severity,
        state=IncidentState.OPEN, stale=False, late=False, opened_at=from_ms(change.at), acknowledged_at=None,
        acknowledged_by="", resolved_at=None, summary=_summary(change),
    )  # fmt: skip
    try:
        incident = insert_incident(connection, incident, change.cause)
    except TransitionRefused:
        return 0  # another watchdog was first
    add_event(connection, incident.id, change.at, TransitionReason.FIRST_FINDING, "", _summary(change)["text_en"])
    messages = [_message(change, incident.id, FIRED, one, style) for one in contacts]
    if not messages:
        add_event(
            connection, incident.id, change.at, TransitionReason.NOBODY_REACHED, "", "no [[contact]] in operations_file"
        )
    return enqueue(connection, messages)


def _recovered(
    connection: Connection, change: Change, contacts: Sequence[OperationsContact], style: OperationsStyle
) -> int:
    incident = open_incident_for(connection, COUNTY, WORKS, change.cause)
    if incident is None:
        return 0
    update_incident(
        connection, replace(incident, state=IncidentState.RESOLVED, resolved_at=from_ms(change.at), next_at=None)
    )
    add_event(connection, incident.id, change.at, TransitionReason.DATA_RETURNED)
    told = {receiver for _, receiver in sent_to(connection, incident.id, FIRED)}
    return enqueue(
        connection,
        [_message(change, incident.id, RECOVERED, one, style) for one in contacts if one.ways[0][1] in told],
    )


def _message(
    change: Change, incident_id: int, step: str, contact: OperationsContact, style: OperationsStyle
) -> NewMessage:
    body, params = operations_message(
        change, incident_id, language=style.language, time_zone=style.time_zone, public_url=style.public_url
    )
    (channel, receiver), *others = contact.ways
    # A recovery is news, not an alarm: it takes no other way.
    fallback = tuple(others) if step == FIRED else ()
    return NewMessage(
        incident_id, step, channel, receiver, contact.name, body, from_ms(change.at), params, fallback=fallback
    )


def _summary(change: Change) -> dict[str, str]:
    texts = {
        f"text_{language}": cause_words(change.cause, change.value, change.watch.measure, language)
        for language in ("zh", "en")
    }
    return {"cause": change.cause, "since": str(change.since), **texts}
