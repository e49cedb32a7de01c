"""What the fold carries from one batch to the next, and how it is made, stored and moved to another plan."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.forms import Form, Layout, What
from rules.kernel import UNKNOWN
from rules.layout import LEAF_STATE, LOCAL_BITS, NEVER, RING, SERIES_STATE, TIMER_STATE, UNIT_STATE, UNSET, WORKS_STATE
from rules.memory import in_use, release, untouched
from rules.plan import Plan

__all__ = ["Said", "State", "adopt", "new_state", "pack", "resume", "tidy", "unpack"]

Structs = npt.NDArray[np.void]
Three = tuple[Structs, Structs, Structs]
"""The live state and its two checkpoints."""


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

    series: Three
    timers: Three
    units: Three
    leaves: Three
    ring: Structs
    works: Structs
    said: dict[int, dict[tuple[int, int], Said]] = field(default_factory=dict)

    @property
    def newest(self) -> npt.NDArray[np.int64]:
        """Time of each works' newest reading [ms], `NEVER` shifted where none came."""
        return self.works["newest"] >> LOCAL_BITS


def new_state(plan: Plan) -> State:
    """The state before the first reading."""
    layout = plan.layout
    series = _three(in_use, layout.total("series"), SERIES_STATE)
    units = _three(in_use, layout.total("unit"), UNIT_STATE)
    leaves = _three(in_use, layout.total("leaf"), LEAF_STATE)
    for one in series:
        one["last_t"] = one["flat_since"] = NEVER
    for one in units:
        one["state"] = UNKNOWN
        one["since"] = one["sound_at"] = NEVER
    for one in leaves:
        for name in ("used_a", "used_b", "begin", "bucket", "until", "done_bucket"):
            one[name] = NEVER
        one["value"] = one["done_value"] = np.nan
    works = in_use(len(plan.works), WORKS_STATE)
    for name in ("newest", "older_mark", "newer_mark"):
        works[name] = NEVER
    # Timers that hold nothing. Most never will, and what is never written takes no memory.
    timers = _three(untouched, layout.total("timer"), TIMER_STATE)
    return State(series, timers, units, leaves, in_use(plan.ring_size, RING), works)


def _three(made: Callable[[int, np.dtype[np.void]], Structs], count: int, dtype: np.dtype[np.void]) -> Three:
    return made(count, dtype), made(count, dtype), made(count, dtype)


def _are_held(timers: Structs) -> npt.NDArray[np.int64]:
    """Numbers of the timers that hold something; what else is written in the others means nothing."""
    return np.flatnonzero(timers["pending"] != UNSET)


def tidy(state: State) -> None:
    """Give back the memory of timers that hold nothing any more: over the years every works holds something once."""
    for timers in state.timers:
        release(timers, _are_held(timers))


def adopt(was: Layout, old: State, plan: Plan) -> State:
    """Carry a state over to another plan, by key: series, timers and units that both plans know keep their memory.

    A works whose series changed loses its checkpoints (they would not fit): its lateness window starts anew at its newest
    reading. What was said stays said.
    """
    state = new_state(plan)
    moves = _Moves(was, plan.layout)
    moves.move("series", old.series, state.series)
    moves.move("timer", old.timers, state.timers)
    moves.move("unit", old.units, state.units)
    moves.move("leaf", old.leaves, state.leaves)
    for number, now in moves.works:
        state.works[now] = old.works[number]
        moved = {
            (number_now, start): said
            for (timer, start), said in old.said.get(number, {}).items()
            if (number_now := moves.target(timer, number, now)) is not None
        }
        if moved:
            state.said[now] = moved
        if not _move_ring(was, old, number, plan.layout, state, now):
            _forget_window(plan, state, now)
    return state


