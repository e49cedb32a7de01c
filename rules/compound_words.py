"""What a rule of several conditions says: its title, the values it rests on, why it cannot be evaluated."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.parameters import Parameter
from rules import compound
from rules.conditions import Condition, Tree, unit_of
from rules.layout import NO_SLOT
from rules.plan import Plan
from rules.reasons import CAUSE, CAUSES, TITLE
from rules.ruleset import Rule

__all__ = ["described", "title_of"]

# What a switch contact says, on and off: Chinese, then English.
_SWITCHES = {
    "doser_running": (("投加泵运行", "投加泵停运"), ("doser running", "doser stopped")),
    "power": (("市电正常", "市电中断"), ("mains power on", "mains power off")),
    "sample_flow": (("取样水流正常", "取样水流中断"), ("sample flow on", "no sample flow")),
}


def title_of(rule: Rule, parameters: Mapping[str, Parameter], language: str) -> str:
    """The rule's own title, else its conditions in words."""
    own = rule.title_en if language == "en" else rule.title_zh
    if own or rule.when is None:
        return own or rule.id
    return _tree(rule.when, parameters, language, is_inner=False)


def described(
    finding: Finding,
    timer: int,
    plan: Plan,
    leaves: npt.NDArray[np.void],
    parameters: Mapping[str, Parameter],
    language: str,
) -> Finding:
    """A finding of a compound's timer with its title and, as evidence, the values of its signals as last compared."""
    works, place = plan.layout.place_of("timer", timer)
    form = plan.form_of(works)
    mine = plan.compounds.compounds[form["compound_row"] : form["compound_row"] + form["compound_count"]]
    facts = mine[int(np.searchsorted(mine["timer"], place, side="right")) - 1]
    rule = next(
        one
        for one in plan.ruleset.compounds
        if one.id == finding.rule and one.fingerprint == plan.meanings[timer].fingerprint
    )
    evidence = finding.evidence | {TITLE: title_of(rule, parameters, language), "fingerprint": rule.fingerprint}
    first, count = int(facts["leaf_first"]), int(facts["leaf_count"])
    rows = plan.compounds.leaves[form["leaf_row"] :][first : first + count]
    states = leaves[plan.works_facts[works]["leaf_first"] :][first : first + count]
    limit = finding.limit
    for row, state in zip(rows, states, strict=True):
        if row["valid_from"] <= finding.start < row["valid_to"]:
            limit = float(row["bound"])
            value = float(state["done_value" if row["basis"] == compound.MEAN else "value"])
            if np.isfinite(value):
                evidence[_name(row, plan, works)] = float(f"{value:.6g}")
    if finding.kind is FindingKind.NOT_EVALUATED:
        cause = CAUSES.get(int(finding.extreme or 0), "")
        return replace(finding, extreme=None, limit=None, evidence=evidence | {CAUSE: cause})
    if not rule.is_single:
        return replace(finding, extreme=None, limit=None, evidence=evidence)
    return replace(finding, limit=limit, evidence=evidence)


def _name(row: np.void, plan: Plan, works: int) -> str:
    """What a leaf compares, for the evidence: ``outlet/flow``, ``mean(outlet/turbidity)``, ``a / b``."""
    series = plan.layout.form(works).series
    sides = [
        "/".join(series[rank]) if rank != NO_SLOT else f"{constant:g}"
        for rank, constant in ((int(row["slot_a"]), row["const_a"]), (int(row["slot_b"]), row["const_b"]))
    ]
    sign = {compound.RATIO: " / ", compound.DIFFERENCE: " - "}.get(int(row["arithmetic"]))
    name = sign.join(sides) if sign else sides[0]
    return f"mean({name})" if row["basis"] == compound.MEAN else name


def _tree(tree: Tree, parameters: Mapping[str, Parameter], language: str, *, is_inner: bool) -> str:
    if isinstance(tree, Condition):
        return _condition(tree, parameters, language)
    joint = {("zh", True): "或", ("zh", False): "且", ("en", True): " or ", ("en", False): " and "}
    text = joint[language if language == "en" else "zh", tree.is_any].join(
        _tree(part, parameters, language, is_inner=True) for part in tree.parts
    )
    if not is_inner or len(tree.parts) == 1:
        return text
    return f"({text})" if language == "en" else f"（{text}）"


def _condition(one: Condition, parameters: Mapping[str, Parameter], language: str) -> str:
    english = language == "en"
    names = [_operand(operand, parameters, english) for operand in one.operands]
    if len(names) == 1:
        left = names[0]
    elif one.arithmetic == "ratio":
        left = f"{names[0]} / {names[1]}" if english else f"{names[0]}与{names[1]}之比"
    else:
        left = f"{names[0]} - {names[1]}" if english else f"{names[0]}与{names[1]}之差"
    if one.average:
        mean = {("hour", True): "hourly mean of ", ("day", True): "daily mean of "}.get((one.average, english), "")
        left = mean + left if english else left + {"hour": "小时均值", "day": "日均值"}[one.average]
    signal = parameters.get(one.signals[0]) if len(one.operands) == 1 else None
    if signal is not None and signal.unit == "bool" and not isinstance(one.bound, str):
        words = _SWITCHES.get(signal.code)
        if words is None:
            return f"{left} {'on' if one.is_above else 'off'}" if english else f"{left}为{int(one.is_above)}"
        return words[english][not one.is_above]
    if isinstance(one.bound, str):
        bound = "its limit" if english else "限值"
    else:
        unit = unit_of(one, parameters)
        bound = f"{one.bound:g}" + ("" if unit in ("1", "pH unit", "bool") else f" {unit}" if english else unit)
    side = (" above " if one.is_above else " below ") if english else ("高于" if one.is_above else "低于")
    return f"{left}{side}{bound}"


def _operand(operand: str | float, parameters: Mapping[str, Parameter], english: bool) -> str:
    if not isinstance(operand, str):
        return f"{operand:g}"
    if operand == "residual":
        return "disinfectant residual" if english else "消毒剂余量"
    found = parameters[operand]
    return found.name_en if english else found.name_zh
