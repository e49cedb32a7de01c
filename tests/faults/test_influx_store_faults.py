"""The InfluxDB adapter when the server refuses, cuts the line or stops between two writes. A real 1.x server stands behind."""

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.store.ports import AGGREGATES, AppendResult
from qingquan.store.series.influx import InfluxSeriesStore
from qingquan.store.series.influx_door import InfluxDoor, LinesRefused, StoreBusy
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.testing.influx import SHIM_TOKEN, Shim, influx_server, influx_shim, influxd_path
from qingquan.testing.series import Row, rows_of

pytestmark = pytest.mark.debian

CHLORINE = SeriesKey("520425", "W0001", "outlet", "free_chlorine")
TURBIDITY = SeriesKey("520425", "W0001", "outlet", "turbidity")
T0 = 1_777_600_800_000

# Messages 1 to 6: two readings, a duplicate, two conflicts, one more reading.
ROWS = [
    Row(CHLORINE, T0, 0.4, 1),
    Row(TURBIDITY, T0, 0.5, 3),
    Row(CHLORINE, T0, 0.4, 1),
    Row(CHLORINE, T0, 0.9, 1),
    Row(CHLORINE, T0, 0.7, 1),
    Row(CHLORINE, T0 + 60_000, 0.3, 1),
]


@pytest.fixture(scope="module")
def influx_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if influxd_path() is None:
        pytest.skip("influxd (Debian package influxdb) is not installed")
    with influx_server(tmp_path_factory.mktemp("influxd")) as url:
        yield url


@pytest.fixture
def shim(influx_url: str) -> Iterator[Shim]:
    with influx_shim(influx_url) as running:
        yield running


@pytest.fixture
def bucket(influx_url: str) -> str:
    name = f"test_{uuid4().hex}"
    with closing(InfluxDoor(influx_url, "", "", name, "v1")) as door:
        door.query([f'CREATE DATABASE "{name}"'])
    return name


@pytest.fixture
def opened(shim: Shim, bucket: str) -> Iterator[Callable[[], InfluxSeriesStore]]:
    """Opens the same database again and again, as a restarted recorder does."""
    stores: list[InfluxSeriesStore] = []

    def make() -> InfluxSeriesStore:
        stores.append(InfluxSeriesStore(shim.url, SHIM_TOKEN, "org", bucket))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def cut_after(shim: Shim, writes: int) -> None:
    """Let so many writes pass and cut the connection on the next one."""
    shim.refusals += [(-1, {}, "") for _ in range(writes)]
    shim.refusals.append((0, {}, ""))


@pytest.mark.parametrize("writes_before_the_cut", range(4))
@pytest.mark.parametrize("is_restarted", [False, True])
def test_an_append_cut_short_anywhere_and_sent_again_is_counted_once(
    opened: Callable[[], InfluxSeriesStore], shim: Shim, writes_before_the_cut: int, is_restarted: bool
) -> None:
    store = opened()
    cut_after(shim, writes_before_the_cut)
    with pytest.raises(StoreUnavailable):
        store.append(rows_of(ROWS), "all", 6, 6)
    assert shim.writes == writes_before_the_cut
    if is_restarted:
        store = opened()
    assert store.covered("all") == 0
    assert store.append(rows_of(ROWS), "all", 6, 6) == AppendResult(3, 1, 2)
    counts = store.counts()
    assert (counts.readings, counts.duplicates, counts.conflicts, counts.messages) == (3, 1, 2, 6)
    assert sorted(store.conflicts(CHLORINE, T0, T0 + 1).columns["value"]) == [0.7, 0.9]


@pytest.mark.parametrize("writes_before_the_cut", range(4))
def test_sent_again_in_other_batches_it_is_still_counted_once(
    opened: Callable[[], InfluxSeriesStore], shim: Shim, writes_before_the_cut: int
) -> None:
    cut_after(shim, writes_before_the_cut)
    with pytest.raises(StoreUnavailable):
        opened().append(rows_of(ROWS), "all", 6, 6)
    store = opened()
    for number, row in enumerate(ROWS, 1):
        store.append(rows_of([row], [number]), "all", number, 1)
    counts = store.counts()
    assert (counts.readings, counts.duplicates, counts.conflicts, counts.messages) == (3, 1, 2, 6)
    assert sorted(store.conflicts(CHLORINE, T0, T0 + 1).columns["value"]) == [0.7, 0.9]
    assert store.range(CHLORINE, T0, T0 + 1).columns["value"].tolist() == [0.4]


