"""County edges: installations that receive, judge and alert by themselves, and whose readings a province takes over a link that may be down."""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Edge", "EdgeLink", "ToldBy"]


class ToldBy(StrEnum):
    """Who tells people of a county's incidents."""

    EDGE = "edge"
    PROVINCE = "province"


@dataclass(frozen=True, slots=True)
class Edge:
    """A row of the province's table.

    ``name`` is the edge's JetStream domain and its user. ``take_over_after_ms``: for how long it must be unheard until the
    province tells of what it finds meanwhile; 0 = never.
    """

    name: str
    counties: tuple[str, ...]
    password: str
    told_by: ToldBy = ToldBy.EDGE
    take_over_after_ms: int = 0


@dataclass(frozen=True, slots=True)
class EdgeLink:
    """How an edge stood at the last look, times of our clock [ms]; ``None`` = never.

    ``heard_at``: when its log server last answered. ``level_at``: when last nothing of its log was on its way, so that what the
    province knew was what the edge knew. ``waiting``: messages not taken over yet. ``log_made``: when its log was made, by which a log
    made anew is known. ``fault``: why its readings are not taken; empty = they are.
    """

    name: str
    checked_at: int
    heard_at: int | None = None
    level_at: int | None = None
    last_sequence: int = 0
    waiting: int = 0
    log_made: str = ""
    fault: str = ""

    def unheard_ms(self) -> int:
        """For how long it had been unheard at the last look [ms]."""
        return self.checked_at - (self.heard_at or 0)
