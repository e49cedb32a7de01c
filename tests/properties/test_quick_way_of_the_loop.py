"""The loop's short cuts change no verdict: skipped timers, checkpoints not copied, parameters in any order in a message."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.works import Disinfectant
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of
from rules import engine, ordering

PLAN = plan_of(
    make_works("W1"),
    make_works("W2", ("free_chlorine", "turbidity", "ph", "flow", "disinfectant_level", "sample_flow")),
    make_works("W3", ("chlorine_dioxide", "free_chlorine", "flow"), disinfectant=Disinfectant.MIXED_CLO2_CL2),
    make_works("W4", ("free_chlorine", "flow", "maintenance", "turbidity", "doser_running")),
)
MINUTES = 120

LEVELS = {
    "free_chlorine": [0.6, 0.6, 0.6, 0.31, 0.2, 0.07, 0.0, 2.5, 6.0, -1.0],
    "turbidity": [0.4, 0.4, 1.2, 3.5, 6.0, 500.0],
    "ph": [7.2, 7.2, 6.0, 9.0, 20.0],
    "flow": [8.0, 8.0, 0.0],
    "doser_running": [1.0, 1.0, 0.0],
    "disinfectant_level": [60.0, 60.0, 0.0],
    "sample_flow": [1.0, 1.0, 0.0],
    "chlorine_dioxide": [0.3, 0.3, 0.12, 0.05, 0.0, 1.2],
    "maintenance": [0.0, 0.0, 1.0],
}


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Every series walks through levels that it keeps for some minutes, now and then silent."""
    rows = []
    for slot, key in enumerate(PLAN.series):
        minute = 0
        while minute < MINUTES:
            level = draw(st.sampled_from(LEVELS[key.parameter]))
            length = draw(st.integers(1, 50))
            moves = draw(st.booleans())
            if draw(st.integers(0, 9)):
                rows += [
                    Row(slot, START + m * MINUTE, level + 0.002 * (m % 7) * moves * (level > 0.3))
                    for m in range(minute, min(minute + length, MINUTES))
                ]
            minute += length
    return sorted(rows, key=lambda row: (row.observed_at, row.slot))


def fed(rows: list[Row], size: int, *, by_the_long_way: bool = False) -> Account:
    account = Account(PLAN)
    for first in range(0, len(rows), size):
        if by_the_long_way:
            account.state.series[0]["is_active"] = 1
            account.state.units[0]["is_active"] = 1
            account.state.works["stirred"] = account.state.works["stirred_before"] = 1
        account.feed(rows[first : first + size])
    return account


@settings(max_examples=25, deadline=None)
@given(histories())
def test_skipping_idle_timers_changes_nothing(rows: list[Row]) -> None:
    quick, long = fed(rows, 97), fed(rows, 1, by_the_long_way=True)
    assert quick.final() == long.final()
    assert quick.flags == long.flags
    for name in ("state", "since"):
        assert quick.state.units[0][name].tolist() == long.state.units[0][name].tolist()


@settings(max_examples=25, deadline=None)
@given(histories(), st.integers(0, 2**32 - 1))
def test_parameters_may_stand_in_any_order_in_a_message(rows: list[Row], seed: int) -> None:
    rng = np.random.default_rng(seed)
    rank = {slot: rng.random() for slot in range(len(PLAN.series))}
    works = PLAN.works_of_series
    mixed = sorted(rows, key=lambda row: (row.observed_at, works[row.slot], rank[row.slot]))
    assert fed(mixed, 97).final() == fed(rows, 97).final()


