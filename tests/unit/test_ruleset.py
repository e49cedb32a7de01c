"""A ruleset is taken whole or refused with every fault it has."""

import copy
import tomllib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from qingquan.domain.findings import Severity
from qingquan.domain.works import PointKind
from qingquan.errors import ConfigurationError
from qingquan.standards.loader import load_standards
from rules.ruleset import parse_ruleset

Table = dict[str, Any]
SHIPPED: Table = tomllib.loads(files("rules").joinpath("default.toml").read_text(encoding="utf-8"))


def faults(change: Callable[[Table], object]) -> list[str]:
    table = copy.deepcopy(SHIPPED)
    change(table)
    with pytest.raises(ConfigurationError) as refused:
        parse_ruleset(table, load_standards().parameters, "my.toml")
    return list(refused.value.faults)


def test_the_shipped_ruleset_reads_as_written() -> None:
    ruleset = parse_ruleset(SHIPPED, load_standards().parameters)
    by_id = {rule.id: rule for rule in ruleset.rules}
    five = by_id["turbidity-above-5"]
    assert (five.bound, five.clear_margin, five.for_ms, five.clear_ms, five.clear_samples) == (
        5.0,
        0.5,
        600_000,
        900_000,
        2,
    )
    assert five.severity is Severity.CRITICAL
    assert five.points == (PointKind.OUTLET, PointKind.NETWORK, PointKind.NETWORK_END)
    assert by_id["ph-below-limit"].bound == "limit.min"
    assert not by_id["ph-below-limit"].is_above
    assert ruleset.disinfection.low_for_ms == 1_800_000
    assert ruleset.disinfection.floor == {"free_chlorine": 0.05, "total_chlorine": 0.05, "chlorine_dioxide": 0.02, "ozone": 0.02}  # fmt: skip


def test_a_bound_may_be_below_zero() -> None:
    table = copy.deepcopy(SHIPPED)
    table["rule"][1]["parameter"], table["rule"][1]["above"] = "orp", -100
    assert parse_ruleset(table, load_standards().parameters).rules[1].bound == -100.0


def put(path: str, value: object) -> Callable[[Table], object]:
    *steps, last = path.split("/")

    def change(table: Table) -> None:
        inner: Any = table
        for step in steps:
            inner = inner[int(step) if step.isdigit() else step]
        inner[last] = value

    return change


