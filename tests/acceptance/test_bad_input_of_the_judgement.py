"""Bad input of the judgement: refused before the start, all at once and by name; what fails later is said and never a pass."""

import csv
import io
import tomllib
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alerts.lifecycle import INSTRUMENT_FAULTS
from ingest.mapping import parse_mapping
from qingquan.cli import app
from qingquan.domain.findings import FindingKind, Severity
from qingquan.errors import ConfigurationError
from qingquan.services.rulesets import ruleset_of_text
from qingquan.standards.loader import STANDARDS_TABLES, load_standards, standards_from
from qingquan.standards.tables import packaged_table
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works
from rules.plan import Plan, compile_plan
from rules.ruleset import parse_ruleset

DEFAULT = files("rules").joinpath("default.toml").read_text(encoding="utf-8")
LIMITS = "limits_gb5749_2022.csv"

BAD_RULES = """
[[rule]]
id = "by-nothing"
points = ["outlet"]
severity = "minor"
basis = "house"
when = { ratio = ["turbidity", 0], above = 1 }

[[rule]]
id = "turbidity-above-3"
parameter = "turbidity"
points = ["outlet"]
above = 4.0
severity = "minor"
basis = "house"

[[rule]]
id = "wrong-unit"
parameter = "turbidity"
points = ["outlet"]
above = 4.0
unit = "mg/L"
severity = "minor"
basis = "house"
"""
RULE_FAULTS = (
    ("when.ratio[1] = 0", "a divisor other than 0"), ("turbidity-above-3", "an id used once"), (".unit = 'mg/L'", "allowed: NTU"),
)  # fmt: skip

MAPPING = """
time = "t"
tz = "+08:00"
county = "520425"
works = "W1"
point = "outlet"
disinfectant = "free_chlorine"
[columns]
cl = { parameter = "free_chlorine", unit = "grain/gal" }
ntu = { parameter = "turbidity", unit = "stone" }
"""
MAPPING_FAULTS = ("columns.cl.unit = 'grain/gal'", "columns.ntu.unit = 'stone'")


def faults_of(read: Callable[[], object]) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        read()
    return refused.value.faults


def test_a_ruleset_with_three_faults_is_refused_with_all_three_by_file_and_line() -> None:
    faults = faults_of(lambda: ruleset_of_text(DEFAULT + BAD_RULES, "my.toml"))
    assert len(faults) == len(RULE_FAULTS)
    for place, allowed in RULE_FAULTS:
        (fault,) = (one for one in faults if place in one)
        assert allowed in fault
        name, line, _ = fault.split(":", 2)
        assert name == "my.toml"
        assert DEFAULT.count("\n") < int(line) <= (DEFAULT + BAD_RULES).count("\n")


def test_standards_with_an_empty_row_a_wrong_unit_and_an_overlap_are_refused_with_all_three() -> None:
    lines = list(csv.reader(io.StringIO(packaged_table(LIMITS))))
    columns = {name: at for at, name in enumerate(lines[0])}
    at_lead = next(n for n, line in enumerate(lines) if line[0] == "gb5749-2022.lead")
    at_turbidity = next(n for n, line in enumerate(lines) if line[0] == "gb5749-2022.turbidity")
    lines[at_lead][columns["valid_from"]] = "2023-03-31"
    lines[at_turbidity][columns["unit"]] = "mg/L"
    lines.append([""] * len(lines[0]))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(lines)
    texts = {name: packaged_table(name) for name in STANDARDS_TABLES} | {LIMITS: out.getvalue()}
    faults = faults_of(lambda: standards_from(texts))
    for place, said in (
        (f"{LIMITS}:{at_lead + 1}: ", "is in force at the same time as gb5749-2006.lead"),
        (f"{LIMITS}:{at_turbidity + 1}: ", "the parameter's unit is 'NTU'"),
        (f"{LIMITS}:{len(lines)}: ", "empty row"),
    ):
        assert any(fault.startswith(place) and said in fault for fault in faults), (said, faults)


