"""The doctor against real parts: what runs, what is missing, what is at fault; and it changes nothing."""

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services import doctor
from qingquan.services.doctor import Check, State, examine, lines
from qingquan.store.sql.engine import head_revision, upgrade
from qingquan.testing.ports import free_port
from qingquan.testing.servers import running_reading_log


def checked(config: Config) -> dict[str, Check]:
    return {check.name: check for check in examine(config)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    with running_reading_log(tmp_path_factory.mktemp("log")) as settings:
        yield settings


@pytest.fixture
def fresh(tmp_path: Path) -> Config:
    """A data folder that is not there yet, with ports nobody uses."""
    return Config(data_dir=str(tmp_path / "data"), web_port=free_port(), mqtt_port=free_port(), log_port=free_port())


def test_a_fresh_installation_has_no_fault_and_stays_untouched(fresh: Config) -> None:
    checks = checked(fresh)
    assert [check for check in checks.values() if check.state is State.FAULT] == []
    missing = {name for name, check in checks.items() if check.state is State.MISSING}
    assert missing >= {"database", "reading_log", "series_store", "bridge", "wecom_robot", "aliyun_sms"}
    assert not fresh.data_path.exists()


def test_a_running_log_passes_its_self_test_and_keeps_its_ports(server: Config) -> None:
    secrets = (server.data_path / "secrets.json").read_bytes()
    # What a person types beside a running demo: the folder, and every other setting as it ships.
    checks = checked(Config(data_dir=server.data_dir))
    assert checks["reading_log"].state is State.OK
    assert "self-test passed" in checks["reading_log"].detail
    assert str(server.mqtt_port) in checks["mqtt_port"].detail
    assert (server.data_path / "secrets.json").read_bytes() == secrets


def test_a_log_of_another_layout_is_a_fault(server: Config) -> None:
    check = checked(replace(server, log_partitions=server.log_partitions + 1))["reading_log"]
    assert check.state is State.FAULT
    assert "log_partitions" in check.detail


def test_an_outside_log_that_does_not_answer_is_a_fault(fresh: Config) -> None:
    checks = checked(replace(fresh, log_url=f"nats://127.0.0.1:{free_port()}"))
    assert checks["reading_log"].state is State.FAULT
    assert "mqtt_port" not in checks


def test_a_port_of_the_log_taken_by_another_program_is_a_fault(fresh: Config) -> None:
    with socket.create_server(("127.0.0.1", fresh.mqtt_port)):
        check = checked(fresh)["mqtt_port"]
    assert check.state is State.FAULT
    assert "mqtt_port" in check.remedy


def test_a_database_without_schema_is_a_fault_until_it_is_upgraded(fresh: Config) -> None:
    fresh.data_path.mkdir()
    (fresh.data_path / "qingquan.db").touch()
    before = checked(fresh)["database"]
    assert (before.state, before.remedy) == (State.FAULT, "qingquan db upgrade")
    upgrade(fresh.sql_url)
    after = checked(fresh)["database"]
    assert after.state is State.OK
    assert head_revision() in after.detail


def test_a_broken_ruleset_is_shown_fault_by_fault(fresh: Config, tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        'version = 1\nstandard = "GB 5749"\n[[rule]]\nid = "one"\nparameter = "nonsense"\n', encoding="utf-8"
    )
    faults = [one for one in examine(replace(fresh, rules_file=str(path))) if one.name == "ruleset"]
    assert len(faults) > 1
    assert all(one.state is State.FAULT and str(path) in one.detail for one in faults)


def test_half_a_text_message_channel_is_a_fault_that_names_what_lacks(fresh: Config) -> None:
    check = checked(replace(fresh, aliyun_key_id="id", aliyun_sign_name="清泉"))["aliyun_sms"]
    assert check.state is State.FAULT
    assert "aliyun_key_secret, aliyun_template_alarm" in check.detail


def test_a_disk_too_small_for_a_full_log_is_a_fault(fresh: Config) -> None:
    assert checked(replace(fresh, log_max_bytes=2**60))["disk"].state is State.FAULT


def test_a_series_store_without_address_is_a_fault(fresh: Config) -> None:
    check = checked(replace(fresh, series_store="influx"))["series_store"]
    assert check.state is State.FAULT
    assert "influx_url" in check.detail


def test_a_check_that_breaks_is_a_fault_and_the_others_are_made(fresh: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[Check]:
        raise RuntimeError("a surprise")

    monkeypatch.setattr(doctor.machine, "python", broken)
    checks = checked(fresh)
    assert checks["python"] == Check("python", State.FAULT, "RuntimeError: a surprise")
    assert checks["standards"].state is State.OK


def test_lines_say_state_in_symbol_and_word_and_line_up() -> None:
    shown = lines(
        [
            Check("clock", State.OK, "now"),
            Check("database", State.FAULT, "two\nlines", "mend it"),
            Check("docker", State.MISSING, "absent"),
        ]
    )
    assert shown == [
        "✓ 正常 ok       时钟 clock       now",
        "✗ 故障 FAULT    数据库 database  two lines → mend it",
        "– 暂无 missing  docker           absent",
        "",
        "✓ 正常 ok 1  – 暂无 missing 1  ✗ 故障 FAULT 1",
    ]
