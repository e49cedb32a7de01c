"""`qingquan bench scale` and `bench replay`: the compiled loop from a county to a country, and a county's year judged again.

Works do not know of each other, so a large plan is a small one repeated: its arrays are those of a register of that size, while
names are shared. That leaves out what a register of a million works costs to read; the loop walks the same memory.
"""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qingquan.config import Config
from qingquan.domain.readings import ReadingBatch
from qingquan.services.bench.evaluate import START_MS, plan_of
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.standards.loader import load_standards
from rules.engine import evaluate
from rules.layout import NO_SLOT
from rules.meanings import Meanings
from rules.plan import Plan
from rules.state import new_state

__all__ = ["SCALES", "repeated", "run_replay", "run_scale"]

SCALES = (660, 5_840, 58_400, 584_000)
# The largest plan that is compiled rather than repeated.
COMPILED = 5_840
MINUTES_OF_A_YEAR = 365 * 1440
# Two checkpoints are behind the loop before it is timed; each repeat crosses one.
WARM_ROUNDS, ROUNDS = 21, 10
# Minutes of all works that are judged at once when a year is read back.
READ_BACK = 60


def _moved(rows: npt.NDArray[np.void], times: int, steps: dict[str, int]) -> npt.NDArray[np.void]:
    """``rows`` so many times; fields in ``steps`` grow by so much each time where they name something."""
    wide = np.tile(rows, times)
    turn = np.repeat(np.arange(times), len(rows))
    for name, step in steps.items():
        column = wide[name]
        wide[name] = np.where(column == NO_SLOT, NO_SLOT, column + turn * step)
    return wide


def repeated(plan: Plan, times: int) -> Plan:
    """A plan of ``times`` as many works, all like those of ``plan``.

    Raises
    ------
    ValueError
        If the plan has compound rules: their rows are not repeated.
    """
    if times == 1:
        return plan
    if len(plan.compounds.compounds):
        raise ValueError("a plan with compound rules cannot be repeated")
    works, series, timers, units = len(plan.works), len(plan.series), len(plan.meanings), len(plan.unit_facts)
    slots = ("residual", "flow", "doser", "stock", "sample_flow", "turbidity", "ph", "temperature")
    turns = np.repeat(np.arange(times, dtype=np.int32), timers)
    meanings = plan.meanings
    return replace(
        plan,
        works=plan.works * times,
        series=plan.series * times,
        meanings=Meanings(
            meanings.distinct, np.tile(meanings.meaning, times), np.tile(meanings.series, times) + turns * series,
            plan.series * times,
        ),
        unit_points=plan.unit_points * times,
        series_facts=_moved(
            plan.series_facts, times,
            {"works": works, "timer_first": timers, "flow_slot": series, "maintenance_slot": series},
        ),
        timer_kind=np.tile(plan.timer_kind, times),
        unit_facts=_moved(
            plan.unit_facts, times,
            {"works": works, "timer_first": timers, "partner": units} | {f"{name}_slot": series for name in slots},
        ),
        works_facts=_moved(
            plan.works_facts, times,
            {"series_first": series, "timer_first": timers, "unit_first": units, "ring_first": plan.ring_size},
        ),
        ring_size=plan.ring_size * times,
        expected=np.tile(plan.expected, times),
    )  # fmt: skip


