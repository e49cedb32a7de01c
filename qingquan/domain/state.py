"""Where a works stands right now: one row per works, kept by the evaluator for pages and API."""

from dataclasses import dataclass, field

from qingquan.domain.findings import DisinfectionState, Severity

__all__ = ["WorksState"]


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
