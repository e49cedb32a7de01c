"""When a message may go, how often it is tried, and what an outcome means for it. Pure.

All spans are seconds by the wall clock, because they are the providers'; the shell stretches them on a demo clock.

A message is repeated only if it certainly did not arrive. What was handed over without an answer is asked about where the
provider can be asked, and otherwise put before a person as ``unknown``: a second SMS for one alarm eats a tenth of what a
number may get in a day, and teaches its owner to look away.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from alerts.channels.base import ErrorClass, Outcome, Verdict
from alerts.lifecycle import Step
from alerts.quotas import Limit
from alerts.wording import digest
from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import Severity
from qingquan.domain.incidents import Message, MessageState

__all__ = [
    "RETRIES",
    "WHY",
    "Admission",
    "Batch",
    "Next",
    "Retry",
    "RobotPlan",
    "admitted",
    "after_asking",
    "after_attempt",
    "after_receipt",
    "batches",
    "budget_class",
    "robot_plan",
]

# So many come one by one, with everything that is to be said; beyond that people read a list more easily.
ONE_BY_ONE = 6

DAY_S = 86_400
FIRST_QUESTION_S = 30.0
NEXT_QUESTION_S = 60.0
QUESTIONS_END_S = 24 * 3600.0

NOT_FOUND_YET = "unknown: the provider has not found it yet"

_PRIORITY = {severity.word: -int(severity) for severity in Severity}


@dataclass(frozen=True, slots=True)
class Retry:
    """Backoff of an error class: doubling from ``base_s`` up to ``cap_s``, half to one and a half times that, ``most`` tries."""

    base_s: float
    cap_s: float
    most: int


# An account that is empty or locked is mended by a person within hours; everything not listed is final.
RETRIES: dict[ErrorClass, Retry] = {
    ErrorClass.TRANSIENT: Retry(5.0, 600.0, 12),
    ErrorClass.ACCOUNT: Retry(60.0, 1800.0, 12),
    ErrorClass.LIMIT: Retry(0.0, 600.0, 60),
    # A call nobody took is made again, twice; the provider allows one a minute.
    ErrorClass.NO_ANSWER: Retry(90.0, 180.0, 3),
}

WHY: dict[ErrorClass, NotSent] = {
    ErrorClass.TRANSIENT: NotSent.GIVEN_UP,
    ErrorClass.ACCOUNT: NotSent.ACCOUNT,
    ErrorClass.CONTENT: NotSent.CONTENT,
    ErrorClass.NUMBER: NotSent.NUMBER,
    ErrorClass.LIMIT: NotSent.PROVIDER_LIMIT,
    ErrorClass.NO_ANSWER: NotSent.NO_ANSWER,
    ErrorClass.OTHER: NotSent.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a message. ``wait_s`` goes with ``queued`` (try again) and with ``sending`` (ask again)."""

    state: MessageState
    error: str = ""
    wait_s: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class RobotPlan:
    """Which messages a robot posts one by one, which as a list, and which wait."""

    single: list[Message] = field(default_factory=list)
    digest: list[Message] = field(default_factory=list)
    later: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is handed over at once: the message that carries the others, and how it reads then (``None`` = as it is)."""

    carrier: Message
    riders: tuple[Message, ...] = ()
    body: str | None = None
    params: Mapping[str, str] | None = None

    @property
    def shown(self) -> Message:
        """The message as it is handed over."""
        return (
            self.carrier if self.body is None else replace(self.carrier, body=self.body, params=dict(self.params or {}))
        )

    @property
    def ids(self) -> list[int]:
        """All its messages."""
        return [self.carrier.id, *(rider.id for rider in self.riders)]


@dataclass(frozen=True, slots=True)
class Admission:
    """Which batches go now, which wait for a shorter span to pass, and which a day's budget no longer holds (with the reason)."""

    send: list[Batch] = field(default_factory=list)
    later: list[Batch] = field(default_factory=list)
    over: list[tuple[Batch, str]] = field(default_factory=list)


def robot_plan(due: Sequence[Message], posts_left: int) -> RobotPlan:
    """Alarms before recoveries, the more severe first; what is too much for one by one becomes a list."""
    ordered = sorted(due, key=_urgency)
    if posts_left <= 0:
        return RobotPlan(later=ordered)
    if len(ordered) <= min(posts_left, ONE_BY_ONE):
        return RobotPlan(single=ordered)
    room = min(posts_left, ONE_BY_ONE) - 1
    single = [message for message in ordered if message.params.get("severity") == Severity.CRITICAL.word][:room]
    return RobotPlan(single, [message for message in ordered if message not in single])


def batches(due: Sequence[Message], room_bytes: int, language: str, *, by_template: bool) -> list[Batch]:
    """One batch per receiver, the most urgent message carrying the rest; what does not fit a text stays for the next one.

    ``by_template`` says the channel takes approved templates alone: then several become the template ``several``.
    """
    per_receiver: dict[str, list[Message]] = {}
    for message in sorted(due, key=_urgency):
        per_receiver.setdefault(message.receiver, []).append(message)
    return [
        Batch(rows[0]) if len(rows) == 1 else _several(rows) if by_template else _listed(rows, room_bytes, language)
        for rows in per_receiver.values()
    ]


