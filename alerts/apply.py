"""Shell of the incident lifecycle: findings in; findings, incidents, history and outbox rows written.

Everything happens in the caller's transaction, together with whatever else the caller writes there: a crash leaves all
of it or nothing. The same findings again change nothing and tell nobody. Reads and writes are batched, because a power
cut in a township makes thousands of findings at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Connection

from alerts.ladder import run_ladders, tell_the_end
from alerts.lifecycle import (
    RECOVERING_UNTIL,
    SILENT,
    Change,
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
    transition_of,
    worst_of,
)
from alerts.messages import AlertSettings, parameter_labels
from alerts.policy import Policy
from alerts.routing import is_standing, subject_of
from alerts.township import gather
from qingquan.clock import from_ms, to_ms
from qingquan.domain.disinfection import Verdict
from qingquan.domain.findings import Finding
from qingquan.domain.incidents import Incident, IncidentState, TransitionReason
from qingquan.domain.works import Works
from qingquan.store.sql import incident_batches as batches
from qingquan.store.sql.findings import upsert_findings
from qingquan.store.sql.rungs import children_of, due_incidents, postpone

__all__ = ["AlertSettings", "Applied", "Attended", "apply_findings", "attend", "parameter_labels"]

WorksKey = tuple[str, str]
CaseKey = tuple[str, str, str]

# After an observation its end is looked at first, then what waited for it goes.
AFTERWARDS_MS = 10_000

# A buffered upload is judged hour by hour and comes in many messages: what is recorded late within a day is one incident.
RETROSPECTIVE_MS = 24 * 3_600_000


@dataclass(frozen=True, slots=True)
class Applied:
    """What a call has done. ``replayed`` findings were older than what is stored and changed nothing."""

    findings_written: int = 0
    replayed: int = 0
    incidents_opened: int = 0
    incidents_resolved: int = 0
    messages_queued: int = 0
    messages_called_off: int = 0


@dataclass(frozen=True, slots=True)
class Attended:
    """What a call of `attend` has done: incidents looked at, settled, messages queued and called off."""

    looked_at: int = 0
    resolved: int = 0
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
        if self.incident.state.is_over and self.incident.next_at is not None:
            self.incident = replace(self.incident, next_at=None, lease_until=None)
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
    verdict_of: Callable[[Finding], Verdict | None] | None = None,
) -> Applied:
    """Store findings and bring incidents, their history and the outbox in line with them.

    ``works`` is the register (at least of the works concerned). ``verdict_of`` says what probably stands behind a finding, as far as is
    known at once. Needs a writing transaction of the caller's.
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
    settings = settings or AlertSettings()
    cases = _moved_on(connection, fresh, now_ms, settings.policy)
    verdicts = _verdicts(cases, verdict_of)
    _begin_ladders(cases, works, _told_standing(connection, cases, works), now_ms)
    _store(connection, cases, now_ms)
    called_off, queued = _tell(connection, cases, works.get, now_ms, settings, verdicts)
    return Applied(
        findings_written=written,
        replayed=len(replayed),
        incidents_opened=sum(case.before is None for case in cases),
        incidents_resolved=sum(_is_resolved(case.incident) and not _was_resolved(case) for case in cases),
        messages_queued=queued,
        messages_called_off=called_off,
    )


def attend(
    connection: Connection,
    lookup: Callable[[WorksKey], Works | None],
    now_ms: int,
    settings: AlertSettings,
    limit: int = 500,
) -> Attended:
    """Do what time alone brings about: rungs due, leases run out, mutes and observations over, drills at their end.

    Needs a writing transaction of the caller's. The rows of the incidents are held until its end: several alerters may call
    this at once, none gets what another holds, and one that dies has done nothing.
    """
    due = due_incidents(connection, now_ms, limit)
    cases = [
        case
        for one in due
        if RECOVERING_UNTIL in one.summary
        for case in [_recovering(connection, one, now_ms, settings)]
    ]
    cases += [_drilled(one, now_ms) for one in due if _is_drill_over(one, now_ms, settings.policy)]
    _store(connection, cases, now_ms)
    called_off, queued = _tell(connection, cases, lookup, now_ms, settings, {}) if cases else (0, 0)
    done = {case.incident.id for case in cases if _is_resolved(case.incident)}
    queued += run_ladders(connection, {one.id for one in due} - done, lookup, now_ms, settings)
    return Attended(len(due), len(done), queued, called_off)


def _recovering(connection: Connection, incident: Incident, now_ms: int, settings: AlertSettings) -> _Case:
    """An incident under observation: over, unless its works has fallen silent meanwhile."""
    findings = batches.stored_findings(connection, incident.finding_ids)
    case = _Case(incident, incident, findings)
    of_works = batches.unresolved_incidents(connection, {case.works_key})
    known = batches.stored_findings(connection, {id_ for one in of_works for id_ in one.finding_ids})
    silences = [one for one in known.values() if cause_of(one) == SILENT and is_active(one)]
    observe = settings.policy.observe_ms[subject_of(case.cause, incident.kind)]
    case.take(resettled(incident, list(findings.values()), silences, now_ms, observe))
    return case


def _is_drill_over(incident: Incident, now_ms: int, policy: Policy) -> bool:
    if not incident.is_drill or incident.state.is_over:
        return False
    return incident.state is IncidentState.ACKNOWLEDGED or now_ms >= to_ms(incident.opened_at) + policy.drill_most_ms