# A day and more: minutes of two series, so that buckets of all levels close within one append; one value failed.
LONG = [
    Row((CHLORINE, TURBIDITY)[n % 2], T0 + n * 7 * 60_000, n % 10 / 4, 4 if n == 50 else 1)
    for n in range(400)
]  # fmt: skip


@pytest.mark.parametrize("writes_before_the_cut", range(6))
@pytest.mark.parametrize("is_split", [False, True])
def test_rollups_are_whole_after_an_append_cut_short_anywhere(
    opened: Callable[[], InfluxSeriesStore], shim: Shim, writes_before_the_cut: int, is_split: bool
) -> None:
    twin, store = MemorySeriesStore(), opened()
    for one in (twin, store):
        one.append(rows_of(LONG[:101]), "all", 101)
    cut_after(shim, writes_before_the_cut)
    with pytest.raises(StoreUnavailable):
        store.append(rows_of(LONG[101:], range(102, 401)), "all", 400)
    store = opened()
    cuts = [101, 230, 233, 400] if is_split else [101, 400]
    for first, last in itertools.pairwise(cuts):
        for one in (twin, store):
            one.append(rows_of(LONG[first:last], range(first + 1, last + 1)), "all", last)
    shim.refusals.clear()
    assert store.counts() == twin.counts()
    for key, step in itertools.product((CHLORINE, TURBIDITY), (5 * 60_000, 3_600_000, 86_400_000)):
        expected = twin.range(key, T0, T0 + 10 * 86_400_000, step, AGGREGATES)
        found = store.range(key, T0, T0 + 10 * 86_400_000, step, AGGREGATES)
        assert found.observed_at.tolist() == expected.observed_at.tolist()
        for name in AGGREGATES:
            np.testing.assert_allclose(found.columns[name], expected.columns[name], rtol=1e-12)


def test_what_a_predecessor_still_writes_after_a_take_over_is_booked_once(
    opened: Callable[[], InfluxSeriesStore],
) -> None:
    """It was stopped in the middle of an append and wakes when its successor has looked where to begin."""
    stopped, successor, rows = opened(), opened(), [Row(CHLORINE, T0 + n * 1000, n / 8, 1) for n in range(300)]
    stopped.append(rows_of(rows[:100]), "recorder/3", 100, 100)
    assert successor.covered("recorder/3") == 100
    stopped.append(rows_of(rows[100:180], range(101, 181)), "recorder/3", 180, 80)
    assert successor.append(rows_of(rows[100:250], range(101, 251)), "recorder/3", 250, 150) == AppendResult(150, 0, 0)
    assert successor.append(rows_of(rows[250:], range(251, 301)), "recorder/3", 300, 50) == AppendResult(50, 0, 0)
    counts = opened().counts()
    assert (counts.readings, counts.duplicates, counts.conflicts, counts.messages) == (300, 0, 0, 300)
    # What it has covered itself since is not forgotten over a look.
    assert successor.covered("recorder/3") == 300
    assert successor.append(rows_of(rows[280:], range(281, 301)), "recorder/3", 300, 20) == AppendResult(0, 0, 0)


def test_closing_waits_for_no_append_and_the_append_writes_nothing_more(
    opened: Callable[[], InfluxSeriesStore], shim: Shim
) -> None:
    """Who lost a partition closes its store; waiting for the server there, it lost all its other partitions, too."""
    store, rows = opened(), [Row(CHLORINE, T0 + n * 1000, n / 8, 1) for n in range(300)]
    store.append(rows_of(rows[:10]), "all", 10, 10)
    shim.passes.clear()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(store.append, rows_of(rows[10:], range(11, 301)), "all", 300, 290)
        with pytest.raises(TimeoutError):
            under_way.result(0.5)
        began = time.monotonic()
        store.close()
        closed_after_s = time.monotonic() - began
        before = shim.writes
        shim.passes.set()
        with pytest.raises(StoreUnavailable, match="closed"):
            under_way.result(20)
    # The server would have kept it waiting for 30 s.
    assert closed_after_s < 10
    assert shim.writes <= before + 1
    again = opened()
    assert again.covered("all") == 10
    assert again.append(rows_of(rows[10:], range(11, 301)), "all", 300, 290) == AppendResult(290, 0, 0)
    assert again.counts().messages == 300


