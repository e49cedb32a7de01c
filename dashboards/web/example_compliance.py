"""Compliance figures of the example county, invented: the same county gives the same figures."""

import random
from dataclasses import replace
from datetime import date, timedelta

from dashboards.web.compliance_port import ComplianceQuery
from dashboards.web.example import ExampleData
from qingquan.domain.compliance import Compliance, ComplianceVerdict, ComplianceVersion
from qingquan.domain.works import SamplingPoint, Works
from qingquan.store.sql.compliance import Known
from qingquan.store.sql.statements import Page

__all__ = ["ExampleCompliance"]

DAY_MS = 86_400_000
_BOUNDS = {"turbidity": (None, 1.0), "ph": (6.5, 8.5), "free_chlorine": (0.3, 2.0), "chlorine_dioxide": (0.1, 0.8)}


class ExampleCompliance:
    """`ComplianceDesk` over an example county."""

    def __init__(self, data: ExampleData) -> None:
        self._data = data

    def figures(self, query: ComplianceQuery) -> Page[Known]:
        """See `ComplianceDesk`."""
        found = [
            known
            for works in self._data.works(query.region)
            if query.works in ("", works.id)
            for point in works.points
            for code in point.parameters
            if code in _BOUNDS
            for known in self._periods(works, point, code, query)
        ]
        return Page(found[query.offset : query.offset + query.limit], len(found))

    def waiting(self) -> int:
        """See `ComplianceDesk`."""
        return 0

    def _periods(self, works: Works, point: SamplingPoint, code: str, query: ComplianceQuery) -> list[Known]:
        first = date.fromisoformat(f"{query.month}-01")
        if query.by_month:
            return [_known(works, point, code, query.month, 30 * DAY_MS)]
        days = (first + timedelta(n) for n in range(31))
        return [_known(works, point, code, day.isoformat(), DAY_MS) for day in days if day.month == first.month]


def _known(works: Works, point: SamplingPoint, code: str, period: str, length: int) -> Known:
    dice = random.Random(f"{works.id}{point.id}{code}{period}")  # noqa: S311 - invented data, not secrets
    low, high = _BOUNDS[code]
    kind = dice.random()
    exceeding = round(length * dice.uniform(0.001, 0.2)) if kind > 0.85 else 0
    unknown = round(length * dice.uniform(0.5, 1.0)) if kind < 0.12 else round(length * dice.uniform(0, 0.04))
    unknown = min(unknown, length - exceeding)
    verdict = (
        ComplianceVerdict.EXCEEDING
        if exceeding
        else ComplianceVerdict.UNDECIDED
        if unknown > 0.4 * length
        else ComplianceVerdict.COMPLIANT
    )
    expected = length // 60_000
    worst = (high or 1.0) * (1.4 if exceeding else 0.7)
    figures = Compliance(
        works.county, works.id, point.id, code, period, 0, length, expected, expected - unknown // 60_000, 0, 0,
        length - exceeding - unknown, exceeding, unknown, 0.5, round(worst, 2), 1_777_600_000_000, exceeding // 2,
        2 if exceeding else 0, 0, 0, 1 if exceeding else 0, f"gb5749-2022.{code}", "GB 5749-2022", "Table 1", "instant",
        low, high, verdict,
    )  # fmt: skip
    now = ComplianceVersion(1, 1_777_600_000_000, True, figures)
    if dice.random() > 0.08:
        return Known(now, None)
    before = replace(figures, compliant_ms=0, exceeding_ms=0, unknown_ms=length, verdict=ComplianceVerdict.UNDECIDED)
    return Known(replace(now, version=2), ComplianceVersion(1, 1_777_500_000_000, True, before))
