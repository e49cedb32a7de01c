"""What people read. Pure: facts in, text out, within what each channel can carry.

SMS goes out by approved templates, so here it is a set of short variables without special characters; WeCom takes
markdown of at most 4,096 *bytes*. A message of a simulated works says so, in words the channel allows.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.lifecycle import Step
from alerts.phrases import (
    ACTION_BY_PARAMETER,
    LAB_ACTION_BY_PARAMETER,
    LABELS,
    PHRASES,
    PHRASES_BY_RULE,
    SEVERITY_WORDS,
    Phrase,
)
from alerts.templates import SmsTemplate
from qingquan.clock import from_ms
from qingquan.domain.disinfection import Verdict
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.works import Role, Works

__all__ = [
    "WECOM_BYTES",
    "Label",
    "Notice",
    "Style",
    "bytes_cut",
    "digest",
    "duration",
    "one_line",
    "sms_params",
    "sms_safe",
    "wecom_markdown",
]

WECOM_BYTES = 4096

# What SMS providers refuse in a variable, and what says the same in plain characters.
_PLAIN = str.maketrans({
    "µ": "u", "μ": "u", "³": "3", "²": "2", "℃": "度", "°": "度", "→": "至", "—": "-", "–": "-", "~": "-",
    "#": "号", "【": "（", "】": "）", "『": "“", "』": "”", "「": "“", "」": "”", "\t": " ", "\r": " ", "\n": " ",
    "×": "x", "‰": "千分之",
})  # fmt: skip
_PLAIN_WORDS = {"≥": "不低于", "≤": "不高于", "＞": "大于", "＜": "小于", ">": "大于", "<": "小于"}
_NOT_IN_SMS = re.compile(r"[^\u4e00-\u9fffA-Za-z0-9 ，。、：；（）“”！？,.:;()/%+\-_]")
_LINK = re.compile(r"(?i)(https?:/*|www\.)\S*|\b[a-z0-9\-]+\.(com|cn|net|org|gov)\b\S*")
_MARKDOWN = str.maketrans(
    {"<": "＜", ">": "＞", "[": "［", "]": "］", "*": "＊", "`": "｀", "\n": " ", "\r": " ", "#": "＃"}
)
_UNITS = {
    "pH unit": "", "bool": "", "degC": "℃", "uS/cm": "μS/cm", "ratio": "", "-": "", "MPN/mL or CFU/mL": "CFU/mL",
    "MPN/100mL or CFU/100mL": "CFU/100mL",
}  # fmt: skip
# The names of the standard explain some parameters at length; a message has no room for that.
_EXPLANATION = re.compile(r"\([^)]{6,}\)")


@dataclass(frozen=True, slots=True)
class Label:
    """How a parameter is named and written: names, unit, decimals."""

    name_zh: str
    name_en: str
    unit: str
    decimals: int | None = None

    def name(self, language: str) -> str:
        """Name in a language."""
        return self.name_en if language == "en" else self.name_zh


@dataclass(frozen=True, slots=True)
class Notice:
    """The facts of one message: why it goes out, about what, and when that is written [ms since epoch, UTC].

    ``finding`` is the one to speak about, ``others`` how many more the incident has; ``since`` is when it all began;
    ``verdict`` what probably stands behind it, where something is known of that; ``unheard`` who was to be told before and was not
    reached, empty where they were; ``help_by`` who asks for help on site.
    """

    step: Step
    incident_id: int
    finding: Finding
    works: Works | None
    label: Label | None
    now_ms: int
    since: int
    others: int = 0
    verdict: Verdict | None = None
    drill: int | None = None
    unheard: str = ""
    help_by: str = ""


@dataclass(frozen=True, slots=True)
class Style:
    """Language, time zone and the console's address (empty = no links)."""

    language: str = "zh"
    time_zone: str = "Asia/Shanghai"
    public_url: str = ""


def wecom_markdown(notice: Notice, style: Style) -> str:
    """Message for a WeCom group, at most 4,096 bytes; the facts come first, so that a cut never takes them."""
    words = LABELS[style.language]
    title = f"{_heading(notice, style)}{'｜' if style.language == 'zh' else ' | '}{_works_name(notice)}"
    lines = [f"**{_mark(notice, style)}{title}**".translate(_MARKDOWN).replace("＊＊", "**")]
    rows = _recovery_rows(notice, style) if _is_over(notice.step) else _alarm_rows(notice, style)
    lines += [f"> {name}{_colon(style)}{text}" for name, text in rows if text]
    if style.public_url:
        lines.append(f"[{words['open']}]({style.public_url.rstrip('/')}/incidents/{notice.incident_id})")
    return bytes_cut("\n".join(lines), WECOM_BYTES)


