"""What the fold carries from one batch to the next, and how it is made, stored and moved to another plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.kernel import UNKNOWN
from rules.layout import LEAF_STATE, LOCAL_BITS, NEVER, RING, SERIES_STATE, TIMER_STATE, UNIT_STATE, UNSET, WORKS_STATE
from rules.memory import untouched
from rules.plan import Layout, Plan

__all__ = ["Said", "State", "adopt", "new_state", "pack", "resume", "unpack"]

Structs = npt.NDArray[np.void]


@dataclass(slots=True)
class Said:
    """What was said of one timer (or gap) since a start, as last passed on: enough to tell whether it changed."""

    end: int | None
    evidence: int
    extreme: float
    at: int


@dataclass(slots=True)
class State:
    """Flat arrays by slot number of the plan, two checkpoints of them, the ring of recent readings, and what was said.

    ``said`` maps works -> (timer, start) -> `Said`; gaps of series i stand there as timer -1-i. It holds open findings and
    those whose last change is younger than the older checkpoint: exactly those a roll-back may still change.
    The fold that passes through owns the state: `evaluate` changes it in place.
    """

    series: tuple[Structs, Structs, Structs]
    timers: tuple[Structs, Structs, Structs]
    units: tuple[Structs, Structs, Structs]
    leaves: tuple[Structs, Structs, Structs]
    ring: Structs
    works: Structs
    said: dict[int, dict[tuple[int, int], Said]] = field(default_factory=dict)

    @property
    def newest(self) -> npt.NDArray[np.int64]:
        """Time of each works' newest reading [ms], `NEVER` shifted where none came."""
        return self.works["newest"] >> LOCAL_BITS


def new_state(plan: Plan) -> State:
    """The state before the first reading."""
    series = np.zeros(len(plan.series), SERIES_STATE)
    series["last_t"] = NEVER
    series["flat_since"] = NEVER
    units = np.zeros(len(plan.unit_facts), UNIT_STATE)
    units["state"] = UNKNOWN
    units["since"] = NEVER
    units["sound_at"] = NEVER
    leaves = np.zeros(len(plan.compounds.leaves), LEAF_STATE)
    for name in ("used_a", "used_b", "begin", "bucket", "until", "done_bucket"):
        leaves[name] = NEVER
    leaves["value"] = leaves["done_value"] = np.nan
    works = np.zeros(len(plan.works), WORKS_STATE)
    for name in ("newest", "older_mark", "newer_mark"):
        works[name] = NEVER
    return State(
        (series, series.copy(), series.copy()),
        _idle_timers(len(plan.meanings)),
        (units, units.copy(), units.copy()),
        (leaves, leaves.copy(), leaves.copy()),
        np.zeros(plan.ring_size, RING),
        works,
    )


def _idle_timers(count: int) -> tuple[Structs, Structs, Structs]:
    """Timers that hold nothing. Most never will, and what is never written takes no memory."""
    return untouched(count, TIMER_STATE), untouched(count, TIMER_STATE), untouched(count, TIMER_STATE)


def _are_touched(timers: Structs) -> npt.NDArray[np.int64]:
    """Numbers of the timers that hold or held something."""
    return np.flatnonzero((timers["seen"] != UNSET) | (timers["pending"] != UNSET))


def adopt(was: Layout, old: State, plan: Plan) -> State:
    """Carry a state over to another plan, by key: series, timers and units that both plans know keep their memory.

    A works whose series changed loses its checkpoints (they would not fit): its lateness window starts anew at its newest
    reading. What was said stays said.
    """
    state = new_state(plan)
    by_series = plan.slot_of
    pairs = [(slot, by_series[key]) for slot, key in enumerate(was.series) if key in by_series]
    by_timer = {key: number for number, key in enumerate(plan.timer_keys)}
    timer_pairs = [(n, by_timer[key]) for n, key in enumerate(was.timer_keys) if key in by_timer]
    by_unit = {key: number for number, key in enumerate(plan.unit_points)}
    unit_pairs = [(n, by_unit[key]) for n, key in enumerate(was.unit_points) if key in by_unit]
    _move(old.series, state.series, pairs)
    touched = np.zeros(len(was.timer_keys), np.bool_)
    for timers in old.timers:
        touched[_are_touched(timers)] = True
    _move(old.timers, state.timers, [(n, now) for n, now in timer_pairs if touched[n]])
    _move(old.units, state.units, unit_pairs)
    by_leaf = {key: number for number, key in enumerate(plan.compounds.leaf_keys)}
    _move(old.leaves, state.leaves, [(n, by_leaf[key]) for n, key in enumerate(was.leaf_keys) if key in by_leaf])
    moved_timer, moved_slot = dict(timer_pairs), dict(pairs)
    for number, works in enumerate(was.works):
        now = plan.works_number.get(works)
        if now is None:
            continue
        state.works[now] = old.works[number]
        state.said[now] = {
            (target, start): said
            for (timer, start), said in old.said.get(number, {}).items()
            if (target := moved_timer.get(timer) if timer >= 0 else _gap(moved_slot.get(-1 - timer))) is not None
        }
        if not _move_ring(was, old, number, plan, state, now):
            _forget_window(plan, state, now)
    return state


def _gap(slot: int | None) -> int | None:
    return None if slot is None else -1 - slot


def _move(source: tuple[Structs, ...], target: tuple[Structs, ...], pairs: list[tuple[int, int]]) -> None:
    if not pairs:
        return
    old, new = (np.array(column) for column in zip(*pairs, strict=True))
    for a, b in zip(source, target, strict=True):
        b[new] = a[old]


