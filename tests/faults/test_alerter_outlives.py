"""A real alerter goes on over a restart of the database, half an hour without a gateway, and a clock that jumps.

Each message is delivered or listed as not sent; none goes twice but where the provider left it open, and that is flagged.
"""

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from alerts.apply import apply_findings
from alerts.routing import SMS, WECOM_ROBOT
from qingquan.clock import Clock
from qingquan.config import Config
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.incidents import Message, MessageState
from qingquan.errors import StoreUnavailable
from qingquan.services.gateway_double import demonstration_settings
from qingquan.store.sql.delivery import set_aside
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.alerts import example_finding, example_works, register_of
from qingquan.testing.databases import current_sqlite
from qingquan.testing.gateways import running_double
from qingquan.testing.ports import free_port
from qingquan.testing.postgres import PostgresMissing, PostgresServer
from qingquan.wiring import environment_of

WAIT_S = 90.0
ROOT = Path(__file__).parents[2]
S = MessageState
# As good as 1, and yet told from the wall clock.
OURS = repr(1 + 1e-12)
OUT = (S.ACCEPTED, S.DELIVERED)
# The alerter as it is; only its clock can be moved from outside, while it runs. What it signs for a provider stays true time:
# with a wrong one every request would be refused.
PROGRAM = """
import os, pathlib
from qingquan.clock import Clock
from qingquan.config import load_config
from qingquan.services.alerter import run
real, hand = Clock.at, pathlib.Path(os.environ.pop("CLOCK_HAND"))
Clock.at = lambda self, wall_ms: real(self, wall_ms) + (int(hand.read_text()) if self.speed != 1 else 0)
run(load_config(environ=os.environ))
"""


class Hand:
    """Moves the clock of the alerter, and knows its time."""

    def __init__(self, file: Path) -> None:
        self.file, self.ahead_ms = file, 0
        self.move(0)

    def move(self, seconds: float) -> None:
        self.ahead_ms += round(seconds * 1000)
        part = self.file.with_suffix(".part")
        part.write_text(str(self.ahead_ms))
        part.replace(self.file)

    def now_ms(self) -> int:
        return Clock().now_ms() + self.ahead_ms


@pytest.fixture
def hand(tmp_path: Path) -> Hand:
    return Hand(tmp_path / "hand")


