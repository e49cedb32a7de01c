"""Which processes make up the whole system: one of each on the embedded default, or a cluster on loopback.

A part is a process with settings of its own. The order is that of the start; everything is stopped in the opposite one.
"""

import json
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.store.reading_log import resolve_log_config
from qingquan.store.reading_log.cluster import load_cluster_plan

__all__ = ["Part", "Topology", "cluster_topology", "single_topology", "with_series_store", "write_settings"]

CLUSTER_SETTINGS = "cluster.toml"


@dataclass(frozen=True, slots=True)
class Part:
    """One process: ``qingquan run SERVICE`` with these settings, known to the supervisor by its name."""

    name: str
    service: str
    config: Config


@dataclass(frozen=True, slots=True)
class Topology:
    """Servers of the reading log, then the services; ``config`` is what the services are told."""

    config: Config
    log_servers: tuple[Part, ...]
    services: tuple[Part, ...]

    def mqtt(self) -> list[str]:
        """Where devices may publish, first choice first."""
        if not self.log_servers:
            return [f"{self.config.mqtt_host}:{self.config.mqtt_port}"]
        resolved = [resolve_log_config(part.config) for part in self.log_servers]
        return [f"{one.mqtt_host}:{one.mqtt_port}" for one in resolved]


def single_topology(config: Config) -> Topology:
    """One of each; no log server when ``log_url`` names one."""
    servers = () if config.log_url else (Part("log-server", "log-server", config),)
    return Topology(config, servers, _services(config, {}))


def cluster_topology(config: Config) -> Topology:
    """Three log servers with the log in three copies, two of whatever may run twice.

    Raises
    ------
    ConfigurationError
        If ``log_url`` names servers of somebody else's, or what is kept of an earlier run cannot be read.
    """
    if config.log_url:
        raise ConfigurationError(
            ["log_url: up --cluster starts log servers of its own: leave log_url empty, or leave out --cluster"]
        )
    plan = load_cluster_plan(config)
    servers = tuple(
        Part(f"log-server-{number}", "log-server", plan.of_node(config, number))
        for number in range(1, len(plan.nodes) + 1)
    )
    told = plan.of_services(config)
    # An embedded series store has one writer.
    recorders = 2 if told.series_store == "influx" else 1
    return Topology(told, servers, _services(told, {"evaluator": 2, "recorder": recorders, "alerter": 2}))


def with_series_store(config: Config) -> Config:
    """InfluxDB where its address is given: `up --cluster` needs no second setting for it."""
    return replace(config, series_store="influx") if config.influx_url else config


def write_settings(config: Config) -> Path:
    """Settings for further processes beside this cluster (``--config``), readable by their owner only; the file."""
    path = config.data_path / CLUSTER_SETTINGS
    lines = [
        "# Made anew by every `qingquan up --cluster`. For more of a service: qingquan run evaluator --config THIS_FILE\n"
    ]
    lines += [
        f"{row.name} = {json.dumps(value, ensure_ascii=False)}\n"
        for row in fields(Config)
        if (value := _absolute(row.name, getattr(config, row.name))) != row.default
    ]
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(lines)
    return path


def _absolute(name: str, value: object) -> object:
    return str(Path(value).resolve()) if name == "data_dir" and isinstance(value, str) else value


def _services(config: Config, copies: dict[str, int]) -> tuple[Part, ...]:
    names = ["evaluator", "recorder", "alerter", "web", "adviser", "compliance", "detector", "watchdog"]
    names += [name for name, is_asked in (("bridge", config.bridge_host), ("edges", config.edges_file)) if is_asked]
    return tuple(
        Part(f"{name}-{number}" if copies.get(name, 1) > 1 else name, name, config)
        for name in names
        for number in range(1, copies.get(name, 1) + 1)
    )