def sms_params(notice: Notice, style: Style, templates: dict[str, SmsTemplate]) -> dict[str, str]:
    """Template name (key ``template``) and its variables, each within its length and without forbidden characters.

    Falls back to the template without variables when one of them cannot be filled.
    """
    name = "recovery" if _is_over(notice.step) else "alarm"
    over_at = notice.finding.end if notice.finding.end is not None else notice.now_ms
    at = over_at if name == "recovery" else notice.since
    values = {
        "works": _sms_works(notice, style),
        "problem": _sms_problem(notice, style, templates[name].lengths["problem"]),
        "since": _local(at, notice.now_ms, style),
        "action": _action(notice, style),
    }
    lengths = templates[name].lengths
    params = {key: sms_safe(values[key])[:length].strip(" ，,.") for key, length in lengths.items()}
    if not all(params.values()):
        return {"template": "plain"}
    return {"template": name, **params}


def sms_safe(text: str) -> str:
    """The text in characters every SMS provider takes; links are left out, the rest is spelled another way or dropped."""
    for sign, words in _PLAIN_WORDS.items():
        text = text.replace(sign, words)
    text = _LINK.sub("", text.translate(_PLAIN))
    return re.sub(r" {2,}", " ", _NOT_IN_SMS.sub("", text)).strip()


def one_line(notice: Notice, style: Style) -> str:
    """The notice as a line of a digest."""
    words = LABELS[style.language]
    fact = words["withdrawn_fact"] if notice.step is Step.WITHDRAWN else _fact(notice, style)
    if notice.step is Step.RECOVERED:
        fact = _over(notice, style)
    since = "" if _is_over(notice.step) else _since(notice, style)
    parts = [f"{_mark(notice, style)}{_heading(notice, style)}", _works_name(notice), fact, since]
    return "｜".join(part for part in parts if part).translate(_MARKDOWN)


def digest(lines: Sequence[str], language: str = "zh") -> tuple[str, int]:
    """One markdown message for several notices, and how many of the lines it holds: the rest did not fit 4,096 bytes."""
    words = LABELS[language]
    held: list[str] = []
    # The count in the heading has at most as many digits as all lines need.
    room = WECOM_BYTES - len(_digest_heading(words, len(lines)).encode())
    for line in lines:
        row = f"\n> {bytes_cut(line, WECOM_BYTES // 2)}"
        if len(row.encode()) > room:
            break
        room -= len(row.encode())
        held.append(row)
    return _digest_heading(words, len(held)) + "".join(held), len(held)


