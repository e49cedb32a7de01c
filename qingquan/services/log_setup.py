"""Prepares and checks a reading log whose server runs in another container; one-shot, run before it and after it.

Before: the server is not up. On a fresh volume the streams are made by a short-lived server of ours without an MQTT listener, on the
same files. Otherwise the other server would open its listener first, and a device that came early would get PUBACKs for
messages nobody stores. After: the server is up. Streams are ensured over the network and the self-test must pass.

Servers of a cluster make their streams together, hence only once all of them are up; until then a proxy keeps devices away from them.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import urlsplit

from qingquan.config import Config, load_config
from qingquan.errors import BrokerLost, ConfigurationError, QingquanError
from qingquan.store.reading_log import EmbeddedServer, LogFull, ensure_streams, self_test
from qingquan.store.reading_log.leaf import leaf_faults
from qingquan.store.reading_log.uplink import ensure_uplink

__all__ = ["main", "set_up"]

PROBE_WAIT_S = 2.0


def set_up(config: Config, mqtt_hosts: Sequence[str] = ()) -> str:
    """Make or check the streams behind ``config.log_url``; returns what was done, in one line.

    Without a server at ``log_url``, ``data_dir`` must be the folder whose ``js`` is that server's store. The self-test runs at
    each of ``mqtt_hosts``, ``host`` or ``host:port``; by default at ``mqtt_host``.

    Raises
    ------
    ConfigurationError, BrokerLost
        As `ensure_streams` and `self_test`.
    """
    if not config.log_url:
        raise ConfigurationError(["log_url: empty: log-setup is for a server of its own; `up` starts an embedded one"])
    if faults := leaf_faults(config):
        raise ConfigurationError(faults)
    if _answers(config.log_url):
        return asyncio.run(_check(config, mqtt_hosts or [config.mqtt_host]))
    if config.log_replicas > 1:
        raise BrokerLost(f"no NATS server answers at {config.log_url}: start the servers of the cluster first")
    if any(config.data_path.glob("js/jetstream/*/streams/READINGS")):
        return "reading log: its streams are there, its server is not up yet"
    server = EmbeddedServer(replace(config, log_url="", log_port=0, mqtt_host="127.0.0.1", mqtt_port=0))
    server.start()
    server.stop()
    return "reading log: streams made"


async def _check(config: Config, mqtt_hosts: Sequence[str]) -> str:
    await ensure_streams(config)
    await ensure_uplink(config)
    try:
        took_s = max([await self_test(_at(config, host)) for host in mqtt_hosts])
    except LogFull as error:
        # Readers must come up all the same: they record and purge, which is the way out.
        return f"reading log: full, devices get no PUBACK until something is purged: {error}"
    where = f" on {', '.join(mqtt_hosts)}" if len(mqtt_hosts) > 1 else ""
    return f"reading log: self-test passed in {took_s * 1000:.0f} ms{where}"


def _at(config: Config, address: str) -> Config:
    host, _, port = address.partition(":")
    return replace(config, mqtt_host=host, mqtt_port=int(port or config.mqtt_port))


def _answers(url: str) -> bool:
    """Whether any server of the list accepts a connection."""
    for one in url.split(","):
        address = urlsplit(one if "//" in one else f"//{one}")
        try:
            with socket.create_connection((address.hostname or "", address.port or 4222), PROBE_WAIT_S):
                return True
        except OSError:
            continue
    return False


def main(mqtt_hosts: Sequence[str] = ()) -> int:
    """Run once with the settings of the environment; ``mqtt_hosts`` as for `set_up`."""
    try:
        print(set_up(load_config(environ=os.environ), mqtt_hosts))
    except QingquanError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
