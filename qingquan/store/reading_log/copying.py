"""A copy of the stream READINGS in a file, taken while devices publish, and the way back: the engine's own snapshot and restore.

The server sends the stream as a compressed archive in pieces; each piece is answered, so that neither side holds more than a few.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from qingquan.errors import BrokerLost, QingquanError
from qingquan.store.reading_log.connection import JetStreamApi
from qingquan.store.reading_log.streams import READINGS

__all__ = ["copy_stream", "restore_stream"]

# Below the largest message that the server takes.
PIECE_BYTES = 32 * 1024
PIECE_WAIT_S = 30.0
API_WAIT_S = 30.0


async def copy_stream(client: Client, path: Path) -> dict[str, Any]:
    """Write the stream to ``path``; its configuration and state as `restore_stream` wants them.

    Raises
    ------
    BrokerLost
        If the server stops answering on the way; the file is then of no use.
    """
    pieces: asyncio.Queue[Msg] = asyncio.Queue()

    async def take(message: Msg) -> None:
        pieces.put_nowait(message)

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=take)
    try:
        asked = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": PIECE_BYTES}
        answer = await JetStreamApi(client, API_WAIT_S)(f"STREAM.SNAPSHOT.{READINGS}", asked)
        with path.open("wb") as file:
            while True:
                piece = await asyncio.wait_for(pieces.get(), PIECE_WAIT_S)
                if not piece.data:
                    break
                await asyncio.to_thread(file.write, piece.data)
                if piece.reply:
                    await client.publish(piece.reply)
        status = str((piece.headers or {}).get("Status", ""))
        if status not in ("", "204"):
            raise BrokerLost(f"the reading log ended its copy early: {piece.headers}")
    except TimeoutError as error:
        raise BrokerLost("the reading log stopped in the middle of its copy") from error
    finally:
        await subscription.unsubscribe()
    return {"config": answer["config"], "state": answer["state"]}


async def restore_stream(client: Client, path: Path, described: dict[str, Any]) -> dict[str, Any]:
    """Bring the stream back from ``path`` in place of an empty one; its state then.

    Raises
    ------
    QingquanError
        If the stream there holds messages, or the server refuses the copy.
    """
    api = JetStreamApi(client, API_WAIT_S)
    there = await api(f"STREAM.INFO.{READINGS}")
    if there["state"]["messages"] or there["state"]["last_seq"]:
        raise QingquanError("the reading log there is not empty: restore into an empty folder")
    await api(f"STREAM.DELETE.{READINGS}")
    answer = await api(f"STREAM.RESTORE.{READINGS}", described)
    subject = answer["deliver_subject"]
    try:
        for piece in _pieces(path):
            reply = await client.request(subject, piece, timeout=PIECE_WAIT_S)
            _raise_refusal(reply.data)
        last = await client.request(subject, b"", timeout=PIECE_WAIT_S)
    except (nats.errors.Error, TimeoutError) as error:
        raise BrokerLost(f"the reading log stopped in the middle of its restore: {error!r}") from error
    _raise_refusal(last.data)
    state: dict[str, Any] = (await api(f"STREAM.INFO.{READINGS}"))["state"]
    return state


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _raise_refusal(data: bytes) -> None:
    if data and "error" in (answer := json.loads(data)):
        raise QingquanError(f"the reading log refuses the copy: {answer['error'].get('description', '')}")
