"""Why a cell, row or file of a register could not be taken, and how to mend it: a fixed word with its texts. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Refusal", "RefusalReason"]


class RefusalReason(StrEnum):
    """Fixed words; the first group speaks of a whole file or sheet, the second of a cell, the third of a row."""

    EMPTY_FILE = "empty_file"
    FILE_TOO_LARGE = "file_too_large"
    TOO_MANY_ROWS = "too_many_rows"
    WRONG_FILE_TYPE = "wrong_file_type"
    DAMAGED_FILE = "damaged_file"
    ENCRYPTED_FILE = "encrypted_file"
    BAD_ENCODING = "bad_encoding"
    MISSING_COLUMNS = "missing_columns"
    DUPLICATE_COLUMN = "duplicate_column"
    WRONG_UNIT = "wrong_unit"
    NO_ROWS = "no_rows"

    REQUIRED = "required"
    BAD_COUNTY = "bad_county"
    BAD_CODE = "bad_code"
    UNKNOWN_WORD = "unknown_word"
    NOT_A_NUMBER = "not_a_number"
    OUT_OF_RANGE = "out_of_range"
    BAD_PHONE = "bad_phone"
    BAD_DATE = "bad_date"
    OUTSIDE_CHINA = "outside_china"
    COORDINATES_SWAPPED = "coordinates_swapped"
    COORDINATE_ALONE = "coordinate_alone"
    UNREACHABLE_CONTACT = "unreachable_contact"
    NAMELESS_CONTACT = "nameless_contact"
    CELL_ERROR = "cell_error"
    BAD_MOMENT = "bad_moment"
    IN_THE_FUTURE = "in_the_future"
    TOO_OLD = "too_old"
    UNKNOWN_POINT = "unknown_point"
    NO_RESIDUAL = "no_residual"
    TOO_LONG = "too_long"

    DUPLICATE_ROW = "duplicate_row"
    TOO_MANY_SERIES = "too_many_series"
    UNKNOWN_WORKS = "unknown_works"
    AMBIGUOUS_WORKS = "ambiguous_works"
    WORKS_REFUSED = "works_refused"


# reason -> (what is wrong, how to mend it), in Chinese and in English; names in braces come from `Refusal.facts`.
_R = RefusalReason
_TEXTS: Mapping[RefusalReason, tuple[str, str, str, str]] = {
    _R.EMPTY_FILE: ("文件是空的", "填好后再导入", "the file is empty", "fill it in first"),
    _R.FILE_TOO_LARGE: ("文件过大（{found}）", "拆成几个文件", "the file is too large ({found})", "split it"),
    _R.TOO_MANY_ROWS: ("行列过多（{found}）", "拆成几个文件，并删除多余的空行空列", "too many rows or columns ({found})", "split it, and delete empty rows and columns"),
    _R.WRONG_FILE_TYPE: ("不是表格文件（{found}）", "另存为 .xlsx 或 .csv", "not a table ({found})", "save it as .xlsx or .csv"),
    _R.DAMAGED_FILE: ("文件已损坏（{found}）", "用表格软件打开并另存为 .xlsx", "the file is damaged ({found})", "open it in a spreadsheet and save it as .xlsx"),
    _R.ENCRYPTED_FILE: ("文件设有密码", "去掉密码后再导入", "the file has a password", "remove the password"),
    _R.BAD_ENCODING: ("文字编码既不是 UTF-8 也不是 GBK（{found}）", "另存为 UTF-8 的 CSV", "neither UTF-8 nor GBK ({found})", "save it as CSV in UTF-8"),
    _R.MISSING_COLUMNS: ("缺少列：{missing}；已有列：{found}", "补上缺少的列，或用模板", "missing columns: {missing}; found: {found}", "add them, or use the template"),
    _R.DUPLICATE_COLUMN: ("“{column}”列出现两次（另一列是 {other}）", "只留一列", "column {column} comes twice (also {other})", "keep one"),
    _R.WRONG_UNIT: ("列单位“{found}”不对", "换算成 {allowed} 后填写，并改列名", "the header's unit {found} is not the one expected", "convert to {allowed} and change the header"),
    _R.NO_ROWS: ("只有表头，没有数据", "填好后再导入", "a header without rows", "fill it in first"),
    _R.REQUIRED: ("必填项为空", "填写{column}", "must not be empty", "fill in {column}"),
    _R.BAD_COUNTY: ("“{found}”不是区县编码", "填 6 位行政区划代码，如 520425", "{found} is not a county code", "give the 6-digit division code, such as 520425"),
    _R.BAD_CODE: ("“{found}”不能作编码", "只用字母、数字、_、-，不超过 64 位", "{found} cannot be a code", "use letters, digits, _ and - only, 64 at most"),
    _R.UNKNOWN_WORD: ("“{found}”不认识", "可填：{allowed}", "{found} is not known", "allowed: {allowed}"),
    _R.NOT_A_NUMBER: ("“{found}”不是{kind}", "只填数字，不带单位和文字", "{found} is not a number of the kind needed", "digits only, no unit or words"),
    _R.OUT_OF_RANGE: ("{found} 超出范围", "应在 {allowed}", "{found} is out of range", "must be {allowed}"),
    _R.BAD_PHONE: ("“{found}”不是手机号", "填 11 位手机号（短信告警要用）", "{found} is not a mobile number", "give 11 digits (needed for SMS)"),
    _R.BAD_DATE: ("“{found}”不是日期", "写成 2021-06-01", "{found} is not a date", "write it as 2021-06-01"),
    _R.OUTSIDE_CHINA: ("坐标（{found}）不在中国境内", "核对经纬度，填十进制度", "coordinates ({found}) lie outside China", "check them; decimal degrees"),
    _R.COORDINATES_SWAPPED: ("经度和纬度填反了（{found}）", "两列对调", "longitude and latitude are swapped ({found})", "swap the two cells"),
    _R.COORDINATE_ALONE: ("只有经度或只有纬度", "两个都填，或都不填", "one coordinate without the other", "give both or none"),
    _R.UNREACHABLE_CONTACT: ("{found}没有电话也没有企业微信", "至少填一个，否则告警送不到", "{found} has neither phone nor WeCom id", "give at least one, or no alert can reach them"),
    _R.NAMELESS_CONTACT: ("有联系方式但没有姓名", "填写{column}", "a phone or WeCom id without a name", "fill in {column}"),
    _R.CELL_ERROR: ("单元格是公式错误 {found}", "改公式，或填值", "the cell holds the formula error {found}", "mend the formula, or type the value"),
    _R.BAD_MOMENT: ("“{found}”不是日期和时间", "写成 2026-05-01 08:00", "{found} is not a date and time", "write it as 2026-05-01 08:00"),
    _R.IN_THE_FUTURE: ("检测时间 {found} 还没到", "核对日期和时间", "{found} lies in the future", "check date and time"),
    _R.TOO_OLD: ("检测时间 {found} 太早", "只补登最近 {allowed} 天的记录", "{found} is too long ago", "log the last {allowed} days only"),
    _R.UNKNOWN_POINT: ("采样点“{found}”不在台账中", "可填：{allowed}", "point {found} is not in the register", "allowed: {allowed}"),
    _R.NO_RESIDUAL: ("该工程的消毒方式没有余量可测（{found}）", "核对工程编码和消毒方式", "this works' disinfection leaves no residual ({found})", "check works code and disinfectant"),
    _R.TOO_LONG: ("文字过长（{found} 字）", "不超过 {allowed} 字", "the text is too long ({found} characters)", "{allowed} characters at most"),
    _R.TOO_MANY_SERIES: ("该工程共有 {found} 个参数序列，最多 {allowed} 个", "减少采样点或参数，或分成两处工程登记", "the works would have {found} series, at most {allowed}", "enter fewer points or parameters, or two works"),
    _R.DUPLICATE_ROW: ("与 {other} 重复", "只留一行", "the same as {other}", "keep one row"),
    _R.UNKNOWN_WORKS: ("工程“{found}”不在工程表和台账中", "先登记工程，或改正编码", "works {found} is neither in this file nor in the register", "add the works first, or correct the code"),
    _R.AMBIGUOUS_WORKS: ("工程编码“{found}”属于几个区县：{allowed}", "填写区县编码", "works code {found} belongs to several counties: {allowed}", "fill in the county code"),
    _R.WORKS_REFUSED: ("所属工程“{found}”没有导入（{other}）", "先改正该工程的行", "its works {found} was refused ({other})", "mend the row of the works first"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal. ``cell`` is its address (``C7``), ``""`` where the whole sheet or file is meant; ``row`` counts from 1.

    ``column`` is the header as the template writes it, ``facts`` what the texts name.
    """

    sheet: str
    row: int
    cell: str
    column: str
    reason: RefusalReason
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """``sheet!cell``, or the sheet alone."""
        return f"{self.sheet}!{self.cell}" if self.cell else self.sheet

    def text(self, language: str = "zh") -> str:
        """``sheet!cell: what is wrong: how to mend it``."""
        zh, mend_zh, en, mend_en = _TEXTS[self.reason]
        wrong, mend = (zh, mend_zh) if language == "zh" else (en, mend_en)
        facts = {"column": self.column, **self.facts}
        return f"{self.place}: {wrong.format_map(facts)}: {mend.format_map(facts)}"
