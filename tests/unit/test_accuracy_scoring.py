"""The scorer on rows counted by hand, and the other detectors on a step that all of them must see."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from qingquan.cli import app
from qingquan.services.bench.accuracy.page import run_accuracy
from qingquan.services.bench.accuracy.rivals import RIVALS, RULES, AlarmRule, alarm_rules, alarms
from qingquan.services.bench.accuracy.scoring import alerts, average_precision, f1_interval, runs, scored

WEEK_ROWS = 10_081
TIMES = 60 * np.arange(WEEK_ROWS, dtype=np.int64)


def mask(*spans: tuple[int, int]) -> np.ndarray:
    rows = np.zeros(WEEK_ROWS, bool)
    for first, last in spans:
        rows[first:last] = True
    return rows


def test_scores_of_a_week_are_those_counted_by_hand() -> None:
    is_event = mask((1000, 1010), (3000, 3020), (5000, 5010))
    alarm = mask((1004, 1012), (3000, 3010), (8000, 8002), (8030, 8031), (9000, 9001))
    one = scored(alarm, alarm.astype(float), is_event, TIMES)
    assert (one.found, one.episodes) == (2, 3)
    assert one.precision == pytest.approx(16 / 22)
    assert one.recall == pytest.approx(16 / 40)
    assert one.f1 == pytest.approx(32 / 62)
    assert one.false_per_week == pytest.approx(2.0)
    assert one.delay_min == 2.0


def test_an_alarm_within_an_hour_of_an_event_is_no_false_alert_and_later_it_is() -> None:
    is_event = mask((1000, 1010))
    near, far = mask((1069, 1070)), mask((1070, 1071))
    assert scored(near, near.astype(float), is_event, TIMES).false_per_week == 0
    assert scored(far, far.astype(float), is_event, TIMES).false_per_week == pytest.approx(1.0)


def test_alarm_runs_within_an_hour_are_one_alert() -> None:
    assert alerts(mask((100, 110), (169, 170), (231, 232)), TIMES) == [(100, 170), (231, 232)]
    assert runs(mask((0, 2), (WEEK_ROWS - 1, WEEK_ROWS))) == [(0, 2), (WEEK_ROWS - 1, WEEK_ROWS)]


def test_average_precision_counts_ties_together_and_is_one_for_a_perfect_order() -> None:
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 1.0, 3.0, 2.0]), truth) == 1.0
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), truth) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.ones(4), truth) == 0.5
    assert np.isnan(average_precision(np.ones(4), np.zeros(4, bool)))


def test_an_interval_by_weeks_holds_a_perfect_score_at_one() -> None:
    times = 60 * np.arange(4 * WEEK_ROWS, dtype=np.int64)
    is_event = np.arange(len(times)) % 1000 < 20
    assert f1_interval(is_event, is_event, times, 200) == (1.0, 1.0)
    half = is_event & (np.arange(len(times)) % 1000 < 10)
    low, high = f1_interval(half, is_event, times, 200)
    assert low <= 2 / 3 <= high


def test_an_alarm_rule_confirms_holds_and_ends() -> None:
    score = np.array([0.0, 5, 5, 5, 0, 0, 0, 5, 0])
    assert alarms(score, AlarmRule(5.0, 2, 1, 0)).astype(int).tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0]
    assert alarms(score, AlarmRule(5.0, 1, 0, 2)).astype(int).tolist() == [0, 1, 1, 0, 0, 0, 0, 1, 0]
    assert len(list(alarm_rules(score))) == RULES


@pytest.mark.parametrize("name", RIVALS)
def test_every_other_detector_sees_a_step_and_nothing_before_it(name: str) -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(7.0, 0.01, (3000, 2))
    values[10:20] = np.nan
    values[2000:2030, 0] += 0.5
    other = values.copy()
    other[2010:] += 1.0
    floors = np.array([0.01, 0.01])
    for detect in RIVALS[name]:
        score = detect(values, floors)
        assert np.argmax(score[100:]) + 100 in range(2000, 2060)
        assert score[:2010].tolist() == detect(other, floors)[:2010].tolist()


def test_without_the_recorded_data_the_missing_files_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    page = tmp_path / "accuracy.md"
    done = run_accuracy(tmp_path, page)
    assert done.written is None
    assert "gecco2017_train.csv.gz" in done.skipped
    assert "station_b_first60.csv" in done.skipped
    assert not page.exists()
    result = CliRunner().invoke(app, ["bench", "accuracy", "--data", str(tmp_path), "--out", str(page)])
    assert result.exit_code == 1
    assert "gecco2018_train.csv.gz" in result.stdout
