"""What the API hands out, and how domain values become it. Times are RFC 3339, UTC."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, Field

from dashboards.web.api_operations import WatchOut
from dashboards.web.ports import Counts, PartHealth
from dashboards.web.words import masked_phone
from qingquan.clock import from_ms
from qingquan.domain.findings import Finding
from qingquan.domain.incidents import Incident, IncidentEvent, Message
from qingquan.domain.lab import LabRefusal, LabReport, LabResult, LabSample
from qingquan.domain.state import WorksState
from qingquan.domain.works import Works
from qingquan.store.sql.quarantine import QuarantineEntry

__all__ = [
    "AcknowledgeIn", "CountsOut", "FindingOut", "HealthOut", "IncidentDetailOut", "IncidentOut", "LabReportOut", "LabSampleOut",
    "ListOut", "QuarantineOut", "RedriveIn", "RedriveOut", "SeriesOut", "WorksOut",
]  # fmt: skip

T = TypeVar("T")
PREVIEW_BYTES = 2000


def _number(given: object) -> object:
    """JSON knows one kind of number, so 7.0 is the integer 7; true and "7" are none."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ValueError("give a whole number")
    return given


EntryId = Annotated[int, Field(ge=1, le=2**53), BeforeValidator(_number)]


class ListOut(BaseModel, Generic[T]):
    """A page of a list. ``total`` counts the whole list."""

    items: list[T]
    total: int
    limit: int
    offset: int


class PointOut(BaseModel):
    """Sampling point; ``parameters`` are those expected from it."""

    id: str
    kind: str
    name: str
    parameters: list[str]


class ContactOut(BaseModel):
    """A person who answers for a works; the middle of the phone number is hidden."""

    role: str
    name: str
    phone: str


class StateOut(BaseModel):
    """Where a works stands. ``stale``: no fresh data, so this is the last known and not the present."""

    disinfection: str = Field(description="ok, low, missing, high, unknown, not_equipped or idle")
    since: datetime | None
    as_of: datetime | None = Field(description="time of the newest reading; null when none ever came")
    stale: bool
    residual_mg_l: float | None
    residual_parameter: str | None
    turbidity_ntu: float | None
    worst_severity: str | None
    open_findings: int
    latest: dict[str, float]

    @classmethod
    def of(cls, state: WorksState) -> "StateOut":
        """From the domain."""
        return cls(
            disinfection=state.disinfection, since=from_ms(state.since) if state.since else None,
            as_of=None if state.as_of is None else from_ms(state.as_of), stale=state.stale, residual_mg_l=state.residual,
            residual_parameter=state.residual_parameter, turbidity_ntu=state.turbidity,
            worst_severity=None if state.worst is None else state.worst.word, open_findings=state.open_findings, latest=state.latest,
        )  # fmt: skip


class WorksOut(BaseModel):
    """An entry of the works register, with its state; ``state`` is null while it was never judged: unknown, not fine."""

    county: str
    id: str
    name: str
    township: str
    disinfectant: str
    equipment: str
    capacity_m3_d: float
    population: int
    small_supply: bool
    source_limited: bool
    treatment_limited: bool
    groundwater_limited: bool
    raw_permanganate_above_6: bool
    cadence_s: int
    upload_interval_s: int
    longitude: float | None
    latitude: float | None
    time_zone: str
    simulated: bool
    points: list[PointOut]
    contacts: list[ContactOut]
    state: StateOut | None

    @classmethod
    def of(cls, works: Works, state: WorksState | None) -> "WorksOut":
        """From the domain."""
        return cls(
            county=works.county, id=works.id, name=works.name, township=works.township, disinfectant=works.disinfectant,
            equipment=works.equipment, capacity_m3_d=works.capacity_m3_d, population=works.population,
            small_supply=works.is_small_supply, source_limited=works.source_limited,
            treatment_limited=works.treatment_limited, groundwater_limited=works.groundwater_limited,
            raw_permanganate_above_6=works.raw_permanganate_above_6, cadence_s=works.cadence_s,
            upload_interval_s=works.upload_interval_s, longitude=works.longitude, latitude=works.latitude, time_zone=works.time_zone,
            simulated=works.simulated,
            points=[PointOut(id=p.id, kind=p.kind, name=p.name, parameters=list(p.parameters)) for p in works.points],
            contacts=[ContactOut(role=c.role, name=c.name, phone=masked_phone(c.phone)) for c in works.contacts],
            state=None if state is None else StateOut.of(state),
        )  # fmt: skip


