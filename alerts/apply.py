"""Shell of the incident lifecycle: findings in; findings, incidents, history and outbox rows written.

Everything happens in the caller's transaction, together with whatever else the caller writes there: a crash leaves all
of it or nothing. The same findings again change nothing and tell nobody. Reads and writes are batched, because a power
cut in a township makes thousands of findings at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from sqlalchemy import Connection

from alerts.lifecycle import (
    SILENT,
    Decision,
    Step,
    belongs_to,
    cause_of,
    chronological,
    decide,
    is_active,
    is_replayed,
    resettled,
    steps_to_tell,
    worst_of,
)
from alerts.routing import GROUP_WAIT_S, SMS, Receiver, audience, is_standing
from alerts.templates import load_templates
from alerts.wording import Label, Notice, Style, one_line, sms_params, wecom_markdown
from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.findings import Finding
from qingquan.domain.incidents import Incident, IncidentState, NewMessage, TransitionReason
from qingquan.domain.works import Works
from qingquan.standards.divisions import division_name
from qingquan.standards.loader import load_standards
from qingquan.store.sql import incident_batches as batches
from qingquan.store.sql.findings import upsert_findings
from qingquan.store.sql.outbox import enqueue

__all__ = ["AlertSettings", "Applied", "apply_findings", "parameter_labels"]

WorksKey = tuple[str, str]
CaseKey = tuple[str, str, str]

# A buffered upload is judged hour by hour and comes in many messages: what is recorded late within a day is one incident.
RETROSPECTIVE_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """What of the settings bears on messages."""

    style: Style = field(default_factory=Style)

    @classmethod
    def from_config(cls, config: Config) -> "AlertSettings":
        """The settings of a running system."""
        return cls(Style(config.language, config.time_zone, config.public_url))


@dataclass(frozen=True, slots=True)
class Applied:
    """What a call has done. ``replayed`` findings were older than what is stored and changed nothing."""

    findings_written: int = 0
    replayed: int = 0
    incidents_opened: int = 0
    incidents_resolved: int = 0
    messages_queued: int = 0
    messages_called_off: int = 0


@dataclass(slots=True)
class _Case:
    """An incident while findings are applied to it; ``before`` is what is stored, ``None`` for a new one."""

    incident: Incident
    before: Incident | None
    findings: dict[str, Finding] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    events: list[tuple[TransitionReason, str]] = field(default_factory=list)

    def take(self, decision: Decision) -> None:
        """Go on to the incident a decision leads to."""
        assert decision.incident is not None
        self.incident = decision.incident
        self.events += decision.events
        self.steps += decision.notify

    @property
    def works_key(self) -> WorksKey:
        return self.incident.county, self.incident.works

    @property
    def cause(self) -> str:
        return self.incident.summary["cause"]


def apply_findings(
    connection: Connection,
    findings: Iterable[Finding],
    works: Mapping[WorksKey, Works],
    now_ms: int,
    settings: AlertSettings | None = None,
) -> Applied:
    """Store findings and bring incidents, their history and the outbox in line with them.

    ``works`` is the register (at least of the works concerned). Needs a writing transaction of the caller's.
    """
    newest = {finding.id: finding for finding in findings}
    stored = batches.stored_findings(connection, newest)
    # What has once been live stays so: its end may come out of a buffer, hours later.
    newest |= {
        id_: replace(newest[id_], late=False) for id_, was in stored.items() if newest[id_].late and not was.late
    }
    replayed = {id_ for id_, finding in newest.items() if id_ in stored and is_replayed(stored[id_], finding)}
    fresh = [finding for id_, finding in newest.items() if id_ not in replayed and stored.get(id_) != finding]
    if not fresh:
        return Applied(replayed=len(replayed))
    written = upsert_findings(connection, fresh, now_ms)
    cases = _moved_on(connection, fresh, now_ms)
    told_before = _told_standing(connection, cases, works)
    _store(connection, cases, now_ms)
    called_off, queued = _tell(connection, cases, works, told_before, now_ms, settings or AlertSettings())
    return Applied(
        findings_written=written,
        replayed=len(replayed),
        incidents_opened=sum(case.before is None for case in cases),
        incidents_resolved=sum(_is_resolved(case.incident) and not _was_resolved(case) for case in cases),
        messages_queued=queued,
        messages_called_off=called_off,
    )


@cache
def parameter_labels() -> Mapping[str, Label]:
    """Names, units and decimals of everything the standards name; online parameters before laboratory ones."""
    tables = load_standards()
    labels = {limit.code: Label(limit.name_zh, limit.name_en, limit.unit) for limit in tables.limits}
    online = {p.code: Label(p.name_zh, p.name_en, p.unit, p.decimals) for p in tables.parameters.values()}
    return labels | online


def _moved_on(connection: Connection, fresh: Sequence[Finding], now_ms: int) -> list[_Case]:
    """All cases of the works concerned, after the findings; those resolved or opened and resolved in between included."""
    board = _Board.of(connection, fresh, now_ms)
    for finding in chronological(fresh, board.linked):
        board.move(finding, now_ms)
    for case in board.running.values():
        silences = board.silences.get(case.works_key, [])
        case.take(resettled(case.incident, list(case.findings.values()), silences, now_ms))
    return [*board.over, *board.history.values(), *board.running.values()]


@dataclass(slots=True)
class _Board:
    """The works concerned while a call is under way: unresolved cases, those recorded late, those just over."""

    running: dict[CaseKey, _Case]
    history: dict[CaseKey, _Case]
    over: list[_Case]
    linked: set[str]
    silences: dict[WorksKey, list[Finding]]

    @classmethod
    def of(cls, connection: Connection, fresh: Sequence[Finding], now_ms: int) -> "_Board":
        """What is stored about the works of the findings."""
        works = {(finding.county, finding.works) for finding in fresh}
        unresolved = batches.unresolved_incidents(connection, works)
        late_works = {(finding.county, finding.works) for finding in fresh if finding.late}
        recorded = batches.retrospective_incidents(connection, late_works, now_ms - RETROSPECTIVE_MS)
        known = batches.stored_findings(
            connection, {id_ for one in (*unresolved, *recorded) for id_ in one.finding_ids}
        )
        running, history = (
            {
                (one.county, one.works, one.summary["cause"]): _Case(
                    one, one, {id_: known[id_] for id_ in one.finding_ids}
                )
                for one in incidents
            }
            for incidents in (unresolved, recorded)
        )
        linked = batches.linked_findings(connection, [finding.id for finding in fresh])
        return cls(running, history, [], linked, _silences(running.values(), fresh))

    def move(self, finding: Finding, now_ms: int) -> None:
        """Take one finding to its case."""
        key = (finding.county, finding.works, cause_of(finding))
        case = self.running.get(key)
        if case is not None and not belongs_to(finding, case.incident):
            case = None
        if case is None and finding.id in self.linked and not is_active(finding):
            return  # it belongs to an incident that is over: nothing is left to decide
        if case is None and finding.late and not is_active(finding):
            case = self.history.get(key)
        silences = self.silences.get((finding.county, finding.works), [])
        incident, others = (None, []) if case is None else (case.incident, list(case.findings.values()))
        decision = decide(finding, incident, others, now_ms, silences)
        if decision.incident is None:
            return
        if case is None:
            case = _Case(decision.incident, None)
        case.take(decision)
        if finding.id in case.incident.finding_ids:
            case.findings[finding.id] = finding
        self._file(key, case)

    def _file(self, key: CaseKey, case: _Case) -> None:
        if not _is_resolved(case.incident):
            self.running[key] = case
            return
        if self.running.get(key) is case:
            del self.running[key]
        if case.incident.late:
            # Earlier history that makes room for newer was written as it is, or is kept with what is over.
            if (earlier := self.history.get(key)) not in (None, case):
                self.over.append(earlier)
            self.history[key] = case
        else:
            self.over.append(case)


def _silences(cases: Iterable[_Case], fresh: Sequence[Finding]) -> dict[WorksKey, list[Finding]]:
    """The works' lasting silences as they are after this call, so that the order of findings in it does not matter."""
    latest = {f.id: f for case in cases if case.cause == SILENT for f in case.findings.values()}
    latest |= {finding.id: finding for finding in fresh if cause_of(finding) == SILENT}
    silences: dict[WorksKey, list[Finding]] = {}
    for finding in latest.values():
        if is_active(finding):
            silences.setdefault((finding.county, finding.works), []).append(finding)
    return silences


