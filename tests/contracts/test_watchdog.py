"""The watchdog over a real database and real HTTP servers: who is told once, when the heartbeat goes out, what metrics say."""

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from alerts.channels.heartbeat import HeartbeatPort
from alerts.channels.webhook import signed
from alerts.operations import OperationsContact, OperationsPlan, load_operations
from qingquan.config import Config
from qingquan.domain.incidents import IncidentState, Message
from qingquan.domain.operations import ServiceSign
from qingquan.errors import StoreUnavailable
from qingquan.services import watching
from qingquan.services.metrics import METRICS
from qingquan.services.metrics_door import MetricsDoor
from qingquan.services.operations_desk import OperationsDesk
from qingquan.services.watchdog import Watchdog
from qingquan.store.ports import RecordedCounts, SeriesReader
from qingquan.store.reading_log import LogInfo
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.operations import save_sign
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.progress import RECORDER_PARTITION, SNAPSHOT_PARTITION, add_counts, set_applied_sequence
from qingquan.testing.ports import free_port

CONTACT = OperationsContact("王工", (("wecom_app", "wang"), ("aliyun_sms", "13800000001")))
SECRET = "0123456789abcdef"


class Watcher:
    """A real HTTP server that notes what it is sent, as a watcher outside does."""

    def __init__(self) -> None:
        self.status = 200
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        watcher = self

        class Handler(BaseHTTPRequestHandler):
            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                headers = {key.lower(): value for key, value in self.headers.items()}
                watcher.requests.append((self.command, self.path, headers, body))
                self.send_response(watcher.status)
                self.send_header("content-length", "0")
                self.end_headers()

            do_GET = do_POST = do_HEAD = _take  # noqa: N815

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> "Watcher":
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