def test_a_token_that_may_not_make_buckets_is_named_with_the_remedy(
    opened: Callable[[], InfluxSeriesStore], shim: Shim
) -> None:
    shim.forbids_buckets = True
    with pytest.raises(StoreUnavailable, match=r"_5min' cannot be made.*give influx_token the right"):
        opened().append(rows_of(ROWS), "all", 6)


def test_a_reading_older_than_what_is_kept_changes_no_rollup(influx_url: str, bucket: str) -> None:
    with closing(InfluxSeriesStore(influx_url, bucket=bucket, api="v1", wall_ms=lambda: T0)) as store:
        store.append(rows_of(LONG), "all", 400)
        hourly = store.range(CHLORINE, T0, T0 + 86_400_000, 3_600_000, AGGREGATES)
        store._frozen_before = T0 + 3_600_000
        late = Row(CHLORINE, T0 + 61_000, 99.0, 1)
        store.append(rows_of([late], [401]), "all", 401)
        again = store.range(CHLORINE, T0, T0 + 86_400_000, 3_600_000, AGGREGATES)
    for name in AGGREGATES:
        np.testing.assert_array_equal(again.columns[name], hourly.columns[name])


def test_history_from_before_there_were_rollups_is_still_answered(influx_url: str, bucket: str) -> None:
    store = InfluxSeriesStore(influx_url, bucket=bucket, api="v1")
    store.append(rows_of(LONG), "all", 400)
    before = store.range(CHLORINE, T0, T0 + 10**9, 3_600_000, AGGREGATES)
    store.close()
    with closing(InfluxDoor(influx_url, "", "", bucket, "v1")) as door:
        # As an older version left it: a mark that knows of no rollups, and none of them.
        door.query(
            [*(f'DROP DATABASE "{bucket}{name}"' for name in ("_5min", "_1h", "_1d")), "DROP SERIES FROM progress"]
        )
        door.write(
            [
                f"progress,reader=all revision=1i,covered=400i,series=2i,messages=0i,readings=400i,duplicates=0i,conflicts=0i {T0}"
            ]
        )
    with closing(InfluxSeriesStore(influx_url, bucket=bucket, api="v1")) as store:
        assert store.append(rows_of([Row(CHLORINE, T0 + 10**9, 0.5, 1)], [401]), "all", 401).stored == 1
        after = store.range(CHLORINE, T0, T0 + 10**9, 3_600_000, AGGREGATES)
        assert (store.counts().series, store.counts().readings) == (2, 401)
    for name in AGGREGATES:
        np.testing.assert_allclose(after.columns[name], before.columns[name], rtol=1e-12)


def test_a_busy_server_tells_how_long_to_wait(opened: Callable[[], InfluxSeriesStore], shim: Shim) -> None:
    for status in (429, 503):
        shim.refusals = [(status, {"Retry-After": "7"}, "{}")]
        with pytest.raises(StoreBusy) as busy:
            opened().append(rows_of(ROWS), "all", 6)
        assert busy.value.retry_after_s == 7


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_a_server_that_refuses_is_named_and_nothing_is_acknowledged(
    opened: Callable[[], InfluxSeriesStore], shim: Shim, status: int
) -> None:
    shim.refusals = [(status, {}, '{"message":"no"}')]
    store = opened()
    with pytest.raises(StoreUnavailable, match=str(status)):
        store.append(rows_of(ROWS), "all", 6)
    assert store.covered("all") == 0


def test_a_body_too_large_is_halved_until_it_fits(opened: Callable[[], InfluxSeriesStore], shim: Shim) -> None:
    shim.largest_body = 4000
    rows = [Row(CHLORINE, T0 + n * 1000, n / 8, 1) for n in range(500)]
    store = opened()
    assert store.append(rows_of(rows), "all", 500) == AppendResult(500, 0, 0)
    assert len(store.range(CHLORINE, T0, T0 + 10**6).observed_at) == 500
    assert shim.writes > 10


