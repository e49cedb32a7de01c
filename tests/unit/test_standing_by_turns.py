"""After an outage every works of a province changes at once: their rows are written by turns, alarms first, none forgotten."""

from qingquan.services.folds import Fold
from qingquan.services.standing import MOST_AT_ONCE, Standing
from qingquan.testing.engine import START, make_works, plan_of
from rules.state import Said, new_state

COUNT = 2 * MOST_AT_ONCE + 40


def fold_of_many() -> Fold:
    plan = plan_of(*(make_works(f"W{n:04d}") for n in range(COUNT)))
    return Fold(0, plan, new_state(plan))


def test_every_touched_works_has_its_turn_and_no_call_writes_more_than_its_share() -> None:
    fold, standing = fold_of_many(), Standing()
    calls = [[state.works for state in standing.changed(fold, START, {})] for _ in range(4)]
    assert [len(call) for call in calls] == [MOST_AT_ONCE, MOST_AT_ONCE, 40, 0]
    assert sorted(name for call in calls for name in call) == [f"W{n:04d}" for n in range(COUNT)]


def test_works_that_change_again_and_again_do_not_push_the_others_out() -> None:
    fold, standing = fold_of_many(), Standing()
    seen: set[str] = set()
    for _ in range(3):
        seen |= {state.works for state in standing.changed(fold, START, {})}
        fold.touched[:MOST_AT_ONCE] = True
    assert len(seen) == COUNT


def test_a_works_with_a_finding_goes_first() -> None:
    fold, standing = fold_of_many(), Standing()
    fold.state.said[COUNT - 1] = {(0, START): Said(None, START, 0.0, 0)}
    assert f"W{COUNT - 1:04d}" in [state.works for state in standing.changed(fold, START, {})]
