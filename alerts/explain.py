"""Who gets what when, and why: the ladder of an incident told rung by rung, past and to come. Pure."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.escalation import Climb, Place, Taken, due_at, seated
from alerts.ladder import Facts, mute_of, place_of, rung_facts
from alerts.messages import AlertSettings
from alerts.muting import MuteReason
from alerts.routing import is_standing, rungs_for, subject_of
from alerts.wording import Style
from alerts.words_why import (
    audience_words,
    channel_words,
    mute_words,
    rung_words,
    severity_words,
    state_words,
    unreached_words,
)
from qingquan.clock import from_ms, to_ms
from qingquan.domain.incidents import Incident, IncidentState
from qingquan.domain.works import Works

__all__ = ["Explained", "ExplainedRung", "explain", "explained_words"]


@dataclass(frozen=True, slots=True)
class ExplainedRung:
    """A rung: when, whether climbed already, who over which channel and which others after it, who cannot be told and why."""

    rung: str
    at: datetime
    done: bool
    outcome: str
    told: tuple[tuple[str, str, str, tuple[str, ...]], ...]
    not_told: tuple[tuple[str, str], ...]
    opens_problem: bool


@dataclass(frozen=True, slots=True)
class Explained:
    """The ladder of an incident, and what holds it just now."""

    incident: int
    works: str
    state: str
    policy: str
    subject: str
    severity: str
    held_by: str
    rungs: tuple[ExplainedRung, ...]


def explain(
    incident: Incident, works: Works | None, facts: Facts, now_ms: int, settings: AlertSettings, style: Style
) -> Explained:
    """What has been and will be told of an incident if nobody does anything, by the policy and rosters as they are."""
    place, taken = place_of(incident, works, settings), rung_facts(incident, facts)
    cause = incident.summary["cause"]
    rungs = rungs_for(cause, incident.kind, incident.severity, works, settings.policy, drill=incident.is_drill)
    known, told = dict(taken), []
    mute = None if incident.state.is_over else mute_of(incident, facts, place, now_ms, settings)
    # What the county's edge tells, and when, stands at the edge.
    is_told_elsewhere = mute is not None and mute.reason is MuteReason.EDGE
    base = to_ms(incident.ladder_at or incident.opened_at)
    shift = 0
    if incident.state is IncidentState.ACKNOWLEDGED and incident.lease_until is not None:
        following = due_at(rungs, base, taken)
        shift = 0 if following is None else max(0, to_ms(incident.lease_until) - following[1])
    for rung in rungs:
        done = taken.get(rung.name)
        following = due_at(rungs, base, known)
        at = done.at if done is not None else (base + rung.after_ms if following is None else following[1]) + shift
        climbed = seated(rung, place, incident.severity, facts.roster, settings.policy, max(at, 0))
        known[rung.name] = Taken(rung.name, at - shift, done.outcome if done else climbed.outcome)
        if done is None and is_told_elsewhere:
            continue
        told.append(_rung(rung.name, at, done, climbed, rung.opens_problem, style))
    return Explained(
        incident.id, incident.works if works is None else works.name, incident.state.value, settings.policy.version, subject_of(cause, incident.kind).value,
        incident.severity.word, _held_by(incident, works, facts, place, now_ms, settings, style), tuple(told),
    )  # fmt: skip


def explained_words(told: Explained, style: Style) -> str:
    """The explanation as text."""
    zh = style.language != "en"
    zone = ZoneInfo(style.time_zone)
    head = f"事件 {told.incident}" if zh else f"incident {told.incident}"
    standing = (severity_words(told.severity, style), state_words(told.state, style))
    lines = [f"{head} {told.works}".rstrip() + (f"：{'，'.join(standing)}" if zh else f": {', '.join(standing)}")]
    if told.held_by:
        lines.append(("暂不通知：" if zh else "held: ") + told.held_by)
    if not told.rungs and not told.held_by:
        lines.append("按规则不通知任何人" if zh else "by the policy nobody is told")
    for rung in told.rungs:
        mark = ("已执行" if zh else "done") if rung.done else ("将于" if zh else "due")
        lines.append(f"{rung.at.astimezone(zone):%m-%d %H:%M} {mark} {rung_words(rung.rung, style)}")
        lines += ["    " + _told_words(*one, style) for one in rung.told]
        lines += [f"    {audience}: {'未通知，' if zh else 'not told, '}{why}" for audience, why in rung.not_told]
        if rung.opens_problem:
            lines.append("    列入问题台账" if zh else "    enters the problem ledger")
    return "\n".join(lines)


def _told_words(audience: str, name: str, channel: str, others: tuple[str, ...], style: Style) -> str:
    """One person, the channel, and the ways that remain where it does not arrive."""
    zh = style.language != "en"
    ways = channel_words(channel, style)
    if others:
        after = ("、" if zh else ", ").join(channel_words(one, style) for one in others)
        ways += f"，未送达改用{after}" if zh else f"; if it does not arrive: {after}"
    who = " ".join(part for part in (audience, name) if part)
    return f"{who}（{ways}）" if zh else f"{who} ({ways})"


def _rung(name: str, at: int, done: Taken | None, climbed: Climb, opens_problem: bool, style: Style) -> ExplainedRung:
    return ExplainedRung(
        name, from_ms(at), done is not None, (done.outcome if done else climbed.outcome).value,
        tuple(
            (audience_words(a.audience, style), a.name, a.channel, tuple(channel for channel, _ in a.fallback))
            for a in climbed.addresses
        ),
        tuple((audience_words(u.audience, style), unreached_words(u, style)) for u in climbed.unreached),
        opens_problem,
    )  # fmt: skip


def _held_by(
    incident: Incident,
    works: Works | None,
    facts: Facts,
    place: Place,
    now_ms: int,
    settings: AlertSettings,
    style: Style,
) -> str:
    zh = style.language != "en"
    if incident.state.is_over:
        return "事件已结束" if zh else "the incident is over"
    if incident.ladder_at is None:
        if is_standing(incident.summary["cause"], works):
            return "未配备消毒设备已列入问题，不重复通知" if zh else "the missing equipment is an open problem already"
        return "补传数据，只记录不通知" if zh else "late data: recorded, not told"
    if incident.state is IncidentState.ACKNOWLEDGED and incident.lease_until is not None:
        until = f"{incident.lease_until.astimezone(ZoneInfo(place.time_zone)):%Y-%m-%d %H:%M}"
        by = incident.acknowledged_by
        return f"{by}已确认，至{until}" if zh else f"acknowledged by {by} until {until}"
    mute = mute_of(incident, facts, place, now_ms, settings)
    return "" if mute is None else mute_words(mute, style, place.time_zone)
