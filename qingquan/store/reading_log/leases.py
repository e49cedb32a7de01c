"""Leases of partitions: keys of a JetStream bucket that vanish unless renewed, written by compare-and-set only.

A lease says who *should* work; it fences nobody by itself, as its holder may sleep. The fences are in the database
(`qingquan.store.sql.ownership`) and on the snapshot (`qingquan.store.reading_log.kept_state`).
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from qingquan.config import Config
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log.connection import CONNECT_WAIT_S, ApiRefused, JetStreamApi, connect
from qingquan.store.reading_log.credentials import resolve_log_config
from qingquan.store.reading_log.streams import NO_JETSTREAM, STREAM_NOT_FOUND, check_layout

__all__ = ["LEASE_BUCKET", "STATE_BUCKET", "Leases", "bucket_stream", "open_bucket", "written"]

LEASE_BUCKET = "QINGQUAN_LEASE"
STATE_BUCKET = "QINGQUAN_STATE"

WRONG_LAST_SEQUENCE = 10071
MESSAGE_NOT_FOUND = 10037
LEADER_WAIT_S = 15.0
LEADER_POLL_S = 0.3
PUBLISH_TIMEOUT_S = 1.0
_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A connection to a bucket: ``prefix`` + key is the subject of a key."""

    client: Client
    api: JetStreamApi
    stream: str
    prefix: str


def bucket_stream(config: Config, bucket: str, max_age_s: float = 0.0) -> dict[str, Any]:
    """A bucket's stream: the newest value of every key, for ``max_age_s`` (0 = for ever)."""
    return {
        "name": f"KV_{bucket}",
        "subjects": [f"$KV.{bucket}.>"],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "max_msgs_per_subject": 1,
        "max_age": round(max_age_s * 1e9),
        "duplicate_window": round(min(max_age_s or 120.0, 120.0) * 1e9),
        "allow_rollup_hdrs": True,
        "deny_delete": False,
        "allow_direct": True,
        "num_replicas": config.log_replicas,
    }


async def open_bucket(
    config: Config, bucket: str, name: str, *, max_age_s: float = 0.0, wait_s: float = CONNECT_WAIT_S
) -> Bucket:
    """Connect, make the bucket where it is missing, and try whether we may write to it.

    Raises
    ------
    ConfigurationError
        No JetStream, a reading log or bucket of another layout, or no right to it: one line with the remedy.
    BrokerLost
        If the server does not answer.
    """
    resolved = resolve_log_config(config)
    refused: list[str] = []
    client = await connect(resolved, name=name, wait_s=wait_s, refused=refused)
    found = Bucket(client, JetStreamApi(client), f"KV_{bucket}", f"$KV.{bucket}.")
    try:
        try:
            await check_layout(found.api, resolved)
            await _ensure(found, bucket_stream(resolved, bucket, max_age_s))
            await _probed(found, f"probe.{name}", refused)
        except ApiRefused as refusal:
            if refusal.code in NO_JETSTREAM and not refused:
                raise ConfigurationError(
                    ["log_url: the NATS server offers no JetStream to this user: enable JetStream for the account"]
                ) from refusal
            raise _without_rights(resolved, bucket, refused or [str(refusal)]) from refusal
        except BrokerLost as lost:
            if refused:
                raise _without_rights(resolved, bucket, refused) from lost
            raise
    except BaseException:
        await client.close()
        raise
    return found


async def written(bucket: Bucket, key: str, value: bytes, *, expected: int | None) -> int | None:
    """Write a key whose newest sequence must be ``expected`` (0 = there is none; ``None`` = whatever it is).

    The new sequence; ``None`` when somebody else has written. Raises `BrokerLost` when the outcome is unknown.
    """
    headers = None if expected is None else {_EXPECTED: str(expected)}
    try:
        answer = await bucket.client.jetstream(timeout=PUBLISH_TIMEOUT_S).publish(
            bucket.prefix + key, value, headers=headers
        )
    except nats.js.errors.APIError as error:
        if error.err_code == WRONG_LAST_SEQUENCE:
            return None
        raise BrokerLost(f"{key}: not written: {error.description}") from error
    except (nats.errors.Error, TimeoutError) as error:
        raise BrokerLost(f"{key}: no answer from the reading log: {error!r}") from error
    return int(answer.seq)