def _store(connection: Connection, cases: Sequence[_Case], now_ms: int) -> None:
    """Write the cases that changed; new ones get their id."""
    changed = [case for case in cases if case.incident != case.before]
    # Updates first: a resolved incident frees its cause for the one that follows it.
    batches.update_incidents(connection, [case.incident for case in changed if case.before is not None])
    new = [case for case in changed if case.before is None]
    for case, incident in zip(new, batches.insert_incidents(connection, [case.incident for case in new]), strict=True):
        case.incident = incident
    batches.link_findings(
        connection,
        (
            (case.incident.id, id_)
            for case in changed
            for id_ in case.incident.finding_ids
            if case.before is None or id_ not in case.before.finding_ids
        ),
    )
    batches.add_events(
        connection, now_ms, ((case.incident.id, reason, detail) for case in changed for reason, detail in case.events)
    )


def _told_standing(
    connection: Connection, cases: Sequence[_Case], works: Mapping[WorksKey, Works]
) -> set[tuple[WorksKey, str]]:
    """Works and cause of standing incidents that came up before: those are never told again."""
    standing: dict[str, set[WorksKey]] = {}
    for case in cases:
        if case.before is None and is_standing(case.cause, works.get(case.works_key)):
            standing.setdefault(case.cause, set()).add(case.works_key)
    return {
        (key, cause) for cause, keys in standing.items() for key in batches.works_with_incident(connection, keys, cause)
    }


