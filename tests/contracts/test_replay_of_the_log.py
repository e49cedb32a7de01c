"""A real log replayed from its beginning by a fresh evaluator and a fresh recorder: what their stores hold is equal, byte for byte."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import select

from qingquan.config import Config
from qingquan.domain.findings import AS_OF
from qingquan.domain.readings import SeriesKey, Topic
from qingquan.services import evaluator, recorder
from qingquan.services.evaluator import Evaluator
from qingquan.services.recorder import Recorder, follow
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.duckdb import DuckdbSeriesStore
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.progress import applied_sequence, counts
from qingquan.store.sql.quarantine import list_quarantined
from qingquan.store.sql.register import save_works
from qingquan.store.sql.schema import finding
from qingquan.testing.engine import MINUTE, make_works
from qingquan.testing.servers import running_reading_log

REGISTER = [make_works(f"W{number}", ("free_chlorine", "turbidity", "flow")) for number in range(12)]
MINUTES = 90
TOGETHER = 5


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with running_reading_log(tmp_path_factory.mktemp("log")) as config:
        asyncio.run(_publish(config))
        yield config


async def _publish(config: Config) -> None:
    """Bad water and good, uploads that change places, come again, come hours late or contradict themselves, and rubbish."""
    begun = config.clock.now_ms() // MINUTE * MINUTE - (MINUTES + 1) * MINUTE
    async with await ReadingLog.connect(config, name="devices") as log:
        sent = [
            (one, first) for first in range(0, MINUTES, TOGETHER) for one in range(len(REGISTER)) if (one + first) % 23
        ]
        sent += [
            (one, first)
            for first in range(0, MINUTES, TOGETHER)
            for one in range(len(REGISTER))
            if not (one + first) % 23
        ]
        sent[20:40], sent[100] = reversed(sent[20:40]), sent[99]
        sent += sent[::9]
        for number, (one, first) in enumerate(sent):
            topic = Topic(REGISTER[one].county, REGISTER[one].id, "outlet", "json")
            rows = [{"t": begun + m * MINUTE, "v": _values(one, m)} for m in range(first, first + TOGETHER)]
            await log.publish(topic, json.dumps(rows).encode())
            if number % 40 == 7:
                await log.publish(topic, json.dumps({"t": begun + first * MINUTE, "v": {"turbidity": 0.77}}).encode())
            if number % 40 == 11:
                await log.publish(topic, b'{"t": 1, "v": {"tur')
            if number % 40 == 13:
                await log.publish(topic._replace(works="W99"), json.dumps(rows).encode())


def _values(one: int, minute: int) -> dict[str, float]:
    is_bad = 20 <= minute < 70
    return {
        "free_chlorine": 0.02 + minute / 100_000 if one % 4 == 0 and is_bad else 0.5 + minute / 1000,
        "turbidity": (6.0 if one % 4 == 1 and is_bad else 0.4) + minute / 1000,
        "flow": 8.0,
    }


@dataclass(frozen=True)
class Held:
    """Everything the stores hold, as bytes."""

    readings: bytes
    conflicts: bytes
    aside: bytes
    findings: bytes
    totals: bytes


def replayed(log: Config, folder: Path, batch: int, monkeypatch: pytest.MonkeyPatch) -> Held:
    """Fresh stores, a fresh evaluator and a fresh recorder, both reading ``batch`` messages at a time."""
    monkeypatch.setattr(evaluator, "FETCH_MESSAGES", batch)
    monkeypatch.setattr(recorder, "BATCH_MESSAGES", batch)
    config = replace(log, data_dir=str(folder), database_url=f"sqlite:///{folder / 'fresh.db'}")
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_works(connection, REGISTER)
    with closing(DuckdbSeriesStore(folder / "series.duckdb")) as series:
        asyncio.run(_run(config, Recorder(config, engine, series), Evaluator(config, engine)))
        keys = [
            SeriesKey(one.county, one.id, "outlet", name)
            for one in REGISTER
            for name in ("free_chlorine", "turbidity", "flow")
        ]
        rows = series.readings(keys, 0, 2**60)
        readings = b"".join(column.tobytes() for column in (rows.first, rows.observed_at, rows.value, rows.flag))
        trends = [series.conflicts(key, 0, 2**60) for key in keys]
        conflicts = b"".join(
            column.tobytes()
            for one in trends
            for column in (one.observed_at, *map(one.columns.get, sorted(one.columns)))
        )
        totals = series.counts()
    with reading(engine) as connection:
        aside = [one.item for one in list_quarantined(connection, limit=10_000).items]
        # When a finding was last written down, and which reading was the newest then, is no part of what was found.
        found = [
            row | {"updated_at": 0, "evidence": row["evidence"] | {AS_OF: 0}}
            for row in map(dict, connection.execute(select(finding).order_by(finding.c.id)).mappings())
        ]
        judged = {name: value for name, value in counts(connection).items() if name.startswith("evaluated.")}
    engine.dispose()
    encoded = msgspec.json.encode
    return Held(readings, conflicts, repr(aside).encode(), encoded(found), encoded([totals, judged]))


async def _run(config: Config, recording: Recorder, judging: Evaluator) -> None:
    stop = asyncio.Event()
    async with await ReadingLog.connect(config, name="recorder") as log:
        last = await log.last_sequence()
        tasks = [asyncio.create_task(judging.run(stop)), asyncio.create_task(follow(recording, log, stop))]
        engine = open_database(config.sql_url)
        deadline = time.monotonic() + 60
        while True:
            with reading(engine) as connection:
                judged = applied_sequence(connection, 0)
            if judged >= last and await asyncio.to_thread(recording.covered) >= last:
                break
            assert time.monotonic() < deadline, (judged, last)
            await asyncio.sleep(0.05)
        engine.dispose()
        # One more round at rest: the newest evidence of what lasts is told then.
        await asyncio.sleep(1.5)
        stop.set()
        await asyncio.gather(*tasks)


def test_a_replay_reproduces_store_and_findings_byte_for_byte(
    log: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = replayed(log, tmp_path / "once", 4096, monkeypatch)
    again = replayed(log, tmp_path / "again", 7, monkeypatch)
    assert again == once
    assert len(once.readings) > 12 * MINUTES * 3 * 17
    assert once.conflicts
    assert b"bad_json" in once.aside
    assert b"unknown_works" in once.aside
    assert once.findings.count(b"exceedance") >= 3
    assert once.findings.count(b"disinfection_missing") >= 3
