"""What people handle, and what they are told."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from qingquan.domain.findings import FindingKind, Severity

__all__ = [
    "Incident",
    "IncidentEvent",
    "IncidentState",
    "Message",
    "MessageState",
    "NewMessage",
    "TransitionReason",
]


class IncidentState(StrEnum):
    """Life of an incident. ``stale`` is orthogonal: a flag on the incident, never a state."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class TransitionReason(StrEnum):
    """Why an incident changed; the same word serves audit, metric and operator."""

    FIRST_FINDING = "first_finding"
    FINDING_JOINED = "finding_joined"
    SEVERITY_RAISED = "severity_raised"
    ACKNOWLEDGED = "acknowledged"
    WATER_COMPLIANT = "water_compliant"
    FINDINGS_WITHDRAWN = "findings_withdrawn"
    DATA_RETURNED = "data_returned"
    WENT_STALE = "went_stale"
    FRESH_AGAIN = "fresh_again"
    RECORDED_LATE = "recorded_late"


@dataclass(frozen=True, slots=True)
class Incident:
    """Findings of one works and one cause, as a duty officer sees them. Times are aware UTC."""

    id: int
    county: str
    works: str
    kind: FindingKind
    severity: Severity
    state: IncidentState
    stale: bool
    late: bool
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str
    resolved_at: datetime | None
    finding_ids: tuple[str, ...] = ()
    summary: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One line of an incident's history: what changed it, when [aware UTC], by whom (``""`` = the system itself)."""

    at: datetime
    reason: TransitionReason
    actor: str = ""
    detail: str = ""


class MessageState(StrEnum):
    """Delivery of one message to one receiver."""

    QUEUED = "queued"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True)
class Message:
    """An outbox entry: one message to one receiver over one channel, unique per (incident, step, receiver, channel)."""

    id: int
    incident_id: int
    step: str
    channel: str
    receiver: str
    receiver_name: str
    body: str
    params: dict[str, str]
    state: MessageState
    attempts: int
    created_at: datetime
    due_at: datetime
    sent_at: datetime | None
    provider_id: str
    error: str


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to put into the outbox. ``due_at`` ``None`` = at once."""

    incident_id: int
    step: str
    channel: str
    receiver: str
    receiver_name: str
    body: str
    created_at: datetime
    params: dict[str, str] = field(default_factory=dict)
    due_at: datetime | None = None
