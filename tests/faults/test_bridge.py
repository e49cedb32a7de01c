"""The bridge loses nothing that an outside broker promised to deliver, whatever breaks."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from ingest.bridge import Bridge, BridgeSettings
from ingest.bridge_link import Incoming, Link
from qingquan.config import Config
from qingquan.domain.readings import Quarantined, QuarantineReason, Topic
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.services.bridge import bridge_settings
from qingquan.store.reading_log import ReadingLog, resolve_log_config
from qingquan.store.sql.engine import open_database, reading, upgrade
from qingquan.store.sql.progress import counts as stored_counts
from qingquan.store.sql.quarantine import list_quarantined
from qingquan.testing.brokers import Mosquitto, OutsideBroker, PlainNats
from qingquan.testing.servers import log_settings, running_reading_log, started_server

TOPIC = "wq/520425/W0077/outlet/json"
BROKERS = [pytest.param((Mosquitto, "3.1.1"), id="mosquitto-3.1.1", marks=pytest.mark.debian),
           pytest.param((Mosquitto, "5"), id="mosquitto-5", marks=pytest.mark.debian),
           pytest.param((PlainNats, "3.1.1"), id="nats-3.1.1")]  # fmt: skip


class Log:
    """A log and a quarantine that can be away, as the real ones can."""

    def __init__(self) -> None:
        self.messages: list[tuple[Topic, bytes]] = []
        self.aside: list[Quarantined] = []
        self.is_away = False
        self.is_broken = False

    async def publish(self, topic: Topic, payload: bytes) -> int:
        await asyncio.sleep(0)
        if self.is_broken:
            raise RuntimeError("a fault of our own")
        if self.is_away:
            raise BrokerLost("away")
        self.messages.append((topic, payload))
        return len(self.messages)

    async def set_aside(self, item: Quarantined) -> None:
        if self.is_away:
            raise StoreUnavailable("away")
        self.aside.append(item)


@pytest.fixture(params=BROKERS)
def outside(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OutsideBroker, BridgeSettings]]:
    kind, protocol = request.param
    if kind.missing():
        pytest.skip(kind.missing())
    broker = kind(tmp_path / "outside")
    broker.start()
    try:
        yield broker, BridgeSettings("127.0.0.1", broker.port, client_id="bridge", protocol=protocol, keepalive_s=5)
    finally:
        broker.stop()


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[tuple[OutsideBroker, BridgeSettings]]:
    if Mosquitto.missing():
        pytest.skip(Mosquitto.missing())
    broker = Mosquitto(tmp_path / "outside")
    broker.start()
    try:
        yield broker, BridgeSettings("127.0.0.1", broker.port, client_id="bridge", keepalive_s=5)
    finally:
        broker.stop()


@asynccontextmanager
async def _bridging(settings: BridgeSettings, log: Log) -> AsyncIterator[Bridge]:
    bridge = Bridge(settings, log.publish, log.set_aside, lambda: 1_777_593_600_000)
    stop = asyncio.Event()
    running = asyncio.create_task(bridge.run(stop))
    await _until(lambda: bridge.is_connected)
    try:
        yield bridge
    finally:
        stop.set()
        await asyncio.wait_for(running, 20)


async def _until(condition: object, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.01)


def _send(port: int, messages: list[tuple[str, bytes]], qos: int = 1) -> None:
    """Publish as a device, and return once the broker has taken everything."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="device")
    client.max_inflight_messages_set(0)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        for info in [client.publish(topic, payload, qos) for topic, payload in messages]:
            info.wait_for_publish(15)
            assert info.is_published()
    finally:
        client.disconnect()
        client.loop_stop()


def _numbered(first: int, last: int) -> list[tuple[str, bytes]]:
    return [(TOPIC, b"%d" % n) for n in range(first, last)]


def _arrived(log: Log) -> set[int]:
    return {int(payload) for _, payload in log.messages}


def test_messages_go_from_the_outside_broker_to_the_log(outside: tuple[OutsideBroker, BridgeSettings]) -> None:
    broker, settings = outside

    async def scene() -> None:
        log = Log()
        async with _bridging(settings, log) as bridge:
            await asyncio.to_thread(_send, broker.port, _numbered(0, 500))
            await _until(lambda: bridge.counts.acknowledged == 500)
        assert [payload for _, payload in log.messages] == [b"%d" % n for n in range(500)]
        assert {topic for topic, _ in log.messages} == {Topic("520425", "W0077", "outlet", "json")}
        assert (bridge.counts.received, bridge.counts.forwarded, bridge.counts.quarantined) == (500, 500, 0)

    asyncio.run(scene())


