"""Small works and readings for tests of the engine, and the final account of what it said."""

import tomllib
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from qingquan.domain.findings import Finding
from qingquan.domain.readings import ReadingBatch
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from rules.engine import evaluate, open_findings
from rules.plan import Plan, compile_plan
from rules.ruleset import Ruleset, parse_ruleset
from rules.state import State, new_state

__all__ = ["MINUTE", "START", "Account", "Row", "default_ruleset", "make_works", "plan_of", "ruleset_with"]

MINUTE = 60_000
START = 1_780_272_000_000  # 2026-06-01T00:00Z, well inside GB 5749-2022


class Row(NamedTuple):
    """One reading of a plan's series ``slot``."""

    slot: int
    observed_at: int
    value: float


@cache
def default_ruleset() -> Ruleset:
    """The ruleset that ships."""
    return ruleset_with("")


def ruleset_with(rules: str) -> Ruleset:
    """The ruleset that ships, with more rules (TOML) behind its own."""
    text = files("rules").joinpath("default.toml").read_text(encoding="utf-8") + rules
    return parse_ruleset(tomllib.loads(text), load_standards().parameters)


def make_works(
    name: str = "W1",
    parameters: Sequence[str] = ("free_chlorine", "turbidity", "flow", "doser_running"),
    **fields: object,
) -> Works:
    """A small works with one outlet that reads ``parameters``; ``fields`` override those of `Works`."""
    point = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", tuple(parameters))
    base: dict[str, object] = {
        "county": "520425", "id": name, "name": f"{name}水厂", "township": "猫营镇", "disinfectant": Disinfectant.FREE_CHLORINE,
        "equipment": Equipment.EQUIPPED, "capacity_m3_d": 200.0, "population": 900, "points": (point,),
    }  # fmt: skip
    return Works(**{**base, **fields})  # type: ignore[arg-type]


def plan_of(*works: Works) -> Plan:
    """A plan by the shipped ruleset and standards."""
    tables = load_standards()
    return compile_plan(works, tables.parameters, load_profiles().binding, default_ruleset())


class Account:
    """Feeds rows to the engine and keeps the newest version of everything it said, as a database would."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.state: State = new_state(plan)
        self.said: dict[str, Finding] = {}
        self.told: list[Finding] = []
        self.flags: list[int] = []
        self.counts: dict[str, int] = {}

    def feed(self, rows: Iterable[Row], now: int | None = None) -> list[Finding]:
        """Judge one batch; what it changed."""
        given = list(rows)
        slots = np.array([row.slot for row in given], np.int32)
        batch = ReadingBatch(
            slots,
            np.array([row.observed_at for row in given], np.int64),
            np.array([row.value for row in given], np.float64),
            np.full(len(given), 2, np.uint8),
            np.arange(len(given), dtype=np.int64),
            np.zeros(len(given), np.int64),
        )
        at = now if now is not None else max((row.observed_at for row in given), default=START)
        evaluation, self.state = evaluate(batch, slots, self.state, self.plan, load_standards().parameters, at)
        for finding in evaluation.findings:
            if finding.withdrawn:
                self.said.pop(finding.id, None)
            else:
                self.said[finding.id] = finding
        self.told += evaluation.findings
        self.flags += evaluation.flags.tolist()
        for name, count in evaluation.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        return evaluation.findings

    def final(self) -> dict[str, tuple[object, ...]]:
        """Everything said, open findings as of the newest reading; comparable between runs."""
        lasting = {one.id: one for one in open_findings(self.state, self.plan, load_standards().parameters, START)}
        return {
            one.id: (one.kind, one.start, one.end, one.evidence_at, one.extreme)
            for one in {**self.said, **lasting}.values()
        }
