"""One sentence a duty officer understands, in Chinese or English, made of a finding's own facts."""

import re
from collections.abc import Mapping

from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.parameters import Parameter

__all__ = ["CAUSE", "CAUSES", "CONTRIBUTORS", "KNOWN", "SILENT_OVER", "TITLE", "sentence"]

SILENT_OVER = "silent_over_ms"
"""Key of a lasting silence's evidence: how long a series must say nothing to be called silent [ms]."""


TITLE = "title"
"""Key of the evidence of a rule of several conditions: what it says."""
CAUSE = "cause"
"""Key of the evidence of `NOT_EVALUATED`: a key of `CAUSES`."""
CAUSES = {1: "silent", 2: "suspect", 3: "coverage", 4: "division_by_zero"}
"""Words for the causes that `rules.compound` tells by number."""


CONTRIBUTORS = "contributors"
"""Key of a sudden change's evidence: codes of the parameters that changed, with ``;`` between them, most telling first."""
KNOWN = "known"
"""Key of its evidence: name of the benign event that people know and this one looks like."""


def sentence(
    finding: Finding,
    parameter: Parameter | None,
    language: str = "zh",
    parameters: Mapping[str, Parameter] | None = None,
) -> str:
    """Why the finding was made.

    ``parameter`` gives name, unit and decimals; ``None`` for findings about no single parameter. ``parameters`` gives the names
    where evidence names several; one not in it is told by its code. Unknown languages are answered in Chinese.
    """
    facts = _Facts(finding, parameter, language, parameters or {})
    by_rule, by_kind = (_ENGLISH_BY_RULE, _ENGLISH) if language == "en" else (_CHINESE_BY_RULE, _CHINESE)
    text = by_rule.get(finding.rule) or by_kind[finding.kind]
    return text.format(f=facts)


def _chinese(clause: str) -> str:
    """A clause as the Chinese standard calls it: ``Table 1 footnote a`` is 表1注a."""
    return re.sub(r"Table (\w+(?:\.\d+)*)( footnote ?)?", lambda m: f"表{m[1]}{'注' if m[2] else ''}", clause)


class _Facts:
    """Numbers as people read them."""

    def __init__(
        self, finding: Finding, parameter: Parameter | None, language: str, parameters: Mapping[str, Parameter]
    ) -> None:
        self._parameters = parameters
        self._finding = finding
        self._parameter = parameter
        self._english = english = language == "en"
        self.name = "" if parameter is None else (parameter.name_en if english else parameter.name_zh)
        self.unit = "" if parameter is None or parameter.unit in ("pH unit", "bool") else parameter.unit
        # House rules have no clause of a standard to cite.
        self.clause = (
            "" if not finding.clause else f" ({finding.clause})" if english else f"（{_chinese(finding.clause)}）"
        )
        until = finding.end if finding.end is not None else finding.evidence_at
        self.duration = _span(until - finding.start, english)
        # While it lasts only the threshold is certain: how long by now depends on who reads it when.
        over = _span(int(finding.evidence.get(SILENT_OVER, 0)), english)
        closed = self.duration if english else f"持续{self.duration}"
        self.silence = closed if finding.end is not None else f"more than {over}" if english else f"已超过{over}"
        above = finding.extreme is None or finding.limit is None or finding.extreme > finding.limit
        self.side = ("above" if above else "below") if english else ("高于" if above else "低于")

    @property
    def title(self) -> str:
        """What a rule of several conditions says."""
        return str(self._finding.evidence.get(TITLE, self._finding.rule))

    @property
    def contributors(self) -> str:
        """Names of the parameters that changed."""
        codes = str(self._finding.evidence.get(CONTRIBUTORS, "")).split(";")
        known = [(code, self._parameters.get(code)) for code in codes if code]
        names = [code if one is None else one.name_en if self._english else one.name_zh for code, one in known]
        if not names:
            return "water quality" if self._english else "水质"
        return (
            ", ".join([names[0], *(name[0].lower() + name[1:] for name in names[1:])])
            if self._english
            else "、".join(names)
        )

    @property
    def likeness(self) -> str:
        """The known event that a sudden change looks like; else what is to be done."""
        name = self._finding.evidence.get(KNOWN, "")
        if self._english:
            return f'looks like the known "{name}"' if name else "advisory; please check"
        return f"与已知的“{name}”相似" if name else "仅供参考，请核实"

    @property
    def cause(self) -> str:
        """Why a rule cannot be evaluated."""
        found = str(self._finding.evidence.get(CAUSE, ""))
        unknown = "cause not known any more" if self._english else "原因已无记录"
        return _CAUSES["en" if self._english else "zh"].get(found, found or unknown)

    @property
    def loss(self) -> str:
        """What shows the loss: the water itself, or dosing that stands still while some residual is left."""
        extreme, limit = self._finding.extreme, self._finding.limit
        if extreme is None:
            return "dosing has stopped" if self._english else "消毒剂投加中断"
        if limit is not None and extreme > limit:
            if self._english:
                return f"dosing has stopped, {self.name} at the outlet down to {self.extreme}"
            return f"消毒剂投加中断，出厂水{self.name}已降至{self.extreme}"
        if self._english:
            return f"{self.name} at the outlet down to {self.extreme}"
        return f"出厂水{self.name}最低{self.extreme}"

    @property
    def extreme(self) -> str:
        return self._number(self._finding.extreme)

    @property
    def limit(self) -> str:
        return self._number(self._finding.limit)

    def _number(self, value: float | None) -> str:
        if value is None:
            return "--"
        decimals = self._parameter.decimals if self._parameter else 2
        return f"{value:.{decimals}f}{self.unit}" if self.unit != "%" else f"{value:.0f}%"


