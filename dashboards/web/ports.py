"""What the console reads and the few things it may do; the adapter over the stores and an example county stand beside it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dashboards.web.answer_port import AnswerDesk
from dashboards.web.compliance_port import ComplianceDesk
from dashboards.web.disinfection_port import DisinfectionDesk
from dashboards.web.duty_port import DutyDesk
from dashboards.web.events_port import EventDesk
from dashboards.web.operations_port import OperationsPort
from dashboards.web.quality_port import MaintenancePort, QualityPort
from dashboards.web.rules_port import RulesDesk
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Incident, IncidentEvent, IncidentState, Message, MessageState
from qingquan.domain.lab import LabReport, LabSample
from qingquan.domain.readings import QuarantineReason, SeriesKey
from qingquan.domain.state import WorksState
from qingquan.domain.works import Works
from qingquan.store.ports import Trend
from qingquan.store.sql.quarantine import QuarantineEntry
from qingquan.store.sql.statements import Page

__all__ = [
    "ConsoleActions", "ConsoleData", "Counts", "FindingQuery", "IncidentQuery", "LabQuery", "MessageQuery",
    "Page", "PartHealth", "QuarantineQuery",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Counts:
    """What came in and what came of it. ``None`` = that part gave no answer: never shown as nought."""

    logged: int | None
    evaluated: int | None
    recorded: int | None
    readings: int | None
    duplicates: int | None
    conflicts: int | None
    quarantined: Mapping[str, int]
    refused: Mapping[str, int] = field(default_factory=dict)
    """What the MQTT door turned away, by kind: devices cannot be told, so it shows here alone."""


@dataclass(frozen=True, slots=True)
class PartHealth:
    """Whether a part behind the console answers; ``detail`` says why not."""

    name: str
    is_up: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FindingQuery:
    """Findings, newest start first. ``region`` is a prefix of the county code; empty or ``None`` = any.

    ``from_ms`` <= start < ``to_ms``.
    """

    region: str = ""
    works: str = ""
    kinds: tuple[FindingKind, ...] = ()
    is_open: bool | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class IncidentQuery:
    """Incidents: unresolved before resolved, worst first, then newest first. ``states`` empty = any."""

    region: str = ""
    works: str = ""
    states: tuple[IncidentState, ...] = ()
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class MessageQuery:
    """Outbox entries, newest first."""

    region: str = ""
    incident: int | None = None
    states: tuple[MessageState, ...] = ()
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class LabQuery:
    """Lab samples, newest upload first."""

    region: str = ""
    works: str = ""
    limit: int = 100
    offset: int = 0


@dataclass(frozen=True, slots=True)
class QuarantineQuery:
    """Quarantined items, newest first. An item whose county cannot be told is in no region but the whole."""

    region: str = ""
    reasons: tuple[QuarantineReason, ...] = ()
    limit: int = 100
    offset: int = 0


class ConsoleData(Protocol):
    """Everything the pages and the API read. Methods block; callers run them in a thread.

    Every method raises `StoreUnavailable` when its store does not answer.
    """

    def register_version(self) -> int:
        """Grows whenever the register changes."""
        ...

    def works(self, region: str = "") -> Sequence[Works]:
        """The register of a region, ordered by county and id."""
        ...

    def one_works(self, county: str, works: str) -> Works | None:
        """One entry of the register."""
        ...

    def states(self, region: str = "") -> Sequence[WorksState]:
        """Where the works of a region stand. Works never evaluated are absent: the caller shows them as unknown."""
        ...

    def findings(self, query: FindingQuery) -> Page[Finding]:
        """Findings that fit the query; withdrawn ones are left out of open ones."""
        ...

    def findings_by_id(self, finding_ids: Sequence[str]) -> Sequence[Finding]:
        """Those of the findings that exist, oldest first."""
        ...

    def incidents(self, query: IncidentQuery) -> Page[Incident]:
        """Incidents that fit the query."""
        ...

    def incident(self, incident_id: int) -> Incident | None:
        """One incident with the ids of its findings."""
        ...

    def incident_events(self, incident_id: int) -> Sequence[IncidentEvent]:
        """History of an incident, oldest first."""
        ...

    def acknowledge(self, incident_id: int, by: str, at_ms: int) -> Incident:
        """Note that a person has taken the incident on. Again by the same or another person changes nothing: the first
        one stands.

        Raises
        ------
        NotFound
            If there is no such incident.
        TransitionRefused
            If it is resolved.
        """
        ...

    def messages(self, query: MessageQuery) -> Page[Message]:
        """Outbox entries that fit the query."""
        ...

    def lab_samples(self, query: LabQuery) -> Page[LabSample]:
        """Lab samples that fit the query."""
        ...

    def quarantine(self, query: QuarantineQuery) -> Page[QuarantineEntry]:
        """Quarantined items that fit the query."""
        ...

    def counts(self) -> Counts:
        """What came in and what came of it."""
        ...

    def trend(
        self, key: SeriesKey, start: int, end: int, step_ms: int | None = None, aggregates: Sequence[str] = ("mean",)
    ) -> Trend:
        """A stretch of a series as `SeriesStore.range` gives it."""
        ...

    def health(self) -> Sequence[PartHealth]:
        """Whether the stores answer. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class ConsoleActions:
    """What the console may have done for it; ``None`` = not offered here, and the page says so.

    ``upload(filename, content, uploader)`` parses, judges and stores a lab sheet. ``lab_template()`` gives file name and
    content of an empty sheet. ``redrive(ids)`` sends quarantined items through the door again and returns how many went.
    ``phone_messages()`` lists what the gateway double has accepted, newest first: ``id, channel, to, text, at`` [ms];
    ``phones_url`` is its page, from which one can answer.
    ``disinfection`` keeps facts, measurements by hand and advice. ``compliance`` reads figures by day and month.
    ``quality`` flags readings and scores sensors; ``maintenance`` begins and ends work on them. ``rules`` tries rules.
    ``duty`` keeps rosters, silences and drills. ``answers`` follows links in messages, and keeps notes and photos. ``operations`` shows the platform itself. ``events`` keeps what people say of sudden changes.
    """

    upload: Callable[[str, bytes, str], LabReport] | None = None
    lab_template: Callable[[], tuple[str, bytes]] | None = None
    redrive: Callable[[Sequence[int]], int] | None = None
    phone_messages: Callable[[], Sequence[Mapping[str, object]]] | None = None
    phones_url: str = ""
    disinfection: DisinfectionDesk | None = None
    compliance: ComplianceDesk | None = None
    quality: QualityPort | None = None
    maintenance: MaintenancePort | None = None
    rules: RulesDesk | None = None
    duty: DutyDesk | None = None
    answers: AnswerDesk | None = None
    operations: OperationsPort | None = None
    events: EventDesk | None = None
