"""API of compliance by day and month."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel

from dashboards.web.api_models import ListOut
from dashboards.web.api_requests import Format, Offset, Region, listed
from dashboards.web.compliance_port import ComplianceQuery
from dashboards.web.layout import Console
from dashboards.web.problems import Problem
from qingquan.clock import from_ms
from qingquan.domain.compliance import ComplianceVersion
from qingquan.store.sql.compliance import Known

__all__ = ["ComplianceOut", "compliance_router"]

_NAME = r"^[A-Za-z0-9_-]{0,64}$"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, 501: {"model": Problem},
}  # fmt: skip
HOUR_MS = 3_600_000


class ComplianceOut(BaseModel):
    """Statistics of a parameter over a day or month; shares are of 1.

    ``then_…`` is what was known first (published at ``then_known_at``), null where nothing has changed since.
    """

    county: str
    works: str
    point: str
    parameter: str
    period: str
    start: datetime
    end: datetime
    verdict: str
    is_published: bool
    known_at: datetime
    version: int
    expected: int
    received: int
    usable: int
    met: int
    coverage: float
    compliant_share: float | None
    compliant_h: float
    exceeding_h: float
    unknown_h: float
    mean: float | None
    worst: float | None
    worst_at: datetime | None
    exceedances: int
    longest_exceedance_h: float
    findings: int
    limit_id: str
    standard: str
    clause: str
    basis: str
    low: float | None
    high: float | None
    states_h: dict[str, float]
    then_known_at: datetime | None
    then_verdict: str | None
    then_compliant_share: float | None
    then_coverage: float | None

    @staticmethod
    def of(known: Known) -> "ComplianceOut":
        """Figures as they are handed out."""
        now, one = known.now, known.now.figures
        return ComplianceOut(
            county=one.county, works=one.works, point=one.point, parameter=one.parameter, period=one.period,
            start=from_ms(one.start), end=from_ms(one.end), verdict=one.verdict, is_published=now.is_published,
            known_at=from_ms(now.known_at), version=now.version, expected=one.expected, received=one.received,
            usable=one.usable, met=one.met, coverage=_rounded(one.coverage), compliant_share=_share(now),
            compliant_h=_hours(one.compliant_ms), exceeding_h=_hours(one.exceeding_ms), unknown_h=_hours(one.unknown_ms),
            mean=one.mean, worst=one.worst, worst_at=None if one.worst_at is None else from_ms(one.worst_at),
            exceedances=one.episodes, longest_exceedance_h=_hours(one.longest_ms), findings=one.findings,
            limit_id=one.limit_id, standard=one.standard, clause=one.clause, basis=one.basis, low=one.low, high=one.high,
            states_h={name: _hours(length) for name, length in sorted(one.states.items())}, **_then(known.then),
        )  # fmt: skip


def _then(then: ComplianceVersion | None) -> dict[str, Any]:
    if then is None:
        names = ("then_known_at", "then_verdict", "then_compliant_share", "then_coverage")
        return dict.fromkeys(names)
    return {
        "then_known_at": from_ms(then.known_at),
        "then_verdict": then.figures.verdict,
        "then_compliant_share": _share(then),
        "then_coverage": _rounded(then.figures.coverage),
    }


def _share(version: ComplianceVersion) -> float | None:
    share = version.figures.compliant_share
    return None if share is None else _rounded(share)


def _rounded(share: float) -> float:
    return round(share, 6)


def _hours(ms: int) -> float:
    return round(ms / HOUR_MS, 4)


def compliance_router(console: Console) -> APIRouter:
    """``GET /compliance``."""
    router = APIRouter(tags=["compliance"])

    @router.get("/compliance", response_model=ListOut[ComplianceOut], responses=_REFUSALS)
    def compliance(
        request: Request, region: Region = "", works: Annotated[str, Query(pattern=_NAME)] = "",
        point: Annotated[str, Query(pattern=_NAME)] = "",
        parameter: Annotated[str, Query(pattern=r"^[a-z0-9_]{0,64}$")] = "",
        month: Annotated[str, Query(pattern=r"^(\d{4}-(0[1-9]|1[0-2]))?$", description="2026-05; empty = all")] = "",
        by: Annotated[Literal["day", "month"], Query()] = "month",
        limit: Annotated[int, Query(ge=1, le=20_000)] = 100, offset: Offset = 0, format: Format = None,
    ) -> Any:  # fmt: skip
        """Share of time compliant, exceeding and unknown, by day or month of the works' own calendar: as known now, and
        as known first where late readings have changed it. Times in hours."""
        if console.actions.compliance is None:
            raise HTTPException(501, "compliance is not kept here")
        query = ComplianceQuery(region, works, point, parameter, month, by == "month", limit, offset)
        page = console.actions.compliance.figures(query)
        return listed(request, format, [ComplianceOut.of(one) for one in page.items], page.total, limit, offset)

    return router