class _Moves:
    """Which works, series, timers, units and leaves two plans both know, by the numbers they have in each."""

    def __init__(self, was: Layout, now: Layout) -> None:
        self.was, self.now = was, now
        numbers = now.works_number
        self.works = [(number, numbers[name]) for number, name in enumerate(was.works) if name in numbers]
        self._places: dict[tuple[What, int, int], dict[int, int]] = {}

    def places(self, what: What, number: int, now: int) -> dict[int, int]:
        """Place in the works as it was -> place in the works as it is."""
        forms = int(self.was.form_of[number]), int(self.now.form_of[now])
        found = self._places.get((what, *forms))
        if found is None:
            by_name = {name: place for place, name in enumerate(_names(what, self.now.forms[forms[1]]))}
            before = enumerate(_names(what, self.was.forms[forms[0]]))
            found = {place: by_name[name] for place, name in before if name in by_name}
            self._places[(what, *forms)] = found
        return found

    def move(self, what: What, source: Three, target: Three) -> None:
        """Copy the memory of everything both know."""
        firsts, now_firsts = self.was.firsts(what), self.now.firsts(what)
        alike: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for number, now in self.works:
            alike.setdefault((int(self.was.form_of[number]), int(self.now.form_of[now])), []).append((number, now))
        for pairs in alike.values():
            places = self.places(what, *pairs[0])
            if not places:
                continue
            numbers = np.array(pairs, np.int64)
            rows = (firsts[numbers[:, 0], None] + np.array(list(places), np.int64)).reshape(-1)
            now_rows = (now_firsts[numbers[:, 1], None] + np.array(list(places.values()), np.int64)).reshape(-1)
            for a, b in zip(source, target, strict=True):
                # Timers that hold nothing need no memory.
                kept = a[rows]["pending"] != UNSET if what == "timer" else np.ones(len(rows), np.bool_)
                b[now_rows[kept]] = a[rows[kept]]

    def target(self, timer: int, number: int, now: int) -> int | None:
        """The number of a timer (of a gap: -1 - its series) in the plan as it is."""
        what: What = "series" if timer < 0 else "timer"
        place = (-1 - timer if timer < 0 else timer) - int(self.was.firsts(what)[number])
        found = self.places(what, number, now).get(place)
        if found is None:
            return None
        moved = int(self.now.firsts(what)[now]) + found
        return -1 - moved if timer < 0 else moved


def _names(what: What, form: Form) -> list[object]:
    """What the series, timers, units or leaves of a form are called, in the order of their places."""
    if what == "series":
        return list(form.series)
    if what == "unit":
        return [form.series[rank] for rank in form.units]
    return [(form.series[rank], words) for rank, words in (form.timers if what == "timer" else form.leaves)]


def _move_ring(was: Layout, old: State, number: int, layout: Layout, state: State, now: int) -> bool:
    """Copy a works' ring if its series are the same ones in the same order and it fits."""
    a, b = was.form(number), layout.form(now)
    held = int(old.works[number]["ring_count"])
    if a.series != b.series or held > b.ring_capacity or a.window_ms != b.window_ms:
        return False
    source, target = int(was.firsts("ring")[number]), int(layout.firsts("ring")[now])
    places = (int(old.works[number]["ring_begin"]) + np.arange(held)) % a.ring_capacity
    state.ring[target : target + held] = old.ring[source + places]
    state.works[now]["ring_begin"] = 0
    return True


def _forget_window(plan: Plan, state: State, number: int) -> None:
    facts, form = plan.works_facts[number], plan.form_of(number)
    for arrays, name in (
        (state.series, "series"), (state.timers, "timer"), (state.units, "unit"), (state.leaves, "leaf"),
    ):  # fmt: skip
        first = int(facts[f"{name}_first"])
        last = first + int(form[f"{name}_count"])
        for checkpoint in arrays[1:]:
            checkpoint[first:last] = arrays[0][first:last]
    works = state.works[number]
    # Ranks may have changed: everything up to and including the newest time counts as judged.
    if works["newest"] != NEVER:
        works["newest"] = works["newest"] | ((1 << LOCAL_BITS) - 1)
    works["older_mark"] = works["newer_mark"] = works["newest"]
    works["ring_begin"] = works["ring_count"] = works["ring_marked"] = 0
    works["dirty"] = 0


