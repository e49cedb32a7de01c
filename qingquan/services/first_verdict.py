"""What the evaluator itself knows of a loss the moment it is found: enough for the first message, without asking any store.

The adviser looks again with more history; nobody waits for it.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from qingquan.domain.disinfection import Verdict
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind
from qingquan.domain.readings import ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.domain.works import PointKind, Works
from qingquan.services.folds import Fold
from rules.advice import known_facts
from rules.advice_words import short_action, short_verdict, state_sentence
from rules.layout import NEVER
from rules.residual_shape import residual_path
from rules.verdict import judge_loss

__all__ = ["FirstVerdicts", "RecentResiduals"]

REMEMBERED = 48
"""Readings kept of each residual: at one a minute, the half hour at the floor and what was before it."""

STATES = {
    FindingKind.DISINFECTION_MISSING: DisinfectionState.MISSING,
    FindingKind.DISINFECTION_LOW: DisinfectionState.LOW,
    FindingKind.DISINFECTION_HIGH: DisinfectionState.HIGH,
    FindingKind.DISINFECTION_UNKNOWN: DisinfectionState.UNKNOWN,
}


class RecentResiduals:
    """The last readings of every outlet's residual, about 300 bytes each; their times to the second, from which a shape is read as well.

    Lost with the process: a first word may then say less.
    """

    def __init__(self) -> None:
        self._works: Mapping[tuple[str, str], Works] = {}
        self._catalog = SeriesCatalog()
        # By number of the series: row of a residual, -1 of any other.
        self._row_of = np.empty(0, np.int32)
        # Seconds since 1970; 0 where nothing is remembered.
        self._times = np.empty((0, REMEMBERED), np.uint32)
        self._values = np.empty((0, REMEMBERED), np.float32)
        self._heads = np.empty(0, np.int64)

    def register(self, works: Mapping[tuple[str, str], Works]) -> None:
        """Remember the residuals of these works from now on, by (county, id); what both registers know is kept."""
        self._works = works
        was, self._row_of = self._row_of, np.empty(0, np.int32)
        held = self._times, self._values, self._heads
        self._times, self._values, self._heads = self._times[:0], self._values[:0], self._heads[:0]
        self._follow(self._catalog)
        stay = np.flatnonzero((was >= 0) & (self._row_of[: len(was)] >= 0))
        now, before = self._row_of[stay], was[stay]
        self._times[now], self._values[now], self._heads[now] = (one[before] for one in held)

    def _follow(self, catalog: SeriesCatalog) -> None:
        """Give rows to residuals that are new in the catalogue."""
        self._catalog = catalog
        known, count = len(self._row_of), len(self._heads)
        rows = np.full(len(catalog) - known, -1, np.int32)
        for n, key in enumerate(catalog.keys(known)):
            works = self._works.get(key[:2])
            if works is not None and key in _residuals(works):
                rows[n], count = count, count + 1
        more = count - len(self._heads)
        self._row_of = np.concatenate([self._row_of, rows])
        self._times = np.concatenate([self._times, np.zeros((more, REMEMBERED), np.uint32)])
        self._values = np.concatenate([self._values, np.zeros((more, REMEMBERED), np.float32)])
        self._heads = np.concatenate([self._heads, np.zeros(more, np.int64)])

    def take(self, catalog: SeriesCatalog, batch: ReadingBatch) -> None:
        """Note the readings of a batch; ``catalog`` names its series."""
        if len(catalog) > len(self._row_of) or catalog is not self._catalog:
            self._follow(catalog)
        if not len(batch) or not len(self._heads):
            return
        rows = self._row_of[batch.series]
        kept = np.flatnonzero((rows >= 0) & np.isfinite(batch.value))
        if not len(kept):
            return
        order = kept[np.argsort(rows[kept], kind="stable")]
        rows = rows[order]
        begins = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
        counts = np.diff(np.r_[begins, len(rows)])
        rank = np.arange(len(rows)) - np.repeat(begins, counts)
        # A batch may bring more of a series than is remembered: of places written twice the later one must stand.
        last = rank >= np.repeat(counts, counts) - REMEMBERED
        places = (self._heads[rows] + rank) % REMEMBERED
        self._times[rows[last], places[last]] = batch.observed_at[order][last] // 1000
        self._values[rows[last], places[last]] = batch.value[order][last]
        self._heads[rows[begins]] += counts

    def of(
        self, key: SeriesKey
    ) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], np.ndarray[tuple[int], np.dtype[np.float64]]]:
        """Times [ms] and values of a residual, oldest first; empty where none is remembered."""
        number = self._catalog.index(key) if key in self._catalog else len(self._row_of)
        row = int(self._row_of[number]) if number < len(self._row_of) else -1
        if row < 0:
            return np.empty(0), np.empty(0)
        times, values = self._times[row], self._values[row]
        known = np.flatnonzero(times)
        order = known[np.argsort(times[known], kind="stable")]
        return times[order] * 1000.0, values[order].astype(np.float64)


class FirstVerdicts:
    """Verdicts from the evaluator's own state."""

    def __init__(self, language: str) -> None:
        self._language = language
        self.recent = RecentResiduals()

    def of(self, finding: Finding, folds: Iterable[Fold]) -> Verdict | None:
        """What stands behind a disinfection finding, as far as is known now; ``None`` for findings of other kinds."""
        state = STATES.get(finding.kind)
        place = (finding.county, finding.works)
        fold = next((fold for fold in folds if place in fold.plan.works_number), None)
        if state is None or fold is None:
            return None
        works = fold.plan.works[fold.plan.works_number[place]]
        rules = fold.plan.ruleset.disinfection
        key = SeriesKey(finding.county, finding.works, finding.point, finding.parameter)
        path = residual_path(*self.recent.of(key), rules.floor.get(finding.parameter, 0.05))
        facts = known_facts(_signals(fold, works, finding.point), path, flow_min=rules.flow_min)
        judged = judge_loss(facts)
        sentences = {
            language: state_sentence(
                state, judged, facts, finding.parameter, language, is_hand_logged=works.is_hand_logged
            )
            for language in ("zh", "en")
        }
        is_loss = state in (DisinfectionState.MISSING, DisinfectionState.LOW) and not works.is_hand_logged
        return Verdict(
            cause=judged.cause.value, leaning=judged.leaning.value, sentence_zh=sentences["zh"], sentence_en=sentences["en"],
            short=short_verdict(judged, self._language) if is_loss else "",
            action=short_action(judged, self._language) if is_loss else "",
        )  # fmt: skip


def _signals(fold: Fold, works: Works, point: str) -> dict[str, float]:
    """Newest values of a works, the outlet's own before those of other points, none older than the works' silence allows."""
    number = fold.plan.works_number[(works.county, works.id)]
    series, places = fold.state.series[0][fold.plan.series_of(number)], fold.plan.layout.form(number).series
    newest = int(series["last_t"].max(initial=NEVER))
    found: dict[str, float] = {}
    for n in sorted(range(len(places)), key=lambda n: places[n][0] == point):
        where, parameter = places[n]
        is_fresh = series[n]["last_t"] != NEVER and newest - int(series[n]["last_t"]) <= works.stale_after_s * 1000
        if is_fresh and (where == point or parameter != "sample_flow"):
            found[parameter] = float(series[n]["last_value"])
    return found


def _residuals(works: Works) -> list[SeriesKey]:
    residual = works.disinfectant.residual
    if residual is None:
        return []
    outlets = (point for point in works.points if point.kind is PointKind.OUTLET)
    return [SeriesKey(works.county, works.id, point.id, residual) for point in outlets]
