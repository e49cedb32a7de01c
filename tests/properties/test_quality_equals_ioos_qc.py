"""The QARTOD tests agree flag for flag with ioos_qc, on random and on recorded series, but for what docs/quality-flags.md lists."""

import csv
import gzip
import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.quality.qartod import (
    RANGE,
    STD,
    attenuated_signal,
    flat_line,
    gross_range,
    rate_of_change,
    spike,
    stretch_starts,
)

pytest.importorskip("ioos_qc", reason="ioos_qc is not installed; it is in the dev group")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ioos_qc import qartod

DATA = Path(__file__).parents[2] / "../shared/data"
MINUTE = 60_000
NO_GAP = 2**61
NEVER = np.iinfo(np.int64).max // 4
Values = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]

VALUE = st.one_of(st.sampled_from([0.0, 0.5, 0.5, 0.5, 0.51, 0.52, 0.9, 4.9, np.nan]), st.floats(-2, 8, width=32))
SERIES = st.lists(VALUE, min_size=3, max_size=60).map(lambda found: np.array(found, np.float64))
STEPS = st.sampled_from([1, 5, 15])


def theirs(call: object, *given: object, **options: object) -> Flags:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(np.ma.filled(call(*given, **options), 0), np.uint8)  # type: ignore[operator]


def stamps(times: Times) -> npt.NDArray[np.datetime64]:
    return times.astype("datetime64[ms]").astype("datetime64[ns]")


def regular(values: Values, step_min: int) -> Times:
    return 1_780_000_000_000 + np.arange(len(values)) * step_min * MINUTE


def agree_gross_range(values: Values, fail: tuple[float, float], suspect: tuple[float, float]) -> None:
    assert (gross_range(values, *fail, *suspect) == theirs(qartod.gross_range_test, values, fail, suspect)).all()


def agree_spike(times: Times, values: Values, suspect: float, high: float) -> None:
    for opposed, method in ((False, "average"), (True, "differential")):
        ours = spike(times, values, suspect, high, 0.0, opposed, NO_GAP)
        other = theirs(qartod.spike_test, values, suspect, high, method)
        assert (ours == other).all(), (method, values[ours != other], ours[ours != other], other[ours != other])


def agree_rate(times: Times, values: Values, suspect: float, high: float) -> None:
    ours = rate_of_change(times, values, np.zeros(len(values), np.bool_), suspect, high, 0, 0.0, NO_GAP)
    other = theirs(qartod.rate_of_change_test, values, stamps(times), suspect, high)
    # Listed: the first value, and one after a missing value, were compared with nothing.
    nothing = np.r_[True, np.isnan(values[:-1])] & ~np.isnan(values)
    assert (ours[nothing] == 2).all()
    assert (other[nothing] == 1).all()
    assert (ours == other)[~nothing].all()


def agree_flat(times: Times, values: Values, suspect_ms: int, fail_ms: int, tolerance: float) -> None:
    """``times`` must be regular: ioos_qc counts rows where we look at the clock."""
    starts = stretch_starts(times, values, np.zeros(len(values), np.bool_), NO_GAP)
    # Listed: their tolerance is itself outside.
    ours = flat_line(times, values, starts, np.nextafter(tolerance, 0), suspect_ms, fail_ms, -np.inf)
    other = theirs(qartod.flat_line_test, values, stamps(times), suspect_ms // 1000, fail_ms // 1000, tolerance)
    # Listed: rows before the first value count as time heard with them.
    known = np.flatnonzero(~np.isnan(values))
    heard = times >= times[known[0]] + fail_ms if len(known) else np.zeros(len(times), np.bool_)
    differ = np.flatnonzero((ours != other) & (heard | np.isnan(values)))
    assert not len(differ), (differ[:5], ours[differ[:5]], other[differ[:5]])


def agree_attenuated(times: Times, values: Values, period_ms: int, suspect: float, high: float, least: int) -> None:
    starts = stretch_starts(times, values, np.zeros(len(values), np.bool_), NO_GAP)
    for kind, name in ((RANGE, "range"), (STD, "std")):
        ours = attenuated_signal(times, values, starts, period_ms, suspect, high, kind, least)
        other = theirs(
            qartod.attenuated_signal_test, values, stamps(times), suspect, high, test_period=period_ms // 1000,
            min_obs=least, check_type=name,
        )  # fmt: skip
        # Listed: a range over a window with a missing value is unknown to them; ours is that of the values there are.
        holed = _with_hole(times, values, period_ms) if kind == RANGE else np.zeros(len(values), np.bool_)
        # Theirs carries a running variance, whose last digits depend on what came before: a margin around the thresholds.
        near = _near(times, values, period_ms, (suspect, high)) if kind == STD else np.zeros(len(values), np.bool_)
        differ = np.flatnonzero((ours != other) & ~holed & ~near)
        assert not len(differ), (name, differ[:5], ours[differ[:5]], other[differ[:5]])
        assert (other[holed & ~np.isnan(values)] == 2).all()


def _with_hole(times: Times, values: Values, period_ms: int) -> npt.NDArray[np.bool_]:
    missing = np.cumsum(np.r_[0, np.isnan(values)])
    first = np.searchsorted(times, times - period_ms, side="right")
    return missing[1:] - missing[first] > 0


def _near(times: Times, values: Values, period_ms: int, thresholds: tuple[float, float]) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(values), np.bool_)
    first = np.searchsorted(times, times - period_ms, side="right")
    for n in range(len(values)):
        inside = values[first[n] : n + 1]
        inside = inside[~np.isnan(inside)]
        if len(inside):
            level = float(inside.std())
            found[n] = any(abs(level - one) < 1e-6 + 1e-6 * abs(inside).max() for one in thresholds)
    return found


