"""Three log servers on loopback with the reading log in three copies and MQTT on each, as `up --cluster` sets them up."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qingquan.config import Config
from qingquan.store.reading_log import EmbeddedServer, ensure_streams
from qingquan.store.reading_log.cluster import NODES, load_cluster_plan

__all__ = ["PASSWORD", "USER", "LogCluster", "running_log_cluster"]

# With which devices publish.
USER, PASSWORD = "devices", "for-tests-alone"


class LogCluster:
    """Servers by number, from 0; `settings` name all of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._config = Config(
            data_dir=str(folder), log_port=0, mqtt_port=0, mqtt_user=USER, mqtt_password=PASSWORD, log_max_bytes=256 * 2**20,
        )  # fmt: skip
        self._plan = load_cluster_plan(self._config)
        self._nodes = [self._plan.of_node(self._config, number + 1) for number in range(NODES)]
        self._servers = [EmbeddedServer(node) for node in self._nodes]

    def settings(self, **settings: Any) -> Config:
        """Settings of services beside this cluster."""
        shared = self._plan.of_services(self._config)
        named = {name: getattr(shared, name) for name in _TOLD}
        return Config(**{**named, "data_dir": str(self._config.data_path / "services"), **settings})

    def mqtt_port(self, node: int) -> int:
        """Where a node takes MQTT."""
        return self._nodes[node].mqtt_port

    def start(self, node: int) -> None:
        """Start a server; the first time it waits for the others."""
        self._servers[node].start()

    def start_all(self) -> None:
        """Start all servers at once."""
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(self.start, range(NODES)))

    def kill(self, node: int) -> None:
        """End a server as a crash would."""
        self._servers[node].kill()

    def prepare(self) -> None:
        """Make the streams where they are missing, once the servers have chosen a leader."""
        asyncio.run(ensure_streams(self.settings()))

    def stop(self) -> None:
        """End all servers."""
        for server in self._servers:
            server.kill()
            server.stop()


# What services are told of the cluster; everything else is theirs to choose.
_TOLD = (
    "log_url", "log_user", "log_password", "log_replicas", "log_max_bytes", "mqtt_port", "mqtt_user", "mqtt_password",
)  # fmt: skip


@contextmanager
def running_log_cluster(folder: Path) -> Iterator[LogCluster]:
    """A cluster with its streams, ended afterwards."""
    made = LogCluster(folder)
    try:
        made.start_all()
        made.prepare()
        yield made
    finally:
        made.stop()
