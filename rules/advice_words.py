"""What the advice says, in Chinese or English: the verdict for every state, and the words for what cannot be told. Pure."""

from qingquan.domain.findings import DisinfectionState
from rules.residual_shape import ResidualShape
from rules.verdict import Cause, LossFacts, LossVerdict
from rules.verdict_words import verdict_sentence

__all__ = ["HAND_OVERDUE", "short_action", "short_verdict", "state_sentence"]

HAND_OVERDUE = {
    "zh": "已连续2天没有余量检测记录，是否消毒不明：请立即用{method}检测出厂水并登记；检测前按消毒中断处置",
    "en": "no residual was logged for two days, so disinfection is unknown: test the outlet by {method} and log it now; until then act as if "
    "disinfection were lost",
}
_UNKNOWN = {
    "zh": "没有可信的余量读数，是否消毒不明：请2小时内用{method}手工检测，并检查仪表、取样水和通信；检测结果出来前按消毒中断处置",
    "en": "no residual to trust, so disinfection is unknown: test by {method} within 2 h and check instrument, sample water and link; until the "
    "result is in, act as if disinfection were lost",
}
_HIGH = {
    "zh": {
        "frozen": "余量偏高且读数长时间一字不变：多半是仪表卡死，请2小时内用{method}手工复测",
        "standing": "无出厂水流时余量偏高，多为滞留水继续加药：请停泵，恢复供水前先放水并用{method}复测",
        "sample": "取样水断流，偏高的读数不可信：请恢复取样水流，并在2小时内用{method}手工复测",
        "dose": "余量偏高：请1小时内调低投加量，核对投加泵与流量的联动，并用{method}复测",
    },
    "en": {
        "frozen": "the residual is high and has not changed by a digit: probably a stuck instrument; test by {method} within 2 h",
        "standing": "the residual is high while no water leaves: the pump probably doses into standing water; stop it, flush and test by "
        "{method} before supply starts again",
        "sample": "no sample water reaches the cell, so the high reading cannot be trusted: restore the flow and test by {method} within 2 h",
        "dose": "the residual is high: lower the dose within 1 h, check that the pump follows the flow, and test by {method}",
    },
}
_METHODS = {"zh": ("DPD法", "靛蓝法"), "en": ("DPD", "the indigo method")}
_SHORT = {
    "zh": {
        Cause.NO_FLOW: "无出厂水流", Cause.POWER_CUT_WATER_FLOWS: "停电仍供水，投加中断", Cause.POWER_CUT: "停电",
        Cause.DOSER_STOPPED: "投加泵已停", Cause.STOCK_EMPTY: "药剂用完", Cause.NOT_DELIVERING: "泵在转但药没打出去",
        Cause.NO_SAMPLE_FLOW: "取样水断流，疑仪表问题", Cause.SERVICE: "仪表刚维护，待复测", Cause.SENSOR_STEP: "一步跌零，疑似探头故障",
        Cause.SENSOR_FROZEN: "读数不变，疑似仪表卡死", Cause.SENSOR_STARVED: "恢复投加不久，探头反应慢",
        Cause.RUNNING_OUT: "缓慢下降，疑药剂将尽", Cause.SLOW_DECLINE: "缓慢下降，疑药液变弱", Cause.FAST_LOSS: "泵在转而余量骤降，疑吸空漏药",
        Cause.UNEXPLAINED_STEP: "一步跌零，原因待查", Cause.UNEXPLAINED: "原因待查",
    },
    "en": {
        Cause.NO_FLOW: "no flow", Cause.POWER_CUT_WATER_FLOWS: "power cut, undosed flow", Cause.POWER_CUT: "power cut",
        Cause.DOSER_STOPPED: "pump stopped", Cause.STOCK_EMPTY: "tank empty", Cause.NOT_DELIVERING: "pump delivers nothing",
        Cause.NO_SAMPLE_FLOW: "no sample water", Cause.SERVICE: "just serviced", Cause.SENSOR_STEP: "probably the sensor",
        Cause.SENSOR_FROZEN: "sensor stuck?", Cause.SENSOR_STARVED: "sensor recovering", Cause.RUNNING_OUT: "running out",
        Cause.SLOW_DECLINE: "weak solution?", Cause.FAST_LOSS: "air or leak?", Cause.UNEXPLAINED_STEP: "sudden, cause unknown",
        Cause.UNEXPLAINED: "cause unknown",
    },
}  # fmt: skip
# What a text message has room for: 35 characters.
_ACTIONS = {
    "zh": {
        Cause.NO_FLOW: "恢复供水前先确认余量正常", Cause.POWER_CUT_WATER_FLOWS: "半小时内启用备用电源或人工投加",
        Cause.POWER_CUT: "1小时内到现场确认，仍供水则人工投加", Cause.DOSER_STOPPED: "半小时内到现场恢复投加并用DPD法复测",
        Cause.STOCK_EMPTY: "半小时内补药排气，恢复投加后复测", Cause.NOT_DELIVERING: "1小时内检查吸药管、单向阀和投加点",
        Cause.NO_SAMPLE_FLOW: "2小时内恢复取样水流并人工采样复测", Cause.SERVICE: "2小时内人工采样复测，其间按中断处置",
        Cause.SENSOR_STEP: "2小时内人工采样复测，其间按中断处置", Cause.SENSOR_FROZEN: "2小时内人工采样复测并重启仪表",
        Cause.SENSOR_STARVED: "2小时内人工采样复测，其间按中断处置", Cause.RUNNING_OUT: "1小时内检查药箱并补充新药",
        Cause.SLOW_DECLINE: "2小时内用DPD法复测，再调投加量", Cause.FAST_LOSS: "1小时内检查投加点和原水并复测",
        Cause.UNEXPLAINED_STEP: "1小时内到现场查投加并人工采样复测", Cause.UNEXPLAINED: "1小时内到现场查投加并人工采样复测",
    },
    "en": {
        Cause.NO_FLOW: "check the residual before supply", Cause.POWER_CUT_WATER_FLOWS: "dose by hand within 30 min",
        Cause.POWER_CUT: "check on site within 1 h", Cause.DOSER_STOPPED: "restart dosing within 30 min, test",
        Cause.STOCK_EMPTY: "refill within 30 min, vent, test", Cause.NOT_DELIVERING: "check suction and valves within 1 h",
        Cause.NO_SAMPLE_FLOW: "restore sample flow, test in 2 h", Cause.SERVICE: "take a hand sample within 2 h",
        Cause.SENSOR_STEP: "take a hand sample within 2 h", Cause.SENSOR_FROZEN: "hand sample within 2 h, restart it",
        Cause.SENSOR_STARVED: "take a hand sample within 2 h", Cause.RUNNING_OUT: "check the tank within 1 h",
        Cause.SLOW_DECLINE: "test by hand in 2 h, adjust dose", Cause.FAST_LOSS: "check dosing within 1 h, test",
        Cause.UNEXPLAINED_STEP: "check dosing within 1 h, test", Cause.UNEXPLAINED: "check dosing within 1 h, test",
    },
}  # fmt: skip


