"""What delivery promises when things go wrong: budgets, other ways, receipts, a gateway that is down, a clock that jumps."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, update

from alerts.apply import apply_findings
from alerts.outbox import Relay, decline
from alerts.receipts import record_receipts
from alerts.stand_in import needing_another_way, stand_in
from qingquan.clock import from_ms
from qingquan.domain.incidents import Message, MessageState, NewMessage
from qingquan.store.sql.delivery import undelivered
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import enqueue, list_messages
from qingquan.store.sql.schema import incident, outbox
from qingquan.testing.alerts import START, example_finding, example_works, register_of
from qingquan.testing.databases import engine  # noqa: F401 (fixtures)
from qingquan.testing.gateways import RunningDouble, outbox_message, running_double

S = MessageState
SECOND = 1000
SMS, VOICE, APP, ROBOT = "aliyun_sms", "aliyun_voice", "wecom_app", "wecom_robot"


class Scene:
    """A database, a double and a clock of our own; incident 1 is open."""

    def __init__(self, engine: Engine, gateway: RunningDouble, clock: list[int]) -> None:  # noqa: F811
        self.engine, self.gateway, self.clock = engine, gateway, clock
        with writing(engine) as connection:
            apply_findings(connection, [example_finding()], register_of(example_works()), clock[0])
            self.incident = list_incidents(connection)[0].id
        with writing(engine) as connection:
            connection.execute(outbox.delete())

    def relay(self, channel: str, worker: str = "w") -> Relay:
        made = (
            self.gateway.sms(timeout_s=1, wall_ms=lambda: self.clock[0])
            if channel == SMS
            else self.gateway.channel(channel)
        )
        for part in (made, getattr(made, "_port", None)):
            if part is not None and hasattr(part, "_wall_ms"):
                part._wall_ms = lambda: self.clock[0]
        return Relay(self.engine, made, lambda: self.clock[0], worker=worker)

    def queue(self, channel: str, count: int = 1, **fields: Any) -> None:
        example = outbox_message(channel)
        params = {**example.params, "severity": fields.pop("severity", "critical")}
        values: dict[str, Any] = {
            "incident_id": self.incident, "step": "firing", "channel": channel, "receiver": example.receiver,
            "receiver_name": "张三", "body": example.body, "created_at": from_ms(self.clock[0]), "params": params,
        }  # fmt: skip
        with writing(self.engine) as connection:
            enqueue(connection, [NewMessage(**{**values, "step": f"firing_{n}", **fields}) for n in range(count)])

    def rows(self) -> list[Message]:
        with reading(self.engine) as connection:
            return sorted(list_messages(connection, limit=500), key=lambda one: one.id)

    def other_ways(self) -> int:
        with writing(self.engine) as connection:
            return stand_in(connection, needing_another_way(connection, self.clock[0]), self.clock[0])

    def later(self, seconds: float) -> "Scene":
        self.clock[0] += round(seconds * SECOND)
        return self


@pytest.fixture
def clock() -> list[int]:
    return [START + 3_600_000]


@pytest.fixture
def scene(engine: Engine, clock: list[int]) -> Iterator[Scene]:  # noqa: F811
    with running_double(wall_ms=lambda: clock[0]) as gateway:
        yield Scene(engine, gateway, clock)


def test_two_workers_and_a_restart_exceed_no_budget(scene: Scene) -> None:
    scene.gateway.double.quotas.update({"minute": 1, "hour": 5, "day": 10})
    for n in range(40):
        # One at a time and number: what is due together would be one message.
        scene.queue(SMS, severity=("critical", "major")[n % 2], step=f"s{n}")
        relays = [scene.relay(SMS, f"w{n}-{k}") for k in range(2)]
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda relay: relay.step(), relays))
        scene.later(130)
    assert scene.gateway.double.rejected["isv.BUSINESS_LIMIT_CONTROL"] == 0
    assert 5 <= len(scene.gateway.texts(SMS)) <= 10
    states = {one.state for one in scene.rows()}
    assert states <= {S.ACCEPTED, S.DELIVERED, S.NOT_SENT, S.QUEUED}


def test_messages_carried_by_one_are_all_told_and_asked_about_once(scene: Scene) -> None:
    scene.queue(SMS, 3)
    scene.gateway.fault(SMS, kind="hang_up", seconds=3)
    relay = scene.relay(SMS)
    relay.step()
    assert {one.state for one in scene.rows()} == {S.SENDING}
    scene.later(90)
    scene.relay(SMS, "another").step()
    assert {one.state for one in scene.rows()} == {S.DELIVERED}
    assert len(scene.gateway.texts(SMS)) == 1


def test_a_critical_message_without_receipt_takes_the_next_way_after_two_minutes(scene: Scene) -> None:
    scene.gateway.fault(SMS, kind="no_receipt")
    scene.queue(SMS, fallback=((VOICE, "13800000001"), (APP, "zhangsan")))
    scene.relay(SMS).step()
    assert scene.later(100).other_ways() == 0
    assert scene.later(30).other_ways() == 1
    assert scene.other_ways() == 0, "once"
    first, second = scene.rows()
    assert (second.channel, second.fallback, second.stands_in_for) == (VOICE, ((APP, "zhangsan"),), first.id)


def test_a_message_with_a_receipt_or_of_less_weight_takes_no_other_way(scene: Scene) -> None:
    scene.queue(SMS, fallback=((VOICE, "13800000001"),))
    scene.relay(SMS).step()
    scene.later(40).relay(SMS).step()
    assert scene.rows()[0].state is S.DELIVERED
    scene.gateway.fault(SMS, kind="no_receipt")
    scene.queue(SMS, severity="major", step="x", receiver="13800000002", fallback=((VOICE, "13800000002"),))
    scene.relay(SMS).step()
    assert scene.later(600).other_ways() == 0


def test_what_is_refused_goes_another_way_at_once_and_the_next_rung_is_told_of_what_is_left(scene: Scene) -> None:
    scene.queue(SMS, severity="major", receiver="12", fallback=((APP, "zhangsan"),))
    scene.queue("email", severity="major", receiver="a@example.org", step="mail")
    scene.relay(SMS).step()
    decline(scene.engine, {"email": "channel email is not set up"}, scene.clock[0])
    assert [one.why for one in scene.rows()] == ["number", "channel_off"]
    assert scene.other_ways() == 1
    with reading(scene.engine) as connection:
        assert [one.channel for one in undelivered(connection, [scene.incident])[scene.incident]] == ["email"]


def test_a_call_nobody_takes_is_made_again_twice_and_then_given_up(scene: Scene) -> None:
    for _ in range(3):
        scene.gateway.fault(VOICE, kind="receipt_failed")
    scene.queue(VOICE)
    relay = scene.relay(VOICE)
    for _ in range(60):
        relay.step()
        scene.later(15)
    (row,) = scene.rows()
    assert len(scene.gateway.texts(VOICE)) == 3
    assert (row.state, row.why, row.attempts) == (S.NOT_SENT, "no_answer", 3)


def test_a_gateway_down_for_half_an_hour_loses_nothing_and_repeats_nothing(scene: Scene) -> None:
    url = scene.gateway.url
    away = scene.relay(SMS)
    away._channel._port._http.base_url = "http://127.0.0.1:9"  # type: ignore[attr-defined]
    scene.queue(SMS)
    for _ in range(60):
        away.step()
        scene.later(30)
    assert scene.rows()[0].state is S.QUEUED
    away._channel._port._http.base_url = url  # type: ignore[attr-defined]
    for _ in range(30):
        away.step()
        scene.later(30)
    assert scene.rows()[0].state is S.DELIVERED
    assert len(scene.gateway.texts(SMS)) == 1


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_clock_that_jumps_neither_stops_nor_repeats_messages(scene: Scene, step_s: int) -> None:
    scene.queue(SMS)
    scene.relay(SMS).step()
    scene.queue(SMS, step="second", receiver="13800000002")
    scene.later(step_s)
    scene.relay(SMS).step()
    assert len(scene.gateway.texts(SMS)) == 2
    scene.queue(SMS, step="third")
    for _ in range(12):
        scene.later(10).relay(SMS).step()
    assert len(scene.gateway.texts(SMS)) == 3
    assert {one.state for one in scene.rows()} <= {S.ACCEPTED, S.DELIVERED}


def test_receipts_pushed_late_twice_or_by_strangers_count_once(scene: Scene) -> None:
    scene.gateway.fault(SMS, kind="no_receipt")
    scene.queue(SMS)
    scene.relay(SMS).step()
    (row,) = scene.rows()
    push = {"biz_id": row.provider_id, "phone_number": row.receiver, "success": True, "err_code": "DELIVERED"}
    foreign = {**push, "phone_number": "13999999999"}

    def pushed(*rows: object) -> dict[str, int]:
        return dict(record_receipts(scene.engine, SMS, json.dumps(rows).encode(), scene.clock[0]))

    assert pushed(foreign, "x", {}) == {"foreign": 2, "unreadable": 1}
    assert pushed(push, push) == {"news": 1, "known": 1}
    assert scene.rows()[0].state is S.DELIVERED
    assert dict(record_receipts(scene.engine, SMS, b"\xff{", 0)) == {"unreadable": 1}


def test_nobody_is_rung_up_for_what_was_found_late(scene: Scene) -> None:
    scene.queue(SMS)
    with writing(scene.engine) as connection:
        connection.execute(update(incident).values(late=True))
    scene.relay(SMS).step()
    assert (scene.rows()[0].state, scene.rows()[0].why) == (S.NOT_SENT, "late_finding")
    assert scene.gateway.texts(SMS) == []
