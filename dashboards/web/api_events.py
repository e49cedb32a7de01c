"""API of sudden changes: events, marks, detectors, known patterns."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from dashboards.web.api_models import ListOut
from dashboards.web.api_requests import COUNTY, WORKS_ID, Format, Limit, Moment, Offset, Region, RowId, listed
from dashboards.web.event_words import contributors_of
from dashboards.web.events_port import FIGURES_DAYS, DetectorWord, EventDesk, SeenEvent
from dashboards.web.layout import Console
from dashboards.web.problems import Problem
from qingquan.clock import from_ms
from qingquan.store.sql.events import DetectorFigures, EventQuery, KnownEvent

__all__ = ["events_router"]

_PROBLEMS: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (400, 404, 409, 501)}
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
_WRITTEN = r"[^\s\x00-\x1f\x7f-\x9f]"
"""At least one character that shows."""
_Name = Annotated[str, Field(min_length=1, max_length=40, pattern=_WRITTEN)]
_County = Annotated[str, Path(pattern=COUNTY)]
_WorksId = Annotated[str, Path(pattern=WORKS_ID)]
_Works = Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")]
_EventId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class ContributorOut(BaseModel):
    """A parameter that changed, with its share of the votes (0 to 1)."""

    parameter: str
    share: float


class EventOut(BaseModel):
    """A sudden change; advisory. ``end`` is null while it lasts, ``verdict`` (real, false) until a person has said so.

    ``peak``: highest score, 1 = the level from which a row is remarkable. ``known``: name of the known benign event that it looks like.
    """

    id: str
    county: str
    works: str
    point: str
    start: datetime
    end: datetime | None
    evidence_at: datetime
    peak: float | None
    severity: str
    contributors: list[ContributorOut]
    known: str
    silent: bool
    disinfection_not_ok: bool
    late: bool
    reason: str
    verdict: str | None
    marked_by: str | None
    marked_at: datetime | None

    @classmethod
    def of(cls, seen: SeenEvent) -> "EventOut":
        """From the desk."""
        one, mark = seen.finding, seen.mark
        return cls(
            id=one.id, county=one.county, works=one.works, point=one.point, start=from_ms(one.start),
            end=None if one.end is None else from_ms(one.end), evidence_at=from_ms(one.evidence_at), peak=one.extreme,
            severity=one.severity.word,
            contributors=[ContributorOut(parameter=code, share=share) for code, share in contributors_of(one)],
            known=str(one.evidence.get("known", "")), silent="silent" in one.evidence,
            disinfection_not_ok="disinfection_not_ok" in one.evidence, late=one.late, reason=one.reason,
            verdict=None if mark is None else mark.verdict, marked_by=None if mark is None else mark.marked_by,
            marked_at=None if mark is None else from_ms(mark.marked_at),
        )  # fmt: skip


class MarkIn(BaseModel):
    """What an event was, and who says so."""

    model_config = ConfigDict(extra="forbid")
    verdict: Literal["real", "false"]
    by: _Name


class DetectorOut(BaseModel):
    """A works' detector. ``threshold``: score from which it tells. ``by_person``: true or false where a person silenced it or let it
    speak, null where marks decide, since ``switched_at``."""

    county: str
    works: str
    threshold: float
    silent: bool
    by_person: bool | None
    switched_by: str | None
    switched_at: datetime | None
    marked_real: int
    marked_false: int
    real_share: float | None

    @classmethod
    def of(cls, one: DetectorWord) -> "DetectorOut":
        """From the desk."""
        switch = one.switch
        return cls(
            county=one.county, works=one.works, threshold=one.threshold, silent=one.is_silent,
            by_person=None if switch is None else switch.is_silent, switched_by=None if switch is None else switch.by,
            switched_at=None if switch is None else from_ms(switch.since), marked_real=one.real, marked_false=one.false,
            real_share=one.real_share,
        )  # fmt: skip


class FiguresOut(BaseModel):
    """What a works' detector came to over the last 28 days. ``told``: events while it was not silent; ``real_share``: of the marked ones;
    ``median_delay_s``: from an event's begin until it was told; null where there is nothing to count. Late events are left out."""

    county: str
    works: str
    events: int
    told: int
    alerts_per_week: float
    marked_real: int
    marked_false: int
    real_share: float | None
    median_delay_s: float | None

    @classmethod
    def of(cls, one: DetectorFigures) -> "FiguresOut":
        """From the store."""
        marked = one.real + one.false
        return cls(
            county=one.county, works=one.works, events=one.events, told=one.told,
            alerts_per_week=round(one.told / (FIGURES_DAYS / 7), 2), marked_real=one.real, marked_false=one.false,
            real_share=round(one.real / marked, 3) if marked else None,
            median_delay_s=None if one.delay_ms is None else one.delay_ms / 1000,
        )  # fmt: skip


class SwitchIn(BaseModel):
    """True = silent, false = speaks, null = by the marks given from now on."""

    model_config = ConfigDict(extra="forbid")
    silent: bool | None
    by: _Name


