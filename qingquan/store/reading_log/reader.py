"""Reading the log in order, from a position of the reader's own.

No acknowledgements: an unfiltered pull consumer kept in the server's memory starts after the last message that was applied,
and its own sequence must grow by exactly one. On a gap, an error or silence it is made anew after the last message fetched.
So whatever happens to the server or the wire, messages come strictly ascending and none is left out.
"""

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from qingquan.domain.readings import LogMessage
from qingquan.errors import BrokerLost
from qingquan.store.reading_log.connection import ApiRefused, JetStreamApi
from qingquan.store.reading_log.ends import LogEnds
from qingquan.store.reading_log.streams import READINGS

__all__ = ["Fetcher", "LogReader"]

INACTIVE_THRESHOLD_S = 30
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
SHORTEST_WAIT_S = 0.02

_log = structlog.get_logger(__name__)


class Fetcher(Protocol):
    """One client library's way to pull from a consumer. Both pass the same contract suite."""

    async def bind(self, consumer: str) -> None:
        """Pull from this consumer of READINGS from now on. Raises `BrokerLost`."""
        ...

    async def fetch(self, limit: int, wait_s: float) -> tuple[Sequence[int], list[LogMessage]]:
        """Consumer sequences and messages: at once what there is, else the first that come within ``wait_s`` (> 0),
        else none. Raises `BrokerLost` when the server or the consumer is gone."""
        ...

    async def close(self) -> None:
        """Release the connection; a second call does nothing."""
        ...


class LogReader:
    """One pass over the log, made by `ReadingLog.reader`. Not for use by two tasks at once."""

    def __init__(self, api: JetStreamApi, fetcher: Fetcher, name: str, start: int, partition: int | None) -> None:
        self._api = api
        self._fetcher = fetcher
        self._name = name
        self._subject = None if partition is None else f"part.{partition}.>"
        self._next = max(start, 1)
        self._consumer: str | None = None
        self._consumed = 0
        self._failures = 0
        self._ends = LogEnds()

    @property
    def is_connected(self) -> bool:
        """False while the log cannot be read; an empty fetch then does not mean that nothing came."""
        return self._failures == 0

    async def fetch(self, limit: int, wait_s: float) -> list[LogMessage]:
        """Up to ``limit`` next messages, strictly ascending by sequence.

        Returns at once with what there is; waits up to ``wait_s`` for the first one otherwise. ``[]`` when nothing came,
        or while the log is out of reach (see `is_connected`): it is tried again with growing pauses, for ever.
        """
        deadline = time.monotonic() + wait_s
        while True:
            try:
                if self._consumer is None:
                    await self._make_consumer()
                left_s = max(deadline - time.monotonic(), SHORTEST_WAIT_S)
                sequences, messages = await self._fetcher.fetch(limit, left_s)
            except (BrokerLost, ApiRefused) as error:
                if not await self._pause_after(error, deadline):
                    return []
                continue
            self._recovered()
            kept = self._in_order(sequences, messages)
            if kept or not messages:
                return kept

    async def caught_up(self) -> int | None:
        """Sequence L when every message of this reader up to L has been fetched, else ``None``.

        With a partition, L passes over messages of the others: so an idle partition's position still advances and the
        log can be purged.
        """
        if self._consumer is None:
            return None
        try:
            # The order matters: what is stored between the two requests can only be beyond L.
            last = int((await self._api(f"STREAM.INFO.{READINGS}"))["state"]["last_seq"])
            consumer = await self._api(f"CONSUMER.INFO.{READINGS}.{self._consumer}")
        except (BrokerLost, ApiRefused):
            return None
        is_done = consumer["num_pending"] == 0 and consumer["delivered"]["consumer_seq"] == self._consumed
        return last if is_done else None

    async def close(self) -> None:
        """Release the consumer; the server forgets it by itself if this fails."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            try:
                await self._api(f"CONSUMER.DELETE.{READINGS}.{consumer}")
            except (BrokerLost, ApiRefused) as error:
                _log.debug("reader_consumer_left", consumer=consumer, error=str(error))

    async def _make_consumer(self) -> None:
        await self._check_position()
        consumer = f"{self._name}-{secrets.token_hex(6)}"
        # A reader of everything sets no filter: an all-matching one costs up to 60 µs a message in the server.
        selection = {} if self._subject is None else {"filter_subject": self._subject}
        await self._api(
            f"CONSUMER.CREATE.{READINGS}.{consumer}",
            {
                "stream_name": READINGS,
                "config": {
                    "name": consumer,
                    "deliver_policy": "by_start_sequence",
                    "opt_start_seq": self._next,
                    "ack_policy": "none",
                    "mem_storage": True,
                    "num_replicas": 1,
                    "inactive_threshold": INACTIVE_THRESHOLD_S * 10**9,
                    **selection,
                },
                "action": "create",
            },
        )
        await self._fetcher.bind(consumer)
        self._consumer, self._consumed = consumer, 0

    async def _check_position(self) -> None:
        """Never wait for sequences that the log may give to other messages."""
        answer = await self._api(f"STREAM.INFO.{READINGS}")
        short, first = self._ends.look(answer, self._next), max(int(answer["state"]["first_seq"]), 1)
        if short is not None:
            # Another log, or one that lost its tail with the power: readers are idempotent, so read all of it.
            _log.error(
                "log_ends_before_reader", reader=self._name, position=self._next, last=short.last, restarted_at=first
            )
            self._next = first
        elif self._next < first:
            _log.warning("log_purged_beyond_reader", reader=self._name, position=self._next, first=first)
            self._next = first

    def _in_order(self, sequences: Sequence[int], messages: list[LogMessage]) -> list[LogMessage]:
        """The messages before the first gap; a gap gives the consumer up."""
        expected = self._consumed + 1
        if list(sequences) == list(range(expected, expected + len(messages))):
            kept = messages
        else:
            whole = next(i for i, sequence in enumerate(sequences) if sequence != expected + i)
            _log.warning("reader_gap", reader=self._name, expected=expected + whole, found=sequences[whole])
            kept = messages[:whole]
            self._consumer = None
        if kept:
            self._consumed += len(kept)
            self._next = kept[-1].sequence + 1
        return kept

    async def _pause_after(self, error: Exception, deadline: float) -> bool:
        """Wait before the next try; False when the caller's time is up."""
        self._consumer = None
        if self._failures == 0:
            _log.warning("log_out_of_reach", reader=self._name, position=self._next, error=str(error))
        self._failures += 1
        pause_s = min(FIRST_PAUSE_S * 2.0 ** min(self._failures, 10), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)  # noqa: S311
        left_s = deadline - time.monotonic()
        await asyncio.sleep(max(min(pause_s, left_s), 0))
        return left_s > pause_s

    def _recovered(self) -> None:
        if self._failures:
            _log.info("log_back", reader=self._name, position=self._next, tries=self._failures)
        self._failures = 0
