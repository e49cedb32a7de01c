"""A county's alerts on a clock of the test's own: findings in, time passes, messages out. No provider, no network."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time

from sqlalchemy import Engine

from alerts.apply import AlertSettings, apply_findings, attend
from alerts.drills import start_drill
from qingquan.clock import from_ms, to_ms
from qingquan.domain.disinfection import Verdict
from qingquan.domain.duty import DutyPerson, Shift, Silence, Swap
from qingquan.domain.findings import Finding
from qingquan.domain.incidents import Incident, Message, MessageState, TransitionReason
from qingquan.domain.works import Works
from qingquan.store.sql import duty
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.incidents import acknowledge, close, events_of, list_incidents
from qingquan.store.sql.outbox import list_messages, record_result
from qingquan.testing.alerts import MINUTE, START, example_works, register_of

__all__ = ["LEADER", "OFFICER", "PREFECTURE", "STATION", "Heard", "Watch", "county_people"]

STATION, OFFICER, LEADER, PREFECTURE = "13700000003", "13600000004", "13500000005", "13400000006"


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that reached somebody: local time, channel, number or group, rung or step, text."""

    at: str
    channel: str
    to: str
    step: str
    text: str


def county_people() -> list[DutyPerson]:
    """One person at every post above the works."""
    return [
        DutyPerson(0, "township", "520425", "青山镇", "水管站赵六", STATION),
        DutyPerson(0, "county_duty", "520425", "", "值班员王五", OFFICER),
        DutyPerson(0, "county_leader", "520425", "", "带班领导陈局", LEADER),
        DutyPerson(0, "prefecture", "5204", "", "市值班室", PREFECTURE),
    ]


class Watch:
    """Time, works, people; ``at`` lets time pass, in steps of half a minute, and messages arrive when they are due."""

    def __init__(self, engine: Engine, people: list[DutyPerson] | None = None) -> None:
        self.engine = engine
        self.now = START
        self.works: dict[str, Works] = {"W0077": example_works()}
        self.settings = AlertSettings()
        self._read = 0
        self.heard: list[Heard] = []
        with writing(engine) as connection:
            duty.save_persons(connection, county_people() if people is None else people)

    def at(self, clock: str, day: int = 0) -> "Watch":
        """Let time pass until that hour, ``day`` days after the first."""
        hours, minutes = (int(part) for part in clock.split(":"))
        until = START + (day * 1440 + (hours - 8) * 60 + minutes) * MINUTE
        assert until >= self.now, "time goes forward"
        step = MINUTE // 2 if until - self.now < 6 * 60 * MINUTE else 5 * MINUTE
        while self.now < until:
            self.now = min(until, self.now + step)
            self.tick()
        return self

    def tick(self) -> None:
        """What the alerter does at this moment."""
        with writing(self.engine) as connection:
            attend(connection, register_of(*self.works.values()).get, self.now, self.settings)
            due = [
                one
                for one in list_messages(connection, states=[MessageState.QUEUED], limit=10_000)
                if to_ms(one.due_at) <= self.now
            ]
            for one in sorted(due, key=lambda one: one.id):
                record_result(connection, one.id, MessageState.ACCEPTED, sent_at_ms=self.now)
                local = f"{from_ms(self.now + 8 * 60 * MINUTE):%H:%M}"
                self.heard.append(Heard(local, one.channel, one.receiver, one.step, one.body))

    def judged(self, *findings: Finding, verdict_of: Callable[[Finding], Verdict | None] | None = None) -> "Watch":
        """The engine has found something; ``verdict_of`` says what probably stands behind it."""
        works = register_of(*self.works.values())
        with writing(self.engine) as connection:
            apply_findings(connection, findings, works, self.now, self.settings, verdict_of=verdict_of)
        return self

    def acknowledged_by(self, name: str) -> "Watch":
        """Somebody takes the newest incident on."""
        with writing(self.engine) as connection:
            acknowledge(connection, list_incidents(connection).items[0].id, name, self.now)
        return self

    def closed_by(self, name: str, cause: str) -> Incident:
        """Somebody settles the newest incident."""
        with writing(self.engine) as connection:
            return close(connection, list_incidents(connection).items[0].id, name, cause, self.now)

    def silenced(self, hours: float, **matcher: str) -> int:
        """Somebody keeps quiet what fits."""
        fields = {"county": "520425", "township": "", "works": "", "cause": ""} | matcher
        silence = Silence(
            0, start=self.now, end=self.now + round(hours * 60 * MINUTE), author="王五", comment="清洗水池",
            created_at=self.now, **fields,
        )  # fmt: skip
        with writing(self.engine) as connection:
            return duty.add_silence(connection, silence, self.settings.policy.silence_most_ms)

    def drill(self, by: str = "王五") -> Incident:
        """Somebody holds a drill at the works."""
        with writing(self.engine) as connection:
            lookup = register_of(*self.works.values()).get
            return start_drill(connection, "520425", "W0077", by, lookup, self.now, self.settings)

    def on_shift(self, name: str, start: time, end: time, day: int = 0) -> "Watch":
        """A person has duty between two hours of the day."""
        midnight = START - 8 * 60 * MINUTE + day * 1440 * MINUTE
        span = [midnight + (one.hour * 60 + one.minute) * MINUTE for one in (start, end)]
        with writing(self.engine) as connection:
            duty.add_shifts(connection, [Shift(0, self.person(name).id, *span)])
        return self

    def swapped(self, absent: str, stand_in: str, hours: float) -> "Watch":
        """One person stands in for another from now on."""
        end = self.now + round(hours * 60 * MINUTE)
        with writing(self.engine) as connection:
            duty.add_swap(
                connection, Swap(0, self.person(absent).id, self.person(stand_in).id, self.now, end, "王五", "")
            )
        return self

    def person(self, name: str) -> DutyPerson:
        """Somebody of the roster."""
        with reading(self.engine) as connection:
            return next(one for one in duty.load_persons(connection) if one.name == name)

    def news(self) -> list[tuple[str, str, str]]:
        """Who has heard what since the last look: hour, number or group, rung or step."""
        new, self._read = self.heard[self._read :], len(self.heard)
        return [(one.at, one.to, one.step) for one in new]

    def not_sent(self) -> list[str]:
        """Reasons why something was not told, oldest first."""
        with reading(self.engine) as connection:
            rows: list[Message] = list_messages(connection, states=[MessageState.NOT_SENT], limit=10_000).items
        return [one.error for one in sorted(rows, key=lambda one: one.id)]

    def incidents(self, *, drills: bool = False) -> list[Incident]:
        """Incidents, newest first."""
        with reading(self.engine) as connection:
            return list_incidents(connection, drills=drills, limit=1000).items

    def history(self) -> list[TransitionReason]:
        """What happened to the newest incident."""
        with reading(self.engine) as connection:
            return [event.reason for event in events_of(connection, self.incidents()[0].id)]
