"""Recorders and detectors among several, as real processes: one is killed, another goes on, and nothing is missing or twice."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.services.alive import is_alive
from qingquan.services.recorder import READER
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.store.series.opening import open_series_store
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.ownership_schema import partition_owner
from qingquan.store.sql.progress import DETECTOR_PARTITION, RECORDER_PARTITION, applied_sequence
from qingquan.store.sql.register import save_works
from qingquan.testing.engine import MINUTE, make_works
from qingquan.testing.influx import influx_server, influxd_path
from qingquan.testing.servers import running_reading_log
from qingquan.testing.workers import Worker

REGISTER = [make_works(f"W{number:03}", ("free_chlorine", "turbidity")) for number in range(16)]
MINUTES = 40


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    with running_reading_log(tmp_path, log_sharing="on", log_lease_s=3.0) as settings:
        upgrade(settings.sql_url)
        engine = open_database(settings.sql_url)
        with writing(engine) as connection:
            save_works(connection, REGISTER)
        engine.dispose()
        # Each worker has a folder of its own, as on machines of their own; the database is named.
        yield replace(settings, database_url=settings.sql_url)


def publish(config: Config, first: int, minutes: int) -> int:
    async def run() -> int:
        last, begun = 0, config.clock.now_ms() // MINUTE * MINUTE - 2 * MINUTES * MINUTE
        async with await ReadingLog.connect(config, name="devices") as log:
            for minute in range(first, first + minutes):
                payload = json.dumps(
                    {"t": begun + minute * MINUTE, "v": {"free_chlorine": 0.5 + minute / 1e3, "turbidity": 0.4}}
                )
                sent = [log.publish(Topic(one.county, one.id, "outlet", "json"), payload.encode()) for one in REGISTER]
                last = max(await asyncio.gather(*sent))
        return last

    return asyncio.run(run())


def until(condition: Callable[[], object], what: str, timeout_s: float = 40.0) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < timeout_s, what
        time.sleep(0.05)
    return time.monotonic() - began


def owned(config: Config, service: str, worker: Worker) -> int:
    """Partitions of a service that a worker owns."""
    engine = open_database(config.sql_url)
    query = select(partition_owner.c.holder).where(partition_owner.c.service == service, partition_owner.c.epoch > 0)
    with reading(engine) as connection:
        holders = list(connection.scalars(query))
    engine.dispose()
    return sum(f"-{worker.pid}-" in holder for holder in holders)


def progress(config: Config, row: int) -> int:
    engine = open_database(config.sql_url)
    with reading(engine) as connection:
        found = applied_sequence(connection, row)
    engine.dispose()
    return found


def elsewhere(config: Config, folder: Path, secrets_of: Config) -> Config:
    folder.mkdir()
    return replace(config, data_dir=str(folder), log_url=secrets_of.log_url)


@pytest.mark.proof
@pytest.mark.skipif(influxd_path() is None, reason="influxd (Debian package influxdb) is not installed")
def test_recorders_share_partitions_and_record_each_reading_once(config: Config, tmp_path: Path) -> None:
    with influx_server(tmp_path / "influx") as url:
        with closing(InfluxDoor(url, "", "", "shared", "v1")) as door:
            door.query(["CREATE DATABASE shared"])
        config = replace(config, series_store="influx", influx_url=url, influx_bucket="shared", influx_api="v1")
        first_home, second_home = (elsewhere(config, tmp_path / name, config) for name in ("one", "two"))
        with (
            Worker(first_home, "recorder", tmp_path / "one.log") as first,
            Worker(second_home, "recorder", tmp_path / "two.log") as second,
        ):
            until(lambda: [owned(config, "recorder", one) for one in (first, second)] == [4, 4], "two share alike")
            publish(config, 0, MINUTES // 2)
            first.send(signal.SIGSTOP)
            took_s = until(lambda: owned(config, "recorder", second) == 8, "the second owns everything")
            assert took_s < 5.0
            last = publish(config, MINUTES // 2, MINUTES // 2)
            first.send(signal.SIGCONT)
            until(lambda: first.said("ownership lost"), "the first has noticed")
            with closing(open_series_store(config)) as store:
                wanted = MINUTES * len(REGISTER) * 2
                until(lambda: store.counts().readings == wanted, f"{store.counts()} recorded, not {wanted}")
                until(lambda: store.covered(READER) >= last, "all partitions covered")
                until(lambda: progress(config, RECORDER_PARTITION) >= last, "and said so in the database")
                counted = store.counts()
        assert (counted.readings, counted.duplicates, counted.conflicts) == (wanted, 0, 0)


@pytest.mark.proof
def test_a_detector_on_another_machine_takes_over_with_the_state_of_the_first(config: Config, tmp_path: Path) -> None:
    first_home, second_home = (elsewhere(config, tmp_path / name, config) for name in ("one", "two"))
    with Worker(first_home, "detector", tmp_path / "one.log") as first:
        until(lambda: owned(config, "detector", first) == 1, "the first works")
        with Worker(second_home, "detector", tmp_path / "two.log") as second:
            until(lambda: second.said("detector_stands_by"), "the second stands by")
            until(lambda: is_alive(second_home, "detector"), "and says so to the health test of its container")
            half = publish(config, 0, MINUTES // 2)
            until(lambda: progress(config, DETECTOR_PARTITION) >= half, "the first has come half way")
            assert second.said("detector_started") == []
            first.send(signal.SIGKILL)
            took_s = until(lambda: second.said("detector_started"), "the second works")
            assert took_s < 5.0
            last = publish(config, MINUTES // 2, MINUTES // 2)
            until(lambda: progress(config, DETECTOR_PARTITION) >= last, "the second has come to the end")
            assert f"covered={half}" in second.said("detector_started")[0]
            assert second.said("detector_learns_anew") == []
