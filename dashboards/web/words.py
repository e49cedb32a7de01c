"""Values, times and judgements in words, in the language of a page. Pure."""

import math
import re
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dashboards.web.texts import Texts
from qingquan.clock import from_ms
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Incident
from qingquan.domain.parameters import Limit, LimitKind, plain_number
from qingquan.domain.works import SamplingPoint, Works
from qingquan.standards.divisions import division_name
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles

__all__ = [
    "CONTRIBUTORS",
    "bound_key",
    "cause_parameter",
    "clause_words", "clock_time", "contributor_words", "county_name", "day_time", "duration", "finding_title", "finding_words", "incident_title",
    "is_doser_stopped", "legal_limit", "limit_words", "masked_phone", "number", "parameter_name", "point_name", "unit_name", "zone",
]  # fmt: skip

_UNITS = {"pH unit": "", "degC": "°C", "uS/cm": "µS/cm", "m3/h": "m³/h", "bool": ""}
_LOWER = (FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_MISSING)
_BELOW = (*_LOWER, FindingKind.RESIDUAL_FALLING)
CONTRIBUTORS = "contributors"
"""Key of a sudden change's evidence: codes of the parameters that changed, with ``;`` between them, most telling first."""
_RESIDUAL_KINDS = (*_LOWER, FindingKind.DISINFECTION_HIGH)


def zone(name: str) -> ZoneInfo:
    """Time zone of a works; China's where the register's name is not a zone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("Asia/Shanghai")


def day_time(at: int | datetime, tz: str) -> str:
    """``05-01 08:00`` at the works, with the year in front when told apart only by it."""
    moment = (from_ms(at) if isinstance(at, int) else at).astimezone(zone(tz))
    return moment.strftime("%Y-%m-%d %H:%M")


def clock_time(at: int | datetime, tz: str) -> str:
    """``2026-05-01 08:00:12`` at the works."""
    moment = (from_ms(at) if isinstance(at, int) else at).astimezone(zone(tz))
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def duration(ms: int, t: Texts) -> str:
    """Length of a span, two units at most."""
    seconds = max(0, ms) // 1000
    if seconds < 60:
        return t("time.for_s", n=seconds)
    minutes, hours = seconds // 60, seconds // 3600
    if minutes < 60:
        return t("time.for_min", n=minutes)
    if hours < 24:
        return t("time.for_h", n=hours) if minutes % 60 == 0 else t("time.for_h_min", h=hours, m=minutes % 60)
    return t("time.for_d", n=hours // 24) if hours % 24 == 0 else t("time.for_d_h", d=hours // 24, h=hours % 24)


def number(value: float | None, decimals: int) -> str:
    """A value as written for people; a dash where there is none."""
    return "—" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def parameter_name(code: str, t: Texts) -> str:
    """Name of a parameter; of lab parameters, too; the code itself for one no table knows."""
    tables = load_standards()
    parameter = tables.parameters.get(code)
    if parameter is not None:
        return parameter.short_zh if t.language == "zh" else parameter.name_en
    limit = next((limit for limit in tables.limits if limit.code == code), None)
    return code if limit is None else (limit.name_zh if t.language == "zh" else limit.name_en)


def unit_name(unit: str) -> str:
    """Unit as printed; empty where the number stands alone."""
    return _UNITS.get(unit, unit)


def point_name(point: SamplingPoint, t: Texts) -> str:
    """Name of a sampling point: its kind, and its own name where that says more."""
    kind = t(f"point.{point.kind}")
    return f"{kind} · {point.name}" if point.name and point.name != kind and t.language == "zh" else kind


def county_name(works: Works | None, code: str, t: Texts) -> str:
    """Name of a county: as the register calls it, else as the table of counties does."""
    tags = works.tags if works is not None else {}
    return tags.get("county_name_en" if t.language == "en" else "county_name", "") or division_name(code, t.language)


def masked_phone(phone: str) -> str:
    """Phone number with its middle hidden."""
    return phone[:3] + "*" * (len(phone) - 7) + phone[-4:] if len(phone) >= 8 else "*" * len(phone)


def legal_limit(works: Works, point: SamplingPoint, parameter: str, on: date) -> Limit | None:
    """Row of the standard, or of the county's or province's own, that judges a parameter at a point of a works on a day."""
    return load_profiles().binding(works.county).limit_on(works, point.kind, parameter, on)


def limit_words(limit: Limit | None, t: Texts) -> str:
    """Bound of a row in signs, without its unit; empty without a row."""
    if limit is None:
        return ""
    if limit.kind is LimitKind.ABSENT:
        return t("limit.absent")
    if limit.kind is LimitKind.RANGE:
        return t("limit.between", low=f"{plain_number(limit.min)}", high=f"{plain_number(limit.max)}")
    if limit.kind is LimitKind.MIN:
        return t("limit.at_least", value=f"{plain_number(limit.min)}")
    return t(
        "limit.below" if limit.kind is LimitKind.MAX_STRICT else "limit.at_most", value=f"{plain_number(limit.max)}"
    )


def clause_words(clause: str, t: Texts) -> str:
    """Clause of a standard as a Chinese reader expects it; bounds of our own are called that, not taken for law."""
    if clause.startswith("house default"):
        return t("standard.house")
    if t.language != "zh":
        return clause
    noted = re.sub(r"Table (\w+(?:\.\d+)*) footnote", lambda m: t("standard.table_note", n=m[1]), clause)
    return re.sub(r"Table (\w+(?:\.\d+)*)", lambda m: t("standard.table", n=m[1]), noted)


def finding_title(kind: FindingKind, parameter: str, t: Texts) -> str:
    """What is wrong, in a few words."""
    if parameter == "power" and kind is FindingKind.EXCEEDANCE:
        return t("kind.power_lost")
    name = parameter_name(parameter, t) if parameter else t("kind.any_parameter")
    return t(f"kind.{kind}", parameter=name)


def finding_words(finding: Finding, t: Texts) -> str:
    """What is wrong, with value and bound: ``消毒缺失 余氯 0.02（≥ 0.3 mg/L）``."""
    title = finding_title(finding.kind, finding.parameter, t)
    if finding.kind is FindingKind.WATER_EVENT:
        return f"{title} · {contributor_words(finding, t)}"
    # That a switch reads 0 where 0.5 is wanted is no fact for people.
    if finding.extreme is None or finding.parameter in ("", "power"):
        return title
    if is_doser_stopped(finding):
        return t("kind.doser_stopped", title=title)
    parameter = load_standards().parameters.get(finding.parameter)
    if finding.kind is FindingKind.LAB_EXCEEDANCE:
        return lab_finding_words(finding, title, t)
    decimals, unit = (parameter.decimals, unit_name(parameter.unit)) if parameter else (2, "")
    named = finding.kind in (FindingKind.EXCEEDANCE, FindingKind.LAB_EXCEEDANCE)
    value = f"{title} {number(finding.extreme, decimals)}" if named else (
        f"{title} · {parameter_name(finding.parameter, t)} {number(finding.extreme, decimals)}"
    )  # fmt: skip
    if finding.limit is None:
        return f"{value} {unit}".rstrip()
    bound = t(bound_key(finding), value=f"{plain_number(finding.limit)}")
    return (
        f"{value}（{bound} {unit}".rstrip() + "）" if t.language == "zh" else f"{value} ({bound} {unit}".rstrip() + ")"
    )


def contributor_words(event: Finding, t: Texts) -> str:
    """Parameters that a sudden change shows in, most telling first."""
    codes = [code for code in str(event.evidence.get(CONTRIBUTORS, "")).split(";") if code]
    if not codes:
        return t("kind.any_parameter")
    return ("、" if t.language == "zh" else ", ").join(parameter_name(code, t) for code in codes)


def lab_finding_words(finding: Finding, title: str, t: Texts) -> str:
    """The same of a laboratory's result, as it was written: 0.012 mg/L of arsenic is not 0.01."""
    found = str(finding.evidence.get("result", f"{finding.extreme:.6g}"))
    if finding.limit is None:
        return f"{title} {found}"
    below = finding.extreme is not None and finding.extreme < finding.limit
    bound = t("limit.at_least" if below else "limit.at_most", value=f"{plain_number(finding.limit)}")
    return f"{title} {found}（{bound}）" if t.language == "zh" else f"{title} {found} ({bound})"


