"""Brings the columns of a works together for the quality tests: each series with what was known around it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from qingquan.domain.parameters import Parameter
from qingquan.domain.quality import Flagged, QualitySettings
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.standards.loader import load_standards
from qingquan.standards.quality import load_cross, quality_settings
from rules.quality.assess import CrossSettings, assess, lead_in_ms
from rules.quality.columns import Around, Columns, known_at, ph_of_the_day_before

__all__ = ["Stored", "companions", "cross_settings", "flagged_series", "series_lead_in_ms", "series_settings"]

HOUR, MINUTE = 3_600_000, 60_000
RESIDUALS = ("free_chlorine", "total_chlorine", "chlorine_dioxide", "ozone")
COMPENSATED = "compensated_chlorine"
"""Tag of a works whose chlorine cells correct for pH: ``yes``."""
_NONE = (np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, slots=True)
class Stored:
    """Readings of one series: times [ms], values (NaN = missing), the device's own flags (2 = none), and, where it is known, times of
    receipt (0 = not)."""

    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    device: npt.NDArray[np.uint8]
    received: npt.NDArray[np.int64] | None = None


@cache
def cross_settings() -> CrossSettings:
    """The table of settings across parameters in the units of the tests."""
    row = load_cross()
    return CrossSettings(
        ph_share=row["ph_share"], over_total_mg_l=row["over_total_mg_l"], over_total_share=row["over_total_share"],
        starved_floor=row["starved_floor_mg_l"], starved_after_ms=round(row["starved_after_h"] * HOUR),
        starved_for_ms=round(row["starved_for_h"] * HOUR), ahead_ms=round(row["ahead_min"] * MINUTE),
    )  # fmt: skip


def series_settings(works: Works, point: str, parameter: Parameter) -> QualitySettings:
    """Settings of a series of a works."""
    kind = next((one.kind for one in works.points if one.id == point), "outlet")
    floor = cross_settings().starved_floor if parameter.code in RESIDUALS else -np.inf
    return quality_settings(parameter, kind, works.cadence_s, floor)


def series_lead_in_ms(works: Works, point: str, parameter: Parameter) -> int:
    """How far before a span readings must be read for its flags to be right."""
    return lead_in_ms(series_settings(works, point, parameter), cross_settings())


def companions(works: Works, key: SeriesKey) -> dict[str, SeriesKey]:
    """Other series that the tests of a series ask, by what they are to it. Flow is asked of the point, else of any."""
    at = {one.id: set(one.parameters) for one in works.points}
    here = at.get(key.point, set())
    wanted = ["maintenance"]
    if key.parameter not in ("maintenance", "sample_flow"):
        wanted.append("sample_flow")
    if key.parameter == "free_chlorine":
        wanted += ["total_chlorine", "ph", "temperature"]
    if key.parameter == "total_chlorine":
        wanted.append("free_chlorine")
    found = {
        name: key._replace(parameter=name)
        for name in wanted
        if (name in here or name == "maintenance") and name != key.parameter
    }
    flow = key.point if "flow" in here else next((point for point, names in at.items() if "flow" in names), None)
    if flow is not None and key.parameter != "flow":
        found["flow"] = key._replace(point=flow, parameter="flow")
    return found


def flagged_series(
    works: Works,
    key: SeriesKey,
    stored: Mapping[SeriesKey, Stored],
    maintenance_most_ms: int,
    *,
    lateness_ms: int = 2**60,
) -> Flagged:
    """Flags of one series of a works.

    Parameters
    ----------
    stored : mapping
        The series itself in the order of arrival, and its `companions` as far as they exist, ascending in time.
    maintenance_most_ms : int
        A maintenance that nobody ended ends by itself after this.
    """
    parameter = load_standards().parameters[key.parameter]
    own = stored[key]
    columns = Columns.of(
        own.times, own.values, own.device, own.received,
        _around(works, own.times, {name: stored[one] for name, one in companions(works, key).items() if one in stored}, maintenance_most_ms),
    )  # fmt: skip
    return assess(columns, series_settings(works, key.point, parameter), cross_settings(), lateness_ms=lateness_ms)


def _around(
    works: Works, times: npt.NDArray[np.int64], others: Mapping[str, Stored], maintenance_most_ms: int
) -> Around:
    fresh = works.stale_after_s * 1000

    def known(name: str, longest: int = fresh) -> npt.NDArray[np.float64]:
        at, values = (others[name].times, others[name].values) if name in others else _NONE
        return known_at(times, at, values, longest)

    around = {name: known(name) for name in ("sample_flow", "flow", "total_chlorine", "free_chlorine", "temperature")}
    if "ph" in others and works.tags.get(COMPENSATED) != "yes":
        around["ph"] = known("ph")
        around["ph_before"] = ph_of_the_day_before(times, others["ph"].times, others["ph"].values)
    return Around.nothing(len(times), maintenance=known("maintenance", maintenance_most_ms), **around)
