"""The words of messages as tables: per language and kind of finding, what is wrong and what to do about it."""

from dataclasses import dataclass

from qingquan.domain.disinfection import HAND_LOG_OVERDUE
from qingquan.domain.findings import FindingKind, Severity

__all__ = [
    "ACTION_BY_PARAMETER",
    "LABELS",
    "LAB_ACTION_BY_PARAMETER",
    "PHRASES",
    "PHRASES_BY_RULE",
    "SEVERITY_WORDS",
    "Phrase",
]

K = FindingKind


@dataclass(frozen=True, slots=True)
class Phrase:
    """``fact`` states the finding where it has a value and a limit, ``bare`` where it has none.

    Both may name ``{point} {name} {value} {limit} {since} {title}``. ``verdict`` is what it looks like, ``action`` the next step,
    ``over`` what is told when it has ended, ``found`` states what has a value where none is allowed. Actions stay within 35 characters, the longest SMS variable.
    """

    fact: str
    bare: str
    verdict: str
    action: str
    over: str
    found: str = ""


PHRASES: dict[str, dict[FindingKind, Phrase]] = {
    "zh": {
        K.DISINFECTION_MISSING: Phrase(
            "{point}{name}{value}，{relation}{limit}", "{point}消毒剂投加中断", "疑似消毒中断",
            "请立即检查投加泵和药箱，并用DPD法手工复测", "{point}{name}已恢复达标"),
        K.DISINFECTION_LOW: Phrase(
            "{point}{name}{value}，{relation}{limit}", "{point}消毒剂余量偏低", "消毒剂投加不足",
            "请检查投加量和药液余量，并用DPD法手工复测", "{point}{name}已恢复达标"),
        K.DISINFECTION_HIGH: Phrase(
            "{point}{name}{value}，{relation}{limit}", "{point}消毒剂余量偏高", "消毒剂投加过量",
            "请调低投加量，核对投加泵设定，并手工复测", "{point}{name}已恢复达标"),
        K.DISINFECTION_UNKNOWN: Phrase(
            "{point}消毒状况无法判定", "{point}消毒状况无法判定", "缺少可信的余量数据",
            "请检查取样水流和余氯仪，并用DPD法手工复测", "{point}消毒状况已可判定"),
        K.EXCEEDANCE: Phrase(
            "{point}{name}{value}，{relation}限值{limit}", "{point}{name}超出限值", "",
            "请取样复测，核对仪表并查明原因", "{point}{name}已恢复达标"),
        K.STALE: Phrase(
            "{point}{name}数据中断", "{point}{name}数据中断", "水质状况不明",
            "请检查现场供电、网络和采集终端", "{point}{name}数据已恢复"),
        K.NEVER_SEEN: Phrase(
            "{point}{name}投运后一直没有数据", "{point}{name}投运后一直没有数据", "水质状况不明",
            "请核对设备编号和上报主题，检查现场接线", "{point}{name}数据已接入"),
        K.FLAT_LINE: Phrase(
            "{point}{name}读数长时间不变（{value}）", "{point}{name}读数长时间不变", "仪表可能卡死或断水样",
            "请检查探头和取样水流，用便携仪表比对", "{point}{name}读数恢复正常变化"),
        K.OUT_OF_RANGE: Phrase(
            "{point}{name}读数{value}超出仪表量程", "{point}{name}读数超出仪表量程", "仪表可能故障",
            "请检查探头和接线，用便携仪表比对", "{point}{name}读数恢复正常"),
        K.OPERATIONS: Phrase("{title}", "{title}", "", "请按运维手册处置", "平台已恢复"),
        K.WATER_EVENT: Phrase(
            "{point}水质突变", "{point}水质突变", "仅供参考，尚未超限", "请查看是否有反冲洗、切换水源等操作", "{point}水质恢复平稳"),
        K.HAND_DISAGREES: Phrase(
            "{point}{title}", "{point}{title}", "仪表读数不可信",
            "请再用DPD法测一次，检查校准余量仪，合格前人工测定", "{point}{name}仪表与人工测定相符"),
        K.DETECTOR_SILENT: Phrase(
            "{title}", "{title}", "误报过多，已自动静默", "请核查近期突变标记，或在突变页面恢复提示", "突变检测已恢复提示"),
        K.RESIDUAL_FALLING: Phrase(
            "{point}{name}降至{value}，预计将低于{limit}", "{point}{name}持续下降", "预报，尚未超限",
            "请检查药箱余量和投加量，提前补药", "{point}{name}已不再下降"),
        K.COMPOUND: Phrase(
            "{point}{title}", "{point}{title}", "",
            "请到现场核对运行情况，并取样复测", "{point}运行已恢复正常"),
        K.NOT_EVALUATED: Phrase(
            "{point}规则无法评判：{title}", "{point}规则无法评判：{title}", "水质状况不明",
            "请检查相关仪表、供电和网络", "{point}规则已可评判"),
        K.LAB_EXCEEDANCE: Phrase(
            "{point}化验{name}{value}，{relation}限值{limit}", "{point}化验{name}不合格", "",
            "请按规定复检并查明原因", "{point}{name}复检合格", found="{point}化验检出{name}{value}"),
    },
    "en": {
        K.DISINFECTION_MISSING: Phrase(
            "{point} {name} {value}, {relation} {limit}", "{point} dosing has stopped", "disinfection probably lost",
            "check doser and tank, test by DPD", "{point} {name} is back in limits"),
        K.DISINFECTION_LOW: Phrase(
            "{point} {name} {value}, {relation} {limit}", "{point} residual is low", "dose too low",
            "check dose and stock, test by DPD", "{point} {name} is back in limits"),
        K.DISINFECTION_HIGH: Phrase(
            "{point} {name} {value}, {relation} {limit}", "{point} residual is high", "dose too high",
            "lower the dose, test by hand", "{point} {name} is back in limits"),
        K.DISINFECTION_UNKNOWN: Phrase(
            "{point} disinfection cannot be judged", "{point} disinfection cannot be judged", "no residual to trust",
            "check sample flow, test by DPD", "{point} disinfection can be judged again"),
        K.EXCEEDANCE: Phrase(
            "{point} {name} {value}, {relation} limit {limit}", "{point} {name} outside limits", "",
            "sample again, check the instrument", "{point} {name} is back in limits"),
        K.STALE: Phrase(
            "{point} {name}: no data", "{point} {name}: no data", "state of the water unknown",
            "check power, network and logger", "{point} {name}: data are back"),
        K.NEVER_SEEN: Phrase(
            "{point} {name}: no data since start-up", "{point} {name}: no data since start-up", "state of the water unknown",
            "check device id, topic and wiring", "{point} {name}: data have come in"),
        K.FLAT_LINE: Phrase(
            "{point} {name} stuck at {value}", "{point} {name} does not move", "instrument stuck or no sample flow",
            "check probe and sample flow", "{point} {name} moves again"),
        K.OUT_OF_RANGE: Phrase(
            "{point} {name} {value}: outside instrument range", "{point} {name}: outside instrument range", "instrument fault",
            "check probe and wiring", "{point} {name} is back in range"),
        K.OPERATIONS: Phrase("{title}", "{title}", "", "see docs/operations.md", "platform has recovered"),
        K.WATER_EVENT: Phrase(
            "{point}: sudden change of water quality", "{point}: sudden change", "advisory, no limit exceeded",
            "look for backwash, change of source", "{point}: water quality is steady again"),
        K.HAND_DISAGREES: Phrase(
            "{point} {title}", "{point} {title}", "do not trust the instrument",
            "test by DPD again, check the sensor", "{point} {name}: instrument agrees again"),
        K.DETECTOR_SILENT: Phrase(
            "{title}", "{title}", "too many false events", "look at the marks or let it speak", "detector of events speaks again"),
        K.RESIDUAL_FALLING: Phrase(
            "{point} {name} down to {value}, heading below {limit}", "{point} {name} keeps falling", "forecast",
            "check stock and dose in time", "{point} {name} no longer falls"),
        K.COMPOUND: Phrase(
            "{point} {title}", "{point} {title}", "",
            "check on site, sample again", "{point} is back to normal"),
        K.NOT_EVALUATED: Phrase(
            "{point} rule cannot be evaluated: {title}", "{point} rule cannot be evaluated: {title}",
            "state of the water unknown", "check instruments, power, network", "{point} rule works again"),
        K.LAB_EXCEEDANCE: Phrase(
            "{point} lab {name} {value}, {relation} limit {limit}", "{point} lab {name} failed", "",
            "sample again and find the cause", "{point} {name}: repeat sample passed", found="{point} lab found {name} {value}"),
    },
}  # fmt: skip

