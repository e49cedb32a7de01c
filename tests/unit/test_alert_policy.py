"""The policy, the calendar and the roster as data: what is refused, what is reported, what is said."""

from dataclasses import replace
from datetime import date
from importlib.resources import files

import pytest

from alerts.calendar import default_calendar
from alerts.escalation import Outcome, Place, Taken, climb
from alerts.policy import Audience, Subject, default_policy, parse_policy
from alerts.roster import Roster, holes, planned_shifts
from qingquan.domain.duty import DutyPerson, Shift, Swap
from qingquan.domain.findings import Severity
from qingquan.domain.works import Contact, Role
from qingquan.errors import ConfigurationError
from qingquan.services.alert_checks import faults_of
from qingquan.testing.alerts import MINUTE, START, example_works

HOUR = 60 * MINUTE
SHIPPED = files("alerts").joinpath("policy.toml").read_text(encoding="utf-8")


def test_the_ladder_of_a_critical_alarm_is_the_one_agreed() -> None:
    ladder = default_policy().ladder(Subject.WATER, Severity.CRITICAL)
    assert [(rung.name, rung.after_ms // MINUTE) for rung in ladder[:5]] == [
        ("first", 0), ("township", 15), ("county_duty", 60), ("county_leader", 240), ("prefecture", 1440),
    ]  # fmt: skip
    assert ladder[3].opens_problem
    assert ladder[1].ring == (Audience.CARETAKER,)


def test_every_fault_of_a_policy_is_named_at_once_with_file_key_value_and_what_is_allowed() -> None:
    text = (
        SHIPPED.replace("critical = 10", "critical = -1")
        .replace('from = "22:00"', 'from = "25:00"')
        .replace('tell = ["county_leader"]', 'tell = ["mayor"]')
        .replace("after_min = 60, tell", "after_min = 5, tell", 1)
        .replace("most_h = 72", "most_h = 72\nsnooze = true")
    )
    with pytest.raises(ConfigurationError) as caught:
        parse_policy(text, "policy.toml")
    faults = "\n".join(caught.value.faults)
    assert "policy.toml: wait_s.critical = -1; allowed: a whole number from 0" in faults
    assert "policy.toml: night.from = '25:00'; allowed: HH:MM" in faults
    assert "rungs[4].tell = ['mayor']; allowed: a list of caretaker, manager, township" in faults
    assert "rungs[3].after_min = 5; allowed: later than the rung before" in faults
    assert "silence.snooze = True; allowed: keys most_h" in faults


def test_what_is_no_toml_is_told_in_a_line() -> None:
    with pytest.raises(ConfigurationError, match=r"policy\.toml: not TOML"):
        parse_policy("[[ladder", "policy.toml")


@pytest.mark.parametrize(
    ("day", "works"),
    [("2026-02-16", False), ("2026-02-14", True), ("2026-10-10", True), ("2026-10-11", False), ("2026-11-23", True)],
)
def test_holidays_and_exchanged_weekends_of_2026(day: str, works: bool) -> None:
    assert default_calendar().is_working(date.fromisoformat(day)) is works


def person(id_: int, role: str = "county_duty", **fields: str) -> DutyPerson:
    return replace(DutyPerson(id_, role, "520425", "", f"P{id_}", f"1380000000{id_}"), **fields)


def test_a_plan_gives_working_days_to_one_list_and_holidays_to_another() -> None:
    shifts = planned_shifts([1, 2], [3], date(2026, 9, 30), 4, default_calendar(), "Asia/Shanghai")
    assert [shift.person_id for shift in shifts] == [1, 3, 3, 3], "from the first of October on it is a holiday"
    assert all(shift.end - shift.start == 24 * HOUR for shift in shifts)


def test_holes_of_a_roster_are_found_at_its_edges_and_inside() -> None:
    roster = Roster(
        (person(1), person(2)),
        (Shift(1, 1, START + HOUR, START + 2 * HOUR), Shift(2, 2, START + 3 * HOUR, START + 4 * HOUR)),
    )
    found = [(hole.start - START, hole.end - START) for hole in holes(roster, START, START + 5 * HOUR)]
    assert found == [(0, HOUR), (2 * HOUR, 3 * HOUR), (4 * HOUR, 5 * HOUR)]
    assert holes(Roster((person(1),)), START, START + HOUR) == [], "who has no shifts always answers"


def test_two_swaps_in_a_circle_come_to_an_end() -> None:
    swaps = (Swap(1, 1, 2, START, START + HOUR), Swap(2, 2, 1, START, START + HOUR))
    roster = Roster((person(1), person(2)), (Shift(1, 1, START, START + HOUR),), swaps)
    assert len(roster.on_duty("county_duty", "520425", "", START)) == 1


def test_a_rung_with_nobody_hands_on_at_once_down_to_the_end() -> None:
    policy = default_policy()
    works = example_works(contacts=())
    place = Place("520425", "青山镇", works, "Asia/Shanghai")
    climbed = climb(
        policy.ladder(Subject.WATER, Severity.CRITICAL)[:5],
        START,
        {},
        place,
        Severity.CRITICAL,
        Roster(),
        policy,
        START,
    )
    assert [one.rung.name for one in climbed.climbs] == [
        "first",
        "township",
        "county_duty",
        "county_leader",
        "prefecture",
    ]
    assert {one.outcome for one in climbed.climbs} == {Outcome.NOBODY}
    assert climbed.next_at is None


def test_the_next_rung_is_due_by_its_time_and_not_before() -> None:
    policy = default_policy()
    place = Place("520425", "青山镇", example_works(), "Asia/Shanghai")
    taken = {"first": Taken("first", START, Outcome.TOLD)}
    rungs = policy.ladder(Subject.WATER, Severity.CRITICAL)
    early = climb(rungs, START, taken, place, Severity.CRITICAL, Roster(), policy, START + 15 * MINUTE - 1)
    assert (early.climbs, early.next_at) == ((), START + 15 * MINUTE)
    on_time = climb(rungs, START, taken, place, Severity.CRITICAL, Roster(), policy, START + 15 * MINUTE)
    assert [one.rung.name for one in on_time.climbs] == ["township"]


def test_the_check_names_every_hole_missing_phone_and_empty_post_at_once() -> None:
    works = example_works(contacts=(Contact(Role.MANAGER, "李四", wecom_id="ls"),))
    roster = Roster((person(1), person(2, phone="")), (Shift(1, 1, START, START + HOUR),))
    faults = faults_of([works], roster, default_policy(), default_calendar(), START, START + 2 * HOUR, "Asia/Shanghai")
    said = "\n".join(f"{fault.where} {fault.zh} | {fault.en}" for fault in faults)
    assert "520425:W0077 城东水厂没有登记管水员" in said
    assert "李四 of 城东水厂 has no phone" in said
    assert "520425/青山镇 乡镇水管站没有登记人员" in said
    assert "5204 市州值班没有登记人员" in said
    assert "P2（county_duty）没有电话" in said
    assert "county_duty 2026-06-21 09:00 至 2026-06-21 10:00 无人值班" in said
    assert "holidays" not in said


def test_a_year_without_holidays_is_reported_to_who_plans_by_them() -> None:
    later = 1_800_000_000_000  # January 2027
    roster = Roster((person(1),), (Shift(1, 1, later, later + HOUR),))
    faults = faults_of([], roster, default_policy(), default_calendar(), later, later + HOUR, "Asia/Shanghai")
    assert [fault.en for fault in faults] == ["the holidays of 2027 are not in the table"]
