"""One suite for every time-series store. What holds here is the port; the twin in memory is held to it too."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from math import nan
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import AGGREGATES, AppendResult, SeriesStore
from qingquan.store.series.duckdb import DuckdbSeriesStore
from qingquan.store.series.influx import InfluxSeriesStore
from qingquan.store.series.influx_door import InfluxDoor
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.testing.influx import (
    INFLUX2_ORG,
    INFLUX2_TOKEN,
    SHIM_TOKEN,
    influx2_server,
    influx_server,
    influx_shim,
    influxd2_path,
    influxd_path,
)
from qingquan.testing.series import Row, ServedStore, rows_of

CHLORINE = SeriesKey("520425", "W0001", "outlet", "free_chlorine")
TURBIDITY = SeriesKey("520425", "W0001", "outlet", "turbidity")
NEIGHBOUR = SeriesKey("520425", "W0002", "outlet", "free_chlorine")
ABROAD = SeriesKey("520424", "W0001", "outlet", "free_chlorine")

T0 = 1_777_600_800_000  # a whole hour
MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.fixture(scope="module")
def influx_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if influxd_path() is None:
        pytest.skip("influxd (Debian package influxdb) is not installed")
    with influx_server(tmp_path_factory.mktemp("influxd")) as url:
        yield url


@pytest.fixture(scope="module")
def influx2_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with influx2_server(tmp_path_factory.mktemp("influxd2")) as url:
        yield url


@pytest.fixture
def open_influx(influx_url: str, request: pytest.FixtureRequest) -> Iterator[Callable[[str], SeriesStore]]:
    """Opens a store on a database of this test's own, by the write door asked for.

    "v2" is the shim of `qingquan.testing.influx` before a 1.x server, not a server of 2.x.
    """
    bucket = f"test_{uuid4().hex}"
    with influx_shim(influx_url) as shim:

        def opened(api: str) -> SeriesStore:
            if api == "v1":
                return InfluxSeriesStore(influx_url, bucket=bucket, api="v1")
            with closing(InfluxDoor(influx_url, "", "", bucket, "v1")) as door:
                door.query([f'CREATE DATABASE "{bucket}"'])
            return InfluxSeriesStore(shim.url, SHIM_TOKEN, "org", bucket, "v2")

        yield opened


@pytest.fixture(
    params=[
        "memory",
        "duckdb",
        "duckdb-renewed",
        "remote",
        pytest.param("influx-v1", marks=pytest.mark.debian),
        pytest.param("influx-v2", marks=pytest.mark.debian),
        *(["influx2-server"] if influxd2_path() else []),
    ]
)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], SeriesStore]]:
    """Opens the store under test; called again, closes it and opens what it kept (the twin keeps itself)."""
    twin, bucket = MemorySeriesStore(), f"test_{uuid4().hex}"
    if request.param.startswith("influx-"):
        open_influx = request.getfixturevalue("open_influx")
    openers: dict[str, Callable[[], SeriesStore]] = {
        "memory": lambda: twin,
        "duckdb": lambda: DuckdbSeriesStore(tmp_path / "series.duckdb"),
        "duckdb-renewed": lambda: DuckdbSeriesStore(tmp_path / "series.duckdb", renewed_after=1),
        "remote": lambda: ServedStore(DuckdbSeriesStore(tmp_path / "series.duckdb"), tmp_path / "recorder.sock"),
        "influx-v1": lambda: open_influx("v1"),
        "influx-v2": lambda: open_influx("v2"),
        "influx2-server": lambda: InfluxSeriesStore(
            request.getfixturevalue("influx2_url"), INFLUX2_TOKEN, INFLUX2_ORG, bucket, "v2"
        ),
    }
    opened: list[SeriesStore] = []

    def make() -> SeriesStore:
        for store in opened:
            store.close()
        opened[:] = [openers[request.param]()]
        return opened[0]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Callable[[], SeriesStore]) -> SeriesStore:
    return reopen()


def append(store: SeriesStore, rows: Sequence[Row], covered: int = 0, messages: int = 0) -> AppendResult:
    """The rows come with one message, the one that ``covered`` names."""
    return store.append(rows_of(rows, [covered] * len(rows)), "all", covered, messages)


def raw(store: SeriesStore, key: SeriesKey, start: int = T0 - HOUR, end: int = T0 + 100 * HOUR) -> list[Row]:
    trend = store.range(key, start, end)
    return [
        Row(key, int(at), float(value), int(flag))
        for at, value, flag in zip(trend.observed_at, trend.columns["value"], trend.columns["flag"], strict=True)
    ]


def test_an_empty_store_holds_nothing_and_says_so(store: SeriesStore) -> None:
    assert store.covered("all") == 0
    assert store.latest("520425") == []
    assert raw(store, CHLORINE) == []
    assert len(store.conflicts(CHLORINE, T0, T0 + HOUR).observed_at) == 0
    assert store.counts().readings == 0


def test_what_was_appended_is_read_back_in_order_of_time(store: SeriesStore) -> None:
    result = append(store, [Row(CHLORINE, T0 + MINUTE, 0.4, 1), Row(CHLORINE, T0, 0.1 + 0.2, 3)], covered=2, messages=2)
    assert result == AppendResult(2, 0, 0)
    assert raw(store, CHLORINE) == [Row(CHLORINE, T0, 0.1 + 0.2, 3), Row(CHLORINE, T0 + MINUTE, 0.4, 1)]


@pytest.mark.parametrize("value", [0.0, -0.1, 1e-300, 5e-324, 1e300, 123456789.123456789, 42.0])
def test_a_value_comes_back_to_the_last_bit(store: SeriesStore, value: float) -> None:
    append(store, [Row(CHLORINE, T0, value, 1)])
    assert raw(store, CHLORINE)[0].value == value


@pytest.mark.parametrize("flag", [1, 2, 3, 4])
def test_a_flag_comes_back_as_it_was(store: SeriesStore, flag: int) -> None:
    append(store, [Row(CHLORINE, T0, 0.4, flag)])
    assert raw(store, CHLORINE)[0].flag == flag
    assert store.latest("520425")[0].flag == flag


def test_a_missing_value_is_a_reading_of_its_own(store: SeriesStore) -> None:
    assert append(store, [Row(CHLORINE, T0, nan, 9)]) == AppendResult(1, 0, 0)
    [missing] = raw(store, CHLORINE)
    assert np.isnan(missing.value)
    assert missing.flag == 9


def test_the_same_value_again_is_a_duplicate_and_changes_nothing(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, 0.4, 1)], covered=1)
    assert append(store, [Row(CHLORINE, T0, 0.4, 3)], covered=2) == AppendResult(0, 1, 0)
    assert raw(store, CHLORINE) == [Row(CHLORINE, T0, 0.4, 1)]


def test_missing_again_is_a_duplicate(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, nan, 9), Row(CHLORINE, T0 + 1, 0.4, 1)], covered=1)
    again = [Row(CHLORINE, T0, nan, 9), Row(CHLORINE, T0, nan, 9)]
    assert append(store, again, covered=2) == AppendResult(0, 2, 0)


def test_an_older_reading_is_recognised_as_a_duplicate(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0 + i * MINUTE, i / 8, 1) for i in range(10)], covered=10)
    again = [Row(CHLORINE, T0 + i * MINUTE, i / 8, 1) for i in range(9)]
    assert append(store, again, covered=20) == AppendResult(0, 9, 0)


def test_another_value_for_the_same_time_is_kept_beside_the_first(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, 0.4, 1)], covered=1)
    assert append(store, [Row(CHLORINE, T0, 0.9, 3)], covered=2) == AppendResult(0, 0, 1)
    assert raw(store, CHLORINE) == [Row(CHLORINE, T0, 0.4, 1)]
    others = store.conflicts(CHLORINE, T0, T0 + 1)
    assert others.observed_at.tolist() == [T0]
    assert others.columns["value"].tolist() == [0.9]
    assert others.columns["flag"].tolist() == [3]


def test_within_one_append_the_first_of_two_conflicting_values_stays(store: SeriesStore) -> None:
    rows = [Row(CHLORINE, T0, 0.9, 1), Row(CHLORINE, T0, 0.4, 1), Row(CHLORINE, T0, 0.9, 1)]
    assert append(store, rows) == AppendResult(1, 1, 1)
    assert raw(store, CHLORINE)[0].value == 0.9


def test_a_value_conflicts_with_missing(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, nan, 9), Row(TURBIDITY, T0, 1.0, 1)], covered=1)
    rows = [Row(CHLORINE, T0, 0.4, 1), Row(TURBIDITY, T0, nan, 9)]
    assert append(store, rows, covered=2) == AppendResult(0, 0, 2)
    assert np.isnan(raw(store, CHLORINE)[0].value)
    assert np.isnan(store.conflicts(TURBIDITY, T0, T0 + 1).columns["value"][0])
    assert store.conflicts(TURBIDITY, T0, T0 + 1).columns["flag"].tolist() == [9]


def test_a_conflicting_value_that_comes_again_is_a_duplicate(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, 0.4, 1), Row(CHLORINE, T0, 0.9, 1)], covered=1)
    rows = [Row(CHLORINE, T0, 0.9, 1), Row(CHLORINE, T0, 0.7, 1)]
    assert append(store, rows, covered=2) == AppendResult(0, 1, 1)
    assert sorted(store.conflicts(CHLORINE, T0, T0 + 1).columns["value"]) == [0.7, 0.9]


def test_progress_is_kept_per_reader_and_never_goes_back(store: SeriesStore) -> None:
    store.append(rows_of([]), "all", 5)
    store.append(rows_of([]), "other", 9)
    store.append(rows_of([]), "all", 3)
    assert (store.covered("all"), store.covered("other"), store.covered("nobody")) == (5, 9, 0)


def test_an_append_already_covered_changes_nothing(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, 0.4, 1)], covered=7, messages=1)
    before = store.counts()
    assert append(store, [Row(CHLORINE, T0, 0.4, 1)], covered=7, messages=1) == AppendResult(0, 0, 0)
    assert store.counts() == before


def test_a_mark_put_back_lets_a_new_log_be_recorded_and_keeps_the_totals(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, 0.4, 1)], covered=7, messages=1)
    store.rewind("all", 2)
    assert store.covered("all") == 2
    rows = [Row(CHLORINE, T0, 0.4, 1), Row(CHLORINE, T0 + 1, 0.5, 1)]
    assert append(store, rows, covered=3, messages=1) == AppendResult(1, 1, 0)
    assert store.covered("all") == 3
    counts = store.counts()
    assert (counts.readings, counts.duplicates, counts.messages) == (2, 1, 2)


def test_totals_account_for_every_row(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, 0.4, 1), Row(TURBIDITY, T0, 1.0, 1)], covered=1, messages=1)
    append(store, [Row(CHLORINE, T0, 0.4, 1), Row(CHLORINE, T0, 0.9, 1)], covered=2, messages=1)
    counts = store.counts()
    assert (counts.readings, counts.duplicates, counts.conflicts) == (2, 1, 1)
    assert (counts.series, counts.messages) == (2, 2)


def test_latest_is_the_newest_by_its_own_time_not_by_arrival(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0 + HOUR, 0.5, 1)], covered=1)
    append(store, [Row(CHLORINE, T0, 0.2, 1)], covered=2)
    [latest] = store.latest("520425", "W0001")
    assert (latest.key, latest.observed_at, latest.value, latest.flag) == (CHLORINE, T0 + HOUR, 0.5, 1)
    assert latest.received_at == T0 + HOUR + 1500


def test_latest_keeps_to_the_works_and_the_county_asked_for(store: SeriesStore) -> None:
    append(store, [Row(key, T0, 0.5, 1) for key in (CHLORINE, TURBIDITY, NEIGHBOUR, ABROAD)])
    assert {r.key for r in store.latest("520425")} == {CHLORINE, TURBIDITY, NEIGHBOUR}
    assert {r.key for r in store.latest("520425", "W0002")} == {NEIGHBOUR}
    assert store.latest("520425", "W9999") == []
    assert store.latest("110101") == []


def test_latest_shows_a_missing_value_as_missing(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, 0.5, 1), Row(CHLORINE, T0 + MINUTE, nan, 9)])
    [latest] = store.latest("520425")
    assert (latest.observed_at, latest.flag) == (T0 + MINUTE, 9)
    assert np.isnan(latest.value)


def test_a_range_includes_its_start_and_excludes_its_end(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0 + i, float(i), 1) for i in range(4)])
    assert [r.value for r in raw(store, CHLORINE, T0 + 1, T0 + 3)] == [1.0, 2.0]
    assert raw(store, CHLORINE, T0 + 3, T0 + 3) == []
    assert raw(store, CHLORINE, T0 + 3, T0) == []


def test_series_do_not_mix(store: SeriesStore) -> None:
    keys = (CHLORINE, TURBIDITY, NEIGHBOUR, ABROAD)
    append(store, [Row(key, T0, float(n), 1) for n, key in enumerate(keys)])
    assert [raw(store, key)[0].value for key in keys] == [0.0, 1.0, 2.0, 3.0]


def test_buckets_are_aligned_to_the_epoch_and_empty_ones_left_out(store: SeriesStore) -> None:
    minutes = {50: 1.0, 55: 3.0, 61: 5.0, 200: 7.0}
    append(store, [Row(CHLORINE, T0 + m * MINUTE, value, 1) for m, value in minutes.items()])
    trend = store.range(CHLORINE, T0 + 50 * MINUTE, T0 + 10 * HOUR, HOUR, ("mean", "min", "max", "count"))
    assert trend.observed_at.tolist() == [T0, T0 + HOUR, T0 + 3 * HOUR]
    assert trend.columns["mean"].tolist() == [2.0, 5.0, 7.0]
    assert trend.columns["min"].tolist() == [1.0, 5.0, 7.0]
    assert trend.columns["max"].tolist() == [3.0, 5.0, 7.0]
    assert trend.columns["count"].tolist() == [2.0, 1.0, 1.0]


def test_aggregates_leave_out_missing_and_failed_readings(store: SeriesStore) -> None:
    rows = [
        Row(CHLORINE, T0, 0.4, 1),
        Row(CHLORINE, T0 + MINUTE, 0.8, 3),
        Row(CHLORINE, T0 + 2 * MINUTE, 99.0, 4),
        Row(CHLORINE, T0 + 3 * MINUTE, nan, 9),
        Row(CHLORINE, T0 + HOUR, 99.0, 4),
        Row(CHLORINE, T0 + 2 * HOUR, nan, 9),
        Row(CHLORINE, T0 + 3 * HOUR, 0.5, 1),
    ]
    append(store, rows)
    trend = store.range(CHLORINE, T0, T0 + 4 * HOUR, HOUR, ("max", "count"))
    assert trend.observed_at.tolist() == [T0, T0 + 3 * HOUR]
    assert trend.columns["max"].tolist() == [0.8, 0.5]
    assert trend.columns["count"].tolist() == [2.0, 1.0]


def test_the_last_value_and_the_good_ones_of_a_step_are_told(store: SeriesStore) -> None:
    rows = [Row(CHLORINE, T0, 0.9, 1), Row(CHLORINE, T0 + 2 * MINUTE, 0.4, 3), Row(CHLORINE, T0 + MINUTE, 0.5, 2)]
    append(store, [*rows, Row(CHLORINE, T0 + 3 * MINUTE, 99.0, 4), Row(CHLORINE, T0 + HOUR, 0.7, 1)])
    trend = store.range(CHLORINE, T0, T0 + 2 * HOUR, HOUR, ("last", "good", "count"))
    assert trend.columns["last"].tolist() == [0.4, 0.7]
    assert trend.columns["good"].tolist() == [1.0, 1.0]
    assert trend.columns["count"].tolist() == [3.0, 1.0]


def test_only_the_aggregates_asked_for_come_back(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0, 0.4, 1)])
    assert list(store.range(CHLORINE, T0, T0 + HOUR, HOUR).columns) == ["mean"]
    assert list(store.range(ABROAD, T0, T0 + HOUR, HOUR, ("max",)).columns) == ["max"]


@pytest.mark.parametrize(("step", "aggregates"), [(0, ("mean",)), (-1, ("mean",)), (HOUR, ("median",)), (HOUR, ())])
def test_a_step_or_an_aggregate_that_makes_no_sense_is_refused(
    store: SeriesStore, step: int, aggregates: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"step|aggregates"):
        store.range(CHLORINE, T0, T0 + HOUR, step, aggregates)


def test_readings_of_several_series_come_at_once_in_the_order_asked_for(store: SeriesStore) -> None:
    append(store, [Row(key, T0 + i, float(i), 1) for key in (CHLORINE, TURBIDITY) for i in (2, 0, 1)])
    append(store, [Row(NEIGHBOUR, T0, nan, 9)], covered=2)
    found = store.readings([TURBIDITY, ABROAD, NEIGHBOUR, CHLORINE], T0, T0 + 2)
    assert found.first.tolist() == [0, 2, 2, 3, 5]
    assert found.observed_at.tolist() == [T0, T0 + 1, T0, T0, T0 + 1]
    np.testing.assert_array_equal(found.value, [0.0, 1.0, nan, 0.0, 1.0])
    assert found.flag.tolist() == [1, 1, 9, 1, 1]
    assert store.readings([], T0, T0 + 2).first.tolist() == [0]
    # Whoever wants everything asks from before until after any clock.
    ever = store.readings([TURBIDITY, ABROAD, NEIGHBOUR, CHLORINE], -(2**60), 2**60)
    assert ever.observed_at.tolist() == [T0, T0 + 1, T0 + 2, T0, T0, T0 + 1, T0 + 2]
    assert store.range(CHLORINE, -(2**60), 2**60).observed_at.tolist() == [T0, T0 + 1, T0 + 2]


def test_readings_for_judging_are_suspect_where_another_value_came(store: SeriesStore) -> None:
    append(store, [Row(CHLORINE, T0 + i, 0.4, 4 if i == 2 else 1) for i in range(4)], covered=1)
    append(store, [Row(CHLORINE, T0 + i, 0.9, 1) for i in (1, 2)], covered=2)
    append(store, [Row(TURBIDITY, T0 + 3, 0.9, 1)], covered=3)
    assert store.readings([CHLORINE], T0, T0 + 9).flag.tolist() == [1, 3, 4, 1]


def _mixed(parts: int) -> list[list[Row]]:
    """Appends of three days: minutes missing, late stretches, repeats, contradictions, failed and missing values."""
    dice = np.random.default_rng(20260601)
    made: list[list[Row]] = []
    for number in range(parts):
        begun = T0 + (number - int(dice.integers(0, 3))) * 7 * HOUR
        minutes = np.sort(dice.choice(600, 40, replace=False))
        rows = [
            Row(
                (CHLORINE, TURBIDITY, NEIGHBOUR)[minute % 3],
                begun + int(minute) * MINUTE,
                float(value),
                9 if np.isnan(value) else int(flag),
            )
            for minute, value, flag in zip(
                minutes, dice.choice([0.1, 0.3, 7.0, nan], 40), dice.choice([1, 1, 2, 3, 4], 40), strict=True
            )
        ]
        again = [rows[n] for n in dice.integers(0, 40, 5)]
        made.append([*rows, *again, *(row._replace(value=0.2) for row in again[:2])])
    return made


@pytest.mark.parametrize("is_reopened", [False, True])
def test_trends_by_any_step_are_those_of_the_readings(reopen: Callable[[], SeriesStore], is_reopened: bool) -> None:
    twin, store = MemorySeriesStore(), reopen()
    for number, rows in enumerate(_mixed(10), 1):
        assert append(store, rows, covered=number) == append(twin, rows, covered=number)
        store = reopen() if is_reopened else store
    for key, step in itertools.product((CHLORINE, NEIGHBOUR), (MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR, 24 * HOUR)):
        for start, end in ((T0 - HOUR, T0 + 100 * HOUR), (T0 + 3 * MINUTE, T0 + 29 * HOUR + 61_000)):
            expected = twin.range(key, start, end, step, AGGREGATES)
            found = store.range(key, start, end, step, AGGREGATES)
            assert found.observed_at.tolist() == expected.observed_at.tolist()
            for name in AGGREGATES:
                np.testing.assert_allclose(found.columns[name], expected.columns[name], rtol=1e-12, atol=1e-12)
    assert store.counts() == twin.counts()


def test_everything_outlives_a_restart(reopen: Callable[[], SeriesStore]) -> None:
    rows = [Row(CHLORINE, T0, 0.4, 1), Row(CHLORINE, T0, 0.9, 1), Row(TURBIDITY, T0 + 1, nan, 9)]
    store = reopen()
    append(store, rows, covered=4, messages=3)
    counts, latest = store.counts(), store.latest("520425")
    store = reopen()
    assert store.covered("all") == 4
    assert store.counts() == counts
    assert sorted(map(repr, store.latest("520425"))) == sorted(map(repr, latest))
    assert raw(store, CHLORINE) == rows[:1]
    assert append(store, rows, covered=5) == AppendResult(0, 3, 0)
    assert append(store, [Row(ABROAD, T0, 1.0, 1)], covered=6) == AppendResult(1, 0, 0)
    assert raw(store, ABROAD) == [Row(ABROAD, T0, 1.0, 1)]


def test_closing_twice_does_nothing(store: SeriesStore) -> None:
    store.close()
    store.close()
