"""Known benign events: what matches, and what must never be explained away."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rules.events.patterns import Pattern, Trajectory, best_match, may_be_known, similarity, trajectory

MINUTE = 60_000
FLOORS = {"turbidity": 0.02, "ph": 0.02}


def backwash(size: float = 1.0, length: int = 20, seed: int = 0) -> Trajectory:
    rng = np.random.default_rng(seed)
    at = np.arange(60 + length) * MINUTE
    inside = np.clip((at / MINUTE - 60) / length, 0, 1)
    bump = np.sin(np.pi * inside) * size
    readings = {
        "turbidity": (at, 0.3 + bump + 0.02 * rng.standard_normal(len(at))),
        "ph": (at, 7.2 - 0.5 * bump + 0.02 * rng.standard_normal(len(at))),
    }
    found = trajectory(readings, FLOORS, 60 * MINUTE, (59 + length) * MINUTE)
    assert found is not None
    return found


def test_the_same_operation_on_another_day_is_recognised():
    assert best_match(backwash(1.2, 24, seed=2), [Pattern(1, "反冲洗", backwash())]) == Pattern(1, "反冲洗", backwash())


def test_other_sign_size_length_or_columns_do_not_match():
    known = backwash()
    turned = Trajectory({name: tuple(-x for x in shape) for name, shape in known.shape.items()}, known.length_ms)
    fewer = Trajectory({"ph": known.shape["ph"]}, known.length_ms)
    for other in (turned, fewer, backwash(5.0), backwash(1.0, 90)):
        assert best_match(other, [Pattern(1, "反冲洗", known)]) is None


def test_an_event_of_which_nothing_was_read_has_no_trajectory():
    assert trajectory({"ph": (np.empty(0, np.int64), np.empty(0))}, FLOORS, 0, MINUTE) is None


@given(
    st.booleans(), st.sampled_from(("ok", "low", "missing", "high", "unknown", "not_equipped", "")),
    st.lists(st.sampled_from(("free_chlorine", "end/free_chlorine", "ph", "turbidity")), unique=True), st.booleans(),
)  # fmt: skip
def test_a_pattern_never_explains_away_trouble_with_disinfection(held, state, contributors, is_low):
    may = may_be_known(held, state, contributors, {"free_chlorine": is_low})
    if held or state != "ok" or (is_low and any(name.endswith("free_chlorine") for name in contributors)):
        assert not may
    else:
        assert may


def test_a_shape_is_most_similar_to_itself():
    assert abs(similarity(backwash(), backwash()) - 1) < 1e-9
