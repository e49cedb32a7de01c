"""Lab sheets: what is taken, what is refused, where and why; a non-detect never becomes a number."""

# ruff: noqa: DTZ001 - cells of a spreadsheet carry no zone

import csv
import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from xlsxwriter import Workbook

from ingest.lab.cells import LabValue, Wrong, moment_of, value_of
from ingest.lab.columns import COLUMNS
from ingest.lab.parse import parse_lab
from ingest.lab.template import template_workbook
from ingest.lab.wording import refusal_text
from qingquan.domain.lab import LabOperator, LabReport, LabSample, LabVerdict
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.sheets import read_sheets
from qingquan.standards.laboratory import load_laboratory, name_key, unit_key

NOW = int(datetime(2026, 5, 10, tzinfo=UTC).timestamp() * 1000)
SAMPLED = int(datetime(2026, 5, 1, 0, 30, tzinfo=UTC).timestamp() * 1000)  # 08:30 in Shanghai
POINTS = (
    SamplingPoint("outlet", PointKind.OUTLET, "总出水口"),
    SamplingPoint("end1", PointKind.NETWORK_END, "村小学"),
    SamplingPoint("end2", PointKind.NETWORK_END, "卫生室"),
)
WORKS = [
    Works("520425", "W0077", "清泉水厂", "某镇", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 200, 1500, POINTS),
    Works("520425", "W0078", "甘泉水厂", "某镇", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 200, 1500, POINTS[:1]),
    Works("520426", "W0078", "甘泉水厂", "某镇", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 200, 1500, POINTS[:1]),
]
TITLES = ["样品编号", "工程编码", "采样点", "采样时间", "指标", "结果", "单位", "检出限", "方法"]
GOOD: dict[str, Any] = {
    "样品编号": "S1", "工程编码": "W0077", "采样点": "outlet", "采样时间": "2026-05-01 08:30", "指标": "游离氯", "结果": "0.45",
    "单位": "mg/L", "检出限": "0.02", "方法": "GB/T 5750.11-2023",
}  # fmt: skip


def _csv(*rows: dict[str, Any], titles: Sequence[str] = TITLES, encoding: str = "utf-8") -> bytes:
    lines = [",".join(titles), *(",".join(f'"{row.get(t, "")}"' for t in titles) for row in rows)]
    return "\n".join(lines).encode(encoding)


