"""Quality flags and the health of sensors, worked out when asked from the readings as stored; nothing derived is kept."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Engine

from qingquan.clock import Clock
from qingquan.domain.disinfection import NOT_FOR_THE_LOG
from qingquan.domain.maintenance import Maintenance
from qingquan.domain.parameters import ParameterKind
from qingquan.domain.quality import Flagged, HandCheck, Health, InstrumentCheck
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.services.hand_checks import beside, checks_of
from qingquan.standards.loader import load_standards
from qingquan.standards.quality import load_quality_rows
from qingquan.store.ports import SeriesReader, Trend
from qingquan.store.sql.disinfection import hand_measurements
from qingquan.store.sql.engine import reading
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.lab import list_samples
from qingquan.store.sql.maintenance import list_maintenance
from qingquan.store.sql.register import get_works
from rules.quality.health import sensor_health

if TYPE_CHECKING:
    from qingquan.services.quality_flags import Stored

__all__ = ["LONGEST_MS", "SensorDesk"]

DAY_MS = 86_400_000
LOOKED_AT_MS = 7 * DAY_MS
LOOKED_BACK_MS = 366 * DAY_MS
LONGEST_MS = 31 * DAY_MS
"""A longer span is not flagged: it would be read reading by reading."""
REFERENCES_MS = 90 * DAY_MS
CANDIDATES = 30
FAULTS = ("out_of_range", "flat_line", "stale", "never_seen", "hand_disagrees")


class SensorDesk:
    """What is known of the sensors of the works in the register. Every method raises `StoreUnavailable`.

    ``maintenance_most_ms``: a maintenance that nobody ended ends by itself after this, see the ruleset.
    """

    def __init__(self, engine: Engine, series: SeriesReader, clock: Clock, maintenance_most_ms: int) -> None:
        self._engine = engine
        self._series = series
        self._clock = clock
        self._maintenance_most_ms = maintenance_most_ms

    def flagged(self, works: Works, key: SeriesKey, start: int, end: int) -> tuple[Trend, Flagged]:
        """Readings with start <= observed_at < end as stored, with their flags and tests."""
        # Only here: it loads the compiled tests, which the console needs for no other page.
        from qingquan.services.quality_flags import companions, flagged_series, series_lead_in_ms

        row = load_standards().parameters[key.parameter]
        since = start - max(series_lead_in_ms(works, key.point, row), self._maintenance_most_ms)
        stored = self._read([key, *companions(works, key).values()], since, end)
        found = flagged_series(works, key, stored, self._maintenance_most_ms)
        own = stored[key]
        # Rows of conflicts stand behind the stored ones and are not part of the series.
        count = _stored_rows(own)
        first = int(np.searchsorted(own.times[:count], start))
        trend = Trend(
            key, own.times[first:count],
            {"value": own.values[first:count], "flag": found.flag[first:count].astype(np.float64)},
        )  # fmt: skip
        return trend, Flagged(found.flag[first:count], found.tests[first:count])

    def sensors(self, county: str, works_id: str) -> list[Health]:
        """Health of every measuring sensor of a works over the last seven days, worst first; none for an unknown works."""
        now = self._clock.now_ms()
        with reading(self._engine) as connection:
            works = get_works(connection, county, works_id)
            if works is None:
                return []
            kept = list_maintenance(connection, county, works_id, 200)
            samples = list_samples(
                connection, county=county, works=works_id, from_ms=now - REFERENCES_MS, limit=200
            ).items
            by_hand = hand_measurements(connection, county, works_id, 200, 0).items
        parameters = load_standards().parameters
        keys = [
            SeriesKey(county, works_id, point.id, code)
            for point in works.points
            for code in point.parameters
            if code in parameters and parameters[code].kind is not ParameterKind.STATE
        ]
        by_reference: dict[tuple[str, str], list[tuple[int, float]]] = {}
        for sample in samples:
            for result in sample.results:
                if result.canonical_value is not None:
                    place = by_reference.setdefault((sample.point, result.parameter), [])
                    place.append((sample.sampled_at, result.canonical_value))
        for one in by_hand:
            # What people log in place of an instrument is the series itself.
            if one.observed_at >= now - REFERENCES_MS and not one.qualifier and one.sequence == NOT_FOR_THE_LOG:
                by_reference.setdefault((one.point, one.parameter), []).append((one.observed_at, one.value))
        found = [self._health(works, key, kept, by_reference.get((key.point, key.parameter), []), now) for key in keys]
        return sorted(found, key=lambda one: (one.score is None, one.score or 0, one.point, one.parameter))

    def hand_checks(self, works: Works) -> list[InstrumentCheck]:
        """How the instruments of a works stand by what people measured in the last 90 days; none at a hand-logged works."""
        if works.is_hand_logged:
            return []
        with reading(self._engine) as connection:
            measured = hand_measurements(connection, works.county, works.id, 200, 0).items
            kept = list_maintenance(connection, works.county, works.id, 200) if measured else []
        return checks_of(self._series, works, measured, kept, self._clock.now_ms())

    def worst(self, region: str = "", limit: int = 20) -> list[tuple[str, str, Health]]:
        """County, works and health of the worst sensors of a region, among the works with an open finding about an instrument
        or about silence: those of all works are too many to work out while somebody waits."""
        with reading(self._engine) as connection:
            open_now = list_findings(connection, county=region, is_open=True, limit=1000).items
        places = dict.fromkeys((one.county, one.works) for one in open_now if one.kind in FAULTS)
        found = [
            (county, works, health)
            for county, works in list(places)[:CANDIDATES]
            for health in self.sensors(county, works)
            if health.score is not None and health.score < 100
        ]
        return sorted(found, key=lambda row: (row[2].score or 0, row[0], row[1], row[2].point))[:limit]

    def _health(
        self, works: Works, key: SeriesKey, kept: Sequence[Maintenance], references: Sequence[tuple[int, float]], now: int
    ) -> Health:  # fmt: skip
        since = max(now - LOOKED_AT_MS, round(works.commissioned_at.timestamp() * 1000) if works.commissioned_at else 0)
        trend, flagged = self.flagged(works, key, since, now)
        since = self._begun(key, trend, since)
        serviced = [
            one.ended_at for one in kept if one.point == key.point and one.calibrated and one.ended_at is not None
        ]
        row = load_quality_rows().get(key.parameter)
        compared = [self._beside(key, at, value) for at, value in references if _is_residual(key.parameter)]
        return sensor_health(
            key.point, key.parameter, trend.observed_at, trend.columns["value"], flagged, since=since, now=now,
            cadence_ms=works.cadence_s * 1000, references=[one for one in compared if one is not None],
            serviced_at=max(serviced, default=None), service_days=row.numbers["service_days"] if row else 0.0,
        )  # fmt: skip

    def _begun(self, key: SeriesKey, trend: Trend, since: int) -> int:
        """From when on readings were to be expected: a sensor whose very first reading came within the span lacks none before it."""
        first = int(trend.observed_at[0]) if len(trend.observed_at) else since
        if first - since <= DAY_MS // 24:
            return since
        earlier = self._series.range(key, since - LOOKED_BACK_MS, since, DAY_MS, ("count",))
        return since if len(earlier.observed_at) else first

    def _beside(self, key: SeriesKey, at: int, value: float) -> HandCheck | None:
        read = beside(self._series, key, at)
        return None if read is None else HandCheck(at, value, read)

    def _read(self, keys: Sequence[SeriesKey], start: int, end: int) -> Mapping[SeriesKey, "Stored"]:
        """Series as stored; behind the first one's rows those that came with another value for a time already held."""
        from qingquan.services.quality_flags import Stored

        parameters = load_standards().parameters
        stored = {}
        for n, key in enumerate(keys):
            trend = self._series.range(key, start, end)
            row = parameters[key.parameter]
            times, values, flags = trend.observed_at, trend.columns["value"], trend.columns["flag"]
            if n == 0:
                other = self._series.conflicts(key, start, end)
                times = np.r_[times, other.observed_at]
                values = np.r_[values, other.columns["value"]]
                flags = np.r_[flags, other.columns["flag"]]
            # The recorder's flag holds range and device; only the device's word is taken from it.
            inside = (values >= row.range_min) & (values <= row.raw_range_max)
            device = np.where((flags == 3) | ((flags == 4) & inside), flags, 2).astype(np.uint8)
            stored[key] = Stored(times, values, device)
        return stored


def _is_residual(parameter: str) -> bool:
    return load_standards().parameters[parameter].unit == "mg/L"


def _stored_rows(own: "Stored") -> int:
    """How many rows stand before those of conflicts: times ascend and never repeat until there."""
    back = np.flatnonzero(np.diff(own.times) <= 0)
    return int(back[0]) + 1 if len(back) else len(own.times)
