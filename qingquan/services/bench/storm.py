"""`qingquan bench storm`: hundreds of works alarm within minutes, through real alerters, the outbox and doubles of the providers.

Two alerters and the gateway double run as processes of their own, in real time; the findings are applied as the evaluator applies
them. The double holds the providers' limits and counts what goes beyond; it refuses, hangs up and loses receipts here and there. Some
caretakers have numbers that do not exist, some no other way. Nobody answers, so ladders go on wherever nothing has arrived.
"""

import http.client
import json
import os
import socket
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, select

from alerts.apply import AlertSettings, apply_findings
from qingquan.config import Config
from qingquan.domain.duty import DutyPerson
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.incidents import MessageState
from qingquan.domain.works import Equipment, Role, Works
from qingquan.errors import StoreUnavailable
from qingquan.services.bench.machine import describe
from qingquan.services.bench.system import TooSlow
from qingquan.services.gateway_double import demonstration_settings
from qingquan.services.supervisor import Supervisor
from qingquan.store.sql.duty import save_persons
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.register import save_works
from qingquan.store.sql.schema import incident, outbox
from qingquan.wiring import environment_of
from simulators.county import county

__all__ = ["LIMIT_CODES", "run_storm"]

WITHIN_S = 300.0
# How long the outbox may take once the last works has alarmed.
AFTERWARDS_S = 420.0
START_S = 60.0
ALERTERS = 2
# The providers' limits on a number: messages a minute, an hour, a day.
QUOTAS = {"minute": 1, "hour": 5, "day": 10}
# What the double answers where a limit is exceeded: SMS and voice, WeCom robot and app.
LIMIT_CODES = ("isv.BUSINESS_LIMIT_CONTROL", "45009", "45033")
FAULTS: dict[str, list[dict[str, Any]]] = {
    "aliyun_sms": [
        *[{"kind": "none"}] * 20, {"kind": "hang_up", "seconds": 12}, *[{"kind": "none"}] * 10, {"kind": "http", "status": 502},
        *[{"kind": "none"}] * 30, *[{"kind": "no_receipt"}] * 5, *[{"kind": "none"}] * 30, {"kind": "garbage"},
        *[{"kind": "none"}] * 20, *[{"kind": "receipt_failed"}] * 3, *[{"kind": "none"}] * 20, {"kind": "hang_up", "seconds": 12},
    ],
    "wecom_robot": [*[{"kind": "none"}] * 12, {"kind": "code", "code": -1}, *[{"kind": "none"}] * 12, {"kind": "html"}],
}  # fmt: skip
PEOPLE = ("aliyun_sms", "aliyun_voice", "wecom_app")
GROUP = "wecom_robot"
OUT = (MessageState.ACCEPTED.value, MessageState.DELIVERED.value)
PENDING = (MessageState.QUEUED.value, MessageState.SENDING.value)


@dataclass(frozen=True, slots=True)
class _Board:
    """How the criticals stand at a moment."""

    reached: int
    listed: int
    waiting: int
    unposted: int