def _drilled(incident: Incident, now_ms: int) -> _Case:
    row = transition_of(incident.state, Change.DRILL_OVER)
    assert row is not None
    assert row.after is not None
    assert row.step is not None
    over = replace(incident, state=row.after, resolved_at=from_ms(now_ms), next_at=None)
    return _Case(over, incident, {}, [row.step], [(row.reasons[0], "")])


def _moved_on(connection: Connection, fresh: Sequence[Finding], now_ms: int, policy: Policy) -> list[_Case]:
    """All cases of the works concerned, after the findings; those resolved or opened and resolved in between included."""
    board = _Board.of(connection, fresh, now_ms)
    for finding in chronological(fresh, board.linked):
        board.move(finding, now_ms, policy)
    for case in board.running.values():
        silences = board.silences.get(case.works_key, [])
        observe = policy.observe_ms[subject_of(case.cause, case.incident.kind)]
        case.take(resettled(case.incident, list(case.findings.values()), silences, now_ms, observe))
        until = case.incident.summary.get(RECOVERING_UNTIL)
        if until is not None and not _is_resolved(case.incident):
            case.incident = replace(case.incident, next_at=_earlier(case.incident.next_at, int(until)))
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

    def move(self, finding: Finding, now_ms: int, policy: Policy) -> None:
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
        observe = policy.observe_ms[subject_of(cause_of(finding), finding.kind)]
        decision = decide(finding, incident, others, now_ms, silences, observe)
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


def _verdicts(cases: Sequence[_Case], verdict_of: Callable[[Finding], Verdict | None] | None) -> dict[int, Verdict]:
    """Verdicts on the cases somebody is about to be told of, noted on their incidents; by the case's identity."""
    found: dict[int, Verdict] = {}
    for case in cases:
        if verdict_of is None or not case.steps or case.incident.late or _is_resolved(case.incident):
            continue
        worst = worst_of([one for one in case.findings.values() if is_active(one)])
        verdict = None if worst is None else verdict_of(worst)
        if verdict is not None:
            found[id(case)] = verdict
            case.incident = replace(case.incident, summary={**case.incident.summary, **verdict.notes()})
    return found


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


def _begin_ladders(
    cases: Sequence[_Case], works: Mapping[WorksKey, Works], told_before: set[tuple[WorksKey, str]], now_ms: int
) -> None:
    """Where there is something to tell, a ladder begins, or begins anew where the matter got worse."""
    for case in cases:
        steps = steps_to_tell(case.steps)
        firing = Step.FIRING in steps
        if not firing and Step.RAISED not in steps:
            continue
        standing = is_standing(case.cause, works.get(case.works_key))
        if (case.works_key, case.cause) in told_before or (standing and not firing):
            case.events.append((TransitionReason.MUTED, "known_problem"))
            continue
        now = from_ms(now_ms)
        again = case.incident.round + (0 if firing else 1)
        case.incident = replace(
            case.incident,
            round=again,
            ladder_at=now,
            next_at=now,
            lease_until=None,
            parent_id=None if not firing else case.incident.parent_id,
        )


def _tell(
    connection: Connection,
    cases: Sequence[_Case],
    lookup: Callable[[WorksKey], Works | None],
    now_ms: int,
    settings: AlertSettings,
    verdicts: Mapping[int, Verdict],
) -> tuple[int, int]:
    """Call off what nobody has been told yet of incidents now over, tell those who were told, and let ladders begin."""
    ended: list[tuple[Incident, Step, list[Finding]]] = [
        (case.incident, step, list(case.findings.values()))
        for case in cases
        for step in steps_to_tell(case.steps)
        if step in (Step.RECOVERED, Step.WITHDRAWN)
    ]
    groups, groups_over = gather(connection, [case.incident for case in cases], lookup, now_ms, settings)
    ended += [(one, step, []) for one, step in groups_over]
    called_off, queued = tell_the_end(connection, ended, lookup, now_ms, settings)
    beginning = {
        case.incident.id
        for case in cases
        if case.incident.ladder_at == from_ms(now_ms) and not _is_resolved(case.incident)
    }
    _wait_for_observation(connection, cases, [one for one in groups if _is_restored(connection, one)], now_ms)
    known = {case.incident.id: verdicts[id(case)] for case in cases if id(case) in verdicts}
    ran = run_ladders(connection, beginning | {one.id for one in groups}, lookup, now_ms, settings, known)
    return called_off, queued + ran


def _wait_for_observation(
    connection: Connection, cases: Sequence[_Case], groups: Sequence[Incident], now_ms: int
) -> None:
    """What is about to prove over is not told meanwhile; its end calls it off, its relapse lets it go."""
    until: dict[int, int] = {}
    for case in cases:
        end = case.incident.summary.get(RECOVERING_UNTIL)
        if end is not None and int(end) > now_ms and not _is_resolved(case.incident):
            until[case.incident.id] = int(end)
    if not until:
        return
    postpone(connection, [*until, *(one.id for one in groups)], max(until.values()) + AFTERWARDS_MS)


def _is_restored(connection: Connection, group: Incident) -> bool:
    """Whether data have come back to every works of a township, as far as is known yet."""
    of_group = [one for one in children_of(connection, group.id) if not one.state.is_over]
    return all(RECOVERING_UNTIL in one.summary for one in of_group)


def _earlier(one: datetime | None, other_ms: int) -> datetime:
    other = from_ms(other_ms)
    return other if one is None else min(one, other)


def _is_resolved(incident: Incident) -> bool:
    return incident.state is IncidentState.RESOLVED


def _was_resolved(case: _Case) -> bool:
    return case.before is not None and _is_resolved(case.before)
