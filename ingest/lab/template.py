"""The empty sheet a laboratory fills in: results, a page of notes, a page of parameters with their units. Pure: bytes out."""

from collections.abc import Sequence
from io import BytesIO

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from ingest.lab.columns import COLUMNS, title
from qingquan.standards.laboratory import load_laboratory

__all__ = ["template_workbook"]

ROWS_PREPARED = 500

_NOTES_ZH = (
    "一行填一个指标的结果；同一样品的各行用同一个样品编号。",
    "带 * 的列必填。列的顺序可以变，列名不要改，表头不要合并单元格。",
    "工程编码填台账中的编码；采样点填编码或名称，只有一个出厂水点时可写“出厂水”，末梢水同理。",
    "采样时间写成 2026-05-01 08:30。",
    "低于检出限写 <0.05 或 未检出，并填检出限；系统保留原样，不会按零或一半计算。超过量程写 >200。",
    "没有检测的指标不要列出。",
    "硝酸盐、氨按氮（N）判定。以离子报出的，在单位里写明，如 mg/L(以NO3计)，系统自动换算。",
    "同一样品编号不能上传两次；更正结果请走更正流程。",
)
_NOTES_EN = (
    "One row for each parameter; all rows of a sample carry the same sample id.",
    "Columns with * are required. Their order is free, their names are not; do not merge header cells.",
    "works is the code in the register; point is a code or a name, or 'outlet' where the works has only one.",
    "Write the sampling time as 2026-05-01 08:30.",
    "Below the detection limit write <0.05 or ND and give the limit; it is kept as written. Beyond the range write >200.",
    "Leave out what was not tested.",
    "Nitrate and ammonia are judged as nitrogen. If reported as the ion, say so in the unit: mg/L as NO3.",
    "A sample id cannot be uploaded twice.",
)
_EXAMPLES = (
    ("S2026-0501-01", "520425", "W0077", "outlet", "2026-05-01 08:30", "free_chlorine", "0.45", "mg/L", "0.02", "GB/T 5750.11-2023"),
    ("S2026-0501-01", "520425", "W0077", "outlet", "2026-05-01 08:30", "arsenic", "<0.001", "mg/L", "0.001", "GB/T 5750.6-2023"),
    ("S2026-0501-01", "520425", "W0077", "outlet", "2026-05-01 08:30", "total_coliforms", "ND", "MPN/100mL", "", "GB/T 5750.12-2023"),
)  # fmt: skip


def template_workbook(language: str = "zh", rows: Sequence[Sequence[str | float]] = ()) -> bytes:
    """An xlsx file with the columns of `parse_lab`, in Chinese or English.

    ``rows`` are filled in already, cells in the order of the columns: bottles a laboratory is to expect, say.
    """
    is_zh = language == "zh"
    stream = BytesIO()
    with Workbook(stream, {"in_memory": True}) as book:
        names = ("检测结果", "填写说明", "指标") if is_zh else ("results", "notes", "parameters")
        sheets = [book.add_worksheet(name) for name in names]
        head = book.add_format({"bold": True, "bg_color": "#DCE6F1", "border": 1})
        text = book.add_format({"num_format": "@"})
        titles = [title(column.field, language) + ("*" if column.is_required else "") for column in COLUMNS]
        codes = _write_parameters(sheets[2], head, is_zh)
        results = sheets[0]
        results.freeze_panes(1, 0)
        results.write_row(0, 0, titles, head)
        # As text, so that a spreadsheet makes neither dates nor rounded numbers of what is typed.
        results.set_column(0, len(COLUMNS) - 1, 16, text)
        for line, cells in enumerate(rows, start=1):
            results.write_row(line, 0, cells)
        place = [column.field for column in COLUMNS].index("parameter")
        results.data_validation(
            1, place, ROWS_PREPARED, place,
            {"validate": "list", "source": f"='{names[2]}'!$B$2:$B${codes + 1}", "error_type": "warning"},
        )  # fmt: skip
        _write_notes(sheets[1], head, _NOTES_ZH if is_zh else _NOTES_EN, titles, is_zh)
    return stream.getvalue()


def _write_parameters(sheet: Worksheet, head: Format, is_zh: bool) -> int:
    """Parameters by code and name; how many."""
    sheet.write_row(
        0,
        0,
        ("代码", "名称", "判定单位", "其他可用单位") if is_zh else ("code", "name", "unit of the limit", "other units"),
        head,
    )
    sheet.set_column(0, 3, 28)
    tables = load_laboratory()
    for line, one in enumerate(tables.parameters.values(), start=1):
        others = dict.fromkeys(unit.alias for unit in tables.units[one.code].values() if unit.alias != one.unit)
        sheet.write_row(line, 0, (one.code, one.name_zh if is_zh else one.name_en, one.unit, "、".join(others)))
    return len(tables.parameters)


def _write_notes(sheet: Worksheet, head: Format, notes: Sequence[str], titles: Sequence[str], is_zh: bool) -> None:
    for line, note in enumerate(notes):
        sheet.write_string(line, 0, note)
    # The example stands beside its column names, not below them: nobody can upload it by mistake.
    first = len(notes) + 1
    sheet.write_string(first, 0, "示例（列名在左）" if is_zh else "Example (column names on the left)", head)
    for line, name in enumerate(titles[: len(_EXAMPLES[0])], start=first + 1):
        sheet.write_string(line, 0, name, head)
        for column, example in enumerate(_EXAMPLES, start=1):
            sheet.write_string(line, column, example[line - first - 1])
    sheet.set_column(0, 0, 24)
    sheet.set_column(1, len(_EXAMPLES), 20)
