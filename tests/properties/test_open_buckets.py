"""Rollups of a writer that remembers its open buckets are those of the readings, to the last bit, whatever came late and whoever
began in the middle; and live data make it ask for nothing."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.readings import SeriesKey
from qingquan.store.series.identity import NEVER
from qingquan.store.series.influx_lines import LineNames, StoredColumns
from qingquan.store.series.influx_rollups import InfluxRollups
from qingquan.store.series.open_buckets import OpenBuckets
from qingquan.store.series.rollup_rows import RollupRows, rows_of_readings, summed
from qingquan.store.series.rollups import LEVELS, Level

MINUTE = 60_000
T0 = 1_777_600_800_000
KEYS = [SeriesKey("520425", "W0001", "outlet", name) for name in ("ph", "turbidity")]
NONE_FROZEN = NEVER + 1

Reading = tuple[int, int, float, int]

# Close together, and days apart; 0.1 and 0.3 do not add up exactly, so the order of adding shows.
times = st.one_of(st.integers(0, 40), st.integers(0, 200), st.integers(0, 4000)).map(
    lambda minute: T0 + minute * MINUTE
)
values = st.sampled_from([0.1, 0.3, 1e16, 7.0, float("nan"), -0.0, -1.5])
reading = st.tuples(st.integers(0, 1), times, values, st.sampled_from([1, 1, 1, 3, 4]))
batches = st.lists(st.lists(reading, max_size=40), min_size=1, max_size=8)


class Kept(InfluxRollups):
    """Where a server would be there are two lists; how often it was asked."""

    def __init__(self) -> None:
        self.readings: dict[tuple[int, int], tuple[float, int]] = {}
        self.rows: dict[Level, dict[tuple[int, int], tuple[Any, ...]]] = {level: {} for level in LEVELS}
        self.asked = 0

    def _finer(self, number: int, spans: Sequence[Any]) -> RollupRows:
        self.asked += 1
        wanted = [
            (series, span.start, span.end) for span in spans for one in span.points.values() for series in one.values()
        ]
        if number == 0:
            found = [
                (*place, *self.readings[place])
                for place in self.readings
                if any(place[0] == series and start <= place[1] < end for series, start, end in wanted)
            ]
            series, at, value, flag = (np.array(column) for column in zip(*found, strict=True))
            return rows_of_readings(series, at, value, flag)
        rows = [
            row
            for place, row in self.rows[LEVELS[number - 1]].items()
            if any(place[0] == series and start <= place[1] < end for series, start, end in wanted)
        ]
        return rows_of(rows)

    def _write(self, level: Level, names: LineNames, rows: RollupRows) -> None:
        for row in zip(*(column.tolist() for column in rows.columns()), strict=True):
            self.rows[level][row[0], row[1]] = row


def rows_of(rows: Sequence[tuple[Any, ...]]) -> RollupRows:
    columns = list(zip(*rows, strict=True)) if rows else [()] * 9
    whole = (0, 1, 8)
    return RollupRows(*(np.array(one, np.int64 if n in whole else np.float64) for n, one in enumerate(columns)))


class Writer:
    """What the adapter does around it: first value of a time wins, rows go in order of series, then time."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.opened = OpenBuckets()

    def append(self, batch: Sequence[Reading]) -> None:
        newest = np.full(len(KEYS), NEVER, np.int64)
        for series, at in self.kept.readings:
            newest[series] = max(newest[series], at)
        new = {}
        for series, at, value, flag in batch:
            if (series, at) not in self.kept.readings:
                new.setdefault((series, at), (value, 9 if np.isnan(value) else flag))
        self.kept.readings |= new
        rows = sorted((*place, *held) for place, held in new.items())
        series, at, value, flag = zip(*rows, strict=True) if rows else ((), (), (), ())
        zeros = np.zeros(len(rows), np.int64)
        stored = StoredColumns(
            np.array(series, np.int64), np.array(at, np.int64), zeros, np.array(value, float), np.array(flag, np.uint8),
            zeros,
        )  # fmt: skip
        self.kept.keep(KEYS, LineNames().follow(KEYS), stored, (newest, newest), NONE_FROZEN, self.opened)


def expected(kept: Kept) -> dict[Level, dict[tuple[int, int], tuple[Any, ...]]]:
    """All closed buckets of all readings at once, level by level, as they are defined."""
    rows = sorted((*place, *held) for place, held in kept.readings.items())
    series, at, value, flag = (np.array(column) for column in zip(*rows, strict=True))
    finer = rows_of_readings(series, at, value, flag)
    found = {}
    for level in LEVELS:
        sums = summed(finer, level.step)
        newest = np.array([max((one[1] for one in rows if one[0] == number), default=0) for number in range(len(KEYS))])
        finer = sums.where(sums.bucket < newest[sums.series] // level.step * level.step)
        columns = [column.tolist() for column in finer.columns()]
        found[level] = {(row[0], row[1]): row for row in zip(*columns, strict=True)}
    return found


@settings(max_examples=150, deadline=None)
@given(batches, st.lists(st.booleans(), min_size=8, max_size=8))
def test_rollups_are_those_of_the_readings_to_the_last_bit(parts: list[list[Reading]], begins_anew: list[bool]) -> None:
    kept = Kept()
    writer = Writer(kept)
    for part, is_new in zip(parts, begins_anew, strict=False):
        if is_new:
            writer = Writer(kept)
        writer.append(part)
        if kept.readings:
            assert kept.rows == expected(kept)


def live(first: int, last: int) -> list[Reading]:
    return [(series, T0 + minute * MINUTE, 0.1 * (minute % 7), 1) for minute in range(first, last) for series in (0, 1)]


def test_live_data_ask_for_nothing() -> None:
    writer = Writer(Kept())
    for minute in range(0, 3000, 7):
        writer.append(live(minute, minute + 7))
    assert writer.kept.asked == 0
    assert [len(writer.kept.rows[level]) for level in LEVELS] == [2 * 600, 2 * 50, 2 * 2]


def test_a_bucket_that_was_asked_for_is_the_last_one() -> None:
    """Late once, or begun in the middle: what lies open then is asked for when it closes, and nothing after it."""
    writer = Writer(Kept())
    writer.append(live(0, 12))
    writer.append(live(14, 15))
    writer.append(live(13, 14))  # late, in the bucket that is open
    assert writer.kept.asked == 0
    writer.append(live(15, 61))  # it closes
    assert writer.kept.asked == 1
    writer.append(live(61, 5 * 60))
    assert writer.kept.asked == 1
    again = Writer(writer.kept)
    again.append(live(5 * 60, 3 * 24 * 60))  # of each level the bucket that was open
    assert writer.kept.asked == 1 + len(LEVELS)
    again.append(live(3 * 24 * 60, 5 * 24 * 60))
    assert writer.kept.asked == 1 + len(LEVELS)
    assert writer.kept.rows == expected(writer.kept)
