"""Snapshots of the evaluator: state and the log sequence it covers, written as one value.

One file a partition, replaced atomically (written beside, forced to disk, renamed), with a digest over its content. What the
numbers in it mean (the layout) is written once per plan. A damaged or foreign snapshot is never used: the caller
rebuilds from the log and says so.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import structlog

from rules.forms import Form, Layout

__all__ = ["FileSnapshots", "HeldSnapshots", "Snapshot", "Snapshots"]

FORMAT = 5
DIGEST_BYTES = 16

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A partition's state as of log sequence ``covered``, packed; ``plan`` is the digest of the plan it belongs to."""

    plan: str
    covered: int
    packed: dict[str, Any]


class Snapshots(Protocol):
    """Where snapshots and the layouts they were made with are kept."""

    def save(self, partition: int, snapshot: Snapshot, layout: Layout) -> None:
        """Replace a partition's snapshot."""
        ...

    def load(self, partition: int) -> Snapshot | None:
        """The partition's snapshot; ``None`` when there is none or it cannot be trusted (said in the log)."""
        ...

    def layout(self, plan: str) -> Layout | None:
        """The layout of a plan a snapshot was made with."""
        ...

    def keep_layouts(self, plans: Collection[str]) -> None:
        """Remove the layouts of all other plans."""
        ...


class FileSnapshots:
    """Snapshots in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, partition: int, snapshot: Snapshot, layout: Layout) -> None:
        """Replace a partition's snapshot; afterwards the new one is on disk, whole."""
        self._save_layout(snapshot.plan, layout)
        _replace(self._path(partition), *_encoded(snapshot))

    def load(self, partition: int) -> Snapshot | None:
        """The partition's snapshot; ``None`` when there is none or it cannot be trusted (said in the log)."""
        path = self._path(partition)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        return _decoded(raw, str(path))

    def layout(self, plan: str) -> Layout | None:
        """The layout of a plan a snapshot was made with."""
        try:
            raw = self._layout_path(plan).read_bytes()
        except FileNotFoundError:
            return None
        return _decoded_layout(raw)

    def keep_layouts(self, plans: Collection[str]) -> None:
        """Remove the layouts of all other plans: no snapshot refers to them any more."""
        kept = {self._layout_path(plan) for plan in plans}
        for path in self._folder.glob("layout-*"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _save_layout(self, plan: str, layout: Layout) -> None:
        path = self._layout_path(plan)
        if not path.exists():
            _replace(path, _encoded_layout(layout))

    def _path(self, partition: int) -> Path:
        return self._folder / f"partition-{partition}.snapshot"

    def _layout_path(self, plan: str) -> Path:
        return self._folder / f"layout-{plan}"


class HeldSnapshots:
    """Snapshots in memory, as parts of a value that is stored elsewhere as a whole."""

    def __init__(self) -> None:
        self.parts: dict[str, bytes] = {}

    def save(self, partition: int, snapshot: Snapshot, layout: Layout) -> None:
        """Replace a partition's snapshot."""
        self.parts[f"snapshot-{partition}"] = b"".join(_encoded(snapshot))
        if f"layout-{snapshot.plan}" not in self.parts:
            self.parts[f"layout-{snapshot.plan}"] = _encoded_layout(layout)

    def load(self, partition: int) -> Snapshot | None:
        """The partition's snapshot; ``None`` when there is none or it cannot be trusted (said in the log)."""
        raw = self.parts.get(f"snapshot-{partition}")
        return None if raw is None else _decoded(raw, f"partition {partition}")

    def layout(self, plan: str) -> Layout | None:
        """The layout of a plan a snapshot was made with."""
        raw = self.parts.get(f"layout-{plan}")
        return None if raw is None else _decoded_layout(raw)

    def keep_layouts(self, plans: Collection[str]) -> None:
        """Remove the layouts of all other plans."""
        kept = {f"layout-{plan}" for plan in plans}
        self.parts = {name: part for name, part in self.parts.items() if not name.startswith("layout-") or name in kept}


def _encoded(snapshot: Snapshot) -> tuple[bytes, bytes]:
    """Digest and content, apart: the content of a large partition is some 20 MB, which need not be copied once more."""
    body = msgspec.msgpack.encode([FORMAT, snapshot.plan, snapshot.covered, snapshot.packed])
    return blake2b(body, digest_size=DIGEST_BYTES).digest(), body


def _decoded(raw: bytes, where: str) -> Snapshot | None:
    body = memoryview(raw)[DIGEST_BYTES:]
    if raw[:DIGEST_BYTES] != blake2b(body, digest_size=DIGEST_BYTES).digest():
        _log.error("snapshot damaged, rebuilding from the log", file=where)
        return None
    try:
        made_by, *rest = msgspec.msgpack.decode(body)
        if made_by != FORMAT:
            _log.error("snapshot of another version, rebuilding from the log", file=where, format=made_by)
            return None
        plan, covered, packed = rest
    except (ValueError, TypeError) as error:  # msgspec's own errors are ValueErrors
        _log.error("snapshot not understood, rebuilding from the log", file=where, why=str(error))
        return None
    return Snapshot(plan, covered, packed)


def _encoded_layout(layout: Layout) -> bytes:
    forms = [
        [form.series, form.timers, form.units, form.leaves, form.ring_capacity, form.window_ms] for form in layout.forms
    ]
    return msgspec.msgpack.encode([FORMAT, layout.works, layout.form_of.tobytes(), forms])


def _decoded_layout(raw: bytes) -> Layout | None:
    try:
        made_by, *rest = msgspec.msgpack.decode(raw)
        if made_by != FORMAT:
            return None
        works, form_of, forms = rest
        return Layout(
            tuple((county, name) for county, name in works), np.frombuffer(form_of, np.int32), tuple(map(_form, forms))
        )
    except (ValueError, TypeError):
        return None


def _form(parts: tuple[Any, ...]) -> Form:
    series, timers, units, leaves, ring_capacity, window_ms = parts
    return Form(
        tuple((point, parameter) for point, parameter in series), tuple((rank, tuple(words)) for rank, words in timers),
        tuple(units), tuple((rank, tuple(words)) for rank, words in leaves), ring_capacity, window_ms,
    )  # fmt: skip


def _replace(path: Path, *content: bytes) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.writelines(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
