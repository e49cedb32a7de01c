"""The tables of this folder, read once and refused whole if a row is wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache

from qingquan.domain.parameters import Limit, Parameter, ParameterKind, applicable_limits
from qingquan.errors import ConfigurationError
from qingquan.standards.limit_checks import duplicate_faults, limit_faults
from qingquan.standards.limit_rows import LIMIT_COLUMNS, limit_of
from qingquan.standards.tables import Placed, needed, number_of, packaged_table, table_rows

__all__ = [
    "LIMIT_TABLES",
    "STANDARDS_TABLES",
    "StandardsTables",
    "Unit",
    "limit_for",
    "load_standards",
    "standards_from",
    "unit_conversion",
]

LIMIT_TABLES = ("limits_gb5749_2022.csv", "limits_gb5749_2006.csv")
STANDARDS_TABLES = ("parameters.csv", "units.csv", "quantities.csv", *LIMIT_TABLES)
"""Names of the tables that `standards_from` reads."""

_PARAMETER_COLUMNS = (
    "code", "kind", "unit", "name_zh", "name_en", "short_zh", "decimals", "range_min", "range_max", "raw_range_max",
    "precision_floor", "flat_tolerance", "flat_suspect_h", "flat_fail_h", "source",
)  # fmt: skip
_UNIT_COLUMNS = ("alias", "unit", "factor", "offset")
_QUANTITY_COLUMNS = ("unit", "quantity")


@dataclass(frozen=True, slots=True)
class Unit:
    """Conversion of a unit as written by people or devices: ``canonical = value * factor + offset``."""

    alias: str
    unit: str
    factor: float
    offset: float


@dataclass(frozen=True, slots=True)
class StandardsTables:
    """Everything that binds: parameters and units by name, limits in file order, and the units limits are written in.

    Rows that only inform (Annex A, other authorities) are not here; see `qingquan.standards.profiles`.
    """

    parameters: dict[str, Parameter]
    limits: tuple[Limit, ...]
    units: dict[str, Unit]
    quantities: dict[str, str]


@cache
def load_standards() -> StandardsTables:
    """The tables that ship with the product.

    Raises
    ------
    ConfigurationError
        One line per wrong row: file, line, what is wrong.
    """
    return standards_from({name: packaged_table(name) for name in STANDARDS_TABLES})


def standards_from(texts: Mapping[str, str]) -> StandardsTables:
    """The same of tables given as CSV text, by the names of `STANDARDS_TABLES`; raises as above, all faults at once."""
    faults = [f"{name}: the table is missing" for name in STANDARDS_TABLES if name not in texts]
    if faults:
        raise ConfigurationError(faults)
    parameters = table_rows("parameters.csv", texts["parameters.csv"], _PARAMETER_COLUMNS, _parameter, faults)
    units = table_rows("units.csv", texts["units.csv"], _UNIT_COLUMNS, _unit, faults)
    quantities = table_rows("quantities.csv", texts["quantities.csv"], _QUANTITY_COLUMNS, _quantity, faults)
    limits = [row for name in LIMIT_TABLES for row in table_rows(name, texts[name], LIMIT_COLUMNS, limit_of, faults)]
    by_code = {one.row.code: one.row for one in parameters}
    faults += duplicate_faults("parameter", ((one.place, one.row.code) for one in parameters))
    faults += duplicate_faults("unit", ((one.place, one.row.alias) for one in units))
    faults += _unknown_units(units, by_code)
    known = dict(one.row for one in quantities)
    faults += limit_faults(limits, {code: one.unit for code, one in by_code.items()}, known)
    if faults:
        raise ConfigurationError(faults)
    return StandardsTables(by_code, tuple(one.row for one in limits), {one.row.alias: one.row for one in units}, known)


def limit_for(
    limits: Iterable[Limit], code: str, point_kind: str, on: date, *, small_limited: bool, standard: str = "GB 5749"
) -> Limit | None:
    """The row of the standard that judges a parameter at a kind of point on a day; ``None`` if no row does.

    Choice among rows: `applicable_limits`.
    """
    rows = applicable_limits(limits, code, point_kind, small_limited=small_limited, standard=standard)
    return next((limit for limit in rows if limit.is_in_force(on)), None)


def unit_conversion(units: dict[str, Unit], alias: str, parameter: Parameter) -> Unit | None:
    """How to bring a unit as written to the parameter's canonical one; ``None`` if it cannot be."""
    unit = units.get(alias.strip())
    return unit if unit is not None and unit.unit == parameter.unit else None


def _parameter(row: dict[str, str]) -> Parameter:
    needed(row, *(column for column in _PARAMETER_COLUMNS if column != "raw_range_max"))
    low, high = _given(row, "range_min"), _given(row, "range_max")
    if not low < high:
        raise ValueError(f"range_min {low:g} is not below range_max {high:g}")
    raw_high = number_of(row, "raw_range_max")
    if raw_high is not None and raw_high < high:
        raise ValueError(f"raw_range_max {raw_high:g} is below range_max {high:g}")
    suspect, fail = _not_negative(row, "flat_suspect_h"), _not_negative(row, "flat_fail_h")
    if 0 < fail < suspect:
        raise ValueError(f"flat_fail_h {fail:g} is below flat_suspect_h {suspect:g}")
    return Parameter(
        code=row["code"], kind=ParameterKind(row["kind"]), unit=row["unit"], name_zh=row["name_zh"], name_en=row["name_en"],
        short_zh=row["short_zh"], decimals=int(row["decimals"]), range_min=low, range_max=high,
        raw_range_max=high if raw_high is None else raw_high, precision_floor=_not_negative(row, "precision_floor"),
        flat_tolerance=_not_negative(row, "flat_tolerance"), flat_suspect_h=suspect, flat_fail_h=fail, source=row["source"],
    )  # fmt: skip


def _unit(row: dict[str, str]) -> Unit:
    needed(row, *_UNIT_COLUMNS)
    factor = _given(row, "factor")
    if not factor > 0:
        raise ValueError(f"factor {factor:g} is not above 0")
    return Unit(row["alias"], row["unit"], factor, _given(row, "offset"))


def _quantity(row: dict[str, str]) -> tuple[str, str]:
    needed(row, *_QUANTITY_COLUMNS)
    return row["unit"], row["quantity"]


def _given(row: dict[str, str], column: str) -> float:
    number = number_of(row, column)
    if number is None:
        raise ValueError(f"must be given: {column}")
    return number


def _not_negative(row: dict[str, str], column: str) -> float:
    number = _given(row, column)
    if number < 0:
        raise ValueError(f"{column} {number:g} is below 0")
    return number


def _unknown_units(units: Iterable[Placed[Unit]], parameters: Mapping[str, Parameter]) -> list[str]:
    known = {one.unit for one in parameters.values()}
    return [f"{one.place}: no parameter has the unit {one.row.unit!r}" for one in units if one.row.unit not in known]
