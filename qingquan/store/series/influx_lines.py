"""The schema in InfluxDB, as line protocol and InfluxQL. Pure.

===========  =====================  =============================================================================
measurement  tags                   fields
===========  =====================  =============================================================================
reading      county, works, point   one float per parameter; nothing for a missing value
flag         county, works, point   one integer per parameter, for every flag but 1 (pass)
arrival      county, works, point,  ``sequence``, ``received_at``: the message that brought all parameters of ``of`` (joined
             ``of``                 by ``+``); without ``of``: ``<parameter>_sequence``, ``<parameter>_received_at``
conflict     the same, and ``nth``  ``<parameter>`` and ``_flag``, ``_sequence``, ``_received_at`` of the other value
progress     reader                 ``revision``, ``covered``, the totals, and since when there are rollups
===========  =====================  =============================================================================

A reading is held once its arrival is: rows are written first, arrivals second, progress last. What a crash left between
is recognised by its sequence, which lies after the progress, and simply written again. Rollups lie in buckets of their own,
see `influx_rollups`.

An arrival with ``of`` takes two fields instead of two a parameter. It can overwrite no other: its parameters are held by it, so no
message brings them again as new. Only one set of each point is written so while a writer runs, else a device that leaves out now
this and now that would make a series of every combination; earlier versions knew the other form alone.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qingquan.domain.flags import Flag
from qingquan.domain.readings import SeriesKey
from qingquan.store.series.rollup_rows import RollupRows

__all__ = [
    "LineNames",
    "StoredColumns",
    "StoredRow",
    "arrival_lines",
    "conflict_lines",
    "identifier",
    "is_at",
    "progress_line",
    "reading_lines",
    "rollup_lines",
    "set_members",
]

Ints = npt.NDArray[np.int64]

SET_JOIN = "+"


class StoredRow(NamedTuple):
    """A reading on its way to the store. ``nth`` numbers the conflicting values of one identity from 1."""

    key: SeriesKey
    observed_at: int
    received_at: int
    value: float
    flag: int
    sequence: int
    nth: int = 0


class StoredColumns(NamedTuple):
    """The same as columns, in order of series (by number), then time."""

    series: Ints
    observed_at: Ints
    received_at: Ints
    value: npt.NDArray[np.float64]
    flag: npt.NDArray[np.uint8]
    sequence: Ints

    def where(self, chosen: npt.NDArray[np.generic]) -> "StoredColumns":
        """The rows chosen by mask or number."""
        return StoredColumns(*(column[chosen] for column in self))


class LineNames:
    """How the series of a writer are named in lines, by number: escaped once, not with every reading."""

    def __init__(self) -> None:
        self.tags: list[str] = []
        self.parameters: list[str] = []
        self.point: Ints = np.zeros(0, np.int64)
        self._points: dict[str, int] = {}
        self._together: dict[int, tuple[tuple[int, ...], str]] = {}

    def follow(self, keys: Sequence[SeriesKey]) -> "LineNames":
        """Take the series that ``keys`` has got since; the names."""
        new = [keys[number] for number in range(len(self.tags), len(keys))]
        if new:
            tags = [sys.intern(_tags(key)) for key in new]
            points = [self._points.setdefault(one, len(self._points)) for one in tags]
            self.tags += tags
            self.parameters += [sys.intern(_escaped(key.parameter)) for key in new]
            self.point = np.concatenate([self.point, np.array(points, np.int64)])
        return self

    def together(self, series: tuple[int, ...], point: int) -> str:
        """Name of this set of a point's series, if it is the one that has a name; else empty. The first of several gets it."""
        if len(series) < 2:
            return ""
        held = self._together.get(point)
        if held is None:
            names = sorted(self.parameters[number] for number in series)
            name = "" if any(SET_JOIN in one for one in names) else sys.intern(SET_JOIN.join(names))
            held = self._together[point] = (series, name)
        return held[1] if held[0] == series else ""


def reading_lines(names: LineNames, rows: StoredColumns) -> list[str]:
    """Values and flags, one line per measurement, point and time. A float always has a point or an exponent: the first
    writer decides the type of a field for ever."""
    valued = rows.where(~np.isnan(rows.value))
    values = [
        f"{names.parameters[number]}={value!r}"
        for number, value in zip(valued.series.tolist(), valued.value.tolist(), strict=True)
    ]
    flagged = rows.where(rows.flag != Flag.PASS)
    flags = [
        f"{names.parameters[number]}={flag}i"
        for number, flag in zip(flagged.series.tolist(), flagged.flag.tolist(), strict=True)
    ]
    return [
        *_lines("reading", names, valued.series, valued.observed_at, values),
        *_lines("flag", names, flagged.series, flagged.observed_at, flags),
    ]


