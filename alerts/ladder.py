"""Shell of the ladders: looks what is due for incidents, writes rungs and outbox rows, in the caller's transaction.

A rung is a row; the incident's own row is held meanwhile, and both commit with the messages or not at all. So a rung is
climbed once, by whoever comes first, and a crash between two rungs loses nothing.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from alerts.escalation import Address, Climb, Outcome, Place, Taken, climb, due_at, resumed_base
from alerts.lifecycle import RECOVERING_UNTIL, Change, Step, transition_of
from alerts.messages import AlertSettings, message, not_sent, step_name
from alerts.muting import Mute, MuteReason, answered_by_edge, inhibiting_cause, is_flapping, silence_of
from alerts.policy import SMS, VOICE, Audience
from alerts.roster import Roster
from alerts.routing import rungs_for
from alerts.words_why import audience_words, mute_words, not_sent_words, rung_words, unreached_words
from qingquan.clock import from_ms, to_ms
from qingquan.domain.disinfection import Verdict
from qingquan.domain.duty import Silence
from qingquan.domain.edges import EdgeLink
from qingquan.domain.findings import Finding, Severity
from qingquan.domain.incidents import Incident, IncidentState, NewMessage, TransitionReason
from qingquan.domain.maintenance import MAINTENANCE
from qingquan.domain.works import Works
from qingquan.store.sql import incident_batches as batches
from qingquan.store.sql.delivery import undelivered
from qingquan.store.sql.duty import load_persons, load_shifts, load_swaps, silences_between
from qingquan.store.sql.edges import load_edge_links
from qingquan.store.sql.maintenance import running_maintenance
from qingquan.store.sql.outbox import enqueue
from qingquan.store.sql.rungs import (
    RungRow,
    incidents_by_id,
    open_causes,
    opened_since,
    reword,
    rungs_of,
    take_rung,
    waiting_messages,
)

__all__ = [
    "Facts",
    "Lookup",
    "climb_for_help",
    "facts_of",
    "mute_of",
    "place_of",
    "run_ladders",
    "rung_facts",
    "tell_the_end",
]

WorksKey = tuple[str, str]
Lookup = Callable[[WorksKey], Works | None]
DAY_MS = 24 * 3_600_000

# What is muted until something changes is looked at again after this, in case nobody says that it has.
LOOK_AGAIN_MS = 60_000

# Power is lost and yet water runs: that it is not disinfected is no consequence to wait for, but the alarm itself.
WATER_FLOWS_ON = "power_cut_water_flows"


@dataclass(frozen=True, slots=True)
class Facts:
    """What deciding about some incidents takes: read once, for all of them."""

    findings: dict[str, Finding]
    taken: dict[int, list[RungRow]]
    causes: dict[WorksKey, set[str]]
    opened: dict[tuple[str, str, str], list[int]]
    silences: list[Silence]
    roster: Roster
    maintained: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    """Points under maintenance and when that ends [ms]; the empty point is the whole works."""
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    unheard: Mapping[int, str] = field(default_factory=dict)
    edges: Mapping[str, EdgeLink] = field(default_factory=dict)
    """How county edges stood at the last look, by name."""


@dataclass(slots=True)
class _Written:
    """What goes to the database at the end."""

    incidents: list[Incident] = field(default_factory=list)
    events: list[tuple[int, TransitionReason, str]] = field(default_factory=list)
    rungs: list[RungRow] = field(default_factory=list)
    messages: list[NewMessage] = field(default_factory=list)


def run_ladders(
    connection: Connection,
    ids: Collection[int],
    lookup: Lookup,
    now_ms: int,
    settings: AlertSettings,
    verdicts: Mapping[int, Verdict] | None = None,
) -> int:
    """Bring the ladders of these incidents up to date; how many messages were put into the outbox to be sent.

    ``verdicts`` say, by incident, what probably stands behind it, as far as that is known at once.
    """
    incidents = incidents_by_id(connection, ids)
    if not incidents:
        return 0
    facts = replace(facts_of(connection, incidents, now_ms, settings), verdicts=verdicts or {})
    written = _Written()
    for incident in incidents:
        _advance(connection, incident, facts, lookup((incident.county, incident.works)), now_ms, settings, written)
    batches.update_incidents(connection, written.incidents)
    batches.add_events(connection, now_ms, written.events)
    take_rung(connection, written.rungs)
    enqueue(connection, written.messages)
    return sum(not one.not_sent_because for one in written.messages)


def climb_for_help(
    connection: Connection, incident_id: int, lookup: Lookup, now_ms: int, settings: AlertSettings
) -> bool:
    """Climb the next rung at once: somebody who was told asks for help. ``False`` at the ladder's end.

    Neither a silence nor the night stands in the way of a person's word; the rungs above follow from now on by their spans.
    """
    (incident,) = incidents_by_id(connection, [incident_id])
    facts, works = facts_of(connection, [incident], now_ms, settings), lookup((incident.county, incident.works))
    taken, written = rung_facts(incident, facts), _Written()
    rungs = rungs_for(
        incident.summary["cause"], incident.kind, incident.severity, works, settings.policy, drill=incident.is_drill
    )
    following = due_at(rungs, now_ms, taken)
    if following is not None:
        base = resumed_base(rungs, to_ms(incident.ladder_at or incident.opened_at), taken, now_ms)
        place = place_of(incident, works, settings)
        climbed = climb(rungs, base, taken, place, Severity.CRITICAL, facts.roster, settings.policy, now_ms)
        for one in climbed.climbs:
            _write_climb(incident, one, one.rung is rungs[0], facts, works, now_ms, settings, written)
        next_at = None if climbed.next_at is None else from_ms(climbed.next_at)
        incident = replace(incident, ladder_at=from_ms(base), next_at=_sooner(next_at, _other_end(incident, settings)))
    written.incidents.append(incident)
    batches.update_incidents(connection, written.incidents)
    batches.add_events(connection, now_ms, written.events)
    take_rung(connection, written.rungs)
    enqueue(connection, written.messages)
    return following is not None


def tell_the_end(
    connection: Connection,
    ended: Sequence[tuple[Incident, Step, Sequence[Finding]]],
    lookup: Lookup,
    now_ms: int,
    settings: AlertSettings,
) -> tuple[int, int]:
    """Call off what waits of incidents now over, and tell their end to those who were told of them; how many of both."""
    over = [incident.id for incident, _, _ in ended]
    if not over:
        return 0, 0
    called_off = batches.call_off(connection, over, "over before it was sent")
    told: dict[int, dict[tuple[str, str], Address]] = {}
    for one in batches.told_of(connection, over):
        # Nobody is rung up to hear that all is well.
        channel = SMS if one.channel == VOICE else one.channel
        address = Address(Audience.CARETAKER, channel, one.receiver, one.receiver_name)
        told.setdefault(one.incident_id, {}).setdefault((channel, one.receiver), address)
    messages = [
        message(
            step, incident, findings, lookup((incident.county, incident.works)), address, settings, now_ms,
            wait_ms=settings.policy.wait_ms[incident.severity],
        )
        for incident, step, findings in ended
        for address in told.get(incident.id, {}).values()
    ]  # fmt: skip
    return called_off, enqueue(connection, messages)


def facts_of(connection: Connection, incidents: Sequence[Incident], now_ms: int, settings: AlertSettings) -> Facts:
    """Everything the ladders of these incidents depend on."""
    keys = {(one.county, one.works) for one in incidents}
    taken: dict[int, list[RungRow]] = {}
    for row in rungs_of(connection, [one.id for one in incidents]):
        taken.setdefault(row.incident_id, []).append(row)
    in_vain = [
        one.id
        for one in incidents
        if any(row.round == one.round and row.outcome == Outcome.NOBODY.value for row in taken.get(one.id, [])[-1:])
    ]
    lost = undelivered(connection, in_vain)
    unheard = {id_: not_sent_words(lost.get(id_, []), settings.style) for id_ in in_vain}
    persons = load_persons(connection, {one.county for one in incidents})
    week = (now_ms - DAY_MS, now_ms + 7 * DAY_MS)
    return Facts(
        findings=batches.stored_findings(connection, {id_ for one in incidents for id_ in one.finding_ids}),
        taken=taken,
        causes=open_causes(connection, keys),
        opened=opened_since(connection, keys, now_ms - settings.policy.flapping_within_ms),
        silences=silences_between(connection, now_ms, now_ms + 1),
        roster=Roster(
            tuple(persons), tuple(load_shifts(connection, *week)), tuple(load_swaps(connection, *week))
        ) if persons else Roster(),
        maintained=_maintained(connection, keys, now_ms),
        unheard=unheard,
        edges=load_edge_links(connection) if settings.edges else {},
    )  # fmt: skip


def _maintained(connection: Connection, keys: Collection[WorksKey], now_ms: int) -> dict[tuple[str, str, str], int]:
    """The engine finds nothing at a point under maintenance; what was open before would climb on all the same."""
    found: dict[tuple[str, str, str], int] = {}
    for one in running_maintenance(connection):
        if (one.county, one.works) in keys and one.started_at <= now_ms < one.planned_end:
            place = (one.county, one.works, one.point)
            found[place] = max(found.get(place, 0), one.planned_end)
    return found


def place_of(incident: Incident, works: Works | None, settings: AlertSettings) -> Place:
    """Where an incident is; a township's own has no works."""
    township = works.township if works is not None else incident.summary.get("township", "")
    return Place(incident.county, township, works, works.time_zone if works else settings.style.time_zone)


