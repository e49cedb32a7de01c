"""A works where people measure: judged at once, and without evidence when nobody has logged for two days."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine

from alerts.apply import apply_findings
from qingquan.clock import from_ms, to_ms
from qingquan.domain.disinfection import HAND_LOG_OVERDUE
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Contact, Role, Works
from qingquan.services.folds import Fold
from qingquan.services.lasting import reconciled
from qingquan.services.silence import Silence
from qingquan.services.standing import Standing
from qingquan.standards.loader import load_standards
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.findings import upsert_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import current_sqlite, sqlite_engine
from qingquan.testing.engine import Account, Row, make_works, plan_of
from rules.hand_log import due_at

__all__ = ["sqlite_engine"]

KEY = SeriesKey("520425", "A", "outlet", "free_chlorine")
CARETAKER = Contact(Role.CARETAKER, "李四", "13800000001")


def at(text: str) -> int:
    """Time of the works' clock [ms]."""
    return to_ms(datetime.fromisoformat(f"{text}+08:00").astimezone(UTC))


def by_hand(**fields: object) -> Works:
    return make_works("A", ("free_chlorine",), **({"evidence": "hand", "contacts": (CARETAKER,)} | fields))


class Log:
    """A hand-logged works and what is said of it."""

    def __init__(self, works: Works | None = None) -> None:
        self.works = works or by_hand()
        self.account = Account(plan_of(self.works))
        self.fold = Fold(0, self.account.plan, self.account.state)
        self.silence = Silence(load_standards().parameters, "zh")
        self.standing = Standing()

    def log(self, when: str, value: float) -> list[Finding]:
        self.fold.touched[:] = True
        found = self.account.feed([Row(self.account.plan.slot_of[KEY], at(when), value)])
        self.silence.hear(found)
        return found

    def told(self, when: str) -> list[Finding]:
        return self.silence.changes(self.fold, at(when), {("520425", "A"): self.works})

    def state(self, when: str) -> DisinfectionState:
        self.fold.touched[:] = True
        found = Standing().changed(self.fold, at(when), self.silence.of(self.fold))
        return found[0].disinfection

    @property
    def open(self) -> Mapping[FindingKind, Finding]:
        return {one.kind: one for one in self.account.said.values() if one.end is None}


def test_one_measurement_at_the_floor_is_missing_at_once() -> None:
    log = Log()
    log.log("2026-05-01T08:00", 0.40)
    log.log("2026-05-02T08:00", 0.05)
    assert log.open[FindingKind.DISINFECTION_MISSING].severity is Severity.CRITICAL
    assert log.state("2026-05-02T08:01") is DisinfectionState.MISSING


def test_one_measurement_below_the_limit_is_low_at_once_and_one_good_one_ends_it() -> None:
    log = Log()
    log.log("2026-05-01T08:00", 0.20)
    assert set(log.open) == {FindingKind.DISINFECTION_LOW}
    log.log("2026-05-01T12:00", 0.45)
    assert log.open == {}
    assert log.state("2026-05-01T12:01") is DisinfectionState.OK


def test_too_much_is_high_at_once() -> None:
    log = Log()
    log.log("2026-05-01T08:00", 2.4)
    assert FindingKind.DISINFECTION_HIGH in log.open


def test_the_same_value_day_after_day_is_no_stuck_sensor() -> None:
    log = Log()
    for day in range(1, 10):
        log.log(f"2026-05-0{day}T08:00", 0.40)
    assert log.open == {}


def test_a_day_without_a_log_is_no_silence_and_the_state_stays() -> None:
    log = Log()
    log.log("2026-05-01T08:00", 0.40)
    assert log.told("2026-05-03T09:00") == []
    assert log.state("2026-05-03T09:00") is DisinfectionState.OK


