"""kill -9 of a process that appends to the DuckDB store, and puts its readings in order meanwhile: afterwards rows, totals and
mark agree exactly."""

import random
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pytest

from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.store.series.duckdb import DuckdbSeriesStore

KEY = SeriesKey("520425", "W0001", "outlet", "free_chlorine")
TWIN = SeriesKey("520425", "W0001", "outlet", "turbidity")
ROWS = 500

# Every append carries 500 rows of one series, a third of a day, the same again as duplicates, and one conflict; it covers 500 messages.
APPENDER = """
import sys, threading
from pathlib import Path
import numpy as np
from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import Retention, SeriesRows
from qingquan.store.series.duckdb import DuckdbSeriesStore

keys = [SeriesKey("520425", "W0001", "outlet", name) for name in ("free_chlorine", "turbidity")]
renewed_after = 1200 if sys.argv[2] == "renewed" else 10**9
store = DuckdbSeriesStore(Path(sys.argv[1]), most_moved=300, renewed_after=renewed_after)

def put_in_order():
    while True:
        store.maintain(0, Retention(0, 0, 0, 0))

if sys.argv[2] == "ordering":
    threading.Thread(target=put_in_order, daemon=True).start()
print("ready", flush=True)
while True:
    covered = store.covered("all")
    at = np.arange(covered, covered + 500, dtype=np.int64) * 60000
    at = np.concatenate([at, at, at[:1]])
    series = np.full(len(at), covered // 500 % 2, np.int32)
    value = at / 7.0
    value[-1] += 1
    store.append(SeriesRows(keys, series, at, at, value, np.ones(len(at), np.uint8)), "all", covered + 500, 500)
    print(covered + 500, flush=True)
"""


@pytest.mark.parametrize("way", ["plain", "ordering", "renewed"])
def test_rows_totals_and_mark_agree_after_every_kill(tmp_path: Path, way: str) -> None:
    path = tmp_path / "series.duckdb"
    pause = random.Random(20260501)
    last = 0
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(path), way], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            first = int(process.stdout.readline())
            time.sleep(pause.uniform(0.0, 0.3))
            process.send_signal(signal.SIGKILL)
            acknowledged = max(map(int, process.stdout.read().split()), default=first)
        with closing(DuckdbSeriesStore(path)) as store:
            covered = store.covered("all")
            assert acknowledged <= covered <= acknowledged + ROWS  # a commit may miss only its own announcement
            counts = store.counts()
            assert (counts.readings, counts.duplicates, counts.messages) == (covered, covered, covered)
            assert counts.conflicts == covered // ROWS
            held = np.sort(np.concatenate([store.range(key, 0, 2**60).observed_at for key in (KEY, TWIN)]))
            assert np.array_equal(held, np.arange(covered) * 60_000)
        assert covered > last
        last = covered
    with duckdb.connect(str(path), read_only=True) as connection:
        [(moved,)] = connection.execute("SELECT count(*) FROM reading_ordered").fetchall()
    assert (moved > 0) == (way == "ordering")


def test_a_second_process_is_told_that_the_file_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "series.duckdb"
    appender = [sys.executable, "-c", APPENDER, str(path), "plain"]
    with subprocess.Popen(appender, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        with pytest.raises(StoreUnavailable):
            DuckdbSeriesStore(path)
        process.kill()
        process.stdout.read()
    DuckdbSeriesStore(path).close()


def test_a_file_that_is_no_database_is_reported_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "series.duckdb"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreUnavailable):
        DuckdbSeriesStore(path)
    assert path.read_bytes() == b"not a database" * 1000
