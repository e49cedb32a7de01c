"""What a duty officer, a caretaker and a manager get to read, minute by minute. The clock is the test's; the gateway is real HTTP."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from alerts.apply import AlertSettings, apply_findings, attend
from alerts.channels.base import Channel
from alerts.outbox import Relay
from alerts.routing import SMS, WECOM_ROBOT
from qingquan.clock import from_ms
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.incidents import Incident, IncidentState, MessageState, TransitionReason
from qingquan.domain.works import Equipment
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.incidents import acknowledge, events_of, list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.alerts import MINUTE, START, example_finding, example_works, register_of
from qingquan.testing.databases import current_sqlite
from qingquan.testing.gateways import RunningDouble, running_double

CARETAKER, MANAGER = "13800000001", "13900000002"
K = FindingKind


class Axis:
    """A day at the county, told by the clock of Guizhou: ``at`` lets the alerter work until then."""

    def __init__(self, engine: Engine, gateway: RunningDouble, clock: list[int]) -> None:
        self.engine, self.gateway, self._clock = engine, gateway, clock
        self.works = {"W0077": example_works()}
        self._read = {"wecom_robot": 0, "aliyun_sms": 0}
        self.relays = self._relays()

    @property
    def now(self) -> int:
        return self._clock[0]

    def _relays(self) -> list[Relay]:
        channels: list[Channel] = [
            self.gateway.robot(timeout_s=0.5),
            self.gateway.sms(timeout_s=0.5, wall_ms=lambda: self.now),
        ]
        return [Relay(self.engine, channel, lambda: self.now, worker="test") for channel in channels]

    def restart(self) -> None:
        """The alerter starts anew and remembers nothing."""
        self.relays = self._relays()

    def at(self, time: str) -> "Axis":
        hours, minutes = (int(part) for part in time.split(":"))
        until = START + ((hours - 8) * 60 + minutes) * MINUTE
        assert until >= self.now, "time goes forward"
        while self.now < until:
            self._clock[0] = min(until, self.now + MINUTE // 2)
            with writing(self.engine) as connection:
                attend(connection, register_of(*self.works.values()).get, self.now, AlertSettings())
            for relay in self.relays:
                relay.step()
        return self

    def judged(self, *findings: Finding) -> "Axis":
        with writing(self.engine) as connection:
            apply_findings(connection, findings, register_of(*self.works.values()), self.now)
        return self

    def acknowledged_by(self, name: str) -> "Axis":
        with writing(self.engine) as connection:
            acknowledge(connection, self.incidents()[0].id, name, self.now)
        return self

    def incidents(self) -> list[Incident]:
        with reading(self.engine) as connection:
            return list(list_incidents(connection))

    def count(self) -> int:
        with reading(self.engine) as connection:
            return list_incidents(connection).total

    def incident(self) -> Incident:
        (only,) = self.incidents()
        return only

    def history(self) -> list[TransitionReason]:
        with reading(self.engine) as connection:
            return [event.reason for event in events_of(connection, self.incident().id)]

    def states(self, channel: str) -> list[MessageState]:
        with reading(self.engine) as connection:
            return [one.state for one in list_messages(connection, channels=[channel])]

    def phone(self, number: str) -> list[str]:
        """What came in on a phone since the last look."""
        kept = [one for one in self.gateway.double.messages if one.channel == SMS]
        new, self._read[SMS + number] = kept[self._read.get(SMS + number, 0) :], len(kept)
        return [one.text for one in new if one.to == number]

    def group(self) -> list[str]:
        """What came in in the county's group since the last look."""
        texts = self.gateway.texts(WECOM_ROBOT)
        new, self._read[WECOM_ROBOT] = texts[self._read[WECOM_ROBOT] :], len(texts)
        return new


@pytest.fixture
def axis(tmp_path: Path) -> Iterator[Axis]:
    clock = [START]
    url = current_sqlite(tmp_path / "alerts.db")
    engine = open_database(url)
    with running_double(wall_ms=lambda: clock[0]) as gateway:
        yield Axis(engine, gateway, clock)
    engine.dispose()


def low(**fields: Any) -> Finding:
    return example_finding("low", kind=K.DISINFECTION_LOW, extreme=0.21, **fields)


def missing(**fields: Any) -> Finding:
    return example_finding("missing", kind=K.DISINFECTION_MISSING, **fields)


def silent(**fields: Any) -> Finding:
    return example_finding("silent", kind=K.STALE, extreme=None, limit=None, clause="", **fields)


