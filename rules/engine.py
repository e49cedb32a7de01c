"""`evaluate(batch, state, plan, now) -> (evaluation, state)`: the fold over the reading log.

No clock, no I/O, no logging. The compiled loop (`rules.kernel`) walks the readings; this file turns its transitions into
findings with deterministic ids and takes back what a roll-back has shown to be untrue.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qingquan.domain.findings import AS_OF, DisinfectionState, Finding, FindingKind, Severity, finding_id
from qingquan.domain.parameters import Limit, Parameter
from qingquan.domain.readings import ReadingBatch, SeriesKey
from rules import kernel
from rules.compound_words import described
from rules.late import late_findings
from rules.layout import EVENT, LOCAL_BITS, NEVER
from rules.ordering import walk
from rules.plan import Plan
from rules.reasons import SILENT_OVER, sentence
from rules.state import Said, State

__all__ = [
    "COUNTS",
    "RULE_ERRORS",
    "UNIT_STATES",
    "Evaluation",
    "evaluate",
    "maintained_series",
    "open_findings",
    "stale_series",
]

COUNTS = ("judged", "duplicates", "conflicts", "late", "missing")
LATE = COUNTS.index("late")
RULE_ERRORS = "rule_errors"
"""Divisions by zero at run time, in what `Evaluation.counts` adds to `COUNTS`."""
UNIT_STATES = {
    kernel.OK: DisinfectionState.OK,
    kernel.LOW: DisinfectionState.LOW,
    kernel.LOST: DisinfectionState.MISSING,
    kernel.HIGH: DisinfectionState.HIGH,
    kernel.UNKNOWN: DisinfectionState.UNKNOWN,
    kernel.IDLE: DisinfectionState.IDLE,
}
SILENCE_RULE = "silence"
# Room for what a batch says, beyond what one works may say; when it is full the loop hands over and goes on.
EVENTS = 4096
Key = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one batch changed.

    ``findings``: opened, changed, closed or withdrawn, newest version of each. ``flags`` (n,) uint8: QARTOD flag of each row
    judged in order, 9 missing, 2 where the row took another way (out of order, duplicate, late). ``counts``: by `COUNTS`.
    """

    findings: list[Finding]
    flags: npt.NDArray[np.uint8]
    counts: dict[str, int]


def evaluate(
    batch: ReadingBatch,
    slots: npt.NDArray[np.int32],
    state: State,
    plan: Plan,
    parameters: Mapping[str, Parameter],
    now: int,
    language: str = "zh",
) -> tuple[Evaluation, State]:
    """Judge a batch.

    Parameters
    ----------
    batch : columns of readings, in log order
    slots : (n,) int32, series slot of each row in the plan; negative rows belong to another fold and are skipped
    state : changed in place and returned: the caller must not use the old value again
    plan : facts, compiled from register, standards and ruleset
    parameters : names and units for the reasons
    now : [ms] only marks findings whose newest evidence is older than the works' lateness window as ``late``
    """
    size = len(batch)
    flags = np.full(size, kernel.NOT_EVALUATED, np.uint8)
    late = np.zeros(size, np.uint8)
    counts = np.zeros(len(COUNTS), np.int64)
    leaves = state.leaves[0]
    failed = int(leaves["errors"].sum()) if len(leaves) else 0
    told = _Told(plan, state, parameters, now, language)
    for events in _run(batch, slots, state, plan, flags, late, counts):
        told.take(events)
    findings = told.finish()
    if counts[LATE]:
        rows = np.flatnonzero(late)
        findings += [
            replace(one, reason=sentence(one, parameters.get(one.parameter), language))
            for one in late_findings(plan, slots[rows], batch.observed_at[rows], batch.value[rows], batch.flag[rows])
        ]
    counted = dict(zip(COUNTS, counts.tolist(), strict=True))
    if len(leaves):
        counted[RULE_ERRORS] = int(leaves["errors"].sum()) - failed
    return Evaluation(findings, flags, counted), state


def _run(
    batch: ReadingBatch, slots: npt.NDArray[np.int32], state: State, plan: Plan,
    flags: npt.NDArray[np.uint8], late: npt.NDArray[np.uint8], counts: npt.NDArray[np.int64],
) -> Iterator[npt.NDArray[np.void]]:  # fmt: skip
    """Walk the batch, yielding transitions whenever the buffer fills."""
    events = np.empty(plan.most_events + EVENTS, EVENT)
    live, older, newer = ((state.series[n], state.timers[n], state.units[n], state.leaves[n]) for n in range(3))
    facts = (
        plan.series_facts, plan.timer_kinds, plan.unit_facts, plan.unit_limits,
        state.units[0], state.series[0], state.timers[0], plan.series_kinds, plan.kind_of,
    )  # fmt: skip
    tables = plan.compounds
    compounds = (tables.compounds, tables.leaves, tables.nodes, tables.zones, state.leaves[0])
    way = walk(plan.works_of_series, len(plan.works), slots, batch.observed_at)
    message, row, is_through = 0, 0, False
    while not is_through:
        message, row, n, is_through = kernel.fold_batch(
            facts, compounds, plan.works_facts, plan.works_forms, state.works, live, older, newer, state.ring,
            slots, batch.observed_at, batch.value, batch.flag, way.patterns, way.messages, message, row, events, flags, late, counts,
        )  # fmt: skip
        if n:
            yield events[:n]


