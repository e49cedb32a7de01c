"""The file of the embedded store is opened anew every so many rows, between two appends; nobody who appends or reads sees it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import numpy as np
import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.store.ports import Retention, SeriesRows
from qingquan.store.series import duckdb as store_module
from qingquan.store.series.duckdb import DuckdbSeriesStore

KEYS = [SeriesKey("520425", f"W{n:04d}", "outlet", "free_chlorine") for n in range(10)]
T0 = 1_777_600_800_000
MINUTE = 60_000
RENEWED_AFTER = 100


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files opened, in order; an entry that a test puts in front is an error to raise instead."""
    files: list[str] = []
    connect = duckdb.connect

    def noted(path: str, **settings: Any) -> duckdb.DuckDBPyConnection:
        if files[:1] == ["fails"]:
            files.pop(0)
            raise duckdb.IOException("Could not set lock on file")
        files.append(Path(path).name)
        return connect(path, **settings)

    monkeypatch.setattr(store_module.duckdb, "connect", noted)
    return files


@pytest.fixture
def store(opened: list[str], tmp_path: Path) -> Iterator[DuckdbSeriesStore]:
    with closing(DuckdbSeriesStore(tmp_path / "series.duckdb", renewed_after=RENEWED_AFTER)) as made:
        yield made


def minute_of(n: int, value: float = 0.5) -> SeriesRows:
    """The reading of every series at minute ``n``."""
    at = np.full(len(KEYS), T0 + n * MINUTE, np.int64)
    return SeriesRows(
        KEYS, np.arange(len(KEYS), dtype=np.int32), at, at, np.full(len(at), value), np.ones(len(at), np.uint8)
    )


def append(store: DuckdbSeriesStore, first: int, minutes: int) -> None:
    for n in range(first, first + minutes):
        assert store.append(minute_of(n), "all", n + 1, 1).stored == len(KEYS)


def test_once_in_so_many_rows(store: DuckdbSeriesStore, opened: list[str]) -> None:
    append(store, 0, 9)
    assert len(opened) == 1
    append(store, 9, 1)
    assert len(opened) == 2
    append(store, 10, 20)
    assert len(opened) == 4
    assert store.counts().readings == 30 * len(KEYS)


def test_rows_that_were_known_already_count_too(store: DuckdbSeriesStore, opened: list[str]) -> None:
    """A recorder that begins at the log's first message writes nothing for long; what it looks up is kept as well."""
    append(store, 0, 5)
    for n in range(5):
        assert store.append(minute_of(n), "another", n + 1).duplicates == len(KEYS)
    assert len(opened) == 2


def test_what_is_known_of_the_series_is_not_read_again(store: DuckdbSeriesStore, opened: list[str]) -> None:
    known = store._index
    append(store, 0, 10)
    assert len(opened) == 2
    assert store._index is known
    assert [reading.observed_at for reading in store.latest("520425")] == [T0 + 9 * MINUTE] * len(KEYS)
    assert store.append(minute_of(3), "all", 11).duplicates == len(KEYS)
    assert store.append(minute_of(9, value=0.7), "all", 12).conflicts == len(KEYS)
    assert store.append(minute_of(9, value=0.7), "all", 12).stored == 0, "covered"


def test_not_while_somebody_reads_and_soon_afterwards(
    store: DuckdbSeriesStore, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_READERS_S", 0.01)
    append(store, 0, 9)
    with store._access() as connection:
        cursor = store._reader(connection)
    with store._beside(cursor):
        append(store, 9, 5)
        assert len(opened) == 1
        assert cursor.execute("SELECT count(*) FROM reading").fetchall() == [(14 * len(KEYS),)]
    append(store, 14, 1)
    assert len(opened) == 2


def test_an_append_waits_for_who_is_done_in_a_moment(store: DuckdbSeriesStore, opened: list[str]) -> None:
    append(store, 0, 9)
    is_appending = Event()
    with store._access() as connection:
        cursor = store._reader(connection)

    def read() -> None:
        with store._beside(cursor):
            is_appending.wait()

    reader = Thread(target=read)
    reader.start()

    def waiting(condition: Any, predicate: Any, timeout: float) -> bool:
        is_appending.set()
        condition.release()
        try:
            reader.join()
        finally:
            condition.acquire()
        return bool(predicate())

    store._no_readers.wait_for = waiting.__get__(store._no_readers)  # type: ignore[method-assign]
    append(store, 9, 1)
    assert len(opened) == 2


def test_not_while_readings_are_put_in_order(
    store: DuckdbSeriesStore, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known of the work lies between its steps."""
    append(store, 0, 8)
    append(store, 5 * 1440, 1)
    move, moved = store_module.move, 0

    def moves_while_readings_come(*args: Any) -> None:
        nonlocal moved
        append(store, 5 * 1440 + 1, 2)
        assert len(opened) == 1
        move(*args)
        moved += 1

    monkeypatch.setattr(store_module, "move", moves_while_readings_come)
    store.maintain(0, Retention(0, 0, 0, 0))
    assert moved == 1
    assert len(opened) == 2, "once it was over"
    assert store.counts().readings == 11 * len(KEYS)
    assert len(store.range(KEYS[0], T0, T0 + 6 * 1440 * MINUTE).observed_at) == 11


def test_where_it_cannot_be_opened_again_the_append_holds_and_everything_is_read_afresh(
    store: DuckdbSeriesStore, opened: list[str]
) -> None:
    append(store, 0, 9)
    opened.insert(0, "fails")
    append(store, 9, 1)
    assert opened == ["series.duckdb"]
    opened.insert(0, "fails")
    with pytest.raises(StoreUnavailable, match="Could not set lock"):
        store.covered("all")
    assert store.covered("all") == 10
    assert store.counts().readings == 10 * len(KEYS)
    append(store, 10, 1)


def test_what_somebody_else_wrote_in_between_is_read(
    store: DuckdbSeriesStore, opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(store, 0, 9)
    noted, is_in_between = store_module.duckdb.connect, True

    def connect(path: str, **settings: Any) -> duckdb.DuckDBPyConnection:
        nonlocal is_in_between
        if is_in_between:
            is_in_between = False
            with closing(DuckdbSeriesStore(tmp_path / "series.duckdb")) as another:
                append(another, 10, 1)
        return noted(path, **settings)

    monkeypatch.setattr(store_module.duckdb, "connect", connect)
    append(store, 9, 1)
    assert store.covered("all") == 11
    assert store.append(minute_of(10), "all", 12).duplicates == len(KEYS)


def test_a_store_closed_during_its_upkeep_stays_closed(store: DuckdbSeriesStore, opened: list[str]) -> None:
    append(store, 0, 9)
    with store._roomy():
        append(store, 9, 2)
        store.close()
    assert len(opened) == 1
