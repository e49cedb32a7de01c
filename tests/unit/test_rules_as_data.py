"""The rule language: what it accepts, what it refuses and where, its schema, and the tests that ship with the rules."""

import json
import tomllib
from datetime import date
from importlib.resources import files
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from qingquan.errors import ConfigurationError
from qingquan.services.rule_tests import run_tests
from qingquan.services.rulesets import ruleset_of_text
from qingquan.services.toml_lines import lines_of
from qingquan.standards.loader import load_standards
from rules.conditions import Condition, Group
from rules.schema import ruleset_schema

DEFAULT = files("rules").joinpath("default.toml").read_text(encoding="utf-8")
TESTS = files("rules").joinpath("default.tests.toml").read_text(encoding="utf-8")
RULE = '\n[[rule]]\nid = "mine"\npoints = ["outlet"]\nseverity = "minor"\nbasis = "house"\n'
SHIPPED_RULES = len(tomllib.loads(DEFAULT)["rule"])
DRY = """
parameter = "free_chlorine"
for_min = 10
clear_for_min = 5
clear_samples = 1
unknown_for_min = 20
when = { all = [ { signal = "flow", above = 1 }, { signal = "doser_running", below = 0.5 } ] }
"""


def faults(rule: str) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        ruleset_of_text(DEFAULT + RULE + rule, "my.toml")
    return list(refused.value.faults)


def first_line() -> int:
    """Line of the rule's own first key after `RULE`."""
    return (DEFAULT + RULE).count("\n") + 1


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ('when = { ratio = ["turbidity", 0], above = 1 }', "rule[7].when.ratio[1] = 0: allowed: a divisor other than 0"),
        ('when = { ratio = [1, 2], above = 1 }', "allowed: at least one signal among the two"),
        ('when = { ratio = ["turbidity"], above = 1 }', "allowed: a list of two"),
        ('when = { difference = ["turbidity", "ph"], above = 1 }', "two signals of one unit, not turbidity [NTU], ph [pH unit]"),
        ('when = { signal = "mercury", above = 1 }', "rule[7].when.signal = 'mercury': allowed: residual, free_chlorine"),
        ('when = { signal = "flow", above = 1, unit = "L/s" }', "rule[7].when.unit = 'L/s': allowed: a known unit, here m3/h"),
        ('when = { signal = "flow", above = 1, unit = "NTU" }', "rule[7].when.unit = 'NTU': allowed: m3/h"),
        ('parameter = "turbidity"\nabove = 1\nunit = "mg/L"', "rule[7].unit = 'mg/L': allowed: NTU"),
        ('parameter = "flow"\nabove = "limit.max"', "rule mine: limit.max = 'flow': allowed: a parameter of which the standard sets max"),
        ('when = { signal = "flow" }', "allowed: exactly one of above, below"),
        ('when = { any = [] }', "rule[7].when.any = []: allowed: a list of conditions"),
        ('when = { any = [ { signal = "flow", above = 1 } ], all = [] }', "allowed: a table with one of any, all, signal"),
        ('when = "flow > 1"', "rule[7].when = 'flow > 1': allowed: a table"),
        ('when = { signal = "flow", above = 1 }\nabove = 3', "rule[7].above = 3: allowed: nothing beside when"),
        ('parameter = "turbidity"\nabove = 1\naverage = "month"', "the compliance statistics"),
        ('parameter = "turbidity"\nabove = 1\naverage = "week"', "rule[7].average = 'week': allowed: hour, day"),
        ('parameter = "turbidity"\nabove = 1\nmin_coverage = 60', "rule[7].min_coverage = 60: allowed: a share from 0 to 1"),
        ('parameter = "turbidity"\nabove = 5\nclear_at = 6', "rule[7].clear_at = 6: allowed: at most 5"),
        ('parameter = "turbidity"\nbelow = 5\nclear_at = 4', "rule[7].clear_at = 4: allowed: at least 5"),
        ('when = { signal = "flow", above = 5 }\nclear = { signal = "flow", below = 6 }', "rule[7].clear = {'below': 6.0}: allowed: below"),
        ('parameter = "turbidity"\nabove = 1\nvalid_from = "2026-01-01"', "rule[7].valid_from = '2026-01-01': allowed: a day"),
        ('parameter = "turbidity"\nabove = 1\nvalid_from = 2026-02-01\nvalid_to = 2026-01-01', "rule[7].valid_to = '2026-01-01': allowed: 2026-02-01 or later"),
        ('when = { any = [ ' + '{ signal = "flow", above = 1 }, ' * 13 + '] }', "'13 comparisons': allowed: at most 12"),
    ],
)  # fmt: skip
def test_a_faulty_rule_is_refused_with_its_line(rule: str, named: str) -> None:
    found = faults(rule)
    assert len(found) == 1, found
    # Rules are counted from 0: the one added here comes after those that ship.
    assert named.replace("rule[7]", f"rule[{SHIPPED_RULES}]") in found[0]
    if "limit.max = 'flow'" not in named:
        line = int(found[0].split(":")[1])
        assert first_line() <= line <= first_line() + rule.count("\n")


