"""Calibration and maintenance: while it lasts the instruments of a point are no evidence."""

from dataclasses import dataclass

__all__ = ["MAINTENANCE", "Maintenance"]

MAINTENANCE = "maintenance"
"""Parameter under which beginning (1) and end (0) stand in the reading log."""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """One stretch of work on the instruments of a point. Times in ms since epoch, UTC; ``ended_at`` ``None`` = it lasts.

    It ends at ``planned_end`` by itself, whoever forgets to. ``calibrated``: the instruments were calibrated or checked
    against a reference, so their service interval begins anew.
    """

    id: int
    county: str
    works: str
    point: str
    started_at: int
    started_by: str
    reason: str
    planned_end: int
    calibrated: bool = True
    ended_at: int | None = None
    ended_by: str = ""
