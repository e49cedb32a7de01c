"""A device of a cluster leaves a node that is gone or silent for the next one, and takes along what was not acknowledged."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.store.reading_log import ReadingLog
from qingquan.testing.ports import free_port
from qingquan.testing.servers import running_reading_log
from simulators.devices import Devices


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Config]:
    with running_reading_log(tmp_path) as config:
        yield config


def stored(config: Config) -> list[bytes]:
    async def read() -> list[bytes]:
        async with await ReadingLog.connect(config, name="test") as log:
            last, reader = await log.last_sequence(), log.reader(1)
            found = []
            while not found or found[-1].sequence < last:
                found += await reader.fetch(1000, 1.0)
        return [one.payload for one in found if ".520425." in one.subject]

    return asyncio.run(read())


def test_messages_reach_the_node_that_answers(log: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        brokers = [
            ("127.0.0.1", silent.getsockname()[1]), ("127.0.0.1", free_port()), (log.mqtt_host, log.mqtt_port),
        ]  # fmt: skip
        devices = Devices(log, 3, window=5, brokers=brokers, patience_s=0.3)
        sent = [b'{"t": %d}' % number for number in range(30)]
        for number, payload in enumerate(sent):
            devices.put(number % 3, "wq/520425/W0001/outlet/json", payload)
        assert devices.drain(20), (devices.published, devices.acknowledged)
        devices.close()
    assert sorted(stored(log)) == sorted(sent)
    assert devices.acknowledged == 30


def test_what_a_node_left_unanswered_is_sent_to_the_next(log: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.settimeout(10)
        devices = Devices(
            log, 1, window=5, brokers=[deaf.getsockname(), (log.mqtt_host, log.mqtt_port)], patience_s=0.5
        )
        devices.put(0, "wq/520425/W0001/outlet/json", b"kept")
        devices.pump(0.1)
        devices.pump(0.2)
        taken, _ = deaf.accept()
        with taken:
            # It lets the device in, takes its message, and answers no more.
            taken.sendall(b"\x20\x02\x00\x00")
            devices.pump(0.2)
            devices.pump(0.2)
            assert devices.published == 1
            assert devices.acknowledged == 0
            assert devices.drain(20)
        devices.close()
    assert stored(log) == [b"kept"]
    assert devices.reconnects == 1
