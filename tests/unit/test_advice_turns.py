"""Whose turn it is to be advised on."""

from qingquan.domain.findings import DisinfectionState
from qingquan.domain.state import WorksDisinfection
from qingquan.services.advice_turns import AGAIN_S, ROUND_S, Turns

OK, LOW, MISSING = DisinfectionState.OK, DisinfectionState.LOW, DisinfectionState.MISSING


def stand(**words: tuple[DisinfectionState, int]) -> dict[tuple[str, str], WorksDisinfection]:
    return {("520425", name): WorksDisinfection("520425", name, *word) for name, word in words.items()}


def test_new_trouble_comes_first_then_old_trouble_then_the_others_by_turns() -> None:
    turns = Turns()
    turns.register([("520425", name) for name in "ABCDE"])
    states = stand(A=(OK, 0), B=(LOW, 0), C=(OK, 0), D=(OK, 0), X=(MISSING, 0))

    def due(now_s: float) -> str:
        return "".join(one.works for one in turns.due(states.values(), now_s))

    # X is no works of the register, E was never judged.
    assert due(0.0) == "BACD"
    for at_s, name in enumerate("BDAC"):
        turns.advised(states["520425", name], float(at_s))
    assert due(AGAIN_S - 1) == ""
    assert due(AGAIN_S) == "B"
    assert due(ROUND_S + 1) == "BD"
    assert due(ROUND_S + 3) == "BDAC"
    # Worse than before, or the same begun anew, is new; so is a works that is well again.
    states |= stand(C=(MISSING, 5), B=(OK, 7))
    assert due(10.0) == "CB"
    turns.advised(states["520425", "C"], 10.0)
    states |= stand(C=(MISSING, 6))
    assert due(11.0) == "CB"


def test_a_works_that_stays_in_the_register_is_remembered() -> None:
    turns, states = Turns(), stand(A=(OK, 0), B=(OK, 0), C=(OK, 0))
    turns.register([("520425", name) for name in "AB"])
    for name in "AB":
        turns.advised(states["520425", name], 1.0)
    turns.register([("520425", name) for name in "CB"])
    assert [one.works for one in turns.due(states.values(), 2.0)] == ["C"]
    assert [one.works for one in turns.due([], 2.0)] == []


def test_all_states_are_looked_at_before_the_first_is_given() -> None:
    """They come from a transaction that is over by then."""
    turns, states = Turns(), stand(A=(OK, 0), B=(LOW, 3))
    turns.register(states)
    rest = iter(states.values())
    due = turns.due(rest, 0.0)
    assert next(rest, None) is None
    assert list(due) == [states["520425", "B"], states["520425", "A"]]
