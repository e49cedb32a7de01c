"""Whatever the way readings take to us within the lateness window, the verdicts are the same."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of

PLAN = plan_of(
    make_works("W1"), make_works("W2", ("free_chlorine", "turbidity", "flow", "disinfectant_level", "sample_flow"))
)
MINUTES = 100

levels = {
    "free_chlorine": [0.6, 0.6, 0.31, 0.29, 0.2, 0.05, 0.0, 2.5, 6.0, -1.0],
    "turbidity": [0.4, 0.4, 1.2, 3.5, 6.0, 500.0],
    "flow": [8.0, 8.0, 0.0],
    "doser_running": [1.0, 1.0, 0.0],
    "disinfectant_level": [60.0, 60.0, 0.0],
    "sample_flow": [1.0, 1.0, 0.0],
}


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Readings in order: every series walks through levels that it keeps for some minutes, with gaps."""
    rows = []
    for slot, key in enumerate(PLAN.series):
        minute = 0
        while minute < MINUTES:
            level = draw(st.sampled_from(levels[key.parameter]))
            length = draw(st.integers(1, 45))
            silent = draw(st.integers(0, 9)) == 0
            if not silent:
                for m in range(minute, min(minute + length, MINUTES)):
                    rows.append(Row(slot, START + m * MINUTE, level + 0.002 * (m % 7) * (level > 0.3)))
            minute += length
    return sorted(rows, key=lambda row: (row.observed_at, row.slot))


def account_of(batches: list[list[Row]]) -> Account:
    account = Account(PLAN)
    for batch in batches:
        account.feed(batch)
    return account


def split(rows: list[Row], cuts: list[int]) -> list[list[Row]]:
    edges = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    return [rows[a:b] for a, b in pairwise(edges)]


def same_memory(a: Account, b: Account) -> bool:
    return all(
        x.tobytes() == y.tobytes()
        for name in ("series", "timers", "units")
        for x, y in zip(getattr(a.state, name)[:1], getattr(b.state, name)[:1], strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(histories(), st.lists(st.integers(0, 10_000), max_size=12))
def test_any_split_of_the_log_gives_the_same_findings_and_state(rows: list[Row], cuts: list[int]) -> None:
    whole, parts = account_of([rows]), account_of(split(rows, cuts))
    assert parts.final() == whole.final()
    assert same_memory(parts, whole)


@settings(max_examples=40, deadline=None)
@given(histories(), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 10_000), max_size=12))
def test_order_and_repetition_within_the_lateness_window_change_nothing(
    rows: list[Row], seed: int, cuts: list[int]
) -> None:
    rng = np.random.default_rng(seed)
    delayed = [(row.observed_at + int(rng.integers(0, 9 * MINUTE)), n, row) for n, row in enumerate(rows)]
    again = [
        (at + int(rng.integers(0, MINUTE // 2)), n + len(rows), row) for at, n, row in delayed if rng.random() < 0.2
    ]
    shuffled = [row for _, _, row in sorted(delayed + again)]
    plain, mixed = account_of([rows]), account_of(split(shuffled, cuts))
    assert mixed.final() == plain.final()
    assert same_memory(mixed, plain)
    assert mixed.counts["duplicates"] == len(again)
    assert mixed.counts["late"] == 0


@settings(max_examples=40, deadline=None)
@given(histories(), st.integers(0, 2**32 - 1))
def test_two_values_for_one_time_count_the_same_whichever_comes_first(rows: list[Row], seed: int) -> None:
    rng = np.random.default_rng(seed)
    doubled: list[Row] = []
    swapped: list[Row] = []
    for row in rows:
        if rng.random() < 0.05:
            other = row._replace(value=row.value + 0.5)
            doubled += [row, other]
            swapped += [other, row]
        else:
            doubled.append(row)
            swapped.append(row)
    one, two = account_of([doubled]), account_of([swapped])
    assert one.final() == two.final()
    assert one.counts["conflicts"] == two.counts["conflicts"] == len(doubled) - len(rows)
