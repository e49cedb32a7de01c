"""The two streams behind the MQTT listener, and the only order in which they may be made.

READINGS itself captures ``$MQTT.msgs.wq.…``, the subject on which the server stores a QoS 1 publish before it sends the
PUBACK. So a PUBACK means "READINGS holds the message", and a full, missing or leaderless READINGS gives none. Two streams
may not share a subject, hence the server's own ``$MQTT_msgs`` must be narrowed to the downlink first; left alone, the
server makes it for all of ``$MQTT.msgs.>`` when the first MQTT client connects, and acknowledges what nobody stores.
"""

import asyncio
import re
import time
from typing import Any

import structlog

from qingquan.config import Config
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log.connection import ApiRefused, JetStreamApi, connect

__all__ = [
    "CAPTURE_SUBJECT",
    "DOWNLINK_STREAM",
    "NO_JETSTREAM",
    "READINGS",
    "STREAM_NOT_FOUND",
    "check_layout",
    "check_streams",
    "downlink_stream",
    "ensure_streams",
    "ensure_streams_with",
    "readings_stream",
]

READINGS = "READINGS"
DOWNLINK_STREAM = "$MQTT_msgs"
CAPTURE_SUBJECT = "$MQTT.msgs.wq.*.*.*.*"
DOWNLINK_SUBJECT = "$MQTT.msgs.dn.>"

STREAM_NOT_FOUND = 10059
NO_JETSTREAM = (503, 10039, 10076)
NO_CLUSTER = 10074
# What a server answers until it has met its cluster; the others of this kind are `BrokerLost` already (`NOT_NOW`).
NOT_MET_YET = (503,)
LEADER_WAIT_S = 60.0
LEADER_POLL_S = 0.3

# What may not differ in a READINGS that is already there: each of these decides what a PUBACK or a sequence means.
_FIXED = (
    "subjects",
    "subject_transform",
    "storage",
    "retention",
    "discard",
    "max_age",
    "max_msgs",
    "max_msgs_per_subject",
)

_log = structlog.get_logger(__name__)


def downlink_stream(replicas: int) -> dict[str, Any]:
    """The server's own MQTT stream, narrowed to commands for devices."""
    return {
        "name": DOWNLINK_STREAM,
        "subjects": [DOWNLINK_SUBJECT],
        "storage": "file",
        "retention": "interest",
        "num_replicas": replicas,
    }


def readings_stream(partitions: int, replicas: int, max_bytes: int) -> dict[str, Any]:
    """The reading log. The partition is computed from county and works when a message is stored.

    Retention ``limits`` with ``discard: new`` is the one policy that never drops an acknowledged message: space is freed
    by purging what has been recorded, and while there is none, devices get no PUBACK and keep their messages.
    """
    return {
        "name": READINGS,
        "subjects": [CAPTURE_SUBJECT],
        "subject_transform": {
            "src": CAPTURE_SUBJECT,
            "dest": f"part.{{{{partition({partitions},1,2)}}}}.wq."
            "{{wildcard(1)}}.{{wildcard(2)}}.{{wildcard(3)}}.{{wildcard(4)}}",
        },
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_bytes": max_bytes,
        "max_age": 0,
        "max_msgs": -1,
        "max_msgs_per_subject": -1,
        "num_replicas": replicas,
    }


async def ensure_streams(config: Config, wait_s: float = LEADER_WAIT_S) -> None:
    """Make, repair or check both streams on the server ``config.log_url`` (already resolved).

    With several copies: wait up to ``wait_s`` until the servers have met.

    Raises
    ------
    ConfigurationError
        For a server without JetStream, a READINGS of another layout, or a ``$MQTT_msgs`` that cannot be narrowed.
    BrokerLost
        If the server does not answer.
    """
    client = await connect(config, name="qingquan-streams")
    deadline = time.monotonic() + (wait_s if config.log_replicas > 1 else 0.0)
    try:
        while True:
            try:
                return await ensure_streams_with(JetStreamApi(client), config)
            except (BrokerLost, ConfigurationError) as error:
                if time.monotonic() > deadline or not _may_pass(error):
                    raise
            await asyncio.sleep(LEADER_POLL_S)
    finally:
        await client.close()


def _may_pass(error: BrokerLost | ConfigurationError) -> bool:
    """Whether it can be that the servers of a cluster have not met yet."""
    cause = error.__cause__
    return isinstance(error, BrokerLost) or (isinstance(cause, ApiRefused) and cause.code in NOT_MET_YET)


async def ensure_streams_with(api: JetStreamApi, config: Config) -> None:
    """As `ensure_streams`, on a connection that is already there."""
    await _ensure_downlink(api, config)
    wanted = readings_stream(config.log_partitions, config.log_replicas, config.log_max_bytes)
    found = await _info(api, READINGS)
    if found is None:
        await _create(api, wanted)
        _log.info("reading_log_created", partitions=config.log_partitions, max_bytes=config.log_max_bytes)
        return
    _refuse_other_layout(found["config"], wanted)
    await _resize(api, found, wanted)


async def check_streams(api: JetStreamApi) -> None:
    """Check that both streams still capture what they must; `ConfigurationError` names the one that does not."""
    for name, subject in ((DOWNLINK_STREAM, DOWNLINK_SUBJECT), (READINGS, CAPTURE_SUBJECT)):
        found = await _info(api, name)
        subjects = [] if found is None else found["config"].get("subjects", [])
        if subjects != [subject]:
            raise ConfigurationError(
                [f"stream {name} captures {subjects}, must capture [{subject!r}]: restart the log server to repair it"]
            )