def _tell(
    connection: Connection,
    cases: Sequence[_Case],
    works: Mapping[WorksKey, Works],
    told_before: set[tuple[WorksKey, str]],
    now_ms: int,
    settings: AlertSettings,
) -> tuple[int, int]:
    """Call off what nobody has been told yet of incidents now over, and queue the rest; counts of both."""
    speaking = [(case, step) for case in cases for step in steps_to_tell(case.steps)]
    over = [case.incident.id for case, step in speaking if step in (Step.RECOVERED, Step.WITHDRAWN)]
    called_off = batches.call_off(connection, over, "over before it was sent") if over else 0
    told: dict[int, list[Receiver]] = {}
    for one in batches.told_of(connection, over) if over else []:
        told.setdefault(one.incident_id, []).append(Receiver(one.channel, one.receiver, one.receiver_name))
    open_causes: dict[WorksKey, set[str]] = {}
    for case in cases:
        if not _is_resolved(case.incident):
            open_causes.setdefault(case.works_key, set()).add(case.cause)
    messages: list[NewMessage] = []
    for case, step in speaking:
        notice = _notice(case, step, works.get(case.works_key), now_ms)
        if step in (Step.RECOVERED, Step.WITHDRAWN):
            receivers = told.get(case.incident.id, [])
        elif (case.works_key, case.cause) in told_before:
            receivers = []
        else:
            causes = open_causes.get(case.works_key, set())
            receivers = audience(case.cause, notice.finding, works.get(case.works_key), step, causes)
        messages += [_message(notice, _named(receiver, settings), settings) for receiver in receivers]
    return called_off, enqueue(connection, messages)


def _named(receiver: Receiver, settings: AlertSettings) -> Receiver:
    """The duty group bears its county's name, where people know one."""
    county = receiver.address.removeprefix("group:")
    if county == receiver.address:
        return receiver
    language = settings.style.language
    name = division_name(county, language)
    return replace(receiver, name=f"{name} duty group" if language == "en" else f"{name}值班群")


def _notice(case: _Case, step: Step, works: Works | None, now_ms: int) -> Notice:
    live = [finding for finding in case.findings.values() if not finding.late] or list(case.findings.values())
    spoken = worst_of(live) or live[0]
    active = [finding for finding in live if is_active(finding)]
    since = int(case.incident.summary.get("since", spoken.start))
    # The message bears the incident's severity: it decides who is told, and the worst finding has set it.
    spoken = replace(spoken, severity=max(spoken.severity, case.incident.severity))
    label = parameter_labels().get(spoken.parameter)
    return Notice(step, case.incident.id, spoken, works, label, now_ms, since, max(0, len(active) - 1))


def _message(notice: Notice, receiver: Receiver, settings: AlertSettings) -> NewMessage:
    style = settings.style
    step = f"{notice.step}_{notice.finding.severity.word}" if notice.step is Step.RAISED else str(notice.step)
    if receiver.channel == SMS:
        templates = load_templates()
        params = sms_params(notice, style, templates)
        body = templates[params["template"]].rendered(params, style.language)
    else:
        body = wecom_markdown(notice, style)
        params = {"line": one_line(notice, style)}
    params["severity"] = notice.finding.severity.word
    return NewMessage(
        incident_id=notice.incident_id,
        step=step,
        channel=receiver.channel,
        receiver=receiver.address,
        receiver_name=receiver.name,
        body=body,
        params=params,
        created_at=from_ms(notice.now_ms),
        due_at=from_ms(notice.now_ms + GROUP_WAIT_S[notice.finding.severity] * 1000),
    )


def _is_resolved(incident: Incident) -> bool:
    return incident.state is IncidentState.RESOLVED


def _was_resolved(case: _Case) -> bool:
    return case.before is not None and _is_resolved(case.before)
