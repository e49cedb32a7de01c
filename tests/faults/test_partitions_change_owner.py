"""Evaluators that share a log, as real processes: killed, stopped in their tracks and woken; everything is judged once."""

import asyncio
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.domain.works import Contact, Role, Works
from qingquan.services.scopes import EVALUATOR
from qingquan.store.reading_log import ReadingLog, partition_of
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.ownership import least_applied
from qingquan.store.sql.ownership_schema import partition_owner
from qingquan.store.sql.progress import counts
from qingquan.store.sql.register import save_works
from qingquan.testing.engine import MINUTE, make_works
from qingquan.testing.postgres import PostgresMissing, fresh_database
from qingquan.testing.servers import running_reading_log
from qingquan.testing.workers import Worker

PARTITIONS = 8
TAKE_OVER_S = 5.0
START_S = 90.0
BEFORE, AFTER = 30, 30
PEOPLE = (Contact(Role.CARETAKER, "张三", "13800000001"), Contact(Role.MANAGER, "李四", "13900000002"))
REGISTER = [make_works(f"W{number:03}", ("free_chlorine", "flow"), contacts=PEOPLE) for number in range(24)]


class Cluster:
    """A log, a database and evaluators that share them."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.config, self._folder = config, folder
        self.engine: Engine = open_database(config.sql_url)
        self.begun = config.clock.now_ms() - (BEFORE + AFTER) * MINUTE
        self._stack = ExitStack()
        self._workers: list[Worker] = []

    def worker(self, name: str) -> Worker:
        made = self._stack.enter_context(Worker(self.config, "evaluator", self._folder / f"{name}.log"))
        self._workers.append(made)
        return made

    def owners(self) -> Counter[str]:
        """How many partitions each process owns, by its process id."""
        query = select(partition_owner.c.holder).where(partition_owner.c.partition >= 0, partition_owner.c.epoch > 0)
        with reading(self.engine) as connection:
            return Counter(holder.split("-")[-2] for holder in connection.scalars(query))

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 20.0) -> float:
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < timeout_s, f"{what}: {self.owners()}; those that ended: {self._ended()}"
            time.sleep(0.02)
        return time.monotonic() - began

    def _ended(self) -> list[str]:
        return [line for one in self._workers if not one.is_running for line in one.said("")[-3:]]

    def shares(self, *workers: Worker) -> list[int]:
        owners = self.owners()
        return [owners[str(one.pid)] for one in workers]

    def publish(self, first: int, minutes: int) -> int:
        """A message a minute for every works, chlorine too low in some; the last sequence."""

        async def run() -> int:
            last = 0
            async with await ReadingLog.connect(self.config, name="devices") as log:
                for minute in range(first, first + minutes):
                    at = self.begun + minute * MINUTE
                    sent = [log.publish(_topic(one), _payload(at, number)) for number, one in enumerate(REGISTER)]
                    last = max(await asyncio.gather(*sent))
            return last

        return asyncio.run(run())

    def applied(self) -> int:
        with reading(self.engine) as connection:
            return least_applied(connection, EVALUATOR)

    def said(self) -> set[tuple[object, ...]]:
        with reading(self.engine) as connection:
            found = list_findings(connection, limit=10_000)
        return {(one.id, one.kind, one.works, one.start, one.end, one.withdrawn) for one in found}

    def steps(self) -> list[tuple[str, ...]]:
        with reading(self.engine) as connection:
            sent = list_messages(connection, limit=10_000)
        return sorted((one.step, one.channel, one.receiver, one.body) for one in sent)

    def judged_messages(self) -> int:
        with reading(self.engine) as connection:
            return counts(connection).get("evaluated.messages", 0)

    def close(self) -> None:
        self._stack.close()
        self.engine.dispose()


def _topic(works: Works) -> Topic:
    return Topic(works.county, works.id, "outlet", "json")


def _payload(at: int, number: int) -> bytes:
    low = number % 3 == 0
    return json.dumps({"t": at, "v": {"free_chlorine": 0.1 if low else 0.5, "flow": 8.0}}).encode()


@contextmanager
def cluster(folder: Path, database_url: str) -> Iterator[Cluster]:
    with running_reading_log(folder, log_sharing="on", database_url=database_url) as config:
        upgrade(config.sql_url)
        engine = open_database(config.sql_url)
        with writing(engine) as connection:
            save_works(connection, REGISTER)
        engine.dispose()
        made = Cluster(config, folder)
        try:
            yield made
        finally:
            made.close()


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Cluster]:
    try:
        url = fresh_database()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    with cluster(tmp_path, url) as made:
        yield made


def undisturbed(found: Cluster, folder: Path) -> Cluster:
    """One evaluator of the whole log, with a database of its own, over the same log."""
    folder.mkdir()
    config = replace(found.config, log_sharing="off", data_dir=str(folder), database_url="")
    upgrade(config.sql_url)
    alone = Cluster(config, folder)
    with writing(alone.engine) as connection:
        save_works(connection, REGISTER)
    return alone


def test_a_worker_that_wakes_late_changes_nothing_and_says_so_once(on_postgres: Cluster, tmp_path: Path) -> None:
    here = on_postgres
    first = here.worker("first")
    here.until(lambda: here.shares(first) == [PARTITIONS], "the first owns everything", START_S)
    second = here.worker("second")
    here.until(lambda: here.shares(first, second) == [4, 4], "two share alike", START_S)

    # It is stopped while messages come in, so that it has some in hand.
    sending = threading.Thread(target=here.publish, args=(0, BEFORE))
    sending.start()
    here.until(lambda: here.judged_messages() > 50, "judging has begun")
    first.send(signal.SIGSTOP)
    took_s = here.until(lambda: here.shares(second) == [PARTITIONS], "the second owns everything", 20)
    assert took_s < TAKE_OVER_S, f"ownership moved after {took_s:.1f} s"
    sending.join()
    last = here.publish(BEFORE, AFTER)
    here.until(lambda: here.applied() >= last, "the second has judged everything")

    first.send(signal.SIGCONT)
    here.until(lambda: first.said("ownership lost"), "the first has noticed")
    # It is a worker like any other again, and gets its share from the other one.
    here.until(lambda: here.shares(first, second) == [4, 4], "two share alike again", 20)
    assert len(first.said("ownership lost")) == 1
    assert first.is_running
    assert second.said("ownership lost") == []
    # Counts are added up, so a transaction of the woken worker that went through would show.
    assert here.judged_messages() == last

    alone = undisturbed(here, tmp_path / "alone")
    try:
        alone.worker("alone")
        alone.until(lambda: alone.judged_messages() == last, "the undisturbed one has judged everything", START_S)
        alone.until(lambda: alone.said() == here.said(), "the same findings")
        assert len(here.said()) >= len(REGISTER) // 3
        assert here.steps() == alone.steps()
        assert len(here.steps()) == len(set(here.steps())) > 0
    finally:
        alone.close()


def test_killed_and_joining_workers_move_partitions_within_five_seconds(on_postgres: Cluster) -> None:
    here = on_postgres
    workers = [here.worker(name) for name in ("a", "b", "c")]
    here.until(lambda: sorted(here.shares(*workers)) == [2, 3, 3], "three share alike", START_S)
    sending = threading.Thread(target=here.publish, args=(0, BEFORE))
    sending.start()
    workers[0].send(signal.SIGKILL)
    assert here.until(lambda: here.shares(*workers[1:]) == [4, 4], "two share alike", 20) < TAKE_OVER_S
    workers[1].send(signal.SIGTERM)
    assert here.until(lambda: here.shares(workers[2]) == [PARTITIONS], "one owns everything", 20) < TAKE_OVER_S
    assert workers[1].wait() == 0
    sending.join()
    last = here.publish(BEFORE, AFTER)
    here.until(lambda: here.applied() >= last, "everything is judged")
    assert here.judged_messages() == last


def test_register_covers_every_partition() -> None:
    assert {partition_of(one.county, one.id, PARTITIONS) for one in REGISTER} == set(range(PARTITIONS))
