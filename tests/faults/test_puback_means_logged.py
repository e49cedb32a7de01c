"""A PUBACK means that READINGS holds the message: under kill -9 of the server, and when the log is full."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from qingquan.config import Config
from qingquan.domain.readings import LogMessage
from qingquan.store.reading_log import ReadingLog, resolve_log_config
from qingquan.testing.servers import log_settings, started_server

WINDOW = 100


class Device:
    """Publishes numbered messages at QoS 1 as fast as its window allows and keeps what got a PUBACK.

    Like a real one it connects again and repeats what was not acknowledged.
    """

    def __init__(self, config: Config, name: str) -> None:
        self.name = name
        self._payload_of: dict[int, bytes] = {}
        self._acknowledged: list[int] = []
        self._room = threading.Semaphore(WINDOW)
        self._done = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name)
        self._client.username_pw_set(config.mqtt_user, config.mqtt_password)
        self._client.max_inflight_messages_set(WINDOW)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._on_publish
        self._client.connect("127.0.0.1", config.mqtt_port)
        self._client.loop_start()
        self._thread = threading.Thread(target=self._publish)
        self._thread.start()

    @property
    def sent(self) -> int:
        """Messages given to the client library."""
        return len(self._payload_of)

    @property
    def puback_count(self) -> int:
        """PUBACKs so far."""
        return len(self._acknowledged)

    def acknowledged(self) -> set[bytes]:
        """Payloads that got their PUBACK."""
        return {self._payload_of[mid] for mid in list(self._acknowledged)}

    def stop(self) -> None:
        """Publish no more; wait a little for PUBACKs still under way."""
        self._done.set()
        self._thread.join()
        deadline = time.monotonic() + 3
        while self.puback_count < self.sent and time.monotonic() < deadline:
            time.sleep(0.05)
        self._client.disconnect()
        self._client.loop_stop()

    def _publish(self) -> None:
        while not self._done.is_set():
            if self._room.acquire(timeout=0.1):
                payload = f"{self.name}:{self.sent}".encode()
                message = self._client.publish(f"wq/520303/{self.name}/outlet/json", payload, qos=1)
                assert message.mid not in self._payload_of, "message ids wrapped: shorten the test"
                self._payload_of[message.mid] = payload

    def _on_publish(self, _c: object, _u: object, mid: int, _reason: ReasonCode, _p: object) -> None:
        self._acknowledged.append(mid)
        self._room.release()


@contextmanager
def devices(config: Config, count: int) -> Iterator[list[Device]]:
    running = [Device(config, f"W{number}") for number in range(count)]
    try:
        yield running
    finally:
        for device in running:
            device.stop()


def stored_payloads(config: Config) -> list[bytes]:
    async def read() -> list[bytes]:
        async with await ReadingLog.connect(config, name="check") as log:
            reader = log.reader(1)
            found: list[LogMessage] = []
            last = await log.last_sequence()
            while not found or found[-1].sequence < last:
                found += await reader.fetch(5000, 1.0)
            return [message.payload for message in found]

    return asyncio.run(read())


def test_every_message_with_a_puback_is_in_the_log_after_kill_9(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = log_settings(tmp_path)
    with started_server(settings) as server:
        config = resolve_log_config(settings)
        with devices(config, 4) as running:
            for round_ in range(4):
                before = sum(device.puback_count for device in running)
                time.sleep(1.2)
                server.kill()
                after = sum(device.puback_count for device in running)
                assert after > before, f"no load in round {round_}: the kill would prove nothing"
                server.start()
            time.sleep(1.5)
        stored = stored_payloads(config)

    acknowledged = set().union(*(device.acknowledged() for device in running))
    missing = acknowledged - set(stored)
    with capsys.disabled():
        print(f"\n4 kills: {len(acknowledged)} acknowledged, {len(missing)} missing, {len(stored)} stored")
    assert len(acknowledged) > 2000
    assert not missing


def test_a_full_log_gives_no_puback_and_takes_the_kept_messages_after_a_purge(tmp_path: Path) -> None:
    settings = log_settings(tmp_path, log_max_bytes=30_000)
    with started_server(settings) as server:
        config = resolve_log_config(settings)
        with devices(config, 1) as (device,):
            deadline = time.monotonic() + 10
            while b"maximum bytes exceeded" not in server.log_file.read_bytes():
                assert time.monotonic() < deadline, "the log never became full"
                time.sleep(0.05)
            time.sleep(1.5)
            acknowledged = device.acknowledged()
            stored = stored_payloads(config)
            assert 0 < len(stored) < device.sent
            assert acknowledged <= set(stored)

            asyncio.run(purge_all(config))
            deadline = time.monotonic() + 10
            while device.puback_count == len(acknowledged):
                assert time.monotonic() < deadline, "no PUBACK after the purge"
                time.sleep(0.05)


async def purge_all(config: Config) -> None:
    async with await ReadingLog.connect(config, name="purge") as log:
        await log.purge_to(await log.last_sequence())
        assert (await log.info()).messages == 0
