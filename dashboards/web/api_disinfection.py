"""API of disinfection: advice, facts, measurements by hand."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Form, HTTPException, Path, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from dashboards.web.api_models import ListOut
from dashboards.web.api_requests import Limit, Offset
from dashboards.web.disinfection_port import DisinfectionDesk
from dashboards.web.layout import Console
from dashboards.web.problems import Problem
from dashboards.web.works_lookup import one_works
from qingquan.clock import from_ms
from qingquan.domain.disinfection import (
    Delivery,
    DisinfectionFacts,
    HandFault,
    HandMeasurement,
    HandMethod,
    HandReport,
    Segment,
)

__all__ = ["FactsIn", "FactsModel", "disinfection_router"]

MOST_UPLOAD_BYTES = 20_000_000
_PROBLEMS: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (404, 409, 501)}
Id = Annotated[str, Path(pattern=r"^(\d{6}:)?[A-Za-z0-9_-]{1,64}$")]
_Name = Annotated[str, Field(min_length=1, max_length=60)]


def _positive(most: float) -> Any:
    return Field(default=None, gt=0, le=most, allow_inf_nan=False)


class SegmentModel(BaseModel):
    """One stretch of the contact zone."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(max_length=60)] = ""
    volume_m3: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    baffling_factor: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
    peak_flow_m3_h: Annotated[float, Field(gt=0, le=1e5, allow_inf_nan=False)]


class DeliveryModel(BaseModel):
    """Disinfectant that came in; ``delivered_at`` ms since epoch, strength as available chlorine."""

    model_config = ConfigDict(extra="forbid")
    delivered_at: Annotated[int, Field(ge=946_684_800_000, le=253_402_300_799_999)]
    strength_g_l: Annotated[float, Field(gt=0, le=250, allow_inf_nan=False)]
    amount_l: Annotated[float | None, _positive(1e6)] = None


class FactsModel(BaseModel):
    """Facts of a works; null = not known."""

    model_config = ConfigDict(extra="forbid")
    giardia_log: Annotated[float | None, _positive(6)] = None
    virus_log: Annotated[float | None, _positive(8)] = None
    tank_volume_l: Annotated[float | None, _positive(1e6)] = None
    pump_capacity_l_h: Annotated[float | None, _positive(1e5)] = None
    store_temperature_c: Annotated[float | None, Field(ge=0, le=55, allow_inf_nan=False)] = None
    network_end_hours: Annotated[float | None, _positive(1000)] = None
    segments: Annotated[list[SegmentModel], Field(max_length=20)] = []
    deliveries: Annotated[list[DeliveryModel], Field(max_length=500)] = []

    def domain(self) -> DisinfectionFacts:
        """As the engine knows them."""
        plain = self.model_dump(exclude={"segments", "deliveries"})
        return DisinfectionFacts(
            **plain,
            segments=tuple(Segment(**one.model_dump()) for one in self.segments),
            deliveries=tuple(Delivery(**one.model_dump()) for one in self.deliveries),
        )

    @classmethod
    def of(cls, facts: DisinfectionFacts) -> "FactsModel":
        """As JSON has them."""
        return cls(
            giardia_log=facts.giardia_log, virus_log=facts.virus_log, tank_volume_l=facts.tank_volume_l,
            pump_capacity_l_h=facts.pump_capacity_l_h, store_temperature_c=facts.store_temperature_c,
            network_end_hours=facts.network_end_hours,
            segments=[SegmentModel(name=s.name, volume_m3=s.volume_m3, baffling_factor=s.baffling_factor, peak_flow_m3_h=s.peak_flow_m3_h) for s in facts.segments],
            deliveries=[DeliveryModel(delivered_at=d.delivered_at, strength_g_l=d.strength_g_l, amount_l=d.amount_l) for d in facts.deliveries],
        )  # fmt: skip


class FactsIn(FactsModel):
    """Facts with the name of who enters them."""

    by: _Name


class MeasurementIn(BaseModel):
    """A residual measured by hand. ``value``: a number, or text with ``<`` before it; ``observed_at`` local time or ms, empty = now."""

    model_config = ConfigDict(extra="forbid")
    value: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Annotated[str, Field(max_length=20)]
    person: _Name
    observed_at: Annotated[str, Field(max_length=40)] | Annotated[int, Field(ge=0, le=253_402_300_799_999)] = ""
    point: Annotated[str, Field(max_length=64)] = ""
    method: HandMethod = HandMethod.DPD_COLOUR
    note: Annotated[str, Field(max_length=200)] = ""


class MeasurementOut(BaseModel):
    """A measurement as kept. ``in_log`` = the reading log has it (``null``: it checks an instrument and is no reading)."""

    county: str
    works: str
    point: str
    parameter: str
    observed_at: str
    qualifier: str
    value: float
    method: str
    person: str
    entered_at: str
    source: str
    note: str
    in_log: bool | None

    @classmethod
    def of(cls, one: HandMeasurement) -> "MeasurementOut":
        """From the domain."""
        return cls(
            county=one.county, works=one.works, point=one.point, parameter=one.parameter,
            observed_at=from_ms(one.observed_at).isoformat(), qualifier=one.qualifier, value=one.value, method=one.method.value,
            person=one.person, entered_at=from_ms(one.entered_at).isoformat(), source=one.source, note=one.note,
            in_log=None if one.sequence == 0 else one.sequence is not None,
        )  # fmt: skip


