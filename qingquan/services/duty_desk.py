"""Rosters, silences, drills and explanations for the console."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from alerts.calendar import default_calendar
from alerts.drills import figures_of, start_drill
from alerts.explain import explain
from alerts.ladder import facts_of
from alerts.messages import AlertSettings
from alerts.policy import Audience
from alerts.roster import HANDOVER, POST_DIGITS, Roster, planned_shifts
from dashboards.web.duty_port import DutyWeek
from qingquan.config import Config
from qingquan.domain.duty import DrillFigures, DutyPerson, Silence, Swap
from qingquan.domain.incidents import Incident
from qingquan.errors import NotFound, TransitionRefused
from qingquan.services.drilling import draw_drills
from qingquan.services.escalating import WorksLookup
from qingquan.store.sql import duty
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.incidents import close, get_incident, list_incidents

__all__ = ["RosterDesk"]

HOUR_MS = 3_600_000
LONGEST_PLAN_DAYS = 366
MOST_DRILLS = 10_000


class RosterDesk:
    """The console's desk for who is told and who is not. Safe to use from several threads."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._config = config
        self._settings = AlertSettings.from_config(config)
        self.longest_silence_h = self._settings.policy.silence_most_ms // HOUR_MS

    def week(self, region: str, days: int = 7) -> DutyWeek:
        now = self._config.clock.now_ms()
        until = now + days * 24 * HOUR_MS
        with reading(self._engine) as connection:
            persons = [
                p for p in duty.load_persons(connection) if p.area.startswith(region) or region.startswith(p.area)
            ]
            roster = Roster(
                tuple(persons), tuple(duty.load_shifts(connection, now, until)), tuple(duty.load_swaps(connection, now, until))
            )  # fmt: skip
        posts = sorted({(p.role, p.area, p.township) for p in persons})
        answering = {
            (role, area, township): [p.name for p in roster.on_duty(role, area.ljust(6, "0"), township, now)]
            for role, area, township in posts
        }
        ids = {p.id for p in persons}
        shifts = [s for s in roster.shifts if s.person_id in ids and s.end > now]
        return DutyWeek(persons, shifts, [s for s in roster.swaps if s.absent_id in ids], answering)

    def add_person(self, person: DutyPerson) -> None:
        digits = POST_DIGITS.get(Audience(person.role)) if person.role in list(Audience) else None
        if digits is None:
            raise TransitionRefused(f"post {person.role!r}; allowed: {', '.join(POST_DIGITS)}")
        if len(person.area) != digits or not person.area.isdigit():
            raise TransitionRefused(f"a {person.role} post is named by {digits} digits of the division code")
        if not person.name.strip() or not (person.phone or person.wecom_id):
            raise TransitionRefused("a person needs a name and a phone or a WeCom id")
        if (person.role == Audience.TOWNSHIP) != bool(person.township):
            raise TransitionRefused("a township station, and no other post, names its township")
        with writing(self._engine) as connection:
            duty.save_persons(connection, [person])

    def delete_person(self, person_id: int) -> None:
        with writing(self._engine) as connection:
            duty.delete_person(connection, person_id)

    def plan(self, workday_ids: Sequence[int], restday_ids: Sequence[int], days: int) -> int:
        if not workday_ids or not 0 < days <= LONGEST_PLAN_DAYS:
            raise TransitionRefused(f"a plan needs people and 1 to {LONGEST_PLAN_DAYS} days")
        zone = self._config.time_zone
        local = self._config.clock.now().astimezone(ZoneInfo(zone))
        # Before the handover yesterday's shift is still running.
        first = local.date() if local.time() >= HANDOVER else local.date() - timedelta(days=1)
        shifts = planned_shifts(workday_ids, restday_ids, first, days, default_calendar(), zone)
        with writing(self._engine) as connection:
            known = {p.id for p in duty.load_persons(connection)}
            strangers = {*workday_ids, *restday_ids} - known
            if strangers:
                raise NotFound(f"person {min(strangers)}")
            return duty.add_shifts(connection, shifts)

    def swap(self, absent_id: int, stand_in_id: int, hours: float, author: str, comment: str) -> int:
        now = self._config.clock.now_ms()
        with writing(self._engine) as connection:
            known = {p.id for p in duty.load_persons(connection)}
            missing = {absent_id, stand_in_id} - known
            if missing:
                raise NotFound(f"person {min(missing)}")
            swap = Swap(0, absent_id, stand_in_id, now, now + round(hours * HOUR_MS), author.strip(), comment.strip())
            return duty.add_swap(connection, swap)

    def silences(self, region: str) -> Sequence[Silence]:
        with reading(self._engine) as connection:
            return duty.list_silences(connection, region)

    def silence(
        self, county: str, township: str, works: str, cause: str, hours: float, author: str, comment: str
    ) -> int:
        now = self._config.clock.now_ms()
        silence = Silence(0, county, township, works, cause, now, now + round(hours * HOUR_MS), author, comment, now)
        with writing(self._engine) as connection:
            return duty.add_silence(connection, silence, self._settings.policy.silence_most_ms)

    def end_silence(self, silence_id: int, by: str) -> Silence:
        with writing(self._engine) as connection:
            return duty.end_silence(connection, silence_id, by, self._config.clock.now_ms())

    def drill(self, county: str, works: str, by: str) -> Incident:
        with writing(self._engine) as connection:
            lookup = WorksLookup().of(connection)
            return start_drill(connection, county, works, by, lookup, self._config.clock.now_ms(), self._settings)

    def draw_drills(self, county: str, percent: float, by: str) -> Sequence[Incident]:
        with writing(self._engine) as connection:
            return draw_drills(connection, county, percent, by, self._config.clock.now_ms(), self._settings)

    def drill_figures(self, region: str, days: int) -> Sequence[DrillFigures]:
        since = self._config.clock.now_ms() - days * 24 * HOUR_MS
        with reading(self._engine) as connection:
            return figures_of(
                list_incidents(connection, county=region, drills=True, from_ms=since, limit=MOST_DRILLS).items
            )

    def drills(self, region: str) -> Sequence[Incident]:
        with reading(self._engine) as connection:
            return list_incidents(connection, county=region, drills=True).items

    def explain(self, incident_id: int, language: str) -> Mapping[str, Any]:
        now = self._config.clock.now_ms()
        with reading(self._engine) as connection:
            incident = get_incident(connection, incident_id)
            if incident is None:
                raise NotFound(f"incident {incident_id}")
            facts = facts_of(connection, [incident], now, self._settings)
            works = WorksLookup().of(connection)((incident.county, incident.works))
        style = replace(self._settings.style, language=language)
        return asdict(explain(incident, works, facts, now, self._settings, style))

    def close(self, incident_id: int, by: str, cause_code: str) -> Incident:
        with writing(self._engine) as connection:
            return close(connection, incident_id, by, cause_code, self._config.clock.now_ms())
