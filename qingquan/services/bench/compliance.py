"""`qingquan bench compliance`: how long a county's day takes to reckon, and the same day again after a late upload.

Real stores in a temporary folder (DuckDB, SQLite), the service's own worker; data are noise around plain values.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.services.bench.machine import describe
from qingquan.services.compliance import ComplianceWorker
from qingquan.store.ports import SeriesRows
from qingquan.store.series.duckdb import DuckdbSeriesStore
from qingquan.store.sql.compliance import DirtyDay, mark_dirty
from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.store.sql.progress import SNAPSHOT_PARTITION, set_applied_sequence
from qingquan.store.sql.register import save_works

__all__ = ["run_compliance"]

PARAMETERS = ("free_chlorine", "turbidity", "ph", "temperature", "flow")
COUNTY = "520425"
DAY = "2026-05-03"
START = 1_777_737_600_000  # its midnight in Shanghai
MINUTE = 60_000
LATE_HOURS = 6


def run_compliance(works: int, gateways: int, say: Callable[[str], None]) -> dict[str, object]:
    """Reckon a day of ``works`` works that lacks the last 6 h of ``gateways`` of them, then again once those have come."""
    register = [_works(number) for number in range(works)]
    late = register[:gateways]
    with tempfile.TemporaryDirectory() as folder:
        # A clock that shows the next morning.
        now = time.time_ns() // 1_000_000
        config = replace(
            Config(), data_dir=folder, clock_speed=1.001, clock_epoch_ms=now, clock_start_ms=START + 26 * 60 * MINUTE
        )  # fmt: skip
        upgrade(config.sql_url)
        engine = open_database(config.sql_url)
        store = DuckdbSeriesStore(Path(folder) / "series.duckdb")
        with writing(engine) as connection:
            save_works(connection, register)
        say(f"{works} works, {len(PARAMETERS)} parameters, a day by the minute")
        missing = 1440 - LATE_HOURS * 60
        rows = _record(store, register[gateways:], 0, 1440, 1) + _record(store, late, 0, missing, 25)
        worker = ComplianceWorker(config, engine, store)
        with writing(engine) as connection:
            set_applied_sequence(connection, SNAPSHOT_PARTITION, 10_000)
            mark_dirty(connection, [DirtyDay(COUNTY, one.id, DAY, 1) for one in register])
        worker.prepare()
        first_s, first = _timed(worker.work_off)
        say(f"{gateways} gateways upload {LATE_HOURS} h")
        began = time.perf_counter()
        uploaded = _record(store, late, missing, 1440, 50)
        stored_s = time.perf_counter() - began
        with writing(engine) as connection:
            mark_dirty(connection, [DirtyDay(COUNTY, one.id, DAY, 50) for one in late])
        again_s, again = _timed(worker.work_off)
        store.close()
        engine.dispose()
    return {
        "day": from_ms(START).isoformat(),
        "works": works,
        "readings": rows,
        "works_days": first,
        "reckoned_s": round(first_s, 2),
        "readings_per_s": round(rows / first_s),
        "uploaded_readings": uploaded,
        "stored_s": round(stored_s, 2),
        "works_days_again": again,
        "reckoned_again_s": round(again_s, 2),
        "machine": describe(),
    }


def _works(number: int) -> Works:
    outlet = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", PARAMETERS)
    return Works(
        COUNTY, f"W{number:04d}", f"{number}号供水工程", "", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 200.0, 900, (outlet,)
    )  # fmt: skip


def _record(store: DuckdbSeriesStore, works: Sequence[Works], first: int, last: int, sequence: int) -> int:
    """Minutes ``first`` to ``last`` of the day, by the hour; number of readings."""
    keys = [SeriesKey(one.county, one.id, "outlet", name) for one in works for name in PARAMETERS]
    dice = np.random.default_rng(sequence)
    for number, minute in enumerate(range(first, last, 60) if keys else ()):
        at = START + np.repeat(np.arange(minute, min(minute + 60, last)), len(keys)) * MINUTE
        series = np.tile(np.arange(len(keys), dtype=np.int32), len(at) // len(keys))
        value = np.round(0.5 + 0.1 * dice.standard_normal(len(at)), 2)
        rows = SeriesRows(keys, series, at, at + 1500, value, np.ones(len(at), np.uint8))
        store.append(rows, "all", sequence + number)
    return len(keys) * (last - first)


def _timed(action: Callable[[], int]) -> tuple[float, int]:
    began = time.perf_counter()
    found = action()
    return time.perf_counter() - began, found
