"""Finding the header of a sheet that people made: title lines above it, merged cells, units in parentheses. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledgers.cells import cell_text, word_key
from ledgers.refusals import Refusal, RefusalReason
from ledgers.works_columns import Column
from qingquan.sheets import Sheet, column_letters

__all__ = ["Header", "find_header", "header_refusals"]

SEARCHED_ROWS = 15

_UNIT = re.compile(r"\(([^()]*)\)")


@dataclass(frozen=True, slots=True)
class Header:
    """Where the columns lie. ``columns`` maps a field to its column (from 0), ``labels`` a column to its header as found.

    ``last_row`` is the header's last row (from 0), ``repeated`` holds columns that name a field once more.
    """

    last_row: int
    columns: Mapping[str, int]
    labels: Mapping[int, str]
    repeated: tuple[tuple[str, int], ...] = ()

    def address(self, name: str, row: int) -> str:
        """Address of a field's cell in a row counted from 1; ``""`` where the sheet has no such column."""
        return f"{column_letters(self.columns[name])}{row}" if name in self.columns else ""


def find_header(sheet: Sheet, columns: Sequence[Column]) -> Header:
    """The header of a sheet: the row, with those merged to it, that names most of the columns."""
    names = {
        word_key(name): column.field
        for column in columns
        for name in (column.header, column.aliases)
        for name in _all(name)
    }
    best = Header(0, {}, {})
    for row in range(min(SEARCHED_ROWS, len(sheet.rows))):
        candidate = _header_at(sheet, row, names)
        if len(candidate.columns) > len(best.columns) or not best.labels:
            best = candidate
    return best


def header_refusals(sheet: Sheet, header: Header, columns: Sequence[Column]) -> list[Refusal]:
    """Columns that are missing, come twice, or carry another unit than the one expected."""
    found: list[Refusal] = []
    by_field = {column.field: column for column in columns}
    missing = [column.header for column in columns if column.required and column.field not in header.columns]
    if missing:
        facts = {"missing": "、".join(missing), "found": "、".join(header.labels.values()) or "—"}
        found.append(Refusal(sheet.name, header.last_row + 1, "", "", RefusalReason.MISSING_COLUMNS, facts))
    for name, index in header.repeated:
        facts = {"other": _address(header, header.columns[name])}
        column = by_field[name].header
        cell = _address(header, index)
        found.append(Refusal(sheet.name, header.last_row + 1, cell, column, RefusalReason.DUPLICATE_COLUMN, facts))
    for name, index in header.columns.items():
        unit = _UNIT.search(header.labels[index])
        units = by_field[name].units
        if unit and units and unit[1].strip().lower() not in units:
            facts = {"found": unit[1], "allowed": units[0]}
            cell, label = _address(header, index), by_field[name].header
            found.append(Refusal(sheet.name, header.last_row + 1, cell, label, RefusalReason.WRONG_UNIT, facts))
    return found


def _all(name: str | tuple[str, ...]) -> tuple[str, ...]:
    return (name,) if isinstance(name, str) else name


def _header_at(sheet: Sheet, row: int, names: Mapping[str, str]) -> Header:
    first, last = _merged_block(sheet, row)
    labels: dict[int, str] = {}
    columns: dict[str, int] = {}
    repeated: list[tuple[str, int]] = []
    width = max(len(sheet.rows[index]) for index in range(first, last + 1))
    for column in range(width):
        texts = [cell_text(sheet.rows[r][column]) for r in range(first, last + 1) if column < len(sheet.rows[r])]
        known = [text for text in texts if _key(text) in names]
        label = known[-1] if known else next((text for text in reversed(texts) if text), "")
        if not label:
            continue
        labels[column] = label
        name = names.get(_key(label))
        if name is not None and name in columns:
            repeated.append((name, column))
        elif name is not None:
            columns[name] = column
    return Header(last, columns, labels, tuple(repeated))


def _key(text: str) -> str:
    return word_key(text.replace("*", ""))


def _merged_block(sheet: Sheet, row: int) -> tuple[int, int]:
    """First and last row of the header that ``row`` belongs to: rows tied together by cells merged downwards."""
    first = last = row
    for top, _, bottom, _ in sorted(sheet.merged):
        if top < bottom and top <= last and bottom >= first:
            first, last = min(first, top), max(last, bottom)
    return first, min(last, len(sheet.rows) - 1)


def _address(header: Header, column: int) -> str:
    return f"{column_letters(column)}{header.last_row + 1}"
