"""Open findings of the database held against the folds: none may stay open that nobody judges any more.

Both agree as long as the state is the one the findings came from. They part when a rule, a point or a works is taken out of
the books, and when the state had to be rebuilt from a log that no longer reaches back to where a finding began.
"""

from collections.abc import Iterable
from dataclasses import replace

from qingquan.domain.disinfection import HAND_LOG_OVERDUE, HAND_MEASURED
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import SeriesKey
from qingquan.services.folds import Fold
from rules.state import resume

__all__ = ["JUDGED_KINDS", "reconciled"]

JUDGED_KINDS = tuple(
    kind
    for kind in FindingKind
    if kind
    not in (
        FindingKind.STALE,
        FindingKind.NEVER_SEEN,
        FindingKind.LAB_EXCEEDANCE,
        FindingKind.RESIDUAL_FALLING,
        FindingKind.WATER_EVENT,
        FindingKind.HAND_DISAGREES,
        FindingKind.DETECTOR_SILENT,
        FindingKind.OPERATIONS,
    )
)
"""Kinds that the fold opens and closes."""

NO_LONGER_JUDGED = {
    "zh": "；该规则或监测点已不在册，不再评判，不代表已恢复达标",
    "en": "; its rule or sampling point is no longer in the books: not judged any more, which is no proof of recovery",
}

_Place = tuple[Fold, int]


def reconciled(folds: Iterable[Fold], stored: Iterable[Finding], language: str = "zh") -> list[Finding]:
    """Take stored open findings of `JUDGED_KINDS` over into the folds; those to withdraw because no rule judges them now."""
    # That nobody has logged is found by the clock, as silence is; what people measured beside an instrument, by the adviser.
    lasting = [finding for finding in stored if finding.rule not in (HAND_LOG_OVERDUE, HAND_MEASURED)]
    places = _places(folds) if lasting else {}
    withdrawn = []
    for finding in lasting:
        place = _place_of(finding, places)
        if place is None:
            withdrawn.append(_taken_back(finding, language))
        elif not _knows(*place, finding.start):
            withdrawn += _taken_over(*place, finding)
    return withdrawn


def _taken_back(finding: Finding, language: str) -> Finding:
    """No rule judges it any more, so nothing is known of it: that is no evidence that the water is good, and it says so."""
    why = NO_LONGER_JUDGED["en" if language == "en" else "zh"]
    reason = finding.reason if finding.reason.endswith(why) else finding.reason + why
    evidence = finding.evidence | {"closed_because": "no rule judges it any more"}
    end = max(finding.start, finding.evidence_at)
    return replace(finding, end=end, withdrawn=True, reason=reason, evidence=evidence)


def _places(folds: Iterable[Fold]) -> dict[tuple[str, ...], list[_Place]]:
    places: dict[tuple[str, ...], list[_Place]] = {}
    for fold in folds:
        for timer, meaning in enumerate(fold.plan.meanings):
            if meaning.speaks:
                places.setdefault((*meaning.key, meaning.kind, meaning.rule), []).append((fold, timer))
    return places


def _place_of(finding: Finding, places: dict[tuple[str, ...], list[_Place]]) -> _Place | None:
    key = SeriesKey(finding.county, finding.works, finding.point, finding.parameter)
    limit = finding.evidence.get("limit_id", "")
    for fold, timer in places.get((*key, finding.kind, finding.rule), []):
        # A unit's timer serves every edition of the standard.
        if fold.plan.meanings[timer].limit_id in ("", limit):
            return fold, timer
    return None


def _knows(fold: Fold, timer: int, start: int) -> bool:
    works = fold.plan.works_number[fold.plan.meanings[timer].key[:2]]
    said = fold.state.said.get(works, {}).get((timer, start))
    return said is not None and said.end is None


def _taken_over(fold: Fold, timer: int, finding: Finding) -> list[Finding]:
    """A finding lasts from its earliest known start; a later one of the same condition is part of it."""
    begun = int(fold.state.timers[0][timer]["firing"])
    if fold.is_firing(timer) and begun < finding.start:
        return [replace(finding, end=max(finding.start, finding.evidence_at), withdrawn=True)]
    extreme = float("nan") if finding.extreme is None else finding.extreme
    resume(fold.state, fold.plan, timer, finding.start, finding.evidence_at, extreme)
    return []
