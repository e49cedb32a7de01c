"""What the pages and the API about duty, silences and drills ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qingquan.domain.duty import DrillFigures, DutyPerson, Shift, Silence, Swap
from qingquan.domain.incidents import Incident

__all__ = ["DutyDesk", "DutyWeek"]


@dataclass(frozen=True, slots=True)
class DutyWeek:
    """The roster of some days: people, shifts, swaps, and who answers now at each post (role, area, township)."""

    persons: Sequence[DutyPerson]
    shifts: Sequence[Shift]
    swaps: Sequence[Swap]
    now: Mapping[tuple[str, str, str], Sequence[str]]


class DutyDesk(Protocol):
    """Methods block; callers run them in a thread. Every one raises `StoreUnavailable` when the database does not answer,
    and `TransitionRefused` or `NotFound` with a reason for what cannot be done."""

    longest_silence_h: int

    def week(self, region: str, days: int = 7) -> DutyWeek:
        """The roster from now on."""
        ...

    def add_person(self, person: DutyPerson) -> None:
        """Enter a person, or bring phone and WeCom id up to date."""
        ...

    def delete_person(self, person_id: int) -> None:
        """Take a person out."""
        ...

    def plan(self, workday_ids: Sequence[int], restday_ids: Sequence[int], days: int) -> int:
        """Shifts of 24 h from today on, by turns, holidays by the other list; how many were new."""
        ...

    def swap(self, absent_id: int, stand_in_id: int, hours: float, author: str, comment: str) -> int:
        """One person stands in for another from now on."""
        ...

    def silences(self, region: str) -> Sequence[Silence]:
        """Silences, those that last first."""
        ...

    def silence(
        self, county: str, township: str, works: str, cause: str, hours: float, author: str, comment: str
    ) -> int:
        """Keep quiet what fits, from now on; the number of the silence."""
        ...

    def end_silence(self, silence_id: int, by: str) -> Silence:
        """End one before its time."""
        ...

    def drill(self, county: str, works: str, by: str) -> Incident:
        """Hold a drill at a works."""
        ...

    def draw_drills(self, county: str, percent: float, by: str) -> Sequence[Incident]:
        """Hold drills at a share of a county's works, those first whose last drill is longest ago."""
        ...

    def drill_figures(self, region: str, days: int) -> Sequence[DrillFigures]:
        """How the drills of the last days went, by county."""
        ...

    def drills(self, region: str) -> Sequence[Incident]:
        """Drills, newest first."""
        ...

    def explain(self, incident_id: int, language: str) -> Mapping[str, Any]:
        """Who gets what of an incident when, and why."""
        ...

    def close(self, incident_id: int, by: str, cause_code: str) -> Incident:
        """Settle an incident that is over."""
        ...
