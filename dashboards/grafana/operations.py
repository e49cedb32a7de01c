"""Dashboard of operations: the chain from device to person, queues and lags, services, what was refused. From Prometheus."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dashboards.grafana.limits import BAD, GOOD, NEUTRAL
from dashboards.grafana.model import Dashboard, Panel, Row, Step
from dashboards.grafana.text import Words, uid_of

__all__ = ["PROMETHEUS_UID", "PromQuery", "operations_dashboard", "prometheus_yaml"]

PROMETHEUS_UID = "qingquan-prometheus"
PROMETHEUS = {"type": "prometheus", "uid": PROMETHEUS_UID}
LINES = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 0, "spanNulls": False, "showPoints": "never"}
LAST = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False, "fields": ""}}
STAT = {**LAST, "colorMode": "background", "graphMode": "none", "textMode": "value"}


@dataclass(frozen=True, slots=True)
class PromQuery:
    """A PromQL query; ``legend`` names the series, with ``{{label}}`` filled in by Grafana."""

    promql: str
    legend: str = ""

    datasource = PROMETHEUS

    def as_json(self, number: int) -> dict[str, Any]:
        """The target as Grafana stores it."""
        legend = self.legend or "__auto"
        return {"refId": chr(ord("A") + number), "datasource": PROMETHEUS, "expr": self.promql, "legendFormat": legend}


def operations_dashboard(language: str) -> Dashboard:
    """The dashboard in one language."""
    words = Words(language)
    return Dashboard(
        uid=uid_of("operations", language),
        title=words("清泉 · 平台运维", "Qingquan · operations"),
        description=words(
            "看门狗所见；没有数据不代表平台正常。", "As the watchdog sees it; no data is no proof that all is well."
        ),
        variables=(),
        rows=(
            Row(words("从设备到人", "From device to person"), _chain(words)),
            Row(words("积压与推进", "Queues and progress"), _queues(words)),
            Row(words("服务与机器", "Services and machine"), _machine(words)),
            Row(words("拒收与隔离", "Refused and set aside"), _refused(words)),
        ),
        since="now-6h",
        refresh="30s",
    )


def _chain(words: Words) -> Sequence[Panel]:
    up = (Step(None, BAD), Step(1, GOOD))
    down = (Step(None, GOOD), Step(1, BAD))
    silent = words("距看门狗上次查看", "Since the watchdog looked")
    return (
        _stat(words("读数日志", "Reading log"), "qingquan_log_up", up),
        _stat(words("数据库", "Database"), "qingquan_database_up", up),
        _stat(words("时序库", "Series store"), "qingquan_series_store_up", up),
        _stat(words("告警项", "Firing"), "count(qingquan_watch_condition == 2) or vector(0)", down),
        _stat(words("情况不明", "Unknown"), "count(qingquan_watch_condition == -1) or vector(0)", down),
        _stat(silent, "qingquan_watchdog_age_seconds", (Step(None, GOOD), Step(30, BAD)), "s"),
    )


def _queues(words: Words) -> Sequence[Panel]:
    return (
        _lines(
            words("日志中尚未处理的消息", "Messages of the log not dealt with yet"),
            ("qingquan_evaluator_lag_messages", words("评判", "evaluator")), ("qingquan_recorder_lag_messages", words("存储", "recorder")),
            ("qingquan_detector_lag_messages", words("突变检测", "event detector")),
        ),
        _lines(
            words("停滞时长", "For how long nothing moved"),
            ("qingquan_evaluator_age_seconds", words("评判", "evaluator")), ("qingquan_recorder_age_seconds", words("存储", "recorder")),
            ("qingquan_detector_age_seconds", words("突变检测", "event detector")), ("qingquan_outbox_age_seconds", words("通知", "messages")), unit="s",
        ),
        _lines(words("每秒入日志消息", "Messages into the log per second"), ("rate(qingquan_log_last_sequence[5m])", words("入日志", "logged")), ('rate(qingquan_totals_total{name="evaluated.messages"}[5m])', words("已评判", "judged"))),
        _lines(words("通知（近 24 小时）", "Messages to people (last 24 h)"), ("qingquan_outbox_messages", "{{state}}")),
        _lines(words("日志已用", "Log in use"), ("qingquan_log_used_ratio", words("已用", "used")), unit="percentunit"),
        _lines(words("每秒存储", "Recorded per second"), ("rate(qingquan_recorded_total[5m])", "{{name}}")),
        _lines(words("多久没有新消息、重启需重读多少", "Quiet log, messages to read again after a restart"), ("qingquan_log_quiet_seconds", words("无新消息（秒）", "no message (s)")), ("qingquan_snapshot_lag_messages", words("需重读", "to read again"))),
        _lines(words("待重算的合规天数", "Days of compliance to reckon"), ("qingquan_compliance_days_waiting", words("天", "days"))),
    )  # fmt: skip


def _machine(words: Words) -> Sequence[Panel]:
    return (
        _lines(words("服务多久未发信号", "Since the last sign of life"), ("qingquan_service_age_seconds", "{{service}}"), unit="s"),
        _lines(words("内存", "Memory"), ("qingquan_service_memory_bytes", "{{instance}}"), unit="bytes"),
        _lines(words("处理器占用", "Processor"), ("rate(qingquan_service_cpu_seconds_total[5m])", "{{instance}}"), unit="percentunit"),
        _lines(words("磁盘剩余", "Room on disk"), ("qingquan_disk_free_ratio", "{{folder}}"), unit="percentunit"),
        _lines(words("时钟跳变", "Jumps of the clock"), ("qingquan_clock_step_seconds", words("秒", "seconds")), unit="s"),
        _lines(words("心跳", "Heartbeats"), ("qingquan_heartbeat_sent_age_seconds", words("距上次送出", "since sent")), ("qingquan_heartbeat_received_age_seconds", "{{sender}}"), unit="s"),
    )  # fmt: skip


def _refused(words: Words) -> Sequence[Panel]:
    return (
        _lines(words("隔离（每小时）", "Set aside per hour"), ("increase(qingquan_quarantined_total[1h])", "{{reason}}")),
        _lines(words("接入口拒收（每小时）", "Refused at the door per hour"), ('increase(qingquan_totals_total{name=~"mqtt_.*"}[1h])', "{{name}}")),
    )  # fmt: skip


def _stat(title: str, query: str, steps: Sequence[Step], unit: str = "") -> Panel:
    return Panel(
        "stat", title, [PromQuery(query)], 4, 4, unit=unit, decimals=0, steps=steps, options=STAT, no_value="?"
    )


def _lines(title: str, *queries: tuple[str, str], unit: str = "") -> Panel:
    asked = [PromQuery(query, legend) for query, legend in queries]
    return Panel("timeseries", title, asked, 8, 7, unit=unit, low=0, custom=LINES, steps=(Step(None, NEUTRAL),))


def prometheus_yaml() -> str:
    """Provisioning file of the data source."""
    return f"""\
# Generated by `qingquan grafana build`.
apiVersion: 1
datasources:
  - name: Qingquan operations
    uid: {PROMETHEUS_UID}
    type: prometheus
    access: proxy
    url: $PROMETHEUS_URL
    isDefault: false
    editable: false
    jsonData:
      httpMethod: GET
      timeInterval: 15s
"""
