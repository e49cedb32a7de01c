"""The alerter's rounds hold up nobody: they look in transactions that only read, and write a little at a time."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, update

from alerts.apply import apply_findings
from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.delivery import NotSent
from qingquan.domain.incidents import MessageState, NewMessage
from qingquan.services import alerter
from qingquan.services.escalating import Escalator
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import enqueue, list_messages
from qingquan.store.sql.schema import incident, outbox
from qingquan.testing.alerts import START, example_finding, example_works, register_of
from qingquan.testing.databases import engine  # noqa: F401 (fixtures)

COUNT = 5


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Begun writing transactions of the alerter."""
    begun: list[Engine] = []

    def noted(engine: Engine) -> AbstractContextManager[Connection]:  # noqa: F811
        begun.append(engine)
        return writing(engine)

    monkeypatch.setattr(alerter, "writing", noted)
    monkeypatch.setattr("qingquan.services.escalating.writing", noted)
    monkeypatch.setattr("alerts.outbox.writing", noted)
    return begun


def scene(engine: Engine, state: MessageState, why: str, fallback: str) -> None:  # noqa: F811
    """One open incident and messages of it in this state, written a moment ago."""
    config_now = Config().clock.now_ms()
    with writing(engine) as connection:
        apply_findings(connection, [example_finding()], register_of(example_works()), START + 3_600_000)
        number = list_incidents(connection)[0].id
        connection.execute(outbox.delete())
        connection.execute(update(incident).values(next_at=config_now + 3_600_000))
        ways = ((fallback, "13800000001"),) if fallback else ()
        enqueue(
            connection,
            [
                NewMessage(
                    incident_id=number, step=f"firing_{n}", channel="aliyun_sms", receiver=f"1380000000{n}", receiver_name="张三",
                    body="余氯低", created_at=from_ms(config_now), params={"severity": "critical"}, fallback=ways,
                )
                for n in range(COUNT)
            ],
        )  # fmt: skip
        connection.execute(update(outbox).values(state=state.value, why=why, sent_at=config_now, ask_at=config_now - 1))


def rounds(engine: Engine, tmp_path: Path) -> dict[str, Callable[[], int]]:  # noqa: F811
    return alerter._steps(Config(data_dir=str(tmp_path)), engine, {"aliyun_sms": None, "aliyun_voice": None})


@pytest.mark.parametrize(
    ("state", "why", "fallback"),
    [
        (MessageState.ACCEPTED, "", "aliyun_voice"),
        (MessageState.NOT_SENT, NotSent.TOGETHER.value, "aliyun_voice"),
    ],
)
def test_who_has_nothing_to_do_does_not_ask_for_the_right_to_write(
    engine: Engine,  # noqa: F811
    tmp_path: Path,
    written: list[Engine],
    state: MessageState,
    why: str,
    fallback: str,
) -> None:
    scene(engine, state, why, fallback)
    steps = rounds(engine, tmp_path)
    assert {name: step() for name, step in steps.items()} == {"off": 0, "other-ways": 0, "passing-on": 0}
    assert Escalator(Config(data_dir=str(tmp_path)), engine).step() == 0
    assert written == []


def test_other_ways_are_written_a_few_at_a_time(
    engine: Engine,  # noqa: F811
    tmp_path: Path,
    written: list[Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(alerter, "WRITTEN_AT_ONCE", 2)
    scene(engine, MessageState.NOT_SENT, NotSent.CHANNEL_OFF.value, "aliyun_voice")
    given: list[int] = []
    stand_in = alerter.stand_in

    def noted(connection: Connection, ids: Collection[int], *rest: Any) -> int:
        given.append(len(ids))
        return stand_in(connection, ids, *rest)

    monkeypatch.setattr(alerter, "stand_in", noted)
    assert rounds(engine, tmp_path)["other-ways"]() == COUNT
    assert given == [2, 2, 1]
    assert len(written) == 3
    with reading(engine) as connection:
        assert sum(one.stands_in_for is not None for one in list_messages(connection, limit=100)) == COUNT
    assert rounds(engine, tmp_path)["other-ways"]() == 0, "nobody twice"


def test_messages_of_a_channel_that_is_off_are_declined_a_few_at_a_time(
    engine: Engine,  # noqa: F811
    tmp_path: Path,
    written: list[Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alerts.outbox.DECLINED_AT_ONCE", 2)
    scene(engine, MessageState.QUEUED, "", "")
    off = rounds(engine, tmp_path)["off"]
    assert [off() for _ in range(4)] == [2, 2, 1, 0]
    assert len(written) == 3
