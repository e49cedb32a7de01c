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
from typing import Any

import msgspec
import numpy as np
import structlog

from qingquan.domain.readings import SeriesKey
from rules.layout import WORKS_FACTS
from rules.plan import Layout

__all__ = ["FileSnapshots", "Snapshot"]

FORMAT = 2
DIGEST_BYTES = 16

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A partition's state as of log sequence ``covered``, packed; ``plan`` is the digest of the plan it belongs to."""

    plan: str
    covered: int
    packed: dict[str, Any]


class FileSnapshots:
    """Snapshots in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, partition: int, snapshot: Snapshot, layout: Layout) -> None:
        """Replace a partition's snapshot; afterwards the new one is on disk, whole."""
        self._save_layout(snapshot.plan, layout)
        body = msgspec.msgpack.encode([FORMAT, snapshot.plan, snapshot.covered, snapshot.packed])
        _replace(self._path(partition), blake2b(body, digest_size=DIGEST_BYTES).digest() + body)

    def load(self, partition: int) -> Snapshot | None:
        """The partition's snapshot; ``None`` when there is none or it cannot be trusted (said in the log)."""
        path = self._path(partition)
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        body = raw[DIGEST_BYTES:]
        if raw[:DIGEST_BYTES] != blake2b(body, digest_size=DIGEST_BYTES).digest():
            _log.error("snapshot damaged, rebuilding from the log", file=str(path))
            return None
        try:
            made_by, *rest = msgspec.msgpack.decode(body)
            if made_by != FORMAT:
                _log.error("snapshot of another version, rebuilding from the log", file=str(path), format=made_by)
                return None
            plan, covered, packed = rest
        except (ValueError, TypeError) as error:  # msgspec's own errors are ValueErrors
            _log.error("snapshot not understood, rebuilding from the log", file=str(path), why=str(error))
            return None
        return Snapshot(plan, covered, packed)

    def layout(self, plan: str) -> Layout | None:
        """The layout of a plan a snapshot was made with."""
        try:
            works, series, timers, units, facts, leaves = msgspec.msgpack.decode(self._layout_path(plan).read_bytes())
            return Layout(
                tuple((county, name) for county, name in works),
                tuple(SeriesKey(*key) for key in series),
                tuple(tuple(key) for key in timers),
                tuple(SeriesKey(*key) for key in units),
                np.frombuffer(facts, WORKS_FACTS),
                tuple(tuple(key) for key in leaves),
            )
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def keep_layouts(self, plans: Collection[str]) -> None:
        """Remove the layouts of all other plans: no snapshot refers to them any more."""
        kept = {self._layout_path(plan) for plan in plans}
        for path in self._folder.glob("layout-*"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def _save_layout(self, plan: str, layout: Layout) -> None:
        path = self._layout_path(plan)
        if not path.exists():
            facts = layout.works_facts.tobytes()
            _replace(
                path,
                msgspec.msgpack.encode(
                    [layout.works, layout.series, list(layout.timer_keys), layout.unit_points, facts, layout.leaf_keys]
                ),
            )

    def _path(self, partition: int) -> Path:
        return self._folder / f"partition-{partition}.snapshot"

    def _layout_path(self, plan: str) -> Path:
        return self._folder / f"layout-{plan}"


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
