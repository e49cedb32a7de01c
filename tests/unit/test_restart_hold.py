"""After a start nobody is told anything until the state is loaded, on a time axis."""

from qingquan.domain.operations import ServiceSign
from qingquan.services.restart_hold import Hold

WALL = 1_782_000_000_000


def evaluator(started_s: float, seen_s: float, is_caught_up: bool, instance: str = "a:1") -> ServiceSign:
    return ServiceSign(
        "evaluator", instance, WALL + round(started_s * 1000), WALL + round(seen_s * 1000), 0, 0.0, is_caught_up
    )


def held(hold: Hold, at_s: float, *signs: ServiceSign) -> bool:
    return hold.look(list(signs), at_s, WALL + round(at_s * 1000))


def test_a_minute_is_waited_even_where_evaluators_have_caught_up_at_once() -> None:
    hold = Hold(0, 60, 900)
    assert [held(hold, at, evaluator(0, at, True)) for at in (0, 30, 59, 60, 61)] == [True, True, True, False, False]


def test_evaluators_that_are_behind_are_waited_for_longer() -> None:
    hold = Hold(0, 60, 900)
    assert held(hold, 60, evaluator(0, 60, False))
    assert held(hold, 200, evaluator(0, 200, True), evaluator(0, 200, False, "b:2"))
    assert not held(hold, 201, evaluator(0, 201, True), evaluator(0, 201, True, "b:2"))


def test_an_evaluator_that_starts_again_alone_holds_messages_again() -> None:
    hold = Hold(0, 60, 900)
    assert not held(hold, 100, evaluator(0, 100, True))
    assert held(hold, 500, evaluator(100, 450, True), evaluator(495, 500, False, "a:2"))
    assert held(hold, 540, evaluator(495, 540, True, "a:2"))
    assert not held(hold, 555, evaluator(495, 555, True, "a:2"))


def test_an_evaluator_that_runs_already_when_the_alerter_starts_costs_one_minute_only() -> None:
    hold = Hold(0, 60, 900)
    assert not held(hold, 60, evaluator(-5000, 55, True))


def test_a_dead_evaluator_does_not_silence_us_for_ever() -> None:
    hold = Hold(0, 60, 900)
    gone = evaluator(-500, -400, False)
    assert held(hold, 59, gone)
    assert not held(hold, 60, gone)


def test_compressed_time_still_waits_for_the_evaluators_first_sign() -> None:
    hold = Hold(0, 1, 15)
    assert held(hold, 5), "none has shown itself yet"
    assert not held(hold, 6, evaluator(2, 6, True))


def test_an_evaluator_that_starts_again_and_again_is_outwaited() -> None:
    hold = Hold(0, 60, 900)
    looks = [(at, held(hold, at, evaluator(at - at % 40, at, False, f"a:{at // 40}"))) for at in range(0, 1700, 20)]
    assert all(is_held for at, is_held in looks if at < 900)
    assert not any(is_held for at, is_held in looks if 900 <= at < 1700)


def test_nothing_is_held_where_it_is_switched_off() -> None:
    assert not held(Hold(0, 0, 900), 0)
