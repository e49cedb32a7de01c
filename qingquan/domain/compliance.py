"""How much of a day or month a parameter at a sampling point met its limit."""

from dataclasses import dataclass, field
from enum import StrEnum

__all__ = ["Compliance", "ComplianceVerdict", "ComplianceVersion"]


class ComplianceVerdict(StrEnum):
    """What a day or a month amounts to. Silence is never a pass: too little evidence is ``UNDECIDED``."""

    COMPLIANT = "compliant"
    EXCEEDING = "exceeding"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Compliance:
    """Statistics of one parameter at one sampling point over a period of the works' own calendar.

    ``period`` is a day (2026-05-03) or a month (2026-05); ``start`` <= t < ``end`` are its bounds [ms since epoch], cut off
    at the moment of computing while the period lasts. ``expected`` readings by cadence, ``received`` distinct ones,
    ``usable`` those neither missing, suspect, failed nor held out, ``met`` those of them within the limit.
    ``compliant_ms + exceeding_ms + unknown_ms = end - start``. ``mean`` is weighted by time, over the known part.
    ``worst`` is the value furthest beyond the limit, or nearest to it where none is, at ``worst_at``.
    ``longest_ms`` is the longest exceedance without a break, ``episodes`` how many there were; ``head_ms``/``tail_ms`` are
    those that touch the period's ends. ``states`` (disinfection residual at the outlet only) is time by state [ms].
    """

    county: str
    works: str
    point: str
    parameter: str
    period: str
    start: int
    end: int
    expected: int
    received: int
    usable: int
    met: int
    compliant_ms: int
    exceeding_ms: int
    unknown_ms: int
    mean: float | None
    worst: float | None
    worst_at: int | None
    longest_ms: int
    episodes: int
    head_ms: int
    tail_ms: int
    findings: int
    limit_id: str
    standard: str
    clause: str
    basis: str
    low: float | None
    high: float | None
    verdict: ComplianceVerdict
    states: dict[str, int] = field(default_factory=dict)

    @property
    def coverage(self) -> float:
        """Received of expected readings, at most 1."""
        return min(1.0, self.received / self.expected) if self.expected else 0.0

    @property
    def compliant_share(self) -> float | None:
        """Compliant share of the known time; ``None`` where nothing is known."""
        known = self.compliant_ms + self.exceeding_ms
        return self.compliant_ms / known if known else None


@dataclass(frozen=True, slots=True)
class ComplianceVersion:
    """Statistics as they were known from ``known_at`` on [ms]; version 1 is what was known first.

    ``is_published`` is false while the period, and the time that late readings have, lasts: such figures are provisional
    and replaced without trace.
    """

    version: int
    known_at: int
    is_published: bool
    figures: Compliance
