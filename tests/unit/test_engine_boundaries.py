"""What meets a limit and what does not, to the last bit; and what the engine does with readings that contradict each other."""

import math
from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest

from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import ReadingBatch, SeriesKey
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint
from qingquan.standards.loader import load_standards
from qingquan.testing.engine import MINUTE, START, Account, Row, default_ruleset, make_works, plan_of, ruleset_with
from rules.engine import evaluate
from rules.plan import compile_plan
from rules.state import new_state

FLAT_PASS, NOT_EVALUATED, SUSPECT, FAIL, MISSING = 1, 2, 3, 4, 9


def after_an_hour_at(value: float, parameter: str = "free_chlorine", **fields: object) -> list[Finding]:
    """What is said of a works that shows ``value`` for an hour."""
    account = Account(plan_of(make_works("W1", (parameter,), **fields)))
    account.feed([Row(0, START + m * MINUTE, value) for m in range(61)])
    return [one for one in account.said.values() if one.end is None]


def above(value: float) -> float:
    return math.nextafter(value, math.inf)


def below(value: float) -> float:
    return math.nextafter(value, -math.inf)


@pytest.mark.parametrize(
    ("parameter", "limit", "broken", "rule", "disinfectant"),
    [
        ("free_chlorine", 0.3, below, "disinfection-low", Disinfectant.FREE_CHLORINE),
        ("free_chlorine", 2.0, above, "disinfection-high", Disinfectant.FREE_CHLORINE),
        ("total_chlorine", 0.5, below, "disinfection-low", Disinfectant.CHLORAMINE),
        ("total_chlorine", 3.0, above, "disinfection-high", Disinfectant.CHLORAMINE),
        ("chlorine_dioxide", 0.1, below, "disinfection-low", Disinfectant.CHLORINE_DIOXIDE),
        ("chlorine_dioxide", 0.8, above, "disinfection-high", Disinfectant.MIXED_CLO2_CL2),
        ("ozone", 0.3, above, "disinfection-high", Disinfectant.OZONE),
        ("turbidity", 1.0, above, "turbidity-above-limit", Disinfectant.FREE_CHLORINE),
        ("turbidity", 5.0, above, "turbidity-above-5", Disinfectant.FREE_CHLORINE),
        ("ph", 6.5, below, "ph-below-limit", Disinfectant.FREE_CHLORINE),
        ("ph", 8.5, above, "ph-above-limit", Disinfectant.FREE_CHLORINE),
    ],
)
def test_a_value_at_the_limit_complies_and_the_next_number_does_not(
    parameter: str, limit: float, broken: Callable[[float], float], rule: str, disinfectant: Disinfectant
) -> None:
    fields = {"disinfectant": disinfectant}
    assert rule not in {one.rule for one in after_an_hour_at(limit, parameter, **fields)}
    (said,) = [one for one in after_an_hour_at(broken(limit), parameter, **fields) if one.rule == rule]
    assert (said.start, said.limit, said.extreme) == (START, limit, broken(limit))


@pytest.mark.parametrize(("value", "kind"), [(0.05, FindingKind.DISINFECTION_MISSING), (above(0.05), None)])
def test_missing_begins_at_the_floor_itself(value: float, kind: FindingKind | None) -> None:
    kinds = {one.kind for one in after_an_hour_at(value)}
    assert (FindingKind.DISINFECTION_MISSING in kinds) is (kind is not None)


@pytest.mark.parametrize(("value", "is_outside"), [(0.0, False), (5.0, False), (below(0.0), True), (above(5.0), True)])
def test_the_ends_of_the_instruments_range_belong_to_it(value: float, is_outside: bool) -> None:
    assert (FindingKind.OUT_OF_RANGE in {one.kind for one in after_an_hour_at(value)}) is is_outside


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_value_is_out_of_range_and_nothing_else(value: float) -> None:
    assert {one.kind for one in after_an_hour_at(value, "turbidity")} == {FindingKind.OUT_OF_RANGE}


def test_half_an_hour_is_over_at_its_last_millisecond() -> None:
    def last_at(ms: int) -> list[Finding]:
        account = Account(plan_of(make_works("W1", ("free_chlorine",))))
        account.feed([*(Row(0, START + m * MINUTE, 0.2) for m in range(30)), Row(0, START + ms, 0.2)])
        return list(account.said.values())

    assert last_at(30 * MINUTE - 1) == []
    assert [one.kind for one in last_at(30 * MINUTE)] == [FindingKind.DISINFECTION_LOW]


