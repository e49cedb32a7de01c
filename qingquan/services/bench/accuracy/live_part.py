"""The live fold on recorded water: what people would have been told, at every cadence, and what known shapes would have named."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qingquan.services.bench.accuracy.labelled import Recording, thinned
from qingquan.services.bench.accuracy.scoring import runs
from qingquan.services.bench.accuracy.searches import frozen_plan
from rules.events.live import EventChange, LiveReadings, LiveState, fold_readings
from rules.events.live_plan import LivePlan, WatchedPoint
from rules.events.patterns import Pattern, Trajectory, best_match, trajectory

__all__ = ["LiveScores", "Named", "Told", "live_text", "named", "scored_live", "told"]

KEY = ("000000", "recorded", "point")
MINUTE = 60_000
NEAR_MS = 3_600_000
"""An event is false when no labelled one lies within this of it, as in `scoring`."""
BEFORE_MS = 3_600_000
BATCH_MS = 2 * MINUTE
LOST_MG_L = 0.1
"""Residual below which disinfection counts as lost here."""


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it stood at last, and when it was told first [ms]."""

    event: EventChange
    told_at: int


@dataclass(frozen=True, slots=True)
class LiveScores:
    """``found`` of ``episodes`` labelled ones overlap an event; delays from an episode's first row to the telling."""

    events: int
    per_week: float
    false_per_week: float
    found: int
    episodes: int
    delay_min: float
    longest_h: float


@dataclass(frozen=True, slots=True)
class Named:
    """A library that people fill with every event it does not know: ``shapes`` saved, ``named`` later ones, of ``events`` with a shape.

    ``crossed``: named after one of the other kind, a labelled event after a false alert or the reverse.
    """

    events: int
    shapes: int
    named: int
    crossed: int


