"""The measurements of trends and of compliance in miniature: they ask of whole data and count everything. No times."""

import json

from qingquan.services.bench.compliance import run_compliance
from qingquan.services.bench.query import run_query
from qingquan.services.bench.short import shown


def test_a_trend_over_all_days_is_whole_and_says_what_was_made_for_it() -> None:
    result = run_query(2, 70, 4, 3, lambda _: None)
    assert {"p50_ms", "p95_ms", "raw_as_they_came_p50_ms", "raw_in_order_p50_ms"} <= result.keys()
    assert (result["series"], result["hourly_rows"], result["readings"]) == (10, 10 * 70 * 24, 10 * 4 * 1440)
    assert json.loads(shown(result, True))["queries"] == 3


def test_a_late_upload_is_reckoned_again_for_its_works_alone() -> None:
    result = run_compliance(5, 2, lambda _: None)
    assert (result["works_days"], result["works_days_again"]) == (5, 2)
    assert result["uploaded_readings"] == 2 * 5 * 360
    assert result["readings"] == (3 * 1440 + 2 * 1080) * 5
