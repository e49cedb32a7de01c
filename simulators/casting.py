"""From the plans of a scenario to faults on named works: which works, which series, when. Seeded."""

from collections.abc import Sequence

import numpy as np

from qingquan.domain.works import Works
from qingquan.errors import ConfigurationError
from simulators.faults import KINDS, Fault, FaultKind
from simulators.scenario import FaultPlan, Scenario, Selection

__all__ = ["cast_faults"]

APART_MS = 3 * 3_600_000  # two faults on one works are kept apart, so that each has its own consequences


def cast_faults(
    scenario: Scenario, works: Sequence[Works], start_ms: int, seed: int, *, round_: int = 0, first_number: int = 1
) -> tuple[list[Fault], list[str]]:
    """Faults of one round of a scenario, by start time, and notes on plans that found too few works.

    Townships without power are chosen first, then works named by id, then the rest in the order of the file. A works
    gets a second fault only long after the first one, unless the scenario names it.

    Raises
    ------
    ConfigurationError
        If a plan names a works that is not there or does not have what the fault strikes.
    """
    casting = _Casting(works, np.random.default_rng([seed, 31, round_]), start_ms)
    named = {w for plan in scenario.faults for w in plan.works}
    order = sorted(range(len(scenario.faults)), key=lambda k: (_rank(scenario.faults[k]), k))
    for k in order:
        casting.cast(k, scenario.faults[k], named)
    if casting.errors:
        raise ConfigurationError([f"scenario {scenario.name}: {error}" for error in casting.errors])
    drafts = sorted(casting.drafts, key=lambda fault: (fault.start_ms, fault.works, fault.kind))
    numbered = [
        Fault(f"F{first_number + k:05d}", d.kind, d.works, d.start_ms, d.end_ms, d.point, d.parameter, d.options)
        for k, d in enumerate(drafts)
    ]
    return numbered, casting.notes


def _rank(plan: FaultPlan) -> int:
    return 0 if plan.select is not None and plan.select.townships else 1 if plan.works else 2


class _Casting:
    def __init__(self, works: Sequence[Works], rng: np.random.Generator, start_ms: int) -> None:
        self._works = works
        self._rng = rng
        self._start_ms = start_ms
        self._by_id = {row.id: k for k, row in enumerate(works)}
        self._busy: dict[int, list[tuple[int, int]]] = {}
        self.drafts: list[Fault] = []
        self.notes: list[str] = []
        self.errors: list[str] = []

    def cast(self, number: int, plan: FaultPlan, named: set[str]) -> None:
        begin = self._start_ms + round(plan.start_min * 60_000)
        last = begin + round((plan.spread_min + plan.duration_min) * 60_000)
        chosen = self._chosen(number, plan, named, begin, last)
        for k, w in enumerate(chosen):
            # Evenly spread with a jitter of one slot: no clump, no comb.
            share = (k + float(self._rng.random())) / len(chosen)
            self._add(plan, w, begin + round(share * plan.spread_min) * 60_000)

    def _chosen(self, number: int, plan: FaultPlan, named: set[str], begin: int, last: int) -> list[int]:
        where = f"fault {number + 1} ({plan.kind})"
        if plan.select is None:
            return self._named(where, plan)
        if plan.select.townships:
            return self._townships(where, plan.select, named)
        able = [
            w
            for w, row in enumerate(self._works)
            if row.id not in named
            and _matches(row, plan.select)
            and _can_suffer(row, plan)
            and self._is_free(w, begin, last)
        ]
        if len(able) < plan.select.count:
            self.notes.append(f"{where}: {plan.select.count} works wanted, {len(able)} can be had")
        picked = self._rng.permutation(len(able))[: plan.select.count]
        return [able[int(k)] for k in picked]

    def _named(self, where: str, plan: FaultPlan) -> list[int]:
        found = []
        for name in plan.works:
            w = self._by_id.get(name)
            if w is None:
                self.errors.append(f"{where}: works = {name!r}: allowed: ids of the simulated works")
            elif not _can_suffer(self._works[w], plan):
                self.errors.append(f"{where}: works = {name!r}: allowed: works that have what the fault strikes")
            else:
                found.append(w)
        return found

    def _townships(self, where: str, select: Selection, named: set[str]) -> list[int]:
        spared = {self._works[self._by_id[name]].township for name in named if name in self._by_id}
        names = sorted({row.township for row in self._works if _matches(row, select)} - spared)
        if len(names) < select.townships:
            self.notes.append(f"{where}: {select.townships} townships wanted, {len(names)} can be had")
        picked = {names[int(k)] for k in self._rng.permutation(len(names))[: select.townships]}
        found: list[int] = []
        for name in sorted(picked):
            inside = [w for w, row in enumerate(self._works) if row.township == name and _matches(row, select)]
            found += inside[: select.count or None]
        return found

    def _is_free(self, w: int, begin: int, last: int) -> bool:
        return all(last + APART_MS <= b or e + APART_MS <= begin for b, e in self._busy.get(w, ()))

    def _add(self, plan: FaultPlan, w: int, start: int) -> None:
        end = start + round(plan.duration_min * 60_000)
        struck = KINDS[plan.kind].strikes_series
        parameter = (plan.parameter or self._works[w].disinfectant.residual or "") if struck else ""
        self._busy.setdefault(w, []).append((start, end))
        self.drafts.append(
            Fault("", plan.kind, w, start, end, plan.point if struck else "", parameter, dict(plan.options))
        )


def _matches(row: Works, select: Selection) -> bool:
    measured = {code for point in row.points for code in point.parameters}
    is_live = row.upload_interval_s <= row.cadence_s
    return (
        (not select.township or row.township == select.township)
        and (not select.disinfectant or row.disinfectant == select.disinfectant)
        and measured.issuperset(select.has)
        and measured.isdisjoint(select.lacks)
        and (not select.upload or (select.upload == "live") == is_live)
    )


def _can_suffer(row: Works, plan: FaultPlan) -> bool:
    kind = KINDS[plan.kind]
    measured = {(point.id, code) for point in row.points for code in point.parameters}
    residual = row.disinfectant.residual
    if kind.strikes_series:
        return (plan.point, plan.parameter or residual or "") in measured
    if plan.kind is FaultKind.NO_SAMPLE_FLOW:
        return ("outlet", residual) in measured
    return residual is not None or not kind.needs_residual
