"""Silence is a state: which expected series have fallen silent, or never spoke, as findings that open and close."""

from collections.abc import Mapping

import numpy as np
from sqlalchemy import Connection

from qingquan.clock import to_ms
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.services.folds import Fold
from qingquan.store.sql.findings import open_findings
from rules.engine import silence, stale_series
from rules.layout import NEVER

__all__ = ["Silence"]

KINDS = (FindingKind.STALE, FindingKind.NEVER_SEEN)


class Silence:
    """Keeps the open silence findings of each partition in line with the state of its series.

    Opening needs a clock, so it is no part of the fold; closing follows from the series' next reading. The id rests on the last
    reading's time, as in the fold, which reports the same silence when it sees both its ends.
    """

    def __init__(self, parameters: Mapping[str, Parameter], language: str) -> None:
        self._parameters = parameters
        self._language = language
        self._open: dict[SeriesKey, Finding] = {}
        self._expected_since: int | None = None

    def restore(self, connection: Connection) -> None:
        """Take over what was open before a restart."""
        self._open = {_key(finding): finding for finding in open_findings(connection, KINDS)}

    def of(self, fold: Fold) -> dict[SeriesKey, Finding]:
        """Open silence findings of a partition's series."""
        return {key: finding for key, finding in self._open.items() if key in fold.plan.slot_of}

    def changes(self, fold: Fold, now: int, works: Mapping[tuple[str, str], Works]) -> list[Finding]:
        """Silence findings that open or close as of ``now`` [ms]."""
        if self._expected_since is None:
            self._expected_since = now
        return [*self._closed(fold), *self._opened(fold, now, works)]

    def _closed(self, fold: Fold) -> list[Finding]:
        findings = []
        last = fold.state.series[0]["last_t"]
        for key, finding in self.of(fold).items():
            newest = int(last[fold.plan.slot_of[key]])
            if newest > finding.start or (finding.kind is FindingKind.NEVER_SEEN and newest != NEVER):
                del self._open[key]
                findings.append(self._finding(fold, key, finding.start, newest, finding.kind))
        return findings

    def _opened(self, fold: Fold, now: int, works: Mapping[tuple[str, str], Works]) -> list[Finding]:
        plan, series = fold.plan, fold.state.series[0]
        findings = []
        for slot in stale_series(fold.state, plan, now).tolist():
            key = plan.series[slot]
            if key not in self._open:
                findings.append(self._finding(fold, key, int(series[slot]["last_t"]), None, FindingKind.STALE, now))
        for slot in np.flatnonzero((series["last_t"] == NEVER) & plan.expected).tolist():
            key = plan.series[slot]
            since = self._since(works.get((key.county, key.works)))
            if key not in self._open and now - since > int(plan.series_facts[slot]["stale_ms"]):
                findings.append(self._finding(fold, key, since, None, FindingKind.NEVER_SEEN, now))
        self._open |= {_key(finding): finding for finding in findings}
        return findings

    def _since(self, works: Works | None) -> int:
        """Since when a series is expected: commissioning, at the earliest when we began to listen."""
        begun = self._expected_since or 0
        if works is None or works.commissioned_at is None:
            return begun
        return max(begun, to_ms(works.commissioned_at))

    def _finding(
        self, fold: Fold, key: SeriesKey, start: int, end: int | None, kind: FindingKind, now: int | None = None
    ) -> Finding:
        never_seen = kind is FindingKind.NEVER_SEEN
        return silence(fold.plan, key, start, end, self._parameters, self._language, never_seen=never_seen, now=now)


def _key(finding: Finding) -> SeriesKey:
    return SeriesKey(finding.county, finding.works, finding.point, finding.parameter)