async def _probed(bucket: Bucket, key: str, refused: Sequence[str]) -> None:
    """Write once, and remove it.

    The servers of a cluster may not have chosen who leads a bucket made a moment ago: that is waited for. What is to be removed may be
    gone: another service that starts at this moment has written over it, or its time is up. The server has several codes for
    that, and each of its answers shows that we may ask; a right that is lacking shows as no answer.
    """
    deadline = time.monotonic() + LEADER_WAIT_S
    while True:
        try:
            sequence = await written(bucket, key, b"", expected=None)
            break
        except BrokerLost:
            if refused or time.monotonic() > deadline:
                raise
        await asyncio.sleep(LEADER_POLL_S)
    with suppress(ApiRefused):
        await bucket.api(f"STREAM.MSG.DELETE.{bucket.stream}", {"seq": sequence, "no_erase": True})


async def _ensure(bucket: Bucket, wanted: dict[str, Any]) -> None:
    try:
        kept = (await bucket.api(f"STREAM.INFO.{bucket.stream}"))["config"]
    except ApiRefused as refusal:
        if refusal.code != STREAM_NOT_FOUND:
            raise
        # Two that start together make the same one; the server answers both alike.
        await bucket.api(f"STREAM.CREATE.{bucket.stream}", wanted)
        return
    other = [
        f"{key} is {kept.get(key)}, must be {wanted[key]}"
        for key in ("subjects", "max_msgs_per_subject", "max_age")
        if kept.get(key) != wanted[key]
    ]
    if other:
        raise ConfigurationError(
            [
                f"bucket {bucket.stream} has another layout ({'; '.join(other)}): set log_lease_s alike for all services, "
                f"or delete this stream while none of them runs"
            ]
        )


def _without_rights(config: Config, bucket: str, refused: list[str]) -> ConfigurationError:
    return ConfigurationError(
        [
            f"log_user = {config.log_user!r}: may not use the bucket {bucket} ({refused[0]}): allow this user to publish "
            f"to $JS.API.> and $KV.{bucket}.>"
        ]
    )


class Leases:
    """Keys with a life time. ``lease_s`` after its last renewal a key is gone and free for others."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    @classmethod
    async def connect(cls, config: Config, name: str, wait_s: float = CONNECT_WAIT_S) -> "Leases":
        """Open the bucket of leases; errors as `open_bucket`."""
        return cls(await open_bucket(config, LEASE_BUCKET, name, max_age_s=config.log_lease_s, wait_s=wait_s))

    async def acquire(self, key: str, value: bytes) -> int | None:
        """Take a key that nobody holds; its sequence, ``None`` when it is held."""
        return await written(self._bucket, key, value, expected=0)

    async def renew(self, key: str, value: bytes, sequence: int) -> int | None:
        """Renew a key last written with ``sequence``; the new sequence, ``None`` when it is lost."""
        return await written(self._bucket, key, value, expected=sequence)

    async def release(self, sequence: int) -> None:
        """Give the key back that was last written with ``sequence``, unless it is somebody else's by now."""
        try:
            await self._bucket.api(f"STREAM.MSG.DELETE.{self._bucket.stream}", {"seq": sequence, "no_erase": True})
        except (ApiRefused, BrokerLost):
            return  # It lapses by itself.

    async def held(self, prefix: str) -> set[str]:
        """Keys that begin with ``prefix`` and are held by anybody."""
        wanted = {"subjects_filter": f"{self._bucket.prefix}{prefix}>"}
        try:
            state = (await self._bucket.api(f"STREAM.INFO.{self._bucket.stream}", wanted))["state"]
        except ApiRefused as refusal:
            raise BrokerLost(str(refusal)) from refusal
        return {subject.removeprefix(self._bucket.prefix) for subject in (state.get("subjects") or {})}

    async def entry(self, key: str) -> tuple[int, bytes] | None:
        """Sequence and value of a key; ``None`` when nobody holds it."""
        return await stored(self._bucket, key)

    async def close(self) -> None:
        """Close the connection; leases then lapse."""
        await self._bucket.client.close()


async def stored(bucket: Bucket, key: str) -> tuple[int, bytes] | None:
    """Sequence and value of a key as the stream's leader has them; ``None`` when there is none."""
    try:
        answer = await bucket.api(f"STREAM.MSG.GET.{bucket.stream}", {"last_by_subj": bucket.prefix + key})
    except ApiRefused as refusal:
        if refusal.code == MESSAGE_NOT_FOUND:
            return None
        raise BrokerLost(str(refusal)) from refusal
    message = answer["message"]
    return int(message["seq"]), msgspec.json.decode(f'"{message.get("data", "")}"'.encode(), type=bytes)
