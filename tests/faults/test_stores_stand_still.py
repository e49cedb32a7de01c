"""A store that does not answer for a while: alerts go on where they can, nothing is lost, nobody has to be restarted."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

from qingquan.clock import to_ms
from qingquan.testing.engine import START, Account, Row, make_works, plan_of
from qingquan.testing.story import Story
from qingquan.testing.system import System, running_system, system_settings
from simulators.county import county
from simulators.scenario import parse_scenario

pytestmark = pytest.mark.slow

WORKS, SEED, SPEED = 12, 7, 90.0
BEGUN_MIN = 30
LOCKED_S = 15.0
SERVICES = ("gateway-double", "evaluator", "recorder", "alerter", "web")
# Two losses: one comes to light while the recorder stands still, the other while the database is locked.
STORY = parse_scenario(
    """
name = "stores"
rain = 0.0
[[fault]]
kind = "dosing_stop"
works = ["W0001"]
start_min = 2
duration_min = 300
[[fault]]
kind = "dosing_stop"
works = ["W0002"]
start_min = 19
duration_min = 300
""",
    "stores.toml",
)
LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


@pytest.fixture
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    Account(plan_of(make_works())).feed([Row(0, START, 0.4)])  # compiles the loop, if it must be
    config = system_settings(
        tmp_path_factory.mktemp("stores"), clock_speed=SPEED, clock_epoch_ms=time.time_ns() // 1_000_000,
        clock_start_ms=to_ms(datetime(2026, 6, 21, 0, 0, tzinfo=UTC)),
    )  # fmt: skip
    with running_system(config, county(WORKS, SEED), SERVICES) as running:
        running.wait_for(lambda: counts(running), "the console answers", 60)
        yield running


def counts(system: System) -> dict[str, Any]:
    try:
        found: dict[str, Any] = system.api("counts")
    except OSError:
        return {}
    return found


def told(system: System, works_id: str) -> bool:
    """Whether somebody's phone has shown that this works lost its disinfection."""
    name = next(one.name for one in county(WORKS, SEED) if one.id == works_id)
    return any(name in one["text"] and "消毒" in one["text"] for one in system.accepted_messages())


def test_alerts_go_on_while_the_recorder_stands_still_and_catch_up_after_the_database_was_locked(
    system: System, capsys: pytest.CaptureFixture[str]
) -> None:
    story = Story(system, county(WORKS, SEED), STORY, BEGUN_MIN, SEED)
    minute = BEGUN_MIN

    def until(condition: Any, what: str, timeout_s: float) -> float:
        """Go on publishing until the condition holds; how long that took [s]."""
        nonlocal minute
        began = time.monotonic()
        while not condition():
            minute += 1
            story.play(minute, system.watch)
            assert time.monotonic() - began < timeout_s, (what, system.last_words())
        return time.monotonic() - began

    assert system.signal("recorder", SIGSTOP)
    story.play(BEGUN_MIN, system.watch)
    first_s = until(lambda: told(system, "W0001"), "the first loss is told", 60)
    assert counts(system).get("recorded") is None, "the recorder answers: it did not stand still"

    acknowledged = story.devices.acknowledged
    lock = [sys.executable, "-c", LOCK, str(system.config.data_path / "qingquan.db"), str(LOCKED_S)]
    with subprocess.Popen(lock, stdout=subprocess.PIPE, text=True) as locking:
        assert locking.stdout is not None
        assert locking.stdout.readline() == "locked\n"
        assert not told(system, "W0002")
        evaluated = system.evaluated()
        until(lambda: locking.poll() is not None, "the lock is given up", LOCKED_S + 30)
        assert locking.returncode == 0
    # Devices are answered all the while: the log needs no database.
    assert story.devices.acknowledged > acknowledged + 100
    second_s = until(lambda: told(system, "W0002"), "the second loss is told", 60)

    assert system.signal("recorder", SIGCONT)
    assert story.devices.drain(30)
    story.devices.close()
    last = system.last_sequence()
    system.wait_for(lambda: settled(system, last), "everything evaluated and recorded", 60)
    found = counts(system)
    assert found["quarantined"] == {}
    assert found["conflicts"] == 0
    values = sum(len(json.loads(payload)["v"]) for _, payload in story.sent if payload.startswith(b"{"))
    assert found["readings"] >= values
    assert evaluated < last
    assert {name: system.restarts(name) for name in ("log-server", *SERVICES)} == dict.fromkeys(
        ("log-server", *SERVICES), 0
    )
    with capsys.disabled():
        print(f"\ntold {first_s:.1f} s after the county began, recorder stopped; {second_s:.1f} s after the lock")


def settled(system: System, last: int) -> bool:
    now = counts(system)
    return bool(now and now["logged"] == now["evaluated"] == now["recorded"] == last)