def arrival_lines(names: LineNames, rows: StoredColumns) -> list[str]:
    """When and by which message the rows came."""
    if not len(rows.series):
        return []
    point = names.point[rows.series]
    keys = (rows.received_at, rows.sequence, rows.observed_at, point)
    order = np.lexsort(keys)
    rows, point = rows.where(order), point[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = np.any([np.diff(one[order]) != 0 for one in keys], axis=0)
    first = np.flatnonzero(is_first)
    alone = np.zeros(len(order), bool)
    lines: list[str] = []
    numbers = rows.series.tolist()
    columns = (point, rows.observed_at, rows.sequence, rows.received_at)
    for start, end, place, at, sequence, received_at in zip(
        first.tolist(), [*first[1:].tolist(), len(order)], *(column[first].tolist() for column in columns), strict=True
    ):
        name = names.together(tuple(numbers[start:end]), place)
        if name:
            tags = names.tags[numbers[start]]
            lines.append(f"arrival,{tags},of={name} sequence={sequence}i,received_at={received_at}i {at}")
        else:
            alone[start:end] = True
    return [*lines, *_arrivals_alone(names, rows.where(alone))]


def _arrivals_alone(names: LineNames, rows: StoredColumns) -> list[str]:
    fields = [
        f"{names.parameters[number]}_sequence={sequence}i,{names.parameters[number]}_received_at={received_at}i"
        for number, sequence, received_at in zip(
            rows.series.tolist(), rows.sequence.tolist(), rows.received_at.tolist(), strict=True
        )
    ]
    return _lines("arrival", names, rows.series, rows.observed_at, fields)


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


def rollup_lines(names: LineNames, rows: RollupRows) -> list[str]:
    """Rows of rollups, one line per point and bucket."""
    fields = [
        f"{name}_count={int(count)}i,{name}_good={int(good)}i,{name}_sum={total!r},{name}_min={least!r},"
        f"{name}_max={most!r},{name}_last={last!r},{name}_last_at={last_at}i"
        for name, count, good, total, least, most, last, last_at in zip(
            (names.parameters[number] for number in rows.series.tolist()),
            *(column.tolist() for column in rows.columns()[2:]),
            strict=True,
        )
    ]
    return _lines("rollup", names, rows.series, rows.bucket, fields)


def progress_line(reader: str, fields: Mapping[str, int], at_ms: int) -> str:
    """How far a reader has come. One line, so that the mark and the totals change together."""
    shown = ",".join(f"{name}={value}i" for name, value in fields.items())
    return f"progress,reader={_escaped(reader)} {shown} {at_ms}"


def set_members(name: str) -> list[str]:
    """Parameters of a set by its name."""
    return name.split(SET_JOIN)


def identifier(name: str) -> str:
    """A name as InfluxQL identifier."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def is_at(county: str, works: str | None = None, point: str | None = None) -> str:
    """Condition on the place."""
    parts = {"county": county, "works": works, "point": point}
    return " AND ".join(f'"{tag}" = {_text(value)}' for tag, value in parts.items() if value is not None)


def _lines(measurement: str, names: LineNames, series: Ints, at: Ints, fields: Sequence[str]) -> list[str]:
    """Fields gathered into one line per point and time."""
    if not fields:
        return []
    point = names.point[series]
    order = np.lexsort((at, point))
    point, at = point[order], at[order]
    first = np.flatnonzero(np.concatenate([[True], (np.diff(point) != 0) | (np.diff(at) != 0)]))
    ends = np.concatenate([first[1:], [len(order)]])
    arranged = [fields[number] for number in order.tolist()]
    tags = [names.tags[number] for number in series[order[first]].tolist()]
    return [
        f"{measurement},{place} {','.join(arranged[start:end])} {time}"
        for place, start, end, time in zip(tags, first.tolist(), ends.tolist(), at[first].tolist(), strict=True)
    ]


def _tags(key: SeriesKey) -> str:
    return f"county={_escaped(key.county)},works={_escaped(key.works)},point={_escaped(key.point)}"


def _escaped(name: str) -> str:
    return name.replace(",", "\\,").replace("=", "\\=").replace(" ", "\\ ")
