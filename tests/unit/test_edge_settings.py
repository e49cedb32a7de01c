"""County edges as data: the province's table, the settings of both ends, and every fault of them by name."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.domain.edges import Edge, ToldBy
from qingquan.edge_table import load_edges
from qingquan.errors import ConfigurationError
from qingquan.store.reading_log.leaf import HUB_TROUBLES, domain_setting, edge_users, leaf_faults, leaf_nodes

ROW = '[[edge]]\nname = "puding"\ncounties = ["520403"]\npassword = "sixteen-letters-"\n'
AT_EDGE = Config(
    log_hub_url="nats://province:7422", log_domain="puding", log_hub_password="p@ss/word", log_edge_counties="520403, 520404",
    log_sync_interval="always",
)  # fmt: skip


def written(folder: Path, text: str) -> str:
    path = folder / "edges.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return str(path)


def faults_of(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(ConfigurationError) as refused:
        load_edges(path)
    return [line.replace(path, "FILE") for line in refused.value.faults]


def test_a_row_says_who_tells_and_when_the_province_takes_over(tmp_path: Path) -> None:
    edge = Edge("puding", ("520403",), "sixteen-letters-")
    assert load_edges("") == ()
    assert load_edges(written(tmp_path, ROW)) == (edge,)
    more = ROW + 'alerts = "province"\ntake_over_after_min = 30\n'
    assert load_edges(written(tmp_path, more)) == (
        replace(edge, told_by=ToldBy.PROVINCE, take_over_after_ms=30 * 60_000),
    )


def test_all_faults_of_the_table_come_at_once_and_show_no_password(tmp_path: Path) -> None:
    text = (
        ROW
        + '[[edge]]\nname = "Puding"\ncounties = ["5204"]\npassword = "short"\nalerts = "nobody"\ntake_over_after_min = -1\ncolour = 1\n[x]\n'
    )
    assert faults_of(tmp_path, text) == [
        "FILE: unknown key 'x'; known keys: [[edge]]",
        "FILE: [[edge]] 2: unknown key 'colour'; known keys: name, counties, password, alerts, take_over_after_min",
        "FILE: [[edge]] 2: name = 'Puding': allowed: a letter, then up to 31 of a-z 0-9 -",
        "FILE: [[edge]] 2: counties = ['5204']: allowed: a list of six-digit codes such as ['520403']",
        "FILE: [[edge]] 2: password = ***: allowed: 16 characters or more",
        "FILE: [[edge]] 2: alerts = 'nobody': allowed: edge, province",
        "FILE: [[edge]] 2: take_over_after_min = -1: allowed: a whole number from 0 (never) to 100000",
    ]


def test_a_county_and_a_name_belong_to_one_edge(tmp_path: Path) -> None:
    assert faults_of(tmp_path, ROW + ROW) == [
        "FILE: [[edge]] name: 'puding' stands twice: allowed: once",
        "FILE: [[edge]] counties: '520403' stands twice: allowed: once",
    ]


def test_others_may_not_read_the_table(tmp_path: Path) -> None:
    path = Path(written(tmp_path, ROW))
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="allowed: mode 0600"):
        load_edges(str(path))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"log_hub_url": "province"}, r"log_hub_url = 'province': allowed: nats://host:port or tls://host:port"),
        ({"log_hub_url": "nats://a:b@province:7422"}, r"log_hub_url = 'nats://\*\*\*@province:7422': allowed"),
        ({"log_hub_url": "nats://province:high"}, r"log_hub_url"),
        ({"log_domain": ""}, r"log_domain = '': allowed: the edge's name in the province's edges_file"),
        ({"log_hub_password": ""}, r"log_hub_password: empty: set the password that the province's edges_file has"),
        ({"log_edge_counties": "5204"}, r"log_edge_counties = '5204': allowed: six-digit codes with commas"),
        ({"log_hub_ca_file": "/nowhere"}, r"log_hub_ca_file = '/nowhere': no such file"),
        ({"log_sync_interval": "250ms"}, r"log_sync_interval = '250ms': allowed with log_hub_url: 'always'"),
        ({"edges_file": "x"}, r"log_hub_url and edges_file are both set"),
    ],
)
def test_a_faulty_setting_of_an_edge_is_named_with_its_remedy(settings: dict[str, str], said: str) -> None:
    (fault,) = leaf_faults(replace(AT_EDGE, **settings))  # type: ignore[arg-type]
    assert re.search(said, fault)


def test_a_province_forces_to_disk_what_it_confirms(tmp_path: Path) -> None:
    province = Config(edges_file=written(tmp_path, ROW))
    (fault,) = leaf_faults(province)
    assert fault == "log_sync_interval = '250ms': allowed with edges_file and log_replicas = 1: 'always'"
    assert leaf_faults(replace(province, log_replicas=3)) == []
    half = replace(province, log_replicas=3, leaf_cert_file=__file__)
    assert leaf_faults(half) == ["leaf_key_file = '': no such file"]


def test_who_is_neither_has_nothing_of_it() -> None:
    alone = Config()
    assert (leaf_faults(alone), domain_setting(alone), edge_users(alone), leaf_nodes(alone)) == ([], "", "", "")


def test_an_edge_keeps_devices_topics_to_itself_and_insists_on_encryption() -> None:
    text = leaf_nodes(AT_EDGE)
    assert '"nats://puding:p%40ss%2Fword@province:7422"' in text
    assert text.count('["$MQTT.>", "wq.>", "dn", "dn.>"]') == 2
    assert "tls {" not in text
    assert 'tls { timeout: "5s" }' in leaf_nodes(replace(AT_EDGE, log_hub_url="tls://province:7422"))
    assert domain_setting(AT_EDGE) == "domain: puding"


def test_an_edge_may_hand_over_its_readings_and_nothing_else(tmp_path: Path) -> None:
    province = Config(edges_file=written(tmp_path, ROW), log_sync_interval="always")
    users = edge_users(province)
    assert 'publish: { allow: ["qingquan.edge.puding", ' in users
    for verb in ("INFO", "RESET", "PAUSE"):
        assert f"$JS.puding.API.CONSUMER.{verb}.READINGS.PROVINCE" in users
    assert not re.search(r"STREAM\.(DELETE|PURGE|UPDATE|MSG)|\$KV|wq\.|\$MQTT|\"\$JS\.API", users)
    assert "no_advertise: true" in leaf_nodes(province)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("[1] 2026/05/01 08:00:00 [ERR] 10.0.0.1:7422 - lid:6 - Leafnode Error 'Authorization Violation'", "hub_login_refused"),
        ("[1] 2026/05/01 08:00:00 [ERR] 10.0.0.1:4222 - lid:6 - attempted to connect to wrong port", "hub_wrong_port"),
        ('[1] 2026/05/01 08:00:00 [ERR] Error trying to connect as leafnode to remote server "10.0.0.1:7422" (attempt 1): dial tcp', "hub_unreachable"),
        ("[1] 2026/05/01 08:00:00 [INF] 10.0.0.1:7422 - lid:6 - Leafnode connection closed: TLS Handshake Failure", "hub_tls_refused"),
    ],
)  # fmt: skip
def test_what_the_server_says_of_the_link_has_a_remedy(line: str, name: str) -> None:
    assert [known for known, (pattern, _) in HUB_TROUBLES.items() if pattern.search(line)] == [name]