def rung_facts(incident: Incident, facts: Facts) -> dict[str, Taken]:
    """The rungs climbed in the incident's present round."""
    rows = facts.taken.get(incident.id, [])
    return {row.rung: Taken(row.rung, row.at, Outcome(row.outcome)) for row in rows if row.round == incident.round}


def mute_of(incident: Incident, facts: Facts, place: Place, now_ms: int, settings: AlertSettings) -> Mute | None:
    """Why nobody is told of an incident now; ``None`` if nothing is in the way. Drills are never muted."""
    if incident.is_drill:
        return None
    cause, key = incident.summary["cause"], (incident.county, incident.works)
    edge = settings.edges.get(incident.county)
    if edge is not None:
        answered = answered_by_edge(edge, facts.edges.get(edge.name), cause, to_ms(incident.opened_at))
        if answered is not None:
            return answered
    if incident.parent_id is not None:
        return Mute(MuteReason.GROUPED, str(incident.parent_id))
    silence = silence_of(facts.silences, incident.county, place.township, incident.works, cause, now_ms)
    if silence is not None:
        return Mute(MuteReason.SILENCED, silence.author, silence.end)
    causes = facts.causes.get(key, set())
    if incident.summary.get("verdict_cause") == WATER_FLOWS_ON:
        causes = causes - {"power"}
    until = facts.maintained.get((*key, incident.summary.get("point", "")), facts.maintained.get((*key, "")))
    if until is not None:
        causes = causes | {MAINTENANCE}
    parent = inhibiting_cause(cause, incident.kind, causes, settings.policy)
    if parent:
        return Mute(MuteReason.INHIBITED, parent, until if parent == MAINTENANCE else None)
    opened, policy = facts.opened.get((*key, cause), []), settings.policy
    lasts_until = to_ms(incident.opened_at) + policy.flapping_lasts_ms
    if now_ms < lasts_until and is_flapping(opened, now_ms, policy):
        return Mute(MuteReason.FLAPPING, str(len(opened)), lasts_until)
    return None


