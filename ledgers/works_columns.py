"""Layout of the works register as a workbook: its columns and the words allowed in them. Pure; read by import and export.

Two sheets, 工程 (one row per works) and 采样点 (one row per sampling point), or two CSV files. A header may carry its unit in
parentheses; order does not matter; English names serve as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from qingquan.domain.works import Disinfectant, Equipment, Evidence, PointKind

__all__ = [
    "DISINFECTANT_WORDS",
    "EQUIPMENT_WORDS",
    "EVIDENCE_WORDS",
    "POINTS_SHEET",
    "POINT_COLUMNS",
    "POINT_KIND_WORDS",
    "WORKS_COLUMNS",
    "WORKS_SHEET",
    "YES_NO_WORDS",
    "Column",
    "shown_words",
]

T = TypeVar("T")

WORKS_SHEET = "工程"
POINTS_SHEET = "采样点"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``header`` as written, ``field`` inside, other names it goes by, units its header may name."""

    field: str
    header: str
    aliases: tuple[str, ...]
    required: bool
    help_zh: str
    units: tuple[str, ...] = ()
    width: int = 12


_M3_D = ("m3/d", "立方米/日", "立方米/天", "方/天", "吨/天", "吨/日", "t/d")
_SECONDS = ("s", "秒", "sec")
_DEGREES = ("°", "度", "degrees", "cgcs2000", "东经", "北纬")

WORKS_COLUMNS = (
    Column("county", "区县编码", ("县编码", "行政区划代码", "county"), True, "6 位行政区划代码，如 520425"),
    Column("works", "工程编码", ("工程编号", "works", "works_id"), True, "字母、数字、_、-，不超过 64 位；与设备主题中的编码一致", width=14),
    Column("name", "工程名称", ("水厂名称", "name"), True, "如 猫营水厂", width=24),
    Column("township", "乡镇", ("所在乡镇", "township"), False, "如 猫营镇"),
    Column("disinfectant", "消毒方式", ("消毒工艺", "disinfectant"), True, "从下拉列表选；决定按哪种余量判定", width=20),
    Column("equipment", "消毒设备", ("是否配备消毒设备", "equipment"), False, "有 / 无；空白时按消毒方式推定"),
    Column("capacity_m3_d", "设计供水规模(m³/d)", ("供水规模", "设计规模", "capacity_m3_d", "capacity"), True, "大于 0 的数", _M3_D, 20),
    Column("population", "受益人口", ("供水人口", "受益人口数", "population"), True, "整数，单位：人", ("人",)),
    Column("source_limited", "水源受限", ("水源与净水技术受限", "source_limited"), False, "是 / 否；是：水源或净水技术受限，小型供水适用放宽限值"),
    Column("cadence_s", "采样间隔(s)", ("采集间隔", "监测间隔", "cadence_s"), False, "相邻两次读数的间隔，秒；空白 = 60", _SECONDS),
    Column("upload_interval_s", "上报间隔(s)", ("上传间隔", "upload_interval_s"), False, "相邻两次上报的间隔，秒；空白 = 60", _SECONDS),
    Column("longitude", "经度", ("longitude", "lon"), False, "CGCS2000 十进制度，如 106.0843", _DEGREES),
    Column("latitude", "纬度", ("latitude", "lat"), False, "CGCS2000 十进制度，如 25.7612", _DEGREES),
    Column("caretaker", "管水员", ("管水员姓名", "caretaker"), False, "姓名"),
    Column("caretaker_phone", "管水员电话", ("管水员手机", "caretaker_phone"), False, "11 位手机号，用于短信", width=16),
    Column("caretaker_wecom", "管水员企业微信", ("caretaker_wecom", "caretaker_wecom_id"), False, "企业微信账号", width=16),
    Column("manager", "管理员", ("管理员姓名", "负责人", "manager"), False, "姓名"),
    Column("manager_phone", "管理员电话", ("管理员手机", "负责人电话", "manager_phone"), False, "11 位手机号，用于短信", width=16),
    Column("manager_wecom", "管理员企业微信", ("manager_wecom", "manager_wecom_id"), False, "企业微信账号", width=16),
    Column("commissioned_at", "投产日期", ("投运日期", "commissioned", "commissioned_at"), False, "如 2021-06-01；此日起无数据即告警", width=14),
    Column("treatment_limited", "净水技术受限", ("净水技术也受限", "treatment_limited"), False, "是 / 否；水源受限且净水技术也受限：GB 5749-2006 表 4 注（浑浊度 5 NTU）", width=16),
    Column("groundwater_limited", "地下水源受限", ("groundwater_limited",), False, "是 / 否；是：GB 5749-2006 表 1 注（硝酸盐 20 mg/L），仅用于 2023-04-01 前的数据", width=16),
    Column("evidence", "余量检测方式", ("监测方式", "是否人工检测", "evidence"), False, "在线 / 人工；人工：没有余氯仪，由管水员每天用 DPD 检测并登记", width=14),
    Column("raw_permanganate_above_6", "原水耗氧量大于6", ("原水耗氧量>6", "水源受限且原水耗氧量大于6", "raw_permanganate_above_6"), False, "是 / 否；水源受限且原水耗氧量大于 6 mg/L：GB 5749-2006 表 1 注（耗氧量 5 mg/L）", width=16),
)  # fmt: skip

