"""What the engine says of a works' disinfection, minute by minute. `qingquan.testing.told` explains how a story is written."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from qingquan.domain.findings import FindingKind
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from qingquan.testing.engine import make_works
from qingquan.testing.told import Story, told
from rules.engine import UNIT_STATES

FULL = ("free_chlorine", "turbidity", "flow", "doser_running", "disinfectant_level", "sample_flow")


def works(*parameters: str, **fields: object) -> Works:
    return make_works("W1", parameters or FULL, **fields)


def test_low_residual_is_said_after_half_an_hour_and_dated_from_its_first_reading() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1
        00:20  free_chlorine=0.20
        00:49  state OK, no low
        00:50  state LOW, low major since 00:20 at worst 0.20, no missing
    """)  # fmt: skip


def test_a_residual_at_the_limit_is_not_low() -> None:
    told(works(), """
        00:00  free_chlorine=0.30 flow=8 doser_running=1
        02:00  state OK, no low
    """)  # fmt: skip


def test_one_good_reading_starts_the_half_hour_anew() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:25  free_chlorine=0.30
        00:26  free_chlorine=0.20
        00:55  no low
        00:56  low since 00:26
    """)  # fmt: skip


def test_low_clears_only_well_above_the_limit_for_a_quarter_of_an_hour() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:30  low since 00:00
        00:40  free_chlorine=0.32          # above the limit, within the hysteresis
        02:00  state LOW, low since 00:00
        02:10  free_chlorine=0.35
        02:24  state LOW, low since 00:00
        02:25  state OK, low from 00:00 to 02:10
    """)  # fmt: skip


def test_a_dip_into_the_hysteresis_starts_the_clearing_anew() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:40  free_chlorine=0.40
        00:50  free_chlorine=0.33
        00:51  free_chlorine=0.40
        01:05  low since 00:00
        01:06  low from 00:00 to 00:51
    """)  # fmt: skip


def test_low_clears_on_two_readings_at_least() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:40  free_chlorine=0.40
        00:41  free_chlorine=-             # water flows, but nothing more is known of the residual
        00:56  low since 00:00
        00:57  free_chlorine=0.40
        01:11  low since 00:00
        01:12  low from 00:00 to 00:57
    """)  # fmt: skip


def test_silence_does_not_resolve_a_low_residual() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:40  low since 00:00
        00:41  free_chlorine=- flow=- doser_running=-
        09:00  low since 00:00
        09:01  free_chlorine=0.60 flow=8 doser_running=1
        09:02  low since 00:00             # two good readings, but not a quarter of an hour of them
        09:15  low since 00:00
        09:16  low from 00:00 to 09:01
    """)  # fmt: skip


def test_a_gap_while_clearing_is_no_clearing() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:40  free_chlorine=0.60
        00:42  free_chlorine=- flow=- doser_running=-
        02:00  free_chlorine=0.60 flow=8 doser_running=1
        02:14  low since 00:00
        02:15  low from 00:00 to 02:00
    """)  # fmt: skip


def test_a_gap_counts_neither_for_nor_against_the_half_hour() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:20  free_chlorine=- flow=- doser_running=-
        02:00  free_chlorine=0.20 flow=8 doser_running=1
        02:10  no low                      # 19 minutes before the gap, 10 after
        02:11  low since 00:00
    """)  # fmt: skip


def test_nothing_left_in_the_water_for_half_an_hour_is_missing() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1
        00:10  free_chlorine=0.05
        00:39  state OK, no missing
        00:40  state MISSING, missing critical since 00:10
    """)  # fmt: skip


def test_the_pump_off_for_half_an_hour_is_missing_even_while_a_residual_is_left() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1
        00:10  doser_running=0
        00:39  state OK, no missing
        00:40  state MISSING, missing since 00:10 at worst 0.60
    """)  # fmt: skip


def test_an_empty_tank_for_half_an_hour_is_missing() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1 disinfectant_level=40
        00:10  disinfectant_level=1
        00:39  no missing
        00:40  state MISSING, missing since 00:10
    """)  # fmt: skip


def test_pump_off_and_nothing_left_is_missing_after_ten_minutes() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1
        00:10  free_chlorine=0.02 doser_running=0
        00:19  no missing
        00:20  state MISSING, missing since 00:10
    """)  # fmt: skip


def test_missing_names_the_lowest_residual_of_its_whole_stretch() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1
        00:10  free_chlorine=0.01
        00:15  free_chlorine=0.05
        00:40  missing since 00:10 at worst 0.01
    """)  # fmt: skip


