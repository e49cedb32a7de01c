"""Who is on duty: persons, shifts and swaps. Pure.

A post (say, the county's duty desk) is a role at an area: the first two, four or six digits of a division code, and for a
township its name. Its people stand under it in the roster. Where a post has shifts, whoever has the shift answers; where it
has none at all, everybody under it does. A swap puts one person in another's place for a while, whatever the shifts say.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from alerts.calendar import HolidayCalendar
from alerts.policy import Audience
from qingquan.clock import to_ms
from qingquan.domain.duty import DutyPerson, Shift, Swap

__all__ = ["HANDOVER", "POST_DIGITS", "Hole", "Roster", "holes", "planned_shifts"]

POST_DIGITS = {
    Audience.TOWNSHIP: 6, Audience.COUNTY_DUTY: 6, Audience.COUNTY_LEADER: 6, Audience.PREFECTURE: 4,
}  # fmt: skip
"""How many digits of the division code name a post of the role."""

# When one shift hands over to the next, local time.
HANDOVER = time(8, 0)

# Two swaps may chain (A -> B, B -> C); more is a circle.
LONGEST_CHAIN = 8


@dataclass(frozen=True, slots=True)
class Hole:
    """A time at which nobody has a post's duty though it goes by shifts [ms since epoch]."""

    role: str
    area: str
    township: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Roster:
    """The people of some areas, their shifts and swaps."""

    persons: tuple[DutyPerson, ...] = ()
    shifts: tuple[Shift, ...] = ()
    swaps: tuple[Swap, ...] = ()

    def members(self, role: str, county: str, township: str = "") -> list[DutyPerson]:
        """Everybody under the post that answers for a county or a township of it."""
        area = county[: POST_DIGITS.get(Audience(role), 6)]
        place = township if role == Audience.TOWNSHIP else ""
        return [p for p in self.persons if (p.role, p.area, p.township) == (role, area, place)]

    def has_shifts(self, members: Iterable[DutyPerson]) -> bool:
        """Whether the post goes by shifts."""
        ids = {person.id for person in members}
        return any(shift.person_id in ids for shift in self.shifts)

    def on_duty(self, role: str, county: str, township: str, at_ms: int) -> list[DutyPerson]:
        """Who answers at a moment, each once; empty where the post has nobody or its roster a hole."""
        members = self.members(role, county, township)
        if self.has_shifts(members):
            covering = {s.person_id for s in self.shifts if s.start <= at_ms < s.end}
            members = [person for person in members if person.id in covering]
        stood_in = [self._stand_in(person, at_ms) for person in members]
        return list({person.id: person for person in stood_in}.values())

    def _stand_in(self, person: DutyPerson, at_ms: int) -> DutyPerson:
        by_id = {one.id: one for one in self.persons}
        for _ in range(LONGEST_CHAIN):
            # The swap agreed last stands.
            swap = next(
                (s for s in reversed(self.swaps) if s.absent_id == person.id and s.start <= at_ms < s.end), None
            )
            if swap is None or swap.stand_in_id not in by_id:
                return person
            person = by_id[swap.stand_in_id]
        return person


def planned_shifts(
    workday_ids: Sequence[int],
    restday_ids: Sequence[int],
    first: date,
    days: int,
    calendar: HolidayCalendar,
    zone: str,
    handover: time = HANDOVER,
) -> list[Shift]:
    """Shifts of 24 h from handover to handover: one list takes turns on working days, the other on days off.

    An empty ``restday_ids`` means that the same people go on taking turns. The day on which a shift begins decides.
    """
    shifts = []
    turns = [0, 0]
    for n in range(days):
        day = first + timedelta(days=n)
        which = 0 if calendar.is_working(day) or not restday_ids else 1
        ids = (workday_ids, restday_ids)[which]
        if not ids:
            continue
        start, end = (to_ms(datetime.combine(on, handover, ZoneInfo(zone))) for on in (day, day + timedelta(days=1)))
        shifts.append(Shift(0, ids[turns[which] % len(ids)], start, end))
        turns[which] += 1
    return shifts


def holes(roster: Roster, start: int, end: int) -> list[Hole]:
    """Times between ``start`` and ``end`` at which a post that goes by shifts has nobody."""
    found = []
    for role, area, township in sorted({(p.role, p.area, p.township) for p in roster.persons}):
        members = {p.id for p in roster.persons if (p.role, p.area, p.township) == (role, area, township)}
        shifts = sorted((s.start, s.end) for s in roster.shifts if s.person_id in members)
        if not shifts:
            continue
        at = start
        for begins, ends in [*shifts, (end, end)]:
            if begins > at and at < end:
                found.append(Hole(role, area, township, at, min(begins, end)))
            at = max(at, ends)
    return found
