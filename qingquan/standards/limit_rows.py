"""A line of a table of limits, and what may stand in it."""

from collections.abc import Callable
from datetime import date

from qingquan.domain.parameters import Limit, LimitKind, SupplyClass
from qingquan.standards.tables import cell_in, day_of, needed, number_of

__all__ = ["BASES", "CONDITIONS", "CONFIDENCES", "LIMIT_COLUMNS", "REFERENCE_COLUMNS", "limit_of", "reference_of"]

LIMIT_COLUMNS = (
    "id", "standard", "code", "name_zh", "name_en", "group", "point", "supply", "condition", "limit_kind", "min", "max",
    "unit", "basis", "clause", "valid_from", "valid_to", "confidence", "source", "note_zh",
)  # fmt: skip
REFERENCE_COLUMNS = (*LIMIT_COLUMNS, "as")

CONFIDENCES = frozenset({"high", "medium", "low"})
"""How sure the number is, as the documentation of the standards explains it."""

CONDITIONS = frozenset(
    {"", "source_limited", "groundwater_limited", "raw_permanganate_above_6", "turbidity_second_step", "slow_sand"}
)
"""Facts about a works on which a row may depend."""

BASES = frozenset(
    {
        "instant", "hour", "4h", "day", "month", "month_share_95", "share_95", "every_sample", "confirmed_sample",
        "short_term", "three_sample_mean", "running_annual_mean",
    }
)  # fmt: skip
"""What a value must be taken over before it is held against the bound."""

GROUPS = frozenset({"microbial", "toxicological", "sensory", "radioactive", "disinfectant"})
ASPECTS = frozenset({"health_guideline", "operational", "aesthetic", "indicator", "limit", "treatment_technique"})
POINTS = frozenset({"any", "outlet", "network", "network_end"})
REFERENCE_POINTS = POINTS | {"treatment"}

NITROGEN = 14.0067
ION_MASS = {"": NITROGEN, "N": NITROGEN, "NO3": 62.0049, "NO2": 46.0055, "NH4": 18.0385, "NH3": 17.0305}
"""g/mol (IUPAC atomic weights). GB 5749 reports as nitrogen; WHO and the Union as the ion."""

_BOUNDS = {
    LimitKind.MAX: (False, True),
    LimitKind.MAX_STRICT: (False, True),
    LimitKind.MIN: (True, False),
    LimitKind.RANGE: (True, True),
    LimitKind.ABSENT: (False, False),
}


def limit_of(row: dict[str, str]) -> Limit:
    """A row that binds. Dates, source, clause, and one bound that fits its kind must be given."""
    needed(row, "id", "standard", "code", "name_zh", "name_en", "unit", "clause", "valid_from", "source")
    return _limit(row, GROUPS, POINTS)


def reference_of(row: dict[str, str]) -> Limit:
    """A row that only informs: Annex A, another authority.

    ``group`` is what the value is for; without ``valid_from`` the row is taken as in force on any day. Nitrogen written
    as an ion (column ``as``) becomes nitrogen.
    """
    needed(row, "id", "standard", "code", "name_zh", "name_en", "unit", "clause", "source")
    mass = ION_MASS.get(row["as"])
    if mass is None:
        raise ValueError(f"as {row['as']!r}: allowed: {', '.join(sorted(filter(None, ION_MASS)))}")
    return _limit(row, GROUPS | ASPECTS, REFERENCE_POINTS, NITROGEN / mass)


def _limit(row: dict[str, str], groups: frozenset[str], points: frozenset[str], factor: float = 1.0) -> Limit:
    valid_from, valid_to = day_of(row, "valid_from"), day_of(row, "valid_to")
    if valid_from and valid_to and valid_to < valid_from:
        raise ValueError(f"valid_to {valid_to} is before valid_from {valid_from}")
    kind = LimitKind(cell_in(row, "limit_kind", [*LimitKind]))
    low, high = _bounds(row, kind, factor)
    return Limit(
        id=row["id"], standard=row["standard"], code=row["code"], name_zh=row["name_zh"], name_en=row["name_en"],
        group=cell_in(row, "group", groups), point=cell_in(row, "point", points),
        supply=SupplyClass(cell_in(row, "supply", [*SupplyClass])), condition=cell_in(row, "condition", CONDITIONS),
        kind=kind, min=low, max=high, unit=row["unit"], basis=cell_in(row, "basis", BASES), clause=row["clause"],
        valid_from=valid_from or date.min, valid_to=valid_to, confidence=cell_in(row, "confidence", CONFIDENCES),
        source=row["source"], note_zh=row["note_zh"],
    )  # fmt: skip


def _bounds(row: dict[str, str], kind: LimitKind, factor: float) -> tuple[float | None, float | None]:
    low, high = number_of(row, "min"), number_of(row, "max")
    if (low is not None, high is not None) != _BOUNDS[kind]:
        raise ValueError(f"limit_kind {kind} does not fit min={row['min']!r} max={row['max']!r}")
    if any(bound is not None and bound < 0 for bound in (low, high)):
        raise ValueError(f"a bound is below 0: min={row['min']!r} max={row['max']!r}")
    if low is not None and high is not None and not low < high:
        raise ValueError(f"min {low:g} is not below max {high:g}")
    convert: Callable[[float | None], float | None] = lambda bound: None if bound is None else bound * factor  # noqa: E731
    return convert(low), convert(high)