def test_all_faults_of_a_tree_are_told_at_once() -> None:
    found = faults(
        'when = { all = [\n { signal = "flow", above = 1, unit = "L/s" },\n { ratio = ["ph", 0], above = 1 },\n'
        ' { any = [ { signal = "tin", above = 1 } ] } ] }'
    )
    assert [int(fault.split(":")[1]) - first_line() for fault in found] == [1, 2, 3]


def test_rules_of_one_id_may_follow_each_other_but_not_overlap() -> None:
    body = 'parameter = "turbidity"\nabove = {n}\n'
    first, then = body.format(n=2) + "valid_to = 2026-06-30\n", body.format(n=1) + "valid_from = {day}\n"
    good = ruleset_of_text(DEFAULT + RULE + first + RULE + then.format(day="2026-07-01"), "my.toml")
    mine = [rule for rule in good.rules if rule.id == "mine"]
    assert [rule.is_in_force(date(2026, 6, 30)) for rule in mine] == [True, False]
    assert [rule.is_in_force(date(2026, 7, 1)) for rule in mine] == [False, True]
    assert "an id used once, or with valid_from" in faults(first + RULE + then.format(day="2026-06-30"))[0]


def test_a_rule_of_its_own_version_says_both() -> None:
    ruleset = ruleset_of_text(DEFAULT + RULE + 'version = "3"' + DRY, "my.toml")
    (mine,) = (one for one in ruleset.compounds if one.id == "mine")
    assert mine.version == f"{ruleset.version}/3"
    assert isinstance(mine.when, Group)
    assert mine.when.parts[0] == Condition(("flow",), True, 1.0)


def test_lines_are_found_whatever_the_spelling() -> None:
    text = "\n".join(
        [
            'a = """x', '[not]', '"""', "[b]", "c = [1,", " 2, { d = 'e # f', g = [ {h = 1} ] },", "]", "[[r]]", "i.j = 1",
            "[[r]]", "k = 2 # [x]", "[r.sub]", '"q r" = 3', "[[r.list]]", "z = 1",
        ]
    )  # fmt: skip
    tomllib.loads(text)
    found = lines_of(text)
    expected = {"a": 1, "b": 4, "b.c": 5, "b.c[1]": 6, "b.c[2].d": 6, "b.c[2].g[0].h": 6, "r[0].i.j": 9, "r[1].k": 11,
                "r[1].sub.q r": 13, "r[1].list[0].z": 15}  # fmt: skip
    assert {key: found.get(key) for key in expected} == expected


def test_the_committed_schema_is_that_of_the_reader_and_takes_what_ships() -> None:
    schema = ruleset_schema(load_standards().parameters)
    committed = json.loads(files("rules").joinpath("ruleset.schema.json").read_text(encoding="utf-8"))
    assert committed == schema, "write it anew: qingquan rules schema > rules/ruleset.schema.json"
    validator = jsonschema.Draft202012Validator(schema)
    table = tomllib.loads(DEFAULT + RULE + DRY)
    assert list(validator.iter_errors(table)) == []
    mine = table["rule"][-1]["when"]["all"][0]
    mine["abve"] = mine.pop("above")
    assert list(validator.iter_errors(table))


