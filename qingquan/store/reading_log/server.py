"""The embedded NATS server: configuration file, start, readiness, end. One child process per data folder."""

import asyncio
import fcntl
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import structlog

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.store.reading_log.binary import server_binary
from qingquan.store.reading_log.configuration import (
    ACCOUNT,
    cluster_faults,
    server_configuration,
    sync_faults,
)
from qingquan.store.reading_log.credentials import (
    LogCredentials,
    connectable,
    load_credentials,
    resolve_log_config,
)
from qingquan.store.reading_log.leaf import leaf_faults
from qingquan.store.reading_log.probes import answers, command_line, is_free, server_name_at
from qingquan.store.reading_log.streams import READINGS, ensure_streams

__all__ = ["EmbeddedServer"]

READY_WAIT_S = 120.0
PORT_TRIES = 3
STOP_WAIT_S = 15.0
# Below this a server cannot make its streams, or would stand still within minutes.
LEAST_FREE_BYTES = 64 * 2**20
RELOAD_WAIT_S = 20.0

_log = structlog.get_logger(__name__)


class _PortTaken(ConfigurationError):
    """The server could not have a port that was free a moment before."""


class EmbeddedServer:
    """MQTT listener and reading log in one child process, everything it keeps under ``config.data_dir``.

    Takes the settings as written or as returned by `resolve_log_config`. All methods block; none may be called from
    two threads at once.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._folder = config.data_path.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: TextIO | None = None
        self._chosen: LogCredentials | None = None

    @property
    def log_file(self) -> Path:
        """Where the server writes its log."""
        return self._folder / "log" / "nats.log"

    @property
    def pid(self) -> int | None:
        """Process id of the running server."""
        return self._process.pid if self._process is not None and self.is_alive else None

    @property
    def is_alive(self) -> bool:
        """Whether the child process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self, ready_wait_s: float = READY_WAIT_S) -> None:
        """Start the server and return when it takes MQTT and service connections.

        At the very first start the streams are made before a device may log in: one that came first would get PUBACKs for
        messages nobody stores. A server left over by a supervisor that was killed is ended first. One of a cluster waits for
        the others, as streams in copies need a majority.

        Raises
        ------
        ConfigurationError
            For a missing or other server version, a busy port, a bad ``log_sync_interval``, a data folder in use or
            not writable, or a server that ends again: one line each, with the way out.
        """
        faults = sync_faults(self._config.log_sync_interval) + leaf_faults(self._config) + cluster_faults(self._config)
        if faults:
            raise ConfigurationError(faults)
        binary = server_binary()
        self._make_folders()
        self._require_room()
        self._take_lock()
        try:
            self._end_leftover()
            is_first = not self._has_readings()
            kept = self._launch_on_free_ports(binary, open_to_devices=not is_first, ready_wait_s=ready_wait_s)
            if is_first:
                _run_apart(ensure_streams(resolve_log_config(self._config), wait_s=ready_wait_s))
                self._open_to_devices(kept)
        except BaseException:
            self.stop()
            raise
        _log.info("log_server_ready", pid=self.pid, log_port=kept.log_port, mqtt_port=kept.mqtt_port)

    def stop(self) -> None:
        """End the server gracefully; a second call does nothing."""
        self._end_process()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); for fault tests."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Exit status of the server, ``None`` when it still runs after ``timeout_s``."""
        if self._process is None:
            return None
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def _make_folders(self) -> None:
        try:
            for name in ("js", "log", "run"):
                (self._folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                [f"data_dir = {str(self._folder)!r}: cannot be written: {error.strerror}: choose another data_dir"]
            ) from error

    def _require_room(self) -> None:
        """A full disk stops all of JetStream, not one stream: nothing could even be read and purged."""
        free = shutil.disk_usage(self._folder).free
        if free < LEAST_FREE_BYTES:
            raise ConfigurationError(
                [
                    f"data_dir = {str(self._folder)!r}: {free // 2**20} MiB free on this disk, {LEAST_FREE_BYTES // 2**20} needed: "
                    "free the disk, or choose another data_dir"
                ]
            )
        held = sum(path.stat().st_size for path in (self._folder / "js").rglob("*.blk"))
        if free + held < self._config.log_max_bytes:
            _log.warning("disk_smaller_than_log", free=free, log_max_bytes=self._config.log_max_bytes, held=held)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = (self._folder / "run" / "nats.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ConfigurationError(
                [
                    f"data_dir = {str(self._folder)!r}: in use by another running system: stop it, or set another data_dir"
                ]
            ) from error
        self._lock = lock

    def _end_leftover(self) -> None:
        """End a server of ours whose supervisor was killed: it holds the ports and the store."""
        self._end_process()
        try:
            pid = int((self._folder / "run" / "nats.pid").read_text())
        except (OSError, ValueError):
            return
        if str(self._configuration_file) not in command_line(pid):
            return
        _log.warning("log_server_left_over", pid=pid)
        for sign, wait_s in ((signal.SIGTERM, STOP_WAIT_S), (signal.SIGKILL, 5.0)):
            os.kill(pid, sign)
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline:
                if str(self._configuration_file) not in command_line(pid):
                    return
                time.sleep(0.05)

    def _choose_ports(self) -> LogCredentials:
        config = self._config
        kept = load_credentials(config)
        hosts = {"log_port": "127.0.0.1", "mqtt_port": config.mqtt_host}
        busy = [name for name, host in hosts.items() if not is_free(host, getattr(kept, name))]
        faults = [
            f"{name} = {getattr(kept, name)}: in use by another program: end it, or set {name} (0 = any free port)"
            for name in busy
            # After the first start the others know the ports, so that they count as given.
            if getattr(config, name) or self._chosen is not None
        ]
        if faults:
            raise ConfigurationError(faults)
        self._chosen = load_credentials(config, renew_ports=tuple(busy)) if busy else kept
        return self._chosen

    def _launch_on_free_ports(self, binary: Path, *, open_to_devices: bool, ready_wait_s: float) -> LogCredentials:
        """Launch; on other ports, if another program took one between our look and the server's. Ports that others know stay."""
        known, tries = self._chosen, 0
        while True:
            kept = self._choose_ports()
            try:
                self._launch(binary, kept, open_to_devices=open_to_devices, ready_wait_s=ready_wait_s)
                return kept
            except _PortTaken:
                tries += 1
                if tries == PORT_TRIES:
                    raise
                self._chosen = known

    def _has_readings(self) -> bool:
        return (self._folder / "js" / "jetstream" / ACCOUNT / "streams" / READINGS).is_dir()

    @property
    def _configuration_file(self) -> Path:
        return self._folder / "run" / "nats.conf"

    def _launch(self, binary: Path, kept: LogCredentials, *, open_to_devices: bool, ready_wait_s: float) -> None:
        self._configure(kept, open_to_devices=open_to_devices)
        with (self._folder / "log" / "nats.out").open("wb") as output:
            self._process = subprocess.Popen(
                [str(binary), "-c", str(self._configuration_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A terminal's Ctrl-C must reach the supervisor alone, which then ends the server in its turn.
                start_new_session=True,
            )
        self._wait_ready(kept, deadline=time.monotonic() + ready_wait_s)

    def _configure(self, kept: LogCredentials, *, open_to_devices: bool) -> None:
        text = server_configuration(self._config, kept, self._folder, open_to_devices=open_to_devices)
        self._configuration_file.unlink(missing_ok=True)
        descriptor = os.open(self._configuration_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)

    def _open_to_devices(self, kept: LogCredentials) -> None:
        """Let devices log in from now on, without a restart."""
        self._configure(kept, open_to_devices=True)
        read_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + RELOAD_WAIT_S
        while time.monotonic() < deadline:
            said = self.log_file.read_bytes()[read_from:]
            if b"Reloaded server configuration" in said:
                return
            if b"Failed to reload" in said or not self.is_alive:
                break
            time.sleep(0.02)
        raise ConfigurationError([f"the embedded NATS server does not take its settings again: {self._last_words()}"])

    def _wait_ready(self, kept: LogCredentials, *, deadline: float) -> None:
        while time.monotonic() < deadline:
            if not self.is_alive:
                said = self._last_words()
                fault = _PortTaken if "address already in use" in said else ConfigurationError
                raise fault([f"the embedded NATS server ended at once: {said}"])
            if server_name_at(kept.log_port) == kept.server_name and answers(
                connectable(self._config.mqtt_host), kept.mqtt_port
            ):
                return
            time.sleep(0.02)
        raise ConfigurationError(
            [f"the embedded NATS server is not ready after {READY_WAIT_S:.0f} s: see {self.log_file}"]
        )

    def _last_words(self) -> str:
        lines: list[str] = []
        for path in (self.log_file, self._folder / "log" / "nats.out"):
            if path.exists():
                lines += path.read_text(encoding="utf-8", errors="replace").splitlines()[-50:]
        telling = [line for line in lines if re.search(r"\[(FTL|ERR)\]|nats-server: ", line)]
        return (telling or lines or ["it said nothing"])[-1]

    def _end_process(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._process = None


def _run_apart(work: Any) -> None:
    """Run a coroutine to its end in a thread of its own, as the caller may stand inside an event loop."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="ensure-streams")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
