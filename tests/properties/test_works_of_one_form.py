"""Works that are alike are compiled once and share their facts; each means what it would mean in a plan of its own."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.testing.engine import default_ruleset, make_works
from rules.plan import Plan, compile_plan

END = SamplingPoint("end", PointKind.NETWORK_END, "末梢水", ("free_chlorine", "chlorine_dioxide", "turbidity"))
ROOM = SamplingPoint("room", PointKind.TREATMENT, "加药间", ("doser_running", "flow"))
OUTLETS = [
    ("free_chlorine", "turbidity", "flow", "doser_running"), ("free_chlorine", "turbidity", "flow", "ph", "temperature"),
    ("chlorine_dioxide", "free_chlorine", "flow", "maintenance"), ("uv_dose", "uv_lamp", "flow"), ("ph",), (),
]  # fmt: skip
EXTRA = ("ph", "power")


@st.composite
def entries(draw: st.DrawFn) -> Works:
    works = make_works(
        "", draw(st.sampled_from(OUTLETS)), county=draw(st.sampled_from(["520425", "110101"])),
        disinfectant=draw(st.sampled_from(list(Disinfectant))), population=draw(st.sampled_from([900, 20_000])),
        capacity_m3_d=draw(st.sampled_from([200.0, 5000.0])), source_limited=draw(st.booleans()),
        treatment_limited=draw(st.booleans()), evidence=draw(st.sampled_from(["sensor", "sensor", "hand"])),
        cadence_s=draw(st.sampled_from([60, 60, 300])), upload_interval_s=draw(st.sampled_from([60, 60, 1800])),
        time_zone=draw(st.sampled_from(["Asia/Shanghai", "Asia/Shanghai", "Asia/Urumqi"])),
    )  # fmt: skip
    return replace(works, points=works.points + draw(st.sampled_from([(), (), (END,), (ROOM,), (END, ROOM)])))


def compiled(register: Sequence[Works], extra: Sequence[SeriesKey]) -> Plan:
    tables = load_standards()
    return compile_plan(register, tables.parameters, load_profiles().binding, default_ruleset(), extra)


def told(plan: Plan, number: int) -> dict[str, object]:
    """Everything a plan says of one works."""
    form, facts = plan.form_of(number), plan.works_facts[number]
    timers = range(int(facts["timer_first"]), int(facts["timer_first"] + form["timer_count"]))
    series = plan.series_of(number)
    rows = plan.series_facts[plan.row_of_series[series]]
    units = plan.unit_facts[form["unit_row"] : form["unit_row"] + form["unit_count"]]
    compounds = plan.compounds.compounds[form["compound_row"] : form["compound_row"] + form["compound_count"]]
    return {
        "series": plan.series[series],
        "slots": [plan.slot_of[key] - series.start for key in plan.series[series]],
        "expected": plan.expected[series].tolist(),
        "facts": [row.tolist()[:3] for row in rows],
        "kinds": [plan.series_kinds[row["kind"]].tolist() for row in rows],
        "meanings": [repr(plan.meanings[timer]) for timer in timers],
        "timers": [plan.timer_facts[timer].tolist() for timer in timers],
        "timer_keys": [plan.timer_keys[timer] for timer in timers],
        "owners": [plan.layout.place_of("timer", timer)[0] - number for timer in timers],
        "units": [unit.tolist()[:-2] for unit in units],
        "unit_points": plan.unit_points[plan.units_of(number)],
        "unit_limits": [
            (plan.unit_limits[row].tolist(), plan.unit_limit_rows[row])
            for unit in units
            for row in range(unit["limit_first"], unit["limit_first"] + unit["limit_count"])
        ],
        "leaves": plan.compounds.leaves[form["leaf_row"] :][: form["leaf_count"]].tolist(),
        "programs": [
            (plan.compounds.nodes[one["node_first"] :][: one["node_count"] + one["clear_count"]].tolist(), one["timer"])
            for one in compounds
        ],
        "own": [form[name].tolist() for name in ("ring_capacity", "room", "window_ms", "stale_ms")],
    }  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(entries(), min_size=1, max_size=6), st.lists(st.integers(0, 5), min_size=1, max_size=9), st.data())
def test_a_works_means_the_same_among_others_and_alone(
    kinds: list[Works], picks: list[int], data: st.DataObject
) -> None:
    register = [replace(kinds[pick % len(kinds)], id=f"W{n}") for n, pick in enumerate(picks)]
    extra = [
        SeriesKey(one.county, one.id, "outlet", code)
        for one in register
        for code in data.draw(st.sets(st.sampled_from(EXTRA), max_size=1))
    ]
    together = compiled(register, extra)
    for number, works in enumerate(register):
        alone = compiled([works], [key for key in extra if key.works == works.id])
        assert told(together, number) == told(alone, 0)
    assert len(together.layout.forms) <= len(together.works)


def test_like_works_are_one_form_whatever_they_are_called() -> None:
    register = [make_works(f"W{n}", capacity_m3_d=200.0 + n, population=900 + n) for n in range(50)]
    plan = compiled(register, [])
    assert len(plan.layout.forms) == 1
    assert len(plan.series) == 200
    assert plan.series[199] == plan.series[-1] == SeriesKey("520425", "W49", "outlet", "free_chlorine")
    assert plan.layout.place_of("series", 199) == (49, 3)
