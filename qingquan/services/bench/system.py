"""The real system for a measurement: embedded NATS server, evaluator and recorder as processes of their own."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path

from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.errors import BrokerLost, QingquanError, StoreUnavailable
from qingquan.services.bench.machine import command, cpu_s, descendants, rss_mb
from qingquan.services.recorder import READER
from qingquan.services.supervisor import Child, Supervisor
from qingquan.store.ports import SeriesReader
from qingquan.store.reading_log import ReadingLog, resolve_log_config
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.progress import applied_sequence, counts
from qingquan.store.sql.register import save_works
from qingquan.wiring import environment_of

__all__ = ["READERS", "Covered", "MeasuredSystem", "Taken", "TooSlow", "measured_system"]

START_WAIT_S = 600.0
LOG_BYTES = 4 * 2**30
POLL_S = 0.05
READERS = ("evaluator", "recorder")


class TooSlow(QingquanError):
    """A measurement did not come to its end in the time set for it."""


@dataclass(frozen=True, slots=True)
class Covered:
    """How far the readers of the log were at a moment: everything up to this sequence is judged, or recorded."""

    evaluated: int
    recorded: int


@dataclass(frozen=True, slots=True)
class Taken:
    """How much each has taken up to a moment, in messages and in readings."""

    logged: int
    evaluated: int
    recorded: int
    evaluated_readings: int
    recorded_readings: int
    canaries: int = 0
    """Messages of the log's own self-tests among them."""

    def since(self, before: "Taken") -> "Taken":
        """What came between two moments."""
        return Taken(*(getattr(self, one.name) - getattr(before, one.name) for one in fields(self)))

    def lost(self, published: int, acknowledged: int, readings: int) -> int:
        """Every difference between what was sent and what was taken, added up; 0 when nothing is missing or too much."""
        gaps = (
            published - acknowledged, acknowledged + self.canaries - self.logged, self.logged - self.evaluated,
            self.logged - self.recorded, readings - self.evaluated_readings, readings - self.recorded_readings,
        )  # fmt: skip
        return sum(map(abs, gaps))


class MeasuredSystem:
    """A running system, asked from outside: by the database, by the recorder's socket, by the log itself."""

    def __init__(self, config: Config, engine: Engine, children: dict[str, Child], supervisor: Supervisor) -> None:
        self.config = config
        self.engine = engine
        self._children = children
        self._supervisor = supervisor
        self._store = open_series_reader(config)

    def last_sequence(self) -> int:
        """Newest sequence of the log."""
        return asyncio.run(_last_sequence(self.config))

    def covered(self) -> Covered:
        """How far evaluator and recorder are; 0 where one does not answer yet."""
        try:
            recorded = self._store.covered(READER)
        except StoreUnavailable:
            recorded = 0
        with reading(self.engine) as connection:
            return Covered(applied_sequence(connection, 0), recorded)

    def taken(self) -> Taken:
        """What log, evaluator and recorder have taken so far."""
        with reading(self.engine) as connection:
            evaluated = counts(connection)
        recorded = self._store.counts()
        return Taken(
            self.last_sequence(), evaluated.get("evaluated.messages", 0), recorded.messages,
            evaluated.get("evaluated.readings", 0), recorded.readings, evaluated.get("evaluated.canaries", 0),
        )  # fmt: skip

    def evaluated(self) -> int:
        """Messages judged so far: one question to the database, where `taken` also asks log and store."""
        with reading(self.engine) as connection:
            return counts(connection).get("evaluated.messages", 0)

    @property
    def store(self) -> SeriesReader:
        """The series store."""
        return self._store

    def close(self) -> None:
        """Release what was opened to ask."""
        self._store.close()

    def watch(self) -> None:
        """One look at every process; those that ended are started again and counted by `restarts`.

        Raises
        ------
        TooSlow
            If one was refused by its configuration.
        """
        self._supervisor.watch()
        if self._supervisor.refused is not None:
            raise TooSlow(self._supervisor.refused)

    def wait_covered(self, sequence: int, wait_s: float) -> tuple[float, float]:
        """Wait until everything up to ``sequence`` is judged and recorded; when each was [s of `time.time`].

        Raises
        ------
        TooSlow
            If that takes longer than ``wait_s``; says how far they were.
        """
        deadline = time.monotonic() + wait_s
        judged_at = recorded_at = 0.0
        while not (judged_at and recorded_at):
            covered = self.covered()
            judged_at = judged_at or (time.time() if covered.evaluated >= sequence else 0.0)
            recorded_at = recorded_at or (time.time() if covered.recorded >= sequence else 0.0)
            if time.monotonic() > deadline:
                raise TooSlow(
                    f"after {wait_s:.0f} s of {sequence} messages: {covered}; see {self.config.data_path / 'log'}"
                )
            time.sleep(POLL_S)
        return judged_at, recorded_at

    def processes(self) -> list[int]:
        """All of its processes."""
        return [one for name in self._children for one in self._processes(name)]

    def processes_by_service(self) -> dict[str, Sequence[int]]:
        """The same, by the service that started them."""
        return {name: self._processes(name) for name in self._children}

    def processor_s(self) -> dict[str, float]:
        """Processor time used so far by NATS server, evaluator and recorder [s]."""
        return {name: sum(cpu_s(one) for one in self._processes(name)) for name in self._children}

    def memory_mb(self) -> dict[str, float]:
        """Resident memory of each [MB]."""
        return {name: round(sum(rss_mb(one) or 0.0 for one in self._processes(name)), 1) for name in self._children}

    def memory_by_process_mb(self) -> dict[str, float]:
        """The same of every single process; a server that a service has started stands under both names."""
        found: dict[str, float] = {}
        for name in self._children:
            for number, one in enumerate(self._processes(name)):
                found[name if number == 0 else f"{name}: {command(one)}"] = rss_mb(one) or 0.0
        return found

    def restarts(self) -> int:
        """How often a process ended and was started again: 0 in a measurement that counts."""
        return sum(child.restarts for child in self._children.values())

    def _processes(self, name: str) -> Sequence[int]:
        process = self._children[name].process
        return [] if process is None else [process.pid, *descendants(process.pid)]


