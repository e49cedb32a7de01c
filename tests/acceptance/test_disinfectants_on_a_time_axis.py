"""Each way of disinfecting, held against its own rows and floor, from start to end of a loss."""

import pytest

from qingquan.domain.findings import FindingKind
from qingquan.domain.works import Disinfectant, Works
from qingquan.testing.engine import make_works
from qingquan.testing.told import told


def works(disinfectant: Disinfectant, *parameters: str, **fields: object) -> Works:
    return make_works("W1", (*parameters, "flow", "doser_running"), disinfectant=disinfectant, **fields)


def test_chloramine_is_held_against_half_a_milligram_of_total_chlorine() -> None:
    story = told(works(Disinfectant.CHLORAMINE, "total_chlorine"), """
        00:00  total_chlorine=0.50 flow=8 doser_running=1
        00:40  state OK, no low
        00:41  total_chlorine=0.45
        01:10  no low
        01:11  state LOW, low major since 00:41
        01:20  total_chlorine=0.60
        01:35  state OK, low from 00:41 to 01:20
        02:00  total_chlorine=3.20
        02:09  no high
        02:10  state HIGH, high major since 02:00
        02:20  total_chlorine=0.04
        02:50  state MISSING, missing critical since 02:20
    """)  # fmt: skip
    assert {one.parameter for one in story.findings()} == {"total_chlorine"}


def test_free_chlorine_proves_nothing_at_a_works_on_chloramine() -> None:
    told(works(Disinfectant.CHLORAMINE, "total_chlorine", "free_chlorine"), """
        00:00  total_chlorine=0.80 free_chlorine=0.00 flow=8 doser_running=1
        02:00  state OK, no missing, no low
    """)  # fmt: skip


def test_chlorine_dioxide_lost_with_its_generator_is_missing_after_ten_minutes() -> None:
    told(works(Disinfectant.CHLORINE_DIOXIDE, "chlorine_dioxide"), """
        00:00  chlorine_dioxide=0.20 flow=8 doser_running=1
        00:20  chlorine_dioxide=0.01 doser_running=0
        00:29  no missing
        00:30  state MISSING, missing critical since 00:20
        01:00  chlorine_dioxide=0.20 doser_running=1
        01:15  state OK, missing from 00:20 to 01:00
    """)  # fmt: skip


def test_ozone_has_no_lower_limit_at_the_outlet_but_a_floor_and_an_upper_limit() -> None:
    story = told(works(Disinfectant.OZONE, "ozone"), """
        00:00  ozone=0.05 flow=8 doser_running=1
        01:00  state OK, no low
        01:01  ozone=0.31
        01:10  no high
        01:11  state HIGH, high major since 01:01
        01:20  ozone=0.10
        01:35  state OK, high from 01:01 to 01:20
        02:00  ozone=0.02
        02:29  no missing
        02:30  state MISSING, missing critical since 02:00
    """)  # fmt: skip
    assert not any(one.kind is FindingKind.DISINFECTION_LOW for one in story.findings())


@pytest.mark.parametrize(
    ("disinfectant", "residual"),
    [
        (Disinfectant.FREE_CHLORINE, "free_chlorine"), (Disinfectant.CHLORAMINE, "total_chlorine"),
        (Disinfectant.CHLORINE_DIOXIDE, "chlorine_dioxide"), (Disinfectant.OZONE, "ozone"),
    ],
)  # fmt: skip
def test_without_flow_every_works_is_idle_and_without_sample_water_unknown(
    disinfectant: Disinfectant, residual: str
) -> None:
    told(works(disinfectant, residual, "sample_flow"), f"""
        00:00  {residual}=0.20 flow=0 doser_running=0 sample_flow=1
        00:10  state IDLE, no missing
        01:00  {residual}=0.00 flow=8 doser_running=1 sample_flow=0
        01:20  state UNKNOWN, unknown, no missing
    """)  # fmt: skip


@pytest.mark.parametrize("disinfectant", [Disinfectant.UV, Disinfectant.NONE])
def test_where_nothing_is_dosed_no_residual_is_judged_missing(disinfectant: Disinfectant) -> None:
    story = told(works(disinfectant, "free_chlorine", "turbidity"), """
        00:00  free_chlorine=0.00 turbidity=0.4 flow=8 doser_running=0
        03:00  no missing, no low, no high
    """)  # fmt: skip
    assert tuple(story.account.plan.unit_points) == ()


def test_a_hand_logged_works_on_chlorine_dioxide_is_judged_by_each_measurement() -> None:
    told(make_works("W1", ("chlorine_dioxide",), disinfectant=Disinfectant.CHLORINE_DIOXIDE, evidence="hand"), """
        00:00  chlorine_dioxide=0.08
        00:00  state LOW, low major since 00:00
        00:01  chlorine_dioxide=0.02
        00:01  state MISSING, missing critical since 00:01
        00:02  chlorine_dioxide=0.20
        00:02  state OK, missing from 00:01 to 00:02
    """)  # fmt: skip
