"""Where a works stands right now: one row per works, kept by the evaluator for pages and API."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from qingquan.domain.disinfection import HAND_CHECK, HAND_MEASURED, HAND_OVERDUE
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity

__all__ = ["WorksDisinfection", "WorksState", "by_hand_evidence", "with_hand_evidence"]


@dataclass(frozen=True, slots=True)
class WorksState:
    """Current state of a works. Times are ms since epoch, UTC.

    ``as_of`` is the newest reading's own time ("data as of"), ``None`` when none ever came. ``stale`` = no fresh data:
    what is shown is the last known, never "fine". ``residual`` [mg/L] and ``turbidity`` [NTU] are the newest at the outlet.
    ``latest`` maps ``point/parameter`` to its newest value.
    """

    county: str
    works: str
    disinfection: DisinfectionState
    since: int
    as_of: int | None
    stale: bool
    residual: float | None = None
    residual_parameter: str | None = None
    turbidity: float | None = None
    worst: Severity | None = None
    open_findings: int = 0
    latest: dict[str, float] = field(default_factory=dict)


class WorksDisinfection(NamedTuple):
    """Of a works' state only how disinfection is, and since when [ms]."""

    county: str
    works: str
    disinfection: DisinfectionState
    since: int


# From what gives no cause for worry to what gives most; a works without equipment or water in motion is none of these.
_ORDER = (
    DisinfectionState.OK, DisinfectionState.UNKNOWN, DisinfectionState.HIGH, DisinfectionState.LOW, DisinfectionState.MISSING,
)  # fmt: skip
_STATE_OF = {
    FindingKind.DISINFECTION_MISSING: DisinfectionState.MISSING,
    FindingKind.DISINFECTION_LOW: DisinfectionState.LOW,
    FindingKind.DISINFECTION_HIGH: DisinfectionState.HIGH,
}


def with_hand_evidence(state: WorksState, open_findings: Iterable[Finding]) -> WorksState:
    """The state with what people measured beside an instrument taken into account (`by_hand_evidence`)."""
    disinfection, since = by_hand_evidence(state.disinfection, state.since, open_findings)
    if disinfection is state.disinfection:
        return state
    return replace(state, disinfection=disinfection, since=since)


def by_hand_evidence(
    disinfection: DisinfectionState, since: int, open_findings: Iterable[Finding]
) -> tuple[DisinfectionState, int]:
    """State and since when, with what people measured beside an instrument taken into account; only ever a worse one.

    What they found out of limits holds whatever the instrument reads. Where it has failed and nobody has measured in its place for 4 h
    there is no evidence any more: OK becomes UNKNOWN.
    """
    for one in open_findings:
        found = _STATE_OF.get(one.kind) if one.rule == HAND_MEASURED else None
        if one.rule == HAND_CHECK and HAND_OVERDUE in one.evidence:
            found = DisinfectionState.UNKNOWN
        if found is not None and disinfection in _ORDER and _ORDER.index(found) > _ORDER.index(disinfection):
            disinfection, since = found, one.start
    return disinfection, since