def is_doser_stopped(finding: Finding) -> bool:
    """Whether disinfection is lost because dosing stopped, while the residual still stands above the floor: comparing the
    two would explain nothing."""
    if finding.kind is not FindingKind.DISINFECTION_MISSING or finding.extreme is None or finding.limit is None:
        return False
    return finding.extreme > finding.limit


def finding_short(finding: Finding, t: Texts) -> str:
    """The same beside the value itself: of a residual only how it stands to its bound."""
    if finding.limit is None or finding.kind not in _RESIDUAL_KINDS:
        return finding_words(finding, t)
    if is_doser_stopped(finding):
        return t("short.doser_stopped")
    parameter = load_standards().parameters.get(finding.parameter)
    bound = f"{plain_number(finding.limit)} {unit_name(parameter.unit) if parameter else ''}".rstrip()
    return t("short.below" if finding.kind in _LOWER else "short.above", value=bound)


def bound_key(finding: Finding) -> str:
    """Text that names the bound of a finding: what the water must keep, or the floor at and below which there is no disinfection."""
    if finding.kind is FindingKind.DISINFECTION_MISSING:
        return "limit.missing_at"
    is_below = finding.extreme is not None and finding.limit is not None and finding.extreme < finding.limit
    return "limit.at_least" if finding.kind in _BELOW or is_below else "limit.at_most"


def cause_parameter(incident: Incident) -> str:
    """Parameter in an incident's cause (``exceedance:turbidity``); empty where the cause names none."""
    return incident.summary.get("cause", "").partition(":")[2]


def incident_title(incident: Incident, findings: tuple[Finding, ...], t: Texts) -> str:
    """What the incident is about, from its worst finding where at hand."""
    live = [f for f in findings if not f.withdrawn]
    if not live:
        return finding_title(incident.kind, cause_parameter(incident), t)
    worst = max(live, key=lambda f: (f.end is None, f.severity, f.start))
    return finding_words(worst, t)
