"""When a message goes, how often it is tried, and what an outcome means."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from alerts.channels.base import ErrorClass, Outcome, Verdict, accepted, refused, throttled, unknown
from alerts.delivery import NOT_FOUND_YET, after_asking, after_attempt, robot_plan, sms_plan
from alerts.routing import SMS, WECOM_ROBOT
from qingquan.domain.incidents import Message, MessageState
from qingquan.testing.gateways import outbox_message

S = MessageState


def posts(*severities: str, step: str = "firing") -> list[Message]:
    return [
        outbox_message(WECOM_ROBOT, id=n, step=step, params={"severity": word, "line": word})
        for n, word in enumerate(severities)
    ]


@pytest.mark.parametrize(
    ("outcome", "can_be_asked", "state"),
    [
        (accepted("x"), True, S.ACCEPTED),
        (unknown("timeout"), True, S.SENDING),
        (unknown("timeout"), False, S.UNKNOWN),
        (refused(ErrorClass.TRANSIENT), True, S.QUEUED),
        (refused(ErrorClass.ACCOUNT), True, S.QUEUED),
        (throttled("45009", 60), False, S.QUEUED),
        (refused(ErrorClass.CONTENT), True, S.REFUSED),
        (refused(ErrorClass.NUMBER), True, S.REFUSED),
        (refused(ErrorClass.LIMIT), True, S.REFUSED),
        (refused(ErrorClass.OTHER), True, S.REFUSED),
    ],
)
def test_each_outcome_has_its_consequence(outcome: Outcome, can_be_asked: bool, state: MessageState) -> None:
    assert after_attempt(outcome, 1, can_be_asked, Random(1)).state is state


def test_pauses_double_up_to_ten_minutes_and_end_after_twelve_tries() -> None:
    transient = refused(ErrorClass.TRANSIENT, code="HTTP 503")
    waits = [after_attempt(transient, n, False, Random(0)).wait_s for n in range(1, 12)]
    for n, wait in enumerate(waits):
        middle = min(600.0, 5.0 * 2**n)
        assert 0.5 * middle <= wait <= 1.5 * middle
    last = after_attempt(transient, 12, False, Random(0))
    assert last.state is S.NOT_SENT
    assert last.error == "transient: HTTP 503; given up after 12 attempts"


def test_a_throttled_message_waits_as_long_as_the_provider_says() -> None:
    assert after_attempt(throttled("45009", 60), 1, False, Random(0)).wait_s == 60


@pytest.mark.parametrize(
    ("outcome", "before", "age_s", "state"),
    [
        (accepted(), "", 60, S.ACCEPTED),
        (Outcome(Verdict.DELIVERED), "", 60, S.DELIVERED),
        (refused(ErrorClass.OTHER, "MOBILE_OFF"), "", 60, S.REFUSED),
        (Outcome(Verdict.NOT_FOUND), "unknown: ReadTimeout", 60, S.SENDING),
        (Outcome(Verdict.NOT_FOUND), NOT_FOUND_YET, 120, S.QUEUED),
        (unknown("ConnectError"), "", 60, S.SENDING),
        (unknown("ConnectError"), "", 90_000, S.UNKNOWN),
    ],
)
def test_each_answer_to_a_question_has_its_consequence(
    outcome: Outcome, before: str, age_s: float, state: MessageState
) -> None:
    assert after_asking(outcome, before, age_s).state is state


def test_not_found_counts_only_when_the_answer_before_was_the_same() -> None:
    first = after_asking(Outcome(Verdict.NOT_FOUND), "", 60)
    assert first.error == NOT_FOUND_YET
    between = after_asking(unknown("ConnectError"), first.error, 120)
    assert after_asking(Outcome(Verdict.NOT_FOUND), between.error, 180).state is S.SENDING


def test_a_few_posts_go_one_by_one_the_most_severe_first() -> None:
    plan = robot_plan(posts("minor", "critical", "major"), 18)
    assert [one.params["severity"] for one in plan.single] == ["critical", "major", "minor"]
    assert plan.digest == plan.later == []


def test_many_posts_become_a_list_and_critical_ones_stand_alone() -> None:
    plan = robot_plan(posts(*["minor"] * 20, "critical"), 18)
    assert [one.params["severity"] for one in plan.single] == ["critical"]
    assert len(plan.digest) == 20


def test_the_last_post_of_a_minute_holds_everything() -> None:
    plan = robot_plan(posts("critical", "minor", "minor"), 1)
    assert plan.single == []
    assert len(plan.digest) == 3


def test_a_robot_that_has_posted_enough_waits() -> None:
    plan = robot_plan(posts("critical"), 0)
    assert len(plan.later) == 1


def test_a_recovery_never_goes_before_an_alarm() -> None:
    plan = robot_plan([*posts("critical", step="recovered"), *posts("minor")], 18)
    assert [one.step for one in plan.single] == ["firing", "recovered"]


def sms(n: int, severity: str = "major", **fields: Any) -> Message:
    return outbox_message(SMS, id=n, params={"severity": severity}, **fields)


def test_alarms_stop_at_six_recoveries_at_eight_and_critical_ones_at_the_providers_fifty() -> None:
    spent = Counter({"13800000001": 6})
    plan = sms_plan([sms(1), sms(2, step="recovered")], Counter(), spent)
    assert [one.id for one in plan.send] == [2]
    assert plan.over_budget[1].startswith("budget: 6 messages")
    assert [one.id for one in sms_plan([sms(3, "critical")], Counter(), spent).send] == [3]
    full = sms_plan([sms(3, "critical")], Counter(), Counter({"13800000001": 50}))
    assert list(full.over_budget) == [3]


def test_one_message_a_minute_except_critical_ones() -> None:
    plan = sms_plan([sms(1), sms(2), sms(3, "critical"), sms(4, receiver="13900000002")], Counter(), Counter())
    assert {one.id for one in plan.send} == {3, 4}
    assert {one.id for one in plan.later} == {1, 2}
