"""A disk that fills up under the reading log, on a small file system of its own: what is recorded goes first, an alert stands before
devices have to wait, nothing acknowledged is lost, and the server never meets the end of the disk."""

import asyncio
import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest

from alerts.operations import load_operations
from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.errors import BrokerLost
from qingquan.services import log_guard, log_server
from qingquan.services.recorder import Recorder, follow
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.opening import open_series_store
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.progress import RECORDER_PARTITION, SNAPSHOT_PARTITION, applied_sequence, set_applied_sequence
from qingquan.store.sql.register import save_works
from qingquan.testing.servers import log_settings

MB = 2**20
DISK, KEPT = 96 * MB, 8 * MB
T0 = 1_777_600_800_000
RECORDED_FIRST = 400
# A reading in 60 kB: JSON may have blanks at its end.
PADDING = b" " * 60_000
WORKS = Works(
    "520425", "W0001", "一号水厂", "", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 500, 3000,
    (SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine",)),),
)  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs is not allowed here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Server:
    """The log's server with its guard, in a thread."""

    def __init__(self, config: Config) -> None:
        self.counts: Counter[str] = Counter()
        self._stop, self._ready = threading.Event(), threading.Event()
        engine = open_database(config.sql_url)

        def covered() -> int:
            with reading(engine) as connection:
                return min(applied_sequence(connection, one) for one in (RECORDER_PARTITION, SNAPSHOT_PARTITION))

        def count(counts: Mapping[str, int]) -> None:
            self.counts.update(counts)

        def ready(_: Config) -> None:
            self._ready.set()

        def run() -> None:
            log_server.run(config, on_counts=count, on_ready=ready, covered=covered, stop=self._stop)

        self._thread = threading.Thread(target=run)
        self._thread.start()
        assert self._ready.wait(60)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)


@pytest.fixture
def config(disk: Path) -> Config:
    settings = log_settings(disk, log_keep_free_bytes=KEPT, log_max_bytes=512 * MB)
    upgrade(settings.sql_url)
    engine = open_database(settings.sql_url)
    with writing(engine) as connection:
        save_works(connection, [WORKS])
    engine.dispose()
    return settings


async def send(log: ReadingLog, number: int) -> bool:
    """Whether the log has acknowledged reading ``number``."""
    body = json.dumps({"t": T0 + number * 1000, "v": {"free_chlorine": 0.5}}).encode() + PADDING
    try:
        await log.publish(Topic("520425", "W0001", "outlet", "json"), body)
    except BrokerLost:
        return False
    return True


async def counted(server: Server, name: str) -> None:
    """What the guard did is counted a moment later."""
    deadline = time.monotonic() + 20
    while server.counts[name] != 1:
        assert time.monotonic() < deadline, server.counts
        await asyncio.sleep(0.05)


async def record(config: Config, until: int) -> int:
    """A recorder that runs until everything up to a sequence is recorded; readings in its store."""
    engine, stop = open_database(config.sql_url), asyncio.Event()
    with closing(open_series_store(config)) as store:
        async with await ReadingLog.connect(config, name="recorder") as log:
            task = asyncio.create_task(follow(Recorder(config, engine, store), log, stop))
            while await asyncio.to_thread(store.covered, "all") < until:
                assert not task.done(), task.result()
                await asyncio.sleep(0.05)
            stop.set()
            await task
        # An evaluator as quick as the recorder.
        with writing(engine) as connection:
            set_applied_sequence(connection, SNAPSHOT_PARTITION, until)
        readings = store.counts().readings
    engine.dispose()
    return readings


async def all_of_it(config: Config, server: Server) -> None:
    [lowest] = [watch.bound for watch in load_operations().watches if watch.cause == "disk_low"]
    devices = await ReadingLog.connect(config, name="devices")
    acknowledged, alerted_at = set(), None
    async with devices:
        for number in range(RECORDED_FIRST):
            assert await send(devices, number)
            acknowledged.add(number)
        assert await record(config, await devices.last_sequence()) == RECORDED_FIRST
        assert (await devices.info()).first == 1, "there is room: the reserve for replays is kept"
        # The recorder stands still now, and the devices go on until they get no answer.
        number = RECORDED_FIRST
        while await send(devices, number):
            acknowledged.add(number)
            usage = shutil.disk_usage(config.data_path)
            if alerted_at is None and usage.free < lowest * usage.total:
                alerted_at = number
            number += 1
            assert number < 4 * DISK // len(PADDING), "the log must close before the disk is full"
            await asyncio.sleep(0.01)
        assert alerted_at is not None, "the watchdog's bound lies before"
        await counted(server, log_guard.CLOSED)
        info = await devices.info()
        assert info.first > RECORDED_FIRST, "what was recorded had gone before"
        assert info.last - info.first + 1 >= len(acknowledged) - RECORDED_FIRST, "and nothing else"
        assert shutil.disk_usage(config.data_path).free > KEPT // 2
        # The recorder moves again: it makes the room, the log opens, the device sends what it kept.
        await record(config, info.last)
        deadline = time.monotonic() + 60
        while not await send(devices, number):
            assert time.monotonic() < deadline, server.counts
            await asyncio.sleep(0.5)
        acknowledged.add(number)
        await counted(server, log_guard.OPENED)
        assert await record(config, await devices.last_sequence()) == len(acknowledged)
    with closing(open_series_store(config)) as store:
        [key] = [one.key for one in store.latest("520425")]
        held = store.range(key, T0, T0 + 10**9).observed_at
        assert held.tolist() == [T0 + number * 1000 for number in sorted(acknowledged)]
        assert store.counts().conflicts == 0


@pytest.mark.slow
def test_recorded_messages_go_first_then_devices_wait_and_nothing_acknowledged_is_lost(config: Config) -> None:
    server = Server(config)
    try:
        asyncio.run(all_of_it(config, server))
    finally:
        server.stop()
