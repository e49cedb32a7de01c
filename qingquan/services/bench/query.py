"""`qingquan bench query`: a trend of one series over a year, hourly, and a raw one, out of a year of a county.

The command makes its own data: the hourly and daily rollups of a whole year for every series, exactly as the recorder would
have left them, with readings and 5-minute rollups for the last days only (a year of readings is 1.7 thousand million rows,
20 GB and an hour of writing); a trend by the hour touches readings in its open hour alone, so what is left out is not read.
Raw trends over all days with readings are asked twice: of readings as they came, and once finished days are in order of series.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from qingquan.domain.readings import SeriesKey
from qingquan.services.bench.machine import describe, rss_mb
from qingquan.store.ports import Retention, SeriesRows
from qingquan.store.series.duckdb import DuckdbSeriesStore

__all__ = ["run_query"]

PARAMETERS = ("free_chlorine", "turbidity", "ph", "temperature", "flow")
COUNTY = "520425"
MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
END = 1_780_272_000_000  # 2026-06-01T00:00Z
ROWS_AT_ONCE = 250_000
APPENDED_DAYS = 2
RAW_QUERIES = 10


def run_query(works: int, days: int, raw_days: int, queries: int, say: Callable[[str], None]) -> dict[str, object]:
    """Make the data, ask ``queries`` series one by one, and tell times [ms] and what was asked of what."""
    keys = [SeriesKey(COUNTY, f"W{n:04d}", "outlet", name) for n in range(works) for name in PARAMETERS]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "series.duckdb"
        began = time.perf_counter()
        say(f"{len(keys)} series: readings of {raw_days} days")
        appended = min(raw_days, APPENDED_DAYS)
        _write_old_readings(path, keys, raw_days, appended)
        _write_readings(path, keys, appended)
        say(f"rollups of {days} days")
        _write_rollups(path, len(keys), days, appended)
        store = DuckdbSeriesStore(path)
        as_they_came = _asked_raw(store, keys, raw_days, min(queries, RAW_QUERIES))
        made_s = time.perf_counter() - began
        say("finished days put in order of series")
        began = time.perf_counter()
        store.maintain(END, Retention(raw=0, fine=0, hour=0, day=0))
        ordered_s = time.perf_counter() - began
        in_order = _asked_raw(store, keys, raw_days, min(queries, RAW_QUERIES))
        size = path.stat().st_size
        say(f"{queries} trends")
        hourly = _asked(store, keys, days, HOUR, queries)
        daily = _asked(store, keys, days, DAY, queries)
        store.close()
    return {
        "works": works,
        "series": len(keys),
        "days_of_rollups": days,
        "days_of_readings": raw_days,
        "hourly_rows": len(keys) * days * 24,
        "readings": len(keys) * raw_days * 1440,
        "file_mb": round(size / 1e6),
        "made_s": round(made_s, 1),
        "ordered_s": round(ordered_s, 1),
        "raw_as_they_came_p50_ms": round(statistics.median(as_they_came), 1),
        "raw_in_order_p50_ms": round(statistics.median(in_order), 1),
        "raw_ratio": round(statistics.median(as_they_came) / statistics.median(in_order), 1),
        "queries": queries,
        "p50_ms": round(float(np.percentile(hourly, 50)), 1),
        "p95_ms": round(float(np.percentile(hourly, 95)), 1),
        "p99_ms": round(float(np.percentile(hourly, 99)), 1),
        "max_ms": round(max(hourly), 1),
        "daily_p50_ms": round(statistics.median(daily), 1),
        "daily_p95_ms": round(float(np.percentile(daily, 95)), 1),
        "rss_mb": rss_mb(),
        "machine": describe(),
    }


def _write_old_readings(path: Path, keys: list[SeriesKey], days: int, appended: int) -> None:
    """Readings of the days before those appended, minute by minute, in bulk."""
    DuckdbSeriesStore(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("SET memory_limit = '1GB'")
        for day in range(END - days * DAY, END - appended * DAY, DAY):
            connection.execute(
                "INSERT INTO reading SELECT s.range, t.range, t.range + 1500, round(0.5 + 0.1 * random(), 3), 1"
                " FROM range(?, ?, ?) t, range(?) s ORDER BY t.range, s.range",
                [day, day + DAY, MINUTE, len(keys)],
            )
        # The first reading of each series numbers it, as an append would.
        connection.executemany(
            "INSERT INTO series VALUES (?, ?, ?, ?, ?)", [[number, *key] for number, key in enumerate(keys)]
        )


def _write_readings(path: Path, keys: list[SeriesKey], days: int) -> None:
    """As the recorder does: minute by minute, rollups kept with them."""
    store = DuckdbSeriesStore(path)
    dice = np.random.default_rng(1)
    minutes = max(1, ROWS_AT_ONCE // len(keys))
    for number, first in enumerate(range(0, days * 1440, minutes), 1):
        count = min(minutes, days * 1440 - first)
        at = END - days * DAY + (first + np.repeat(np.arange(count), len(keys))) * MINUTE
        series = np.tile(np.arange(len(keys), dtype=np.int32), count)
        value = np.round(0.5 + 0.05 * dice.standard_normal(len(series)), 3)
        flag = np.ones(len(series), np.uint8)
        store.append(SeriesRows(keys, series, at, at + 1500, value, flag), "all", number)
    store.close()


def _write_rollups(path: Path, series: int, days: int, raw_days: int) -> None:
    """Hourly and daily rollups of the days before the readings, in the order in which hours pass."""
    with duckdb.connect(str(path)) as connection:
        for table, step in (("rollup_1h", HOUR), ("rollup_1d", DAY)):
            begin, end = END - days * DAY, END - raw_days * DAY
            for first in range(begin, end, 32 * DAY):
                last = min(end, first + 32 * DAY)
                connection.execute(
                    f"INSERT INTO {table} SELECT s, b, {step // MINUTE}, {step // MINUTE}, {step // MINUTE} * m, m - 0.1,"  # noqa: S608
                    f" m + 0.1, m, b + {step - MINUTE} FROM (SELECT s.range AS s, b.range AS b,"
                    " round(0.4 + 0.2 * random(), 4) AS m FROM range(?, ?, ?) b, range(?) s ORDER BY b.range, s.range)",
                    [first, last, step, series],
                )


def _asked_raw(store: DuckdbSeriesStore, keys: list[SeriesKey], days: int, queries: int) -> list[float]:
    """Time of each raw trend over all readings [ms]."""
    dice = np.random.default_rng(3)
    times = []
    for number in dice.integers(len(keys), size=queries).tolist():
        began = time.perf_counter()
        trend = store.range(keys[number], END - days * DAY, END)
        times.append((time.perf_counter() - began) * 1000)
        if len(trend.observed_at) != days * 1440:
            raise AssertionError(f"{len(trend.observed_at)} readings instead of {days * 1440}")
    return times


def _asked(store: DuckdbSeriesStore, keys: list[SeriesKey], days: int, step: int, queries: int) -> list[float]:
    """Time of each trend [ms]; every answer is checked to be whole."""
    dice = np.random.default_rng(2)
    times = []
    for number in dice.integers(len(keys), size=queries).tolist():
        began = time.perf_counter()
        trend = store.range(keys[number], END - days * DAY, END, step, ("mean", "min", "max", "count"))
        times.append((time.perf_counter() - began) * 1000)
        if len(trend.observed_at) != days * DAY // step:
            raise AssertionError(f"{len(trend.observed_at)} steps instead of {days * DAY // step}")
    return times
