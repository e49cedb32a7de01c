"""Configuration of the three log servers of a run: each listens at a place of its own and reaches the others over ways that can be cut."""

import json
from collections.abc import Sequence
from pathlib import Path

__all__ = ["PASSWORD", "USER", "node_configuration"]

USER, PASSWORD = "services", "for-a-run-alone"


def node_configuration(
    name: str, listen: str, ports: tuple[int, int, int], routes: Sequence[str], store: Path, replicas: int
) -> str:
    """Text of a server's configuration; ``ports`` are those of clients, routes and MQTT, ``routes`` lead to the other nodes."""
    client, route, mqtt = ports
    ways = ", ".join(json.dumps(f"nats://{one}") for one in routes)
    return f"""
server_name: {name}
listen: "{listen}:{client}"
max_payload: 65536
jetstream {{ store_dir: {json.dumps(str(store))}, sync_interval: 250ms, max_mem: 67108864, max_file: 2147483648 }}
cluster {{ name: qingquan, listen: "{listen}:{route}", no_advertise: true, routes: [{ways}] }}
mqtt {{ listen: "{listen}:{mqtt}", ack_wait: "30s", max_ack_pending: 1000, reject_qos2_publish: true, stream_replicas: {replicas} }}
accounts {{
  WQ {{ jetstream: enabled, users: [
    {{ user: {USER}, password: {json.dumps(PASSWORD)} }}
  ] }}
  SYS {{ users: [ {{ user: sys, password: {json.dumps(PASSWORD)} }} ] }}
}}
system_account: SYS
"""
