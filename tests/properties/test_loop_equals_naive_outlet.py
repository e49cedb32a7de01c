"""The compiled loop against a reference that looks back over all readings: limits, disinfection, flags and silence at once."""

from hypothesis import given, settings
from hypothesis import strategies as st

from qingquan.domain.findings import FindingKind
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of
from qingquan.testing.naive import NaiveOutlet, Span
from rules.engine import UNIT_STATES

LEVELS = {
    "free_chlorine": [0.6, 0.6, 0.31, 0.29, 0.2, 0.12, 0.08, 0.05, 0.05, 0.0, 2.5, -1.0],
    "turbidity": [0.4, 0.4, 0.9, 1.2, 2.9, 3.5, 4.6, 6.0, 500.0],
    "flow": [8.0, 8.0, 8.0, 0.0],
    "doser_running": [1.0, 1.0, 1.0, 0.0],
    "disinfectant_level": [60.0, 60.0, 60.0, 0.5],
    "sample_flow": [1.0, 1.0, 1.0, 0.0],
}
PLAN = plan_of(make_works("W1", tuple(LEVELS)))
SLOTS = {key.parameter: slot for slot, key in enumerate(PLAN.series)}
KINDS = (
    FindingKind.EXCEEDANCE, FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_MISSING, FindingKind.DISINFECTION_HIGH,
    FindingKind.DISINFECTION_UNKNOWN, FindingKind.STALE,
)  # fmt: skip
STEPS = 100  # of 4 min: longer than the flat line of a residual, 3 h


@st.composite
def days(draw: st.DrawFn) -> list[Row]:
    """Every series keeps a level for a while, some with a ripple, and is silent at times."""
    rows = []
    for parameter, slot in SLOTS.items():
        step = 0
        while step < STEPS:
            level, length = draw(st.sampled_from(LEVELS[parameter])), draw(st.integers(1, 60))
            ripple = draw(st.sampled_from([0.0, 0.02])) if parameter in ("free_chlorine", "turbidity") else 0.0
            if draw(st.integers(0, 7)):
                rows += [
                    Row(slot, START + at * 4 * MINUTE, level + ripple * (at % 3) * (level > 0))
                    for at in range(step, min(step + length, STEPS))
                ]
            step += length
    return sorted(rows, key=lambda row: (row.observed_at, row.slot))


def judged_by_loop(rows: list[Row]) -> tuple[list[Span], list[int], str]:
    account = Account(PLAN)
    account.feed(rows)
    said = []
    for id_, (kind, start, end, _, extreme) in account.final().items():
        if kind in KINDS:
            rule = account.said[id_].rule
            assert isinstance(start, int)
            assert isinstance(extreme, float | None)
            assert end is None or isinstance(end, int)
            said.append(Span(rule, start, end, extreme))
    return sorted(said, key=str), account.flags, UNIT_STATES[int(account.state.units[0][0]["state"])].value


def judged_by_looking_back(rows: list[Row]) -> tuple[list[Span], list[int], str]:
    naive = NaiveOutlet()
    for row in rows:
        naive.read(PLAN.series[row.slot].parameter, row.observed_at, row.value)
    return naive.said(), naive.flags, naive.state


@settings(max_examples=60, deadline=None)
@given(days())
def test_what_the_loop_says_is_what_the_documents_say(rows: list[Row]) -> None:
    assert judged_by_loop(rows) == judged_by_looking_back(rows)
