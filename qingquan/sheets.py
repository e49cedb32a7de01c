"""Reads uploaded tables: the bytes of an Excel or CSV file into sheets of cells. Pure; bad files come back as a reason."""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

__all__ = ["Cell", "Sheet", "SheetFault", "Unreadable", "column_letters", "read_sheets"]

Cell = str | int | float | bool | date | datetime | time | timedelta

MAX_BYTES = 20 * 2**20
MAX_UNPACKED_BYTES = 200 * 2**20
MAX_ROWS = 100_000
MAX_COLUMNS = 300
MAX_CELLS = 5_000_000

_OLE = b"\xd0\xcf\x11\xe0"
_ZIP = b"PK\x03\x04"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_ADDRESS = re.compile(rb"""\br=["']([A-Z]{0,3})(\d{1,7})["']""")


class SheetFault(StrEnum):
    """Why a file is no table. The word serves log, report and operator."""

    EMPTY = "empty_file"
    TOO_LARGE = "file_too_large"
    TOO_MANY_ROWS = "too_many_rows"
    WRONG_TYPE = "wrong_file_type"
    DAMAGED = "damaged_file"
    ENCRYPTED = "encrypted_file"
    BAD_ENCODING = "bad_encoding"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file, or a sheet of it, that could not be taken as a table; ``detail`` is what was found."""

    fault: SheetFault
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet. ``rows[r][c]`` is the cell of row r + 1, column c + 1; an empty cell is ``""``.

    Rows may differ in length. ``merged`` holds (first row, first column, last row, last column), counted from 0;
    only the first cell of a merged area has a value.
    """

    name: str
    rows: tuple[tuple[Cell, ...], ...]
    merged: tuple[tuple[int, int, int, int], ...] = ()


def read_sheets(content: bytes, name: str) -> list[Sheet] | Unreadable:
    """Sheets of an xlsx, xls or CSV file, told by its content; ``name`` names the one sheet of a CSV file.

    CSV may be UTF-8, UTF-16 with a byte order mark, or GBK (GB 18030), separated by comma, semicolon or tab.
    """
    if not content.strip():
        return Unreadable(SheetFault.EMPTY)
    if len(content) > MAX_BYTES:
        return Unreadable(SheetFault.TOO_LARGE, f"{len(content) / 2**20:.0f} MB > {MAX_BYTES // 2**20} MB")
    if content.startswith((_ZIP, _OLE)):
        return _workbook(content)
    return _csv(content, name)


def column_letters(index: int) -> str:
    """Letters of a column counted from 0, as a spreadsheet shows them.

    Examples
    --------
    >>> [column_letters(n) for n in (0, 25, 26, 701, 702)]
    ['A', 'Z', 'AA', 'ZZ', 'AAA']
    """
    letters = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _workbook(content: bytes) -> list[Sheet] | Unreadable:
    if (fault := _zip_fault(content)) is not None:
        return fault
    try:
        with CalamineWorkbook.from_filelike(io.BytesIO(content)) as workbook:
            sheets: list[Sheet] = []
            for name in workbook.sheet_names:
                sheet = workbook.get_sheet_by_name(name)
                height, width = (last + 1 for last in sheet.end or (-1, -1))
                if _is_too_wide(height, width):
                    return Unreadable(SheetFault.TOO_MANY_ROWS, f"{name}: {height} × {width}")
                rows = tuple(map(tuple, sheet.to_python(skip_empty_area=False)))
                merged = tuple((*first, *last) for first, last in sheet.merged_cell_ranges or ())
                sheets.append(Sheet(name, rows, merged))
    except PasswordError:
        return Unreadable(SheetFault.ENCRYPTED)
    except (CalamineError, ValueError, OSError) as error:
        return Unreadable(SheetFault.DAMAGED, str(error).splitlines()[0] if str(error) else type(error).__name__)
    return sheets if any(_has_cells(sheet.rows) for sheet in sheets) else Unreadable(SheetFault.EMPTY)


def _zip_fault(content: bytes) -> Unreadable | None:
    """Refuses an archive that is no xlsx workbook, or would fill the memory: before the reader unpacks it."""
    if not content.startswith(_ZIP):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            unpacked = sum(entry.file_size for entry in entries)
            if unpacked > MAX_UNPACKED_BYTES:
                found = f"{unpacked / 2**20:.0f} MB > {MAX_UNPACKED_BYTES // 2**20} MB"
                return Unreadable(SheetFault.TOO_LARGE, found)
            if "xl/workbook.xml" not in archive.namelist():
                return Unreadable(SheetFault.WRONG_TYPE, "zip")
            sheets = [entry for entry in entries if entry.filename.startswith("xl/worksheets/")]
            faults = (_extent_fault(entry.filename, archive.read(entry)) for entry in sheets)
            return next((fault for fault in faults if fault is not None), None)
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        return Unreadable(SheetFault.DAMAGED, str(error))


def _extent_fault(name: str, xml: bytes) -> Unreadable | None:
    """Refuses a sheet with a cell far out: the reader keeps the whole rectangle, 17 G cells for one stray XFD1048576."""
    height = width = 0
    for match in _ADDRESS.finditer(xml):
        height, width = max(height, int(match[2])), max(width, _column_number(match[1]))
        if _is_too_wide(height, width):
            return Unreadable(SheetFault.TOO_MANY_ROWS, f"{name}: {match[0].decode()}")
    return None


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - ord("A") + 1
    return number


def _is_too_wide(height: int, width: int) -> bool:
    return height > MAX_ROWS or width > MAX_COLUMNS or height * width > MAX_CELLS


def _csv(content: bytes, name: str) -> list[Sheet] | Unreadable:
    text = _decoded(content)
    if isinstance(text, Unreadable):
        return text
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    rows: list[tuple[Cell, ...]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            rows.append(tuple(row))
            if len(rows) > MAX_ROWS or len(row) > MAX_COLUMNS:
                return Unreadable(SheetFault.TOO_MANY_ROWS, f"{name}: {len(rows)} × {len(row)}")
    except csv.Error as error:
        return Unreadable(SheetFault.DAMAGED, str(error))
    return [Sheet(name, tuple(rows))] if _has_cells(rows) else Unreadable(SheetFault.EMPTY)


def _decoded(content: bytes) -> str | Unreadable:
    if content.startswith(_UTF16):
        encodings = ["utf-16"]
    elif b"\x00" in content or content.startswith(b"%PDF"):
        return Unreadable(SheetFault.WRONG_TYPE, "%PDF" if content.startswith(b"%PDF") else "binary")
    else:
        encodings = ["utf-8-sig", "gb18030"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError as error:
            last = f"byte {error.start + 1}"
    return Unreadable(SheetFault.BAD_ENCODING, last)


def _has_cells(rows: Sequence[Sequence[Cell]]) -> bool:
    return any(str(cell).strip() for row in rows for cell in row)
