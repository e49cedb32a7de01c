"""Split, order and repetition change nothing, whatever the works disinfects with, however it is measured, and while it is serviced."""

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.findings import FindingKind
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of
from rules.plan import Plan

LEVELS = {
    "free_chlorine": [0.6, 0.6, 0.31, 0.2, 0.05, 0.0, 2.5, -1.0],
    "total_chlorine": [0.8, 0.8, 0.45, 0.0, 3.5],
    "chlorine_dioxide": [0.3, 0.3, 0.09, 0.02, 0.0, 0.0, 1.2],
    "uv_dose": [60.0, 60.0, 30.0, 0.0],
    "uv_lamp": [1.0, 1.0, 0.0],
    "turbidity": [0.4, 0.4, 0.2, 3.5, 6.0],
    "ph": [7.4, 7.4, 7.2, 9.0],
    "temperature": [15.0, 15.0, 17.0],
    "flow": [8.0, 8.0, 8.0, 0.0],
    "doser_running": [1.0, 1.0, 0.0],
    "disinfectant_level": [60.0, 60.0, 0.0],
    "maintenance": [0.0, 0.0, 1.0],
}
BOTH_ENDS = tuple(
    SamplingPoint(name, kind, name, ("chlorine_dioxide", "free_chlorine", *more))
    for name, kind, more in (
        ("outlet", PointKind.OUTLET, ("flow", "doser_running")),
        ("end", PointKind.NETWORK_END, ()),
    )
)
MIXED = Disinfectant.MIXED_CLO2_CL2


class Kind(NamedTuple):
    """A works, and minutes between its readings."""

    works: Works
    step: int
    steps: int
    expected: frozenset[FindingKind]


LOW, LOST, BLIND = FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_MISSING, FindingKind.DISINFECTION_UNKNOWN
KINDS = {
    "mixed generator": Kind(make_works("W1", disinfectant=MIXED, points=BOTH_ENDS, cadence_s=120), 2, 60, frozenset({LOW, LOST, FindingKind.COMPOUND})),
    "chloramine": Kind(
        make_works("W1", ("total_chlorine", "flow", "disinfectant_level"), disinfectant=Disinfectant.CHLORAMINE), 2, 60, frozenset({LOW, LOST}),
    ),
    "ultraviolet": Kind(make_works("W1", ("uv_dose", "uv_lamp", "flow"), disinfectant=Disinfectant.UV), 2, 60, frozenset({LOW, LOST})),
    "standing sample": Kind(
        make_works("W1", ("free_chlorine", "turbidity", "ph", "temperature", "flow")), 2, 60, frozenset({LOW, LOST, FindingKind.EXCEEDANCE}),
    ),
    "serviced": Kind(make_works("W1", ("free_chlorine", "turbidity", "maintenance", "flow")), 2, 60, frozenset({LOW, LOST})),
    # Measured by people every few hours, uploaded when the shift ends: a window of 16 h.
    "hand-logged": Kind(make_works("W1", ("free_chlorine",), evidence="hand", upload_interval_s=8 * 3600), 180, 40, frozenset({LOW, LOST})),
}  # fmt: skip


@cache
def plan(kind: str) -> Plan:
    return plan_of(KINDS[kind].works)


@st.composite
def histories(draw: st.DrawFn, kind: str) -> list[Row]:
    """Every series keeps a level for a while and is silent at times."""
    _, minutes, steps, _ = KINDS[kind]
    rows = []
    for slot, key in enumerate(plan(kind).series):
        step = 0
        while step < steps:
            level, length = draw(st.sampled_from(LEVELS[key.parameter])), draw(st.integers(1, 30))
            if draw(st.integers(0, 7)):
                rows += [
                    Row(slot, START + at * minutes * MINUTE, level + 0.002 * (at % 7) * (level > 0.3))
                    for at in range(step, min(step + length, steps))
                ]
            step += length
    return sorted(rows, key=lambda row: (row.observed_at, row.slot))


def account_of(kind: str, rows: list[Row], cuts: list[int]) -> Account:
    account = Account(plan(kind))
    edges = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    for first, last in pairwise(edges):
        account.feed(rows[first:last])
    return account


def memory(account: Account) -> list[bytes]:
    return [getattr(account.state, name)[0].tobytes() for name in ("series", "timers", "units", "leaves")]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(0, 10_000), max_size=8))
def test_split_order_and_repetition_change_nothing(kind: str, data: st.DataObject, seed: int, cuts: list[int]) -> None:
    rows = data.draw(histories(kind))
    window = KINDS[kind].works.lateness_s * 1000
    rng = np.random.default_rng(seed)
    delayed = [(row.observed_at + int(rng.integers(0, window - MINUTE)), n, row) for n, row in enumerate(rows)]
    again = [
        (at + int(rng.integers(0, MINUTE // 2)), n + len(rows), row) for at, n, row in delayed if rng.random() < 0.2
    ]
    whole = account_of(kind, rows, [])
    for other in (rows, [row for _, _, row in sorted(delayed + again)]):
        parts = account_of(kind, other, cuts)
        assert parts.final() == whole.final()
        assert memory(parts) == memory(whole)
        assert parts.counts["late"] == 0
    assert parts.counts["duplicates"] == len(again)


@pytest.mark.parametrize("kind", KINDS)
def test_the_histories_do_have_something_to_say(kind: str) -> None:
    """A works whose every series goes through all its levels, each for longer than any `for` time, says what it should."""
    _, minutes, _, expected = KINDS[kind]
    rows = []
    for slot, key in enumerate(plan(kind).series):
        # Only what disinfects fails; all else stands at its usual level.
        is_residual = key.parameter in (*KINDS[kind].works.disinfectant.residuals, "uv_dose", "turbidity")
        course = LEVELS[key.parameter] if is_residual else LEVELS[key.parameter][:1]
        for part in range(8 * 25):
            level = course[min(part // 25, len(course) - 1)]
            rows.append(Row(slot, START + part * minutes * MINUTE, level + 0.002 * (part % 7) * (level > 0.3)))
    account = account_of(kind, sorted(rows, key=lambda row: (row.observed_at, row.slot)), [])
    assert expected <= {one.kind for one in account.said.values()}
