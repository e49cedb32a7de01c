"""One suite for both client libraries behind the reading log, against a real embedded server."""

import asyncio
import random
import string
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.domain.readings import LogMessage, Topic
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log import CANARY_TOPIC, LogReader, ReadingLog, partition_of
from qingquan.store.reading_log.credentials import free_port
from qingquan.store.reading_log.fetchers import FetcherKind
from qingquan.testing.servers import running_reading_log

PAYLOAD = b'{"t":1777777777000,"v":{"free_chlorine":0.45}}'


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with running_reading_log(tmp_path_factory.mktemp("log")) as settings:
        yield settings


@pytest.fixture(params=["natsrpy", "nats-py"])
def kind(request: pytest.FixtureRequest) -> FetcherKind:
    chosen: FetcherKind = request.param
    return chosen


def in_log(config: Config, kind: FetcherKind, work: Callable[[ReadingLog], Awaitable[None]]) -> None:
    async def run() -> None:
        async with await ReadingLog.connect(config, name="contract", fetcher=kind) as log:
            await work(log)

    asyncio.run(run())


async def publish_many(log: ReadingLog, count: int, county: str = "520303") -> list[int]:
    topics = [Topic(county, f"W{number % 40:04d}", "outlet", "json") for number in range(count)]
    return [await log.publish(topic, PAYLOAD + b"%d" % number) for number, topic in enumerate(topics)]


async def read_all(reader: LogReader, limit: int = 70, wait_s: float = 0.1) -> list[LogMessage]:
    found: list[LogMessage] = []
    while batch := await reader.fetch(limit, wait_s):
        found += batch
    return found


