"""What the compliance pages say of figures."""

from dataclasses import replace

from dashboards.web.compliance_port import ComplianceQuery
from dashboards.web.example import ExampleData
from dashboards.web.example_compliance import ExampleCompliance
from dashboards.web.example_county import COUNTY, make_county
from dashboards.web.page_compliance import _calendar, _county, _share
from dashboards.web.texts import texts_in
from qingquan.domain.compliance import ComplianceVerdict
from qingquan.store.sql.compliance import Known

DATA = ExampleData(make_county(1_777_600_000_000, 30))
DESK = ExampleCompliance(DATA)
WORKS = {(one.county, one.id): one for one in DATA.works()}
ZH, EN = texts_in("zh"), texts_in("en")
MONTHS = DESK.figures(ComplianceQuery(month="2026-05", by_month=True, limit=1000)).items


def test_the_county_lists_exceeding_works_first_with_word_and_shape() -> None:
    text = _county(MONTHS, WORKS, "2026-05", 0, ZH)
    assert text.count('class="line cal-line"') == 30
    assert text.index("s-missing") < text.index('glyph s-ok" viewBox="0 0 24 24" width="18"', text.index("cal-line"))
    assert "超标" in text


def test_a_calendar_has_every_day_and_says_what_was_known_then() -> None:
    month = MONTHS[0]
    works = WORKS[month.now.figures.county, month.now.figures.works]
    days = DESK.figures(ComplianceQuery(COUNTY, works.id, month="2026-05", limit=1000)).items
    then = replace(month.now, known_at=1, figures=replace(month.now.figures, verdict=ComplianceVerdict.UNDECIDED))
    for t, words in ((ZH, ("当时所知", "现在所知")), (EN, ("As known then", "as known now"))):
        text = _calendar(Known(month.now, then), days, works, t)
        assert text.count('class="cal-day"') + text.count('class="cal-day c-') == 31
        assert all(word in text for word in words)


def test_days_without_figures_are_empty_and_those_known_too_little_never_show_a_full_share() -> None:
    month = MONTHS[0]
    works = WORKS[month.now.figures.county, month.now.figures.works]
    assert _calendar(month, [], works, ZH).count('<span class="cal-day"><small>') == 31
    little = replace(
        month.now.figures, verdict=ComplianceVerdict.UNDECIDED, compliant_ms=60, exceeding_ms=0, unknown_ms=40, start=0, end=100
    )  # fmt: skip
    assert _share(little, ZH) == "未知 40%"
    assert (
        _share(replace(little, verdict=ComplianceVerdict.EXCEEDING, compliant_ms=9999, exceeding_ms=1), ZH) == "99.9%"
    )
    assert _share(replace(little, compliant_ms=0), EN) == "no data"


def test_a_county_without_figures_says_why() -> None:
    assert "不计为合规" in _county([], WORKS, "2026-05", 0, ZH)
