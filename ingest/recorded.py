"""Recorded CSV files as columns. Every row ends as values, missing values, or a refusal with its line and reason."""

import csv
import gzip
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from ingest.mapping import MappedColumn, Mapping
from ingest.recorded_times import TimeReader, detected_format, time_reader
from ingest.values import NO_VALUE_CODES, Refused, is_no_value_text, value_of
from qingquan.domain.flags import Flag
from qingquan.domain.readings import ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.errors import ConfigurationError

__all__ = ["RefusedPart", "RowChunk", "batch_of", "read_rows"]

ROWS_LOOKED_AT = 200
"""Rows from which a time format is found out."""
_DELIMITERS = (",", ";", "\t")


class RefusedPart(NamedTuple):
    """A row (``column`` = "") or one cell that could not be taken; ``line`` counts from 1, the header included."""

    line: int
    column: str
    text: str
    detail: str


@dataclass(frozen=True, slots=True)
class RowChunk:
    """Rows of a file, in file order.

    line : (n,) int64, line of the file
    time_text : n texts, the time as the file writes it
    observed_at : (n,) int64 [ms since epoch, UTC]
    values : (n, m) float64, one column per `Mapping.columns`, canonical units, NaN = missing
    refused : refused rows (not among the n) and refused cells (NaN among the n x m)
    rows : rows of the file that ended here, n + refused rows
    """

    line: npt.NDArray[np.int64]
    time_text: list[str]
    observed_at: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    refused: list[RefusedPart]
    rows: int


def read_rows(path: Path | str, mapping: Mapping, chunk: int = 20_000) -> Iterator[RowChunk]:
    """The rows of a CSV or gzipped CSV, ``chunk`` at a time.

    Text is UTF-8 or, failing that, GB 18030; the delimiter is a comma, a semicolon or a tab, whichever the header has most of.

    Raises
    ------
    ConfigurationError
        The file cannot be opened, a mapped column is missing (the columns found are listed), or no time format fits.
    """
    path = Path(path)
    try:
        raw = path.open("rb")
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot be read: {error.strerror}"]) from error
    with raw:
        lines = _text_lines(raw)
        try:
            yield from _chunks(path, lines, mapping, chunk)
        finally:
            lines.close()


def batch_of(chunk: RowChunk, mapping: Mapping, catalog: SeriesCatalog) -> ReadingBatch:
    """Readings of a chunk, row by row, as the engine takes them.

    The line of the file stands for the log sequence, the reading's own time for its receipt: recorded data is judged as if
    it had come in time.
    """
    series = [
        catalog.index(SeriesKey(mapping.county, mapping.works, c.point, c.parameter.code)) for c in mapping.columns
    ]
    rows, width = chunk.values.shape
    value = chunk.values.reshape(-1)
    flag = np.where(np.isnan(value), Flag.MISSING, Flag.NOT_EVALUATED).astype(np.uint8)
    observed_at = np.repeat(chunk.observed_at, width)
    return ReadingBatch(
        np.tile(np.array(series, np.int32), rows), observed_at, value.copy(), flag, np.repeat(chunk.line, width), observed_at.copy(),
    )  # fmt: skip


def _text_lines(raw: BinaryIO) -> TextIOWrapper:
    packed = raw.read(2) == b"\x1f\x8b"
    raw.seek(0)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
    try:
        start = stream.read(1 << 20)
    except (OSError, EOFError, zlib.error):
        start = b""
    stream.seek(0)
    return TextIOWrapper(stream, encoding=_encoding(start), errors="replace", newline="")


def _encoding(start: bytes) -> str:
    # A character may be cut in two at the end of the stretch looked at; up to three bytes of it then stand there.
    for end in range(len(start), max(len(start) - 4, -1), -1):
        try:
            start[:end].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        return "utf-8-sig"
    return "gb18030"


def _chunks(path: Path, lines: TextIOWrapper, mapping: Mapping, size: int) -> Iterator[RowChunk]:
    try:
        first = lines.readline()
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigurationError([f"{path}: cannot be unpacked: {error}"]) from error
    delimiter = max(_DELIMITERS, key=first.count)
    header = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    places = _places(path, header, mapping)
    rows = _rows(lines, delimiter, len(header))
    looked_at = list(islice(rows, ROWS_LOOKED_AT))
    read_time = _time_reader(path, [row.cells[places[0]].strip() for row in looked_at if row.cells], mapping)
    while True:
        part = looked_at[:size] if looked_at else list(islice(rows, size))
        looked_at = looked_at[size:]
        if len(part) < size and not looked_at:
            part += islice(rows, size - len(part))
        if not part:
            return
        yield _chunk(part, places, read_time, mapping.columns)