def resume(state: State, plan: Plan, timer: int, start: int, evidence: int, extreme: float) -> None:
    """Let a finding last that is known to be open although this state, built from a log that has been cut, never saw it begin.

    It then ends like any other: by readings. One that the state has opened since is the same and takes the earlier start.
    """
    works, place = plan.layout.place_of("timer", timer)
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
    form, facts = plan.form_of(works), plan.works_facts[works]
    for what, slots, table in (("series", state.series, plan.series_facts), ("unit", state.units, plan.unit_facts)):
        row, count = int(form[f"{what}_row"]), int(form[f"{what}_count"])
        owner = int(np.searchsorted(table["timer_first"][row : row + count], place, side="right")) - 1
        for states in slots:
            if owner >= 0:
                states[int(facts[f"{what}_first"]) + owner]["is_active"] = 1


def pack(state: State) -> dict[str, Any]:
    """The state as bytes and lists, ready to be written as one value. The bytes are those of the state itself: to be written
    before it changes."""
    return {
        "series": [_bytes_of(array) for array in state.series],
        "timers": [_packed_timers(timers) for timers in state.timers],
        "units": [_bytes_of(array) for array in state.units],
        "leaves": [_bytes_of(array) for array in state.leaves],
        "ring": _bytes_of(state.ring),
        "works": _bytes_of(state.works),
        "said": [
            [works, timer, start, said.end, said.evidence, said.extreme, said.at]
            for works, entries in state.said.items()
            for (timer, start), said in entries.items()
        ],
    }


def _bytes_of(array: Structs) -> memoryview:
    return array.view(np.uint8).data


def _packed_timers(timers: Structs) -> list[Any]:
    """How many there are; numbers and contents of those that hold something."""
    rows = _are_held(timers)
    return [len(timers), rows.astype(np.int32).tobytes(), timers[rows].tobytes()]


def _unpacked_timers(packed: Sequence[Any], expected: int) -> Structs:
    count, rows, content = packed
    if count != expected:
        raise ValueError(f"timers: {count} rows, expected {expected}")
    timers = untouched(count, TIMER_STATE)
    timers[np.frombuffer(rows, np.int32)] = np.frombuffer(content, TIMER_STATE)
    return timers


def _unpacked(raw: bytes, dtype: np.dtype[np.void], expected: int, name: str) -> Structs:
    given = np.frombuffer(raw, dtype)
    if len(given) != expected:
        raise ValueError(f"{name}: {len(given)} rows, expected {expected}")
    array = in_use(expected, dtype)
    array[:] = given
    return array


def _unpacked_three(packed: Mapping[str, Any], name: str, dtype: np.dtype[np.void], expected: int) -> Three:
    live, older, newer = (_unpacked(raw, dtype, expected, name) for raw in packed[name])
    return live, older, newer


def unpack(packed: Mapping[str, Any], plan: Plan | Layout) -> State:
    """The state out of `pack`, for the plan (or its layout) it was packed with.

    Raises
    ------
    ValueError
        If a part has not the size the plan asks for: the snapshot belongs to another plan or is damaged.
    """
    layout = plan.layout if isinstance(plan, Plan) else plan
    series = _unpacked_three(packed, "series", SERIES_STATE, layout.total("series"))
    units = _unpacked_three(packed, "units", UNIT_STATE, layout.total("unit"))
    leaves = _unpacked_three(packed, "leaves", LEAF_STATE, layout.total("leaf"))
    live, older, newer = (_unpacked_timers(one, layout.total("timer")) for one in packed["timers"])
    works = _unpacked(packed["works"], WORKS_STATE, len(layout.works), "works")
    ring = _unpacked(packed["ring"], RING, layout.total("ring"), "ring")
    state = State(series, (live, older, newer), units, leaves, ring, works)
    for number, timer, start, end, evidence, extreme, at in packed["said"]:
        state.said.setdefault(number, {})[(timer, start)] = Said(end, evidence, extreme, at)
    return state
