"""Rows of rollups as columns, and how they are summed up into coarser ones. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from qingquan.domain.flags import Flag
from qingquan.store.series.buckets import is_usable

__all__ = ["RollupRows", "chosen_aggregates", "rows_of_readings", "summed"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RollupRows:
    """Columns of equal length: per series (by number) and bucket what its usable readings amount to."""

    series: Ints
    bucket: Ints
    count: Floats
    good: Floats
    sum: Floats
    min: Floats
    max: Floats
    last: Floats
    last_at: Ints

    @classmethod
    def joined(cls, parts: Sequence["RollupRows"]) -> "RollupRows":
        """Parts one behind the other."""
        if not parts:
            return rows_of_readings(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0), np.empty(0))
        return cls(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))

    def columns(self) -> list[npt.NDArray[Any]]:
        """All columns, in the order of the fields."""
        return [getattr(self, one.name) for one in fields(self)]

    def where(self, chosen: npt.NDArray[np.generic]) -> "RollupRows":
        """The rows chosen by mask or number."""
        return RollupRows(*(column[chosen] for column in self.columns()))


def rows_of_readings(series: Ints, observed_at: Ints, value: Floats, flag: npt.NDArray[np.generic]) -> RollupRows:
    """Every usable reading as a row of its own."""
    usable = is_usable(value, flag)
    # A store that hands numbers out as JSON knows no negative zero.
    at, held = observed_at[usable], value[usable] + 0.0
    good = (flag[usable] == Flag.PASS).astype(np.float64)
    return RollupRows(series[usable], at, np.ones(len(at)), good, held, held, held, held, at)


def summed(rows: RollupRows, step: int) -> RollupRows:
    """Rows by series and step, in order; what they are made of is added up one by one in order of time, whatever order it came
    in: so a sum may be gone on with and has the same last bit."""
    if not len(rows.series):
        return rows
    rows = rows.where(np.lexsort((rows.bucket, rows.series)))
    bucket = rows.bucket // step * step
    is_first = np.concatenate([[True], (np.diff(rows.series) != 0) | (np.diff(bucket) != 0)])
    first = np.flatnonzero(is_first)
    last = np.concatenate([first[1:], [len(bucket)]]) - 1
    return RollupRows(
        rows.series[first],
        bucket[first],
        np.add.reduceat(rows.count, first),
        np.add.reduceat(rows.good, first),
        np.bincount(np.cumsum(is_first) - 1, rows.sum).astype(np.float64, copy=False),
        np.minimum.reduceat(rows.min, first),
        np.maximum.reduceat(rows.max, first),
        rows.last[last],
        rows.last_at[last],
    )


def chosen_aggregates(rows: RollupRows, names: Sequence[str]) -> dict[str, Floats]:
    """The aggregates asked for of summed rows."""
    return {name: rows.sum / rows.count if name == "mean" else getattr(rows, name) for name in names}
