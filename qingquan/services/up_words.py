"""What `qingquan up` says, and the milestones it waits for in the database."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from sqlalchemy import Connection

from qingquan.clock import from_ms
from qingquan.domain.findings import FindingKind
from qingquan.domain.incidents import MessageState
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.progress import counts
from qingquan.store.sql.register import get_works

__all__ = ["MILESTONES", "Say", "note", "say_json", "say_text"]

Say = Callable[[str, dict[str, object]], None]

_WORDS = {
    "database": "[1/4] 数据库 database: {at}",
    "register": "      登记模拟工程 simulated works: {works}",
    "log": "[2/4] 读数日志 reading log (NATS, MQTT)",
    "services": "[3/4] 评判、存储、告警、网页 evaluator, recorder, alerter, web",
    "waiting": "      仍在启动 still starting: {service}, {seconds} s (日志 log: {log})",
    "ready": "[4/4] 就绪 ready: {url}   (MQTT {mqtt}; Ctrl-C 结束 to stop)",
    "judging": "      尚无判定，首次启动先编译规则 no verdict yet, a first start compiles the rules: {seconds} s (日志 log: {log})",
    "reading": "      首批读数 first readings: {readings}",
    "finding": "      首个判定 first finding: {works} {reason}",
    "incident": "      首个事件 first incident: {kind}",
    "missing": "  !   首个消毒缺失 first missing disinfection: {works} {reason}",
    "message": "      首条通知 first message: {channel} -> {to}",
    "stopping": "停止中 stopping …",
    "stopped": "已停止 stopped",
}

_NOTES = {
    "port": "      端口 {busy} 已占用，改用 {port} (port {busy} is taken, using {port}; choose one with --port)",
    "sqlite": "      {why}：使用 SQLite；正式部署请设 database_url ({why}: using SQLite; set database_url for real use)",
    "duckdb": "      未设 influx_url：时序库用 DuckDB，一个 recorder (no influx_url: DuckDB with one recorder)",
    "settings": "      增开进程 more processes: qingquan run evaluator --config {path}",
}


def say_text(event: str, facts: dict[str, object]) -> None:
    """For people, on standard output."""
    _told(_WORDS[event].format(**facts), sys.stdout)


def say_json(event: str, facts: dict[str, object]) -> None:
    """For scripts: a line of JSON for each event."""
    _told(json.dumps({"event": event, **facts}, ensure_ascii=False), sys.stdout)


def note(name: str, **facts: object) -> None:
    """One line about what was chosen, beside the milestones: on standard error."""
    _told(_NOTES[name].format(**facts), sys.stderr)


def _told(line: str, stream: TextIO) -> None:
    """Say it, or go on unheard: a reader that has gone (a pipe, a closed terminal) must not keep us from stopping what we started."""
    try:
        print(line, file=stream, flush=True)
    except OSError:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def _first_reading(connection: Connection) -> dict[str, object] | None:
    readings = counts(connection).get("evaluated.readings", 0)
    return {"readings": readings} if readings else None


def _first_finding(connection: Connection, kind: FindingKind | None = None) -> dict[str, object] | None:
    page = list_findings(connection, kinds=[kind] if kind else None, limit=1)
    if not page.items:
        return None
    finding = page.items[0]
    works = get_works(connection, finding.county, finding.works)
    name = works.name if works else finding.works
    at = from_ms(finding.start).isoformat()
    return {"kind": finding.kind.value, "works": name, "since": at, "reason": finding.reason}


def _first_incident(connection: Connection) -> dict[str, object] | None:
    page = list_incidents(connection, limit=1)
    return {"id": page.items[0].id, "kind": page.items[0].kind.value} if page.items else None


def _first_message(connection: Connection) -> dict[str, object] | None:
    page = list_messages(connection, states=[MessageState.ACCEPTED, MessageState.DELIVERED], limit=1)
    if not page.items:
        return None
    message = page.items[0]
    return {"channel": message.channel, "to": message.receiver_name, "text": message.body}


MILESTONES: dict[str, Callable[[Connection], dict[str, object] | None]] = {
    "reading": _first_reading,
    "finding": _first_finding,
    "incident": _first_incident,
    "missing": lambda connection: _first_finding(connection, FindingKind.DISINFECTION_MISSING),
    "message": _first_message,
}