def run_storm(
    config: Config, works: int = 500, within_s: float = WITHIN_S, afterwards_s: float = AFTERWARDS_S, seed: int = 1,
    say: Callable[[str], None] = lambda _: None, folder: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure, in real time. Keys: `critical, delivered, not_sent, duplicates, quota_exceeded, digest_s`, and what explains them.

    ``delivered`` criticals have reached a person, ``not_sent`` are those that have not, each listed with the reasons; ``waiting``
    neither, when time was up. ``digest_s`` is the longest time from an alarm to the post in the group that holds it.

    Raises
    ------
    TooSlow
        If a process does not start.
    """
    register = _struck(works, seed)
    with tempfile.TemporaryDirectory(prefix="qingquan-bench-", dir=folder) as name:
        port = _free_port()
        settings = replace(demonstration_settings(config, port), data_dir=name, restart_hold_s=0.0, log_level="warning")
        upgrade(settings.sql_url)
        engine = open_database(settings.sql_url)
        try:
            with writing(engine) as connection:
                save_works(connection, register)
                save_persons(connection, _duty(register))
            with _processes(settings, port, say) as supervisor:
                began = time.monotonic()
                _alarm(engine, register, settings, within_s, seed, say)
                board = _settled(engine, began + within_s + afterwards_s, supervisor, say)
                told = _ask(port, "GET", "/double/messages?limit=10000")
            return {**_figures(engine, board, told), "works": works, "within_s": within_s,
                    "seconds": round(time.monotonic() - began, 1), "speed": 1.0, "alerters": ALERTERS, "machine": describe()}  # fmt: skip
        finally:
            engine.dispose()


def _struck(works: int, seed: int) -> list[Works]:
    """So many chlorinating works; every 25th caretaker has a number that does not exist, every 50th nothing else either."""
    able = [one for one in county(works + works // 8 + 20, seed) if one.equipment is Equipment.EQUIPPED]
    found = []
    for n, one in enumerate(able[:works]):
        if n % 25 == 24:
            is_alone = n % 50 == 49
            contacts = tuple(
                replace(contact, phone=f"1{n:04d}", wecom_id="" if is_alone else contact.wecom_id)
                for contact in one.contacts
                if contact.role is Role.CARETAKER
            )
            one = replace(one, contacts=contacts)
        found.append(one)
    return found


def _duty(register: Sequence[Works]) -> list[DutyPerson]:
    code = register[0].county
    names = sorted({one.township for one in register})
    stations = [
        DutyPerson(0, "township", code, name, f"{name}水管站（模拟）", f"1920000{n:04d}", f"sim-station-{n}")
        for n, name in enumerate(names)
    ]
    return [*stations, DutyPerson(0, "county_duty", code, "", "县值班（模拟）", "19300000000", "sim-duty")]


@contextmanager
def _processes(settings: Config, port: int, say: Callable[[str], None]) -> Iterator[Supervisor]:
    environment = {**os.environ, **environment_of(settings), "PYTHONUNBUFFERED": "1"}
    supervisor = Supervisor(environment, Path(settings.data_dir) / "log")
    try:
        supervisor.start("gateway-double", "run", "gateway-double")
        deadline = time.monotonic() + START_S
        while True:
            supervisor.watch()
            try:
                _ask(port, "POST", "/double/settings", {"quotas": QUOTAS})
                break
            except OSError:
                if time.monotonic() > deadline or supervisor.refused is not None:
                    raise TooSlow(f"gateway-double did not start: {supervisor.last_line('gateway-double')}") from None
                time.sleep(0.1)
        for channel, faults in FAULTS.items():
            _ask(port, "POST", "/double/faults", {"channel": channel, "faults": faults})
        for number in range(ALERTERS):
            supervisor.start(f"alerter-{number + 1}", "run", "alerter")
        say(f"{ALERTERS} alerters, gateway double on port {port}, quotas {QUOTAS}, speed 1")
        yield supervisor
    finally:
        supervisor.stop()


def _alarm(
    engine: Engine, register: Sequence[Works], settings: Config, within_s: float, seed: int, say: Callable[[str], None]
) -> None:
    """Let the works alarm at random moments, as the evaluator would say it."""
    alerting, rng = AlertSettings.from_config(settings), Random(seed)  # noqa: S311
    by_key = {(one.county, one.id): one for one in register}
    moments = sorted((rng.random() * within_s, one) for one in register)
    begun, done = time.monotonic(), 0
    while done < len(moments):
        due = [one for at, one in moments[done:] if at <= time.monotonic() - begun]
        if due:
            now = settings.clock.now_ms()
            try:
                with writing(engine) as connection:
                    apply_findings(connection, [_finding(one, now) for one in due], by_key, now, alerting)
            except StoreUnavailable:
                continue
            if (done + len(due)) // 100 > done // 100:
                say(f"{done + len(due)} works have alarmed after {time.monotonic() - begun:.0f} s")
            done += len(due)
        time.sleep(0.25)


def _finding(one: Works, now: int) -> Finding:
    residual = one.disinfectant.residual or "free_chlorine"
    return Finding(
        id=f"storm-{one.id}", kind=FindingKind.DISINFECTION_MISSING, severity=Severity.CRITICAL, county=one.county,
        works=one.id, point="outlet", parameter=residual, start=now - 1_800_000, end=None, evidence_at=now, extreme=0.01, limit=0.05,
        clause="GB 5749-2022 Table 2", rule="disinfection-missing", rule_version="1", reason="",
    )  # fmt: skip


def _settled(engine: Engine, deadline: float, supervisor: Supervisor, say: Callable[[str], None]) -> _Board:
    """Wait until every critical has reached a person or is given up, and the group has all of them."""
    said = 0.0
    while True:
        supervisor.watch()
        board = _board(engine)
        if time.monotonic() > deadline or not (board.waiting or board.unposted):
            return board
        if time.monotonic() - said > 30:
            said = time.monotonic()
            say(
                f"reached {board.reached}, listed {board.listed}, waiting {board.waiting}, not in the group yet {board.unposted}"
            )
        time.sleep(1.0)


def _board(engine: Engine) -> _Board:
    people = _rows_of_incidents(engine, PEOPLE)
    group = _rows_of_incidents(engine, (GROUP,))
    reached = sum(any(row.state in OUT for row in rows) for rows in people.values())
    waiting = sum(
        not any(row.state in OUT for row in rows) and any(row.state in PENDING for row in rows)
        for rows in people.values()
    )
    unposted = sum(any(row.state in PENDING for row in rows) for rows in group.values())
    return _Board(reached, len(people) - reached - waiting, waiting, unposted)


def _rows_of_incidents(engine: Engine, channels: Sequence[str]) -> dict[int, list[Any]]:
    with reading(engine) as connection:
        found: dict[int, list[Any]] = {row.id: [] for row in connection.execute(select(incident.c.id))}
        columns = (
            outbox.c.incident_id,
            outbox.c.state,
            outbox.c.why,
            outbox.c.error,
            outbox.c.sent_at,
            outbox.c.receiver,
        )
        for row in connection.execute(select(*columns).where(outbox.c.channel.in_(channels))):
            found[row.incident_id].append(row)
    return found


def _figures(engine: Engine, board: _Board, told: dict[str, Any]) -> dict[str, Any]:
    with reading(engine) as connection:
        opened = {row.id: row.opened_at for row in connection.execute(select(incident.c.id, incident.c.opened_at))}
        states = Counter(row.state for row in connection.execute(select(outbox.c.state)))
        reasons = Counter(
            row.why
            for row in connection.execute(select(outbox.c.why).where(outbox.c.state == MessageState.NOT_SENT.value))
        )
    people, group = _rows_of_incidents(engine, PEOPLE), _rows_of_incidents(engine, (GROUP,))
    posted = [
        (min(row.sent_at for row in rows if row.state in OUT) - opened[id_]) / 1000
        for id_, rows in group.items()
        if any(row.state in OUT for row in rows)
    ]
    uncertain = [
        id_
        for id_, rows in group.items()
        if not any(row.state in OUT for row in rows) and any(row.state == MessageState.UNKNOWN.value for row in rows)
    ]
    first = [
        (min(row.sent_at for row in rows if row.state in OUT) - opened[id_]) / 1000
        for id_, rows in people.items()
        if any(row.state in OUT for row in rows)
    ]
    listed = {
        id_: sorted({f"{row.state}: {row.why or row.error}" for row in rows}) or ["nobody on file"]
        for id_, rows in people.items()
        if not any(row.state in (*OUT, *PENDING) for row in rows)
    }
    return {
        "critical": len(opened), "delivered": board.reached, "not_sent": board.listed, "duplicates": _duplicates(told["messages"]),
        "quota_exceeded": sum(told["rejected"].get(code, 0) for code in LIMIT_CODES),
        "digest_s": round(max(posted, default=float("nan")), 1), "waiting": board.waiting, "uncertain_in_group": len(uncertain), "not_in_group": len(opened) - len(posted) - len(uncertain),
        "first_message_s": {"p50": round(statistics.median(first), 1), "max": round(max(first), 1)} if first else {},
        "not_sent_reasons": listed, "messages_by_state": dict(states), "messages_not_sent_by_reason": dict(reasons),
        "accepted_at_the_double": dict(Counter(one["channel"] for one in told["messages"])), "refused_at_the_double": told["rejected"],
        "posts_to_the_group": sum(one["channel"] == GROUP for one in told["messages"]),
    }  # fmt: skip


def _duplicates(messages: Sequence[dict[str, Any]]) -> int:
    """How often a phone or group got what it had already: by our name for the message where it has one, else by its words."""
    seen = Counter((one["channel"], one["to"], one["out_id"] or one["text"]) for one in messages)
    return sum(count - 1 for count in seen.values())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


def _ask(port: int, method: str, path: str, body: object = None) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        payload = None if body is None else json.dumps(body).encode()
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    finally:
        connection.close()
