"""Quarantined messages go through the door again, against a real reading log and a real database."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TypeVar

import pytest
from sqlalchemy import Engine

from ingest.decode import Decoded, Decoder, PointDirectory
from qingquan.config import Config
from qingquan.domain.readings import Quarantined, QuarantineReason, SeriesCatalog, Topic
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.errors import BrokerLost, WrongUse
from qingquan.services.redrive import RedriveCounts, redrive, redrive_entries
from qingquan.services.web import LogLink
from qingquan.standards.loader import load_standards
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.quarantine import insert_quarantined, list_quarantined
from qingquan.testing.servers import running_reading_log

T = TypeVar("T")
AT = 1_777_593_600_000  # 2026-05-01 08:00 in Beijing
WORKS = Works(
    "520425", "W0077", "清泉水厂", "某镇", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 200, 1500,
    (SamplingPoint("outlet", PointKind.OUTLET, "出厂水"),),
)  # fmt: skip
TOPIC = Topic("520425", "W0077", "outlet", "json")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with running_reading_log(tmp_path_factory.mktemp("log")) as settings:
        yield settings


@pytest.fixture
def config(server: Config, tmp_path: Path) -> Config:
    """The shared log with a database of the test's own."""
    settings = replace(server, database_url=f"sqlite:///{tmp_path / 'test.db'}")
    upgrade(settings.sql_url)
    return settings


@pytest.fixture
def engine(config: Config) -> Iterator[Engine]:
    opened = open_database(config.sql_url)
    yield opened
    opened.dispose()


def in_log(config: Config, work: Callable[[ReadingLog], Awaitable[T]]) -> T:
    async def run() -> T:
        async with await ReadingLog.connect(config, name="test") as log:
            return await work(log)

    return asyncio.run(run())


def published(config: Config, payloads: Sequence[bytes], topic: Topic = TOPIC) -> list[int]:
    """Sequences of messages as a device would have left them."""

    async def work(log: ReadingLog) -> list[int]:
        return [await log.publish(topic, payload) for payload in payloads]

    return in_log(config, work)


def decoded(config: Config, engine: Engine, start: int, *works: Works) -> Decoded:
    """What the recorder makes of the log from ``start`` on, rejects in the quarantine."""
    decoder = Decoder(
        PointDirectory(works), SeriesCatalog(), load_standards().parameters, earliest_ms=0, future_tolerance_ms=300_000
    )

    async def work(log: ReadingLog) -> Decoded:
        reader, messages = log.reader(start), []
        while batch := await reader.fetch(1000, 0.2):
            messages += batch
        return decoder.decode(messages)

    result = in_log(config, work)
    with writing(engine) as connection:
        insert_quarantined(connection, result.quarantined)
    return result


def last_sequence(config: Config) -> int:
    return in_log(config, ReadingLog.last_sequence)


def waiting(engine: Engine) -> int:
    with reading(engine) as connection:
        return list_quarantined(connection, is_redriven=False).total


def message(**values: object) -> bytes:
    return json.dumps({"t": AT, "v": values}).encode()


def test_messages_of_a_works_registered_later_become_readings(config: Config, engine: Engine) -> None:
    first = published(config, [message(free_chlorine=0.45), message(free_chlorine=0.46, ph=7.4)])[0]
    assert [one.reason for one in decoded(config, engine, first).quarantined] == [QuarantineReason.UNKNOWN_WORKS] * 2
    assert redrive(config) == RedriveCounts(2, 0)
    after = decoded(config, engine, first + 2, WORKS)
    assert (after.messages, after.batch.value.tolist(), after.quarantined) == (2, [0.45, 0.46, 7.4], [])
    assert waiting(engine) == 0


def test_a_message_with_two_rejected_parts_is_published_once_and_its_good_part_keeps_its_key(
    config: Config, engine: Engine
) -> None:
    first = published(config, [message(free_chlorine=0.45, ph="sour", colour="blue")])[0]
    before = decoded(config, engine, first, WORKS)
    assert len(before.quarantined) == 2
    assert redrive(config) == RedriveCounts(1, 0)
    assert last_sequence(config) == first + 1
    again = decoded(config, engine, first + 1, WORKS)
    for mine, theirs in ((again.batch.observed_at, before.batch.observed_at), (again.batch.value, before.batch.value)):
        assert mine.tolist() == theirs.tolist()