def bytes_cut(text: str, limit: int) -> str:
    """The text within ``limit`` UTF-8 bytes, cut between characters, an ellipsis at the end if it was cut."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[: limit - 3].decode(errors="ignore") + "…"


def duration(ms: int, language: str) -> str:
    """A time span in words, two units at most."""
    minutes = max(0, ms) // 60_000
    if not minutes:
        return "less than a minute" if language == "en" else "不到1分钟"
    days, hours, rest = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [(days, "天", "d"), (hours, "小时", "h"), (0 if days else rest, "分钟", "min")]
    if language == "en":
        return " ".join(f"{count} {unit}" for count, _, unit in parts if count)
    return "".join(f"{count}{unit}" for count, unit, _ in parts if count)


def _alarm_rows(notice: Notice, style: Style) -> list[tuple[str, str]]:
    words, phrase = LABELS[style.language], _phrase(notice, style)
    likely = (notice.verdict.short if notice.verdict else "") or phrase.verdict
    verdict = f"{_comma(style)}{likely}" if likely else ""
    more = f"{_comma(style)}{words['more'].format(count=notice.others)}" if notice.others else ""
    problem = f'<font color="warning">{_fact(notice, style).translate(_MARKDOWN)}</font>{verdict}{more}'
    is_lab = notice.finding.kind is FindingKind.LAB_EXCEEDANCE
    return [
        (words["problem"], problem),
        (words["sampled" if is_lab else "since"], _since(notice, style)),
        (words["action"], _full_action(notice, style)),
        (words["clause"], _clause(notice, style).translate(_MARKDOWN)),
        (words["contact"], _caretaker(notice, style)),
        (words["unheard_row"], notice.unheard.translate(_MARKDOWN)),
        (words["help_row"], notice.help_by.translate(_MARKDOWN)),
    ]


def _recovery_rows(notice: Notice, style: Style) -> list[tuple[str, str]]:
    words = LABELS[style.language]
    fact = words["withdrawn_fact"] if notice.step is Step.WITHDRAWN else _over(notice, style)
    end = notice.finding.end if notice.finding.end is not None else notice.now_ms
    worst = _extreme(notice, style) if notice.step is Step.RECOVERED and not _is_contact(notice) else ""
    is_lab = notice.finding.kind is FindingKind.LAB_EXCEEDANCE
    lasted = duration(end - notice.since, style.language) if notice.step is Step.RECOVERED and not is_lab else ""
    return [
        (
            words["problem"] if style.language == "en" else "情况",
            f'<font color="info">{fact.translate(_MARKDOWN)}</font>',
        ),
        (words["sampled" if is_lab else "since"], _local(notice.since, notice.now_ms, style)),
        (words["over"], lasted),
        (words["worst"], worst),
    ]


def _heading(notice: Notice, style: Style) -> str:
    words = LABELS[style.language]
    if _is_over(notice.step):
        return words["recovered" if notice.step is Step.RECOVERED else "withdrawn"]
    severity = SEVERITY_WORDS[style.language][notice.finding.severity]
    if notice.help_by:
        return severity + words["help"]
    return severity + (words["unheard"] if notice.unheard else words.get(str(notice.step), ""))


def _fact(notice: Notice, style: Style, *, with_point: bool = True) -> str:
    finding, words = notice.finding, LABELS[style.language]
    phrase = _phrase(notice, style)
    value, limit = _extreme(notice, style), _value(notice, finding.limit, exact=True)
    relation = _relation(finding)
    # A switch contact has no value worth telling: that the doser reads 0 is said in words.
    is_told = "{value}" not in phrase.fact or (value and not _is_contact(notice))
    is_compared = "{limit}" not in phrase.fact or (limit and relation)
    wording = phrase.fact if is_told and is_compared else phrase.bare
    if phrase.found and finding.limit is None and finding.extreme is not None:
        wording = phrase.found
    if finding.evidence.get("guidance"):
        wording = wording.replace(words["limit"], words["guidance"])
    text = wording.format(
        point=_point_name(notice) if with_point else "",
        name=_parameter_name(notice, style),
        value=value,
        limit=limit,
        relation=words.get(relation, ""),
        title=finding.evidence.get("title", finding.rule),
    )
    return re.sub(r" +([:,])", r"\1", text).strip()


def _is_contact(notice: Notice) -> bool:
    return notice.label is not None and notice.label.unit == "bool"


def _relation(finding: Finding) -> str:
    """How the worst value stands to the limit; empty where that would not explain the finding.

    A works whose doser has stopped is without disinfection while its residual still holds: "0.2, below 0.05" is no message.
    """
    if finding.kind is FindingKind.LAB_EXCEEDANCE and finding.extreme is None and finding.limit is not None:
        return "below"  # not detected: held to be wrong, it can only be too little
    if finding.extreme is None or finding.limit is None:
        return ""
    relation = "above" if finding.extreme > finding.limit else "below"
    wrong = {
        FindingKind.DISINFECTION_MISSING: "above",
        FindingKind.DISINFECTION_LOW: "above",
        FindingKind.DISINFECTION_HIGH: "below",
    }.get(finding.kind)
    return "" if relation == wrong else relation


def _over(notice: Notice, style: Style, *, with_point: bool = True) -> str:
    phrase = _phrase(notice, style)
    point = _point_name(notice) if with_point else ""
    return phrase.over.format(point=point, name=_parameter_name(notice, style)).replace(" :", ":").strip()


def _sms_problem(notice: Notice, style: Style, length: int) -> str:
    """The fullest wording that fits: verdict and point's name are given up before anything is cut off."""
    if notice.step is Step.WITHDRAWN:
        return LABELS[style.language]["withdrawn_sms"]
    verdict = (notice.verdict.short if notice.verdict else "") or _phrase(notice, style).verdict
    wordings = []
    if notice.help_by:
        fact = _fact(notice, style, with_point=False)
        wordings.append(f"{fact}{_comma(style)}{LABELS[style.language]['help_sms'].format(name=notice.help_by)}")
    if notice.unheard:
        fact = _fact(notice, style, with_point=False)
        wordings.append(f"{fact}{_comma(style)}{LABELS[style.language]['unheard_sms']}")
    for with_point in (True, False):
        fact = (_over if notice.step is Step.RECOVERED else _fact)(notice, style, with_point=with_point)
        if verdict and notice.step is not Step.RECOVERED:
            wordings.append(f"{fact}{_comma(style)}{verdict}")
        wordings.append(fact)
    return next((text for text in wordings if len(sms_safe(text)) <= length), wordings[-1])


def _sms_works(notice: Notice, style: Style) -> str:
    words, name = LABELS[style.language], _works_name(notice)
    if notice.drill is not None:
        return f"{words['drill_sms']} {name}"
    return f"{words['simulated_sms']} {name}" if notice.works is not None and notice.works.simulated else name


def _mark(notice: Notice, style: Style) -> str:
    """What must stand before everything else: that it is an exercise, or a simulated works."""
    words = LABELS[style.language]
    if notice.drill is not None:
        return words["drill"].format(number=notice.drill)
    return words["simulated"] if notice.works is not None and notice.works.simulated else ""


