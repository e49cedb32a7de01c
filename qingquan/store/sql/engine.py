"""Opening the relational database, bringing its schema up to date, and the two kinds of transaction.

``writing(engine)`` is one transaction that may write: on SQLite it takes the write lock at its start (BEGIN IMMEDIATE),
so that it cannot fail half-way because another process wrote in between. ``reading(engine)`` sees one unchanging state
and cannot write. Both raise `StoreUnavailable` when the database does not answer.
"""

import random
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from qingquan.errors import ConfigurationError, StoreUnavailable

__all__ = ["check_schema", "head_revision", "open_database", "reading", "upgrade", "writing"]

BUSY_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_S = 5

# Who waits to write looks so often whether it is their turn. SQLite's own waiting slows down to ten looks a second, and
# with several that write an alarm then waited for a second although hardly anybody held the lock for longer than half of one.
TURN_S = (0.001, 0.004)
# What raises alarms looks more often than all others, so that among many it is hardly ever somebody else's turn.
URGENT_TURN_S = (0.0002, 0.0005)

# PostgreSQL serialises upgrades by this advisory lock; any constant serves as long as nobody else uses it.
UPGRADE_LOCK = 5_204_251

# In a reading transaction this is not the disk: somebody tried to write there.
SQLITE_READONLY = 8

# Primary result codes of SQLite that another try or a person can get over: busy, locked, read-only, I/O, full, can't open.
_SQLITE_UNAVAILABLE = frozenset({5, 6, SQLITE_READONLY, 10, 13, 14})

# Those that stay however often one tries: corrupt, and not a database at all.
_SQLITE_DAMAGED = frozenset({11, 26})


def open_database(url: str, *, is_urgent: bool = False) -> Engine:
    """Engine for a SQLAlchemy URL; connects only when first used. On SQLite, where one writes at a time, who is urgent goes first.

    Raises
    ------
    ConfigurationError
        If the URL is not one of SQLite (``sqlite:///path``) or PostgreSQL (``postgresql://user:password@host/name``).
    """
    parsed = _parse_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, URGENT_TURN_S if is_urgent else TURN_S)
    return create_engine(
        parsed,
        json_serializer=_json_text,
        json_deserializer=msgspec.json.decode,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            # A server that vanished without a word is noticed within a minute instead of hours.
            "keepalives_idle": 20,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "tcp_user_timeout": 50_000,
            "options": f"-c lock_timeout={BUSY_TIMEOUT_MS}",
            **dict(parsed.query),
        },
    )


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that may write: committed at the end, rolled back when the body raises."""
    with _available(engine), engine.connect() as connection, _mode(connection, "writing").begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that sees one state of the database and cannot change it."""
    with _available(engine, {SQLITE_READONLY}), engine.connect() as connection, _mode(connection, "reading").begin():
        yield connection


def upgrade(url: str) -> str:
    """Bring a database, new or old, to the schema of this version; the revision it has then.

    All steps are one transaction: a step that fails leaves the database as it was.
    """
    engine = open_database(url)
    try:
        if engine.dialect.name == "sqlite" and engine.url.database:
            _make_folder(Path(engine.url.database).parent)
        with writing(engine) as connection:
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
            _refuse_newer(connection)
            # Only here: loading Alembic takes a process a quarter of a second, and services only look whether the schema is the newest.
            from qingquan.store.sql.migrating import migrate

            migrate(connection)
    finally:
        engine.dispose()
    return head_revision()


def check_schema(engine: Engine) -> None:
    """Refuse a database whose schema is not the one of this version.

    Raises
    ------
    ConfigurationError
        One line: what was found, and the remedy.
    """
    file = engine.url.database
    if engine.dialect.name == "sqlite" and file and not Path(file).exists():
        found = None
    else:
        with reading(engine) as connection:
            found = _refuse_newer(connection)
    head = head_revision()
    if found != head:
        shown = "no schema yet" if found is None else f"schema {found}"
        raise ConfigurationError([f"{_shown(engine)}: {shown}, this version needs {head}: run `qingquan db upgrade`"])