def drop(path: str) -> Callable[[Table], object]:
    *steps, last = path.split("/")

    def change(table: Table) -> None:
        inner: Any = table
        for step in steps:
            inner = inner[int(step) if step.isdigit() else step]
        del inner[last]

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (put("colour", "red"), "colour = 'red': allowed: keys version, standard"),
        (drop("version"), "version = (missing): allowed: a word"),
        (put("version", 2026), ".version = 2026: allowed: a word"),
        (put("standard", ""), ".standard = '': allowed: a word"),
        (put("defaults", 5), "defaults = 5: allowed: a table"),
        (put("defaults/for_minutes", 5), "defaults.for_minutes = 5: allowed: keys for_min"),
        (put("rule", {"id": "x"}), "rule = {'id': 'x'}: allowed: [[rule]] tables"),
        (lambda table: table["rule"].append("x"), "= 'x': allowed: a table"),
        (put("rule/0/colour", 1), "rule[0].colour = 1: allowed: keys id"),
        (drop("rule/0/id"), "rule[0].id = (missing): allowed: a word"),
        (put("rule/0/id", "turbidity-above-3"), "rule turbidity-above-3 = 'turbidity-above-3': allowed: an id used once"),
        (put("rule/0/parameter", "mercury"), "rule[0].parameter = 'mercury': allowed: residual, free_chlorine"),
        (put("rule/0/points", "outlet"), "rule[0].points = 'outlet': allowed: a list of source"),
        (put("rule/0/points", 5), "rule[0].points = 5: allowed: a list"),
        (put("rule/0/points", []), "rule[0].points = []: allowed: a list"),
        (drop("rule/0/points"), "rule[0].points = (missing): allowed: a list"),
        (put("rule/0/points", ["outlet", "roof"]), "rule[0].points = 'roof': allowed: source"),
        (put("rule/0/points", [["outlet"]]), "rule[0].points = ['outlet']: allowed: source"),
        (put("rule/0/below", 1.0), "allowed: exactly one of above, below"),
        (drop("rule/0/above"), "allowed: exactly one of above, below"),
        (put("rule/0/above", "limit.mean"), "rule[0].above = 'limit.mean': allowed: a number, limit.min, limit.max"),
        (put("rule/0/above", True), "rule[0].above = True: allowed: a number"),
        (put("rule/0/above", float("nan")), "rule[0].above = nan: allowed: a number"),
        (put("rule/0/above", float("inf")), "rule[0].above = inf: allowed: a number"),
        (put("rule/0/for_min", -1), "rule[0].for_min = -1: allowed: a number, 0 or more"),
        (put("rule/0/for_min", float("inf")), "rule[0].for_min = inf: allowed: a number, 0 or more"),
        (put("rule/0/for_min", "30"), "rule[0].for_min = '30': allowed: a number, 0 or more"),
        (put("rule/0/clear_samples", 1.5), "rule[0].clear_samples = 1.5: allowed: a whole number, 0 or more"),
        (put("rule/0/severity", "awful"), "rule[0].severity = 'awful': allowed: info, minor, major, critical"),
        (put("rule/0/severity", ["minor"]), "rule[0].severity = ['minor']: allowed: info"),
        (put("rule/0/basis", None), "rule[0].basis = (missing): allowed: a word"),
        (drop("disinfection"), "disinfection = (missing): allowed: a table"),
        (put("disinfection/low_for_mim", 30), "disinfection.low_for_mim = 30: allowed: keys low_for_min"),
        (drop("disinfection/low_for_min"), "disinfection.low_for_min = (missing): allowed: a number"),
        (put("disinfection/floor_mg_l", 0.05), "disinfection.floor_mg_l = 0.05: allowed: a table"),
        (put("disinfection/floor_mg_l/bromine", 1), "disinfection.floor_mg_l.bromine = 1: allowed: keys free_chlorine"),
        (drop("disinfection/floor_mg_l/ozone"), "disinfection.floor_mg_l.ozone = (missing): allowed: a number"),
        (put("disinfection/severity/awful", 1), "disinfection.severity.awful = 1: allowed: keys low"),
        (drop("disinfection/severity/low"), "disinfection.severity.low = (missing): allowed: info"),
        (
            put("disinfection/floor_begin_margin_mg_l/ozone", 0.5),
            "floor_begin_margin_mg_l.ozone = 0.5: allowed: at most floor_clear_margin_mg_l",
        ),
        (put("instrument/colour", 1), "instrument.colour = 1: allowed: keys out_of_range_for_min"),
        (drop("instrument/flat_line_severity"), "instrument.flat_line_severity = (missing): allowed: info"),
        (put("silence/after_min", 15), "silence.after_min = 15: allowed: keys severity"),
        (drop("silence"), "silence = (missing): allowed: a table"),
    ],
)  # fmt: skip
def test_a_fault_is_named_with_file_key_value_and_what_is_allowed(
    change: Callable[[Table], object], named: str
) -> None:
    found = faults(change)
    assert all(fault.startswith("my.toml: ") for fault in found)
    assert any(named in fault for fault in found), found


def test_all_faults_are_told_at_once() -> None:
    def spoil(table: Table) -> None:
        table["version"] = ""
        table["rule"][0]["severity"] = "awful"
        table["rule"][3]["above"] = 3.0
        table["disinfection"]["clear_for_min"] = "soon"
        del table["silence"]["severity"]

    assert len(faults(spoil)) == 5


def test_an_empty_file_is_refused_and_not_taken_for_a_ruleset_without_rules() -> None:
    assert len(faults(dict.clear)) > 10