@given(SERIES, STEPS)
@settings(max_examples=60, deadline=None)
def test_random_series_get_the_same_flags(values: Values, step: int) -> None:
    times = regular(values, step)
    agree_gross_range(values, (0.0, 5.0), (0.1, 4.0))
    agree_spike(times, values, 0.3, 1.0)
    agree_rate(times, values, 0.005, 0.02)


@given(SERIES.filter(lambda found: not np.isnan(found[0])), STEPS)
@settings(max_examples=60, deadline=None)
def test_random_series_get_the_same_flags_from_the_tests_with_a_window(values: Values, step: int) -> None:
    times = regular(values, step)
    agree_flat(times, values, 3 * step * MINUTE, 6 * step * MINUTE, 0.015)
    agree_attenuated(times, values, 5 * step * MINUTE, 0.05, 0.015, 3)


def _logan(station: str, name: str) -> tuple[Times, Values]:
    file = DATA / f"logan_river/{station}2019.csv.gz"
    if not file.is_file():
        pytest.skip(f"recorded data are not there: {file.name}")
    with gzip.open(file, "rt", newline="") as text:
        rows = list(csv.DictReader(text))
    times = np.array([row["datetime"] for row in rows], "datetime64[ms]").astype(np.int64)
    return times, np.array([np.nan if row[name] == "NULL" else float(row[name]) for row in rows])


def _creek(name: str) -> tuple[Times, Values]:
    file = DATA / "queensland_rivers/sandy_creek.csv"
    if not file.is_file():
        pytest.skip(f"recorded data are not there: {file.name}")
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    times = np.array([row["Timestamp"] for row in rows], "datetime64[ms]").astype(np.int64)
    return times, np.array([float(row[name]) if row[name] not in ("", "NA") else np.nan for row in rows])


SPANS = {
    "temp": ((-5.0, 45.0), (0.0, 40.0), 1.0, 4.0), "cond": ((0.0, 5000.0), (5.0, 2500.0), 20.0, 100.0),
    "ph": ((0.0, 14.0), (4.5, 10.5), 0.1, 0.5), "turb": ((0.0, 1000.0), (0.0, 500.0), 5.0, 50.0),
    "Cond": ((0.0, 5000.0), (5.0, 2500.0), 20.0, 100.0), "Tur": ((0.0, 1000.0), (0.0, 500.0), 5.0, 50.0),
}  # fmt: skip


@pytest.mark.parametrize("station", ["MainStreet", "TonyGrove"])
@pytest.mark.parametrize("name", ["temp", "cond", "ph", "turb"])
def test_a_recorded_river_gets_the_same_flags(station: str, name: str) -> None:
    times, values = _logan(station, name)
    fail, suspect, low, high = SPANS[name]
    agree_gross_range(values, fail, suspect)
    agree_spike(times, values, low, high)
    agree_rate(times, values, low / 900, high / 900)
    # A few hours of the recordings are missing: as rows without a value, so that rows and time agree.
    grid = np.arange(times[0], times[-1] + 1, 15 * MINUTE)
    on_grid = np.full(len(grid), np.nan)
    on_grid[np.searchsorted(grid, times[times % (15 * MINUTE) == 0])] = values[times % (15 * MINUTE) == 0]
    agree_flat(grid, on_grid, 3_600_000, 2 * 3_600_000, low / 10)
    agree_attenuated(times, values, 24 * 3_600_000, low / 2, low / 20, 10)


@pytest.mark.parametrize("name", ["Cond", "Tur"])
def test_a_recorded_creek_with_uneven_times_gets_the_same_flags(name: str) -> None:
    times, values = _creek(name)
    fail, suspect, low, high = SPANS[name]
    agree_gross_range(values, fail, suspect)
    agree_spike(times, values, low, high)
    agree_rate(times, values, low / 5400, high / 5400)
    agree_attenuated(times, values, 24 * 3_600_000, low / 2, low / 20, 10)