def _works_name(notice: Notice) -> str:
    works = notice.works
    if works is None:
        return f"{notice.finding.county}-{notice.finding.works}"
    return works.name if not works.township or works.name.startswith(works.township) else works.township + works.name


def _point_name(notice: Notice) -> str:
    points = notice.works.points if notice.works is not None else ()
    return next((point.name for point in points if point.id == notice.finding.point), notice.finding.point)


def _parameter_name(notice: Notice, style: Style) -> str:
    if notice.label is None:
        return notice.finding.parameter
    name = notice.label.name(style.language)
    return name if style.language == "en" else _EXPLANATION.sub("", name)


def _action(notice: Notice, style: Style) -> str:
    finding = notice.finding
    if finding.kind is FindingKind.LAB_EXCEEDANCE and finding.parameter in LAB_ACTION_BY_PARAMETER[style.language]:
        return LAB_ACTION_BY_PARAMETER[style.language][finding.parameter]
    if finding.kind in (FindingKind.EXCEEDANCE, FindingKind.LAB_EXCEEDANCE):
        special = ACTION_BY_PARAMETER[style.language].get(finding.parameter)
        if special is not None:
            return special
    if notice.verdict is not None and notice.verdict.action:
        return notice.verdict.action
    return _phrase(notice, style).action


def _full_action(notice: Notice, style: Style) -> str:
    """Where there is room: the whole verdict with its next step."""
    if notice.verdict is None or not notice.verdict.action:
        return _action(notice, style)
    sentence = notice.verdict.sentence_en if style.language == "en" else notice.verdict.sentence_zh
    return sentence.translate(_MARKDOWN)


def _phrase(notice: Notice, style: Style) -> Phrase:
    own = PHRASES_BY_RULE[style.language].get(notice.finding.rule)
    return own if own is not None else PHRASES[style.language][notice.finding.kind]


def _extreme(notice: Notice, style: Style) -> str:
    """The worst value. A laboratory's stands as it wrote it: ``<0.02`` is not 0.02."""
    result = notice.finding.evidence.get("result")
    if notice.finding.kind is not FindingKind.LAB_EXCEEDANCE or not isinstance(result, str):
        return _value(notice, notice.finding.extreme)
    return result if style.language == "en" else result.replace(" ", "")


def _clause(notice: Notice, style: Style) -> str:
    clause = notice.finding.clause
    return clause if style.language == "en" else re.sub(r"Table (\w+)( footnote)?", _table_zh, clause)


def _table_zh(match: re.Match[str]) -> str:
    return f"表{match[1]}{'注' if match[2] else ''}"


def _value(notice: Notice, value: float | None, *, exact: bool = False) -> str:
    """Value with unit. Limits are written as the standard writes them, values in the parameter's decimals."""
    if value is None:
        return ""
    label = notice.label
    decimals = None if exact or label is None else label.decimals
    number = f"{value:.6g}" if decimals is None else f"{value:.{decimals}f}"
    unit = "" if label is None else _UNITS.get(label.unit, label.unit)
    return number + unit


def _since(notice: Notice, style: Style) -> str:
    at = _local(notice.since, notice.now_ms, style)
    if notice.finding.kind is FindingKind.LAB_EXCEEDANCE:
        return at  # a bottle tells of one moment; how long the water has been so, nobody knows
    lasted = duration(notice.now_ms - notice.since, style.language)
    if style.language == "en":
        return f"{at} ({lasted})"
    return f"{at}起，已持续{lasted}"


def _local(at_ms: int, now_ms: int, style: Style) -> str:
    """Local time, the date with it unless it is today's: forms that SMS providers take as type `time`."""
    zone = ZoneInfo(style.time_zone)
    at: datetime = from_ms(at_ms).astimezone(zone)
    is_today = at.date() == from_ms(now_ms).astimezone(zone).date()
    return at.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M")


def _caretaker(notice: Notice, style: Style) -> str:
    contacts = notice.works.contacts if notice.works is not None else ()
    caretaker = next((contact for contact in contacts if contact.role is Role.CARETAKER), None)
    if caretaker is None:
        return ""
    phone = caretaker.phone
    # Groups are large: enough digits to recognise the person, not enough to call a stranger.
    shown = f"{phone[:3]}****{phone[-4:]}" if len(phone) >= 11 else phone
    return f"{caretaker.name} {shown or LABELS[style.language]['no_phone']}".translate(_MARKDOWN).replace("＊", "*")


def _digest_heading(words: dict[str, str], count: int) -> str:
    return f"**{words['digest']}（{words['count'].format(count=count)}）**"


def _is_over(step: Step) -> bool:
    return step in (Step.RECOVERED, Step.WITHDRAWN)


def _comma(style: Style) -> str:
    return ", " if style.language == "en" else "，"


def _colon(style: Style) -> str:
    return ": " if style.language == "en" else "："
