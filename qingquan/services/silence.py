"""Silence is a state: which expected series have fallen silent, or never spoke, as findings that open and close."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from qingquan.clock import to_ms
from qingquan.domain.disinfection import HAND_LOG_OVERDUE
from qingquan.domain.findings import Finding, FindingKind, Severity, finding_id
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import PointKind, Works
from qingquan.services.folds import Fold
from qingquan.store.sql.findings import open_findings
from rules.engine import silence, stale_series
from rules.hand_log import due_at, overdue_sentence
from rules.layout import NEVER
from rules.plan import Plan

__all__ = ["Silence"]

# What a device uploads from its buffer is old, but it is not silent while it does so.
SETTLED_MS = 30_000

Times = npt.NDArray[np.int64]

KINDS = (FindingKind.STALE, FindingKind.NEVER_SEEN)


class Silence:
    """Keeps the open silence findings of each partition in line with the state of its series.

    Opening needs a clock, so it is no part of the fold; closing follows from the series' next fresh reading: an old one out of a
    buffer says nothing about now. The id rests on the last reading's time, as in the fold, which reports the same silence when
    it sees both its ends.
    """

    def __init__(self, parameters: Mapping[str, Parameter], language: str) -> None:
        self._parameters = parameters
        self._language = language
        self._open: dict[SeriesKey, Finding] = {}
        self._expected_since: dict[SeriesKey, int] = {}
        self._arrivals: dict[int, _Arrivals] = {}
        self._by_hand: dict[int, tuple[Plan, dict[int, Works]]] = {}

    def restore(self, connection: Connection, ours: Callable[[Iterable[Finding]], list[Finding]] = list) -> None:
        """Take over what was open before a restart, as far as it is ours."""
        overdue = open_findings(connection, [FindingKind.DISINFECTION_UNKNOWN])
        held = [*open_findings(connection, KINDS), *(one for one in overdue if one.rule == HAND_LOG_OVERDUE)]
        self._open = {_key(finding): finding for finding in ours(held)}

    def of(self, fold: Fold) -> dict[SeriesKey, Finding]:
        """Open silence findings of a partition's series."""
        return {key: finding for key, finding in self._open.items() if key in fold.plan.slot_of}

    def listen(self, fold: Fold, now: int) -> None:
        """Note which series something has come for since the last call: `changes` opens no silence for them yet.

        To be called before `changes`, and often; who judges a finished file need not.
        """
        last = fold.state.series[0]["last_t"]
        held = self._arrivals.get(fold.partition)
        if held is None or held.digest != fold.plan.digest:
            self._arrivals[fold.partition] = _Arrivals(fold.plan.digest, now, last.copy(), np.full(len(last), NEVER))
            return
        # Counted from when it may have come at the earliest, so that rare looks keep nothing from being called silent.
        held.at[last != held.last] = held.looked_at
        held.last, held.looked_at = last.copy(), now

    def hear(self, findings: Iterable[Finding]) -> None:
        """Take note of the silences whose end the fold itself has reported."""
        for finding in findings:
            if finding.kind is FindingKind.STALE and finding.end is not None:
                held = self._open.get(_key(finding))
                if held is not None and held.id == finding.id:
                    del self._open[_key(finding)]

    def dropped(self, folds: Iterable[Fold]) -> list[Finding]:
        """Withdraw the silences of series that nobody expects any more."""
        expected = {key for fold in folds for key, is_expected in zip(fold.plan.series, fold.plan.expected, strict=True)
                    if is_expected} if self._open else set()  # fmt: skip
        gone = [self._open.pop(key) for key in list(self._open) if key not in expected]
        return [replace(one, end=max(one.start, one.evidence_at), withdrawn=True) for one in gone]

    def changes(
        self, fold: Fold, now: int, works: Mapping[tuple[str, str], Works], unheard: Collection[str] = ()
    ) -> list[Finding]:
        """Silence findings that open or close as of ``now`` [ms]; none opens in a county of which ``unheard`` says that nothing reaches us."""
        return [*self._closed(fold, now), *self._opened(fold, now, works, unheard)]

    def _closed(self, fold: Fold, now: int) -> list[Finding]:
        findings = []
        last = fold.state.series[0]["last_t"]
        for key, finding in self.of(fold).items():
            slot = fold.plan.slot_of[key]
            newest = int(last[slot])
            if finding.rule == HAND_LOG_OVERDUE:
                works = fold.plan.works[fold.plan.works_number[key[:2]]]
                if newest != NEVER and newest > finding.start and now < due_at(newest, works.time_zone):
                    del self._open[key]
                    findings.append(self._overdue(fold, key, finding.start, newest))
                continue
            is_never_seen = finding.kind is FindingKind.NEVER_SEEN
            is_heard = newest != NEVER if is_never_seen else newest > finding.start
            if is_heard and (is_never_seen or now - newest <= _stale_ms(fold.plan, key)):
                del self._open[key]
                end = max(newest, finding.start)
                findings.append(self._finding(fold, key, finding.start, end, finding.kind))
        return findings

    def _opened(
        self, fold: Fold, now: int, works: Mapping[tuple[str, str], Works], unheard: Collection[str]
    ) -> list[Finding]:
        plan, series = fold.plan, fold.state.series[0]
        findings = []
        arrivals = self._arrivals.get(fold.partition)
        by_hand = self._hand_slots(fold)
        for slot, one in by_hand.items():
            key, newest = plan.series[slot], int(series[slot]["last_t"])
            since = newest if newest != NEVER else self._owed_since(key, works.get((key.county, key.works)), now)
            if key not in self._open and now >= due_at(since, one.time_zone) and key.county not in unheard:
                findings.append(self._overdue(fold, key, since, None, now))
        for slot in stale_series(fold.state, plan, now).tolist():
            key = plan.series[slot]
            is_settled = arrivals is None or now - int(arrivals.at[slot]) >= SETTLED_MS
            if key not in self._open and is_settled and slot not in by_hand and key.county not in unheard:
                findings.append(self._finding(fold, key, int(series[slot]["last_t"]), None, FindingKind.STALE, now))
        for slot in np.flatnonzero((series["last_t"] == NEVER) & plan.expected).tolist():
            key = plan.series[slot]
            if slot in by_hand or key.county in unheard:
                continue
            since = self._since(key, works.get((key.county, key.works)), now)
            if key not in self._open and now - since > _stale_ms(plan, key):
                findings.append(self._finding(fold, key, since, None, FindingKind.NEVER_SEEN, now))
        self._open |= {_key(finding): finding for finding in findings}
        return findings

    def _since(self, key: SeriesKey, works: Works | None, now: int) -> int:
        """Since when a series is expected: commissioning, at the earliest when we began to listen for it."""
        begun = self._expected_since.setdefault(key, now)
        if works is None or works.commissioned_at is None:
            return begun
        return max(begun, to_ms(works.commissioned_at))

    def _hand_slots(self, fold: Fold) -> dict[int, Works]:
        """Series of the outlet's residual that people log, looked up once a plan."""
        held = self._by_hand.get(fold.partition)
        if held is None or held[0] is not fold.plan:
            held = self._by_hand[fold.partition] = (fold.plan, _hand_slots(fold.plan))
        return held[1]

    def _owed_since(self, key: SeriesKey, works: Works | None, now: int) -> int:
        """Since when somebody owes a log: commissioning, for people who log nothing are not waiting for us to start."""
        begun = self._expected_since.setdefault(key, now)
        return begun if works is None or works.commissioned_at is None else to_ms(works.commissioned_at)

    def _overdue(self, fold: Fold, key: SeriesKey, start: int, end: int | None, now: int | None = None) -> Finding:
        """No log by hand, so no evidence: disinfection is unknown, and critical, since nothing else tells of it."""
        kind = FindingKind.DISINFECTION_UNKNOWN
        return Finding(
            id=finding_id(kind, HAND_LOG_OVERDUE, key, start), kind=kind, severity=Severity.CRITICAL, county=key.county,
            works=key.works, point=key.point, parameter=key.parameter, start=start, end=end,
            evidence_at=end if end is not None else (start if now is None else now), extreme=None, limit=None, clause="",
            rule=HAND_LOG_OVERDUE, rule_version=fold.plan.ruleset.version, reason=overdue_sentence(self._language),
        )  # fmt: skip

    def _finding(
        self, fold: Fold, key: SeriesKey, start: int, end: int | None, kind: FindingKind, now: int | None = None
    ) -> Finding:
        never_seen = kind is FindingKind.NEVER_SEEN
        return silence(fold.plan, key, start, end, self._parameters, self._language, never_seen=never_seen, now=now)


@dataclass(slots=True)
class _Arrivals:
    """Newest reading of each series of a partition at the last look, and when [ms] something last came for it."""

    digest: str
    looked_at: int
    last: Times
    at: Times


def _hand_slots(plan: Plan) -> dict[int, Works]:
    slots: dict[int, Works] = {}
    for works in plan.works:
        if works.is_hand_logged and works.disinfectant.residual is not None:
            outlets = (point.id for point in works.points if point.kind is PointKind.OUTLET)
            keys = (SeriesKey(works.county, works.id, point, works.disinfectant.residual) for point in outlets)
            slots |= {plan.slot_of[key]: works for key in keys if key in plan.slot_of}
    return slots


def _stale_ms(plan: Plan, key: SeriesKey) -> int:
    return int(plan.form_of(plan.works_number[key[:2]])["stale_ms"])


def _key(finding: Finding) -> SeriesKey:
    return SeriesKey(finding.county, finding.works, finding.point, finding.parameter)
