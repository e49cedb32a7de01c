"""Drills (演练): an incident that is none, to see whether the chain from message to acknowledgement still works.

It has a number of its own, bears its mark in every message and on every page, climbs the same ladder up to the rung the
policy names, and ends with the acknowledgement or by itself. No list, count or figure of incidents holds it.

A share of a county's works is drawn so that in the end everybody has had one: those whose last drill is longest ago come first,
and among equals chance decides, by a seed that anybody can repeat.
"""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from math import ceil
from statistics import median

from sqlalchemy import Connection

from alerts.ladder import Lookup, run_ladders
from alerts.messages import AlertSettings
from qingquan.clock import from_ms, to_ms
from qingquan.domain.duty import DrillFigures
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.incidents import Incident, IncidentState, TransitionReason
from qingquan.errors import NotFound, TransitionRefused
from qingquan.store.sql import incident_batches as batches
from qingquan.store.sql.incidents import get_incident, open_incident_for
from qingquan.store.sql.rungs import next_drill_number

__all__ = ["DRILL", "drawn", "figures_of", "start_drill"]

DRILL = "drill"

WorksKey = tuple[str, str]


def drawn(works: Collection[WorksKey], drilled_at: Mapping[WorksKey, int], percent: float, seed: str) -> list[WorksKey]:
    """The works whose turn it is, at least one where there is any; ``drilled_at`` [ms] leaves out those never drilled."""

    def turn(key: WorksKey) -> tuple[int, str]:
        return drilled_at.get(key, -1), sha256(f"{seed}|{key[0]}|{key[1]}".encode()).hexdigest()

    return sorted(works, key=turn)[: ceil(len(works) * percent / 100)]


def figures_of(drills: Sequence[Incident]) -> list[DrillFigures]:
    """By county, in the order of its code. A drill under way that nobody has answered yet counts for nothing."""
    counties = sorted({drill.county for drill in drills})
    return [_figures(county, [drill for drill in drills if drill.county == county]) for county in counties]


def _figures(county: str, drills: Sequence[Incident]) -> DrillFigures:
    spans = [to_ms(one.acknowledged_at) - to_ms(one.opened_at) for one in drills if one.acknowledged_at is not None]
    held = sum(one.state.is_over or one.acknowledged_at is not None for one in drills)
    return DrillFigures(county, held, len(spans), round(median(spans)) if spans else None, max(spans, default=None))


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
