"""An explanation of a limit in words, Chinese and English. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from qingquan.domain.parameters import Limit
from qingquan.domain.profiles import PassedOver, Profile, Relaxation, Ruling, Standing, WhyNone, WhyNot
from qingquan.domain.works import Disinfectant, PointKind, SamplingPoint, Works
from rules.lab_words import bound_text, clause_text

__all__ = ["Told", "sentence"]


@dataclass(frozen=True, slots=True)
class Told:
    """What the sentence is made of. ``on`` is the day asked for, ``rows_on`` the day whose rows were taken."""

    works: Works
    point: SamplingPoint
    code: str
    name: tuple[str, str]
    on: date
    rows_on: date
    profile: Profile
    ruling: Ruling
    informs: tuple[Limit, ...]


_POINTS = {
    PointKind.SOURCE: ("水源水", "source water"),
    PointKind.TREATMENT: ("工艺水", "water in treatment"),
    PointKind.OUTLET: ("出厂水", "water at the outlet"),
    PointKind.NETWORK: ("管网水", "network water"),
    PointKind.NETWORK_END: ("末梢水", "water at the network end"),
}
_NONE = {
    WhyNone.RAW_WATER: ("原水和处理中的水不按生活饮用水标准判定", "raw water and water in treatment are not judged"),
    WhyNone.OTHER_DISINFECTANT: (
        "该工程不使用这种消毒剂，不按其余量判定",
        "the works does not use this disinfectant, so its residual is not judged",
    ),
    WhyNone.NO_ROW: ("该标准没有规定此指标的限值", "it sets no limit for this parameter"),
    WhyNone.NOT_IN_FORCE: ("当日没有生效的限值", "no limit was in force on that day"),
    WhyNone.OTHER_POINT: ("限值只针对其他采样点", "its limits are for other points only"),
    WhyNone.NOT_HELD: ("其数值未见原文，本系统没有收录", "its number was not seen and is not held here"),
    WhyNone.REFERENCE_ONLY: ("仅供参考，不作为评价限值", "for reference only, never a compliance limit"),
}
_CONDITIONS = {
    "source_limited": ("水源或净水技术受限", "its source or treatment is limited"),
    "groundwater_limited": ("地下水源受限", "it depends on a limited groundwater source"),
    "raw_permanganate_above_6": ("水源受限且原水耗氧量大于6 mg/L", "its raw water has more than 6 mg/L CODMn"),
    "turbidity_second_step": (
        "水源与净水技术条件均受限（表4注）",
        "both source and treatment are limited (note of Table 4)",
    ),
    "slow_sand": ("采用慢滤或硅藻土过滤", "it filters through slow sand or diatomaceous earth"),
}
_MIXED = ("chlorine_dioxide", "free_chlorine")
_SPECIAL: dict[Callable[["Told"], bool], tuple[str, str]] = {
    lambda told: told.code == "gross_beta": (
        "指导值，扣除钾-40后仍超过时应作核素分析和评价",
        "a guidance value: if still beyond it after subtracting K-40, analyse the nuclides",
    ),
    lambda told: told.code == "gross_alpha": (
        "指导值，超过时应作核素分析和评价",
        "a guidance value: beyond it, analyse the nuclides",
    ),
    lambda told: told.code == "escherichia_coli": (
        "仅在检出总大肠菌群时检验",
        "tested only where total coliforms are found",
    ),
    lambda told: told.code == "trihalomethanes_ratio": (
        "四种化合物实测浓度与各自限值的比值之和",
        "the sum of four concentrations, each divided by its own limit",
    ),
    lambda told: told.works.disinfectant is Disinfectant.MIXED_CLO2_CL2 and told.code in _MIXED: (
        "二氧化氯与氯混合消毒：两项均不得超过限值，余量至少一项达标",
        "chlorine dioxide with chlorine: both stay within their limits, at least one reaches its residual",
    ),
}
_CONFIDENCE = {"high": ("高", "high"), "medium": ("中", "medium"), "low": ("低", "low")}


def sentence(told: Told, language: str = "zh") -> str:
    """One sentence: the row that applies and why, then each row that does not and why not, then what to beware of."""
    is_zh = language != "en"
    head = _head(told, is_zh)
    parts = [
        *_relaxed(told, is_zh),
        *_passed(told.ruling.passed, told, is_zh),
        *_informing(told, is_zh),
        *_beware(told, is_zh),
    ]
    joined = ("；" if is_zh else "; ").join([head, *parts])
    return joined + ("。" if is_zh else ".")


def _head(told: Told, is_zh: bool) -> str:
    where = _where(told, is_zh)
    limit, why = told.ruling.limit, told.ruling.why_none
    if limit is None:
        reason = "" if why is None else _NONE[why][0 if is_zh else 1]
        profile = _profile_name(told.profile, is_zh)
        return (
            f"{where}，{profile}没有适用的行：{reason}" if is_zh else f"{where}: no row of {profile} applies: {reason}"
        )
    bound, clause = bound_text(limit, _lang(is_zh)), clause_text(limit, _lang(is_zh))
    sure = _CONFIDENCE[limit.confidence][0 if is_zh else 1]
    if is_zh:
        return f"{where}适用 {clause}：{bound}（{limit.id}，可信度{sure}）"
    return f"{where}: {clause} applies, {bound} (row {limit.id}, confidence {sure})"


def _where(told: Told, is_zh: bool) -> str:
    works, name = told.works, told.name[0 if is_zh else 1]
    point = _POINTS[told.point.kind][0 if is_zh else 1]
    if is_zh:
        return f"{told.on} {works.name}（{works.county}/{works.id}）{point}的{name}"
    return f"On {told.on}, {name} in {point} of {works.name} ({works.county}/{works.id})"


def _relaxed(told: Told, is_zh: bool) -> list[str]:
    """Why a relaxed row may be used here."""
    limit = told.ruling.limit
    if limit is None:
        return []
    reasons = []
    if limit.supply == "small_limited":
        reasons.append(_granted(told, is_zh))
    if limit.condition:
        zh, en = _CONDITIONS[limit.condition]
        reasons.append(f"已登记{zh}，按放宽限值" if is_zh else f"relaxed because {en}, as the register says")
    return reasons


def _granted(told: Told, is_zh: bool) -> str:
    size = _size(told.works, is_zh)
    if told.profile.relaxation is Relaxation.SMALL_LIMITED:
        if is_zh:
            return f"小型集中式供水（{size}），且已登记水源或净水技术受限，按放宽限值"
        return f"relaxed because it is a small supply ({size}) whose source or treatment is registered as limited"
    name = _profile_name(told.profile, is_zh)
    if is_zh:
        return f"{name}允许此规模的工程（{size}）采用小型供水限值"
    return f"{name} grants the limits of small supplies to a works of this size ({size})"


def _size(works: Works, is_zh: bool) -> str:
    if is_zh:
        return f"{works.capacity_m3_d:g} m³/d、{works.population} 人"
    return f"{works.capacity_m3_d:g} m3/d, {works.population} people"


def _passed(passed: Iterable[PassedOver], told: Told, is_zh: bool) -> list[str]:
    """A part for each row passed over; those of another period are told together."""
    parts: list[str] = []
    periods: dict[tuple[str, date, date | None], int] = {}
    for one in passed:
        row = one.limit
        if one.why in (WhyNot.NOT_YET, WhyNot.EXPIRED):
            key = (row.standard, row.valid_from, row.valid_to)
            periods[key] = periods.get(key, 0) + 1
        else:
            parts.append(_why_not(one, told, is_zh))
    for (standard, first, last), count in periods.items():
        if is_zh:
            span = f"{first} 至 {last} 有效" if last else f"{first} 起有效"
            parts.append(f"不用 {standard} 的 {count} 行：{span}")
        else:
            rows = "row" if count == 1 else f"{count} rows"
            span = f"from {first} to {last}" if last else f"from {first} on"
            parts.append(f"not the {rows} of {standard}: in force {span}")
    return parts


def _why_not(one: PassedOver, told: Told, is_zh: bool) -> str:
    row = one.limit
    clause, bound = clause_text(row, _lang(is_zh)), bound_text(row, _lang(is_zh))
    reason = _reason(one, told, is_zh)
    return f"不用 {clause} 的 {bound}：{reason}" if is_zh else f"not {bound} of {clause}: {reason}"


def _reason(one: PassedOver, told: Told, is_zh: bool) -> str:
    row, size = one.limit, _size(told.works, is_zh)
    condition = _CONDITIONS.get(row.condition, ("", ""))
    kinds = {kind.value: words for kind, words in _POINTS.items()}
    words = {
        WhyNot.OTHER_POINT: (
            f"只用于{kinds.get(row.point, ('', ''))[0]}",
            f"it is for {kinds.get(row.point, ('', ''))[1]} only",
        ),
        WhyNot.NOT_SMALL: (
            f"不属小型供水（{size}），不放宽",
            f"the works is not a small supply ({size}): not relaxed",
        ),
        WhyNot.NOT_LIMITED: (
            f"{'是小型供水，但' if told.works.is_small_supply else ''}登记表未注明水源或净水技术受限，不放宽",
            f"{'small supply, but ' if told.works.is_small_supply else ''}"
            "source or treatment is not registered as limited: not relaxed",
        ),
        WhyNot.NOT_GRANTED: ("此项评价不采用放宽限值", "this profile grants no relaxation"),
        WhyNot.CONDITION_UNKNOWN: (
            f"未登记{condition[0]}，不放宽",
            f"the register does not say that {condition[1]}: not relaxed",
        ),
        WhyNot.YIELDS: ("让位于更具体的一行", "the more particular row goes before it"),
    }[one.why]
    return words[0 if is_zh else 1]


def _informing(told: Told, is_zh: bool) -> list[str]:
    return [_informs(row, is_zh) for row in told.informs]


def _informs(row: Limit, is_zh: bool) -> str:
    bound = bound_text(row, _lang(is_zh))
    kinds = {kind.value: words for kind, words in _POINTS.items()}
    place = kinds[row.point][0 if is_zh else 1] if row.point in kinds else ""
    note = f"，{row.note_zh}" if is_zh and row.note_zh else ""
    if is_zh:
        return f"{row.standard} 参考值{'（' + place + '）' if place else ''} {bound}（{row.id}{note}）"
    return f"{row.standard} gives {bound}{' in ' + place if place else ''} for reference ({row.id})"


def _beware(told: Told, is_zh: bool) -> list[str]:
    parts = []
    profile, limit = told.profile, told.ruling.limit
    parts += [words[0 if is_zh else 1] for holds, words in _SPECIAL.items() if limit is not None and holds(told)]
    if profile.standing is Standing.EVALUATION:
        parts.append(
            "仅用于评价，不影响超标判定和消毒状态"
            if is_zh
            else "for the evaluation only: exceedances and the disinfection state stay as they are"
        )
    if told.rows_on != told.on or not profile.is_in_force(told.on):
        parts.append(_outdated(told, is_zh))
    if limit is not None and limit.confidence != "high":
        parts.append(
            "数值须与标准原文核对后方可据以认定超标"
            if is_zh
            else "compare the number with the printed standard before it decides an official exceedance"
        )
    return parts


def _outdated(told: Told, is_zh: bool) -> str:
    """The day lies outside the dates of the profile, or of the edition it goes by."""
    taken = told.rows_on if told.ruling.limit is not None and told.rows_on != told.on else None
    if is_zh:
        rows = f"，按 {taken} 的限值" if taken else ""
        return f"当日不在该方案或其所用版本的有效期内{rows}，是否沿用须向主管部门核实"
    rows = f" and rows of {taken} were taken" if taken else ""
    return f"that day lies outside the dates of this profile or its edition{rows}: ask the authority whether it still holds"


def _profile_name(profile: Profile, is_zh: bool) -> str:
    return profile.name_zh if is_zh else profile.name_en


def _lang(is_zh: bool) -> str:
    return "zh" if is_zh else "en"
