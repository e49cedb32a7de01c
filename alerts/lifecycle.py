"""How findings become incidents, and how incidents change. Pure: no clock, no store.

An incident gathers the findings of one works and one cause. There is at most one unresolved incident per cause; what
resolves it is the end of *every* finding in it. A resolved incident stays resolved: what begins afterwards opens a new
one. An acknowledgement is a person's act and comes in through the store; here it only matters that a worse finding
takes it back, for what was acknowledged was the lesser matter.

``stale`` is no state but a flag beside it. While the works is silent about the very data an incident rests on, nobody
knows how the water is, so nothing resolves by itself (`has_gone_silent`, `resettled`).

Late findings, judged on readings that came after their window, are recorded and never told: by the time they are known
there is nothing to run for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from qingquan.clock import from_ms
from qingquan.domain.disinfection import HAND_LOG_OVERDUE
from qingquan.domain.findings import AS_OF, Finding, FindingKind
from qingquan.domain.incidents import Incident, IncidentState, TransitionReason

__all__ = [
    "DETECTOR",
    "KEPT",
    "RECOVERING_UNTIL",
    "STAYS",
    "TRANSITIONS",
    "Change",
    "Decision",
    "Step",
    "Transition",
    "belongs_to",
    "cause_of",
    "chronological",
    "decide",
    "has_gone_silent",
    "is_active",
    "is_replayed",
    "resettled",
    "steps_to_tell",
    "transition_of",
    "worst_of",
]

SILENT = "silent"
DETECTOR = "detector"
RECOVERING_UNTIL = "recovering_until"
"""Key of the summary: the end [ms] of the span for which good data must last."""

KEPT = (RECOVERING_UNTIL, "muted", "township", "of", "count", "fixed_by", "fixed_at", "help_by")
"""What of a summary others have written and findings do not change."""

SILENCES = (FindingKind.STALE, FindingKind.NEVER_SEEN)
INSTRUMENT_FAULTS = (
    FindingKind.OUT_OF_RANGE,
    FindingKind.NOT_EVALUATED,
    FindingKind.FLAT_LINE,
    FindingKind.HAND_DISAGREES,
)


class Step(StrEnum):
    """Why somebody is told about an incident."""

    FIRING = "firing"
    RAISED = "raised"
    RECOVERED = "recovered"
    WITHDRAWN = "withdrawn"
    ESCALATED = "escalated"
    FLAPPING = "flapping"


class Change(StrEnum):
    """What one finding means for the incident of its cause."""

    JOINED = "joined"
    RAISED = "raised"
    REPEATED = "repeated"
    ENDED = "ended"
    LAST_ENDED = "last_ended"
    LAST_WITHDRAWN = "last_withdrawn"
    BRIEF = "brief"
    LATE_LASTING = "late_lasting"
    LATE_OVER = "late_over"
    TAKEN_LIVE = "taken_live"
    MOOT = "moot"
    ACKNOWLEDGED = "acknowledged"
    LEASE_EXPIRED = "lease_expired"
    CLOSED = "closed"
    DRILL_OVER = "drill_over"
    HELP_WANTED = "help_wanted"


@dataclass(frozen=True, slots=True)
class Transition:
    """A row of the table: the state afterwards, what is written to the history, who is told why.

    ``after`` is ``None`` where no incident comes about. `TransitionReason.WATER_COMPLIANT` stands for "shown to be over"
    and is written as ``DATA_RETURNED`` where the cause was data and not water.
    """

    after: IncidentState | None
    reasons: tuple[TransitionReason, ...] = ()
    step: Step | None = None


_OPEN, _ACKNOWLEDGED, _RESOLVED = IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED
_CLOSED = IncidentState.CLOSED
_R = TransitionReason

TRANSITIONS: dict[tuple[IncidentState | None, Change], Transition] = {
    (None, Change.JOINED): Transition(_OPEN, (_R.FIRST_FINDING,), Step.FIRING),
    (None, Change.BRIEF): Transition(_RESOLVED, (_R.FIRST_FINDING, _R.WATER_COMPLIANT)),
    (None, Change.LATE_LASTING): Transition(_OPEN, (_R.RECORDED_LATE,)),
    (None, Change.LATE_OVER): Transition(_RESOLVED, (_R.RECORDED_LATE,)),
    (_OPEN, Change.JOINED): Transition(_OPEN, (_R.FINDING_JOINED,)),
    (_OPEN, Change.RAISED): Transition(_OPEN, (_R.SEVERITY_RAISED,), Step.RAISED),
    (_OPEN, Change.TAKEN_LIVE): Transition(_OPEN, (_R.FINDING_JOINED,), Step.FIRING),
    (_OPEN, Change.BRIEF): Transition(_OPEN, (_R.FINDING_JOINED,)),
    (_OPEN, Change.LATE_LASTING): Transition(_OPEN, (_R.RECORDED_LATE,)),
    (_OPEN, Change.LATE_OVER): Transition(_OPEN, (_R.RECORDED_LATE,)),
    (_OPEN, Change.LAST_ENDED): Transition(_RESOLVED, (_R.WATER_COMPLIANT,), Step.RECOVERED),
    (_OPEN, Change.LAST_WITHDRAWN): Transition(_RESOLVED, (_R.FINDINGS_WITHDRAWN,), Step.WITHDRAWN),
    (_ACKNOWLEDGED, Change.JOINED): Transition(_ACKNOWLEDGED, (_R.FINDING_JOINED,)),
    (_ACKNOWLEDGED, Change.RAISED): Transition(_OPEN, (_R.SEVERITY_RAISED,), Step.RAISED),
    (_ACKNOWLEDGED, Change.TAKEN_LIVE): Transition(_OPEN, (_R.FINDING_JOINED,), Step.FIRING),
    (_ACKNOWLEDGED, Change.BRIEF): Transition(_ACKNOWLEDGED, (_R.FINDING_JOINED,)),
    (_ACKNOWLEDGED, Change.LATE_LASTING): Transition(_ACKNOWLEDGED, (_R.RECORDED_LATE,)),
    (_ACKNOWLEDGED, Change.LATE_OVER): Transition(_ACKNOWLEDGED, (_R.RECORDED_LATE,)),
    (_ACKNOWLEDGED, Change.LAST_ENDED): Transition(_RESOLVED, (_R.WATER_COMPLIANT,), Step.RECOVERED),
    (_ACKNOWLEDGED, Change.LAST_WITHDRAWN): Transition(_RESOLVED, (_R.FINDINGS_WITHDRAWN,), Step.WITHDRAWN),
    # Only an incident that is itself history takes more of it; see `apply`.
    (_RESOLVED, Change.LATE_OVER): Transition(_RESOLVED, (_R.RECORDED_LATE,)),
    # What people and the clock do; no finding brings these about.
    (_OPEN, Change.ACKNOWLEDGED): Transition(_ACKNOWLEDGED, (_R.ACKNOWLEDGED,)),
    (_ACKNOWLEDGED, Change.LEASE_EXPIRED): Transition(_OPEN, (_R.LEASE_EXPIRED,)),
    (_RESOLVED, Change.CLOSED): Transition(_CLOSED, (_R.CLOSED,)),
    (_OPEN, Change.HELP_WANTED): Transition(_OPEN, (_R.HELP_WANTED,), Step.ESCALATED),
    (_ACKNOWLEDGED, Change.HELP_WANTED): Transition(_OPEN, (_R.HELP_WANTED,), Step.ESCALATED),
    (_OPEN, Change.DRILL_OVER): Transition(_RESOLVED, (_R.DRILL_ENDED,), Step.RECOVERED),
    (_ACKNOWLEDGED, Change.DRILL_OVER): Transition(_RESOLVED, (_R.DRILL_ENDED,), Step.RECOVERED),
}

_NEVER_MADE = (Change.REPEATED, Change.ENDED, Change.MOOT, Change.LAST_ENDED, Change.LAST_WITHDRAWN, Change.RAISED,
               Change.TAKEN_LIVE, Change.ACKNOWLEDGED, Change.LEASE_EXPIRED, Change.CLOSED, Change.DRILL_OVER,
               Change.HELP_WANTED)  # fmt: skip

STAYS: frozenset[tuple[IncidentState | None, Change]] = frozenset(
    [(None, change) for change in _NEVER_MADE]
    + [(state, change) for state in (_OPEN, _ACKNOWLEDGED) for change in (Change.REPEATED, Change.ENDED, Change.MOOT, Change.CLOSED)]
    + [(_OPEN, Change.LEASE_EXPIRED), (_ACKNOWLEDGED, Change.ACKNOWLEDGED)]
    + [(_RESOLVED, change) for change in Change if change not in (Change.LATE_OVER, Change.CLOSED)]
    + [(_CLOSED, change) for change in Change]
)  # fmt: skip
"""Pairs that leave everything as it is. Each pair of state and change stands here or in `TRANSITIONS`, none in both."""


def transition_of(before: IncidentState | None, change: Change) -> Transition | None:
    """The row of the table, ``None`` where nothing changes.

    Raises
    ------
    LookupError
        For a pair that nobody has thought of: a programming error.
    """
    found = TRANSITIONS.get((before, change))
    if found is None and (before, change) not in STAYS:
        raise LookupError(f"no transition from {before} by {change}")
    return found


@dataclass(frozen=True, slots=True)
class Decision:
    """What to write. ``incident`` is its new value (``id`` 0 = not stored yet), ``None`` where none comes about."""

    incident: Incident | None
    events: tuple[tuple[TransitionReason, str], ...] = ()
    notify: tuple[Step, ...] = ()


def cause_of(finding: Finding) -> str:
    """What the finding is about; findings of one works with the same cause share an incident.

    That nothing is heard of the mains, or that its contact is broken, says nothing about the mains: only its verdict does.
    """
    if finding.kind in SILENCES:
        return SILENT
    if finding.kind in INSTRUMENT_FAULTS:
        return "instrument"
    if finding.parameter == "power":
        return "power"
    if finding.kind is FindingKind.EXCEEDANCE:
        return f"exceedance:{finding.parameter}"
    if finding.kind is FindingKind.COMPOUND:
        return f"rule:{finding.rule}"
    if finding.kind is FindingKind.LAB_EXCEEDANCE:
        return f"lab:{finding.parameter}"
    if finding.kind is FindingKind.RESIDUAL_FALLING:
        return "forecast"
    if finding.kind is FindingKind.DETECTOR_SILENT:
        return DETECTOR
    if finding.rule == HAND_LOG_OVERDUE:
        return "hand_log"
    return "disinfection"


def is_active(finding: Finding) -> bool:
    """Whether the condition lasts, as far as is known."""
    return finding.end is None and not finding.withdrawn


def is_replayed(stored: Finding, incoming: Finding) -> bool:
    """Whether ``incoming`` is an older judgement of the same thing than the stored one, as a replay brings it.

    Without this, a replay would reopen what has long ended and send its alarms again. What truly lasts on after its end
    was reported does so because of a newer reading. Ends and withdrawals always count: they wake nobody.
    """
    if not is_active(incoming):
        return False
    seen, seen_before = incoming.evidence.get(AS_OF), stored.evidence.get(AS_OF)
    if isinstance(seen, int) and isinstance(seen_before, int):
        # A reading out of order may open again what had ended, without itself being evidence of the condition.
        return seen < seen_before
    if is_active(stored):
        return incoming.evidence_at < stored.evidence_at
    return incoming.evidence_at <= stored.evidence_at


def belongs_to(finding: Finding, incident: Incident) -> bool:
    """Whether a finding of the incident's cause is part of it. One that was over before it began is history of its own."""
    if finding.id in incident.finding_ids or finding.end is None:
        return True
    return finding.end >= int(incident.summary.get("since", "0"))