class FindingOut(BaseModel):
    """A judgement over a time span; ``end`` is null while it lasts."""

    id: str
    kind: str
    severity: str
    county: str
    works: str
    point: str
    parameter: str
    start: datetime
    end: datetime | None
    evidence_at: datetime
    extreme: float | None
    limit: float | None
    clause: str
    rule: str
    rule_version: str
    reason: str
    late: bool
    withdrawn: bool

    @classmethod
    def of(cls, finding: Finding) -> "FindingOut":
        """From the domain."""
        return cls(
            id=finding.id, kind=finding.kind, severity=finding.severity.word, county=finding.county, works=finding.works,
            point=finding.point, parameter=finding.parameter, start=from_ms(finding.start),
            end=None if finding.end is None else from_ms(finding.end), evidence_at=from_ms(finding.evidence_at),
            extreme=finding.extreme, limit=finding.limit, clause=finding.clause, rule=finding.rule,
            rule_version=finding.rule_version, reason=finding.reason, late=finding.late, withdrawn=finding.withdrawn,
        )  # fmt: skip


class IncidentOut(BaseModel):
    """What duty officers handle. ``stale``: the works is silent, which is no recovery."""

    id: int
    county: str
    works: str
    kind: str
    severity: str
    state: str
    stale: bool
    late: bool
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str
    resolved_at: datetime | None
    finding_ids: list[str]

    @classmethod
    def of(cls, incident: Incident) -> "IncidentOut":
        """From the domain."""
        return cls(
            id=incident.id, county=incident.county, works=incident.works, kind=incident.kind, severity=incident.severity.word,
            state=incident.state, stale=incident.stale, late=incident.late, opened_at=incident.opened_at,
            acknowledged_at=incident.acknowledged_at, acknowledged_by=incident.acknowledged_by, resolved_at=incident.resolved_at,
            finding_ids=list(incident.finding_ids),
        )  # fmt: skip


class EventOut(BaseModel):
    """One line of an incident's history."""

    at: datetime
    reason: str
    actor: str
    detail: str


class MessageOut(BaseModel):
    """A message and what became of it. ``error`` says why it was not sent."""

    id: int
    step: str
    channel: str
    receiver_name: str
    body: str
    state: str
    attempts: int
    created_at: datetime
    sent_at: datetime | None
    error: str
    why: str = ""


class IncidentDetailOut(IncidentOut):
    """An incident with its findings, history and messages."""

    findings: list[FindingOut]
    events: list[EventOut]
    messages: list[MessageOut]

    @classmethod
    def with_parts(
        cls, incident: Incident, findings: list[Finding], events: list[IncidentEvent], messages: list[Message]
    ) -> "IncidentDetailOut":
        """From the domain."""
        return cls(
            **IncidentOut.of(incident).model_dump(),
            findings=[FindingOut.of(f) for f in findings],
            events=[EventOut(at=e.at, reason=e.reason, actor=e.actor, detail=e.detail) for e in events],
            messages=[
                MessageOut(
                    id=m.id, step=m.step, channel=m.channel, receiver_name=m.receiver_name, body=m.body, state=m.state,
                    attempts=m.attempts, created_at=m.created_at, sent_at=m.sent_at, error=m.error, why=m.why,
                )
                for m in messages
            ],
        )  # fmt: skip


class AcknowledgeIn(BaseModel):
    """Who takes the incident on."""

    by: str = Field(min_length=1, max_length=40, pattern=r"\S", examples=["吴桂兰"])


class LabResultOut(BaseModel):
    """One parameter of a sample. A non-detect has no value: ``operator`` is ``ND`` or ``<``, and the limit of detection stands beside.

    ``verdict`` is compliant, exceeded, undecided or not_judged; ``reason`` says why in a sentence.
    """

    parameter: str
    operator: str
    value: float | None
    detection_limit: float | None
    unit: str
    canonical_value: float | None
    method: str
    verdict: str
    limit: str
    limit_id: str
    clause: str
    row: int
    reason: str

    @classmethod
    def of(cls, result: LabResult) -> "LabResultOut":
        """From the domain."""
        return cls(
            parameter=result.parameter, operator=result.operator, value=result.value, detection_limit=result.detection_limit,
            unit=result.unit, canonical_value=result.canonical_value, method=result.method, verdict=result.verdict,
            limit=result.limit, limit_id=result.limit_id, clause=result.clause, row=result.row,
            reason=result.reason,
        )  # fmt: skip


class LabSampleOut(BaseModel):
    """A bottle and its results."""

    id: int
    number: str
    county: str
    works: str
    point: str
    sampled_at: datetime
    uploaded_at: datetime
    uploaded_by: str
    laboratory: str
    source_file: str
    results: list[LabResultOut]

    @classmethod
    def of(cls, sample: LabSample) -> "LabSampleOut":
        """From the domain."""
        return cls(
            id=sample.id, number=sample.number, county=sample.county, works=sample.works, point=sample.point,
            sampled_at=from_ms(sample.sampled_at), uploaded_at=from_ms(sample.uploaded_at), uploaded_by=sample.uploaded_by,
            laboratory=sample.laboratory, source_file=sample.source_file, results=[LabResultOut.of(r) for r in sample.results],
        )  # fmt: skip