# Rule that tells of the mains; its findings are about no water.
POWER_LOST = "power-lost"

# Findings that ask for words of their own, by rule.
PHRASES_BY_RULE: dict[str, dict[str, Phrase]] = {
    "zh": {
        HAND_LOG_OVERDUE: Phrase(
            "{point}连续2天无余量检测记录", "{point}连续2天无余量检测记录", "消毒状况不明",
            "请立即用DPD法检测出厂水余量并登记", "{point}已恢复余量检测记录"),
        POWER_LOST: Phrase(
            "{point}市电中断", "{point}市电中断", "加药和供水可能中断",
            "请核实停电原因，启用备用电源或人工投加消毒剂", "{point}市电已恢复"),
    },
    "en": {
        HAND_LOG_OVERDUE: Phrase(
            "{point}: no residual logged for 2 days", "{point}: no residual logged for 2 days", "disinfection unknown",
            "test the outlet by DPD, log it now", "{point}: residual is logged again"),
        POWER_LOST: Phrase(
            "{point}: mains power lost", "{point}: mains power lost", "no dosing, no pumping",
            "use standby power or dose by hand", "{point}: mains power is back"),
    },
}  # fmt: skip

# Where the parameter says more about what to do than the kind does.
ACTION_BY_PARAMETER: dict[str, dict[str, str]] = {
    "zh": {
        "turbidity": "请检查混凝过滤运行，减小进水量并冲洗滤池",
        "ph": "请检查投药和水源，用便携仪表复测",
        "escherichia_coli": "请立即加强消毒，通知用户煮沸饮用并复检",
        "total_coliforms": "请立即加强消毒，并于24小时内复检",
    },
    "en": {
        "turbidity": "cut the inflow, backwash filters",
        "ph": "check dosing and source, test again",
        "escherichia_coli": "boil notice, disinfect, resample",
        "total_coliforms": "disinfect, sample again within 24 h",
    },
}

