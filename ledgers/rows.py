"""Rows below a header: each read whole, cell by cell, with everything that is wrong in it. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledgers.cells import AnyReader, Wrong
from ledgers.headers import Header
from ledgers.refusals import Refusal, RefusalReason
from ledgers.works_columns import Column
from qingquan.sheets import Cell, Sheet

__all__ = ["ReadRow", "read_rows"]


@dataclass(slots=True)
class ReadRow:
    """A row with anything in it: values by field (empty and refused cells left out) and what was refused."""

    sheet: Sheet
    header: Header
    number: int
    headers: Mapping[str, str]
    values: dict[str, Any] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    wrong: set[str] = field(default_factory=set)

    @property
    def place(self) -> str:
        """``sheet!row``, for messages that point at this row."""
        return f"{self.sheet.name}!{self.number}"

    def refuse(self, name: str, reason: RefusalReason, facts: Mapping[str, str] | None = None) -> None:
        """Note that a field of this row is wrong, and with it the row."""
        address = self.header.address(name, self.number)
        refusal = Refusal(self.sheet.name, self.number, address, self.headers[name], reason, facts or {})
        self.refusals.append(refusal)
        self.wrong.add(name)


def read_rows(
    sheet: Sheet, header: Header, columns: Sequence[Column], readers: Mapping[str, AnyReader]
) -> Iterator[ReadRow]:
    """All rows below the header that hold anything in a known column."""
    headers = {column.field: column.header for column in columns}
    required = [column.field for column in columns if column.required]
    for index in range(header.last_row + 1, len(sheet.rows)):
        given = _given(sheet.rows[index], header)
        if not given:
            continue
        row = ReadRow(sheet, header, index + 1, headers)
        for name, cell in given.items():
            value = readers[name](cell)
            if isinstance(value, Wrong):
                row.refuse(name, value.reason, value.facts)
            else:
                row.values[name] = value
        for name in required:
            if name not in given:
                row.refuse(name, RefusalReason.REQUIRED)
        yield row


def _given(cells: Sequence[Cell], header: Header) -> dict[str, Cell]:
    return {
        name: cells[column]
        for name, column in header.columns.items()
        if column < len(cells) and str(cells[column]).strip()
    }
