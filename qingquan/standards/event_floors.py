"""Smallest noise that event detection assumes of an instrument: from data sheets, never from the data judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from qingquan.domain.parameters import Parameter, ParameterKind
from qingquan.errors import ConfigurationError
from qingquan.standards.limit_checks import duplicate_faults
from qingquan.standards.loader import load_standards
from qingquan.standards.tables import cell_in, needed, number_of, packaged_table, table_rows

__all__ = ["EventFloor", "event_floors_from", "load_event_floors"]

TABLE = "event_floors.csv"
_COLUMNS = ("parameter", "floor", "relative", "basis", "source")
_BASES = ("repeatability", "resolution")


@dataclass(frozen=True, slots=True)
class EventFloor:
    """The larger of ``floor`` [unit of the parameter] and ``relative`` x level."""

    parameter: str
    floor: float
    relative: float
    basis: str
    source: str


@cache
def load_event_floors() -> dict[str, EventFloor]:
    """Floor of every quality parameter, by code. Raises `ConfigurationError`, a line per wrong row."""
    return event_floors_from(packaged_table(TABLE), load_standards().parameters)


def event_floors_from(text: str, parameters: Mapping[str, Parameter]) -> dict[str, EventFloor]:
    """The same of a table given as CSV text; every quality parameter must have exactly one row."""
    faults: list[str] = []
    rows = table_rows(TABLE, text, _COLUMNS, _floor, faults)
    faults += duplicate_faults("parameter", ((one.place, one.row.parameter) for one in rows))
    quality = {code for code, one in parameters.items() if one.kind is ParameterKind.QUALITY}
    faults += [
        f"{one.place}: {one.row.parameter!r} is no quality parameter"
        for one in rows
        if one.row.parameter not in quality
    ]
    faults += [f"{TABLE}: {code} has no row" for code in sorted(quality - {one.row.parameter for one in rows})]
    if faults:
        raise ConfigurationError(faults)
    return {one.row.parameter: one.row for one in rows}


def _floor(row: dict[str, str]) -> EventFloor:
    needed(row, *_COLUMNS)
    floor, relative = number_of(row, "floor") or 0.0, number_of(row, "relative") or 0.0
    if floor <= 0:
        raise ValueError(f"floor {floor:g} is not above 0")
    if not 0 <= relative < 1:
        raise ValueError(f"relative {relative:g} is not from 0 to below 1")
    return EventFloor(row["parameter"], floor, relative, cell_in(row, "basis", _BASES), row["source"])
