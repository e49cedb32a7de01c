"""The embedded server's configuration file, from our settings."""

import json
import re
from pathlib import Path

from qingquan.config import Config
from qingquan.store.reading_log.credentials import LogCredentials
from qingquan.store.reading_log.leaf import domain_setting, edge_users, leaf_nodes

__all__ = ["ACCOUNT", "server_configuration", "sync_faults"]

ACCOUNT = "WQ"
MAX_PAYLOAD = 65_536
# Room beside READINGS for sessions, downlink and retained messages.
SPARE_BYTES = 2**30


def server_configuration(config: Config, kept: LogCredentials, folder: Path, *, mqtt: bool = True) -> str:
    """Text of ``nats.conf``. Services come over NATS with full rights, devices over MQTT and may publish readings.

    No server-level ``mappings``: they would make the devices' permissions apply to the mapped subject.
    """
    quoted = json.dumps
    listener = f"""mqtt {{
  listen: {quoted(f"{config.mqtt_host}:{kept.mqtt_port}")}
  ack_wait: "30s"
  max_ack_pending: 1000
  reject_qos2_publish: true
}}
"""
    return f"""server_name: {quoted(kept.server_name)}
listen: "127.0.0.1:{kept.log_port}"
pid_file: {_quoted(folder / "run" / "nats.pid")}
log_file: {_quoted(folder / "log" / "nats.log")}
logfile_size_limit: 10485760
logfile_max_num: 5
max_payload: {MAX_PAYLOAD}
jetstream {{
  store_dir: {_quoted(folder / "js")}
  sync_interval: {config.log_sync_interval}
  max_mem: 268435456
  max_file: {config.log_max_bytes + SPARE_BYTES}
  {domain_setting(config)}
}}
{leaf_nodes(config)}{listener if mqtt else ""}accounts {{
  {ACCOUNT} {{
    jetstream: enabled
    users: [
      {{
        user: {quoted(kept.log_user)}
        password: {quoted(kept.log_password)}
        allowed_connection_types: ["STANDARD"]
      }}
      {{
        user: {quoted(config.mqtt_user or kept.mqtt_user)}
        password: {quoted(config.mqtt_password or kept.mqtt_password)}
        allowed_connection_types: ["MQTT"]
        permissions: {{
          publish: {{ allow: ["wq.>"] }}
          subscribe: {{ allow: ["dn", "dn.>", "$MQTT.sub.>", "$MQTT.deliver.pubrel.>"] }}
        }}
      }}
{edge_users(config)}
    ]
  }}
  SYS {{
    users: [
      {{ user: "sys", password: {quoted(kept.sys_password)} }}
    ]
  }}
}}
system_account: SYS
"""


def sync_faults(value: str) -> list[str]:
    """A log forced to disk less often than every 250 ms loses acknowledged messages at a power cut."""
    match = re.fullmatch(r"(\d+)ms", value)
    if value == "always" or (match is not None and 1 <= int(match[1]) <= 250):
        return []
    return [f"log_sync_interval = {value!r}: allowed: 'always', or '1ms' to '250ms'"]


def _quoted(path: Path) -> str:
    return json.dumps(str(path), ensure_ascii=False)
