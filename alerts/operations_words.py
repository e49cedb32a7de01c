"""What is told of the platform's own troubles, in both languages: what is wrong, what to do first, where to read on. Pure."""

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from alerts.templates import load_templates
from alerts.wording import sms_safe
from qingquan.domain.findings import Severity
from qingquan.domain.operations import Change

__all__ = ["PHRASES", "OperationsPhrase", "cause_words", "operations_message", "value_words"]

ACTION_LENGTH = 35


@dataclass(frozen=True, slots=True)
class OperationsPhrase:
    """``wrong`` with ``{label} {value}``, ``action`` within the longest SMS variable, ``over`` when it has ended."""

    wrong: str
    action: str
    over: str


P = OperationsPhrase
PHRASES: dict[str, dict[str, OperationsPhrase]] = {
    "zh": {
        "log_down": P("读数日志无应答", "请检查NATS服务进程和磁盘", "读数日志恢复应答"),
        "log_full": P("读数日志已用{value}", "请检查存储服务进度和磁盘空间", "读数日志空间恢复"),
        "log_self_test": P("读数日志自检失败", "请查看日志服务的运行日志", "读数日志自检恢复正常"),
        "database_down": P("数据库无应答", "请检查数据库进程和磁盘", "数据库恢复应答"),
        "store_down": P("时序库无应答", "请检查存储服务和InfluxDB", "时序库恢复应答"),
        "evaluator_stuck": P("评判停滞{value}，告警可能延误", "请查看评判服务日志并重启该服务", "评判恢复推进"),
        "evaluator_lag": P("评判积压{value}条", "请检查处理器负荷和评判服务", "评判已赶上"),
        "recorder_stuck": P("存储停滞{value}", "请检查时序库、磁盘和存储服务", "存储恢复推进"),
        "recorder_lag": P("存储积压{value}条", "请检查时序库写入速度", "存储已赶上"),
        "detector_stuck": P("突变检测停滞{value}", "请查看检测服务日志并重启该服务", "突变检测恢复推进"),
        "compliance_behind": P("合规统计滞后{value}", "请查看统计服务日志", "合规统计已赶上"),
        "outbox_stuck": P("通知积压{value}未发出", "请检查通知服务和外网，并电话告知值班员", "通知恢复发送"),
        "service_silent": P("服务{label}已{value}无信号", "请查看该服务日志并重启", "服务{label}恢复"),
        "disk_low": P("磁盘{label}剩余{value}", "请清理磁盘或扩容", "磁盘{label}空间恢复"),
        "disk_full": P("磁盘{label}将满，剩余{value}", "请立即清理磁盘，否则设备无法上报", "磁盘{label}空间恢复"),
        "clock_step": P("系统时钟跳变{value}", "请检查NTP校时服务", "系统时钟已稳定"),
        "heartbeat_overdue": P("平台{label}心跳中断", "请联系该平台运维人员", "平台{label}心跳恢复"),
        "heartbeat_refused": P("心跳连续{value}次未送达外部监护", "请检查外网和监护地址", "心跳恢复送达"),
        "edge_silent": P("县级边缘站{label}失联{value}", "请联系该县运维人员，该县告警由边缘站自行通知", "县级边缘站{label}恢复联系"),
        "edge_behind": P("县级边缘站{label}积压{value}条未上传", "请检查该县上行链路带宽", "县级边缘站{label}已赶上"),
        "edge_refused": P("县级边缘站{label}数据未接收", "请查看edges服务日志并核对边缘站配置", "县级边缘站{label}恢复接收"),
        "uplink_down": P("与省级平台连接中断", "请检查上行链路，本县监测和告警不受影响", "与省级平台恢复连接"),
        "uplink_stuck": P("读数{value}未上传省级平台", "请联系省级平台运维人员", "读数恢复上传省级平台"),
    },
    "en": {
        "log_down": P("reading log does not answer", "check NATS process and disk", "reading log answers again"),
        "log_full": P("reading log is {value} full", "check recorder and disk", "reading log has room again"),
        "log_self_test": P("reading log failed its self-test", "see the log of the log server", "self-test passes again"),
        "database_down": P("database does not answer", "check database and disk", "database answers again"),
        "store_down": P("series store does not answer", "check recorder and InfluxDB", "series store answers again"),
        "evaluator_stuck": P("evaluator stands still for {value}", "see its log, restart it", "evaluator moves on"),
        "evaluator_lag": P("evaluator is {value} messages behind", "check load and evaluator", "evaluator has caught up"),
        "recorder_stuck": P("recorder stands still for {value}", "check store, disk, recorder", "recorder moves on"),
        "recorder_lag": P("recorder is {value} messages behind", "check how fast the store is", "recorder has caught up"),
        "detector_stuck": P("event detector stands still for {value}", "see its log, restart it", "detector moves on"),
        "compliance_behind": P("compliance is {value} behind", "see the log of compliance", "compliance has caught up"),
        "outbox_stuck": P("messages wait {value} unsent", "check alerter; ring duty officer", "messages go out again"),
        "service_silent": P("service {label} silent for {value}", "see its log, restart it", "service {label} is back"),
        "disk_low": P("disk {label}: {value} left", "free or add space", "disk {label} has room again"),
        "disk_full": P("disk {label} nearly full: {value} left", "free space at once", "disk {label} has room again"),
        "clock_step": P("system clock jumped by {value}", "check NTP", "system clock is steady"),
        "heartbeat_overdue": P("no heartbeat from {label}", "call those who run it", "heartbeat of {label} is back"),
        "heartbeat_refused": P("{value} heartbeats did not arrive", "check network and address", "heartbeats arrive again"),
        "edge_silent": P("county edge {label} unheard for {value}", "call the county, it alerts itself", "county edge {label} is heard again"),
        "edge_behind": P("county edge {label}: {value} messages wait", "check uplink of the county", "county edge {label} has caught up"),
        "edge_refused": P("county edge {label} is not taken", "see the log of edges, edge settings", "county edge {label} is taken again"),
        "uplink_down": P("no link to the province", "check the uplink; we go on alone", "link to the province is back"),
        "uplink_stuck": P("nothing taken by the province for {value}", "call those who run the province", "the province takes readings again"),
    },
}  # fmt: skip

