"""Readings that come after their lateness window: judged for compliance at their own time, never as if it were now.

They are judged one by one against the bound in force, without `for` times, and gathered by the hour: one late finding per
rule, series and clock hour. Its id depends on nothing else, and findings of the same id merge by their worst value
(`merge_late`), so neither order nor repetition of late uploads changes the outcome.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qingquan.domain.findings import Finding, finding_id
from qingquan.domain.parameters import Limit
from rules import kernel
from rules.layout import UnitTimer
from rules.plan import Plan

__all__ = ["late_findings", "merge_late"]

HOUR = 3_600_000


def late_findings(
    plan: Plan,
    slots: npt.NDArray[np.int32],
    observed_at: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    flags: npt.NDArray[np.uint8],
) -> list[Finding]:
    """Exceedances among late readings, one per rule, series and hour. Reasons are left empty."""
    found: dict[str, Finding] = {}
    for slot in np.unique(slots):
        works, rank = plan.layout.place_of("series", int(slot))
        first, form = int(plan.works_facts[works]["timer_first"]), plan.form_of(works)
        facts = plan.series_facts[form["series_row"] + rank]
        kind = plan.series_kinds[facts["kind"]]
        mine = slots == slot
        good = mine & (values >= kind["range_min"]) & (values <= kind["range_max"]) & (flags != 3) & (flags != 4)
        own = first + int(facts["timer_first"])
        for timer in range(own, own + int(kind["timer_count"])):
            rule = plan.timer_facts[timer]
            if rule["operation"] in (kernel.ABOVE, kernel.BELOW):
                is_above = rule["operation"] == kernel.ABOVE
                span = rule["valid_from"], rule["valid_to"]
                _gather(found, plan, timer, good, observed_at, values, is_above, rule["bound"], *span)
        units = plan.unit_facts[form["unit_row"] : form["unit_row"] + form["unit_count"]]
        for unit in units[units["residual"] == rank]:
            for row in range(int(unit["limit_first"]), int(unit["limit_first"] + unit["limit_count"])):
                limit = plan.unit_limits[row]
                span = limit["valid_from"], limit["valid_to"]
                timers = first + int(unit["timer_first"])
                source = plan.unit_limit_rows[row]
                for place, is_above, bound in (
                    (UnitTimer.LOW, False, limit["low"]),
                    (UnitTimer.HIGH, True, limit["high"]),
                ):
                    _gather(
                        found, plan, timers + place, good, observed_at, values, is_above, bound, *span, source=source
                    )
    return list(found.values())


def merge_late(held: Finding, new: Finding) -> Finding:
    """Two late findings of one id as one: the worse extreme, the newer evidence. Commutative and idempotent.

    The reason is that of ``held``: it names an extreme, so the caller has to word it anew.
    """
    if held.extreme is None or new.extreme is None or held.limit is None:
        return held
    worse = max if held.extreme > held.limit else min
    return replace(held, extreme=worse(held.extreme, new.extreme), evidence_at=max(held.evidence_at, new.evidence_at))


def _gather(
    found: dict[str, Finding], plan: Plan, timer: int, good: npt.NDArray[np.bool_], observed_at: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64], is_above: bool, bound: float, valid_from: int, valid_to: int, source: Limit | None = None,
) -> None:  # fmt: skip
    broken = good & ((values > bound) if is_above else (values < bound))
    rows = np.flatnonzero(broken & (observed_at >= valid_from) & (observed_at < valid_to))
    meaning = plan.meanings[timer]
    clause = f"{source.standard} {source.clause}" if source else meaning.clause
    limit_id = source.id if source else meaning.limit_id
    rule = f"{meaning.rule}:late"
    for row in rows:
        hour = int(observed_at[row]) // HOUR * HOUR
        one = Finding(
            id=finding_id(meaning.kind, rule, meaning.key, hour), kind=meaning.kind, severity=meaning.severity, county=meaning.key.county,
            works=meaning.key.works, point=meaning.key.point, parameter=meaning.key.parameter, start=hour, end=hour + HOUR,
            evidence_at=int(observed_at[row]), extreme=float(values[row]), limit=float(bound), clause=clause,
            rule=rule, rule_version=meaning.rule_version or plan.ruleset.version, reason="", late=True, evidence={"limit_id": limit_id},
        )  # fmt: skip
        held = found.get(one.id)
        found[one.id] = one if held is None else merge_late(held, one)
