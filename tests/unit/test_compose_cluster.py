"""docker-compose.cluster.yml: what it has in common with docker-compose.yml is alike, what is its own is whole."""

import re
import subprocess
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from qingquan.config import Config, load_config
from qingquan.packages import TREE
from qingquan.testing.compose import compose_command, example, interpolated

FILE = TREE / "docker-compose.cluster.yml"
TEXT = FILE.read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
RUNNING = {name: service for name, service in SERVICES.items() if service["restart"] != "no"}
SINGLE = yaml.safe_load((TREE / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
SECRETS = ("LOG", "MQTT", "SYS", "CLUSTER", "POSTGRES", "INFLUX", "GRAFANA")
MADE_UP = {**{f"{name}_PASSWORD": f"1{name.lower()}0" for name in SECRETS}, "INFLUX_TOKEN": "9token"}
ALONE = {"log-prepare"}
"""What only one server needs."""

# Settings that tell a service which topology it works in; every other one must be the same in both files.
TOPOLOGY = {"QINGQUAN_LOG_URL", "QINGQUAN_MQTT_HOST", "QINGQUAN_LOG_REPLICAS", "QINGQUAN_LOG_SHARING"}


def kind(name: str) -> str:
    """``evaluator`` of ``evaluator-2``."""
    return re.sub(r"-\d$", "", name)


def comparable(name: str, service: dict[str, Any]) -> dict[str, Any]:
    """A service without what has to differ: numbers, the order of the start, what stands at the proxy instead."""
    found = {key: value for key, value in service.items() if key not in ("depends_on", "ports", "command")}
    environment = service.get("environment", {})
    found["environment"] = {key: value for key, value in environment.items() if key not in TOPOLOGY}
    number = name.removeprefix(kind(name))
    found["volumes"] = [
        re.sub(rf"^(log|{kind(name)}){number or '-1'}:", r"\1:", one) for one in service.get("volumes", [])
    ]
    return found


def test_it_has_everything_that_the_other_file_has() -> None:
    assert {kind(name) for name in SERVICES} - {"log-volume", "proxy"} == set(SINGLE) - ALONE


@pytest.mark.parametrize("name", sorted(name for name in SERVICES if kind(name) in SINGLE and kind(name) != "nats"))
def test_what_both_files_have_is_alike(name: str) -> None:
    assert comparable(name, SERVICES[name]) == comparable(name, SINGLE[kind(name)])
    if name != "log-check":
        assert SERVICES[name].get("command") == SINGLE[kind(name)].get("command")
        waited_for = {kind(one) for one in SERVICES[name].get("depends_on", {})}
        assert waited_for == set(SINGLE[kind(name)].get("depends_on", {}))


def test_log_servers_are_three_alike_and_like_the_single_one() -> None:
    servers = {name: service for name, service in SERVICES.items() if kind(name) == "nats"}
    assert len(servers) == 3
    for name, service in servers.items():
        for key in ("image", "user", "restart", "healthcheck", "deploy", "logging"):
            assert service[key] == SINGLE["nats"][key], key
        environment = service["environment"]
        assert environment["NODE_NAME"] == f'"{name}"'
        assert environment.items() >= SINGLE["nats"]["environment"].items()
        routes = {environment[f"ROUTE_{n}"].rpartition("@")[2] for n in (1, 2, 3)}
        assert routes == {f'{other}:6222"' for other in servers}


def test_two_of_whatever_may_run_twice_and_one_of_the_others() -> None:
    copies = {one: sum(kind(name) == one for name in SERVICES) for one in map(kind, SERVICES)}
    assert {one for one, number in copies.items() if number == 2} == {
        "evaluator",
        "recorder",
        "alerter",
        "detector",
        "web",
    }
    assert {one for one, number in copies.items() if number == 3} == {"nats", "log-volume"}


def test_every_setting_in_the_file_is_a_setting_of_ours_and_accepted() -> None:
    known = {f"QINGQUAN_{row.name.upper()}" for row in fields(Config)}
    for service in OURS.values():
        assert set(service["environment"]) <= known
        environ = {key: interpolated(value, {**example(), **MADE_UP}) for key, value in service["environment"].items()}
        config = load_config(environ=environ)
        assert config.log_replicas == 3
        assert config.log_sharing == "on"
        assert config.log_url == ",".join(f"nats://nats-{n}:4222" for n in (1, 2, 3))


def test_no_secret_has_a_default() -> None:
    for name in MADE_UP:
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", TEXT)) == {f":?set {name} in .env"}
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == set(example()) - {"COMPOSE_PROJECT_NAME"}


@pytest.mark.parametrize("name", sorted(RUNNING))
def test_a_service_that_stays_has_health_test_restart_limits_bounded_logs_and_no_root(name: str) -> None:
    service = RUNNING[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["logging"]["options"]["max-size"]
    if kind(name) in ("nats", "proxy"):
        assert service["user"].split(":")[0] not in ("0", "root")


def test_only_mqtt_is_open_to_the_network_and_only_by_the_proxy() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "proxy": ["${MQTT_PORT:-1883}:1883", "127.0.0.1:${WEB_PORT:-8080}:8080"],
        "grafana": SINGLE["grafana"]["ports"],
    }


def test_devices_reach_no_server_before_its_streams_are_there() -> None:
    assert "log-check" in SERVICES["proxy"]["depends_on"]
    assert set(SERVICES["log-check"]["depends_on"]) == {"nats-1", "nats-2", "nats-3"}
    assert SERVICES["log-check"]["command"] == ["nats-1", "nats-2", "nats-3"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_volumes_are_declared_or_lie_in_the_repository_read_only(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (TREE / source).exists()
            assert rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]
    used = {volume.partition(":")[0] for one in SERVICES.values() for volume in one.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used


def test_no_two_services_of_ours_write_the_same_folder() -> None:
    """Two evaluators in one data folder would be taken for one that was started twice."""
    kept = [
        one.partition(":")[0]
        for name in OURS
        for one in SERVICES[name]["volumes"]
        if name in RUNNING and ":ro" not in one
    ]
    assert len(kept) == len(set(kept))


def test_images_are_pinned() -> None:
    assert all(re.search(r":v?\d", service["image"]) for service in SERVICES.values())


def test_the_proxy_knows_every_server_and_console() -> None:
    text = (TREE / "deploy/proxy/nginx.conf").read_text(encoding="utf-8")
    named = set(re.findall(r"server ([\w-]+):(\d+) resolve", text))
    assert named == {(f"nats-{n}", "1883") for n in (1, 2, 3)} | {(f"web-{n}", "8080") for n in (1, 2)}
    # Written outside /tmp it could not start: its file system is read-only.
    assert all(path.startswith(("/tmp/", "/dev/")) for path in re.findall(r"(?:pid|_path|error_log) (\S+?)[ ;]", text))


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    command = compose_command()
    if command is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is installed")
    filled = tmp_path / ".env"
    filled.write_text("".join(f"{key}={value}\n" for key, value in {**example(), **MADE_UP}.items()), encoding="utf-8")
    done = subprocess.run([*command, "--env-file", str(filled), "-f", str(FILE), "config"], capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == SERVICES.keys()
