"""Laboratory results over time: which exceedances last, and which a later compliant result has ended. Pure.

Every exceeding result is a finding of its own from the time of sampling until the next compliant result of the same
point and parameter; undecided results neither begin nor end one. Findings follow from the results alone, so the order
of uploads does not matter: a sheet that comes late puts its results where they belong.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qingquan.domain.findings import Finding, FindingKind, Severity, finding_id
from qingquan.domain.lab import LabOperator, LabResult, LabSample, LabSeverity, LabVerdict
from qingquan.domain.parameters import Limit, LimitKind
from qingquan.domain.readings import SeriesKey
from rules.lab import RADIOACTIVE
from rules.lab_words import result_text

__all__ = ["LIVE_MS", "RULE", "LabHistory", "findings_of", "severity_of"]

RULE = "laboratory"
RULE_VERSION = "1"

LIVE_MS = 60 * 86_400_000
"""A result known later than this after sampling is history: recorded, never an alarm. A full analysis takes weeks."""

LabHistory = Iterable[tuple[LabSample, LabResult]]
"""Judged results, each with the sample it belongs to; order is free."""


@dataclass(frozen=True, slots=True)
class _Result:
    """What of a result bears on findings, in order of time."""

    sampled_at: int
    sample: LabSample
    result: LabResult


def findings_of(
    history: LabHistory, limits: Mapping[str, Limit], severities: Mapping[str, LabSeverity], language: str = "zh"
) -> list[Finding]:
    """Findings of all series in the history, oldest first.

    ``limits`` are rows by id, ``severities`` rows by parameter code or ``group:<group>``. The history of a series must
    be complete from its first exceedance on.
    """
    series: dict[SeriesKey, list[_Result]] = {}
    for sample, result in history:
        key = SeriesKey(sample.county, sample.works, sample.point, result.parameter)
        series.setdefault(key, []).append(_Result(sample.sampled_at, sample, result))
    found = [
        finding for key, results in series.items() for finding in _of_series(key, results, limits, severities, language)
    ]
    return sorted(found, key=lambda finding: (finding.start, finding.id))


def severity_of(result: LabResult, limit: Limit | None, severities: Mapping[str, LabSeverity]) -> Severity:
    """How urgent an exceedance is; major where no table knows the parameter: better looked at than overlooked."""
    row = severities.get(result.parameter)
    if row is None and limit is not None:
        row = severities.get(f"group:{limit.group}")
    if row is None:
        return Severity.MAJOR
    if limit is not None and _is_below(result, limit):
        return row.below
    value, bound = result.canonical_value, None if limit is None else limit.max
    if row.severe_ratio is not None and value is not None and bound and value >= bound * row.severe_ratio:
        return max(row.above, row.severe)
    return row.above


def _of_series(
    key: SeriesKey, results: list[_Result], limits: Mapping[str, Limit], severities: Mapping[str, LabSeverity], language: str
) -> list[Finding]:  # fmt: skip
    compliant = {one.sampled_at: one.sample for one in results if one.result.verdict is LabVerdict.COMPLIANT}
    times = sorted(compliant)
    worst: dict[int, tuple[_Result, Severity]] = {}
    for one in results:
        if one.result.verdict is not LabVerdict.EXCEEDED:
            continue
        severity = severity_of(one.result, limits.get(one.result.limit_id), severities)
        known = worst.get(one.sampled_at)
        # Two bottles of one moment are one finding, told by the worse of them.
        if known is None or _rank(one, severity) > _rank(*known):
            worst[one.sampled_at] = (one, severity)
    findings = []
    for sampled_at, (one, severity) in worst.items():
        place = bisect_right(times, sampled_at)
        ended_by = compliant[times[place]] if place < len(times) else None
        limit = limits.get(one.result.limit_id)
        findings.append(_finding(key, one, severity, limit, ended_by, language))
    return findings


def _finding(
    key: SeriesKey, one: _Result, severity: Severity, limit: Limit | None, ended_by: LabSample | None, language: str
) -> Finding:
    result, sample = one.result, one.sample
    end = None if ended_by is None else ended_by.sampled_at
    is_below = limit is not None and _is_below(result, limit)
    bound = None if limit is None else limit.min if is_below else limit.max
    evidence: dict[str, float | int | str] = {
        "sample": sample.number,
        "sample_id": sample.id,
        "result": result_text(result, language),
        "limit_id": result.limit_id,
    }
    if limit is not None and limit.group == RADIOACTIVE:
        evidence["guidance"] = 1
    if ended_by is not None:
        evidence["ended_by_sample"] = ended_by.number
    return Finding(
        id=finding_id(FindingKind.LAB_EXCEEDANCE, RULE, key, one.sampled_at),
        kind=FindingKind.LAB_EXCEEDANCE,
        severity=severity,
        county=key.county,
        works=key.works,
        point=key.point,
        parameter=key.parameter,
        start=one.sampled_at,
        end=end,
        evidence_at=one.sampled_at if end is None else end,
        # Odour told in words has no number, and nought would be a lie.
        extreme=result.canonical_value or None
        if limit is not None and limit.kind is LimitKind.ABSENT
        else result.canonical_value,
        limit=bound,
        clause="" if limit is None else f"{limit.standard} {limit.clause}",
        rule=RULE,
        rule_version=RULE_VERSION,
        reason=result.reason,
        late=sample.uploaded_at - sample.sampled_at > LIVE_MS,
        evidence=evidence,
    )


def _is_below(result: LabResult, limit: Limit) -> bool:
    if limit.min is None:
        return False
    if result.operator in (LabOperator.LESS, LabOperator.NOT_DETECTED):
        # Held to exceed, a result that says "less than" can only be too low.
        return True
    return result.canonical_value is not None and result.canonical_value < limit.min


def _rank(one: _Result, severity: Severity) -> tuple[int, float, str]:
    value = one.result.canonical_value
    return severity, float("-inf") if value is None else value, one.sample.number
