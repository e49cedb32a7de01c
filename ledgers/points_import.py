"""Sampling points of a register sheet: one row per point. Pure."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ledgers.cells import AnyReader, Reader, Wrong, cell_text, code, county_code, one_of, short_text, shown, word_key
from ledgers.headers import find_header, header_refusals
from ledgers.refusals import Refusal, RefusalReason
from ledgers.rows import ReadRow, read_rows
from ledgers.works_columns import POINT_COLUMNS, POINT_KIND_WORDS
from qingquan.domain.parameters import Parameter
from qingquan.domain.works import PointKind, SamplingPoint
from qingquan.sheets import Cell, Sheet

__all__ = ["ParsedPoints", "PointRow", "parameter_reader", "parse_points"]

WorksKey = tuple[str, str]

_KIND = one_of(POINT_KIND_WORDS)
_SEPARATORS = re.compile(r"[、,;/|\n]+")


@dataclass(frozen=True, slots=True)
class PointRow:
    """A sampling point and the works it belongs to. ``says_parameters``: the row named the parameters expected."""

    works: WorksKey
    point: SamplingPoint
    says_parameters: bool


@dataclass(frozen=True, slots=True)
class ParsedPoints:
    """Points taken, rows refused, rows seen."""

    points: tuple[PointRow, ...]
    refusals: tuple[Refusal, ...]
    rows: int


def parse_points(
    sheet: Sheet,
    parameters: Mapping[str, Parameter],
    taken: Collection[WorksKey],
    refused: Mapping[WorksKey, str],
    known: Collection[WorksKey],
) -> ParsedPoints:
    """Points of a sheet.

    ``taken`` are the works of the same file, ``known`` those of the register, ``refused`` those of the file that were
    refused, with the place of their row.
    """
    header = find_header(sheet, POINT_COLUMNS)
    faults = header_refusals(sheet, header, POINT_COLUMNS)
    if faults:
        return ParsedPoints((), tuple(faults), 0)
    counties = _counties([*taken, *refused, *known])
    points: dict[tuple[WorksKey, str], PointRow] = {}
    places: dict[tuple[WorksKey, str], str] = {}
    refusals: list[Refusal] = []
    rows = 0
    for row in read_rows(sheet, header, POINT_COLUMNS, _readers(parameters)):
        rows += 1
        works = _works_of(row, counties, refused)
        if works is not None and "point" in row.values:
            key = (works, row.values["point"])
            if key in places:
                row.refuse("point", RefusalReason.DUPLICATE_ROW, {"other": places[key]})
            places.setdefault(key, row.place)
            if not row.refusals:
                points[key] = _point(works, row)
        refusals += row.refusals
    return ParsedPoints(tuple(points.values()), tuple(refusals), rows)


def parameter_reader(parameters: Mapping[str, Parameter]) -> Reader[tuple[str, ...]]:
    """Reader of a list of parameters, by code or by name, in the order written; each once."""
    names: dict[str, str] = {}
    for parameter in parameters.values():
        for name in (parameter.short_zh, parameter.name_en, parameter.name_zh, parameter.code):
            names[word_key(name)] = parameter.code
    allowed = "、".join(parameter.name_zh for parameter in parameters.values())

    def read(cell: Cell) -> tuple[str, ...] | Wrong:
        words = [word.strip() for word in _SEPARATORS.split(cell_text(cell)) if word.strip()]
        unknown = [word for word in words if word_key(word) not in names]
        if unknown:
            return Wrong(RefusalReason.UNKNOWN_WORD, {"found": shown("、".join(unknown)), "allowed": allowed})
        return tuple(dict.fromkeys(names[word_key(word)] for word in words))

    return read


def _readers(parameters: Mapping[str, Parameter]) -> dict[str, AnyReader]:
    return {
        "county": county_code,
        "works": code,
        "point": code,
        "kind": _KIND,
        "point_name": short_text,
        "parameters": parameter_reader(parameters),
    }


def _counties(keys: Collection[WorksKey]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for county, works in keys:
        found.setdefault(works, set()).add(county)
    return {works: sorted(counties) for works, counties in found.items()}


def _works_of(row: ReadRow, counties: Mapping[str, list[str]], refused: Mapping[WorksKey, str]) -> WorksKey | None:
    """The works a row belongs to; ``None`` with the row refused where it cannot be told."""
    works = row.values.get("works")
    if works is None or "county" in row.wrong:
        return None
    county = row.values.get("county")
    candidates = [one for one in counties.get(works, ()) if county in (None, one)]
    if not candidates:
        row.refuse("works", RefusalReason.UNKNOWN_WORKS, {"found": works if county is None else f"{county}/{works}"})
        return None
    if len(candidates) > 1:
        row.refuse("works", RefusalReason.AMBIGUOUS_WORKS, {"found": works, "allowed": "、".join(candidates)})
        return None
    key = (candidates[0], works)
    if key in refused:
        row.refuse("works", RefusalReason.WORKS_REFUSED, {"found": works, "other": refused[key]})
        return None
    return key


def _point(works: WorksKey, row: ReadRow) -> PointRow:
    kind: PointKind = row.values["kind"]
    name = row.values.get("point_name") or POINT_KIND_WORDS[kind][0]
    point = SamplingPoint(row.values["point"], kind, name, row.values.get("parameters", ()))
    return PointRow(works, point, "parameters" in row.values)
