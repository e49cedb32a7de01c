"""Speed of the quality tests against ioos_qc and pecos, on the same series in the same run, with equal results."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.quality.assess import assess
from rules.quality.columns import Columns
from rules.quality.qartod import (
    RANGE,
    attenuated_signal,
    flat_line,
    gross_range,
    rate_of_change,
    spike,
    stretch_starts,
)

__all__ = ["missing_packages", "run_quality"]

MINUTE = 60_000
NO_GAP = 2**61
FAIL_SPAN, SUSPECT_SPAN = (0.0, 5.0), (0.05, 4.0)
SPIKE, SPIKE_FAIL = 0.3, 1.0
RATE, RATE_FAIL = 0.3 / 60, 1.0 / 60
FLAT_S, FLAT_FAIL_S, FLAT_WITHIN = 3 * 3600, 12 * 3600, 0.005
PERIOD_S, WEAK, WEAK_FAIL, LEAST = 24 * 3600, 0.02, 0.01, 600
Flags = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Series:
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def missing_packages() -> list[str]:
    """Packages of the comparison that are not installed; they come with the dev group."""
    return [name for name in ("ioos_qc", "pecos", "pandas") if find_spec(name) is None]


def run_quality(readings: int = 60_000, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Time and compare.

    Returns
    -------
    dict
        ``readings_per_s``: the five tests that ioos_qc has too; ``all_tests_readings_per_s``: the whole set; ``ratio`` to ioos_qc,
        ``ratio_pecos`` on the tests pecos has (range, increment), ``equal``: whether the flags were the same; ``None`` and
        ``skipped`` where a package is not installed.
    """
    series = _recorded_like(readings)
    _ours(series)
    took, ours = _best(lambda: _ours(series), 5)
    whole = _whole(series)
    result: dict[str, Any] = {
        "readings": readings, "readings_per_s": round(readings / took), "all_tests_readings_per_s": round(readings / whole),
        "ratio": None, "ratio_pecos": None, "equal": None, "skipped": "",
    }  # fmt: skip
    missing = missing_packages()
    if missing:
        result["skipped"] = f"not installed: {', '.join(missing)}"
        return result
    say("ioos_qc")
    slow, theirs = _best(lambda: _ioos(series), 1)
    result["ioos_qc_readings_per_s"] = round(readings / slow)
    result["ratio"] = round(slow / took, 1)
    result["equal"] = all(np.array_equal(ours[name], theirs[name]) for name in ours)
    result["flagged"] = {name: int(np.isin(flags, (3, 4)).sum()) for name, flags in ours.items()}
    say("pecos")
    took, simple = _best(lambda: _simple(series), 5)
    slow, masked = _best(lambda: _pecos(series), 1)
    result["pecos_readings_per_s"] = round(readings / slow)
    result["ratio_pecos"] = round(slow / took, 1)
    result["equal_pecos"] = bool(np.array_equal(simple, masked))
    return result


def _recorded_like(size: int) -> _Series:
    """A month and a half of chlorine by the minute with spikes, steps, missing values and a stuck day."""
    random = np.random.default_rng(7)
    values = np.round(0.5 + 0.1 * np.sin(np.arange(size) / 300) + 0.01 * random.standard_normal(size), 3)
    values[random.integers(1, size, size // 500)] += 1.4
    values[random.integers(1, size, size // 500)] = 6.0
    stuck = size // 2
    values[stuck : stuck + 1500] = values[stuck]
    return _Series(1_780_000_000_000 + np.arange(size, dtype=np.int64) * MINUTE, values)


def _best(work: Callable[[], Any], times: int) -> tuple[float, Any]:
    taken = []
    found: Any = None
    for _ in range(times):
        began = time.perf_counter()
        found = work()
        taken.append(time.perf_counter() - began)
    return min(taken), found


def _ours(series: _Series) -> dict[str, Flags]:
    t, v = series.times, series.values
    starts = stretch_starts(t, v, np.zeros(len(v), np.bool_), NO_GAP)
    rates = rate_of_change(t, v, np.zeros(len(v), np.bool_), RATE, RATE_FAIL, 0, 0.0, NO_GAP)
    rates[0] = 1  # they pass the first reading, which was compared with nothing
    return {
        "gross_range": gross_range(v, *FAIL_SPAN, *SUSPECT_SPAN),
        "spike": spike(t, v, SPIKE, SPIKE_FAIL, 0.0, False, NO_GAP),
        "rate_of_change": rates,
        "flat_line": flat_line(t, v, starts, np.nextafter(FLAT_WITHIN, 0), FLAT_S * 1000, FLAT_FAIL_S * 1000, -np.inf),
        "attenuated_signal": attenuated_signal(t, v, starts, PERIOD_S * 1000, WEAK, WEAK_FAIL, RANGE, LEAST),
    }


def _whole(series: _Series) -> float:
    from qingquan.services.quality_flags import cross_settings
    from qingquan.standards.loader import load_standards
    from qingquan.standards.quality import quality_settings

    settings = quality_settings(load_standards().parameters["free_chlorine"], "outlet", 60, 0.05)
    columns = Columns.of(series.times, series.values)
    assess(columns, settings, cross_settings())
    return _best(lambda: assess(columns, settings, cross_settings()), 5)[0]


def _ioos(series: _Series) -> dict[str, Flags]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ioos_qc import qartod

        t, v = series.times.astype("datetime64[ms]").astype("datetime64[ns]"), series.values
        found = {
            "gross_range": qartod.gross_range_test(v, FAIL_SPAN, SUSPECT_SPAN),
            "spike": qartod.spike_test(v, SPIKE, SPIKE_FAIL),
            "rate_of_change": qartod.rate_of_change_test(v, t, RATE, RATE_FAIL),
            "flat_line": qartod.flat_line_test(v, t, FLAT_S, FLAT_FAIL_S, FLAT_WITHIN),
            "attenuated_signal": qartod.attenuated_signal_test(
                v, t, WEAK, WEAK_FAIL, test_period=PERIOD_S, min_obs=LEAST, check_type="range"
            ),
        }
    return {name: np.asarray(np.ma.filled(flags, 0), np.uint8) for name, flags in found.items()}


def _simple(series: _Series) -> npt.NDArray[np.bool_]:
    """Readings that pass the two tests pecos has in the same meaning."""
    t, v = series.times, series.values
    ranges = gross_range(v, *FAIL_SPAN, *FAIL_SPAN)
    rates = rate_of_change(t, v, np.zeros(len(v), np.bool_), RATE, 0.0, 0, 0.0, NO_GAP)
    return np.asarray((ranges == 1) & (rates <= 2))


def _pecos(series: _Series) -> npt.NDArray[np.bool_]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pandas as pd
        from pecos.monitoring import PerformanceMonitoring

        monitoring = PerformanceMonitoring()
        index = pd.to_datetime(series.times, unit="ms")
        monitoring.add_dataframe(pd.DataFrame({"free_chlorine": series.values}, index=index))
        monitoring.check_range(list(FAIL_SPAN))
        monitoring.check_increment([None, RATE * 60])
        return np.asarray(monitoring.mask["free_chlorine"].to_numpy(), np.bool_)
