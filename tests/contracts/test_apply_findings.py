"""Findings into incidents and messages on every database: one transaction, once, and thousands at a time."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from alerts.apply import AlertSettings, Applied, apply_findings, attend
from alerts.outbox import Relay, decline
from alerts.routing import SMS, WECOM_ROBOT
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import IncidentState, MessageState
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.alerts import MINUTE, START, example_finding, example_works, register_of
from qingquan.testing.databases import engine
from qingquan.testing.gateways import running_double

__all__ = ["engine"]

NOW = START + 35 * MINUTE
WORKS = register_of(example_works())


def test_a_finding_opens_an_incident_and_queues_its_messages(engine: Engine) -> None:
    with writing(engine) as connection:
        done = apply_findings(connection, [example_finding()], WORKS, NOW)
    assert done == Applied(findings_written=1, incidents_opened=1, messages_queued=3)
    with reading(engine) as connection:
        assert {one.channel for one in list_messages(connection)} == {SMS, WECOM_ROBOT}


def test_the_same_findings_again_change_nothing(engine: Engine) -> None:
    for _ in range(2):
        with writing(engine) as connection:
            done = apply_findings(connection, [example_finding()], WORKS, NOW)
    assert done == Applied()


def test_a_transaction_that_fails_leaves_nothing(engine: Engine) -> None:
    def fail() -> None:
        with writing(engine) as connection:
            apply_findings(connection, [example_finding()], WORKS, NOW)
            raise KeyError("the caller's own fault")

    with pytest.raises(KeyError):
        fail()
    with reading(engine) as connection:
        assert (
            list_findings(connection).total == list_incidents(connection).total == list_messages(connection).total == 0
        )


def test_a_cut_in_a_township_of_a_thousand_works_opens_and_closes_every_incident(engine: Engine) -> None:
    works = register_of(*(example_works(f"W{n:04d}") for n in range(1000)))
    silent: list[Finding] = [
        example_finding(f"{id_}-{parameter}", kind=FindingKind.STALE, works=id_, parameter=parameter)
        for _, id_ in works
        for parameter in ("free_chlorine", "turbidity", "ph")
    ]
    with writing(engine) as connection:
        done = apply_findings(connection, silent, works, NOW)
    assert (done.findings_written, done.incidents_opened, done.messages_queued) == (3000, 1000, 1)
    back = [replace(one, end=NOW, evidence_at=NOW) for one in silent]
    with writing(engine) as connection:
        done = apply_findings(connection, back, works, NOW)
    assert (done.incidents_resolved, done.messages_queued) == (0, 0), "good data are watched for a while first"
    called_off = resolved = 0
    for _ in range(4):
        with writing(engine) as connection:
            attended = attend(connection, works.get, NOW + 6 * MINUTE, AlertSettings())
        called_off += attended.messages_called_off
        resolved += attended.resolved
        assert attended.messages_queued == 0
    assert (resolved, called_off) == (1000, 1), "the township's one message was never needed"
    with reading(engine) as connection:
        assert list_incidents(connection, states=[IncidentState.OPEN]).total == 0


def test_messages_of_a_channel_that_is_not_set_up_are_shown_as_not_sent(engine: Engine) -> None:
    with writing(engine) as connection:
        apply_findings(connection, [example_finding()], WORKS, NOW)
    assert decline(engine, {SMS: "channel off"}, NOW + MINUTE) == 2
    with reading(engine) as connection:
        states = {(one.state, one.error) for one in list_messages(connection, channels=[SMS])}
    assert states == {(MessageState.NOT_SENT, "channel off")}


def test_two_alerters_on_one_database_send_each_message_once(engine: Engine) -> None:
    with writing(engine) as connection:
        apply_findings(connection, [example_finding()], WORKS, NOW)
    clock = [NOW + MINUTE]
    with running_double(wall_ms=lambda: clock[0]) as gateway:
        relays = [
            Relay(engine, channel, lambda: clock[0], worker=f"w{n}")
            for n in range(2)
            for channel in (gateway.robot(), gateway.sms(wall_ms=lambda: clock[0]))
        ]
        for relay in relays * 2:
            relay.step()
        assert sorted(one.to for one in gateway.double.messages) == ["13800000001", "13900000002", "县级值班群"]
