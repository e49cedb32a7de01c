"""Readings of the log put down on disk to be compared, in bounded memory: what the log says a store must hold."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import duckdb
import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import ReadingBatch

__all__ = ["ReadingSpool", "SpoolTotals", "Spooled"]

Ints = npt.NDArray[np.int64]

ROWS_AT_ONCE = 1_000_000


class Spooled(NamedTuple):
    """Identities in order of series, then time: the value that came first, and how many different ones came (NaN is one)."""

    series: Ints
    observed_at: Ints
    value: npt.NDArray[np.float64]
    values: Ints
    is_doubtful: npt.NDArray[np.bool_]

    def where(self, chosen: npt.NDArray[np.intp]) -> "Spooled":
        """The rows chosen."""
        series, observed_at, value, values, is_doubtful = self
        return Spooled(series[chosen], observed_at[chosen], value[chosen], values[chosen], is_doubtful[chosen])


class SpoolTotals(NamedTuple):
    """Rows put down; different identities and different values among those that are not doubtful; doubtful rows."""

    rows: int
    identities: int
    values: int
    doubtful: int


class ReadingSpool:
    """A DuckDB file of its own below ``folder``, removed with it. Use as a context manager."""

    def __init__(self, folder: Path, memory_limit: str = "256MB") -> None:
        self._connection = duckdb.connect(
            str(folder / "spool.duckdb"), config={"memory_limit": memory_limit, "threads": 2}
        )
        self._connection.execute(
            "CREATE TABLE row(series INTEGER, observed_at BIGINT, value DOUBLE, sequence BIGINT, is_doubtful BOOLEAN)"
        )

    def add(self, batch: ReadingBatch, is_doubtful: npt.NDArray[np.bool_]) -> None:
        """Put rows down; doubtful ones may or may not have been recorded."""
        if not len(batch):
            return
        # -0.0 counts as 0.0; a missing value is NULL, as numpy's NaN comes in.
        columns = {
            "series": batch.series,
            "observed_at": batch.observed_at,
            "value": batch.value + 0.0,
            "sequence": batch.sequence,
            "is_doubtful": is_doubtful,
        }
        self._connection.register("incoming", columns)
        self._connection.execute("INSERT INTO row SELECT * FROM incoming")
        self._connection.unregister("incoming")

    def groups(self) -> Iterator[Spooled]:
        """All identities, some series at a time."""
        counted = self._connection.execute("SELECT series, count(*) FROM row GROUP BY 1 ORDER BY 1").fetchall()
        first, rows = 0, 0
        for place, (_, count) in enumerate(counted):
            rows += count
            if rows >= ROWS_AT_ONCE or place == len(counted) - 1:
                yield self._group(counted[first][0], counted[place][0])
                first, rows = place + 1, 0

    def values(self, series: int, observed_at: int) -> list[float]:
        """All different values that came for an identity, first one first."""
        found = self._connection.execute(
            "SELECT coalesce(value, 'nan'::DOUBLE) AS v FROM row WHERE series = ? AND observed_at = ?"
            " GROUP BY 1 ORDER BY min(sequence)",
            [series, observed_at],
        ).fetchall()
        return [float(value) for (value,) in found]

    def totals(self) -> SpoolTotals:
        """Totals of everything put down."""
        [found] = self._connection.execute(
            "SELECT count(*), count(DISTINCT (series, observed_at)) FILTER (NOT is_doubtful),"
            " count(DISTINCT (series, observed_at, coalesce(value, 'nan'::DOUBLE))) FILTER (NOT is_doubtful),"
            " count(*) FILTER (is_doubtful) FROM row"
        ).fetchall()
        return SpoolTotals(*map(int, found))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def _group(self, first: int, last: int) -> Spooled:
        found = self._connection.execute(
            "SELECT series, observed_at, arg_min(coalesce(value, 'nan'::DOUBLE), sequence) AS value,"
            " count(DISTINCT coalesce(value, 'nan'::DOUBLE)) AS n, bool_or(is_doubtful) AS is_doubtful"
            " FROM row WHERE series BETWEEN ? AND ? GROUP BY 1, 2 ORDER BY 1, 2",
            [first, last],
        ).fetchnumpy()
        columns = [np.ma.getdata(found[name]) for name in ("series", "observed_at", "value", "n", "is_doubtful")]
        return Spooled(
            columns[0].astype(np.int64), columns[1], columns[2], columns[3].astype(np.int64), columns[4].astype(bool)
        )
