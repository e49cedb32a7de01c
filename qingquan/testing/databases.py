"""Fixtures for tests against the relational store: import what is needed into the test module.

``engine`` runs a test on SQLite and on PostgreSQL, each time on a database of its own, brought to the current schema.
"""

import atexit
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from qingquan.store.sql.engine import open_database, upgrade
from qingquan.testing.postgres import PostgresMissing, fresh_database

__all__ = ["current_sqlite", "database_url", "engine", "sqlite_engine"]

BACKENDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.debian))


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of an empty database, on each backend in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'test.db'}"
        return
    try:
        url = fresh_database()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    yield url
    _drop(url)


@pytest.fixture(params=BACKENDS)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Engine of a database with the current schema, on each backend in turn."""
    if request.param == "sqlite":
        with _opened(current_sqlite(tmp_path / "test.db")) as opened:
            yield opened
        return
    try:
        url = fresh_database(like=_current_postgres())
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    with _opened(url) as opened:
        yield opened
    _drop(url)


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """Engine of a SQLite database with the current schema."""
    with _opened(current_sqlite(tmp_path / "test.db")) as opened:
        yield opened


def current_sqlite(path: Path) -> str:
    """URL of a new SQLite database with the current schema: a copy of one that `upgrade` has made."""
    path.write_bytes(_current_sqlite())
    return f"sqlite:///{path}"


@cache
def _current_sqlite() -> bytes:
    """Going through all migrations takes ten times as long as a copy, and tests of the store need hundreds of databases."""
    with tempfile.TemporaryDirectory() as folder:
        upgrade(f"sqlite:///{folder}/current.db")
        return (Path(folder) / "current.db").read_bytes()


@cache
def _current_postgres() -> str:
    """Name of a database that `upgrade` has made, to be copied."""
    url = fresh_database()
    upgrade(url)
    atexit.register(_drop, url)
    return str(make_url(url).database)


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    opened = open_database(url)
    yield opened
    opened.dispose()


def _drop(url: str) -> None:
    opened = open_database(url)
    name = opened.url.database
    maintenance = open_database(opened.url.set(database="postgres").render_as_string(hide_password=False))
    opened.dispose()
    with maintenance.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    maintenance.dispose()