def state_sentence(
    state: DisinfectionState,
    verdict: LossVerdict,
    facts: LossFacts,
    residual: str,
    language: str = "zh",
    *,
    is_hand_logged: bool = False,
) -> str:
    """What probably happened and what to do by when, for a state that asks for action.

    LOW and MISSING speak by the table of cases; UNKNOWN by it only where it blames the instrument; HIGH has cases of its own. A
    hand-logged works that is UNKNOWN has no log. Unknown languages are answered in Chinese.

    >>> from rules.verdict import judge_loss
    >>> nothing = LossFacts()
    >>> state_sentence(DisinfectionState.HIGH, judge_loss(nothing), nothing, "free_chlorine")
    '余量偏高：请1小时内调低投加量，核对投加泵与流量的联动，并用DPD法复测'
    """
    chosen = "en" if language == "en" else "zh"
    method = _METHODS[chosen][residual == "ozone"]
    if state is DisinfectionState.HIGH:
        return _HIGH[chosen][_high_case(facts)].format(method=method)
    if state is DisinfectionState.UNKNOWN and is_hand_logged:
        return HAND_OVERDUE[chosen].format(method=method)
    if state is DisinfectionState.UNKNOWN and verdict.cause not in (
        Cause.NO_SAMPLE_FLOW,
        Cause.SENSOR_FROZEN,
        Cause.NO_FLOW,
    ):
        return _UNKNOWN[chosen].format(method=method)
    return verdict_sentence(verdict, residual, chosen)


def short_verdict(verdict: LossVerdict, language: str = "zh") -> str:
    """The cause in a few words, as a message has room for.

    >>> from rules.verdict import judge_loss
    >>> short_verdict(judge_loss(LossFacts(doser=False)))
    '投加泵已停'
    """
    return _SHORT["en" if language == "en" else "zh"][verdict.cause]


def short_action(verdict: LossVerdict, language: str = "zh") -> str:
    """The next step in as many words as a text message has room for."""
    return _ACTIONS["en" if language == "en" else "zh"][verdict.cause]


def _high_case(facts: LossFacts) -> str:
    if facts.sample_flow is False:
        return "sample"
    if facts.flow is False:
        return "standing"
    return "frozen" if facts.shape is ResidualShape.FROZEN else "dose"
