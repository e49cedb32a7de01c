"""Relay of the outbox: claims due messages of one channel, hands them over, writes down what became of each.

A message is marked ``sending`` and committed *before* it is handed over. If the process dies between the provider's yes
and our record of it, the mark stays, its lease runs out, and the row comes back as what it is: perhaps sent. It is then
never simply sent again. Where the provider can be asked (SMS, by our ``OutId``), it is asked until it knows; where it
cannot (a group robot), the row becomes ``unknown``, which the console shows for a person to look into.

Budgets are counted from the rows themselves, so a restart forgets none. No step sleeps; the clock comes in.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

import structlog
from sqlalchemy import Engine

from alerts.channels.base import Channel, ErrorClass, Outcome, Verdict
from alerts.delivery import ROBOT_PER_MINUTE, Next, after_asking, after_attempt, robot_plan, sms_plan
from alerts.routing import WECOM_ROBOT
from alerts.wording import digest
from qingquan.clock import to_ms
from qingquan.domain.incidents import Message, MessageState
from qingquan.errors import StoreUnavailable
from qingquan.store.sql.delivery import claim, due_messages, hold, posts_since, sent_per_receiver, set_aside
from qingquan.store.sql.engine import writing
from qingquan.store.sql.outbox import record_result

__all__ = ["Relay", "decline"]

MINUTE_MS = 60_000
DAY_MS = 24 * 3_600_000

# What is looked at in one step, and what is handed over: few enough to be through well before the lease ends, with every
# attempt at its time limit.
LOOKED_AT = 500
HANDED_OVER = 8
AT_A_TIME = 4
LEASE_MS = 60_000

_log = structlog.get_logger("alerter")


@dataclass(frozen=True, slots=True)
class _Result:
    """How an attempt or a question ended. ``at`` is our time then [ms]."""

    message: Message
    following: Next
    provider_id: str
    attempts: int
    at: int


class Relay:
    """Delivers one channel's messages, one step at a time.

    ``clock`` gives our time [ms]; ``scale`` is how many times faster than the wall it runs: leases, budgets and pauses are
    the wall's. ``worker`` names this process in the leases. Errors of the database come out as `StoreUnavailable`; the step
    may then be called again.
    """

    def __init__(
        self,
        engine: Engine,
        channel: Channel,
        clock: Callable[[], int],
        *,
        worker: str,
        scale: float = 1.0,
        language: str = "zh",
        random: Random | None = None,
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._clock = clock
        self._worker = worker
        self._scale = scale
        self._language = language
        self._random = random or Random()  # noqa: S311 (jitter)
        self._paused_until = 0
        # Outcomes the database could not take yet; written before anything else is claimed.
        self._unwritten: list[_Result] = []
        self._unwritten_lock = threading.Lock()

    def step(self) -> Counter[str]:
        """Do what is due now; how many messages ended in each state, empty when there was nothing to do."""
        self._write_unwritten()
        done: Counter[str] = Counter()
        if self._clock() < self._paused_until:
            return done
        doubtful, plan = self._claimed()
        for message in doubtful:
            done[self._ask(message)] += 1
        if self._channel.name == WECOM_ROBOT:
            done += self._post(*plan)
        else:
            done += self._send_each(plan[0])
        return done

    def _claimed(self) -> tuple[list[Message], tuple[list[Message], list[Message]]]:
        """Messages to ask about, and those to hand over (one by one, as a digest), all claimed in one transaction."""
        now = self._clock()
        with writing(self._engine) as connection:
            due = due_messages(connection, self._channel.name, now, LOOKED_AT)
            doubtful = [message for message in due if message.state is MessageState.SENDING][:HANDED_OVER]
            queued = [message for message in due if message.state is MessageState.QUEUED]
            if self._channel.name == WECOM_ROBOT:
                left = ROBOT_PER_MINUTE - posts_since(connection, self._channel.name, now - self._ms(MINUTE_MS))
                robots = robot_plan(queued, left)
                _, held = digest([_line(message) for message in robots.digest], self._language)
                single, listed = robots.single, robots.digest[:held]
                set_aside(connection, {message.id: now + self._ms(5_000) for message in robots.later})
            else:
                numbers = {message.receiver for message in queued}
                spent = [
                    sent_per_receiver(connection, self._channel.name, numbers, now - self._ms(span))
                    for span in (MINUTE_MS, DAY_MS)
                ]
                plan = sms_plan(queued, *spent)
                single, listed = plan.send[:HANDED_OVER], []
                set_aside(connection, {message.id: now + self._ms(MINUTE_MS) for message in plan.later})
                for message_id, reason in plan.over_budget.items():
                    record_result(connection, message_id, MessageState.NOT_SENT, error=reason)
                    _log.warning("message_not_sent", message=message_id, why=reason)
            taken = [message.id for message in (*doubtful, *single, *listed)]
            if taken:
                claim(connection, taken, self._worker, now + self._ms(LEASE_MS))
        return doubtful, (single, listed)

    def _send_each(self, messages: Sequence[Message]) -> Counter[str]:
        if not messages:
            return Counter()
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix=self._channel.name) as pool:
            return Counter(pool.map(lambda message: self._settle(message, self._sent(message)), messages))

    def _post(self, single: Sequence[Message], listed: Sequence[Message]) -> Counter[str]:
        done: Counter[str] = Counter()
        for message in single:
            done[self._settle(message, self._sent(message))] += 1
        if len(listed) == 1:
            done[self._settle(listed[0], self._sent(listed[0]))] += 1
        elif listed:
            body, _ = digest([_line(message) for message in listed], self._language)
            outcome = self._channel.send_digest(body)
            # One post, hence one time: the budget counts times.
            at = self._clock()
            done += Counter(self._settle(message, outcome, at) for message in listed)
        return done

    def _sent(self, message: Message) -> Outcome:
        outcome = self._channel.send(message)
        if outcome.error_class is ErrorClass.CONTENT:
            _log.error("message_content_refused", message=message.id, channel=self._channel.name, why=outcome.reason)
            return self._channel.send_fallback(message) or outcome
        return outcome

    def _ask(self, message: Message) -> str:
        """Settle an attempt that ended without our knowing how."""
        if not self._channel.can_be_asked:
            error = "interrupted while sending; may have arrived, not repeated"
            self._record(_Result(message, Next(MessageState.UNKNOWN, error), "", message.attempts + 1, self._clock()))
            _log.error("message_unknown", message=message.id, channel=self._channel.name)
            return MessageState.UNKNOWN.value
        outcome = self._channel.ask(message)
        age_s = (self._clock() - to_ms(message.created_at)) / 1000 / self._scale
        settled = after_asking(outcome, message.error, age_s)
        # Asking is no attempt: one is counted when the message goes out again.
        self._record(_Result(message, settled, outcome.provider_id, max(1, message.attempts), self._clock()))
        _log.info("message_asked_about", message=message.id, verdict=outcome.verdict.value, state=settled.state.value)
        return settled.state.value

    def _settle(self, message: Message, outcome: Outcome, at: int | None = None) -> str:
        """Write down the outcome of an attempt; a database that is away is waited for by the next step."""
        attempts = message.attempts + 1
        following = after_attempt(outcome, attempts, self._channel.can_be_asked, self._random)
        if outcome.verdict is Verdict.THROTTLED or outcome.error_class is ErrorClass.ACCOUNT:
            self._paused_until = max(self._paused_until, self._clock() + self._ms(following.wait_s * 1000))
        if following.state not in (MessageState.ACCEPTED, MessageState.DELIVERED):
            _log.warning(
                "message_not_accepted", message=message.id, channel=self._channel.name,
                state=following.state.value, why=following.error, attempts=attempts,
            )  # fmt: skip
        at = self._clock() if at is None else at
        self._record(_Result(message, following, outcome.provider_id, attempts, at))
        return following.state.value

    def _record(self, result: _Result) -> None:
        try:
            self._write(result)
        except StoreUnavailable:
            with self._unwritten_lock:
                self._unwritten.append(result)

    def _write_unwritten(self) -> None:
        while self._unwritten:
            self._write(self._unwritten[0])
            self._unwritten.pop(0)

    def _write(self, result: _Result) -> None:
        following, at = result.following, result.at
        later = at + self._ms(following.wait_s * 1000)
        is_out = following.state in (MessageState.ACCEPTED, MessageState.DELIVERED, MessageState.UNKNOWN)
        with writing(self._engine) as connection:
            if following.state is MessageState.SENDING:
                hold(connection, result.message.id, later, following.error, self._worker)
                return
            written = record_result(
                connection, result.message.id, following.state, result.provider_id, following.error, result.attempts,
                later if following.state is MessageState.QUEUED else None,
                sent_at_ms=at if is_out else None, worker=self._worker,
            )  # fmt: skip
        if not written:
            _log.error("lease_lost", message=result.message.id, state=following.state.value)

    def _ms(self, wall_ms: float) -> int:
        return round(wall_ms * self._scale)


def decline(engine: Engine, channel: str, now_ms: int, reason: str) -> int:
    """Mark the due messages of a channel that is not set up as not sent, for all to see; how many there were."""
    with writing(engine) as connection:
        due = due_messages(connection, channel, now_ms, LOOKED_AT)
        for message in due:
            record_result(connection, message.id, MessageState.NOT_SENT, error=reason, attempts=message.attempts)
    return len(due)


def _line(message: Message) -> str:
    return message.params.get("line") or message.body.splitlines()[0]
