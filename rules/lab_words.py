"""Verdicts on laboratory results in words, Chinese and English. Pure."""

import re

from qingquan.domain.lab import LabOperator, LabResult
from qingquan.domain.parameters import Limit, LimitKind, plain_number
from rules.lab import CALCULATED, Judgement, Note, Why

__all__ = ["bound_text", "clause_text", "reason", "result_text"]

_UNITS = {
    "pH unit": "",
    "ratio": "",
    "-": "",
    "/": "",
    "无量纲": "",
    "比值": "",
    "pH": "",
    "MPN/mL or CFU/mL": "CFU/mL",
    "MPN/100mL or CFU/100mL": "CFU/100mL",
}

_ZH = {
    Why.WITHIN: "{value}，符合限值 {bound}",
    Why.NOT_FOUND: "未检出，符合要求",
    Why.OTHER_RESIDUAL_SUFFICES: "{value}，余量低于{missed}，但另一种消毒剂余量达标；混合消毒至少一项余量达标即可",
    Why.WITHIN_WITHOUT_K40: "{value}，扣除钾-40后符合限值 {bound}",
    Why.K40_UNKNOWN: "{value}，高于限值{missed}，但未扣除钾-40，不能判定，请补测钾-40",
    Why.ABOVE: "{value}，高于限值{missed}",
    Why.BELOW: "{value}，低于限值{missed}",
    Why.FOUND: "{value}，标准要求不得检出",
    Why.DETECTION_LIMIT: "{value}，检出限不能满足限值 {bound} 的判定要求，请改用检出限更低的方法",
    Why.NO_DETECTION_LIMIT: "未检出，但没有给出检出限，不能与限值 {bound} 比较，请补填检出限",
    Why.BEYOND_RANGE: "{value}，只给出下界，不能与限值 {bound} 比较，请稀释后重测",
    Why.OTHER_RESIDUAL_UNKNOWN: "{value}，余量低于{missed}，另一种消毒剂没有可用结果；混合消毒至少一项余量应达标",
    Why.NO_NUMBER: "结果不是有效数值，不能判定",
    Why.SOURCE_WATER: "水源水不按生活饮用水卫生标准判定",
    Why.TREATMENT_WATER: "处理过程水不按生活饮用水卫生标准判定",
    Why.OTHER_DISINFECTANT: "该工程不使用这种消毒剂，不按其余量判定",
    Why.NO_LIMIT: "标准没有规定该指标的限值",
    Why.NOT_IN_FORCE: "采样当日没有生效的限值",
    Why.UNIT_MISMATCH: "单位“{unit}”不能换算为限值的单位，未判定",
}
_EN = {
    Why.WITHIN: "{value} is within the limit {bound}",
    Why.NOT_FOUND: "not detected, as required",
    Why.OTHER_RESIDUAL_SUFFICES: "{value} is below {missed}, but the other disinfectant's residual suffices; one of the two must",
    Why.WITHIN_WITHOUT_K40: "{value} is within the limit {bound} once potassium-40 is subtracted",
    Why.K40_UNKNOWN: "{value} is above the limit {missed}, but potassium-40 was not subtracted: not decided, measure it",
    Why.ABOVE: "{value} is above the limit {missed}",
    Why.BELOW: "{value} is below the limit {missed}",
    Why.FOUND: "{value}; it must not be detected",
    Why.DETECTION_LIMIT: "{value}: the detection limit does not settle the limit {bound}; use a more sensitive method",
    Why.NO_DETECTION_LIMIT: "not detected, but without a detection limit it cannot be held against {bound}; add it",
    Why.BEYOND_RANGE: "{value} is only a lower bound and cannot be held against {bound}; dilute and repeat",
    Why.OTHER_RESIDUAL_UNKNOWN: "{value} is below {missed} and the other disinfectant has no usable result; one of the two must suffice",
    Why.NO_NUMBER: "the result is no number that can be judged",
    Why.SOURCE_WATER: "source water is not judged by the drinking-water standard",
    Why.TREATMENT_WATER: "water in treatment is not judged by the drinking-water standard",
    Why.OTHER_DISINFECTANT: "the works does not use this disinfectant, so its residual is not judged",
    Why.NO_LIMIT: "the standard sets no limit for this parameter",
    Why.NOT_IN_FORCE: "no limit was in force on the day of sampling",
    Why.UNIT_MISMATCH: "unit {unit} cannot be converted to that of the limit; not judged",
}
_NOTES_ZH = {
    Note.GUIDANCE: "指导值，超过时应作核素分析和评价",
    Note.GROSS_BETA: "指导值，扣除钾-40后仍超过时应作核素分析和评价",
    Note.TEST_E_COLI: "应进一步检验大肠埃希氏菌",
    Note.CONTRADICTION: "与总大肠菌群未检出矛盾，请核对",
    Note.NON_DETECTS_AT_LIMIT: "未检出的组分按检出限计入上界",
    Note.NON_DETECTS_LEFT_OUT: "未检出的组分未计入",
}
_NOTES_EN = {
    Note.GUIDANCE: "a guidance value: beyond it, analyse the nuclides",
    Note.GROSS_BETA: "a guidance value: if still beyond it after subtracting K-40, analyse the nuclides",
    Note.TEST_E_COLI: "test for Escherichia coli",
    Note.CONTRADICTION: "contradicts total coliforms not being detected: check",
    Note.NON_DETECTS_AT_LIMIT: "non-detects count with at most their detection limit",
    Note.NON_DETECTS_LEFT_OUT: "non-detects are not counted",
}
# On guidance values nothing is an offence yet; the word for the bound says so.
_GUIDED = frozenset({Note.GUIDANCE, Note.GROSS_BETA})


