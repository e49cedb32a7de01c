"""The fault-or-loss verdict as a sentence a caretaker can act on, in Chinese or English."""

from rules.verdict import Cause, Leaning, LossVerdict

__all__ = ["verdict_sentence"]

_ZH = {
    Cause.NO_FLOW: "目前无出厂水流，不供水时余量读数不代表水质：恢复供水后先确认{name}正常再送水",
    Cause.POWER_CUT_WATER_FLOWS: "停电但仍在供水，投加已中断：请{within}内启用备用电源或人工投加，必要时暂停供水",
    Cause.POWER_CUT: "停电，是否仍在供水不明：请{within}内到现场确认；如仍在供水，立即人工投加或暂停供水",
    Cause.DOSER_STOPPED: "投加泵已停，消毒剂未投加：请{within}内到现场恢复投加，并用{method}复测{name}",
    Cause.STOCK_EMPTY: "药剂已用完：请{within}内补药并排除管路空气，恢复投加后用{method}复测{name}",
    Cause.NOT_DELIVERING: "投加泵显示运行，但药剂液位不降、{name}下降：多半是泵吸空、管路堵塞或脱落，"
    "请{within}内检查吸药管、单向阀和投加点",
    Cause.NO_SAMPLE_FLOW: "取样水断流，{name}读数不可信：请{within}内恢复取样水流，并用{method}手工复测",
    Cause.SERVICE: "仪表刚维护或校准，{name}读数可能尚未恢复：请{within}内用{method}手工复测",
    Cause.SENSOR_STEP: "投加泵在运行、有水流，{name}一步降到零：多半是探头问题，请{within}内用{method}手工复测",
    Cause.SENSOR_FROZEN: "{name}读数长时间一字不变：多半是仪表或通信卡死，请{within}内用{method}手工复测并重启仪表",
    Cause.SENSOR_STARVED: "断药多日后刚恢复投加，探头反应迟缓，读数可能偏低：请{within}内用{method}手工复测，当天不以在线读数为准",
    Cause.RUNNING_OUT: "{name}缓慢下降，多半是药剂将用完或药液失效：请{within}内检查药箱，补充新药",
    Cause.SLOW_DECLINE: "药剂充足而{name}缓慢下降：可能是药液有效氯降低、水质耗氯增加或探头结垢，请{within}内用{method}复测，再调整投加量",
    Cause.FAST_LOSS: "投加泵在运行，{name}却在数小时内降低：可能是泵吸空、漏药或原水耗氯突增，请{within}内检查投加点和原水，并用{method}复测",
    Cause.UNEXPLAINED_STEP: "{name}一步降到零，投加和水流情况不明：请{within}内到现场确认投加，并用{method}手工复测",
    Cause.UNEXPLAINED: "{name}偏低，原因不明：请{within}内到现场确认投加，并用{method}手工复测",
}
_EN = {
    Cause.NO_FLOW: "no water leaves the works, so the reading says nothing of the water supplied: make sure {name} is right "
    "before supply starts again",
    Cause.POWER_CUT_WATER_FLOWS: "power is off while water still flows, so dosing has stopped: use standby power or dose by "
    "hand within {within}, or stop the supply",
    Cause.POWER_CUT: "power is off and it is not known whether water still flows: check on site within {within}; if it does, "
    "dose by hand or stop the supply at once",
    Cause.DOSER_STOPPED: "the dosing pump stands still: restart dosing within {within}, then test {name} by {method}",
    Cause.STOCK_EMPTY: "the disinfectant is used up: refill and vent the line within {within}, then test {name} by {method}",
    Cause.NOT_DELIVERING: "the pump says it runs, but the tank level stands still and {name} falls: probably air in the pump, a "
    "blocked or loose line; check suction line, valve and dosing point within {within}",
    Cause.NO_SAMPLE_FLOW: "no sample water reaches the cell, so the reading of {name} cannot be trusted: restore the sample "
    "flow and test by {method} within {within}",
    Cause.SERVICE: "the instrument was just serviced and may not have settled: test {name} by {method} within {within}",
    Cause.SENSOR_STEP: "pump on, flow on, and {name} fell to zero in one step: probably the sensor; take a hand sample by "
    "{method} within {within}",
    Cause.SENSOR_FROZEN: "the reading of {name} has not changed by a digit: probably a stuck instrument or link; test by "
    "{method} and restart the instrument within {within}",
    Cause.SENSOR_STARVED: "dosing is back after days without, and the cell answers slowly and low: test {name} by {method} "
    "within {within}; do not rely on the instrument today",
    Cause.RUNNING_OUT: "{name} falls slowly: the disinfectant is probably running out or spent; check the tank within {within}",
    Cause.SLOW_DECLINE: "{name} falls slowly though there is stock: weaker solution, more demand in the water or a fouled "
    "cell; test by {method} within {within}, then adjust the dose",
    Cause.FAST_LOSS: "{name} fell within hours while the pump runs: air in the pump, a leak or a jump in demand; check dosing "
    "point and raw water and test by {method} within {within}",
    Cause.UNEXPLAINED_STEP: "{name} fell to zero in one step and it is not known whether pump and water run: check dosing on "
    "site and test by {method} within {within}",
    Cause.UNEXPLAINED: "{name} is low for no known reason: check dosing on site and test by {method} within {within}",
}
_METHODS = {"ozone": ("靛蓝法", "the indigo method")}
_DPD = ("DPD法", "DPD")
_NAMES_ZH = {"free_chlorine": "余氯", "total_chlorine": "总氯", "chlorine_dioxide": "二氧化氯余量", "ozone": "臭氧余量"}
_NAMES_EN = {"free_chlorine": "chlorine", "total_chlorine": "total chlorine", "chlorine_dioxide": "chlorine dioxide", "ozone": "ozone"}  # fmt: skip
_CAUTION_ZH = "；复测结果出来前按消毒中断处置"
_CAUTION_EN = "; until the result is in, act as if disinfection were lost"
_MISSING_ZH = {"power": "供电", "flow": "出厂水流", "doser": "投加泵状态", "sample_flow": "取样水流", "stock": "药剂余量", "shape": "近几小时余量变化"}  # fmt: skip
_MISSING_EN = {"power": "power", "flow": "outlet flow", "doser": "doser", "sample_flow": "sample flow", "stock": "stock", "shape": "last hours of the residual"}  # fmt: skip


