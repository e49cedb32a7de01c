"""A plan numbers series, timers and units, and looks up the bound that holds for the works."""

from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from qingquan.standards.loader import load_standards
from qingquan.testing.engine import default_ruleset, make_works, plan_of
from rules.plan import Plan, compile_plan

TABLES = load_standards()


def compiled(*works: Works, extra: tuple[SeriesKey, ...] = ()) -> Plan:
    return compile_plan(works, TABLES.parameters, TABLES.limits, default_ruleset(), extra)


def bounds(plan: Plan, rule: str) -> list[tuple[float, str]]:
    return [(one.bound, one.limit_id) for one in plan.meanings if one.rule == rule]


def test_signals_come_before_quality_and_the_residual_comes_last() -> None:
    plan = plan_of(make_works("W1", ("free_chlorine", "turbidity", "flow", "doser_running", "ph")))
    assert [key.parameter for key in plan.series] == ["doser_running", "flow", "ph", "turbidity", "free_chlorine"]


def test_a_rule_has_one_timer_for_each_edition_of_the_standard() -> None:
    plan = plan_of(make_works("W1", ("turbidity",)))
    assert bounds(plan, "turbidity-above-limit") == [(1.0, "gb5749-2006.turbidity"), (1.0, "gb5749-2022.turbidity")]
    old, new = (plan.timer_facts[n] for n, one in enumerate(plan.meanings) if one.rule == "turbidity-above-limit")
    midnight = int(datetime(2023, 4, 1, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000)
    assert (old["valid_to"], new["valid_from"]) == (midnight, midnight)


def test_validity_begins_at_midnight_of_the_works_own_clock() -> None:
    plan = plan_of(make_works("W1", ("turbidity",), time_zone="Asia/Urumqi"))
    (new,) = (plan.timer_facts[n] for n, one in enumerate(plan.meanings) if one.limit_id == "gb5749-2022.turbidity")
    assert new["valid_from"] == int(datetime(2023, 4, 1, tzinfo=ZoneInfo("Asia/Urumqi")).timestamp() * 1000)


def test_a_number_in_the_ruleset_holds_at_all_times_and_names_no_clause() -> None:
    plan = plan_of(make_works("W1", ("turbidity",)))
    assert bounds(plan, "turbidity-above-3") == [(3.0, "")]
    (clause,) = {one.clause for one in plan.meanings if one.rule == "turbidity-above-3"}
    assert clause == ""


def test_margins_are_added_as_decimals() -> None:
    plan = plan_of(make_works("W1", ("chlorine_dioxide",), disinfectant=Disinfectant.CHLORINE_DIOXIDE))
    assert plan.unit_limits["low_clear"].tolist() == [0.12, 0.12]
    assert plan.unit_facts["floor_clear"].tolist() == [0.06]


def test_ozone_has_no_lower_limit_at_the_outlet() -> None:
    plan = plan_of(make_works("W1", ("ozone",), disinfectant=Disinfectant.OZONE))
    assert plan.unit_limits["low"].tolist() == [-float("inf")] * 2
    assert plan.unit_limits["high"].tolist() == [0.3, 0.3]


def test_the_residual_at_the_network_is_held_against_the_row_of_its_end() -> None:
    works = make_works("W1", points=(SamplingPoint("n1", PointKind.NETWORK, "管网水", ("free_chlorine",)),))
    assert bounds(plan_of(works), "residual-end-below-limit") == [
        (0.05, "gb5749-2006.free_chlorine.network_end"), (0.05, "gb5749-2022.free_chlorine.network_end"),
    ]  # fmt: skip


def test_signals_may_come_from_another_point_but_the_cell_has_its_own_switch() -> None:
    points = (
        SamplingPoint("room", PointKind.TREATMENT, "加药间", ("doser_running", "sample_flow")),
        SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine",)),
    )
    plan = plan_of(make_works("W1", points=points))
    (unit,) = plan.unit_facts
    assert plan.series[unit["doser"]] == SeriesKey("520425", "W1", "room", "doser_running")
    assert unit["sample_flow"] == unit["flow"] == unit["stock"] == -1


def test_series_nobody_expects_are_judged_all_the_same() -> None:
    works = make_works("W1", ("free_chlorine",))
    keys = [SeriesKey("520425", "W1", "outlet", "ph"), SeriesKey("520425", "W1", "roof", "ph"), SeriesKey("520425", "W9", "outlet", "ph")]  # fmt: skip
    plan = compiled(works, extra=tuple(keys))
    assert [(key.parameter, bool(expected)) for key, expected in zip(plan.series, plan.expected, strict=True)] == [
        ("ph", False), ("free_chlorine", True),
    ]  # fmt: skip


def test_a_parameter_named_twice_is_one_series() -> None:
    plan = plan_of(make_works("W1", ("ph", "ph", "free_chlorine")))
    assert len(plan.series) == len(set(plan.series)) == 2


def test_a_parameter_the_standards_do_not_know_is_no_series() -> None:
    assert tuple(plan_of(make_works("W1", ("luck",))).series) == ()


def test_timer_keys_are_unique() -> None:
    points = tuple(
        SamplingPoint(name, PointKind.OUTLET, name, tuple(TABLES.parameters)) for name in ("east", "west", "north")
    )
    plan = plan_of(make_works("W1", points=points), make_works("W2", points=points))
    assert len(set(plan.timer_keys)) == len(plan.timer_keys)


@pytest.mark.parametrize(("cadence_s", "upload_s"), [(60, 60), (300, 300), (300, 28_800), (1, 60)])
def test_the_ring_holds_two_lateness_windows_of_every_series(cadence_s: int, upload_s: int) -> None:
    works = make_works("W1", cadence_s=cadence_s, upload_interval_s=upload_s)
    (facts,) = plan_of(works).works_forms
    readings = 2 * works.lateness_s // cadence_s * int(facts["series_count"])
    assert readings < facts["ring_capacity"] < 1.5 * readings + 200
    assert facts["window_ms"] == works.lateness_s * 1000


def test_no_reading_can_cause_more_transitions_than_there_is_room_for() -> None:
    points = tuple(SamplingPoint(f"o{n}", PointKind.OUTLET, "", ("free_chlorine",)) for n in range(40))
    works = make_works("W1", points=(*points, SamplingPoint("room", PointKind.TREATMENT, "", ("flow",))))
    (facts,) = plan_of(works).works_forms
    assert facts["room"] >= 1 + 40 * 5  # one flow reading may move five timers of each of forty outlets


def test_more_series_than_can_be_numbered_are_refused() -> None:
    def wide(count: int) -> Works:
        return make_works(
            "W1", points=tuple(SamplingPoint(f"p{n}", PointKind.OUTLET, "", ("ph",)) for n in range(count))
        )

    assert len(plan_of(wide(1024)).series) == 1024
    with pytest.raises(ValueError, match="520425/W1 has 1025 series; at most 1024"):
        plan_of(wide(1025))


def test_the_digest_tells_plans_apart_that_give_the_arrays_another_meaning() -> None:
    works = make_works("W1")
    digests = {
        plan_of(one).digest
        for one in (
            works, replace(works, disinfectant=Disinfectant.OZONE), replace(works, source_limited=True),
            replace(works, cadence_s=300), replace(works, id="W2"), replace(works, time_zone="Asia/Urumqi"),
        )
    }  # fmt: skip
    assert len(digests) == 6
    assert plan_of(replace(works, name="新名")).digest == plan_of(works).digest


def test_an_empty_register_makes_an_empty_plan() -> None:
    plan = compiled()
    assert (tuple(plan.series), plan.works, plan.ring_size) == ((), (), 0)
