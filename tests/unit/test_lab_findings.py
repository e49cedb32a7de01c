"""Laboratory results over time: what lasts, what a later result has ended, how urgent it is."""

import random
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.lab import LabOperator, LabResult, LabSample, LabVerdict
from qingquan.errors import ConfigurationError
from qingquan.standards.loader import load_standards
from qingquan.standards.severities import lab_severities_from, load_lab_severities
from rules.lab_findings import LIVE_MS, findings_of, severity_of

T0 = 1_777_600_000_000
DAY = 86_400_000
LIMITS = {limit.id: limit for limit in load_standards().limits}
SEVERITIES = load_lab_severities()


def a_result(value: float, code: str = "arsenic", row: str = "", **fields: Any) -> LabResult:
    limit = LIMITS[f"gb5749-2022.{row or code}"]
    verdict = LabVerdict.COMPLIANT if limit.is_met_by(value) else LabVerdict.EXCEEDED
    made = LabResult(
        code, LabOperator.EQUAL, value, None, limit.unit, value, verdict=verdict, limit_id=limit.id, reason="because"
    )
    return replace(made, **fields)


def at(day: float, result: LabResult, point: str = "outlet", uploaded_after: int = DAY) -> tuple[LabSample, LabResult]:
    sampled_at = T0 + round(day * DAY)
    sample = LabSample(
        id=int(day * 10) + 1, number=f"S{day}", county="520425", works="W0077", point=point, sampled_at=sampled_at,
        uploaded_at=sampled_at + uploaded_after, uploaded_by="lab", laboratory="", source_file="a.xlsx",
    )  # fmt: skip
    return sample, result


def found(*history: tuple[LabSample, LabResult]) -> list[Finding]:
    return findings_of(history, LIMITS, SEVERITIES)


def test_an_exceedance_lasts_until_a_later_compliant_result() -> None:
    bad, good = a_result(0.02), a_result(0.005)
    (open_one,) = found(at(1, bad))
    (closed,) = found(at(1, bad), at(5, good))
    assert (open_one.kind, open_one.start, open_one.end) == (FindingKind.LAB_EXCEEDANCE, T0 + DAY, None)
    assert (closed.id, closed.end, closed.evidence["ended_by_sample"]) == (open_one.id, T0 + 5 * DAY, "S5")
    assert (closed.extreme, closed.limit, closed.clause) == (0.02, 0.01, "GB 5749-2022 Table 1")
    assert (closed.reason, closed.evidence["sample"], closed.evidence["result"]) == ("because", "S1", "0.02 mg/L")


def test_an_earlier_or_simultaneous_pass_ends_nothing() -> None:
    assert found(at(0, a_result(0.005)), at(1, a_result(0.02)))[0].end is None
    assert found(at(1, a_result(0.005)), at(1, a_result(0.02)))[0].end is None


def test_what_is_undecided_ends_nothing() -> None:
    unsure = a_result(0.02, verdict=LabVerdict.UNDECIDED)
    assert [finding.end for finding in found(at(1, a_result(0.02)), at(2, unsure))] == [None]


def test_another_point_or_parameter_ends_nothing() -> None:
    history = (at(1, a_result(0.02)), at(2, a_result(0.005), point="end"), at(2, a_result(0.001, "lead")))
    assert [finding.end for finding in found(*history)] == [None]


def test_two_bottles_of_one_moment_are_one_finding_told_by_the_worse() -> None:
    first, second = at(1, a_result(0.02)), at(1, a_result(0.05))
    (finding,) = found(first, second)
    assert finding.extreme == 0.05


def test_findings_do_not_depend_on_the_order_of_uploads() -> None:
    history = [at(1, a_result(0.02)), at(2, a_result(0.03)), at(3, a_result(0.001)), at(4, a_result(0.02))]
    expected = found(*history)
    assert [finding.end for finding in expected] == [T0 + 3 * DAY, T0 + 3 * DAY, None]
    for order in permutations(history):
        assert found(*order) == expected


def test_results_known_long_after_sampling_are_history() -> None:
    assert not found(at(1, a_result(0.02), uploaded_after=LIVE_MS))[0].late
    assert found(at(1, a_result(0.02), uploaded_after=LIVE_MS + 1))[0].late


def test_a_bound_missed_from_below_is_told_by_the_lower_bound() -> None:
    low = a_result(0.1, "free_chlorine", "free_chlorine.outlet")
    (finding,) = found(at(1, low))
    assert (finding.limit, finding.severity) == (0.3, Severity.MAJOR)
    not_detected = replace(low, operator=LabOperator.NOT_DETECTED, value=None, canonical_value=None)
    assert found(at(1, not_detected))[0].limit == 0.3


