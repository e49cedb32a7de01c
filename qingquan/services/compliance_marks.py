"""Which past days of which works a batch of readings touches: their figures are to be reckoned again. Pure."""

from collections.abc import Iterable
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from qingquan.clock import from_ms
from qingquan.domain.readings import ReadingBatch, SeriesCatalog
from qingquan.domain.works import Works
from qingquan.store.sql.compliance import DirtyDay

__all__ = ["LateDays"]

Ints = npt.NDArray[np.int64]

DAY_MS = 86_400_000
# Clocks are put forward and back at whole quarters of an hour, everywhere.
QUARTER_MS = 900_000
_NO_WORKS = -1


class LateDays:
    """Finds late days in the batches of one catalog; remembers works and time zone of every series."""

    def __init__(self, catalog: SeriesCatalog) -> None:
        self._catalog = catalog
        self._zone_of: dict[tuple[str, str], str] = {}
        self._forget()

    def register(self, works: Iterable[Works]) -> None:
        """Learn the works' time zones."""
        self._zone_of = {(one.county, one.id): one.time_zone for one in works}
        self._forget()

    def of(self, batch: ReadingBatch, sequence: int) -> list[DirtyDay]:
        """Days, by the works' own calendar, that were over when a reading of theirs was received.

        Readings of the running day need no mark: it is reckoned in its turn.
        """
        self._follow()
        works = self._works[batch.series]
        late: list[DirtyDay] = []
        for zone in np.unique(self._zone[batch.series]).tolist():
            rows = np.flatnonzero((self._zone[batch.series] == zone) & (works != _NO_WORKS))
            day = _days(batch.observed_at[rows], self._zones[zone])
            past = day < _days(batch.received_at[rows], self._zones[zone])
            pairs = np.unique(np.stack([works[rows][past], day[past]], axis=1), axis=0)
            for number, ordinal in pairs.tolist():
                county, name = self._places[number]
                late.append(DirtyDay(county, name, str(np.datetime64(ordinal, "D")), sequence))
        return late

    def _forget(self) -> None:
        self._places: list[tuple[str, str]] = []
        self._numbers: dict[tuple[str, str], int] = {}
        self._zones: list[ZoneInfo] = []
        self._works = np.empty(0, np.int64)
        self._zone = np.empty(0, np.int64)

    def _follow(self) -> None:
        """The catalog only grows, so only its tail is new."""
        works, zones = [], []
        for number in range(len(self._works), len(self._catalog)):
            place = self._catalog.key(number)[:2]
            name = self._zone_of.get(place)
            works.append(self._number(place) if name is not None else _NO_WORKS)
            zones.append(self._zone_number(name or "UTC"))
        if works:
            self._works = np.concatenate([self._works, works]).astype(np.int64)
            self._zone = np.concatenate([self._zone, zones]).astype(np.int64)

    def _number(self, place: tuple[str, str]) -> int:
        found = self._numbers.get(place)
        if found is None:
            found = self._numbers[place] = len(self._places)
            self._places.append(place)
        return found

    def _zone_number(self, name: str) -> int:
        for number, zone in enumerate(self._zones):
            if zone.key == name:
                return number
        self._zones.append(ZoneInfo(name))
        return len(self._zones) - 1


def _days(at: Ints, zone: ZoneInfo) -> Ints:
    """Number of the day since 1970-01-01 by the clock of a zone."""
    quarters, place = np.unique(at // QUARTER_MS, return_inverse=True)
    offsets = [from_ms(quarter * QUARTER_MS).astimezone(zone).utcoffset() for quarter in quarters.tolist()]
    offset = np.array([0 if one is None else round(one.total_seconds() * 1000) for one in offsets], np.int64)
    days: Ints = (at + offset[place]) // DAY_MS
    return days
