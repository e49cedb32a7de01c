"""The simulated county: a register that looks like one and belongs to nobody."""

import re
from collections import Counter

import pytest

from qingquan.domain.works import Disinfectant, Equipment, PointKind
from qingquan.standards.loader import load_standards
from simulators.county import MAX_WORKS, county
from simulators.place_names import COUNTY_OUTLINE, TOWNSHIPS


def _winding_number(x, y):
    """Independent of the even-odd rule the county uses."""
    turns = 0
    for (x1, y1), (x2, y2) in zip(COUNTY_OUTLINE, COUNTY_OUTLINE[1:] + COUNTY_OUTLINE[:1], strict=True):
        left = (x2 - x1) * (y - y1) - (x - x1) * (y2 - y1)
        if y1 <= y < y2 and left > 0:
            turns += 1
        elif y2 <= y < y1 and left < 0:
            turns -= 1
    return turns


def test_the_same_seed_makes_the_same_county_and_another_seed_another():
    assert county(80, 5) == county(80, 5)
    assert county(80, 5) != county(80, 6)


def test_a_smaller_county_is_the_beginning_of_a_larger_one():
    assert county(40, 3) == county(700, 3)[:40]


def test_a_thousand_villages_have_names_of_their_own_and_further_ones_carry_a_number():
    names = [works.name for works in county(3000, 1)]
    assert len(set(names)) == 3000
    assert not any(re.search(r"\d", name) for name in names[:1000])
    assert all(re.search(r"村\d号", name) for name in names[2000:])


def test_every_row_says_that_it_is_simulated():
    for works in county(200, 1):
        assert works.simulated
        assert works.name.endswith("（模拟）")
        assert "模拟" in works.note


def test_the_first_works_is_the_same_for_every_seed_where_scripts_rely_on_it():
    for seed in (1, 2, 3):
        first = county(1, seed)[0]
        assert (first.id, first.name, first.disinfectant) == (
            "W0001",
            "打狼村供水站（模拟）",
            Disinfectant.FREE_CHLORINE,
        )
        assert first.upload_interval_s == first.cadence_s == 60
        measured = {code for point in first.points for code in point.parameters}
        assert {"doser_running", "sample_flow", "disinfectant_level", "power", "flow", "free_chlorine"} <= measured


def test_people_are_nobody():
    for works in county(300, 1):
        for contact in works.contacts:
            assert re.fullmatch(r".某（模拟(管水员|负责人)）", contact.name)
            assert re.fullmatch(r"1990000\d{4}", contact.phone)
            assert contact.wecom_id.startswith("sim-")


def test_works_stand_inside_the_county_in_its_townships():
    known = {row[0] for row in TOWNSHIPS}
    for works in county(1000, 1):
        assert works.township in known
        assert _winding_number(works.longitude, works.latitude) != 0


def test_most_works_are_small_and_chlorinate_and_a_few_have_nothing():
    register = county(2000, 1)
    kinds = Counter(works.disinfectant for works in register)
    assert kinds[Disinfectant.FREE_CHLORINE] > 0.7 * len(register)
    assert 0.1 * len(register) < kinds[Disinfectant.CHLORINE_DIOXIDE] < 0.2 * len(register)
    assert 0.03 * len(register) < kinds[Disinfectant.UV] + kinds[Disinfectant.NONE] < 0.07 * len(register)
    capacities = sorted(works.capacity_m3_d for works in register)
    assert capacities[0] >= 20
    assert capacities[-1] <= 6000
    assert capacities[len(capacities) // 2] < 200


def test_no_equipment_goes_with_no_disinfectant_and_then_no_dosing_signal():
    for works in county(1000, 1):
        assert (works.equipment is Equipment.NOT_EQUIPPED) == (works.disinfectant is Disinfectant.NONE)
        if works.disinfectant.residual is None:
            measured = {code for point in works.points for code in point.parameters}
            assert measured.isdisjoint({"doser_running", "disinfectant_level", "free_chlorine", "chlorine_dioxide"})


def test_some_small_works_measure_every_five_minutes_and_upload_after_hours():
    buffered = [works for works in county(1000, 1) if works.upload_interval_s > 60]
    assert 80 < len(buffered) < 250
    assert {works.cadence_s for works in buffered} == {300}
    assert {works.upload_interval_s for works in buffered} == {3600, 7200, 14400, 28800}


def test_every_point_expects_parameters_the_standards_tables_know():
    known = load_standards().parameters
    for works in county(300, 1):
        assert any(point.kind is PointKind.OUTLET for point in works.points)
        for point in works.points:
            assert point.parameters
            assert set(point.parameters) <= set(known)


@pytest.mark.parametrize("works", [0, -1, MAX_WORKS + 1])
def test_an_impossible_number_of_works_is_refused(works):
    with pytest.raises(ValueError, match=f"works = {works}: allowed: 1 to 100000"):
        county(works, 1)
