"""The recorder against a real log and real stores: everything acknowledged is recorded once, whatever is killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.domain.readings import SeriesKey, Topic
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.errors import StoreUnavailable
from qingquan.store.ports import SeriesReader
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.progress import RECORDER_PARTITION, applied_sequence
from qingquan.store.sql.quarantine import counts_by_reason
from qingquan.store.sql.register import save_works
from qingquan.testing.servers import running_reading_log

POINTS = 20
T0 = 1_777_600_800_000
CHLORINE = SeriesKey("520425", "W0000", "outlet", "free_chlorine")

RUN = """
from qingquan.config import load_config
from qingquan.services.recorder import run
raise SystemExit(run(load_config()))
"""


def works(number: int) -> Works:
    return Works(
        "520425", f"W{number:04d}", f"{number} 号水厂", "", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 500, 3000,
        (SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine", "turbidity")),),
    )  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    with running_reading_log(tmp_path) as settings:
        upgrade(settings.sql_url)
        engine = open_database(settings.sql_url)
        with writing(engine) as connection:
            save_works(connection, [works(number) for number in range(POINTS)])
        engine.dispose()
        yield settings


@contextmanager
def recorder(config: Config) -> Iterator["subprocess.Popen[bytes]"]:
    """A recorder process; killed at the end if it still runs."""
    names = ("data_dir", "log_url", "log_user", "log_password", "log_port")
    settings = {f"QINGQUAN_{name.upper()}": str(getattr(config, name)) for name in names}
    process = subprocess.Popen([sys.executable, "-c", RUN], env={**os.environ, **settings})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def publish(config: Config, payloads: Sequence[tuple[str, object]]) -> int:
    """Publish payloads of points; the last sequence."""

    async def run() -> int:
        async with await ReadingLog.connect(config, name="test") as log:
            return [
                await log.publish(Topic("520425", works, "outlet", "json"), json.dumps(payload).encode())
                for works, payload in payloads
            ][-1]

    return asyncio.run(run())


def payload(minute: int, value: float = 0.4) -> dict[str, object]:
    return {"t": T0 + minute * 60_000, "v": {"free_chlorine": value, "turbidity": 0.5}}


def wait_for(store: SeriesReader, covered: int, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if store.covered("all") >= covered:
                return
        except StoreUnavailable:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not recorded up to {covered} within {timeout_s} s")


def quarantined(config: Config) -> dict[str, int]:
    engine = open_database(config.sql_url)
    try:
        with reading(engine) as connection:
            return counts_by_reason(connection)
    finally:
        engine.dispose()


def test_every_message_is_accounted_for(config: Config) -> None:
    last = publish(
        config,
        [
            ("W0000", payload(0)),
            ("W0000", payload(0)),
            ("W0000", payload(0, 0.9)),
            ("W0000", {"t": T0 + 60_000, "v": {"free_chlorine": 999.0, "turbidity": None}}),
            ("W9999", payload(0)),
            ("W0001", "rubbish"),
        ],
    )
    with recorder(config) as process, closing(open_series_reader(config)) as store:
        wait_for(store, last)
        counts = store.counts()
        assert counts.messages == last
        assert (counts.readings, counts.duplicates, counts.conflicts) == (4, 3, 1)
        assert quarantined(config) == {"unknown_works": 1, "bad_shape": 1}
        trend = store.range(CHLORINE, T0, T0 + 3_600_000)
        assert trend.columns["value"].tolist() == [0.4, 999.0]
        assert trend.columns["flag"].tolist() == [1, 4]
        [turbidity] = [r for r in store.latest("520425", "W0000") if r.key.parameter == "turbidity"]
        assert turbidity.flag == 9
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        with pytest.raises(StoreUnavailable):
            store.counts()
    engine = open_database(config.sql_url)
    with reading(engine) as connection:
        assert applied_sequence(connection, RECORDER_PARTITION) == last
    engine.dispose()


def test_a_works_registered_while_the_recorder_runs_is_known_to_its_first_message(config: Config) -> None:
    with recorder(config), closing(open_series_reader(config)) as store:
        wait_for(store, publish(config, [("W0000", payload(0))]))
        engine = open_database(config.sql_url)
        with writing(engine) as connection:
            save_works(connection, [works(77)])
        engine.dispose()
        wait_for(store, publish(config, [("W0077", payload(0))]))
        assert len(store.latest("520425", "W0077")) == 2
        assert quarantined(config) == {}


def test_a_recorder_killed_again_and_again_records_everything_once(config: Config) -> None:
    rounds, minutes = 4, 40
    with closing(open_series_reader(config)) as store:
        for number in range(rounds):
            with recorder(config) as process:
                wait_for(store, 1)  # it is up
                last = publish(
                    config,
                    [
                        (f"W{point:04d}", payload(number * minutes + minute))
                        for minute in range(minutes)
                        for point in range(POINTS)
                    ]
                    + [("W9999", payload(number))],
                )
                wait_for(store, last - minutes * POINTS * number // rounds)
                process.kill()
        with recorder(config):
            wait_for(store, last)
            counts = store.counts()
            messages = rounds * (minutes * POINTS + 1) + 1  # and the log's self-test
            assert (last, counts.messages) == (messages, messages)
            assert counts.readings == rounds * minutes * POINTS * 2
            assert (counts.duplicates, counts.conflicts) == (0, 0)
            assert quarantined(config) == {"unknown_works": rounds}
            assert len(store.range(CHLORINE, T0, T0 + 10**9).observed_at) == rounds * minutes


def test_a_log_that_begins_anew_is_recorded_too(tmp_path: Path) -> None:
    data = tmp_path / "kept"
    for number in range(2):
        with running_reading_log(tmp_path / f"log{number}") as settings:
            config = replace(settings, data_dir=str(data))
            upgrade(config.sql_url)
            engine = open_database(config.sql_url)
            with writing(engine) as connection:
                save_works(connection, [works(0)])
            engine.dispose()
            count = 30 if number == 0 else 5
            last = publish(config, [("W0000", payload(100 * number + minute)) for minute in range(count)])
            with recorder(config), closing(open_series_reader(config)) as store:
                deadline = time.monotonic() + 30
                expected = 60 if number == 0 else 70
                while time.monotonic() < deadline and _readings(store) < expected:
                    time.sleep(0.05)
                assert _readings(store) == expected
                assert store.covered("all") == last


def _readings(store: SeriesReader) -> int:
    try:
        return store.counts().readings
    except StoreUnavailable:
        return 0