_CAUSES = {
    "zh": {
        "silent": "所需信号没有数据", "suspect": "所需信号不可信（仪表异常或超量程）", "coverage": "有效读数太少",
        "division_by_zero": "除数为零",
    },
    "en": {
        "silent": "a signal it needs is silent", "suspect": "a signal it needs cannot be trusted",
        "coverage": "too few of the expected readings came", "division_by_zero": "division by zero",
    },
}  # fmt: skip


def _span(ms: int, english: bool) -> str:
    minutes = max(0, round(ms / 60_000))
    if minutes < 180:
        return f"{minutes} min" if english else f"{minutes}分钟"
    return f"{minutes / 60:.1f} h" if english else f"{minutes / 60:.1f}小时"


_CHINESE_BY_RULE = {
    "disinfection-absent": "管网水消毒剂余量缺失：{f.name}最低{f.extreme}，持续{f.duration}",
    "disinfection-standing": "出厂水{f.name}降至{f.extreme}，同时浊度沉降、pH或水温漂移，疑似取样水断流，消毒状态未知，已持续{f.duration}；"
    "请检查取样管路并人工测定余量",
}
_ENGLISH_BY_RULE = {
    "disinfection-absent": "No residual left in the network: {f.name} down to {f.extreme}, for {f.duration}",
    "disinfection-standing": "{f.name} at the outlet down to {f.extreme} while turbidity settles and pH or temperature drifts: the "
    "sample water probably stands; disinfection is unknown for {f.duration}; check the sample line and measure by hand",
}
_CHINESE = {
    FindingKind.OUT_OF_RANGE: "{f.name}读数{f.extreme}超出仪表量程，已持续{f.duration}，读数不作评判依据",
    FindingKind.FLAT_LINE: "{f.name}读数停在{f.extreme}不变，已持续{f.duration}，疑似传感器卡滞",
    FindingKind.EXCEEDANCE: "{f.name}最不利值{f.extreme}，{f.side}限值{f.limit}，持续{f.duration}{f.clause}",
    FindingKind.DISINFECTION_LOW: "出厂水{f.name}最低{f.extreme}，低于{f.limit}，持续{f.duration}{f.clause}",
    FindingKind.DISINFECTION_MISSING: "消毒缺失：{f.loss}，持续{f.duration}",
    FindingKind.DISINFECTION_HIGH: "出厂水{f.name}最高{f.extreme}，高于{f.limit}，持续{f.duration}{f.clause}",
    FindingKind.DISINFECTION_UNKNOWN: "出厂水{f.name}无可信读数，消毒状态未知，已持续{f.duration}",
    FindingKind.STALE: "{f.name}无数据，{f.silence}",
    FindingKind.NEVER_SEEN: "{f.name}自登记以来从未收到数据",
    FindingKind.RESIDUAL_FALLING: "出厂水{f.name}持续下降，现为{f.extreme}，将低于{f.limit}",
    FindingKind.COMPOUND: "{f.title}，已持续{f.duration}",
    FindingKind.NOT_EVALUATED: "规则“{f.title}”无法评判：{f.cause}，已持续{f.duration}；无法评判不等于合格",
    FindingKind.WATER_EVENT: "{f.contributors}突变，持续{f.duration}（{f.likeness}）",
    FindingKind.HAND_DISAGREES: "{f.title}",
    FindingKind.DETECTOR_SILENT: "{f.title}",
    FindingKind.LAB_EXCEEDANCE: "化验结果{f.name}{f.extreme}，{f.side}限值{f.limit}{f.clause}",
}
_ENGLISH = {
    FindingKind.OUT_OF_RANGE: "{f.name} reads {f.extreme}, outside the instrument's range, for {f.duration}; not used as evidence",
    FindingKind.FLAT_LINE: "{f.name} has stood at {f.extreme} for {f.duration}; the sensor is probably stuck",
    FindingKind.EXCEEDANCE: "{f.name} at worst {f.extreme}, {f.side} the limit {f.limit}, for {f.duration}{f.clause}",
    FindingKind.DISINFECTION_LOW: "{f.name} at the outlet down to {f.extreme}, below {f.limit}, for {f.duration}{f.clause}",
    FindingKind.DISINFECTION_MISSING: "Disinfection missing: {f.loss}, for {f.duration}",
    FindingKind.DISINFECTION_HIGH: "{f.name} at the outlet up to {f.extreme}, above {f.limit}, for {f.duration}{f.clause}",
    FindingKind.DISINFECTION_UNKNOWN: "No trustworthy {f.name} at the outlet for {f.duration}; disinfection is unknown",
    FindingKind.STALE: "No data of {f.name} for {f.silence}",
    FindingKind.NEVER_SEEN: "{f.name} has never sent data since it was registered",
    FindingKind.RESIDUAL_FALLING: "{f.name} at the outlet keeps falling, now {f.extreme}; it will fall below {f.limit}",
    FindingKind.COMPOUND: "{f.title}, for {f.duration}",
    FindingKind.NOT_EVALUATED: 'Rule "{f.title}" cannot be evaluated: {f.cause}, for {f.duration}; that is not a pass',
    FindingKind.WATER_EVENT: "Sudden change of {f.contributors} for {f.duration} ({f.likeness})",
    FindingKind.HAND_DISAGREES: "{f.title}",
    FindingKind.DETECTOR_SILENT: "{f.title}",
    FindingKind.LAB_EXCEEDANCE: "Laboratory result of {f.name} is {f.extreme}, {f.side} the limit {f.limit}{f.clause}",
}