def _batch(slots: npt.NDArray[np.int32], at: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> ReadingBatch:
    count = len(slots)
    return ReadingBatch(slots, at, values, np.full(count, 2, np.uint8), np.zeros(count, np.int64), at)


def _scale(works: int, repeats: int, plan: Plan, load: Load) -> dict[str, object]:
    times = works // len(load)
    wide = repeated(plan, times)
    order = np.random.default_rng([1, works]).permutation(len(load) * times)
    # Back into the order of the register, then all turns, then the order in which devices report.
    by_register = np.empty((len(load), len(PARAMETERS)), np.int32)
    by_register[load.order] = load.slots(plan).reshape(len(load), -1)
    turns = np.arange(times, dtype=np.int32)[:, None, None] * np.int32(len(plan.series))
    slots = np.ascontiguousarray((by_register[None] + turns).reshape(-1, len(PARAMETERS))[order]).reshape(-1)
    state, parameters = new_state(wide), load_standards().parameters
    seconds: list[float] = []
    for number in range(WARM_ROUNDS + repeats * ROUNDS):
        values = np.tile(load.values(number), (times, 1))[order].reshape(-1)
        batch = _batch(slots, np.full(len(slots), load.at(number), np.int64), values)
        began = time.perf_counter()
        _, state = evaluate(batch, slots, state, wide, parameters, load.at(number))
        seconds.append(time.perf_counter() - began)
    timed = seconds[WARM_ROUNDS:]
    each = [sum(timed[n * ROUNDS : (n + 1) * ROUNDS]) / ROUNDS / len(slots) for n in range(repeats)]
    middle = statistics.median(each)
    return {
        "works": len(load) * times, "ns_per_reading": round(middle * 1e9, 1), "readings_per_s": round(1 / middle),
        "ns_best": round(min(each) * 1e9, 1), "ns_worst": round(max(each) * 1e9, 1),
    }  # fmt: skip


def run_scale(
    config: Config, sizes: Sequence[int] = SCALES, *, repeats: int = 5, say: Callable[[str], None] = lambda _: None
) -> dict[str, object]:
    """Cost of a reading by the number of works, as devices report. Keys: `scale` (rows), `ratio` (last to first)."""
    rows = []
    for works in sizes:
        say(f"规则循环 rule loop, {works} works")
        base = min(works, COMPILED)
        rows.append(_scale(works, repeats, plan_of(base, config), Load(base, START_MS)))
    costs = [float(str(row["ns_per_reading"])) for row in rows]
    return {"scale": rows, "readings_per_s": rows[0]["readings_per_s"], "ratio": round(costs[-1] / costs[0], 2)}


def _replay_part(job: tuple[Config, int, int, int, int]) -> tuple[int, float, int, float]:
    """One process: its share of the works, so many minutes; readings, seconds of judging, findings, memory [MB]."""
    config, works, part, parts, minutes = job
    load = Load(works, START_MS)
    mine = range(part, works, parts)
    plan, parameters = plan_of(works, config), load_standards().parameters
    by_register = np.empty((works, len(PARAMETERS)), np.int32)
    by_register[load.order] = load.slots(plan).reshape(works, -1)
    slots = np.tile(by_register[list(mine)].reshape(-1), READ_BACK)
    state = new_state(plan)
    spent, readings, findings = 0.0, 0, 0
    for first in range(0, minutes, READ_BACK):
        values = np.concatenate([load.values(first + minute)[list(mine)].reshape(-1) for minute in range(READ_BACK)])
        at = np.repeat(START_MS + (first + np.arange(READ_BACK, dtype=np.int64)) * STEP_MS, len(mine) * len(PARAMETERS))
        batch = _batch(slots, at, values)
        began = time.perf_counter()
        evaluation, state = evaluate(batch, slots, state, plan, parameters, int(at[-1]))
        spent += time.perf_counter() - began
        readings += len(slots)
        findings += len(evaluation.findings)
    return readings, spent, findings, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_replay(
    config: Config, works: int = 660, days: int = 30, processes: int = 2, say: Callable[[str], None] = lambda _: None
) -> dict[str, object]:
    """So many days of a county, a reading a minute and series, judged again by ``processes`` processes, works shared out.

    Keys: `seconds` (wall clock, start of the processes, generating of the columns and judging), `judging_s` (longest of the
    processes), `year_s` and `year_judging_s` (the same, carried on to a year), `rss_mb` of all processes.
    """
    say(f"{works} works, {days} days, {processes} processes")
    minutes = days * 1440
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        parts = pool.map(_replay_part, [(config, works, part, processes, minutes) for part in range(processes)])
    wall, share = time.perf_counter() - began, MINUTES_OF_A_YEAR / minutes
    readings, judging = sum(part[0] for part in parts), max(part[1] for part in parts)
    return {
        "works": works, "days": days, "processes": processes, "readings": readings, "seconds": round(wall, 1),
        "judging_s": round(judging, 1), "findings": sum(part[2] for part in parts),
        "readings_per_s": round(readings / wall), "year_readings": round(readings * share),
        "year_s": round(wall * share), "year_judging_s": round(judging * share), "rss_mb": round(sum(part[3] for part in parts)),
    }  # fmt: skip
