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

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from qingquan.config import Config
from qingquan.domain.readings import CANARY_COUNTY, Topic
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log.connection import JetStreamApi, connect
from qingquan.store.reading_log.credentials import connectable
from qingquan.store.reading_log.partition import partition_of
from qingquan.store.reading_log.streams import READINGS, check_streams

__all__ = ["CANARY_TOPIC", "self_test"]

CANARY_TOPIC = Topic(CANARY_COUNTY, "selftest", "canary", "json")

# The server closes the connection 5 s after a publish that no stream acknowledged.
PUBACK_WAIT_S = 8.0
CONNECT_WAIT_S = 10.0


async def self_test(config: Config) -> float:
    """Seconds from the publish to its PUBACK, after the message was found in READINGS.

    Raises
    ------
    ConfigurationError
        If a stream captures other subjects, MQTT refuses user and password, no PUBACK comes, or the acknowledged message
        is not in READINGS.
    BrokerLost
        If nobody answers.
    """
    client = await connect(config, name="qingquan-selftest")
    try:
        api = JetStreamApi(client)
        await check_streams(api)
        payload = json.dumps({"canary": secrets.token_hex(8), "at": time.time_ns()}).encode()
        took_s = await asyncio.to_thread(_publish_canary, config, payload)
        await _require_stored(api, config, payload)
        return took_s
    finally:
        await client.close()


async def _require_stored(api: JetStreamApi, config: Config, payload: bytes) -> None:
    part = partition_of(CANARY_TOPIC.county, CANARY_TOPIC.works, config.log_partitions)
    subject = ".".join((f"part.{part}.wq", *CANARY_TOPIC))
    answer = await api(f"STREAM.MSG.GET.{READINGS}", {"last_by_subj": subject})
    if base64.b64decode(answer["message"].get("data", "")) != payload:
        raise ConfigurationError(
            [
                f"{READINGS} lacks a message that got its PUBACK ({subject}): the server does not work as needed; see log_url"
            ]
        )


def _publish_canary(config: Config, payload: bytes) -> float:
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
        message.wait_for_publish(PUBACK_WAIT_S)
        if not message.is_published():
            raise ConfigurationError(
                [f"no PUBACK from {host}:{port}: the reading log takes no messages: is it full (log_max_bytes)?"]
            )
        return time.monotonic() - began
    finally:
        client.disconnect()
        client.loop_stop()
