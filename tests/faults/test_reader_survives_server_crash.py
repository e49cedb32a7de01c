"""A reader goes through kill -9 of the server with every message once, in order."""

import asyncio
import time
from pathlib import Path

import pytest

from qingquan.domain.readings import LogMessage, Topic
from qingquan.errors import BrokerLost
from qingquan.store.reading_log import LogReader, ReadingLog, ensure_streams, resolve_log_config
from qingquan.store.reading_log.fetchers import FetcherKind
from qingquan.testing.servers import log_settings, started_server

KILLS = 3
TOPIC = Topic("520303", "W0001", "outlet", "json")


async def publish_until(log: ReadingLog, done: asyncio.Event, acknowledged: list[int]) -> None:
    """One message after the other; a lost one is sent again, as the bridge does."""
    while not done.is_set():
        try:
            acknowledged.append(await asyncio.wait_for(log.publish(TOPIC, b"%d" % len(acknowledged)), 0.5))
        except (BrokerLost, TimeoutError):
            await asyncio.sleep(0.05)


async def read_until(reader: LogReader, done: asyncio.Event, found: list[LogMessage]) -> None:
    while True:
        messages = await reader.fetch(500, 0.3)
        found += messages
        if done.is_set() and not messages and await reader.caught_up() is not None:
            return


@pytest.mark.parametrize("kind", ["natsrpy", "nats-py"])
def test_a_reader_gets_every_message_once_in_order_over_kill_9(tmp_path: Path, kind: FetcherKind) -> None:
    settings = log_settings(tmp_path)
    acknowledged: list[int] = []
    found: list[LogMessage] = []

    with started_server(settings) as server:
        config = resolve_log_config(settings)

        async def run() -> None:
            await ensure_streams(config)
            done = asyncio.Event()
            async with (
                await ReadingLog.connect(config, name="publisher") as publisher,
                await ReadingLog.connect(config, name="reader", fetcher=kind) as log,
            ):
                publishing = asyncio.create_task(publish_until(publisher, done, acknowledged))
                reading = asyncio.create_task(read_until(log.reader(1), done, found))
                for _ in range(KILLS):
                    before = len(acknowledged)
                    while len(acknowledged) < before + 200:
                        await asyncio.sleep(0.02)
                    await asyncio.to_thread(server.kill)
                    await asyncio.sleep(0.3)
                    await asyncio.to_thread(server.start)
                before = len(found)
                deadline = time.monotonic() + 15
                while len(found) < before + 200:
                    assert time.monotonic() < deadline, "the reader did not come back"
                    await asyncio.sleep(0.02)
                done.set()
                await asyncio.gather(publishing, reading)
                assert found[-1].sequence == await log.last_sequence()

        asyncio.run(run())

    sequences = [message.sequence for message in found]
    assert sequences == list(range(1, sequences[-1] + 1))
    assert set(acknowledged) <= set(sequences)
    assert len(acknowledged) > 200 * KILLS


def test_a_fetch_returns_in_time_while_the_server_is_away(tmp_path: Path) -> None:
    settings = log_settings(tmp_path)

    async def run() -> None:
        async with await ReadingLog.connect(config, name="reader") as log:
            reader = log.reader(1)
            sequence = await log.publish(TOPIC, b"{}")
            assert len(await reader.fetch(10, 1.0)) == 1
            await asyncio.to_thread(server.kill)
            began = time.monotonic()
            while reader.is_connected:
                assert await reader.fetch(10, 0.2) == []
                assert time.monotonic() < began + 5
            assert await reader.caught_up() is None
            began = time.monotonic()
            assert await reader.fetch(10, 0.5) == []
            assert time.monotonic() < began + 3.5
            with pytest.raises(BrokerLost):
                await log.last_sequence()
            await asyncio.to_thread(server.start)
            deadline = time.monotonic() + 10
            while not reader.is_connected:
                assert time.monotonic() < deadline
                assert await reader.fetch(10, 0.2) == []
            assert await reader.caught_up() == sequence

    with started_server(settings) as server:
        config = resolve_log_config(settings)
        asyncio.run(run())