@pytest.mark.parametrize("api", ["v1", "v2"])
def test_lines_the_schema_forbids_are_named_and_all_others_stored(
    influx_url: str, shim: Shim, bucket: str, api: str
) -> None:
    with closing(InfluxDoor(influx_url, "", "", bucket, "v1")) as door:
        door.write([f"reading,county=520425,works=W0001,point=outlet turbidity=1i {T0 - 1}"])  # somebody's integer
    url, token = (influx_url, "") if api == "v1" else (shim.url, SHIM_TOKEN)
    with closing(InfluxSeriesStore(url, token, "org", bucket, api)) as store:
        rows = [Row(TURBIDITY if n in (3, 77) else CHLORINE, T0 + n * 1000, n / 8, 1) for n in range(100)]
        with pytest.raises(LinesRefused) as refused:
            store.append(rows_of(rows), "all", 100)
        assert [line.split()[1] for line, _ in refused.value.refused] == ["turbidity=0.375", "turbidity=9.625"]
        assert all("type" in reason for _, reason in refused.value.refused)
        assert len(store.range(CHLORINE, T0, T0 + 10**6).observed_at) == 98
        assert store.covered("all") == 0


def test_readings_older_than_the_servers_retention_do_not_hold_up_the_others(influx_url: str, bucket: str) -> None:
    with closing(InfluxDoor(influx_url, "", "", bucket, "v1")) as door:
        door.query([f'CREATE RETENTION POLICY short ON "{bucket}" DURATION 1h REPLICATION 1 DEFAULT'])
    with closing(InfluxSeriesStore(influx_url, bucket=bucket, api="v1")) as store:
        assert store.append(rows_of(ROWS), "all", 6, 6).stored == 3
        assert store.covered("all") == 6


def test_a_server_that_is_away_is_said_to_be_and_found_again(tmp_path: Path, influx_url: str) -> None:
    with influx_server(tmp_path / "own") as url:
        store = InfluxSeriesStore(url, bucket="q", api="v1")
        store.append(rows_of(ROWS[:1]), "all", 1, 1)
    with pytest.raises(StoreUnavailable):
        store.append(rows_of(ROWS[1:], range(2, 7)), "all", 6, 5)
    with pytest.raises(StoreUnavailable):
        store.latest("520425")
    with influx_server(tmp_path / "own", port=int(url.rsplit(":", 1)[1])):
        assert store.append(rows_of(ROWS[1:], range(2, 7)), "all", 6, 5) == AppendResult(2, 1, 2)
        assert store.counts().messages == 6
    store.close()


PH = SeriesKey("520425", "W0001", "outlet", "ph")


def arrivals(influx_url: str, bucket: str) -> list[dict[str, object]]:
    """What the server holds of arrivals, column by column, empty ones left out."""
    with closing(InfluxDoor(influx_url, "", "", bucket, "v1")) as door:
        [answer] = door.query(["SELECT * FROM arrival"])
    return [
        {name: cell for name, cell in zip(series["columns"], row, strict=True) if cell is not None}
        for series in answer
        for row in series["values"]
    ]


def test_the_arrival_of_a_message_is_two_fields_however_many_parameters_it_has(
    opened: Callable[[], InfluxSeriesStore], influx_url: str, bucket: str
) -> None:
    rows = [Row(key, T0 + n * 60_000, 0.5 + n, 1) for n in range(2) for key in (TURBIDITY, CHLORINE, PH)]
    opened().append(rows_of(rows, [1, 1, 1, 2, 2, 2]), "all", 2, 2)
    place = {"county": "520425", "works": "W0001", "point": "outlet", "of": "free_chlorine+ph+turbidity"}
    assert [{name: one[name] for name in place} for one in arrivals(influx_url, bucket)] == [place, place]
    assert [one["sequence"] for one in arrivals(influx_url, bucket)] == [1, 2]
    assert all(
        len(one) == len(place) + len(("time", "sequence", "received_at")) for one in arrivals(influx_url, bucket)
    )