def test_missing_clears_when_pump_and_residual_are_back_for_a_quarter_of_an_hour() -> None:
    told(works(), """
        00:00  free_chlorine=0.00 flow=8 doser_running=0
        00:10  missing since 00:00
        00:30  free_chlorine=0.50          # by hand, the pump still stands
        01:00  state MISSING, missing since 00:00
        01:10  doser_running=1
        01:24  missing since 00:00
        01:25  state OK, missing from 00:00 to 01:10
        02:00  no missing
    """)  # fmt: skip


def test_a_pump_signal_that_falls_silent_does_not_hold_missing_against_a_good_residual() -> None:
    told(works(), """
        00:00  free_chlorine=0.00 flow=8 doser_running=0
        00:10  missing since 00:00
        00:20  doser_running=-
        00:30  free_chlorine=0.50
        00:50  missing from 00:00 to 00:35  # the pump's last word, at 00:19, is more than fifteen minutes old
        03:00  no missing
    """)  # fmt: skip


def test_too_much_chlorine_is_said_after_ten_minutes_and_is_critical_above_five() -> None:
    told(works(), """
        00:00  free_chlorine=2.00 flow=8 doser_running=1
        01:00  state OK, no high
        01:01  free_chlorine=2.01
        01:10  no high
        01:11  state HIGH, high major since 01:01, no high critical
    """)  # fmt: skip


def test_above_what_free_chlorine_meters_read_it_is_no_evidence_of_anything() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1
        00:10  free_chlorine=5.20
        00:24  no high
        00:25  state UNKNOWN, out_of_range since 00:10, unknown since 00:10, no high
    """)  # fmt: skip


def test_far_too_much_total_chlorine_is_critical() -> None:
    story = told(works("total_chlorine", "flow", disinfectant=Disinfectant.CHLORAMINE), """
        00:00  total_chlorine=0.60 flow=8
        00:10  total_chlorine=5.01
        00:20  state HIGH, high critical since 00:10, high major since 00:10
        00:30  total_chlorine=3.50
        00:45  high critical from 00:10 to 00:30, high major since 00:10
        00:50  total_chlorine=3.00
        01:05  high major from 00:10 to 00:50, state OK
    """)  # fmt: skip
    assert {one.limit for one in story.findings() if one.kind is FindingKind.DISINFECTION_HIGH} == {3.0, 5.0}


def test_without_flow_the_works_is_idle_and_the_clock_of_low_stands() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:20  flow=0
        00:29  state OK
        00:30  state IDLE, no low
        05:00  state IDLE, no low, no missing
        05:01  flow=8
        05:10  no low                      # 19 minutes before, 9 now
        05:11  low since 00:00, state LOW
    """)  # fmt: skip


def test_a_pump_that_stands_while_no_water_flows_is_no_loss() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=0 doser_running=0
        04:00  state IDLE, no missing
    """)  # fmt: skip


def test_stagnant_water_at_the_floor_is_no_loss() -> None:
    told(works(), """
        00:00  free_chlorine=0.08 flow=8 doser_running=1
        00:35  no missing                  # within the meter's accuracy of the floor, not at it
        00:36  flow=0
        00:37  free_chlorine=0.00
        02:00  no missing, state IDLE
    """)  # fmt: skip


def test_no_flow_never_resolves_missing() -> None:
    told(works(), """
        00:00  free_chlorine=0.00 flow=8 doser_running=0
        00:10  missing since 00:00
        00:20  flow=0 free_chlorine=0.60 doser_running=1
        03:00  state MISSING, missing since 00:00
        03:01  flow=8
        03:16  state OK, missing from 00:00 to 03:01
    """)  # fmt: skip


def test_a_broken_flow_meter_does_not_make_the_works_idle() -> None:
    told(works(), """
        00:00  free_chlorine=0.00 flow=-5 doser_running=0
        00:10  state MISSING, missing since 00:00, out_of_range of outlet/flow since 00:00
    """)  # fmt: skip


def test_a_dead_measuring_cell_is_unknown_and_not_missing() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1 sample_flow=1
        00:10  sample_flow=0 free_chlorine=0.00
        00:24  state OK
        00:25  state UNKNOWN, unknown since 00:10
        03:00  state UNKNOWN, no missing, no low
        03:01  sample_flow=1 free_chlorine=0.60
        03:16  state OK, unknown from 00:10 to 03:01
    """)  # fmt: skip


