"""`qingquan quarantine redrive`, and the same from the console: quarantined messages go through the door again.

The whole message is published once under its original topic, however many of its parts were set aside. The log takes it as a
new message, and the folds decode it anew: parts that were accepted the first time are duplicates now, ignored by their key; what
is still at fault is set aside again, as a new entry. A crash between publish and mark sends a message twice, to no other effect.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine

from ingest.topics import BadTopic, parse_subject
from qingquan.config import Config
from qingquan.domain.readings import Quarantined, QuarantineReason, Topic
from qingquan.errors import BrokerLost, WrongUse
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.quarantine import (
    QuarantineEntry,
    Waiting,
    count_waiting_messages,
    get_quarantined,
    list_waiting,
    mark_messages_redriven,
    newest_id,
)

__all__ = ["RedriveCounts", "Redriver", "redrive", "redrive_entries"]

CHUNK = 500
# A message the log refuses, say for its size, must not stop the others; a log that takes nothing must.
MOST_REFUSALS_IN_A_ROW = 3


class Log(Protocol):
    """The one thing needed of `ReadingLog`."""

    async def publish(self, topic: Topic, payload: bytes) -> int:
        """Sequence once stored; `BrokerLost` when not."""
        ...


@dataclass(frozen=True, slots=True)
class RedriveCounts:
    """Messages, each counted once however many entries it has. ``failed`` ones wait as before, ``error`` says why the last did."""

    redriven: int
    failed: int
    error: str = ""


class Redriver:
    """Publishes quarantined messages; remembers what failed. `publish` never raises for a message or a log that refuses."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._in_a_row = 0
        # A message is known by its sequence and digest: what never was in the log has sequence 0.
        self.failed: set[tuple[int, str]] = set()
        self.error = ""

    @property
    def is_lost(self) -> bool:
        """Whether the log takes nothing, so that going on is useless."""
        return self._in_a_row >= MOST_REFUSALS_IN_A_ROW

    async def publish(self, entries: Sequence[QuarantineEntry]) -> set[int]:
        """Publish each message behind ``entries`` once, in order; old sequences of those the log has taken."""
        sent: set[int] = set()
        for entry in entries:
            item = entry.item
            if self.is_lost:
                break
            if item.sequence in sent or (item.sequence, item.digest) in self.failed:
                continue
            if await self._went(item):
                sent.add(item.sequence)
            else:
                self.failed.add((item.sequence, item.digest))
        return sent

    async def _went(self, item: Quarantined) -> bool:
        topic = _topic(item)
        if topic is None:
            self.error = f"{item.subject}: {item.reason}: cannot be sent again"
            return False
        try:
            await self._log.publish(topic, item.payload)
        except BrokerLost as refusal:
            self._in_a_row += 1
            self.error = str(refusal)
            return False
        self._in_a_row = 0
        return True


def redrive(
    config: Config,
    reason: str | None = None,
    ids: Collection[int] | None = None,
    progress: Callable[[int], None] | None = None,
) -> RedriveCounts:
    """Send everything that waits in quarantine again, or only what was set aside for ``reason``, or the entries ``ids``.

    Entries made meanwhile (the same messages, set aside again) are left alone, so that this ends. ``progress`` gets the number
    of messages sent so far.

    Raises
    ------
    WrongUse
        If there is no such reason.
    BrokerLost, StoreUnavailable
        If log or database do not answer at the start.
    """
    reasons = _reasons(reason)
    engine = open_database(config.sql_url)
    try:
        check_schema(engine)
        with reading(engine) as connection:
            waiting = Waiting(reasons, ids, newest_id(connection))
        return asyncio.run(_redrive(config, engine, waiting, progress))
    finally:
        engine.dispose()


def redrive_entries(
    engine: Engine,
    publish: Callable[[Sequence[QuarantineEntry]], Collection[int]],
    now_ms: Callable[[], int],
    ids: Collection[int],
) -> int:
    """The console's way: of the entries ``ids``, how many went now. ``publish`` is `Redriver.publish` of a log it keeps open."""
    with reading(engine) as connection:
        waiting = [entry for entry in get_quarantined(connection, ids) if entry.redriven_at is None]
    sent = publish(waiting)
    with writing(engine) as connection:
        mark_messages_redriven(connection, sent, now_ms())
    return sum(entry.item.sequence in sent for entry in waiting)


async def _redrive(
    config: Config, engine: Engine, waiting: Waiting, progress: Callable[[int], None] | None
) -> RedriveCounts:
    redriven = 0
    after: QuarantineEntry | None = None
    async with await ReadingLog.connect(config, name="redrive") as log:
        redriver = Redriver(log)
        while not redriver.is_lost:
            with reading(engine) as connection:
                entries = list_waiting(connection, waiting, after, CHUNK)
            if not entries:
                return RedriveCounts(redriven, len(redriver.failed), redriver.error)
            sent = await redriver.publish(entries)
            with writing(engine) as connection:
                mark_messages_redriven(connection, sent, config.clock.now_ms())
            redriven += len(sent)
            after = entries[-1]
            if progress is not None:
                progress(redriven)
    with reading(engine) as connection:
        return RedriveCounts(redriven, count_waiting_messages(connection, waiting), redriver.error)


def _reasons(reason: str | None) -> list[QuarantineReason]:
    if reason is None:
        return []
    try:
        return [QuarantineReason(reason)]
    except ValueError:
        raise WrongUse(f"--reason {reason}: allowed: {', '.join(QuarantineReason)}") from None


def _topic(item: Quarantined) -> Topic | None:
    """Where a message came in; ``None`` where it never was in the log (it has no topic of ours, or was cut off at the bridge)."""
    if item.sequence < 1:
        return None
    parsed = parse_subject(item.subject)
    return None if isinstance(parsed, BadTopic) else parsed[1]