def verdict_sentence(verdict: LossVerdict, residual: str = "free_chlorine", language: str = "zh") -> str:
    """What probably happened and what to do by when.

    ``residual`` is the parameter code of the works' residual. A verdict that leans to the sensor, or to nothing, adds that
    the water counts as undisinfected until the hand sample is in; an undecided one says which facts were wanting. Unknown
    languages are answered in Chinese.

    >>> from rules.verdict import LossFacts, ResidualShape, judge_loss
    >>> verdict_sentence(judge_loss(LossFacts(flow=True, doser=True, shape=ResidualShape.STEP_TO_FLOOR)))
    '投加泵在运行、有水流，余氯一步降到零：多半是探头问题，请2小时内用DPD法手工复测；复测结果出来前按消毒中断处置'
    """
    is_english = language == "en"
    names = _NAMES_EN if is_english else _NAMES_ZH
    text = (_EN if is_english else _ZH)[verdict.cause].format(
        name=names.get(residual, "the residual" if is_english else "消毒剂余量"),
        method=_METHODS.get(residual, _DPD)[1 if is_english else 0],
        within=_hours(verdict.act_within_h, is_english),
    )
    if verdict.leaning in (Leaning.SENSOR, Leaning.UNDECIDED):
        text += _CAUTION_EN if is_english else _CAUTION_ZH
    if verdict.leaning is Leaning.UNDECIDED and verdict.missing:
        words = [(_MISSING_EN if is_english else _MISSING_ZH)[name] for name in verdict.missing]
        text += f" (not known: {', '.join(words)})" if is_english else f"（缺：{'、'.join(words)}）"
    return text


def _hours(hours: float, is_english: bool) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min" if is_english else f"{hours * 60:.0f}分钟"
    return f"{hours:g} h" if is_english else f"{hours:g}小时"
