"""The whole system as processes under its own supervisor, on a data folder of the test's own and on free ports.

A test drives it from the main thread: `System.wait_for` and `System.watch` let the supervisor look after its children, so
a service that was killed is started again only while the test waits. (Children are told to end when the *thread* that
started them ends, hence no thread of ours.)
"""

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from qingquan.config import Config
from qingquan.domain.readings import LogMessage
from qingquan.domain.works import Works
from qingquan.services.gateway_double import demonstration_settings
from qingquan.services.supervisor import Child, Supervisor
from qingquan.store.reading_log import ReadingLog, resolve_log_config
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.progress import applied_sequence
from qingquan.store.sql.register import save_works
from qingquan.testing.ports import free_port
from qingquan.testing.servers import log_settings
from qingquan.wiring import environment_of

__all__ = ["ROOT", "System", "child_environment", "processes_of", "running_system", "system_settings"]

ROOT = Path(__file__).resolve().parents[2]
START_S = 60.0
POLL_S = 0.05


def system_settings(folder: Path, **settings: Any) -> Config:
    """Settings of a system on free ports whose messages go to a gateway double; ``settings`` override fields of `Config`."""
    config = replace(log_settings(folder), web_port=free_port(), **settings)
    return demonstration_settings(config, free_port())


class System:
    """Services that run. ``config`` is resolved: it carries the ports and passwords of the reading log."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._supervisor = Supervisor(child_environment(config), config.data_path / "log")
        self._children: dict[str, Child] = {}
        self._engine = open_database(config.sql_url)

    def start(self, *names: str) -> None:
        """Start services; the log server is waited for, the others come up in their own time."""
        for name in names:
            self._children[name] = self._supervisor.start(name, "run", name)
            if name == "log-server":
                ready = self.config.data_path / "run" / "log-server.ready"
                self.wait_for(ready.exists, "log server ready", START_S)
                self.config = resolve_log_config(self.config)

    def watch(self) -> None:
        """Let the supervisor look at its children once."""
        self._supervisor.watch()
        assert self._supervisor.refused is None, self._supervisor.refused

    def wait_for(self, condition: Callable[[], object], what: str, timeout_s: float = 30.0) -> None:
        """Until the condition holds; fails with the services' last words when that takes too long."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.watch()
            assert time.monotonic() < deadline, self._too_slow(what, timeout_s)
            time.sleep(POLL_S)

    def _too_slow(self, what: str, timeout_s: float) -> str:
        return f"{what}: not within {timeout_s:g} s; evaluated up to {self.evaluated()}; {self.last_words()}"

    def last_words(self) -> dict[str, str]:
        """Last line of each service's log."""
        return {name: self._supervisor.last_line(name) for name in self._children}

    def pid(self, name: str) -> int | None:
        """Process id of a service, or of ``nats-server``, where it runs."""
        if name != "nats-server":
            process = self._children[name].process
            return None if process is None or process.poll() is not None else process.pid
        try:
            pid = int((self.config.data_path / "run" / "nats.pid").read_text())
            return pid if b"nats-server" in Path(f"/proc/{pid}/cmdline").read_bytes() else None
        except (OSError, ValueError):
            return None

    def signal(self, name: str, number: int = signal.SIGKILL) -> bool:
        """Send a signal to a service (or ``nats-server``); whether it ran."""
        pid = self.pid(name)
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return pid is not None

    def restarts(self, name: str) -> int:
        """How often the supervisor has started a service again."""
        return self._children[name].restarts

    def evaluated(self) -> int:
        """Log sequence up to which findings are in the database."""
        with reading(self._engine) as connection:
            return applied_sequence(connection, 0)

    def last_sequence(self) -> int:
        """Newest sequence of the reading log."""

        async def ask() -> int:
            async with await ReadingLog.connect(self.config, name="test") as log:
                return await log.last_sequence()

        return asyncio.run(ask())

    def logged(self) -> list[LogMessage]:
        """All messages of the reading log."""

        async def read() -> list[LogMessage]:
            async with await ReadingLog.connect(self.config, name="test") as log:
                last, reader = await log.last_sequence(), log.reader(1)
                messages: list[LogMessage] = []
                while last and (not messages or messages[-1].sequence < last):
                    messages += await reader.fetch(20_000, 2.0)
                return messages

        return asyncio.run(read())

    def api(self, path: str) -> Any:
        """Answer of the console's API, decoded. The first curve of a fresh clone compiles the quality tests, on a busy machine for long."""
        url = f"http://{self.config.web_host}:{self.config.web_port}/api/v1/{path}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)

    def accepted_messages(self) -> list[dict[str, Any]]:
        """What the gateway double has accepted, oldest first."""
        url = f"{self.config.wecom_url}/double/messages?limit=10000"
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - a loopback address
            messages: list[dict[str, Any]] = json.load(answer)["messages"]
            return messages

    def end(self, name: str) -> None:
        """Stop one service for good, in order."""
        self._supervisor.retire(self._children.pop(name))

    def stop(self) -> None:
        """Stop everything, last started first."""
        self._supervisor.stop()
        self._engine.dispose()


@contextmanager
def running_system(config: Config, works: Sequence[Works], services: Sequence[str]) -> Iterator[System]:
    """A system with these works in its register; ``services`` are started in their order, the log server first."""
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_works(connection, works)
    engine.dispose()
    system = System(config)
    try:
        system.start("log-server", *services)
        yield system
    finally:
        system.stop()


def child_environment(config: Config) -> dict[str, str]:
    """Environment of a process of ours with these settings and none of the caller's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QINGQUAN_")}
    return {**inherited, **environment_of(config), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def processes_of(folder: Path) -> dict[int, str]:
    """Command lines of the running processes that name a folder, in their arguments or their environment, by process id."""
    wanted = str(folder).encode()
    found: dict[int, str] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            arguments = (entry / "cmdline").read_bytes()
            if arguments and (wanted in arguments or wanted in (entry / "environ").read_bytes()):
                found[int(entry.name)] = arguments.replace(b"\0", b" ").decode(errors="replace").strip()
    return found
