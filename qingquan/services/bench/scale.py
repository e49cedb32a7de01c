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
from rules.forms import Layout
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
# Readings that each size judges before the next has its turn: short, as a machine that others share changes speed from second to second.
AT_LEAST = 292_000
# Minutes of all works that are judged at once when a year is read back.
READ_BACK = 60


def repeated(plan: Plan, times: int) -> Plan:
    """A plan of ``times`` as many works, all like those of ``plan`` and of their forms."""
    if times == 1:
        return plan
    layout = Layout(plan.layout.works * times, np.tile(plan.layout.form_of, times), plan.layout.forms)
    facts = np.tile(plan.works_facts, times)
    for name in ("series", "timer", "unit", "leaf", "ring"):
        facts[f"{name}_first"] = layout.firsts(name)
    return replace(
        plan, works=plan.works * times, layout=layout, works_facts=facts, expected=np.tile(plan.expected, times),
        meanings=Meanings(layout, plan.meanings.distinct, plan.meanings.number, plan.works_forms["timer_row"].copy()),
    )  # fmt: skip


def _batch(slots: npt.NDArray[np.int32], at: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> ReadingBatch:
    count = len(slots)
    return ReadingBatch(slots, at, values, np.full(count, 2, np.uint8), np.zeros(count, np.int64), at)


class _Size:
    """A register of so many works, judged round by round."""

    def __init__(self, works: int, config: Config) -> None:
        base = min(works, COMPILED)
        self._load, plan, self._times = Load(base, START_MS), plan_of(base, config), works // base
        self._plan = repeated(plan, self._times)
        self._order = np.random.default_rng([1, works]).permutation(base * self._times)
        # Back into the order of the register, then all turns, then the order in which devices report.
        by_register = np.empty((base, len(PARAMETERS)), np.int32)
        by_register[self._load.order] = self._load.slots(plan).reshape(base, -1)
        turns = np.arange(self._times, dtype=np.int32)[:, None, None] * np.int32(len(plan.series))
        slots = (by_register[None] + turns).reshape(-1, len(PARAMETERS))[self._order]
        self._slots = np.ascontiguousarray(slots).reshape(-1)
        self._state, self._parameters = new_state(self._plan), load_standards().parameters
        self._next = 0
        self.works = base * self._times
        # Small registers take more rounds at a time: all sizes are timed for about as long.
        self.rounds = max(1, round(AT_LEAST / len(self._slots)))
        self.findings, self.readings = 0, 0

    def seconds(self, rounds: int) -> float:
        """Judge so many rounds; seconds a reading."""
        spent = 0.0
        self.findings, self.readings = 0, rounds * len(self._slots)
        for number in range(self._next, self._next + rounds):
            values = np.tile(self._load.values(number), (self._times, 1))[self._order].reshape(-1)
            at = self._load.at(number)
            batch = _batch(self._slots, np.full(len(self._slots), at, np.int64), values)
            began = time.perf_counter()
            evaluation, self._state = evaluate(batch, self._slots, self._state, self._plan, self._parameters, at)
            spent += time.perf_counter() - began
            self.findings += len(evaluation.findings)
        self._next += rounds
        return spent / self.readings


def run_scale(
    config: Config, sizes: Sequence[int] = SCALES, *, repeats: int = 5, say: Callable[[str], None] = lambda _: None
) -> dict[str, object]:
    """Cost of a reading by the number of works, as devices report; sizes take turns, so that what disturbs a machine for a while
    disturbs all of them.

    Keys: `scale` (rows), `ratio` (last to first: middle one of the turns), `ratios` (of each turn).
    """
    made = []
    for works in sizes:
        say(f"规则循环 rule loop, {works} works")
        made.append(_Size(works, config))
        made[-1].seconds(WARM_ROUNDS)
    costs = np.empty((repeats, len(made)))
    findings, readings = np.zeros(len(made)), np.zeros(len(made))
    for turn in range(repeats):
        say(f"第 {turn + 1}/{repeats} 轮 turn {turn + 1} of {repeats}")
        costs[turn] = 0.0
        for _ in range(ROUNDS):
            for n, size in enumerate(made):
                costs[turn, n] += size.seconds(size.rounds) / ROUNDS
                findings[n] += size.findings
                readings[n] += size.readings
    rows = [
        {
            "works": size.works, "ns_per_reading": round(middle * 1e9, 1), "readings_per_s": round(1 / middle),
            "ns_best": round(best * 1e9, 1), "ns_worst": round(worst * 1e9, 1),
            # To see whether sizes had the same share of them: a finding costs as much as a thousand readings.
            "findings_per_million": round(said / judged * 1e6, 1),
        }
        for size, middle, best, worst, said, judged in zip(
            made, np.median(costs, axis=0).tolist(), costs.min(axis=0).tolist(), costs.max(axis=0).tolist(),
            findings.tolist(), readings.tolist(), strict=True,
        )
    ]  # fmt: skip
    ratios = [round(one, 2) for one in (costs[:, -1] / costs[:, 0]).tolist()]
    return {
        "scale": rows, "readings_per_s": rows[0]["readings_per_s"], "ratio": round(statistics.median(ratios), 2), "ratios": ratios,
    }  # fmt: skip


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