class _Row(NamedTuple):
    line: int
    cells: list[str]
    fault: str


def _rows(lines: TextIOWrapper, delimiter: str, width: int) -> Iterator[_Row]:
    """Rows with exactly ``width`` cells, or without cells and with a fault. Blank lines are no rows."""
    reader = csv.reader(lines, delimiter=delimiter)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield _Row(reader.line_num + 1, [], str(error))
            continue
        except (OSError, EOFError, zlib.error) as error:
            yield _Row(reader.line_num + 2, [], f"the file is cut off or damaged from here on: {error}")
            return
        line = reader.line_num + 1
        if len(cells) == width:
            yield _Row(line, cells, "")
        elif len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            yield _Row(line, cells[:width], "")
        elif cells:
            yield _Row(line, [], f"{len(cells)} cells, the header has {width}")


def _places(path: Path, header: list[str], mapping: Mapping) -> list[int]:
    """Where the time column and the mapped columns stand."""
    names = [mapping.time, *(column.name for column in mapping.columns)]
    found = ", ".join(header) if any(header) else "none"
    faults = [
        f"{path}: column {name!r} named in {mapping.source} is {'missing' if name not in header else 'there twice'}; "
        f"columns found: {found}"
        for name in names
        if header.count(name) != 1
    ]
    if faults:
        raise ConfigurationError(faults)
    return [header.index(name) for name in names]


def _time_reader(path: Path, texts: Sequence[str], mapping: Mapping) -> TimeReader:
    if mapping.time_format or mapping.time_origin_ms is not None:
        return time_reader(mapping.time_format or "", mapping.zone, mapping.time_origin_ms)
    name = detected_format([text for text in texts if text])
    if name is None and texts:
        shown = ", ".join(repr(text) for text in texts[:3])
        raise ConfigurationError(
            [
                f"{path}: no known time format in column {mapping.time!r} ({shown}); name it as `time_format` in {mapping.source}"
            ]
        )
    return time_reader(name or "iso", mapping.zone)


def _chunk(rows: list[_Row], places: list[int], read_time: TimeReader, columns: Sequence[MappedColumn]) -> RowChunk:
    refused: list[RefusedPart] = []
    kept: list[_Row] = []
    times: list[int] = []
    for row in rows:
        if row.fault:
            refused.append(RefusedPart(row.line, "", "", row.fault))
            continue
        text = row.cells[places[0]].strip()
        try:
            times.append(read_time(text))
        except (ValueError, OverflowError) as error:
            refused.append(RefusedPart(row.line, "", text, f"time: {error}" if text else "time: empty"))
            continue
        kept.append(row)
    values = np.empty((len(kept), len(columns)))
    for number, (place, column) in enumerate(zip(places[1:], columns, strict=True)):
        values[:, number] = _column(kept, place, column, refused)
    refused.sort()
    return RowChunk(
        np.array([row.line for row in kept], np.int64), [row.cells[places[0]].strip() for row in kept],
        np.array(times, np.int64), values, refused, len(rows),
    )  # fmt: skip


def _column(rows: list[_Row], place: int, column: MappedColumn, refused: list[RefusedPart]) -> npt.NDArray[np.float64]:
    texts = [row.cells[place] for row in rows]
    try:
        raw = np.array([float(text) if text else math.nan for text in texts])
    except ValueError:
        raw = None
    if raw is None or np.isinf(raw).any() or "_" in "".join(texts):
        return _column_by_cell(rows, texts, column, refused)
    value = raw * column.unit.factor + column.unit.offset
    outside = ~((value >= column.parameter.range_min) & (value <= column.parameter.raw_range_max))
    value[outside & np.isin(raw, tuple(NO_VALUE_CODES))] = np.nan
    return value


def _column_by_cell(
    rows: list[_Row], texts: list[str], column: MappedColumn, refused: list[RefusedPart]
) -> npt.NDArray[np.float64]:
    values = np.full(len(rows), np.nan)
    for number, text in enumerate(texts):
        value = math.nan if is_no_value_text(text) else value_of(text, column.parameter, column.unit)
        if isinstance(value, Refused):
            refused.append(RefusedPart(rows[number].line, column.name, text[:80], value.detail))
        else:
            values[number] = value
    return values
