"""A state survives being packed, and another register: what both plans know keeps its memory, and nothing is said twice."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from qingquan.domain.findings import FindingKind
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of
from rules.plan import Plan
from rules.state import adopt, pack, resume, unpack

A, B, C = (make_works(name) for name in ("A", "B", "C"))
LOW = FindingKind.DISINFECTION_LOW


def feed(account: Account, minutes: range, **values: float) -> None:
    """Readings of all works: ``values`` by parameter, else good ones."""
    good = {"free_chlorine": 0.6, "turbidity": 0.4, "flow": 8.0, "doser_running": 1.0, "ph": 7.2} | values
    for m in minutes:
        account.feed(
            [
                Row(slot, START + m * MINUTE, good[key.parameter] + 0.02 * (m % 2) * (key.parameter == "turbidity"))
                for slot, key in enumerate(account.plan.series)
            ]
        )


def moved(account: Account, plan: Plan) -> Account:
    """The account going on with another plan."""
    account.state = adopt(account.plan.layout, account.state, plan)
    account.plan = plan
    return account


def works_low(account: Account) -> dict[str, int]:
    """Start of the open LOW by works."""
    return {one.works: one.start for one in account.said.values() if one.kind is LOW and one.end is None}


def another_point(works: Works) -> Works:
    end = SamplingPoint("end", PointKind.NETWORK_END, "末梢水", ("free_chlorine", "turbidity"))
    return replace(works, points=(*works.points, end))


@pytest.mark.parametrize(
    "register",
    [
        (A, B), (B, A), (C, A, B), (A, C, B), (replace(A, name="新名"), B), (another_point(A), B),
        (replace(A, cadence_s=30), B), (replace(A, upload_interval_s=900), B),
        (make_works("A", ("free_chlorine", "turbidity", "flow", "doser_running", "ph")), B),
    ],
)  # fmt: skip
def test_timers_go_on_whatever_else_the_register_gains(register: tuple[Works, ...]) -> None:
    account = Account(plan_of(A, B))
    feed(account, range(20), free_chlorine=0.2)
    moved(account, plan_of(*register))
    feed(account, range(20, 31), free_chlorine=0.2)
    assert {name: start for name, start in works_low(account).items() if name in "AB"} == {"A": START, "B": START}


@pytest.mark.parametrize("register", [(A, B), (B, A), (C, A, B), (another_point(A), B), (replace(A, cadence_s=30), B)])
def test_an_open_finding_is_not_said_again_and_closes_under_the_new_plan(register: tuple[Works, ...]) -> None:
    account = Account(plan_of(A, B))
    feed(account, range(40), free_chlorine=0.2)
    told = len(account.told)
    moved(account, plan_of(*register))
    feed(account, range(40, 50), free_chlorine=0.2)
    assert [one for one in account.told[told:] if one.works in "AB" and one.kind is LOW] == []
    feed(account, range(50, 70))
    ends = {one.works: one.end for one in account.said.values() if one.kind is LOW and one.start == START}
    assert (ends["A"], ends["B"]) == (START + 50 * MINUTE,) * 2


def test_a_reading_out_of_order_after_the_move_takes_nothing_back() -> None:
    account = Account(plan_of(A, B))
    feed(account, range(40), free_chlorine=0.2)
    moved(account, plan_of(B, another_point(A)))
    feed(account, range(40, 45), free_chlorine=0.2)
    slot = account.plan.slot_of[SeriesKey("520425", "A", "outlet", "free_chlorine")]
    account.feed([Row(slot, START + 44 * MINUTE - 1, 0.2)])
    assert account.counts["late"] == 0
    assert works_low(account) == {"A": START, "B": START}
    assert not any(one.withdrawn for one in account.told)


@pytest.mark.parametrize("minutes", [20, 33, 40, 47, 61])
def test_a_ring_that_has_gone_round_moves_along_in_its_order(minutes: int) -> None:
    """What came too late to be judged in order is judged again among the same readings, whether the works has moved or not."""
    here, there = Account(plan_of(A, B)), Account(plan_of(A, B))
    for account in (here, there):
        feed(account, range(minutes), free_chlorine=0.2)
    # In front of A stands a works more, so its ring lies elsewhere now.
    moved(there, plan_of(C, A, B))
    for account in (here, there):
        slot = account.plan.slot_of[SeriesKey("520425", "A", "outlet", "free_chlorine")]
        account.feed(
            [Row(slot, START + (minutes - 3) * MINUTE + 5, 0.6), Row(slot, START + (minutes - 1) * MINUTE, 0.1)]
        )
        feed(account, range(minutes, minutes + 32), free_chlorine=0.2)
    assert here.final()
    assert {key: one for key, one in there.final().items() if key in here.final()} == here.final()
    assert here.counts == {**there.counts, "judged": there.counts["judged"] - 32 * len(C.points[0].parameters)}
    numbers = [account.plan.works_number["520425", "A"] for account in (here, there)]
    ones = [account.state.works[n] for account, n in zip((here, there), numbers, strict=True)]
    assert [ones[0][name] for name in ("newest", "older_mark", "newer_mark", "ring_count", "ring_marked")] == [
        ones[1][name] for name in ("newest", "older_mark", "newer_mark", "ring_count", "ring_marked")
    ]


def test_a_works_that_leaves_takes_its_memory_along() -> None:
    account = Account(plan_of(A, B))
    feed(account, range(40), free_chlorine=0.2)
    moved(account, plan_of(B))
    assert list(account.state.said) == [0]
    moved(account, plan_of(A, B))
    feed(account, range(41, 60))
    assert {one.works for one in account.told if one.end is not None} == {"B"}


def test_another_disinfectant_begins_a_new_unit() -> None:
    both = ("free_chlorine", "chlorine_dioxide", "flow")
    account = Account(plan_of(make_works("A", both)))
    for m in range(20):
        account.feed(
            [
                Row(s, START + m * MINUTE, 8.0 if k.parameter == "flow" else 0.05)
                for s, k in enumerate(account.plan.series)
            ]
        )
    moved(account, plan_of(make_works("A", both, disinfectant=Disinfectant.CHLORINE_DIOXIDE)))
    for m in range(20, 49):
        account.feed(
            [
                Row(s, START + m * MINUTE, 8.0 if k.parameter == "flow" else 0.05)
                for s, k in enumerate(account.plan.series)
            ]
        )
    assert {one.parameter for one in account.said.values() if one.kind is LOW} == set()
    account.feed(
        [Row(s, START + 50 * MINUTE, 8.0 if k.parameter == "flow" else 0.05) for s, k in enumerate(account.plan.series)]
    )
    assert {(one.parameter, one.start) for one in account.said.values() if one.kind is LOW} == {
        ("chlorine_dioxide", START + 20 * MINUTE)
    }


def test_a_packed_state_goes_on_as_if_nothing_had_been() -> None:
    plan = plan_of(A, B)
    kept, stored = Account(plan), Account(plan)
    for account in (kept, stored):
        feed(account, range(45), free_chlorine=0.2, doser_running=0.0)
    raw = msgspec.msgpack.encode(pack(stored.state))
    stored.state = unpack(msgspec.msgpack.decode(raw), plan)
    assert pack(stored.state) == pack(kept.state)
    for account in (kept, stored):
        feed(account, range(45, 80))
        account.feed([Row(2, START + 79 * MINUTE - 1, 0.2)])
    assert stored.final() == kept.final()
    assert pack(stored.state) == pack(kept.state)


def spoiled(part: str, change: Callable[[Any], Any]) -> dict[str, Any]:
    packed = msgspec.msgpack.decode(msgspec.msgpack.encode(pack(Account(plan_of(A)).state)))
    return packed | {part: change(packed[part])}


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("series", lambda arrays: arrays[:2]),
        ("series", lambda arrays: [array[:-1] for array in arrays]),
        ("timers", lambda arrays: [array * 2 for array in arrays]),
        ("units", lambda arrays: [b"", b"", b""]),
        ("ring", lambda raw: raw[:-8]),
        ("timers", lambda arrays: [[arrays[0][0] + 1, *arrays[0][1:]], *arrays[1:]]),
        ("works", lambda raw: raw * 2),
    ],
)
def test_a_part_of_another_size_is_refused(part: str, change: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueError):
        unpack(spoiled(part, change), plan_of(A))


def test_a_state_of_another_register_is_refused() -> None:
    with pytest.raises(ValueError, match="rows, expected"):
        unpack(pack(Account(plan_of(A)).state), plan_of(A, B))


def test_a_resumed_finding_closes_by_readings_like_any_other() -> None:
    plan = plan_of(A, B)
    timer = next(n for n, one in enumerate(plan.meanings) if one.kind is LOW and one.key.works == "B")
    account = Account(plan)
    resume(account.state, plan, timer, START - 600 * MINUTE, START - 300 * MINUTE, 0.11)
    feed(account, range(15))
    assert account.told == []
    feed(account, range(15, 16))
    (closed,) = account.told
    assert (closed.works, closed.start, closed.end, closed.extreme) == ("B", START - 600 * MINUTE, START, 0.11)


def test_a_resumed_finding_outlives_a_reading_out_of_order() -> None:
    plan = plan_of(A)
    timer = next(n for n, one in enumerate(plan.meanings) if one.kind is LOW)
    account = Account(plan)
    feed(account, range(5))
    resume(account.state, plan, timer, START - 600 * MINUTE, START - 300 * MINUTE, 0.11)
    account.feed([Row(3, START + 3 * MINUTE + 1, 0.6)])
    feed(account, range(5, 9))
    assert account.told == []
    assert works_low(account) == {}
    assert {key[1] for key in account.state.said[0]} == {START - 600 * MINUTE}


def test_a_finding_the_state_opened_itself_takes_the_earlier_start() -> None:
    plan = plan_of(A)
    account = Account(plan)
    feed(account, range(31), free_chlorine=0.2)
    timer = next(n for n, one in enumerate(plan.meanings) if one.kind is LOW)
    resume(account.state, plan, timer, START - 600 * MINUTE, START, 0.11)
    feed(account, range(31, 50))
    closed = [one for one in account.told if one.end is not None]
    assert [(one.kind, one.start) for one in closed] == [(LOW, START - 600 * MINUTE)]
