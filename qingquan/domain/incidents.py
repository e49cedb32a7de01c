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
    """Life of an incident. ``stale`` is orthogonal: a flag on the incident, never a state.

    Open is firing; acknowledged holds until its lease ends; resolved is shown to be over; closed is settled by a person.
    """

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    CLOSED = "closed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more can happen to it but being closed."""
        return self in (IncidentState.RESOLVED, IncidentState.CLOSED)


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
    RECOVERING = "recovering"
    LEASE_EXPIRED = "lease_expired"
    CLOSED = "closed"
    ESCALATED = "escalated"
    NOBODY_REACHED = "nobody_reached"
    PROBLEM_DUE = "problem_due"
    MUTED = "muted"
    UNMUTED = "unmuted"
    TOWNSHIP_GROUPED = "township_grouped"
    TOWNSHIP_RESTORED = "township_restored"
    FLAPPING = "flapping"
    DRILL_STARTED = "drill_started"
    DRILL_ENDED = "drill_ended"
    REPORTED_FIXED = "reported_fixed"
    HELP_WANTED = "help_wanted"
    NOTED = "noted"


@dataclass(frozen=True, slots=True)
class Incident:
    """Findings of one works and one cause, as a duty officer sees them. Times are aware UTC.

    One of a whole township has no works (``works`` is empty, ``summary`` names the township); those of its works name it as
    ``parent_id``. ``ladder_at`` is when telling people began in this ``round``, ``next_at`` when to look again. A drill has a
    number of its own and is no incident in any figure.
    """

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
    round: int = 0
    ladder_at: datetime | None = None
    next_at: datetime | None = None
    lease_until: datetime | None = None
    parent_id: int | None = None
    drill_number: int | None = None
    closed_at: datetime | None = None
    closed_by: str = ""
    cause_code: str = ""

    @property
    def is_drill(self) -> bool:
        """Whether this is an exercise (演练)."""
        return self.drill_number is not None


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
    why: str = ""
    """Why it is refused, not sent or unknown (`NotSent`)."""
    fallback: tuple[tuple[str, str], ...] = ()
    """Further (channel, receiver) to the same person, in order."""
    carried_by: int | None = None
    """The message that carried it to the receiver, together with others; its own id where it carried them."""
    stands_in_for: int | None = None


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to put into the outbox. ``due_at`` ``None`` = at once.

    ``not_sent_because`` says that it never goes out, and why: the row is there to be seen.
    """

    incident_id: int
    step: str
    channel: str
    receiver: str
    receiver_name: str
    body: str
    created_at: datetime
    params: dict[str, str] = field(default_factory=dict)
    due_at: datetime | None = None
    not_sent_because: str = ""
    fallback: tuple[tuple[str, str], ...] = ()
    stands_in_for: int | None = None
