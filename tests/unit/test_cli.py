"""The command line: every command explains itself, and wrong use ends with one line each and the status scripts rely on."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner, Result

from qingquan.cli import app
from qingquan.cli.application import PROBLEMS, WRONG
from qingquan.cli.system import SERVICE_NAMES
from qingquan.config import Config
from qingquan.services.doctor import State
from qingquan.services.file_evaluation import FINDING_COLUMNS, FLAG_COLUMNS
from qingquan.store.sql.engine import upgrade
from qingquan.wiring import SERVICES

MAPPING = """
time = "time"
tz = "Asia/Shanghai"
county = "520425"
works = "W0077"
point = "outlet"
disinfectant = "free_chlorine"
[columns]
cl = { parameter = "free_chlorine", unit = "mg/L" }
flow = { parameter = "flow", unit = "m3/h" }
"""
WORKS_HEADER = "区县编码,工程编号,工程名称,乡镇,消毒方式,消毒设备配备情况,设计供水规模(m3/d),受益人口\n"


def commands() -> list[tuple[str, ...]]:
    def walk(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(child, (*path, name))

    return list(walk(get_command(app), ()))


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGQUAN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "100")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def refused(*arguments: object, status: int = WRONG) -> list[str]:
    """Lines of a refusal; nothing went to standard output, and nothing was a traceback."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    path = tmp_path / "mapping.toml"
    path.write_text(MAPPING, encoding="utf-8")
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two hours at a minute: water flows, and chlorine is lost after the first hour."""
    path = tmp_path / "recording.csv"
    rows = (f"2026-05-01 {8 + n // 60:02}:{n % 60:02}:00,{'0.50' if n < 60 else '0.00'},12.5\n" for n in range(120))
    path.write_text("time,cl,flow\n" + "".join(rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", commands(), ids=lambda path: " ".join(path) or "qingquan")
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert " ".join(path) in result.stdout
    assert any("\u4e00" <= one <= "\u9fff" for one in result.stdout)


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qingquan", "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    assert "doctor" in done.stdout
    assert done.stderr == ""


def test_help_names_every_service() -> None:
    assert set(SERVICE_NAMES.split(", ")) == set(SERVICES)


def test_an_unknown_service_is_told_the_allowed_ones() -> None:
    assert refused("run", "nonsense") == [f"run nonsense: allowed: {', '.join(SERVICES)}"]


def test_what_nobody_waits_for_gives_way_to_what_raises_alarms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGQUAN_DATA_DIR", str(tmp_path))
    monkeypatch.setattr("qingquan.wiring.service", lambda name: lambda config: 0)
    monkeypatch.setattr("qingquan.services.spare_memory.leave_out", lambda: None)
    monkeypatch.setattr("qingquan.services.spare_memory.keep_little", lambda: True)
    given: list[str] = []
    for name in SERVICES:
        monkeypatch.setattr("os.nice", lambda by, name=name: given.append(f"{name} {by}"))
        assert CliRunner().invoke(app, ["run", name]).exit_code == 0
    assert sorted(given) == ["adviser 5", "compliance 5", "detector 5"]


def test_a_broken_settings_file_is_refused_with_all_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "qingquan.toml"
    path.write_text('language = "fr"\nweb_port = "many"\nwebport = 1\n', encoding="utf-8")
    assert refused("doctor", "--config", path) == [
        f"{path}: language = 'fr': allowed: zh, en",
        f"{path}: web_port = 'many': allowed: a whole number",
        f"{path}: unknown key 'webport'; known keys: {', '.join(sorted(row.name for row in fields(Config)))}",
    ]


def test_a_shadowed_package_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qingquan.packages.packages_distributions", lambda: {"rules": ["qingquan", "durable-rules"]})
    for arguments in (("up",), ("run", "web")):
        (line,) = refused(*arguments)
        assert line.startswith("package 'rules' also belongs to durable-rules")


def test_an_unknown_scenario_is_told_the_allowed_ones() -> None:
    (line,) = refused("simulate", "--scenario", "nonsense")
    assert "scenario = 'nonsense': allowed: one of" in line
    assert "all-faults-24h" in line


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "inf"])
def test_a_speed_that_is_no_number_above_zero_is_refused(speed: str) -> None:
    assert refused("simulate", f"--speed={speed}") == [f"--speed {speed}: allowed: a number above 0, max"]


def test_a_mapping_that_names_a_missing_column_is_told_the_columns_found(
    mapping: Path, recording: Path, tmp_path: Path
) -> None:
    mapping.write_text(MAPPING.replace("cl =", "chlorine ="), encoding="utf-8")
    lines = refused("evaluate", recording, "--mapping", mapping, "--out", tmp_path / "findings.csv")
    assert len(lines) == 1
    assert "chlorine" in lines[0]
    assert all(name in lines[0] for name in ("time", "cl", "flow"))


@pytest.mark.parametrize("name", ["recording.csv", "mapping.toml"])
def test_a_file_that_is_not_there_is_named(name: str, mapping: Path, recording: Path, tmp_path: Path) -> None:
    (tmp_path / name).unlink()
    (line,) = refused("evaluate", recording, "--mapping", mapping, "--out", tmp_path / "findings.csv")
    assert name in line


def test_evaluate_writes_findings_and_flags(mapping: Path, recording: Path, tmp_path: Path) -> None:
    out, flags = tmp_path / "findings.csv", tmp_path / "flags.csv"
    result = run("evaluate", recording, "--mapping", mapping, "--out", out, "--flags", flags, "--json")
    assert result.exit_code == 0
    with out.open(encoding="utf-8", newline="") as file:
        findings = list(csv.reader(file))
    with flags.open(encoding="utf-8", newline="") as file:
        values = list(csv.reader(file))
    assert tuple(findings[0]) == FINDING_COLUMNS
    assert tuple(values[0]) == FLAG_COLUMNS
    assert len(values) == 1 + 2 * 120
    facts = json.loads(result.stdout)
    assert (facts["rows"], facts["readings"], facts["findings"]) == (120, 240, len(findings) - 1)
    missing = [dict(zip(FINDING_COLUMNS, row, strict=True)) for row in findings[1:]]
    assert [(one["kind"], one["start"], one["end"]) for one in missing if one["kind"] == "disinfection_missing"] == [
        ("disinfection_missing", "2026-05-01T09:00:00+08:00", "")
    ]


def test_evaluate_says_how_much_was_refused(mapping: Path, recording: Path, tmp_path: Path) -> None:
    with recording.open("a", encoding="utf-8") as file:
        file.write("soon,0.4,12\n2026-05-01 10:00:00,much,12\n")
    result = run("evaluate", recording, "--mapping", mapping, "--out", tmp_path / "findings.csv")
    assert result.exit_code == PROBLEMS
    assert "refused 1 行 rows, 1 格 cells" in result.stdout


@pytest.mark.parametrize("moment", ["yesterday", "2026-05-01T08:00"])
def test_a_moment_without_offset_is_refused(moment: str, mapping: Path, recording: Path, tmp_path: Path) -> None:
    lines = refused("evaluate", recording, "--mapping", mapping, "--out", tmp_path / "f.csv", "--as-of", moment)
    assert lines == [f"--as-of {moment}: allowed: ISO 8601 with offset, now"]


def test_an_output_that_cannot_be_written_is_named(mapping: Path, recording: Path, tmp_path: Path) -> None:
    lines = refused("evaluate", recording, "--mapping", mapping, "--out", tmp_path, status=PROBLEMS)
    assert lines == [f"{tmp_path}: Is a directory"]


def test_works_import_with_refusals_saves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "works.csv"
    good = "520425,W0001,清泉水厂,某镇,次氯酸钠,正常使用,200,1500\n"
    path.write_text(WORKS_HEADER + good + "52,W0002,坏水厂,某镇,次氯酸钠,正常使用,200,1500\n", encoding="utf-8")
    result = run("works", "import", path)
    assert result.exit_code == PROBLEMS
    assert "新增工程 1 处" in result.stdout
    path.write_text(WORKS_HEADER + good, encoding="utf-8")
    assert run("works", "import", path).exit_code == 0


def test_rules_check_reports_all_faults_of_a_ruleset_at_once(tmp_path: Path) -> None:
    path = tmp_path / "rules.toml"
    path.write_text(
        'version = "1"\nstandard = "GB 5749"\n[[rule]]\nid = "one"\nparameter = "nonsense"\nabove = 1.0\nseverity = "minor"\n'
        '[[rule]]\nid = "two"\nparameter = "ph"\nabove = 9.0\nseverity = "awful"\n',
        encoding="utf-8",
    )
    lines = refused("rules", "check", path)
    assert all(str(path) in line for line in lines)
    assert any("'nonsense'" in line for line in lines)
    assert any("'awful'" in line and "critical" in line for line in lines)


def test_rules_check_accepts_the_ruleset_that_ships() -> None:
    result = run("rules", "check")
    assert result.exit_code == 0
    assert "rules/default.toml" in result.stdout


def test_an_unknown_reason_for_redriving_is_told_the_allowed_ones() -> None:
    (line,) = refused("quarantine", "redrive", "--reason", "nonsense")
    assert line.startswith("--reason nonsense: allowed: bad_topic")


def test_doctor_prints_a_list_for_scripts(tmp_path: Path) -> None:
    result = run("doctor", "--json", "--data", tmp_path / "other")
    checks = json.loads(result.stdout)
    assert all(set(check) == {"name", "state", "detail", "remedy"} for check in checks)
    assert {check["state"] for check in checks} <= set(State)
    assert result.exit_code == (PROBLEMS if any(check["state"] == "fault" for check in checks) else 0)
    assert not (tmp_path / "other").exists()


def test_database_upgrade_says_the_revision(tmp_path: Path) -> None:
    result = run("db", "upgrade", "--data", tmp_path / "fresh")
    assert result.exit_code == 0
    assert (tmp_path / "fresh" / "qingquan.db").exists()


def test_the_register_is_written_as_the_workbook_its_name_promises(tmp_path: Path) -> None:
    (line,) = refused("works", "export", tmp_path / "register.csv")
    assert line.endswith("register.csv: allowed: a name that ends in .xlsx")
    assert not (tmp_path / "register.csv").exists()
    assert run("works", "export", tmp_path / "register.xlsx").exit_code == 0


def test_a_drill_is_held_at_a_works_or_drawn_in_a_county_not_both(tmp_path: Path) -> None:
    for given in ((), ("--works", "520425/W0001", "--county", "520425")):
        assert refused("alerts", "drill", "--by", "王五", *given) == [
            "give either --works county/id or --county 6 digits"
        ]


def test_a_recording_without_a_column_of_its_mapping_leaves_no_works_behind(mapping: Path, tmp_path: Path) -> None:
    (tmp_path / "lacks.csv").write_text("time,other\n2026-05-01 08:00:00,1\n")
    lines = refused("replay", tmp_path / "lacks.csv", "--mapping", mapping, "--data", tmp_path / "data")
    assert "columns found: time, other" in lines[0]
    assert not (tmp_path / "data" / "qingquan.db").exists()


def test_what_does_not_exist_is_said_not_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QINGQUAN_DATA_DIR", str(tmp_path))
    upgrade(Config(data_dir=str(tmp_path)).sql_url)
    assert refused("alerts", "explain", "--incident", "9999", status=PROBLEMS) == ["没有 no such: incident 9999"]
