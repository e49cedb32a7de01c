"""The embedded NATS server in the foreground: started, checked, watched, started again after a crash."""

import asyncio
import os
import queue
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Self

import structlog

from qingquan.config import Config
from qingquan.errors import ConfigurationError, QingquanError
from qingquan.services.log_guard import LogGuard
from qingquan.store.reading_log import EmbeddedServer, LogFull, ensure_streams, resolve_log_config, self_test
from qingquan.store.reading_log.leaf import HUB_TROUBLES
from qingquan.store.reading_log.qos0 import watch_qos0
from qingquan.store.reading_log.uplink import ensure_uplink

__all__ = ["QOS0_MESSAGES", "REFUSALS", "RESTARTED", "SELF_TEST_FAILED", "LogTail", "run"]

POLL_S = 0.5
SELF_TEST_EVERY_S = 600.0
FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0

# What the server says when it refuses something from a device, and the counter for it. An MQTT 3.1.1 device cannot be told:
# a message it may not publish is even PUBACKed, so these counters are the only place where such losses show.
REFUSALS = {
    "mqtt_payload_too_large": re.compile(r"maximum payload exceeded"),
    "mqtt_publish_violation": re.compile(r"Publish Violation"),
    "mqtt_log_full": re.compile(r"maximum (bytes|messages) exceeded|insufficient (storage )?resources"),
    "mqtt_not_acknowledged": re.compile(r"no JetStream ack"),
    "mqtt_bad_topic": re.compile(r"character not supported for MQTT topics"),
    "mqtt_qos2_refused": re.compile(r"QoS=2 is disabled"),
    "mqtt_version_refused": re.compile(r"unacceptable protocol version"),
    "mqtt_login_refused": re.compile(r"unable to connect: authentication error"),
}
_SAID_OF_HUB = {name: pattern for name, (pattern, _) in HUB_TROUBLES.items()}
HUB_TOLD_EVERY_S = 600.0
SELF_TEST_FAILED = "log_self_test_failed"
RESTARTED = "log_server_restarted"
QOS0_MESSAGES = "mqtt_qos0_messages"

_log = structlog.get_logger(__name__)


