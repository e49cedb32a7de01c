"""What the embedded store keeps in memory of what it has written: little, however much it writes."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import numpy as np
import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
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
    return int(sum(dict(tags).values()))


def limit_of(store: DuckdbSeriesStore) -> str:
    with store._access() as connection:
        found = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    assert found is not None
    return str(found[0])


def test_what_was_written_and_read_does_not_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether somebody reads at any time or nobody does; before, both kept all of it."""
    monkeypatch.setattr(store_module, "USUAL_MEMORY", "24MB")
    with closing(DuckdbSeriesStore(tmp_path / "series.duckdb")) as store:
        with readers_without_end(store, 3) as times:
            written(store)
        assert min(times) > 0
        # While three read at once more may be lent to them; what they leave behind is what counts.
        settled_limits(store)
        assert kept_bytes(store) < 24_000_000
        assert limit_of(store) == "22.8 MiB"
        assert store.counts().readings == ROWS + 3


@contextmanager
def readers_without_end(store: DuckdbSeriesStore, number: int) -> Iterator[list[int]]:
    """Threads that read all of some series again and again; how often each of them did."""
    is_over, times = Event(), [0] * number

    def read(n: int) -> None:
        while not is_over.is_set():
            store.readings(KEYS[n : n + 50], T0, T0 + BATCHES * MINUTES_OF_A_BATCH * MINUTE)
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


def test_work_that_needs_more_memory_has_it_and_gives_it_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(DuckdbSeriesStore(tmp_path / "series.duckdb")) as store:
        written(store)
        until = T0 + BATCHES * MINUTES_OF_A_BATCH * MINUTE
        known = store.readings(KEYS, T0, until)
    monkeypatch.setattr(store_module, "USUAL_MEMORY", "12MB")
    limits: list[str] = []
    limit = store_module._limit

    def noted(connection: duckdb.DuckDBPyConnection, memory: str) -> bool:
        limits.append(memory)
        return limit(connection, memory)

    monkeypatch.setattr(store_module, "_limit", noted)
    with closing(DuckdbSeriesStore(tmp_path / "series.duckdb")) as store:
        found = store.readings(KEYS, T0, until)
        assert [column.tolist() for column in (found.first, found.observed_at, found.value)] == [
            column.tolist() for column in (known.first, known.observed_at, known.value)
        ]
        written(store, BATCHES)
        assert store.counts().readings == 2 * ROWS
        assert set(limits) == {"512MB", "12MB"}
        with store._access() as connection:
            connection.execute("CHECKPOINT")
        written(store, 2 * BATCHES)
        assert "11.4 MiB" in [limit_of(store), *settled_limits(store)], "the usual again"


def settled_limits(store: DuckdbSeriesStore) -> list[str]:
    """The limit after small appends, each after everything was brought into the file."""
    limits = []
    at = np.array([T0 - MINUTE], np.int64)
    for n in range(3):
        with store._access() as connection:
            connection.execute("CHECKPOINT")
        one = SeriesRows(KEYS, np.array([n], np.int32), at, at, np.ones(1), np.ones(1, np.uint8))
        store.append(one, "all", 3 * BATCHES + 1 + n)
        limits.append(limit_of(store))
    return limits


def test_what_does_not_do_with_all_the_memory_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    with closing(DuckdbSeriesStore(tmp_path / "series.duckdb")) as store:
        written(store)
        with store._access() as connection:
            # Of a machine that has no more to give: neither at first nor when it is tried again.
            store._memory_limit = "3MB"
            connection.execute("CHECKPOINT")
            connection.execute("SET memory_limit = '3MB'")
        with pytest.raises(StoreUnavailable, match="series store: Out of Memory"):
            written(store, BATCHES)
        store._memory_limit = "512MB"
        written(store, store.covered("all"))
        assert store.counts().readings == ROWS + (store.covered("all") - BATCHES) * ROWS // BATCHES


class _CommitsAndFails:
    """A connection whose next commit goes through, and then says that it lacked memory."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, failures: list[str]) -> None:
        self._connection, self._failures = connection, failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        self._connection.commit()
        if self._failures:
            raise duckdb.OutOfMemoryException(self._failures.pop())


def test_a_commit_that_may_have_gone_through_is_not_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[str] = []
    real = DuckdbSeriesStore._access

    @contextmanager
    def access(store: DuckdbSeriesStore) -> Iterator[Any]:
        with real(store) as connection:
            yield _CommitsAndFails(connection, failures)

    monkeypatch.setattr(DuckdbSeriesStore, "_access", access)
    at = np.array([T0], np.int64)
    row = SeriesRows(KEYS, np.zeros(1, np.int32), at, at, np.ones(1), np.ones(1, np.uint8))
    with closing(DuckdbSeriesStore(tmp_path / "series.duckdb")) as store:
        failures.append("could not allocate block")
        store.append(row, "all", 1, 1)
        assert not failures, "it was tried"
        assert store.counts().readings == 1
        assert len(store.range(KEYS[0], T0, T0 + MINUTE).observed_at) == 1
