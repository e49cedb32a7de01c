"""The two client libraries behind `Fetcher`: natsrpy, quick (200,000 messages/s and more), and nats-py, the fallback."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from natsrpy import Nats
from natsrpy.exceptions import NatsrpyBaseError
from natsrpy.js import JetStream, PullConsumer

from qingquan.clock import Clock
from qingquan.config import Config
from qingquan.domain.readings import LogMessage
from qingquan.errors import BrokerLost
from qingquan.store.reading_log.reader import Fetcher
from qingquan.store.reading_log.streams import READINGS

__all__ = ["FetcherKind", "PythonFetcher", "RustFetcher", "make_fetcher"]

FetcherKind = Literal["natsrpy", "nats-py"]

# Beyond the wait asked of the server: then the answer is lost, not late.
GRACE_S = 2.0


def make_fetcher(kind: FetcherKind, config: Config, client: Client) -> Fetcher:
    """A fetcher for the server of ``config``; ``client`` is the administration connection."""
    return RustFetcher(config) if kind == "natsrpy" else PythonFetcher(config.clock, client)


class RustFetcher:
    """By natsrpy, on a connection of its own.

    Always ``expires`` and a longer ``timeout``, never ``heartbeat`` (it hangs), never single-message iteration.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._clock = config.clock
        self._session: Nats | None = None
        self._jetstream: JetStream | None = None
        self._consumer: PullConsumer | None = None

    async def bind(self, consumer: str) -> None:
        try:
            jetstream = self._jetstream or await self._connected()
            stream = await asyncio.ensure_future(jetstream.streams.get(READINGS))
            self._consumer = await asyncio.ensure_future(stream.consumers.get_pull(consumer))
        except (NatsrpyBaseError, TimeoutError) as error:
            raise BrokerLost(f"the reading log does not answer: {error}") from error

    async def fetch(self, limit: int, wait_s: float) -> tuple[Sequence[int], list[LogMessage]]:
        if self._consumer is None:
            raise BrokerLost("no consumer yet")
        try:
            found = await asyncio.ensure_future(
                self._consumer.fetch(max_messages=limit, expires=wait_s, timeout=wait_s + GRACE_S)
            )
        except (NatsrpyBaseError, TimeoutError) as error:
            raise BrokerLost(f"the reading log does not answer: {error}") from error
        times = [round(m.published.timestamp() * 1000) for m in found]
        if self._clock.speed != 1.0:
            times = [self._clock.at(wall_ms) for wall_ms in times]
        messages = [LogMessage(m.stream_sequence, at, m.subject, m.payload) for m, at in zip(found, times, strict=True)]
        return [m.consumer_sequence for m in found], messages

    async def close(self) -> None:
        session, self._session, self._jetstream, self._consumer = self._session, None, None, None
        if session is not None:
            await asyncio.ensure_future(session.shutdown())

    async def _connected(self) -> JetStream:
        config = self._config
        if self._session is None:
            session = Nats(
                addrs=config.log_url.split(","),
                user_and_pass=(config.log_user, config.log_password) if config.log_user else None,
            )
            await asyncio.ensure_future(session.startup())
            self._session = session
        self._jetstream = await asyncio.ensure_future(self._session.jetstream())
        return self._jetstream


class PythonFetcher:
    """By nats-py, on the administration connection."""

    def __init__(self, clock: Clock, client: Client) -> None:
        self._clock = clock
        self._client = client
        self._subscription: JetStreamContext.PullSubscription | None = None

    async def bind(self, consumer: str) -> None:
        await self.close()
        try:
            self._subscription = await self._client.jetstream().pull_subscribe_bind(consumer=consumer, stream=READINGS)
        except (nats.errors.Error, TimeoutError) as error:
            raise BrokerLost(f"the reading log does not answer: {error!r}") from error

    async def fetch(self, limit: int, wait_s: float) -> tuple[Sequence[int], list[LogMessage]]:
        if self._subscription is None or not self._client.is_connected:
            raise BrokerLost("not connected to the reading log")
        try:
            found = await self._subscription.fetch(limit, timeout=wait_s)
        except (nats.errors.TimeoutError, TimeoutError):
            return [], []
        except nats.errors.Error as error:
            raise BrokerLost(f"the reading log does not answer: {error!r}") from error
        rows = [(m.metadata, m.subject, m.data) for m in found]
        at = self._clock.at
        messages = [
            LogMessage(meta.sequence.stream, at(round(meta.timestamp.timestamp() * 1000)), subject, data)
            for meta, subject, data in rows
        ]
        return [meta.sequence.consumer for meta, _, _ in rows], messages

    async def close(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None and self._client.is_connected:
            await subscription.unsubscribe()
