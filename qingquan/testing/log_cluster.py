"""Three NATS servers on loopback with the reading log in three copies and MQTT on each: a province's topology in small."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qingquan.config import Config
from qingquan.errors import BrokerLost, ConfigurationError
from qingquan.store.reading_log import ensure_streams
from qingquan.store.reading_log.binary import server_binary
from qingquan.testing.ports import free_port

__all__ = ["PASSWORD", "USER", "LogCluster", "running_log_cluster"]

NODES = 3
READY_S = 60.0
USER, PASSWORD = "services", "for-tests-alone"


class LogCluster:
    """Servers by number; `settings` name all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = [(free_port(), free_port(), free_port()) for _ in range(NODES)]
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * NODES
        folder.mkdir(parents=True)

    def settings(self, **settings: Any) -> Config:
        """Settings of services beside this cluster."""
        urls = ",".join(f"nats://127.0.0.1:{client}" for client, _, _ in self._ports)
        fixed: dict[str, Any] = {
            "data_dir": str(self._folder / "services"), "log_url": urls, "log_user": USER, "log_password": PASSWORD,
            "log_replicas": NODES, "log_max_bytes": 256 * 2**20,
        }  # fmt: skip
        return Config(**{**fixed, **settings})

    def mqtt_port(self, node: int) -> int:
        """Where a node takes MQTT."""
        return self._ports[node][2]

    def start(self, node: int) -> None:
        """Start a server."""
        path = self._folder / f"node-{node}.conf"
        path.write_text(self._configuration(node))
        with (self._folder / f"node-{node}.log").open("ab") as output:
            self._processes[node] = subprocess.Popen(
                [str(server_binary()), "-c", str(path)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

    def kill(self, node: int) -> None:
        """End a server as a crash would."""
        process = self._processes[node]
        if process is not None:
            process.kill()
            process.wait()
            self._processes[node] = None

    def prepare(self) -> None:
        """Make the streams, once the servers have chosen a leader."""
        deadline = time.monotonic() + READY_S
        while True:
            try:
                asyncio.run(ensure_streams(self.settings()))
            except (BrokerLost, ConfigurationError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def stop(self) -> None:
        """End all servers."""
        for node in range(NODES):
            self.kill(node)

    def _configuration(self, node: int) -> str:
        client, route, mqtt = self._ports[node]
        routes = ", ".join(json.dumps(f"nats://127.0.0.1:{port}") for _, port, _ in self._ports)
        return f"""
server_name: node-{node}
listen: "127.0.0.1:{client}"
max_payload: 65536
jetstream {{ store_dir: {json.dumps(str(self._folder / f"js-{node}"))}, sync_interval: 250ms, max_mem: 67108864, max_file: 2147483648 }}
cluster {{ name: qingquan, listen: "127.0.0.1:{route}", routes: [{routes}] }}
mqtt {{ listen: "127.0.0.1:{mqtt}", ack_wait: "30s", max_ack_pending: 1000, reject_qos2_publish: true, stream_replicas: {NODES} }}
accounts {{
  WQ {{ jetstream: enabled, users: [
    {{ user: {USER}, password: {PASSWORD} }}
  ] }}
  SYS {{ users: [ {{ user: sys, password: {PASSWORD} }} ] }}
}}
system_account: SYS
"""


@contextmanager
def running_log_cluster(folder: Path) -> Iterator[LogCluster]:
    """A cluster with its streams, ended afterwards."""
    made = LogCluster(folder)
    try:
        for node in range(NODES):
            made.start(node)
        made.prepare()
        yield made
    finally:
        made.stop()
