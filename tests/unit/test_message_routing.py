"""Who is told, by severity and by what it is about."""

from dataclasses import replace

import pytest

from alerts.lifecycle import Step, cause_of
from alerts.routing import SMS, WECOM_ROBOT, audience
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.works import Contact, Equipment, Role, Works
from qingquan.testing.alerts import example_finding, example_works

K, S = FindingKind, Severity
CARETAKER, MANAGER, GROUP = "13800000001", "13900000002", "group:520425"


def told(kind: FindingKind, severity: Severity, works: Works | None = None, step: Step = Step.FIRING) -> set[str]:
    finding = example_finding(kind=kind, severity=severity)
    return {one.receiver for one in audience(cause_of(finding), finding, works or example_works(), step)}


@pytest.mark.parametrize(
    ("kind", "severity", "expected"),
    [
        (K.DISINFECTION_MISSING, S.CRITICAL, {CARETAKER, MANAGER, GROUP}),
        (K.DISINFECTION_LOW, S.MAJOR, {CARETAKER, GROUP}),
        (K.EXCEEDANCE, S.CRITICAL, {CARETAKER, MANAGER, GROUP}),
        (K.EXCEEDANCE, S.MAJOR, {CARETAKER, GROUP}),
        (K.EXCEEDANCE, S.MINOR, {GROUP}),
        (K.LAB_EXCEEDANCE, S.CRITICAL, {CARETAKER, MANAGER, GROUP}),
        (K.EXCEEDANCE, S.INFO, set()),
        (K.STALE, S.MINOR, {GROUP}),
        (K.STALE, S.CRITICAL, {GROUP}),
        (K.NEVER_SEEN, S.MINOR, {GROUP}),
        (K.FLAT_LINE, S.MINOR, {GROUP}),
        (K.OUT_OF_RANGE, S.MAJOR, {GROUP}),
        (K.DISINFECTION_UNKNOWN, S.MAJOR, {GROUP}),
    ],
)
def test_the_table_says_who_is_told(kind: FindingKind, severity: Severity, expected: set[str]) -> None:
    assert told(kind, severity) == expected


def test_people_get_sms_and_groups_the_robot() -> None:
    receivers = audience("disinfection", example_finding(), example_works(), Step.FIRING)
    assert {(one.channel, one.receiver) for one in receivers} == {
        (SMS, CARETAKER), (SMS, MANAGER), (WECOM_ROBOT, GROUP),
    }  # fmt: skip


def test_a_person_with_both_roles_is_told_once() -> None:
    both = tuple(replace(contact, phone=CARETAKER) for contact in example_works().contacts)
    receivers = audience("disinfection", example_finding(), example_works(contacts=both), Step.FIRING)
    assert [one.receiver for one in receivers] == [CARETAKER, GROUP]


def test_where_the_caretaker_has_no_phone_the_manager_is_told() -> None:
    works = example_works(contacts=(Contact(Role.CARETAKER, "张三", wecom_id="zs"), example_works().contacts[1]))
    assert told(K.DISINFECTION_LOW, S.MAJOR, works) == {MANAGER, GROUP}


def test_a_works_without_equipment_wakes_nobody_by_phone_and_is_never_raised() -> None:
    works = example_works(equipment=Equipment.NOT_EQUIPPED)
    assert told(K.DISINFECTION_MISSING, S.CRITICAL, works) == {GROUP}
    assert told(K.DISINFECTION_MISSING, S.CRITICAL, works, Step.RAISED) == set()
    assert told(K.EXCEEDANCE, S.MAJOR, works) == {CARETAKER, GROUP}


def test_a_works_that_is_not_in_the_register_is_still_told_of() -> None:
    receivers = audience("disinfection", example_finding(), None, Step.FIRING)
    assert [one.receiver for one in receivers] == [GROUP]


def test_unknown_disinfection_is_not_told_beside_its_explanation() -> None:
    unknown = example_finding(kind=K.DISINFECTION_UNKNOWN, severity=S.MINOR)
    assert audience("disinfection", unknown, example_works(), Step.FIRING, {"disinfection", "silent"}) == []
    assert audience("disinfection", unknown, example_works(), Step.FIRING, {"disinfection"}) != []
