"""One suite for both client libraries behind the reading log, against a real embedded server."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.domain.readings import LogMessage, Topic
from qingquan.store.reading_log import CANARY_TOPIC, LogReader, ReadingLog, partition_of
from qingquan.store.reading_log.fetchers import FetcherKind
from qingquan.testing.servers import running_reading_log

PAYLOAD = b'{"t":1777777777000,"v":{"free_chlorine":0.45}}'


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with running_reading_log(tmp_path_factory.mktemp("log")) as settings:
        yield settings


@pytest.fixture(params=["natsrpy", "nats-py"])
def kind(request: pytest.FixtureRequest) -> FetcherKind:
    return request.param


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