def test_one_reason_takes_whole_messages_along_and_leaves_the_others(config: Config, engine: Engine) -> None:
    first = published(config, [message(ph="sour", colour=1), b"{", message(ph="sweet")])[0]
    decoded(config, engine, first, WORKS)
    assert waiting(engine) == 4
    assert redrive(config, "bad_value") == RedriveCounts(2, 0)
    with reading(engine) as connection:
        left = list_quarantined(connection, is_redriven=False)
    assert [(entry.item.reason, entry.item.sequence) for entry in left] == [(QuarantineReason.BAD_JSON, first + 1)]
    assert redrive(config, ids=[left[0].id]) == RedriveCounts(1, 0)
    assert redrive(config) == RedriveCounts(0, 0)


def test_what_is_set_aside_again_meanwhile_is_left_for_the_next_time(config: Config, engine: Engine) -> None:
    first = published(config, [b"{", b"["])[0]
    decoded(config, engine, first, WORKS)

    def recorder_keeps_up(_: int) -> None:
        aside = Thread(target=decoded, args=(config, engine, first + 2, WORKS))
        aside.start()
        aside.join()

    assert redrive(config, progress=recorder_keeps_up) == RedriveCounts(2, 0)
    assert waiting(engine) == 2


def test_what_never_was_in_the_log_cannot_go_and_does_not_stop_the_rest(config: Config, engine: Engine) -> None:
    first = published(config, [message(free_chlorine=0.45)])[0]
    decoded(config, engine, first)
    cut = Quarantined(
        QuarantineReason.BAD_TOPIC, "", 0, AT, "wq/520425/W.0077/outlet/json", "bridge:1", b"{}", "d1"
    )  # fmt: skip
    with writing(engine) as connection:
        insert_quarantined(connection, [cut, replace(cut, position="bridge:2", digest="d2")])
    counts = redrive(config)
    assert (counts.redriven, counts.failed) == (1, 2)
    assert "W.0077" in counts.error
    assert waiting(engine) == 2


def test_an_unknown_reason_names_the_allowed_ones(config: Config) -> None:
    with pytest.raises(WrongUse, match="--reason nonsense: allowed: bad_topic, unknown_dialect"):
        redrive(config, "nonsense")


def test_a_full_log_takes_nothing_and_everything_waits_on(tmp_path: Path) -> None:
    with running_reading_log(tmp_path, log_max_bytes=2**20) as config:
        upgrade(config.sql_url)
        engine = open_database(config.sql_url)
        first = published(config, [b"x" * 60_000] * 8)[0]
        decoded(config, engine, first, WORKS)
        with pytest.raises(BrokerLost):
            published(config, [b"y" * 60_000] * 20)
        counts = redrive(config)
        assert (counts.redriven, counts.failed) == (0, 8)
        assert "maximum bytes exceeded" in counts.error
        assert waiting(engine) == 8
        engine.dispose()


def test_the_console_sends_entries_over_the_connection_it_keeps(config: Config, engine: Engine) -> None:
    first = published(config, [message(ph="sour", colour=1), b"{"])[0]
    decoded(config, engine, first, WORKS)
    with reading(engine) as connection:
        entries = list(list_quarantined(connection))
    link = LogLink(config)
    shown = [entry.id for entry in entries if entry.item.sequence == first]

    async def console() -> list[int]:
        async with link.lifespan(None):  # type: ignore[arg-type]
            while await asyncio.to_thread(link.logged) is None:
                await asyncio.sleep(0.05)
            return [
                await asyncio.to_thread(redrive_entries, engine, link.publish, config.clock.now_ms, shown)
                for _ in range(2)
            ]

    assert asyncio.run(console()) == [2, 0]
    assert last_sequence(config) == first + 2
    assert waiting(engine) == 1