def chronological(findings: Iterable[Finding], known: frozenset[str] | set[str] = frozenset()) -> list[Finding]:
    """The findings in the order in which they came true, whatever order they arrive in.

    A finding seen for the first time when it is already over appears twice, first lasting, then ended, so that it meets
    the others as it would have live. At the same instant beginnings come before ends: when a low residual turns into a
    missing one, the incident goes on and nobody gets an all-clear. ``known`` are the ids already linked to an incident.
    """
    keyed: list[tuple[tuple[int, int, str], Finding]] = []
    for finding in findings:
        is_new = finding.id not in known
        if finding.end is None or finding.withdrawn or (finding.late and is_new):
            keyed.append(((finding.start, int(finding.withdrawn), finding.id), finding))
            continue
        if is_new:
            keyed.append(((finding.start, 0, finding.id), replace(finding, end=None)))
        keyed.append(((finding.end, 1, finding.id), finding))
    return [finding for _, finding in sorted(keyed, key=lambda pair: pair[0])]


def decide(
    finding: Finding,
    incident: Incident | None,
    findings_of_incident: Sequence[Finding],
    now_ms: int,
    silences: Sequence[Finding] = (),
    observe_ms: int = 0,
) -> Decision:
    """What a finding, new or changed, does to the unresolved incident of its cause.

    ``findings_of_incident`` are the current values of the linked findings (``finding`` replaces its own older value);
    ``silences`` the works' open stale and never-seen findings. With ``observe_ms`` the end of the last finding resolves
    nothing yet: `resettled` does, once good data have lasted so long. What changes nothing may change the summary.
    """
    others = [other for other in findings_of_incident if other.id != finding.id]
    linked = [*others, finding]
    change = _change(finding, incident, linked)
    if change in (Change.LAST_ENDED, Change.LAST_WITHDRAWN) and has_gone_silent(linked, silences):
        change = Change.ENDED
    if change is Change.LAST_ENDED and observe_ms:
        change = Change.ENDED
    before = None if incident is None else incident.state
    transition = transition_of(before, change)
    if incident is None:
        if transition is None or transition.after is None:
            return Decision(None)
        incident = _new(finding, now_ms)
    elif transition is None or transition.after is None:
        return Decision(_summed_up(incident, linked) if before is not _RESOLVED else incident)
    return _decided(incident, finding, linked, transition, now_ms)