def test_with_a_dead_measuring_cell_the_pump_still_shows_the_loss() -> None:
    story = told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=1 sample_flow=0
        00:20  doser_running=0
        00:50  state MISSING, missing since 00:20
    """)  # fmt: skip
    (missing,) = [one for one in story.findings() if one.kind is FindingKind.DISINFECTION_MISSING]
    assert missing.extreme is None


def test_once_the_cell_works_again_missing_names_the_lowest_residual() -> None:
    told(works(), """
        00:00  free_chlorine=0.60 flow=8 doser_running=0 sample_flow=0
        00:30  missing since 00:00
        00:40  sample_flow=1 free_chlorine=0.07
        00:41  missing since 00:00 at worst 0.07
    """)  # fmt: skip


def test_a_line_at_zero_is_never_merely_stuck() -> None:
    told(works(), """
        00:00  free_chlorine=0.00 flow=8 doser_running=1
        14:00  state MISSING, missing since 00:00, no flat_line, no unknown
    """)  # fmt: skip


def test_a_flat_line_makes_the_state_unknown_after_three_hours() -> None:
    told(works(), """
        00:00  free_chlorine=~0.60 flow=8 doser_running=1
        00:10  free_chlorine=0.50
        03:09  state OK, no flat_line
        03:10  flat_line of outlet/free_chlorine since 00:10
        03:24  state OK
        03:25  state UNKNOWN, unknown since 03:10
        04:00  free_chlorine=~0.60
        04:01  flat_line from 00:10 to 04:00
        04:15  state OK, unknown from 03:10 to 04:00
    """)  # fmt: skip


def test_a_flat_line_while_no_water_flows_means_nothing() -> None:
    told(works(), """
        00:00  free_chlorine=0.50 flow=0 doser_running=0
        10:00  no flat_line
        10:01  flow=8 doser_running=1
        12:59  no flat_line
        13:00  flat_line since 10:00       # the last reading of standing water
    """)  # fmt: skip


def test_a_value_outside_the_range_is_no_evidence_either_way() -> None:
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        00:20  free_chlorine=-1
        00:28  free_chlorine=0.20
        00:37  no low                      # 8 minutes said nothing
        00:38  low since 00:00
        00:40  free_chlorine=0.60
        00:50  free_chlorine=-1
        00:51  free_chlorine=0.60
        01:05  low since 00:00
        01:06  low from 00:00 to 00:51
    """)  # fmt: skip


def test_a_flat_line_broken_by_a_wild_value_is_not_the_same_line_again() -> None:
    told(works(), """
        00:00  free_chlorine=0.50 flow=8 doser_running=1
        03:00  flat_line since 00:00
        03:10  free_chlorine=-1
        03:11  free_chlorine=0.50
        06:10  flat_line from 00:00 to 03:10, no flat_line
        06:11  flat_line since 03:11
    """)  # fmt: skip


def test_without_flow_meter_and_pump_signal_the_residual_alone_decides() -> None:
    told(works("free_chlorine"), """
        00:00  free_chlorine=0.20
        00:30  state LOW, low since 00:00
        00:40  free_chlorine=0.00
        01:10  state MISSING, missing since 00:40
        01:20  free_chlorine=0.60
        01:35  state OK, missing from 00:40 to 01:20, low from 00:00 to 01:20
    """)  # fmt: skip


def test_without_pump_signal_a_dead_cell_stays_unknown() -> None:
    told(works("free_chlorine", "flow", "sample_flow"), """
        00:00  free_chlorine=0.00 flow=8 sample_flow=0
        06:00  state UNKNOWN, no missing
    """)  # fmt: skip


def test_chlorine_dioxide_is_held_against_its_own_rows() -> None:
    story = told(works("chlorine_dioxide", "flow", disinfectant=Disinfectant.CHLORINE_DIOXIDE), """
        00:00  chlorine_dioxide=0.10 flow=8
        00:40  state OK, no low
        00:41  chlorine_dioxide=0.09
        01:11  low since 00:41
        01:20  chlorine_dioxide=0.12
        01:35  low from 00:41 to 01:20
        02:00  chlorine_dioxide=0.81
        02:10  high since 02:00
        02:20  chlorine_dioxide=0.02
        02:50  missing since 02:20
    """)  # fmt: skip
    assert {one.clause for one in story.findings() if one.kind is FindingKind.DISINFECTION_LOW} == {
        "GB 5749-2022 Table 2"
    }


