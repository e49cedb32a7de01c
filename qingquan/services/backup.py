"""Backup of the embedded default while it runs, and the way back into another folder.

Order is what makes a backup whole: first the evaluator's snapshots, then the relational database, then the series store, last the
log. Whatever a part covers is then in every part copied after it, so a restored system reads on from its own positions and
finds in the log all that is missing; what it meets twice it knows by its key. Nothing is stopped or locked for long.
"""

import asyncio
import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.errors import ConfigurationError, QingquanError, StoreUnavailable
from qingquan.store.reading_log import EmbeddedServer, resolve_log_config
from qingquan.store.reading_log.connection import connect
from qingquan.store.reading_log.copying import copy_stream, restore_stream
from qingquan.store.series.opening import DUCKDB_FILE, recorder_socket
from qingquan.store.sql.engine import head_revision, upgrade

__all__ = ["Backup", "Say", "back_up", "restore"]

MANIFEST = "backup.json"
FORMAT = 1
SQL_FILE, LOG_FILE, LOG_DESCRIPTION, SNAPSHOTS, SECRETS = "qingquan.db", "readings.jsb", "readings.json", "snapshots", "secrets.json"  # fmt: skip
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: its figures are compared after a restore."""

    format: int
    taken_at: str
    schema: str
    log_messages: int
    log_first: int
    log_last: int
    readings: int
    recorded_messages: int
    rows: dict[str, int]
    digests: dict[str, str]


def back_up(config: Config, target: Path, say: Say = lambda _: None) -> Backup:
    """Copy everything into the new or empty folder ``target``, mode 0700: it holds passwords and people's numbers.

    Raises
    ------
    ConfigurationError
        If the folder is not empty, or the installation is not the embedded default; with the remedy.
    """
    _require_embedded(config)
    if target.exists() and any(target.iterdir()):
        raise ConfigurationError([f"{target}: is not empty: name a new folder for each backup"])
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.chmod(0o700)
    say("1/4 评判快照 snapshots of the evaluator")
    _copy_folder(config.data_path / SNAPSHOTS, target / SNAPSHOTS)
    say("2/4 关系数据库 relational database")
    _copy_sqlite(_sqlite_file(config), target / SQL_FILE)
    say("3/4 时序库 series store")
    _copy_series(config, target / DUCKDB_FILE)
    say("4/4 读数日志 reading log")
    _copy_private(config.data_path / SECRETS, target / SECRETS)
    described = asyncio.run(_copy_log(config, target / LOG_FILE))
    (target / LOG_DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")
    state = described["state"]
    readings, messages = _series_figures(target / DUCKDB_FILE)
    made = Backup(
        FORMAT, from_ms(time.time_ns() // 1_000_000).isoformat(timespec="seconds"), _schema_of(target / SQL_FILE),
        state["messages"], state["first_seq"], state["last_seq"], readings, messages, _rows(target / SQL_FILE), _digests(target),
    )  # fmt: skip
    # Written last: a folder without it is no backup.
    (target / MANIFEST).write_text(json.dumps(asdict(made), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return made


def restore(source: Path, config: Config, say: Say = lambda _: None) -> Backup:
    """Bring a backup into the new or empty data folder of ``config`` and compare its figures; what was restored.

    Raises
    ------
    ConfigurationError
        If the folder is not empty, the backup is not whole, or a newer version made it.
    QingquanError
        If what arrived is not what was backed up.
    """
    _require_embedded(config)
    made = _manifest(source)
    folder = config.data_path
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            [f"{folder}: is not empty: restore into a new folder (--data), then look before you switch"]
        )
    folder.mkdir(parents=True, exist_ok=True)
    say("1/4 校验备份 digests of the backup")
    wrong = sorted(name for name, digest in made.digests.items() if _digest(source / name) != digest)
    if wrong:
        raise ConfigurationError(
            [f"{source / name}: damaged: its digest differs; take another backup" for name in wrong]
        )
    say("2/4 关系数据库、时序库、快照 databases and snapshots")
    _copy_private(source / SECRETS, folder / SECRETS)
    _copy_folder(source / SNAPSHOTS, folder / SNAPSHOTS)
    shutil.copyfile(source / SQL_FILE, _sqlite_file(config))
    shutil.copyfile(source / DUCKDB_FILE, folder / DUCKDB_FILE)
    upgrade(config.sql_url)
    say("3/4 读数日志 reading log")
    state = _restore_log(config, source)
    say("4/4 核对数量 figures compared")
    readings, messages = _series_figures(folder / DUCKDB_FILE)
    found = replace(
        made, log_messages=state["messages"], log_first=state["first_seq"], log_last=state["last_seq"], readings=readings,
        recorded_messages=messages, rows={name: n for name, n in _rows(_sqlite_file(config)).items() if name in made.rows},
    )  # fmt: skip
    if found != made:
        before, after = asdict(made), asdict(found)
        parts = [
            f"{key}: {before[key]} in the backup, {after[key]} restored" for key in before if before[key] != after[key]
        ]
        raise QingquanError("; ".join(parts))
    return found


def _require_embedded(config: Config) -> None:
    faults = []
    if make_url(config.sql_url).get_backend_name() != "sqlite":
        faults.append(
            "database_url: backup and restore are for SQLite; for PostgreSQL use pg_dump (docs/operations.md)"
        )
    if config.series_store != "duckdb":
        faults.append(
            "series_store: backup and restore are for DuckDB; for InfluxDB use influx backup (docs/operations.md)"
        )
    if config.log_url:
        faults.append(
            "log_url: backup and restore are for the embedded log; use nats stream backup (docs/operations.md)"
        )
    if faults:
        raise ConfigurationError(faults)


# --- relational database ----------------------------------------------------------------------------------------------


def _sqlite_file(config: Config) -> Path:
    return Path(make_url(config.sql_url).database or "")


def _copy_sqlite(source: Path, target: Path) -> None:
    if not source.exists():
        raise ConfigurationError([f"{source}: not there: is this the data folder of a system that has run? (--data)"])
    try:
        with (
            closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as old,
            closing(sqlite3.connect(target)) as new,
        ):
            old.backup(new, pages=4096)
            new.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{source}: could not be copied: {error}") from error


def _rows(path: Path) -> dict[str, int]:
    """Rows of every table; watchdog and signs of life change by themselves and are left out."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        names = [
            row[0]
            for row in connection.execute(
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            )
        ]
        return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in sorted(names)}  # noqa: S608


