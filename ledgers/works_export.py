"""The works register as a workbook: what `works_import` reads, with drop-down lists and a sheet of notes. Pure.

Without works it is the empty template.
"""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import xlsxwriter

from ledgers.works_columns import (
    DISINFECTANT_WORDS,
    EQUIPMENT_WORDS,
    EVIDENCE_WORDS,
    POINT_COLUMNS,
    POINT_KIND_WORDS,
    POINTS_SHEET,
    WORKS_COLUMNS,
    WORKS_SHEET,
    YES_NO_WORDS,
    Column,
    shown_words,
)
from qingquan.domain.parameters import Parameter
from qingquan.domain.works import Role, SamplingPoint, Works

__all__ = ["NOTES_SHEET", "register_workbook"]

NOTES_SHEET = "说明"
FONT = "微软雅黑"

# Rows below the header for which the drop-down lists are set, beyond those filled in.
SPARE_ROWS = 2_000

_LISTS: Mapping[str, list[str]] = {
    "disinfectant": shown_words(DISINFECTANT_WORDS),
    "equipment": shown_words(EQUIPMENT_WORDS),
    "source_limited": shown_words(YES_NO_WORDS),
    "treatment_limited": shown_words(YES_NO_WORDS),
    "groundwater_limited": shown_words(YES_NO_WORDS),
    "evidence": shown_words(EVIDENCE_WORDS),
    "raw_permanganate_above_6": shown_words(YES_NO_WORDS),
    "kind": shown_words(POINT_KIND_WORDS),
}

# (type of check, criteria, limits, message): a spreadsheet refuses these while typing, the import refuses them again.
_CHECKS: Mapping[str, dict[str, Any]] = {
    "capacity_m3_d": {"validate": "decimal", "criteria": ">", "value": 0},
    "population": {"validate": "integer", "criteria": ">=", "value": 0},
    "cadence_s": {"validate": "integer", "criteria": "between", "minimum": 1, "maximum": 86_400},
    "upload_interval_s": {"validate": "integer", "criteria": "between", "minimum": 1, "maximum": 604_800},
    "longitude": {"validate": "decimal", "criteria": "between", "minimum": 73.4, "maximum": 135.2},
    "latitude": {"validate": "decimal", "criteria": "between", "minimum": 3.4, "maximum": 53.7},
}

_TEXT_COLUMNS = frozenset({"county", "works", "point", "caretaker_phone", "manager_phone"})

Value = str | int | float | datetime | None


def register_workbook(works: Iterable[Works], parameters: Mapping[str, Parameter]) -> bytes:
    """An xlsx workbook with sheets 工程, 采样点 and 说明."""
    entries = list(works)
    buffer = io.BytesIO()
    # Without `in_memory` the writer makes files in a temporary folder; strings are never formulas or links.
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with xlsxwriter.Workbook(buffer, options) as book:
        book.set_properties({"title": "供水工程台账", "created": datetime(2000, 1, 1)})  # noqa: DTZ001 - fixed: same content, same bytes
        styles = _styles(book)
        _write_table(book, styles, WORKS_SHEET, WORKS_COLUMNS, [_works_values(entry) for entry in entries])
        points = [_point_values(entry, point, parameters) for entry in entries for point in entry.points]
        _write_table(book, styles, POINTS_SHEET, POINT_COLUMNS, points)
        _write_notes(book, styles, parameters)
    return buffer.getvalue()


def _styles(book: Any) -> dict[str, Any]:
    head = {"bold": True, "border": 1, "valign": "vcenter", "text_wrap": True, "font_name": FONT}
    return {
        "required": book.add_format({**head, "bg_color": "#FCE4D6"}),
        "optional": book.add_format({**head, "bg_color": "#DDEBF7"}),
        "text": book.add_format({"num_format": "@"}),
        "date": book.add_format({"num_format": "yyyy-mm-dd"}),
        "wrap": book.add_format({"text_wrap": True, "valign": "top"}),
        "bold": book.add_format({"bold": True, "font_name": FONT}),
    }


def _write_table(
    book: Any, styles: Mapping[str, Any], name: str, columns: Sequence[Column], rows: Sequence[Mapping[str, Value]]
) -> None:
    sheet = book.add_worksheet(name)
    sheet.freeze_panes(1, 3)
    sheet.set_row(0, 32)
    last = len(rows) + SPARE_ROWS
    for index, column in enumerate(columns):
        style = {"commissioned_at": styles["date"]}.get(column.field)
        sheet.set_column(index, index, column.width, styles["text"] if column.field in _TEXT_COLUMNS else style)
        sheet.write_string(0, index, column.header, styles["required" if column.required else "optional"])
        check = _check(column)
        if check is not None:
            sheet.data_validation(1, index, last, index, check)
        for number, row in enumerate(rows, 1):
            _write_cell(sheet, styles, number, index, row.get(column.field))


