"""kill -9 of a real alerter while a provider has its message and we have no answer yet: the phone rings once."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from alerts.apply import apply_findings
from alerts.routing import SMS, WECOM_ROBOT
from qingquan.clock import Clock
from qingquan.config import Config
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.incidents import Message, MessageState
from qingquan.store.sql.delivery import set_aside
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.alerts import example_finding, example_works, register_of
from qingquan.testing.databases import current_sqlite
from qingquan.testing.gateways import RunningDouble, running_double

WAIT_S = 90.0
ROOT = Path(__file__).parents[2]
PROGRAM = """
import os
from qingquan.config import load_config
from qingquan.services.alerter import run
run(load_config(environ=os.environ))
"""


@pytest.fixture
def gateway() -> Iterator[RunningDouble]:
    with running_double() as running:
        yield running


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    url = current_sqlite(tmp_path / "alerts.db")
    opened = open_database(url)
    yield opened
    opened.dispose()


@contextmanager
def alerter(folder: Path, config: Config, ahead_s: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A real alerter process; its clock stands ``ahead_s`` before ours, as if it were started that much later."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "QINGQUAN_DATA_DIR": str(folder),
        "QINGQUAN_DATABASE_URL": f"sqlite:///{folder / 'alerts.db'}",
        # No evaluator runs here that it could wait for.
        "QINGQUAN_RESTART_HOLD_S": "0",
        # A clock that has always run a trace faster is ahead by now, and just as fast for all purposes of a test.
        "QINGQUAN_CLOCK_SPEED": repr(1 + ahead_s * 1000 / Clock().now_ms()),
        **{
            f"QINGQUAN_{name.upper()}": getattr(config, name)
            for name in Config.__slots__
            if getattr(config, name) and name.startswith(("wecom", "aliyun", "receipts"))
        },
    }
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(WAIT_S)


def queue(engine: Engine, kind: FindingKind) -> None:
    """An incident a minute ago, its messages due by now: one SMS and one to the group, or the group alone."""
    is_water = kind is FindingKind.DISINFECTION_LOW
    finding = example_finding(kind=kind, severity=Severity.MAJOR if is_water else Severity.MINOR)
    with writing(engine) as connection:
        apply_findings(connection, [finding], register_of(example_works()), Clock().now_ms() - 60_000)
        # What is not critical waits for the morning at night; the test runs at any hour.
        set_aside(connection, {one.id: Clock().now_ms() for one in list_messages(connection)})


def outbox(engine: Engine, channel: str) -> Message:
    with reading(engine) as connection:
        (message,) = [one for one in list_messages(connection) if one.channel == channel]
    return message


def wait_for(engine: Engine, channel: str, *states: MessageState) -> Message:
    deadline = time.monotonic() + WAIT_S
    while (message := outbox(engine, channel)).state not in states:
        assert time.monotonic() < deadline, message
        time.sleep(0.05)
    return message


def kill_between_accept_and_record(folder: Path, engine: Engine, gateway: RunningDouble, channel: str) -> None:
    gateway.fault(channel, kind="hang_up", seconds=5)
    deadline = time.monotonic() + WAIT_S
    with alerter(folder, gateway.config) as process:
        while not gateway.texts(channel):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
        process.wait(WAIT_S)
    assert outbox(engine, channel).state is MessageState.SENDING


def test_an_sms_accepted_before_the_kill_is_found_by_asking_and_not_sent_again(
    tmp_path: Path, engine: Engine, gateway: RunningDouble
) -> None:
    queue(engine, FindingKind.DISINFECTION_LOW)
    kill_between_accept_and_record(tmp_path, engine, gateway, SMS)
    with alerter(tmp_path, gateway.config, ahead_s=600):
        message = wait_for(engine, SMS, MessageState.DELIVERED, MessageState.UNKNOWN, MessageState.ACCEPTED)
    assert message.state is MessageState.DELIVERED
    assert message.provider_id
    assert len(gateway.texts(SMS)) == 1


def test_a_group_message_accepted_before_the_kill_is_put_before_a_person_and_not_posted_again(
    tmp_path: Path, engine: Engine, gateway: RunningDouble
) -> None:
    queue(engine, FindingKind.STALE)
    kill_between_accept_and_record(tmp_path, engine, gateway, WECOM_ROBOT)
    with alerter(tmp_path, gateway.config, ahead_s=600):
        message = wait_for(engine, WECOM_ROBOT, MessageState.UNKNOWN, MessageState.ACCEPTED)
    assert message.state is MessageState.UNKNOWN
    assert "not repeated" in message.error
    assert len(gateway.texts(WECOM_ROBOT)) == 1


def put_off(engine: Engine, channel: str, by_ms: int) -> None:
    with writing(engine) as connection:
        set_aside(connection, {outbox(engine, channel).id: Clock().now_ms() + by_ms})


def test_a_lease_that_has_not_run_out_is_left_alone(tmp_path: Path, engine: Engine, gateway: RunningDouble) -> None:
    queue(engine, FindingKind.DISINFECTION_LOW)
    # The group's message is for the second alerter: the first one's other thread might be in the middle of it when killed.
    put_off(engine, WECOM_ROBOT, 3_600_000)
    kill_between_accept_and_record(tmp_path, engine, gateway, SMS)
    put_off(engine, WECOM_ROBOT, 0)
    with alerter(tmp_path, gateway.config):
        wait_for(engine, WECOM_ROBOT, MessageState.ACCEPTED)
    assert outbox(engine, SMS).state is MessageState.SENDING
    assert len(gateway.texts(SMS)) == 1


def test_an_sms_that_never_arrived_goes_out_once_the_provider_has_twice_not_found_it(
    tmp_path: Path, engine: Engine, gateway: RunningDouble
) -> None:
    queue(engine, FindingKind.DISINFECTION_LOW)
    gateway.fault(SMS, kind="http", status=502)
    with alerter(tmp_path, gateway.config):
        deadline = time.monotonic() + WAIT_S
        while not outbox(engine, SMS).error:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert outbox(engine, SMS).state is MessageState.SENDING
    with alerter(tmp_path, gateway.config, ahead_s=600):
        deadline = time.monotonic() + WAIT_S
        while "not found" not in outbox(engine, SMS).error:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert gateway.texts(SMS) == []
    with alerter(tmp_path, gateway.config, ahead_s=1200):
        wait_for(engine, SMS, MessageState.ACCEPTED)
    assert len(gateway.texts(SMS)) == 1


def test_sigterm_ends_an_alerter_with_its_attempt_written_down(
    tmp_path: Path, engine: Engine, gateway: RunningDouble
) -> None:
    queue(engine, FindingKind.DISINFECTION_LOW)
    gateway.fault(SMS, kind="delay", seconds=1.5)
    with alerter(tmp_path, gateway.config) as process:
        wait_for(engine, SMS, MessageState.SENDING)
        process.terminate()
        assert process.wait(WAIT_S) == 0
    assert outbox(engine, SMS).state is MessageState.ACCEPTED
