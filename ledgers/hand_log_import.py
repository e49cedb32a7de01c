"""Measurements by hand from a workbook or CSV: good rows become entries, the others are refused with place, reason and remedy. Pure."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import xlsxwriter

from ledgers.cells import AnyReader, Wrong, cell_text, code, county_code, number, one_of, short_text, shown
from ledgers.headers import find_header, header_refusals
from ledgers.refusals import Refusal, RefusalReason
from ledgers.rows import ReadRow, read_rows
from ledgers.works_columns import Column
from qingquan.clock import to_ms
from qingquan.domain.disinfection import HandMethod
from qingquan.domain.parameters import Parameter
from qingquan.domain.works import PointKind, SamplingPoint, Works
from qingquan.sheets import Cell, Sheet, Unreadable, read_sheets

__all__ = [
    "HAND_LOG_COLUMNS", "METHOD_WORDS", "OLDEST_DAYS", "HandEntry", "ParsedLog", "hand_log_template", "hand_point", "parse_log", "residual_in",
]  # fmt: skip

SHEET = "余量检测记录"
OLDEST_DAYS = 92
DAY_MS = 24 * 3_600_000

METHOD_WORDS: Mapping[HandMethod, tuple[str, ...]] = {
    HandMethod.DPD_COLOUR: ("DPD比色", "DPD", "比色", "比色计", "试剂盒", "DPD比色法"),
    HandMethod.DPD_PHOTOMETER: ("DPD光度计", "便携式光度计", "光度计", "便携仪", "DPD分光光度法"),
    HandMethod.OTHER: ("其他", "其它", "碘量法", "靛蓝法"),
}

HAND_LOG_COLUMNS = (
    Column("county", "区县编码", ("县编码", "行政区划代码", "county"), False, "可空白；工程编码在几个区县重复时必填"),
    Column("works", "工程编码", ("工程编号", "works", "works_id"), True, "台账中的编码", width=14),
    Column("point", "采样点编码", ("采样点编号", "point", "point_id"), False, "空白 = 出厂水"),
    Column("observed_at", "检测时间", ("时间", "采样时间", "observed_at", "time"), True, "如 2026-05-01 08:00", width=18),
    Column("value", "余量(mg/L)", ("余氯", "余量", "检测值", "结果", "value", "residual"), True, "如 0.35；低于检出限写 <0.05", ("mg/l", "毫克/升")),
    Column("method", "检测方法", ("方法", "method"), False, "DPD比色 / DPD光度计 / 其他"),
    Column("person", "检测人", ("检测人员", "姓名", "管水员", "person"), True, "姓名"),
    Column("note", "备注", ("说明", "note"), False, "", width=24),
)  # fmt: skip

_MOMENT = re.compile(
    r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?[T ]\s*(\d{1,2})\s*[:时点]\s*(\d{1,2})(?:[:分]\s*(\d{1,2})?)?"
)
_BELOW = re.compile(r"^[<＜]\s*(.+)$")


@dataclass(frozen=True, slots=True)
class HandEntry:
    """A measurement as entered: place, parameter, time [ms], qualifier ("" or "<"), value, method, person, note."""

    county: str
    works: str
    point: str
    parameter: str
    observed_at: int
    qualifier: str
    value: float
    method: HandMethod
    person: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ParsedLog:
    """Entries taken, everything refused, rows seen."""

    entries: tuple[HandEntry, ...]
    refusals: tuple[Refusal, ...]
    rows: int = 0


def residual_in(low: float, high: float) -> AnyReader:
    """Reader of a residual: a number, or ``<`` and a number; ``(qualifier, value)``.

    >>> residual_in(0, 5)("＜0.05"), residual_in(0, 5)(0.4)
    (('<', 0.05), ('', 0.4))
    """
    plain = number(low, high)

    def read(cell: Cell) -> tuple[str, float] | Wrong:
        text = cell_text(cell)
        below = _BELOW.match(text)
        found = plain(below[1] if below else cell)
        return found if isinstance(found, Wrong) else ("<" if below else "", found)

    return read


def hand_point(works: Works, point: str = "") -> SamplingPoint | None:
    """The point meant: by its id, or the outlet where none is named."""
    if point:
        return next((one for one in works.points if one.id == point), None)
    return next((one for one in works.points if one.kind is PointKind.OUTLET), None)


def parse_log(
    content: bytes, name: str, works: Sequence[Works], parameters: Mapping[str, Parameter], now: int
) -> ParsedLog:  # fmt: skip
    """Entries from the bytes of a workbook or CSV. A row is taken whole or not at all; times are the works' local time."""
    sheets = read_sheets(content, name)
    if isinstance(sheets, Unreadable):
        refusal = Refusal(name, 0, "", "", RefusalReason(sheets.fault.value), {"found": sheets.detail})
        return ParsedLog((), (refusal,))
    sheet = max(sheets, key=lambda one: len(find_header(one, HAND_LOG_COLUMNS).columns))
    header = find_header(sheet, HAND_LOG_COLUMNS)
    refusals = header_refusals(sheet, header, HAND_LOG_COLUMNS)
    if refusals:
        return ParsedLog((), tuple(refusals))
    return _parsed(sheet, works, parameters, now)


