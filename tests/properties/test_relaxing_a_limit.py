"""Relaxing a limit never adds an exceedance: over the same readings, no minute is within a finding that was not before."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.findings import FindingKind
from qingquan.domain.parameters import Limit
from qingquan.standards.loader import load_standards
from qingquan.testing.engine import MINUTE, START, Account, Row, default_ruleset, make_works
from rules.engine import open_findings
from rules.plan import compile_plan

ROWS = {row.id: row for row in load_standards().limits}
TURBIDITY, PH = ROWS["gb5749-2022.turbidity"], ROWS["gb5749-2022.ph"]
CHLORINE = ROWS["gb5749-2022.free_chlorine.outlet"]
WORKS = make_works(parameters=("free_chlorine", "turbidity", "ph", "flow"))
KINDS = (FindingKind.EXCEEDANCE, FindingKind.DISINFECTION_HIGH, FindingKind.DISINFECTION_LOW)


def spans_of(rows: Sequence[Row], *limits: Limit) -> dict[tuple[str, str], set[int]]:
    """Minutes within findings that rest on a limit, by parameter and rule."""
    parameters = load_standards().parameters
    account = Account(compile_plan([WORKS], parameters, limits, default_ruleset()))
    account.feed(rows)
    lasting = open_findings(account.state, account.plan, parameters, START)
    found: dict[tuple[str, str], set[int]] = {}
    for one in {**account.said, **{finding.id: finding for finding in lasting}}.values():
        if one.kind in KINDS and one.evidence["limit_id"]:
            end = one.evidence_at if one.end is None else one.end
            minutes = range((one.start - START) // MINUTE, (end - START) // MINUTE + 1)
            found.setdefault((one.parameter, one.rule), set()).update(minutes)
    return found


def slot(parameter: str) -> int:
    plan = compile_plan([WORKS], load_standards().parameters, [TURBIDITY], default_ruleset())
    return next(number for number, key in enumerate(plan.series) if key.parameter == parameter)


SLOTS = {name: slot(name) for name in ("turbidity", "ph", "free_chlorine", "flow")}


@st.composite
def courses(draw: st.DrawFn, low: float, high: float) -> list[tuple[int, float]]:
    """A series that stays for a while around a level, then jumps: (minute, value), with gaps."""
    at, rows = 0, []
    for _ in range(draw(st.integers(1, 6))):
        level, swing = draw(st.floats(low, high)), draw(st.floats(0, (high - low) / 20))
        for n in range(draw(st.integers(1, 60))):
            rows.append((at, round(level + swing * (-1) ** n, 3)))
            at += draw(st.sampled_from([1, 1, 1, 1, 2, 30]))
    return rows


@settings(deadline=None, max_examples=40)
@given(courses(0, 8), st.floats(0.3, 5), st.floats(0, 4))
def test_a_higher_upper_limit_adds_no_minute(course: list[tuple[int, float]], bound: float, more: float) -> None:
    rows = [Row(SLOTS["turbidity"], START + minute * MINUTE, abs(value)) for minute, value in course]
    strict = spans_of(rows, replace(TURBIDITY, max=bound))
    relaxed = spans_of(rows, replace(TURBIDITY, max=bound + more))
    for key, minutes in relaxed.items():
        assert minutes <= strict.get(key, set()), key


@settings(deadline=None, max_examples=40)
@given(courses(4, 11), st.floats(6, 7), st.floats(8, 9), st.floats(0, 1.5), st.floats(0, 1.5))
def test_a_wider_range_adds_no_minute(
    course: list[tuple[int, float]], low: float, high: float, below: float, above: float
) -> None:
    rows = [Row(SLOTS["ph"], START + minute * MINUTE, value) for minute, value in course]
    strict = spans_of(rows, replace(PH, min=low, max=high))
    relaxed = spans_of(rows, replace(PH, min=low - below, max=high + above))
    for key, minutes in relaxed.items():
        assert minutes <= strict.get(key, set()), key


@settings(deadline=None, max_examples=40)
@given(courses(0.15, 4), st.floats(0.3, 0.6), st.floats(1, 3), st.floats(0, 0.3), st.floats(0, 1))
def test_a_wider_residual_adds_no_minute(
    course: list[tuple[int, float]], low: float, high: float, below: float, above: float
) -> None:
    """At the outlet the state machine judges; each state by itself, as a residual no longer too high may now be too low."""
    rows = []
    for minute, value in course:
        rows += [Row(SLOTS["flow"], START + minute * MINUTE, 20.0 + value), Row(SLOTS["free_chlorine"], START + minute * MINUTE, value)]  # fmt: skip
    strict = spans_of(rows, replace(CHLORINE, min=low, max=high))
    relaxed = spans_of(rows, replace(CHLORINE, min=low - below, max=high + above))
    for key, minutes in relaxed.items():
        assert minutes <= strict.get(key, set()), key


def test_the_courses_do_exceed() -> None:
    """The three above say something: a course above the bound is found, and no longer once the bound lies above it."""
    rows = [Row(SLOTS["turbidity"], START + minute * MINUTE, 2.0 + minute % 2 * 0.01) for minute in range(60)]
    assert sum(map(len, spans_of(rows, replace(TURBIDITY, max=1.0)).values())) >= 30
    assert spans_of(rows, replace(TURBIDITY, max=2.5)) == {}
