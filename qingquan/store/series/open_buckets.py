"""What the open buckets of all levels hold so far, kept by the one writer, so that closing one asks the store for nothing. Pure.

A bucket is known if everything in it has come through here in order of time since it began. Where a reading came late, or where the
writer took over in its middle, it is not, and must be asked of the store once when it closes; the next one is known again. Sums go
one by one in order of time, as in `summed`: what is known here and what is asked there are the same to the last bit.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qingquan.store.series.identity import NEVER
from qingquan.store.series.rollup_rows import RollupRows, summed
from qingquan.store.series.rollups import LEVELS

__all__ = ["Met", "OpenBuckets"]

Ints = npt.NDArray[np.int64]

_COLUMNS = 6
"""Of `RollupRows`, all that is a float: count to last."""


class Met(NamedTuple):
    """The series of an append, each once, ascending, with the newest time of each before and after it (`NEVER` = none)."""

    series: Ints
    before: Ints
    after: Ints

    @classmethod
    def by(cls, series: Ints, observed_at: Ints, newest_at: Ints) -> "Met":
        """Of new readings in order of series, then time."""
        last = np.flatnonzero(np.concatenate([series[1:] != series[:-1], np.ones(min(len(series), 1), bool)]))
        met = series[last]
        return cls(met, newest_at[met], np.maximum(newest_at[met], observed_at[last]))

    def opened(self, times: Ints, step: int) -> Ints:
        """Start of the bucket that is open at the newest times ``times``."""
        return np.where(times == NEVER, NEVER, times // step * step)

    def of(self, column: Ints, series: Ints) -> Ints:
        """Of a column by place here, what stands for each of ``series``."""
        return column[np.searchsorted(self.series, series)]


class OpenBuckets:
    """170 bytes a series, however many readings a bucket has. Not thread-safe."""

    def __init__(self) -> None:
        self._is_known = np.zeros((len(LEVELS), 0), bool)
        self._values = np.zeros((len(LEVELS), _COLUMNS, 0))
        self._last_at: Ints = np.zeros((len(LEVELS), 0), np.int64)

    def take(self, number: int, met: Met, new: RollupRows, late: tuple[Ints, Ints]) -> tuple[RollupRows, Ints]:
        """Add to level ``number``; the buckets that are closed by now, and from which bucket on they are whole, by place in ``met``.

        Parameters
        ----------
        met
            Series of the append. Every series must be taken with every append that it is in.
        new
            What is finer and later than all before: readings, or closed buckets of the level before.
        late
            Series and time of what is finer and not later: new, or changed.
        """
        step = LEVELS[number].step
        before, after = met.opened(met.before, step), met.opened(met.after, step)
        self._reserve(int(met.series.max(initial=-1)) + 1)
        known = self._is_known[number]
        series, at = late
        known[series[at // step * step == met.of(before, series)]] = False
        rows = summed(RollupRows.joined([self._held(number, met, before), new]), step)
        is_doubtful = (rows.bucket == met.of(before, rows.series)) & ~known[rows.series]
        is_open = rows.bucket == met.of(after, rows.series)
        whole_from = np.where((before == NEVER) | known[met.series], before, before + step)
        self._begin(number, met.series[after > before])
        self._keep(number, rows.where(is_open & ~is_doubtful))
        return rows.where(~is_open & ~is_doubtful), whole_from

    def _held(self, number: int, met: Met, before: Ints) -> RollupRows:
        """What the buckets that were open hold, as far as it is known."""
        held = self._is_known[number][met.series] & (self._values[number, 0][met.series] > 0)
        series = met.series[held]
        count, good, total, least, most, last = self._values[number][:, series]
        return RollupRows(series, before[held], count, good, total, least, most, last, self._last_at[number][series])

    def _begin(self, number: int, series: Ints) -> None:
        self._is_known[number][series] = True
        self._values[number][:, series] = 0.0

    def _keep(self, number: int, rows: RollupRows) -> None:
        self._values[number][:, rows.series] = _floats(rows)
        self._last_at[number][rows.series] = rows.last_at

    def _reserve(self, size: int) -> None:
        """Grow by doubling, so that meeting series one by one stays linear."""
        extra = max(size - self._is_known.shape[1], 0)
        if extra:
            extra = max(extra, self._is_known.shape[1], 1024)
            self._is_known, self._values, self._last_at = (
                np.concatenate([held, np.zeros((*held.shape[:-1], extra), held.dtype)], axis=-1)
                for held in (self._is_known, self._values, self._last_at)
            )


def _floats(rows: RollupRows) -> Sequence[npt.NDArray[np.float64]]:
    return [rows.count, rows.good, rows.sum, rows.min, rows.max, rows.last]