def reason(result: LabResult, judgement: Judgement, language: str = "zh") -> str:
    """One sentence on why the verdict is what it is, with bound, clause and what else has to be said."""
    is_zh = language != "en"
    limit = judgement.limit
    text = (_ZH if is_zh else _EN)[judgement.why].format(
        value=result_text(result, language),
        bound="" if limit is None else bound_text(limit, language),
        missed=""
        if limit is None or judgement.bound is None
        else f"{plain_number(judgement.bound)} {_unit(limit.unit)}".rstrip(),
        unit=result.unit,
    )
    if _GUIDED & set(judgement.notes):
        text = text.replace("限值", "指导值").replace("the limit", "the guidance value")
    if limit is not None:
        clause = clause_text(limit, language)
        text += f"（{clause}）" if is_zh else f" ({clause})"
    notes = [(_NOTES_ZH if is_zh else _NOTES_EN)[note] for note in judgement.notes if _is_told(note, judgement)]
    return ("；" if is_zh else "; ").join([text, *notes])


def bound_text(limit: Limit, language: str = "zh") -> str:
    """The bound of a row as people write it, with its unit."""
    if limit.kind is LimitKind.ABSENT:
        return "absent" if language == "en" else "不得检出"
    unit = _unit(limit.unit)
    if limit.kind is LimitKind.RANGE:
        numbers = f"{plain_number(limit.min)}–{plain_number(limit.max)}"
    elif limit.kind is LimitKind.MIN:
        numbers = f"≥ {plain_number(limit.min)}"
    else:
        numbers = f"{'<' if limit.kind is LimitKind.MAX_STRICT else '≤'} {plain_number(limit.max)}"
    return f"{numbers} {unit}".rstrip()


def result_text(result: LabResult, language: str = "zh") -> str:
    """A result as the laboratory wrote it, with its unit; a non-detect is words, with its detection limit where known."""
    unit = _unit(result.unit)
    if result.operator is LabOperator.NOT_DETECTED:
        words = "not detected" if language == "en" else "未检出"
        if result.detection_limit is None:
            return words
        limit = f"{plain_number(result.detection_limit)} {unit}".rstrip()
        return f"{words} (<{limit})" if language == "en" else f"{words}（<{limit}）"
    if result.value is None or (result.operator is LabOperator.GREATER and result.value == 0):
        # Odour and visible matter are told in words.
        return result.value_text or ("detected" if language == "en" else "检出")
    sign = "" if result.operator is LabOperator.EQUAL else str(result.operator)
    digits = ".4g" if result.method == CALCULATED else ".12g"
    return f"{sign}{result.value:{digits}} {unit}".rstrip()


def clause_text(limit: Limit, language: str = "zh") -> str:
    """Standard and clause of a row."""
    clause = limit.clause
    if language != "en":
        clause = re.sub(r"Table (\w+(?:\.\d+)*)( footnote)?", lambda m: f"表{m[1]}{'注' if m[2] else ''}", clause)
    return f"{limit.standard} {clause}"


def _unit(unit: str) -> str:
    return _UNITS.get(unit, unit)


def _is_told(note: Note, judgement: Judgement) -> bool:
    """What to do beyond a guidance value is told only beyond it."""
    return note not in _GUIDED or judgement.why in (Why.ABOVE, Why.K40_UNKNOWN)