class LabRefusalOut(BaseModel):
    """A cell or row that could not be taken, and how to mend it."""

    sheet: str
    row: int
    cell: str
    column: str
    value: str
    reason: str
    detail: str
    remedy: str

    @classmethod
    def of(cls, refusal: LabRefusal) -> "LabRefusalOut":
        """From the domain."""
        return cls(
            sheet=refusal.sheet, row=refusal.row, cell=refusal.cell, column=refusal.column, value=refusal.value,
            reason=refusal.reason, detail=refusal.detail, remedy=refusal.remedy,
        )  # fmt: skip


class LabReportOut(BaseModel):
    """What became of an upload."""

    samples: list[LabSampleOut]
    refusals: list[LabRefusalOut]
    sample_ids: list[int]

    @classmethod
    def of(cls, report: LabReport) -> "LabReportOut":
        """From the domain."""
        return cls(
            samples=[LabSampleOut.of(s) for s in report.samples],
            refusals=[LabRefusalOut.of(r) for r in report.refusals],
            sample_ids=list(report.sample_ids),
        )


class QuarantineOut(BaseModel):
    """Something set aside. ``payload`` is the beginning of the message as text; ``digest`` is of all of it (SHA-256)."""

    id: int
    reason: str
    detail: str
    sequence: int
    received_at: datetime
    subject: str
    position: str
    payload: str
    digest: str
    redriven_at: datetime | None

    @classmethod
    def of(cls, entry: QuarantineEntry) -> "QuarantineOut":
        """From the domain."""
        item = entry.item
        return cls(
            id=entry.id, reason=item.reason, detail=item.detail, sequence=item.sequence, received_at=from_ms(item.received_at),
            subject=item.subject, position=item.position, payload=item.payload[:PREVIEW_BYTES].decode("utf-8", errors="replace"),
            digest=item.digest, redriven_at=None if entry.redriven_at is None else from_ms(entry.redriven_at),
        )  # fmt: skip


class RedriveIn(BaseModel):
    """Entries to send through the door again."""

    ids: list[EntryId] = Field(min_length=1, max_length=1000)


class RedriveOut(BaseModel):
    """How many messages went."""

    sent: int


class SeriesOut(BaseModel):
    """A stretch of a series, oldest first. Without a step ``columns`` holds ``value`` and ``flag`` (QARTOD), else one list per aggregate."""

    county: str
    works: str
    point: str
    parameter: str
    unit: str
    step_ms: int | None
    observed_at: list[datetime]
    columns: dict[str, list[float | None]]
    tests: list[list[str]] | None = Field(
        default=None, description="names of the quality tests behind each flag; null with a step"
    )


class CountsOut(BaseModel):
    """What came in and what came of it. Null: that part gave no answer."""

    logged: int | None = Field(description="messages the reading log has taken")
    evaluated: int | None = Field(description="messages the evaluator has judged")
    recorded: int | None = Field(description="messages the recorder has written")
    readings: int | None = Field(description="readings held by the series store")
    duplicates: int | None
    conflicts: int | None
    quarantined: dict[str, int] = Field(description="items set aside, by reason")
    refused: dict[str, int] = Field(description="what the MQTT door turned away before the log, by kind")

    @classmethod
    def of(cls, counts: Counts) -> "CountsOut":
        """From the port."""
        return cls(
            logged=counts.logged, evaluated=counts.evaluated, recorded=counts.recorded, readings=counts.readings,
            duplicates=counts.duplicates, conflicts=counts.conflicts, quarantined=dict(counts.quarantined),
            refused=dict(counts.refused),
        )  # fmt: skip


class PartOut(BaseModel):
    """Whether a part answers."""

    name: str
    is_up: bool
    detail: str


class HealthOut(BaseModel):
    """``status`` is ``up`` when every part answers and nothing watched fires, else ``degraded``."""

    status: str
    now: datetime
    parts: list[PartOut]
    watches: list[WatchOut] = []

    @classmethod
    def of(cls, parts: list[PartHealth], now: int, watches: Sequence[WatchOut] = ()) -> "HealthOut":
        """From the port."""
        is_fine = all(part.is_up for part in parts) and not any(one.condition == "firing" for one in watches)
        return cls(
            status="up" if is_fine else "degraded", now=from_ms(now),
            parts=[PartOut(name=p.name, is_up=p.is_up, detail=p.detail) for p in parts], watches=list(watches),
        )  # fmt: skip