class PatternIn(BaseModel):
    """An event that was benign, and its name."""

    model_config = ConfigDict(extra="forbid")
    event: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    name: _Name
    by: _Name


class PatternOut(BaseModel):
    """A known benign event; ``shape``: parameter to deviations from the level before, in floors of its instrument."""

    id: int
    county: str
    works: str
    point: str
    name: str
    event: str
    length_min: float
    shape: dict[str, list[float]]
    saved_at: datetime
    saved_by: str

    @classmethod
    def of(cls, one: KnownEvent) -> "PatternOut":
        """From the store."""
        return cls(
            id=one.id, county=one.county, works=one.works, point=one.point, name=one.name, event=one.event,
            length_min=round(one.length_ms / 60_000, 1), shape=one.shape, saved_at=from_ms(one.saved_at), saved_by=one.saved_by,
        )  # fmt: skip


class HistoryOut(BaseModel):
    """Who did what, when."""

    at: datetime
    by: str
    action: str
    detail: str


def events_router(console: Console) -> APIRouter:
    """Routes under ``/v1/events``."""
    router = APIRouter(tags=["events"], responses=_PROBLEMS)

    def desk() -> EventDesk:
        if console.actions.events is None:
            raise HTTPException(501, "sudden changes are not kept here")
        return console.actions.events

    @router.get("/events", response_model=ListOut[EventOut], responses=_CSV)
    def events(
        request: Request, region: Region = "", works: _Works = "",
        verdict: Annotated[Literal["", "real", "false", "none"], Query(description="none = not marked yet")] = "",
        open: bool | None = None, start: Annotated[Moment | None, Query(alias="from")] = None,
        end: Annotated[Moment | None, Query(alias="to")] = None, limit: Limit = 100, offset: Offset = 0, format: Format = None,
    ) -> Any:  # fmt: skip
        """Sudden changes of water quality, newest start first; advisory. ``from`` <= start < ``to``."""
        page = desk().events(EventQuery(region, works, verdict, open, start, end, limit, offset))
        return listed(request, format, [EventOut.of(one) for one in page.items], page.total, limit, offset)

    @router.get("/events/detectors")
    def detectors(region: Region = "") -> list[DetectorOut]:
        """Detectors that marks or people have changed, silent ones first; every other tells from score 1."""
        return [DetectorOut.of(one) for one in desk().detectors(region)]

    @router.get("/events/figures", response_model=ListOut[FiguresOut], responses=_CSV)
    def figures(
        request: Request, region: Region = "", works: _Works = "", limit: Limit = 100, offset: Offset = 0, format: Format = None
    ) -> Any:  # fmt: skip
        """Alerts a week, share of real ones and delay by works over the last 28 days; works without events are left out."""
        found = [FiguresOut.of(one) for one in desk().figures(region, works)]
        return listed(request, format, found[offset : offset + limit], len(found), limit, offset)

    @router.get("/events/detectors/{county}/{works}")
    def detector(county: _County, works: _WorksId) -> DetectorOut:
        """How the detector of a works stands."""
        return DetectorOut.of(desk().detector(county, works))

    @router.post("/events/detectors/{county}/{works}/switch")
    def switch(county: _County, works: _WorksId, body: SwitchIn) -> DetectorOut:
        """Silence a detector, let it speak, or leave it to the marks given from now on."""
        return DetectorOut.of(desk().switch(county, works, body.silent, body.by.strip()))

    @router.get("/events/patterns")
    def patterns(region: Region = "", works: _Works = "") -> list[PatternOut]:
        """Known benign events, oldest first."""
        return [PatternOut.of(one) for one in desk().patterns(region, works)]

    @router.post("/events/patterns", status_code=201)
    def save_pattern(body: PatternIn) -> PatternOut:
        """Take an event's shape as known and benign; status 409 while it lasts, where disinfection was not OK, or too little was measured."""
        return PatternOut.of(desk().save_pattern(body.event, body.name.strip(), body.by.strip()))

    @router.delete("/events/patterns/{id}", status_code=204)
    def delete_pattern(id: RowId, by: Annotated[str, Query(min_length=1, max_length=40, pattern=_WRITTEN)]) -> None:
        """Forget a pattern."""
        desk().delete_pattern(id, by.strip())

    @router.get("/events/history/{county}/{works}")
    def history(county: _County, works: _WorksId) -> list[HistoryOut]:
        """Who marked, switched, saved or deleted what at a works; the newest hundred."""
        rows = desk().history(county, works)
        return [HistoryOut(at=from_ms(one.at), by=one.by, action=one.action, detail=one.detail) for one in rows]

    @router.post("/events/{id}/mark")
    def mark(id: _EventId, body: MarkIn) -> EventOut:
        """Say that an event was real or false; a later word replaces an earlier one, which stays in the history."""
        return EventOut.of(desk().mark(id, body.verdict, body.by.strip()))

    return router
