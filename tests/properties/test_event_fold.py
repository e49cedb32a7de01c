"""Event detection: any split of the rows gives the same output, and no row depends on later ones."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.events.detector import DetectorPlan, DetectorRows, SeriesFloor, new_state, step
from rules.events.live import HOLD_MS, EventChange, LivePlan, LiveReadings, LiveState, WatchedPoint, fold_readings
from rules.events.operations import excused_rows, new_operations

PLAN = DetectorPlan(("a", "b", "c"), (SeriesFloor(0.01), SeriesFloor(1.0, 0.01), SeriesFloor(0.002)))


@st.composite
def recordings(draw: st.DrawFn) -> DetectorRows:
    """Noise with steps, outages, gaps, excuses and holds, of one to three works, at any cadence."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    rows = draw(st.integers(1, 600))
    spacing = draw(st.sampled_from([1, 60, 900, 1200]))
    gaps = rng.choice([0, spacing, 10 * spacing, 86_400], rows, p=[0.02, 0.95, 0.02, 0.01])
    values = rng.normal(5.0, 0.01, (rows, 3)) * [1.0, 50.0, 0.1]
    for _ in range(draw(st.integers(0, 6))):
        at, length, column = rng.integers(0, rows), rng.integers(1, 60), rng.integers(0, 3)
        values[at : at + length, column] += rng.normal(0, 1.0)
    values[rng.random((rows, 3)) < 0.05] = np.nan
    values[rng.random(rows) < 0.05] = np.nan
    works = rng.integers(0, 3, rows)
    times = 1_700_000_000_000 + 1000 * np.cumsum(gaps)
    return DetectorRows(works, times, values, rng.random(rows) < 0.05, rng.random(rows) < 0.05)


def part(rows: DetectorRows, first: int, last: int) -> DetectorRows:
    s = slice(first, last)
    return DetectorRows(rows.works[s], rows.observed_at[s], rows.values[s], rows.excused[s], rows.held[s])


@given(recordings(), st.lists(st.integers(0, 600), max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_split_of_the_rows_gives_the_same_output_and_state(rows: DetectorRows, cuts: list[int]) -> None:
    n = len(rows.works)
    whole_state, state = new_state(PLAN, 3), new_state(PLAN, 3)
    whole = step(rows, whole_state, PLAN)
    edges = sorted({0, n, *(min(cut, n) for cut in cuts)})
    parts = [step(part(rows, a, b), state, PLAN) for a, b in pairwise(edges)]
    assert np.concatenate([one.score for one in parts]).tolist() == whole.score.tolist()
    assert np.concatenate([one.votes for one in parts]).tolist() == whole.votes.tolist()
    assert state.series.tobytes() == whole_state.series.tobytes()
    assert state.tracks.tobytes() == whole_state.tracks.tobytes()


@given(recordings(), st.integers(0, 600))
@settings(max_examples=60, deadline=None)
def test_what_comes_later_changes_no_row(rows: DetectorRows, cut: int) -> None:
    whole = step(rows, new_state(PLAN, 3), PLAN)
    changed = DetectorRows(rows.works, rows.observed_at, rows.values.copy(), rows.excused.copy(), rows.held.copy())
    changed.values[cut:] = 1e6
    changed.excused[cut:] = True
    other = step(changed, new_state(PLAN, 3), PLAN)
    assert whole.score[:cut].tolist() == other.score[:cut].tolist()


@given(recordings())
@settings(max_examples=40, deadline=None)
def test_rows_without_values_score_nothing_and_scores_are_finite(rows: DetectorRows) -> None:
    verdicts = step(rows, new_state(PLAN, 3), PLAN)
    empty = np.isnan(rows.values).all(axis=1)
    assert (verdicts.score[empty] == 0).all()
    assert np.isfinite(verdicts.score).all()
    assert (verdicts.score >= 0).all()
    for row in np.flatnonzero(verdicts.event).tolist():
        assert verdicts.contributors(row, PLAN.columns)


@given(recordings(), st.integers(0, 600))
@settings(max_examples=40, deadline=None)
def test_excuses_are_the_same_in_any_split(rows: DetectorRows, cut: int) -> None:
    flows = np.where(rows.values[:, :2] > 5.0, 20.0, 0.0)
    state = new_operations(2)
    whole = excused_rows(rows.observed_at, flows, new_operations(2))
    parts = [excused_rows(rows.observed_at[s], flows[s], state) for s in (slice(0, cut), slice(cut, None))]
    assert np.concatenate(parts).tolist() == whole.tolist()


@given(recordings(), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 4000), max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_split_repetition_and_order_within_the_hold_give_the_same_live_events(
    rows: DetectorRows, seed: int, cuts: list[int]
) -> None:
    columns, floors = PLAN.columns, PLAN.floors
    plan = LivePlan([WatchedPoint(("520425", f"W{n}", "outlet"), n, columns, floors) for n in range(3)])
    readings = live_readings(rows)
    rng = np.random.default_rng(seed)
    order = np.argsort(readings.at + rng.integers(0, HOLD_MS // 2, len(readings.at)), kind="stable")
    order = np.insert(order, np.arange(0, len(order), 7), order[::7])
    edges = sorted({0, len(order), *(min(cut, len(order)) for cut in cuts)})
    parts = [order[a:b] for a, b in pairwise(edges)]
    assert live_events(readings, parts, plan) == live_events(readings, [np.arange(len(readings.at))], plan)


def live_readings(rows: DetectorRows) -> LiveReadings:
    """Readings of the rows; of two rows of a works in one second the first."""
    _, first = np.unique(np.c_[rows.works, rows.observed_at // 1000], axis=0, return_index=True)
    row, column = np.nonzero(np.isfinite(rows.values[np.sort(first)]))
    row = np.sort(first)[row]
    at = rows.observed_at[row]
    return LiveReadings(rows.works[row], column, at, rows.values[row, column], at)


def live_events(readings: LiveReadings, parts: list[np.ndarray], plan: LivePlan) -> dict[tuple[str, int], EventChange]:
    """Newest word on every event, after everything was silent for long."""
    state, found, now = LiveState(plan), dict[tuple[str, int], EventChange](), 0
    for part in parts:
        chosen = readings.of(part)
        now = max(now, int(chosen.at.max(initial=0)))
        for change in fold_readings(chosen, state, plan, now):
            found[change.key[1], change.start] = change
    for change in fold_readings(LiveReadings.none(), state, plan, now + 7 * 86_400_000):
        found[change.key[1], change.start] = change
    return found
