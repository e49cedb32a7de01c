"""A server of a cluster that comes back from a cut names an old end of the log: nobody may begin anew for that."""

from typing import Any

import pytest

from qingquan.errors import BrokerLost
from qingquan.store.reading_log.ends import BELIEVED_AFTER_S, EndInDoubt, LogEnds, ShortLog


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def answer(last: int, first: int = 1, copies: int = 3) -> dict[str, Any]:
    return {"config": {"num_replicas": copies}, "state": {"first_seq": first, "last_seq": last}}


def test_a_log_that_reaches_the_position_is_no_matter() -> None:
    ends = LogEnds()
    assert ends.look(answer(410), 411) is None
    assert ends.look(answer(0, first=0), 1) is None


def test_a_single_server_knows_its_own_end() -> None:
    assert LogEnds().look(answer(105, copies=1), 411) == ShortLog(1, 105)


def test_an_old_end_from_a_server_that_was_cut_off_is_forgotten_when_the_others_speak() -> None:
    clock = Clock()
    ends = LogEnds(clock)
    for _ in range(5):
        with pytest.raises(EndInDoubt, match="ends at 105, before 410"):
            ends.look(answer(105), 411)
        clock.now += 1
    assert ends.look(answer(412), 411) is None
    # The next doubt begins anew, however long ago the first one was.
    clock.now += 10 * BELIEVED_AFTER_S
    with pytest.raises(EndInDoubt):
        ends.look(answer(105), 411)


def test_what_all_say_for_longer_than_an_election_is_believed() -> None:
    clock = Clock()
    ends = LogEnds(clock)
    with pytest.raises(BrokerLost):
        ends.look(answer(105, first=40), 411)
    clock.now += BELIEVED_AFTER_S - 0.1
    with pytest.raises(BrokerLost):
        ends.look(answer(105, first=40), 411)
    clock.now += 0.1
    assert ends.look(answer(105, first=40), 411) == ShortLog(40, 105)


def test_the_reader_waits_as_long_as_the_end_is_in_doubt() -> None:
    # `LogReader.fetch` tries again after a `BrokerLost`; an evaluator asks until it knows (`ReadingLog.ends_before`).
    assert issubclass(EndInDoubt, BrokerLost)
