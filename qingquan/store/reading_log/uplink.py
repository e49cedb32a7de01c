"""How a county edge's readings reach the province: one durable consumer at the edge, one source of the province's log.

The consumer stands at the edge, is made by the edge, and keeps the position: what the province has stored it confirms there, message by
message in effect. So the link may break anywhere, either side may be killed, and the province may purge what it likes: it goes on after
what it confirmed, and no message comes twice. The edge frees nothing that is not confirmed.

A new consumer is held until the province's source has attached. On a busy machine 2 of 15 first meetings lost the first 2 and 20 messages:
confirmed at the edge, not stored above (nats-server 2.15.1). A source that has no position yet probably confirms what reaches it before
it has reset the consumer; that is what we infer, not what we have seen.

The province's stream works out the partition anew, since what crosses is put back under the subject that devices publish to: an
edge may have other partitions.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import nats.errors
import structlog
from nats.aio.client import Client

from qingquan.config import Config
from qingquan.domain.edges import Edge
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log.connection import ApiRefused, JetStreamApi, connect
from qingquan.store.reading_log.leaf import UPLINK, counties_of, delivery_subject
from qingquan.store.reading_log.streams import READINGS

__all__ = [
    "EdgeLook",
    "Uplink",
    "edge_filters",
    "ensure_sources",
    "ensure_uplink",
    "let_go",
    "look_at_edge",
    "look_at_uplink",
]

CONSUMER_NOT_FOUND = 10014
ASK_TIMEOUT_S = 2.0
# So many messages may be on their way unconfirmed: enough for a slow link, few enough to be sent again without harm.
ON_THEIR_WAY = 1000
CONFIRM_EVERY_NS = 1_000_000_000
HELD_UNTIL = "2100-01-01T00:00:00Z"
# A source that hears the consumer's heartbeat has attached.
ATTACHED_NS = 3 * CONFIRM_EVERY_NS

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Uplink:
    """An edge's way to the province, as its own server sees it.

    ``confirmed``: sequence up to which the province has stored everything it takes. ``waiting``: messages it has not.
    """

    is_up: bool
    confirmed: int
    waiting: int


@dataclass(frozen=True, slots=True)
class EdgeLook:
    """An edge's log as the province sees it. ``filters`` are the subjects it hands on; ``undelivered`` those not sent yet, ``waiting``
    those not confirmed yet; ``is_held``: it sends nothing before the province's source has attached."""

    log_made: str
    last_sequence: int
    undelivered: int
    waiting: int
    filters: tuple[str, ...]
    is_held: bool = False


def edge_filters(counties: Iterable[str]) -> list[str]:
    """Subjects of an edge's log that the province takes: neither other counties nor the edge's own self-tests."""
    return [f"part.*.wq.{county}.>" for county in sorted(counties)]


async def ensure_uplink(config: Config) -> None:
    """Make the edge's consumer, or bring it to the settings; nothing where no province is set. To be there before anything is purged.

    Raises
    ------
    ConfigurationError
        If the log's server refuses it.
    BrokerLost
        If it does not answer.
    """
    if not config.log_hub_url:
        return
    wanted = _consumer(config.log_domain, edge_filters(counties_of(config)))
    client = await connect(config, name="qingquan-uplink")
    try:
        api = JetStreamApi(client)
        held_until = await _held_until(api)
        wanted |= {"pause_until": held_until} if held_until else {}
        await api(f"CONSUMER.CREATE.{READINGS}.{UPLINK}", {"stream_name": READINGS, "config": wanted, "action": ""})
    except ApiRefused as refusal:
        raise ConfigurationError(
            [
                f"consumer {UPLINK} of {READINGS} cannot be made: {refusal.description}: delete it at the edge's log server, start again"
            ]
        ) from refusal
    finally:
        await client.close()


async def _held_until(api: JetStreamApi) -> str:
    """Until when the consumer is held: a new one until the province takes hold of it, another as it is."""
    try:
        found = await api(f"CONSUMER.INFO.{READINGS}.{UPLINK}")
    except ApiRefused as refusal:
        if refusal.code == CONSUMER_NOT_FOUND:
            return HELD_UNTIL
        raise
    return HELD_UNTIL if found.get("paused") else ""


async def look_at_uplink(api: JetStreamApi) -> Uplink:
    """Raises `BrokerLost` when the log does not answer; a consumer that is gone has confirmed nothing."""
    try:
        # The order matters: what is stored between the two requests can only be beyond.
        last = int((await api(f"STREAM.INFO.{READINGS}"))["state"]["last_seq"])
        consumer = await api(f"CONSUMER.INFO.{READINGS}.{UPLINK}")
    except ApiRefused as refusal:
        if refusal.code == CONSUMER_NOT_FOUND:
            return Uplink(is_up=False, confirmed=0, waiting=0)
        raise BrokerLost(str(refusal)) from refusal
    waiting = _waiting(consumer)
    confirmed = last if not waiting else int(consumer["ack_floor"]["stream_seq"])
    return Uplink(bool(consumer.get("push_bound")), confirmed, waiting)


