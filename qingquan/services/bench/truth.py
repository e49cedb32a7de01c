"""`qingquan bench truth`: a simulated day of a county with every kind of fault, held against what the engine found.

The simulator knows when the water really lost its disinfectant and shares no formula with the rules. A loss counts as
found in time when MISSING was said within its `for` time and two cadences (plus one upload interval for units that buffer) of the
true loss; a MISSING that meets no loss and no stop of dosing is false.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import ReadingBatch
from qingquan.domain.works import Works
from qingquan.services.bench.truth_table import KindRow, TruthTable, table_text
from qingquan.services.folds import Fold
from qingquan.services.rulesets import load_ruleset
from qingquan.services.silence import Silence
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from rules.engine import evaluate
from rules.kernel import IDLE
from rules.plan import compile_plan
from rules.state import new_state
from simulators.county import county
from simulators.generate import Frame, frame_of, series_keys, simulation
from simulators.simulation import Simulation
from simulators.truth import TruthRow

__all__ = ["KindRow", "TruthTable", "run_truth", "table_text"]

MINUTE = 60_000
RECOVERY_MS = 60 * MINUTE
FOR_EVER = 2**62
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
class Said:
    """Everything the engine said: findings by works, and when works stood idle, by works."""

    findings: dict[str, list[Heard]]
    idle: dict[str, list[int]]
    readings: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one fault; delays [ms], ``None`` = not found."""

    row: TruthRow
    kind: str
    delay: int | None
    allowed: int

    @property
    def is_in_time(self) -> bool:
        """Whether it was found as soon as promised; only losses are promised a time."""
        return self.delay is not None and self.delay <= self.allowed


def run_truth(
    config: Config, works: int = 660, hours: float = 24.0, seed: int = 1, scenario: str = "all-faults-24h",
    progress: Callable[[float], None] | None = None,
) -> TruthTable:  # fmt: skip
    """Simulate, judge, compare. Deterministic for given works, hours, seed, scenario and ruleset."""
    register = county(works, seed)
    model = simulation(register, scenario, START_MS, seed)
    said = _judge(config, register, model, round(hours * 3600 / model.step_s), progress)
    truth = model.truth.rows
    for_ms = load_ruleset(config).disinfection.missing_floor_for_ms
    outcomes = [_outcome(row, register[row.works], said, for_ms) for row in truth]
    false = _false_missing(register, truth, said)
    struck = {register[row.works].id: _line(row, register[row.works]) for row in truth}
    kinds = sorted({one.kind for one in outcomes})
    return TruthTable(
        works=works,
        hours=hours,
        seed=seed,
        readings=said.readings,
        rows=tuple(_row(kind, outcomes, sum(struck.get(one.finding.works) == kind for one in false)) for kind in kinds),
        missed=tuple(_missed_line(one, register) for one in outcomes if _is_missed(one, for_ms)),
        false=tuple(f"{one.finding.works} {struck.get(one.finding.works, 'no fault')}: {one.finding.reason}" for one in false),
    )  # fmt: skip


def _judge(
    config: Config, register: Sequence[Works], model: Simulation, steps: int, progress: Callable[[float], None] | None
) -> Said:
    tables = load_standards()
    plan = compile_plan(register, tables.parameters, load_profiles().binding, load_ruleset(config))
    fold = Fold(0, plan, new_state(plan))
    silence = Silence(tables.parameters, config.language)
    by_key = {(one.county, one.id): one for one in register}
    slots = np.array([plan.slot_of[key] for key in series_keys(register)], np.int32)
    heard: dict[str, Heard] = {}
    idle: dict[str, list[int]] = {}
    readings = 0
    for step in range(steps):
        frame = frame_of(model, model.step())
        batch = _taken(frame, config.future_tolerance_s * 1000)
        readings += len(batch)
        now = frame.at_ms
        evaluation, fold.state = evaluate(batch, slots[batch.series], fold.state, plan, tables.parameters, now)
        for finding in [*evaluation.findings, *silence.changes(fold, now, by_key)]:
            held = heard.get(finding.id)
            heard[finding.id] = Heard(finding, now if held is None else held.said_at)
        for number in np.flatnonzero(fold.state.units[0]["state"] == IDLE).tolist():
            idle.setdefault(plan.unit_points[number].works, []).append(now)
        if progress is not None and step % 60 == 0:
            progress(step / steps)
    findings: dict[str, list[Heard]] = {}
    for one in heard.values():
        if not one.finding.withdrawn:
            findings.setdefault(one.finding.works, []).append(one)
    return Said(findings, idle, readings)