def _move_ring(was: Layout, old: State, number: int, plan: Plan, state: State, now: int) -> bool:
    """Copy a works' ring if its series are the same ones in the same order and it fits."""
    a, b = was.works_facts[number], plan.works_facts[now]
    first, count = int(a["series_first"]), int(a["series_count"])
    mine = was.series[first : first + count]
    theirs = plan.series[int(b["series_first"]) : int(b["series_first"]) + int(b["series_count"])]
    held = int(old.works[number]["ring_count"])
    if tuple(mine) != tuple(theirs) or held > int(b["ring_capacity"]) or a["window_ms"] != b["window_ms"]:
        return False
    source, target = int(a["ring_first"]), int(b["ring_first"])
    state.ring[target : target + held] = old.ring[source : source + held]
    return True


def _forget_window(plan: Plan, state: State, number: int) -> None:
    facts = plan.works_facts[number]
    for arrays, name in (
        (state.series, "series"), (state.timers, "timer"), (state.units, "unit"), (state.leaves, "leaf"),
    ):  # fmt: skip
        first = int(facts[f"{name}_first"])
        last = first + int(facts[f"{name}_count"])
        for checkpoint in arrays[1:]:
            checkpoint[first:last] = arrays[0][first:last]
    works = state.works[number]
    # Ranks may have changed: everything up to and including the newest time counts as judged.
    if works["newest"] != NEVER:
        works["newest"] = works["newest"] | ((1 << LOCAL_BITS) - 1)
    works["older_mark"] = works["newer_mark"] = works["newest"]
    works["ring_count"] = 0
    works["dirty"] = 0


def resume(state: State, plan: Plan, timer: int, start: int, evidence: int, extreme: float) -> None:
    """Let a finding last that is known to be open although this state, built from a log that has been cut, never saw it begin.

    It then ends like any other: by readings. One that the state has opened since is the same and takes the earlier start.
    """
    works = plan.works_number[plan.meanings[timer].key[:2]]
    said = state.said.setdefault(works, {})
    mark = int(state.works[works]["older_mark"])
    for key in [key for key, one in said.items() if key[0] == timer and one.end is None]:
        del said[key]
    said[(timer, start)] = Said(None, evidence, extreme, mark)
    for timers in state.timers:
        one = timers[timer]
        if one["firing"] == UNSET:
            one["evidence"], one["extreme"] = evidence, extreme
        one["pending"] = one["firing"] = start
    # The loop leaves timers alone that hold nothing; this one holds something now, at both checkpoints too.
    state.works[works]["stirred"] = state.works[works]["stirred_before"] = 1
    for slots, facts in ((state.series, plan.series_facts), (state.units, plan.unit_facts)):
        owner = int(np.searchsorted(facts["timer_first"], timer, side="right")) - 1
        for states in slots:
            if owner >= 0:
                states[owner]["is_active"] = 1


def pack(state: State) -> dict[str, Any]:
    """The state as plain bytes and lists, ready to be written as one value."""
    return {
        "series": [array.tobytes() for array in state.series],
        "timers": [_packed_timers(timers) for timers in state.timers],
        "units": [array.tobytes() for array in state.units],
        "leaves": [array.tobytes() for array in state.leaves],
        "ring": state.ring.tobytes(),
        "works": state.works.tobytes(),
        "said": [
            [works, timer, start, said.end, said.evidence, said.extreme, said.at]
            for works, entries in state.said.items()
            for (timer, start), said in entries.items()
        ],
    }


def _packed_timers(timers: Structs) -> list[Any]:
    """How many there are; numbers and contents of those that hold or held something."""
    rows = _are_touched(timers)
    return [len(timers), rows.astype(np.int32).tobytes(), timers[rows].tobytes()]


def _unpacked_timers(packed: Sequence[Any], expected: int) -> Structs:
    count, rows, content = packed
    if count != expected:
        raise ValueError(f"timers: {count} rows, expected {expected}")
    timers = untouched(count, TIMER_STATE)
    timers[np.frombuffer(rows, np.int32)] = np.frombuffer(content, TIMER_STATE)
    return timers


def unpack(packed: Mapping[str, Any], plan: Plan | Layout) -> State:
    """The state out of `pack`, for the plan (or its layout) it was packed with.

    Raises
    ------
    ValueError
        If a part has not the size the plan asks for: the snapshot belongs to another plan or is damaged.
    """
    sizes = {
        "series": (SERIES_STATE, len(plan.series)),
        "units": (UNIT_STATE, len(plan.unit_points)),
        "leaves": (LEAF_STATE, len(plan.compounds.leaf_keys if isinstance(plan, Plan) else plan.leaf_keys)),
    }
    ring_size = int(plan.works_facts["ring_capacity"].sum())
    parts: dict[str, tuple[Structs, Structs, Structs]] = {}
    for name, (dtype, count) in sizes.items():
        arrays = tuple(np.frombuffer(raw, dtype).copy() for raw in packed[name])
        if len(arrays) != 3 or any(len(array) != count for array in arrays):
            raise ValueError(f"{name}: {[len(array) for array in arrays]} rows, expected 3 x {count}")
        parts[name] = (arrays[0], arrays[1], arrays[2])
    live, older, newer = (_unpacked_timers(one, len(plan.timer_keys)) for one in packed["timers"])
    works = np.frombuffer(packed["works"], WORKS_STATE).copy()
    ring = np.frombuffer(packed["ring"], RING).copy()
    if len(works) != len(plan.works) or len(ring) != ring_size:
        raise ValueError(f"works or ring: {len(works)}, {len(ring)} rows, expected {len(plan.works)}, {ring_size}")
    state = State(parts["series"], (live, older, newer), parts["units"], parts["leaves"], ring, works)
    for number, timer, start, end, evidence, extreme, at in packed["said"]:
        state.said.setdefault(number, {})[(timer, start)] = Said(end, evidence, extreme, at)
    return state
