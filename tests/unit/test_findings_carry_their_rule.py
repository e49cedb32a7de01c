"""Whatever the kind, a finding names its rule, the rule's version and what it rests on; and the documents' rules are rules."""

import re
from importlib.resources import files

import pytest

from qingquan.domain.findings import Finding, FindingKind
from qingquan.packages import TREE
from qingquan.services.rule_tests import run_tests
from qingquan.services.rulesets import ruleset_of_text
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works
from rules.engine import silence
from rules.plan import compile_plan

DEFAULT = files("rules").joinpath("default.toml").read_text(encoding="utf-8")
MINE = """
[[rule]]
id = "own"
version = "7"
parameter = "turbidity"
points = ["outlet"]
above = 0.9
for_min = 5
severity = "minor"
basis = "house"

[[rule]]
id = "compound"
points = ["outlet"]
parameter = "residual"
for_min = 5
unknown_for_min = 10
severity = "major"
basis = "house"
when = { all = [ { signal = "flow", above = 1 }, { ratio = ["turbidity", "flow"], above = 0.2 } ] }
"""


def told() -> list[Finding]:
    tables = load_standards()
    ruleset = ruleset_of_text(DEFAULT + MINE, "my.toml")
    plan = compile_plan([make_works("W1")], tables.parameters, load_profiles().binding, ruleset)
    account = Account(plan)
    for minute in range(400):
        values = {"free_chlorine": 0.6 + 0.02 * (minute % 5), "turbidity": 0.4, "flow": 8.0, "doser_running": 1.0}
        if 30 <= minute < 80:
            values["turbidity"] = 4.0 + 0.1 * (minute % 3)
        if 100 <= minute < 150:
            values["free_chlorine"] = 0.0
        if 150 <= minute < 180:
            values["free_chlorine"] = 9.0
        if 180 <= minute < 220:
            values["flow"] = -5.0
        if 260 <= minute < 300:
            values.pop("turbidity")
        rows = [(plan.slot_of[key], values[key.parameter]) for key in plan.series if key.parameter in values]
        account.feed([Row(slot, START + minute * MINUTE, value) for slot, value in sorted(rows)])
    # A reading long past its window.
    slot = next(slot for slot, key in enumerate(plan.series) if key.parameter == "turbidity")
    account.feed([Row(slot, START - 86_400_000, 5.0)])
    said = list(account.said.values())
    return [*said, silence(plan, plan.series[0], START, None, tables.parameters, "zh", now=START + MINUTE)]


def test_every_finding_carries_rule_version_and_evidence() -> None:
    findings = told()
    kinds = {one.kind for one in findings}
    assert kinds >= {
        FindingKind.EXCEEDANCE, FindingKind.DISINFECTION_MISSING, FindingKind.OUT_OF_RANGE, FindingKind.STALE,
        FindingKind.COMPOUND, FindingKind.NOT_EVALUATED,
    }  # fmt: skip
    assert any(one.late for one in findings if one.rule.endswith(":late"))
    for one in findings:
        assert one.rule, one
        assert one.rule_version.startswith("2026.11"), one
        assert one.evidence, one
    own = [one for one in findings if one.rule.startswith("own")]
    assert {one.rule_version for one in own} == {"2026.11/7"}
    compound = next(one for one in findings if one.kind is FindingKind.COMPOUND)
    assert {"title", "fingerprint", "outlet/flow", "outlet/turbidity / outlet/flow"} <= set(compound.evidence)
    unknown = next(one for one in findings if one.kind is FindingKind.NOT_EVALUATED)
    assert unknown.evidence["cause"] == "suspect"
    assert "不等于合格" in unknown.reason


def test_a_laboratorys_findings_do_too() -> None:
    text = (TREE / "rules" / "lab_findings.py").read_text(encoding="utf-8")
    assert "rule_version=RULE_VERSION" in text
    assert "evidence=evidence" in text


@pytest.mark.parametrize("number", range(2))
def test_the_rules_in_the_document_are_rules(number: int) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (TREE / "docs" / "rules.md").read_text(encoding="utf-8"), re.DOTALL)
    rules = [block for block in blocks if block.startswith("[[rule]]")]
    assert len(rules) == 2
    ruleset_of_text(DEFAULT + rules[number].replace('id = "turbidity-above-3"', 'id = "again"'), "docs/rules.md")


def test_the_test_in_the_document_passes() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", (TREE / "docs" / "rules.md").read_text(encoding="utf-8"), re.DOTALL)
    (test,) = [block for block in blocks if block.startswith("[[test]]")]
    (result,) = run_tests(DEFAULT, "rules/default.toml", [(test, "docs/rules.md")])
    assert result.failures == ()
