"""A county edge's server is a leaf of the province's: what that adds to the servers' configuration, and what may cross the link.

Between them goes the traffic of one JetStream consumer and nothing else: the edge's messages on one subject of its own, the province's
confirmations, and two questions about the edge's log. Ordinary publishes of devices stay where they are on both sides.
"""

import json
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from qingquan.config import Config
from qingquan.domain.edges import Edge
from qingquan.edge_table import COUNTY_CODE, EDGE_NAME, load_edges
from qingquan.errors import ConfigurationError

__all__ = [
    "HUB_TROUBLES",
    "UPLINK",
    "counties_of",
    "delivery_subject",
    "domain_setting",
    "edge_users",
    "leaf_faults",
    "leaf_nodes",
]

UPLINK = "PROVINCE"
"""The edge's durable consumer from which the province takes its readings."""

# What an edge's server says when it cannot reach the province, by the name of its counter, and what to do about it.
HUB_TROUBLES = {
    "hub_login_refused": (
        re.compile(r"Leafnode Error 'Authorization Violation'"),
        "the province refuses log_domain and log_hub_password: enter both in its edges_file as they are here",
    ),
    "hub_wrong_port": (
        re.compile(r"attempted to connect to wrong port"),
        "log_hub_url leads to a port for services: name the province's leaf_port (7422)",
    ),
    "hub_tls_refused": (
        re.compile(r"Leafnode connection closed: TLS Handshake Failure"),
        "no encryption with log_hub_url: name the authority in log_hub_ca_file, or nats:// if the province has no leaf_cert_file",
    ),
    "hub_unreachable": (
        re.compile(r"Error trying to connect as leafnode"),
        "no server answers at log_hub_url: check its address, the network and the province's firewall",
    ),
}

# A dead mobile link is noticed within three of these, on both sides.
PING = 'ping_interval: "20s"\n'
# Devices' topics and the servers' own copies of them, up and down.
KEPT_APART = ("$MQTT.>", "wq.>", "dn", "dn.>")


def delivery_subject(edge: str) -> str:
    """Subject on which an edge's messages cross the link."""
    return f"qingquan.edge.{edge}"


def counties_of(config: Config) -> tuple[str, ...]:
    """Counties whose readings this edge hands on."""
    return tuple(part.strip() for part in config.log_edge_counties.split(",") if part.strip())


def leaf_faults(config: Config) -> list[str]:
    """What is wrong with the settings of an edge or of a province with edges; one line each."""
    if config.log_hub_url and config.edges_file:
        return [
            "log_hub_url and edges_file are both set: allowed: the first at a county edge, the second at the province"
        ]
    if config.log_hub_url:
        return _edge_faults(config)
    return _hub_faults(config) if config.edges_file else []


def domain_setting(config: Config) -> str:
    """Line of the block ``jetstream``: an edge's log has a domain of its own, or the province's server would run it."""
    return f"domain: {config.log_domain}" if config.log_domain else ""


def edge_users(config: Config) -> str:
    """Rows of the account's ``users``: one for each edge, which may hand over its readings and be asked about them."""
    return "\n".join(_user(edge) for edge in load_edges(config.edges_file))


def leaf_nodes(config: Config) -> str:
    """Top-level blocks: the edge's link to the province, or the province's listener; nothing for others."""
    if config.log_hub_url:
        return f"{PING}{_remote(config)}"
    return f"{PING}{_listener(config)}" if config.edges_file else ""


