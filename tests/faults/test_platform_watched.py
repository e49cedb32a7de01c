"""A real platform with its watchdog: an evaluator that stands still is told of, the watcher outside hears nothing meanwhile; and
an alerter that has just started tells nobody anything before the evaluators have caught up."""

import asyncio
import json
import signal
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from alerts.apply import apply_findings
from qingquan.domain.findings import Severity
from qingquan.domain.incidents import MessageState
from qingquan.domain.operations import ServiceSign
from qingquan.domain.readings import Topic
from qingquan.services.alerter import serve
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.delivery import set_aside
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.operations import save_sign
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.alerts import example_finding, example_works, register_of
from qingquan.testing.engine import START, Account, Row, make_works, plan_of
from qingquan.testing.gateways import running_double
from qingquan.testing.system import System, running_system, system_settings
from simulators.county import county

WORKS = county(2, 1)
TABLE = """
services = ["evaluator", "recorder", "alerter"]
[[contact]]
name = "运维群"
ways = ["wecom_robot:"]
[watch]
evaluator_stuck = { measure = "evaluator_age_seconds", above = 4, clear = 2, for_s = 0, clear_s = 0, severity = "critical", heartbeat = true }
service_silent  = { measure = "service_age_seconds", above = 300, clear = 30, for_s = 0, clear_s = 0, severity = "major", heartbeat = true }
log_down        = { measure = "log_up", below = 1, clear = 1, for_s = 30, clear_s = 0, severity = "critical", heartbeat = true }
database_down   = { measure = "database_up", below = 1, clear = 1, for_s = 30, clear_s = 0, severity = "critical", heartbeat = true }
"""


def publish(system: System) -> None:
    async def one() -> None:
        async with await ReadingLog.connect(system.config, name="device") as log:
            works = WORKS[0]
            body = json.dumps({"t": time.time_ns() // 1_000_000, "v": {"free_chlorine": 0.45}}).encode()
            await log.publish(Topic(works.county, works.id, works.points[0].id, "json"), body)

    asyncio.run(one())


@pytest.mark.slow
def test_an_evaluator_that_stands_still_is_told_of_and_no_heartbeat_goes_out_meanwhile(tmp_path: Path) -> None:
    Account(plan_of(make_works())).feed([Row(0, START, 0.4)])  # compiles the loop, if it must be
    beats: list[float] = []

    class Watcher(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            beats.append(time.monotonic())
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    outside = ThreadingHTTPServer(("127.0.0.1", 0), Watcher)
    thread = threading.Thread(target=outside.serve_forever, args=(0.05,))
    thread.start()
    table = tmp_path / "operations.toml"
    table.write_text(TABLE, encoding="utf-8")
    config = system_settings(
        tmp_path / "data", operations_file=str(table), heartbeat_url=f"http://127.0.0.1:{outside.server_address[1]}/ping",
        heartbeat_interval_s=1.0, restart_hold_s=0.0,
    )  # fmt: skip

    def told(words: str) -> bool:
        return any(words in one["text"] for one in system.accepted_messages())

    try:
        with running_system(
            config, WORKS, ("gateway-double", "evaluator", "recorder", "alerter", "watchdog")
        ) as system:
            publish(system)
            system.wait_for(
                lambda: system.evaluated() >= system.last_sequence() and beats, "judged, and a heartbeat", 90
            )
            system.signal("evaluator", signal.SIGSTOP)
            publish(system)
            system.wait_for(lambda: told("评判停滞"), "the alarm of the platform", 60)
            silent_since, heard = time.monotonic(), len(beats)
            system.wait_for(lambda: time.monotonic() - silent_since > 6, "a while", 30)
            assert len(beats) == heard
            # As an operator does by the runbook: end it, and the supervisor starts it again.
            system.signal("evaluator", signal.SIGKILL)
            system.wait_for(lambda: told("评判恢复推进"), "the recovery", 60)
            system.wait_for(lambda: len(beats) > heard, "heartbeats again", 30)
            texts = [one["text"] for one in system.accepted_messages() if "评判" in one["text"]]
            assert len(texts) == 2, texts
    finally:
        outside.shutdown()
        thread.join()
        outside.server_close()


def test_messages_due_while_evaluators_catch_up_after_a_start_are_delayed_and_none_is_lost(tmp_path: Path) -> None:
    speed = 60.0
    with running_double() as gateway:
        # A minute of hold passes in a second.
        config = replace(
            gateway.config, data_dir=str(tmp_path), restart_hold_s=60.0, clock_speed=speed, clock_epoch_ms=time.time_ns() // 1_000_000
        )  # fmt: skip
        upgrade(config.sql_url)
        engine = open_database(config.sql_url)
        started_ms = time.time_ns() // 1_000_000

        def evaluator(is_caught_up: bool) -> None:
            with writing(engine) as connection:
                now = time.time_ns() // 1_000_000
                save_sign(connection, ServiceSign("evaluator", "a:1", started_ms, now, 1, 0.0, is_caught_up))

        evaluator(False)
        with writing(engine) as connection:
            finding = example_finding(severity=Severity.CRITICAL)
            apply_findings(connection, [finding], register_of(example_works()), config.clock.now_ms())
            set_aside(connection, {one.id: config.clock.now_ms() for one in list_messages(connection)})

        def states() -> set[MessageState]:
            with reading(engine) as connection:
                return {one.state for one in list_messages(connection) if one.channel == "wecom_robot"}

        stop = threading.Event()
        alerter = threading.Thread(target=serve, args=(config, stop))
        alerter.start()
        try:
            time.sleep(4.0)
            assert not gateway.double.messages, "four minutes, and the evaluator is still behind"
            assert states() == {MessageState.QUEUED}
            evaluator(True)
            deadline = time.monotonic() + 20
            while MessageState.QUEUED in states():
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert len(gateway.texts("wecom_robot")) == 1
        finally:
            stop.set()
            alerter.join()
            engine.dispose()