def test_neighbours_of_one_works_and_time_are_sorted_and_nobody_else_moves() -> None:
    first_of_w2 = int(PLAN.works_facts[1]["series_first"])
    slots = np.array([2, 0, 1, first_of_w2, 1, -1, 3, 0, 0], np.int32)
    times = np.array([5, 5, 5, 5, 5, 5, 6, 6, 7], np.int64)
    order, owners = np.zeros(len(slots), np.int32), np.zeros(len(slots), np.int32)
    ordering.by_rank(PLAN.works_of_series, slots, times, owners, order)
    assert order.tolist() == [1, 2, 0, 3, 4, 5, 7, 6, 8]
    assert owners.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(-1, len(PLAN.series) - 1), st.integers(0, 2), st.sampled_from([2, 2, 3])),
        min_size=len(PLAN.works),
        max_size=60,
    )
)
def test_rows_sorted_by_messages_stand_as_rows_sorted_one_by_one(rows: list[tuple[int, int, int]]) -> None:
    slots, times = (np.array([row[n] for row in rows], kind) for n, kind in ((0, np.int32), (1, np.int64)))
    given_flags = np.array([row[2] for row in rows], np.uint8)
    values = np.arange(len(rows), dtype=np.float64)
    works = PLAN.works_of_series
    order, owners = np.zeros(len(rows), np.int32), np.zeros(len(rows), np.int32)
    ordering.by_rank(works, slots, times, owners, order)
    wanted = sorted(order.tolist(), key=lambda row: owners[row])
    flags, late = np.zeros(len(rows), np.uint8), np.zeros(len(rows), np.uint8)
    found: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "MANY_WORKS", 1)
        patch.setattr(ordering, "BLOCK", 9)
        for part in ordering.blocks((slots, times, values, given_flags), works, len(PLAN.works), flags, late):
            columns = [column[part.order].tolist() for column in part.columns]
            here = np.array(columns[3], np.int64)
            assert [slots[here].tolist(), owners[here].tolist(), times[here].tolist()] == columns[:3]
            assert given_flags[here].tolist() == columns[4]
            assert part.order.tolist() == list(range(len(here)))
            found += columns[3]
    assert found == wanted


@settings(max_examples=25, deadline=None)
@given(
    histories(), st.sampled_from([1, 7, 64, 1 << 14]), st.sampled_from([97, 1000]), st.randoms(use_true_random=False)
)
def test_walking_works_in_the_order_of_the_register_changes_nothing(
    rows: list[Row], block: int, size: int, chance: Random
) -> None:
    """As is done with batches of so many works that their state is larger than the processor's caches, some rows out of order."""
    for again in chance.sample(rows, min(len(rows), 20)):
        rows.insert(chance.randrange(len(rows)), again)
    with pytest.MonkeyPatch.context() as patch:
        usual = fed(rows, size)
        patch.setattr(ordering, "MANY_WORKS", 1)
        patch.setattr(ordering, "BLOCK", block)
        by_register = fed(rows, size)
    assert by_register.final() == usual.final()
    assert by_register.flags == usual.flags
    assert by_register.counts == usual.counts
    assert by_register.state.series[0].tobytes() == usual.state.series[0].tobytes()


@settings(max_examples=15, deadline=None)
@given(histories(), st.sampled_from([97, 5000]))
def test_a_full_buffer_of_events_is_handed_over_and_filled_again(rows: list[Row], size: int) -> None:
    forms = PLAN.works_forms
    most = int((forms["ring_capacity"].astype(np.int64) * forms["room"] + forms["timer_count"]).max())
    with pytest.MonkeyPatch.context() as patch:
        usual = fed(rows, size)
        # Rows in order: no works is judged again, so what one reading may say is room enough.
        patch.setattr(engine, "EVENTS", int(forms["room"].max()) - most)
        short = fed(rows, size)
    assert short.final() == usual.final()
    assert short.flags == usual.flags
    assert short.counts == usual.counts


def test_blocks_are_whole_works_and_leave_no_row_out() -> None:
    rng = np.random.default_rng(3)
    slots = rng.permutation(np.repeat(np.arange(40, dtype=np.int32), rng.integers(0, 30, 40)))
    works_of_series = np.repeat(np.arange(10, dtype=np.int32), 4)
    columns = slots, np.arange(len(slots)), np.ones(len(slots)), np.full(len(slots), 2, np.uint8)
    flags, late = np.zeros(len(slots), np.uint8), np.zeros(len(slots), np.uint8)
    seen: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ordering, "MANY_WORKS", 1)
        patch.setattr(ordering, "BLOCK", 50)
        for part in ordering.blocks(columns, works_of_series, 10, flags, late):
            owners = part.columns[1]
            assert owners.tolist() == sorted(owners.tolist()) == works_of_series[part.columns[0]].tolist()
            assert set(owners.tolist()) <= set(range(part.first, part.last))
            assert not seen or part.first == seen[-1]
            part.flags[:] = owners + 20
            part.late[:] = owners % 2
            seen.append(part.last)
    assert len(seen) > 3
    assert flags.tolist() == (works_of_series[slots] + 20).tolist()
    assert late.tolist() == (works_of_series[slots] % 2).tolist()
