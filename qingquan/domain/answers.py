"""What people answer to a message: they have it, it is fixed, they need help, a note, a photo. Times are ms since epoch, UTC."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Answer", "AnswerKind", "AnswerOutcome", "Link", "Photo"]


class AnswerKind(StrEnum):
    """What somebody says about an incident. A note says nothing about its state but that somebody is at it."""

    ACKNOWLEDGED = "acknowledged"
    FIXED = "fixed"
    HELP = "help"
    NOTE = "note"


class AnswerOutcome(StrEnum):
    """What became of an answer."""

    TAKEN = "taken"
    OVER = "over"
    UNCLEAR = "unclear"
    NO_INCIDENT = "no_incident"
    UNKNOWN_SENDER = "unknown_sender"


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture as evidence: SHA-256 of its bytes in hex, media type, size [byte]."""

    digest: str
    media_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, taken or not. ``sender`` is the number or user it came from, ``person`` whom we take that for.

    ``repeat_key`` names it over repetitions: the same answer twice is one. ``until`` is when somebody means to be done.
    """

    id: int
    incident_id: int | None
    kind: AnswerKind | None
    channel: str
    sender: str
    person: str
    at: int
    outcome: AnswerOutcome
    repeat_key: str
    text: str = ""
    photo: Photo | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """What a short signed link stands for: one incident, one receiver of one message, until then."""

    incident_id: int
    message_id: int
    channel: str
    receiver: str
    person: str
    purpose: str
    expires_at: int
