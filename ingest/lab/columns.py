"""Columns of a lab sheet, and finding them under whatever title lines a laboratory put above. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ingest.lab.cells import cell_text
from ingest.lab.wording import LabReason, refusal
from qingquan.domain.lab import LabRefusal
from qingquan.sheets import Cell, Sheet, column_letters
from qingquan.standards.laboratory import name_key

__all__ = ["COLUMNS", "Header", "Row", "find_header", "header_refusals", "rows_of", "title"]

SEARCHED_ROWS = 15


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the template and the other names under which it is known."""

    field: str
    zh: str
    en: str
    is_required: bool
    aliases: tuple[str, ...] = ()


COLUMNS = (
    Column("number", "样品编号", "sample id", True, ("样品号", "样品编码", "编号", "sample_id", "sample number", "sample no", "number")),
    Column("county", "区县编码", "county", False, ("行政区划代码", "县区编码", "county code")),
    Column("works", "工程编码", "works", True, ("工程名称", "供水工程", "水厂", "水厂名称", "works id", "works code", "works name")),
    Column("point", "采样点", "point", True, ("采样地点", "采样位置", "监测点", "采样点编码", "sampling point", "水样类型")),
    Column("sampled_at", "采样时间", "sampled_at", True, ("采样日期", "采样日期时间", "sampled", "sampling time", "sample date")),
    Column("parameter", "指标", "parameter", True, ("检测项目", "检验项目", "检测指标", "项目", "指标名称", "analyte")),
    Column("value", "结果", "value", True, ("检测结果", "检验结果", "检测值", "测定值", "result")),
    Column("unit", "单位", "unit", True, ("计量单位", "结果单位", "units")),
    Column("detection_limit", "检出限", "detection limit", False, ("最低检出限", "方法检出限", "最低检测质量浓度", "LOD", "MDL", "detection_limit")),
    Column("method", "方法", "method", False, ("检测方法", "检验方法", "方法依据", "检测依据")),
    Column("analysed_at", "检测时间", "analysed_at", False, ("检测日期", "检验日期", "分析日期", "分析时间", "analysed", "analyzed_at", "analysis date")),
    Column("laboratory", "检测单位", "laboratory", False, ("检测机构", "检验机构", "检验单位", "实验室", "lab")),
)  # fmt: skip

_BY_FIELD = {column.field: column for column in COLUMNS}
_NAMES = {
    name_key(name): column.field for column in COLUMNS for name in (column.field, column.zh, column.en, *column.aliases)
}


@dataclass(frozen=True, slots=True)
class Header:
    """Where the columns lie. ``row`` and the columns count from 0; ``labels`` are the texts found in that row."""

    row: int
    columns: Mapping[str, int]
    labels: Mapping[int, str]
    repeated: tuple[tuple[str, int], ...] = ()

    @property
    def missing(self) -> list[Column]:
        """Required columns that are not there."""
        return [column for column in COLUMNS if column.is_required and column.field not in self.columns]


@dataclass(frozen=True, slots=True)
class Row:
    """A row with anything in it: its number (from 1) and its cells by field; empty cells are left out."""

    number: int
    cells: Mapping[str, Cell]


def title(field: str, language: str) -> str:
    """Name of a column as the template writes it."""
    column = _BY_FIELD[field]
    return column.zh if language == "zh" else column.en


def find_header(sheet: Sheet) -> Header:
    """The row, among the first ones, that names most columns."""
    best = Header(0, {}, {})
    for number, cells in enumerate(sheet.rows[:SEARCHED_ROWS]):
        candidate = _header_at(number, cells)
        if len(candidate.columns) > len(best.columns) or not best.labels:
            best = candidate
    return best


def header_refusals(sheet: Sheet, header: Header, language: str) -> list[LabRefusal]:
    """What keeps the sheet from being read: merged header cells, missing columns, columns named twice."""
    found: list[LabRefusal] = []
    line = header.row + 1
    for first_row, first, last_row, last in sheet.merged:
        # A title line above may well be merged; it names no column.
        if first_row <= header.row <= last_row:
            area = f"{column_letters(first)}{first_row + 1}:{column_letters(last)}{last_row + 1}"
            found.append(refusal(LabReason.MERGED_HEADER, language, sheet=sheet.name, row=line, cell=area, found=area))
    if header.missing:
        missing = "、".join(title(column.field, language) for column in header.missing)
        labels = "、".join(header.labels.values()) or "—"
        found.append(
            refusal(
                LabReason.MISSING_COLUMNS, language, sheet=sheet.name, row=line, missing=missing, found=labels[:300]
            )
        )
    for field, index in header.repeated:
        found.append(
            refusal(
                LabReason.DUPLICATE_COLUMN, language, sheet=sheet.name, row=line, cell=_address(index, line),
                column=title(field, language), other=_address(header.columns[field], line),
            )
        )  # fmt: skip
    return found


def rows_of(sheet: Sheet, header: Header) -> Iterator[Row]:
    """Rows below the header that hold anything in a known column. A cell merged downwards stands for all its rows."""
    spread = _merged_downwards(sheet, header)
    for index in range(header.row + 1, len(sheet.rows)):
        cells = sheet.rows[index]
        own = {
            field: cells[place]
            for field, place in header.columns.items()
            if place < len(cells) and not _is_empty(cells[place])
        }
        if own:
            shared = {field: value for field, value in spread.get(index, {}).items() if field not in own}
            yield Row(index + 1, own | shared)


def _header_at(number: int, cells: tuple[Cell, ...]) -> Header:
    columns: dict[str, int] = {}
    labels: dict[int, str] = {}
    repeated: list[tuple[str, int]] = []
    for place, cell in enumerate(cells):
        label = cell_text(cell)
        if not label:
            continue
        labels[place] = label
        field = _NAMES.get(name_key(label.lstrip("*").rstrip("*")))
        if field is None:
            continue
        if field in columns:
            repeated.append((field, place))
        else:
            columns[field] = place
    return Header(number, columns, labels, tuple(repeated))


def _merged_downwards(sheet: Sheet, header: Header) -> dict[int, dict[str, Cell]]:
    fields = {place: field for field, place in header.columns.items()}
    spread: dict[int, dict[str, Cell]] = {}
    for first_row, first, last_row, last in sheet.merged:
        cells = sheet.rows[first_row] if first_row < len(sheet.rows) else ()
        if first != last or first not in fields or first_row <= header.row or first >= len(cells):
            continue
        for index in range(first_row + 1, last_row + 1):
            spread.setdefault(index, {})[fields[first]] = cells[first]
    return spread


def _is_empty(cell: Cell) -> bool:
    return isinstance(cell, str) and not cell.strip()


def _address(column: int, line: int) -> str:
    return f"{column_letters(column)}{line}"
