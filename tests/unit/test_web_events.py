"""Sudden changes in words and on charts."""

from dashboards.web.chart import Span
from dashboards.web.event_words import contributors_of, event_bands, events_of, with_events
from dashboards.web.texts import texts_in
from dashboards.web.words import finding_words
from qingquan.domain.findings import Finding, FindingKind, Severity

HOUR = 3_600_000
T0 = 1_777_600_800_000
SPAN = Span(T0, T0 + 24 * HOUR)
ZH, EN = texts_in("zh"), texts_in("en")


def event(hour: float, *, lasting: bool = False, point: str = "outlet", **evidence: float | int | str) -> Finding:
    start = T0 + round(hour * HOUR)
    end = start + HOUR // 2
    return Finding(
        id=f"e{hour}", kind=FindingKind.WATER_EVENT, severity=Severity.MINOR, county="520425", works="W1", point=point, parameter="",
        start=start, end=None if lasting else end, evidence_at=end, extreme=2.0, limit=1.0, clause="", rule="water_event",
        rule_version="1", reason="", evidence={"contributors": "free_chlorine;turbidity", "share.free_chlorine": 0.7, **evidence},
    )  # fmt: skip


def test_a_finding_names_its_contributors_in_both_languages() -> None:
    assert finding_words(event(1), ZH) == "水质突变（仅供参考） · 余氯、浊度"
    assert finding_words(event(1), EN) == "Sudden change of water quality (advisory) · Free chlorine, Turbidity"
    assert contributors_of(event(1)) == [("free_chlorine", 0.7), ("turbidity", 0.0)]


def test_a_chart_draws_events_of_its_own_point_and_parameter_and_none_of_silent_detectors() -> None:
    found = [event(5), event(2), event(3, point="end"), event(4, silent=1)]
    assert [one.id for one in events_of(found, "outlet", "turbidity")] == ["e2", "e5"]
    assert events_of(found, "outlet", "ph") == []


def test_bands_lie_within_the_span_and_in_the_time_of_the_works() -> None:
    bands = event_bands([event(-0.25), event(23, lasting=True), event(30)], SPAN, "Asia/Shanghai", ZH)
    shift = 8 * HOUR
    assert [(a["xAxis"], b["xAxis"]) for a, b in bands] == [
        (T0 + shift, T0 + HOUR // 4 + shift), (T0 + 23 * HOUR + shift, T0 + 24 * HOUR + shift),
    ]  # fmt: skip
    assert bands[0][0]["name"] == "余氯、浊度"


def test_labels_that_would_lie_on_each_other_are_left_out_of_the_older_band() -> None:
    options = with_events({"series": [{"name": "x"}]}, [event(1), event(10), event(11)], SPAN, "Asia/Shanghai", EN)
    series = options["series"]
    assert isinstance(series, list)
    names = [band[0]["name"] for band in series[-1]["markArea"]["data"]]
    assert names == ["Free chlorine, Turbidity", "", "Free chlorine, Turbidity"]


def test_a_chart_without_events_is_left_as_it_is() -> None:
    options: dict[str, object] = {"series": []}
    assert with_events(options, [], SPAN, "Asia/Shanghai", ZH) is options
