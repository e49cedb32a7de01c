"""Readings of many series at once out of the DuckDB file."""

from collections.abc import Sequence

import duckdb
import numpy as np
import numpy.typing as npt

from qingquan.store.ports import Readings
from qingquan.store.series.buckets import doubted
from qingquan.store.series.duckdb_order import EVERY_READING

__all__ = ["readings_of"]

Ints = npt.NDArray[np.int64]


def readings_of(cursor: duckdb.DuckDBPyConnection, numbers: Sequence[int | None], start: int, end: int) -> Readings:
    """Readings of the series with these numbers (``None`` = one the store has not), ordered as they are asked for.

    The two queries see one state of the file.
    """
    rank_of = {number: rank for rank, number in enumerate(numbers) if number is not None}
    series = np.array(list(rank_of), np.int64)
    rank = np.array(list(rank_of.values()), np.int64)
    cursor.begin()
    try:
        cursor.register("asked", {"series": series, "rank": rank})
        found = cursor.execute(
            "SELECT a.rank AS rank, r.observed_at AS at, coalesce(r.value, 'nan'::DOUBLE) AS value, r.flag AS flag"  # noqa: S608 - constants only
            f" FROM {EVERY_READING} r JOIN asked a ON r.series = a.series WHERE r.observed_at >= ? AND r.observed_at < ?",
            [start, end],
        ).fetchnumpy()
        others = cursor.execute(
            "SELECT a.rank AS rank, c.observed_at AS at FROM conflict c JOIN asked a ON c.series = a.series"
            " WHERE c.observed_at >= ? AND c.observed_at < ?",
            [start, end],
        ).fetchnumpy()
        cursor.unregister("asked")
    finally:
        cursor.rollback()
    columns = {name: np.ma.getdata(column) for name, column in found.items()}
    # Sorting here takes a fraction of what sorting there does: rows lie almost in order of time.
    order = np.lexsort((columns["at"], columns["rank"]))
    rank, at = columns["rank"][order], columns["at"][order]
    is_conflicted = _are_among(rank, at, np.ma.getdata(others["rank"]), np.ma.getdata(others["at"]))
    return Readings(
        np.searchsorted(rank, np.arange(len(numbers) + 1)).astype(np.int64),
        at,
        columns["value"][order],
        doubted(columns["flag"][order], is_conflicted),
    )


def _are_among(rank: Ints, at: Ints, other_rank: Ints, other_at: Ints) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(at), bool)
    if len(other_at):
        one, other = (_pairs(*columns) for columns in ((rank, at), (other_rank, other_at)))
        found = np.isin(one, other)
    return found


def _pairs(rank: Ints, at: Ints) -> npt.NDArray[np.void]:
    pairs = np.empty(len(at), [("rank", np.int64), ("at", np.int64)])
    pairs["rank"], pairs["at"] = rank, at
    return pairs.view(np.dtype((np.void, pairs.itemsize)))
