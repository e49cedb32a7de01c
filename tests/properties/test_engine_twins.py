"""The compiled loop against naive twins that read like the rule's own sentence."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.standards.loader import load_standards
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of

TURBIDITY = plan_of(make_works("W1", ("turbidity",)))
CHLORINE = plan_of(make_works("W1", ("free_chlorine", "flow")))
STALE = 15 * MINUTE


@dataclass
class NaiveExceedance:
    """`turbidity above a bound`: for 30 min, cleared below bound - margin for 15 min on 2 readings; gaps count for nothing."""

    bound: float
    margin: float
    for_min: int
    said: list[tuple[int, int | None, float]] = field(default_factory=list)

    def judge(self, times: list[int], values: list[float], good: list[bool]) -> None:
        begun: int | None = None
        covered = 0  # time known to be above the bound
        clear: list[int] = []
        worst = 0.0
        before: int | None = None
        for t, value, is_good in zip(times, values, good, strict=True):
            is_gap = before is not None and t - before > STALE
            is_firing = bool(self.said) and self.said[-1][1] is None
            if is_gap:
                clear = []
            if begun is not None and before is not None and not is_gap and is_good:
                covered += t - before
            before = t
            if is_good and value > self.bound:
                if begun is None:
                    begun, covered, worst = t, 0, value
                worst, clear = max(worst, value), []
                if not is_firing and covered >= self.for_min * MINUTE:
                    self.said.append((begun, None, worst))
            elif is_good and not is_firing:
                begun = None
            elif is_good and value <= self.bound - self.margin:
                clear.append(t)
                if t - clear[0] >= 15 * MINUTE and len(clear) >= 2:
                    self.said[-1] = (self.said[-1][0], clear[0], worst)
                    begun, clear = None, []
            else:
                clear = []
        if self.said and self.said[-1][1] is None:
            self.said[-1] = (self.said[-1][0], None, worst)


@st.composite
def walks(draw: st.DrawFn, levels: list[float], longest: int = 40) -> list[tuple[int, float]]:
    """Minutes and values: levels kept for a while, with pauses of any length, ascending."""
    readings, minute = [], 0
    for _ in range(draw(st.integers(1, 14))):
        level = draw(st.sampled_from(levels))
        step = draw(st.integers(1, 20))
        for _ in range(draw(st.integers(1, longest))):
            readings.append((minute, level))
            minute += step
            level = level + draw(st.sampled_from([0.0, 0.0, 0.0, 0.001]))
    return readings


@settings(max_examples=150, deadline=None)
@given(walks([0.4, 0.9, 1.1, 2.7, 2.9, 3.0, 3.1, 4.4, 4.6, 6.0, 500.0]))
def test_an_exceedance_is_what_its_rule_says(walk: list[tuple[int, float]]) -> None:
    times = [START + minute * MINUTE for minute, _ in walk]
    values = [value for _, value in walk]
    account = Account(TURBIDITY)
    account.feed([Row(0, t, value) for t, value in zip(times, values, strict=True)])
    final = account.final()
    good = [flag == 1 for flag in naive_flags(walk, "turbidity", -np.inf)]
    for rule, bound, margin, for_min in (
        ("turbidity-above-limit", 1.0, 0.0, 30), ("turbidity-above-3", 3.0, 0.2, 30), ("turbidity-above-5", 5.0, 0.5, 10),
    ):  # fmt: skip
        twin = NaiveExceedance(bound, margin, for_min)
        twin.judge(times, values, good)
        said = sorted(
            (start, end, worst)
            for id_, (_, start, end, _, worst) in final.items()
            if (one := account.said.get(id_)) is not None and one.rule == rule
        )
        assert said == sorted(twin.said), rule


def naive_flags(walk: list[tuple[int, float]], code: str, floor: float, idle: list[bool] | None = None) -> npt.NDArray[np.uint8]:  # fmt: skip
    """Flags by looking back from every reading to the one where its flat line began. ``idle``: no water flows then."""
    parameter = load_standards().parameters[code]
    minutes = np.array([minute for minute, _ in walk])
    values = np.array([value for _, value in walk])
    flags = np.ones(len(walk), np.uint8)
    begun = 0
    for n in range(len(walk)):
        moved = n == 0 or abs(values[n] - values[begun]) > parameter.flat_tolerance
        if moved or minutes[n] - minutes[n - 1] > 15 or (idle is not None and idle[n]):
            begun = n
        hours = (minutes[n] - minutes[begun]) / 60
        if values[n] > floor and hours >= parameter.flat_fail_h:
            flags[n] = 4
        elif values[n] > floor and hours >= parameter.flat_suspect_h:
            flags[n] = 3
    flags[(values < parameter.range_min) | (values > parameter.range_max)] = 4
    return flags


@settings(max_examples=150, deadline=None)
@given(walks([0.0, 0.04, 0.05, 0.06, 0.5, 0.505, 5.5, -0.5], longest=100))
def test_flags_of_a_residual_are_those_of_the_naive_test(walk: list[tuple[int, float]]) -> None:
    account = Account(CHLORINE)
    slot = next(n for n, key in enumerate(CHLORINE.series) if key.parameter == "free_chlorine")
    account.feed([Row(slot, START + minute * MINUTE, value) for minute, value in walk])
    assert account.flags == naive_flags(walk, "free_chlorine", 0.05).tolist()


@settings(max_examples=60, deadline=None)
@given(walks([0.5, 0.505, 0.8], longest=100), st.lists(st.booleans(), min_size=40, max_size=40))
def test_a_flat_line_grows_only_while_water_flows(walk: list[tuple[int, float]], hours: list[bool]) -> None:
    account = Account(CHLORINE)
    flow, chlorine = (
        next(n for n, key in enumerate(CHLORINE.series) if key.parameter == name) for name in ("flow", "free_chlorine")
    )
    idle = [hours[minute // 60 % 40] for minute, _ in walk]
    rows = []
    for (minute, value), is_idle in zip(walk, idle, strict=True):
        at = START + minute * MINUTE
        rows += [Row(flow, at, 0.0 if is_idle else 8.0), Row(chlorine, at, value)]
    account.feed(rows)
    assert account.flags[1::2] == naive_flags(walk, "free_chlorine", 0.05, idle).tolist()