# What a laboratory has found asks for its own next step: nobody can look at a sensor.
LAB_ACTION_BY_PARAMETER: dict[str, dict[str, str]] = {
    "zh": {
        "nitrate_n": "勿供婴幼儿饮用，煮沸不能去除，请尽快复检",
        "cyanide": "建议停止饮用，立即复检并排查污染源",
        "chlorite": "请降低二氧化氯投加量，检查发生器并复检",
        "chlorine_dioxide": "请核对二氧化氯投加量，并手工复测余量",
        "free_chlorine": "请核对投加量，并用DPD法手工复测余量",
        "total_chlorine": "请核对投加量，并用DPD法手工复测余量",
        "ozone": "请核对投加量，并手工复测余量",
        "colony_count": "请清洗消毒清水池和管网，加强消毒并复检",
        "giardia": "请检查过滤运行，建议煮沸饮用并复检",
        "cryptosporidium": "请检查过滤运行，建议煮沸饮用并复检",
        "ph": "请核对投药和水源情况，并复检",
        "gross_alpha": "请作核素分析和评价，判定能否饮用",
        "gross_beta": "请作核素分析和评价，判定能否饮用",
    },
    "en": {
        "nitrate_n": "not for infants, boiling is no help",
        "cyanide": "stop drinking, resample, find cause",
        "chlorite": "lower the ClO2 dose, resample",
        "chlorine_dioxide": "check ClO2 dose, test by hand",
        "free_chlorine": "check the dose, test by DPD",
        "total_chlorine": "check the dose, test by DPD",
        "ozone": "check the dose, test by hand",
        "colony_count": "flush and disinfect, resample",
        "giardia": "check filters, advise boiling",
        "cryptosporidium": "check filters, advise boiling",
        "ph": "check dosing and source, resample",
        "gross_alpha": "analyse the nuclides",
        "gross_beta": "analyse the nuclides",
    },
}

SEVERITY_WORDS: dict[str, dict[Severity, str]] = {
    "zh": {
        Severity.CRITICAL: "严重告警", Severity.MAJOR: "较重告警", Severity.MINOR: "一般告警", Severity.INFO: "提示",
    },
    "en": {
        Severity.CRITICAL: "Critical", Severity.MAJOR: "Major", Severity.MINOR: "Minor", Severity.INFO: "Notice",
    },
}  # fmt: skip

LABELS: dict[str, dict[str, str]] = {
    "zh": {
        "simulated": "【模拟】", "simulated_sms": "模拟演示", "recovered": "告警解除", "withdrawn": "告警撤回",
        "raised": "（升级）", "escalated": "（无人确认，逐级上报）", "unheard": "（上一级未送达，转报）", "unheard_row": "未送达", "unheard_sms": "前级未送达", "help": "（现场请求支援）", "help_row": "求助人", "help_sms": "{name}请求支援", "flapping": "（反复，近期多次出现）",
        "drill": "【演练{number}号】", "drill_sms": "演练", "problem": "问题", "since": "开始", "lasted": "已持续", "over": "持续", "action": "处置",
        "contact": "管水员", "worst": "最不利值", "more": "另有{count}项", "open": "查看详情", "digest": "水质告警汇总",
        "count": "{count}条", "above": "高于", "below": "低于", "withdrawn_fact": "后续数据表明此前告警不成立，已撤回",
        "withdrawn_sms": "此前告警经核实不成立", "since_word": "起", "no_phone": "未登记电话", "clause": "依据", "sampled": "采样", "limit": "限值", "guidance": "指导值",
    },
    "en": {
        "simulated": "[SIMULATED] ", "simulated_sms": "SIMULATED", "recovered": "Recovered", "withdrawn": "Withdrawn",
        "raised": " (raised)", "escalated": " (unacknowledged, passed on)", "unheard": " (did not reach those before, passed on)", "unheard_row": "Not reached", "unheard_sms": "others not reached", "help": " (help wanted on site)", "help_row": "Asked by", "help_sms": "{name} asks for help", "flapping": " (comes and goes)",
        "drill": "[DRILL {number}] ", "drill_sms": "DRILL", "problem": "Problem", "since": "Since", "lasted": "for", "over": "Lasted", "action": "Do",
        "contact": "Caretaker", "worst": "Worst", "more": "{count} more", "open": "Open", "digest": "Water alarms",
        "count": "{count} messages", "above": "above", "below": "below",
        "withdrawn_fact": "later readings show that there was no such fault: withdrawn",
        "withdrawn_sms": "alarm withdrawn, no such fault", "since_word": "", "no_phone": "no phone on file", "clause": "By",
        "sampled": "Sampled", "limit": "limit", "guidance": "guidance value",
    },
}  # fmt: skip