def test_a_device_that_leaves_out_now_this_and_now_that_is_counted_once_and_makes_no_series_of_every_combination(
    opened: Callable[[], InfluxSeriesStore], influx_url: str, bucket: str
) -> None:
    """Its messages of one minute come one by one; then all of it comes again, before a recorder that has just begun."""
    keys = (CHLORINE, TURBIDITY, PH)
    sets = [one for size in (2, 3, 1) for one in itertools.combinations(keys, size)]
    rows = [(Row(key, T0 + n * 60_000, 1.0 + n, 1), 1 + n) for n, chosen in enumerate(sets) for key in chosen]
    rest = [
        (Row(key, T0 + n * 60_000, 2.0 + n, 1), 11 + n)
        for n, some in enumerate(sets)
        for key in keys
        if key not in some
    ]
    twin, store = MemorySeriesStore(), opened()
    for part in (rows, rest):
        for one in (twin, store):
            one.append(rows_of([row for row, _ in part], [number for _, number in part]), "all", part[-1][1], len(sets))
    both = [*rows, *rest]
    assert store.append(rows_of([row for row, _ in both], [20] * len(both)), "all", 20, 1).stored == 0
    twin.append(rows_of([row for row, _ in both], [20] * len(both)), "all", 20, 1)
    again = opened()
    result = again.append(rows_of([row for row, _ in both], [21] * len(both)), "all", 21, 1)
    assert result == twin.append(rows_of([row for row, _ in both], [21] * len(both)), "all", 21, 1)
    assert result.duplicates == len(both)
    assert again.counts() == twin.counts()
    assert {one.key: one for one in again.latest("520425")} == {one.key: one for one in twin.latest("520425")}
    assert len({one.get("of") for one in arrivals(influx_url, bucket)} - {None}) == 1


def test_of_two_messages_for_one_time_each_reading_keeps_its_own_arrival(
    opened: Callable[[], InfluxSeriesStore],
) -> None:
    store = opened()
    first = rows_of([Row(CHLORINE, T0, 0.4, 1), Row(TURBIDITY, T0, 0.5, 1)], [1, 1])
    second = rows_of([Row(CHLORINE, T0, 0.4, 1), Row(PH, T0, 7.0, 1)], [2, 2])
    first.received_at[:] = T0 + 1000
    second.received_at[:] = T0 + 2000
    store.append(first, "all", 1, 1)
    assert opened().append(second, "all", 2, 1) == AppendResult(1, 1, 0)
    received = {one.key.parameter: one.received_at - T0 for one in opened().latest("520425")}
    assert received == {"free_chlorine": 1000, "turbidity": 1000, "ph": 2000}


def test_arrivals_of_earlier_versions_are_known(
    opened: Callable[[], InfluxSeriesStore], influx_url: str, bucket: str
) -> None:
    """They were two fields a parameter; an hour of silence lies between, and one of the readings was never covered."""
    place, later = "county=520425,works=W0001,point=outlet", T0 + 3_600_000
    with closing(InfluxDoor(influx_url, "", "", bucket, "v1")) as door:
        door.write(
            [
                f"reading,{place} free_chlorine=0.4,turbidity=0.5 {T0}",
                f"arrival,{place} free_chlorine_sequence=5i,free_chlorine_received_at={T0 + 7}i,turbidity_sequence=6i,turbidity_received_at={T0 + 8}i {T0}",
                f"progress,reader=all revision=1i,covered=5i,series=0i,found=1i,rollups_from=0i,messages=5i,readings=1i,duplicates=0i,conflicts=0i {T0}",
            ]
        )
    store = opened()
    assert {one.key: (one.value, one.received_at) for one in store.latest("520425")} == {
        CHLORINE: (0.4, T0 + 7),
        TURBIDITY: (0.5, T0 + 8),
    }
    rows = [
        Row(TURBIDITY, T0, 0.5, 1),
        Row(CHLORINE, T0, 0.4, 1),
        Row(CHLORINE, later, 0.3, 1),
        Row(TURBIDITY, later, 0.6, 1),
    ]
    assert store.append(rows_of(rows, [6, 7, 8, 8]), "all", 8, 3) == AppendResult(3, 1, 0)
    counts = opened().counts()
    assert (counts.series, counts.readings, counts.duplicates, counts.conflicts) == (2, 4, 1, 0)
    assert {one.key: one.observed_at for one in opened().latest("520425")} == {CHLORINE: later, TURBIDITY: later}
