"""The tests of readings are compiled beside the console, before anybody asks for a curve."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qingquan.services import compiled_tests
from qingquan.services.compiled_tests import compiled_apart

# A curve as the console makes it, from an embedded store behind the recorder's socket.
_CURVE = """
import sys
from pathlib import Path
from typing import Any
from qingquan.clock import Clock
from qingquan.domain.readings import SeriesKey
from qingquan.services.sensors import SensorDesk
from qingquan.store.series.duckdb import DuckdbSeriesStore
from qingquan.store.sql.engine import open_database
from qingquan.testing.engine import make_works
from qingquan.testing.series import Row, ServedStore, rows_of

folder = Path(sys.argv[1])
works = make_works("W1", ("free_chlorine", "total_chlorine", "ph", "temperature", "flow", "sample_flow", "turbidity"))
at = 1_780_272_000_000
store = ServedStore(DuckdbSeriesStore(folder / "series.duckdb"), folder / "recorder.sock")
keys = [SeriesKey(works.county, works.id, "outlet", name) for name in works.points[0].parameters]
store.append(rows_of([Row(key, at + 60_000 * n, 0.5 + 0.01 * n, 1) for n in range(30) for key in keys]), "all", 1)
desk = SensorDesk(open_database("sqlite:///:memory:"), store, Clock(), 0)
for key in keys:
    trend, flagged = desk.flagged(works, key, at, at + 3_600_000)
    assert len(trend.observed_at) == len(flagged.flag) == 30
store.close()
"""


def run(folder: Path, *arguments: str) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_first_curve_has_nothing_left_to_compile(tmp_path: Path) -> None:
    cache = tmp_path / "numba"
    run(cache, "-m", compiled_tests.__name__)
    before = sorted(one.name for one in cache.rglob("*.nbc"))
    assert len(before) > 5
    run(cache, "-c", _CURVE, str(tmp_path))
    assert sorted(one.name for one in cache.rglob("*.nbc")) == before


def test_what_is_compiled_is_not_compiled_again_and_what_is_not_done_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    usual = subprocess.Popen

    def noted(command: list[str], **settings: Any) -> Any:
        started.append(command)
        return usual([sys.executable, "-c", "import time; time.sleep(60)"], **settings)

    monkeypatch.setattr(subprocess, "Popen", noted)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    with compiled_apart():
        assert started == [[sys.executable, "-m", compiled_tests.__name__]]
    (tmp_path / "quality_1234").mkdir()
    (tmp_path / "quality_1234" / "qartod.flat_line-81.py311.nbi").touch()
    with compiled_apart():
        assert len(started) == 1