def _check(column: Column) -> dict[str, Any] | None:
    words = _LISTS.get(column.field)
    check = {"validate": "list", "source": words} if words else _CHECKS.get(column.field)
    if check is None:
        return None
    # A list only warns: the import knows more words than the one list shows.
    severity = "warning" if words else "stop"
    return {**check, "error_title": column.header[:32], "error_message": column.help_zh[:255], "error_type": severity}


def _write_cell(sheet: Any, styles: Mapping[str, Any], row: int, column: int, value: Value) -> None:
    if value is None or value == "":
        return
    if isinstance(value, datetime):
        sheet.write_datetime(row, column, value, styles["date"])
    elif isinstance(value, str):
        sheet.write_string(row, column, value)
    else:
        sheet.write_number(row, column, value)


def _works_values(entry: Works) -> dict[str, Value]:
    values: dict[str, Value] = {
        "county": entry.county,
        "works": entry.id,
        "name": entry.name,
        "township": entry.township,
        "disinfectant": DISINFECTANT_WORDS[entry.disinfectant][0],
        "equipment": EQUIPMENT_WORDS[entry.equipment][0],
        "capacity_m3_d": entry.capacity_m3_d,
        "population": entry.population,
        "source_limited": YES_NO_WORDS[entry.source_limited][0],
        "treatment_limited": YES_NO_WORDS[entry.treatment_limited][0],
        "groundwater_limited": YES_NO_WORDS[entry.groundwater_limited][0],
        "evidence": EVIDENCE_WORDS[entry.evidence][0],
        "raw_permanganate_above_6": YES_NO_WORDS[entry.raw_permanganate_above_6][0],
        "cadence_s": entry.cadence_s,
        "upload_interval_s": entry.upload_interval_s,
        "longitude": entry.longitude,
        "latitude": entry.latitude,
        "commissioned_at": _local_day(entry),
    }
    for role in Role:
        contact = next((one for one in entry.contacts if one.role is role), None)
        if contact is not None:
            values |= {str(role): contact.name, f"{role}_phone": contact.phone, f"{role}_wecom": contact.wecom_id}
    return values


def _local_day(entry: Works) -> datetime | None:
    if entry.commissioned_at is None:
        return None
    return entry.commissioned_at.astimezone(ZoneInfo(entry.time_zone)).replace(tzinfo=None)


def _point_values(entry: Works, point: SamplingPoint, parameters: Mapping[str, Parameter]) -> dict[str, Value]:
    names = [parameters[code].name_zh if code in parameters else code for code in point.parameters]
    return {
        "county": entry.county,
        "works": entry.id,
        "point": point.id,
        "kind": POINT_KIND_WORDS[point.kind][0],
        "point_name": point.name,
        "parameters": "、".join(names),
    }


def _write_notes(book: Any, styles: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> None:
    sheet = book.add_worksheet(NOTES_SHEET)
    sheet.set_column(0, 0, 24, styles["wrap"])
    sheet.set_column(1, 2, 60, styles["wrap"])
    lines: list[tuple[str, ...]] = [
        ("供水工程台账导入说明",),
        ("橙色列必填，蓝色列选填。空白单元格不改动台账中已有的内容；采样点按编码更新，文件中没有列出的保持不变。",),
        ("一行中有一处不合格，整行不导入，并按“表名!单元格: 原因: 改法”逐条列出；其余各行照常导入。",),
        ("",),
        (f"{WORKS_SHEET}表", "填写要求"),
        *((column.header, column.help_zh) for column in WORKS_COLUMNS),
        ("",),
        (f"{POINTS_SHEET}表", "填写要求"),
        *((column.header, column.help_zh) for column in POINT_COLUMNS),
        ("",),
        ("消毒方式", "也可写作"),
        *_words(DISINFECTANT_WORDS.values()),
        ("",),
        ("采样点类型", "也可写作"),
        *_words(POINT_KIND_WORDS.values()),
        ("",),
        ("参数", "编码", "单位"),
        *((parameter.name_zh, parameter.code, parameter.unit) for parameter in parameters.values()),
    ]
    for row, line in enumerate(lines):
        for column, text in enumerate(line):
            sheet.write_string(row, column, text, *([styles["bold"]] if row == 0 else []))


def _words(groups: Iterable[tuple[str, ...]]) -> Iterable[tuple[str, str]]:
    join: Callable[[Iterable[str]], str] = "、".join
    return [(names[0], join(names[1:])) for names in groups]
