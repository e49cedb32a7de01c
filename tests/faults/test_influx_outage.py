"""InfluxDB away while devices send: the log grows, the recorder waits with growing pauses, and afterwards everything is there once."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.domain.readings import SeriesKey, Topic
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.services.recorder import Recorder, follow
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.opening import open_series_store
from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.influx import (
    INFLUX2_ORG,
    INFLUX2_TOKEN,
    influx2_server,
    influx_server,
    influxd2_path,
    influxd_path,
)
from qingquan.testing.servers import running_reading_log

pytestmark = pytest.mark.debian

T0 = 1_777_600_800_000
MINUTE = 60_000
WORKS = Works(
    "520425", "W0001", "一号水厂", "", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 500, 3000,
    (SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine",)),),
)  # fmt: skip


async def publish(log: ReadingLog, minutes: range) -> int:
    """A reading a minute; the last sequence."""
    last = 0
    for minute in minutes:
        body = json.dumps({"t": T0 + minute * MINUTE, "v": {"free_chlorine": minute / 1000}}).encode()
        last = await log.publish(Topic("520425", "W0001", "outlet", "json"), body)
    return last


Server = Callable[[Path, int], AbstractContextManager[str]]


async def outage(config: Config, folder: Path, port: int, server: Server) -> None:
    engine, stop = open_database(config.sql_url), asyncio.Event()
    with closing(open_series_store(config)) as store:
        async with (
            await ReadingLog.connect(config, name="devices") as devices,
            await ReadingLog.connect(config, name="recorder") as log,
        ):
            recording = asyncio.create_task(follow(Recorder(config, engine, store), log, stop))

            async def until(covered: int) -> None:
                while await asyncio.to_thread(store.covered, "all") < covered:
                    assert not recording.done(), recording.result()
                    await asyncio.sleep(0.05)

            with server(folder, port):
                await until(await publish(devices, range(100)))
            last = await publish(devices, range(100, 700))
            await asyncio.sleep(2)
            assert not recording.done(), "the recorder waits"
            assert (await devices.info()).messages >= 700, "the log keeps everything"
            with server(folder, port):
                await until(last)
                stop.set()
                await recording
                counts = store.counts()
                assert (counts.readings, counts.duplicates, counts.conflicts) == (700, 0, 0)
                assert counts.messages == last
                key = SeriesKey("520425", "W0001", "outlet", "free_chlorine")
                hourly = store.range(key, T0, T0 + 700 * MINUTE, 60 * MINUTE, ("count", "last"))
                assert hourly.columns["count"].tolist() == [60.0] * 11 + [40.0]
                assert hourly.columns["last"].tolist()[:2] == [0.059, 0.119]
    engine.dispose()


@pytest.mark.parametrize("api", ["v1", *(["v2"] if influxd2_path() else [])])
def test_an_outage_of_influxdb_only_grows_the_log(api: str, tmp_path: Path) -> None:
    if api == "v1" and influxd_path() is None:
        pytest.skip("influxd (Debian package influxdb) is not installed")
    server: Server = influx_server if api == "v1" else influx2_server
    with server(tmp_path / "influx", 0) as url:
        port = int(url.rsplit(":", 1)[1])
    with running_reading_log(tmp_path, retention_raw_days=0, retention_5min_days=0, retention_1h_days=0) as settings:
        upgrade(settings.sql_url)
        engine = open_database(settings.sql_url)
        with writing(engine) as connection:
            save_works(connection, [WORKS])
        engine.dispose()
        config = replace(
            settings, series_store="influx", influx_url=url, influx_api=api, influx_bucket="q",
            influx_org=INFLUX2_ORG, influx_token=INFLUX2_TOKEN if api == "v2" else "",
        )  # fmt: skip
        asyncio.run(asyncio.wait_for(outage(config, tmp_path / "influx", port, server), 120))