def test_a_works_on_ultraviolet_has_no_residual_to_judge_but_turbidity_is_judged() -> None:
    story = told(works("free_chlorine", "turbidity", disinfectant=Disinfectant.UV), """
        00:00  free_chlorine=0.00 turbidity=1.2
        00:30  exceedance minor of outlet/turbidity since 00:00, no missing, no low, no unknown
    """)  # fmt: skip
    assert tuple(story.account.plan.unit_points) == ()


@pytest.mark.parametrize(("limited", "population", "limit"), [(True, 900, 3.0), (False, 900, 1.0), (True, 20_000, 1.0)])
def test_only_a_small_supply_with_a_limited_source_may_have_turbidity_three(
    limited: bool, population: int, limit: float
) -> None:
    supply = works(
        "turbidity",
        source_limited=limited,
        population=population,
        capacity_m3_d=200.0 if population < 10_000 else 5000.0,
    )
    story = told(supply, """
        00:00  turbidity=3.1
        00:30  exceedance minor of outlet/turbidity since 00:00, exceedance major since 00:00
    """)  # fmt: skip
    assert {one.limit for one in story.findings() if one.rule == "turbidity-above-limit"} == {limit}
    quiet = told(supply, """
        00:00  turbidity=3.0
        01:00  no exceedance major
    """)  # fmt: skip
    assert bool(quiet.findings()) is (limit == 1.0)


