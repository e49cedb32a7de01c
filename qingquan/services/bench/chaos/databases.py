"""The stores of a run beside the log: PostgreSQL where it is installed, else SQLite; InfluxDB 2.x where one is named, else 1.x behind
the write door of 2.x."""

import sqlite3
import threading
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qingquan.services.bench.chaos.processes import Process
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.store.sql.server import PostgresMissing, PostgresServer
from qingquan.testing.influx import (
    INFLUX2_ORG,
    INFLUX2_TOKEN,
    SHIM_TOKEN,
    influx2_command,
    influx_settings,
    influx_shim,
    influxd2_path,
    influxd_path,
    set_up_influx2,
    wait_for_influx,
)
from qingquan.testing.ports import free_port

__all__ = ["Databases", "has_influx", "influx_kind"]

BUCKET = "chaos"
# Nothing here must outlive the machine, only a crash of the server: so the disk need not be waited for.
SETTINGS = ("fsync=off", "full_page_writes=off", "max_connections=100")


def has_influx() -> bool:
    """Whether two recorders on InfluxDB can be tried here."""
    return influxd_path() is not None or influxd2_path() is not None


def influx_kind() -> str:
    """What the report calls it."""
    return "InfluxDB 2.x" if influxd2_path() else "InfluxDB 1.x behind the write door of 2.x"


class Databases:
    """Relational and time-series database; ``name`` is empty where the relational one is a file."""

    def __init__(self, folder: Path, hub: str, store: str) -> None:
        self._stack = ExitStack()
        self._folder = folder
        self._postgres: PostgresServer | None = None
        self._influx: Process | None = None
        self.series_settings: Mapping[str, Any] = {}
        try:
            self._postgres = self._made_postgres(hub)
        except PostgresMissing:
            self.url = f"sqlite:///{folder / 'qingquan.db'}"
        else:
            self._stack.callback(self._postgres.stop, "immediate")
            self._postgres.start()
            self.url = self._postgres.url.replace("@127.0.0.1:", f"@{hub}:")
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

    def _made_postgres(self, hub: str) -> PostgresServer:
        """A server that also listens at the hub, for those who have a network of their own."""
        # Its user must get through to it, which no folder below one of root's own allows.
        place = Path(self._stack.enter_context(TemporaryDirectory(prefix="qingquan-chaos-postgres-")))
        rights = place / "rights.conf"
        rights.write_text(f"host all all 127.0.0.1/32 scram-sha-256\nhost all all {hub}/24 scram-sha-256\n")
        rights.chmod(0o644)
        addresses = ",".join(dict.fromkeys(("127.0.0.1", hub)))
        return PostgresServer(place, (*SETTINGS, f"listen_addresses={addresses}", f"hba_file={rights}"))

    def _start_influx(self, hub: str) -> None:
        if influxd2_path():
            self._start_influx2(hub)
            return
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

    def _start_influx2(self, hub: str) -> None:
        port = free_port()
        command = influx2_command(self._folder / "influx", port, hub)
        self._influx = Process("influx", command, {}, self._folder / "influx.log")
        self._influx.start()
        wait_for_influx(port, address=hub)
        set_up_influx2(port, hub)
        self.series_settings = {
            "series_store": "influx", "influx_url": f"http://{hub}:{port}", "influx_token": INFLUX2_TOKEN, "influx_org": INFLUX2_ORG,
            "influx_bucket": BUCKET,
        }  # fmt: skip
