"""The detector's state on disk. One file per log sequence; SQL says which one counts, so findings and state never disagree."""

import os
from hashlib import blake2b
from pathlib import Path

import msgspec
import numpy as np
import structlog

from rules.events.live import LivePlan, LiveReadings, LiveState

__all__ = ["DetectorSnapshots"]

FORMAT = 3
DIGEST_BYTES = 16
_log = structlog.get_logger("detector")


class DetectorSnapshots:
    """Snapshots in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def save(self, sequence: int, state: LiveState, plan: LivePlan) -> None:
        """Write the state as of ``sequence``; afterwards it is on disk, whole."""
        arrays = [array.tobytes() for array in _arrays(state)]
        body = msgspec.msgpack.encode([FORMAT, _shape(plan), state.overtaken, arrays])
        self.put(sequence, blake2b(body, digest_size=DIGEST_BYTES).digest() + body)

    def raw(self, sequence: int) -> bytes:
        """The state as of ``sequence`` as it is stored."""
        return self._path(sequence).read_bytes()

    def put(self, sequence: int, raw: bytes) -> None:
        """Store what `raw` gave elsewhere."""
        path = self._path(sequence)
        beside = path.with_suffix(".new")
        with beside.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)

    def load(self, sequence: int, plan: LivePlan) -> LiveState | None:
        """State as of ``sequence``; ``None`` where there is none, it is damaged, or it is of other points (said in the log)."""
        try:
            raw = self._path(sequence).read_bytes()
        except FileNotFoundError:
            return None
        body = raw[DIGEST_BYTES:]
        if raw[:DIGEST_BYTES] != blake2b(body, digest_size=DIGEST_BYTES).digest():
            _log.error("snapshot_damaged", sequence=sequence)
            return None
        form, shape, overtaken, arrays = msgspec.msgpack.decode(body)
        if form != FORMAT or shape != _shape(plan):
            _log.warning("snapshot_of_other_points", sequence=sequence)
            return None
        state = LiveState(plan)
        filled = [
            np.frombuffer(raw_one, array.dtype).reshape(-1, *array.shape[1:]).copy()
            for raw_one, array in zip(arrays, _arrays(state), strict=True)
        ]
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
    text = repr([(one.key, one.works, one.columns, one.operations) for one in plan.points])
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()