_TITLES = {"zh": ("平台告警", "平台恢复", "清泉平台", "处置", "自", "详见"), "en": ("Platform alarm", "Platform recovered", "Qingquan", "do", "since", "see")}  # fmt: skip
_SEVERITY = {
    "zh": {Severity.CRITICAL: "紧急", Severity.MAJOR: "重要", Severity.MINOR: "一般", Severity.INFO: "提示"},
    "en": {severity: severity.word for severity in Severity},
}
MINUTE, HOUR = 60, 3600


def cause_words(cause: str, value: float | None, measure: str, language: str) -> str:
    """One line on what is wrong."""
    name, _, label = cause.partition(":")
    shown = "" if value is None else value_words(measure, value, language)
    return PHRASES[language][name].wrong.format(label=label, value=shown)


def value_words(measure: str, value: float, language: str) -> str:
    """A measure's value with its unit, as people read it."""
    if measure.endswith("_overdue_ratio"):
        return f"{value:.1f}"
    if measure.endswith("_ratio"):
        return f"{value * 100:.0f} %" if language == "en" else f"{value * 100:.0f}%"
    if measure.endswith("_bytes"):
        return f"{value / 2**30:.1f} GiB"
    if measure.endswith("_up"):
        return {"zh": ("无应答", "有应答"), "en": ("no answer", "answers")}[language][value >= 1]
    if not measure.endswith("_seconds"):
        return f"{value:,.0f}"
    units = {"zh": ("秒", "分钟", "小时"), "en": (" s", " min", " h")}[language]
    for length, unit in ((HOUR, units[2]), (MINUTE, units[1])):
        if value >= 2 * length:
            return f"{value / length:.0f}{unit}"
    return f"{value:.0f}{units[0]}"


def operations_message(
    change: Change, incident_id: int, *, language: str, time_zone: str, public_url: str
) -> tuple[str, dict[str, str]]:
    """Text for chat and mail, and the parameters of the SMS template."""
    firing, recovered, platform, do, since, see = _TITLES[language]
    name, _, label = change.cause.partition(":")
    phrase = PHRASES[language][name]
    wrong = cause_words(change.cause, change.value, change.watch.measure, language)
    over = phrase.over.format(label=label)
    began = _local(change.since, time_zone)
    colon = "：" if language == "zh" else ": "
    if change.is_firing:
        lines = [f"**【{_SEVERITY[language][change.watch.severity]}】{firing}** {wrong}", f"> {since} {began}", f"> {do}{colon}{phrase.action}"]  # fmt: skip
        if language == "en":
            lines[0] = f"**[{_SEVERITY[language][change.watch.severity]}] {firing}**: {wrong}"
    else:
        lines = [f"**{recovered}**{colon}{over}", f"> {began} – {_local(change.at, time_zone)}"]
    if public_url:
        lines.append(f"[{see}]({public_url.rstrip('/')}/incidents/{incident_id})")
    template = "alarm" if change.is_firing else "recovery"
    values = {
        "works": platform, "problem": wrong if change.is_firing else over,
        "since": _local(change.since if change.is_firing else change.at, time_zone), "action": phrase.action,
    }  # fmt: skip
    lengths = load_templates()[template].lengths
    params = {key: sms_safe(values[key])[:most].strip(" ，,.") for key, most in lengths.items()}
    return "\n".join(lines), {"template": template, "severity": change.watch.severity.word, **params}


def _local(at_ms: int, time_zone: str) -> str:
    return datetime.fromtimestamp(at_ms / 1000, ZoneInfo(time_zone)).strftime("%m-%d %H:%M")
