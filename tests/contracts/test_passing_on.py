"""What was not sent at one rung makes the next one come at once, and says so; what may still arrive does not."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine, update

from alerts.apply import apply_findings, attend
from alerts.messages import AlertSettings
from alerts.passing_on import pass_on
from alerts.stand_in import needing_another_way, stand_in
from alerts.wording import Style
from qingquan.domain.delivery import NotSent
from qingquan.domain.findings import Severity
from qingquan.domain.incidents import IncidentState, Message, MessageState, TransitionReason
from qingquan.domain.works import Contact, Role, Works
from qingquan.store.sql.delivery import set_aside, withdraw_stood_in
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.incidents import acknowledge, events_of, list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.schema import incident, outbox
from qingquan.testing.alerts import MINUTE, START, example_finding, example_works, register_of
from qingquan.testing.databases import engine  # noqa: F401 (fixtures)

SETTINGS = AlertSettings()
S = MessageState


class Scene:
    """One incident without disinfection; nobody stands on the rungs above but the caretaker who is rung up."""

    def __init__(self, engine: Engine, works: Works, severity: Severity = Severity.CRITICAL) -> None:  # noqa: F811
        self.engine, self.works, self.now = engine, works, START + 3_600_000
        finding = example_finding(severity=severity)
        with writing(engine) as connection:
            apply_findings(connection, [finding], register_of(works), self.now)

    def end(self, channel: str, state: MessageState, why: str = "") -> None:
        with writing(self.engine) as connection:
            row = outbox.c.channel == channel, outbox.c.state == S.QUEUED.value
            connection.execute(update(outbox).where(*row).values(state=state.value, why=why, sent_at=self.now))

    def passed_on(self, language: str = "zh") -> int:
        with writing(self.engine) as connection:
            stand_in(connection, needing_another_way(connection, self.now), self.now)
            return pass_on(connection, self.now, replace(Style(), language=language))

    def attend(self) -> None:
        with writing(self.engine) as connection:
            attend(connection, lambda _: self.works, self.now, SETTINGS)

    def rows(self, step: str) -> list[Message]:
        with reading(self.engine) as connection:
            return [one for one in list_messages(connection, limit=100) if one.step == step]


@pytest.fixture
def works() -> Works:
    return example_works(contacts=(Contact(Role.CARETAKER, "张三", "13800000001"),))


def test_a_rung_whose_messages_are_all_lost_hands_on_at_once_and_the_next_one_says_whom_nothing_reached(
    engine: Engine,  # noqa: F811
    works: Works,
) -> None:
    scene = Scene(engine, works)
    scene.end("aliyun_sms", S.NOT_SENT, NotSent.BUDGET)
    scene.end("wecom_robot", S.ACCEPTED)
    assert scene.rows("township") == []
    assert scene.passed_on() == 0, "what is critical ends in a call where the number's budget is spent"
    (instead,) = [one for one in scene.rows("firing") if one.stands_in_for]
    assert (instead.channel, instead.receiver) == ("aliyun_voice", "13800000001")
    scene.end("aliyun_voice", S.NOT_SENT, NotSent.NO_ANSWER)
    assert scene.passed_on() == 1
    assert scene.passed_on() == 0, "each rung is given up once"
    scene.attend()
    (call,) = [one for one in scene.rows("township") if one.channel == "aliyun_voice"]
    assert call.receiver == "13800000001"
    assert "前级未送达" in call.body
    with reading(engine) as connection:
        events = events_of(connection, list_incidents(connection)[0].id)
    (said,) = [one for one in events if one.detail.startswith("首次通知")]
    assert (said.reason, said.detail) == (TransitionReason.NOBODY_REACHED, "首次通知 张三（无人接听）")


@pytest.mark.parametrize("state", [S.QUEUED, S.SENDING, S.ACCEPTED, S.DELIVERED])
def test_what_may_still_arrive_is_waited_for(engine: Engine, works: Works, state: MessageState) -> None:  # noqa: F811
    scene = Scene(engine, works)
    scene.end("wecom_robot", S.NOT_SENT, NotSent.CHANNEL_OFF)
    scene.end("aliyun_sms", state)
    assert scene.passed_on() == 0


def test_what_has_another_way_takes_it_first(engine: Engine) -> None:  # noqa: F811
    works = example_works(contacts=(Contact(Role.CARETAKER, "张三", "13800000001", wecom_id="zs"),))
    scene = Scene(engine, works)
    scene.end("aliyun_sms", S.REFUSED, NotSent.NUMBER)
    assert scene.passed_on() == 0
    scene.end("wecom_app", S.REFUSED, NotSent.ACCOUNT)
    assert scene.passed_on() == 0
    scene.end("aliyun_voice", S.NOT_SENT, NotSent.NO_ANSWER)
    assert scene.passed_on() == 1


def test_an_uncertain_message_counts_as_lost_only_where_it_is_critical(engine: Engine, works: Works) -> None:  # noqa: F811
    scene = Scene(engine, works, Severity.MAJOR)
    scene.end("aliyun_sms", S.UNKNOWN, NotSent.UNCERTAIN)
    assert scene.passed_on() == 0


def test_an_uncertain_critical_message_is_passed_on(engine: Engine, works: Works) -> None:  # noqa: F811
    scene = Scene(engine, works)
    scene.end("aliyun_sms", S.UNKNOWN, NotSent.UNCERTAIN)
    assert scene.passed_on() == 0
    scene.now += 2 * MINUTE
    assert scene.passed_on() == 0, "two minutes in doubt: the person is called"
    scene.end("aliyun_voice", S.UNKNOWN, NotSent.UNCERTAIN)
    assert scene.passed_on() == 1


def test_what_an_acknowledgement_called_off_is_no_loss(engine: Engine, works: Works) -> None:  # noqa: F811
    scene = Scene(engine, works)
    with writing(engine) as connection:
        number = list_incidents(connection)[0].id
        acknowledge(connection, number, "张三", scene.now)
        connection.execute(update(incident).values(state=IncidentState.OPEN.value, next_at=scene.now + MINUTE))
    assert {one.why for one in scene.rows("firing")} == {NotSent.OVER}
    assert scene.passed_on() == 0


def test_a_works_that_is_over_is_passed_on_to_nobody(engine: Engine, works: Works) -> None:  # noqa: F811
    scene = Scene(engine, works)
    over = replace(example_finding(), end=START + 5 * MINUTE, evidence_at=START + 5 * MINUTE)
    with writing(engine) as connection:
        apply_findings(connection, [over], register_of(works), scene.now + 1000)
    assert {one.why for one in scene.rows("firing")} == {NotSent.OVER}
    assert scene.passed_on() == 0


def test_what_waits_is_called_off_once_another_way_has_reached_the_person(engine: Engine) -> None:  # noqa: F811
    works = example_works(contacts=(Contact(Role.CARETAKER, "张三", "13800000001", wecom_id="zs"),))
    scene = Scene(engine, works)
    scene.now += 3 * MINUTE
    with writing(engine) as connection:
        # The budget is full: it is put off from look to look.
        set_aside(connection, {one.id: scene.now + 5_000 for one in scene.rows("firing")})
    assert scene.passed_on() == 0
    assert [one.channel for one in scene.rows("firing") if one.stands_in_for] == ["wecom_app"]
    with writing(engine) as connection:
        assert withdraw_stood_in(connection) == 0, "its stand-in has not arrived"
    scene.end("wecom_app", S.ACCEPTED)
    with writing(engine) as connection:
        assert withdraw_stood_in(connection) == 1
    (sms,) = [one for one in scene.rows("firing") if one.channel == "aliyun_sms"]
    assert (sms.state, sms.why) == (S.NOT_SENT, NotSent.OTHER_WAY)


def test_an_sms_that_stands_in_for_a_card_has_its_variables_and_reads_as_an_sms(engine: Engine) -> None:  # noqa: F811
    works = example_works(contacts=(Contact(Role.CARETAKER, "张三", "13800000001", wecom_id="zs"),))
    policy = replace(SETTINGS.policy, channels_critical=("wecom_app", "aliyun_sms"))
    settings = replace(SETTINGS, policy=policy)
    now = START + 3_600_000
    with writing(engine) as connection:
        apply_findings(connection, [example_finding()], register_of(works), now, settings)
        card = outbox.c.channel == "wecom_app"
        connection.execute(update(outbox).where(card).values(state=S.REFUSED.value, why=NotSent.NUMBER.value))
        assert stand_in(connection, needing_another_way(connection, now), now) == 1
        (sms,) = [one for one in list_messages(connection) if one.channel == "aliyun_sms"]
    assert sms.params["template"] == "alarm"
    assert {"works", "problem", "since", "action"} <= sms.params.keys()
    assert sms.body.startswith("水质告警：青山镇城东水厂")
