"""Timers that hold nothing take no memory: not before they hold something, nor for ever after."""

import mmap

import numpy as np
import pytest

from qingquan.domain.findings import FindingKind
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of
from rules.layout import TIMER_STATE
from rules.memory import in_use, release, untouched
from rules.state import pack, tidy, unpack

PLAN = plan_of(make_works("W1", ("free_chlorine", "turbidity", "ph", "temperature", "flow")))
SLOT = {key.parameter: slot for slot, key in enumerate(PLAN.series)}
GOOD = {"free_chlorine": 0.6, "turbidity": 0.4, "ph": 7.2, "temperature": 15.0, "flow": 8.0}


def message(minute: int, **values: float) -> list[Row]:
    return [Row(SLOT[name], START + minute * MINUTE, value) for name, value in (GOOD | values).items()]


def test_a_works_that_begins_well_touches_no_timer() -> None:
    account = Account(PLAN)
    for minute in range(60):
        account.feed(message(minute, turbidity=0.4 + 0.02 * (minute % 2)))
    assert not any(array.tobytes().strip(b"\0") for array in account.state.timers)


@pytest.mark.parametrize("step", [1, 2])
def test_a_works_whose_residual_never_comes_is_unknown_from_its_first_reading(step: int) -> None:
    account = Account(PLAN)
    rows = [Row(SLOT[name], START + minute * MINUTE, 8.0 if name == "flow" else 7.2)
            for minute in range(60) for name in ("flow", "ph")]  # fmt: skip
    for first in range(0, len(rows), step):
        account.feed(rows[first : first + step])
    (found,) = (one for one in account.said.values() if one.kind is FindingKind.DISINFECTION_UNKNOWN)
    assert found.start == START
    assert found.end is None


def test_a_residual_that_comes_late_ends_what_its_absence_began() -> None:
    account = Account(PLAN)
    for minute in range(5):
        account.feed([Row(SLOT["flow"], START + minute * MINUTE, 8.0)])
    for minute in range(5, 60):
        account.feed(message(minute, turbidity=0.4 + 0.02 * (minute % 2)))
    assert account.said == {}
    assert not (account.state.timers[0]["pending"] != 0).any()


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="the system gives no memory back")
def test_pages_without_a_timer_that_holds_something_are_given_back() -> None:
    timers = untouched(40_000, TIMER_STATE)
    timers["seen"] = 7
    held = np.array([0, 100, 20_000, 39_999])
    timers["pending"][held] = START
    release(timers, held)
    assert timers["pending"][held].tolist() == [START] * 4
    assert timers["seen"][held].tolist() == [7] * 4
    assert int((timers["seen"] == 7).sum()) < 1000
    assert int((timers["pending"] != 0).sum()) == 4


def test_small_arrays_and_arrays_of_others_are_left_alone() -> None:
    for array in (untouched(10, TIMER_STATE), np.ones(10, TIMER_STATE)):
        array["seen"] = 7
        release(array, np.array([3]))
        assert array["seen"].tolist() == [7] * 10


def test_rows_of_whole_cache_lines_begin_at_one() -> None:
    assert in_use(100_000, np.dtype([("a", "S64")])).ctypes.data % 64 == 0


def test_tidying_up_changes_no_verdict() -> None:
    left, tidied = Account(PLAN), Account(PLAN)
    for minute in range(200):
        bad = {"free_chlorine": 0.1, "turbidity": 4.0} if minute % 90 > 20 else {}
        rows = message(minute, **({"turbidity": 0.4 + 0.02 * (minute % 2)} | bad))
        left.feed(rows)
        tidied.feed(rows)
        if minute % 7 == 0:
            tidy(tidied.state)
    assert left.final() == tidied.final() != {}
    assert unpack(pack(left.state), PLAN).timers[0].tobytes() == unpack(pack(tidied.state), PLAN).timers[0].tobytes()
