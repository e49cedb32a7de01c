"""The devices of a run, in a process of their own: QoS 1, what was not acknowledged is kept and sent to another node."""

import multiprocessing
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import SynchronizedArray
from typing import Any

from qingquan.config import Config
from qingquan.services.bench.chaos.water import Water
from simulators.devices import Devices

__all__ = ["Order", "Progress", "Senders", "sending"]

CONNECTIONS = 24
PATIENCE_S = 4.0
CONNECT_S = 30.0
PREPARE_S = 240.0
SLICE_S = 0.02


@dataclass(frozen=True, slots=True)
class Order:
    """What to send, and where: ``brokers`` are the nodes' MQTT doors; ``seconds`` is how long it takes if nothing is in the way."""

    config: Config
    brokers: Sequence[tuple[str, int]]
    works: int
    rounds: int
    together: int
    start_ms: int
    seed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Progress:
    """Messages to send, handed to a connection, acknowledged; connections taken up again."""

    total: int
    published: int
    acknowledged: int
    reconnects: int

    @property
    def is_done(self) -> bool:
        """Whether everything has been acknowledged."""
        return self.acknowledged >= self.total > 0


class Senders:
    """The other end of that process."""

    def __init__(self, pipe: "Connection[str, str]", told: "SynchronizedArray[int]", process: Any) -> None:
        self._pipe, self._told, self._process = pipe, told, process

    def wait_ready(self) -> None:
        """Until everything is prepared and all connections stand."""
        if not self._pipe.poll(PREPARE_S):
            raise TimeoutError("the devices were not ready in time")
        said = self._pipe.recv()
        if said != "ready":
            raise RuntimeError(said)

    def go(self) -> None:
        """Begin to send."""
        self._pipe.send("go")

    def progress(self) -> Progress:
        """How far it is now."""
        total, published, acknowledged, reconnects = self._told[:]
        return Progress(total, published, acknowledged, reconnects)

    @property
    def is_running(self) -> bool:
        """Whether the process has not ended."""
        return bool(self._process.is_alive())

    @property
    def standing(self) -> str:
        """Whether the process goes on, in words; a negative number is the signal that ended it."""
        code = self._process.exitcode
        return "go on" if code is None else f"ended by themselves ({code})"


@contextmanager
def sending(order: Order) -> Iterator[Senders]:
    """Devices for an order; ended afterwards."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    told = context.Array("q", 4)
    process = context.Process(target=_serve, args=(order, theirs, told), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Senders(ours, told, process)
    finally:
        ours.close()
        process.kill()
        process.join()


def _serve(order: Order, pipe: "Connection[str, str]", told: "SynchronizedArray[int]") -> None:
    water = Water(order.works, order.rounds, order.together, order.start_ms, order.seed)
    messages = list(water.messages())
    # A works has one message under way at most, or a broken connection would repeat hours of it at once.
    window = max(1, min(200, order.works // CONNECTIONS - 1))
    devices = Devices(order.config, CONNECTIONS, window=window, brokers=order.brokers, patience_s=PATIENCE_S)
    told[0] = len(messages)
    try:
        devices.connect(CONNECT_S)
    except Exception as error:  # the other side says so and stops
        pipe.send(f"{type(error).__name__}: {error}")
        return
    pipe.send("ready")
    pipe.recv()
    began, sent = time.monotonic(), 0
    while devices.acknowledged < len(messages):
        due = min(len(messages), int((time.monotonic() - began) / order.seconds * len(messages)) + 1)
        for one in messages[sent:due]:
            devices.put(one.works % CONNECTIONS, one.topic, one.payload)
        sent = due
        devices.pump(SLICE_S)
        told[1:4] = [devices.published, devices.acknowledged, devices.reconnects]
    devices.close()