def told(recording: Recording, residual: str = "") -> list[Told]:
    """Every event of a recording in order, folded two minutes at a time as it would arrive.

    ``residual``: column whose loss counts as disinfection not OK, as the evaluator would have said 30 min later.
    """
    plan = frozen_plan(recording)
    live = LivePlan([WatchedPoint(KEY, 0, plan.columns, plan.floors)])
    state, found, first = LiveState(live), dict[int, EventChange](), dict[int, int]()
    at = recording.times * 1000
    edges = np.r_[0, np.flatnonzero(np.diff(at // BATCH_MS)) + 1, len(at)]
    held = _lost(recording, plan.columns.index(residual)) if residual else np.zeros(len(at), np.bool_)
    for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        now = int(at[b - 1])
        for change in fold_readings(_readings(at[a:b], recording.values[a:b]), state, live, now, held[[a]]):
            found[change.start] = change
            first.setdefault(change.start, now)
    for change in fold_readings(LiveReadings.none(), state, live, int(at[-1]) + 10 * NEAR_MS):
        found[change.start] = change
    return [Told(found[start], first.get(start, int(at[-1]))) for start in sorted(found)]


def scored_live(recording: Recording, events: Sequence[Told]) -> LiveScores:
    """What was told, against the labels."""
    episodes = [
        (int(recording.times[a]) * 1000, int(recording.times[b - 1]) * 1000) for a, b in runs(recording.is_event)
    ]
    spans = [(one.event.start, one.event.evidence_at) for one in events]
    false = sum(not any(start <= b + NEAR_MS and last >= a - NEAR_MS for a, b in episodes) for start, last in spans)
    delays = []
    for a, b in episodes:
        hits = [one for one in events if one.event.start <= b and one.event.evidence_at >= a]
        if hits:
            delays.append(max(hits[0].told_at - a, 0) / MINUTE)
    longest = max((last - start for start, last in spans), default=0)
    return LiveScores(
        len(events), len(events) / recording.weeks, false / recording.weeks, len(delays), len(episodes),
        float(np.median(delays)) if delays else float("nan"), longest / NEAR_MS,
    )  # fmt: skip


def named(recording: Recording, events: Sequence[Told]) -> Named:
    """Fill a library in the order of time and see what it names."""
    episodes = [
        (int(recording.times[a]) * 1000, int(recording.times[b - 1]) * 1000) for a, b in runs(recording.is_event)
    ]
    library: list[Pattern] = []
    is_real: list[bool] = []
    count = hits = crossed = 0
    for one in events:
        shape = _shape(recording, one.event)
        if shape is None:
            continue
        count += 1
        real = any(one.event.start <= b and one.event.evidence_at >= a for a, b in episodes)
        match = best_match(shape, library)
        if match is None:
            library.append(Pattern(len(library), "", shape))
            is_real.append(real)
        else:
            hits += 1
            crossed += is_real[match.id] != real
    return Named(count, len(library), hits, crossed)


def live_text(years: dict[int, Recording], unlabelled: Recording) -> str:
    """The part of the page."""
    rows, shapes = [], []
    for year, recording in years.items():
        for minutes in (1, 15, 20):
            slow = recording if minutes == 1 else thinned(recording, minutes)
            events = told(slow)
            one = scored_live(slow, events)
            rows.append(_row(str(year), minutes, one))
            if minutes == 1:
                known = named(slow, events)
                shapes.append(f"| {year} | {known.events} | {known.shapes} | {known.named} | {known.crossed} |")
    plain = scored_live(unlabelled, told(unlabelled))
    kept = scored_live(unlabelled, told(unlabelled, "network/free_chlorine"))
    rows.append(_row("Station B", 20, plain))
    rows.append(_row("Station B, nothing learnt while its chlorine is lost", 20, kept))
    return f"""
## Live

The same detector as the service runs it: rows wait 2 min for the rest of their readings, runs of event rows closer than 60 min are one event.
Recorded rows folded two minutes at a time; a delay runs from an episode's first row until the event was told. At 15 and 20 min a row waits here for the next one; the service judges it after 10 min of silence.

| water | a reading every | events told | events/week | false/week | episodes found | median delay, min | longest, h |
| --- | --- | --- | --- | --- | --- | --- | --- |
{chr(10).join(rows)}

Station B has no labels, so its events are counted and not called false. While disinfection is not OK the baseline stands still: the month of lost
chlorine is then one long event instead of several short ones after which the loss is taken for normal.

**Known benign events.** Suppose people saved every event whose shape was not known yet, and the library named the later ones:

| year | events with a shape | saved | named later | named across labelled and false |
| --- | --- | --- | --- | --- |
{chr(10).join(shapes)}

These years repeat a few shapes up to 23 times, so this flatters the library; and the repeated shapes are labelled events, which nobody should save as
benign. It shows that like is found again, and how seldom unlike is called like. A name changes only what is said: it never silences an event
while disinfection is not OK, nor one in which the residual fell.
"""


def _row(water: str, minutes: int, one: LiveScores) -> str:
    has_labels = one.episodes > 0
    cells = (
        f"{one.false_per_week:.2f}" if has_labels else "-", f"{one.found}/{one.episodes}" if has_labels else "-",
        f"{one.delay_min:.0f}" if has_labels else "-", f"{one.longest_h:.0f}",
    )  # fmt: skip
    return f"| {water} | {minutes} min | {one.events} | {one.per_week:.2f} | {' | '.join(cells)} |"


def _lost(recording: Recording, column: int) -> npt.NDArray[np.bool_]:
    """Rows at which the residual has been lost for 30 min."""
    value = recording.values[:, column]
    low = np.isfinite(value) & (value < LOST_MG_L)
    began = np.maximum.accumulate(np.where(low, np.int64(-1), recording.times))
    return np.asarray(low & (recording.times - began >= 1800))


def _readings(at: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> LiveReadings:
    row, column = np.nonzero(np.isfinite(values))
    return LiveReadings(np.zeros(len(row), np.int32), column.astype(np.int16), at[row], values[row, column], at[row])


def _shape(recording: Recording, event: EventChange) -> Trajectory | None:
    plan = frozen_plan(recording)
    at = recording.times * 1000
    a, b = (int(np.searchsorted(at, t)) for t in (event.start - BEFORE_MS, event.evidence_at + 1))
    columns = [name for name, _ in event.contributors]
    series = {name: (at[a:b], recording.values[a:b, plan.columns.index(name)]) for name in columns}
    floors = {name: floor.floor for name, floor in zip(plan.columns, plan.floors, strict=True)}
    return trajectory(series, floors, event.start, event.evidence_at)
