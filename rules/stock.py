"""How long the disinfectant lasts, and how strong it still is. Pure."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from rules.ct_required import Values, aligned
from rules.trend import bucket_medians, sen_trend_of_runs

__all__ = ["StockOutlook", "StockReason", "available_chlorine", "days_left", "hypochlorite_strength"]

HOURS_PER_DAY = 24.0
HISTORY_BUCKETS = 240
MIN_SPAN_H = 24.0
MIN_POINTS = 8

GRAMS_PER_MOL_CL2 = 70.906
SECONDS_PER_DAY = 86_400.0
ZERO_C_IN_K = 273.15
GAS_CONSTANT = 8.314
STORAGE_C = (0.0, 55.0)
IONIC_STRENGTH = (1.0, 6.0)


class StockReason(StrEnum):
    """Whether the days left could be told, or why not."""

    ESTIMATED = "estimated"
    EMPTY = "empty"
    NOT_FALLING = "not_falling"
    HISTORY_TOO_SHORT = "history_too_short"


@dataclass(frozen=True, slots=True)
class StockOutlook:
    """What is left. ``days`` with its ends, ``None`` where they cannot be told; ``days_high`` also where use may be nil.

    ``level`` now and ``use_per_day`` in the unit of the level (positive = used up); ``refills`` seen in the history.
    """

    reason: StockReason
    days: float | None
    days_low: float | None
    days_high: float | None
    level: float | None
    use_per_day: float | None
    refills: int


def days_left(
    observed_at: ArrayLike, level: ArrayLike, empty: float = 0.0, refill_rise: float = 5.0, alpha: float = 0.05
) -> StockOutlook:
    """Days until the disinfectant is used up, from the history of its level.

    Parameters
    ----------
    observed_at : (n,) float64
        Times of the readings, any order. [ms since epoch]
    level : (n,) float64
        Level of the dosing or generator tank, e.g. 14 days of it; NaN are left out. [%]
    empty : float
        Level the pump draws air at. [%]
    refill_rise : float
        A rise of more than this above the lowest level since the last refill is a refill. [%]
    alpha : float
        Level of the test and of the interval.

    Returns
    -------
    StockOutlook
        NOT_FALLING when use is not significant: with a running doser that is itself a sign that nothing is dosed.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    Slope = median of the slopes of all pairs of bucket medians that have no refill between them, so refills, spikes and
    sloshing do not count and a filling in many small steps counts little. The score is summed over the runs between
    refills as in the seasonal Kendall test. At least 24 h and 8 points, so that a day's pumping rhythm is averaged.

    References
    ----------
    .. [1] Hirsch, Slack and Smith, "Techniques of Trend Analysis for Monthly Water Quality Data", Water Resour. Res. 18 (1),
       1982, 107-121.

    Examples
    --------
    A tank loses 4 % a day and was filled on the fifth day; 10 days later 50 % are left.

    >>> hours = np.arange(0, 360, 2.0)
    >>> level = np.where(hours < 120, 40.0 - hours / 6, 90.0 - (hours - 120) / 6)
    >>> outlook = days_left(hours * 3_600_000, level)
    >>> round(outlook.days, 1), round(outlook.use_per_day, 2), outlook.refills
    (12.7, 4.0, 1)
    """
    hours, series = bucket_medians(observed_at, level, HISTORY_BUCKETS)
    if not len(hours):
        return StockOutlook(StockReason.HISTORY_TOO_SHORT, None, None, None, None, None, 0)
    starts = _refills(series, refill_rise)
    runs = np.split(np.arange(len(hours)), starts)
    now = float(np.median(series[runs[-1][-3:]]))
    refills = sum(start - 1 not in starts for start in starts)
    if now <= empty:
        return StockOutlook(StockReason.EMPTY, 0.0, 0.0, 0.0, now, None, refills)
    if hours[-1] - hours[0] < MIN_SPAN_H or max(len(run) for run in runs) < MIN_POINTS:
        return StockOutlook(StockReason.HISTORY_TOO_SHORT, None, None, None, now, None, refills)
    trend = sen_trend_of_runs([(hours[run], series[run]) for run in runs], alpha)
    use = -trend.slope * HOURS_PER_DAY
    if not trend.p_value < alpha or use <= 0:
        return StockOutlook(StockReason.NOT_FALLING, None, None, None, now, max(use, 0.0), refills)
    room = now - empty
    return StockOutlook(
        StockReason.ESTIMATED,
        room / use,
        _days(room, trend.slope_low),
        _days(room, trend.slope_high),
        now,
        use,
        refills,
    )


def available_chlorine(percent_by_weight: ArrayLike, density: ArrayLike) -> Values:
    """Available chlorine of a solution [g/L] from its share by weight [%], as labels state it, and density [kg/L].

    NaN where an input is missing; ``ValueError`` if the shapes differ.

    >>> available_chlorine([10.0], [1.18])
    array([118.])
    """
    share, mass = aligned(percent_by_weight=percent_by_weight, density=density)
    return np.asarray(share * 10.0 * mass, dtype=np.float64)


def hypochlorite_strength(initial: ArrayLike, age: ArrayLike, temperature: ArrayLike, hydroxide: float = 0.1) -> Values:
    """Available chlorine left in stored sodium hypochlorite.

    Parameters
    ----------
    initial : (n,) float64
        Available chlorine when made. [g/L]
    age : (n,) float64
        Time since. [day]
    temperature : (n,) float64
        Mean temperature of the store. [degC]
    hydroxide : float
        Excess caustic. [mol/L]

    Returns
    -------
    (n,) float64
        Available chlorine [g/L]; NaN where an input is missing or negative, or outside 0-55 degC or an ionic strength of
        6 mol/L (about 210 g/L).

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    Second order in hypochlorite: ``1/C = 1/C0 + k2 t`` with ``log10 k2 = 0.149 mu + log10(2.083e10 T exp(-1.018e5/RT)
    exp(-56.5/R))`` [L/(mol·s)]. Ionic strength ``mu`` = hypochlorite + as much chloride from manufacture + hydroxide, which
    decomposition does not change. The equation was measured at 15 to 55 degC and mu 1 to 6; weaker solutions are given mu = 1,
    which overstates their loss; 0 to 15 degC is extrapolated.

    It holds for pH 11 and above without metals or light. Copper, nickel, sunlight and the low pH of solutions made on site
    make it faster: take the result as the best case and measure what is in the tank.

    References
    ----------
    .. [1] Adam and Gordon, "Hypochlorite Ion Decomposition: Effects of Temperature, Ionic Strength, and Chloride Ion",
       Inorg. Chem. 38 (6), 1999, 1299-1304, doi:10.1021/ic980020q.

    Examples
    --------
    A month at 30 degC costs a 120 g/L solution more than a fifth of its strength.

    >>> hypochlorite_strength([120.0], [30.0], [30.0]).round()
    array([93.])
    """
    c0, days, celsius = aligned(initial=initial, age=age, temperature=temperature)
    molar = c0 / GRAMS_PER_MOL_CL2
    ionic = 2.0 * molar + hydroxide
    good = np.isfinite(c0) & np.isfinite(days) & (c0 >= 0) & (days >= 0) & (ionic <= IONIC_STRENGTH[1])
    good &= (celsius >= STORAGE_C[0]) & (celsius <= STORAGE_C[1])
    molar, days, kelvin = (
        np.where(good, molar, 0.0),
        np.where(good, days, 0.0),
        np.where(good, celsius, 20.0) + ZERO_C_IN_K,
    )
    ionic = np.where(good, np.maximum(ionic, IONIC_STRENGTH[0]), IONIC_STRENGTH[0])
    eyring = 2.083e10 * kelvin * np.exp(-1.018e5 / (GAS_CONSTANT * kelvin) - 56.5 / GAS_CONSTANT)
    rate = 10.0 ** (0.149 * ionic) * eyring * SECONDS_PER_DAY
    return np.where(good, molar / (1.0 + rate * days * molar) * GRAMS_PER_MOL_CL2, np.nan)


def _refills(series: Values, rise: float) -> list[int]:
    """Where a new filling begins: the level stands more than ``rise`` above the lowest since the last one began."""
    starts, lowest = [], float(series[0])
    for index, level in enumerate(series.tolist()):
        if level > lowest + rise:
            starts.append(index)
            lowest = level
        lowest = min(lowest, level)
    return starts


def _days(room: float, slope: float) -> float | None:
    return room / (-slope * HOURS_PER_DAY) if slope < 0 else None