def test_a_mapping_with_unknown_units_is_refused_with_all_of_them() -> None:
    faults = faults_of(lambda: parse_mapping(MAPPING, "m.toml"))
    assert len(faults) == 2
    for fault, named in zip(faults, MAPPING_FAULTS, strict=True):
        assert fault.startswith(f"m.toml: {named}: allowed for ")


def test_a_command_with_a_bad_mapping_and_a_bad_ruleset_tells_of_both_and_writes_nothing(
    tmp_path: Path,
) -> None:
    for name, text in (
        ("m.toml", MAPPING),
        ("r.toml", DEFAULT + BAD_RULES),
        ("f.csv", "t,cl,ntu\n2026-05-01 00:00,0.6,0.4\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    file, mapping, rules, out = (str(tmp_path / name) for name in ("f.csv", "m.toml", "r.toml", "out.csv"))
    done = CliRunner().invoke(app, ["evaluate", file, "--mapping", mapping, "--ruleset", rules, "--out", out])
    assert done.exit_code == 2
    said = done.output
    for named in (*MAPPING_FAULTS, *(place for place, _ in RULE_FAULTS)):
        assert named in said
    assert "Traceback" not in said
    assert not (tmp_path / "out.csv").exists()


RATIO = """
[[rule]]
id = "turbidity-by-flow"
points = ["outlet"]
parameter = "turbidity"
for_min = 5
unknown_for_min = 10
severity = "major"
basis = "house"
when = { ratio = ["turbidity", "flow"], above = 0.2 }
"""


def ratio_plan() -> Plan:
    tables = load_standards()
    ruleset = parse_ruleset(tomllib.loads(DEFAULT + RATIO), tables.parameters)
    return compile_plan([make_works("W1", ("turbidity", "flow"))], tables.parameters, tables.limits, ruleset)


def test_a_rule_that_fails_at_run_time_is_not_evaluated_counted_and_said_as_a_fault() -> None:
    account = Account(ratio_plan())
    slots = {key.parameter: slot for slot, key in enumerate(account.plan.series)}

    def hour(first: int, last: int, flow: float) -> None:
        account.feed(
            Row(slots[name], START + minute * MINUTE, value)
            for minute in range(first, last)
            for name, value in (("flow", flow), ("turbidity", 0.5 + 0.01 * (minute % 3)))
        )

    hour(0, 20, 8.0)
    assert account.counts["rule_errors"] == 0
    assert not [one for one in account.said.values() if one.rule == "turbidity-by-flow"]
    hour(20, 40, 0.0)
    # Each pair of readings is one attempt: all twenty are counted, none is a pass.
    assert account.counts["rule_errors"] == 20
    (failed,) = (one for one in account.said.values() if one.rule == "turbidity-by-flow")
    assert (failed.kind, failed.severity) == (FindingKind.NOT_EVALUATED, Severity.MINOR)
    assert failed.start == START + 20 * MINUTE
    assert failed.end is None
    assert "除数为零" in failed.reason
    # An incident of it is one of faulty data and instruments: someone has to act before the rule can judge again.
    assert failed.kind in INSTRUMENT_FAULTS
    hour(40, 60, 8.0)
    (over,) = (one for one in account.said.values() if one.rule == "turbidity-by-flow")
    # One good ratio is not enough: it is judged again once the coverage asked for is there.
    assert over.end == START + 45 * MINUTE


def test_a_failing_rule_does_not_clear_what_it_found() -> None:
    account = Account(ratio_plan())
    slots = {key.parameter: slot for slot, key in enumerate(account.plan.series)}
    account.feed(
        Row(slots[name], START + minute * MINUTE, value)
        for minute in range(90)
        for name, value in (("flow", 1.0 if minute < 30 else 0.0), ("turbidity", 0.5 + 0.01 * (minute % 3)))
    )
    found = {one.kind: one for one in account.said.values() if one.rule == "turbidity-by-flow"}
    assert found[FindingKind.COMPOUND].end is None
    assert found[FindingKind.NOT_EVALUATED].end is None