def _book(rows: Sequence[Sequence[Any]], merged: Sequence[tuple[str, Any]] = (), more: Sequence[str] = ()) -> bytes:
    stream = io.BytesIO()
    with Workbook(stream, {"in_memory": True, "default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        sheet = book.add_worksheet("结果")
        for number, row in enumerate(rows):
            for place, cell in enumerate(row):
                if cell is not None:
                    sheet.write(number, place, cell)
        for area, value in merged:
            sheet.merge_range(area, value)
        for name in more:
            book.add_worksheet(name).write(0, 0, "说明")
    return stream.getvalue()


def _parse(content: bytes, name: str = "results.csv", **options: Any) -> LabReport:
    return parse_lab(content, name, WORKS, uploaded_at=NOW, uploaded_by="lab1", **options)


def _one(**changes: Any) -> LabReport:
    return _parse(_csv(GOOD | changes))


def _reason(report: LabReport) -> tuple[str, str]:
    assert report.samples == ()
    (refused,) = report.refusals
    return refused.reason, refused.cell


def test_a_row_becomes_a_result_of_a_sample() -> None:
    report = _one()
    assert report.refusals == ()
    (sample,) = report.samples
    (result,) = sample.results
    assert (sample.number, sample.county, sample.works, sample.point, sample.sampled_at) == (
        "S1",
        "520425",
        "W0077",
        "outlet",
        SAMPLED,
    )
    assert (sample.uploaded_at, sample.uploaded_by, sample.source_file, len(sample.source_digest)) == (
        NOW,
        "lab1",
        "results.csv",
        64,
    )
    assert (result.parameter, result.operator, result.value, result.canonical_value) == (
        "free_chlorine",
        LabOperator.EQUAL,
        0.45,
        0.45,
    )
    assert (result.detection_limit, result.unit, result.method, result.row) == (0.02, "mg/L", "GB/T 5750.11-2023", 2)
    assert result.verdict is LabVerdict.NOT_JUDGED


def test_rows_of_one_number_are_one_sample() -> None:
    report = _parse(_csv(GOOD, GOOD | {"指标": "浑浊度", "结果": "0.6", "单位": "NTU"}, GOOD | {"样品编号": "S2"}))
    assert [(s.number, [r.parameter for r in s.results]) for s in report.samples] == [
        ("S1", ["free_chlorine", "turbidity"]),
        ("S2", ["free_chlorine"]),
    ]


def test_english_columns_and_names_are_taken() -> None:
    titles = ["sample id", "works", "point", "sampled_at", "parameter", "value", "unit", "detection limit", "method"]
    row = dict(
        zip(titles, ["S1", "W0077", "outlet", "2026-05-01T08:30", "Free chlorine", "0.45", "mg/l", "", ""], strict=True)
    )
    (sample,) = _parse(_csv(row, titles=titles)).samples
    assert sample.results[0].parameter == "free_chlorine"


@pytest.mark.parametrize(
    ("cell", "operator", "value"),
    [
        (0.45, "=", 0.45), (7, "=", 7.0), ("0.45", "=", 0.45), (" 0.45 ", "=", 0.45), ("1,200", "=", 1200.0), ("1.2E3", "=", 1200.0),
        ("1.2×10^3", "=", 1200.0), ("０．４５", "=", 0.45), (0, "=", 0.0),
        ("<0.05", "<", 0.05), ("＜0.05", "<", 0.05), ("< 0.05", "<", 0.05), ("≤0.05", "<", 0.05), ("<=0.05", "<", 0.05), ("0.05L", "<", 0.05),
        ("未检出(<0.05)", "<", 0.05), ("未检出（＜0.05）", "<", 0.05), ("ND(0.05)", "<", 0.05),
        (">200.5", ">", 200.5), ("≥200", ">", 200.0), ("＞200", ">", 200.0),
        ("未检出", "ND", None), ("ND", "ND", None), ("nd", "ND", None), ("N.D.", "ND", None), ("-ND-", "ND", None), ("<LOD", "ND", None),
    ],
)  # fmt: skip
def test_results_are_read_as_laboratories_write_them(cell: object, operator: str, value: float | None) -> None:
    found = value_of(cell)  # type: ignore[arg-type]
    assert isinstance(found, LabValue)
    assert (found.operator.value, found.value) == (operator, value)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("合格", "bad_value"), ("0,45", "bad_value"), ("<", "bad_value"), ("<0", "bad_value"), ("<-1", "bad_value"), (">0.05L", "bad_value"),
        ("1.2.3", "bad_value"), (True, "bad_value"), (float("inf"), "bad_value"), ("1e99999", "bad_value"), ("不得检出", "bad_value"),
        ("0.45mg/L", "unit_in_value"), ("15度", "unit_in_value"),
        ("/", "not_tested"), ("--", "not_tested"), ("未检测", "not_tested"),
        ("#REF!", "cell_error"), (datetime(2026, 1, 2), "value_is_date"), (date(2026, 1, 2), "value_is_date"),
    ],
)  # fmt: skip
def test_results_that_are_none_are_refused_with_the_reason(cell: object, reason: str) -> None:
    found = value_of(cell)  # type: ignore[arg-type]
    assert isinstance(found, Wrong)
    assert found.reason.value == reason


