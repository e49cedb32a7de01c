"""The detector's state on disk: what was written comes back, and what is not ours is not used."""

from hashlib import blake2b
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from qingquan.services.detector_snapshot import DetectorSnapshots
from qingquan.services.detector_watch import watched
from qingquan.standards.loader import load_standards
from rules.events.live import LivePlan, LiveReadings, LiveState
from simulators.county import county


@pytest.fixture
def plan() -> LivePlan:
    return watched(county(12, 1), load_standards().parameters)


def filled(plan: LivePlan) -> LiveState:
    """A state of which every array holds something of its own."""
    state = LiveState(plan)
    dice = np.random.default_rng(1)
    for one in state.detectors:
        for name in one.tracks.dtype.names or ():
            one.tracks[name] = dice.integers(0, 100, one.tracks.shape)
    state.newest[:] = dice.integers(0, 10**12, len(state.newest))
    state.waiting = LiveReadings(*(dice.integers(0, 9, 7) for _ in range(3)), dice.random(7), dice.integers(0, 9, 7))
    state.overtaken = 5
    return state


def test_a_state_comes_back_as_it_was_written(tmp_path: Path, plan: LivePlan) -> None:
    state, kept = filled(plan), DetectorSnapshots(tmp_path)
    kept.save(40, state, plan)
    other = DetectorSnapshots(tmp_path / "elsewhere")
    other.put(40, kept.raw(40))
    for found in (kept.load(40, plan), other.load(40, plan)):
        assert found is not None
        assert found.overtaken == 5
        assert found.newest.tolist() == state.newest.tolist()
        assert found.waiting.value.tolist() == state.waiting.value.tolist()
        for back, written in zip(found.detectors, state.detectors, strict=True):
            assert (back.tracks == written.tracks).all()
        found.newest[0] = 1  # Not a view of the file.
    assert kept.load(41, plan) is None


def test_damage_other_points_and_other_versions_are_said_and_not_used(tmp_path: Path, plan: LivePlan) -> None:
    kept = DetectorSnapshots(tmp_path)
    kept.save(1, filled(plan), plan)
    raw = bytearray(kept.raw(1))
    raw[-1] ^= 1
    kept.put(2, bytes(raw))
    old = b"\x94\x03\xa1x\x00\x90"
    kept.put(3, blake2b(old, digest_size=16).digest() + old)
    with capture_logs() as said:
        assert kept.load(2, plan) is None
        assert kept.load(3, plan) is None
        assert kept.load(1, watched(county(11, 1), load_standards().parameters)) is None
    assert [one["event"] for one in said] == [
        "snapshot_damaged",
        "snapshot_of_another_version",
        "snapshot_of_other_points",
    ]