@contextmanager
def process(arguments: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    running = subprocess.Popen([sys.executable, *arguments], env=kept, cwd=ROOT)
    try:
        yield running
    finally:
        if running.poll() is None:
            running.terminate()
        running.wait(WAIT_S)


def alerter(config: Config, url: str, folder: Path, hand: Hand) -> AbstractContextManager[subprocess.Popen[bytes]]:
    settings = replace(config, data_dir=str(folder), database_url=url)
    environment = {
        **environment_of(settings),
        "QINGQUAN_RESTART_HOLD_S": "0",
        "QINGQUAN_CLOCK_SPEED": OURS,
        "CLOCK_HAND": str(hand.file),
    }
    return process(["-c", PROGRAM], environment)


def queue(engine: Engine, number: int, now_ms: int) -> None:
    """An incident of a works of its own: one SMS to its caretaker and one post to the group, due at once."""
    works = example_works(f"W{number:04d}")
    caretaker = replace(works.contacts[0], phone=f"138{number:08d}")
    works = replace(works, contacts=(caretaker,))
    finding = example_finding(f"f{number}", works=works.id, kind=FindingKind.DISINFECTION_LOW, severity=Severity.MAJOR)
    with writing(engine) as connection:
        apply_findings(connection, [finding], register_of(works), now_ms)
        set_aside(connection, {one.id: now_ms for one in list_messages(connection, limit=500)})


def rows(engine: Engine) -> list[Message]:
    with reading(engine) as connection:
        return list(list_messages(connection, limit=500))


def wait(until: Callable[[], bool], engine: Engine) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            if until():
                return
        except StoreUnavailable:
            pass
        assert time.monotonic() < deadline, Counter((one.channel, one.state, one.error) for one in rows(engine))
        time.sleep(0.05)


def are_settled(engine: Engine) -> bool:
    return all(one.state not in (S.QUEUED, S.SENDING) for one in rows(engine))


def assert_each_once(engine: Engine, sms: list[str], count: int) -> None:
    """``sms``: receivers as the gateway took them. Each message delivered, or listed with a reason; twice only where flagged."""
    found = rows(engine)
    assert sum(one.channel == SMS for one in found) == count
    for one in found:
        assert one.state in OUT or one.why, one
    twice = {receiver for receiver, taken in Counter(sms).items() if taken > 1}
    assert twice == set()
    assert {one.receiver for one in found if one.channel == SMS and one.state in OUT} <= set(sms)
    assert set(sms) <= {one.receiver for one in found if one.channel == SMS and one.state in (*OUT, S.UNKNOWN)}


@pytest.mark.debian
def test_a_restart_of_the_database_server_loses_and_repeats_nothing(tmp_path: Path, hand: Hand) -> None:
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    server.start()
    try:
        outside = create_engine(server.url, isolation_level="AUTOCOMMIT")
        with outside.connect() as connection:
            connection.execute(text("CREATE DATABASE alerts"))
        outside.dispose()
        url = make_url(server.url).set(database="alerts").render_as_string(hide_password=False)
        upgrade(url)
        engine = open_database(url)
        for number in range(12):
            queue(engine, number, hand.now_ms())
        with running_double() as gateway:
            # Slow answers: some are under way when the database goes.
            for _ in range(12):
                gateway.fault(SMS, kind="delay", seconds=0.7)
            with alerter(gateway.config, url, tmp_path, hand) as running:
                wait(lambda: len(gateway.texts(SMS)) >= 3, engine)
                server.stop("immediate")
                time.sleep(1.5)
                server.start()
                wait(lambda: bool(rows(engine)), engine)
                queue(engine, 12, hand.now_ms())
                wait(lambda: are_settled(engine), engine)
                assert running.poll() is None, "the alerter outlives its database"
            taken = [one.to for one in gateway.double.messages if one.channel == SMS]
        assert_each_once(engine, taken, 13)
        assert all(one.state in OUT for one in rows(engine) if one.channel == SMS)
        engine.dispose()
    finally:
        server.remove()


def test_half_an_hour_without_a_gateway_delays_messages_and_repeats_none(tmp_path: Path, hand: Hand) -> None:
    url = current_sqlite(tmp_path / "alerts.db")
    engine = open_database(url)
    port = free_port()
    config = demonstration_settings(Config(data_dir=str(tmp_path)), port)
    for number in range(3):
        queue(engine, number, hand.now_ms())
    with alerter(config, url, tmp_path, hand) as running:
        wait(lambda: all(one.attempts for one in rows(engine) if one.channel == SMS), engine)
        for _ in range(30):
            hand.move(60)
            time.sleep(0.2)
        assert {one.state for one in rows(engine)} <= {S.QUEUED, S.SENDING}, "half an hour later nothing is given up"
        with process(["-m", "qingquan", "run", "gateway-double"], environment_of(config)):
            until = time.monotonic() + WAIT_S
            while not are_settled(engine):
                assert time.monotonic() < until, [(one.channel, one.state, one.error) for one in rows(engine)]
                hand.move(30)
                time.sleep(0.3)
            taken = messages_at(port)
        assert running.poll() is None
    assert_each_once(engine, [str(one["to"]) for one in taken if one["channel"] == SMS], 3)
    assert all(one.state in OUT for one in rows(engine))
    engine.dispose()


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_clock_that_jumps_under_a_running_alerter_neither_stops_nor_repeats(
    tmp_path: Path, hand: Hand, step_s: int
) -> None:
    url = current_sqlite(tmp_path / "alerts.db")
    engine = open_database(url)
    with running_double() as gateway:
        for number in range(4):
            queue(engine, number, hand.now_ms())
        gateway.fault(SMS, kind="delay", seconds=1.0)
        with alerter(gateway.config, url, tmp_path, hand) as running:
            wait(lambda: bool(gateway.texts(SMS)), engine)
            hand.move(step_s)
            for number in range(4, 7):
                queue(engine, number, hand.now_ms())
            wait(lambda: are_settled(engine), engine)
            assert running.poll() is None
        taken = [one.to for one in gateway.double.messages if one.channel == SMS]
        posts = Counter(gateway.texts(WECOM_ROBOT))
    assert_each_once(engine, taken, 7)
    assert len(taken) == 7
    assert max(posts.values()) == 1
    engine.dispose()


def messages_at(port: int) -> list[dict[str, object]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/double/messages?limit=1000")
        found: list[dict[str, object]] = json.loads(connection.getresponse().read())["messages"]
        return found
    finally:
        connection.close()