def head_revision() -> str:
    """Newest schema revision that this version knows."""
    return max(_known_revisions())


def _known_revisions() -> set[str]:
    """Every migration's file begins with the revision it makes."""
    versions = Path(__file__).parent / "migrations" / "versions"
    return {file.name.partition("_")[0] for file in versions.glob("[0-9]*.py")}


def _parse_url(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            ["database_url: not a database URL: allowed: sqlite:///path, postgresql://…"]
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend == "sqlite":
        return parsed.set(drivername="sqlite+pysqlite")
    raise ConfigurationError([f"database_url: {backend} is not supported: allowed: sqlite:///path, postgresql://…"])


def _open_sqlite(url: URL, turn_s: tuple[float, float]) -> Engine:
    engine = create_engine(
        url,
        json_serializer=_json_text,
        json_deserializer=msgspec.json.decode,
        connect_args={"timeout": BUSY_TIMEOUT_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda connection: _begin_sqlite(connection, turn_s))
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own way of starting transactions is switched off: it begins late, and never IMMEDIATE.
    connection.isolation_level = None
    for pragma in (f"busy_timeout = {BUSY_TIMEOUT_MS}", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    _enter_wal(connection)


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch a new file to write-ahead logging; it stays so. SQLite's busy timeout does not cover the switch itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _begin_sqlite(connection: Connection, turn_s: tuple[float, float]) -> None:
    mode = connection.get_execution_options().get("qingquan_mode")
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if mode == 'reading' else 'OFF'}")
    if mode == "writing":
        _begin_to_write(connection, turn_s)
    else:
        connection.exec_driver_sql("BEGIN")


def _begin_to_write(connection: Connection, turn_s: tuple[float, float]) -> None:
    """Begin a transaction that writes, as soon as nobody else has one."""
    file: Any = connection.connection.dbapi_connection
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    file.execute("PRAGMA busy_timeout = 0")
    try:
        while time.monotonic() < deadline:
            try:
                file.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY:
                    break
            time.sleep(random.uniform(*turn_s))  # noqa: S311 (jitter)
        # Once more, so that SQLAlchemy knows the error.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        file.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")


def _mode(connection: Connection, mode: str) -> Connection:
    if mode == "reading" and connection.dialect.name == "postgresql":
        return connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return connection.execution_options(qingquan_mode=mode)


@contextmanager
def _available(engine: Engine, ours: Collection[int] = ()) -> Iterator[None]:
    try:
        yield
    except PoolTimeout as error:
        raise StoreUnavailable(f"{_shown(engine)}: no free connection: {error}") from error
    except DBAPIError as error:
        cause = str(error.orig).strip().splitlines() or [type(error.orig).__name__]
        if _sqlite_code(error) in _SQLITE_DAMAGED:
            remedy = "name another file, or restore a backup"
            raise ConfigurationError([f"{_shown(engine)}: {cause[0]}: {remedy}"]) from error
        if not _is_unavailable(error) or _sqlite_code(error) in ours:
            raise
        raise StoreUnavailable(f"{_shown(engine)} does not answer: {cause[0]}") from error


def _sqlite_code(error: DBAPIError) -> int:
    return (getattr(error.orig, "sqlite_errorcode", None) or 0) & 0xFF


def _is_unavailable(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        return _sqlite_code(error) in _SQLITE_UNAVAILABLE
    return isinstance(error, OperationalError | InterfaceError)


def _refuse_newer(connection: Connection) -> str | None:
    found: str | None = None
    if inspect(connection).has_table("alembic_version"):
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if found is not None and found not in _known_revisions():
        where = _shown(connection.engine)
        raise ConfigurationError(
            [f"{where}: schema {found} was made by a newer version of qingquan: use that version, or restore a backup"]
        )
    return found


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError([f"{folder}: cannot be made: {error.strerror}"]) from error


def _shown(engine: Engine) -> str:
    return f"database {engine.url.render_as_string(hide_password=True)}"


def _json_text(value: Any) -> str:
    # NaN is written as null. PostgreSQL's JSON cannot hold the character NUL.
    return msgspec.json.encode(value).decode().replace("\\u0000", "\\u2400")