def test_what_must_be_absent_has_no_bound_and_words_no_number() -> None:
    (coliforms,) = found(at(1, a_result(12.0, "total_coliforms")))
    assert (coliforms.extreme, coliforms.limit) == (12.0, None)
    seen = replace(a_result(1.0, "visible_matter"), operator=LabOperator.GREATER, value=0.0, canonical_value=0.0)
    assert found(at(1, seen))[0].extreme is None


@pytest.mark.parametrize(
    ("code", "row", "value", "severity"),
    [
        ("escherichia_coli", "", 1.0, Severity.CRITICAL),
        ("total_coliforms", "", 1.0, Severity.CRITICAL),
        ("cryptosporidium", "", 1.0, Severity.CRITICAL),
        ("nitrate_n", "", 10.1, Severity.MAJOR),
        ("cyanide", "", 0.06, Severity.MAJOR),
        ("chlorite", "", 0.8, Severity.MAJOR),
        ("chlorine_dioxide", "chlorine_dioxide.outlet", 0.9, Severity.MAJOR),
        ("chlorine_dioxide", "chlorine_dioxide.outlet", 0.05, Severity.MAJOR),
        ("free_chlorine", "free_chlorine.outlet", 2.5, Severity.MINOR),
        ("free_chlorine", "free_chlorine.outlet", 0.1, Severity.MAJOR),
        ("arsenic", "", 0.011, Severity.MINOR),
        ("arsenic", "", 0.02, Severity.MAJOR),
        ("fluoride", "", 1.1, Severity.MINOR),
        ("trihalomethanes_ratio", "", 1.2, Severity.MINOR),
        ("turbidity", "", 2.0, Severity.MINOR),
        ("turbidity", "", 3.0, Severity.MAJOR),
        ("colony_count", "", 150.0, Severity.MINOR),
        ("colony_count", "", 500.0, Severity.MAJOR),
        ("iron", "", 3.0, Severity.MINOR),
        ("ph", "", 6.0, Severity.MINOR),
        ("gross_alpha", "", 0.6, Severity.MINOR),
    ],
)
def test_severity_follows_what_the_parameter_does_to_people(
    code: str, row: str, value: float, severity: Severity
) -> None:
    result = a_result(value, code, row)
    assert severity_of(result, LIMITS[result.limit_id], SEVERITIES) is severity


def test_a_parameter_no_table_knows_is_major() -> None:
    assert severity_of(a_result(0.02), LIMITS["gb5749-2022.arsenic"], {}) is Severity.MAJOR


def test_severity_never_falls_as_the_value_rises() -> None:
    dice = random.Random(5)
    for limit in LIMITS.values():
        if limit.max is None or not limit.standard.endswith("2022"):
            continue
        values = sorted(limit.max * dice.uniform(1.001, 20) for _ in range(5))
        severities = [
            severity_of(a_result(value, limit.code, limit.id.split(".", 1)[1]), limit, SEVERITIES) for value in values
        ]
        assert severities == sorted(severities), limit.id


HEAD = "key,reaction,above,below,severe_ratio,severe,source\n"
GROUPS = "".join(f"{key},chronic,minor,minor,,,x\n" for key in SEVERITIES if key.startswith("group:"))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("arsenik,chronic,minor,minor,,,x", "unknown parameter or group 'arsenik'"),
        ("arsenic,chronic,small,minor,,,x", "severity 'small': allowed: info, minor, major, critical"),
        ("arsenic,bad,minor,minor,,,x", "reaction 'bad': allowed: acute_chemical"),
        ("arsenic,chronic,minor,minor,2,,x", "stand together"),
        ("arsenic,chronic,minor,minor,1,major,x", "not above 1"),
        ("arsenic,chronic,minor,minor,,,", "source must be given"),
    ],
)
def test_a_wrong_row_of_the_severity_table_is_refused_with_its_line(line: str, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=f"lab_severity.csv:{len(GROUPS.splitlines()) + 2}: .*{fault}"):
        lab_severities_from(HEAD + GROUPS + line)


def test_a_row_twice_and_a_group_without_a_row_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'group:sensory' has a row already"):
        lab_severities_from(HEAD + GROUPS + "group:sensory,aesthetic,minor,minor,,,x")
    with pytest.raises(ConfigurationError, match="no row for 'group:microbial'"):
        lab_severities_from(HEAD)
