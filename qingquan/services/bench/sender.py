"""The load generator: a process of its own that publishes over MQTT at QoS 1, prepared before the clock starts."""

import multiprocessing
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from qingquan.config import Config
from qingquan.services.bench.load import Load
from simulators.devices import Devices

__all__ = ["Go", "Order", "Sender", "Sent", "Timed", "sending"]

CONNECTIONS = 8
WINDOW = 500
# Messages in the buffers of the connections; the rest waits here.
BACKLOG = 10_000
HANDED = 500
PREPARE_WAIT_S = 300.0
DRAIN_S = 60.0
RATE_SLICE_S = 0.01


@dataclass(frozen=True, slots=True)
class Timed:
    """A message to be sent at a moment, ``after_s`` from the start."""

    after_s: float
    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Order:
    """What to send: rounds ``first`` to ``first + rounds`` of a load, at ``rate`` messages/s (``None``: as fast as
    acknowledgements come in). With a rate, readings are observed when they are sent. ``most`` leaves out
    what comes after so many messages."""

    works: int
    start_ms: int
    step_ms: int
    first: int
    rounds: int
    seed: int = 1
    rate: float | None = None
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Go:
    """Begin at ``at`` [s of `time.time`; 0 = at once]; ``timed`` messages go out in between, if the order has a rate."""

    timed: tuple[Timed, ...] = ()
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of it. Times are `time.time` [s]; ``timed_at`` is when each timed message was handed to the socket."""

    began_at: float
    ended_at: float
    published: int
    acknowledged: int
    reconnects: int
    timed_at: tuple[float, ...]
    processor_s: float


class Sender:
    """The other end of the generator's process."""

    def __init__(
        self, process: "multiprocessing.process.BaseProcess", pipe: "Connection[Order | Go, Sent | str]"
    ) -> None:
        self._process = process
        self._pipe = pipe

    def prepare(self, order: Order) -> None:
        """Have the messages made and the connections up."""
        self._pipe.send(order)
        self._expect(PREPARE_WAIT_S)

    def go(self, timed: Sequence[Timed] = (), at: float = 0.0) -> None:
        """Begin to send; ``timed`` is sorted by its moments."""
        self._pipe.send(Go(tuple(timed), at))

    def result(self, wait_s: float) -> Sent:
        """Wait for the end: everything sent and acknowledged."""
        sent = self._expect(wait_s)
        assert isinstance(sent, Sent)
        return sent

    def _expect(self, wait_s: float) -> "Sent | str":
        if not self._pipe.poll(wait_s):
            raise TimeoutError(f"the load generator did not answer within {wait_s:.0f} s")
        return self._pipe.recv()


@contextmanager
def sending(config: Config) -> Iterator[Sender]:
    """A generator for the broker of ``config``; ended afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(config, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Sender(process, ours)
    finally:
        ours.close()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(config: Config, pipe: "Connection[Sent | str, Order | Go]") -> None:
    """Orders come in one by one; a closed pipe is the end."""
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        assert isinstance(order, Order)
        load = Load(order.works, order.start_ms, step_ms=order.step_ms, seed=order.seed)
        topics = load.topics()
        rounds = _cut([load.payloads(number) for number in range(order.first, order.first + order.rounds)], order.most)
        devices = Devices(config, CONNECTIONS, window=WINDOW, is_lean=True)
        try:
            devices.connect(10.0)
            pipe.send("ready")
            go = pipe.recv()
            assert isinstance(go, Go)
            time.sleep(max(0.0, go.at - time.time()))
            pipe.send(_send(devices, order, go.timed, topics, rounds))
        finally:
            devices.close()


def _cut(rounds: list[list[bytes]], most: int | None) -> list[list[bytes]]:
    """The first ``most`` messages."""
    if most is None:
        return rounds
    left = [max(most - sum(map(len, rounds[:n])), 0) for n in range(len(rounds))]
    return [payloads[:room] for payloads, room in zip(rounds, left, strict=True)]


def _send(
    devices: Devices, order: Order, timed: Sequence[Timed], topics: Sequence[str], rounds: Sequence[Sequence[bytes]]
) -> Sent:
    used = time.process_time()
    began = time.time()
    if order.rate is None:
        _send_all(devices, topics, rounds)
        timed_at: list[float] = []
    else:
        timed_at = _send_at_rate(devices, order.rate, timed, topics, rounds)
    devices.drain(DRAIN_S)
    return Sent(
        began, time.time(), devices.published, devices.acknowledged, devices.reconnects, tuple(timed_at),
        time.process_time() - used,
    )  # fmt: skip


def _send_all(devices: Devices, topics: Sequence[str], rounds: Sequence[Sequence[bytes]]) -> None:
    """A works keeps its connection, so its messages stay in order."""
    for payloads in rounds:
        for first in range(0, len(payloads), HANDED):
            for n in range(first, min(first + HANDED, len(payloads))):
                devices.put(n % CONNECTIONS, topics[n], payloads[n])
            while devices.waiting > BACKLOG:
                devices.pump(0.05)
            devices.pump(0.0)


def _send_at_rate(
    devices: Devices, rate: float, timed: Sequence[Timed], topics: Sequence[str], rounds: Sequence[Sequence[bytes]]
) -> list[float]:
    """Background at an even rate, stamped with the time of sending; timed messages at their moment."""
    began = time.time()
    total, sent = sum(map(len, rounds)), 0
    timed_at: list[float] = []
    while sent < total or len(timed_at) < len(timed):
        elapsed = time.time() - began
        while len(timed_at) < len(timed) and timed[len(timed_at)].after_s <= elapsed:
            one = timed[len(timed_at)]
            timed_at.append(time.time())
            # Messages of one works keep their order: they share a connection.
            devices.put(zlib.crc32(one.topic.encode()) % CONNECTIONS, one.topic, one.payload)
            devices.pump(0.0)
        at = str(int(time.time() * 1000)).encode()
        for n in range(sent, min(int(elapsed * rate), total)):
            payload = rounds[n // len(topics)][n % len(topics)]
            # The time stands first in the object, 13 digits long.
            devices.put(n % len(topics) % CONNECTIONS, topics[n % len(topics)], payload[:5] + at + payload[18:])
            sent = n + 1
        upcoming = timed[len(timed_at)].after_s - elapsed if len(timed_at) < len(timed) else RATE_SLICE_S
        devices.pump(max(min(upcoming, RATE_SLICE_S), 0.0005))
    return timed_at
