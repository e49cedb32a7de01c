"""What people read when many works of a township have the same trouble at once. Pure."""

from zoneinfo import ZoneInfo

from alerts.lifecycle import Step
from alerts.phrases import LABELS, SEVERITY_WORDS
from alerts.templates import load_templates
from alerts.wording import WECOM_BYTES, Style, bytes_cut, sms_safe
from qingquan.clock import from_ms
from qingquan.domain.incidents import Incident

__all__ = ["township_line", "township_markdown", "township_sms"]

_WORDS: dict[str, dict[str, str]] = {
    "zh": {
        "silent": "数据中断，水质状况不明", "power": "停电，消毒设备可能停运", "instrument": "仪表异常",
        "fact": "{township}{count}处工程{what}", "action_silent": "请核实该镇供电和通信，逐处确认消毒运行",
        "action_power": "请联系供电部门，逐处确认消毒运行", "action_instrument": "请核对仪表",
        "where": "{township}{count}处工程", "recovered": "告警解除", "recovered_fact": "{township}各工程已恢复",
        "list": "工程", "action": "处置", "since": "开始", "open": "查看详情", "colon": "：", "bar": "｜",
    },
    "en": {
        "silent": "no data, state of the water unknown", "power": "mains power lost, dosing may have stopped",
        "instrument": "instrument faults", "fact": "{township}: {count} works, {what}",
        "action_silent": "check power and network, call each", "action_power": "call the grid, check each works",
        "action_instrument": "check instruments", "where": "{township} {count} works", "recovered": "Recovered",
        "recovered_fact": "{township}: works are back", "list": "Works", "action": "Do", "since": "Since", "open": "Open",
        "colon": ": ", "bar": " | ",
    },
}  # fmt: skip


def township_markdown(step: Step, incident: Incident, style: Style, now_ms: int) -> str:
    """Message for a group; the facts first, the names of the works as far as 4,096 bytes go."""
    words, summary = _WORDS[style.language], incident.summary
    colon = words["colon"]
    lines = [
        f"**{_heading(step, incident, style)}{words['bar']}{summary['township']}**",
        f"> {_fact(step, incident, style)}",
    ]
    lines.append(f"> {words['since']}{colon}{_local(incident, style, now_ms)}")
    if step is not Step.RECOVERED:
        lines.append(f"> {words['action']}{colon}{words['action_' + summary['of']]}")
    if style.public_url:
        lines.append(f"[{words['open']}]({style.public_url.rstrip('/')}/incidents/{incident.id})")
    head = "\n".join(lines)
    names = f"\n> {words['list']}{colon}{summary.get('names', '')}"
    return bytes_cut(head + (names if step is not Step.RECOVERED else ""), WECOM_BYTES)


def township_line(step: Step, incident: Incident, style: Style, now_ms: int) -> str:
    """The message as a line of a digest."""
    parts = (_heading(step, incident, style), _fact(step, incident, style), _local(incident, style, now_ms))
    return "｜".join(parts)


def township_sms(step: Step, incident: Incident, style: Style, now_ms: int) -> dict[str, str]:
    """Template and variables, each within its length."""
    words, summary = _WORDS[style.language], incident.summary
    name = "recovery" if step is Step.RECOVERED else "alarm"
    values = {
        "works": f"{_simulated(incident, style, 'simulated_sms')} {words['where'].format(**_named(incident))}".strip(),
        "problem": _fact(step, incident, style) if step is Step.RECOVERED else words[summary["of"]],
        "since": _local(incident, style, now_ms),
        "action": words["action_" + summary["of"]],
    }
    lengths = load_templates()[name].lengths
    return {"template": name, **{key: sms_safe(values[key])[:length] for key, length in lengths.items()}}


def _heading(step: Step, incident: Incident, style: Style) -> str:
    mark = _simulated(incident, style, "simulated")
    if step is Step.RECOVERED:
        return mark + _WORDS[style.language]["recovered"]
    return mark + SEVERITY_WORDS[style.language][incident.severity]


def _simulated(incident: Incident, style: Style, word: str) -> str:
    return LABELS[style.language][word] if incident.summary.get("simulated") else ""


def _fact(step: Step, incident: Incident, style: Style) -> str:
    words = _WORDS[style.language]
    if step is Step.RECOVERED:
        return words["recovered_fact"].format(**_named(incident))
    return words["fact"].format(what=words[incident.summary["of"]], **_named(incident))


def _named(incident: Incident) -> dict[str, str]:
    return {"township": incident.summary["township"], "count": incident.summary["count"]}


def _local(incident: Incident, style: Style, now_ms: int) -> str:
    zone = ZoneInfo(style.time_zone)
    at = from_ms(int(incident.summary["since"])).astimezone(zone)
    is_today = at.date() == from_ms(now_ms).astimezone(zone).date()
    return at.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M")