def test_nothing_is_acknowledged_while_the_log_is_away(
    outside: tuple[OutsideBroker, BridgeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, settings = outside
    monkeypatch.setattr("ingest.bridge.LEAVE_WAIT_S", 0.3)

    async def scene() -> None:
        log = Log()
        log.is_away = True
        async with _bridging(settings, log) as bridge:
            await asyncio.to_thread(_send, broker.port, _numbered(0, 300))
            await _until(lambda: bridge.counts.received > 0 and bridge.counts.retries > 0)
            assert bridge.counts.acknowledged == 0
        # The bridge left without having acknowledged anything: all of it comes again.
        assert log.messages == []
        log.is_away = False
        async with _bridging(settings, log):
            await _until(lambda: _arrived(log) == set(range(300)))

    asyncio.run(scene())


def test_a_log_that_comes_back_gets_what_waited(outside: tuple[OutsideBroker, BridgeSettings]) -> None:
    broker, settings = outside

    async def scene() -> None:
        log = Log()
        log.is_away = True
        async with _bridging(settings, log) as bridge:
            await asyncio.to_thread(_send, broker.port, _numbered(0, 300))
            await _until(lambda: bridge.counts.retries > 0)
            log.is_away = False
            await _until(lambda: _arrived(log) == set(range(300)) and bridge.counts.acknowledged >= 300)

    asyncio.run(scene())


def test_a_restarted_broker_is_found_again_and_still_knows_us(outside: tuple[OutsideBroker, BridgeSettings]) -> None:
    broker, settings = outside

    async def scene() -> None:
        log = Log()
        async with _bridging(settings, log) as bridge:
            await asyncio.to_thread(_send, broker.port, _numbered(0, 100))
            await _until(lambda: bridge.counts.acknowledged == 100)
            broker.stop()
            await _until(lambda: not bridge.is_connected)
            broker.start()
            await asyncio.to_thread(_send, broker.port, _numbered(100, 200))
            await _until(lambda: _arrived(log) == set(range(200)))
            # What waited comes right behind the broker's answer, in the same turn: before the connection is counted.
            await _until(lambda: bridge.counts.connections >= 2)
            assert bridge.counts.sessions_lost == 0

    asyncio.run(scene())


def test_what_was_sent_while_the_bridge_was_away_arrives_later(outside: tuple[OutsideBroker, BridgeSettings]) -> None:
    broker, settings = outside

    async def scene() -> None:
        log = Log()
        async with _bridging(settings, log):
            pass
        await asyncio.to_thread(_send, broker.port, _numbered(0, 200))
        async with _bridging(settings, log):
            await _until(lambda: _arrived(log) == set(range(200)))

    asyncio.run(scene())


def test_bad_topics_and_large_payloads_go_to_quarantine_and_are_acknowledged(
    mosquitto: tuple[OutsideBroker, BridgeSettings],
) -> None:
    broker, settings = mosquitto
    large = b"x" * 70_000

    async def scene() -> None:
        log = Log()
        async with _bridging(settings, log) as bridge:
            odd = [
                ("wq/5204/W0077/outlet/json", b"1"),
                ("wq/520425/清泉/outlet/json", b"2"),
                (TOPIC, large),
                (TOPIC, b"3"),
            ]
            await asyncio.to_thread(_send, broker.port, odd)
            await _until(lambda: bridge.counts.acknowledged == 4)
        assert [payload for _, payload in log.messages] == [b"3"]
        found = {item.subject: item for item in log.aside}
        assert found["wq/5204/W0077/outlet/json"].reason is QuarantineReason.BAD_TOPIC
        assert "6-digit" in found["wq/5204/W0077/outlet/json"].detail
        assert found["wq/520425/清泉/outlet/json"].payload == b"2"
        assert found[TOPIC].reason is QuarantineReason.PAYLOAD_TOO_LARGE
        assert (len(found[TOPIC].payload), found[TOPIC].digest) == (65_536, sha256(large).hexdigest())
        assert len({item.position for item in log.aside}) == 3
        assert bridge.counts.quarantined == 3

    asyncio.run(scene())


def test_messages_on_qos_0_are_let_in_and_counted_as_such(outside: tuple[OutsideBroker, BridgeSettings]) -> None:
    broker, settings = outside

    async def scene() -> None:
        log = Log()
        async with _bridging(settings, log) as bridge:
            await asyncio.to_thread(_send, broker.port, _numbered(0, 50), 0)
            await _until(lambda: _arrived(log) == set(range(50)))
            assert (bridge.counts.qos0, bridge.counts.acknowledged) == (50, 0)

    asyncio.run(scene())


def test_a_fault_of_our_own_neither_loses_messages_nor_ends_the_bridge(
    mosquitto: tuple[OutsideBroker, BridgeSettings],
) -> None:
    broker, settings = mosquitto

    async def scene() -> None:
        log = Log()
        log.is_broken = True
        async with _bridging(settings, log) as bridge:
            await asyncio.to_thread(_send, broker.port, _numbered(0, 10))
            await _until(lambda: bridge.counts.retries >= 10)
            assert bridge.counts.acknowledged == 0
            log.is_broken = False
            await _until(lambda: _arrived(log) == set(range(10)))

    asyncio.run(scene())


def test_an_exception_in_the_message_callback_leaves_the_connection_alive(
    mosquitto: tuple[OutsideBroker, BridgeSettings],
) -> None:
    broker, settings = mosquitto
    seen: list[bytes] = []

    def callback(link: Link, message: Incoming) -> None:
        if message.payload == b"0":
            raise RuntimeError("in the callback")
        seen.append(message.payload)
        link.acknowledge(message)

    async def scene() -> None:
        link = Link(settings, callback)
        await link.open()
        await asyncio.to_thread(_send, broker.port, _numbered(0, 3))
        await _until(lambda: seen == [b"1", b"2"])
        assert not link.closed.is_set()
        await link.close()

    asyncio.run(scene())


def test_messages_that_lie_ready_are_taken_in_one_turn(
    mosquitto: tuple[OutsideBroker, BridgeSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, settings = mosquitto
    turns = 0
    read = Link._read

    def counted(link: Link) -> None:
        nonlocal turns
        turns += 1
        read(link)

    async def scene() -> None:
        log = Log()
        async with _bridging(settings, log):
            pass
        await asyncio.to_thread(_send, broker.port, _numbered(0, 400))
        monkeypatch.setattr(Link, "_read", counted)
        async with _bridging(settings, log):
            await _until(lambda: _arrived(log) == set(range(400)))

    asyncio.run(scene())
    assert turns < 200


def test_messages_in_work_are_bounded(mosquitto: tuple[OutsideBroker, BridgeSettings]) -> None:
    broker, _ = mosquitto
    narrow = BridgeSettings("127.0.0.1", broker.port, client_id="bridge", window=5)

    async def scene() -> None:
        log = Log()
        log.is_away = True
        async with _bridging(narrow, log) as bridge:
            await asyncio.to_thread(_send, broker.port, _numbered(0, 100))
            await _until(lambda: bridge.counts.retries > 10)
            assert bridge.counts.received <= 5
            log.is_away = False
            await _until(lambda: _arrived(log) == set(range(100)))

    asyncio.run(scene())


def test_a_broker_that_falls_silent_is_left_and_found_again() -> None:
    async def scene() -> None:
        connects = 0

        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connects
            connects += 1
            await reader.read(1024)
            writer.write(b"\x20\x02\x00\x00")  # CONNACK, then SUBACK of packet 1 at QoS 1, then nothing ever again
            await reader.read(1024)
            writer.write(b"\x90\x03\x00\x01\x01")
            await reader.read(-1)
            writer.close()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        log = Log()
        async with _bridging(BridgeSettings("127.0.0.1", port, keepalive_s=1), log) as bridge:
            await _until(lambda: bridge.counts.connections >= 2, 15)
            # This one forgets us each time, which must not pass unseen.
            assert bridge.counts.sessions_lost == bridge.counts.connections - 1 == connects - 1
        server.close()
        await server.wait_closed()

    asyncio.run(scene())


@pytest.mark.parametrize("answer", [b"", b"\x20\x02\x00\x05", b"nonsense that is no MQTT packet at all"])
def test_a_broker_that_refuses_us_or_talks_nonsense_is_said_and_tried_again(answer: bytes) -> None:
    async def scene() -> None:
        connects = 0

        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal connects
            connects += 1
            await reader.read(1024)
            writer.write(answer)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(refuse, "127.0.0.1", 0)
        log = Log()
        bridge = Bridge(
            BridgeSettings("127.0.0.1", server.sockets[0].getsockname()[1]), log.publish, log.set_aside, lambda: 0
        )
        stop = asyncio.Event()
        running = asyncio.create_task(bridge.run(stop))
        await _until(lambda: connects >= 2)
        assert bridge.trouble.startswith("outside broker 127.0.0.1")
        assert not bridge.is_connected
        stop.set()
        await asyncio.wait_for(running, 5)
        server.close()
        await server.wait_closed()

    asyncio.run(scene())


def test_without_an_outside_broker_the_service_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="bridge_host"):
        bridge_settings(Config())


def _service(config: Config) -> "subprocess.Popen[bytes]":
    names = ("data_dir", "log_url", "log_user", "log_password", "bridge_host", "bridge_port")
    settings = {f"QINGQUAN_{name.upper()}": str(getattr(config, name)) for name in names}
    code = "import sys; from qingquan.config import load_config; from qingquan.services.bridge import run; sys.exit(run(load_config()))"
    root = Path(__file__).parents[2]
    return subprocess.Popen([sys.executable, "-c", code], cwd=root, env={**os.environ, **settings})


async def _in_log(config: Config) -> set[int]:
    async with await ReadingLog.connect(config, name="test") as log:
        reader, last, found = log.reader(1), await log.last_sequence(), set()
        at = 0
        while at < last:
            for message in await reader.fetch(5000, 5.0):
                at = message.sequence
                if ".wq.520425." in message.subject:
                    found.add(int(json.loads(message.payload)["seq"]))
        return found


def test_killing_bridge_and_log_in_mid_stream_loses_nothing(
    tmp_path: Path, mosquitto: tuple[OutsideBroker, BridgeSettings]
) -> None:
    broker, _ = mosquitto
    settings = log_settings(tmp_path, bridge_host="127.0.0.1", bridge_port=broker.port)
    upgrade(settings.sql_url)
    total = 6000
    messages = [
        (TOPIC, json.dumps({"t": 1_777_593_600_000 + n, "v": {"ph": 7.4}, "seq": n}).encode()) for n in range(total)
    ]
    with started_server(settings) as server:
        config = resolve_log_config(settings)
        service = _service(config)
        try:
            # The session must stand before the first message: a broker keeps nothing for a client it never saw.
            _wait_for_session(config, broker.port)
            _send(broker.port, messages[:2000])
            service.send_signal(signal.SIGKILL)
            service.wait()
            _send(broker.port, messages[2000:3000])
            service = _service(config)
            _send(broker.port, messages[3000:4500])
            server.kill()
            _send(broker.port, messages[4500:])
            server.start()
            deadline = time.monotonic() + 40
            while (arrived := asyncio.run(_in_log(config))) != set(range(total)):
                assert time.monotonic() < deadline, f"{total - len(arrived)} of {total} missing"
                time.sleep(0.2)
            service.terminate()
            assert service.wait(15) == 0
        finally:
            service.kill()
            service.wait()


def _wait_for_session(config: Config, port: int) -> None:
    """Send numbered messages until one is through."""
    deadline = time.monotonic() + 20
    while not asyncio.run(_in_log(config)):
        assert time.monotonic() < deadline
        _send(port, [(TOPIC, b'{"seq": 0}')])
        time.sleep(0.1)


def test_the_service_keeps_quarantine_and_totals_in_the_database(
    tmp_path: Path, mosquitto: tuple[OutsideBroker, BridgeSettings]
) -> None:
    broker, _ = mosquitto
    with running_reading_log(tmp_path, bridge_host="127.0.0.1", bridge_port=broker.port) as config:
        upgrade(config.sql_url)
        service = _service(config)
        try:
            _wait_for_session(config, broker.port)
            _send(broker.port, [("wq/5204/W0077/outlet/json", b"1")])
            engine = open_database(config.sql_url)
            deadline = time.monotonic() + 15
            while True:
                with reading(engine) as connection:
                    page = list_quarantined(connection)
                if page.items or time.monotonic() > deadline:
                    break
                time.sleep(0.05)
            service.terminate()
            assert service.wait(15) == 0
            with reading(engine) as connection:
                totals = stored_counts(connection)
            engine.dispose()
        finally:
            service.kill()
            service.wait()
    assert [row.item.reason for row in page.items] == [QuarantineReason.BAD_TOPIC]
    assert totals["bridge_quarantined"] == 1
    assert totals["bridge_received"] == totals["bridge_forwarded"] + 1