class Clockwork:
    """Stands in for the two clocks of the machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.s, self.wall = 0.0, time.time_ns() // 1_000_000
        for module in ("qingquan.services.watchdog", "qingquan.services.watching"):
            monkeypatch.setattr(f"{module}.steady_s", lambda: self.s)
            monkeypatch.setattr(f"{module}.wall_ms", lambda: self.wall)

    def pass_s(self, seconds: float) -> None:
        self.s += seconds
        self.wall += round(seconds * 1000)


class Platform:
    """A platform whose parts do what the test says, watched by a real watchdog on a real database."""

    def __init__(self, config: Config, engine: Engine, clock: Clockwork, plan: OperationsPlan) -> None:
        self.config, self.engine, self.clock, self.plan = config, engine, clock, plan
        self.last, self.evaluated, self.recorded, self.used = 100, 100, 100, 0.1
        self.services = {"evaluator", "recorder", "alerter", "web"}
        self.log_answers = self.series_answers = True
        self.watchdog = self.started()

    def started(self) -> Watchdog:
        watchdog = Watchdog(self.config, self.engine, self.plan)
        platform = self

        class Series(SeriesReader):  # the one method that is asked
            def counts(self) -> RecordedCounts:
                if not platform.series_answers:
                    raise StoreUnavailable("gone")
                return RecordedCounts(500, 3, 2, 50, 100)

        watchdog._watching._series = Series()  # type: ignore[abstract]
        return watchdog

    def run(self, seconds: float, step: float = 10.0) -> list[tuple[str, bool]]:
        """Let time pass; what changed."""
        found = []
        for _ in range(round(seconds / step)):
            self.clock.pass_s(step)
            self._work()
            info = LogInfo(self.last, round(self.used * 1000), 1, self.last, 1000) if self.log_answers else None
            found += [(one.cause, one.is_firing) for one in self.watchdog.round(info)]
        return found

    def _work(self) -> None:
        try:
            with writing(self.engine) as connection:
                set_applied_sequence(connection, 0, self.evaluated)
                set_applied_sequence(connection, RECORDER_PARTITION, self.recorded)
                for name in self.services:
                    save_sign(connection, ServiceSign(name, "host:1", 0, self.clock.wall, 1, 0.0))
        except StoreUnavailable:
            pass

    def messages(self, step: str) -> list[Message]:
        with reading(self.engine) as connection:
            return [one for one in reversed(list_messages(connection).items) if one.step == step]

    def incidents(self) -> list[Any]:
        with reading(self.engine) as connection:
            return list(list_incidents(connection).items)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(data_dir=str(tmp_path))


@pytest.fixture
def engine(config: Config) -> Iterator[Engine]:
    upgrade(config.sql_url)
    opened = open_database(config.sql_url)
    yield opened
    opened.dispose()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clockwork:
    return Clockwork(monkeypatch)


@pytest.fixture
def plan() -> OperationsPlan:
    # The disk of the machine that runs the tests is nobody's business here.
    shipped = load_operations()
    watches = tuple(one for one in shipped.watches if not one.measure.startswith("disk"))
    return replace(shipped, contacts=(CONTACT,), watches=watches)


@pytest.fixture
def platform(config: Config, engine: Engine, clock: Clockwork, plan: OperationsPlan) -> Platform:
    return Platform(config, engine, clock, plan)


def test_a_stuck_evaluator_is_told_once_with_its_other_ways_and_its_recovery_too(platform: Platform) -> None:
    assert platform.run(60) == []
    platform.last = 500
    assert platform.run(120) == [("evaluator_stuck", True)]
    (alarm,) = [one for one in platform.messages("operations") if "评判" in one.body]
    assert (alarm.channel, alarm.receiver, alarm.receiver_name) == ("wecom_app", "wang", "王工")
    assert alarm.fallback == (("aliyun_sms", "13800000001"),)
    assert alarm.params["severity"] == "critical"
    assert platform.run(600) == [("recorder_stuck", True)]
    assert len([one for one in platform.messages("operations") if "评判" in one.body]) == 1
    platform.evaluated = platform.recorded = 500
    assert ("evaluator_stuck", False) in platform.run(120)
    (over,) = [one for one in platform.messages("operations_over") if "评判" in one.body]
    assert (over.receiver, over.fallback) == ("wang", ())
    assert {one.state for one in platform.incidents()} == {IncidentState.RESOLVED}


def test_a_watchdog_that_is_killed_tells_nobody_twice_and_still_tells_of_the_end(platform: Platform) -> None:
    platform.run(10)
    platform.services.remove("web")
    assert platform.run(150) == [("service_silent:web", True)]
    platform.watchdog.close()
    platform.watchdog = platform.started()
    assert platform.run(150) == []
    platform.services.add("web")
    assert platform.run(90) == [("service_silent:web", False)]
    assert [len(platform.messages(step)) for step in ("operations", "operations_over")] == [1, 1]


def test_two_watchdogs_make_one_alarm(platform: Platform) -> None:
    platform.run(10)
    other = platform.started()
    platform.log_answers = False
    platform.run(60)
    for _ in range(10):
        platform.clock.pass_s(5)
        other.round(None)
    assert len(platform.incidents()) == len(platform.messages("operations")) == 1
    other.close()


def test_what_happened_while_the_database_was_away_is_told_when_it_is_back(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.run(10)

    def away(*_: object) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as gone:
        for module in ("watching", "watchdog"):
            gone.setattr(f"qingquan.services.{module}.reading", away)
        gone.setattr("qingquan.services.watchdog.writing", away)
        assert platform.run(60) == [("database_down", True)]
        assert platform.messages("operations") == []
    assert platform.run(90) == [("database_down", False)]
    assert [len(platform.messages(step)) for step in ("operations", "operations_over")] == [1, 1]
    assert platform.messages("operations")[0].body.count("数据库无应答") == 1


def test_the_heartbeat_goes_out_only_while_the_whole_chain_is_healthy(
    config: Config, engine: Engine, clock: Clockwork, plan: OperationsPlan
) -> None:
    with Watcher() as watcher:
        told = replace(
            config, heartbeat_url=f"{watcher.url}/ping/abc?x=1", heartbeat_sender="puding", heartbeat_secret=SECRET
        )
        platform = Platform(told, engine, clock, plan)
        platform.run(300)
        assert len(watcher.requests) == 5
        method, path, headers, body = watcher.requests[0]
        assert (method, path, headers["x-qingquan-sender"]) == ("POST", "/ping/abc?x=1", "puding")
        sent_s = int(headers["x-qingquan-signature"].split(",")[0][2:])
        assert headers["x-qingquan-signature"] == signed(SECRET, sent_s, body)
        assert json.loads(body) == {"sender": "puding", "interval_s": 60.0, "status": "up"}
        for breaks in ("log_answers", "series_answers"):
            before = len(watcher.requests)
            setattr(platform, breaks, False)
            platform.run(300)
            assert len(watcher.requests) == before, breaks
            setattr(platform, breaks, True)
            platform.run(300)
            assert len(watcher.requests) >= before + 3, breaks
        before = len(watcher.requests)
        platform.services.discard("alerter")
        platform.run(300)
        assert len(watcher.requests) <= before + 1, "a minute passes before a service counts as silent"


def test_a_heartbeat_that_does_not_arrive_is_told_to_those_who_can_be_reached_from_inside(
    config: Config, engine: Engine, clock: Clockwork, plan: OperationsPlan
) -> None:
    with Watcher() as watcher:
        platform = Platform(replace(config, heartbeat_url=watcher.url, heartbeat_method="GET"), engine, clock, plan)
        watcher.status = 500
        assert ("heartbeat_refused", True) in platform.run(300)
        watcher.status = 200
        assert ("heartbeat_refused", False) in platform.run(180)
        assert {request[0] for request in watcher.requests} == {"GET"}


def test_a_jump_of_the_clock_is_told(platform: Platform) -> None:
    platform.run(30)
    platform.clock.wall -= 7_200_000
    platform.services.clear()
    assert ("clock_step", True) in platform.run(10)


def test_messages_that_wait_overdue_are_told(platform: Platform) -> None:
    platform.run(10)
    platform.log_answers = False
    platform.run(60)
    # Nobody sends what the watchdog queued: the outbox itself grows old.
    with writing(platform.engine) as connection:
        connection.exec_driver_sql("UPDATE outbox SET due_at = due_at - 400000")
    assert ("outbox_stuck", True) in platform.run(60)


def test_an_expected_installation_that_falls_silent_is_told(
    config: Config, engine: Engine, clock: Clockwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "operations.toml"
    path.write_text(f'[[sender]]\nname = "puding"\nsecret = "{SECRET}"\nevery_s = 60\n', encoding="utf-8")
    path.chmod(0o600)
    expecting = replace(config, operations_file=str(path))
    monkeypatch.setattr("qingquan.services.operations_desk.wall_ms", lambda: clock.wall)
    desk = OperationsDesk(expecting, engine)
    platform = Platform(expecting, engine, clock, load_operations(str(path)))

    def beats(minutes: int) -> list[tuple[str, bool]]:
        found = []
        for _ in range(minutes):
            body = b'{"status":"up"}'
            assert desk.receive("puding", signed(SECRET, clock.wall // 1000, body), body).status == 200
            found += platform.run(60)
        return found

    assert [one for one in beats(10) if one[0].startswith("heartbeat")] == []
    assert [one for one in platform.run(240) if one[0].startswith("heartbeat")] == [("heartbeat_overdue:puding", True)]
    assert [one for one in beats(3) if one[0].startswith("heartbeat")] == [("heartbeat_overdue:puding", False)]


@pytest.mark.parametrize(
    ("sender", "secret", "age_s", "status"),
    [("puding", SECRET, 0, 200), ("puding", "f" * 16, 0, 401), ("other", SECRET, 0, 401), ("puding", SECRET, 400, 401), ("", "", 0, 401)],
)  # fmt: skip
def test_only_known_senders_with_their_secret_and_the_time_of_day_are_heard(
    config: Config, engine: Engine, tmp_path: Path, sender: str, secret: str, age_s: int, status: int
) -> None:
    path = tmp_path / "operations.toml"
    path.write_text(f'[[sender]]\nname = "puding"\nsecret = "{SECRET}"\n', encoding="utf-8")
    path.chmod(0o600)
    desk = OperationsDesk(replace(config, operations_file=str(path)), engine)
    signature = signed(secret, time.time_ns() // 1_000_000_000 - age_s, b"{}")
    assert desk.receive(sender, signature, b"{}").status == status
    if status == 200:
        assert desk.receive(sender, signature, b"{}").status == 409, "what was overheard cannot be repeated"


def test_a_watcher_that_does_not_answer_is_a_value(tmp_path: Path) -> None:
    port = HeartbeatPort(f"http://127.0.0.1:{free_port()}/", sender="a", timeout_s=1.0)
    assert port.send({}) == "ConnectError"
    port.close()


def test_metrics_are_served_by_the_watchdog_itself_and_by_the_console_with_documented_names(
    platform: Platform, config: Config, engine: Engine
) -> None:
    with writing(engine) as connection:
        add_counts(connection, {"mqtt_log_full": 3})
        set_applied_sequence(connection, SNAPSHOT_PARTITION, platform.last - 40)
    platform.run(30)
    with MetricsDoor("127.0.0.1", free_port(), platform.watchdog.metrics, platform.watchdog.is_ready) as door:
        with urllib.request.urlopen(f"http://127.0.0.1:{door.port}/metrics", timeout=5) as answer:
            own = answer.read().decode()
        with urllib.request.urlopen(f"http://127.0.0.1:{door.port}/readyz", timeout=5) as answer:
            assert answer.status == 200
    of_console = OperationsDesk(config, engine).metrics().decode()
    for text in (own, of_console):
        assert 'qingquan_service_age_seconds{service="alerter"}' in text
        assert 'qingquan_totals_total{name="mqtt_log_full"} 3.0' in text
        assert 'qingquan_watch_condition{cause="log_down"} 0.0' in text
        assert 'qingquan_recorded_total{name="conflicts"} 2.0' in text
        assert "qingquan_log_quiet_seconds 20.0" in text
        assert "qingquan_snapshot_lag_messages 40.0" in text
    names = {line.split("{")[0].split(" ")[0] for line in own.splitlines() if not line.startswith("#")}
    known = {f"qingquan_{name}{'_total' if row.is_counter else ''}" for name, row in METRICS.items()}
    assert names <= known


def test_every_measure_that_is_watched_is_also_a_metric() -> None:
    assert {watch.measure for watch in load_operations().watches} <= set(METRICS)


def test_the_console_says_when_the_watchdog_itself_is_silent(
    platform: Platform, config: Config, engine: Engine
) -> None:
    desk = OperationsDesk(config, engine)
    assert desk.view().taken_at is None
    platform.run(10)
    platform_view = desk.view()
    assert not platform_view.is_stale
    assert {one.condition for one in platform_view.watches if one.cause == "log_down"} == {"ok"}
    assert desk.readiness() == ""
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE operations_measure SET at = at - 60000")
    assert desk.view().is_stale
    assert watching.FORGOTTEN_MS > 0
