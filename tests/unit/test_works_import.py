"""A register as people fill it in: good rows become works, every other row is refused in words that help."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ledgers.refusals import Refusal, RefusalReason
from ledgers.works_columns import DISINFECTANT_WORDS, POINT_COLUMNS, POINT_KIND_WORDS, WORKS_COLUMNS
from ledgers.works_export import NOTES_SHEET, register_workbook
from ledgers.works_import import ParsedRegister, merged, parse_file, parse_sheets
from qingquan.domain.works import Contact, Disinfectant, Equipment, PointKind, Role, SamplingPoint, Works
from qingquan.sheets import Cell, Sheet, read_sheets
from qingquan.standards.loader import load_standards

PARAMETERS = load_standards().parameters

DAY = datetime(2021, 6, 1)  # noqa: DTZ001 - as spreadsheets have it

GOOD: dict[str, Cell] = {
    "区县编码": "520425",
    "工程编码": "W0077",
    "工程名称": "猫营水厂",
    "乡镇": "猫营镇",
    "消毒方式": "二氧化氯",
    "消毒设备": "有",
    "设计供水规模(m³/d)": 420.5,
    "受益人口": 3120.0,
    "水源受限": "否",
    "采样间隔(s)": 300,
    "上报间隔(s)": 28800,
    "经度": 106.0843,
    "纬度": 25.7612,
    "管水员": "韦师傅",
    "管水员电话": 13800000001.0,
    "管水员企业微信": "",
    "管理员": "罗站长",
    "管理员电话": "",
    "管理员企业微信": "luo",
    "投产日期": DAY,
    "净水技术受限": "否",
    "地下水源受限": "否",
    "余量检测方式": "在线",
    "原水耗氧量大于6": "否",
}

WORKS = Works(
    county="520425",
    id="W0077",
    name="猫营水厂",
    township="猫营镇",
    disinfectant=Disinfectant.CHLORINE_DIOXIDE,
    equipment=Equipment.EQUIPPED,
    capacity_m3_d=420.5,
    population=3120,
    points=(),
    contacts=(Contact(Role.CARETAKER, "韦师傅", "13800000001"), Contact(Role.MANAGER, "罗站长", "", "luo")),
    cadence_s=300,
    upload_interval_s=28_800,
    longitude=106.0843,
    latitude=25.7612,
    commissioned_at=datetime(2021, 5, 31, 16, tzinfo=UTC),
)

OUTLET = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("chlorine_dioxide", "turbidity"))


def works_sheet(*rows: Mapping[str, Cell], header: Mapping[str, Cell] = GOOD) -> Sheet:
    return Sheet("工程", (tuple(header), *(tuple(row.get(name, "") for name in header) for row in rows)))


def points_sheet(*rows: tuple[Cell, ...]) -> Sheet:
    return Sheet("采样点", (("工程编码", "采样点编码", "类型", "名称", "参数", "区县编码"), *rows))


def parse(*sheets: Sheet, known: tuple[tuple[str, str], ...] = ()) -> ParsedRegister:
    return parse_sheets(sheets, PARAMETERS, known)


def only(parsed: ParsedRegister) -> Refusal:
    (refusal,) = parsed.refusals
    return refusal


# --- good rows --------------------------------------------------------------------------------------------------------


def test_a_row_becomes_a_works() -> None:
    parsed = parse(works_sheet(GOOD))
    assert parsed.refusals == ()
    assert [row.works for row in parsed.works] == [WORKS]
    assert (parsed.rows, parsed.refused_rows) == (1, 0)


def test_english_headers_and_words_serve_as_well() -> None:
    row: dict[str, Cell] = {
        "county": "520425", "works": "W1", "name": "Maoying", "disinfectant": "free_chlorine", "capacity": "1,200",
        "Population": "3120", "source_limited": "yes", "equipment": "not_equipped", "commissioned": "2021-06-01",
    }  # fmt: skip
    (taken,) = parse(works_sheet(row, header=row)).works
    assert taken.works.disinfectant is Disinfectant.FREE_CHLORINE
    assert taken.works.equipment is Equipment.NOT_EQUIPPED
    assert (taken.works.capacity_m3_d, taken.works.source_limited) == (1200.0, True)
    assert taken.works.commissioned_at == datetime(2021, 5, 31, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("column", "typed", "field", "value"),
    [
        ("区县编码", 520425.0, "county", "520425"),
        ("区县编码", "５２０４２５", "county", "520425"),
        ("工程编码", " W0077\n", "id", "W0077"),
        ("工程编码", 77.0, "id", "77"),
        ("消毒方式", "次氯酸钠消毒", "disinfectant", Disinfectant.FREE_CHLORINE),
        ("消毒方式", "二氧化氯消毒（高纯）", "disinfectant", Disinfectant.CHLORINE_DIOXIDE),
        ("消毒方式", "复合二氧化氯", "disinfectant", Disinfectant.MIXED_CLO2_CL2),
        ("消毒方式", "未消毒", "disinfectant", Disinfectant.NONE),
        ("消毒方式", "uv", "disinfectant", Disinfectant.UV),
        ("消毒设备", "未配备", "equipment", Equipment.NOT_EQUIPPED),
        ("水源受限", True, "source_limited", True),
        ("净水技术受限", "是", "treatment_limited", True),
        ("地下水源受限", "是", "groundwater_limited", True),
        ("原水耗氧量大于6", "yes", "raw_permanganate_above_6", True),
        ("原水耗氧量大于6", "", "raw_permanganate_above_6", False),
        ("受益人口", "12,000", "population", 12000),
        ("设计供水规模(m³/d)", 1e-3, "capacity_m3_d", 0.001),
        ("投产日期", "2021年6月1日", "commissioned_at", datetime(2021, 5, 31, 16, tzinfo=UTC)),
        ("投产日期", "2021/6", "commissioned_at", datetime(2021, 5, 31, 16, tzinfo=UTC)),
        ("投产日期", "", "commissioned_at", None),
        ("采样间隔(s)", "", "cadence_s", 60),
        ("管水员电话", "+86 138-0000-0001", "contacts", WORKS.contacts),
    ],
)
def test_cells_are_read_as_people_write_them(column: str, typed: Cell, field: str, value: object) -> None:
    parsed = parse(works_sheet(GOOD | {column: typed}))
    assert parsed.refusals == ()
    assert getattr(parsed.works[0].works, field) == value


def test_every_word_of_the_lists_is_understood() -> None:
    for value, words in DISINFECTANT_WORDS.items():
        for word in (*words, value.value, f"{words[0]}消毒"):
            (row,) = parse(works_sheet(GOOD | {"消毒方式": word})).works
            assert row.works.disinfectant is value, word


def test_equipment_follows_the_disinfectant_where_the_cell_is_empty() -> None:
    none, some = parse(
        works_sheet(GOOD | {"消毒方式": "无", "消毒设备": ""}, GOOD | {"工程编码": "W2", "消毒设备": ""})
    ).works
    assert (none.works.equipment, some.works.equipment) == (Equipment.NOT_EQUIPPED, Equipment.EQUIPPED)
    assert "equipment" not in none.given | some.given


def test_points_join_their_works_by_code() -> None:
    parsed = parse(works_sheet(GOOD), points_sheet(("W0077", "outlet", "出厂水", "", "二氧化氯、浊度，浑浊度", "")))
    assert parsed.refusals == ()
    assert [(row.works, row.point) for row in parsed.points] == [(("520425", "W0077"), OUTLET)]
    assert parsed.rows == 2


def test_every_kind_of_point_and_every_parameter_is_understood() -> None:
    words = [(kind, word) for kind, names in POINT_KIND_WORDS.items() for word in (*names, kind.value)]
    rows = [("W0077", f"p{n}", word, "", "", "") for n, (_, word) in enumerate(words)]
    parsed = parse(works_sheet(GOOD), points_sheet(*rows))
    assert [row.point.kind for row in parsed.points] == [kind for kind, _ in words]
    for parameter in PARAMETERS.values():
        for word in (parameter.code, parameter.name_zh, parameter.name_en.upper(), parameter.short_zh):
            (point,) = parse(works_sheet(GOOD), points_sheet(("W0077", "a", "出厂", "", word, ""))).points
            assert point.point.parameters == (parameter.code,), word


def test_points_may_belong_to_works_of_the_register() -> None:
    parsed = parse(points_sheet(("W9", "outlet", "出厂水", "甲", "", "")), known=(("520425", "W9"),))
    assert parsed.refusals == ()
    assert parsed.points[0].works == ("520425", "W9")


# --- headers ----------------------------------------------------------------------------------------------------------


def test_a_title_line_above_the_header_is_passed_over() -> None:
    sheet = works_sheet(GOOD)
    titled = Sheet("Sheet1", (("紫云县农村供水工程台账",), (), *sheet.rows), merged=((0, 0, 0, 19),))
    assert [row.works for row in parse(titled).works] == [WORKS]


def test_a_header_of_two_rows_with_merged_cells_is_understood() -> None:
    names = tuple(GOOD)
    place = names.index("经度")
    top = [*names]
    top[place : place + 2] = ["位置", ""]
    bottom = [""] * len(names)
    bottom[place : place + 2] = ["经度（°）", "纬度（°）"]
    down = [(0, c, 1, c) for c in range(len(names)) if c not in (place, place + 1)]
    sheet = Sheet("工程", (tuple(top), tuple(bottom), tuple(GOOD.values())), (*down, (0, place, 0, place + 1)))
    parsed = parse(sheet)
    assert parsed.refusals == ()
    assert [row.works for row in parsed.works] == [WORKS]


def test_order_marks_blanks_and_units_of_headers_do_not_matter() -> None:
    renamed = {f" *{name}\n".replace("m³/d", "立方米/天"): value for name, value in reversed(GOOD.items())}
    parsed = parse(works_sheet(renamed, header=renamed))
    assert parsed.refusals == ()
    assert [row.works for row in parsed.works] == [WORKS]


def test_columns_that_are_not_ours_are_passed_over() -> None:
    extra = {"备注": "x", **GOOD, "": "y"}
    assert [row.works for row in parse(works_sheet(extra, header=extra)).works] == [WORKS]


def test_missing_columns_are_listed_with_those_found() -> None:
    refusal = only(parse(Sheet("Sheet1", (("区县编码", "编号", "消毒方式"), ("520425", "1", "无")))))
    assert refusal.reason is RefusalReason.MISSING_COLUMNS
    text = refusal.text()
    assert "缺少列：工程编码、工程名称、设计供水规模(m³/d)、受益人口" in text
    assert "已有列：区县编码、编号、消毒方式" in text


def test_a_column_that_comes_twice_is_refused() -> None:
    sheet = Sheet("工程", ((*GOOD, "工程名称"), (*GOOD.values(), "另一个名称")))
    refusal = only(parse(sheet))
    assert (refusal.reason, refusal.cell) == (RefusalReason.DUPLICATE_COLUMN, "Y1")
    assert refusal.facts["other"] == "C1"


@pytest.mark.parametrize(("header", "unit"), [("设计供水规模(m³/h)", "m3/h"), ("采样间隔（min）", "min")])
def test_another_unit_in_the_header_is_refused_and_never_taken_silently(header: str, unit: str) -> None:
    renamed = {header if name[:2] == header[:2] else name: value for name, value in GOOD.items()}
    parsed = parse(works_sheet(renamed, header=renamed))
    assert parsed.works == ()
    assert (only(parsed).reason, only(parsed).facts["found"]) == (RefusalReason.WRONG_UNIT, unit)


def test_a_header_without_rows_is_refused() -> None:
    assert only(parse(works_sheet())).reason is RefusalReason.NO_ROWS


# --- bad rows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "typed", "reason", "cell"),
    [
        ("区县编码", "", RefusalReason.REQUIRED, "A2"),
        ("区县编码", "52042", RefusalReason.BAD_COUNTY, "A2"),
        ("区县编码", "990425", RefusalReason.BAD_COUNTY, "A2"),
        ("区县编码", "520400", RefusalReason.BAD_COUNTY, "A2"),
        ("区县编码", "紫云县", RefusalReason.BAD_COUNTY, "A2"),
        ("工程编码", "", RefusalReason.REQUIRED, "B2"),
        ("工程编码", "猫营", RefusalReason.BAD_CODE, "B2"),
        ("工程编码", "W/1", RefusalReason.BAD_CODE, "B2"),
        ("工程编码", "W" * 65, RefusalReason.BAD_CODE, "B2"),
        ("工程名称", "", RefusalReason.REQUIRED, "C2"),
        ("工程名称", "名" * 101, RefusalReason.TOO_LONG, "C2"),
        ("工程名称", "#REF!", RefusalReason.CELL_ERROR, "C2"),
        ("消毒方式", "", RefusalReason.REQUIRED, "E2"),
        ("消毒方式", "碘", RefusalReason.UNKNOWN_WORD, "E2"),
        ("消毒方式", "消毒", RefusalReason.UNKNOWN_WORD, "E2"),
        ("消毒设备", "坏了", RefusalReason.UNKNOWN_WORD, "F2"),
        ("设计供水规模(m³/d)", -5, RefusalReason.OUT_OF_RANGE, "G2"),
        ("设计供水规模(m³/d)", 0, RefusalReason.OUT_OF_RANGE, "G2"),
        ("设计供水规模(m³/d)", "420吨", RefusalReason.NOT_A_NUMBER, "G2"),
        ("设计供水规模(m³/d)", "1,2,3", RefusalReason.NOT_A_NUMBER, "G2"),
        ("设计供水规模(m³/d)", "#DIV/0!", RefusalReason.CELL_ERROR, "G2"),
        ("设计供水规模(m³/d)", "NaN", RefusalReason.NOT_A_NUMBER, "G2"),
        ("设计供水规模(m³/d)", float("nan"), RefusalReason.NOT_A_NUMBER, "G2"),
        ("设计供水规模(m³/d)", float("inf"), RefusalReason.NOT_A_NUMBER, "G2"),
        ("设计供水规模(m³/d)", DAY, RefusalReason.NOT_A_NUMBER, "G2"),
        ("受益人口", "约三千", RefusalReason.NOT_A_NUMBER, "H2"),
        ("受益人口", 3120.5, RefusalReason.NOT_A_NUMBER, "H2"),
        ("受益人口", -1, RefusalReason.OUT_OF_RANGE, "H2"),
        ("水源受限", "也许", RefusalReason.UNKNOWN_WORD, "I2"),
        ("采样间隔(s)", 0, RefusalReason.OUT_OF_RANGE, "J2"),
        ("上报间隔(s)", 10**7, RefusalReason.OUT_OF_RANGE, "K2"),
        ("经度", 2.35, RefusalReason.OUTSIDE_CHINA, "L2"),
        ("经度", "东经106", RefusalReason.NOT_A_NUMBER, "L2"),
        ("经度", "", RefusalReason.COORDINATE_ALONE, "L2"),
        ("纬度", "", RefusalReason.COORDINATE_ALONE, "M2"),
        ("纬度", 185, RefusalReason.OUT_OF_RANGE, "M2"),
        ("管水员", "", RefusalReason.NAMELESS_CONTACT, "N2"),
        ("管水员电话", "", RefusalReason.UNREACHABLE_CONTACT, "O2"),
        ("管水员电话", "1380000000", RefusalReason.BAD_PHONE, "O2"),
        ("管水员电话", "12800000001", RefusalReason.BAD_PHONE, "O2"),
        ("管水员电话", "0853-5221234", RefusalReason.BAD_PHONE, "O2"),
        ("管理员企业微信", "", RefusalReason.UNREACHABLE_CONTACT, "R2"),
        ("投产日期", "2021-13-01", RefusalReason.BAD_DATE, "T2"),
        ("投产日期", "2021-02-30", RefusalReason.BAD_DATE, "T2"),
        ("投产日期", "去年", RefusalReason.BAD_DATE, "T2"),
        ("投产日期", 44348.0, RefusalReason.BAD_DATE, "T2"),
        ("投产日期", DAY.replace(year=1900), RefusalReason.BAD_DATE, "T2"),
    ],
)
def test_a_bad_cell_refuses_its_row_and_names_place_reason_and_remedy(
    column: str, typed: Cell, reason: RefusalReason, cell: str
) -> None:
    other = GOOD | {"工程编码": "W0078"}
    parsed = parse(works_sheet(GOOD | {column: typed}, other))
    assert [row.works.id for row in parsed.works] == ["W0078"]
    refusal = only(parsed)
    assert (refusal.reason, refusal.cell, refusal.row) == (reason, cell, 2)
    assert refusal.text().startswith(f"工程!{cell}: ")
    for language in ("zh", "en"):
        assert refusal.text(language).count(": ") >= 2
        assert "{" not in refusal.text(language)


def test_swapped_coordinates_are_recognised() -> None:
    refusal = only(parse(works_sheet(GOOD | {"经度": 25.7612, "纬度": 106.0843})))
    assert refusal.reason is RefusalReason.COORDINATES_SWAPPED
    assert refusal.text() == "工程!L2: 经度和纬度填反了（25.7612, 106.084）: 两列对调"


def test_an_unknown_disinfectant_is_answered_with_those_allowed() -> None:
    text = only(parse(works_sheet(GOOD | {"消毒方式": "碘"}))).text()
    assert text == "工程!E2: “碘”不认识: 可填：游离氯、氯胺、二氧化氯、复合二氧化氯、臭氧、紫外线、无"


def test_all_faults_of_a_row_are_told_at_once() -> None:
    parsed = parse(works_sheet(GOOD | {"区县编码": "x", "受益人口": "y", "管水员电话": "z"}))
    assert [refusal.cell for refusal in parsed.refusals] == ["A2", "H2", "O2"]
    assert parsed.refused_rows == 1


def test_a_works_that_comes_twice_is_taken_once() -> None:
    parsed = parse(works_sheet(GOOD, GOOD | {"工程名称": "另一个"}, GOOD | {"区县编码": "520402"}))
    assert [row.works.county for row in parsed.works] == ["520425", "520402"]
    assert only(parsed).text() == "工程!B3: 与 工程!2 重复: 只留一行"


def test_empty_rows_are_passed_over() -> None:
    parsed = parse(works_sheet({}, GOOD, {"备注": "x"}, {}))
    assert (len(parsed.works), parsed.rows, parsed.refusals) == (1, 1, ())


@pytest.mark.parametrize(
    ("row", "reason", "cell"),
    [
        (("W0077", "", "出厂水", "", "", ""), RefusalReason.REQUIRED, "B2"),
        (("W0077", "出厂", "出厂水", "", "", ""), RefusalReason.BAD_CODE, "B2"),
        (("W0077", "a", "厨房", "", "", ""), RefusalReason.UNKNOWN_WORD, "C2"),
        (("W0077", "a", "出厂水", "", "浊度、硬度", ""), RefusalReason.UNKNOWN_WORD, "E2"),
        (("W0099", "a", "出厂水", "", "", ""), RefusalReason.UNKNOWN_WORKS, "A2"),
        (("W0077", "a", "出厂水", "", "", "520402"), RefusalReason.UNKNOWN_WORKS, "A2"),
        (("W0077", "a", "出厂水", "", "", "紫云"), RefusalReason.BAD_COUNTY, "F2"),
    ],
)
def test_a_bad_point_is_refused_and_its_works_taken(row: tuple[Cell, ...], reason: RefusalReason, cell: str) -> None:
    parsed = parse(works_sheet(GOOD), points_sheet(row))
    assert len(parsed.works) == 1
    assert (only(parsed).reason, only(parsed).cell) == (reason, cell)
    assert parsed.refused_rows == 1


def test_a_point_that_comes_twice_is_taken_once() -> None:
    point = ("W0077", "a", "出厂水", "", "", "")
    parsed = parse(works_sheet(GOOD), points_sheet(point, point))
    assert len(parsed.points) == 1
    assert only(parsed).reason is RefusalReason.DUPLICATE_ROW


def test_a_code_used_in_two_counties_needs_the_county() -> None:
    both = works_sheet(GOOD, GOOD | {"区县编码": "520402"})
    refusal = only(parse(both, points_sheet(("W0077", "a", "出厂水", "", "", ""))))
    assert (refusal.reason, refusal.facts["allowed"]) == (RefusalReason.AMBIGUOUS_WORKS, "520402、520425")
    parsed = parse(both, points_sheet(("W0077", "a", "出厂水", "", "", 520402.0)))
    assert parsed.points[0].works == ("520402", "W0077")


def test_points_of_a_refused_works_point_at_its_row() -> None:
    parsed = parse(works_sheet(GOOD | {"受益人口": "x"}), points_sheet(("W0077", "a", "出厂水", "", "", "")))
    assert [refusal.reason for refusal in parsed.refusals] == [RefusalReason.NOT_A_NUMBER, RefusalReason.WORKS_REFUSED]
    assert parsed.refusals[1].facts["other"] == "工程!2"
    assert (parsed.rows, parsed.refused_rows) == (2, 2)


def test_every_reason_has_its_texts_in_both_languages() -> None:
    for reason in RefusalReason:
        facts = dict.fromkeys(("found", "allowed", "other", "missing", "kind", "column"), "x")
        refusal = Refusal("s", 1, "A1", "c", reason, facts)
        assert refusal.text("zh") != refusal.text("en")


# --- what is held already ---------------------------------------------------------------------------------------------


def parsed_row(**cells: Cell) -> Any:
    return parse(works_sheet(GOOD | cells)).works[0]


def test_an_empty_cell_changes_nothing_that_is_held() -> None:
    held = replace(
        WORKS, points=(OUTLET,), note="老厂", tags={"网格": "3"}, simulated=True, equipment=Equipment.NOT_EQUIPPED
    )
    blank = {name: "" for name, column in zip(GOOD, WORKS_COLUMNS, strict=True) if not column.required}
    assert merged(held, parsed_row(**blank), ()) == held
    after = merged(held, parsed_row(受益人口=3200, 管理员企业微信="new"), ())
    assert after is not None
    assert after == replace(
        held,
        population=3200,
        equipment=Equipment.EQUIPPED,
        contacts=(WORKS.contacts[0], Contact(Role.MANAGER, "罗站长", "", "new")),
    )


def test_a_contact_held_already_leaves_its_fellows_alone() -> None:
    second = Contact(Role.CARETAKER, "杨师傅", "13900000002")
    held = replace(WORKS, contacts=(WORKS.contacts[0], second, WORKS.contacts[1]))
    assert merged(held, parsed_row(), ()) == held


def test_the_hour_of_commissioning_survives_the_sheet() -> None:
    held = replace(WORKS, commissioned_at=datetime(2021, 6, 1, 7, 30, tzinfo=UTC))
    assert merged(held, parsed_row(), ()) == held


def test_points_are_matched_by_code_and_those_not_named_stay() -> None:
    end = SamplingPoint("end", PointKind.NETWORK_END, "末梢", ("turbidity",))
    rows = points_sheet(("W0077", "outlet", "出厂水", "新名", "", ""), ("W0077", "new", "管网", "", "pH", ""))
    parsed = parse(rows, known=(("520425", "W0077"),))
    after = merged(replace(WORKS, points=(OUTLET, end)), None, parsed.points)
    assert after is not None
    new = SamplingPoint("new", PointKind.NETWORK, "管网水", ("ph",))
    assert after.points == (replace(OUTLET, name="新名"), end, new)
    assert merged(None, None, parsed.points) is None


# --- files ------------------------------------------------------------------------------------------------------------


def a_register() -> list[Works]:
    bare = replace(
        WORKS, id="=1+1-x".replace("=", "W").replace("+", "_"), contacts=(), longitude=None, latitude=None, name="=1+1",
        commissioned_at=None, points=(), disinfectant=Disinfectant.NONE, equipment=Equipment.NOT_EQUIPPED, source_limited=True,
        treatment_limited=True, groundwater_limited=True, raw_permanganate_above_6=True,
    )  # fmt: skip
    points = (OUTLET, SamplingPoint("end-1", PointKind.NETWORK_END, "末梢水", tuple(PARAMETERS)))
    kinds = [replace(WORKS, id=f"W{n}", disinfectant=one) for n, one in enumerate(Disinfectant)]
    return [replace(WORKS, points=points), bare, *kinds]


def test_what_is_exported_comes_back_the_same() -> None:
    content = register_workbook(a_register(), PARAMETERS)
    parsed = parse_file([("register.xlsx", content)], PARAMETERS)
    assert parsed.refusals == ()
    points = {key: [p for p in parsed.points if p.works == key] for key in {p.works for p in parsed.points}}
    after = [merged(None, row, points.get((row.works.county, row.works.id), ())) for row in parsed.works]
    assert after == a_register()


def test_the_template_has_both_sheets_the_notes_and_no_rows() -> None:
    sheets = read_sheets(register_workbook([], PARAMETERS), "template.xlsx")
    assert isinstance(sheets, list)
    assert [sheet.name for sheet in sheets] == ["工程", "采样点", NOTES_SHEET]
    assert sheets[0].rows == (tuple(column.header for column in WORKS_COLUMNS),)
    assert sheets[1].rows == (tuple(column.header for column in POINT_COLUMNS),)
    assert (
        only(parse_file([("template.xlsx", register_workbook([], PARAMETERS))], PARAMETERS)).reason
        is RefusalReason.NO_ROWS
    )


def test_two_csv_files_in_gbk_make_a_register() -> None:
    def csv(sheet: Sheet) -> bytes:
        return "\n".join(",".join(str(cell) for cell in row) for row in sheet.rows).encode("gbk")

    header = {name.replace("m³/d", "立方米/天"): value for name, value in GOOD.items()} | {"投产日期": "2021-06-01"}
    works = csv(works_sheet(header, header=header))
    points = csv(points_sheet(("W0077", "outlet", "出厂水", "", "二氧化氯、浑浊度", "")))
    parsed = parse_file([("w.csv", works), ("w-采样点.csv", points)], PARAMETERS)
    assert parsed.refusals == ()
    assert merged(None, parsed.works[0], parsed.points) == replace(WORKS, points=(OUTLET,))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", RefusalReason.EMPTY_FILE),
        (b"%PDF-1.7", RefusalReason.WRONG_FILE_TYPE),
        (b"PK\x03\x04x", RefusalReason.DAMAGED_FILE),
        (b"\xff\xff", RefusalReason.BAD_ENCODING),
    ],
)
def test_a_file_that_is_no_table_is_one_refusal(content: bytes, reason: RefusalReason) -> None:
    parsed = parse_file([("x.xlsx", content)], PARAMETERS)
    assert (only(parsed).reason, only(parsed).place, parsed.works, parsed.rows) == (reason, "x.xlsx", (), 0)


@pytest.mark.parametrize(
    ("word", "evidence"), [("人工", "hand"), ("手工", "hand"), ("在线", "sensor"), ("hand", "hand")]
)
def test_who_measures_the_residual_is_read_in_words(word: str, evidence: str) -> None:
    (taken,) = parse(works_sheet({**GOOD, "余量检测方式": word})).works
    assert taken.works.evidence == evidence


def test_an_unknown_way_of_measuring_is_refused_with_the_words_allowed() -> None:
    refusal = only(parse(works_sheet({**GOOD, "余量检测方式": "看看"})))
    assert refusal.reason is RefusalReason.UNKNOWN_WORD
    assert refusal.facts["allowed"] == "在线、人工"
