"""`qingquan store verify` beside a real log and real stores: equal after everything a device may send; every row that somebody
deletes, changes or adds behind our back is named by series and time."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.services.recorder import Recorder, follow
from qingquan.services.store_verify import Verified, verify
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.store.series.opening import open_series_store, recorder_socket
from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.influx import influx_server, influxd_path
from qingquan.testing.series import SeriesServer
from qingquan.testing.servers import running_reading_log

T0 = 1_777_600_800_000
MINUTE = 60_000


def works(name: str) -> Works:
    return Works(
        "520425", name, f"{name} 水厂", "", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 500, 3000,
        (SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine", "turbidity")),),
    )  # fmt: skip


PAYLOADS: list[tuple[str, object]] = [
    *(("W0001", {"t": T0 + n * MINUTE, "v": {"free_chlorine": 0.4 + n / 100, "turbidity": 0.5}}) for n in range(30)),
    *(("W0001", {"t": T0 + n * MINUTE, "v": {"free_chlorine": 0.4 + n / 100}}) for n in (3, 4)),
    ("W0001", {"t": T0 + 7 * MINUTE, "v": {"free_chlorine": 0.9}}),
    ("W0001", {"t": T0 + 8 * MINUTE, "v": {"turbidity": None}}),
    ("W0002", [{"t": T0 + n * MINUTE, "v": {"turbidity": float(n)}} for n in range(10)]),
    ("W0009", {"t": T0, "v": {"turbidity": 1.0}}),
    ("W0001", "rubbish"),
]


async def recorded(config: Config, payloads: list[tuple[str, object]]) -> None:
    """Publish, and record all of it with a recorder in this process."""
    engine = open_database(config.sql_url)
    stop = asyncio.Event()
    with closing(open_series_store(config)) as store:
        async with (
            await ReadingLog.connect(config, name="devices") as devices,
            await ReadingLog.connect(config, name="recorder") as log,
        ):
            last = 0
            for name, payload in payloads:
                last = await devices.publish(Topic("520425", name, "outlet", "json"), json.dumps(payload).encode())
            recording = asyncio.create_task(follow(Recorder(config, engine, store), log, stop))
            while await asyncio.to_thread(store.covered, "all") < last:
                assert not recording.done(), recording.result()
                await asyncio.sleep(0.05)
            stop.set()
            await recording
    engine.dispose()


def verified(config: Config) -> Verified:
    """As beside a running recorder: the embedded store is asked through its socket."""
    if config.series_store == "influx":
        return verify(config)
    store = open_series_store(config)
    server = SeriesServer(store, recorder_socket(config))
    try:
        return verify(config)
    finally:
        server.stop()
        store.close()


@pytest.fixture(params=["duckdb", pytest.param("influx", marks=pytest.mark.debian)])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Config]:
    if request.param == "influx" and influxd_path() is None:
        pytest.skip("influxd (Debian package influxdb) is not installed")
    with running_reading_log(tmp_path, retention_raw_days=0, retention_5min_days=0, retention_1h_days=0) as settings:
        upgrade(settings.sql_url)
        engine = open_database(settings.sql_url)
        with writing(engine) as connection:
            save_works(connection, [works("W0001"), works("W0002")])
        engine.dispose()
        if request.param == "duckdb":
            yield settings
            return
        with influx_server(tmp_path / "influx") as url:
            yield replace(settings, series_store="influx", influx_url=url, influx_api="v1", influx_bucket="q")


def tampered(config: Config, on_duckdb: Callable[[duckdb.DuckDBPyConnection], object], on_influx: list[str]) -> None:
    """Change the store behind the recorder's back; lines of InfluxQL, or of the line protocol."""
    if config.series_store == "duckdb":
        with duckdb.connect(str(config.data_path / "series.duckdb")) as connection:
            on_duckdb(connection)
        return
    with closing(InfluxDoor(config.influx_url, "", "", "q", "v1")) as door:
        for line in on_influx:
            (door.query if line.startswith(("DELETE", "DROP")) else door.write)([line])


def spans(found: Verified) -> list[tuple[str, str, str, int, int, int]]:
    return sorted(
        (d.kind, d.key.works, d.key.parameter, (d.first - T0) // MINUTE, (d.last - T0) // MINUTE, d.count)
        for d in found.differences
    )


def test_store_and_log_are_equal_until_somebody_changes_the_store(config: Config) -> None:
    asyncio.run(recorded(config, PAYLOADS))
    found = verified(config)
    assert found.is_equal, (found.differences, found.wrong_totals, found.lost_refusals)
    assert found.is_whole
    assert (found.rows.rows, found.rows.identities, found.rows.values) == (74, 70, 72)
    assert found.logged == found.stored == {"free_chlorine": 30, "turbidity": 40}
    assert found.log_checksum == found.store_checksum != 0
    assert found.quarantined == {"unknown_works": 1, "bad_shape": 1}
    place = "county=520425,works=W0001,point=outlet"
    is_series = "series = (SELECT id FROM series WHERE works = 'W0001' AND parameter = 'free_chlorine')"

    def damage(connection: duckdb.DuckDBPyConnection) -> None:
        span = [T0 + 10 * MINUTE, T0 + 12 * MINUTE]
        connection.execute("DELETE FROM reading WHERE observed_at BETWEEN ? AND ?", span)
        connection.execute(f"UPDATE reading SET value = 0.77 WHERE {is_series} AND observed_at = ?", [T0 + 20 * MINUTE])
        connection.execute("DELETE FROM conflict")
        connection.execute(
            f"INSERT INTO reading SELECT id, {T0 + 61_000}, 0, 1.0, 1 FROM series WHERE {is_series.replace('series', 'id', 1)}"
        )

    tampered(
        config,
        damage,
        [
            f"DELETE FROM reading WHERE time >= {T0 + 10 * MINUTE}ms AND time <= {T0 + 12 * MINUTE}ms",
            f"reading,{place} free_chlorine=0.77 {T0 + 20 * MINUTE}",
            "DROP SERIES FROM conflict",
            f"reading,{place} free_chlorine=1.0 {T0 + 61_000}",
        ],
    )
    found = verified(config)
    assert not found.is_equal
    assert found.log_checksum != found.store_checksum
    wanted = [
        ("conflict", "W0001", "free_chlorine", 7, 7, 1),
        ("conflict", "W0001", "turbidity", 8, 8, 1),
        ("extra", "W0001", "free_chlorine", 1, 1, 1),
        ("missing", "W0001", "free_chlorine", 10, 12, 3),
        ("missing", "W0001", "turbidity", 10, 12, 3),
        ("value", "W0001", "free_chlorine", 20, 20, 1),
    ]
    assert spans(found) == wanted
    assert found.stored["free_chlorine"] == 27


def test_a_purged_log_is_compared_as_far_as_it_reaches(config: Config) -> None:
    asyncio.run(recorded(config, PAYLOADS))

    async def purge() -> None:
        async with await ReadingLog.connect(config, name="purge") as log:
            await log.purge_to(11)

    asyncio.run(purge())
    found = verified(config)
    assert found.is_equal, (found.differences, found.wrong_totals)
    assert not found.is_whole
    assert found.logged["free_chlorine"] == 20 + 3  # minutes 10 to 29, and 3, 4 and 7 again
    assert found.log_checksum == found.store_checksum
