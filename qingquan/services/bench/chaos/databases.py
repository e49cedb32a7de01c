"""The stores of a run beside the log: PostgreSQL where it is installed, else SQLite; InfluxDB 1.x behind the write door of 2.x."""

import sqlite3
import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

from qingquan.services.bench.chaos.processes import Process
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.testing.influx import SHIM_TOKEN, influx_settings, influx_shim, influxd_path, wait_for_influx
from qingquan.testing.ports import free_port
from qingquan.testing.postgres import PostgresMissing, PostgresServer, postgres_binaries

__all__ = ["Databases", "has_influx"]

BUCKET = "chaos"


def has_influx() -> bool:
    """Whether two recorders on InfluxDB can be tried here."""
    return influxd_path() is not None


class Databases:
    """Relational and time-series database; ``name`` is empty where the relational one is a file."""

    def __init__(self, folder: Path, hub: str, store: str) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._postgres: PostgresServer | None = None
        self._influx: Process | None = None
        self.series_settings: Mapping[str, Any] = {}
        try:
            self._postgres = PostgresServer(postgres_binaries(), hub)
        except PostgresMissing:
            self.url = f"sqlite:///{folder / 'qingquan.db'}"
        else:
            self._stack.callback(self._postgres.remove)
            self._postgres.start()
            self.url = self._postgres.url
        self.name = "postgres" if self._postgres else ""
        self.series_name = "influx" if store == "influx" else ""
        if store == "influx":
            self._start_influx(hub)

    @property
    def kind(self) -> str:
        """What the report calls the relational one."""
        return "PostgreSQL" if self._postgres else "SQLite"

    def crash(self, name: str) -> None:
        """End a database as a crash would."""
        if name == "postgres" and self._postgres:
            self._postgres.stop("immediate")
        elif name == "influx" and self._influx:
            self._influx.kill()

    def start(self, name: str) -> None:
        """Start it again."""
        if name == "postgres" and self._postgres:
            # A crash is recovered from before it answers; until then others are refused.
            self._postgres.start()
        elif name == "influx" and self._influx:
            self._influx.start()

    def hold(self, seconds: float) -> None:
        """Stand-in for a restart of a database that is a file: hold its write lock for so long."""

        def held() -> None:
            with suppress(sqlite3.Error), sqlite3.connect(self._folder / "qingquan.db", timeout=30) as connection:
                connection.execute("BEGIN IMMEDIATE")
                threading.Event().wait(seconds)
                connection.rollback()

        threading.Thread(target=held, daemon=True).start()

    def close(self) -> None:
        """Stop everything."""
        if self._influx:
            self._influx.stop()
        self._stack.close()

    def _start_influx(self, hub: str) -> None:
        port, home = free_port(), self._folder / "influx"
        path = influx_settings(home, port)
        self._influx = Process("influx", [str(influxd_path()), "-config", str(path)], {}, self._folder / "influx.log")
        self._influx.start()
        wait_for_influx(port)
        shim = self._stack.enter_context(influx_shim(f"http://127.0.0.1:{port}", hub))
        with closing(InfluxDoor(shim.url, SHIM_TOKEN, "", BUCKET, "v2")) as door:
            door.query([f"CREATE DATABASE {BUCKET}"])
        self.series_settings = {
            "series_store": "influx", "influx_url": shim.url, "influx_token": SHIM_TOKEN, "influx_bucket": BUCKET,
        }  # fmt: skip