def test_a_censored_result_keeps_operator_and_number_and_text() -> None:
    (result,) = _one(结果="<0.05").results
    assert (result.operator, result.value, result.canonical_value, result.value_text) == (
        LabOperator.LESS,
        0.05,
        0.05,
        "<0.05",
    )


def test_a_non_detect_has_no_value_and_is_not_zero() -> None:
    (result,) = _one(指标="总大肠菌群", 结果="未检出", 单位="MPN/100mL", 检出限="").results
    assert (result.operator, result.value, result.canonical_value, result.detection_limit) == (
        LabOperator.NOT_DETECTED,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("text", "operator", "value"), [("无", "ND", None), ("有", ">", 0.0), ("0", "=", 0.0), ("2", "=", 2.0)]
)
def test_odour_is_told_in_words_or_grades(text: str, operator: str, value: float | None) -> None:
    (result,) = _one(指标="臭和味", 结果=text, 单位="", 检出限="").results
    assert (result.operator.value, result.value) == (operator, value)


@pytest.mark.parametrize(
    ("parameter", "value", "unit", "canonical"),
    [
        ("铁", "300", "μg/L", 0.3),
        ("铁", "300", "µg/L", 0.3),
        ("砷", "10", "ug/L", 0.01),
        ("总硬度", "2", "mmol/L", 200.1738),
        ("硝酸盐(以N计)", "10", "mg/L", 10.0),
        ("硝酸盐氮", "10", "mg/L", 10.0),
        ("硝酸盐", "44.27", "mg/L(以NO3计)", 10.0005),
        ("硝酸盐（以NO3⁻计）", "44.27", "mg/L（以NO3⁻计）", 10.0005),
        ("Nitrate (as NO3)", "45", "mg/L as NO3", 10.165),
        ("Nitrate", "10", "mg/L as N", 10.0),
        ("nitrate_n", "44.27", "mg NO3/L", 10.0005),
        ("氨", "1", "mg/L(以NH4计)", 0.7765),
        ("氨氮", "0.3", "mg/L", 0.3),
        ("水温", "68", "°F", 20.0),
        ("色度", "5", "度", 5.0),
        ("pH", "7.4", "", 7.4),
        ("pH", "7.4", "无量纲", 7.4),
        ("菌落总数", "50", "CFU/mL", 50.0),
        ("总α放射性", "0.1", "Bq/L", 0.1),
    ],
)
def test_units_are_brought_to_that_of_the_limit(parameter: str, value: str, unit: str, canonical: float) -> None:
    (result,) = _one(指标=parameter, 结果=value, 单位=unit, 检出限="").results
    assert result.canonical_value == pytest.approx(canonical, rel=1e-4)
    assert result.value == float(value)


@pytest.mark.parametrize(
    ("changes", "reason", "cell"),
    [
        ({"样品编号": ""}, "required", "A2"),
        ({"样品编号": "S" * 300}, "too_long", "A2"),
        ({"工程编码": "W9999"}, "unknown_works", "B2"),
        ({"工程编码": "甘泉水厂"}, "ambiguous_works", "B2"),
        ({"工程编码": "#N/A"}, "cell_error", "B2"),
        ({"采样点": "井口"}, "unknown_point", "C2"),
        ({"采样点": "末梢水"}, "ambiguous_point", "C2"),
        ({"采样时间": "五月一日"}, "bad_time", "D2"),
        ({"采样时间": "2026-13-01 08:00"}, "bad_time", "D2"),
        ({"采样时间": "2027-05-01 08:00"}, "time_in_future", "D2"),
        ({"采样时间": "1926-05-01 08:00"}, "time_too_old", "D2"),
        ({"指标": "氡"}, "unknown_parameter", "E2"),
        ({"指标": "硝酸盐"}, "basis_open", "E2"),
        ({"指标": "硝酸盐", "单位": "ug/L"}, "basis_open", "E2"),
        ({"指标": "Nitrate (as NO3)"}, "basis_open", "E2"),
        ({"指标": "氨"}, "basis_open", "E2"),
        ({"结果": ""}, "required", "F2"),
        ({"结果": "合格"}, "bad_value", "F2"),
        ({"结果": "-0.1"}, "out_of_range", "F2"),
        ({"指标": "pH", "单位": "", "结果": "74"}, "out_of_range", "F2"),
        ({"单位": ""}, "required", "G2"),
        ({"单位": "NTU"}, "unknown_unit", "G2"),
        ({"指标": "铁", "单位": "mg/L as NO3"}, "unknown_unit", "G2"),
        ({"检出限": "少"}, "bad_detection_limit", "H2"),
        ({"检出限": "0"}, "bad_detection_limit", "H2"),
    ],
)
def test_a_bad_cell_is_refused_with_its_address(changes: dict[str, str], reason: str, cell: str) -> None:
    assert _reason(_parse(_csv(GOOD | changes))) == (reason, cell)


