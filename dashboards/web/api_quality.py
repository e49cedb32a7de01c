"""API of sensors and maintenance."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dashboards.web.api_requests import Region, RowId
from dashboards.web.layout import Console
from dashboards.web.problems import Problem
from dashboards.web.quality_port import MaintenancePort, QualityPort
from dashboards.web.works_lookup import one_works
from qingquan.clock import from_ms
from qingquan.domain.maintenance import Maintenance
from qingquan.domain.quality import HandCheck, Health, InstrumentCheck, hand_tolerance

__all__ = ["InstrumentCheckOut", "MaintenanceOut", "SensorOut", "quality_router"]

_PROBLEMS: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (404, 409, 501)}
Id = Annotated[str, Path(pattern=r"^(\d{6}:)?[A-Za-z0-9_-]{1,64}$")]
# JSON knows no difference between 60 and 60.0.
_Whole = BeforeValidator(lambda value: int(value) if isinstance(value, float) and value.is_integer() else value)
_Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"\S")]


class ReasonOut(BaseModel):
    """What took points off: the name of a test, or missing, drift, noise, service_overdue. ``share`` is of the readings; of drift the
    difference in tolerances, of noise the growth, of overdue service the days."""

    what: str
    points: float
    share: float


class SensorOut(BaseModel):
    """Health of a sensor over the last seven days, 0 to 100; null: too little is known. ``days_to_service`` 0: now; null: nothing tells."""

    county: str
    works: str
    point: str
    parameter: str
    score: int | None
    days_to_service: int | None
    readings: int
    expected: int
    reasons: list[ReasonOut]

    @classmethod
    def of(cls, county: str, works: str, health: Health) -> "SensorOut":
        """From the domain."""
        return cls(
            county=county, works=works, point=health.point, parameter=health.parameter, score=health.score,
            days_to_service=health.days_to_service, readings=health.readings, expected=health.expected,
            reasons=[ReasonOut(what=one.what, points=round(one.points, 1), share=round(one.share, 4)) for one in health.reasons],
        )  # fmt: skip


class SensorsOut(BaseModel):
    """Sensors, worst first."""

    items: list[SensorOut]


class HandCheckOut(BaseModel):
    """A measurement by hand and what the instrument read then [mg/L]. ``is_below``: less than ``by_hand`` was found; ``is_out``: they
    differ by more than ``tolerance``, the larger of 0.1 mg/L or 15 %."""

    at: datetime
    by_hand: float
    is_below: bool
    sensor: float
    difference: float
    tolerance: float
    is_out: bool

    @classmethod
    def of(cls, one: HandCheck) -> "HandCheckOut":
        """From the domain."""
        return cls(
            at=from_ms(one.at), by_hand=one.by_hand, is_below=one.is_below, sensor=round(one.sensor, 4),
            difference=round(one.difference, 4), tolerance=round(hand_tolerance(one.by_hand), 4), is_out=one.is_out,
        )  # fmt: skip


class InstrumentCheckOut(BaseModel):
    """An instrument by its comparisons of 90 days, newest first. ``trust``: verified, unverified (the newest disagrees) or failed (the two
    newest do), since ``since``. ``next_hand_at``: by when people measure in its place, null unless it failed."""

    point: str
    parameter: str
    trust: str
    since: datetime
    in_a_row: int
    next_hand_at: datetime | None
    checks: list[HandCheckOut]

    @classmethod
    def of(cls, one: InstrumentCheck) -> "InstrumentCheckOut":
        """From the domain."""
        return cls(
            point=one.point, parameter=one.parameter, trust=one.trust.value, since=from_ms(one.since), in_a_row=one.in_a_row,
            next_hand_at=None if one.next_hand_at is None else from_ms(one.next_hand_at),
            checks=[HandCheckOut.of(check) for check in one.checks],
        )  # fmt: skip


class InstrumentChecksOut(BaseModel):
    """Instruments that somebody has measured beside."""

    items: list[InstrumentCheckOut]


class MaintenanceOut(BaseModel):
    """Work on the instruments of a point. ``ended_at`` null: it lasts; ``ended_by`` empty: it ended at its planned end."""

    id: int
    county: str
    works: str
    point: str
    started_at: datetime
    started_by: str
    reason: str
    planned_end: datetime
    calibrated: bool
    ended_at: datetime | None
    ended_by: str

    @classmethod
    def of(cls, one: Maintenance) -> "MaintenanceOut":
        """From the domain."""
        return cls(
            id=one.id, county=one.county, works=one.works, point=one.point, started_at=from_ms(one.started_at),
            started_by=one.started_by, reason=one.reason, planned_end=from_ms(one.planned_end), calibrated=one.calibrated,
            ended_at=None if one.ended_at is None else from_ms(one.ended_at), ended_by=one.ended_by,
        )  # fmt: skip


class MaintenancesOut(BaseModel):
    """Maintenance of a works, newest first."""

    items: list[MaintenanceOut]


class BeginIn(BaseModel):
    """Who begins, why, and for how long [min]. ``calibrated``: the service interval begins anew when it ends."""

    model_config = ConfigDict(extra="forbid")
    point: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    by: _Name
    reason: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S", examples=["余氯仪校准"])]
    minutes: Annotated[int, Field(ge=5, le=1440, strict=True), _Whole] = 60
    calibrated: bool = True


class EndIn(BaseModel):
    """Who ends it."""

    model_config = ConfigDict(extra="forbid")
    by: _Name


def quality_router(console: Console) -> APIRouter:
    """Routes under ``/works/{id}`` and ``/sensors``."""
    router = APIRouter(tags=["sensors"], responses=_PROBLEMS)

    @router.get("/works/{id}/sensors")
    def sensors(id: Id) -> SensorsOut:
        """Health of the sensors of a works."""
        entry = one_works(console, id)
        found = _quality(console).sensors(entry.county, entry.id)
        return SensorsOut(items=[SensorOut.of(entry.county, entry.id, one) for one in found])

    @router.get("/works/{id}/sensors/checks")
    def checks(id: Id) -> InstrumentChecksOut:
        """Instruments of a works held against what people measured beside them."""
        return InstrumentChecksOut(
            items=[InstrumentCheckOut.of(one) for one in _quality(console).hand_checks(one_works(console, id))]
        )

    @router.get("/sensors")
    def worst(region: Region = "", limit: Annotated[int, Query(ge=1, le=100)] = 20) -> SensorsOut:
        """The worst sensors of a region, among the works with an open finding about an instrument or about silence."""
        return SensorsOut(items=[SensorOut.of(*row) for row in _quality(console).worst(region, limit)])

    @router.get("/works/{id}/maintenance")
    def listed(id: Id) -> MaintenancesOut:
        """Calibration and maintenance of a works' instruments."""
        entry = one_works(console, id)
        return MaintenancesOut(items=[MaintenanceOut.of(one) for one in _desk(console).listed(entry.county, entry.id)])

    @router.post("/works/{id}/maintenance", status_code=201, responses={400: {"model": Problem}})
    def begin(id: Id, body: BeginIn) -> MaintenanceOut:
        """Begin: judging of the point pauses until it ends. Status 409 while one lasts at the point."""
        entry, desk = one_works(console, id), _desk(console)
        try:
            begun = desk.begin(entry.county, entry.id, body.point, body.by, body.reason, body.minutes, body.calibrated)
        except ValueError as error:
            raise HTTPException(422, str(error)) from error
        return MaintenanceOut.of(begun)

    @router.post("/works/{id}/maintenance/{maintenance}/end", responses={400: {"model": Problem}})
    def end(id: Id, maintenance: RowId, body: EndIn) -> MaintenanceOut:
        """End; again changes nothing."""
        entry = one_works(console, id)
        return MaintenanceOut.of(_desk(console).end(entry.county, entry.id, maintenance, body.by))

    return router


def _quality(console: Console) -> QualityPort:
    if console.actions.quality is None:
        raise HTTPException(501, "quality flags are not enabled here")
    return console.actions.quality


def _desk(console: Console) -> MaintenancePort:
    if console.actions.maintenance is None:
        raise HTTPException(501, "maintenance is not enabled here")
    return console.actions.maintenance
