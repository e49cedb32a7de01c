"""What every channel promises.

A channel hands one message to a provider and says what became of it, as a value. HTTP 200 alone is never success:
providers refuse with 200 and a code. The outcome that matters most is the honest ``UNKNOWN``: the request was written,
no answer came, and whether a phone rings nobody knows. Such a message must not be repeated before the provider was asked.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from qingquan.domain.incidents import Message

__all__ = ["Channel", "ErrorClass", "Outcome", "Verdict", "accepted", "refused", "throttled", "unknown"]


class Verdict(StrEnum):
    """What became of a message, as far as the provider said."""

    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    REFUSED = "refused"
    THROTTLED = "throttled"
    UNKNOWN = "unknown"
    NOT_FOUND = "not_found"


class ErrorClass(StrEnum):
    """Why a provider refused, by what can be done about it."""

    TRANSIENT = "transient"
    ACCOUNT = "account"
    CONTENT = "content"
    NUMBER = "number"
    LIMIT = "limit"
    NO_ANSWER = "no_answer"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of one attempt, or of asking about one. ``code`` is the provider's, ``detail`` never holds a credential.

    ``NOT_FOUND`` answers a question only: the provider knows of no such message. ``retry_after_s`` goes with ``THROTTLED``.
    """

    verdict: Verdict
    provider_id: str = ""
    error_class: ErrorClass | None = None
    code: str = ""
    detail: str = ""
    retry_after_s: float = 0.0

    @property
    def reason(self) -> str:
        """The failure in one line, as the outbox keeps it; empty for a success."""
        if self.verdict in (Verdict.ACCEPTED, Verdict.DELIVERED):
            return ""
        word = self.error_class or self.verdict
        return f"{word}: {' '.join(part for part in (self.code, self.detail) if part)}".strip(": ")


class Channel(Protocol):
    """One way to reach people. Implementations keep no state that a restart would lose."""

    name: str
    can_be_asked: bool
    """Whether the provider can tell what became of an attempt that got no answer (`ask`)."""
    gives_receipts: bool
    """Whether the provider says, later, that an accepted message was delivered (by push, or to `ask`)."""
    reaches: str
    """``person``, ``group`` or ``anyone``."""

    def send(self, message: Message) -> Outcome:
        """Hand over one message. Returns within a bounded time and raises nothing the provider or network can cause."""
        ...

    def send_fallback(self, message: Message) -> Outcome | None:
        """Hand over the plainest form of a message whose content was refused; ``None`` where there is none."""
        ...

    def ask(self, message: Message) -> Outcome:
        """What became of an earlier attempt; ``UNKNOWN`` if the provider does not answer."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...


def accepted(provider_id: str = "") -> Outcome:
    """The provider has taken the message."""
    return Outcome(Verdict.ACCEPTED, provider_id)


def refused(error_class: ErrorClass, code: str = "", detail: str = "") -> Outcome:
    """The provider has certainly not taken it."""
    return Outcome(Verdict.REFUSED, error_class=error_class, code=code, detail=detail)


def throttled(code: str, retry_after_s: float) -> Outcome:
    """Too many at a time; it was not taken and may come again later."""
    return Outcome(Verdict.THROTTLED, error_class=ErrorClass.LIMIT, code=code, retry_after_s=retry_after_s)


def unknown(detail: str) -> Outcome:
    """It may or may not have been taken."""
    return Outcome(Verdict.UNKNOWN, detail=detail)
