"""Compound conditions obey the fold's promise: any split, order and repetition within the window give the same findings, state
and counted errors; and three-valued logic is Kleene's."""

from functools import cache
from itertools import pairwise, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.works import PointKind, SamplingPoint
from qingquan.standards.loader import load_standards
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, ruleset_with
from rules import compound
from rules.layout import LEAF_FACTS, LEAF_STATE, NEVER, NODE, SERIES_STATE
from rules.plan import Plan, compile_plan

RULES = """
[[rule]]
id = "ratio-while-pumping"
points = ["outlet"]
parameter = "residual"
for_min = 5
clear_for_min = 3
clear_samples = 1
unknown_for_min = 10
severity = "major"
basis = "test"
when = { all = [ { signal = "doser_running", above = 0.5 }, { ratio = ["turbidity", "flow"], above = 0.2, clear_margin = 0.05 } ] }

[[rule]]
id = "any-of-three"
points = ["outlet"]
for_min = 2
unknown_for_min = 15
severity = "minor"
basis = "test"
when = { any = [
  { signal = "turbidity", above = "limit.max" },
  { all = [ { difference = ["turbidity", "turbidity"], at = "source", above = 1.0 }, { signal = "flow", below = 1.0 } ] },
  { signal = "residual", below = 0.1 },
] }
clear = { all = [ { signal = "turbidity", below = 0.9 }, { signal = "residual", above = 0.2 } ] }

[[rule]]
id = "hour-mean"
points = ["outlet"]
parameter = "turbidity"
above = 1.0
average = "hour"
for_min = 0
clear_for_min = 0
clear_samples = 1
severity = "minor"
basis = "test"
"""
LEVELS = {
    "free_chlorine": [0.6, 0.05, 0.3, -1.0],
    "turbidity": [0.4, 0.4, 1.5, 6.0, 500.0],
    "flow": [8.0, 8.0, 0.0],
    "doser_running": [1.0, 1.0, 0.0],
}
MINUTES = 130


@cache
def plan() -> Plan:
    tables = load_standards()
    works = make_works("W1")
    source = SamplingPoint("source", PointKind.SOURCE, "水源", ("turbidity",))
    both = make_works("W2", points=(*works.points, source))
    return compile_plan([works, both], tables.parameters, tables.limits, ruleset_with(RULES))


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    rows = []
    for slot, key in enumerate(plan().series):
        minute = 0
        while minute < MINUTES:
            level = draw(st.sampled_from(LEVELS[key.parameter]))
            length = draw(st.integers(1, 50))
            if draw(st.integers(0, 7)):
                rows += [
                    Row(slot, START + m * MINUTE, level + 0.002 * (m % 7) * (level > 0.3))
                    for m in range(minute, min(minute + length, MINUTES))
                ]
            minute += length
    return sorted(rows, key=lambda row: (row.observed_at, row.slot))


def account_of(rows: list[Row], cuts: list[int]) -> Account:
    account = Account(plan())
    edges = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    for first, last in pairwise(edges):
        account.feed(rows[first:last])
    return account


def same(a: Account, b: Account) -> bool:
    return all(
        getattr(a.state, name)[0].tobytes() == getattr(b.state, name)[0].tobytes()
        for name in ("series", "timers", "units", "leaves")
    )


@settings(max_examples=25, deadline=None)
@given(histories(), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 10_000), max_size=8))
def test_compounds_do_not_depend_on_split_order_or_repetition(rows: list[Row], seed: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    delayed = [(row.observed_at + int(rng.integers(0, 9 * MINUTE)), n, row) for n, row in enumerate(rows)]
    again = [(at + 1000, n + len(rows), row) for at, n, row in delayed if rng.random() < 0.1]
    whole = account_of(rows, [])
    for parts in (account_of(rows, cuts), account_of([row for _, _, row in sorted(delayed + again)], cuts)):
        assert parts.final() == whole.final()
        assert same(parts, whole)
        assert parts.counts.get("rule_errors", 0) == whole.counts.get("rule_errors", 0)


VALUES = {compound.TRUE: 2.0, compound.FALSE: 0.0, compound.HELD: None}


def naive(word: str, parts: tuple[int, ...]) -> int:
    """Kleene's tables, written down the long way."""
    decisive, otherwise = (compound.TRUE, compound.FALSE) if word == "any" else (compound.FALSE, compound.TRUE)
    if decisive in parts:
        return decisive
    return compound.HELD if compound.HELD in parts else otherwise


def test_groups_are_kleenes_three_valued_logic() -> None:
    for size in (1, 2, 3, 4):
        for word, parts in product(("any", "all"), product((1, 0, -1), repeat=size)):
            assert weighed(word, parts) == naive(word, parts), (word, parts)


def test_nested_groups_are_weighed_as_their_parts() -> None:
    for parts in product((1, 0, -1), repeat=4):
        inner, outer = naive("any", parts[1:3]), naive("all", (parts[0], naive("any", parts[1:3]), parts[3]))
        assert inner in (1, 0, -1)
        nodes = [(0, 0), (0, 1), (0, 2), (compound.NODE_ANY, 2), (0, 3), (compound.NODE_ALL, 3)]
        assert run(nodes, parts) == outer


def weighed(word: str, parts: tuple[int, ...]) -> int:
    nodes = [(0, n) for n in range(len(parts))]
    return run([*nodes, (compound.NODE_ANY if word == "any" else compound.NODE_ALL, len(parts))], parts)


def run(nodes: list[tuple[int, int]], parts: tuple[int, ...]) -> int:
    count = len(parts)
    facts, states = np.zeros(count, LEAF_FACTS), np.zeros(count, LEAF_STATE)
    facts["slot_a"], facts["slot_b"], facts["is_above"], facts["bound"] = np.arange(count), -1, 1, 1.0
    facts["valid_from"], facts["valid_to"], facts["window_ms"], facts["expected"] = -(2**62), 2**62, 1000, 1.0
    series = np.zeros(count, SERIES_STATE)
    series["last_flag"] = 1
    for n, part in enumerate(parts):
        series[n]["last_t"] = NEVER if part == compound.HELD else 0
        states[n]["value"] = VALUES[part] or 0.0
    program = np.array(nodes, NODE)
    found, _ = compound.weigh(facts, states, program, 0, 0, 0, len(nodes), series, 0, 1000, 500, False)
    return int(found)