def _edge_faults(config: Config) -> list[str]:
    faults = [
        f"log_hub_url = {_shown(url)!r}: allowed: nats://host:port or tls://host:port, several with commas between"
        for url in config.log_hub_url.split(",")
        if not _is_address(url)
    ]
    if not EDGE_NAME.fullmatch(config.log_domain):
        faults.append(
            f"log_domain = {config.log_domain!r}: allowed: the edge's name in the province's edges_file: a letter, then a-z 0-9 -"
        )
    if not config.log_hub_password:
        faults.append("log_hub_password: empty: set the password that the province's edges_file has for this edge")
    counties = counties_of(config)
    if not counties or not all(COUNTY_CODE.fullmatch(one) for one in counties):
        faults.append(f"log_edge_counties = {config.log_edge_counties!r}: allowed: six-digit codes with commas between")
    if config.log_hub_ca_file and not Path(config.log_hub_ca_file).is_file():
        faults.append(f"log_hub_ca_file = {config.log_hub_ca_file!r}: no such file")
    if config.log_sync_interval != "always":
        # Otherwise a power cut would make it give away numbers a second time that the province has already taken.
        faults.append(f"log_sync_interval = {config.log_sync_interval!r}: allowed with log_hub_url: 'always'")
    return faults


def _hub_faults(config: Config) -> list[str]:
    faults = []
    try:
        load_edges(config.edges_file)
    except ConfigurationError as error:
        faults += error.faults
    given = {"leaf_cert_file": config.leaf_cert_file, "leaf_key_file": config.leaf_key_file}
    if any(given.values()):
        faults += [f"{name} = {path!r}: no such file" for name, path in given.items() if not Path(path).is_file()]
    if config.log_replicas == 1 and config.log_sync_interval != "always":
        # What it has confirmed to an edge it must not lose: the edge forgets it in time.
        faults.append(
            f"log_sync_interval = {config.log_sync_interval!r}: allowed with edges_file and log_replicas = 1: 'always'"
        )
    return faults


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    is_bare = not (parts.username or parts.path or parts.query)
    return parts.scheme in ("nats", "tls") and bool(parts.hostname) and port is not None and is_bare


def _shown(url: str) -> str:
    """Without what may be a password."""
    return re.sub(r"//[^@/]*@", "//***@", url)


def _remote(config: Config) -> str:
    login = f"{quote(config.log_domain, safe='')}:{quote(config.log_hub_password, safe='')}"
    urls = [url.replace("://", f"://{login}@", 1) for url in config.log_hub_url.split(",")]
    authority = f"ca_file: {json.dumps(config.log_hub_ca_file)}, " if config.log_hub_ca_file else ""
    # Without a block of its own the server would take a link without encryption from whoever offers none.
    tls = f'\n    tls {{ {authority}timeout: "5s" }}' if "tls://" in config.log_hub_url else ""
    return f"""leafnodes {{
  reconnect: "1s"
  remotes: [ {{
    urls: {json.dumps(urls)}
    account: WQ
    deny_imports: {json.dumps(KEPT_APART)}
    deny_exports: {json.dumps(KEPT_APART)}{tls}
  }} ]
}}
"""


def _listener(config: Config) -> str:
    tls = (
        f"\n  tls {{ cert_file: {json.dumps(config.leaf_cert_file)}, key_file: {json.dumps(config.leaf_key_file)} }}"
        if config.leaf_cert_file
        else ""
    )
    # An edge must keep to the address it was given: it may be that of a tunnel.
    return f"""leafnodes {{
  listen: {json.dumps(f"{config.leaf_host}:{config.leaf_port}")}
  no_advertise: true{tls}
}}
"""


def _user(edge: Edge) -> str:
    api = f"$JS.{edge.name}.API"
    sends = [delivery_subject(edge.name), "_INBOX.>", "_R_.>", "$JSC.R.>"]
    takes = [
        f"{api}.CONSUMER.INFO.READINGS.{UPLINK}",
        f"{api}.CONSUMER.PAUSE.READINGS.{UPLINK}",
        f"{api}.CONSUMER.RESET.READINGS.{UPLINK}",
        f"{api}.STREAM.INFO.READINGS",
        f"$JS.FC.READINGS.{UPLINK}.*",
    ]
    return f"""      {{
        user: {json.dumps(edge.name)}
        password: {json.dumps(edge.password)}
        allowed_connection_types: ["LEAFNODE"]
        permissions: {{
          publish: {{ allow: {json.dumps(sends)} }}
          subscribe: {{ allow: {json.dumps(takes)} }}
        }}
      }}"""
