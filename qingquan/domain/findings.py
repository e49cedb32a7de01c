"""What the engine says about a series or a works over a time span."""

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from hashlib import blake2b

from qingquan.domain.readings import SeriesKey

__all__ = ["AS_OF", "DisinfectionState", "Finding", "FindingKind", "Severity", "finding_id"]


# Key in ``Finding.evidence``: newest reading of the works that the judgement has seen [ms].
AS_OF = "as_of"


class Severity(IntEnum):
    """How fast a person must act. Order is meaning: a larger number is more urgent."""

    INFO = 0
    MINOR = 1
    MAJOR = 2
    CRITICAL = 3

    @property
    def word(self) -> str:
        """Lower-case word used in files, JSON and the interface."""
        return self.name.lower()


class FindingKind(StrEnum):
    """Vocabulary of findings."""

    OUT_OF_RANGE = "out_of_range"
    FLAT_LINE = "flat_line"
    EXCEEDANCE = "exceedance"
    DISINFECTION_LOW = "disinfection_low"
    DISINFECTION_MISSING = "disinfection_missing"
    DISINFECTION_HIGH = "disinfection_high"
    DISINFECTION_UNKNOWN = "disinfection_unknown"
    STALE = "stale"
    NEVER_SEEN = "never_seen"
    LAB_EXCEEDANCE = "lab_exceedance"
    COMPOUND = "compound"
    NOT_EVALUATED = "not_evaluated"
    RESIDUAL_FALLING = "residual_falling"
    WATER_EVENT = "water_event"
    HAND_DISAGREES = "hand_disagrees"
    DETECTOR_SILENT = "detector_silent"
    # Of the platform itself: only incidents are of this kind, no rule finds it.
    OPERATIONS = "operations"


class DisinfectionState(StrEnum):
    """State of a works' disinfection; exactly one at a time."""

    OK = "ok"
    LOW = "low"
    MISSING = "missing"
    HIGH = "high"
    UNKNOWN = "unknown"
    NOT_EQUIPPED = "not_equipped"
    IDLE = "idle"


def finding_id(kind: FindingKind, rule: str, key: SeriesKey, start: int) -> str:
    """Deterministic id: the same judgement on the same readings has the same id, so a replay writes nothing twice."""
    text = "|".join((kind, rule, *key, str(start)))
    return blake2b(text.encode(), digest_size=10).hexdigest()


@dataclass(frozen=True, slots=True)
class Finding:
    """A judgement over a time span.

    Times are ms since epoch, UTC. ``start`` is when the condition began (not when its `for` time ended), ``end`` when
    it was shown to be over, ``None`` while it lasts. ``evidence_at`` is the latest reading that supports it.
    ``extreme`` is the worst value, ``limit`` the bound it was held against, both in the parameter's unit.
    ``late`` marks a judgement on readings that came after their lateness window: recorded, never a live alarm.
    ``withdrawn`` marks one that later readings (in their window) took back.
    ``parameter`` is ``""`` where the finding speaks of the point as a whole.
    """

    id: str
    kind: FindingKind
    severity: Severity
    county: str
    works: str
    point: str
    parameter: str
    start: int
    end: int | None
    evidence_at: int
    extreme: float | None
    limit: float | None
    clause: str
    rule: str
    rule_version: str
    reason: str
    late: bool = False
    withdrawn: bool = False
    evidence: dict[str, float | int | str] = field(default_factory=dict)