def test_a_reader_gets_every_message_once_in_order(config: Config, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        published = await publish_many(log, 500)
        messages = await read_all(log.reader(published[0]))
        assert [message.sequence for message in messages] == published
        assert [message.payload for message in messages] == [PAYLOAD + b"%d" % number for number in range(500)]
        part = partition_of("520303", "W0007", config.log_partitions)
        assert messages[7].subject == f"part.{part}.wq.520303.W0007.outlet.json"

    in_log(config, kind, work)


def test_a_reader_starts_where_it_is_told(config: Config, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        published = await publish_many(log, 20)
        messages = await read_all(log.reader(published[12]))
        assert [message.sequence for message in messages] == published[12:]

    in_log(config, kind, work)


def test_an_idle_reader_waits_no_longer_than_asked_and_wakes_at_the_first_message(
    config: Config, kind: FetcherKind
) -> None:
    async def work(log: ReadingLog) -> None:
        reader = log.reader(await log.last_sequence() + 1)
        assert await reader.fetch(100, 0.1) == []
        assert reader.is_connected
        waiting = asyncio.ensure_future(reader.fetch(100, 20.0))
        await asyncio.sleep(0.1)
        sequence = await log.publish(Topic("520303", "W1", "outlet", "json"), PAYLOAD)
        messages = await asyncio.wait_for(waiting, 5)
        assert [message.sequence for message in messages] == [sequence]

    in_log(config, kind, work)


def test_a_batch_is_never_larger_than_the_limit(config: Config, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        published = await publish_many(log, 25)
        reader = log.reader(published[0])
        sizes = [len(await reader.fetch(10, 0.1)) for _ in range(4)]
        assert max(sizes) == 10
        assert sum(sizes) == 25

    in_log(config, kind, work)


def test_a_partition_reader_gets_its_works_alone_and_covers_the_rest(config: Config, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        published = await publish_many(log, 200)
        reader = log.reader(published[0], partition=3)
        assert await reader.caught_up() is None
        messages = await read_all(reader)
        expected = [n for n in range(200) if partition_of("520303", f"W{n % 40:04d}", config.log_partitions) == 3]
        assert [message.sequence for message in messages] == [published[n] for n in expected]
        assert await reader.caught_up() == published[-1]
        last = await log.publish(next(t for t in works_of_partition(3, config)), PAYLOAD)
        assert await reader.caught_up() is None
        assert [message.sequence for message in await read_all(reader)] == [last]

    in_log(config, kind, work)


def works_of_partition(partition: int, config: Config) -> Iterator[Topic]:
    for number in range(1000):
        if partition_of("520303", f"W{number}", config.log_partitions) == partition:
            yield Topic("520303", f"W{number}", "outlet", "json")


def test_a_reader_whose_consumer_vanished_goes_on_without_gap_or_repeat(config: Config, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        published = await publish_many(log, 60)
        reader = log.reader(published[0])
        first = await reader.fetch(20, 0.1)
        await delete_consumers(log)
        rest = await read_all(reader, limit=20, wait_s=0.5)
        assert [message.sequence for message in first + rest] == published

    in_log(config, kind, work)


def test_a_batch_lost_on_the_way_is_fetched_again(config: Config, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        published = await publish_many(log, 60)
        reader = log.reader(published[0])
        first = await reader.fetch(20, 0.1)
        # Taken by nobody: as if the connection had broken while they were on the wire.
        await reader._fetcher.fetch(15, 0.1)
        rest = await read_all(reader, limit=20, wait_s=0.5)
        assert [message.sequence for message in first + rest] == published

    in_log(config, kind, work)


async def delete_consumers(log: ReadingLog) -> None:
    names = (await log._api("CONSUMER.NAMES.READINGS"))["consumers"]
    for name in names:
        await log._api(f"CONSUMER.DELETE.READINGS.{name}")
    assert names


def test_a_position_beyond_the_end_means_another_log_and_reads_all_of_it(config: Config, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        published = await publish_many(log, 5)
        messages = await read_all(log.reader(published[-1] + 1000), limit=5000)
        assert [message.sequence for message in messages] == list(range(1, published[-1] + 1))

    in_log(config, kind, work)


def test_storage_time_comes_as_time_of_the_shared_clock(config: Config, kind: FetcherKind) -> None:
    now_ms = time.time_ns() // 1_000_000
    fast = replace(config, clock_speed=60.0, clock_epoch_ms=now_ms - 10_000)

    async def work(log: ReadingLog) -> None:
        sequence = await log.publish(Topic("520303", "W1", "outlet", "json"), PAYLOAD)
        (message,) = await log.reader(sequence).fetch(1, 1.0)
        assert abs(message.received_at - fast.clock.now_ms()) < 60_000
        assert message.received_at - now_ms >= 590_000 - 60_000

    in_log(fast, kind, work)


def test_wall_clock_storage_time_is_now(config: Config, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        before = time.time_ns() // 1_000_000
        sequence = await log.publish(Topic("520303", "W1", "outlet", "json"), PAYLOAD)
        (message,) = await log.reader(sequence).fetch(1, 1.0)
        assert before - 1 <= message.received_at <= time.time_ns() // 1_000_000 + 1

    in_log(config, kind, work)


def test_the_first_message_of_a_fresh_log_is_the_canary_of_the_reserved_county(
    config: Config, kind: FetcherKind
) -> None:
    async def work(log: ReadingLog) -> None:
        (message,) = await log.reader(1).fetch(1, 1.0)
        assert message.subject.endswith(".wq." + ".".join(CANARY_TOPIC))
        assert CANARY_TOPIC.county == "000000"

    in_log(config, kind, work)


def test_the_partition_function_agrees_with_the_server_over_many_names(config: Config) -> None:
    alphabet = string.ascii_letters + string.digits + "_-"
    pick = random.Random(20260501)
    names = ["".join(pick.choices(alphabet, k=pick.randint(1, 64))) for _ in range(300)]
    topics = [Topic(f"{pick.randint(0, 999_999):06d}", name, "outlet", "json") for name in names]

    async def work(log: ReadingLog) -> None:
        first = (await asyncio.gather(*(log.publish(topic, b"{}") for topic in topics)))[0]
        messages = await read_all(log.reader(first), limit=1000)
        assert len(messages) == len(topics)
        for message in messages:
            _, part, _, county, works, *_ = message.subject.split(".")
            assert int(part) == partition_of(county, works, config.log_partitions)

    in_log(config, "natsrpy", work)


def test_purging_frees_what_is_recorded_and_leaves_the_rest(tmp_path: Path, kind: FetcherKind) -> None:
    async def work(log: ReadingLog) -> None:
        published = await publish_many(log, 30)
        await log.purge_to(0)
        assert await log.first_sequence() == 1
        await log.purge_to(published[9])
        info = await log.info()
        assert (info.first, info.last, info.messages) == (published[10], published[29], 20)
        messages = await read_all(log.reader(1))
        assert [message.sequence for message in messages] == published[10:]
        await log.purge_to(published[-1])
        assert await log.last_sequence() == published[-1]
        reader = log.reader(1)
        assert await read_all(reader) == []
        assert await reader.caught_up() == published[-1]

    with running_reading_log(tmp_path) as settings:
        in_log(settings, kind, work)


def test_a_full_log_refuses_a_publish_with_a_word_about_it(tmp_path: Path) -> None:
    async def work(log: ReadingLog) -> None:
        with pytest.raises(BrokerLost, match="maximum bytes exceeded"):
            await publish_many(log, 1000)

    with running_reading_log(tmp_path, log_max_bytes=20_000) as settings:
        in_log(settings, "natsrpy", work)


def test_no_server_is_broker_lost_and_a_wrong_password_a_configuration_error(config: Config) -> None:
    async def connect(settings: Config) -> None:
        await ReadingLog.connect(settings, name="contract", wait_s=0.5)

    with pytest.raises(BrokerLost, match="no NATS server answers"):
        asyncio.run(connect(replace(config, log_url=f"nats://127.0.0.1:{free_port()}")))
    with pytest.raises(ConfigurationError, match="log_user"):
        asyncio.run(connect(replace(config, log_password="wrong")))
