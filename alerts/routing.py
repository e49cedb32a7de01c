"""Who is told, over which channel, from which severity on. Pure; the table is the policy.

A recovery goes to those who were told of the alarm, whatever this table says by then: the outbox knows them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alerts.lifecycle import SILENT, Step
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.works import Contact, Equipment, Role, Works

__all__ = [
    "ROUTES",
    "SMS",
    "WECOM_ROBOT",
    "Audience",
    "Receiver",
    "Route",
    "Subject",
    "audience",
    "is_standing",
    "subject_of",
]

SMS = "aliyun_sms"
WECOM_ROBOT = "wecom_robot"


class Subject(StrEnum):
    """What an incident is about, as far as telling people goes."""

    WATER = "water"
    DATA = "data"


class Audience(StrEnum):
    """To whom a route leads."""

    CARETAKER = "caretaker"
    MANAGER = "manager"
    COUNTY_GROUP = "county_group"


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table: incidents about ``subject`` from ``severity`` on are told to ``audience`` over ``channel``."""

    subject: Subject
    severity: Severity
    audience: Audience
    channel: str


# Silence and instrument faults ask for a screwdriver, not for help against bad water: the county's group sends somebody.
ROUTES: tuple[Route, ...] = (
    Route(Subject.WATER, Severity.MAJOR, Audience.CARETAKER, SMS),
    Route(Subject.WATER, Severity.CRITICAL, Audience.MANAGER, SMS),
    Route(Subject.WATER, Severity.MINOR, Audience.COUNTY_GROUP, WECOM_ROBOT),
    Route(Subject.DATA, Severity.INFO, Audience.COUNTY_GROUP, WECOM_ROBOT),
)

# How long a message waits for company, and for the chance that it is over before anybody is woken [s].
GROUP_WAIT_S: dict[Severity, int] = {Severity.CRITICAL: 10, Severity.MAJOR: 30, Severity.MINOR: 30, Severity.INFO: 30}


@dataclass(frozen=True, slots=True)
class Receiver:
    """One address on one channel. A group's address is ``group:<county>``: its key is a secret and stays in the settings."""

    channel: str
    address: str
    name: str


def subject_of(cause: str, kind: FindingKind) -> Subject:
    """What an incident of this cause is about; that disinfection cannot be judged says nothing about the water."""
    if cause in (SILENT, "instrument") or kind is FindingKind.DISINFECTION_UNKNOWN:
        return Subject.DATA
    return Subject.WATER


def is_standing(cause: str, works: Works | None) -> bool:
    """Whether the incident is a standing fact of the register: a works without equipment has no disinfection, every day.

    It is one entry of the county's list and is told to the group once, never by SMS and never again.
    """
    return cause == "disinfection" and works is not None and works.equipment is Equipment.NOT_EQUIPPED


def audience(
    cause: str,
    finding: Finding,
    works: Works | None,
    step: Step,
    open_causes: Iterable[str] = (),
    routes: Sequence[Route] = ROUTES,
) -> list[Receiver]:
    """Receivers of a firing or raised incident, each once.

    ``open_causes`` are the causes of the works' other unresolved incidents: that disinfection is unknown follows from a
    silent works or a failed instrument and is not told a second time.
    """
    standing = is_standing(cause, works)
    if standing and step is not Step.FIRING:
        return []
    if finding.kind is FindingKind.DISINFECTION_UNKNOWN and {SILENT, "instrument"} & set(open_causes):
        return []
    subject = subject_of(cause, finding.kind)
    county = works.county if works is not None else finding.county
    told: dict[tuple[str, str], Receiver] = {}
    for route in routes:
        if route.subject is not subject or finding.severity < route.severity:
            continue
        if standing and route.audience is not Audience.COUNTY_GROUP:
            continue
        for receiver in _receivers(route, county, works.contacts if works is not None else ()):
            told.setdefault((receiver.channel, receiver.address), receiver)
    return list(told.values())


def _receivers(route: Route, county: str, contacts: Sequence[Contact]) -> list[Receiver]:
    if route.audience is Audience.COUNTY_GROUP:
        return [Receiver(route.channel, f"group:{county}", f"{county} 值班群")]
    with_phone = [contact for contact in contacts if contact.phone]
    role = Role.CARETAKER if route.audience is Audience.CARETAKER else Role.MANAGER
    # A works whose caretaker has no phone on file is not left alone: whoever answers for it is told instead.
    chosen = [contact for contact in with_phone if contact.role is role] or with_phone
    return [Receiver(route.channel, contact.phone, contact.name) for contact in chosen]
