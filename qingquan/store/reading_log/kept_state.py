"""Snapshots inside the log's own engine, for partitions that change their owner: state and covered sequence as one value.

The parts of a snapshot are stored as pieces first; then one small key is replaced by compare-and-set, which names the
parts and the sequence they cover. Whoever takes a partition over writes that key back with a newer epoch, and from then on every
write of the previous owner is refused.
"""

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Self

import msgspec
import structlog

from qingquan.config import Config
from qingquan.errors import BrokerLost, OwnershipLost
from qingquan.store.reading_log.connection import CONNECT_WAIT_S, ApiRefused
from qingquan.store.reading_log.leases import STATE_BUCKET, Bucket, open_bucket, stored, written

__all__ = ["KeptState"]

# Below the server's largest message (64 KiB) also as base64 in an answer of its API.
PIECE_BYTES = 40_000
AT_ONCE = 16

_log = structlog.get_logger(__name__)


class _Part(msgspec.Struct, frozen=True):
    """A part of a value: its pieces lie under ``pieces.<name>.<id>.<n>``."""

    id: str
    pieces: int


class _Head(msgspec.Struct, frozen=True):
    """The one value that counts."""

    epoch: int
    covered: int
    parts: dict[str, _Part] = {}


@dataclass(slots=True)
class _Owned:
    epoch: int
    revision: int
    head: _Head
    ids: set[str] = field(default_factory=set)


class KeptState:
    """Values of named states; one connection. Every method raises `BrokerLost` when the server does not answer."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._owned: dict[str, _Owned] = {}

    @classmethod
    async def connect(cls, config: Config, name: str, wait_s: float = CONNECT_WAIT_S) -> Self:
        """Open the bucket of states; errors as `open_bucket`."""
        return cls(await open_bucket(config, STATE_BUCKET, name, wait_s=wait_s))

    async def epoch_of(self, name: str) -> int:
        """Epoch of a state's last owner, 0 when there was none: a database made anew or restored may know less."""
        found = await stored(self._bucket, name)
        return 0 if found is None else self._head(name, found[1], 0).epoch

    async def take_over(self, name: str, epoch: int) -> dict[str, bytes]:
        """Own a state from now on; its parts as last committed, empty where there is none or it is damaged (said in the log).

        Raises `OwnershipLost` when an owner of a later epoch has been here.
        """
        found = await stored(self._bucket, name)
        revision, head = 0, _Head(epoch, 0)
        if found is not None:
            revision, head = found[0], self._head(name, found[1], epoch)
        if head.epoch > epoch:
            raise OwnershipLost(f"{name}: owned by epoch {head.epoch}, not {epoch}")
        head = msgspec.structs.replace(head, epoch=epoch)
        new = await written(self._bucket, name, msgspec.json.encode(head), expected=revision)
        if new is None:
            raise OwnershipLost(f"{name}: another owner has written its snapshot")
        self._owned[name] = _Owned(epoch, new, head, {part.id for part in head.parts.values()})
        try:
            values = {label: await self._read(name, part) for label, part in head.parts.items()}
        except _Damaged as error:
            _log.error("snapshot damaged, rebuilding from the log", state=name, why=str(error))
            return {}
        await self._sweep(name)
        return values

    async def commit(self, name: str, covered: int, parts: Mapping[str, bytes]) -> None:
        """Replace a state: afterwards all parts and ``covered`` are stored, or nothing has changed.

        Raises `OwnershipLost` when another owner has taken over.
        """
        owned = self._owned[name]
        stored_parts = {label: await self._write(name, owned, content) for label, content in parts.items()}
        head = _Head(owned.epoch, covered, stored_parts)
        new = await written(self._bucket, name, msgspec.json.encode(head), expected=owned.revision)
        if new is None:
            # An answer may have been lost on its way: what bears our epoch we have written ourselves.
            found = await stored(self._bucket, name)
            if found is None or self._head(name, found[1], 0).epoch != owned.epoch:
                raise OwnershipLost(f"{name}: another owner has written its snapshot")
            new = await written(self._bucket, name, msgspec.json.encode(head), expected=found[0])
        if new is None:
            raise OwnershipLost(f"{name}: another owner has written its snapshot")
        owned.revision, owned.head = new, head
        kept = {part.id for part in stored_parts.values()}
        for gone in owned.ids - kept:
            await self._purge(name, gone)
        owned.ids = kept

    def covered(self, name: str) -> int:
        """Sequence that an owned state covers."""
        return self._owned[name].head.covered

    async def close(self) -> None:
        """Close the connection."""
        await self._bucket.client.close()

    def _head(self, name: str, raw: bytes, epoch: int) -> _Head:
        try:
            return msgspec.json.decode(raw, type=_Head)
        except msgspec.DecodeError as error:
            _log.error("snapshot not understood, rebuilding from the log", state=name, why=str(error))
            return _Head(epoch, 0)

    async def _write(self, name: str, owned: _Owned, content: bytes) -> _Part:
        # The epoch belongs to the id: what a previous owner sweeps away late can never be ours.
        ident = f"{owned.epoch}-{blake2b(content, digest_size=12).hexdigest()}"
        packed = await asyncio.to_thread(zlib.compress, content, 1)
        part = _Part(ident, -(-len(packed) // PIECE_BYTES))
        if ident in owned.ids:
            return part
        owned.ids.add(ident)
        for first in range(0, part.pieces, AT_ONCE):
            await asyncio.gather(
                *(
                    written(
                        self._bucket,
                        f"pieces.{name}.{ident}.{n}",
                        packed[n * PIECE_BYTES : (n + 1) * PIECE_BYTES],
                        expected=None,
                    )
                    for n in range(first, min(first + AT_ONCE, part.pieces))
                )
            )
        return part

    async def _read(self, name: str, part: _Part) -> bytes:
        pieces: list[tuple[int, bytes] | None] = []
        for first in range(0, part.pieces, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, part.pieces))
            pieces += await asyncio.gather(*(stored(self._bucket, f"pieces.{name}.{part.id}.{n}") for n in numbers))
        whole = [piece[1] for piece in pieces if piece is not None]
        if len(whole) != part.pieces:
            raise _Damaged(f"{part.pieces - len(whole)} of {part.pieces} pieces of {part.id} are missing")
        try:
            content = await asyncio.to_thread(zlib.decompress, b"".join(whole))
        except zlib.error as error:
            raise _Damaged(f"{part.id}: {error}") from error
        if blake2b(content, digest_size=12).hexdigest() != part.id.rpartition("-")[2]:
            raise _Damaged(f"{part.id}: content does not match its digest")
        return content

    async def _sweep(self, name: str) -> None:
        """Remove pieces that an owner left behind when it was killed while writing."""
        wanted = {"subjects_filter": f"{self._bucket.prefix}pieces.{name}.>"}
        try:
            state = (await self._bucket.api(f"STREAM.INFO.{self._bucket.stream}", wanted))["state"]
        except ApiRefused as refusal:
            raise BrokerLost(str(refusal)) from refusal
        ids = {subject.split(".")[-2] for subject in (state.get("subjects") or {})}
        for gone in ids - self._owned[name].ids:
            await self._purge(name, gone)

    async def _purge(self, name: str, ident: str) -> None:
        subject = f"{self._bucket.prefix}pieces.{name}.{ident}.>"
        try:
            await self._bucket.api(f"STREAM.PURGE.{self._bucket.stream}", {"filter": subject})
        except (ApiRefused, BrokerLost) as error:
            _log.debug("pieces_left", state=name, part=ident, error=str(error))


class _Damaged(Exception):
    """A part cannot be put together again."""