def _advance(
    connection: Connection,
    incident: Incident,
    facts: Facts,
    works: Works | None,
    now_ms: int,
    settings: AlertSettings,
    written: _Written,
) -> None:
    """One incident: what is due now, and when to look again."""
    if incident.state.is_over or incident.ladder_at is None:
        written.incidents.append(replace(incident, next_at=_other_end(incident, settings)))
        return
    place, taken = place_of(incident, works, settings), rung_facts(incident, facts)
    rungs = rungs_for(
        incident.summary["cause"], incident.kind, incident.severity, works, settings.policy, drill=incident.is_drill
    )
    if incident.state is IncidentState.ACKNOWLEDGED:
        if incident.lease_until is not None and to_ms(incident.lease_until) > now_ms:
            written.incidents.append(replace(incident, next_at=incident.lease_until))
            return
        incident = _lapsed(incident, written)
        base = resumed_base(rungs, to_ms(incident.ladder_at or incident.opened_at), taken, now_ms)
        incident = replace(incident, ladder_at=from_ms(base))
    assert incident.ladder_at is not None
    base = to_ms(incident.ladder_at)
    following = due_at(rungs, base, taken)
    mute = mute_of(incident, facts, place, now_ms, settings) if following and following[1] <= now_ms else None
    if mute is not None:
        _mute(incident, mute, place, facts, rungs[0].name in taken, works, now_ms, settings, written)
        return
    if "muted" in incident.summary and following and following[1] <= now_ms:
        base = resumed_base(rungs, base, taken, now_ms)
        summary = {name: text for name, text in incident.summary.items() if name != "muted"}
        incident = replace(incident, summary=summary, ladder_at=from_ms(base))
        written.events.append((incident.id, TransitionReason.UNMUTED, ""))
    climbed = climb(rungs, base, taken, place, incident.severity, facts.roster, settings.policy, now_ms)
    for one in climbed.climbs:
        _write_climb(incident, one, one.rung is rungs[0], facts, works, now_ms, settings, written)
    if not climbed.climbs and not incident.works:
        _reword(connection, incident, now_ms, settings)
    next_at = None if climbed.next_at is None else from_ms(climbed.next_at)
    written.incidents.append(replace(incident, next_at=_sooner(next_at, _other_end(incident, settings))))