def test_a_bad_row_leaves_the_others() -> None:
    report = _parse(_csv(GOOD, GOOD | {"指标": "氡", "样品编号": "S2"}, GOOD | {"样品编号": "S3"}))
    assert [s.number for s in report.samples] == ["S1", "S3"]
    assert [r.row for r in report.refusals] == [3]


def test_all_faults_of_a_row_are_told_at_once() -> None:
    report = _one(采样点="井口", 指标="铁", 结果="合格", 单位="NTU", 检出限="少")
    assert [r.cell for r in report.refusals] == ["C2", "G2", "F2", "H2"]


def test_a_refusal_reads_as_place_reason_and_remedy_in_both_languages() -> None:
    content = _csv(GOOD | {"单位": "NTU"})
    (zh,), (en,) = _parse(content).refusals, _parse(content, language="en").refusals
    assert re.fullmatch(r"results\.csv!G2: 单位“NTU”不能用于该指标: 可用：.*mg/L.*", refusal_text(zh))
    assert refusal_text(en).startswith("results.csv!G2: unit NTU does not fit this parameter: allowed: mg/L")


@pytest.mark.parametrize(
    ("point", "found"),
    [("outlet", "outlet"), ("总出水口", "outlet"), ("出厂水", "outlet"), ("卫生室", "end2"), ("end1", "end1")],
)
def test_a_point_is_named_by_code_name_or_kind(point: str, found: str) -> None:
    assert _one(采样点=point).samples[0].point == found


def test_works_of_one_code_in_two_counties_are_told_apart_by_county() -> None:
    titles = [*TITLES, "区县编码"]
    report = _parse(_csv(GOOD | {"工程编码": "W0078", "区县编码": "520426"}, titles=titles))
    assert report.samples[0].county == "520426"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("2026-05-01 08:30", SAMPLED), ("2026/5/1 8:30", SAMPLED), ("2026年5月1日 8时30分", SAMPLED), ("2026-05-01T00:30:00Z", SAMPLED),
        ("2026-05-01 08:30:00+08:00", SAMPLED), (datetime(2026, 5, 1, 8, 30), SAMPLED), (46143.354166666664, SAMPLED),
        ("2026-05-01", SAMPLED - 30_600_000), (date(2026, 5, 1), SAMPLED - 30_600_000),
    ],
)  # fmt: skip
def test_times_are_the_works_own(cell: object, expected: int) -> None:
    assert moment_of(cell, "Asia/Shanghai") == expected  # type: ignore[arg-type]


def test_one_sample_cannot_lie_in_two_places() -> None:
    report = _parse(_csv(GOOD, GOOD | {"采样点": "end1", "指标": "铁"}))
    assert [(r.reason, r.cell, r.row) for r in report.refusals] == [("sample_conflict", "C3", 3)]
    assert len(report.samples[0].results) == 1