@pytest.mark.parametrize("logged", ["2026-05-01T00:05", "2026-05-01T08:00", "2026-05-01T23:55"])
def test_two_days_without_a_log_by_noon_of_the_next_are_no_evidence(logged: str) -> None:
    log = Log()
    log.log(logged, 0.40)
    assert log.told("2026-05-04T11:59") == []
    (finding,) = log.told("2026-05-04T12:00")
    assert (finding.kind, finding.severity, finding.rule) == (
        FindingKind.DISINFECTION_UNKNOWN, Severity.CRITICAL, HAND_LOG_OVERDUE,
    )  # fmt: skip
    assert finding.start == at(logged)
    assert "连续2天没有余量检测记录" in finding.reason
    assert log.told("2026-05-04T13:00") == []
    assert log.state("2026-05-04T12:01") is DisinfectionState.UNKNOWN


def test_a_loss_that_nobody_measured_again_stays_a_loss() -> None:
    log = Log()
    log.log("2026-05-01T08:00", 0.02)
    log.told("2026-05-04T12:00")
    assert log.state("2026-05-04T12:01") is DisinfectionState.MISSING


def test_the_next_log_ends_it() -> None:
    log = Log()
    log.log("2026-05-01T08:00", 0.40)
    log.told("2026-05-04T12:00")
    log.log("2026-05-04T15:00", 0.40)
    (closed,) = [one for one in log.told("2026-05-04T15:01") if one.rule == HAND_LOG_OVERDUE]
    assert closed.end == at("2026-05-04T15:00")
    assert log.state("2026-05-04T15:01") is DisinfectionState.OK


def test_an_old_log_entered_late_does_not_end_it() -> None:
    log = Log()
    log.log("2026-05-01T08:00", 0.40)
    log.told("2026-05-06T12:00")
    log.log("2026-05-02T08:00", 0.40)
    assert log.told("2026-05-06T12:01") == []


def test_a_works_that_never_logged_is_counted_from_its_commissioning() -> None:
    log = Log(by_hand(commissioned_at=from_ms(at("2026-05-01T08:00"))))
    assert log.told("2026-05-04T11:59") == []
    (finding,) = log.told("2026-05-04T12:00")
    assert (finding.rule, finding.start) == (HAND_LOG_OVERDUE, at("2026-05-01T08:00"))


def test_a_restart_remembers_it_and_says_it_once(tmp_path: Path) -> None:
    log = Log()
    log.log("2026-05-01T08:00", 0.40)
    (finding,) = log.told("2026-05-04T12:00")
    url = current_sqlite(tmp_path / "q.db")
    engine = open_database(url)
    with writing(engine) as connection:
        upsert_findings(connection, [finding], 0)
    log.silence = Silence(load_standards().parameters, "zh")
    with reading(engine) as connection:
        log.silence.restore(connection)
    engine.dispose()
    assert log.told("2026-05-04T12:01") == []
    # What the clock found is not the fold's to take back.
    assert reconciled([log.fold], [finding]) == []


def test_the_caretaker_is_told_in_words_of_its_own(sqlite_engine: Engine) -> None:
    log = Log()
    log.log("2026-05-01T08:00", 0.40)
    overdue = log.told("2026-05-04T12:00")
    with writing(sqlite_engine) as connection:
        save_works(connection, [log.works])
        apply_findings(connection, overdue, {("520425", "A"): log.works}, at("2026-05-04T12:00"))
    with reading(sqlite_engine) as connection:
        (incident,) = list_incidents(connection).items
        messages = list_messages(connection).items
    assert incident.severity is Severity.CRITICAL
    to_caretaker = [one for one in messages if one.receiver == CARETAKER.phone]
    assert to_caretaker
    assert all("无余量检测记录" in one.body or one.channel != "aliyun_sms" for one in to_caretaker)


def test_noon_is_that_of_the_works() -> None:
    assert due_at(at("2026-05-01T23:59"), "Asia/Shanghai") == at("2026-05-04T12:00")
    assert due_at(at("2026-05-02T00:00"), "Asia/Shanghai") == at("2026-05-05T12:00")
    assert due_at(at("2026-05-01T23:59"), "Asia/Urumqi") == at("2026-05-04T14:00")