def has_gone_silent(findings: Iterable[Finding], silences: Sequence[Finding]) -> bool:
    """Whether the works is silent about the data one of the findings rests on, so that its end cannot be trusted.

    A silence of another instrument says nothing; nor does one that began after the finding was shown to be over.
    """
    return any(
        silence.end is None
        and not silence.withdrawn
        and not finding.withdrawn
        and silence.point in ("", finding.point)
        and (silence.parameter in ("", finding.parameter) or not finding.parameter)
        and finding.kind not in SILENCES
        and finding.kind is not FindingKind.LAB_EXCEEDANCE
        and (finding.end is None or finding.end > silence.start)
        for silence in silences
        for finding in findings
    )


def resettled(
    incident: Incident, findings: Sequence[Finding], silences: Sequence[Finding], now_ms: int, observe_ms: int = 0
) -> Decision:
    """The incident once the works' silences are known: its stale flag, and the resolution that had to wait for data.

    Good data must last ``observe_ms`` before it resolves; until then ``summary["recovering_until"]`` says when that will be.
    """
    if incident.state.is_over or incident.is_drill or not findings:
        return Decision(incident)
    silent = has_gone_silent(findings, silences)
    events: tuple[tuple[TransitionReason, str], ...] = ()
    if silent != incident.stale:
        incident = replace(incident, stale=silent)
        events = ((_R.WENT_STALE if silent else _R.FRESH_AGAIN, ""),)
    if silent or any(is_active(finding) for finding in findings):
        return Decision(_without_recovery(incident), events)
    incident, recovering = _observed(incident, findings, now_ms, observe_ms)
    if recovering is not None and now_ms < recovering:
        return Decision(incident, events)
    settled = _settled(incident, findings, now_ms)
    return Decision(incident, events) if settled is None else replace(settled, events=events + settled.events)


