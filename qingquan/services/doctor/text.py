"""Checks as lines for a terminal: symbol and word of the state, what was checked, what was found, what to do."""

import unicodedata
from collections.abc import Sequence

from qingquan.services.doctor.check import Check, State

__all__ = ["lines"]

# A symbol and words, never colour alone.
STATES = {State.OK: "✓ 正常 ok", State.MISSING: "– 暂无 missing", State.FAULT: "✗ 故障 FAULT"}
TITLES = {
    "python": "Python",
    "packages": "包名 package names",
    "numba": "numba",
    "duckdb": "duckdb",
    "natsrpy": "natsrpy",
    "paho": "paho-mqtt",
    "nicegui": "nicegui",
    "nats_server": "nats-server",
    "clock": "时钟 clock",
    "data_folder": "数据目录 data folder",
    "disk": "磁盘 disk",
    "web_port": "网页端口 web_port",
    "mqtt_port": "MQTT 端口 mqtt_port",
    "log_port": "日志端口 log_port",
    "standards": "标准限值 standards",
    "ruleset": "规则集 ruleset",
    "database": "数据库 database",
    "reading_log": "读数日志 reading log",
    "series_store": "时序库 series store",
    "bridge": "桥接 bridge",
    "wecom_robot": "企业微信机器人 WeCom robot",
    "aliyun_sms": "阿里云短信 Aliyun SMS",
    "grafana_client": "grafana-client",
}


def lines(checks: Sequence[Check]) -> list[str]:
    """One line per check, columns aligned, and a line that sums up."""
    heads = [(STATES[check.state], TITLES.get(check.name, check.name)) for check in checks]
    state_width = max((_width(state) for state, _ in heads), default=0)
    title_width = max((_width(title) for _, title in heads), default=0)
    shown = [
        f"{_padded(state, state_width)}  {_padded(title, title_width)}  {_said(check)}".rstrip()
        for (state, title), check in zip(heads, checks, strict=True)
    ]
    count = {state: sum(check.state == state for check in checks) for state in State}
    return [*shown, "", "  ".join(f"{STATES[state]} {n}" for state, n in count.items())]


def _said(check: Check) -> str:
    detail = " ".join(check.detail.split())
    return f"{detail} → {check.remedy}" if check.remedy else detail


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    """Columns on a terminal: Chinese characters take two."""
    return sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)
