"""docker-compose.edge.yml and deploy/nats/edge.conf: a county's deployment with a link to the province, and nothing else changed."""

import difflib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from qingquan.config import load_config
from qingquan.packages import TREE
from qingquan.store.reading_log.leaf import KEPT_APART, leaf_faults

COMPOSE = yaml.safe_load((TREE / "docker-compose.yml").read_text(encoding="utf-8"))
TEXT = (TREE / "docker-compose.edge.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
GIVEN = {
    "LOG_HUB_ADDRESS": "province.example:7422", "LOG_DOMAIN": "puding", "LOG_HUB_PASSWORD": "1hub0secret",
    "LOG_EDGE_COUNTIES": "520403",
}  # fmt: skip


SECRETS = {
    **{f"{name}_PASSWORD": "1s" for name in ("LOG", "MQTT", "SYS", "POSTGRES", "INFLUX", "GRAFANA")},
    "INFLUX_TOKEN": "9t",
}


def filled_in(value: str) -> str:
    """A value as compose fills it in, with everything that must be given."""
    known = {**SECRETS, **GIVEN}
    return re.sub(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]*)?\}", lambda one: known.get(one[1], one[2] or ""), value)


def wanted() -> set[str]:
    lines = (TREE / ".env.edge.example").read_text(encoding="utf-8").splitlines()
    return {line.split("=", 1)[0] for line in lines if line and not line.startswith("#")}


def test_its_variables_are_documented_and_none_has_a_default() -> None:
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == wanted() == set(GIVEN)
    assert set(re.findall(r"\$\{(\w+)(?!:\?set \1 in \.env\})\}", TEXT)) == set()


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"nats"}))
def test_the_settings_it_adds_are_those_of_an_edge(name: str) -> None:
    merged = {**COMPOSE["services"][name]["environment"], **SERVICES[name]["environment"]}
    environ = {key: filled_in(value) for key, value in merged.items()}
    assert leaf_faults(load_config(environ=environ)) == []


def test_the_servers_file_is_the_counties_with_a_domain_and_the_link() -> None:
    plain = (TREE / "deploy/nats/nats.conf").read_text(encoding="utf-8").splitlines()
    edge = (TREE / "deploy/nats/edge.conf").read_text(encoding="utf-8").splitlines()
    gone = [line[2:] for line in difflib.ndiff(plain, edge) if line.startswith("- ")]
    assert all(line.startswith("#") for line in gone), gone
    for side in ("deny_imports", "deny_exports"):
        (line,) = [line for line in edge if side in line]
        assert yaml.safe_load(line.split(":", 1)[1]) == list(KEPT_APART)


def test_the_server_accepts_it(tmp_path: Path) -> None:
    text = (TREE / "deploy/nats/edge.conf").read_text(encoding="utf-8").replace("/data/log/js", str(tmp_path / "js"))
    path = tmp_path / "nats.conf"
    path.write_text(text, encoding="utf-8")
    shutil.copy(TREE / "deploy/nats/accounts.conf", tmp_path)
    variables = {key: filled_in(value) for key, value in SERVICES["nats"]["environment"].items()}
    environ = {**os.environ, **variables, "LOG_PASSWORD": '"1"', "MQTT_PASSWORD": '"2"', "SYS_PASSWORD": '"3"'}
    server = Path(sys.executable).with_name("nats-server")
    done = subprocess.run(
        [str(server), "-t", "-c", str(path)], env=environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_compose_accepts_both_files_together(tmp_path: Path) -> None:
    command = shutil.which("docker-compose")
    if command is None:
        pytest.skip("docker-compose is not installed")
    filled = tmp_path / ".env"
    example = (TREE / ".env.example").read_text(encoding="utf-8").splitlines()
    names = {line.split("=", 1)[0]: line for line in example if line and not line.startswith("#")}
    given = {name: f"{name}={value}" for name, value in {**SECRETS, **GIVEN}.items()}
    filled.write_text("\n".join({**names, **given}.values()), encoding="utf-8")
    files = [
        argument for name in ("docker-compose.yml", "docker-compose.edge.yml") for argument in ("-f", str(TREE / name))
    ]
    done = subprocess.run(
        [command, "--env-file", str(filled), *files, "config"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert services.keys() == COMPOSE["services"].keys()
    mounts = [str(one) for one in services["nats"]["volumes"] if "/etc/nats/nats.conf" in str(one)]
    assert len(mounts) == 1
    assert "edge.conf" in mounts[0]
