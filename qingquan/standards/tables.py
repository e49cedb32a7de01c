"""Reads a table given as CSV text, strictly: whatever is wrong with it is said by file and line, all at once."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from math import isfinite
from typing import Generic, TypeVar

__all__ = ["Placed", "cell_in", "day_of", "needed", "number_of", "packaged_table", "table_rows"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """A row and where it stands: ``place`` is ``file:line``."""

    place: str
    row: T


def packaged_table(name: str) -> str:
    """Text of a table that ships with the product."""
    return files("qingquan.standards").joinpath(name).read_text(encoding="utf-8")


def table_rows(
    name: str, text: str, columns: Sequence[str], parse: Callable[[dict[str, str]], T], faults: list[str]
) -> list[Placed[T]]:
    """Rows of a table; what cannot be taken is left out and said in ``faults``, a line each.

    Refused are unknown, missing and repeated columns (then no row is read), empty rows, rows with too few or too many
    cells, cells with blanks around them, and whatever ``parse`` refuses with a ``ValueError``.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Placed[T]] = []
    head: list[str] | None = None
    known = len(faults)
    try:
        for cells in reader:
            place = f"{name}:{reader.line_num}"
            if head is None:
                head = cells
                wrong = _head_faults(place, head, columns)
                faults += wrong
                if wrong:
                    return []
            elif not any(cells):
                faults.append(f"{place}: empty row")
            elif len(cells) != len(head):
                faults.append(f"{place}: {len(cells)} cells, the header has {len(head)}")
            else:
                _take(place, dict(zip(head, cells, strict=True)), parse, rows, faults)
    except csv.Error as error:
        faults.append(f"{name}:{reader.line_num}: not valid CSV: {error}")
    if head is None:
        faults.append(f"{name}:1: the table is empty")
    elif not rows and len(faults) == known:
        faults.append(f"{name}:1: the table has no rows")
    return rows


def needed(row: dict[str, str], *columns: str) -> None:
    """Refuse a row in which one of these cells is empty; all of them are named."""
    missing = [column for column in columns if not row[column]]
    if missing:
        raise ValueError(f"must be given: {', '.join(missing)}")


def cell_in(row: dict[str, str], column: str, allowed: Sequence[str] | frozenset[str]) -> str:
    """The cell, if it holds one of the words allowed."""
    if row[column] not in allowed:
        raise ValueError(
            f"{column} {row[column]!r}: allowed: {', '.join(word or '(empty)' for word in sorted(allowed))}"
        )
    return row[column]


def number_of(row: dict[str, str], column: str) -> float | None:
    """The cell as a finite number; ``None`` where it is empty."""
    if not row[column]:
        return None
    try:
        number = float(row[column])
    except ValueError:
        raise ValueError(f"{column} {row[column]!r} is not a number") from None
    if not isfinite(number):
        raise ValueError(f"{column} {row[column]!r} is not finite")
    return number


def day_of(row: dict[str, str], column: str) -> date | None:
    """The cell as a day; ``None`` where it is empty."""
    if not row[column]:
        return None
    try:
        return date.fromisoformat(row[column])
    except ValueError:
        raise ValueError(f"{column} {row[column]!r} is not a day (YYYY-MM-DD)") from None


def _head_faults(place: str, head: Sequence[str], columns: Sequence[str]) -> list[str]:
    said = (
        ("unknown column", [column for column in head if column not in columns]),
        ("missing column", [column for column in columns if column not in head]),
        ("column given twice", sorted({column for column in head if head.count(column) > 1})),
    )
    return [f"{place}: {words} {column!r}" for words, wrong in said for column in wrong]


def _take(
    place: str, row: dict[str, str], parse: Callable[[dict[str, str]], T], rows: list[Placed[T]], faults: list[str]
) -> None:
    padded = [column for column, cell in row.items() if cell != cell.strip()]
    if padded:
        faults.append(f"{place}: blanks around the cell of {', '.join(padded)}")
        return
    try:
        rows.append(Placed(place, parse(row)))
    except ValueError as error:
        faults.append(f"{place}: {error}")