POINT_COLUMNS = (
    Column("county", "区县编码", ("县编码", "行政区划代码", "county"), False, "可空白；同一文件中工程编码重复时必填"),
    Column("works", "工程编码", ("工程编号", "works", "works_id"), True, "须在工程表或台账中", width=14),
    Column("point", "采样点编码", ("采样点编号", "监测点编码", "point", "point_id"), True, "字母、数字、_、-；与设备主题中的编码一致", width=14),
    Column("kind", "类型", ("采样点类型", "监测点类型", "kind", "type"), True, "从下拉列表选；决定适用的限值"),
    Column("point_name", "名称", ("采样点名称", "监测点名称", "name", "point_name"), False, "如 出厂水", width=24),
    Column("parameters", "参数", ("监测参数", "在线参数", "parameters"), False, "应上报的参数，用顿号隔开；漏报其一即告警", width=48),
)  # fmt: skip

# The first word of each value is the one we write ourselves.
DISINFECTANT_WORDS: Mapping[Disinfectant, tuple[str, ...]] = {
    Disinfectant.FREE_CHLORINE: (
        "游离氯", "次氯酸钠", "次氯酸钙", "次氯酸", "液氯", "氯", "氯气", "漂白粉", "漂粉精", "二氯异氰尿酸钠", "三氯异氰尿酸",
        "电解食盐", "电解次氯酸钠", "缓释消毒", "chlorine", "hypochlorite",
    ),
    Disinfectant.CHLORAMINE: ("氯胺", "一氯胺"),
    Disinfectant.CHLORINE_DIOXIDE: ("二氧化氯", "纯二氧化氯", "高纯二氧化氯", "clo2"),
    Disinfectant.MIXED_CLO2_CL2: ("复合二氧化氯", "二氧化氯与氯混合", "二氧化氯氯混合", "混合二氧化氯"),
    Disinfectant.OZONE: ("臭氧", "o3"),
    Disinfectant.UV: ("紫外线", "紫外", "紫外光"),
    Disinfectant.NONE: ("无", "不", "未", "没有"),
}  # fmt: skip

EQUIPMENT_WORDS: Mapping[Equipment, tuple[str, ...]] = {
    Equipment.EQUIPPED: ("有", "已配备", "是", "yes", "true", "1"),
    Equipment.NOT_EQUIPPED: ("无", "未配备", "否", "没有", "no", "false", "0"),
}

POINT_KIND_WORDS: Mapping[PointKind, tuple[str, ...]] = {
    PointKind.SOURCE: ("水源", "水源水", "原水", "源水"),
    PointKind.TREATMENT: ("净水工艺", "工艺水", "处理", "净水", "滤后水", "沉后水"),
    PointKind.OUTLET: ("出厂水", "出厂"),
    PointKind.NETWORK: ("管网水", "管网"),
    PointKind.NETWORK_END: ("末梢水", "管网末梢", "管网末梢水", "末梢", "龙头水"),
}

EVIDENCE_WORDS: Mapping[Evidence, tuple[str, ...]] = {
    "sensor": ("在线", "在线监测", "仪表", "自动", "否"),
    "hand": ("人工", "人工检测", "手工", "DPD", "是"),
}

YES_NO_WORDS: Mapping[bool, tuple[str, ...]] = {
    True: ("是", "有", "yes", "y", "true", "1"),
    False: ("否", "无", "no", "n", "false", "0"),
}


def shown_words(words: Mapping[T, tuple[str, ...]]) -> list[str]:
    """The word we write for each value, in order."""
    return [names[0] for names in words.values()]
