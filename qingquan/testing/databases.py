"""Fixtures for tests against the relational store: import what is needed into the test module.

``engine`` runs a test on SQLite and on PostgreSQL, each time on a database of its own, brought to the current schema.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from qingquan.store.sql.engine import open_database, upgrade
from qingquan.testing.postgres import PostgresMissing, fresh_database

__all__ = ["database_url", "engine", "sqlite_engine"]

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


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Engine of a database with the current schema, on each backend in turn."""
    upgrade(database_url)
    opened = open_database(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[Engine]:
    """Engine of a SQLite database with the current schema."""
    url = f"sqlite:///{tmp_path / 'test.db'}"
    upgrade(url)
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
