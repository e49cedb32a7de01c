"""Blocks of the incident page as markup. Pure."""

import re
from collections.abc import Sequence
from html import escape

from dashboards.web.marks import severity_chip
from dashboards.web.texts import Texts
from dashboards.web.words import (
    bound_key,
    clause_words,
    clock_time,
    day_time,
    duration,
    finding_title,
    finding_words,
    incident_title,
    is_doser_stopped,
    number,
    parameter_name,
    point_name,
    unit_name,
)  # fmt: skip
from qingquan.clock import to_ms
from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Incident, IncidentEvent, Message, MessageState, TransitionReason
from qingquan.domain.parameters import plain_number
from qingquan.domain.works import Works
from qingquan.standards.loader import load_standards

__all__ = [
    "channel_name",
    "facts",
    "finding_rows",
    "history",
    "message_rows",
    "message_state",
    "place_words",
    "receiver_words",
    "step_words",
    "title_block",
]

# How the evaluator names a finding in an event: kind and id.
_FINDING = re.compile(r"(\w+) [0-9a-f]{20}")
_TOWNSHIP = (TransitionReason.TOWNSHIP_GROUPED, TransitionReason.TOWNSHIP_RESTORED)
_BY_NAME = (
    TransitionReason.ACKNOWLEDGED, TransitionReason.REPORTED_FIXED, TransitionReason.HELP_WANTED, TransitionReason.NOTED,
)  # fmt: skip


def title_block(incident: Incident, works: Works | None, findings: Sequence[Finding], t: Texts) -> str:
    """Heading: how urgent, what, where, and whether it is being handled."""
    where = (
        f'<a href="/works/{incident.county}/{escape(incident.works)}">{escape(works.name)}</a> <small>{escape(works.township)} · {escape(works.id)}</small>'
        if works
        else escape(place_words(incident, t))
    )
    marks = [("stale", t("incident.stale_note"))] if incident.stale and not incident.state.is_over else []
    marks += [("late", t("incident.late_note"))] if incident.late else []
    marks += [("late", t("incident.drill", n=incident.drill_number))] if incident.is_drill else []
    notes = "".join(f'<p class="note note-{name}">{escape(text)}</p>' for name, text in marks)
    began = min((f.start for f in findings), default=to_ms(incident.opened_at))
    until = (
        f"<span>{escape(t('incident.lasted'))} {escape(duration(to_ms(incident.resolved_at) - began, t))}</span>"
        if incident.resolved_at is not None
        else f'<span>{escape(t("incident.duration"))} <b data-at="{began}" data-form="for"></b></span>'
    )
    return (
        f'<div class="incident-title sevline-{incident.severity.word}"><div>{severity_chip(incident.severity, t)}'
        f'<span id="incident-state" class="pill pill-{incident.state}">{escape(t(f"incident.state.{incident.state}"))}</span></div>'
        f"<h1>{escape(incident_title(incident, tuple(findings), t))}</h1>"
        f'<p class="where">{where} · {until}</p>{notes}</div>'
    )


def step_words(step: str, t: Texts) -> str:
    """Why a message went out; of a rung, whose turn it was. The number of its round is no matter for readers."""
    base = re.sub(r"(_\d+)+$", "", step)
    keys = (f"message_step.{base}", f"duty.role.{base}", f"message_step.{base.partition('_')[0]}")
    return next((t(key) for key in keys if t.has(key)), step)


def receiver_words(message: Message, t: Texts) -> str:
    """Who was told; a row without a name and a channel says that an incident is told to nobody singly, and why."""
    return message.receiver_name or (message.receiver if message.channel else t("message.nobody"))


def place_words(incident: Incident, t: Texts) -> str:
    """Name where no works is at hand: a township's incident has none."""
    if incident.works:
        return incident.works
    if incident.kind is FindingKind.OPERATIONS:
        return t("operations.place")
    place = t("incident.township", township=incident.summary.get("township", ""), n=incident.summary.get("count", ""))
    return f"{place}{t('mark.simulated_name')}" if incident.summary.get("simulated") else place


def facts(incident: Incident, works: Works | None, findings: Sequence[Finding], t: Texts) -> str:
    """What is known, each with where it comes from."""
    worst = max(findings, key=lambda f: (f.severity, -f.start), default=None)
    if incident.kind is FindingKind.OPERATIONS:
        what = incident.summary.get(f"text_{t.language}", "")
        return f'<dl class="fact-grid"><div><dt>{escape(t("incident.what"))}</dt><dd>{escape(what)}</dd></div></dl>'
    tz = works.time_zone if works else "Asia/Shanghai"
    rows = [("incident.since", clock_time(worst.start if worst else incident.opened_at, tz))]
    if worst is not None:
        point = next((p for p in works.points if p.id == worst.point), None) if works else None
        place = f"{works.name} · {point_name(point, t)}" if works and point else worst.point
        rows.insert(0, ("incident.where", place))
        rows.insert(0, ("incident.what", finding_title(worst.kind, worst.parameter, t)))
        rows += _value_rows(worst, t)
        rows.append(("incident.rule", t("incident.rule_value", rule=worst.rule, version=worst.rule_version)))
    if names := incident.summary.get("names"):
        rows.append(("incident.gathered", names))
    cells = "".join(f"<div><dt>{escape(t(key))}</dt><dd>{escape(value)}</dd></div>" for key, value in rows)
    return f'<dl class="fact-grid">{cells}</dl>'


