"""The restore drill: a running system is backed up under load and restored into another folder; all figures are equal, and it
reads on from there without judging or recording anything twice."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.errors import ConfigurationError, StoreUnavailable
from qingquan.services.backup import back_up, restore
from qingquan.store.ports import SeriesReader
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.engine import open_database, reading
from qingquan.store.sql.progress import counts
from qingquan.testing.servers import log_settings
from qingquan.testing.system import System, running_system, system_settings
from simulators.county import county

WORKS = county(3, 1)


class Devices(threading.Thread):
    """Publishes a reading every few milliseconds, all with times of their own, until told to stop."""

    def __init__(self, config: Config) -> None:
        super().__init__(name="devices")
        self._config, self._done = config, threading.Event()
        self.published = 0

    def run(self) -> None:
        asyncio.run(self._publish())

    async def _publish(self) -> None:
        async with await ReadingLog.connect(self._config, name="devices") as log:
            one = WORKS[0]
            base = time.time_ns() // 1_000_000 - 3_600_000
            while not self._done.is_set():
                body = json.dumps({"t": base + self.published * 1000, "v": {"free_chlorine": 0.45, "ph": 7.1}}).encode()
                await log.publish(Topic(one.county, one.id, one.points[0].id, "json"), body)
                self.published += 1
                await asyncio.sleep(0.002)

    def end(self) -> None:
        self._done.set()
        self.join(10)


def is_through(system: System) -> bool:
    return system.evaluated() >= system.last_sequence()


@pytest.mark.proof
def test_a_system_backed_up_under_load_comes_back_whole_in_another_folder(tmp_path: Path) -> None:
    config = system_settings(tmp_path / "old", snapshot_interval_s=1.0, restart_hold_s=0.0)
    target, folder = tmp_path / "backup", tmp_path / "new"
    with running_system(config, WORKS, ("evaluator", "recorder")) as system:
        embedded = replace(config, log_url="")
        devices = Devices(system.config)
        devices.start()
        try:
            system.wait_for(lambda: system.evaluated() > 50, "readings are judged", 60)
            before = devices.published
            made = back_up(embedded, target)
        finally:
            devices.end()
        assert devices.published > before, "devices went on meanwhile"
        assert made.log_messages >= before
        assert 0 < made.readings <= 2 * made.log_messages
    with pytest.raises(ConfigurationError, match="is not empty"):
        back_up(embedded, target)
    restored = replace(log_settings(tmp_path), data_dir=str(folder), database_url="", log_url="")
    found = restore(target, restored)
    assert (found.log_messages, found.log_last, found.readings, found.rows) == (
        made.log_messages, made.log_last, made.readings, made.rows,
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="is not empty"):
        restore(target, restored)
    _reads_on(replace(system_settings(tmp_path), data_dir=str(folder), snapshot_interval_s=1.0), made.log_messages)


def _reads_on(config: Config, messages: int) -> None:
    """The restored system brings judging and recording to the end of its log, each message once."""
    with running_system(config, [], ("evaluator", "recorder")) as system:
        system.wait_for(lambda: is_through(system), "everything judged", 60)
        engine = open_database(config.sql_url)

        def judged() -> int:
            with reading(engine) as connection:
                return counts(connection).get("evaluated.messages", 0)

        # The server's self-tests at its starts lie in the log as well.
        system.wait_for(lambda: judged() == system.last_sequence() > messages, "each message counted once", 30)
        engine.dispose()


@pytest.mark.slow
def test_the_drill_command_leaves_nothing_behind_and_finds_nothing_that_differs(tmp_path: Path) -> None:
    config = system_settings(tmp_path / "old")
    target, scratch = tmp_path / "backup", tmp_path / "scratch"
    scratch.mkdir()
    with running_system(config, WORKS, ("recorder",)) as system, closing(open_series_reader(config)) as store:
        devices = Devices(system.config)
        devices.start()
        try:
            system.wait_for(lambda: is_recorded(store, 50), "readings are recorded", 120)
            made = back_up(replace(config, log_url=""), target)
        finally:
            devices.end()
    command = [sys.executable, "-m", "qingquan", "restore", str(target), "--drill", "--json"]
    found = subprocess.run(
        command, env={**os.environ, "TMPDIR": str(scratch)}, capture_output=True, text=True, timeout=300
    )
    assert found.returncode == 0, found.stderr + found.stdout
    report = json.loads(found.stdout)
    assert report["equal"]
    assert report["checksum"]["log"] == report["checksum"]["store"]
    assert report["restored"]["readings"] == report["compared"]["identities"] == made.readings > 0
    assert list(scratch.iterdir()) == []


def is_recorded(store: SeriesReader, messages: int) -> bool:
    try:
        return store.covered("all") > messages
    except StoreUnavailable:
        return False


def test_a_damaged_backup_and_one_of_a_newer_version_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    source = tmp_path / "backup"
    source.mkdir()
    config = Config(data_dir=str(tmp_path / "new"))
    with pytest.raises(ConfigurationError, match="cut short"):
        restore(source, config)
    listed = {
        "format": 1, "taken_at": "", "schema": "9999", "log_messages": 0, "log_first": 0, "log_last": 0, "readings": 0,
        "recorded_messages": 0, "rows": {}, "digests": {"qingquan.db": "00"},
    }  # fmt: skip
    (source / "backup.json").write_text(json.dumps(listed), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="newer version"):
        restore(source, config)
    (source / "backup.json").write_text(json.dumps({**listed, "schema": "0001"}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"qingquan\.db: damaged"):
        restore(source, config)
    with pytest.raises(ConfigurationError) as refused:
        back_up(
            replace(config, database_url="postgresql://a/b", log_url="nats://a:1", series_store="influx"),
            tmp_path / "b",
        )
    assert len(refused.value.faults) == 3
