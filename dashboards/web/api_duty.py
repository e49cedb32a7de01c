"""API of duty: rosters, swaps, silences, drills, explanations, closing."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from dashboards.web.api_models import IncidentOut
from dashboards.web.api_requests import COUNTY, Region, RowId
from dashboards.web.duty_port import DutyDesk
from dashboards.web.layout import Console
from dashboards.web.problems import Problem
from qingquan.clock import from_ms
from qingquan.domain.duty import DutyPerson, Silence

__all__ = ["duty_router"]

_PROBLEMS: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (400, 404, 409, 501)}
_Name = Annotated[str, Field(min_length=1, max_length=40, pattern=r"\S")]
_Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
_Works = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{0,64}$")]
_Hours = Annotated[float, Field(gt=0, le=8784, allow_inf_nan=False)]
_Id = Annotated[int, Field(ge=1, lt=2**53)]


class SilenceIn(BaseModel):
    """What is to be kept quiet; an empty matcher fits everything."""

    model_config = ConfigDict(extra="forbid")
    county: Annotated[str, Field(pattern=COUNTY)]
    township: Annotated[str, Field(max_length=40)] = ""
    works: _Works = ""
    cause: Annotated[str, Field(pattern=r"^[a-z0-9_:]{0,64}$")] = ""
    hours: _Hours
    author: _Name
    comment: _Text


class SilenceOut(BaseModel):
    """A silence."""

    id: int
    county: str
    township: str
    works: str
    cause: str
    start: datetime
    end: datetime
    author: str
    comment: str
    ended_by: str

    @classmethod
    def of(cls, one: Silence) -> "SilenceOut":
        return cls(
            id=one.id, county=one.county, township=one.township, works=one.works, cause=one.cause, start=from_ms(one.start),
            end=from_ms(one.end), author=one.author, comment=one.comment, ended_by=one.ended_by,
        )  # fmt: skip


class ByIn(BaseModel):
    """Who does it."""

    by: _Name


class CloseIn(ByIn):
    """Who settles it, and why it came about; a critical incident needs a cause."""

    cause_code: Annotated[str, Field(pattern=r"^[a-z_]{0,40}$")] = ""


class DrillIn(ByIn):
    """Where a drill is held, and by whom."""

    county: Annotated[str, Field(pattern=COUNTY)]
    works: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class DrawIn(ByIn):
    """In which county drills are held, at which share of its works [%], and by whom."""

    county: Annotated[str, Field(pattern=COUNTY)]
    percent: Annotated[float, Field(gt=0, le=10)] = 1.0


class DrillFiguresOut(BaseModel):
    """How a county's drills went. ``median_s`` and ``longest_s``: from the beginning to the acknowledgement."""

    county: str
    held: int
    answered: int
    median_s: float | None
    longest_s: float | None


class PersonModel(BaseModel):
    """Somebody at a post."""

    model_config = ConfigDict(extra="forbid")
    role: Annotated[str, Field(pattern=r"^[a-z_]{1,40}$")]
    area: Annotated[str, Field(pattern=r"^\d{2,6}$")]
    township: Annotated[str, Field(max_length=40)] = ""
    name: _Name
    phone: Annotated[str, Field(pattern=r"^[0-9+ -]{0,20}$")] = ""
    wecom_id: Annotated[str, Field(max_length=64)] = ""


class PersonOut(PersonModel):
    """Somebody at a post, as stored."""

    id: int


class SpanOut(BaseModel):
    """A person's shift."""

    person_id: int
    start: datetime
    end: datetime


class RosterOut(BaseModel):
    """The coming days, and who answers now: post (role, area, township joined by /) to names."""

    persons: list[PersonOut]
    shifts: list[SpanOut]
    on_duty: dict[str, list[str]]


class SwapIn(BaseModel):
    """One person in another's place, from now on."""

    model_config = ConfigDict(extra="forbid")
    absent_id: _Id
    stand_in_id: _Id
    hours: _Hours
    author: _Name
    comment: Annotated[str, Field(max_length=200)] = ""