def test_a_reading_without_value_is_missing_and_moves_nothing() -> None:
    account = Account(plan_of(make_works("W1", ("free_chlorine",))))
    account.feed([Row(0, START, math.nan)])
    assert account.flags == [MISSING]
    assert account.counts["missing"] == 1
    assert account.counts["judged"] == 0
    assert account.state.series[0]["last_t"][0] < 0


def test_an_empty_batch_changes_nothing() -> None:
    account = Account(plan_of(make_works()))
    assert account.feed([]) == []


def test_the_devices_word_that_a_reading_is_bad_is_believed() -> None:
    plan = plan_of(make_works("W1", ("free_chlorine", "turbidity")))
    state, told = new_state(plan), []
    for device_flag, expected in ((1, 1), (2, 1), (3, 3), (4, 4)):
        at = START + device_flag * MINUTE
        said, state = evaluate(batch_of([(1, at, 0.2, device_flag)]), np.array([1], np.int32), state, plan, {}, at)
        told.append((said.flags.tolist(), [expected]))
    assert all(found == wanted for found, wanted in told)


def batch_of(rows: list[tuple[int, int, float, int]]) -> ReadingBatch:
    slots, times, values, flags = zip(*rows, strict=True)
    n = len(rows)
    return ReadingBatch(
        np.array(slots, np.int32), np.array(times, np.int64), np.array(values, np.float64), np.array(flags, np.uint8),
        np.arange(n, dtype=np.int64), np.zeros(n, np.int64),
    )  # fmt: skip


VERSIONS = [(0.5, 2), (0.5, 4), (0.7, 1), (0.7, 3), (0.5, 2)]


def test_versions_of_one_reading_come_to_the_same_in_any_order() -> None:
    plan = plan_of(make_works("W1", ("free_chlorine",)))
    outcomes = set()
    for order in set(permutations(VERSIONS)):
        rows = [(0, START, value, flag) for value, flag in order]
        _, state = evaluate(batch_of(rows), np.zeros(len(rows), np.int32), new_state(plan), plan, {}, START)
        one = state.series[0][0]
        outcomes.add(
            (
                float(one["last_value"]),
                int(one["last_flag"]),
                float(state.ring["value"][0]),
                int(state.ring["key"][0] & 3) + NOT_EVALUATED,
            )
        )
    assert outcomes == {(0.5, FAIL, 0.5, FAIL)}


def test_the_same_value_again_with_a_worse_flag_is_not_just_a_repetition() -> None:
    plan = plan_of(make_works("W1", ("free_chlorine",)))
    rows = [(0, START, 0.2, 1), (0, START + MINUTE, 0.2, 1), (0, START, 0.2, 4)]
    evaluation, state = evaluate(batch_of(rows), np.zeros(3, np.int32), new_state(plan), plan, {}, START)
    assert evaluation.counts["duplicates"] == 1
    pending = [int(one["pending"]) for one in state.timers[0] if one["pending"] > 0]
    assert pending
    assert set(pending) == {START + MINUTE}


def test_one_reading_may_move_many_outlets_at_once() -> None:
    outlets = tuple(SamplingPoint(f"o{n:02d}", PointKind.OUTLET, "", ("free_chlorine",)) for n in range(60))
    works = make_works("W1", points=(*outlets, SamplingPoint("room", PointKind.TREATMENT, "", ("doser_running",))))
    account = Account(plan_of(works))
    slot = account.plan.slot_of
    for minute in range(31):
        at = START + minute * MINUTE
        rows = [Row(slot[SeriesKey("520425", "W1", one.id, "free_chlorine")], at, 0.6) for one in outlets]
        account.feed([Row(slot[SeriesKey("520425", "W1", "room", "doser_running")], at, 0.0), *rows])
    missing = [one for one in account.said.values() if one.kind is FindingKind.DISINFECTION_MISSING]
    assert {one.point for one in missing} == {one.id for one in outlets}


