"""Shell of grouping by township: many works without data or power become one incident, and one message.

The group is an incident of its own with an open key of its own, so that there is one per township and cause. Its works keep
their incidents, shown as ever, and are told of together. Fewer than ``ends_below`` left, the group is over; whoever is
still in trouble then is told of singly.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace

from sqlalchemy import Connection

from alerts.lifecycle import Step
from alerts.messages import AlertSettings
from alerts.policy import TownshipPolicy
from qingquan.clock import from_ms, to_ms
from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import Severity
from qingquan.domain.incidents import Incident, IncidentState, TransitionReason
from qingquan.domain.works import Works
from qingquan.store.sql import incident_batches as batches
from qingquan.store.sql.rungs import open_of_cause, set_parent

__all__ = ["gather", "is_gathered"]

NAMES_SHOWN = 200

Lookup = Callable[[tuple[str, str]], Works | None]


def gather(
    connection: Connection, touched: Iterable[Incident], lookup: Lookup, now_ms: int, settings: AlertSettings
) -> tuple[list[Incident], list[tuple[Incident, Step]]]:
    """Bring the groups in line with the incidents touched: groups begun or grown, and those over with the step to tell."""
    policy = settings.policy.township
    by_cause: dict[str, set[str]] = {}
    for one in touched:
        cause = one.summary.get("cause", "")
        if cause in policy.causes and one.works and not one.late:
            by_cause.setdefault(cause, set()).add(one.county)
    begun: list[Incident] = []
    over: list[tuple[Incident, Step]] = []
    for cause, counties in by_cause.items():
        for county in sorted(counties):
            more, ended = _of_county(connection, county, cause, lookup, now_ms, policy)
            begun += more
            over += [(one, Step.RECOVERED) for one in ended]
    return begun, over


def is_gathered(opened_at: list[int], policy: TownshipPolicy) -> bool:
    """Whether so many incidents began so close together that they are one."""
    times = sorted(opened_at)
    least = policy.least
    return any(times[n + least - 1] - times[n] <= policy.within_ms for n in range(len(times) - least + 1))


def _of_county(
    connection: Connection, county: str, cause: str, lookup: Lookup, now_ms: int, policy: TownshipPolicy
) -> tuple[list[Incident], list[Incident]]:
    groups = {
        one.summary["township"]: one
        for one in batches.unresolved_incidents(connection, {(county, "")})
        if one.summary.get("of") == cause
    }
    members: dict[str, list[Incident]] = {}
    for one in open_of_cause(connection, county, cause):
        works = lookup((one.county, one.works))
        if works is not None and works.township:
            members.setdefault(works.township, []).append(one)
    begun, over = [], []
    for township in sorted(set(groups) | set(members)):
        group, held = groups.get(township), members.get(township, [])
        if group is not None and len(held) < policy.ends_below:
            over.append(_ended(connection, group, held, now_ms))
        elif group is not None:
            begun += _grown(connection, group, held, lookup, now_ms)
        elif is_gathered([to_ms(one.opened_at) for one in held], policy):
            begun.append(_begun(connection, (county, township, cause), held, lookup, now_ms, policy.severity))
    return begun, over


def _begun(
    connection: Connection,
    key: tuple[str, str, str],
    held: list[Incident],
    lookup: Lookup,
    now_ms: int,
    severity: Severity,
) -> Incident:
    county, township, cause = key
    summary = {
        "cause": f"township:{cause}:{township}", "township": township, "of": cause,
        **_count(held, lookup),
    }  # fmt: skip
    group = Incident(
        id=0, county=county, works="", kind=held[0].kind, severity=severity, state=IncidentState.OPEN, stale=False,
        late=False, opened_at=from_ms(now_ms), acknowledged_at=None, acknowledged_by="", resolved_at=None,
        summary=summary, ladder_at=from_ms(now_ms), next_at=from_ms(now_ms),
    )  # fmt: skip
    group = batches.insert_incidents(connection, [group])[0]
    detail = f"{township} {len(held)}"
    batches.add_events(connection, now_ms, [(group.id, TransitionReason.TOWNSHIP_GROUPED, detail)])
    _join(connection, group, held, now_ms)
    return group


def _grown(
    connection: Connection, group: Incident, held: list[Incident], lookup: Lookup, now_ms: int
) -> list[Incident]:
    """The group with its new works; what waits in the outbox is worded anew by the ladder."""
    new = [one for one in held if one.parent_id is None]
    _join(connection, group, new, now_ms)
    changed = replace(group, summary={**group.summary, **_count(held, lookup)})
    if changed != group:
        batches.update_incidents(connection, [changed])
    return [changed]


def _join(connection: Connection, group: Incident, new: list[Incident], now_ms: int) -> None:
    ids = [one.id for one in new]
    set_parent(connection, ids, group.id, None)
    batches.call_off(connection, ids, f"told together with its township as incident {group.id}", NotSent.TOGETHER)
    batches.add_events(connection, now_ms, ((id_, TransitionReason.TOWNSHIP_GROUPED, str(group.id)) for id_ in ids))


def _ended(connection: Connection, group: Incident, left: list[Incident], now_ms: int) -> Incident:
    ended = replace(group, state=IncidentState.RESOLVED, resolved_at=from_ms(now_ms), next_at=None)
    batches.update_incidents(connection, [ended])
    batches.add_events(connection, now_ms, [(group.id, TransitionReason.TOWNSHIP_RESTORED, str(len(left)))])
    set_parent(connection, [one.id for one in left], None, now_ms)
    return ended


def _count(held: list[Incident], lookup: Lookup) -> dict[str, str]:
    found = [(one.works, lookup((one.county, one.works))) for one in held]
    names = "、".join(works.name if works is not None else id_ for id_, works in found[:NAMES_SHOWN])
    since = min(int(one.summary.get("since", to_ms(one.opened_at))) for one in held)
    # One made-up works among them, and what is told of all of them is made up.
    simulated = any(works is not None and works.simulated for _, works in found)
    return {"count": str(len(held)), "names": names, "since": str(since), "simulated": "1" if simulated else ""}
