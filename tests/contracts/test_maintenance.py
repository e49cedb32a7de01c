"""Maintenance: begun and ended by people, in the database with name and reason, in the reading log as readings."""

import json
from dataclasses import dataclass, field

import pytest
from sqlalchemy import Engine

from qingquan.clock import Clock
from qingquan.domain.readings import Topic
from qingquan.errors import BrokerLost, NotFound, TransitionRefused
from qingquan.services.maintenance import MaintenanceDesk
from qingquan.store.sql.engine import writing
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import engine  # noqa: F401 (fixtures)
from qingquan.testing.engine import make_works

START = 1_780_000_000_000
MINUTE = 60_000


@dataclass
class Hands:
    """A clock that is set by hand."""

    now: int = START

    def now_ms(self) -> int:
        return self.now


@dataclass
class Log:
    """Takes what is published, or refuses while it is down."""

    taken: list[tuple[Topic, dict[str, object]]] = field(default_factory=list)
    is_down: bool = False

    def publish(self, topic: Topic, payload: bytes) -> int:
        if self.is_down:
            raise BrokerLost("down")
        self.taken.append((topic, json.loads(payload)))
        return len(self.taken)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def desk(engine: Engine, log: Log, hands: Hands) -> MaintenanceDesk:  # noqa: F811
    works = make_works()
    with writing(engine) as connection:
        save_works(connection, [works])
    clock: Clock = hands  # type: ignore[assignment]
    return MaintenanceDesk(engine, clock, log.publish, 240)


WORKS = make_works()
POINT = WORKS.points[0].id
PLACE = (WORKS.county, WORKS.id)


def test_beginning_and_end_are_readings_in_the_log(desk: MaintenanceDesk, log: Log, hands: Hands) -> None:
    begun = desk.begin(*PLACE, POINT, " 李工 ", "余氯仪校准", 60)
    assert (begun.started_by, begun.reason, begun.planned_end) == ("李工", "余氯仪校准", START + 60 * MINUTE)
    assert desk.running() == [begun]
    hands.now += 20 * MINUTE
    ended = desk.end(*PLACE, begun.id, "李工")
    assert ended.ended_at == START + 20 * MINUTE
    assert desk.running() == []
    topic = Topic(*PLACE, POINT, "json")
    assert log.taken == [
        (topic, {"t": START, "v": {"maintenance": 1}}), (topic, {"t": START + 20 * MINUTE, "v": {"maintenance": 0}}),
    ]  # fmt: skip


def test_what_nobody_ends_is_over_at_its_planned_end(desk: MaintenanceDesk, log: Log, hands: Hands) -> None:
    desk.begin(*PLACE, POINT, "李工", "清洗", 30)
    hands.now += 29 * MINUTE
    desk.every_minute()
    assert len(desk.running()) == 1
    hands.now += 2 * MINUTE
    desk.every_minute()
    assert desk.running() == []
    assert log.taken[-1][1] == {"t": START + 30 * MINUTE, "v": {"maintenance": 0}}
    (one,) = desk.listed(*PLACE)
    assert (one.ended_at, one.ended_by) == (START + 30 * MINUTE, "")


def test_what_the_log_has_not_got_is_sent_when_it_is_back_once(desk: MaintenanceDesk, log: Log, hands: Hands) -> None:
    log.is_down = True
    begun = desk.begin(*PLACE, POINT, "李工", "校准", 60)
    hands.now += 5 * MINUTE
    desk.end(*PLACE, begun.id, "李工")
    assert log.taken == []
    log.is_down = False
    assert desk.send_unsent() == 2
    assert desk.send_unsent() == 0
    assert [one["v"] for _, one in log.taken] == [{"maintenance": 1}, {"maintenance": 0}]


def test_ending_again_changes_nothing(desk: MaintenanceDesk, log: Log, hands: Hands) -> None:
    begun = desk.begin(*PLACE, POINT, "李工", "校准", 60)
    first = desk.end(*PLACE, begun.id, "李工")
    hands.now += MINUTE
    assert desk.end(*PLACE, begun.id, "王工") == first
    assert len(log.taken) == 2


def test_a_point_is_under_one_maintenance_at_a_time(desk: MaintenanceDesk) -> None:
    desk.begin(*PLACE, POINT, "李工", "校准", 60)
    with pytest.raises(TransitionRefused, match="already"):
        desk.begin(*PLACE, POINT, "王工", "校准", 60)


@pytest.mark.parametrize(
    ("by", "reason", "minutes"), [("", "校准", 60), ("李工", " ", 60), ("李工", "校准", 4), ("李工", "校准", 241)]
)
def test_a_beginning_without_name_reason_or_sensible_time_is_refused(
    desk: MaintenanceDesk, log: Log, by: str, reason: str, minutes: int
) -> None:
    with pytest.raises(ValueError, match=r"give a name|allowed: 5 to 240"):
        desk.begin(*PLACE, POINT, by, reason, minutes)
    assert log.taken == []
    assert desk.running() == []


def test_what_is_not_in_the_register_is_not_found(desk: MaintenanceDesk) -> None:
    with pytest.raises(NotFound):
        desk.begin(*PLACE, "nowhere", "李工", "校准", 60)
    with pytest.raises(NotFound):
        desk.end(*PLACE, 4711, "李工")