def _observed(
    incident: Incident, findings: Sequence[Finding], now_ms: int, observe_ms: int
) -> tuple[Incident, int | None]:
    """The incident with the end of its observation, and that end [ms]; what was withdrawn is not observed."""
    if not observe_ms or all(finding.withdrawn for finding in findings):
        return incident, None
    until = int(incident.summary.get(RECOVERING_UNTIL, now_ms + observe_ms))
    return replace(incident, summary={**incident.summary, RECOVERING_UNTIL: str(until)}), until


def _without_recovery(incident: Incident) -> Incident:
    if RECOVERING_UNTIL not in incident.summary:
        return incident
    return replace(incident, summary={k: v for k, v in incident.summary.items() if k != RECOVERING_UNTIL})


def steps_to_tell(steps: Sequence[Step]) -> tuple[Step, ...]:
    """What remains to be told of several steps taken at one time: nobody is woken for what is already over."""
    if Step.FIRING not in steps:
        return tuple(
            dict.fromkeys(steps if not _is_over(steps) else [step for step in steps if step is not Step.RAISED])
        )
    return () if _is_over(steps) else (Step.FIRING,)


def worst_of(findings: Iterable[Finding]) -> Finding | None:
    """The finding to speak about: lasting before over, then the most severe, then the oldest."""
    return max(
        (finding for finding in findings if not finding.withdrawn),
        key=lambda finding: (is_active(finding), finding.severity, -finding.start, finding.id),
        default=None,
    )


