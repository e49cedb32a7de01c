"""Rollups answer what the readings themselves would answer, whatever came in which order, twice or with another value."""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import AGGREGATES, Readings, Retention, Trend
from qingquan.store.series.duckdb import DuckdbSeriesStore
from qingquan.store.series.duckdb_order import EVERY_READING
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.series.rollups import LEVELS
from qingquan.testing.series import Row, rows_of

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
T0 = 1_777_600_800_000
KEYS = [SeriesKey("520425", "W0001", "outlet", name) for name in ("ph", "turbidity")]

row = st.builds(
    Row,
    st.sampled_from(KEYS),
    st.one_of(st.integers(0, 200), st.integers(0, 4000)).map(lambda minute: T0 + minute * MINUTE),
    st.sampled_from([0.1, 0.25, 0.3, 7.0, float("nan"), -1.5]),
    st.sampled_from([1, 1, 2, 3, 4]),
)
batches = st.lists(st.lists(row, max_size=30), min_size=1, max_size=6)
steps = st.sampled_from([MINUTE, 5 * MINUTE, 10 * MINUTE, 7 * MINUTE, HOUR, 3 * HOUR, DAY, 7 * DAY])


@settings(max_examples=40, deadline=None)
@given(
    batches, st.booleans(), st.booleans(), st.lists(st.tuples(steps, st.integers(-60, 4100), st.integers(-60, 4100)), min_size=1, max_size=6)
)  # fmt: skip
def test_rollups_equal_the_readings(
    parts: list[list[Row]], is_reopened: bool, is_ordered: bool, asked: list[tuple[int, int, int]]
) -> None:
    twin = MemorySeriesStore()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.duckdb"
        store = DuckdbSeriesStore(path, threads=1, most_moved=7)
        for number, part in enumerate(parts, 1):
            assert store.append(rows_of(part), "all", number) == twin.append(rows_of(part), "all", number)
            if is_ordered:
                store.maintain(0, Retention(0, 0, 0, 0))
            if is_reopened:
                store.close()
                store = DuckdbSeriesStore(path, threads=1)
        for key, (step, first, last) in itertools.product(KEYS, asked):
            start, end = T0 + first * MINUTE, T0 + last * MINUTE
            expected = twin.range(key, start, end, step, AGGREGATES)
            found = store.range(key, start, end, step, AGGREGATES)
            assert found.observed_at.tolist() == expected.observed_at.tolist()
            for name in AGGREGATES:
                np.testing.assert_allclose(found.columns[name], expected.columns[name], rtol=1e-12, atol=1e-12)
            _are_same(store.range(key, start, end), twin.range(key, start, end))
            _are_same(store.readings([key], start, end), twin.readings([key], start, end))
        assert sorted(map(repr, store.latest("520425"))) == sorted(map(repr, twin.latest("520425")))
        store.close()
        _held_buckets_are_those_of_the_readings(path)


