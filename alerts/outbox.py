"""Relay of the outbox: claims due messages of one channel, hands them over, writes down what became of each.

A message is marked ``sending`` and its budget spent, and both committed, *before* it is handed over. If the process dies between
the provider's yes and our record of it, the mark stays, its lease runs out, and the row comes back as what it is: perhaps
sent. It is then never simply sent again. Where the provider can be asked (SMS, by our ``OutId``), it is asked until it knows;
where it cannot (a group robot), the row becomes ``unknown``, which the console shows for a person to look into.

Budgets stand in the database and are counted under the channel's lock, so that neither a restart nor a second worker exceeds
one. No step sleeps; the clock comes in.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

import structlog
from sqlalchemy import Connection, Engine

from alerts.channels.base import Channel, ErrorClass, Verdict
from alerts.delivery import Batch, Next, admitted, after_asking, after_attempt, after_receipt, batches, robot_plan
from alerts.quotas import Limit, load_quotas
from qingquan.clock import to_ms
from qingquan.domain.delivery import NotSent
from qingquan.domain.incidents import Message, MessageState
from qingquan.errors import StoreUnavailable
from qingquan.store.sql import budgets
from qingquan.store.sql.delivery import (
    call_off_late,
    claim,
    due_messages,
    has_due,
    has_work,
    hold,
    note_receipt,
    receipts_due,
    set_aside,
    settle,
)
from qingquan.store.sql.engine import reading, writing

__all__ = ["Relay", "decline"]

# What is looked at in one step, and what is handed over: few enough to be through well before the lease ends, with every
# attempt at its time limit.
LOOKED_AT = 500
# Written in one transaction, so that an alarm does not wait for more of them.
DECLINED_AT_ONCE = 100
HANDED_OVER = 8
AT_A_TIME = 4
LEASE_MS = 60_000
# A provider counts from when a message arrives there: the longest way of the first and the shortest of the next lie between.
WAY_S = 12
# Longer than any lease, question or closed gate lasts: beyond it, the clock was set back.
FURTHEST_MS = 3_600_000
FIRST_RECEIPT_MS = 30_000
WAIT_MS = 5_000
# No budget looks further back.
REMEMBERED_MS = 3 * 86_400_000

# Channels that ring a person: nobody is rung up for what was found late.
RINGING = frozenset({"aliyun_sms", "tencent_sms", "aliyun_voice"})
BY_TEMPLATE = frozenset({"aliyun_sms", "tencent_sms"})
# One thing at a time is all that a call or a template message can say.
ONE_EACH = frozenset({"aliyun_voice", "wechat_official", "webhook"})
# Bytes of a text that stands for several [UTF-8].
ROOM = {"wecom_robot": 4096, "wecom_app": 1000, "dingtalk": 4096, "feishu": 4096, "email": 4096, "apprise": 2000}
# A failed call counts at the provider, a refused message does not.
REFUSALS_COST = frozenset({"aliyun_voice"})

_log = structlog.get_logger("alerter")


@dataclass(frozen=True, slots=True)
class _Result:
    """How an attempt or a question ended. ``at`` is our time then [ms]."""

    ids: tuple[int, ...]
    following: Next
    provider_id: str
    attempts: int
    at: int
    is_free: bool = False
    gate_s: float = 0.0


class Relay:
    """Delivers one channel's messages, one step at a time.

    ``clock`` gives our time [ms]; ``scale`` is how many times faster than the wall it runs: leases, budgets and pauses are
    the wall's. ``worker`` names this process in the leases. ``can_merge`` is whether several messages of one person may
    become one. Errors of the database come out as `StoreUnavailable`; the step may then be called again.
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
        limits: Sequence[Limit] | None = None,
        can_merge: bool = True,
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._clock = clock
        self._worker = worker
        self._scale = scale
        self._language = language
        self._random = random or Random()  # noqa: S311 (jitter)
        self._limits = tuple(load_quotas().get(channel.name, ()) if limits is None else limits)
        self._can_merge = can_merge and channel.name not in ONE_EACH
        # A group reads from top to bottom: the most severe first.
        self._at_a_time = 1 if channel.reaches == "group" else AT_A_TIME
        # Outcomes the database could not take yet; written before anything else is claimed.
        self._unwritten: list[_Result] = []
        self._unwritten_lock = threading.Lock()
        self._swept_at = 0

    def step(self) -> Counter[str]:
        """Do what is due now; how many messages ended in each state, empty when there was nothing to do."""
        self._write_unwritten()
        done: Counter[str] = Counter()
        with reading(self._engine) as connection:
            if not has_work(connection, (self._channel.name,), self._clock(), self._ms(FURTHEST_MS)):
                return done
        doubtful, ready, asked = self._claimed()
        for carrier, ids in doubtful:
            done[self._ask(carrier, ids)] += len(ids)
        if ready:
            with ThreadPoolExecutor(self._at_a_time, thread_name_prefix=self._channel.name) as pool:
                for batch, state in zip(ready, pool.map(self._hand_over, ready), strict=True):
                    done[state] += len(batch.ids)
        for message in asked:
            self._ask_for_receipt(message)
        return done

    # --- what is due -------------------------------------------------------------------------------------------------

    def _claimed(self) -> tuple[list[tuple[Message, tuple[int, ...]]], list[Batch], list[Message]]:
        """Attempts to ask about, batches to hand over, receipts to ask for, all claimed in one transaction."""
        now, name = self._clock(), self._channel.name
        with writing(self._engine) as connection:
            closed_until = budgets.enter_gate(connection, name, now, self._ms(FURTHEST_MS))
            self._sweep(connection, now)
            due = due_messages(connection, name, now, LOOKED_AT, self._ms(FURTHEST_MS))
            doubtful = _by_carrier([message for message in due if message.state is MessageState.SENDING])[:HANDED_OVER]
            queued = [message for message in due if message.state is MessageState.QUEUED]
            if name in RINGING and queued:
                late = call_off_late(connection, queued)
                queued = [message for message in queued if message.id not in late]
            ready = [] if closed_until else self._admitted(connection, queued, now)[:HANDED_OVER]
            until = now + self._ms(LEASE_MS)
            for carrier, ids in doubtful:
                claim(connection, ids, self._worker, until, carrier.id)
            for batch in ready:
                claim(connection, batch.ids, self._worker, until, batch.carrier.id)
                budgets.spend(connection, name, batch.carrier.receiver, now, batch.carrier.id)
            asked = receipts_due(connection, name, now, until, HANDED_OVER) if self._channel.gives_receipts else []
        return doubtful, ready, asked

    def _admitted(self, connection: Connection, queued: Sequence[Message], now: int) -> list[Batch]:
        if not queued:
            return []
        spent = self._spent(connection, {message.receiver for message in queued}, now)
        admission = admitted(self._batches(queued, spent), self._limits, spent)
        set_aside(connection, {id_: now + self._ms(WAIT_MS) for batch in admission.later for id_ in batch.ids})
        for batch, reason in admission.over:
            claim(connection, batch.ids, self._worker, now)
            settle(connection, batch.ids, MessageState.NOT_SENT, self._worker, error=reason, why=NotSent.BUDGET)
            _log.warning("message_not_sent", messages=batch.ids, why=reason)
        return admission.send

    def _batches(self, queued: Sequence[Message], spent: Mapping[tuple[int, str], int]) -> list[Batch]:
        name = self._channel.name
        if not self._can_merge:
            return [Batch(message) for message in queued]
        if self._channel.reaches != "group":
            return batches(queued, ROOM.get(name, 4096), self._language, by_template=name in BY_TEMPLATE)
        left = min((limit.most["critical"] - spent[n, ""] for n, limit in enumerate(self._limits)), default=HANDED_OVER)
        plan = robot_plan(queued, left)
        listed = batches(plan.digest, ROOM.get(name, 4096), self._language, by_template=False)
        return [*(Batch(message) for message in plan.single), *listed, *(Batch(message) for message in plan.later)]

    def _spent(self, connection: Connection, receivers: set[str], now: int) -> Counter[tuple[int, str]]:
        found: Counter[tuple[int, str]] = Counter()
        for n, limit in enumerate(self._limits):
            since = now - self._ms((limit.seconds + WAY_S) * 1000)
            wanted = receivers if limit.scope == "receiver" else None
            for receiver, count in budgets.spent(connection, self._channel.name, since, wanted).items():
                found[n, receiver] = count
        return found

    def _sweep(self, connection: Connection, now: int) -> None:
        if abs(now - self._swept_at) > self._ms(FURTHEST_MS):
            budgets.forget_spending(connection, now - self._ms(REMEMBERED_MS))
            self._swept_at = now

    # --- handing over and asking -------------------------------------------------------------------------------------

    def _hand_over(self, batch: Batch) -> str:
        message, attempts = batch.shown, batch.carrier.attempts + 1
        outcome = self._channel.send(message)
        if outcome.error_class is ErrorClass.CONTENT:
            _log.error("message_content_refused", message=message.id, channel=self._channel.name, why=outcome.reason)
            outcome = self._channel.send_fallback(message) or outcome
        following = after_attempt(outcome, attempts, self._channel.can_be_asked, self._random)
        is_refused = outcome.verdict in (Verdict.REFUSED, Verdict.THROTTLED)
        shut = outcome.verdict is Verdict.THROTTLED or outcome.error_class is ErrorClass.ACCOUNT
        if following.state not in (MessageState.ACCEPTED, MessageState.DELIVERED):
            _log.warning(
                "message_not_accepted", messages=batch.ids, channel=self._channel.name,
                state=following.state.value, why=following.error, attempts=attempts,
            )  # fmt: skip
        is_free = is_refused and self._channel.name not in REFUSALS_COST
        gate_s = following.wait_s if shut else 0.0
        self._record(_Result(tuple(batch.ids), following, outcome.provider_id, 1, self._clock(), is_free, gate_s))
        return following.state.value

    def _ask(self, carrier: Message, ids: tuple[int, ...]) -> str:
        """Settle an attempt that ended without our knowing how."""
        if not self._channel.can_be_asked:
            error = "interrupted while sending; may have arrived, not repeated"
            following = Next(MessageState.UNKNOWN, error, why=NotSent.UNCERTAIN)
            self._record(_Result(ids, following, "", 1, self._clock()))
            _log.error("message_unknown", messages=ids, channel=self._channel.name)
            return MessageState.UNKNOWN.value
        outcome = self._channel.ask(carrier)
        age_s = (self._clock() - to_ms(carrier.created_at)) / 1000 / self._scale
        settled = after_asking(outcome, carrier.error, age_s)
        # Asking is no attempt: one is counted when the message goes out again.
        counted = 0 if carrier.attempts or settled.state is MessageState.SENDING else 1
        self._record(_Result(ids, settled, outcome.provider_id, counted, self._clock()))
        _log.info("message_asked_about", message=carrier.id, verdict=outcome.verdict.value, state=settled.state.value)
        return settled.state.value

    def _ask_for_receipt(self, message: Message) -> None:
        outcome = self._channel.ask(message)
        now = self._clock()
        age_s = (now - to_ms(message.sent_at or message.created_at)) / 1000 / self._scale
        following = after_receipt(outcome, message.attempts, age_s, self._random)
        with writing(self._engine) as connection:
            write_receipt(connection, message.id, following, now, self._scale)

    # --- writing down ------------------------------------------------------------------------------------------------

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
        waits_for_receipt = following.state is MessageState.ACCEPTED and self._channel.gives_receipts
        with writing(self._engine) as connection:
            if result.gate_s:
                shut_until = at + self._ms(result.gate_s * 1000)
                budgets.enter_gate(connection, self._channel.name, at, self._ms(FURTHEST_MS))
                budgets.close_gate(connection, self._channel.name, shut_until, following.error)
            if following.state is MessageState.SENDING:
                hold(connection, result.ids, later, following.error, self._worker)
                return
            if result.is_free:
                budgets.refund(connection, result.ids[0])
            written = settle(
                connection, result.ids, following.state, self._worker, provider_id=result.provider_id,
                error=following.error, why=following.why, attempts=result.attempts,
                due_ms=later if following.state is MessageState.QUEUED else None, sent_at_ms=at if is_out else None,
                ask_at_ms=at + self._ms(FIRST_RECEIPT_MS) if waits_for_receipt else None,
                receipt_at_ms=at if following.state is MessageState.DELIVERED else None,
            )  # fmt: skip
        if not written:
            _log.error("lease_lost", messages=result.ids, state=following.state.value)

    def _ms(self, wall_ms: float) -> int:
        return round(wall_ms * self._scale)


