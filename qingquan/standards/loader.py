"""Reads the tables of this folder, once, and refuses them whole if a row is wrong."""

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import TypeVar

from qingquan.domain.parameters import Limit, LimitKind, Parameter, ParameterKind, SupplyClass, applicable_limits
from qingquan.errors import ConfigurationError

__all__ = ["LIMIT_TABLES", "StandardsTables", "Unit", "limit_for", "load_standards", "unit_conversion"]

T = TypeVar("T")

LIMIT_TABLES = ("limits_gb5749_2022.csv", "limits_gb5749_2006.csv")


@dataclass(frozen=True, slots=True)
class Unit:
    """Conversion of a unit as written by people or devices: ``canonical = value * factor + offset``."""

    alias: str
    unit: str
    factor: float
    offset: float


@dataclass(frozen=True, slots=True)
class StandardsTables:
    """Everything in this folder: parameters and units by name, limits in file order."""

    parameters: dict[str, Parameter]
    limits: tuple[Limit, ...]
    units: dict[str, Unit]


@cache
def load_standards() -> StandardsTables:
    """The tables that ship with the product.

    Raises
    ------
    ConfigurationError
        One line per wrong row: file, line, what is wrong.
    """
    faults: list[str] = []
    parameters = _rows("parameters.csv", _parameter, faults)
    units = _rows("units.csv", _unit, faults)
    limits = [limit for table in LIMIT_TABLES for limit in _rows(table, _limit, faults)]
    faults += _overlaps(limits)
    if faults:
        raise ConfigurationError(faults)
    return StandardsTables({p.code: p for p in parameters}, tuple(limits), {u.alias: u for u in units})


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


def _rows(name: str, parse: Callable[[dict[str, str]], T], faults: list[str]) -> list[T]:
    parsed: list[T] = []
    lines = files("qingquan.standards").joinpath(name).read_text(encoding="utf-8").splitlines()
    for row in (reader := csv.DictReader(lines)):
        try:
            parsed.append(parse(row))
        except (KeyError, ValueError, TypeError) as error:
            faults.append(f"{name}:{reader.line_num}: {error}")
    return parsed


def _parameter(row: dict[str, str]) -> Parameter:
    low, high = float(row["range_min"]), float(row["range_max"])
    if not low < high:
        raise ValueError(f"range_min {low} is not below range_max {high}")
    raw_high = float(row["raw_range_max"] or high)
    if raw_high < high:
        raise ValueError(f"raw_range_max {raw_high} is below range_max {high}")
    return Parameter(
        code=row["code"], kind=ParameterKind(row["kind"]), unit=row["unit"], name_zh=row["name_zh"], name_en=row["name_en"],
        short_zh=row["short_zh"], decimals=int(row["decimals"]), range_min=low, range_max=high, raw_range_max=raw_high,
        precision_floor=float(row["precision_floor"]), flat_tolerance=float(row["flat_tolerance"]),
        flat_suspect_h=float(row["flat_suspect_h"]), flat_fail_h=float(row["flat_fail_h"]), source=row["source"],
    )  # fmt: skip


def _unit(row: dict[str, str]) -> Unit:
    return Unit(row["alias"], row["unit"], float(row["factor"]), float(row["offset"]))


def _limit(row: dict[str, str]) -> Limit:
    limit = Limit(
        id=row["id"], standard=row["standard"], code=row["code"], name_zh=row["name_zh"], name_en=row["name_en"],
        group=row["group"], point=row["point"], supply=SupplyClass(row["supply"]), kind=LimitKind(row["limit_kind"]),
        min=_number(row["min"]), max=_number(row["max"]), unit=row["unit"], basis=row["basis"], clause=row["clause"],
        valid_from=date.fromisoformat(row["valid_from"]), valid_to=date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
        confidence=row["confidence"], source=row["source"], note_zh=row["note_zh"],
    )  # fmt: skip
    needs = {
        LimitKind.MAX: (False, True), LimitKind.MAX_STRICT: (False, True), LimitKind.MIN: (True, False),
        LimitKind.RANGE: (True, True), LimitKind.ABSENT: (False, False),
    }[limit.kind]  # fmt: skip
    if (limit.min is not None, limit.max is not None) != needs:
        raise ValueError(f"{limit.id}: kind {limit.kind} does not fit min={row['min']!r} max={row['max']!r}")
    if not limit.unit or not limit.source:
        raise ValueError(f"{limit.id}: unit and source must be given")
    return limit


def _number(text: str) -> float | None:
    return float(text) if text else None


def _overlaps(limits: list[Limit]) -> list[str]:
    faults = []
    seen: dict[tuple[str, str, str, str], list[Limit]] = {}
    for limit in limits:
        group = seen.setdefault((limit.standard[:7], limit.code, limit.point, limit.supply), [])
        for other in group:
            if limit.valid_from <= (other.valid_to or date.max) and other.valid_from <= (limit.valid_to or date.max):
                faults.append(f"{limit.id}: in force at the same time as {other.id}")
        group.append(limit)
    return faults
