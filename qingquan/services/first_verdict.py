"""What the evaluator itself knows of a loss the moment it is found: enough for the first message, without asking any store.

The adviser looks again with more history; nobody waits for it.
"""

from collections.abc import Iterable

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
    """The last readings of every outlet's residual, about 400 bytes each; their times to the second, from which a shape is read as well.

    Lost with the process: a first word may then say less.
    """

    def __init__(self) -> None:
        self._rows: dict[SeriesKey, int] = {}
        self._row_of = np.empty(0, np.int32)
        # Seconds since 1970; 0 where nothing is remembered.
        self._times = np.empty((0, REMEMBERED), np.uint32)
        self._values = np.empty((0, REMEMBERED), np.float32)
        self._heads = np.empty(0, np.int64)

    def register(self, works: Iterable[Works]) -> None:
        """Remember the residuals of these works from now on; what both registers know is kept."""
        keys = [key for one in works for key in _residuals(one)]
        times = np.zeros((len(keys), REMEMBERED), np.uint32)
        values = np.full((len(keys), REMEMBERED), np.nan, np.float32)
        heads = np.zeros(len(keys), np.int64)
        for row, key in enumerate(keys):
            held = self._rows.get(key)
            if held is not None:
                times[row], values[row], heads[row] = self._times[held], self._values[held], self._heads[held]
        self._rows = {key: row for row, key in enumerate(keys)}
        self._times, self._values, self._heads = times, values, heads
        self._row_of = np.empty(0, np.int32)

    def take(self, catalog: SeriesCatalog, batch: ReadingBatch) -> None:
        """Note the readings of a batch; ``catalog`` names its series."""
        if len(catalog) > len(self._row_of):
            fresh = [self._rows.get(key, -1) for key in catalog.keys(len(self._row_of))]
            self._row_of = np.concatenate([self._row_of, np.array(fresh, np.int32)])
        if not len(batch) or not self._rows:
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
        row = self._rows.get(key)
        if row is None:
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