def _lapsed(incident: Incident, written: _Written) -> Incident:
    row = transition_of(incident.state, Change.LEASE_EXPIRED)
    assert row is not None
    assert row.after is not None
    written.events.append((incident.id, row.reasons[0], incident.acknowledged_by))
    # A fix that was reported and did not show is no fix any more.
    summary = {name: text for name, text in incident.summary.items() if name not in ("fixed_by", "fixed_at")}
    return replace(incident, state=row.after, lease_until=None, summary=summary)


def _mute(
    incident: Incident,
    mute: Mute,
    place: Place,
    facts: Facts,
    is_told: bool,
    works: Works | None,
    now_ms: int,
    settings: AlertSettings,
    written: _Written,
) -> None:
    """Hold the ladder, say so once, and look again when that may be over."""
    mark = f"{mute.reason}:{mute.detail}"
    if incident.summary.get("muted") != mark:
        words = mute_words(mute, settings.style, place.time_zone)
        written.events.append((incident.id, TransitionReason.MUTED, words))
        step = f"muted_{incident.round}"
        written.messages.append(not_sent(incident, step, mark, "", words, now_ms))
        if mute.reason is MuteReason.FLAPPING and not is_told and int(mute.detail) == settings.policy.flapping_count:
            written.messages += _flapping(incident, facts, place, works, now_ms, settings)
        incident = replace(incident, summary={**incident.summary, "muted": mark})
    until = now_ms + LOOK_AGAIN_MS if mute.until is None else mute.until
    # What belongs to a township waits for the township.
    next_at = None if mute.reason is MuteReason.GROUPED else from_ms(until)
    written.incidents.append(replace(incident, next_at=_sooner(next_at, _other_end(incident, settings))))