def _taken(frame: Frame, tolerance_ms: int) -> ReadingBatch:
    """The door quarantines what lies further ahead of the log's clock."""
    taken = frame.observed_at <= frame.received_at + tolerance_ms
    return ReadingBatch(
        frame.series[taken], frame.observed_at[taken], frame.value[taken], frame.flag[taken],
        np.zeros(int(taken.sum()), np.int64), frame.received_at[taken],
    )  # fmt: skip


def _outcome(row: TruthRow, works: Works, said: Said, for_ms: int) -> Outcome:
    at = _first_sign(row, said.findings.get(works.id, []), said.idle.get(works.id, []))
    since = row.lost_at if row.kind in LOSSES and row.lost_at is not None else row.injected_at
    buffered = works.upload_interval_s if works.upload_interval_s > works.cadence_s else 0
    allowed = for_ms + (2 * works.cadence_s + buffered) * 1000
    return Outcome(row, _line(row, works), None if at is None else at - since, allowed)


def _line(row: TruthRow, works: Works) -> str:
    """The table's line for a fault: a cell without a flow switch is another case than one with it."""
    if row.kind != "no_sample_flow":
        return str(row.kind)
    has_switch = any("sample_flow" in point.parameters for point in works.points)
    return "no_sample_flow, with switch" if has_switch else "no_sample_flow, no switch"


def _is_missed(outcome: Outcome, for_ms: int) -> bool:
    """A loss that lasted longer than it may take to say so; what the run's end cut short is not held against it."""
    row = outcome.row
    if row.kind not in LOSSES or row.lost_at is None or outcome.is_in_time:
        return False
    until = row.restored_at if row.restored_at is not None else row.lost_at + 2 * outcome.allowed
    return until - row.lost_at > outcome.allowed >= for_ms


def _missed_line(outcome: Outcome, register: Sequence[Works]) -> str:
    found = "not found" if outcome.delay is None else f"after {outcome.delay / MINUTE:.0f} min"
    return f"{outcome.row.fault_id} {outcome.row.kind} {register[outcome.row.works].id}: {found}"


def _first_sign(row: TruthRow, heard: Sequence[Heard], idle: Sequence[int]) -> int | None:
    until = (row.restored_at or row.ended_at or FOR_EVER) + RECOVERY_MS // 2
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


def _false_missing(register: Sequence[Works], truth: Sequence[TruthRow], said: Said) -> list[Heard]:
    """MISSING that meets neither a stop of dosing nor a true loss (an hour of recovery allowed)."""
    spans: dict[str, list[tuple[int, int]]] = {}
    for row in truth:
        if row.kind in LOSSES:
            end = max(row.ended_at or FOR_EVER, row.restored_at or row.ended_at or FOR_EVER) + RECOVERY_MS
            spans.setdefault(register[row.works].id, []).append((row.injected_at, end))
    return [
        one
        for works, heard in said.findings.items()
        for one in heard
        # The truth is that of the outlet; in the network a loss goes on until the water there is renewed.
        if one.finding.kind is FindingKind.DISINFECTION_MISSING
        and one.finding.rule == "disinfection-missing"
        and not any(
            one.finding.start <= end and (one.finding.end or FOR_EVER) >= start for start, end in spans.get(works, [])
        )
    ]


def _row(kind: str, outcomes: Sequence[Outcome], false_missing: int) -> KindRow:
    mine = [one for one in outcomes if one.kind == kind]
    delays = [one.delay / MINUTE for one in mine if one.delay is not None]
    return KindRow(
        kind=kind,
        injected=len(mine),
        lost=sum(one.row.lost_at is not None for one in mine),
        found=len(delays),
        in_time=sum(one.is_in_time for one in mine) if kind in LOSSES else None,
        median_delay_min=round(statistics.median(delays), 1) if delays else None,
        longest_delay_min=round(max(delays), 1) if delays else None,
        false_missing=false_missing,
    )
