"""Why somebody is not told, in words. Pure."""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from alerts.escalation import Unreached
from alerts.muting import Mute, MuteReason
from alerts.policy import Audience
from alerts.wording import Style
from qingquan.clock import from_ms
from qingquan.domain.delivery import NotSent
from qingquan.domain.incidents import Message

__all__ = [
    "audience_words",
    "channel_words",
    "mute_words",
    "not_sent_words",
    "rung_words",
    "severity_words",
    "state_words",
    "unreached_words",
]

_AUDIENCES = {
    "zh": {
        Audience.CARETAKER: "管水员", Audience.MANAGER: "工程负责人", Audience.TOWNSHIP: "乡镇水管站",
        Audience.COUNTY_DUTY: "县级值班员", Audience.COUNTY_LEADER: "县级带班领导", Audience.PREFECTURE: "市州值班",
        Audience.COUNTY_GROUP: "县值班群",
    },
    "en": {
        Audience.CARETAKER: "caretaker", Audience.MANAGER: "manager", Audience.TOWNSHIP: "township station",
        Audience.COUNTY_DUTY: "county duty", Audience.COUNTY_LEADER: "county leader", Audience.PREFECTURE: "prefecture",
        Audience.COUNTY_GROUP: "county duty group",
    },
}  # fmt: skip

_WHY = {
    "zh": {
        "nobody_on_duty": "值班表此时无人值班", "nobody_on_file": "没有登记人员", "no_contact": "台账没有登记联系方式",
        "no_address": "没有可用的号码或账号",
    },
    "en": {
        "nobody_on_duty": "nobody is on duty by the roster", "nobody_on_file": "nobody is on file",
        "no_contact": "the register has no contact", "no_address": "no number or account on file",
    },
}  # fmt: skip

_MUTES = {
    "zh": {
        MuteReason.SILENCED: "{detail}已设静默，至{until}", MuteReason.INHIBITED: "由同一工程的“{detail}”引起，不单独通知",
        MuteReason.GROUPED: "并入乡镇事件{detail}号一并通知", MuteReason.FLAPPING: "反复告警（{detail}次），暂不逐次通知",
        MuteReason.KNOWN_PROBLEM: "未配备消毒设备已列入问题，不重复通知",
        MuteReason.EDGE: "由县级边缘站{detail}通知，本级只显示",
    },
    "en": {
        MuteReason.SILENCED: "silenced by {detail} until {until}", MuteReason.INHIBITED: "follows from {detail} of the same works",
        MuteReason.GROUPED: "told together as township incident {detail}",
        MuteReason.FLAPPING: "comes and goes ({detail} times), not told each time",
        MuteReason.KNOWN_PROBLEM: "the missing equipment is an open problem already",
        MuteReason.EDGE: "county edge {detail} tells its people itself; shown here only",
    },
}  # fmt: skip

_NOT_SENT = {
    "zh": {
        NotSent.BUDGET: "超出发送额度", NotSent.CHANNEL_OFF: "渠道未开通", NotSent.GIVEN_UP: "多次重试未成功",
        NotSent.PROVIDER_LIMIT: "服务商限流", NotSent.ACCOUNT: "服务商账户异常", NotSent.CONTENT: "内容被服务商拒绝",
        NotSent.NUMBER: "号码或账号无效", NotSent.NO_ANSWER: "无人接听", NotSent.REFUSED: "被服务商拒绝",
        NotSent.UNCERTAIN: "结果不明",
    },
    "en": {
        NotSent.BUDGET: "over the budget", NotSent.CHANNEL_OFF: "channel not set up", NotSent.GIVEN_UP: "given up after retries",
        NotSent.PROVIDER_LIMIT: "provider's limit", NotSent.ACCOUNT: "provider's account", NotSent.CONTENT: "content refused",
        NotSent.NUMBER: "no such number", NotSent.NO_ANSWER: "call not answered", NotSent.REFUSED: "refused by the provider",
        NotSent.UNCERTAIN: "uncertain whether it arrived",
    },
}  # fmt: skip

_CHANNELS = {
    "aliyun_sms": ("短信", "SMS"), "tencent_sms": ("短信（腾讯云）", "SMS (Tencent)"), "aliyun_voice": ("语音电话", "voice call"),
    "wecom_app": ("企业微信", "WeCom"), "wecom_robot": ("企业微信群", "WeCom group"), "wechat_official": ("微信服务号", "WeChat"),
    "dingtalk": ("钉钉群", "DingTalk group"), "feishu": ("飞书群", "Feishu group"), "email": ("邮件", "e-mail"),
    "webhook": ("接口推送", "webhook"), "apprise": ("其他渠道", "other channel"),
}  # fmt: skip
_SEVERITIES = {"critical": "严重", "major": "较重", "minor": "一般", "info": "提示"}
_STATES = {"open": "未确认", "acknowledged": "已确认", "resolved": "已解决", "closed": "已关闭"}

# So many are named; the rest are counted.
NAMED = 3

_CAUSES = {"power": "停电", "silent": "数据中断", "instrument": "仪表异常", "maintenance": "检修"}


def audience_words(audience: Audience, style: Style) -> str:
    """Name of an audience."""
    return _AUDIENCES[style.language][audience]


def channel_words(channel: str, style: Style) -> str:
    """Name of a channel; its own word where it has none."""
    zh, en = _CHANNELS.get(channel, (channel, channel))
    return en if style.language == "en" else zh


def severity_words(severity: str, style: Style) -> str:
    """Name of a severity."""
    return severity if style.language == "en" else _SEVERITIES.get(severity, severity)


def state_words(state: str, style: Style) -> str:
    """Name of an incident's state."""
    return state if style.language == "en" else _STATES.get(state, state)


def rung_words(rung: str, style: Style) -> str:
    """Name of a rung: that of its post where it bears one."""
    if rung in list(Audience):
        return _AUDIENCES[style.language][Audience(rung)]
    if rung == "first":
        return "first message" if style.language == "en" else "首次通知"
    number = rung.removeprefix("repeat_")
    if number != rung:
        return f"repeat {number}" if style.language == "en" else f"第{number}次重复通知"
    return rung


def unreached_words(missing: Unreached, style: Style) -> str:
    """Why an audience cannot be told."""
    return _WHY[style.language][missing.why]


def not_sent_words(messages: Sequence[Message], style: Style) -> str:
    """Whom nothing has reached, each once, and why; empty for no messages."""
    zh = style.language != "en"
    last = {one.receiver_name or one.receiver: one for one in messages}
    why = {
        name: _NOT_SENT[style.language].get(NotSent(one.why), one.error) if one.why else one.error
        for name, one in last.items()
    }
    parts = [f"{name}（{text}）" if zh else f"{name} ({text})" for name, text in list(why.items())[:NAMED]]
    if len(why) > NAMED:
        parts.append(f"等{len(why)}人" if zh else f"{len(why) - NAMED} more")
    return ("、" if zh else ", ").join(parts)


def mute_words(mute: Mute, style: Style, time_zone: str) -> str:
    """Why an incident is not told now."""
    detail = mute.detail
    if mute.reason is MuteReason.INHIBITED and style.language == "zh":
        detail = _CAUSES.get(detail, detail)
    until = "" if mute.until is None else f"{from_ms(mute.until).astimezone(ZoneInfo(time_zone)):%Y-%m-%d %H:%M}"
    return _MUTES[style.language][mute.reason].format(detail=detail, until=until)
