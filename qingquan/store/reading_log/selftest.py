"""Self-test of the capture: does a PUBACK mean that READINGS holds the message?

Run at every start of the log server and as often as monitoring likes. It publishes one message over MQTT QoS 1 to a point of
the reserved county `CANARY_COUNTY`; decoders drop that county without counting it.
"""

import asyncio
import base64
import json
import secrets
import threading
import time
from typing import NoReturn

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from qingquan.config import Config
from qingquan.domain.readings import CANARY_COUNTY, Topic
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log.connection import ApiRefused, JetStreamApi, connect
from qingquan.store.reading_log.credentials import connectable
from qingquan.store.reading_log.partition import partition_of
from qingquan.store.reading_log.streams import READINGS, check_streams

__all__ = ["CANARY_TOPIC", "LogFull", "self_test"]

CANARY_TOPIC = Topic(CANARY_COUNTY, "selftest", "canary", "json")

# The server closes the connection 5 s after a publish that no stream acknowledged.
PUBACK_WAIT_S = 6.0
CONNECT_WAIT_S = 10.0

# What one message of the greatest payload takes in the log, headers and all.
LARGEST_MESSAGE_BYTES = 70_000


class LogFull(BrokerLost):
    """No PUBACK, as the log has no room: as meant, and over as soon as something recorded is purged."""


async def self_test(config: Config) -> float:
    """Seconds from the publish to its PUBACK, after the message was found in READINGS.

    Raises
    ------
    ConfigurationError
        If a stream captures other subjects, MQTT refuses user and password, no PUBACK comes, or the acknowledged message
        is not in READINGS.
    LogFull
        If no PUBACK comes because the log is full. The server must stay up, or nothing could be read and purged.
    BrokerLost
        If nobody answers.
    """
    client = await connect(config, name="qingquan-selftest")
    try:
        api = JetStreamApi(client)
        await check_streams(api)
        before = int((await api(f"STREAM.INFO.{READINGS}"))["state"]["last_seq"])
        payload = json.dumps({"canary": secrets.token_hex(8), "at": time.time_ns()}).encode()
        took_s = await asyncio.to_thread(_publish_canary, config, payload)
        if took_s is None:
            await _explain_missing_puback(api)
        await _require_stored(api, config, payload, before)
        return took_s
    finally:
        await client.close()


async def _explain_missing_puback(api: JetStreamApi) -> NoReturn:
    answer = await api(f"STREAM.INFO.{READINGS}")
    size, limit = answer["state"]["bytes"], answer["config"]["max_bytes"]
    if size + LARGEST_MESSAGE_BYTES > limit:
        raise LogFull(f"the reading log is full ({size} of {limit} bytes): record and purge, or raise log_max_bytes")
    raise ConfigurationError(
        [f"no PUBACK for a message to the reading log ({size} of {limit} bytes used): see the server's log"]
    )


async def _require_stored(api: JetStreamApi, config: Config, payload: bytes, before: int) -> None:
    part = partition_of(CANARY_TOPIC.county, CANARY_TOPIC.works, config.log_partitions)
    subject = ".".join((f"part.{part}.wq", *CANARY_TOPIC))
    stored, last = b"", before
    # The servers of a cluster test themselves at the same time: the newest message may be another one's.
    while stored != payload:
        try:
            answer = await api(f"STREAM.MSG.GET.{READINGS}", {"seq": last + 1, "next_by_subj": subject})
        except ApiRefused as refusal:
            raise ConfigurationError(
                [
                    f"{READINGS} lacks a message that got its PUBACK ({subject}): the server does not work as needed; see log_url"
                ]
            ) from refusal
        stored, last = base64.b64decode(answer["message"].get("data", "")), int(answer["message"]["seq"])


def _publish_canary(config: Config, payload: bytes) -> float | None:
    """Seconds until the PUBACK; ``None`` when none came."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"qingquan-selftest-{secrets.token_hex(4)}")
    client.username_pw_set(config.mqtt_user, config.mqtt_password)
    connected, refusal = threading.Event(), []

    def on_connect(_c: object, _u: object, _f: object, reason: ReasonCode, _p: object) -> None:
        if reason.is_failure:
            refusal.append(str(reason))
        connected.set()

    client.on_connect = on_connect
    host, port = connectable(config.mqtt_host), config.mqtt_port
    try:
        client.connect(host, port, keepalive=30)
    except OSError as error:
        raise BrokerLost(f"no MQTT listener answers at {host}:{port}: {error}") from error
    client.loop_start()
    try:
        if not connected.wait(CONNECT_WAIT_S):
            raise BrokerLost(f"the MQTT listener at {host}:{port} does not answer a CONNECT")
        if refusal:
            raise ConfigurationError([f"mqtt_user = {config.mqtt_user!r}: refused at {host}:{port}: {refusal[0]}"])
        began = time.monotonic()
        message = client.publish("wq/" + "/".join(CANARY_TOPIC), payload, qos=1)
        try:
            message.wait_for_publish(PUBACK_WAIT_S)
        except (RuntimeError, ValueError) as error:
            raise BrokerLost(f"the MQTT connection to {host}:{port} was lost: {error}") from error
        return time.monotonic() - began if message.is_published() else None
    finally:
        client.disconnect()
        client.loop_stop()