@contextmanager
def measured_system(
    folder: Path, register: Sequence[Works], config: Config, say: Callable[[str], None] = lambda _: None,
    services: Sequence[str] = READERS,
) -> Iterator[MeasuredSystem]:  # fmt: skip
    """Start on free ports below ``folder``, with these works registered; ready when both readers have read the log's
    self-test. Everything is stopped at the end. ``services``: the two readers and more, or none for the log alone."""
    config = replace(
        config, data_dir=str(folder), log_port=0, mqtt_port=0, log_url="", log_max_bytes=LOG_BYTES, log_level="info"
    )
    say(f"登记 register: {len(register)}")
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_works(connection, list(register))
    environment = {**os.environ, **environment_of(config), "PYTHONUNBUFFERED": "1"}
    supervisor = Supervisor(environment, folder / "log")
    system: MeasuredSystem | None = None
    try:
        children = {"log-server": supervisor.start("log-server", "run", "log-server")}
        ready = config.data_path / "run" / "log-server.ready"
        _await(ready.exists, supervisor, "log-server")
        children |= {name: supervisor.start(name, "run", name) for name in services}
        measured = system = MeasuredSystem(resolve_log_config(config), engine, children, supervisor)
        if services:
            say("等待评判与存储启动 waiting for evaluator and recorder")
            first = measured.last_sequence()
            _await(lambda: _have_read(measured, first), supervisor, "evaluator")
        yield measured
    finally:
        supervisor.stop()
        if system is not None:
            system.close()
        engine.dispose()


def _have_read(system: MeasuredSystem, sequence: int) -> bool:
    covered = system.covered()
    return min(covered.evaluated, covered.recorded) >= sequence


def _await(is_up: Callable[[], bool], supervisor: Supervisor, name: str) -> None:
    deadline = time.monotonic() + START_WAIT_S
    while not is_up():
        supervisor.watch()
        if supervisor.refused is not None:
            raise TooSlow(supervisor.refused)
        if time.monotonic() > deadline:
            raise TooSlow(f"{name} did not start within {START_WAIT_S:.0f} s: {supervisor.last_line(name)}")
        time.sleep(POLL_S)


async def _last_sequence(config: Config) -> int:
    async with await ReadingLog.connect(config, name="bench") as log:
        try:
            return await log.last_sequence()
        except BrokerLost as error:
            raise TooSlow(f"the reading log does not answer: {error}") from error
