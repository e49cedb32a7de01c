"""The detector's state on disk. One file per log sequence; SQL says which one counts, so findings and state never disagree."""

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np
import structlog

from rules.events.live import LivePlan, LiveReadings, LiveState

__all__ = ["DetectorSnapshots"]

FORMAT = 5
DIGEST_BYTES = 16
LENGTH_BYTES = 4
_MARK = b"QQDS"
_log = structlog.get_logger("detector")


class DetectorSnapshots:
    """Snapshots in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shape: tuple[LivePlan, str] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, sequence: int, state: LiveState, plan: LivePlan) -> None:
        """Write the state as of ``sequence``; afterwards it is on disk, whole.

        Straight from the arrays, without a copy: at a province's size the state is more than a hundred megabytes.
        """
        parts = [np.ascontiguousarray(array).reshape(-1).view(np.uint8).data for array in _arrays(state)]
        header = msgspec.msgpack.encode([FORMAT, self._shape_of(plan), state.overtaken, [len(part) for part in parts]])
        front = _MARK + len(header).to_bytes(LENGTH_BYTES, "big") + header
        digest = blake2b(front, digest_size=DIGEST_BYTES)
        for part in parts:
            digest.update(part)
        self._write(sequence, [digest.digest(), front, *parts])

    def raw(self, sequence: int) -> bytes:
        """The state as of ``sequence`` as it is stored."""
        return self._path(sequence).read_bytes()

    def put(self, sequence: int, raw: bytes) -> None:
        """Store what `raw` gave elsewhere."""
        self._write(sequence, [raw])

    def _write(self, sequence: int, parts: Iterable[bytes | memoryview]) -> None:
        path = self._path(sequence)
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def load(self, sequence: int, plan: LivePlan) -> LiveState | None:
        """State as of ``sequence``; ``None`` where there is none, it is damaged, or it is of other points (said in the log)."""
        try:
            raw = self._path(sequence).read_bytes()
        except FileNotFoundError:
            return None
        body = memoryview(raw)[DIGEST_BYTES:]
        if raw[:DIGEST_BYTES] != blake2b(body, digest_size=DIGEST_BYTES).digest():
            _log.error("snapshot_damaged", sequence=sequence)
            return None
        if bytes(body[: len(_MARK)]) != _MARK:
            _log.warning("snapshot_of_another_version", sequence=sequence)
            return None
        begin = len(_MARK) + LENGTH_BYTES
        end = begin + int.from_bytes(body[len(_MARK) : begin], "big")
        form, shape, overtaken, lengths = msgspec.msgpack.decode(body[begin:end])
        if form != FORMAT or shape != self._shape_of(plan):
            _log.warning("snapshot_of_other_points", sequence=sequence)
            return None
        state = LiveState(plan)
        filled = []
        for array, length in zip(_arrays(state), lengths, strict=True):
            filled.append(np.frombuffer(body[end : end + length], array.dtype).reshape(-1, *array.shape[1:]).copy())
            end += length
        state.waiting = LiveReadings(*filled[:5])
        for array, found in zip(_arrays(state)[5:], filled[5:], strict=True):
            array[:] = found
        state.overtaken = overtaken
        return state

    def keep(self, sequence: int) -> None:
        """Remove all others."""
        for path in self._folder.glob("detector-*"):
            if path != self._path(sequence):
                path.unlink(missing_ok=True)

    def _shape_of(self, plan: LivePlan) -> str:
        """Digest of the plan's points; reckoned once for each plan, which never changes."""
        if self._shape is None or self._shape[0] is not plan:
            self._shape = (plan, _shape(plan))
        return self._shape[1]

    def _path(self, sequence: int) -> Path:
        return self._folder / f"detector-{sequence}.snapshot"


def _arrays(state: LiveState) -> list[np.ndarray]:
    waiting = state.waiting
    arrays: list[np.ndarray] = [
        waiting.point,
        waiting.column,
        waiting.at,
        waiting.value,
        waiting.received,
        state.newest,
        state.heard,
        state.disorder,
    ]
    arrays += [state.points, state.votes]
    arrays += [state.operations.flows, state.operations.excuse]
    for one in state.detectors:
        arrays += [one.series, one.tracks]
    return arrays


def _shape(plan: LivePlan) -> str:
    digest = blake2b(digest_size=DIGEST_BYTES)
    for one in plan.points:
        digest.update(repr((one.key, one.works, one.columns, one.operations)).encode())
    return digest.hexdigest()
