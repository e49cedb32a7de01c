"""Devices that publish at QoS 0: the log never sees them by itself, so they are let in here, and named.

The server hands a QoS 0 publish on as an ordinary message only; header ``Nmqtt-Pub: 0`` marks it. A subscriber sees those of
QoS 1 too, hence the watch pauses when more than `MESSAGES_A_WINDOW` of any kind come: on a busy server QoS 0 devices are
still found, though not every message of theirs gets in. That is what QoS 0 promises: at most once.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from qingquan.config import Config
from qingquan.errors import BrokerLost
from qingquan.store.reading_log.connection import connect

__all__ = ["watch_qos0"]

WINDOW_S = 2.0
POLL_S = 0.25
MESSAGES_A_WINDOW = 1000
SUBJECT = "wq.*.*.*.*"
QUEUE = "qingquan-qos0"
QOS_HEADER = "Nmqtt-Pub"

_log = structlog.get_logger(__name__)


async def watch_qos0(config: Config, report: Callable[[Mapping[str, int]], None], done: Callable[[], bool]) -> None:
    """Store messages published at QoS 0 and report their topics with counts, about every 2 s, until ``done()``.

    Waits for the server for ever; the connection comes back by itself after a restart.
    """
    while not done():
        try:
            client = await connect(config, name="qingquan-qos0", wait_s=5.0)
        except BrokerLost as error:
            _log.debug("qos0_watch_waits", error=str(error))
            continue
        try:
            while not done():
                await _one_subscription(client, report, done)
        finally:
            await client.close()


async def _one_subscription(
    client: Client, report: Callable[[Mapping[str, int]], None], done: Callable[[], bool]
) -> None:
    """Watch until as many messages came as one window may bring, then wait for the window's end."""
    # In a cluster every server has its watch; each message must get in once.
    subscription = await client.subscribe(SUBJECT, queue=QUEUE)
    # The server itself stops sending at the limit, however busy this process is.
    await subscription.unsubscribe(limit=MESSAGES_A_WINDOW)
    began = reported = time.monotonic()
    seen, topics = 0, Counter[str]()
    while seen < MESSAGES_A_WINDOW and not done():
        try:
            message = await subscription.next_msg(timeout=POLL_S)
        except (nats.errors.TimeoutError, TimeoutError):
            pass
        except nats.errors.Error as error:
            _log.debug("qos0_watch_renewed", error=str(error))
            break
        else:
            seen += 1
            if (message.headers or {}).get(QOS_HEADER) == "0":
                topics[message.subject.replace(".", "/")] += 1
                await _store(client, message)
        if topics and time.monotonic() >= reported + WINDOW_S:
            report(topics)
            reported, topics = time.monotonic(), Counter()
    if topics:
        report(topics)
    with contextlib.suppress(nats.errors.Error):
        await subscription.unsubscribe()
    while time.monotonic() < began + WINDOW_S and not done():
        await asyncio.sleep(POLL_S)


async def _store(client: Client, message: Msg) -> None:
    try:
        await client.jetstream().publish(f"$MQTT.msgs.{message.subject}", message.data)
    except (nats.errors.Error, TimeoutError) as error:
        _log.warning("qos0_message_lost", topic=message.subject.replace(".", "/"), error=str(error))
