"""Whether a series is falling, how fast, and when it will be below a limit if that goes on. Pure.

Theil-Sen slopes and the Mann-Kendall test: medians and signs, so a few spikes decide nothing. Minute readings of one
sensor resemble their neighbours, which makes every wobble "significant" to a test that takes them as independent; hence the
series is thinned to bucket medians first, and the variance is widened by the autocorrelation that remains (Hamed and Rao).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts, 40 MB, load when first used: who only judges does without them
from numpy.typing import ArrayLike

from rules.ct_required import Values, aligned

__all__ = ["Forecast", "Trend", "bucket_medians", "fall_below", "forecast_sentence", "sen_trend", "sen_trend_of_runs"]

MS_PER_HOUR = 3_600_000.0
BUCKETS = 48
MIN_BUCKETS = 12
INTERVAL_ALPHA = 0.05
LOOK_AHEAD_PER_SPAN = 2.0
"""A forecast reaches at most this many times as far ahead as its history reaches back."""
STILL_FALLING = 0.5
"""The later half must fall at least this share as fast as the whole: a past step is no trend."""


@dataclass(frozen=True, slots=True)
class Trend:
    """Slope with its interval [unit/h], two-sided p of the Mann-Kendall test, and the number of points used."""

    slope: float
    slope_low: float
    slope_high: float
    p_value: float
    points: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """A falling series will be below ``limit`` in ``hours`` if it goes on as it did.

    ``hours_low`` and ``hours_high`` are the ends of the 95 % interval [h].
    ``level`` is where the line stands now, ``slope_per_h`` how fast it falls (negative), both in the series' unit.
    """

    hours: float
    hours_low: float
    hours_high: float
    level: float
    limit: float
    slope_per_h: float
    p_value: float
    points: int


def fall_below(
    observed_at: ArrayLike,
    values: ArrayLike,
    limit: float,
    precision: float,
    alpha: float = 0.001,
    horizon_h: float = 24.0,
) -> Forecast | None:
    """When a series will fall below a limit, if it is falling at all.

    Parameters
    ----------
    observed_at : (n,) float64
        Times of the readings, any order. [ms since epoch]
    values : (n,) float64
        Readings of the last hours, e.g. 6 h of residual; NaN are left out.
    limit : float
        Lower limit, e.g. 0.3 mg/L.
    precision : float
        Smallest change the instrument can show (``precision_floor``); a fall of less than twice this is none.
    alpha : float
        Level of the two-sided test. The intervals are of 95 %.
    horizon_h : float
        Farthest forecast. [h]

    Returns
    -------
    Forecast or None
        ``None`` when the trend is not significant, has stopped, is too small to see, rests on fewer than 12 points,
        reaches the limit later than the horizon or twice its own history, or the series is below the limit already.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    .. [1] Sen, "Estimates of the Regression Coefficient Based on Kendall's Tau", JASA 63, 1968, 1379-1389.
    .. [2] Hamed and Rao, "A modified Mann-Kendall trend test for autocorrelated data", J. Hydrol. 204, 1998, 182-196.

    Examples
    --------
    From 0.90 to 0.60 mg/L in 6 h: the other 0.30 mg/L down to the limit take another 6 h.

    >>> minutes = np.arange(360)
    >>> falling = 0.90 - 0.05 * minutes / 60 + 0.004 * np.cos(minutes)
    >>> forecast = fall_below(minutes * 60_000, falling, 0.3, 0.02)
    >>> round(forecast.hours, 1)
    6.0
    >>> fall_below(minutes * 60_000, falling[::-1], 0.3, 0.02) is None
    True
    """
    hours, series = bucket_medians(observed_at, values, BUCKETS)
    if len(hours) < MIN_BUCKETS:
        return None
    span = float(hours[-1] - hours[0])
    trend = sen_trend(hours, series, INTERVAL_ALPHA)
    later = sen_trend(hours[len(hours) // 2 :], series[len(hours) // 2 :], INTERVAL_ALPHA)
    is_falling = trend.p_value < alpha and trend.slope_high < 0 and -trend.slope * span >= 2.0 * precision
    if not is_falling or later.slope > STILL_FALLING * trend.slope:
        return None
    level, level_error = _level_at(_last_hour(observed_at, values), hours, series, trend.slope)
    room = level - limit
    ahead = room / -trend.slope
    if room <= 0 or ahead > min(horizon_h, LOOK_AHEAD_PER_SPAN * span):
        return None
    return Forecast(
        hours=ahead, hours_low=max(room - level_error, 0.0) / -trend.slope_low,
        hours_high=(room + level_error) / -trend.slope_high, level=level, limit=limit,
        slope_per_h=trend.slope, p_value=trend.p_value, points=trend.points,
    )  # fmt: skip


def sen_trend(hours: Values, values: Values, alpha: float) -> Trend:
    """Theil-Sen slope with its interval, and the Mann-Kendall p.

    ``hours`` (n,) ascending without repeats [h], ``values`` (n,) without NaN; the variance is corrected for
    autocorrelation. Fewer than 3 points give NaN and p = 1.
    """
    n = len(hours)
    if n < 3:
        return Trend(float("nan"), float("nan"), float("nan"), 1.0, n)
    slopes, score = _pairs(hours, values)
    slope = float(np.median(slopes))
    variance = _kendall_variance(values) * _autocorrelation_factor(values - slope * hours)
    return _trend(np.sort(slopes), score, variance, alpha, n)


def sen_trend_of_runs(runs: Sequence[tuple[Values, Values]], alpha: float) -> Trend:
    """One slope common to several runs (hours, values) of a series, as the seasonal Kendall test has it.

    Only pairs within a run count. Each run as in `sen_trend`; fewer than 3 points in all give NaN and p = 1.
    """
    parts = [_pairs(hours, values) for hours, values in runs]
    slopes = np.sort(np.concatenate([slopes for slopes, _ in parts])) if parts else np.empty(0)
    points = sum(len(hours) for hours, _ in runs)
    if len(slopes) < 3:
        return Trend(float("nan"), float("nan"), float("nan"), 1.0, points)
    score = sum(score for _, score in parts)
    return _trend(slopes, score, sum(_kendall_variance(values) for _, values in runs), alpha, points)


def bucket_medians(observed_at: ArrayLike, values: ArrayLike, buckets: int) -> tuple[Values, Values]:
    """Medians over equal spans of time: mean time [h since the first reading] and median of each bucket that has readings.

    NaN are left out; the order of the readings does not matter. Raises ``ValueError`` if the shapes differ.

    >>> bucket_medians([0, 1_800_000, 3_600_000], [1.0, 2.0, 9.0], 2)
    (array([0.  , 0.75]), array([1. , 5.5]))
    """
    at, series = aligned(observed_at=observed_at, values=values)
    good = np.isfinite(at) & np.isfinite(series)
    at, series = at[good], series[good]
    if not len(at):
        return np.empty(0), np.empty(0)
    order = np.argsort(at, kind="stable")
    hours, series = (at[order] - at[order[0]]) / MS_PER_HOUR, series[order]
    width = hours[-1] / buckets
    number = np.minimum((hours / width).astype(np.intp), buckets - 1) if width > 0 else np.zeros(len(hours), np.intp)
    edges = np.flatnonzero(np.diff(number)) + 1
    medians = [float(np.median(part)) for part in np.split(series, edges)]
    return np.array([float(part.mean()) for part in np.split(hours, edges)]), np.array(medians)


def forecast_sentence(forecast: Forecast, name: str, unit: str, language: str = "zh") -> str:
    """The forecast in words; ``name`` of the parameter in that language.

    >>> f = Forecast(4.2, 3.1, 5.8, 0.5, 0.3, -0.048, 1e-6, 48)
    >>> forecast_sentence(f, "游离氯", "mg/L")
    '游离氯持续下降，现为0.50 mg/L，照此趋势约4小时后将低于0.3 mg/L（3.1～5.8小时）'
    >>> forecast_sentence(f, "Free chlorine", "mg/L", "en")
    'Free chlorine keeps falling, now 0.50 mg/L; if this goes on it will be below 0.3 mg/L in about 4 h (3.1 to 5.8 h)'
    """
    minutes = max(5, round(forecast.hours * 12) * 5)
    if language == "en":
        when = f"{minutes} min" if forecast.hours < 1.5 else f"{forecast.hours:.0f} h"
        return (
            f"{name} keeps falling, now {forecast.level:.2f} {unit}; if this goes on it will be below "
            f"{forecast.limit:g} {unit} in about {when} ({forecast.hours_low:.1f} to {forecast.hours_high:.1f} h)"
        )
    when = f"{minutes}分钟" if forecast.hours < 1.5 else f"{forecast.hours:.0f}小时"
    return (
        f"{name}持续下降，现为{forecast.level:.2f} {unit}，照此趋势约{when}后将低于{forecast.limit:g} {unit}"
        f"（{forecast.hours_low:.1f}～{forecast.hours_high:.1f}小时）"
    )


def _last_hour(observed_at: ArrayLike, values: ArrayLike) -> float:
    """Time of the last reading since the first [h]; the last bucket lies a little earlier."""
    at, series = aligned(observed_at=observed_at, values=values)
    at = at[np.isfinite(at) & np.isfinite(series)]
    return float(np.ptp(at)) / MS_PER_HOUR


def _level_at(hour: float, hours: Values, values: Values, slope: float) -> tuple[float, float]:
    """Where the line stands at an hour, from the latest quarter, and half its interval."""
    rest = values - slope * (hours - hour)
    recent = max(3, len(rest) // 4)
    level = float(np.median(rest[-recent:]))
    scatter = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    # 1.57: a median needs 1.57 times the points of a mean.
    error = scatter * np.sqrt(1.57 * _autocorrelation_factor(rest) / recent)
    return level, float(scipy.stats.norm.isf(INTERVAL_ALPHA / 2.0) * error)


def _pairs(hours: Values, values: Values) -> tuple[Values, float]:
    """Slopes of all pairs, and by how many more pairs rise than fall."""
    first, second = np.triu_indices(len(hours), 1)
    rises = values[second] - values[first]
    return rises / (hours[second] - hours[first]), float(np.sign(rises).sum())


def _trend(slopes: Values, score: float, variance: float, alpha: float, points: int) -> Trend:
    """Slope, interval and p from sorted pair slopes, their score and its variance."""
    slope = float(np.median(slopes))
    if not variance > 0:
        return Trend(slope, slope, slope, 1.0, points)
    sigma = float(np.sqrt(variance))
    p = 2.0 * float(scipy.stats.norm.sf(max(abs(score) - 1.0, 0.0) / sigma))
    half = float(scipy.stats.norm.isf(alpha / 2.0)) * sigma
    last = len(slopes) - 1
    low = int(np.clip(np.floor((len(slopes) - half) / 2.0), 0, last))
    high = int(np.clip(np.ceil((len(slopes) + half) / 2.0), 0, last))
    return Trend(slope, float(slopes[low]), float(slopes[high]), min(p, 1.0), points)


def _autocorrelation_factor(rest: Values) -> float:
    """By how much neighbours that resemble each other widen the variance; never below 1."""
    n = len(rest)
    ranks = scipy.stats.rankdata(rest) - (n + 1) / 2.0
    power = float(ranks @ ranks)
    if power == 0.0:
        return 1.0
    lags = np.arange(1, n // 2)
    correlation = np.array([float(ranks[:-lag] @ ranks[lag:]) / power for lag in lags])
    # Lags before the correlation first vanishes, significant or not: dropping the weak ones made intervals too narrow.
    silent = np.flatnonzero(correlation <= 0.0)
    kept = slice(0, int(silent[0]) if len(silent) else len(lags))
    weight = (n - lags) * (n - lags - 1.0) * (n - lags - 2.0)
    return 1.0 + 2.0 / (n * (n - 1.0) * (n - 2.0)) * float(weight[kept] @ correlation[kept])


def _kendall_variance(values: Values) -> float:
    """Variance of the Mann-Kendall score of independent values, ties counted."""
    _, ties = np.unique(values, return_counts=True)
    n = len(values)
    return float(n * (n - 1) * (2 * n + 5) - (ties * (ties - 1) * (2 * ties + 5)).sum()) / 18.0
