"""Why something of an uploaded lab sheet was refused, and how to mend it: fixed words with texts in Chinese and English."""

from enum import StrEnum

from qingquan.domain.lab import LabRefusal
from qingquan.sheets import SheetFault

__all__ = ["LabReason", "refusal", "refusal_text"]


class LabReason(StrEnum):
    """Reasons beside those of `SheetFault`."""

    MISSING_COLUMNS = "missing_columns"
    DUPLICATE_COLUMN = "duplicate_column"
    MERGED_HEADER = "merged_header"
    NO_ROWS = "no_rows"
    REQUIRED = "required"
    CELL_ERROR = "cell_error"
    UNKNOWN_WORKS = "unknown_works"
    AMBIGUOUS_WORKS = "ambiguous_works"
    UNKNOWN_POINT = "unknown_point"
    AMBIGUOUS_POINT = "ambiguous_point"
    UNKNOWN_PARAMETER = "unknown_parameter"
    BASIS_OPEN = "basis_open"
    UNKNOWN_UNIT = "unknown_unit"
    BAD_VALUE = "bad_value"
    VALUE_IS_DATE = "value_is_date"
    UNIT_IN_VALUE = "unit_in_value"
    NOT_TESTED = "not_tested"
    OUT_OF_RANGE = "out_of_range"
    BAD_LIMIT = "bad_detection_limit"
    BAD_TIME = "bad_time"
    TIME_IN_FUTURE = "time_in_future"
    TIME_TOO_OLD = "time_too_old"
    ANALYSED_BEFORE_SAMPLED = "analysed_before_sampled"
    TOO_LONG = "too_long"
    SAMPLE_CONFLICT = "sample_conflict"
    DUPLICATE_RESULT = "duplicate_result"
    NUMBER_TAKEN = "number_taken"
    RESULT_TAKEN = "result_taken"
    FILE_TAKEN = "file_taken"


