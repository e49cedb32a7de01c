"""`simulate` against a real reading log: what is acknowledged is there."""

import asyncio
import json
import os
import signal
import threading
import time
from dataclasses import replace

import pytest

from qingquan.errors import BrokerLost, ConfigurationError, WrongUse
from qingquan.store.reading_log import ReadingLog
from qingquan.testing.servers import running_reading_log
from simulators.county import county
from simulators.publish import progress_line, run

SELF_TEST = 1  # the log's own self-test is its first message


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    with running_reading_log(tmp_path_factory.mktemp("log")) as config:
        yield config


def _logged(config):
    async def last():
        async with await ReadingLog.connect(config, name="test") as log:
            return await log.last_sequence()

    return asyncio.run(last())


def _messages(config, first, count):
    async def fetched():
        found = []
        async with await ReadingLog.connect(config, name="test") as log:
            reader = log.reader(first)
            while len(found) < count:
                found += await reader.fetch(5000, 1.0)
        return found

    return asyncio.run(fetched())


@pytest.mark.parametrize("is_lean", [False, True])
def test_every_acknowledged_message_is_in_the_log_with_its_topic_and_payload(log, tmp_path, is_lean):
    before = _logged(log)
    reports = []
    works = county(40, 3)
    done = run(
        log,
        works,
        "demo",
        "max",
        3,
        tmp_path / "truth.csv",
        hours=2,
        works_per_connection=10,
        report=reports.append,
        is_lean=is_lean,
    )
    assert done.connections == 4
    assert done.published == done.acknowledged > 4000
    assert (done.given_up, done.waiting) == (0, 0)
    assert _logged(log) - before == done.acknowledged
    stored = _messages(log, before + 1, done.acknowledged)
    assert {m.subject.split(".")[3] for m in stored} == {"520425"}
    mine = [m for m in stored if m.subject.endswith(".wq.520425.W0001.outlet.json")]
    assert len(mine) == 120
    assert set(json.loads(mine[0].payload)["v"]) == set(works[0].points[1].parameters)
    assert (tmp_path / "truth.csv").read_text(encoding="utf-8").count("\n") > 5
    assert reports[-1] == done


def test_a_fast_clock_paces_the_messages(log):
    clocked = replace(log, clock_speed=600.0, clock_epoch_ms=time.time_ns() // 1_000_000)
    began = time.monotonic()
    done = run(clocked, 5, "calm", hours=0.5, seed=1, report=lambda _: None)
    # Half an hour at 600 times the pace is three seconds.
    assert 2.5 < time.monotonic() - began < 6
    assert done.acknowledged == done.published > 100
    assert abs(done.at_ms - clocked.clock.now_ms()) < 4 * 600_000


def test_a_stop_ends_the_run_in_order(log, tmp_path):
    stop, before = threading.Event(), _logged(log)

    def stops_in_the_middle() -> None:
        while _logged(log) == before:
            time.sleep(0.05)
        stop.set()

    threading.Thread(target=stops_in_the_middle, daemon=True).start()
    truth = tmp_path / "truth.csv"
    done = run(log, 20, "demo", 1200.0, 1, truth, stop=stop, report=lambda _: None)
    assert done.acknowledged == done.published == _logged(log) - before > 0
    assert truth.exists()


def test_sigterm_ends_the_run_in_order_and_leaves_the_handlers_as_they_were(log):
    handler, before = signal.getsignal(signal.SIGTERM), _logged(log)

    def terminates_in_the_middle() -> None:
        # Not by the clock: a signal before the run's own handler is there would end this process.
        while _logged(log) == before:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=terminates_in_the_middle, daemon=True).start()
    done = run(log, 20, "calm", 60.0, report=lambda _: None)
    assert done.acknowledged == done.published > 0
    assert signal.getsignal(signal.SIGTERM) is handler


def test_wrong_arguments_are_refused_before_anything_is_sent(log):
    before = _logged(log)
    with pytest.raises(WrongUse, match="speed = -1"):
        run(log, 5, "calm", -1.0)
    with pytest.raises(WrongUse, match="hours = 0"):
        run(log, 5, "calm", "max", hours=0)
    with pytest.raises(WrongUse, match="mqtt_port = 0"):
        run(replace(log, mqtt_port=0), 5, "calm")
    with pytest.raises(ConfigurationError, match="W0001"):
        run(log, county(3, 1)[1:], "demo", "max")
    assert _logged(log) == before


@pytest.mark.parametrize("is_lean", [False, True])
def test_a_refused_user_is_told_at_once(log, is_lean):
    with pytest.raises(BrokerLost, match="refused"):
        run(replace(log, mqtt_password="wrong"), 5, "calm", "max", connect_timeout_s=10, is_lean=is_lean)


@pytest.mark.parametrize("is_lean", [False, True])
def test_a_broker_that_is_not_there_is_told_when_patience_ends(log, is_lean):
    with pytest.raises(BrokerLost, match=r"127\.0\.0\.1:9"):
        run(replace(log, mqtt_port=9), 5, "calm", "max", connect_timeout_s=0.5, is_lean=is_lean)


def test_the_progress_line_reads_in_both_languages(log):
    done = run(log, 3, "calm", "max", hours=0.1, report=lambda _: None)
    assert f"已确认 {done.acknowledged} 条" in progress_line(done)
    assert f"{done.acknowledged} acknowledged" in progress_line(done, "en")