def finding_rows(findings: Sequence[Finding], tz: str, t: Texts) -> str:
    """Every judgement behind the incident."""
    rows = "".join(
        f'<div class="card sevline-{f.severity.word}"><span class="card-top">{severity_chip(f.severity, t)}<b>{escape(finding_words(f, t))}</b></span>'
        f'<span class="card-what">{escape(f.reason)}</span>'
        f'<span class="card-end"><span>{escape(day_time(f.start, tz))} → {escape(_end(f, tz, t))}</span><span>{escape(_basis(f, t))}</span></span></div>'
        for f in sorted(findings, key=lambda f: (-f.severity, f.start))
    )
    return f'<div class="panel-head"><h2>{escape(t("incident.findings"))}</h2><span class="count">{len(findings)}</span></div>{rows}'


def history(events: Sequence[IncidentEvent], tz: str, t: Texts) -> str:
    """What happened to the incident, newest first."""
    rows = "".join(
        f'<li class="ev-{event.reason}"><time>{escape(clock_time(event.at, tz))}</time><span>{escape(_event(event, t))}</span></li>'
        for event in reversed(events)
    )
    return f'<div class="panel-head"><h2>{escape(t("incident.history"))}</h2></div><ol class="history">{rows}</ol>'


def message_rows(messages: Sequence[Message], tz: str, t: Texts) -> str:
    """Who was told, how, and whether it arrived."""
    head = f'<div class="panel-head"><h2>{escape(t("incident.messages"))}</h2><span class="count">{len(messages)}</span></div>'
    if not messages:
        return head + f'<p class="quiet">{escape(t("incident.messages_none"))}</p>'
    return head + "".join(
        f'<div class="card"><span class="card-top"><b>{escape(receiver_words(m, t))}</b><small>{escape(channel_name(m.channel, t))}</small></span>'
        f'{message_state(m, t)}<span class="card-end"><span>{escape(day_time(m.sent_at or m.created_at, tz))}</span></span></div>'
        for m in messages
    )


def message_state(message: Message, t: Texts) -> str:
    """Delivery state in words, with the reason where it was not sent."""
    reason = _not_sent_reason(message, t)
    failed = message.state in (MessageState.REFUSED, MessageState.NOT_SENT)
    told = t("message.not_sent_because", reason=reason) if failed else reason
    why = f'<small class="why" title="{escape(message.error)}">{escape(told)}</small>' if reason else ""
    return f'<span class="delivery d-{message.state}"><i aria-hidden="true"></i>{escape(t(f"message_state.{message.state}"))}{why}</span>'


def _not_sent_reason(message: Message, t: Texts) -> str:
    """Why it did not go or is not known to have, in words; what a rule or a person has said stands as it was said."""
    if message.state not in (MessageState.REFUSED, MessageState.NOT_SENT, MessageState.UNKNOWN):
        return ""
    said = message.error if message.why in ("", NotSent.NOT_TOLD) else ""
    return said or (t(f"not_sent.{message.why}") if message.why else "")


def channel_name(channel: str, t: Texts) -> str:
    """Name of a channel; its code where no table knows it."""
    return t(f"channel.{channel}") if t.has(f"channel.{channel}") else channel


def _value_rows(worst: Finding, t: Texts) -> list[tuple[str, str]]:
    parameter = load_standards().parameters.get(worst.parameter)
    unit = unit_name(parameter.unit) if parameter else ""
    rows = []
    if worst.kind is FindingKind.LAB_EXCEEDANCE and "result" in worst.evidence:
        # As the laboratory wrote it: "<0.02" is not 0.02.
        rows.append(("incident.value", f"{parameter_name(worst.parameter, t)} {worst.evidence['result']}"))
    elif worst.extreme is not None:
        value = f"{parameter_name(worst.parameter, t)} {number(worst.extreme, parameter.decimals if parameter else 2)} {unit}"
        rows.append(("incident.value", value.rstrip()))
    if worst.limit is not None and not is_doser_stopped(worst):
        bound = t(bound_key(worst), value=f"{plain_number(worst.limit)}")
        rows.append(("incident.limit", f"{bound} {unit}".rstrip()))
    if worst.clause:
        rows.append(("incident.clause", _basis(worst, t)))
    return rows


def _basis(finding: Finding, t: Texts) -> str:
    clause = clause_words(finding.clause, t)
    is_bare = clause.startswith(("Table", "表"))
    return f"GB 5749-2022 {clause}" if is_bare else clause


def _end(finding: Finding, tz: str, t: Texts) -> str:
    if finding.withdrawn:
        return t("incident.finding_withdrawn")
    return t("incident.finding_open") if finding.end is None else day_time(finding.end, tz)


def _event(event: IncidentEvent, t: Texts) -> str:
    if event.reason in _TOWNSHIP:
        return _township_event(event, t)
    words = t(f"reason.{event.reason}", name=event.actor) if event.reason in _BY_NAME else t(f"reason.{event.reason}")
    detail = _FINDING.fullmatch(event.detail)
    if detail is not None and detail[1] in list(FindingKind):
        return words + t("reason.detail", detail=finding_title(FindingKind(detail[1]), "", t))
    return words + (t("reason.detail", detail=event.detail) if event.detail else "")


def _township_event(event: IncidentEvent, t: Texts) -> str:
    """Of the group: which township and how many works, or how many are left. Of a works in it: the number of the group."""
    township, _, count = event.detail.rpartition(" ")
    if event.reason is TransitionReason.TOWNSHIP_RESTORED:
        return t("reason.township_all_back") if event.detail == "0" else t("reason.township_restored", n=event.detail)
    return (
        t("reason.township_begun", township=township, n=count) if township else t("reason.township_grouped", id=count)
    )