def _schema_of(path: Path) -> str:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0])


# --- series store -----------------------------------------------------------------------------------------------------


def _copy_series(config: Config, target: Path) -> None:
    """Through the recorder while it runs: the file admits one process."""
    from qingquan.store.series.duckdb import DuckdbSeriesStore
    from qingquan.store.series.remote import RemoteSeriesStore

    if recorder_socket(config).exists():
        with closing(RemoteSeriesStore(recorder_socket(config), timeout_s=3600.0)) as store:
            store.copy_to(target.resolve())
        return
    with closing(DuckdbSeriesStore(config.data_path / DUCKDB_FILE)) as direct:
        direct.copy_to(target.resolve())


def _series_figures(path: Path) -> tuple[int, int]:
    from qingquan.store.series.duckdb import DuckdbSeriesStore

    with closing(DuckdbSeriesStore(path)) as store:
        found = store.counts()
    return found.readings, found.messages


# --- reading log ------------------------------------------------------------------------------------------------------


async def _copy_log(config: Config, target: Path) -> dict[str, Any]:
    client = await connect(resolve_log_config(config), name="backup")
    try:
        return await copy_stream(client, target)
    finally:
        await client.close()


def _restore_log(config: Config, source: Path) -> dict[str, Any]:
    described = json.loads((source / LOG_DESCRIPTION).read_text(encoding="utf-8"))
    # Any free ports: those of the old system may be in use by it, and nobody shall publish yet.
    apart = replace(config, log_port=0, mqtt_port=0)
    server = EmbeddedServer(apart)
    server.start()
    try:
        return asyncio.run(_bring_back(resolve_log_config(apart), source / LOG_FILE, described))
    finally:
        server.stop()


async def _bring_back(config: Config, path: Path, described: dict[str, Any]) -> dict[str, Any]:
    client = await connect(config, name="restore")
    try:
        return await restore_stream(client, path, described)
    finally:
        await client.close()


# --- files ------------------------------------------------------------------------------------------------------------


def _manifest(source: Path) -> Backup:
    try:
        table = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        made = Backup(**table)
    except OSError as error:
        raise ConfigurationError(
            [f"{source / MANIFEST}: {error.strerror}: not a backup, or one that was cut short"]
        ) from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError([f"{source / MANIFEST}: not the list of a backup: {error}"]) from error
    if made.format != FORMAT or made.schema > head_revision():
        raise ConfigurationError(
            [f"{source}: format {made.format}, schema {made.schema}: this version reads format {FORMAT}, schema up to {head_revision()}: install the newer version"]
        )  # fmt: skip
    return made


def _copy_folder(source: Path, target: Path) -> None:
    """Files of ``source``, each replaced whole by its writer; one that vanishes meanwhile has a successor of its own time."""
    target.mkdir(parents=True, exist_ok=True)
    if not source.is_dir():
        return
    for file in sorted(one for one in source.iterdir() if one.is_file() and not one.name.endswith(".tmp")):
        try:
            shutil.copyfile(file, target / file.name)
        except FileNotFoundError:
            continue


def _copy_private(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copyfile(source, target)
        target.chmod(0o600)


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    return {str(one.relative_to(folder)): _digest(one) for one in files}


def _digest(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