def test_the_limit_changes_at_midnight_by_the_works_clock() -> None:
    evening = int(datetime(2023, 3, 31, 23, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000)
    story = told(works(), """
        00:00  free_chlorine=3.00 flow=8 doser_running=1   # 23:00 on 31 March 2023: up to 4 mg/L
        00:59  state OK, no high
        01:09  no high
        01:10  state HIGH, high since 01:00                # midnight of 1 April: up to 2 mg/L
    """, evening)  # fmt: skip
    (high,) = story.findings()
    assert (high.limit, high.clause, high.evidence["limit_id"]) == (
        2.0, "GB 5749-2022 Table 2", "gb5749-2022.free_chlorine.outlet",
    )  # fmt: skip


def test_the_limit_of_the_old_edition_is_named_before_that_midnight() -> None:
    evening = int(datetime(2023, 3, 31, 22, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000)
    story = told(works(), """
        00:00  free_chlorine=4.01 flow=8 doser_running=1
        00:10  high since 00:00
    """, evening)  # fmt: skip
    (high,) = story.findings()
    assert (high.limit, high.clause) == (4.0, "GB 5749-2006 Table 2")


def test_before_any_edition_nothing_is_low_or_high_but_a_loss_is_a_loss() -> None:
    long_ago = int(datetime(2005, 1, 1, tzinfo=ZoneInfo("Asia/Shanghai")).timestamp() * 1000)
    told(works(), """
        00:00  free_chlorine=0.20 flow=8 doser_running=1
        01:00  no low
        01:01  free_chlorine=0.00
        01:31  missing since 01:01
    """, long_ago)  # fmt: skip


def test_each_outlet_is_judged_by_its_own_residual_and_signals() -> None:
    points = tuple(
        SamplingPoint(name, PointKind.OUTLET, name, ("free_chlorine", "flow", "doser_running"))
        for name in ("east", "west")
    )
    told(works(points=points), """
        00:00  east/free_chlorine=0.60 east/flow=8 east/doser_running=1
        00:00  west/free_chlorine=0.60 west/flow=8 west/doser_running=1
        00:10  west/free_chlorine=0.00 west/doser_running=0
        00:20  state OK of east, state MISSING of west, missing of west since 00:10, no missing of east
        00:30  east/flow=0
        00:40  state IDLE of east, state MISSING of west
    """)  # fmt: skip


def test_two_outlets_share_the_only_flow_meter_of_the_works() -> None:
    points = (
        SamplingPoint("east", PointKind.OUTLET, "东线", ("free_chlorine", "flow")),
        SamplingPoint("west", PointKind.OUTLET, "西线", ("free_chlorine",)),
    )
    told(works(points=points), """
        00:00  east/free_chlorine=0.60 west/free_chlorine=0.60 east/flow=0
        00:10  state IDLE of east, state IDLE of west
    """)  # fmt: skip


def test_the_end_of_the_network_has_its_own_residual_limit() -> None:
    points = (
        SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine",)),
        SamplingPoint("end", PointKind.NETWORK_END, "末梢水", ("free_chlorine",)),
    )
    told(works(points=points), """
        00:00  free_chlorine=0.40 end/free_chlorine=0.05
        01:00  no exceedance, state OK
        01:01  end/free_chlorine=0.04
        01:31  exceedance major of end/free_chlorine since 01:01, state OK
        01:40  end/free_chlorine=0.06
        01:55  exceedance of end/free_chlorine from 01:01 to 01:40
    """)  # fmt: skip


def test_raw_water_is_not_held_against_the_drinking_water_standard() -> None:
    points = (
        SamplingPoint("raw", PointKind.SOURCE, "原水", ("turbidity",)),
        SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("turbidity",)),
    )
    told(works(points=points), """
        00:00  raw/turbidity=80 turbidity=0.4
        02:00  no exceedance
    """)  # fmt: skip


LINE_OF_SAMPLE = ("free_chlorine", "turbidity", "ph", "flow")


def test_a_residual_that_fades_while_the_sample_line_stands_is_unknown_and_not_lost() -> None:
    told(works(*LINE_OF_SAMPLE), """
        00:00  free_chlorine=0.60 flow=8 turbidity=0.40 ph=7.40
        00:30  free_chlorine=0.40 turbidity=0.33 ph=7.46     # the water in the cell stands since a few minutes
        00:40  free_chlorine=0.20 turbidity=0.28 ph=7.52
        00:50  free_chlorine=0.02 turbidity=0.20 ph=7.60
        00:51  state UNKNOWN, unknown major since 00:40, no missing
        02:30  unknown major since 00:40, no missing, no low
        02:31  free_chlorine=0.60 turbidity=0.40 ph=7.40     # it flows again
        02:46  state OK, unknown from 00:40 to 02:31, no missing
    """)  # fmt: skip


def test_the_doubt_of_a_standing_sample_line_ends_after_four_hours() -> None:
    told(works(*LINE_OF_SAMPLE), """
        00:00  free_chlorine=0.60 flow=8 turbidity=0.40 ph=7.40
        00:30  free_chlorine=0.02 turbidity=0.20 ph=7.60
        04:29  state UNKNOWN, no missing
        05:05  state MISSING, missing critical
    """)  # fmt: skip


def test_turbidity_alone_is_no_sign_of_standing_water() -> None:
    told(works(*LINE_OF_SAMPLE), """
        00:00  free_chlorine=0.60 flow=8 turbidity=0.40 ph=7.40
        00:30  free_chlorine=0.02 turbidity=0.20 ph=7.42     # a filter freshly washed, and dosing lost
        01:00  state MISSING, missing critical since 00:30
    """)  # fmt: skip


def test_a_pump_known_to_stand_is_a_loss_whatever_the_sample_line_says() -> None:
    told(works(*LINE_OF_SAMPLE, "doser_running"), """
        00:00  free_chlorine=0.60 flow=8 turbidity=0.40 ph=7.40 doser_running=1
        00:30  free_chlorine=0.02 turbidity=0.20 ph=7.60 doser_running=0
        01:00  state MISSING, missing critical since 00:30
    """)  # fmt: skip


def test_where_a_switch_tells_that_the_sample_flows_the_sample_line_is_not_asked() -> None:
    told(works(*LINE_OF_SAMPLE, "sample_flow"), """
        00:00  free_chlorine=0.60 flow=8 turbidity=0.40 ph=7.40 sample_flow=1
        00:30  free_chlorine=0.02 turbidity=0.20 ph=7.60
        01:00  state MISSING, missing critical since 00:30
    """)  # fmt: skip


def test_a_slow_fall_counts_from_within_the_accuracy_of_the_analyser() -> None:
    told(works("free_chlorine", "flow"), """
        00:00  free_chlorine=0.60 flow=8
        00:10  free_chlorine=0.15
        00:20  free_chlorine=0.10
        00:30  free_chlorine=0.13          # noise does not leave the stretch
        00:40  free_chlorine=0.05
        00:41  free_chlorine=0.08
        00:49  no missing
        00:50  missing critical since 00:20 at worst 0.05
    """)  # fmt: skip


def test_what_never_reaches_the_floor_is_low_and_not_missing() -> None:
    told(works("free_chlorine", "flow"), """
        00:00  free_chlorine=0.60 flow=8
        00:10  free_chlorine=0.15
        00:20  free_chlorine=0.07
        02:00  state LOW, no missing
    """)  # fmt: skip


def test_after_a_fall_in_one_step_only_readings_at_the_floor_count() -> None:
    told(works("free_chlorine", "flow"), """
        00:00  free_chlorine=0.60 flow=8
        00:10  free_chlorine=0.08          # an offset of the analyser, say
        00:20  free_chlorine=0.05
        00:21  free_chlorine=0.08
        02:00  state LOW, no missing
        02:10  free_chlorine=0.02
        02:40  missing critical since 02:10
    """)  # fmt: skip


def mixed(**fields: object) -> Works:
    return works("chlorine_dioxide", "free_chlorine", "flow", disinfectant=Disinfectant.MIXED_CLO2_CL2, **fields)


def test_one_residual_of_a_mixed_generator_suffices() -> None:
    told(mixed(), """
        00:00  chlorine_dioxide=0.15 free_chlorine=0.10 flow=8
        02:00  chlorine_dioxide=0.01 free_chlorine=0.40
        04:00  no low, no missing, no high
    """)  # fmt: skip


def test_a_mixed_generator_is_low_and_lost_only_by_both_residuals() -> None:
    told(mixed(), """
        00:00  chlorine_dioxide=0.15 free_chlorine=0.40 flow=8
        00:10  chlorine_dioxide=0.05 free_chlorine=0.20
        00:40  low major of outlet/chlorine_dioxide since 00:10, low of outlet/free_chlorine since 00:10, no missing
        01:00  chlorine_dioxide=0.00 free_chlorine=0.00
        01:30  missing critical of outlet/chlorine_dioxide since 01:00, missing of outlet/free_chlorine since 01:00
        01:31  free_chlorine=0.60          # the other one alone proves the water disinfected
        01:46  missing of outlet/chlorine_dioxide from 01:00 to 01:31, low of outlet/free_chlorine from 00:10 to 01:31
    """)  # fmt: skip


def test_each_residual_of_a_mixed_generator_has_its_own_upper_limit() -> None:
    told(mixed(), """
        00:00  chlorine_dioxide=0.15 free_chlorine=2.5 flow=8
        00:10  high major of outlet/free_chlorine since 00:00, no high of outlet/chlorine_dioxide
    """)  # fmt: skip


def test_a_mixed_generator_with_one_residual_unknown_is_not_called_good() -> None:
    story = told(mixed(), """
        00:00  chlorine_dioxide=0.15 free_chlorine=0.10 flow=8
        01:00  free_chlorine=-
        01:30  unknown of outlet/chlorine_dioxide, no low
    """)  # fmt: skip
    states = {UNIT_STATES[int(row["state"])].name for row in story.account.state.units[0]}
    assert states == {"UNKNOWN"}


def test_a_measurement_by_hand_at_the_floor_is_a_loss_at_once() -> None:
    story = Story(works("free_chlorine", evidence="hand"))
    logged(story, 8, 0.50)
    story.expect("state OK", "day 1")
    logged(story, 32, 0.05)
    story.expect("missing critical since 32:00 at worst 0.05", "day 2")
    logged(story, 33, 0.50)
    story.expect("state OK", "an hour later")
    story.expect("missing from 32:00 to 33:00", "an hour later")


def test_a_measurement_by_hand_below_the_limit_is_low_at_once() -> None:
    story = Story(works("free_chlorine", evidence="hand"))
    logged(story, 8, 0.20)
    story.expect("low major since 08:00 at worst 0.20", "day 1")
    story.expect("no missing", "day 1")
    logged(story, 32, 0.40)
    story.expect("low from 08:00 to 32:00", "day 2")


def test_the_same_colour_read_by_hand_on_many_days_is_no_stuck_sensor() -> None:
    story = Story(works("free_chlorine", evidence="hand"))
    for day in range(14):
        logged(story, 8 + 24 * day, 0.50)
    story.expect("state OK", "two weeks")
    story.expect("no flat_line", "two weeks")


def logged(story: Story, hour: int, value: float) -> None:
    """One measurement by hand."""
    story.signals = {"free_chlorine": str(value)}
    story.minute(hour * 60)


MAINTAINED = ("free_chlorine", "turbidity", "flow", "maintenance")


def test_maintenance_of_a_point_pauses_its_judging_without_a_word() -> None:
    told(works(*MAINTAINED), """
        00:00  free_chlorine=0.60 flow=8 turbidity=0.40
        00:20  maintenance=1
        00:21  maintenance=- free_chlorine=0.00 turbidity=9.0
        01:30  state UNKNOWN, no missing, no low, no exceedance, no unknown
        01:31  maintenance=0 free_chlorine=0.60 turbidity=0.40
        01:33  state OK
    """)  # fmt: skip


def test_after_maintenance_a_loss_has_to_last_its_half_hour_anew() -> None:
    told(works(*MAINTAINED), """
        00:00  free_chlorine=0.02 flow=8
        00:20  maintenance=1
        01:00  maintenance=0
        01:29  no missing
        01:30  missing critical since 01:00
    """)  # fmt: skip


def test_maintenance_that_nobody_ends_is_over_after_four_hours() -> None:
    told(works(*MAINTAINED), """
        00:00  free_chlorine=0.60 flow=8
        00:20  maintenance=1
        00:21  maintenance=- free_chlorine=0.00
        04:40  no missing
        04:52  state MISSING, missing critical
    """)  # fmt: skip


def uv(*parameters: str) -> Works:
    return works(*parameters, "flow", disinfectant=Disinfectant.UV)


def test_an_ultraviolet_dose_too_small_is_low_and_none_is_missing() -> None:
    told(uv("uv_dose", "uv_lamp"), """
        00:00  uv_dose=62 uv_lamp=1 flow=8
        00:30  state OK
        00:40  uv_dose=35
        01:10  state LOW, low major since 00:40 at worst 35
        01:20  uv_dose=2
        01:50  state MISSING, missing critical since 01:20
        02:00  uv_dose=60
        02:15  state OK, missing from 01:20 to 02:00, low from 00:40 to 02:00
    """)  # fmt: skip


def test_a_dark_lamp_and_no_dose_are_missing_after_ten_minutes_and_a_dark_lamp_alone_after_thirty() -> None:
    told(uv("uv_dose", "uv_lamp"), """
        00:00  uv_dose=62 uv_lamp=1 flow=8
        00:30  uv_dose=0 uv_lamp=0
        00:40  state MISSING, missing critical since 00:30
    """)  # fmt: skip
    told(uv("uv_lamp"), """
        00:00  uv_lamp=1 flow=8
        00:10  state OK
        00:30  uv_lamp=0
        00:59  no missing
        01:00  state MISSING, missing critical since 00:30
        01:10  flow=0
        01:21  state MISSING               # water at rest proves nothing
    """)  # fmt: skip


def test_an_ultraviolet_reactor_at_rest_is_idle_and_a_silent_one_unknown() -> None:
    told(uv("uv_dose"), """
        00:00  uv_dose=0 flow=0
        00:11  state IDLE
        01:00  flow=8 uv_dose=70
        01:05  state OK
        01:10  uv_dose=-
        01:45  state UNKNOWN, unknown minor, no missing
    """)  # fmt: skip


def test_at_a_point_of_the_network_without_residual_the_loss_is_said_there() -> None:
    end = SamplingPoint("end", PointKind.NETWORK_END, "末梢", ("free_chlorine",))
    outlet = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine", "flow"))
    told(works(points=(outlet, end)), """
        00:00  free_chlorine=0.60 flow=8 end/free_chlorine=0.30
        00:20  end/free_chlorine=0.02
        00:49  no missing
        00:50  state OK, missing major of end/free_chlorine since 00:20 at worst 0.02
        01:00  end/free_chlorine=0.30
        01:15  missing of end/free_chlorine from 00:20 to 01:00
    """)  # fmt: skip


def test_one_residual_of_a_mixed_generator_suffices_at_the_network_end_too() -> None:
    codes = ("chlorine_dioxide", "free_chlorine")
    end = SamplingPoint("end", PointKind.NETWORK_END, "末梢", codes)
    outlet = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", (*codes, "flow"))
    told(works(points=(outlet, end), disinfectant=Disinfectant.MIXED_CLO2_CL2), """
        00:00  chlorine_dioxide=0.2 free_chlorine=0.4 flow=8 end/chlorine_dioxide=0.00 end/free_chlorine=0.10
        01:00  no missing, no compound, no exceedance of end
        01:10  end/free_chlorine=0.01
        01:45  compound major of end/chlorine_dioxide since 01:10, no missing
    """)  # fmt: skip
