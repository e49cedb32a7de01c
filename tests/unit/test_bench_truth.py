"""The truth table on a small county: what it counts, and that it counts against the engine where the engine fails."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.services.bench.truth import KindRow, TruthTable, run_truth, table_text

SCENARIO = """
name = "small"
description = "A few faults of three kinds on a small county."
[[fault]]
kind = "dosing_stop"
select = { count = 3, has = ["doser_running", "sample_flow"] }
start_min = 30
duration_min = 240
[[fault]]
kind = "no_sample_flow"
select = { count = 2, lacks = ["sample_flow"] }
start_min = 30
duration_min = 150
decay_min = 10
[[fault]]
kind = "link_loss"
select = { count = 2 }
start_min = 60
duration_min = 90
"""

BLIND = {
    "floor_mg_l": "{ free_chlorine = 0.0, total_chlorine = 0.0, chlorine_dioxide = 0.0, ozone = 0.0 }",
    "floor_begin_margin_mg_l": "{ free_chlorine = 0.0, total_chlorine = 0.0, chlorine_dioxide = 0.0, ozone = 0.0 }",
    "missing_equipment_for_min": "9000",
    "missing_both_for_min": "9000",
}


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("truth") / "small.toml"
    path.write_text(SCENARIO, encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def table(scenario: str) -> TruthTable:
    return run_truth(Config(), works=40, hours=5, seed=2, scenario=scenario)


def row(table: TruthTable, kind: str) -> KindRow:
    return next(row for row in table.rows if row.kind == kind)


def test_every_stop_of_dosing_is_found_in_time(table: TruthTable) -> None:
    found = row(table, "dosing_stop")
    assert (found.injected, found.found, found.in_time) == (3, 3, 3)
    assert table.missed == ()


def test_a_standing_cell_is_told_by_its_sample_line_where_no_switch_tells(table: TruthTable) -> None:
    found = row(table, "no_sample_flow, no switch")
    assert (found.injected, found.found, found.in_time, found.false_missing) == (2, 2, None, 0)
    assert table.false_missing == 0


def test_a_lost_link_is_silence(table: TruthTable) -> None:
    found = row(table, "link_loss")
    assert (found.injected, found.found, found.false_missing) == (2, 2, 0)
    assert found.median_delay_min is not None
    assert found.median_delay_min >= 15


def test_the_same_seed_gives_the_same_table(table: TruthTable, scenario: str) -> None:
    assert run_truth(Config(), works=40, hours=5, seed=2, scenario=scenario) == table


def test_a_ruleset_that_overlooks_lost_dosing_is_shown_to_miss_it(scenario: str, tmp_path: Path) -> None:
    rules = files("rules").joinpath("default.toml").read_text(encoding="utf-8")
    for name, blind in BLIND.items():
        rules, changes = re.subn(rf"^{name} = .*$", f"{name} = {blind}", rules, flags=re.MULTILINE)
        assert changes == 1
    path = tmp_path / "blind.toml"
    path.write_text(rules, encoding="utf-8")
    blind_table = run_truth(Config(rules_file=str(path)), works=40, hours=5, seed=2, scenario=scenario)
    assert len(blind_table.missed) > (row(blind_table, "dosing_stop").in_time or 0)


def test_the_table_lines_up_on_a_terminal_and_names_what_was_missed() -> None:
    table = TruthTable(
        works=2, hours=24, seed=1, readings=5,
        rows=(
            KindRow("power_cut", 12, 0, 11, None, 10.0, 110.0, 0),
            KindRow("dosing_stop", 2, 2, 1, 1, -1.5, 30.0, 0),
        ),
        missed=("F1 dosing_stop W0002: not found",), false=(),
    )  # fmt: skip
    lines = table_text(table).splitlines()
    assert lines[4].split() == ["投加停止", "dosing", "stopped", "2", "2", "1", "1", "-1.5", "min", "30", "min", "-"]
    assert lines[5].split() == ["停电", "power", "cut", "12", "-", "11", "-", "10", "min", "110", "min", "-"]
    # A Chinese character is two columns wide.
    assert len({len(line) + sum("\u4e00" <= one <= "\u9fff" for one in line) for line in lines[2:6]}) == 1
    assert "losses not found in time: 1" in lines[7]
    assert lines[8].strip() == "F1 dosing_stop W0002: not found"


def test_json_holds_the_same_facts(table: TruthTable) -> None:
    facts = json.loads(table.to_json())
    assert facts["readings"] == table.readings
    assert [one["kind"] for one in facts["rows"]] == [one.kind for one in table.rows]
    assert len(facts["false"]) == table.false_missing
