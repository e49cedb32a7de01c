"""`qingquan bench truth`: a simulated day of a county with every kind of fault, held against what the engine found.

The simulator knows when the water really lost its disinfectant and shares no formula with the rules. A loss counts as
found when MISSING was said within its `for` time and two cadences (plus one upload interval for units that buffer) of the
true loss; a MISSING that meets no loss and no stop of dosing is false.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import ReadingBatch
from qingquan.domain.works import Works
from qingquan.services.folds import Fold
from qingquan.services.rulesets import load_ruleset
from qingquan.services.silence import Silence
from qingquan.standards.loader import load_standards
from rules.engine import evaluate
from rules.kernel import IDLE
from rules.plan import compile_plan
from rules.state import new_state
from simulators.county import county
from simulators.generate import frame_of, series_keys, simulation
from simulators.truth import TruthRow

__all__ = ["KindRow", "TruthTable", "run_truth"]

MINUTE = 60_000
# 2026-06-01 00:00 in Beijing: inside GB 5749-2022, warm water.
START_MS = 1_780_243_200_000

# What the engine must say of each kind of fault for it to count as found.
SIGNS: dict[str, tuple[FindingKind, ...]] = {
    "dosing_stop": (FindingKind.DISINFECTION_MISSING,),
    "tank_empty": (FindingKind.DISINFECTION_MISSING,),
    "natural": (FindingKind.DISINFECTION_MISSING,),
    "sensor_flatline": (FindingKind.FLAT_LINE,),
    "sensor_offset": (FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_HIGH, FindingKind.DISINFECTION_MISSING),
    "no_sample_flow": (FindingKind.DISINFECTION_UNKNOWN,),
    "turbidity_breakthrough": (FindingKind.EXCEEDANCE,),
    "power_cut": (FindingKind.STALE,),  # or its state is IDLE: an idle works is no finding
    "link_loss": (FindingKind.STALE,),
    "wrong_clock": (FindingKind.STALE,),
}
LOSSES = ("dosing_stop", "tank_empty", "natural")


@dataclass(frozen=True, slots=True)
class Heard:
    """A finding and when it was first said [ms of simulated time]."""

    finding: Finding
    said_at: int


@dataclass(frozen=True, slots=True)
class KindRow:
    """One line of the table. Delays [min] run from the true loss for losses, from the fault for the rest."""

    kind: str
    injected: int
    lost: int
    found: int
    in_time: int
    median_delay_min: float | None
    false_missing: int


@dataclass(frozen=True, slots=True)
class TruthTable:
    """All kinds, and the MISSING findings on works without any fault."""

    rows: tuple[KindRow, ...]
    false_missing: int
    missed: tuple[str, ...]
    false: tuple[str, ...]
    readings: int


def run_truth(
    config: Config, works: int = 660, hours: float = 24.0, seed: int = 1, scenario: str = "all-faults-24h",
    progress: Callable[[float], None] | None = None,
) -> TruthTable:  # fmt: skip
    """Simulate, judge, compare."""
    register = county(works, seed)
    model = simulation(register, scenario, START_MS, seed)
    heard, idle, readings = _judge(config, register, model, hours, progress)
    return _table(config, register, model.truth.rows, heard, idle, readings)


def _judge(
    config: Config, register: Sequence[Works], model: object, hours: float, progress: Callable[[float], None] | None
) -> tuple[list[Heard], dict[str, list[int]], int]:
    tables = load_standards()
    plan = compile_plan(register, tables.parameters, tables.limits, load_ruleset(config))
    fold = Fold(0, plan, new_state(plan))
    silence = Silence(tables.parameters, config.language)
    by_key = {(one.county, one.id): one for one in register}
    slots = np.array([plan.slot_of[key] for key in series_keys(register)], np.int32)
    heard: dict[str, Heard] = {}
    idle: dict[str, list[int]] = {}
    readings = 0
    steps = round(hours * 3600 / model.step_s)  # type: ignore[attr-defined]
    for step in range(steps):
        frame = frame_of(model, model.step())  # type: ignore[arg-type, attr-defined]
        # The door quarantines what lies further ahead of the log's clock.
        taken = frame.observed_at <= frame.received_at + config.future_tolerance_s * 1000
        readings += int(taken.sum())
        batch = ReadingBatch(
            frame.series[taken], frame.observed_at[taken], frame.value[taken], frame.flag[taken],
            np.zeros(int(taken.sum()), np.int64), frame.received_at[taken],
        )  # fmt: skip
        now = frame.at_ms
        evaluation, fold.state = evaluate(batch, slots[batch.series], fold.state, plan, tables.parameters, now)
        for finding in [*evaluation.findings, *silence.changes(fold, now, by_key)]:
            held = heard.get(finding.id)
            heard[finding.id] = Heard(finding, now if held is None else held.said_at)
        for number in np.flatnonzero(fold.state.units[0]["state"] == IDLE).tolist():
            works_id = plan.unit_points[number].works
            idle.setdefault(works_id, []).append(now)
        if progress is not None and step % 60 == 0:
            progress(step / steps)
    return [one for one in heard.values() if not one.finding.withdrawn], idle, readings


def _table(
    config: Config,
    register: Sequence[Works],
    rows: Iterable[TruthRow],
    heard: Sequence[Heard],
    idle: dict[str, list[int]],
    readings: int,
) -> TruthTable:
    truth = list(rows)
    by_works: dict[str, list[Heard]] = {}
    for one in heard:
        by_works.setdefault(one.finding.works, []).append(one)
    for_ms = load_ruleset(config).disinfection.missing_floor_for_ms
    kinds: dict[str, list[tuple[TruthRow, int | None, bool]]] = {}
    missed = []
    for row in truth:
        works = register[row.works]
        said = _first_sign(row, by_works.get(works.id, []), idle.get(works.id, []))
        since = row.lost_at if row.kind in LOSSES and row.lost_at is not None else row.injected_at
        buffered = works.upload_interval_s if works.upload_interval_s > works.cadence_s else 0
        allowed = for_ms + (2 * works.cadence_s + buffered) * 1000
        in_time = said is not None and said - since <= allowed
        kinds.setdefault(_line(row, works), []).append((row, None if said is None else said - since, in_time))
        if row.kind in LOSSES and _must_be_found(row, for_ms, allowed) and not in_time:
            missed.append(
                f"{row.fault_id} {row.kind} {works.id}: {'not found' if said is None else f'after {(said - since) / MINUTE:.0f} min'}"
            )
    false = _false_missing(register, truth, heard)
    struck = {register[row.works].id: _line(row, register[row.works]) for row in truth}
    return TruthTable(
        rows=tuple(_row(kind, entries, sum(struck.get(one.finding.works) == kind for one in false)) for kind, entries in sorted(kinds.items())),
        false_missing=len(false),
        missed=tuple(missed),
        false=tuple(f"{one.finding.works} {struck.get(one.finding.works, 'no fault')}: {one.finding.reason}" for one in false),
        readings=readings,
    )  # fmt: skip


def _line(row: TruthRow, works: Works) -> str:
    """The table's line for a fault: a cell without a flow switch is another case than one with it."""
    if row.kind != "no_sample_flow":
        return str(row.kind)
    has_switch = any("sample_flow" in point.parameters for point in works.points)
    return "no_sample_flow, with switch" if has_switch else "no_sample_flow, no switch"