def test_the_rules_that_ship_pass_their_tests_and_each_has_one_that_fires_it() -> None:
    results = run_tests(DEFAULT, "rules/default.toml", [(TESTS, "rules/default.tests.toml")])
    assert [one for one in results if one.failures] == []
    tests = tomllib.loads(TESTS)["test"]
    fired = {one["rule"] for test in tests for one in test.get("findings", [])}
    fired |= {one["rule"] for test in tests for one in test.get("expect", []) if one.get("state") == "firing"}
    assert {row["id"] for row in tomllib.loads(DEFAULT)["rule"]} <= fired


DRY_TEST = """
[[test]]
name = "dry"
[test.input]
"outlet/free_chlorine" = "0.6"
"outlet/flow" = "{flow}"
"outlet/doser_running" = "1x10 0x40 1x20"
{findings}
[[test.expect]]
at_min = 25
rule = "mine"
state = "{state}"
"""
FIRES = '[[test.findings]]\nrule = "mine"\nfrom_min = 10\nto_min = 50\nkind = "compound"\n'


@pytest.mark.parametrize(
    ("flow", "state", "findings", "failed"),
    [
        ("8", "firing", FIRES, 0),
        ("8", "quiet", FIRES, 1),
        ("8", "firing", FIRES.replace("50", "51"), 1),
        ("8", "firing", FIRES.replace("compound", "exceedance"), 1),
        ("0", "quiet", "", 0),
        (
            "8x2 _x90",
            "not evaluated",
            "",
            1,
        ),  # the doser alone stands still for 15 minutes before flow is called silent
        ("8x12 99999x90", "firing", "", 1),  # out of the instrument's range: unknown, not above
        ("8x4 99999x90", "quiet", "", 0),
    ],
)
def test_a_test_of_a_rule_can_pass_and_can_fail(flow: str, state: str, findings: str, failed: int) -> None:
    text = DRY_TEST.format(flow=flow, state=state, findings=findings)
    (result,) = run_tests(DEFAULT + RULE + DRY, "my.toml", [(text, "tests.toml")])
    assert len(result.failures) == failed, result.failures