def write_receipt(connection: Connection, carrier_id: int, following: Next, now: int, scale: float) -> int:
    """Write what a provider's later word means for a message and those it carried; how many rows it was news for."""
    wait_ms = round(following.wait_s * 1000 * scale)
    is_waiting = following.state is MessageState.ACCEPTED and following.wait_s
    return note_receipt(
        connection, carrier_id, following.state, error=following.error, why=following.why,
        due_ms=now + wait_ms if following.state is MessageState.QUEUED else None,
        ask_at_ms=now + wait_ms if is_waiting else None,
        receipt_at_ms=now if following.state is MessageState.DELIVERED else None,
    )  # fmt: skip


def decline(engine: Engine, reasons: Mapping[str, str], now_ms: int) -> int:
    """Mark due messages of channels that are not set up as not sent, for all to see; how many. To be called until there are none.

    ``reasons`` say of every such channel why. Most channels of a county are off, and hardly ever has one of them a message: one look,
    and one transaction, for all.
    """
    with reading(engine) as connection:
        if not has_due(connection, list(reasons), now_ms):
            return 0
    count = 0
    with writing(engine) as connection:
        for channel, reason in reasons.items():
            ids = [message.id for message in due_messages(connection, channel, now_ms, DECLINED_AT_ONCE - count)]
            if ids:
                claim(connection, ids, f"off:{channel}", now_ms)
                settle(connection, ids, MessageState.NOT_SENT, f"off:{channel}", error=reason, why=NotSent.CHANNEL_OFF)
            count += len(ids)
    return count


def _by_carrier(doubtful: Sequence[Message]) -> list[tuple[Message, tuple[int, ...]]]:
    """Attempts of unknown end: the message that carried each, and all that went with it."""
    groups: dict[int, list[Message]] = {}
    for message in doubtful:
        groups.setdefault(message.carried_by or message.id, []).append(message)
    found = []
    for carrier_id, rows in groups.items():
        carrier = next((message for message in rows if message.id == carrier_id), rows[0])
        found.append((carrier, tuple(message.id for message in rows)))
    return found