async def look_at_edge(client: Client, edge: str) -> EdgeLook | None:
    """Ask an edge's log server over the link; ``None`` when it does not answer."""
    try:
        stream = await _asked(client, edge, f"STREAM.INFO.{READINGS}")
        consumer = await _asked(client, edge, f"CONSUMER.INFO.{READINGS}.{UPLINK}")
    except (nats.errors.Error, TimeoutError, OSError, ValueError, KeyError):
        return None
    config = consumer["config"]
    filters = config.get("filter_subjects") or [config.get("filter_subject", "")]
    return EdgeLook(
        str(stream["created"]), int(stream["state"]["last_seq"]), int(consumer["num_pending"]), _waiting(consumer), tuple(sorted(filters)),
        bool(consumer.get("paused")),
    )  # fmt: skip


async def let_go(client: Client, api: JetStreamApi, edges: Iterable[str]) -> None:
    """Let held edges send, those to which the province's source has attached. What fails is tried at the next look."""
    attached = {
        _name_of(one) for one in (await api(f"STREAM.INFO.{READINGS}")).get("sources") or []
        if 0 <= int(one.get("active", -1)) <= ATTACHED_NS and not one.get("error")
    }  # fmt: skip
    for edge in edges:
        if f"$JS.{edge}.API" not in attached:
            continue
        try:
            await _asked(client, edge, f"CONSUMER.PAUSE.{READINGS}.{UPLINK}", b"{}")
        except (nats.errors.Error, TimeoutError, OSError, ValueError) as error:
            _log.warning("edge_still_held", edge=edge, why=str(error))


async def ensure_sources(api: JetStreamApi, edges: Sequence[Edge]) -> bool:
    """Let the province's log take the readings of exactly these edges; whether that changed something."""
    kept = (await api(f"STREAM.INFO.{READINGS}"))["config"]
    wanted = [_source(edge) for edge in edges]
    found = {_name_of(source): source for source in kept.get("sources") or []}
    if {_name_of(one): _shape(one) for one in wanted} == {name: _shape(one) for name, one in found.items()}:
        return False
    await api(f"STREAM.UPDATE.{READINGS}", {**kept, "sources": wanted})
    _log.info("edges_taken", edges=[edge.name for edge in edges])
    return True


async def _asked(client: Client, edge: str, subject: str, body: bytes = b"") -> dict[str, Any]:
    reply = await client.request(f"$JS.{edge}.API.{subject}", body, timeout=ASK_TIMEOUT_S)
    answer: dict[str, Any] = json.loads(reply.data)
    if "error" in answer:
        raise ValueError(answer["error"])
    return answer


def _waiting(consumer: dict[str, Any]) -> int:
    on_their_way = consumer["delivered"]["consumer_seq"] - consumer["ack_floor"]["consumer_seq"]
    return int(consumer["num_pending"]) + max(0, int(on_their_way))


def _consumer(edge: str, filters: list[str]) -> dict[str, Any]:
    return {
        "name": UPLINK,
        "durable_name": UPLINK,
        "deliver_subject": delivery_subject(edge),
        "deliver_policy": "all",
        # Confirmed by what the province has stored, in order: 2.14 and later.
        "ack_policy": "flow_control",
        "flow_control": True,
        "idle_heartbeat": CONFIRM_EVERY_NS,
        "max_deliver": -1,
        "max_ack_pending": ON_THEIR_WAY,
        **({"filter_subject": filters[0]} if len(filters) == 1 else {"filter_subjects": filters}),
    }


def _source(edge: Edge) -> dict[str, Any]:
    return {
        "name": READINGS,
        "external": {"api": f"$JS.{edge.name}.API", "deliver": ""},
        "consumer": {"name": UPLINK, "deliver_subject": delivery_subject(edge.name)},
        "subject_transforms": [
            {
                "src": f"part.*.wq.{county}.*.*.*",
                "dest": f"$MQTT.msgs.wq.{county}.{{{{wildcard(2)}}}}.{{{{wildcard(3)}}}}.{{{{wildcard(4)}}}}",
            }
            for county in sorted(edge.counties)
        ],
    }


def _name_of(source: dict[str, Any]) -> str:
    return str((source.get("external") or {}).get("api", ""))


def _shape(source: dict[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(one["src"] for one in source.get("subject_transforms") or []))
