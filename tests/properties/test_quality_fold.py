"""Quality flags: any split of a series is one pass, the compiled tests equal a naive loop, further out is never better."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.quality import QualitySettings, QualityTest
from rules.quality.assess import CrossSettings, assess, assess_ordered, memory_ms
from rules.quality.columns import Around, Columns
from rules.quality.qartod import RANGE, STD, attenuated_signal, flat_line, rate_of_change, spike, stretch_starts
from rules.quality.stream import QualityState, push

MINUTE = 60_000
START = 1_780_000_000_000
SETTINGS = QualitySettings(
    "free_chlorine", 0, 5, 0, 4, 0.3, 1, 0.1, True, 0.5 / 300, 2 / 300, 5 * MINUTE, 0.1, 0.02, 0.05, 4 * MINUTE, 8 * MINUTE,
    6 * MINUTE, 0.05, 0.01, 4, 3 * MINUTE,
)  # fmt: skip
CROSS = CrossSettings(0.3, 0.1, 0.15, 0.05, 5 * MINUTE, 3 * MINUTE, 10 * MINUTE)
FEW = st.sampled_from([0.0, 0.02, 0.3, 0.31, 0.32, 0.5, 0.9, 1.5, 4.5, 6.0, -1.0, np.nan])
SWITCH = st.sampled_from([0.0, 1.0, 1.0, 1.0, np.nan])


@st.composite
def arrivals(draw: st.DrawFn, most_back: int = 0) -> Columns:
    """Readings with gaps, missing values, words of the device and signals around them; late by up to ``most_back`` min."""
    steps = draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 7]), min_size=1, max_size=60))
    times = START + np.cumsum(steps) * MINUTE
    size = len(times)

    def column(of: st.SearchStrategy[float]) -> npt.NDArray[np.float64]:
        return np.array(draw(st.lists(of, min_size=size, max_size=size)), np.float64)

    device = column(st.sampled_from([2.0, 2.0, 2.0, 1.0, 3.0, 4.0])).astype(np.uint8)
    around = Around.nothing(
        size, sample_flow=column(SWITCH), flow=column(st.sampled_from([5.0, 5.0, 0.0])),
        maintenance=column(st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.0])), total_chlorine=column(st.sampled_from([0.2, 2.0, np.nan])),
        ph=column(st.sampled_from([7.0, 8.0])), ph_before=column(st.sampled_from([7.0, np.nan])),
    )  # fmt: skip
    columns = Columns(times, column(FEW), device, times + 1000, around)
    if not most_back:
        return columns
    # A row sent again, some with another value, and an order disturbed by no more than the lateness.
    doubled = np.repeat(
        np.arange(size), np.array(draw(st.lists(st.sampled_from([1, 1, 1, 2]), min_size=size, max_size=size)))
    )
    delay = np.array(draw(st.lists(st.integers(0, most_back), min_size=len(doubled), max_size=len(doubled)))) * MINUTE
    order = doubled[np.argsort(times[doubled] + delay, kind="stable")]
    shuffled = columns.take(order)
    change = np.array(draw(st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.4]), min_size=len(order), max_size=len(order))))
    return replace(shuffled, values=shuffled.values + change)


@given(arrivals(most_back=5), st.lists(st.integers(1, 9), max_size=30))
@settings(max_examples=150, deadline=None)
def test_any_split_into_batches_ends_with_the_flags_of_one_pass(columns: Columns, sizes: list[int]) -> None:
    late = 4 * MINUTE
    whole = assess(columns, SETTINGS, CROSS, lateness_ms=late)
    said: dict[int, tuple[int, int]] = {}
    state = QualityState.empty()
    first = 0
    for size in [*sizes, len(columns)]:
        rows = np.arange(first, min(first + size, len(columns)))
        amended, state = push(state, columns.take(rows), SETTINGS, CROSS, late)
        for at, flag, tests in zip(amended.rows.tolist(), amended.earlier.flag, amended.earlier.tests, strict=True):
            said[at] = (int(flag), int(tests))
        for row, flag, tests in zip(rows.tolist(), amended.batch.flag, amended.batch.tests, strict=True):
            said[row] = (int(flag), int(tests))
        first += len(rows)
        longest = late + memory_ms(SETTINGS, CROSS)
        assert not len(state.rows) or state.newest - int(state.rows.times.min()) <= longest
    assert [said[n] for n in range(len(columns))] == list(zip(whole.flag.tolist(), whole.tests.tolist(), strict=True))


@given(arrivals())
@settings(max_examples=150, deadline=None)
def test_the_compiled_tests_equal_a_naive_loop(columns: Columns) -> None:
    times, values, s = columns.times, columns.values, SETTINGS
    restarts = columns.around.flow <= 0
    starts = stretch_starts(times, values, restarts, s.gap_ms)
    nobody = np.zeros(len(values), np.bool_)
    flat = flat_line(times, values, starts, s.flat_tolerance, s.flat_suspect_ms, s.flat_fail_ms, s.flat_floor)
    assert flat.tolist() == [_flat(times, values, restarts, n) for n in range(len(values))]
    for kind in (RANGE, STD):
        weak = attenuated_signal(times, values, starts, s.attenuated_ms, 0.05, 0.01, kind, 3)
        assert weak.tolist() == [_weak(times, values, restarts, n, kind) for n in range(len(values))]
    for opposed in (False, True):
        spikes = spike(times, values, 0.3, 1.0, 0.1, opposed, s.gap_ms)
        assert spikes.tolist() == [_spike(times, values, n, opposed) for n in range(len(values))]
    rates = rate_of_change(times, values, nobody, s.rate_suspect, s.rate_fail, s.rate_base_ms, 0.1, s.gap_ms)
    assert rates.tolist() == [_rate(times, values, n) for n in range(len(values))]


def _window(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], restarts: npt.NDArray[np.bool_], n: int
) -> list[int]:
    """Rows of the stretch of row ``n``, going back until a silence or a restart."""
    rows = [n]
    for k in range(n - 1, -1, -1):
        if restarts[rows[-1]]:
            break
        if np.isnan(values[k]):
            continue
        if times[rows[-1]] - times[k] > SETTINGS.gap_ms:
            break
        rows.append(k)
    return rows


def _flat(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], restarts: npt.NDArray[np.bool_], n: int
) -> int:
    if np.isnan(values[n]):
        return 9
    stretch = _window(times, values, restarts, n)
    found = 1
    for span, flag in ((SETTINGS.flat_suspect_ms, 3), (SETTINGS.flat_fail_ms, 4)):
        inside = [values[k] for k in stretch if times[k] >= times[n] - span]
        reaches = times[stretch[-1]] <= times[n] - span
        if reaches and max(inside) - min(inside) <= SETTINGS.flat_tolerance and values[n] > SETTINGS.flat_floor:
            found = flag
    return found


def _weak(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], restarts: npt.NDArray[np.bool_], n: int, kind: int
) -> int:
    if np.isnan(values[n]):
        return 9
    inside = [values[k] for k in _window(times, values, restarts, n) if times[k] > times[n] - SETTINGS.attenuated_ms]
    if len(inside) < 3:
        return 2
    measure = max(inside) - min(inside) if kind == RANGE else _deviation(inside[::-1])
    return 4 if measure < 0.01 else 3 if measure < 0.05 else 1


def _deviation(inside: list[float]) -> float:
    mean = sum(inside) / len(inside)
    return float(np.sqrt(sum((one - mean) ** 2 for one in inside) / len(inside)))


def _spike(times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], n: int, opposed: bool) -> int:
    if np.isnan(values[n]):
        return 9
    if n in (0, len(values) - 1) or np.isnan(values[n - 1]) or np.isnan(values[n + 1]):
        return 2
    if max(times[n] - times[n - 1], times[n + 1] - times[n]) > SETTINGS.gap_ms:
        return 2
    middle = (values[n - 1] + values[n + 1]) / 2
    out = abs(values[n] - middle)
    if opposed:
        between = min(values[n - 1], values[n + 1]) <= values[n] <= max(values[n - 1], values[n + 1])
        out = 0.0 if between else min(abs(values[n] - values[n - 1]), abs(values[n] - values[n + 1]))
    level = 0.1 * abs(middle)
    return 4 if out > max(1.0, level * (1.0 / 0.3)) else 3 if out > max(0.3, level) else 1


def _rate(times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], n: int) -> int:
    if np.isnan(values[n]):
        return 9
    if n == 0 or np.isnan(values[n - 1]) or times[n] - times[n - 1] > SETTINGS.gap_ms:
        return 2
    change, level = abs(values[n] - values[n - 1]), 0.1 * abs(values[n - 1])
    rate = change / (max(times[n] - times[n - 1], SETTINGS.rate_base_ms) / 1000)
    if rate > SETTINGS.rate_fail and change > level * (SETTINGS.rate_fail / SETTINGS.rate_suspect):
        return 4
    return 3 if rate > SETTINGS.rate_suspect and change > level else 1


STRENGTH = {9: 0, 2: 1, 1: 2, 3: 3, 4: 4}
DISTANCE = int(QualityTest.GROSS_RANGE | QualityTest.SPIKE | QualityTest.RATE_OF_CHANGE)


@given(arrivals(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_flag_never_improves_as_the_value_moves_further_out(columns: Columns, data: st.DataObject) -> None:
    """Further out of everything around it. What is called stuck is another matter: it is so for not moving."""
    alone = replace(SETTINGS, flat_suspect_ms=0, flat_fail_ms=0, attenuated_ms=0)
    row = data.draw(st.integers(0, len(columns) - 1))
    away = data.draw(st.sampled_from([-1.0, 1.0]))
    known = columns.values[~np.isnan(columns.values)]
    edge = float(known.max(initial=0.5) if away > 0 else known.min(initial=0.5))
    before = -1
    for distance in (0.0, 0.1, 0.35, 0.8, 1.2, 3.0, 10.0, np.inf):
        values = columns.values.copy()
        values[row] = edge + away * distance
        moved = assess_ordered(
            replace(columns, values=values, around=replace(columns.around, total_chlorine=np.full(len(values), np.nan))),
            alone, replace(CROSS, starved_after_ms=0),
        )  # fmt: skip
        strength = STRENGTH[int(moved.flag[row])]
        assert strength >= before
        before = strength