def when(minute: int) -> int:
    return START + minute * MINUTE


def test_disinfection_fails_and_is_restored(axis: Axis) -> None:
    axis.at("08:35").judged(missing())
    axis.at("08:36")
    assert axis.phone(CARETAKER) == [
        "【清泉演示】水质告警：青山镇城东水厂，出厂水游离氯0.02mg/L，低于0.3mg/L，疑似消毒中断，自08:00起。"
        "处置：请立即检查投加泵和药箱，并用DPD法手工复测。"
    ]
    assert len(axis.phone(MANAGER)) == 1
    (posted,) = axis.group()
    assert posted.startswith("**严重告警｜青山镇城东水厂**")
    assert "08:00起，已持续35分钟" in posted
    assert axis.incident().state is IncidentState.OPEN

    axis.at("09:40").judged(missing(end=when(85)))
    assert axis.incident().state is IncidentState.RESOLVED
    axis.at("09:42")
    assert axis.phone(CARETAKER)[-1:] == [
        "【清泉演示】告警解除：青山镇城东水厂，出厂水游离氯已恢复达标，时间09:25，请继续留意。"
    ]
    assert len(axis.phone(MANAGER)) == 1
    assert "告警解除" in axis.group()[0]


def test_nothing_more_is_said_while_it_lasts(axis: Axis) -> None:
    axis.at("08:35").judged(missing())
    axis.at("08:37")
    assert len(axis.phone(CARETAKER)) == 1
    for minute in range(38, 58):
        axis.at(f"08:{minute}").judged(missing(extreme=0.01, evidence_at=when(minute)))
    assert axis.phone(CARETAKER) == []
    assert axis.group() != []
    assert axis.incident().summary["value"] == "0.01"


def test_low_turns_into_missing_and_is_told_once_more_to_more_people(axis: Axis) -> None:
    axis.at("08:35").judged(low())
    axis.at("08:40")
    assert len(axis.phone(CARETAKER)) == 1
    assert axis.phone(MANAGER) == []
    axis.acknowledged_by("王五").judged(missing(minute=30), low(end=when(40)))
    assert axis.incident().state is IncidentState.OPEN, "what was acknowledged was the lesser matter"
    axis.at("08:42")
    assert len(axis.phone(CARETAKER)) == 1
    assert len(axis.phone(MANAGER)) == 1
    assert axis.history() == [
        TransitionReason.FIRST_FINDING,
        TransitionReason.ACKNOWLEDGED,
        TransitionReason.SEVERITY_RAISED,
    ]


def test_an_incident_ends_only_with_its_last_finding(axis: Axis) -> None:
    axis.at("08:35").judged(low(), missing(minute=5))
    axis.at("08:50").judged(low(end=when(50)))
    assert axis.incident().state is IncidentState.OPEN
    axis.at("08:55").judged(missing(minute=5, end=when(55)))
    assert axis.incident().state is IncidentState.RESOLVED


def test_what_comes_back_later_is_a_new_incident(axis: Axis) -> None:
    axis.at("08:35").judged(missing())
    axis.at("09:00").judged(missing(end=when(50)))
    axis.at("10:00").judged(example_finding("again", minute=90))
    axis.at("10:01")
    assert [one.state for one in axis.incidents()] == [IncidentState.OPEN, IncidentState.RESOLVED]
    assert len(axis.phone(CARETAKER)) == 3, "alarm, all-clear, alarm"


def test_nobody_is_woken_for_what_is_over_within_the_wait(axis: Axis) -> None:
    axis.at("08:35").judged(low())
    axis.judged(low(end=when(35)))
    axis.at("09:00")
    assert axis.phone(CARETAKER) == []
    assert axis.group() == []
    assert set(axis.states(SMS)) == {MessageState.NOT_SENT}
    assert axis.incident().state is IncidentState.RESOLVED


def test_a_withdrawn_alarm_is_taken_back_from_those_who_got_it(axis: Axis) -> None:
    axis.at("08:35").judged(missing())
    axis.at("08:40").judged(missing(end=when(1), withdrawn=True))
    axis.at("08:42")
    assert "此前告警经核实不成立" in axis.phone(CARETAKER)[1]
    assert axis.history()[-1] is TransitionReason.FINDINGS_WITHDRAWN


