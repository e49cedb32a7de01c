"""Who is told of an incident, over which channel, from which severity on. Pure; the policy is data (`policy.toml`).

A recovery goes to those who were told of the alarm, whatever the policy says by then: the outbox knows them.
"""

from collections.abc import Iterable
from dataclasses import replace

from alerts.escalation import Address, Place, seated
from alerts.lifecycle import DETECTOR, SILENT, Step
from alerts.muting import inhibiting_cause
from alerts.policy import SMS, WECOM_ROBOT, Audience, Policy, Rung, Subject, default_policy
from alerts.roster import Roster
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.works import Equipment, Works

__all__ = ["SMS", "WECOM_ROBOT", "audience", "is_standing", "rungs_for", "subject_of"]

_DAYTIME = 1_782_000_000_000


def subject_of(cause: str, kind: FindingKind) -> Subject:
    """What an incident of this cause is about; that disinfection cannot be judged says nothing about the water."""
    if cause == "hand_log":
        return (
            Subject.WATER
        )  # where people measure, nothing else tells of the water: they are asked, not the group alone
    if cause in (SILENT, DETECTOR, "instrument", "power") or cause.startswith("township:"):
        return Subject.DATA
    return Subject.DATA if kind is FindingKind.DISINFECTION_UNKNOWN else Subject.WATER


def is_standing(cause: str, works: Works | None) -> bool:
    """Whether the incident is a standing fact of the register: a works without equipment has no disinfection, every day.

    It is one entry of the county's list and is told to the group once, never by SMS and never again.
    """
    return cause == "disinfection" and works is not None and works.equipment is Equipment.NOT_EQUIPPED


def rungs_for(
    cause: str, kind: FindingKind, severity: Severity, works: Works | None, policy: Policy, *, drill: bool = False
) -> tuple[Rung, ...]:
    """The ladder of an incident. A standing fact has one rung, the county's group."""
    rungs = policy.ladder(subject_of(cause, kind), severity, drill=drill)
    if is_standing(cause, works) and not drill:
        return tuple(replace(rung, tell=(Audience.COUNTY_GROUP,), ring=()) for rung in rungs[:1])
    return rungs


def audience(
    cause: str,
    finding: Finding,
    works: Works | None,
    step: Step,
    open_causes: Iterable[str] = (),
    policy: Policy | None = None,
) -> list[Address]:
    """Who stands on the first rung of a firing or raised incident by day, each once.

    ``open_causes`` are the causes of the works' other unresolved incidents: what follows from them is not told beside them.
    """
    policy = policy or default_policy()
    if is_standing(cause, works) and step is not Step.FIRING:
        return []
    if inhibiting_cause(cause, finding.kind, open_causes, policy):
        return []
    place = Place(works.county if works else finding.county, works.township if works else "", works, "Asia/Shanghai")
    rungs = rungs_for(cause, finding.kind, finding.severity, works, policy)
    return list(seated(rungs[0], place, finding.severity, Roster(), policy, _DAYTIME).addresses) if rungs else []
