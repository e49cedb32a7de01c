"""A PostgreSQL server for tests: the one of the product, started in a temporary folder, or one named by the environment.

Set ``QINGQUAN_TEST_POSTGRES_URL`` to use a server that runs already; its user must be allowed to create databases.
"""

import atexit
import os
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

from qingquan.store.sql import server
from qingquan.store.sql.server import PostgresMissing

__all__ = ["PostgresMissing", "PostgresServer", "fresh_database", "postgres_server"]

URL_VARIABLE = "QINGQUAN_TEST_POSTGRES_URL"

# Nothing in a test must outlive the machine, only a crash of the server: so the disk need not be waited for.
_SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=50")


class PostgresServer(server.PostgresServer):
    """One server of our own in a temporary folder; raises `PostgresMissing` where there is none to test against."""

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="qingquan-postgres-"))
        super().__init__(self._place, _SETTINGS)

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server, by default as a crash would."""
        super().stop(mode)

    def remove(self) -> None:
        """Stop the server if it runs, and delete its folder."""
        self.stop()
        shutil.rmtree(self._place, ignore_errors=True)


@cache
def postgres_server() -> PostgresServer:
    """The server all tests of this process share; stopped when the process ends."""
    made = PostgresServer()
    atexit.register(made.remove)
    made.start()
    return made


def fresh_database(like: str = "template1") -> str:
    """URL of a new database, empty unless it is ``like`` another one, to which nobody is connected.

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
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {like}"))
    finally:
        engine.dispose()
    return make_url(base).set(database=name).render_as_string(hide_password=False)
