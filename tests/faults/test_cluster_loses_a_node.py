"""Three log servers and two evaluators on one machine: a server and an evaluator are killed in the middle, in = out."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.errors import BrokerLost
from qingquan.store.reading_log import ReadingLog
from qingquan.store.reading_log.leases import Leases
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.progress import counts
from qingquan.store.sql.register import save_works
from qingquan.testing.devices import Device
from qingquan.testing.engine import MINUTE, make_works
from qingquan.testing.log_cluster import PASSWORD, USER, running_log_cluster
from qingquan.testing.postgres import PostgresMissing, fresh_database
from qingquan.testing.workers import Worker

REGISTER = [make_works(f"W{number:03}", ("free_chlorine", "flow")) for number in range(24)]
MINUTES = 60
KILLED = 1


def until(condition: Callable[[], object], what: Callable[[], object], timeout_s: float = 120.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.05)


def stored(config: Config) -> int:
    """Messages that the log holds."""

    async def ask() -> int:
        async with await ReadingLog.connect(config, name="test") as log:
            return (await log.info()).messages

    return asyncio.run(ask())


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    engine = open_database(url)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.mark.proof
def test_a_server_and_an_evaluator_killed_in_the_middle_lose_nothing(tmp_path: Path) -> None:
    try:
        url = fresh_database()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    with ExitStack() as stack, running_log_cluster(tmp_path / "cluster") as cluster:
        config = cluster.settings(database_url=url, log_sharing="on")
        upgrade(url)
        engine = stack.enter_context(_opened(url))
        with writing(engine) as connection:
            save_works(connection, REGISTER)

        def readings() -> int:
            with reading(engine) as connection:
                return counts(connection).get("evaluated.readings", 0)

        def judged() -> int:
            with reading(engine) as connection:
                return counts(connection).get("evaluated.messages", 0)

        begun = config.clock.now_ms() // MINUTE * MINUTE - MINUTES * MINUTE

        def send(first: int) -> None:
            device = Device([cluster.mqtt_port(node) for node in (KILLED, 0, 2)], USER, PASSWORD)
            for minute in range(MINUTES):
                for number in range(first, len(REGISTER), 4):
                    low = 0.1 if number % 6 == 0 else 0.5
                    payload = {"t": begun + minute * MINUTE, "v": {"free_chlorine": low, "flow": 8.0}}
                    topic = f"wq/{REGISTER[number].county}/{REGISTER[number].id}/outlet/json"
                    device.publish(topic, json.dumps(payload).encode())
            device.close()

        wanted = MINUTES * len(REGISTER) * 2
        with (
            Worker(config, "evaluator", tmp_path / "one.log") as first,
            Worker(config, "evaluator", tmp_path / "two.log") as second,
        ):
            until(
                lambda: first.said("evaluator started") and second.said("evaluator started"), lambda: "both work", 120.0
            )
            senders = [threading.Thread(target=send, args=(number,)) for number in range(4)]
            for sender in senders:
                sender.start()
            until(lambda: readings() > wanted // 10, readings)
            first.send(signal.SIGKILL)
            cluster.kill(KILLED)
            for sender in senders:
                sender.join()
            # A message that was stored but whose acknowledgement was lost comes twice, and is a duplicate to the judge.
            until(lambda: readings() >= wanted, readings)
            until(lambda: judged() >= stored(config), lambda: f"{judged()} judged of {stored(config)} in the log")
            assert judged() == stored(config)
            with reading(engine) as connection:
                found = list_findings(connection, limit=10_000)
            told = {one.works for one in found if one.kind.value.startswith("disinfection")}
        # Without a majority services wait: a refusal would end them for good.
        cluster.kill(0)
        with pytest.raises(BrokerLost):
            asyncio.run(Leases.connect(config, "test"))
        assert told == {REGISTER[number].id for number in range(0, len(REGISTER), 6)}
        repeated = readings() - wanted
        assert repeated <= 2 * 4 * 3, (
            f"{repeated} more than were sent: repeats of the four senders' last messages are few"
        )