def test_one_parameter_of_a_sample_is_taken_once() -> None:
    report = _parse(_csv(GOOD, GOOD | {"结果": "0.5"}))
    assert [(r.reason, r.cell) for r in report.refusals] == [("duplicate_result", "E3")]
    assert report.results[0].value == 0.45


def _stored(report: LabReport, **changes: Any) -> Any:
    """What a store that holds a report's samples answers."""
    held = {sample.number: replace(sample, id=7, **changes) for sample in report.samples}
    return lambda county, numbers: {number: held[number] for number in numbers if number in held}


def test_stored_samples_are_asked_for_once_a_county() -> None:
    asked: list[tuple[str, list[str]]] = []

    def known(county: str, numbers: Any) -> dict[str, LabSample]:
        asked.append((county, list(numbers)))
        return {}

    _parse(_csv(GOOD, GOOD | {"指标": "铁"}, GOOD | {"样品编号": "S2"}), known=known)
    assert asked == [("520425", ["S1", "S2"])]


def test_a_result_uploaded_before_is_refused_and_a_new_one_joins_its_sample() -> None:
    known = _stored(_parse(_csv(GOOD)))
    report = _parse(_csv(GOOD | {"结果": "0.1"}, GOOD | {"指标": "铁"}, GOOD | {"样品编号": "S2"}), known=known)
    assert [(r.reason, r.cell, r.value) for r in report.refusals] == [("result_taken", "E2", "free_chlorine")]
    assert [(s.number, s.id, [r.parameter for r in s.results]) for s in report.samples] == [
        ("S1", 7, ["iron"]),
        ("S2", 0, ["free_chlorine"]),
    ]


def test_a_number_of_another_point_or_time_is_refused() -> None:
    known = _stored(_parse(_csv(GOOD)))
    report = _parse(_csv(GOOD | {"采样时间": "2026-05-02 08:30"}), known=known)
    assert _reason(report) == ("number_taken", "A2")


def test_a_file_sent_twice_is_one_refusal() -> None:
    content = _csv(GOOD, GOOD | {"指标": "铁"}, GOOD | {"样品编号": "S2"})
    (refused,) = (report := _parse(content, known=_stored(_parse(content)))).refusals
    assert (report.samples, refused.reason, refused.value) == ((), "file_taken", "3")
    assert "lab1" in refused.detail


def test_analysed_before_sampled_is_refused_but_the_same_day_is_not() -> None:
    titles = [*TITLES, "检测时间"]
    early = _parse(_csv(GOOD | {"检测时间": "2026-05-01 07:00"}, titles=titles))
    assert _reason(early) == ("analysed_before_sampled", "J2")
    same_day = _parse(_csv(GOOD | {"检测时间": "2026-05-01"}, titles=titles))
    assert same_day.results[0].analysed_at is not None
    assert _reason(_parse(_csv(GOOD | {"检测时间": "2026-04-30"}, titles=titles)))[0] == "analysed_before_sampled"


def test_a_workbook_with_title_lines_dates_and_numbers_is_read() -> None:
    row = ["S1", "W0077", "出厂水", datetime(2026, 5, 1, 8, 30), "游离氯", 0.45, "mg/L", 0.02, "x"]
    content = _book(
        [[], ["检测单位：县中心"], TITLES, row, [None] * 9], merged=[("A1:I1", "检测结果报告")], more=["说明"]
    )
    report = _parse(content, "results.xlsx")
    assert report.refusals == ()
    assert (report.samples[0].sampled_at, report.results[0].value, report.results[0].row) == (SAMPLED, 0.45, 4)


def test_merged_header_cells_are_refused_with_their_area() -> None:
    content = _book([[*TITLES[:5], None, None, *TITLES[7:]], list(GOOD.values())], merged=[("F1:G1", "结果")])
    report = _parse(content, "results.xlsx")
    assert report.samples == ()
    assert [(r.reason, r.cell) for r in report.refusals] == [("merged_header", "F1:G1"), ("missing_columns", "")]


