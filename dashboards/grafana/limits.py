"""From a row of the standard to what a panel draws and says about it."""

import math
from collections.abc import Iterable
from datetime import date

from dashboards.grafana.model import Step
from qingquan.domain.parameters import Limit, LimitKind, Parameter, plain_number
from qingquan.domain.profiles import Standing
from qingquan.standards.loader import limit_for, load_standards
from qingquan.standards.profiles import load_profiles

__all__ = [
    "BAD",
    "GOOD",
    "NEUTRAL",
    "drawn_limit",
    "limit_at",
    "limit_text",
    "online_parameters",
    "residual_minima",
    "steps_of",
    "unit_text",
]

GOOD, BAD, NEUTRAL = "#3a8f5c", "#d0342c", "#7a8794"

# The edition in force without an end. A build must not depend on the day it runs: the files are kept in the
# repository, and a test compares them.
OPEN_END = date.max

UNITS = {"degC": "℃", "m3/h": "m³/h", "uS/cm": "µS/cm", "pH unit": "", "bool": ""}


def online_parameters() -> tuple[Parameter, ...]:
    """Every parameter that instruments deliver, in the order of the table."""
    return tuple(load_standards().parameters.values())


def limit_at(code: str, point_kind: str, *, small_limited: bool = False) -> Limit | None:
    """The national row that judges a parameter at a kind of point. One dashboard serves all counties."""
    return limit_for(load_standards().limits, code, point_kind, OPEN_END, small_limited=small_limited)


def drawn_limit(code: str, point_kind: str) -> Limit | None:
    """The row to draw: none where a county or province has its own, for one line would be wrong somewhere."""
    return None if _own_rows(code, point_kind) else limit_at(code, point_kind)


def _own_rows(code: str, point_kind: str) -> list[Limit]:
    tables = load_profiles()
    return [
        row
        for profile in tables.profiles.values()
        if profile.standing is Standing.BINDING and profile.region
        for row in tables.rows[profile.id]
        if row.code == code and row.point in ("any", point_kind) and row.valid_to is None
    ]


def residual_minima(parameters: Iterable[Parameter]) -> list[tuple[Parameter, Limit, float]]:
    """Residuals with a lower bound at the outlet: parameter, row and bound."""
    found = [(p, limit_at(p.code, "outlet")) for p in parameters]
    return [
        (p, row, row.min) for p, row in found if row is not None and row.group == "disinfectant" and row.min is not None
    ]


def steps_of(limit: Limit | None) -> tuple[Step, ...]:
    """Colours over the range of values: green where the row is met, red where it is not.

    Grafana colours from a step's value on, while a limit itself still complies; so the upper step stands at the
    next float above the limit.
    """
    if limit is None or limit.kind is LimitKind.ABSENT:
        return ()
    steps = [Step(None, GOOD if limit.min is None else BAD)]
    if limit.min is not None:
        steps.append(Step(limit.min, GOOD))
    if limit.max is not None:
        first_bad = limit.max if limit.kind is LimitKind.MAX_STRICT else math.nextafter(limit.max, math.inf)
        steps.append(Step(first_bad, BAD))
    return tuple(steps)


def limit_text(code: str, point_kind: str, language: str) -> str:
    """In words: bounds, unit, clause; and the relaxed row where there is one."""
    limit = limit_at(code, point_kind)
    if limit is None:
        return "GB 5749 未规定限值。" if language == "zh" else "GB 5749 sets no limit."
    text = f"{limit.standard} {limit.clause}: {_bounds(limit)} ({limit.id})"
    for row in _own_rows(code, point_kind):
        text += f"\n{row.standard} {row.clause}: {_bounds(row)} ({row.id})"
    relaxed = limit_at(code, point_kind, small_limited=True)
    if relaxed is None or relaxed.id == limit.id:
        return text
    words = (
        "小型集中式供水和分散式供水因水源与净水技术受限时"
        if language == "zh"
        else "small supply with limited source or treatment"
    )
    return f"{text}\n{words}: {_bounds(relaxed)} ({relaxed.id})"


def unit_text(unit: str) -> str:
    """The canonical unit as people write it, empty where there is none."""
    return UNITS.get(unit, unit)


def _bounds(limit: Limit) -> str:
    unit = f" {unit_text(limit.unit)}".rstrip()
    if limit.min is not None and limit.max is not None:
        return f"{plain_number(limit.min)}–{plain_number(limit.max)}{unit}"
    if limit.min is not None:
        return f"≥ {plain_number(limit.min)}{unit}"
    return f"{'<' if limit.kind is LimitKind.MAX_STRICT else '≤'} {plain_number(limit.max)}{unit}"
