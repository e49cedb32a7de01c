"""The log server as a service: ready, restarted after a crash, counting what the MQTT door refuses."""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from qingquan.config import Config
from qingquan.domain.readings import Topic
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.services.log_server import QOS0_MESSAGES, RESTARTED, LogTail, run
from qingquan.store.reading_log import ReadingLog, resolve_log_config, self_test
from qingquan.testing.servers import log_settings, started_server


@dataclass
class Running:
    """A log server in a thread of the test."""

    config: Config
    counts: Counter[str] = field(default_factory=Counter)
    qos0: Counter[str] = field(default_factory=Counter)

    def add(self, counts: Mapping[str, int]) -> None:
        """Callback for counts."""
        self.counts.update(counts)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Until the condition holds, at most 15 s."""
        deadline = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.counts}"
            time.sleep(0.05)


@contextmanager
def running_log_server(settings: Config) -> Iterator[Running]:
    stop, ready, resolved = threading.Event(), threading.Event(), []
    server = Running(settings)

    def on_ready(config: Config) -> None:
        resolved.append(config)
        ready.set()

    thread = threading.Thread(
        target=lambda: run(settings, on_counts=server.add, on_ready=on_ready, on_qos0=server.qos0.update, stop=stop)
    )
    thread.start()
    try:
        assert ready.wait(15)
        (server.config,) = resolved
        yield server
    finally:
        stop.set()
        thread.join()


def publish(config: Config, client_id: str, topic: str, payload: bytes, qos: int = 1) -> None:
    """Connect, publish once, and leave after a moment, as the server may close the connection first."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.username_pw_set(config.mqtt_user, config.mqtt_password)
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", config.mqtt_port)
    client.loop_start()
    assert connected.wait(5)
    client.publish(topic, payload, qos=qos)
    time.sleep(0.2)
    client.disconnect()
    client.loop_stop()


def test_what_the_mqtt_door_refuses_is_counted_by_kind(tmp_path: Path) -> None:
    with running_log_server(log_settings(tmp_path)) as server:
        publish(server.config, "large", "wq/520303/W1/outlet/json", b"x" * 70_000)
        publish(server.config, "elsewhere", "xx/520303/W1/outlet/json", b"{}")
        publish(server.config, "forger", "$MQTT/msgs/wq/520303/W1/outlet/json", b"{}")
        publish(server.config, "exactly-once", "wq/520303/W1/outlet/json", b"{}", qos=2)
        publish(server.config, "blank", "wq/520303/W 1/outlet/json", b"{}")
        publish(server.config, "good", "wq/520303/W1/outlet/json", b"{}")
        expected = {"mqtt_payload_too_large", "mqtt_publish_violation", "mqtt_qos2_refused", "mqtt_bad_topic"}
        server.wait_for(lambda: expected <= set(server.counts), "not all refusals counted")
    assert set(server.counts) == expected
    assert server.counts["mqtt_publish_violation"] == 2


def test_a_crashed_server_is_started_again_on_the_same_ports(tmp_path: Path) -> None:
    with running_log_server(log_settings(tmp_path)) as server:
        pid = int((Path(server.config.data_dir) / "run" / "nats.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        server.wait_for(lambda: server.counts[RESTARTED], "not restarted")
        assert resolve_log_config(log_settings(tmp_path)) == server.config
        asyncio.run(self_test(server.config))
    assert server.counts == {RESTARTED: 1}


def test_a_device_on_qos_0_is_let_in_and_named_and_one_on_qos_1_is_not_stored_twice(tmp_path: Path) -> None:
    async def stored(config: Config) -> list[bytes]:
        async with await ReadingLog.connect(config, name="check") as log:
            return [message.payload for message in await log.reader(2).fetch(100, 0.5)]

    with running_log_server(log_settings(tmp_path)) as server:
        time.sleep(0.5)
        publish(server.config, "weak", "wq/520303/W9/outlet/json", b"weak", qos=0)
        publish(server.config, "sound", "wq/520303/W1/outlet/json", b"sound")
        server.wait_for(lambda: server.counts[QOS0_MESSAGES], "not counted")
        assert sorted(asyncio.run(stored(server.config))) == [b"sound", b"weak"]
    assert server.qos0 == {"wq/520303/W9/outlet/json": 1}
    assert server.counts == {QOS0_MESSAGES: 1}


def test_a_full_log_does_not_keep_the_server_from_starting(tmp_path: Path) -> None:
    settings = log_settings(tmp_path, log_max_bytes=50_000)

    async def fill(config: Config) -> None:
        async with await ReadingLog.connect(config, name="fill") as log:
            with pytest.raises(BrokerLost):
                await publish_without_end(log)

    async def record_and_purge(config: Config) -> None:
        async with await ReadingLog.connect(config, name="recorder") as log:
            assert await log.reader(1).fetch(1000, 1.0)
            await log.purge_to(await log.last_sequence())

    with started_server(settings):
        asyncio.run(fill(resolve_log_config(settings)))
    with running_log_server(settings) as server:
        asyncio.run(record_and_purge(server.config))
        asyncio.run(self_test(server.config))
        server.wait_for(lambda: server.counts["mqtt_log_full"], "the full log was not counted")


async def publish_without_end(log: ReadingLog) -> None:
    while True:
        await log.publish(Topic("520303", "W1", "outlet", "json"), b"x" * 1000)


def test_a_refused_start_raises_instead_of_trying_for_ever(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="log_sync_interval"):
        run(log_settings(tmp_path, log_sync_interval="1m"), stop=threading.Event())


def test_the_tail_counts_only_whole_new_lines_and_follows_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "nats.log"
    line = (
        '[7] 2026/05/01 08:00:00.000000 [ERR] 10.0.0.9:4711 - mid:9 - "x" - maximum payload exceeded: 70025 vs 65536\n'
    )
    path.write_text(line)
    tail = LogTail(path)
    assert tail.poll() == {}
    with path.open("a") as file:
        file.write(line + line[:60])
    assert tail.poll() == {"mqtt_payload_too_large": 1}
    with path.open("a") as file:
        file.write(line[60:])
    assert tail.poll() == {"mqtt_payload_too_large": 1}
    path.rename(tmp_path / "nats.log.1")
    assert tail.poll() == {}
    path.write_text(line * 3)
    assert tail.poll() == {"mqtt_payload_too_large": 3}
    assert tail.poll() == {}


def test_a_line_that_only_informs_is_not_a_refusal(tmp_path: Path) -> None:
    path = tmp_path / "nats.log"
    tail = LogTail(path)
    path.write_text("[7] 2026/05/01 08:00:00.000000 [INF] Publish Violation explained\n")
    assert tail.poll() == {}