def test_cells_merged_downwards_stand_for_all_their_rows() -> None:
    rows = [TITLES, list(GOOD.values()), [None, *list(GOOD.values())[1:4], "铁", 0.1, "mg/L", None, None]]
    report = _parse(_book(rows, merged=[("A2:A3", "S1")]), "results.xlsx")
    assert report.refusals == ()
    assert [r.parameter for r in report.samples[0].results] == ["free_chlorine", "iron"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"\x00\x01\x02 nothing known", "wrong_file_type"),
        (b"%PDF-1.7 ...", "wrong_file_type"),
        (b"PK\x03\x04 broken", "damaged_file"),
        (b"<html><table><tr><td>x</td></tr></table></html>", "missing_columns"),
        ("样品编号,工程编码\n".encode(), "missing_columns"),
        (_csv(), "no_rows"),
    ],
)
def test_files_that_cannot_be_read_say_so_in_words(content: bytes, reason: str) -> None:
    (refused,) = _parse(content, "results.xls").refusals
    assert refused.reason == reason
    assert refused.detail
    assert refused.remedy


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "x")
        with archive.open("xl/worksheets/sheet1.xml", "w") as entry:
            for _ in range(450):
                entry.write(b"0" * 2**20)
    (refused,) = _parse(stream.getvalue(), "bomb.xlsx").refusals
    assert refused.reason == "file_too_large"


def test_gbk_is_read() -> None:
    assert len(_parse(_csv(GOOD, encoding="gb18030")).samples) == 1


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_template_is_one_this_parser_reads(language: str) -> None:
    content = template_workbook(language)
    sheets = read_sheets(content, "t.xlsx")
    assert isinstance(sheets, list)
    titles = [str(cell) for cell in sheets[0].rows[0]]
    assert len(titles) == len(COLUMNS)
    assert [r.reason for r in _parse(content, "t.xlsx").refusals] == ["no_rows"]
    # The examples on the page of notes, put below the titles, are good rows.
    notes = {str(row[0]): row[1:4] for row in sheets[1].rows if len(row) > 3 and row[1]}
    rows = [[str(notes[t][n]) if t in notes else "" for t in titles] for n in range(3)]
    filled = _parse(_book([titles, *rows]), "filled.xlsx")
    assert filled.refusals == ()
    assert [r.operator.value for r in filled.results] == ["=", "<", "ND"]


def test_five_hundred_rows_are_read() -> None:
    rows = [GOOD | {"样品编号": f"S{n}"} for n in range(500)]
    report = _parse(_csv(*rows))
    assert len(report.samples) == 500


def test_every_parameter_of_the_standard_can_be_reported_by_code_and_name_in_its_own_unit() -> None:
    tables = load_laboratory()
    for code, one in tables.parameters.items():
        for name in (code, one.name_zh, one.name_en):
            assert tables.names[name_key(name)] == code
        unit = tables.unit(code, one.unit)
        assert unit is not None
        assert unit.factor == 1


def test_units_differ_by_more_than_letter_case_where_they_mean_other_things() -> None:
    assert unit_key("mg/L") == unit_key("MG/l") != unit_key("µg/L") == unit_key("ug/L")


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    report = _parse(content)
    assert report.samples or report.refusals


cells = st.one_of(
    st.text(max_size=12),
    st.sampled_from([*GOOD.values(), "<0.05", "ND", "硝酸盐", "1e400", "９", "2026-02-30 25:61", "#REF!"]),
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.lists(cells, min_size=9, max_size=9), min_size=1, max_size=4))
def test_every_row_with_anything_in_it_is_taken_or_refused(rows: list[list[str]]) -> None:
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(TITLES)
    writer.writerows(rows)
    report = _parse(stream.getvalue().encode("utf-8", "replace"))
    assert report.samples or report.refusals
    assert all(
        result.canonical_value is None or result.canonical_value == result.canonical_value for result in report.results
    )
