"""A disk that fills up under the DuckDB store: the append is refused whole, and goes on when there is room again.

The disk's end is played by the limit on the size of a file, in a process of its own.
"""

import subprocess
import sys
from pathlib import Path

import pytest

FILLER = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from qingquan.domain.readings import SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.store.ports import SeriesRows
from qingquan.store.series.duckdb import DuckdbSeriesStore

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = DuckdbSeriesStore(Path(sys.argv[1]), renewed_after=int(sys.argv[2]))
keys = [SeriesKey("520425", "W0001", "outlet", "free_chlorine")]
random = np.random.default_rng(1)

def append(number):
    at = np.arange(number * 20000, number * 20000 + 20000, dtype=np.int64)
    rows = SeriesRows(keys, np.zeros(20000, np.int32), at, at, random.random(20000), np.ones(20000, np.uint8))
    store.append(rows, "all", number + 1, 1)

append(0)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, most))
number, refusals = 1, 0
while refusals < 3:
    try:
        append(number)
        number += 1
    except StoreUnavailable:
        refusals += 1
assert number > 2, number
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
assert store.covered("all") in (number, number + 1), (store.covered("all"), number)
for number in range(store.covered("all"), number + 5):
    append(number)
counts = store.counts()
assert counts.readings == 20000 * (number + 1), counts
assert counts.duplicates == counts.conflicts == 0, counts
assert counts.messages == number + 1 == store.covered("all"), counts
store.close()
store = DuckdbSeriesStore(Path(sys.argv[1]))
assert store.counts() == counts
assert len(store.range(keys[0], 0, 2**60).observed_at) == counts.readings
print("exact")
"""


@pytest.mark.parametrize("renewed_after", ["1000000000", "20000"])
def test_a_full_disk_refuses_appends_whole_and_recovers(tmp_path: Path, renewed_after: str) -> None:
    command = [sys.executable, "-c", FILLER, str(tmp_path / "series.duckdb"), renewed_after]
    filled = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (filled.returncode, filled.stdout) == (0, "exact\n"), filled.stderr