def test_buffered_readings_are_recorded_and_wake_nobody(axis: Axis) -> None:
    yesterday = [
        example_finding(f"hour{n}", kind=K.DISINFECTION_LOW, minute=60 * n - 1440, end=when(60 * n - 1380), late=True)
        for n in range(5)
    ]
    axis.at("08:10").judged(*yesterday[:3])
    axis.at("08:11").judged(*yesterday[3:])
    axis.at("08:30")
    assert axis.incident().late
    assert axis.incident().state is IncidentState.RESOLVED
    assert set(axis.history()) == {TransitionReason.RECORDED_LATE}
    assert len(axis.incident().finding_ids) == 5
    assert axis.phone(CARETAKER) == []
    assert axis.group() == []


def test_an_old_story_that_turns_out_to_last_is_told_when_it_becomes_live(axis: Axis) -> None:
    axis.at("08:10").judged(low(late=True))
    axis.at("08:12")
    assert axis.phone(CARETAKER) == []
    axis.judged(low(evidence_at=when(12)))
    axis.at("08:14")
    assert len(axis.phone(CARETAKER)) == 1


def test_a_works_that_falls_silent_does_not_count_as_recovered(axis: Axis) -> None:
    axis.at("08:35").judged(missing())
    axis.at("09:00").judged(silent(minute=40))
    water = next(one for one in axis.incidents() if one.kind is K.DISINFECTION_MISSING)
    assert (water.state, water.stale) == (IncidentState.OPEN, True)
    axis.judged(missing(end=when(59)))
    water = next(one for one in axis.incidents() if one.kind is K.DISINFECTION_MISSING)
    assert water.state is IncidentState.OPEN, "an end without data proves nothing"
    axis.at("10:00").judged(silent(minute=40, end=when(119)))
    axis.at("10:06")
    assert {one.state for one in axis.incidents()} == {IncidentState.RESOLVED}
    assert "已恢复达标" in axis.phone(CARETAKER)[-1]


def test_silence_is_told_to_the_group_and_to_no_phone(axis: Axis) -> None:
    axis.at("08:20").judged(
        silent(), silent(parameter="turbidity"), example_finding("t", kind=K.STALE, parameter="turbidity")
    )
    axis.at("08:22")
    (posted,) = axis.group()
    assert "数据中断，水质状况不明，另有1项" in posted.replace("</font>", "")
    assert axis.phone(CARETAKER) == []


def test_a_works_without_equipment_is_told_of_once_and_never_again(axis: Axis) -> None:
    axis.works = {"W0077": example_works(equipment=Equipment.NOT_EQUIPPED)}
    axis.at("08:35").judged(missing())
    axis.at("09:00").judged(missing(end=when(60)))
    axis.at("10:00").judged(example_finding("again", minute=90))
    axis.at("10:05")
    assert axis.phone(CARETAKER) == []
    assert [text.splitlines()[0] for text in axis.group()] == [
        "**严重告警｜青山镇城东水厂**",
        "**告警解除｜青山镇城东水厂**",
    ]


def test_a_township_without_power_is_a_list_and_not_a_flood(axis: Axis) -> None:
    axis.works = {f"W{n:04d}": example_works(f"W{n:04d}", name=f"第{n}水厂") for n in range(120)}
    axis.at("08:20").judged(*(replace(silent(works=id_), id=f"s{id_}") for id_ in axis.works))
    axis.at("08:23")
    (posted,) = axis.group()
    assert posted.startswith("**较重告警｜青山镇**\n> 青山镇120处工程数据中断，水质状况不明")
    assert len(posted.encode()) <= 4096
    assert all(f"第{n}水厂" in posted for n in range(120)), "none is left out"
    assert axis.count() == 121, "each works keeps its own incident, shown as ever"


def test_a_critical_alarm_is_not_held_up_by_a_list_of_silent_works(axis: Axis) -> None:
    axis.works |= {f"W{n:04d}": example_works(f"W{n:04d}") for n in range(60)}
    axis.at("08:35").judged(*(replace(silent(works=f"W{n:04d}"), id=f"s{n}") for n in range(60)), missing())
    axis.at("08:36")
    assert axis.group()[0].startswith("**严重告警")
    assert len(axis.phone(CARETAKER)) == 1


