"""Charts: gaps, steps, greyed spans, limits and axes."""

from typing import Any

import numpy as np
import pytest

from dashboards.web.chart import MOST_POINTS, Span, chart_options, doubtful_spans, points_with_gaps, step_for
from dashboards.web.texts import texts_in
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.readings import SeriesKey
from qingquan.standards.loader import load_standards
from qingquan.store.ports import Trend

T0 = 1_777_593_600_000  # 2026-05-01T00:00:00Z, 08:00 in China
MINUTE = 60_000
KEY = SeriesKey("520425", "W1", "outlet", "free_chlorine")
CHLORINE = load_standards().parameters["free_chlorine"]
LIMIT = next(limit for limit in load_standards().limits if limit.id == "gb5749-2022.free_chlorine.outlet")


def trend(values: list[float], flags: list[int] | None = None, every: int = MINUTE) -> Trend:
    times = np.arange(len(values), dtype=np.int64) * every + T0
    return Trend(KEY, times, {"value": np.array(values), "flag": np.array(flags or [1] * len(values), np.float64)})


def options(drawn: Trend, doubtful: list[Span] | None = None) -> dict[str, Any]:
    span = Span(T0, T0 + 60 * MINUTE)
    return chart_options(
        drawn, CHLORINE, LIMIT, doubtful or [], span, texts_in("zh"), tz="Asia/Shanghai", gap_ms=3 * MINUTE
    )


def sensor_finding(kind: FindingKind, start: int, end: int | None, parameter: str = "free_chlorine") -> Finding:
    return Finding(
        "f",
        kind,
        Severity.MINOR,
        "520425",
        "W1",
        "outlet",
        parameter,
        start,
        end,
        start,
        None,
        None,
        "",
        "flat",
        "1",
        "",
    )


def test_a_line_breaks_where_readings_are_missing() -> None:
    times = np.array([0, 1, 2, 9, 10], np.int64) * MINUTE
    points = points_with_gaps(times, np.array([1.0, 2, 3, 4, 5]), 3 * MINUTE)
    assert [value for _, value in points] == [1, 2, 3, None, 4, 5]


def test_a_gap_just_as_long_as_allowed_is_no_gap() -> None:
    points = points_with_gaps(np.array([0, 3 * MINUTE]), np.array([1.0, 2.0]), 3 * MINUTE)
    assert [value for _, value in points] == [1, 2]


def test_a_missing_value_breaks_the_line_and_is_not_nought() -> None:
    points = points_with_gaps(np.array([0, 1, 2]), np.array([1.0, np.nan, 3.0]), MINUTE)
    assert [value for _, value in points] == [1, None, 3]


def test_no_readings_are_no_points() -> None:
    assert points_with_gaps(np.empty(0, np.int64), np.empty(0), MINUTE) == []


@pytest.mark.parametrize("hours", [6, 24, 7 * 24, 30 * 24])
@pytest.mark.parametrize("cadence", [5, 60, 300, 3600])
def test_no_window_draws_more_points_than_a_screen_can_show(hours: int, cadence: int) -> None:
    step = step_for(hours * 3_600_000, cadence)
    assert hours * 3_600_000 / (step or cadence * 1000) <= MOST_POINTS


def test_six_hours_of_minutes_are_drawn_as_they_are() -> None:
    assert step_for(6 * 3_600_000, 60) is None


def test_neighbouring_doubtful_readings_are_one_span() -> None:
    spans = doubtful_spans(trend([1.0] * 6, [1, 3, 4, 1, 1, 3]), [], T0 + 10 * MINUTE, 60)
    assert spans == [
        Span(T0 + MINUTE // 2, T0 + 2 * MINUTE + MINUTE // 2),
        Span(T0 + 5 * MINUTE - MINUTE // 2, T0 + 5 * MINUTE + MINUTE // 2),
    ]


def test_an_open_sensor_finding_greys_up_to_now_and_another_series_finding_does_not() -> None:
    now = T0 + 60 * MINUTE
    findings = [
        sensor_finding(FindingKind.FLAT_LINE, T0 + 20 * MINUTE, None),
        sensor_finding(FindingKind.FLAT_LINE, T0, T0 + 5 * MINUTE, "turbidity"),
        sensor_finding(FindingKind.DISINFECTION_LOW, T0, T0 + 5 * MINUTE),
    ]
    assert doubtful_spans(trend([1.0]), findings, now, 60) == [Span(T0 + 20 * MINUTE, now)]


def test_both_bounds_of_the_standard_are_drawn_and_lie_on_the_axis() -> None:
    drawn = options(trend([0.5] * 60))
    bounds = [line["yAxis"] for line in drawn["series"][0]["markLine"]["data"]]
    assert bounds == [LIMIT.min, LIMIT.max] == [0.3, 2]
    assert drawn["yAxis"]["min"] <= 0.3
    assert drawn["yAxis"]["max"] > 2


def test_values_beyond_the_bounds_stay_on_the_axis() -> None:
    drawn = options(trend([0.0, 4.7]))
    assert drawn["yAxis"]["min"] <= 0.0
    assert drawn["yAxis"]["max"] >= 4.7


def test_the_axis_ends_on_whole_steps() -> None:
    axis = options(trend([0.5] * 60))["yAxis"]
    assert (axis["max"] - axis["min"]) / axis["interval"] == pytest.approx(
        round((axis["max"] - axis["min"]) / axis["interval"])
    )


def test_times_are_those_of_the_works_and_not_of_the_browser() -> None:
    drawn = options(trend([0.5]))
    assert drawn["useUTC"] is True
    assert drawn["series"][0]["data"][0][0] == T0 + 8 * 3_600_000


def test_greyed_spans_are_cut_to_the_window() -> None:
    drawn = options(trend([0.5]), [Span(T0 - MINUTE, T0 + MINUTE), Span(T0 - 9 * MINUTE, T0 - MINUTE)])
    areas = drawn["series"][0]["markArea"]["data"]
    assert [(a["xAxis"], b["xAxis"]) for a, b in areas] == [(T0 + 8 * 3_600_000, T0 + 8 * 3_600_000 + MINUTE)]


def test_an_empty_trend_makes_a_chart_without_points() -> None:
    assert options(trend([]))["series"][0]["data"] == []
