"""`qingquan alerts check` and `qingquan alerts explain`: policy, rosters and contacts held against each other."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from zoneinfo import ZoneInfo

from alerts.calendar import HolidayCalendar, default_calendar
from alerts.channels.build import check_channels, missing
from alerts.explain import Explained, explain, explained_words
from alerts.ladder import facts_of
from alerts.messages import AlertSettings
from alerts.policy import WECOM_ROBOT, Audience, Policy
from alerts.roster import Roster, holes
from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.works import Role, Works
from qingquan.errors import NotFound
from qingquan.services.escalating import WorksLookup
from qingquan.store.sql.duty import load_persons, load_shifts, load_swaps
from qingquan.store.sql.engine import check_schema, open_database, reading
from qingquan.store.sql.incidents import get_incident
from qingquan.store.sql.register import load_works

__all__ = ["Fault", "check_alerts", "explain_incident", "explanation_json", "faults_of"]

DAY_MS = 24 * 3_600_000
LOOK_AHEAD_DAYS = 14


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that will keep a message from somebody: where, and what, in both languages."""

    where: str
    zh: str
    en: str


def check_alerts(config: Config, config_file: Path | None = None) -> list[Fault]:
    """What is wrong with policy, channels, rosters and contacts as they stand, all at once.

    ``config_file`` is the settings file, held to mode 0600 where it holds secrets.

    Raises
    ------
    ConfigurationError
        If the policy itself is faulty: every fault with file, key, value found and values allowed.
    """
    settings = AlertSettings.from_config(config)
    channels = [Fault("channels", text, text) for text in check_channels(config, config_file)]
    channels += _of_channels(config, settings.policy)
    engine = open_database(config.sql_url)
    try:
        check_schema(engine)
        now = config.clock.now_ms()
        until = now + LOOK_AHEAD_DAYS * DAY_MS
        with reading(engine) as connection:
            roster = Roster(
                tuple(load_persons(connection)), tuple(load_shifts(connection, now, until)),
                tuple(load_swaps(connection, now, until)),
            )  # fmt: skip
            works = load_works(connection)
    finally:
        engine.dispose()
    return [*channels, *faults_of(works, roster, settings.policy, default_calendar(), now, until, config.time_zone)]


def faults_of(
    works: Sequence[Works], roster: Roster, policy: Policy, calendar: HolidayCalendar, start: int, end: int, zone: str
) -> list[Fault]:
    """Pure part of `check_alerts`: holes in the rosters, posts without people, people without numbers."""
    told = {audience for rungs in policy.ladders.values() for rung in rungs for audience in rung.tell}
    return [
        *_of_contacts(works, told),
        *_of_posts(works, roster, told),
        *_of_persons(roster),
        *_of_holes(roster, start, end, zone),
        *_of_years(roster, calendar, start, end, zone),
    ]


def _of_channels(config: Config, policy: Policy) -> list[Fault]:
    """Channels the policy sends over and the settings leave off."""
    used = {*policy.channels_day, *policy.channels_critical, *policy.channels_night, *policy.channels_ring}
    if any(Audience.COUNTY_GROUP in rung.tell for rungs in policy.ladders.values() for rung in rungs):
        used.add(WECOM_ROBOT)
    return [
        Fault("channels", f"{name} 未开通：请设置 {lacking}", f"{name} is off: set {lacking}")
        for name in sorted(used)
        if (lacking := ", ".join(missing(config, name)))
    ]


def _of_contacts(works: Sequence[Works], told: set[Audience]) -> list[Fault]:
    found = []
    for one in works:
        where = f"{one.county}:{one.id}"
        if Audience.CARETAKER in told and not any(c.role is Role.CARETAKER for c in one.contacts):
            found.append(Fault(where, f"{one.name}没有登记管水员", f"{one.name} has no caretaker on file"))
        for contact in one.contacts:
            if not contact.phone:
                found.append(
                    Fault(where, f"{one.name}的{contact.name}没有电话", f"{contact.name} of {one.name} has no phone")
                )
    return found


def _of_posts(works: Sequence[Works], roster: Roster, told: set[Audience]) -> list[Fault]:
    names = {
        Audience.TOWNSHIP: ("乡镇水管站", "township station"), Audience.COUNTY_DUTY: ("县级值班", "county duty"),
        Audience.COUNTY_LEADER: ("县级带班领导", "county leader"), Audience.PREFECTURE: ("市州值班", "prefecture duty"),
    }  # fmt: skip
    found: dict[str, Fault] = {}
    for county, township in sorted({(one.county, one.township) for one in works}):
        for role, (zh, en) in names.items():
            if role not in told or roster.members(role, county, township):
                continue
            area = county[:4] if role is Audience.PREFECTURE else county
            place = f"{area}/{township}" if role is Audience.TOWNSHIP else area
            found.setdefault(f"{place} {role}", Fault(place, f"{zh}没有登记人员", f"{en}: nobody is on file"))
    return list(found.values())


def _of_persons(roster: Roster) -> list[Fault]:
    return [
        Fault(f"{p.area}{'/' + p.township if p.township else ''}", f"{p.name}（{p.role}）没有电话", f"{p.name} ({p.role}) has no phone")
        for p in roster.persons
        if not p.phone
    ]  # fmt: skip


def _of_holes(roster: Roster, start: int, end: int, zone: str) -> list[Fault]:
    def at(ms: int) -> str:
        return f"{from_ms(ms).astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"

    return [
        Fault(
            f"{hole.area}{'/' + hole.township if hole.township else ''}",
            f"{hole.role} {at(hole.start)} 至 {at(hole.end)} 无人值班",
            f"{hole.role}: nobody on duty from {at(hole.start)} to {at(hole.end)}",
        )
        for hole in holes(roster, start, end)
    ]


def _of_years(roster: Roster, calendar: HolidayCalendar, start: int, end: int, zone: str) -> list[Fault]:
    if not roster.shifts:
        return []
    years = {from_ms(at).astimezone(ZoneInfo(zone)).year for at in (start, end)}
    return [
        Fault("holidays.toml", f"{year}年节假日安排未录入", f"the holidays of {year} are not in the table")
        for year in sorted(years)
        if not calendar.knows(year)
    ]


def explain_incident(config: Config, incident_id: int, language: str) -> tuple[Explained, str]:
    """Who gets what of an incident when, and why; as data and as text. Raises `NotFound`."""
    settings = AlertSettings.from_config(config)
    engine = open_database(config.sql_url)
    try:
        check_schema(engine)
        with reading(engine) as connection:
            incident = get_incident(connection, incident_id)
            if incident is None:
                raise NotFound(f"incident {incident_id}")
            now = config.clock.now_ms()
            facts = facts_of(connection, [incident], now, settings)
            works = WorksLookup().of(connection)((incident.county, incident.works))
    finally:
        engine.dispose()
    style = replace(settings.style, language=language)
    told = explain(incident, works, facts, now, settings, style)
    return told, explained_words(told, style)


def explanation_json(told: Explained) -> str:
    """The explanation as JSON."""
    return json.dumps(asdict(told), ensure_ascii=False, default=lambda at: at.isoformat())
