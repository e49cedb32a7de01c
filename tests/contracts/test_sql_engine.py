"""Opening, upgrading and refusing databases; and what happens when one does not answer."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from qingquan.errors import ConfigurationError, StoreUnavailable
from qingquan.store.sql import engine as module
from qingquan.store.sql import progress, schema
from qingquan.store.sql.engine import (
    check_schema,
    head_revision,
    open_database,
    reading,
    upgrade,
    writing,
)
from qingquan.store.sql.migrating import alembic_config
from qingquan.testing.databases import database_url, engine, sqlite_engine
from qingquan.testing.postgres import PostgresMissing, PostgresServer

__all__ = ["database_url", "engine", "sqlite_engine"]


# --- schema -----------------------------------------------------------------------------------------------------------


def test_the_migrations_make_exactly_the_tables_of_the_schema(engine: Engine) -> None:
    with reading(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, schema.metadata) == []
        tables = set(inspect(connection).get_table_names())
    assert tables == set(schema.metadata.tables) | {"alembic_version"}


def test_a_difference_between_migrations_and_schema_would_be_found(engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("DROP TABLE lab_result"))
        found = compare_metadata(MigrationContext.configure(connection), schema.metadata)
    assert "add_table" in {difference[0] for difference in found}


def test_every_migration_lies_in_a_file_named_after_it_and_the_last_one_is_the_head() -> None:
    script = ScriptDirectory.from_config(alembic_config())
    for one in script.walk_revisions():
        assert Path(one.path).name.startswith(f"{one.revision}_")
    assert head_revision() == script.get_current_head()


def test_upgrading_again_changes_nothing(database_url: str) -> None:
    assert upgrade(database_url) == upgrade(database_url) == head_revision()
    opened = open_database(database_url)
    check_schema(opened)
    opened.dispose()


def test_an_upgrade_can_be_taken_back_to_an_empty_database(database_url: str) -> None:
    upgrade(database_url)
    opened = open_database(database_url)
    with writing(opened) as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with reading(opened) as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    opened.dispose()


def test_services_that_upgrade_at_once_all_succeed(database_url: str) -> None:
    outcomes: list[str] = []
    threads = [threading.Thread(target=lambda: outcomes.append(upgrade(database_url))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [head_revision()] * 3


def test_an_upgrade_that_fails_leaves_nothing_behind(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(config: object, revision: str) -> None:
        config.attributes["connection"].execute(text("CREATE TABLE half (a INTEGER)"))  # type: ignore[attr-defined]
        raise RuntimeError(revision)

    monkeypatch.setattr(command, "upgrade", half)
    with pytest.raises(RuntimeError):
        upgrade(database_url)
    opened = open_database(database_url)
    with reading(opened) as connection:
        assert inspect(connection).get_table_names() == []
    opened.dispose()


def test_an_empty_database_is_refused_with_the_remedy(database_url: str) -> None:
    opened = open_database(database_url)
    with pytest.raises(ConfigurationError, match=r"no schema yet, .* run `qingquan db upgrade`$") as caught:
        check_schema(opened)
    opened.dispose()
    assert len(caught.value.faults) == 1


@pytest.mark.parametrize("action", [check_schema, lambda engine: upgrade(engine.url.render_as_string(False))])
def test_a_database_of_a_newer_version_is_refused(engine: Engine, action: Callable[[Engine], object]) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="schema 9999 was made by a newer version"):
        action(engine)


def test_a_database_of_an_older_version_is_refused_with_the_remedy(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "head_revision", lambda: "0777")
    with pytest.raises(
        ConfigurationError, match=f"schema {head_revision()}, this version needs 0777: run `qingquan db upgrade`"
    ):
        check_schema(engine)


def test_the_migrations_are_found_from_any_folder(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    program = f"import sys; sys.path.insert(0, {str(root)!r})\nfrom qingquan.store.sql.engine import upgrade\nprint(upgrade('sqlite:///x.db'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (head_revision(), "")


# --- wrong addresses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["mysql://root@localhost/x", "not a url", "", "postgresql"])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed: sqlite:///path, postgresql://"):
        open_database(url)


def test_the_folder_of_a_new_database_is_made(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path}/a/b/qingquan.db")
    assert (tmp_path / "a" / "b" / "qingquan.db").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"file/sub: cannot be made: "):
        upgrade(f"sqlite:///{tmp_path}/file/sub/qingquan.db")


def test_checking_a_missing_file_does_not_make_it(tmp_path: Path) -> None:
    opened = open_database(f"sqlite:///{tmp_path}/none.db")
    with pytest.raises(ConfigurationError, match="no schema yet"):
        check_schema(opened)
    assert not (tmp_path / "none.db").exists()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"this is a spreadsheet" * 100)
    with pytest.raises(ConfigurationError, match="file is not a database: name another file"):
        check_schema(open_database(f"sqlite:///{tmp_path}/x.db"))


def test_a_server_that_is_not_there_is_unavailable_and_its_password_stays_hidden() -> None:
    opened = open_database("postgresql://qingquan:geheim@127.0.0.1:1/qingquan")
    with (
        pytest.raises(StoreUnavailable, match=r"database postgresql.*does not answer: .*refused") as caught,
        reading(opened),
    ):
        pass
    assert "geheim" not in str(caught.value)


# --- SQLite -----------------------------------------------------------------------------------------------------------


def test_sqlite_is_opened_with_wal_foreign_keys_and_patience(sqlite_engine: Engine) -> None:
    with reading(sqlite_engine) as connection:
        got = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in
               ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")}  # fmt: skip
    assert got == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 10_000, "synchronous": 2}


def test_a_writer_holds_the_lock_from_its_first_moment(sqlite_engine: Engine) -> None:
    other = sqlite3.connect(str(sqlite_engine.url.database), timeout=0, isolation_level=None)
    with writing(sqlite_engine), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


def test_a_database_locked_for_too_long_is_unavailable(sqlite_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUSY_TIMEOUT_MS", 20)
    impatient = open_database(sqlite_engine.url.render_as_string())
    with writing(sqlite_engine), pytest.raises(StoreUnavailable, match="database is locked"), writing(impatient):
        pass
    with writing(impatient) as connection:
        progress.add_counts(connection, {"a": 1})
    impatient.dispose()


def test_a_full_disk_is_unavailable_and_keeps_what_was_there(sqlite_engine: Engine) -> None:
    with writing(sqlite_engine) as connection:
        progress.add_counts(connection, {"a": 1})
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    def fill() -> None:
        with writing(sqlite_engine) as connection:
            connection.execute(schema.meta.insert(), [{"key": str(n), "value": "x" * 1000} for n in range(500)])

    with pytest.raises(StoreUnavailable, match="disk is full"):
        fill()
    with reading(sqlite_engine) as connection:
        assert progress.counts(connection) == {"a": 1}


# --- PostgreSQL -------------------------------------------------------------------------------------------------------


@pytest.mark.debian
def test_a_server_that_crashes_is_unavailable_and_used_again_when_it_is_back() -> None:
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    try:
        server.start()
        upgrade(server.url)
        opened = open_database(server.url)
        with writing(opened) as connection:
            progress.add_counts(connection, {"a": 1})

        def crash_half_way() -> None:
            with writing(opened) as connection:
                progress.add_counts(connection, {"a": 1})
                server.stop()

        with pytest.raises(StoreUnavailable):
            crash_half_way()
        with pytest.raises(StoreUnavailable), reading(opened):
            pass
        server.start()
        with reading(opened) as connection:
            assert progress.counts(connection) == {"a": 1}
        opened.dispose()
    finally:
        server.remove()


def test_who_waits_to_write_gets_in_between_two_transactions_of_another(sqlite_engine: Engine) -> None:
    # SQLite's own waiting looks ten times a second in the end, and would miss most of the gaps.
    gaps, is_over = 12, threading.Event()

    def hold_again_and_again() -> None:
        for _ in range(gaps):
            with writing(sqlite_engine) as connection:
                progress.add_counts(connection, {"holder": 1})
                time.sleep(0.25)
            time.sleep(0.02)
        is_over.set()

    holder = threading.Thread(target=hold_again_and_again)
    holder.start()
    turns = 0
    while not is_over.is_set():
        with writing(sqlite_engine) as connection:
            progress.add_counts(connection, {"other": 1})
        turns += not is_over.is_set()
        # Until the holder has begun anew.
        time.sleep(0.05)
    holder.join()
    assert turns > gaps / 2
