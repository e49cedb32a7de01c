"""Health of a sensor: what takes points, and how many days are left."""

import numpy as np

from qingquan.domain.quality import Flagged, HandCheck, QualityTest
from rules.quality.health import sensor_health

DAY, MINUTE = 86_400_000, 60_000
NOW = 1_780_000_000_000
SINCE = NOW - 7 * DAY
TIMES = np.arange(SINCE, NOW, 10 * MINUTE)


def lively(times: np.ndarray = TIMES) -> np.ndarray:
    return 0.5 + 0.02 * np.sin(np.arange(len(times)))


def flagged(size: int, flag: int = 1, test: int = 0, count: int = 0) -> Flagged:
    flags, tests = np.ones(size, np.uint8), np.zeros(size, np.int32)
    flags[:count], tests[:count] = flag, test
    return Flagged(flags, tests)


def health(values: np.ndarray, found: Flagged, times: np.ndarray = TIMES, **known):  # type: ignore[no-untyped-def]
    return sensor_health(
        "outlet", "free_chlorine", times, values, found, since=SINCE, now=NOW, cadence_ms=10 * MINUTE, **known
    )


def test_a_sound_sensor_has_all_points_and_no_date_without_a_calibration() -> None:
    found = health(lively(), flagged(len(TIMES)))
    assert (found.score, found.days_to_service, found.reasons) == (100, None, ())


def test_failed_readings_cost_more_than_suspect_ones_and_are_named() -> None:
    size = len(TIMES)
    suspect = health(lively(), flagged(size, 3, QualityTest.SPIKE, size // 10))
    failed = health(lively(), flagged(size, 4, QualityTest.SPIKE, size // 10))
    assert failed.score is not None
    assert suspect.score is not None
    assert failed.score < suspect.score < 100
    assert [one.what for one in failed.reasons] == ["spike"]
    assert round(failed.reasons[0].share, 2) == 0.1


def test_maintenance_and_a_dry_cell_are_not_the_sensors_fault() -> None:
    size = len(TIMES)
    for test in (QualityTest.MAINTENANCE, QualityTest.SAMPLE_FLOW):
        assert health(lively(), flagged(size, 4, test | QualityTest.GROSS_RANGE, size // 2)).score == 100


def test_a_silent_sensor_scores_low_but_a_new_one_has_no_score() -> None:
    none = np.empty(0, np.int64)
    assert (silent := health(np.empty(0), flagged(0), none)).score == 40
    assert silent.days_to_service == 0
    new = sensor_health(
        "o", "ph", none, np.empty(0), flagged(0), since=NOW - DAY // 24, now=NOW, cadence_ms=10 * MINUTE
    )
    assert new.score is None


def test_a_calibration_runs_out_and_an_overdue_one_costs_points() -> None:
    fresh = health(lively(), flagged(len(TIMES)), serviced_at=NOW - 10 * DAY, service_days=28)
    old = health(lively(), flagged(len(TIMES)), serviced_at=NOW - 40 * DAY, service_days=28)
    assert (fresh.score, fresh.days_to_service) == (100, 18)
    assert (old.score, old.days_to_service) == (80, 0)
    assert old.reasons[0].what == "service_overdue"


def test_drift_out_of_tolerance_is_service_now_and_a_slow_one_has_a_date() -> None:
    far = [HandCheck(NOW - n * DAY, 0.5, 0.75) for n in (3, 2, 1)]
    found = health(lively(), flagged(len(TIMES)), references=far)
    assert found.reasons[0].what == "drift"
    assert found.days_to_service == 0
    slow = [HandCheck(NOW - n * DAY, 0.5, 0.5 - 0.01 * (40 - n) / 5) for n in (40, 30, 20, 10, 0)]
    left = health(lively(), flagged(len(TIMES)), references=slow)
    assert left.score == 100
    assert left.days_to_service in (9, 10)


def test_noise_that_grew_is_named() -> None:
    values = lively()
    values[-144:] += np.where(np.arange(144) % 2, 0.1, -0.1)
    found = health(values, flagged(len(TIMES)))
    assert [one.what for one in found.reasons] == ["noise"]


def test_a_sensor_that_is_faulty_now_needs_service_now() -> None:
    found = flagged(len(TIMES))
    found.flag[-40:], found.tests[-40:] = 3, QualityTest.FLAT_LINE
    stuck = health(lively(), found)
    assert stuck.reasons[0].what == "faulty_now"
    assert stuck.days_to_service == 0
    found.flag[-10:], found.tests[-10:] = 1, 0
    assert "faulty_now" not in {one.what for one in health(lively(), found).reasons}