def _must_be_found(row: TruthRow, for_ms: int, allowed: int) -> bool:
    """A loss that lasted longer than it may take to say so; what the run's end cut short is not held against it."""
    if row.lost_at is None:
        return False
    until = row.restored_at if row.restored_at is not None else row.lost_at + 2 * allowed
    return until - row.lost_at > allowed >= for_ms


def _first_sign(row: TruthRow, heard: Sequence[Heard], idle: Sequence[int]) -> int | None:
    until = (row.restored_at or row.ended_at or 2**62) + 30 * MINUTE
    series = row.kind == "sensor_flatline"
    signs = [
        one.said_at
        for one in heard
        if one.finding.kind in SIGNS[row.kind]
        and one.finding.start < until
        and (one.finding.end is None or one.finding.end > row.injected_at)
        and one.said_at >= row.injected_at
        and (not series or (one.finding.point, one.finding.parameter) == (row.point, row.parameter))
        and (row.kind != "turbidity_breakthrough" or one.finding.parameter == "turbidity")
    ]
    if row.kind == "power_cut":
        signs += [at for at in idle if row.injected_at <= at < until][:1]
    return min(signs, default=None)


def _false_missing(register: Sequence[Works], truth: Sequence[TruthRow], heard: Sequence[Heard]) -> list[Heard]:
    """MISSING that meets neither a stop of dosing nor a true loss (an hour of recovery allowed)."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for row in truth:
        if row.kind in LOSSES:
            end = max(row.ended_at or 2**62, row.restored_at or row.ended_at or 2**62) + 60 * MINUTE
            spans.setdefault(register[row.works].id, []).append((row.injected_at, end))
    return [
        one
        for one in heard
        if one.finding.kind is FindingKind.DISINFECTION_MISSING
        and not any(
            one.finding.start <= end and (one.finding.end or 2**62) >= start
            for start, end in spans.get(one.finding.works, [])
        )
    ]


def _row(kind: str, entries: Sequence[tuple[TruthRow, int | None, bool]], false_missing: int) -> KindRow:
    delays = [delay / MINUTE for _, delay, _ in entries if delay is not None]
    return KindRow(
        kind=kind,
        injected=len(entries),
        lost=sum(row.lost_at is not None for row, _, _ in entries),
        found=len(delays),
        in_time=sum(in_time for _, _, in_time in entries),
        median_delay_min=round(statistics.median(delays), 1) if delays else None,
        false_missing=false_missing,
    )