async def check_layout(api: JetStreamApi, config: Config) -> None:
    """As `check_streams`, and that READINGS has the partitions, policies and copies of ``config``; changes nothing.

    Copies count because services make buckets of their own: leases with one copy would be lost with one server of a cluster.
    """
    try:
        await check_streams(api)
        found = await _info(api, READINGS)
    except ConfigurationError as error:
        if config.log_replicas > 1 and _may_pass(error):
            raise BrokerLost("the servers of the reading log have not met yet") from error
        raise
    if found is None:
        return
    wanted = readings_stream(config.log_partitions, config.log_replicas, config.log_max_bytes)
    _refuse_other_layout(found["config"], wanted)
    kept = found["config"]["num_replicas"]
    if kept != config.log_replicas:
        raise ConfigurationError(
            [
                f"log_replicas = {config.log_replicas}: the reading log at log_url has {kept}: set log_replicas = {kept} for all services"
            ]
        )


async def _ensure_downlink(api: JetStreamApi, config: Config) -> None:
    found = await _info(api, DOWNLINK_STREAM)
    if found is None:
        await _create(api, downlink_stream(config.log_replicas))
        return
    kept = found["config"]
    if kept.get("subjects") == [DOWNLINK_SUBJECT]:
        return
    try:
        await api(f"STREAM.UPDATE.{DOWNLINK_STREAM}", {**kept, "subjects": [DOWNLINK_SUBJECT]})
    except ApiRefused as refusal:
        raise ConfigurationError(
            [
                f"stream {DOWNLINK_STREAM} captures {kept.get('subjects')} and cannot be narrowed: {refusal.description}: "
                f"delete this stream while no device is connected, then start again"
            ]
        ) from refusal
    _log.warning("mqtt_stream_narrowed", captured=kept.get("subjects"))


async def _info(api: JetStreamApi, name: str) -> dict[str, Any] | None:
    try:
        return await api(f"STREAM.INFO.{name}")
    except ApiRefused as refusal:
        if refusal.code == STREAM_NOT_FOUND:
            return None
        raise _without_jetstream(refusal) from refusal


async def _create(api: JetStreamApi, stream: dict[str, Any]) -> None:
    try:
        await api(f"STREAM.CREATE.{stream['name']}", stream)
    except ApiRefused as refusal:
        if refusal.code == NO_CLUSTER:
            raise _without_cluster(stream["num_replicas"]) from refusal
        raise ConfigurationError(
            [
                f"stream {stream['name']} cannot be created: {refusal.description}: "
                "check log_replicas (1 without a cluster), log_max_bytes (room on the disk) and log_partitions"
            ]
        ) from refusal


def _without_cluster(replicas: int) -> ConfigurationError:
    """For a server that stands alone and is asked for several copies."""
    return ConfigurationError(
        [
            f"log_replicas = {replicas}: the NATS server at log_url stands alone: set log_replicas = 1, or name the servers of a "
            "cluster in log_url"
        ]
    )


def _without_jetstream(refusal: ApiRefused) -> Exception:
    if refusal.code in NO_JETSTREAM:
        return ConfigurationError(
            ["log_url: the NATS server offers no JetStream to this user: enable JetStream for the account, see docs"]
        )
    return BrokerLost(str(refusal))


def _refuse_other_layout(kept: dict[str, Any], wanted: dict[str, Any]) -> None:
    kept_dest, wanted_dest = (one.get("subject_transform", {}).get("dest", "") for one in (kept, wanted))
    made_with, asked = (re.search(r"partition\((\d+),1,2\)", dest) for dest in (kept_dest, wanted_dest))
    if made_with and asked and made_with[1] != asked[1] and kept_dest.replace(made_with[0], asked[0]) == wanted_dest:
        raise ConfigurationError(
            [
                f"log_partitions = {asked[1]}: stream {READINGS} has another layout, it was made with {made_with[1]}: set log_partitions "
                "to what it was made with, or start with a fresh data_dir (log_url: a fresh account)"
            ]
        )
    other = [f"{key} is {kept.get(key)}, must be {wanted[key]}" for key in _FIXED if kept.get(key) != wanted[key]]
    if other:
        raise ConfigurationError(
            [
                f"stream {READINGS} has another layout ({'; '.join(other)}): set log_partitions to what it was made with, "
                "or start with a fresh data_dir (log_url: a fresh account)"
            ]
        )


async def _resize(api: JetStreamApi, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    kept, size = found["config"], found["state"]["bytes"]
    changes = {key: wanted[key] for key in ("max_bytes", "num_replicas") if kept.get(key) != wanted[key]}
    if not changes:
        return
    if wanted["max_bytes"] < size:
        raise ConfigurationError(
            [
                f"log_max_bytes = {wanted['max_bytes']}: the reading log already holds {size} bytes: allowed: {size} or more"
            ]
        )
    try:
        await api(f"STREAM.UPDATE.{READINGS}", {**kept, **changes})
    except ApiRefused as refusal:
        if refusal.code == NO_CLUSTER:
            raise _without_cluster(changes["num_replicas"]) from refusal
        raise ConfigurationError(
            [f"stream {READINGS} cannot be changed to {changes}: {refusal.description}: set the old value again"]
        ) from refusal
    _log.info("reading_log_changed", **changes)
