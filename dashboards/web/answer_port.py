"""What the pages for answers ask for: one incident by its link, an answer, a photo, a note of the console's."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from qingquan.domain.answers import Answer, AnswerKind
from qingquan.domain.findings import Finding
from qingquan.domain.incidents import Incident
from qingquan.domain.works import Works

__all__ = ["PHOTO_MOST_BYTES", "AnswerDesk", "AnswerFault", "AnswerView"]

PHOTO_MOST_BYTES = 8 * 2**20


class AnswerFault(StrEnum):
    """Why a photo was not kept."""

    PHOTO_TOO_LARGE = "photo_too_large"
    PHOTO_TYPE = "photo_type"
    PHOTO_TOO_MANY = "photo_too_many"
    PHOTO_NOT_KEPT = "photo_not_kept"


@dataclass(frozen=True, slots=True)
class AnswerView:
    """All that a link shows: its incident, who follows it, what was answered so far, what the message said to do."""

    incident: Incident
    works: Works | None
    findings: tuple[Finding, ...]
    answers: tuple[Answer, ...]
    person: str
    sender: str
    action: str


class AnswerDesk(Protocol):
    """Methods block; callers run them in a thread. Every one raises `StoreUnavailable` when the database does not answer."""

    def view(self, token: str) -> AnswerView | None:
        """What a link leads to; ``None`` for every link that leads nowhere, whatever the reason."""
        ...

    def answer(
        self, token: str, kind: AnswerKind, text: str, photo: bytes | None, nonce: str
    ) -> tuple[Answer | None, AnswerFault | None] | None:
        """Take an answer, and say what became of its photo; ``None`` where the link leads nowhere. The same nonce is the same answer."""
        ...

    def answers(self, incident_id: int) -> Sequence[Answer]:
        """Answers to an incident, oldest first."""
        ...

    def refused(self, limit: int) -> Sequence[Answer]:
        """Answers that counted for nothing, newest first."""
        ...

    def photo(self, incident_id: int, digest: str) -> tuple[bytes, str] | None:
        """Bytes and media type of a photo of an incident."""
        ...

    def note(self, incident_id: int, by: str, text: str, hours: float | None) -> Answer:
        """A note of the console's, with the hours in which the work is meant to be done.

        Raises `NotFound` for no such incident, `TransitionRefused` for a closed one.
        """
        ...