def _flapping(
    incident: Incident, facts: Facts, place: Place, works: Works | None, now_ms: int, settings: AlertSettings
) -> list[NewMessage]:
    """The one message that says it comes and goes, to those on the first rung."""
    rungs = rungs_for(incident.summary["cause"], incident.kind, incident.severity, works, settings.policy)
    first = climb(rungs[:1], now_ms, {}, place, incident.severity, facts.roster, settings.policy, now_ms)
    findings = [facts.findings[id_] for id_ in incident.finding_ids if id_ in facts.findings]
    return [
        message(Step.FLAPPING, incident, findings, works, address, settings, now_ms, rung="flapping")
        for one in first.climbs
        for address in one.addresses
    ]


def _write_climb(
    incident: Incident,
    one: Climb,
    is_first: bool,
    facts: Facts,
    works: Works | None,
    now_ms: int,
    settings: AlertSettings,
    written: _Written,
) -> None:
    """A rung climbed: its row, a line of history, a message for everybody on it, a line for everybody who is missing."""
    step = Step.ESCALATED if not is_first else Step.RAISED if incident.round else Step.FIRING
    name = one.rung.name
    findings = [facts.findings[id_] for id_ in incident.finding_ids if id_ in facts.findings]
    wait = settings.policy.wait_ms[incident.severity] if is_first else 0
    if is_first and not incident.works:
        wait = settings.policy.township.wait_ms
    for address in one.addresses:
        written.messages.append(
            message(
                step,
                incident,
                findings,
                works,
                address,
                settings,
                now_ms,
                rung=name,
                wait_ms=wait,
                verdict=facts.verdicts.get(incident.id),
                unheard="" if is_first else facts.unheard.get(incident.id, ""),
            )
        )
    for missing in one.unreached:
        words = unreached_words(missing, settings.style)
        written.messages.append(
            not_sent(
                incident, step_name(step, incident, name), str(missing.audience),
                audience_words(missing.audience, settings.style), words, now_ms,
            )
        )  # fmt: skip
    written.rungs.append(RungRow(incident.id, incident.round, name, now_ms, one.outcome.value))
    words = rung_words(name, settings.style)
    if one.outcome is Outcome.NOBODY:
        written.events.append((incident.id, TransitionReason.NOBODY_REACHED, words))
    elif not is_first:
        comma = ", " if settings.style.language == "en" else "、"
        names = comma.join(address.name for address in one.addresses if address.name)
        written.events.append((incident.id, TransitionReason.ESCALATED, f"{words} {names}".strip()))
    if one.rung.opens_problem:
        written.events.append((incident.id, TransitionReason.PROBLEM_DUE, words))


def _reword(connection: Connection, incident: Incident, now_ms: int, settings: AlertSettings) -> None:
    """A township's message that still waits tells the count as it is by now."""
    for waiting in waiting_messages(connection, incident.id):
        if waiting.step != str(Step.FIRING):
            continue
        address = Address(Audience.COUNTY_GROUP, waiting.channel, waiting.receiver, waiting.receiver_name)
        new = message(Step.FIRING, incident, [], None, address, settings, now_ms, rung="first")
        reword(connection, waiting.id, new.body, {**new.params, "fallback": waiting.params.get("fallback", "")})


def _other_end(incident: Incident, settings: AlertSettings) -> datetime | None:
    """When to look again for reasons other than the ladder: the end of an observation, or of a drill."""
    if incident.state.is_over:
        return None
    if incident.is_drill:
        return from_ms(to_ms(incident.opened_at) + settings.policy.drill_most_ms)
    until = incident.summary.get(RECOVERING_UNTIL)
    return None if until is None else from_ms(int(until))


def _sooner(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)