_L, _S = LabReason, SheetFault
# reason -> (what is wrong, how to mend it) in Chinese, then in English; braces are filled from the facts of the refusal.
_TEXTS: dict[str, tuple[str, str, str, str]] = {
    _S.EMPTY: ("文件是空的", "填好后再上传", "the file is empty", "fill it in first"),
    _S.TOO_LARGE: ("文件过大（{found}）", "拆成几个文件上传", "the file is too large ({found})", "split it"),
    _S.TOO_MANY_ROWS: ("行列过多（{found}）", "删除多余的空行空列，或拆成几个文件", "too many rows or columns ({found})", "delete empty rows and columns, or split it"),
    _S.WRONG_TYPE: ("不是表格文件（{found}）", "用表格软件打开，另存为 .xlsx 或 .csv；只改扩展名不行", "not a table ({found})", "open it in a spreadsheet and save it as .xlsx or .csv; renaming it is not enough"),
    _S.DAMAGED: ("文件损坏，或不是它的扩展名所说的格式（{found}）", "用表格软件打开，另存为 .xlsx", "the file is damaged or not what its name says ({found})", "open it in a spreadsheet and save it as .xlsx"),
    _S.ENCRYPTED: ("文件设有密码", "去掉密码后再上传", "the file has a password", "remove the password"),
    _S.BAD_ENCODING: ("文字编码既不是 UTF-8 也不是 GBK（{found}）", "另存为 UTF-8 编码的 CSV", "neither UTF-8 nor GBK ({found})", "save it as CSV in UTF-8"),
    _L.MISSING_COLUMNS: ("缺少列：{missing}；已有列：{found}", "补上缺少的列，或使用模板", "missing columns: {missing}; found: {found}", "add them, or use the template"),
    _L.DUPLICATE_COLUMN: ("“{column}”列与 {other} 重复", "只保留一列", "column {column} is also {other}", "keep one of them"),
    _L.MERGED_HEADER: ("表头单元格 {found} 是合并的", "取消合并，每列写一个列名", "the header cells {found} are merged", "unmerge them and give each column its name"),
    _L.NO_ROWS: ("只有表头，没有数据", "填好后再上传", "a header without rows", "fill it in first"),
    _L.REQUIRED: ("“{column}”为空", "填写“{column}”", "{column} is empty", "fill it in"),
    _L.CELL_ERROR: ("单元格是公式错误 {value}", "改正公式，或直接填值", "the cell holds the formula error {value}", "mend the formula, or type the value"),
    _L.UNKNOWN_WORKS: ("台账中没有工程“{value}”", "填台账中的工程编码", "no works {value} in the register", "give the code of the works in the register"),
    _L.AMBIGUOUS_WORKS: ("“{value}”对应几处工程：{allowed}", "改填工程编码；跨县时加“区县编码”列", "{value} may be any of {allowed}", "give the code of the works, and the county where needed"),
    _L.UNKNOWN_POINT: ("该工程没有采样点“{value}”", "可填：{allowed}", "the works has no point {value}", "allowed: {allowed}"),
    _L.AMBIGUOUS_POINT: ("“{value}”对应几个采样点", "填其中之一：{allowed}", "{value} may be any of several points", "give one of: {allowed}"),
    _L.UNKNOWN_PARAMETER: ("指标“{value}”不认识", "按标准中的名称或代码填写，见模板“指标”表", "parameter {value} is not known", "use a name or code of the standard, see the sheet of parameters in the template"),
    _L.BASIS_OPEN: ("“{value}”没有说明以什么计", "单位写明“以N计”或“以{ion}计”，如 mg/L(以{ion}计)", "{value} leaves open as what it was reported", "say so in the unit, such as mg/L as N or mg/L as {ion}"),
    _L.UNKNOWN_UNIT: ("单位“{value}”不能用于该指标", "可用：{allowed}", "unit {value} does not fit this parameter", "allowed: {allowed}"),
    _L.BAD_VALUE: ("结果“{value}”不是数值", "填数值，或写 <0.05、>200、未检出", "result {value} is not a number", "give a number, or <0.05, >200, ND"),
    _L.VALUE_IS_DATE: ("结果被表格软件变成了日期（{value}）", "把单元格设为文本后重填", "the spreadsheet made a date of the result ({value})", "format the cell as text and type it again"),
    _L.UNIT_IN_VALUE: ("结果“{value}”里带有单位", "结果只填数值，单位填到“单位”列", "result {value} carries a unit", "leave only the number, the unit has its own column"),
    _L.NOT_TESTED: ("结果“{value}”表示未检测", "未检测的指标不要列出，或删除此行", "result {value} means not tested", "leave the row out"),
    _L.OUT_OF_RANGE: ("{value} 不可能", "应在 {allowed}", "{value} cannot be", "must be {allowed}"),
    _L.BAD_LIMIT: ("检出限“{value}”不是正数", "填与结果同单位的数值，没有就留空", "detection limit {value} is not a positive number", "give a number in the unit of the result, or leave it empty"),
    _L.BAD_TIME: ("“{value}”不是日期时间", "写成 2026-05-01 08:30", "{value} is not a date and time", "write it as 2026-05-01 08:30"),
    _L.TIME_IN_FUTURE: ("时间 {value} 在将来", "核对日期", "{value} lies in the future", "check the date"),
    _L.TIME_TOO_OLD: ("时间 {value} 过早", "核对年份", "{value} is too long ago", "check the year"),
    _L.ANALYSED_BEFORE_SAMPLED: ("检测时间 {value} 早于采样时间", "核对两个时间", "analysed at {value}, before it was sampled", "check both times"),
    _L.TOO_LONG: ("文字过长", "不超过 {allowed} 字", "the text is too long", "{allowed} characters at most"),
    _L.SAMPLE_CONFLICT: ("与第 {other} 行是同一样品编号，但“{column}”不同", "改正，或换一个样品编号", "row {other} has the same sample number but another {column}", "correct it, or give another number"),
    _L.DUPLICATE_RESULT: ("该样品的这个指标在第 {other} 行已有", "只保留一行", "row {other} has this parameter of this sample already", "keep one row"),
    _L.NUMBER_TAKEN: ("样品编号“{value}”已用于另一个采样点或采样时间的样品", "核对工程、采样点和采样时间；新样品换一个编号", "sample number {value} was used for another point or time", "check works, point and time, or give a new sample another number"),
    _L.RESULT_TAKEN: ("该样品的指标“{value}”已经上传过", "更正旧结果请走更正流程；新样品换一个编号", "{value} of this sample was uploaded before", "correct the old result there, or give a new sample another number"),
    _L.FILE_TAKEN: ("本文件已由{by}上传过（{other}），其中 {value} 条结果已在库中，没有重复写入", "无需再次上传", "this file was uploaded before by {by} ({other}); {value} of its results are stored already and were not written twice", "nothing to do"),
}  # fmt: skip


def refusal(
    reason: LabReason | SheetFault, language: str, *, sheet: str = "", row: int = 0, cell: str = "", column: str = "",
    value: str = "", **facts: str,
) -> LabRefusal:  # fmt: skip
    """A refusal with its texts in ``language`` (``zh`` or ``en``)."""
    zh, mend_zh, en, mend_en = _TEXTS[reason]
    shown = value if len(value) <= 40 else f"{value[:40]}…"
    facts = {"column": column, "value": shown, **facts}
    detail, remedy = (zh, mend_zh) if language == "zh" else (en, mend_en)
    return LabRefusal(
        sheet, row, cell, column, shown, reason.value, detail.format_map(facts), remedy.format_map(facts)
    )  # fmt: skip


def refusal_text(item: LabRefusal) -> str:
    """``sheet!cell: what is wrong: how to mend it``."""
    place = f"{item.sheet}!{item.cell}" if item.cell else item.sheet
    return f"{place}: {item.detail}: {item.remedy}"
