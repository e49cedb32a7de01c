"""Scenario files: the built-in ones work, wrong ones are refused with everything that is wrong with them."""

import pytest

from qingquan.errors import ConfigurationError
from simulators.casting import cast_faults
from simulators.county import county
from simulators.faults import FaultKind
from simulators.scenario import BUILT_IN, load_scenario, parse_scenario

START = 1_780_012_800_000
COUNTY = county(660, 1)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_scenario_can_be_cast_on_a_county_in_full(name):
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.description
    faults, notes = cast_faults(scenario, COUNTY, START, 1)
    assert notes == []
    wanted = sum(len(p.works) + (p.select.count if p.select and not p.select.townships else 0) for p in scenario.faults)
    assert len([fault for fault in faults if fault.kind is not FaultKind.POWER_CUT]) == wanted


def test_the_day_of_all_faults_has_every_kind():
    assert {plan.kind for plan in load_scenario("all-faults-24h").faults} == set(FaultKind)


def test_calm_has_neither_faults_nor_rain():
    calm = load_scenario("calm")
    assert (calm.faults, calm.rain) == ((), 0.0)


def test_the_demo_starts_with_a_loss_of_dosing_at_the_first_works():
    faults, _ = cast_faults(load_scenario("demo"), COUNTY, START, 1)
    assert faults[0].kind is FaultKind.DOSING_STOP
    assert COUNTY[faults[0].works].id == "W0001"
    assert faults[0].start_ms - START <= 5 * 60_000
    assert len({fault.kind for fault in faults}) == len(FaultKind)


def test_the_same_seed_strikes_the_same_works_and_each_round_others():
    scenario = load_scenario("all-faults-24h")
    assert cast_faults(scenario, COUNTY, START, 1) == cast_faults(scenario, COUNTY, START, 1)
    first, _ = cast_faults(scenario, COUNTY, START, 1)
    for other, _ in (cast_faults(scenario, COUNTY, START, 2), cast_faults(scenario, COUNTY, START, 1, round_=1)):
        assert [fault.works for fault in first] != [fault.works for fault in other]


def test_faults_on_one_works_are_kept_hours_apart():
    faults, _ = cast_faults(load_scenario("all-faults-24h"), COUNTY, START, 3)
    spans = {}
    for fault in faults:
        for start, end in spans.setdefault(fault.works, []):
            assert fault.start_ms - end >= 3_600_000 or start - fault.end_ms >= 3_600_000
        spans[fault.works].append((fault.start_ms, fault.end_ms))


def test_selection_keeps_to_what_was_asked_for():
    text = """
        name = "t"
        [[fault]]
        kind = "dosing_stop"
        start_min = 0
        duration_min = 60
        select = { count = 9, disinfectant = "chlorine_dioxide", has = ["doser_running"], lacks = ["power"], upload = "live" }
    """
    faults, _ = cast_faults(parse_scenario(text, "t.toml"), COUNTY, START, 1)
    assert len(faults) == 9
    for fault in faults:
        works = COUNTY[fault.works]
        measured = {code for point in works.points for code in point.parameters}
        assert works.disinfectant == "chlorine_dioxide"
        assert "doser_running" in measured
        assert "power" not in measured
        assert works.upload_interval_s == 60


def test_too_few_works_are_a_note_and_not_an_error():
    text = 'name = "t"\n[[fault]]\nkind = "link_loss"\nstart_min = 0\nduration_min = 9\nselect = { count = 50 }'
    faults, notes = cast_faults(parse_scenario(text, "t.toml"), COUNTY[:3], START, 1)
    assert len(faults) == 3
    assert notes == ["fault 1 (link_loss): 50 works wanted, 3 can be had"]


def test_a_works_that_is_not_there_or_has_no_dosing_is_refused_with_all_others():
    bare = next(works.id for works in COUNTY if works.disinfectant.residual is None)
    text = f'name = "t"\n[[fault]]\nkind = "dosing_stop"\nstart_min = 0\nduration_min = 9\nworks = ["X9", "{bare}"]'
    with pytest.raises(ConfigurationError) as refused:
        cast_faults(parse_scenario(text, "t.toml"), COUNTY, START, 1)
    assert len(refused.value.faults) == 2
    assert "'X9'" in refused.value.faults[0]
    assert bare in refused.value.faults[1]


PLAN = 'name = "t"\n[[fault]]\nkind = "dosing_stop"\nworks = ["W0001"]\nstart_min = 1\nduration_min = 2\n'


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "not valid TOML"),
        ("rain = 1.0", "name is missing"),
        ('name = "t"\nspeed = 3', "unknown key 'speed'; known keys: fault, name, description, rain, repeat_h"),
        ('name = "t"\nrain = -1', "rain = -1: allowed: a number from 0 to 10"),
        ('name = "t"\nrain = true', "rain = True: allowed: a number"),
        ('name = "t"\nfault = 3', "fault = 3: allowed: tables [[fault]]"),
        (PLAN.replace("dosing_stop", "dosing"), "kind = 'dosing': allowed: one of dosing_stop, tank_empty"),
        (PLAN.replace("start_min = 1\n", ""), "fault 1: start_min is missing"),
        (PLAN.replace("duration_min = 2", "duration_min = nan"), "duration_min = nan: allowed: a number from 1"),
        (PLAN + "peak_ntu = 3", "unknown key 'peak_ntu'"),
        (PLAN + "select = { count = 1 }", "works, select: allowed: exactly one of the two"),
        (PLAN.replace('works = ["W0001"]', ""), "works, select: allowed: exactly one of the two"),
        (PLAN.replace('["W0001"]', "[]"), "works = []: allowed: a list of text"),
        (PLAN.replace('works = ["W0001"]', "select = { count = 0 }"), "count = 0: allowed: a whole number from 1"),
        (PLAN.replace('works = ["W0001"]', "select = { has = ['flow'] }"), "count, townships: allowed: at least one"),
        (PLAN.replace('works = ["W0001"]', "select = { count = 1, has = ['salt'] }"), "has = 'salt': allowed: one of"),
        (PLAN.replace('works = ["W0001"]', "select = { count = 1, size = 2 }"), "select: unknown key 'size'"),
        ("repeat_h = 0.01\n" + PLAN, "repeat_h = 0.01: allowed: not before the last fault starts"),
    ],
)
def test_a_wrong_scenario_names_file_key_value_and_what_is_allowed(text, says):
    with pytest.raises(ConfigurationError) as refused:
        parse_scenario(text, "t.toml")
    assert says in str(refused.value)
    assert all(fault.startswith("t.toml: ") for fault in refused.value.faults)


def test_everything_wrong_is_told_at_once():
    text = 'rain = "wet"\ncolour = 1\n[[fault]]\nkind = "flood"\n[[fault]]\nkind = "link_loss"\nstart_min = -4\n'
    with pytest.raises(ConfigurationError) as refused:
        parse_scenario(text, "t.toml")
    told = str(refused.value)
    for part in ("name is missing", "rain = 'wet'", "'colour'", "kind = 'flood'", "start_min = -4", "duration_min"):
        assert part in told


@pytest.mark.parametrize(
    ("name", "says"),
    [("demmo", "allowed: one of calm, demo"), ("/nowhere/x.toml", "cannot be read: No such file or directory")],
)
def test_a_scenario_that_is_not_there_is_refused(name, says):
    with pytest.raises(ConfigurationError, match=says):
        load_scenario(name)


def test_a_scenario_file_is_read_from_disk(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(PLAN, encoding="utf-8")
    assert load_scenario(path).faults[0].works == ("W0001",)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_scenario(path)
