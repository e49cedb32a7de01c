"""What the console asks about the quality of readings, the health of sensors, and maintenance."""

from collections.abc import Sequence
from typing import Protocol

from qingquan.domain.maintenance import Maintenance
from qingquan.domain.quality import Flagged, Health, InstrumentCheck
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.store.ports import Trend

__all__ = ["MaintenancePort", "QualityPort"]


class QualityPort(Protocol):
    """Methods block; callers run them in a thread. Every one raises `StoreUnavailable` when a store does not answer."""

    def flagged(self, works: Works, key: SeriesKey, start: int, end: int) -> tuple[Trend, Flagged]:
        """Readings as stored with start <= observed_at < end, and their flags and tests."""
        ...

    def sensors(self, county: str, works_id: str) -> Sequence[Health]:
        """Health of every sensor of a works, worst first."""
        ...

    def hand_checks(self, works: Works) -> Sequence[InstrumentCheck]:
        """How the instruments of a works stand by what people measured beside them."""
        ...

    def worst(self, region: str = "", limit: int = 20) -> Sequence[tuple[str, str, Health]]:
        """County, works and health of the worst sensors of a region."""
        ...


class MaintenancePort(Protocol):
    """The same holds here. ``most_min``: the longest that may be planned [min]."""

    most_min: int

    def begin(
        self, county: str, works: str, point: str, by: str, reason: str, minutes: int, calibrated: bool = True
    ) -> Maintenance:
        """Begin now. Raises `NotFound`, `TransitionRefused` where it lasts already, `ValueError` for a wrong entry."""
        ...

    def end(self, county: str, works: str, maintenance_id: int, by: str) -> Maintenance:
        """End now; again changes nothing. Raises `NotFound`."""
        ...

    def listed(self, county: str, works: str, limit: int = 50) -> Sequence[Maintenance]:
        """Of one works, newest first."""
        ...

    def running(self, region: str = "") -> Sequence[Maintenance]:
        """What lasts in a region."""
        ...
