"""Reads the CT tables and baffling factors of this folder, once, and refuses them whole if a row is wrong."""

import csv
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import TypeVar

from qingquan.domain.contact_time import BafflingFactor, CtAgent, CtRow, Organism
from qingquan.errors import ConfigurationError

__all__ = ["baffling_factors_from", "ct_rows_from", "load_baffling_factors", "load_ct_rows"]

T = TypeVar("T")

CT_TABLE = "ct_tables.csv"
BAFFLING_TABLE = "baffling_factors.csv"
CONFIDENCES = frozenset({"high", "medium", "low"})


@cache
def load_ct_rows() -> tuple[CtRow, ...]:
    """The CT tables that ship with the product.

    Raises
    ------
    ConfigurationError
        One line per wrong row or gap: file, line, what is wrong.
    """
    return ct_rows_from(_text(CT_TABLE))


@cache
def load_baffling_factors() -> dict[str, BafflingFactor]:
    """Baffling factors that ship with the product, by identifier; raises as above."""
    return baffling_factors_from(_text(BAFFLING_TABLE))


def ct_rows_from(text: str) -> tuple[CtRow, ...]:
    """Rows of CT tables given as CSV. A table with a hole, a duplicate or a CT that falls where it must rise is refused."""
    faults: list[str] = []
    rows = tuple(_parsed(CT_TABLE, text, _ct_row, faults))
    tables: dict[tuple[CtAgent, Organism], list[CtRow]] = defaultdict(list)
    for row in rows:
        tables[row.agent, row.organism].append(row)
    for table in tables.values():
        faults += _holes(table)
        faults += _unsafe_steps(table)
    if not rows and not faults:
        faults.append(f"{CT_TABLE}: no rows")
    if faults:
        raise ConfigurationError(faults)
    return rows


def baffling_factors_from(text: str) -> dict[str, BafflingFactor]:
    """Baffling factors given as CSV; each above 0 and at most 1."""
    faults: list[str] = []
    rows = _parsed(BAFFLING_TABLE, text, _baffling_factor, faults)
    if not rows and not faults:
        faults.append(f"{BAFFLING_TABLE}: no rows")
    if faults:
        raise ConfigurationError(faults)
    return {row.id: row for row in rows}


def _parsed(name: str, text: str, parse: Callable[[dict[str, str]], T], faults: list[str]) -> list[T]:
    found: list[T] = []
    seen: set[str] = set()
    reader = csv.DictReader(text.splitlines())
    for row in reader:
        try:
            found.append(parse(row))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            faults.append(f"{name}:{reader.line_num}: {error}")
            continue
        if row["id"] in seen:
            faults.append(f"{name}:{reader.line_num}: {row['id']!r} has a row already")
        seen.add(row["id"])
    return found


def _ct_row(row: dict[str, str]) -> CtRow:
    parsed = CtRow(
        id=row["id"], agent=CtAgent(row["agent"]), organism=Organism(row["organism"]),
        log_inactivation=float(row["log_inactivation"]), temperature_c=float(row["temperature_c"]),
        ph_min=_number(row["ph_min"]), ph_max=_number(row["ph_max"]), residual_mg_l=_number(row["residual_mg_l"]),
        ct_mg_min_l=float(row["ct_mg_min_l"]), confidence=row["confidence"], source=row["source"], note=row["note"],
    )  # fmt: skip
    if not parsed.id or not parsed.source:
        raise ValueError("id and source must be given")
    if parsed.confidence not in CONFIDENCES:
        raise ValueError(f"confidence {parsed.confidence!r}: allowed: {', '.join(sorted(CONFIDENCES))}")
    if not parsed.log_inactivation > 0 or not parsed.ct_mg_min_l > 0:
        raise ValueError("log_inactivation and ct_mg_min_l must be above 0")
    if (parsed.ph_min is None) != (parsed.ph_max is None) or (parsed.ph_min or 0) > (parsed.ph_max or 0):
        raise ValueError(f"pH from {row['ph_min']!r} to {row['ph_max']!r} is no band")
    return parsed


def _baffling_factor(row: dict[str, str]) -> BafflingFactor:
    factor = float(row["factor"])
    if not 0 < factor <= 1:
        raise ValueError(f"factor {factor:g} is not above 0 and at most 1")
    if not row["id"] or not row["source"]:
        raise ValueError("id and source must be given")
    return BafflingFactor(
        row["id"], factor, row["name_zh"], row["name_en"], row["description_zh"], row["description_en"], row["source"]
    )


def _holes(table: list[CtRow]) -> list[str]:
    """A table must hold each combination of its own levels, once: a look-up never falls between rows."""
    name = f"{CT_TABLE}: {table[0].agent} {table[0].organism}"
    wanted = 1
    for level in (_level_log, _level_temperature, _level_ph, _level_residual):
        wanted *= len({level(row) for row in table})
    cells = {(_level_log(r), _level_temperature(r), _level_ph(r), _level_residual(r)) for r in table}
    faults = [] if len(cells) == len(table) else [f"{name}: {len(table) - len(cells)} cells stand twice"]
    return faults if len(cells) == wanted else [*faults, f"{name}: {wanted - len(cells)} of {wanted} cells are missing"]


def _unsafe_steps(table: list[CtRow]) -> list[str]:
    """CT must not fall with more log, colder water, higher pH or more residual, else the safe side is not the safe side."""
    faults = []
    for level, others, sign in (
        (_level_log, (_level_temperature, _level_ph, _level_residual), 1),
        (_level_temperature, (_level_log, _level_ph, _level_residual), -1),
        (_level_ph, (_level_log, _level_temperature, _level_residual), 1),
        (_level_residual, (_level_log, _level_temperature, _level_ph), 1),
    ):
        lines: dict[tuple[float, ...], list[CtRow]] = defaultdict(list)
        for row in table:
            lines[tuple(other(row) for other in others)].append(row)
        for line in lines.values():
            ordered = sorted(line, key=level)
            for low, high in pairwise(ordered):
                if sign * (high.ct_mg_min_l - low.ct_mg_min_l) < 0:
                    faults.append(f"{CT_TABLE}: {high.id} and {low.id}: CT changes to the unsafe side")
    return faults


def _level_log(row: CtRow) -> float:
    return row.log_inactivation


def _level_temperature(row: CtRow) -> float:
    return row.temperature_c


def _level_ph(row: CtRow) -> float:
    return -1.0 if row.ph_max is None else row.ph_max


def _level_residual(row: CtRow) -> float:
    return -1.0 if row.residual_mg_l is None else row.residual_mg_l


def _number(text: str) -> float | None:
    return float(text) if text else None


def _text(name: str) -> str:
    return files("qingquan.standards").joinpath(name).read_text(encoding="utf-8")