def _is_over(steps: Sequence[Step]) -> bool:
    return Step.RECOVERED in steps or Step.WITHDRAWN in steps


def _change(finding: Finding, incident: Incident | None, linked: Sequence[Finding]) -> Change:
    is_linked = incident is not None and finding.id in incident.finding_ids
    if is_active(finding):
        return _change_by_active(finding, incident, is_linked)
    if not is_linked:
        if finding.withdrawn:
            return Change.MOOT
        return Change.LATE_OVER if finding.late else Change.BRIEF
    if any(is_active(other) for other in linked):
        return Change.ENDED
    return Change.LAST_WITHDRAWN if all(other.withdrawn for other in linked) else Change.LAST_ENDED


def _change_by_active(finding: Finding, incident: Incident | None, is_linked: bool) -> Change:
    if finding.late:
        return Change.REPEATED if is_linked else Change.LATE_LASTING
    if incident is not None and incident.late:
        return Change.TAKEN_LIVE
    if incident is not None and finding.severity > incident.severity:
        return Change.RAISED
    return Change.REPEATED if is_linked else Change.JOINED


def _new(finding: Finding, now_ms: int) -> Incident:
    return Incident(
        id=0, county=finding.county, works=finding.works, kind=finding.kind, severity=finding.severity, state=_OPEN,
        stale=False, late=finding.late, opened_at=from_ms(now_ms), acknowledged_at=None, acknowledged_by="",
        resolved_at=None, finding_ids=(finding.id,), summary={"cause": cause_of(finding)},
    )  # fmt: skip


def _decided(
    incident: Incident, finding: Finding, linked: Sequence[Finding], transition: Transition, now_ms: int
) -> Decision:
    after = transition.after
    assert after is not None  # decide() has dealt with the rows that make no incident
    takes_back = incident.state is _ACKNOWLEDGED and after is _OPEN
    is_history = incident.late and finding.late
    severity = incident.severity if finding.late and not is_history else max(incident.severity, finding.severity)
    ids = incident.finding_ids
    changed = replace(
        incident,
        state=after,
        severity=severity,
        late=is_history,
        resolved_at=(incident.resolved_at or from_ms(now_ms)) if after is _RESOLVED else None,
        acknowledged_at=None if takes_back else incident.acknowledged_at,
        acknowledged_by="" if takes_back else incident.acknowledged_by,
        finding_ids=ids if finding.id in ids else (*ids, finding.id),
    )
    cause = incident.summary["cause"]
    events = tuple((_worded(reason, cause), f"{finding.kind} {finding.id}") for reason in transition.reasons)
    return Decision(_summed_up(changed, linked), events, () if transition.step is None else (transition.step,))


def _settled(incident: Incident, findings: Sequence[Finding], now_ms: int) -> Decision | None:
    """The resolution that waited for fresh data; ``None`` while a finding lasts."""
    if not findings or any(is_active(finding) for finding in findings):
        return None
    change = Change.LAST_WITHDRAWN if all(finding.withdrawn for finding in findings) else Change.LAST_ENDED
    transition = TRANSITIONS[incident.state, change]
    last = max(findings, key=lambda finding: (finding.end or 0, finding.id))
    return _decided(incident, last, findings, transition, now_ms)


def _worded(reason: TransitionReason, cause: str) -> TransitionReason:
    is_about_data = cause in (SILENT, "instrument")
    return _R.DATA_RETURNED if is_about_data and reason is _R.WATER_COMPLIANT else reason


def _summed_up(incident: Incident, findings: Sequence[Finding]) -> Incident:
    """The incident with the facts of its worst finding, as lists and messages show them."""
    worst = worst_of(findings)
    if worst is None:
        return incident
    starts = [finding.start for finding in findings if not finding.withdrawn]
    summary = {
        "cause": incident.summary["cause"],
        "finding": worst.id,
        "point": worst.point,
        "parameter": worst.parameter,
        "since": str(min(starts)),
        "value": "" if worst.extreme is None else repr(worst.extreme),
        "limit": "" if worst.limit is None else repr(worst.limit),
        "clause": worst.clause,
        "reason": worst.reason,
    }
    # What the adviser has worked out meanwhile stays until it says otherwise.
    summary |= {name: text for name, text in incident.summary.items() if name.startswith("verdict") or name in KEPT}
    return replace(incident, kind=worst.kind, summary=summary)
