"""The reference twin: a time-series store in plain dictionaries, for tests and for reading the contract.

It decides row by row, in the order given. The other adapters must agree with it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import AppendResult, LatestReading, Readings, RecordedCounts, Retention, SeriesRows, Trend
from qingquan.store.series.buckets import aggregated, check_aggregation, joined

__all__ = ["MemorySeriesStore"]


class MemorySeriesStore:
    """Holds everything in this process and forgets it at the end."""

    def __init__(self) -> None:
        self._readings: dict[SeriesKey, dict[int, LatestReading]] = {}
        self._conflicts: dict[SeriesKey, list[LatestReading]] = {}
        self._covered: dict[str, int] = {}
        self._counts = RecordedCounts(0, 0, 0, 0)

    def append(self, rows: SeriesRows, reader: str, covered: int, messages: int = 0) -> AppendResult:
        """See `SeriesStore.append`."""
        if 0 < covered <= self.covered(reader):
            return AppendResult(0, 0, 0)
        outcome = {"stored": 0, "duplicates": 0, "conflicts": 0}
        for row in range(len(rows)):
            outcome[self._take(_reading(rows, row))] += 1
        result = AppendResult(**outcome)
        self._covered[reader] = max(covered, self.covered(reader))
        self._counts = replace(
            self._counts,
            readings=self._counts.readings + result.stored,
            duplicates=self._counts.duplicates + result.duplicates,
            conflicts=self._counts.conflicts + result.conflicts,
            series=len(self._readings),
            messages=self._counts.messages + messages,
        )
        return result

    def covered(self, reader: str) -> int:
        """See `SeriesStore.covered`."""
        return self._covered.get(reader, 0)

    def maintain(self, now_ms: int, retention: Retention) -> None:
        """See `SeriesStore.maintain`: nothing, this twin keeps everything."""

    def rewind(self, reader: str, covered: int) -> None:
        """See `SeriesStore.rewind`."""
        self._covered[reader] = covered

    def latest(self, county: str, works: str | None = None) -> list[LatestReading]:
        """See `SeriesStore.latest`."""
        return [
            readings[max(readings)]
            for key, readings in self._readings.items()
            if key.county == county and works in (None, key.works)
        ]

    def range(
        self, key: SeriesKey, start: int, end: int, step_ms: int | None = None, aggregates: Sequence[str] = ("mean",)
    ) -> Trend:
        """See `SeriesStore.range`."""
        check_aggregation(step_ms, aggregates)
        raw = _trend(key, sorted(self._readings.get(key, {}).values(), key=lambda r: r.observed_at), start, end)
        if step_ms is None:
            return raw
        at, columns = aggregated(raw.observed_at, raw.columns["value"], raw.columns["flag"], step_ms, aggregates)
        return Trend(key, at, columns)

    def conflicts(self, key: SeriesKey, start: int, end: int) -> Trend:
        """See `SeriesStore.conflicts`."""
        return _trend(key, sorted(self._conflicts.get(key, []), key=lambda r: r.observed_at), start, end)

    def readings(self, keys: Sequence[SeriesKey], start: int, end: int) -> Readings:
        """See `SeriesStore.readings`."""
        return joined(
            [self.range(key, start, end) for key in keys], [self.conflicts(key, start, end).observed_at for key in keys]
        )

    def counts(self) -> RecordedCounts:
        """See `SeriesStore.counts`."""
        return self._counts

    def close(self) -> None:
        """See `SeriesStore.close`."""

    def _take(self, new: LatestReading) -> str:
        readings = self._readings.setdefault(new.key, {})
        held = readings.get(new.observed_at)
        if held is None:
            readings[new.observed_at] = new
            return "stored"
        others = [c for c in self._conflicts.get(new.key, []) if c.observed_at == new.observed_at]
        if any(_is_same(new.value, other.value) for other in (held, *others)):
            return "duplicates"
        self._conflicts.setdefault(new.key, []).append(new)
        return "conflicts"


def _reading(rows: SeriesRows, row: int) -> LatestReading:
    return LatestReading(
        rows.keys[rows.series[row]],
        int(rows.observed_at[row]),
        int(rows.received_at[row]),
        float(rows.value[row]),
        int(rows.flag[row]),
    )


def _is_same(one: float, other: float) -> bool:
    return one == other or (isnan(one) and isnan(other))


def _trend(key: SeriesKey, ordered: Sequence[LatestReading], start: int, end: int) -> Trend:
    low = bisect_left(ordered, start, key=lambda r: r.observed_at)
    high = bisect_left(ordered, end, key=lambda r: r.observed_at)
    found = ordered[low : max(low, high)]
    return Trend(
        key,
        np.array([r.observed_at for r in found], np.int64),
        {
            "value": np.array([r.value for r in found], np.float64),
            "flag": np.array([r.flag for r in found], np.float64),
        },
    )