def test_a_number_gets_at_most_six_alarms_a_day_and_the_rest_is_shown_as_not_sent(axis: Axis) -> None:
    for n in range(9):
        # Half an hour apart: no two of them can be told in one message.
        axis.works = {f"W{n}": example_works(f"W{n}")}
        at = 35 + 30 * n
        axis.at(f"{8 + at // 60:02}:{at % 60:02}").judged(
            replace(low(works=f"W{n}"), id=f"l{n}", start=axis.now, evidence_at=axis.now)
        )
        axis.restart()
    axis.at("13:30")
    assert len(axis.phone(CARETAKER)) == 6
    assert axis.states(SMS).count(MessageState.NOT_SENT) == 3
    with reading(axis.engine) as connection:
        lost = list_messages(connection, channels=[SMS], states=[MessageState.NOT_SENT])
    assert {one.why for one in lost} == {"budget"}


def test_several_works_of_one_caretaker_at_one_time_are_one_message(axis: Axis) -> None:
    axis.works = {f"W{n}": example_works(f"W{n}") for n in range(3)}
    axis.at("08:35").judged(*(replace(low(works=id_), id=f"l{id_}") for id_ in axis.works))
    axis.at("08:36")
    (told,) = axis.phone(CARETAKER)
    assert "您有3条水质消息" in told
    axis.works = {f"C{n}": example_works(f"C{n}") for n in range(3)}
    axis.judged(*(replace(missing(works=id_), id=f"m{id_}") for id_ in axis.works))
    axis.at("08:40")
    assert len(axis.phone(CARETAKER)) == 1, "the critical ones come in the next minute, together"


def test_a_provider_that_is_down_gets_it_later(axis: Axis) -> None:
    for _ in range(3):
        axis.gateway.fault(WECOM_ROBOT, kind="http", status=503)
    axis.at("08:35").judged(silent())
    axis.at("08:45")
    assert len(axis.group()) == 1
    assert axis.states(WECOM_ROBOT) == [MessageState.ACCEPTED]


def test_a_throttled_robot_is_left_alone_for_a_minute(axis: Axis) -> None:
    axis.gateway.fault(WECOM_ROBOT, kind="code", code=45009)
    axis.at("08:35").judged(silent())
    axis.at("08:36")
    assert axis.group() == []
    axis.at("08:37")
    assert len(axis.group()) == 1


def test_an_sms_without_an_answer_is_asked_about_and_not_repeated(axis: Axis) -> None:
    axis.gateway.fault(SMS, kind="hang_up", seconds=2)
    axis.at("08:35").judged(low())
    axis.at("08:40")
    assert len(axis.phone(CARETAKER)) == 1
    assert axis.states(SMS) == [MessageState.DELIVERED]


def test_a_post_without_an_answer_is_shown_as_unknown_and_not_repeated(axis: Axis) -> None:
    axis.gateway.fault(WECOM_ROBOT, kind="garbage")
    axis.at("08:35").judged(silent())
    axis.at("09:35")
    assert len(axis.group()) == 1
    assert axis.states(WECOM_ROBOT) == [MessageState.UNKNOWN]


def test_refused_words_go_out_as_the_plain_template(axis: Axis) -> None:
    axis.gateway.fault(SMS, kind="code", code="isv.SMS_TEMPLATE_ILLEGAL")
    axis.at("08:35").judged(low())
    axis.at("08:37")
    assert axis.phone(CARETAKER) == ["【清泉演示】您有一条水质告警待处理，请登录系统查看。"]


def test_a_number_that_does_not_exist_is_refused_once_and_not_tried_again(axis: Axis) -> None:
    contacts = (replace(example_works().contacts[0], phone="12345"),)
    axis.works = {"W0077": example_works(contacts=contacts)}
    axis.at("08:35").judged(low())
    axis.at("09:35")
    assert axis.gateway.double.rejected["isv.MOBILE_NUMBER_ILLEGAL"] == 1
    assert axis.states(SMS) == [MessageState.REFUSED]


def test_messages_of_a_simulated_works_say_so(axis: Axis) -> None:
    axis.works = {"W0077": example_works(simulated=True)}
    axis.at("08:35").judged(missing())
    axis.at("08:36")
    assert "模拟演示 青山镇城东水厂" in axis.phone(CARETAKER)[0]
    assert axis.group()[0].startswith("**【模拟】严重告警")


def test_an_unknown_disinfection_is_not_told_beside_the_silence_that_explains_it(axis: Axis) -> None:
    unknown = example_finding("u", kind=K.DISINFECTION_UNKNOWN, severity=Severity.MINOR, extreme=None, limit=None)
    axis.at("08:20").judged(silent(), unknown)
    axis.at("08:25")
    assert len(axis.group()) == 1
    assert len(axis.incidents()) == 2
    assert from_ms(axis.now) > axis.incidents()[0].opened_at
