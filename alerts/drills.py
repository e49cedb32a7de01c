"""Drills (演练): an incident that is none, to see whether the chain from message to acknowledgement still works.

It has a number of its own, bears its mark in every message and on every page, climbs the same ladder up to the rung the
policy names, and ends with the acknowledgement or by itself. No list, count or figure of incidents holds it.
"""

from sqlalchemy import Connection

from alerts.ladder import Lookup, run_ladders
from alerts.messages import AlertSettings
from qingquan.clock import from_ms
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.incidents import Incident, IncidentState, TransitionReason
from qingquan.errors import NotFound, TransitionRefused
from qingquan.store.sql import incident_batches as batches
from qingquan.store.sql.incidents import get_incident, open_incident_for
from qingquan.store.sql.rungs import next_drill_number

__all__ = ["DRILL", "start_drill"]

DRILL = "drill"


def start_drill(
    connection: Connection, county: str, works: str, by: str, lookup: Lookup, now_ms: int, settings: AlertSettings
) -> Incident:
    """Begin a drill at a works: a pretended loss of disinfection. The incident as stored.

    Raises
    ------
    NotFound
        If the register has no such works.
    TransitionRefused
        If a drill is under way there, or nobody says who holds it.
    """
    if lookup((county, works)) is None:
        raise NotFound(f"works {works} in county {county}")
    if not by.strip():
        raise TransitionRefused("a drill needs the name of whoever holds it")
    if open_incident_for(connection, county, works, DRILL) is not None:
        raise TransitionRefused(f"a drill is under way at works {works} already")
    at = from_ms(now_ms)
    drill = Incident(
        id=0, county=county, works=works, kind=FindingKind.DISINFECTION_MISSING, severity=Severity.CRITICAL,
        state=IncidentState.OPEN, stale=False, late=False, opened_at=at, acknowledged_at=None, acknowledged_by="",
        resolved_at=None, summary={"cause": DRILL, "since": str(now_ms), "parameter": "free_chlorine", "point": "outlet"},
        ladder_at=at, next_at=at, drill_number=next_drill_number(connection),
    )  # fmt: skip
    (stored,) = batches.insert_incidents(connection, [drill])
    batches.add_events(connection, now_ms, [(stored.id, TransitionReason.DRILL_STARTED, by.strip())])
    run_ladders(connection, [stored.id], lookup, now_ms, settings)
    found = get_incident(connection, stored.id)
    assert found is not None
    return found
