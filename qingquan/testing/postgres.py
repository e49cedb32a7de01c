"""A PostgreSQL server for tests: Debian's own, started in a temporary folder, or one named by the environment.

Set ``QINGQUAN_TEST_POSTGRES_URL`` to use a server that runs already; its user must be allowed to create databases.
"""

import atexit
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from qingquan.testing.ports import free_port

__all__ = ["PostgresMissing", "PostgresServer", "fresh_database", "postgres_server"]

URL_VARIABLE = "QINGQUAN_TEST_POSTGRES_URL"
DEBIAN_BINARIES = Path("/usr/lib/postgresql")

# Nothing in a test must outlive the machine, only a crash of the server: so the disk need not be waited for.
_SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=50", "timezone=UTC")


class PostgresMissing(Exception):
    """There is no PostgreSQL to test against; the message is the reason for skipping."""


class PostgresServer:
    """One server of our own: ``start``, ``stop``, ``url`` (of its maintenance database)."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="qingquan-postgres-"))
        self._port = free_port()
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            account = pwd.getpwnam(self._user)
            os.chown(self._folder, account.pw_uid, account.pw_gid)

    @property
    def url(self) -> str:
        """SQLAlchemy URL of the database ``postgres``."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Make the data folder on the first call, and wait until the server answers."""
        data = self._folder / "data"
        if not data.exists():
            self._run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
        options = " ".join([f"-p {self._port} -h 127.0.0.1 -k {self._folder}", *(f"-c {pair}" for pair in _SETTINGS)])
        self._run("pg_ctl", "-D", data, "-w", "-t", "30", "-l", self._folder / "log", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server; ``immediate`` is a crash."""
        self._run("pg_ctl", "-D", self._folder / "data", "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop the server if it runs, and delete its folder."""
        if (self._folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self, program: str, *arguments: object) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        done = subprocess.run(
            command, user=self._user, cwd=self._folder, check=False, capture_output=True, text=True, timeout=60,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}{done.stderr}")


def postgres_binaries() -> Path:
    """Folder of the newest PostgreSQL of this machine.

    Raises
    ------
    PostgresMissing
        If there is none, or it cannot be run by this user.
    """
    found = sorted(DEBIAN_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parent.parent.name))
    if not found:
        raise PostgresMissing(f"no PostgreSQL here: install the package postgresql, or set {URL_VARIABLE}")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam("postgres")
        except KeyError:
            raise PostgresMissing("PostgreSQL does not run as root, and there is no user postgres") from None
    return found[-1].parent


@cache
def postgres_server() -> PostgresServer:
    """The server all tests of this process share; stopped when the process ends."""
    server = PostgresServer(postgres_binaries())
    atexit.register(server.remove)
    server.start()
    return server


def fresh_database() -> str:
    """URL of a new, empty database.

    Raises
    ------
    PostgresMissing
        If there is no PostgreSQL to test against.
    """
    base = os.environ.get(URL_VARIABLE) or postgres_server().url
    name = f"qingquan_{uuid.uuid4().hex[:12]}"
    engine = create_engine(make_url(base).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
    finally:
        engine.dispose()
    return make_url(base).set(database=name).render_as_string(hide_password=False)
