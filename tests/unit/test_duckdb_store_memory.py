"""What the embedded store keeps in memory of what it has written: little, however much it writes."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import SeriesRows
from qingquan.store.series import duckdb as store_module
from qingquan.store.series.duckdb import DuckdbSeriesStore

KEYS = [SeriesKey("520425", f"W{n:04d}", "outlet", "free_chlorine") for n in range(1000)]
T0 = 1_777_600_800_000
MINUTE = 60_000
BATCHES, MINUTES_OF_A_BATCH = 30, 50
ROWS = BATCHES * MINUTES_OF_A_BATCH * len(KEYS)


def written(store: DuckdbSeriesStore, first: int = 0) -> None:
    """1.5 M readings that cannot be packed: 12 MB of values alone."""
    rng = np.random.default_rng(1)
    series = np.tile(np.arange(len(KEYS), dtype=np.int32), MINUTES_OF_A_BATCH)
    for n in range(first, first + BATCHES):
        minutes = np.repeat(np.arange(MINUTES_OF_A_BATCH, dtype=np.int64), len(KEYS)) + n * MINUTES_OF_A_BATCH
        at = T0 + minutes * MINUTE
        rows = SeriesRows(KEYS, series, at, at, rng.random(len(at)), np.ones(len(at), np.uint8))
        assert store.append(rows, "all", n + 1).stored == len(at)


def kept_bytes(store: DuckdbSeriesStore) -> int:
    with store._access() as connection:
        tags = connection.execute("SELECT tag, memory_usage_bytes FROM duckdb_memory()").fetchall()
        limit = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    assert limit == ("488.2 MiB",), "the limit is the usual one again"
    return int(dict(tags)["BASE_TABLE"])


def test_blocks_that_were_written_are_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(DuckdbSeriesStore(tmp_path / "all.duckdb")) as store:
        written(store)
        untrimmed = kept_bytes(store)
    monkeypatch.setattr(store_module, "_TRIM_EVERY", 50_000)
    monkeypatch.setattr(store_module, "_KEPT_BYTES", 2_000_000)
    with closing(DuckdbSeriesStore(tmp_path / "little.duckdb")) as store:
        written(store)
        assert kept_bytes(store) < 4_000_000 < untrimmed
        assert store.counts().readings == ROWS


def test_nothing_is_given_back_while_somebody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # For a moment there is no memory to be had: a query would fail for it.
    monkeypatch.setattr(store_module, "_TRIM_EVERY", 50_000)
    monkeypatch.setattr(store_module, "_READERS_END_S", 0.01)
    monkeypatch.setattr(store_module, "_KEPT_BYTES", 2_000_000)
    with closing(DuckdbSeriesStore(tmp_path / "series.duckdb")) as store:
        with store._access() as connection:
            cursor = store._cursor(connection)
        with store._beside(cursor):
            written(store)
            assert kept_bytes(store) > 4_000_000
        written(store, BATCHES)
        assert kept_bytes(store) < 4_000_000


@contextmanager
def readers_without_end(store: DuckdbSeriesStore, number: int) -> Iterator[list[int]]:
    """Threads that read again and again, so that somebody reads at any time; how often each of them did."""
    is_over, times = Event(), [0] * number

    def read(n: int) -> None:
        while not is_over.is_set():
            with store._access() as connection:
                cursor = store._cursor(connection)
            with store._beside(cursor):
                time.sleep(0.03)
            times[n] += 1

    threads = [Thread(target=read, args=(n,)) for n in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield times
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def test_blocks_are_given_back_although_somebody_reads_at_any_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_TRIM_EVERY", 50_000)
    monkeypatch.setattr(store_module, "_KEPT_BYTES", 2_000_000)
    monkeypatch.setattr(store_module, "_READERS_END_S", 30.0)
    with closing(DuckdbSeriesStore(tmp_path / "series.duckdb")) as store:
        with readers_without_end(store, 6) as times:
            written(store)
            assert kept_bytes(store) < 4_000_000
        assert min(times) > 0, "nobody waited for ever"
        assert store.counts().readings == ROWS
