"""The compiled walk equals a naive one that asks, minute by minute, what is known."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.compliance import Tasks, statistics

LOW, HIGH, HOLD, END = 0.3, 2.0, 4, 60


readings = st.dictionaries(
    st.integers(-6, END + 3),
    st.tuples(st.sampled_from([0.1, 0.29, 0.3, 1.0, 2.0, 2.1, math.nan]), st.booleans()),
    max_size=40,
)


def counted(rows: dict[int, tuple[float, bool]], low: float = LOW, high: float = HIGH) -> np.void:
    at = np.array(sorted(rows), np.int64)
    value = np.array([rows[t][0] for t in at.tolist()], np.float64)
    usable = np.array([rows[t][1] for t in at.tolist()], bool) & ~np.isnan(value)
    tasks = Tasks(*(np.array([n], np.int64) for n in (0, END, HOLD, 0)), np.array([low]), np.array([high]))
    return statistics(tasks, np.array([0, len(at)]), at, value, usable)[0]


def naive(rows: dict[int, tuple[float, bool]]) -> list[str]:
    """State of every unit of time."""
    states = []
    for now in range(END):
        last = max((t for t in rows if t <= now), default=None)
        if last is None or now - last >= HOLD or not rows[last][1] or math.isnan(rows[last][0]):
            states.append("unknown")
        else:
            states.append("compliant" if LOW <= rows[last][0] <= HIGH else "exceeding")
    return states


@settings(max_examples=150, deadline=None)
@given(readings)
def test_the_walk_equals_a_naive_loop(rows: dict[int, tuple[float, bool]]) -> None:
    row, states = counted(rows), naive(rows)
    assert row["compliant_ms"] == states.count("compliant")
    assert row["exceeding_ms"] == states.count("exceeding")
    runs = "".join("x" if state == "exceeding" else " " for state in states)
    lengths = [len(run) for run in runs.split()]
    assert (row["episodes"], row["longest_ms"]) == (len(lengths), max(lengths, default=0))
    assert row["head_ms"] == len(runs) - len(runs.lstrip("x"))
    assert row["tail_ms"] == len(runs) - len(runs.rstrip("x"))


@settings(max_examples=80, deadline=None)
@given(readings, st.floats(0.0, 0.3), st.floats(2.0, 3.0))
def test_relaxing_a_limit_never_adds_exceeding_time(
    rows: dict[int, tuple[float, bool]], low: float, high: float
) -> None:
    assert counted(rows, low, high)["exceeding_ms"] <= counted(rows)["exceeding_ms"]


@settings(max_examples=80, deadline=None)
@given(readings, st.integers(-6, END + 3))
def test_losing_a_reading_never_adds_compliant_time_beyond_its_hold(
    rows: dict[int, tuple[float, bool]], lost: int
) -> None:
    fewer = {t: row for t, row in rows.items() if t != lost}
    assert counted(fewer)["compliant_ms"] + counted(fewer)["exceeding_ms"] <= END
    doubted = {t: ((v, False) if t == lost else (v, ok)) for t, (v, ok) in rows.items()}
    known = lambda row: row["compliant_ms"] + row["exceeding_ms"]  # noqa: E731
    assert known(counted(doubted)) <= known(counted(rows))
