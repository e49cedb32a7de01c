"""The embedded server's configuration file, from our settings."""

import json
import re
from pathlib import Path
from urllib.parse import quote

from qingquan.config import Config
from qingquan.store.reading_log.credentials import LogCredentials
from qingquan.store.reading_log.leaf import domain_setting, edge_users, leaf_nodes

__all__ = ["ACCOUNT", "cluster_faults", "server_configuration", "sync_faults"]

ACCOUNT = "WQ"
CLUSTER = "qingquan"
MAX_PAYLOAD = 65_536
# Room beside READINGS for sessions, downlink and retained messages.
SPARE_BYTES = 2**30

_quoted = json.dumps


def server_configuration(config: Config, kept: LogCredentials, folder: Path, *, open_to_devices: bool = True) -> str:
    """Text of ``nats.conf``. Services come over NATS with full rights, devices over MQTT and may publish readings.

    No server-level ``mappings``: they would make the devices' permissions apply to the mapped subject. Not ``open_to_devices``: the
    listener is there, but nobody may log in.
    """
    return f"""server_name: {_quoted(kept.server_name)}
listen: "127.0.0.1:{kept.log_port}"
pid_file: {_path(folder / "run" / "nats.pid")}
log_file: {_path(folder / "log" / "nats.log")}
logfile_size_limit: 10485760
logfile_max_num: 5
max_payload: {MAX_PAYLOAD}
jetstream {{
  store_dir: {_path(folder / "js")}
  sync_interval: {config.log_sync_interval}
  max_mem: 268435456
  max_file: {config.log_max_bytes + SPARE_BYTES}
  {domain_setting(config)}
}}
{leaf_nodes(config)}{_cluster(config)}mqtt {{
  listen: {_quoted(f"{config.mqtt_host}:{kept.mqtt_port}")}
  ack_wait: "30s"
  max_ack_pending: 1000
  reject_qos2_publish: true
{f"  stream_replicas: {config.log_replicas}" if config.log_node else ""}
}}
accounts {{
  {ACCOUNT} {{
    jetstream: enabled
    users: [
      {{
        user: {_quoted(config.log_user or kept.log_user)}
        password: {_quoted(config.log_password or kept.log_password)}
        allowed_connection_types: ["STANDARD"]
      }}
{_devices(config, kept) if open_to_devices else ""}{edge_users(config)}
    ]
  }}
  SYS {{
    users: [
      {{ user: "sys", password: {_quoted(kept.sys_password)} }}
    ]
  }}
}}
system_account: SYS
"""


def _devices(config: Config, kept: LogCredentials) -> str:
    return f"""      {{
        user: {_quoted(config.mqtt_user or kept.mqtt_user)}
        password: {_quoted(config.mqtt_password or kept.mqtt_password)}
        allowed_connection_types: ["MQTT"]
        permissions: {{
          publish: {{ allow: ["wq.>"] }}
          subscribe: {{ allow: ["dn", "dn.>", "$MQTT.sub.>", "$MQTT.deliver.pubrel.>"] }}
        }}
      }}
"""


def _cluster(config: Config) -> str:
    """Where this server meets the others; nothing for one that stands alone."""
    if not config.log_node:
        return ""
    addresses = config.log_cluster.split(",")
    secret = config.log_cluster_password
    routes = [f"nats://{CLUSTER}:{quote(secret, safe='')}@{address}" for address in addresses]
    return f"""cluster {{
  name: {CLUSTER}
  listen: {_quoted(addresses[config.log_node - 1])}
  authorization {{ user: {CLUSTER}, password: {_quoted(secret)} }}
  routes: {_quoted(routes)}
}}
"""


def cluster_faults(config: Config) -> list[str]:
    """What is wrong with the settings of a server that is one of several."""
    if not config.log_node:
        return []
    addresses = config.log_cluster.split(",")
    faults = []
    if any(not re.fullmatch(r"[^\s:]+:\d+", address) for address in addresses):
        faults.append(f"log_cluster = {config.log_cluster!r}: allowed: host:port of every server, with commas between")
    elif config.log_node > len(addresses):
        faults.append(f"log_node = {config.log_node}: allowed: 1 to {len(addresses)}, the servers of log_cluster")
    elif config.log_replicas > len(addresses):
        faults.append(
            f"log_replicas = {config.log_replicas}: allowed: {len(addresses)} or less, the servers of log_cluster"
        )
    if not config.log_cluster_password:
        faults.append("log_cluster_password: empty: set the same one for every server of log_cluster")
    return faults


def sync_faults(value: str) -> list[str]:
    """A log forced to disk less often than every 250 ms loses acknowledged messages at a power cut."""
    match = re.fullmatch(r"(\d+)ms", value)
    if value == "always" or (match is not None and 1 <= int(match[1]) <= 250):
        return []
    return [f"log_sync_interval = {value!r}: allowed: 'always', or '1ms' to '250ms'"]


def _path(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)
