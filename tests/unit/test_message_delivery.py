"""When a message goes, how often it is tried, and what an outcome means."""

from random import Random
from typing import Any

import pytest

from alerts.channels.base import ErrorClass, Outcome, Verdict, accepted, refused, throttled, unknown
from alerts.delivery import NOT_FOUND_YET, Batch, admitted, after_asking, after_attempt, batches, robot_plan
from alerts.quotas import Limit
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


DAY = Limit("receiver", 86_400, {"critical": 10, "alarm": 6, "recovery": 8})
PER_MINUTE = Limit("receiver", 60, {"critical": 1, "alarm": 1, "recovery": 1})
NUMBER = "13800000001"


def one_by_one(*messages: Message) -> list[Batch]:
    return [Batch(message) for message in messages]


def test_alarms_stop_at_six_recoveries_at_eight_and_critical_ones_at_ten_a_day() -> None:
    spent = {(0, NUMBER): 6}
    plan = admitted(one_by_one(sms(1), sms(2, step="recovered")), [DAY], spent)
    assert [one.carrier.id for one in plan.send] == [2]
    assert plan.over[0][1] == "budget: alarm messages to this receiver stop at 6 within 24 h"
    assert [one.carrier.id for one in admitted(one_by_one(sms(3, "critical")), [DAY], spent).send] == [3]
    assert admitted(one_by_one(sms(3, "critical")), [DAY], {(0, NUMBER): 10}).over[0][0].carrier.id == 3


def test_one_message_a_minute_and_number_the_critical_one_first() -> None:
    plan = admitted(one_by_one(sms(1), sms(2, "critical"), sms(3, receiver="13900000002")), [PER_MINUTE], {})
    assert [one.carrier.id for one in plan.send] == [2, 3]
    assert [one.carrier.id for one in plan.later] == [1]


def test_several_messages_for_one_person_become_one_led_by_the_most_severe() -> None:
    (merged,) = batches([sms(1), sms(2, "critical"), sms(3)], 4096, "zh", by_template=True)
    assert merged.carrier.id == 2
    assert sorted(merged.ids) == [1, 2, 3]
    assert merged.shown.params["template"] == "several"
    assert merged.shown.params["count"] == "3"


def test_a_merged_text_holds_what_fits_in_bytes_and_leaves_the_rest() -> None:
    rows = [outbox_message("wecom_app", id=n, params={"severity": "major", "line": "水" * 100}) for n in range(1, 9)]
    (merged,) = batches(rows, 1000, "zh", by_template=False)
    assert merged.body is not None
    assert len(merged.body.encode()) <= 1000
    assert 2 <= len(merged.ids) < 8


def test_no_batch_ever_exceeds_any_budget() -> None:
    wanted = one_by_one(*(sms(n, ("critical", "major")[n % 2], receiver=f"1380000000{n % 5}") for n in range(40)))
    account = Limit("account", 60, {"critical": 3, "alarm": 2, "recovery": 1})
    plan = admitted(wanted, [PER_MINUTE, account], {})
    assert len(plan.send) == 3
    assert len({batch.carrier.receiver for batch in plan.send}) == 3
    assert len(plan.send) + len(plan.later) + len(plan.over) == 40
