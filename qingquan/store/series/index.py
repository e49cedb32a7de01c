"""What a store's adapter keeps in memory: the numbering of its series, and the newest reading of each."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import LatestReading, SeriesRows
from qingquan.store.series.identity import NEVER

__all__ = ["SeriesIndex"]

Ints = npt.NDArray[np.int64]


class SeriesIndex:
    """Series by number and by place, with the newest reading of each. Not thread-safe: the adapter locks.

    Numbers are the store's own, dense from 0. 64 bytes and one dictionary entry per series.
    """

    def __init__(self, keys: Sequence[SeriesKey] = ()) -> None:
        self._keys: list[SeriesKey] = []
        self._ids: dict[SeriesKey, int] = {}
        self._places: dict[str, dict[str, list[int]]] = {}
        self.newest_at: Ints = np.full(1024, NEVER, np.int64)
        self.newest_received_at: Ints = np.zeros(1024, np.int64)
        self.newest_value: npt.NDArray[np.float64] = np.full(1024, np.nan)
        self.newest_flag: npt.NDArray[np.uint8] = np.zeros(1024, np.uint8)
        self.add(keys)

    def __len__(self) -> int:
        return len(self._keys)

    def id(self, key: SeriesKey) -> int | None:
        """Number of a series; ``None`` if the store has none of it."""
        return self._ids.get(key)

    @property
    def keys(self) -> Sequence[SeriesKey]:
        """All series, by number."""
        return self._keys

    def numbered(self, rows: SeriesRows) -> tuple[Ints, list[SeriesKey]]:
        """The store's number of every row, and the keys that are new, to be given to `add` once they are stored.

        New keys already bear the numbers that `add` will give them.
        """
        table = np.full(len(rows.keys), -1, np.int64)
        new: dict[SeriesKey, int] = {}
        for used in np.flatnonzero(np.bincount(rows.series, minlength=len(rows.keys))).tolist():
            key = rows.keys[used]
            number = self._ids.get(key)
            table[used] = new.setdefault(key, len(self._keys) + len(new)) if number is None else number
        self._reserve(len(self._keys) + len(new))
        return table[rows.series], list(new)

    def add(self, keys: Sequence[SeriesKey]) -> None:
        """Number further series, in order."""
        self._reserve(len(self._keys) + len(keys))
        for key in keys:
            number = self._ids[key] = len(self._keys)
            self._keys.append(key)
            self._places.setdefault(key.county, {}).setdefault(key.works, []).append(number)

    def advance(
        self,
        series: Ints,
        observed_at: Ints,
        received_at: Ints,
        value: npt.NDArray[np.float64],
        flag: npt.NDArray[np.uint8],
    ) -> None:
        """Take note of stored readings, given in order of series, then time."""
        if not len(series):
            return
        last = np.flatnonzero(np.r_[series[1:] != series[:-1], True])
        last = last[observed_at[last] > self.newest_at[series[last]]]
        number = series[last]
        self.newest_at[number] = observed_at[last]
        self.newest_received_at[number] = received_at[last]
        self.newest_value[number] = value[last]
        self.newest_flag[number] = flag[last]

    def latest(self, county: str, works: str | None) -> list[LatestReading]:
        """Newest readings of a county or of one works."""
        return [
            LatestReading(
                self._keys[number],
                int(self.newest_at[number]),
                int(self.newest_received_at[number]),
                float(self.newest_value[number]),
                int(self.newest_flag[number]),
            )
            for number in self._located(county, works)
            if self.newest_at[number] != NEVER
        ]

    def _located(self, county: str, works: str | None) -> Iterator[int]:
        places = self._places.get(county, {})
        for name in places if works is None else (works,):
            yield from places.get(name, ())

    def _reserve(self, size: int) -> None:
        """Grow by doubling, so that adding series one by one stays linear."""
        short = size - len(self.newest_at)
        if short <= 0:
            return
        extra = max(short, len(self.newest_at))
        self.newest_at = np.r_[self.newest_at, np.full(extra, NEVER, np.int64)]
        self.newest_received_at = np.r_[self.newest_received_at, np.zeros(extra, np.int64)]
        self.newest_value = np.r_[self.newest_value, np.full(extra, np.nan)]
        self.newest_flag = np.r_[self.newest_flag, np.zeros(extra, np.uint8)]
