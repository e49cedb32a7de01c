"""The reading log as the services use it: position, size, publish, purge, and readers."""

import asyncio
import secrets
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, cast

import nats.errors
import nats.js.errors
import structlog
from nats.aio.client import Client

from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.errors import BrokerLost
from qingquan.store.reading_log.connection import CONNECT_WAIT_S, ApiRefused, JetStreamApi, connect
from qingquan.store.reading_log.credentials import resolve_log_config
from qingquan.store.reading_log.ends import EndInDoubt, LogEnds
from qingquan.store.reading_log.fetchers import FetcherKind, make_fetcher
from qingquan.store.reading_log.reader import Fetcher, LogReader
from qingquan.store.reading_log.streams import READINGS, check_layout
from qingquan.store.reading_log.uplink import Uplink, look_at_uplink

__all__ = ["LogInfo", "ReadingLog"]

PUBLISH_TIMEOUT_S = 5.0
ASK_AGAIN_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LogInfo:
    """What the log holds: message count, bytes of ``max_bytes``, first and last sequence (0 and 0 when it never held any)."""

    messages: int
    bytes: int
    first: int
    last: int
    max_bytes: int


class ReadingLog:
    """A connection to the stream READINGS; use as ``async with await ReadingLog.connect(config, name=…) as log``.

    Every method raises `BrokerLost` when the server does not answer; the connection comes back by itself. Readers never
    raise: they wait for the log.
    """

    def __init__(self, config: Config, client: Client, name: str, fetcher: FetcherKind) -> None:
        self._config = config
        self._client = client
        self._name = name
        self._kind = fetcher
        self._api = JetStreamApi(client)
        self._jetstream = client.jetstream(timeout=PUBLISH_TIMEOUT_S)
        self._readers: list[tuple[LogReader, Fetcher]] = []

    @classmethod
    async def connect(
        cls, config: Config, *, name: str, fetcher: FetcherKind | None = None, wait_s: float = CONNECT_WAIT_S
    ) -> Self:
        """Connect as ``name`` (letters, digits, ``-`` and ``_``; shows in the server's monitoring).

        Settings of the embedded server are filled in; ``fetcher`` overrides the client of the settings. Raises `BrokerLost` when no server answers within ``wait_s``.
        """
        resolved = resolve_log_config(config)
        kind = fetcher or cast(FetcherKind, config.log_client)
        return cls(resolved, await connect(resolved, name=name, wait_s=wait_s), name, kind)

    async def last_sequence(self) -> int:
        """Sequence of the newest message, 0 when the log never held one."""
        return (await self.info()).last

    async def ends_before(self, sequence: int) -> int | None:
        """Newest sequence of a log that ends before ``sequence``; ``None`` where it reaches it. May ask for a while (`LogEnds`)."""
        ends = LogEnds()
        while True:
            try:
                short = ends.look(await self._request(f"STREAM.INFO.{READINGS}"), sequence + 1)
            except EndInDoubt as error:
                _log.warning("log_end_in_doubt", sequence=sequence, why=str(error))
                await asyncio.sleep(ASK_AGAIN_S)
            else:
                return None if short is None else short.last

    async def first_sequence(self) -> int:
        """Sequence of the oldest message still held; one more than the last when all were purged."""
        return (await self.info()).first

    async def info(self) -> LogInfo:
        """Size and bounds."""
        answer = await self._request(f"STREAM.INFO.{READINGS}")
        state = answer["state"]
        return LogInfo(
            messages=state["messages"],
            bytes=state["bytes"],
            first=state["first_seq"],
            last=state["last_seq"],
            max_bytes=answer["config"]["max_bytes"],
        )

    async def uplink(self) -> Uplink | None:
        """How far the province has taken this log; ``None`` where it hands nothing on."""
        return await look_at_uplink(self._api) if self._config.log_hub_url else None

    async def identity(self) -> str:
        """What tells this log from every other one: when it was made. Kept over restarts, alike on every server of a cluster."""
        return str((await self._request(f"STREAM.INFO.{READINGS}"))["created"])

    async def check_layout(self) -> None:
        """Refuse a log whose streams are not those of our settings (`ConfigurationError`, one line with the remedy)."""
        try:
            await check_layout(self._api, self._config)
        except BrokerLost:
            return  # Readers wait for it; what is there then was checked by whoever started it.

    def reader(self, start: int, *, partition: int | None = None) -> LogReader:
        """A reader whose first message is ``start`` or the next one there is; everything unless a partition is given."""
        fetcher = make_fetcher(self._kind, self._config, self._client)
        reader = LogReader(self._api, fetcher, f"{self._name}-{secrets.token_hex(2)}", start, partition)
        self._readers.append((reader, fetcher))
        return reader

    async def publish(self, topic: Topic, payload: bytes) -> int:
        """Store a message as if a device had published it; its sequence, once the log has acknowledged.

        Raises `BrokerLost` when it did not: not connected, no answer, or the log is full.
        """
        subject = ".".join(("$MQTT.msgs.wq", *topic))
        try:
            answer = await self._jetstream.publish(subject, payload, stream=None)
        except (nats.errors.Error, TimeoutError) as error:
            raise BrokerLost(f"the reading log did not take a message on wq/{'/'.join(topic)}: {error}") from error
        return int(answer.seq)

    async def purge_to(self, sequence: int) -> None:
        """Free the space of all messages up to and including ``sequence``; everything in them must be recorded."""
        if sequence >= 1:
            await self._request(f"STREAM.PURGE.{READINGS}", {"seq": sequence + 1})

    async def resize(self, max_bytes: int) -> None:
        """Set how many bytes the log may hold; nothing that it holds is dropped by it (``discard: new``)."""
        answer = await self._request(f"STREAM.INFO.{READINGS}")
        await self._request(f"STREAM.UPDATE.{READINGS}", {**answer["config"], "max_bytes": max_bytes})

    async def close(self) -> None:
        """Release readers and connections; a second call does nothing."""
        readers, self._readers = self._readers, []
        for reader, fetcher in readers:
            await reader.close()
            await fetcher.close()
        if not self._client.is_closed:
            await self._client.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _request(self, subject: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            return await self._api(subject, body)
        except ApiRefused as refusal:
            raise BrokerLost(str(refusal)) from refusal
