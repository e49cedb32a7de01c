"""Flagged readings on charts, and a text for every test and reason."""

import numpy as np
import pytest

from dashboards.web.chart_flags import flag_words, flagged_points
from dashboards.web.texts import LANGUAGES, texts_in
from qingquan.domain.quality import Flagged, QualityTest
from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import Trend


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_test_and_reason_has_its_text(language: str) -> None:
    t = texts_in(language)
    for word in [*(test.word for test in QualityTest), "drift", "noise", "service_overdue", "faulty_now"]:
        assert t.has(f"quality.{word}"), word
    assert all(t.has(f"flag.{flag}") for flag in (1, 2, 3, 4, 9))


def test_points_are_grouped_by_their_tests_and_named_after_them() -> None:
    times = np.arange(6, dtype=np.int64) * 60_000
    values = np.array([0.5, 2.0, 0.5, np.nan, 0.5, 6.0])
    trend = Trend(SeriesKey("520425", "W1", "outlet", "free_chlorine"), times, {"value": values})
    spike, both = int(QualityTest.SPIKE), int(QualityTest.SPIKE | QualityTest.GAP)
    flagged = Flagged(
        np.array([1, 3, 3, 9, 2, 4], np.uint8), np.array([0, spike, both, 1, 0, int(QualityTest.GROSS_RANGE)], np.int32)
    )
    drawn = flagged_points(trend, flagged, 1000, texts_in("zh"))
    assert [one["name"] for one in drawn] == ["可疑：突跳", "无效：超出量程或合理范围"]
    assert drawn[0]["data"] == [[61_000, 2.0], [121_000, 0.5]]
    assert (
        flag_words(3, int(QualityTest.SPIKE | QualityTest.MAINTENANCE), texts_in("en"))
        == "suspect: spike, maintenance or calibration"
    )