def test_each_outlet_of_a_works_recovers_by_itself() -> None:
    outlets = tuple(SamplingPoint(name, PointKind.OUTLET, "", ("free_chlorine",)) for name in ("east", "north", "west"))
    account = Account(plan_of(make_works("W1", ("free_chlorine",)), make_works("W2", points=outlets)))
    slot = account.plan.slot_of
    levels = {"east": 0.6, "north": 0.2, "west": 0.6}
    for minute in range(120):
        at = START + minute * MINUTE
        if minute == 60:
            levels["north"] = 0.6
        account.feed([Row(slot[SeriesKey("520425", "W1", "outlet", "free_chlorine")], at, 0.6)])
        account.feed(
            [Row(slot[SeriesKey("520425", "W2", one, "free_chlorine")], at, level) for one, level in levels.items()]
        )
    (low,) = account.said.values()
    assert (low.point, low.start, low.end) == ("north", START, START + 60 * MINUTE)


def test_a_rule_that_wants_three_clear_readings_is_not_content_with_two() -> None:
    rules = ruleset_with(
        """
[[rule]]
id = "cloudy"
parameter = "turbidity"
points = ["outlet"]
above = 3.0
clear_for_min = 15
clear_samples = 3
severity = "major"
basis = "test"
"""
    )
    tables = load_standards()
    works = make_works("W1", ("turbidity",), cadence_s=1200)
    account = Account(compile_plan([works], tables.parameters, tables.limits, rules))
    levels = [4.0] * 6 + [0.4] * 6
    for n, level in enumerate(levels):
        account.feed([Row(0, START + n * 20 * MINUTE, level)])
        is_over = any(one.rule == "cloudy" and one.end is not None for one in account.said.values())
        # Twenty minutes apart: the second clear reading has been clear for long enough, but is only the second.
        assert is_over is (n >= 8), n


def test_a_rule_of_several_signals_is_over_with_the_first_moment_of_the_next_day() -> None:
    def said_at(at: int) -> set[str]:
        rules = ruleset_with(
            """
[[rule]]
id = "dry"
points = ["outlet"]
for_min = 0
severity = "major"
basis = "test"
valid_to = 2026-06-01
when = { all = [ { signal = "flow", above = 1 }, { signal = "doser_running", below = 0.5 } ] }
"""
        )
        tables = load_standards()
        plan = compile_plan([make_works("W1", ("doser_running", "flow"))], tables.parameters, tables.limits, rules)
        account = Account(plan)
        slot = {key.parameter: n for n, key in enumerate(plan.series)}
        account.feed([Row(slot["doser_running"], at - 1, 0.0), Row(slot["flow"], at, 8.0)])
        return {one.rule for one in account.said.values()}

    midnight = START + 16 * 60 * MINUTE  # 2026-06-02 at the works, eight hours ahead
    assert said_at(midnight - 1) == {"dry"}
    assert said_at(midnight) == set()


def test_a_gap_is_said_of_series_that_are_expected_and_of_no_other() -> None:
    tables = load_standards()
    extra = SeriesKey("520425", "W1", "outlet", "ph")
    plan = compile_plan(
        [make_works("W1", ("turbidity",))], tables.parameters, tables.limits, default_ruleset(), [extra]
    )
    account = Account(plan)
    account.feed(
        [
            Row(slot, START + m * MINUTE, 7.0 if slot == plan.slot_of[extra] else 0.4)
            for m in (0, 60)
            for slot in range(2)
        ]
    )
    (gap,) = [one for one in account.said.values() if one.kind is FindingKind.STALE]
    assert (gap.parameter, gap.start, gap.end) == ("turbidity", START, START + 60 * MINUTE)


def test_nothing_is_told_twice_of_a_loss_without_any_residual() -> None:
    works = make_works("W1", ("free_chlorine", "doser_running", "flow", "sample_flow"))
    account = Account(plan_of(works))
    slot = {key.parameter: n for n, key in enumerate(account.plan.series)}

    def minute(m: int, **values: float) -> list[Row]:
        return sorted(Row(slot[name], START + m * MINUTE, value) for name, value in values.items())

    for m in range(31):
        account.feed(minute(m, free_chlorine=0.5, doser_running=0, flow=8, sample_flow=0))
    for m in range(31, 60):
        account.feed(minute(m, free_chlorine=0.5, doser_running=1, flow=8, sample_flow=1))
    told = len(account.told)
    account.feed([Row(slot["flow"], START + 58 * MINUTE + 1, 8.0)])  # out of order: the works is judged again
    assert account.counts["late"] == 0
    assert account.told[told:] == []
