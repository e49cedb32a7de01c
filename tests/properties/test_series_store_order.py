"""Any split, repetition or order of rows leaves the same readings and the same totals in every store."""

from collections import defaultdict
from contextlib import closing
from itertools import pairwise
from math import isnan, nan
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import SeriesStore
from qingquan.store.series.duckdb import DuckdbSeriesStore
from qingquan.store.series.identity import Held, settle
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.testing.series import Row, rows_of

KEYS = [SeriesKey("520425", works, "outlet", "ph") for works in ("W1", "W2", "W3")]

row = st.builds(
    Row,
    st.sampled_from(KEYS),
    st.integers(0, 5).map(lambda n: n * 3_600_000 * 10),
    st.sampled_from([0.0, -0.0, 7.0, 7.5, nan]),
    st.just(1),
).map(lambda r: r._replace(flag=9) if isnan(r.value) else r)
rows = st.lists(row, max_size=40)


def canonical(value: float) -> str:
    return "missing" if isnan(value) else repr(value + 0.0)


def fill(store: SeriesStore, given_rows: list[Row], cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(given_rows)) for cut in cuts), len(given_rows)]
    for low, high in pairwise(edges):
        sequences = range(low + 1, high + 1)
        store.append(rows_of(given_rows[low:high], list(sequences)), "all", high, high - low)


def content(store: SeriesStore) -> tuple[object, ...]:
    """Readings with their values, conflicts with theirs, totals."""

    def listed(trends: list[tuple[SeriesKey, object]]) -> list[tuple[str, int, str]]:
        return sorted(
            (key.works, int(at), canonical(value))
            for key, trend in trends
            for at, value in zip(trend.observed_at, trend.columns["value"], strict=True)  # type: ignore[attr-defined]
        )

    readings = listed([(key, store.range(key, 0, 10**12)) for key in KEYS])
    conflicts = listed([(key, store.conflicts(key, 0, 10**12)) for key in KEYS])
    latest = sorted((r.key.works, r.observed_at, canonical(r.value)) for r in store.latest("520425"))
    return readings, conflicts, latest, store.counts()


@given(rows, st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=60, deadline=None)
def test_duckdb_agrees_with_the_twin_on_any_split(given_rows: list[Row], cuts: list[int]) -> None:
    twin = MemorySeriesStore()
    fill(twin, given_rows, [])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "series.duckdb"
        with closing(DuckdbSeriesStore(path)) as store:
            fill(store, given_rows, cuts)
            assert content(store) == content(twin)
        with closing(DuckdbSeriesStore(path)) as store:
            assert content(store) == content(twin)


@given(rows, st.randoms(use_true_random=False))
def test_order_changes_only_which_conflicting_value_is_the_reading(given_rows: list[Row], chance: object) -> None:
    shuffled = list(given_rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = MemorySeriesStore(), MemorySeriesStore()
    fill(one, given_rows, [])
    fill(other, shuffled, [])
    assert one.counts() == other.counts()
    for key in KEYS:
        assert values_by_time(one, key) == values_by_time(other, key)


@given(rows)
def test_repeating_everything_adds_only_duplicates(given_rows: list[Row]) -> None:
    once, twice = MemorySeriesStore(), MemorySeriesStore()
    fill(once, given_rows, [])
    fill(twice, given_rows + given_rows, [len(given_rows)])
    assert content(once)[:3] == content(twice)[:3]
    assert twice.counts().duplicates == once.counts().duplicates + len(given_rows)


@given(rows, st.integers(0, 40))
def test_settling_agrees_with_a_row_by_row_loop(given_rows: list[Row], cut: int) -> None:
    """The vectorised decision against the twin's dictionary, with what came before the cut already held."""
    before, batch = given_rows[:cut], given_rows[cut:]
    twin = MemorySeriesStore()
    fill(twin, before, [])
    columns = rows_of(batch)
    series = np.array([KEYS.index(r.key) for r in batch], np.int64)
    held = {(KEYS.index(r.key), r.observed_at): r.value for r in reversed(before)}
    others: dict[tuple[int, int], set[str]] = defaultdict(set)
    for r in before:
        others[KEYS.index(r.key), r.observed_at].add(canonical(r.value))
    newest = np.full(len(KEYS), np.iinfo(np.int64).min)
    for number, at in held:
        newest[number] = max(newest[number], at)

    def identities(asked: np.ndarray) -> list[tuple[int, int]]:
        return list(zip(series[asked].tolist(), columns.observed_at[asked].tolist(), strict=True))

    settled = settle(
        series,
        columns.observed_at,
        columns.value,
        newest,
        lambda asked: Held(
            np.array([i in held for i in identities(asked)], bool),
            np.array([held.get(i, 0.0) for i in identities(asked)], float),
        ),
        lambda asked: np.array(
            [canonical(v) in others[i] for i, v in zip(identities(asked), columns.value[asked].tolist(), strict=True)],
            bool,
        ),
    )
    result = twin.append(columns, "other", 0)
    assert (len(settled.stored), settled.duplicates, len(settled.conflicts)) == (
        result.stored,
        result.duplicates,
        result.conflicts,
    )


def values_by_time(store: SeriesStore, key: SeriesKey) -> dict[int, list[str]]:
    found: dict[int, list[str]] = defaultdict(list)
    for trend in (store.range(key, 0, 10**12), store.conflicts(key, 0, 10**12)):
        for at, value in zip(trend.observed_at.tolist(), trend.columns["value"].tolist(), strict=True):
            found[at].append(canonical(value))
    return {at: sorted(values) for at, values in found.items()}