def _are_same(found: Trend | Readings, expected: Trend | Readings) -> None:
    assert found.observed_at.tolist() == expected.observed_at.tolist()
    for one, other in zip(_columns_of(found), _columns_of(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def _columns_of(found: Trend | Readings) -> list[npt.NDArray[Any]]:
    return list(found.columns.values()) if isinstance(found, Trend) else [found.value, found.flag]


def _held_buckets_are_those_of_the_readings(path: Path) -> None:
    with duckdb.connect(str(path), read_only=True) as connection:
        for level in LEVELS:
            held = connection.execute(f"SELECT series, bucket, count FROM {level.table} ORDER BY 1, 2").fetchall()
            made = connection.execute(
                f"SELECT r.series, observed_at // {level.step} * {level.step} AS b, count(*) FROM {EVERY_READING} r JOIN"
                f" (SELECT series, max(observed_at) AS newest FROM {EVERY_READING} GROUP BY 1) n USING (series)"
                f" WHERE value IS NOT NULL AND flag NOT IN (4, 9) AND b < newest // {level.step} * {level.step}"
                " GROUP BY 1, 2 ORDER BY 1, 2"
            ).fetchall()
            assert held == made


def _fill(store: DuckdbSeriesStore, days: int, first: int = 0) -> None:
    rows = [Row(KEYS[0], T0 + n * HOUR, float(n % 24), 1) for n in range(first, days * 24)]
    store.append(rows_of(rows), "all", 0)


def test_old_readings_go_and_their_rollups_stay_and_are_final(tmp_path: Path) -> None:
    store = DuckdbSeriesStore(tmp_path / "series.duckdb")
    _fill(store, 40)
    silent = Row(KEYS[1], T0 + 90 * MINUTE, 3.0, 1)
    store.append(rows_of([silent]), "all", 0)
    before = store.range(KEYS[0], T0 - DAY, T0 + 50 * DAY, HOUR, AGGREGATES)
    now = T0 + 40 * DAY
    for _ in range(2):
        store.maintain(now, Retention(raw=10, fine=20, hour=30, day=0))
    assert int(store.range(KEYS[0], T0, now).observed_at[0]) >= now - 11 * DAY
    hourly = store.range(KEYS[0], T0 - DAY, T0 + 50 * DAY, HOUR, AGGREGATES)
    kept = before.observed_at >= hourly.observed_at[0]
    assert hourly.observed_at.tolist() == before.observed_at[kept].tolist()
    np.testing.assert_allclose(hourly.columns["mean"], before.columns["mean"][kept])
    assert int(hourly.observed_at[0]) <= now - 29 * DAY
    daily = store.range(KEYS[0], T0 - DAY, T0 + 50 * DAY, DAY, ("count",))
    assert daily.columns["count"].sum() == 40 * 24
    # A series silent for longer than that: its open buckets were written, its newest reading is still known.
    assert store.range(KEYS[1], T0 - DAY, now, DAY, ("count",)).columns["count"].tolist() == [1.0]
    # A reading older than what is kept changes nothing that is final.
    late = Row(KEYS[0], T0 + 5 * MINUTE, 99.0, 1)
    store.append(rows_of([late]), "all", 0)
    store.append(rows_of([Row(KEYS[1], now, 5.0, 1)]), "all", 0)
    assert store.range(KEYS[0], T0 - DAY, T0 + 50 * DAY, DAY, ("count",)).columns["count"].sum() == 40 * 24
    assert store.range(KEYS[1], T0 - DAY, now + 1, DAY, ("count",)).columns["count"].tolist() == [1.0, 1.0]
    store.close()
    again = DuckdbSeriesStore(tmp_path / "series.duckdb")
    assert {one.key for one in again.latest("520425")} == set(KEYS)
    assert again.range(KEYS[0], T0 - DAY, T0 + 50 * DAY, DAY, ("count",)).columns["count"].sum() == 40 * 24
    again.close()


def test_a_recording_of_years_ago_stays_whole_and_so_does_everything_under_a_clock_that_jumps_ahead(
    tmp_path: Path,
) -> None:
    store = DuckdbSeriesStore(tmp_path / "series.duckdb")
    _fill(store, 5)
    store.maintain(T0 + 4000 * DAY, Retention(raw=10, fine=20, hour=30, day=40))
    assert len(store.range(KEYS[0], T0, T0 + 9 * DAY).observed_at) == 5 * 24
    # The age of readings counts back from the newest of all, whatever the clock says beyond it; whole days (UTC) go, and T0 is 02:00.
    store.append(rows_of([Row(KEYS[1], T0 + 12 * DAY, 5.0, 1)]), "all", 0)
    store.maintain(T0 + 4000 * DAY, Retention(raw=10, fine=20, hour=30, day=40))
    assert len(store.range(KEYS[0], T0, T0 + 9 * DAY).observed_at) == 3 * 24 + 2
    store.close()


def test_putting_in_order_changes_no_answer(tmp_path: Path) -> None:
    store = DuckdbSeriesStore(tmp_path / "series.duckdb")
    _fill(store, 80)
    before = store.range(KEYS[0], T0, T0 + 90 * DAY, HOUR, AGGREGATES)
    store.maintain(T0 + 80 * DAY, Retention())
    after = store.range(KEYS[0], T0, T0 + 90 * DAY, HOUR, AGGREGATES)
    for name in AGGREGATES:
        np.testing.assert_array_equal(before.columns[name], after.columns[name])
    store.close()


def test_a_file_from_before_there_were_rollups_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "series.duckdb"
    store = DuckdbSeriesStore(path)
    _fill(store, 3)
    before = store.range(KEYS[0], T0, T0 + 9 * DAY, HOUR, AGGREGATES)
    store.close()
    with duckdb.connect(str(path)) as connection:
        for table in (*(level.table for level in LEVELS), "rollup_state"):
            connection.execute(f"DROP TABLE {table}")
    store = DuckdbSeriesStore(path)
    after = store.range(KEYS[0], T0, T0 + 9 * DAY, HOUR, AGGREGATES)
    for name in AGGREGATES:
        np.testing.assert_array_equal(before.columns[name], after.columns[name])
    store.close()
    _held_buckets_are_those_of_the_readings(path)


def test_times_of_keeping_that_contradict_each_other_are_named() -> None:
    assert Retention().faults() == []
    [fault] = Retention(raw=0, fine=10).faults()
    assert fault.startswith("retention_5min_days = 10: allowed: retention_raw_days (0) or more")