class NumberOut(BaseModel):
    """Number of what was entered."""

    id: int


def duty_router(console: Console) -> APIRouter:
    """Routes under ``/v1``."""
    router = APIRouter(tags=["duty"], responses=_PROBLEMS)

    def desk() -> DutyDesk:
        if console.actions.duty is None:
            raise HTTPException(501, "duty rosters are not kept here")
        return console.actions.duty

    @router.get("/silences")
    def silences(region: Region = "") -> list[SilenceOut]:
        """Silences, those that last longest first."""
        return [SilenceOut.of(one) for one in desk().silences(region)]

    @router.post("/silences", status_code=201)
    def silence(body: SilenceIn) -> NumberOut:
        """Keep quiet what fits, from now on; status 409 for longer than the policy allows."""
        return NumberOut(id=desk().silence(**body.model_dump()))

    @router.post("/silences/{id}/end")
    def end_silence(id: RowId, body: ByIn) -> SilenceOut:
        """End a silence before its time."""
        return SilenceOut.of(desk().end_silence(id, body.by))

    @router.get("/duty")
    def roster(region: Region = "") -> RosterOut:
        """People, shifts of the coming seven days, and who answers now."""
        week = desk().week(region)
        return RosterOut(
            persons=[PersonOut(id=p.id, role=p.role, area=p.area, township=p.township, name=p.name, phone=p.phone, wecom_id=p.wecom_id) for p in week.persons],
            shifts=[SpanOut(person_id=s.person_id, start=from_ms(s.start), end=from_ms(s.end)) for s in week.shifts],
            on_duty={"/".join(post): list(names) for post, names in week.now.items()},
        )  # fmt: skip

    @router.post("/duty/persons", status_code=204)
    def person(body: PersonModel) -> None:
        """Enter a person, or bring phone and WeCom id up to date."""
        desk().add_person(DutyPerson(id=0, **body.model_dump()))

    @router.post("/duty/swaps", status_code=201)
    def swap(body: SwapIn) -> NumberOut:
        """One person stands in for another from now on."""
        return NumberOut(id=desk().swap(**body.model_dump()))

    @router.get("/drills")
    def drills(region: Region = "") -> list[IncidentOut]:
        """Drills, newest first: in no other list and no count."""
        return [IncidentOut.of(one) for one in desk().drills(region)]

    @router.post("/drills", status_code=201)
    def drill(body: DrillIn) -> IncidentOut:
        """Hold a drill at a works."""
        return IncidentOut.of(desk().drill(body.county, body.works, body.by))

    @router.post("/drills/draw", status_code=201)
    def draw(body: DrawIn) -> list[IncidentOut]:
        """Hold drills at a share of a county's works, those first whose last drill is longest ago."""
        return [IncidentOut.of(one) for one in desk().draw_drills(body.county, body.percent, body.by)]

    @router.get("/drills/figures")
    def figures(region: Region = "", days: Annotated[int, Query(ge=1, le=3660)] = 365) -> list[DrillFiguresOut]:
        """How many drills were held and answered, and how fast, by county."""
        return [
            DrillFiguresOut(
                county=one.county, held=one.held, answered=one.answered,
                median_s=None if one.median_ms is None else one.median_ms / 1000,
                longest_s=None if one.longest_ms is None else one.longest_ms / 1000,
            )
            for one in desk().drill_figures(region, days)
        ]  # fmt: skip

    @router.get("/incidents/{id}/plan")
    def plan(id: RowId) -> Mapping[str, Any]:
        """Who gets what of the incident when, and why."""
        return desk().explain(id, console.language)

    @router.post("/incidents/{id}/close")
    def close(id: RowId, body: CloseIn) -> IncidentOut:
        """Settle an incident that is over; status 409 before that, or for a critical one without a cause."""
        return IncidentOut.of(desk().close(id, body.by, body.cause_code))

    return router
