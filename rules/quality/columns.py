# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="no-untyped-def"
"""Readings of one series with what else was known at the time, row by row."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from rules.chlorine import hocl_fraction
from rules.quality.qartod import compiled

__all__ = ["Around", "Columns", "known_at", "ph_of_the_day_before"]

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Around:
    """What was known when each reading was taken; (n,) float64 each, NaN = not known.

    sample_flow, flow : switch of the measuring cell (0/1); outlet flow [m3/h]
    maintenance : 1 while people work on the point's instruments
    total_chlorine, free_chlorine : at the same point [mg/L]
    ph, ph_before, temperature : pH now, median pH of the day before, water temperature [degC]
    """

    sample_flow: Values
    flow: Values
    maintenance: Values
    total_chlorine: Values
    free_chlorine: Values
    ph: Values
    ph_before: Values
    temperature: Values

    @classmethod
    def nothing(cls, size: int, **known: Values) -> "Around":
        """Nothing known but what is named."""
        unknown = np.full(size, np.nan)
        return cls(**{one.name: known.get(one.name, unknown) for one in fields(cls)})

    def take(self, rows: npt.NDArray[np.int64]) -> "Around":
        """These rows, in this order."""
        return Around(*(getattr(self, one.name)[rows] for one in fields(Around)))

    def followed_by(self, other: "Around") -> "Around":
        """Both, one after the other."""
        return Around(*(np.r_[getattr(self, one.name), getattr(other, one.name)] for one in fields(Around)))


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings of one series in the order of arrival: times [ms], values (NaN = missing), the device's own flag (2 = it said
    nothing), time of receipt [ms] (0 = not known), and what was known around them."""

    times: Times
    values: Values
    device: npt.NDArray[np.uint8]
    received: Times
    around: Around

    def __len__(self) -> int:
        return len(self.times)

    @classmethod
    def of(
        cls, times: Times, values: Values, device: npt.NDArray[np.uint8] | None = None, received: Times | None = None,
        around: Around | None = None,
    ) -> "Columns":  # fmt: skip
        """Columns of which only times and values need be known."""
        size = len(times)
        return cls(
            np.asarray(times, np.int64), np.asarray(values, np.float64),
            np.full(size, 2, np.uint8) if device is None else np.asarray(device, np.uint8),
            np.zeros(size, np.int64) if received is None else np.asarray(received, np.int64),
            Around.nothing(size) if around is None else around,
        )  # fmt: skip

    def take(self, rows: npt.NDArray[np.int64]) -> "Columns":
        """These rows, in this order."""
        return Columns(
            self.times[rows], self.values[rows], self.device[rows], self.received[rows], self.around.take(rows)
        )

    def followed_by(self, other: "Columns") -> "Columns":
        """Both, one after the other."""
        return Columns(
            np.r_[self.times, other.times], np.r_[self.values, other.values], np.r_[self.device, other.device],
            np.r_[self.received, other.received], self.around.followed_by(other.around),
        )  # fmt: skip


def known_at(times: Times, other_times: Times, other_values: Values, longest_ms: int) -> Values:
    """Newest value of another series at or before each time, not older than ``longest_ms``; else NaN.

    ``times`` in any order; ``other_times`` ascending. Missing values of the other series say nothing and are passed over.
    """
    kept = ~np.isnan(other_values)
    at, values = other_times[kept], other_values[kept]
    if not len(at):
        return np.full(len(times), np.nan)
    place = np.searchsorted(at, times, side="right") - 1
    found = np.where(place >= 0, values[np.maximum(place, 0)], np.nan)
    return np.where(times - at[np.maximum(place, 0)] <= longest_ms, found, np.nan)


def ph_of_the_day_before(times: Times, ph_times: Times, ph_values: Values, least: int = 12) -> Values:
    """Median pH of the UTC day before each time, NaN where fewer than ``least`` values came that day.

    It stands for the pH at which the cell was calibrated: cells are calibrated in the water they measure, every few
    weeks, and from day to day that water hardly changes.
    """
    kept = ~np.isnan(ph_values)
    days, values = ph_times[kept] // DAY_MS, ph_values[kept]
    wanted = times // DAY_MS - 1
    found = np.full(len(times), np.nan)
    for day in np.unique(wanted):
        first, last = np.searchsorted(days, (day, day + 1))
        if last - first >= least:
            found[wanted == day] = np.median(values[first:last])
    return found


def hocl_ratio(ph: Values, ph_before: Values, temperature: Values) -> Values:
    """Share of HOCl now over that at the pH before; NaN where either is not known. Without a temperature, at 15 degC."""
    degc = np.where(np.isnan(temperature), 15.0, temperature)
    with np.errstate(invalid="ignore"):
        return np.asarray(hocl_fraction(ph, degc) / hocl_fraction(ph_before, degc), np.float64)


@compiled
def low_since(times, values, starts, floor):
    """Time since which each reading's run of values at or below ``floor`` has lasted; -1 above it or missing."""
    since = np.full(len(values), -1, np.int64)
    run = -1
    for n in range(len(values)):
        if np.isnan(values[n]):
            continue
        if values[n] > floor or starts[n] == n:
            run = -1
        if values[n] <= floor:
            if run < 0:
                run = times[n]
            since[n] = run
    return since
