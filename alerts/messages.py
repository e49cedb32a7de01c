"""From an incident and an address to a row of the outbox: facts gathered, words chosen, nothing decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from alerts.escalation import Address
from alerts.lifecycle import Step, is_active, worst_of
from alerts.policy import SMS, VOICE, WECOM_ROBOT, Policy, default_policy, load_policy
from alerts.templates import load_templates
from alerts.township_words import township_line, township_markdown, township_sms
from alerts.wording import Label, Notice, Style, one_line, sms_params, wecom_markdown
from qingquan.clock import from_ms, to_ms
from qingquan.config import Config
from qingquan.domain.disinfection import Verdict
from qingquan.domain.edges import Edge
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Incident, NewMessage
from qingquan.domain.works import Works
from qingquan.edge_table import load_edges
from qingquan.standards.divisions import division_name
from qingquan.standards.loader import load_standards

__all__ = ["AlertSettings", "drill_finding", "message", "not_sent", "notice_of", "parameter_labels", "step_name"]

# Channels that carry the variables of an approved template, not a text of ours.
BY_TEMPLATE = (SMS, VOICE, "tencent_sms")


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What of the settings bears on messages."""

    style: Style = field(default_factory=Style)
    policy: Policy = field(default_factory=default_policy)
    edges: Mapping[str, Edge] = field(default_factory=dict)
    """County edges by the code of each of their counties."""

    @classmethod
    def from_config(cls, config: Config) -> "AlertSettings":
        """The settings of a running system. Raises `ConfigurationError` for a faulty policy."""
        style = Style(config.language, config.time_zone, config.public_url)
        edges = {county: edge for edge in load_edges(config.edges_file) for county in edge.counties}
        return cls(style, load_policy(config.alerts_file), edges)


@cache
def parameter_labels() -> Mapping[str, Label]:
    """Names, units and decimals of everything the standards name; online parameters before laboratory ones."""
    tables = load_standards()
    labels = {limit.code: Label(limit.name_zh, limit.name_en, limit.unit) for limit in tables.limits}
    online = {p.code: Label(p.name_zh, p.name_en, p.unit, p.decimals) for p in tables.parameters.values()}
    return labels | online


def notice_of(
    step: Step,
    incident: Incident,
    findings: Sequence[Finding],
    works: Works | None,
    now_ms: int,
    verdict: Verdict | None = None,
    unheard: str = "",
) -> Notice:
    """The facts of a message about an incident; a drill speaks of a finding that is none."""
    if incident.is_drill:
        findings = [drill_finding(incident)]
    live = [finding for finding in findings if not finding.late] or list(findings)
    spoken = worst_of(live) or live[0]
    active = [finding for finding in live if is_active(finding)]
    since = int(incident.summary.get("since", spoken.start))
    # The message bears the incident's severity: it decides who is told, and the worst finding has set it.
    spoken = replace(spoken, severity=max(spoken.severity, incident.severity))
    label = parameter_labels().get(spoken.parameter)
    others = max(0, len(active) - 1)
    # What the adviser has noted since speaks for messages that nobody brings a verdict for.
    likely = verdict or Verdict.of_notes(incident.summary)
    drill = incident.drill_number
    return Notice(step, incident.id, spoken, works, label, now_ms, since, others, likely, drill, unheard)


def drill_finding(incident: Incident) -> Finding:
    """What a drill pretends: a loss of disinfection at the outlet. Never stored."""
    at = to_ms(incident.opened_at)
    return Finding(
        id=f"drill-{incident.drill_number}", kind=FindingKind.DISINFECTION_MISSING, severity=incident.severity,
        county=incident.county, works=incident.works, point="outlet", parameter="free_chlorine", start=at,
        end=None if incident.resolved_at is None else to_ms(incident.resolved_at), evidence_at=at, extreme=None, limit=None,
        clause="", rule="drill", rule_version="1", reason="",
    )  # fmt: skip


def step_name(step: Step, incident: Incident, rung: str = "") -> str:
    """The name under which a message is unique for its incident, receiver and channel."""
    if step is Step.RAISED:
        return f"raised_{incident.severity.word}"
    if step is Step.ESCALATED:
        return rung if not incident.round else f"{rung}_{incident.round}"
    return str(step)


def message(
    step: Step,
    incident: Incident,
    findings: Sequence[Finding],
    works: Works | None,
    address: Address,
    settings: AlertSettings,
    now_ms: int,
    *,
    rung: str = "",
    wait_ms: int = 0,
    verdict: Verdict | None = None,
    unheard: str = "",
) -> NewMessage:
    """A row of the outbox for one address. ``unheard`` names those on the rung before whom nothing has reached."""
    style = settings.style
    if incident.works:
        notice = notice_of(step, incident, findings, works, now_ms, verdict, unheard)
        if step is Step.ESCALATED:
            notice = replace(notice, help_by=incident.summary.get("help_by", ""))
        body, params = _words(notice, address.channel, style)
    else:
        body, params = _township_words(step, incident, address.channel, style, now_ms)
    params["severity"] = incident.severity.word
    params["rung"] = rung
    params["fallback"] = ";".join(f"{channel}={receiver}" for channel, receiver in address.fallback)
    if incident.is_drill:
        params["drill"] = "1"
    return NewMessage(
        incident_id=incident.id, step=step_name(step, incident, rung), channel=address.channel, receiver=address.receiver,
        receiver_name=_name(address, style), body=body, params=params, created_at=from_ms(now_ms),
        due_at=from_ms(max(now_ms + wait_ms, address.not_before)),
    )  # fmt: skip


def not_sent(incident: Incident, step: str, receiver: str, name: str, why: str, now_ms: int) -> NewMessage:
    """A row that never goes out: who is not told, and why."""
    params = {"severity": incident.severity.word, "rung": step}
    return NewMessage(
        incident.id, step, "", receiver, name, "", from_ms(now_ms), params, from_ms(now_ms), not_sent_because=why
    )


def _words(notice: Notice, channel: str, style: Style) -> tuple[str, dict[str, str]]:
    # Whatever channel stands in for this one finds what it needs: variables of a template, a line of a list.
    templates = load_templates()
    params = sms_params(notice, style, templates)
    said = {**params, "line": one_line(notice, style)}
    if channel in BY_TEMPLATE:
        return templates[params["template"]].rendered(params, style.language), said
    return wecom_markdown(notice, style), said


def _township_words(
    step: Step, incident: Incident, channel: str, style: Style, now_ms: int
) -> tuple[str, dict[str, str]]:
    params = township_sms(step, incident, style, now_ms)
    said = {**params, "line": township_line(step, incident, style, now_ms)}
    if channel in BY_TEMPLATE:
        return load_templates()[params["template"]].rendered(params, style.language), said
    return township_markdown(step, incident, style, now_ms), said


def _name(address: Address, style: Style) -> str:
    """The duty group bears its county's name, where people know one."""
    if address.channel != WECOM_ROBOT:
        return address.name
    name = division_name(address.receiver.removeprefix("group:"), style.language)
    return f"{name} duty group" if style.language == "en" else f"{name}值班群"