def admitted(wanted: Sequence[Batch], limits: Sequence[Limit], spent: Mapping[tuple[int, str], int]) -> Admission:
    """The batches within the budgets. ``spent`` is by position of the limit and receiver (``""`` for the account)."""
    result, counted = Admission(), Counter(spent)
    for batch in sorted(wanted, key=lambda batch: _urgency(batch.carrier)):
        kind = budget_class(batch.carrier)
        keys = [(n, batch.carrier.receiver if limit.scope == "receiver" else "") for n, limit in enumerate(limits)]
        full = [limit for key, limit in zip(keys, limits, strict=True) if counted[key] >= limit.most[kind]]
        day = [limit for limit in full if limit.seconds >= DAY_S or not limit.most[kind]]
        if day:
            whom = "to this receiver" if day[0].scope == "receiver" else "over this channel"
            reason = f"budget: {kind} messages {whom} stop at {day[0].most[kind]} within {day[0].seconds // 3600} h"
            result.over.append((batch, reason))
        elif full:
            result.later.append(batch)
        else:
            result.send.append(batch)
            counted.update(keys)
    return result


def _several(rows: Sequence[Message]) -> Batch:
    first = rows[0]
    params = {**first.params, "template": "several", "count": str(len(rows))}
    return Batch(first, tuple(rows[1:]), first.body, params)


def _listed(rows: Sequence[Message], room_bytes: int, language: str) -> Batch:
    held = 0
    body = ""
    lines = [message.params.get("line") or message.body.partition("\n")[0].strip("*") for message in rows]
    for count in range(len(lines), 0, -1):
        body, held = digest(lines[:count], language)
        if held == count and len(body.encode()) <= room_bytes:
            break
    if held <= 1:
        return Batch(rows[0])
    return Batch(rows[0], tuple(rows[1:held]), body, rows[0].params)


def after_attempt(outcome: Outcome, attempts: int, can_be_asked: bool, random: Random) -> Next:
    """What becomes of a message after its ``attempts``-th attempt."""
    if outcome.verdict is Verdict.ACCEPTED:
        return Next(MessageState.ACCEPTED)
    if outcome.verdict is Verdict.DELIVERED:
        return Next(MessageState.DELIVERED)
    if outcome.verdict is Verdict.UNKNOWN:
        if can_be_asked:
            return Next(MessageState.SENDING, outcome.reason, FIRST_QUESTION_S)
        return Next(MessageState.UNKNOWN, f"{outcome.reason}; may have arrived, not repeated", why=NotSent.UNCERTAIN)
    retry = RETRIES.get(outcome.error_class or ErrorClass.OTHER)
    if retry is None or (outcome.verdict is Verdict.REFUSED and outcome.error_class is ErrorClass.LIMIT):
        return Next(MessageState.REFUSED, outcome.reason, why=_why(outcome))
    if attempts >= retry.most:
        error = f"{outcome.reason}; given up after {attempts} attempts"
        return Next(MessageState.NOT_SENT, error, why=_why(outcome))
    wait_s = max(outcome.retry_after_s, min(retry.cap_s, retry.base_s * 2 ** (attempts - 1)))
    return Next(
        MessageState.QUEUED, outcome.reason, wait_s * random.uniform(0.5, 1.5) if not outcome.retry_after_s else wait_s
    )


def after_asking(outcome: Outcome, error_before: str, age_s: float) -> Next:
    """What becomes of an attempt without an answer once the provider was asked.

    "Not found" counts only the second time: providers show a message a moment after they have taken it.
    """
    if outcome.verdict is Verdict.ACCEPTED:
        return Next(MessageState.ACCEPTED)
    if outcome.verdict is Verdict.DELIVERED:
        return Next(MessageState.DELIVERED)
    if outcome.verdict is Verdict.REFUSED:
        return Next(MessageState.REFUSED, outcome.reason, why=_why(outcome))
    if outcome.verdict is Verdict.NOT_FOUND:
        if error_before == NOT_FOUND_YET:
            return Next(MessageState.QUEUED, "it had not arrived: sent again")
        return Next(MessageState.SENDING, NOT_FOUND_YET, NEXT_QUESTION_S)
    if age_s > QUESTIONS_END_S:
        return Next(MessageState.UNKNOWN, f"{outcome.reason}; may have arrived, not repeated", why=NotSent.UNCERTAIN)
    return Next(MessageState.SENDING, outcome.reason, NEXT_QUESTION_S)


def after_receipt(outcome: Outcome, attempts: int, age_s: float, random: Random) -> Next:
    """What a provider's later word means for a message it had accepted. ``wait_s`` 0 with ``accepted``: no more questions."""
    if outcome.verdict is Verdict.DELIVERED:
        return Next(MessageState.DELIVERED)
    if outcome.verdict is Verdict.REFUSED:
        if outcome.error_class is ErrorClass.NO_ANSWER:
            return after_attempt(outcome, attempts, False, random)
        return Next(MessageState.REFUSED, outcome.reason, why=_why(outcome))
    return Next(
        MessageState.ACCEPTED, wait_s=min(1800.0, max(FIRST_QUESTION_S, age_s / 2)) if age_s < QUESTIONS_END_S else 0.0
    )


def _why(outcome: Outcome) -> NotSent:
    return WHY[outcome.error_class or ErrorClass.OTHER]


def _urgency(message: Message) -> tuple[bool, int, object, int]:
    is_over = message.step in (Step.RECOVERED, Step.WITHDRAWN)
    return is_over, _PRIORITY.get(message.params.get("severity", ""), 0), message.due_at, message.id


def budget_class(message: Message) -> str:
    if message.step in (Step.RECOVERED, Step.WITHDRAWN):
        return "recovery"
    return "critical" if message.params.get("severity") == Severity.CRITICAL.word else "alarm"