def _parsed(sheet: Sheet, works: Sequence[Works], parameters: Mapping[str, Parameter], now: int) -> ParsedLog:
    header = find_header(sheet, HAND_LOG_COLUMNS)
    highest = max(row.range_max for row in parameters.values() if row.code in _RESIDUALS)
    method = one_of(METHOD_WORDS)
    readers: dict[str, AnyReader] = {
        "county": county_code, "works": code, "point": code, "observed_at": _moment, "value": residual_in(0, highest),
        "method": method, "person": short_text, "note": short_text,
    }  # fmt: skip
    by_id: dict[str, list[Works]] = {}
    for one in works:
        by_id.setdefault(one.id, []).append(one)
    entries: list[HandEntry] = []
    refusals: list[Refusal] = []
    places: dict[tuple[str, str, str, int], str] = {}
    rows = 0
    for row in read_rows(sheet, header, HAND_LOG_COLUMNS, readers):
        rows += 1
        entry = _entry(row, by_id, parameters, now)
        if entry is not None and not row.refusals:
            key = (entry.county, entry.works, entry.point, entry.observed_at)
            if key in places:
                row.refuse("observed_at", RefusalReason.DUPLICATE_ROW, {"other": places[key]})
            else:
                places[key] = row.place
                entries.append(entry)
        refusals += row.refusals
    if not rows:
        refusals.append(Refusal(sheet.name, 0, "", "", RefusalReason.NO_ROWS))
    return ParsedLog(tuple(entries), tuple(refusals), rows)


_RESIDUALS = ("free_chlorine", "total_chlorine", "chlorine_dioxide", "ozone")


def _entry(
    row: ReadRow, by_id: Mapping[str, Sequence[Works]], parameters: Mapping[str, Parameter], now: int
) -> HandEntry | None:
    values = row.values
    works = _works_of(row, by_id)
    if works is None:
        return None
    residual = works.disinfectant.residual
    if residual not in _RESIDUALS:
        row.refuse("works", RefusalReason.NO_RESIDUAL, {"found": works.disinfectant.value})
        return None
    point = hand_point(works, values.get("point", ""))
    if point is None:
        allowed = "、".join(one.id for one in works.points)
        row.refuse(
            "point", RefusalReason.UNKNOWN_POINT, {"found": values.get("point", "") or "outlet", "allowed": allowed}
        )
    at = values.get("observed_at")
    observed_at = 0 if at is None else to_ms(at.replace(tzinfo=ZoneInfo(works.time_zone)).astimezone(UTC))
    if at is not None and observed_at > now:
        row.refuse("observed_at", RefusalReason.IN_THE_FUTURE, {"found": f"{at:%Y-%m-%d %H:%M}"})
    if at is not None and observed_at < now - OLDEST_DAYS * DAY_MS:
        row.refuse("observed_at", RefusalReason.TOO_OLD, {"found": f"{at:%Y-%m-%d %H:%M}", "allowed": str(OLDEST_DAYS)})
    if "value" in values and values["value"][1] > parameters[residual].range_max:
        most = f"0–{parameters[residual].range_max:g}"
        row.refuse("value", RefusalReason.OUT_OF_RANGE, {"found": f"{values['value'][1]:g}", "allowed": most})
    if row.refusals or point is None:
        return None
    qualifier, value = values["value"]
    return HandEntry(
        works.county, works.id, point.id, residual, observed_at, qualifier, value,
        values.get("method", HandMethod.DPD_COLOUR), values["person"], values.get("note", ""),
    )  # fmt: skip


def _works_of(row: ReadRow, by_id: Mapping[str, Sequence[Works]]) -> Works | None:
    id_, county = row.values.get("works"), row.values.get("county")
    if id_ is None:
        return None
    found = [one for one in by_id.get(id_, ()) if county is None or one.county == county]
    if len(found) == 1:
        return found[0]
    if found:
        row.refuse(
            "county", RefusalReason.AMBIGUOUS_WORKS, {"found": id_, "allowed": "、".join(one.county for one in found)}
        )
    else:
        row.refuse("works", RefusalReason.UNKNOWN_WORKS, {"found": id_})
    return None


def _moment(cell: Cell) -> datetime | Wrong:
    """A local date and time, naive: the works says which zone."""
    if isinstance(cell, datetime):
        return cell.replace(tzinfo=None, microsecond=0)
    match = _MOMENT.fullmatch(cell_text(cell)) if isinstance(cell, str) else None
    if match is None:
        return Wrong(RefusalReason.BAD_MOMENT, {"found": shown(cell)})
    try:
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 (the works says which zone)
    except ValueError:
        return Wrong(RefusalReason.BAD_MOMENT, {"found": shown(cell)})


def hand_log_template(works: Sequence[Works] = ()) -> bytes:
    """An empty workbook with a row for each hand-logged works, ready to be filled in."""
    memory = io.BytesIO()
    with xlsxwriter.Workbook(memory, {"in_memory": True}) as book:
        sheet = book.add_worksheet(SHEET)
        bold = book.add_format({"bold": True, "bg_color": "#DCEBF2", "font_name": "微软雅黑"})
        text = book.add_format({"num_format": "@"})
        for column, one in enumerate(HAND_LOG_COLUMNS):
            sheet.set_column(column, column, one.width, text if one.field in ("county", "works", "point") else None)
            sheet.write(0, column, one.header, bold)
            if one.help_zh:
                sheet.write_comment(0, column, one.help_zh)
        sheet.freeze_panes(1, 0)
        for row, entry in enumerate((one for one in works if one.is_hand_logged), start=1):
            sheet.write_string(row, 0, entry.county)
            sheet.write_string(row, 1, entry.id)
        column = [one.field for one in HAND_LOG_COLUMNS].index("method")
        words = [names[0] for names in METHOD_WORDS.values()]
        sheet.data_validation(1, column, 2000, column, {"validate": "list", "source": words})
    return memory.getvalue()
