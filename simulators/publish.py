"""`simulate`: a county's devices publish over MQTT, at the pace of our clock or as fast as the broker answers."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from types import FrameType
from typing import Literal

from qingquan.clock import Clock, from_ms
from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.errors import WrongUse
from simulators.county import county
from simulators.devices import DEFAULT_WINDOW, Devices
from simulators.generate import simulation
from simulators.payloads import Payloads
from simulators.scenario import Scenario
from simulators.simulation import Simulation

__all__ = ["Progress", "progress_line", "run"]

Speed = float | Literal["max"] | None

BACKLOG = 50_000  # messages in the devices' buffers beyond which simulated time waits
PROGRESS_S = 5.0
DRAIN_S = 15.0
TRUTH_S = 10.0
BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. ``published`` were handed to a connection, ``waiting`` are still in the devices' buffers.

    ``at_ms`` is simulated time. ``given_up`` counts messages without acknowledgement when the run ended.
    """

    at_ms: int
    published: int
    acknowledged: int
    waiting: int
    reconnects: int
    connections: int
    active_faults: int
    elapsed_s: float
    given_up: int = 0
    notes: tuple[str, ...] = ()


def run(
    config: Config,
    works: Sequence[Works] | int,
    scenario: Scenario | str = "demo",
    speed: Speed = None,
    seed: int = 1,
    truth: Path | None = None,
    *,
    hours: float | None = None,
    works_per_connection: int = 50,
    window: int = DEFAULT_WINDOW,
    is_lean: bool = False,
    connect_timeout_s: float = 30.0,
    report: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> Progress:
    """Publish a simulated county to the MQTT broker of ``config`` until ``hours`` are over, SIGTERM, Ctrl-C or ``stop``.

    ``works`` is a register, or how many works of `county` with this seed. ``speed`` ``None`` follows ``config.clock``; a number
    runs a clock of its own, so many times as fast; ``"max"`` sends the last ``hours`` (24 by default) as fast as
    acknowledgements come in. ``truth`` is written while the run goes on and when it ends. Nothing is lost on the way: while the
    broker is away the devices keep their messages, and when their buffers are full simulated time waits.

    ``is_lean`` uses a client of little more than PUBLISH and PUBACK, for measuring throughput on one machine.

    Raises
    ------
    BrokerLost
        If the broker cannot be reached at the start, or refuses the user.
    ConfigurationError
        If the scenario has faults, or names works that are not there.
    WrongUse
        If arguments contradict each other.
    """
    register = county(works, seed) if isinstance(works, int) else list(works)
    clock, start_ms, hours = _timing(config, speed, hours)
    simulated = simulation(register, scenario, start_ms, seed)
    runner = _Run(simulated, clock, hours, works_per_connection, truth, report or _print_line(config.language))
    stop = stop or threading.Event()
    devices = Devices(config, -(-len(register) // works_per_connection), window=window, is_lean=is_lean)
    with _stopped_by_signals(stop):
        try:
            devices.connect(connect_timeout_s)
            return runner.go(devices, stop)
        finally:
            devices.close()


def progress_line(progress: Progress, language: str = "zh") -> str:
    """One line for people."""
    at = from_ms(progress.at_ms).astimezone(BEIJING).strftime("%Y-%m-%d %H:%M")
    p, rate = progress, progress.acknowledged / max(progress.elapsed_s, 1e-3)
    if language == "en":
        text = (
            f"simulated time {at} | {p.published} published, {p.acknowledged} acknowledged, {p.waiting} waiting | "
            f"{rate:.0f} messages/s | {p.active_faults} faults in force | {p.reconnects} reconnects"
        )
        return text + (f" | {p.given_up} given up" if p.given_up else "")
    text = (
        f"模拟时间 {at} | 已发 {p.published} 条，已确认 {p.acknowledged} 条，待发 {p.waiting} 条 | "
        f"{rate:.0f} 条/秒 | 故障中 {p.active_faults} 处 | 重连 {p.reconnects} 次"
    )
    return text + (f" | 未确认放弃 {p.given_up} 条" if p.given_up else "")


def _timing(config: Config, speed: Speed, hours: float | None) -> tuple[Clock | None, int, float | None]:
    """Clock to follow (``None`` = as fast as possible), simulated start and length."""
    if hours is not None and hours <= 0:
        raise WrongUse(f"hours = {hours:g}: allowed: more than 0")
    if config.mqtt_port == 0:
        raise WrongUse("mqtt_port = 0: the simulator needs the port on which the broker really listens")
    if speed == "max":
        hours = hours or 24.0
        return None, config.clock.now_ms() - round(hours * 3_600_000), hours
    if speed is None or speed == config.clock.speed:
        return config.clock, config.clock.now_ms(), hours
    if speed <= 0:
        raise WrongUse(f"speed = {speed:g}: allowed: more than 0, or max")
    own = Clock(speed, time.time_ns() // 1_000_000)
    return own, own.now_ms(), hours


class _Run:
    """One run: steps the county, paces its messages, reports and writes the truth now and then."""

    def __init__(
        self,
        simulated: Simulation,
        clock: Clock | None,
        hours: float | None,
        works_per_connection: int,
        truth: Path | None,
        report: Callable[[Progress], None],
    ) -> None:
        self._simulated = simulated
        self._payloads = Payloads(simulated)
        self._clock = clock
        self._end_ms = None if hours is None else simulated.start_ms + round(hours * 3_600_000)
        self._connection = {(row.county, row.id): w // works_per_connection for w, row in enumerate(simulated.works)}
        self._truth = truth
        self._report = report
        self._began = time.monotonic()
        self._reported = self._began
        self._written = self._began

    def go(self, devices: Devices, stop: threading.Event) -> Progress:
        simulated = self._simulated
        try:
            while not stop.is_set() and (self._end_ms is None or simulated.now_ms < self._end_ms):
                self._send_step(devices, stop)
            devices.drain(DRAIN_S)
        finally:
            self._write_truth()
        last = self._progress(devices)
        self._report(last)
        return last

    def _send_step(self, devices: Devices, stop: threading.Event) -> None:
        for k, (at, topic, payload) in enumerate(self._payloads.of(self._simulated.step())):
            self._wait(at, devices, stop)
            if stop.is_set():
                return
            devices.put(self._connection[topic.county, topic.works], "/".join(("wq", *topic)), payload)
            if k % 64 == 0:
                devices.pump(0.0)
            self._now_and_then(devices)
        if self._clock is None:
            devices.pump(0.0)

    def _wait(self, at: int, devices: Devices, stop: threading.Event) -> None:
        """Wait for the message's time, and while the buffers are full."""
        while not stop.is_set():
            ahead_s = 0.0 if self._clock is None else (at - self._clock.now_ms()) / 1000 / self._clock.speed
            if ahead_s <= 0 and devices.waiting < BACKLOG:
                return
            devices.pump(min(max(ahead_s, 0.001), 0.05))
            self._now_and_then(devices)

    def _now_and_then(self, devices: Devices) -> None:
        now = time.monotonic()
        if now - self._reported > PROGRESS_S:
            self._reported = now
            self._report(self._progress(devices))
        if now - self._written > TRUTH_S:
            self._written = now
            self._write_truth()

    def _write_truth(self) -> None:
        if self._truth is not None:
            self._simulated.truth.write(self._truth)

    def _progress(self, devices: Devices) -> Progress:
        return Progress(
            at_ms=self._simulated.now_ms,
            published=devices.published,
            acknowledged=devices.acknowledged,
            waiting=devices.waiting,
            reconnects=devices.reconnects,
            connections=devices.connected,
            active_faults=len(self._simulated.faults.active),
            elapsed_s=time.monotonic() - self._began,
            given_up=devices.waiting + devices.published - devices.acknowledged,
            notes=tuple(self._simulated.notes),
        )


def _print_line(language: str) -> Callable[[Progress], None]:
    noted: set[str] = set()

    def show(progress: Progress) -> None:
        for note in progress.notes:
            if note not in noted:
                noted.add(note)
                print(note, file=sys.stderr)
        print(progress_line(progress, language), file=sys.stderr, flush=True)

    return show


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the run in order; outside the main thread only ``stop`` does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
