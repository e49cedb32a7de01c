"""Who is on duty, and what is kept quiet: persons, shifts, swaps and silences. Times are ms since epoch, UTC."""

from dataclasses import dataclass

__all__ = ["DrillFigures", "DutyPerson", "Shift", "Silence", "Swap"]


@dataclass(frozen=True, slots=True)
class DutyPerson:
    """Somebody with a role at an area: the first 2, 4 or 6 digits of a division code, and for a township its name."""

    id: int
    role: str
    area: str
    township: str
    name: str
    phone: str = ""
    wecom_id: str = ""


@dataclass(frozen=True, slots=True)
class Shift:
    """A person's duty, ``start`` <= t < ``end``."""

    id: int
    person_id: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Swap:
    """One person in another's place for a while."""

    id: int
    absent_id: int
    stand_in_id: int
    start: int
    end: int
    author: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Silence:
    """Incidents that a person keeps quiet: those that fit every matcher given, from ``start`` until ``end``.

    ``county`` may be a shorter division code; an empty matcher fits everything. ``cause`` is a cause or its part before the
    colon. Silenced incidents are shown and counted; only messages are held back, and they say so.
    """

    id: int
    county: str
    township: str
    works: str
    cause: str
    start: int
    end: int
    author: str
    comment: str
    created_at: int
    ended_by: str = ""


@dataclass(frozen=True, slots=True)
class DrillFigures:
    """How a county's drills went: those that are over or answered, and how long the answers took [ms]."""

    county: str
    held: int
    answered: int
    median_ms: int | None
    longest_ms: int | None