class _Told:
    """Keeps account of what was said, transition by transition, and at the end of the batch says what is new.

    ``before`` holds, for every finding touched, how it stood when the batch began (``None``: it did not exist).
    """

    def __init__(self, plan: Plan, state: State, parameters: Mapping[str, Parameter], now: int, language: str) -> None:
        self.plan = plan
        self.state = state
        self.make = _Maker(plan, state, parameters, now, language)
        self.before: dict[int, dict[Key, Said | None]] = {}

    def take(self, events: npt.NDArray[np.void]) -> None:
        for what, target, works, start, end, evidence, extreme, at in events.tolist():
            if what == kernel.REFOLDED:
                self._roll_back(works, at)
                continue
            # Nobody misses a series that nobody expects.
            if not (self.plan.expected[target] if what == kernel.GAP else self.plan.meanings[target].speaks):
                continue
            timer = -1 - target if what == kernel.GAP else target
            said = self.state.said.setdefault(works, {})
            self.before.setdefault(works, {}).setdefault((timer, start), said.get((timer, start)))
            is_over = what in (kernel.CLOSED, kernel.GAP)
            said[(timer, start)] = Said(end if is_over else None, evidence, extreme, at)

    def _roll_back(self, works: int, mark: int) -> None:
        """Everything said after the checkpoint will be said again, or not; what was final before it stands."""
        said = self.state.said.get(works, {})
        before = self.before.setdefault(works, {})
        final: dict[Key, Said] = {}
        for key, one in said.items():
            if one.end is not None and one.at <= mark:
                final[key] = one
            else:
                before.setdefault(key, one)
        self.state.said[works] = final

    def finish(self) -> list[Finding]:
        findings = []
        for works, before in self.before.items():
            after = self.state.said.get(works, {})
            for key, was in before.items():
                now = after.get(key)
                if now is None:
                    if was is not None:
                        findings.append(self.make.withdrawn(key, was))
                elif was is None or _has_changed(was, now):
                    findings.append(self.make.finding(key, now))
            self._prune(works)
        return findings

    def _prune(self, works: int) -> None:
        """Forget what no roll-back can change any more."""
        mark = int(self.state.works[works]["older_mark"])
        said = self.state.said.get(works, {})
        for key in [key for key, one in said.items() if one.end is not None and one.at <= mark]:
            del said[key]
        if not said:
            self.state.said.pop(works, None)


def _has_changed(was: Said, now: Said) -> bool:
    """Whether people should hear of it: opened again, closed, closed otherwise. An open finding merely lasting is no news."""
    if was.end is None and now.end is None:
        return False
    is_same_extreme = was.extreme == now.extreme or (np.isnan(was.extreme) and np.isnan(now.extreme))
    return (was.end, was.evidence) != (now.end, now.evidence) or not is_same_extreme


