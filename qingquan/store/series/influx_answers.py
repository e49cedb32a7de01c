"""Questions for one series in InfluxQL, and their answers as columns."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qingquan.domain.flags import Flag
from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import Trend
from qingquan.store.series.influx_lines import identifier, is_at, set_members

__all__ = [
    "arrivals_of",
    "arrived_by",
    "by_point",
    "came_together",
    "columns_of",
    "conflict_trend",
    "conflicts_of",
    "during",
    "raw_of",
    "raw_trend",
]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


# Times are nanoseconds in 64 bits there; asked for anything beyond, InfluxDB finds nothing at all.
EARLIEST_MS, LATEST_MS = -9_223_372_036_854, 9_223_372_036_854


def during(key: SeriesKey, start: int, end: int) -> str:
    """Condition: this point, start <= time < end."""
    start, end = (min(max(one, EARLIEST_MS), LATEST_MS) for one in (start, end))
    return f"{is_at(key.county, key.works, key.point)} AND time >= {start}ms AND time < {end}ms"


def raw_of(key: SeriesKey, start: int, end: int) -> tuple[str, str]:
    """Statements for the values and flags of a series."""
    asked = f"WHERE {during(key, start, end)}"
    name = identifier(key.parameter)
    return f"SELECT {name} FROM reading {asked}", f"SELECT {name} FROM flag {asked}"  # noqa: S608 - quoted by us


def conflicts_of(key: SeriesKey, start: int, end: int) -> str:
    """Statement for the conflicts of a series."""
    name = key.parameter
    return (
        f"SELECT {identifier(name + '_flag')}, {identifier(name)}"  # noqa: S608 - quoted by us
        f" FROM conflict WHERE {during(key, start, end)}"
    )


def raw_trend(key: SeriesKey, values: list[dict[str, Any]], flags: list[dict[str, Any]]) -> Trend:
    """Readings of the answers to `raw_of`."""
    value_at, (value,) = columns_of(values, 1)
    flag_at, (flag,) = columns_of(flags, 1)
    at = np.union1d(value_at, flag_at)
    columns = {"value": np.full(len(at), np.nan), "flag": np.full(len(at), float(Flag.PASS))}
    columns["value"][np.searchsorted(at, value_at)] = value
    columns["flag"][np.searchsorted(at, flag_at)] = flag
    return Trend(key, at, columns)


def conflict_trend(key: SeriesKey, answer: list[dict[str, Any]]) -> Trend:
    """Conflicts of the answer to `conflicts_of`."""
    at, (flag, value) = columns_of(answer, 2)
    is_ours = ~np.isnan(flag)  # a line may be of another parameter
    return Trend(key, at[is_ours], {"value": value[is_ours], "flag": flag[is_ours]})


def arrived_by(parameters: Sequence[str]) -> str:
    """Columns of the measurement ``arrival`` that `arrivals_of` reads."""
    return ", ".join(map(identifier, ("sequence", *(f"{name}_sequence" for name in parameters))))


def arrivals_of(group: dict[str, Any], parameters: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Parameter, time and sequence of every arrival in a series of an answer that is grouped by ``of`` (see `influx_lines`).

    ``parameters``: those asked for by `arrived_by`; of several that came together the others are left out.
    """
    together = group.get("tags", {}).get("of", "")
    if together:
        members = [name for name in set_members(together) if name in parameters]
        for at, sequence, *_ in group["values"]:
            if sequence is not None:
                for name in members:
                    yield name, at, sequence
        return
    for at, _, *sequences in group["values"]:
        for name, sequence in zip(parameters, sequences, strict=True):
            if sequence is not None:
                yield name, at, sequence


def by_point(answer: list[dict[str, Any]], parameter: str) -> dict[SeriesKey, list[Any]]:
    """First row of each series of an answer grouped by point."""
    found: dict[SeriesKey, list[Any]] = {}
    for series in answer:
        tags = series["tags"]
        found[SeriesKey(tags["county"], tags["works"], tags["point"], parameter)] = series["values"][0]
    return found


def came_together(answer: list[dict[str, Any]]) -> dict[str, dict[SeriesKey, list[Any]]]:
    """The same of an answer grouped by point and ``of``, by parameter of the set; the latest where sets share one."""
    found: dict[str, dict[SeriesKey, list[Any]]] = {}
    for series in answer:
        tags, row = series["tags"], series["values"][0]
        for name in set_members(tags["of"]) if tags["of"] else ():
            key = SeriesKey(tags["county"], tags["works"], tags["point"], name)
            rows = found.setdefault(name, {})
            rows[key] = max(rows.get(key, row), row)
    return found


def columns_of(answer: list[dict[str, Any]], count: int) -> tuple[Ints, list[Floats]]:
    """Times and value columns of an ungrouped answer; null is NaN."""
    rows = answer[0]["values"] if answer else []
    columns = list(zip(*rows, strict=True)) if rows else [()] * (count + 1)
    values = [np.array([np.nan if v is None else v for v in column], np.float64) for column in columns[1:]]
    return np.array(columns[0], np.int64), values
