"""When a message may go, how often it is tried, and what an outcome means for it. Pure.

All spans are seconds by the wall clock, because they are the providers'; the shell stretches them on a demo clock.

A message is repeated only if it certainly did not arrive. What was handed over without an answer is asked about where the
provider can be asked, and otherwise put before a person as ``unknown``: a second SMS for one alarm eats a tenth of what a
number may get in a day, and teaches its owner to look away.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from alerts.channels.base import ErrorClass, Outcome, Verdict
from alerts.lifecycle import Step
from qingquan.domain.findings import Severity
from qingquan.domain.incidents import Message, MessageState

__all__ = [
    "BUDGETS",
    "RETRIES",
    "ROBOT_PER_MINUTE",
    "Budget",
    "Next",
    "Retry",
    "RobotPlan",
    "SmsPlan",
    "after_asking",
    "after_attempt",
    "robot_plan",
    "sms_plan",
]

# The provider allows 20 a minute; two are left for a restart that has not counted yet.
ROBOT_PER_MINUTE = 18
# So many come one by one, with everything that is to be said; beyond that people read a list more easily.
ONE_BY_ONE = 6

FIRST_QUESTION_S = 30.0
NEXT_QUESTION_S = 60.0
QUESTIONS_END_S = 24 * 3600.0

NOT_FOUND_YET = "unknown: the provider has not found it yet"

_PRIORITY = {severity.word: -int(severity) for severity in Severity}


@dataclass(frozen=True, slots=True)
class Budget:
    """How many messages one number may have had when one more of this class is sent; ``None`` = not looked at."""

    per_minute: int | None
    per_day: int


# Carriers let about 10 messages a day through to one number: 6 alarms and 2 recoveries of ours leave room for a critical
# one, which only the provider's own limit stops.
BUDGETS: dict[str, Budget] = {"critical": Budget(None, 50), "alarm": Budget(1, 6), "recovery": Budget(1, 8)}


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
}


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a message. ``wait_s`` goes with ``queued`` (try again) and with ``sending`` (ask again)."""

    state: MessageState
    error: str = ""
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class RobotPlan:
    """Which messages a robot posts one by one, which as a list, and which wait."""

    single: list[Message] = field(default_factory=list)
    digest: list[Message] = field(default_factory=list)
    later: list[Message] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SmsPlan:
    """Which messages go now, which wait a minute, and which the day's budget of their number no longer holds."""

    send: list[Message] = field(default_factory=list)
    later: list[Message] = field(default_factory=list)
    over_budget: dict[int, str] = field(default_factory=dict)


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


def sms_plan(due: Sequence[Message], spent_minute: Counter[str], spent_day: Counter[str]) -> SmsPlan:
    """Messages within the budget of their number, given what each number had within a minute and within a day."""
    plan, minute, day = SmsPlan(), Counter(spent_minute), Counter(spent_day)
    for message in sorted(due, key=_urgency):
        kind = _budget_class(message)
        budget, number = BUDGETS[kind], message.receiver
        if day[number] >= budget.per_day:
            plan.over_budget[message.id] = (
                f"budget: {day[number]} messages to this number within 24 h, {kind} stops at {budget.per_day}"
            )
        elif budget.per_minute is not None and minute[number] >= budget.per_minute:
            plan.later.append(message)
        else:
            plan.send.append(message)
            minute[number] += 1
            day[number] += 1
    return plan


def after_attempt(outcome: Outcome, attempts: int, can_be_asked: bool, random: Random) -> Next:
    """What becomes of a message after its ``attempts``-th attempt."""
    if outcome.verdict is Verdict.ACCEPTED:
        return Next(MessageState.ACCEPTED)
    if outcome.verdict is Verdict.DELIVERED:
        return Next(MessageState.DELIVERED)
    if outcome.verdict is Verdict.UNKNOWN:
        if can_be_asked:
            return Next(MessageState.SENDING, outcome.reason, FIRST_QUESTION_S)
        return Next(MessageState.UNKNOWN, f"{outcome.reason}; may have arrived, not repeated")
    retry = RETRIES.get(outcome.error_class or ErrorClass.OTHER)
    if retry is None or (outcome.verdict is Verdict.REFUSED and outcome.error_class is ErrorClass.LIMIT):
        return Next(MessageState.REFUSED, outcome.reason)
    if attempts >= retry.most:
        return Next(MessageState.NOT_SENT, f"{outcome.reason}; given up after {attempts} attempts")
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
        return Next(MessageState.REFUSED, outcome.reason)
    if outcome.verdict is Verdict.NOT_FOUND:
        if error_before == NOT_FOUND_YET:
            return Next(MessageState.QUEUED, "it had not arrived: sent again")
        return Next(MessageState.SENDING, NOT_FOUND_YET, NEXT_QUESTION_S)
    if age_s > QUESTIONS_END_S:
        return Next(MessageState.UNKNOWN, f"{outcome.reason}; may have arrived, not repeated")
    return Next(MessageState.SENDING, outcome.reason, NEXT_QUESTION_S)


def _urgency(message: Message) -> tuple[bool, int, object, int]:
    is_over = message.step in (Step.RECOVERED, Step.WITHDRAWN)
    return is_over, _PRIORITY.get(message.params.get("severity", ""), 0), message.due_at, message.id


def _budget_class(message: Message) -> str:
    if message.step in (Step.RECOVERED, Step.WITHDRAWN):
        return "recovery"
    return "critical" if message.params.get("severity") == Severity.CRITICAL.word else "alarm"
