"""What single quality tests say, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from qingquan.domain.quality import QualityTest, test_names
from qingquan.errors import ConfigurationError
from qingquan.standards.loader import load_standards
from qingquan.standards.quality import load_cross, load_quality_rows, quality_rows_from, quality_settings
from qingquan.standards.tables import packaged_table
from rules.quality.assess import CrossSettings, assess
from rules.quality.columns import Around, Columns, known_at, ph_of_the_day_before
from rules.quality.qartod import gross_range

MINUTE, HOUR = 60_000, 3_600_000
START = 1_780_000_000_000
CROSS = CrossSettings(0.3, 0.1, 0.15, 0.05, 24 * HOUR, 2 * HOUR, 10 * MINUTE)
CHLORINE = quality_settings(load_standards().parameters["free_chlorine"], "outlet", 60, 0.05)


def lively(size: int, level: float = 0.5) -> np.ndarray:
    """A level with a movement that no test minds."""
    return level + 0.03 * np.sin(np.arange(size) / 7)


def minutes(size: int) -> np.ndarray:
    return START + np.arange(size) * MINUTE


def judged(values: np.ndarray, **known: np.ndarray) -> tuple[list[int], list[tuple[str, ...]]]:
    size = len(values)
    found = assess(Columns.of(minutes(size), values, around=Around.nothing(size, **known)), CHLORINE, CROSS)
    return found.flag.tolist(), [test_names(int(bits)) for bits in found.tests]


def test_a_lively_series_passes() -> None:
    flags, tests = judged(lively(300))
    assert set(flags) == {1}
    assert set(tests) == {()}


def test_the_ends_of_a_span_are_inside_and_one_step_beyond_is_not() -> None:
    values = np.array(
        [0.0, np.nextafter(0, -1), 4.0, np.nextafter(4.0, 5), 5.0, np.nextafter(5.0, 6), np.inf, -np.inf, np.nan]
    )
    assert gross_range(values, 0.0, 5.0, 0.0, 4.0).tolist() == [1, 4, 1, 3, 3, 4, 4, 4, 9]


def test_a_missing_value_is_nine_and_nothing_else() -> None:
    values = lively(10)
    values[4] = np.nan
    flags, tests = judged(values)
    assert flags[4] == 9
    assert tests[4] == ("missing",)


def test_one_high_reading_is_a_spike_and_the_return_from_it_no_rate() -> None:
    values = lively(60)
    values[30] = 2.0
    flags, tests = judged(values)
    assert flags[30] == 4
    assert "spike" in tests[30]
    assert flags[31] == 1


def test_a_step_is_no_spike() -> None:
    values = np.r_[lively(30, 0.5), lively(30, 1.4)]
    flags, tests = judged(values)
    assert tests[30] == ("rate_of_change",)
    assert not any("spike" in names for names in tests)
    assert flags[31] == 1


@pytest.mark.parametrize(("level", "expected"), [(0.4, "flat_line"), (0.0, "")])
def test_a_flat_line_is_stuck_but_not_at_zero(level: float, expected: str) -> None:
    values = np.full(14 * 60, level)
    flags, tests = judged(values)
    assert flags[2 * 60 + 59] == 1
    assert flags[3 * 60] == (3 if expected else 1)
    assert flags[12 * 60] == (4 if expected else 1)
    assert (expected in tests[-1]) if expected else tests[-1] == ()


def test_a_silence_begins_a_flat_line_anew() -> None:
    times = np.r_[minutes(150), START + 200 * MINUTE + np.arange(150) * MINUTE]
    found = assess(Columns.of(times, np.full(300, 0.4)), CHLORINE, CROSS)
    assert set(found.flag.tolist()) <= {1}
    assert test_names(int(found.tests[150])) == ("gap",)


def test_a_flat_line_means_nothing_while_no_water_flows() -> None:
    flags, _ = judged(np.full(600, 0.4), flow=np.zeros(600))
    assert set(flags) == {1}


def test_a_signal_that_hardly_moves_for_a_day_is_attenuated() -> None:
    slow = np.round(0.4 + 0.0125 * np.sin(np.arange(1500) / 20), 4)
    flags, tests = judged(slow)
    assert tests[-1] == ("attenuated_signal",)
    assert flags[-1] == 3
    assert flags[600] == 1


def test_readings_without_sample_flow_fail_and_do_not_count_for_others() -> None:
    values, flowing = lively(60), np.ones(60)
    flowing[20:30] = 0
    values[20:30] = 0.0
    flags, tests = judged(values, sample_flow=flowing)
    assert flags[20:30] == [4] * 10
    assert tests[25] == ("sample_flow",)
    assert flags[30] == 1


def test_maintenance_is_suspect_by_name_and_primes_anew_afterwards() -> None:
    values, serviced = np.full(400, 0.4), np.zeros(400)
    serviced[100:130] = 1
    values[100:130] = np.linspace(0, 3, 30)
    flags, tests = judged(values, maintenance=serviced)
    assert set(flags[100:130]) == {3}
    assert {"maintenance"} == set(tests[110])
    assert flags[130] == 1
    assert flags[180 + 129] == 1
    assert flags[180 + 130] == 3


def test_a_changed_ph_makes_an_uncompensated_cell_suspect() -> None:
    ph = np.r_[np.full(30, 7.5), np.full(30, 8.1)]
    _, tests = judged(lively(60), ph=ph, ph_before=np.full(60, 7.5), temperature=np.full(60, 15.0))
    assert tests[29] == ()
    assert tests[30] == ("ph_effect",)


def test_free_chlorine_cannot_exceed_total_chlorine() -> None:
    _, tests = judged(lively(10), total_chlorine=np.r_[np.full(5, 0.52), np.full(5, 0.3)])
    assert [names == ("free_above_total",) for names in tests] == [False] * 5 + [True] * 5


def test_a_cell_that_starved_for_a_day_is_doubted_for_two_hours() -> None:
    values = np.r_[np.zeros(25 * 60), lively(4 * 60)]
    flags, tests = judged(values)
    assert "starved_cell" in tests[25 * 60 + 1]
    assert "starved_cell" not in tests[27 * 60 + 1]
    assert flags[24 * 60] == 1


def test_the_devices_word_and_a_wrong_clock_are_taken() -> None:
    times = minutes(5)
    device, received = np.array([2, 3, 4, 1, 2], np.uint8), times.copy()
    received[4] -= 11 * MINUTE
    found = assess(Columns.of(times, lively(5), device, received), CHLORINE, CROSS)
    assert [test_names(int(bits)) for bits in found.tests] == [(), ("device",), ("device",), (), ("clock",)]
    assert found.flag.tolist() == [1, 3, 4, 1, 3]
    old = times - 10 * 365 * 24 * HOUR
    assert test_names(int(assess(Columns.of(old, lively(5), received=times), CHLORINE, CROSS).tests[0])) == ("clock",)
    assert not assess(Columns.of(old, lively(5)), CHLORINE, CROSS).tests.any(), "a recording may be old"


def test_a_repeated_reading_is_named_and_another_value_is_a_conflict() -> None:
    times = minutes(4)[[0, 1, 1, 2, 2, 3, 0]]
    values = np.array([0.5, 0.52, 0.52, 0.5, 0.7, 0.51, 0.5])
    found = assess(Columns.of(times, values), CHLORINE, CROSS)
    names = [test_names(int(bits)) for bits in found.tests]
    assert names == [(), (), ("duplicate",), ("conflict",), ("conflict",), (), ("out_of_order", "duplicate")]
    assert found.flag.tolist() == [1, 1, 2, 3, 3, 1, 2]


def test_a_reading_later_than_the_window_is_not_tested_and_tests_no_other() -> None:
    times = minutes(40)
    late = Columns.of(np.r_[times, times[5] + 1], np.r_[lively(40), 4.9])
    found = assess(late, CHLORINE, CROSS, lateness_ms=10 * MINUTE)
    assert found.flag[-1] == 2
    assert test_names(int(found.tests[-1])) == ("out_of_order",)
    assert set(found.flag[:-1].tolist()) == {1}


def test_no_readings_and_one_reading_are_no_trouble() -> None:
    assert len(assess(Columns.of(minutes(0), np.empty(0)), CHLORINE, CROSS)) == 0
    assert assess(Columns.of(minutes(1), np.array([0.5])), CHLORINE, CROSS).flag.tolist() == [1]


def test_what_was_known_is_the_newest_before_and_not_too_old() -> None:
    at = np.array([0, 10, 20], np.int64)
    known = known_at(np.array([5, 10, 25, 200]), at, np.array([1.0, np.nan, 3.0]), 100)
    assert np.array_equal(known, [1.0, 1.0, 3.0, np.nan], equal_nan=True)
    assert np.isnan(known_at(np.array([5]), np.empty(0, np.int64), np.empty(0), 100)).all()


def test_the_ph_of_the_day_before_needs_a_dozen_readings() -> None:
    day = 86_400_000
    at = np.arange(24, dtype=np.int64) * (day // 24)
    found = ph_of_the_day_before(np.array([day // 2, day + 1, 2 * day + 1]), at, np.linspace(7, 8, 24))
    assert np.array_equal(found, [np.nan, 7.5, np.nan], equal_nan=True)


def test_raw_water_knows_the_instruments_span_alone() -> None:
    turbidity = load_standards().parameters["turbidity"]
    assert quality_settings(turbidity, "outlet", 60, -np.inf).suspect_max == 50
    assert quality_settings(turbidity, "source", 60, -np.inf).suspect_max == turbidity.raw_range_max


def test_a_wrong_row_is_named_with_all_the_others() -> None:
    text = packaged_table("quality_tests.csv")
    wrong = (
        text.replace("ph,4.5,10.5,", "ph,4.5,20,").replace("opposed,2,8,", "sideways,2,8,").replace("orp,", "redox,")
    )
    with pytest.raises(ConfigurationError) as refused:
        quality_rows_from(wrong, load_standards().parameters)
    said = "\n".join(refused.value.faults)
    for words in ("quality_tests.csv:7", "quality_tests.csv:8", "allowed: mean, opposed", "'redox'", "orp has no row"):
        assert words in said


def test_the_tables_name_a_source_for_every_row() -> None:
    assert all(row.source for row in load_quality_rows().values())
    assert load_cross()["ph_share"] == 0.3


def test_bits_have_names_and_keep_them() -> None:
    assert test_names(int(QualityTest.SPIKE | QualityTest.MISSING)) == ("missing", "spike")
    assert [test.value for test in QualityTest] == [1 << n for n in range(17)]
    assert replace(CHLORINE, attenuated_ms=0).memory_ms == 12 * HOUR
