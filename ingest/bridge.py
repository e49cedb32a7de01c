"""Bridge from an outside MQTT broker into the reading log.

A QoS 1 message is acknowledged to the outside broker only when the log, or for what cannot go into the log the quarantine,
has it. Until then the broker keeps it in our persistent session, so neither a crash of the bridge nor an outage of the log
loses it, as long as the broker's own queue for absent clients is large enough. Messages may come twice; readers of the log
take a reading once. QoS 0 messages are let in too, but nothing stands behind them: they are counted, and their senders named.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from hashlib import sha256

import structlog

from ingest.bridge_link import BridgeSettings, Incoming, Link
from ingest.decode import MAX_PAYLOAD
from ingest.topics import BadTopic, parse_topic
from qingquan.domain.readings import Quarantined, QuarantineReason, Topic
from qingquan.errors import BrokerLost, StoreUnavailable

__all__ = ["Bridge", "BridgeCounts", "BridgeSettings"]

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 15.0
STABLE_AFTER_S = 10.0
LEAVE_WAIT_S = 5.0
QOS0_SENDERS_NAMED = 1000

_log = structlog.get_logger(__name__)

Publish = Callable[[Topic, bytes], Awaitable[object]]
SetAside = Callable[[Quarantined], Awaitable[object]]


@dataclass(slots=True)
class BridgeCounts:
    """Totals since the start. ``received = forwarded + quarantined + qos0_dropped`` + those still in work or left to come again.

    ``redelivered`` were marked by the broker as sent before; ``qos0`` came without a promise of delivery, and of these
    ``qos0_dropped`` found no room while the log was away. ``sessions_lost``: the broker had forgotten our session, so what it
    held for us is gone.
    """

    received: int = 0
    forwarded: int = 0
    quarantined: int = 0
    acknowledged: int = 0
    redelivered: int = 0
    qos0: int = 0
    qos0_dropped: int = 0
    retries: int = 0
    connections: int = 0
    sessions_lost: int = 0

    def since(self, before: "BridgeCounts") -> dict[str, int]:
        """What was added after ``before``, by name, zeros left out."""
        old = asdict(before)
        return {name: value - old[name] for name, value in asdict(self).items() if value != old[name]}


class Bridge:
    """Forwards until told to stop.

    Parameters
    ----------
    settings
        The outside broker.
    publish
        Stores a message in the reading log and returns once the log has acknowledged; raises `BrokerLost` otherwise.
    set_aside
        Keeps something for which there is no place in the log; raises `StoreUnavailable` if it could not. The same item
        may come again.
    now_ms
        Our clock.
    """

    def __init__(
        self, settings: BridgeSettings, publish: Publish, set_aside: SetAside, now_ms: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._publish = publish
        self._set_aside = set_aside
        self._now_ms = now_ms
        self._promised: set[asyncio.Task[None]] = set()
        self._unpromised: set[asyncio.Task[None]] = set()
        self._senders_on_qos0: set[tuple[str, str, str]] = set()
        self._leaving = False
        self.counts = BridgeCounts()
        self.is_connected = False
        self.trouble = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a connection up and forward what comes, until ``stop``. Never raises for broker, log or store."""
        pause_s = FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while not stop.is_set():
            began = loop.time()
            await self._connection(stop)
            if stop.is_set():
                break
            pause_s = FIRST_PAUSE_S if loop.time() - began > STABLE_AFTER_S else min(2 * pause_s, LONGEST_PAUSE_S)
            _log.warning("bridge_disconnected", broker=self._settings.address, trouble=self.trouble, next_try_s=round(pause_s, 1))  # fmt: skip
            await _wait(stop, pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
        await _ended(self._unpromised, 0)

    async def _connection(self, stop: asyncio.Event) -> None:
        link = Link(self._settings, self._take)
        try:
            await link.open()
            self._arrived(link)
            over = asyncio.create_task(link.closed.wait())
            told = asyncio.create_task(stop.wait())
            await asyncio.wait((over, told), return_when=asyncio.FIRST_COMPLETED)
            over.cancel()
            told.cancel()
            self.trouble = link.trouble
        except BrokerLost as error:
            self.trouble = str(error)
        finally:
            self.is_connected = False
            self._leaving = True
            link.pause()
            # What is on its way to the log may still be acknowledged; the rest the broker will send again.
            await _ended(self._promised, LEAVE_WAIT_S if stop.is_set() and not link.closed.is_set() else 0)
            await link.close()
            self._leaving = False

    def _arrived(self, link: Link) -> None:
        self.is_connected = True
        self.trouble = ""
        if self.counts.connections and not link.session_kept:
            self.counts.sessions_lost += 1
            _log.error("bridge_session_lost", broker=self._settings.address, client_id=self._settings.client_id)
        self.counts.connections += 1
        _log.info("bridge_connected", broker=self._settings.address, session_kept=link.session_kept)

    def _take(self, link: Link, message: Incoming) -> None:
        counts = self.counts
        counts.received += 1
        counts.redelivered += message.is_repeated
        counts.qos0 += message.qos == 0
        tasks = self._promised if message.qos else self._unpromised
        if message.qos == 0:
            self._name_sender(message)
            if len(tasks) >= self._settings.window:
                counts.qos0_dropped += 1
                return
        task = asyncio.create_task(self._forward(link, message))
        tasks.add(task)
        task.add_done_callback(lambda done: self._done(link, tasks, done))
        if message.qos and len(tasks) >= self._settings.window:
            link.pause()

    def _done(self, link: Link, tasks: set[asyncio.Task[None]], task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if len(self._promised) < self._settings.window and not link.closed.is_set() and not self._leaving:
            link.resume()

    async def _forward(self, link: Link, message: Incoming) -> None:
        pause_s = FIRST_PAUSE_S
        while not await self._is_kept(message):
            self.counts.retries += 1
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        self.counts.acknowledged += link.acknowledge(message)

    async def _is_kept(self, message: Incoming) -> bool:
        """Whether log or quarantine has the message."""
        try:
            topic = parse_topic(message.topic) if message.topic is not None else BadTopic("", "the topic is not UTF-8")
            if isinstance(topic, BadTopic):
                await self._set_aside(self._quarantined(message, QuarantineReason.BAD_TOPIC, topic.detail))
                self.counts.quarantined += 1
            elif len(message.payload) > MAX_PAYLOAD:
                detail = f"{len(message.payload)} bytes; at most {MAX_PAYLOAD}, so many were kept"
                await self._set_aside(self._quarantined(message, QuarantineReason.PAYLOAD_TOO_LARGE, detail))
                self.counts.quarantined += 1
            else:
                await self._publish(topic, message.payload)
                self.counts.forwarded += 1
        except (BrokerLost, StoreUnavailable) as error:
            _log.debug("bridge_not_taken", error=str(error))
            return False
        except Exception:
            # Not acknowledged, hence not lost; but somebody must look at it.
            _log.exception("bridge_forward_failed", topic=message.topic)
            return False
        return True

    def _quarantined(self, message: Incoming, reason: QuarantineReason, detail: str) -> Quarantined:
        """It has no place in the log, so what it is stands in for the place: the same message again is the same item."""
        topic = message.topic if message.topic is not None else "?"
        digest = sha256(message.payload).hexdigest()
        place = sha256(topic.encode("utf-8", "backslashreplace") + b"\0" + message.payload).hexdigest()[:32]
        return Quarantined(
            reason, detail, 0, self._now_ms(), topic[:500], f"bridge:{place}", message.payload[:MAX_PAYLOAD], digest
        )  # fmt: skip

    def _name_sender(self, message: Incoming) -> None:
        topic = parse_topic(message.topic or "")
        if isinstance(topic, BadTopic) or len(self._senders_on_qos0) >= QOS0_SENDERS_NAMED:
            return
        sender = (topic.county, topic.works, topic.point)
        if sender not in self._senders_on_qos0:
            self._senders_on_qos0.add(sender)
            _log.warning("bridge_sender_on_qos0", county=topic.county, works=topic.works, point=topic.point)


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), timeout_s)
    except TimeoutError:
        return


async def _ended(tasks: set[asyncio.Task[None]], wait_s: float) -> None:
    """Give the tasks so long to finish, then end them."""
    if tasks and wait_s:
        await asyncio.wait(set(tasks), timeout=wait_s)
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
