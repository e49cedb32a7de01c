"""Three embedded servers on one machine as one cluster: who listens where, what each is told, what services beside them are told.

The reading log then has a copy on each server, and any one of them may die. On one machine this is for trying and for tests:
against the loss of a machine or its disk the servers must stand on three.
"""

import json
import secrets
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.store.reading_log.credentials import free_port, locked_secrets, save_secrets
from qingquan.store.reading_log.probes import is_free

__all__ = ["NODES", "ClusterPlan", "load_cluster_plan"]

NODES = 3
_FILE = "cluster.json"
_SERVICES, _DEVICES = "services", "devices"


@dataclass(frozen=True, slots=True)
class _Node:
    """Ports of one server: for services, for the other servers, for devices."""

    log_port: int
    cluster_port: int
    mqtt_port: int


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """What the servers of a data folder have in common, kept across restarts."""

    nodes: tuple[_Node, ...]
    log_password: str
    mqtt_password: str
    cluster_password: str

    def of_node(self, config: Config, number: int) -> Config:
        """Settings of server ``number`` (from 1), which keeps everything in a folder of its own."""
        node = self.nodes[number - 1]
        return replace(
            self._common(config),
            data_dir=str(config.data_path / "nodes" / str(number)),
            database_url=config.sql_url,
            log_url="",
            log_port=node.log_port,
            mqtt_port=node.mqtt_port,
            log_node=number,
            log_cluster=",".join(f"127.0.0.1:{one.cluster_port}" for one in self.nodes),
            log_cluster_password=self.cluster_password,
            # County edges know one address.
            edges_file=config.edges_file if number == 1 else "",
        )

    def of_services(self, config: Config) -> Config:
        """Settings of everything that is no server; devices and simulators publish at the first one."""
        urls = ",".join(f"nats://127.0.0.1:{node.log_port}" for node in self.nodes)
        return replace(self._common(config), log_url=urls, log_sharing="on", mqtt_port=self.nodes[0].mqtt_port)

    def _common(self, config: Config) -> Config:
        return replace(
            config,
            log_user=_SERVICES,
            log_password=self.log_password,
            mqtt_user=config.mqtt_user or _DEVICES,
            mqtt_password=config.mqtt_password or self.mqtt_password,
            log_replicas=len(self.nodes),
        )


def load_cluster_plan(config: Config) -> ClusterPlan:
    """The kept plan of the data folder, made at the first call.

    A busy port is exchanged for a free one, except ``mqtt_port`` of the first server where it is given: devices know it.

    Raises
    ------
    ConfigurationError
        If the folder cannot be written, or what is kept there cannot be read.
    """
    path = config.data_path / _FILE
    with locked_secrets(config.data_path):
        kept = _read(path) if path.exists() else _made_up()
        taken: set[int] = set()
        nodes = tuple(_with_free_ports(config, node, number, taken) for number, node in enumerate(kept.nodes))
        plan = replace(kept, nodes=nodes)
        save_secrets(path, asdict(plan))
    return plan


def _with_free_ports(config: Config, node: _Node, number: int, taken: set[int]) -> _Node:
    def settled(host: str, *wanted: int) -> int:
        for port in wanted:
            if port and port not in taken and is_free(host, port):
                break
        else:
            port = free_port()
            while port in taken:
                port = free_port()
        taken.add(port)
        return port

    given = config.mqtt_port + number if config.mqtt_port else 0
    if given and not number:
        taken.add(given)
        mqtt = given
    else:
        mqtt = settled(config.mqtt_host, given, node.mqtt_port)
    return _Node(settled("127.0.0.1", node.log_port), settled("127.0.0.1", node.cluster_port), mqtt)


def _made_up() -> ClusterPlan:
    token = secrets.token_urlsafe
    return ClusterPlan(tuple(_Node(0, 0, 0) for _ in range(NODES)), token(24), token(24), token(24))


def _read(path: Path) -> ClusterPlan:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return ClusterPlan(**{**table, "nodes": tuple(_Node(**node) for node in table["nodes"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            [f"{path}: cannot be used ({error!r}): restore it, or delete it while nothing runs, to make a new one"]
        ) from error