class LogTail:
    """Counts refusals in the server's log from where it ends now, over rotations."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset = self._end()
        self._rest = b""

    def poll(self) -> dict[str, int]:
        """Refusals by name among the lines written since the last call."""
        text = self._rest + self._fresh()
        whole, _, self._rest = text.rpartition(b"\n")
        found: Counter[str] = Counter()
        for line in whole.decode(errors="replace").splitlines():
            if "[ERR]" not in line and "[WRN]" not in line and "Leafnode" not in line:
                continue
            patterns = REFUSALS | _SAID_OF_HUB
            name = next((name for name, pattern in patterns.items() if pattern.search(line)), None)
            if name is not None:
                found[name] += 1
        return dict(found)

    def _end(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return status.st_ino, status.st_size

    def _fresh(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                status = os.fstat(file.fileno())
                if status.st_ino != self._inode or status.st_size < self._offset:
                    self._inode, self._offset = status.st_ino, 0
                file.seek(self._offset)
                text = file.read()
        except OSError:
            return b""
        self._offset += len(text)
        return text


def run(
    config: Config,
    *,
    on_counts: Callable[[Mapping[str, int]], None] | None = None,
    on_ready: Callable[[Config], None] | None = None,
    on_qos0: Callable[[Mapping[str, int]], None] | None = None,
    covered: Callable[[], int] = lambda: 0,
    stop: threading.Event | None = None,
) -> int:
    """Run the embedded server until SIGTERM or SIGINT (or ``stop`` is set); exit status 0.

    A server that crashes is started again on the same ports. ``on_ready`` gets the resolved settings, once, when devices
    and services may come. ``on_counts`` gets what happened since its last call: names of `REFUSALS`, `SELF_TEST_FAILED`,
    `RESTARTED`, `QOS0_MESSAGES` and those of `log_guard`. ``on_qos0`` gets, from another thread, the topics that devices publish to at QoS 0 and how
    often since its last call; their messages are let into the log. ``covered`` says up to where everything is recorded and
    judged: what may go when the disk gets full. A callback that raises ends the service.

    Raises
    ------
    ConfigurationError
        If the first start is refused: wrong version, busy port, other layout, failed self-test.
    """
    stop = stop or _stopped_by_signal()
    server = EmbeddedServer(config)
    tail = LogTail(server.log_file)
    try:
        server.start()
        resolved = resolve_log_config(config)
        _prepare(resolved)
        if on_ready is not None:
            on_ready(resolved)
        with _Qos0Thread(resolved, on_qos0) as qos0:
            guard = LogGuard(resolved, covered)
            for counts in _watched(server, resolved, tail, qos0, guard, stop):
                _log.warning("log_server_counts", **counts)
                if on_counts is not None:
                    on_counts(counts)
    finally:
        server.stop()
    return 0


class _Qos0Thread:
    """Watches for QoS 0 in a thread; a failure there comes out of `taken`."""

    def __init__(self, config: Config, report: Callable[[Mapping[str, int]], None] | None) -> None:
        self._config = config
        self._report = report
        self._messages: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._done = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="qos0")

    def taken(self) -> int:
        """Messages since the last call."""
        if self._failure is not None:
            raise self._failure
        return sum(self._messages.get() for _ in range(self._messages.qsize()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        try:
            asyncio.run(watch_qos0(self._config, self._found, self._done.is_set))
        except Exception as error:
            self._failure = error

    def _found(self, topics: Mapping[str, int]) -> None:
        _log.warning("devices_on_qos0", messages=sum(topics.values()), topics=sorted(topics)[:10])
        self._messages.put(sum(topics.values()))
        if self._report is not None:
            self._report(topics)


def _prepare(config: Config) -> None:
    """Streams and self-test. A full log is no reason to end: readers must be able to record it and purge."""

    async def prepare() -> None:
        await ensure_streams(config)
        await ensure_uplink(config)
        await self_test(config)

    try:
        asyncio.run(prepare())
    except LogFull as error:
        _log.error("reading_log_full", error=str(error))


def _watched(
    server: EmbeddedServer, config: Config, tail: LogTail, qos0: "_Qos0Thread", guard: LogGuard, stop: threading.Event
) -> Iterator[Mapping[str, int]]:
    """What there is to count, until ``stop``; keeps the server running meanwhile."""
    test_at = time.monotonic() + SELF_TEST_EVERY_S
    told_at: dict[str, float] = {}
    while not stop.wait(POLL_S):
        counts = Counter(tail.poll())
        _tell_of_hub(counts, config, told_at)
        counts[QOS0_MESSAGES] += qos0.taken()
        if not server.is_alive:
            _log.error("log_server_ended", status=server.wait(0))
            _start_again(server, stop)
            counts[RESTARTED] += 1
            test_at = 0.0
        counts.update(guard.look())
        if time.monotonic() >= test_at and not stop.is_set():
            test_at = time.monotonic() + SELF_TEST_EVERY_S
            counts[SELF_TEST_FAILED] += not _passes(config)
        if +counts:
            yield +counts


def _tell_of_hub(counts: Mapping[str, int], config: Config, told_at: dict[str, float]) -> None:
    """The edge goes on without the province; why it must, and what to do, is said now and then."""
    now = time.monotonic()
    for name in counts.keys() & HUB_TROUBLES.keys():
        if now - told_at.get(name, -HUB_TOLD_EVERY_S) >= HUB_TOLD_EVERY_S:
            told_at[name] = now
            _log.error(name, remedy=HUB_TROUBLES[name][1], log_hub_url=config.log_hub_url, log_domain=config.log_domain)


def _start_again(server: EmbeddedServer, stop: threading.Event) -> None:
    pause_s = FIRST_PAUSE_S
    while not stop.is_set():
        try:
            server.start()
        except ConfigurationError as error:
            _log.error("log_server_not_started", error=str(error), next_try_s=round(pause_s, 1))
            stop.wait(pause_s * random.uniform(0.5, 1.0))  # noqa: S311
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        else:
            return


def _passes(config: Config) -> bool:
    try:
        took_s = asyncio.run(self_test(config))
    except QingquanError as error:
        _log.error("log_self_test_failed", error=str(error))
        return False
    _log.debug("log_self_test_passed", took_s=round(took_s, 4))
    return True


def _stopped_by_signal() -> threading.Event:
    stop = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())
    return stop
