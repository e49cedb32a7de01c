"""The schema in InfluxDB, as line protocol and InfluxQL. Pure.

===========  =====================  =============================================================================
measurement  tags                   fields
===========  =====================  =============================================================================
reading      county, works, point   one float per parameter; nothing for a missing value
flag         county, works, point   one integer per parameter, for every flag but 1 (pass)
arrival      county, works, point   ``<parameter>_sequence``, ``<parameter>_received_at``: the message that brought it
conflict     the same, and ``nth``  ``<parameter>`` and ``_flag``, ``_sequence``, ``_received_at`` of the other value
progress     reader                 ``revision``, ``covered``, the totals, and since when there are rollups
===========  =====================  =============================================================================

A reading is held once its arrival is: rows are written first, arrivals second, progress last. What a crash left between
is recognised by its sequence, which lies after the progress, and simply written again. Rollups lie in buckets of their own,
see `influx_rollups`.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import NamedTuple

from qingquan.domain.flags import Flag
from qingquan.domain.readings import SeriesKey
from qingquan.store.series.rollup_rows import RollupRows

__all__ = [
    "StoredRow",
    "arrival_lines",
    "conflict_lines",
    "identifier",
    "is_at",
    "progress_line",
    "reading_lines",
    "rollup_lines",
]


class StoredRow(NamedTuple):
    """A reading on its way to the store. ``nth`` numbers the conflicting values of one identity from 1."""

    key: SeriesKey
    observed_at: int
    received_at: int
    value: float
    flag: int
    sequence: int
    nth: int = 0


def reading_lines(rows: Iterable[StoredRow]) -> list[str]:
    """Values and flags, one line per measurement, point and time. A float always has a point or an exponent: the first
    writer decides the type of a field for ever."""
    values = _Lines("reading")
    flags = _Lines("flag")
    for row in rows:
        parameter = _escaped(row.key.parameter)
        if not isnan(row.value):
            values.add(row, f"{parameter}={row.value!r}")
        if row.flag != Flag.PASS:
            flags.add(row, f"{parameter}={row.flag}i")
    return [*values.text(), *flags.text()]


def arrival_lines(rows: Iterable[StoredRow]) -> list[str]:
    """When and by which message the rows came."""
    lines = _Lines("arrival")
    for row in rows:
        parameter = _escaped(row.key.parameter)
        lines.add(row, f"{parameter}_sequence={row.sequence}i,{parameter}_received_at={row.received_at}i")
    return lines.text()


def conflict_lines(rows: Iterable[StoredRow]) -> list[str]:
    """Values that contradict the one held, one line each."""
    lines: list[str] = []
    for row in rows:
        parameter = _escaped(row.key.parameter)
        value = "" if isnan(row.value) else f"{parameter}={row.value!r},"
        lines.append(
            f"conflict,{_tags(row.key)},nth={row.nth} {value}{parameter}_flag={row.flag}i,"
            f"{parameter}_sequence={row.sequence}i,{parameter}_received_at={row.received_at}i {row.observed_at}"
        )
    return lines


def rollup_lines(keys: Sequence[SeriesKey], rows: RollupRows) -> list[str]:
    """Rows of rollups, one line per point and bucket."""
    lines = _Lines("rollup")
    for number, at, *cells, last_at in zip(*(column.tolist() for column in rows.columns()), strict=True):
        count, good, *values = cells
        name = _escaped(keys[number].parameter)
        shown = ",".join(
            f"{name}_{field}={value!r}" for field, value in zip(("sum", "min", "max", "last"), values, strict=True)
        )
        text = f"{name}_count={int(count)}i,{name}_good={int(good)}i,{shown},{name}_last_at={last_at}i"
        lines.add(StoredRow(keys[number], at, 0, 0.0, 0, 0), text)
    return lines.text()


def progress_line(reader: str, fields: Mapping[str, int], at_ms: int) -> str:
    """How far a reader has come. One line, so that the mark and the totals change together."""
    shown = ",".join(f"{name}={value}i" for name, value in fields.items())
    return f"progress,reader={_escaped(reader)} {shown} {at_ms}"


def identifier(name: str) -> str:
    """A name as InfluxQL identifier."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def is_at(county: str, works: str | None = None, point: str | None = None) -> str:
    """Condition on the place."""
    parts = {"county": county, "works": works, "point": point}
    return " AND ".join(f'"{tag}" = {_text(value)}' for tag, value in parts.items() if value is not None)


class _Lines:
    """Fields gathered into one line per point and time, in order of first appearance."""

    def __init__(self, measurement: str) -> None:
        self._measurement = measurement
        self._fields: dict[tuple[str, int], list[str]] = {}
        self._prefixes: dict[SeriesKey, str] = {}

    def add(self, row: StoredRow, field: str) -> None:
        prefix = self._prefixes.get(row.key)
        if prefix is None:
            prefix = self._prefixes[row.key] = f"{self._measurement},{_tags(row.key)}"
        self._fields.setdefault((prefix, row.observed_at), []).append(field)

    def text(self) -> list[str]:
        return [f"{prefix} {','.join(fields)} {at}" for (prefix, at), fields in self._fields.items()]


def _tags(key: SeriesKey) -> str:
    return f"county={_escaped(key.county)},works={_escaped(key.works)},point={_escaped(key.point)}"


def _escaped(name: str) -> str:
    return name.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")
