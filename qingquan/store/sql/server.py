"""A PostgreSQL server of our own on loopback, from the programs installed on this machine, everything in one folder.

PostgreSQL refuses to run as root. Started by root, it runs as the user ``postgres``, which the packages make.
"""

import ctypes
import json
import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from qingquan.errors import ConfigurationError
from qingquan.store.reading_log.credentials import free_port, save_secrets
from qingquan.store.reading_log.probes import is_free

__all__ = ["PostgresMissing", "PostgresServer", "postgres_programs"]

# Where the packages of Debian and of Red Hat put the programs.
INSTALLED = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")
ACCOUNT = "postgres"
USER = "qingquan"
START_S = 300.0
STOP_S = 30.0
POLL_S = 0.05
MADE = "PG_VERSION"
PR_SET_PDEATHSIG = 1

_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresMissing(Exception):
    """There is no PostgreSQL that we could start; the message says why, in one line."""


class PostgresServer:
    """One server: ``start``, ``stop``, ``url``. All methods block; none may be called from two threads at once.

    ``settings`` are ``name=value`` of the server's own.

    Raises
    ------
    PostgresMissing
        If no PostgreSQL is installed, or the user it must run as cannot reach the folder.
    """

    def __init__(self, folder: Path, settings: Sequence[str] = ()) -> None:
        self._folder = folder.resolve()
        self._programs = postgres_programs()
        self._settings = settings
        self._account = pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._make_folder()

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database, password and all; the port is chosen at the first call and kept."""
        kept = self._kept()
        return f"postgresql+psycopg://{USER}:{kept['password']}@127.0.0.1:{kept['port']}/postgres"

    def settle_port(self) -> None:
        """Choose another port where somebody else has taken ours; before anybody is told the URL."""
        if self._pid() is None and not is_free("127.0.0.1", int(self._kept()["port"])):
            self._keep({**self._kept(), "port": free_port()})

    @property
    def is_alive(self) -> bool:
        """Whether the child process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Make the data folder on the first call, and wait until the server answers. One left over by a kill is ended first.

        Raises
        ------
        ConfigurationError
            If it cannot be made or does not start; what it said is in its log.
        """
        self._end_leftover()
        kept = self._kept()
        if not (self._data / MADE).exists():
            self._make(str(kept["password"]))
        options = (f"port={kept['port']}", "listen_addresses=127.0.0.1", "unix_socket_directories=", "timezone=UTC")
        arguments = [word for pair in (*options, *self._settings) for word in ("-c", pair)]
        own_pid = os.getpid() if threading.current_thread() is threading.main_thread() else 0
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self._data), *arguments],
                **self._as_account(), cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                # Ctrl-C goes to whoever started us, which ends this server last.
                start_new_session=True, preexec_fn=partial(_ends_with, own_pid),
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self.answers():
            if not self.is_alive or time.monotonic() > deadline:
                self.stop("immediate")
                raise ConfigurationError([f"PostgreSQL does not start: {self._last_words()}; see {self.log_file}"])
            time.sleep(POLL_S)

    def stop(self, mode: str = "fast") -> None:
        """End the server: ``smart`` waits for clients, ``fast`` sends them away, ``immediate`` is a crash."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(_SIGNALS[mode])
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGQUIT)
            process.wait()

    def answers(self) -> bool:
        """Whether the server takes connections."""
        try:
            psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=2).close()
        except psycopg.Error:
            return False
        return True

    @property
    def log_file(self) -> Path:
        """Where the server writes its log."""
        return self._folder / "server.log"

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _make_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._account is None:
            return
        # The data inside belong to the server's user, this folder does not: password and log are ours.
        self._folder.chmod(0o711)
        entered = subprocess.run(["test", "-x", str(self._folder)], **self._as_account(), check=False)
        if entered.returncode:
            raise PostgresMissing(
                f"PostgreSQL does not run as root, and its user {ACCOUNT} cannot enter {self._folder}"
            )

    def _as_account(self) -> dict[str, Any]:
        """Arguments of `subprocess` that make a child the server's user, and nobody else's group."""
        if self._account is None:
            return {}
        return {"user": self._account.pw_uid, "group": self._account.pw_gid, "extra_groups": []}

    def _kept(self) -> Mapping[str, str | int]:
        """Port and password, made up at the first call."""
        path = self._folder / "server.json"
        if not path.exists():
            self._keep({"port": free_port(), "password": secrets.token_urlsafe(24)})
        kept: dict[str, str | int] = json.loads(path.read_text(encoding="utf-8"))
        return kept

    def _keep(self, kept: Mapping[str, str | int]) -> None:
        save_secrets(self._folder / "server.json", kept)

    def _make(self, password: str) -> None:
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(mode=0o700)
        if self._account:
            os.chown(self._data, self._account.pw_uid, self._account.pw_gid)
        with tempfile.NamedTemporaryFile("w", dir=self._folder, prefix=".first-") as secret:
            secret.write(password)
            secret.flush()
            if self._account:
                os.chown(secret.name, self._account.pw_uid, self._account.pw_gid)
            done = subprocess.run(
                [
                    str(self._programs / "initdb"), "-D", str(self._data), "-U", USER, "-A", "scram-sha-256", "--pwfile", secret.name,
                    "-E", "UTF8", "--locale=C",
                ],
                **self._as_account(), cwd=self._folder, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        if done.returncode:
            # Half a folder would be taken for a whole one.
            shutil.rmtree(self._data, ignore_errors=True)
            why = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
            raise ConfigurationError(
                [f"PostgreSQL's folder {self._data} cannot be made: {why}: set database_url instead"]
            )

    def _pid(self) -> int | None:
        """Process id of a server on this folder, ours or left over."""
        try:
            pid = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self._data).encode() in words else None

    def _end_leftover(self) -> None:
        deadline = time.monotonic() + STOP_S
        while (pid := self._pid()) is not None and time.monotonic() < deadline:
            os.kill(pid, _SIGNALS["fast"])
            time.sleep(POLL_S)

    def _last_words(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        return next((line for line in reversed(lines) if "FATAL" in line), (lines or ["it said nothing"])[-1])


def postgres_programs() -> Path:
    """Folder of the newest PostgreSQL of this machine; `PostgresMissing` when there is none that this user can run."""
    found = [path for pattern in INSTALLED for path in Path("/").glob(pattern)]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    whole = [path for path in found if (path / "initdb").exists() and (path / "postgres").exists()]
    if not whole:
        raise PostgresMissing("no PostgreSQL is installed here (Debian: package postgresql)")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(ACCOUNT)
        except KeyError:
            raise PostgresMissing(f"PostgreSQL does not run as root, and there is no user {ACCOUNT}") from None
    return max(whole, key=_version)


def _version(programs: Path) -> int:
    return max((int(number) for number in re.findall(r"\d+", str(programs))), default=0)


def _ends_with(owner: int) -> None:
    """Linux: the server is told to end when the process that started it is killed; elsewhere nothing."""
    if owner and sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != owner:
            os._exit(1)