def test_what_cannot_be_evaluated_for_long_is_said_with_its_cause() -> None:
    text = """
[[test]]
name = "flow out of range"
minutes = 90
[test.input]
"outlet/free_chlorine" = "0.6"
"outlet/flow" = "8x20 99999"
"outlet/doser_running" = "0x5 1x5 0"
[[test.expect]]
at_min = 39
rule = "mine"
state = "firing"
[[test.expect]]
at_min = 41
rule = "mine"
state = "firing"
[[test.findings]]
rule = "mine"
from_min = 10
kind = "compound"
[[test.findings]]
rule = "mine"
from_min = 20
kind = "not_evaluated"
"""
    (result,) = run_tests(DEFAULT + RULE + DRY, "my.toml", [(text, "tests.toml")])
    assert result.failures == ()


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ('input = { "outlet/gold" = "1" }', "tests.toml:3: test[0].input.outlet/gold = 'gold'"),
        ('input = { "outlet/flow" = "1 y" }', "test[0].input.outlet/flow = 'y': allowed: VALUExSTEPS"),
        ('input = { "roof/flow" = "1" }', "test[0].points.roof = 'roof': allowed: source"),
        ('input = { "outlet/flow" = "1" }', "allowed: expect or findings"),
        ('input = { "outlet/flow" = "1" }\nexpect = [ { at_min = 1, rule = "no-such", state = "quiet" } ]', "a rule of the ruleset"),
        ('input = { "outlet/flow" = "1" }\nexpect = [ { at_min = 1, rule = "mine", state = "loud" } ]', "quiet, firing, not evaluated"),
        ('input = { "outlet/flow" = "1" }\nexpect = [ { rule = "mine", state = "quiet" } ]', "test[0].expect[0].at_min = (missing)"),
    ],
)  # fmt: skip
def test_a_faulty_test_is_refused_by_name(table: str, named: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        run_tests(DEFAULT + RULE + DRY, "my.toml", [(f'[[test]]\nname = "x"\n{table}\n', "tests.toml")])
    assert any(named in fault for fault in refused.value.faults), refused.value.faults


def test_no_ruleset_file_brings_a_traceback(tmp_path: Path) -> None:
    for text in ("", "[", "rule = 5", "[[rule]]", "[[rule]]\nwhen = 5", 'version = "x"\n[rule]\nid = 3'):
        with pytest.raises(ConfigurationError):
            ruleset_of_text(text, "my.toml")


MEAN = (
    '\nparameter = "turbidity"\nabove = 1.0\naverage = "{average}"\nfor_min = 0\nclear_for_min = 0\nclear_samples = 1\n'
)


@pytest.mark.parametrize(
    ("average", "start", "series", "findings"),
    [
        # Begins in the middle of an hour: the first whole one is 09:00 to 10:00, known at 10:00, over at 11:00.
        ("hour", "08:49:00", "5x71 0.4x140", [(71, 131)]),
        # Half an hour without readings is below the coverage asked for: unknown, not compliant and not exceeding.
        ("hour", "08:00:00", "5x20 _x30 5x10 0.4x120", []),
        # A day counts by the clock of the works: midnight in China, not in Greenwich.
        ("day", "00:00:00", "2+0.001x1440 0.3+0.0005x1500", [(1440, 2880)]),
    ],
)
def test_means_are_of_whole_hours_and_days_of_the_works_clock(
    average: str, start: str, series: str, findings: list[tuple[int, int]]
) -> None:
    wanted = ", ".join(f'{{ rule = "mine", from_min = {a}, to_min = {b}, kind = "exceedance" }}' for a, b in findings)
    text = f"""
[[test]]
name = "mean"
start = 2026-06-01T{start}+08:00
findings = [{wanted}]
expect = [ {{ at_min = 0, rule = "mine", state = "quiet" }} ]
input = {{ "outlet/turbidity" = "{series}" }}
"""
    (result,) = run_tests(DEFAULT + RULE + MEAN.format(average=average), "my.toml", [(text, "tests.toml")])
    assert result.failures == ()


def test_a_ratio_is_of_readings_of_one_moment() -> None:
    rule = 'for_min = 0\nwhen = { ratio = ["turbidity", "flow"], average = "hour", above = 0.6 }'
    # Both rise and fall together: half at every moment, four times that between the one's reading and the other's.
    text = f"""
[[test]]
name = "together"
input = {{ "outlet/turbidity" = "{"0.5x1 4x1 " * 100}", "outlet/flow" = "{"1x1 8x1 " * 100}" }}
expect = [ {{ at_min = 190, rule = "mine", state = "quiet" }} ]
findings = []
"""
    (result,) = run_tests(DEFAULT + RULE + rule, "my.toml", [(text, "tests.toml")])
    assert result.failures == ()


def test_a_division_by_zero_is_counted_and_said_and_no_pass() -> None:
    rule = 'for_min = 5\nunknown_for_min = 10\nwhen = { ratio = ["turbidity", "flow"], above = 1 }'
    text = """
[[test]]
name = "no flow"
input = { "outlet/turbidity" = "0.5x60", "outlet/flow" = "8x20 0x40" }
expect = [ { at_min = 19, rule = "mine", state = "quiet" }, { at_min = 40, rule = "mine", state = "not evaluated" } ]
findings = [ { rule = "mine", from_min = 20, kind = "not_evaluated" } ]
"""
    (result,) = run_tests(DEFAULT + RULE + rule, "my.toml", [(text, "tests.toml")])
    assert result.failures == ()