class HandReportOut(BaseModel):
    """What became of a sheet of measurements."""

    rows: int
    taken: int
    known: int
    refusals: list[str]

    @classmethod
    def of(cls, report: HandReport) -> "HandReportOut":
        """From the domain."""
        return cls(rows=report.rows, taken=report.taken, known=report.known, refusals=list(report.refusals))


class DisinfectionOut(BaseModel):
    """State of a works' disinfection and everything computed about it; the sections are those of the works page.

    ``advice`` is null until it has been worked out; its sections are null where there is none, and ``unknown`` says why.
    """

    county: str
    works: str
    evidence: str
    state: str
    since: str | None
    computed_at: str | None
    advice: dict[str, Any] | None
    facts: FactsModel


def disinfection_router(console: Console) -> APIRouter:
    """Routes under ``/works/{id}/disinfection`` and ``/works/{id}/measurements``; before those of works, whose patterns are wider."""
    router = APIRouter(tags=["disinfection"])

    def desk() -> DisinfectionDesk:
        if console.actions.disinfection is None:
            raise HTTPException(501, "disinfection facts are not kept here")
        return console.actions.disinfection

    @router.get("/works/{id}/disinfection", responses=_PROBLEMS)
    def disinfection(id: Id) -> DisinfectionOut:
        """State, verdict, stock, strength, contact, decay and forecast of one works."""
        works = one_works(console, id)
        state = next((s for s in console.data.states(works.county) if s.works == works.id), None)
        advice = desk().advice(works.county, works.id)
        return DisinfectionOut(
            county=works.county, works=works.id, evidence=works.evidence,
            state="unknown" if state is None else state.disinfection.value,
            since=None if state is None else from_ms(state.since).isoformat(),
            computed_at=None if advice is None else from_ms(advice.computed_at).isoformat(),
            advice=None if advice is None else advice.document,
            facts=FactsModel.of(desk().facts(works.county, works.id)),
        )  # fmt: skip

    @router.put("/works/{id}/disinfection/facts", responses=_PROBLEMS | {400: {"model": Problem}})
    def put_facts(id: Id, body: FactsIn) -> FactsModel:
        """Replace what is known about contact, dosing and deliveries."""
        works = one_works(console, id)
        if not body.by.strip():
            raise HTTPException(422, "by: must not be blank")
        desk().save_facts(works.county, works.id, body.domain(), body.by.strip())
        return FactsModel.of(desk().facts(works.county, works.id))

    @router.get("/works/{id}/measurements", responses=_PROBLEMS)
    def measurements(id: Id, limit: Limit = 100, offset: Offset = 0) -> ListOut[MeasurementOut]:
        """Residuals measured by hand, newest first."""
        works = one_works(console, id)
        page = desk().measurements(works.county, works.id, limit, offset)
        return ListOut(
            items=[MeasurementOut.of(one) for one in page.items], total=page.total, limit=limit, offset=offset
        )

    @router.post(
        "/works/{id}/measurements", status_code=201, responses=_PROBLEMS | {400: {"model": Problem}}
    )  # fmt: skip
    def log(id: Id, body: MeasurementIn) -> MeasurementOut:
        """Log a residual measured by hand; of a hand-logged works it is judged at once. Status 409 if that minute is logged already."""
        works = one_works(console, id)
        outcome = desk().log(
            works, str(body.value), body.person, point=body.point, observed_at=body.observed_at, method=body.method,
            note=body.note, source="api",
        )  # fmt: skip
        if isinstance(outcome, list):
            status = 409 if any(fault.word == "taken" for fault in outcome) else 422
            raise HTTPException(status, "; ".join(_fault_words(fault) for fault in outcome))
        return MeasurementOut.of(outcome)

    @router.post("/measurements/import", responses={code: {"model": Problem} for code in (400, 413, 501)})
    def import_measurements(
        file: Annotated[UploadFile, File()], by: Annotated[str, Form(min_length=1, max_length=60, pattern=r"\S")]
    ) -> HandReportOut:
        """Log a sheet of measurements (xlsx or csv); good rows are taken, the others refused by cell."""
        content = file.file.read(MOST_UPLOAD_BYTES + 1)
        if len(content) > MOST_UPLOAD_BYTES:
            raise HTTPException(413, f"at most {MOST_UPLOAD_BYTES // 1_000_000} MB")
        return HandReportOut.of(desk().import_log(file.filename or "upload", content, by.strip()))

    return router


def _fault_words(fault: HandFault) -> str:
    facts = f" ({', '.join(f'{name} {value}' for name, value in fault.facts.items())})" if fault.facts else ""
    return f"{fault.field}: {fault.word.replace('_', ' ')}{facts}"