class _Maker:
    """Findings out of timer numbers."""

    def __init__(self, plan: Plan, state: State, parameters: Mapping[str, Parameter], now: int, language: str) -> None:
        self.plan = plan
        self.state = state
        self.parameters = parameters
        self.now = now
        self.language = language

    def finding(self, key: Key, said: Said) -> Finding:
        timer, start = key
        if timer < 0:
            return self._gap(self.plan.series[-1 - timer], start, said.end)
        evidence, extreme = said.evidence, said.extreme
        if said.end is None:
            live = self.state.timers[0][timer]
            evidence, extreme = int(live["evidence"]), float(live["extreme"])
        newest = evidence if said.end is None else said.at >> LOCAL_BITS
        return self._build(timer, start, said.end, evidence, extreme, newest)

    def withdrawn(self, key: Key, said: Said) -> Finding:
        timer, start = key
        if timer < 0:
            return replace(self._gap(self.plan.series[-1 - timer], start, said.end), withdrawn=True)
        end = said.end if said.end is not None else said.evidence
        return replace(self._build(timer, start, end, said.evidence, said.extreme, said.evidence), withdrawn=True)

    def _build(self, timer: int, start: int, end: int | None, evidence: int, extreme: float, newest: int) -> Finding:
        """``newest`` is the reading that opened, supports or closed it: how old that is makes a finding late or live."""
        meaning = self.plan.meanings[timer]
        bound, limit = self._bound(timer, start)
        number = self.plan.works_number[(meaning.key.county, meaning.key.works)]
        works = self.plan.works[number]
        finding = Finding(
            id=finding_id(meaning.kind, meaning.rule, meaning.key, start),
            kind=meaning.kind,
            severity=meaning.severity,
            county=meaning.key.county,
            works=meaning.key.works,
            point=meaning.key.point,
            parameter=meaning.key.parameter,
            start=start,
            end=end,
            evidence_at=evidence,
            extreme=None if np.isnan(extreme) else extreme,
            limit=None if np.isnan(bound) else bound,
            clause=f"{limit.standard} {limit.clause}" if limit else meaning.clause,
            rule=meaning.rule,
            rule_version=meaning.rule_version or self.plan.ruleset.version,
            reason="",
            late=self.now - newest > works.lateness_s * 1000,
            evidence={
                "limit_id": limit.id if limit else meaning.limit_id,
                # Newest reading judged: of two versions of a finding the one with the later is the newer judgement.
                AS_OF: int(self.state.works[number]["newest"]) >> LOCAL_BITS,
            },
        )
        if self.plan.timer_facts[timer]["operation"] == kernel.COMPOUND:
            live = self.state.leaves[0]
            finding = described(finding, timer, self.plan, live, self.parameters, self.language)
        return replace(finding, reason=sentence(finding, self.parameters.get(finding.parameter), self.language))

    def _bound(self, timer: int, start: int) -> tuple[float, Limit | None]:
        """The bound a timer was held against; for units, the edition of the standard in force at the start."""
        meaning = self.plan.meanings[timer]
        side = {FindingKind.DISINFECTION_LOW: "low", FindingKind.DISINFECTION_HIGH: "high"}.get(meaning.kind)
        if side is None or not np.isnan(meaning.bound):
            return meaning.bound, None
        facts = self.plan.unit_of(timer)
        if facts is None:
            return float("nan"), None
        for row in range(int(facts["limit_first"]), int(facts["limit_first"] + facts["limit_count"])):
            limits = self.plan.unit_limits[row]
            if limits["valid_from"] <= start < limits["valid_to"]:
                return float(limits[side]), self.plan.unit_limit_rows[row]
        return float("nan"), None

    def _gap(self, series: SeriesKey, start: int, end: int | None) -> Finding:
        return silence(self.plan, series, start, end, self.parameters, self.language)


def silence(
    plan: Plan, series: SeriesKey, start: int, end: int | None, parameters: Mapping[str, Parameter], language: str,
    *, never_seen: bool = False, severity: Severity | None = None, now: int | None = None,
) -> Finding:  # fmt: skip
    """The finding that a series is (or was) silent since its last reading at ``start``."""
    kind = FindingKind.NEVER_SEEN if never_seen else FindingKind.STALE
    rules = plan.ruleset.instrument
    finding = Finding(
        id=finding_id(kind, SILENCE_RULE, series, start),
        kind=kind,
        severity=severity or (rules.never_seen_severity if never_seen else rules.silence_severity),
        county=series.county,
        works=series.works,
        point=series.point,
        parameter=series.parameter,
        start=start,
        end=end,
        evidence_at=end if end is not None else (start if now is None else now),
        extreme=None,
        limit=None,
        clause="",
        rule=SILENCE_RULE,
        rule_version=plan.ruleset.version,
        reason="",
        evidence={SILENT_OVER: int(plan.form_of(plan.works_number[series[:2]])["stale_ms"])},
    )
    return replace(finding, reason=sentence(finding, parameters.get(series.parameter), language))


def open_findings(
    state: State, plan: Plan, parameters: Mapping[str, Parameter], now: int, language: str = "zh"
) -> list[Finding]:
    """All findings that last, with their extremes and evidence as of the newest reading."""
    make = _Maker(plan, state, parameters, now, language)
    return [
        make.finding(key, said) for entries in state.said.values() for key, said in entries.items() if said.end is None
    ]


def stale_series(state: State, plan: Plan, now: int) -> npt.NDArray[np.int64]:
    """Slots of expected series whose silence is longer than 3 missed intervals (at least 15 min) as of ``now``.

    Never-seen series are not among them: ask ``state.series[0]["last_t"] == NEVER``.
    """
    last = state.series[0]["last_t"]
    silent = (last != NEVER) & (now - last > plan.stale_ms) & plan.expected
    return np.flatnonzero(silent & ~maintained_series(state, plan, now))


def maintained_series(state: State, plan: Plan, now: int) -> npt.NDArray[np.bool_]:
    """(series,) Whether people work on the instruments of the series' point as of ``now``: nobody misses its readings then."""
    facts = plan.series_facts[plan.row_of_series]
    if not (facts["maintenance"] >= 0).any():
        return np.zeros(len(facts), np.bool_)
    first = plan.works_facts["series_first"][plan.works_of_series]
    said = state.series[0][first + np.maximum(facts["maintenance"], 0)]
    lasts = now - said["last_t"] <= plan.series_kinds["maintenance_most_ms"][facts["kind"]]
    return np.asarray((facts["maintenance"] >= 0) & (said["last_value"] >= 0.5) & lasts)


def newest_of(state: State) -> npt.NDArray[np.int64]:
    """Newest reading time of each works [ms]."""
    return state.works["newest"] >> LOCAL_BITS
