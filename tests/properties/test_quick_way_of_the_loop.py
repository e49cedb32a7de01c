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


def walked(slots: np.ndarray, times: np.ndarray, *, by_works: bool = False) -> list[tuple[int, list[int]]]:
    """Works and rows of each message, in the order in which they are judged."""
    with pytest.MonkeyPatch.context() as patch:
        if by_works:
            patch.setattr(ordering, "MANY_WORKS", 1)
        messages, patterns = ordering.walk(PLAN.works_of_series, len(PLAN.works), slots, times)
    found = []
    for row, rows, works, pattern in messages.tolist():
        found.append((works, (row + patterns[pattern : pattern + rows]).tolist()))
    return found


def test_neighbours_of_one_works_and_time_are_sorted_and_nobody_else_moves() -> None:
    first_of_w2 = int(PLAN.works_facts[1]["series_first"])
    slots = np.array([2, 0, 1, first_of_w2, 1, -1, 3, 0, 0], np.int32)
    times = np.array([5, 5, 5, 5, 5, 5, 6, 6, 7], np.int64)
    found = walked(slots, times)
    assert found == [(0, [1, 2, 0]), (1, [3]), (0, [4]), (0, [5]), (0, [7, 6]), (0, [8])]
    by_works = walked(slots, times, by_works=True)
    assert by_works == [*(one for one in found if one[0] == 0), (1, [3])]


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, len(PLAN.series) - 1), st.integers(0, 2)), min_size=len(PLAN.works), max_size=60)
)
def test_messages_hold_every_row_once_as_sorted_one_by_one(rows: list[tuple[int, int]]) -> None:
    slots, times = (np.array([row[n] for row in rows], kind) for n, kind in ((0, np.int32), (1, np.int64)))
    of = [int(PLAN.works_of_series[slot]) if slot >= 0 else 0 for slot in slots.tolist()]
    wanted: list[tuple[int, list[int]]] = []
    for row, (slot, time) in enumerate(rows):
        last = wanted[-1][1] if wanted else []
        before = rows[last[-1]] if last else (-1, -1)
        if slot >= 0 and before[0] >= 0 and before[1] == time and of[last[-1]] == of[row]:
            last.append(row)
        else:
            wanted.append((of[row], [row]))
    for _, mine in wanted:
        mine.sort(key=lambda row: rows[row][0])
    assert walked(slots, times) == wanted
    assert walked(slots, times, by_works=True) == sorted(wanted, key=lambda one: one[0])


@settings(max_examples=25, deadline=None)
@given(histories(), st.sampled_from([97, 1000]), st.randoms(use_true_random=False))
def test_walking_works_in_the_order_of_the_register_changes_nothing(rows: list[Row], size: int, chance: Random) -> None:
    """As is done with batches of so many works that their state is larger than the processor's caches, some rows out of order."""
    for again in chance.sample(rows, min(len(rows), 20)):
        rows.insert(chance.randrange(len(rows)), again)
    with pytest.MonkeyPatch.context() as patch:
        usual = fed(rows, size)
        patch.setattr(ordering, "MANY_WORKS", 1)
        by_register = fed(rows, size)
    assert by_register.final() == usual.final()
    assert by_register.flags == usual.flags
    assert by_register.counts == usual.counts
    assert by_register.state.series[0].tobytes() == usual.state.series[0].tobytes()


@settings(max_examples=15, deadline=None)
@given(histories(), st.sampled_from([97, 5000]))
def test_a_full_buffer_of_events_is_handed_over_and_filled_again(rows: list[Row], size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        usual = fed(rows, size)
        # Rows in order: no works is judged again, so what one reading may say is room enough.
        patch.setattr(engine, "EVENTS", int(PLAN.works_forms["room"].max()) - PLAN.most_events)
        short = fed(rows, size)
    assert short.final() == usual.final()
    assert short.flags == usual.flags
    assert short.counts == usual.counts
