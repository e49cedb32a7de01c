"""How the residual fades on its way: first-order bulk decay, its rate fitted from samples, what is left at the end. Pure.

First order is a local fit and not a constant of nature: the rate grows with temperature and organic matter and as the
initial chlorine falls, and a rate fitted in the network holds the pipes' share (wall decay) as well. So a rate belongs to
a works and a season, and carries an interval.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import scipy
from numpy.typing import ArrayLike

from rules.ct_required import Values, aligned

__all__ = [
    "THETA", "DecayFit", "EpaWater", "ExpectedResidual", "FitReason", "epa_residual", "equivalent_hours",
    "expected_residual", "fit_decay", "rate_at", "residual_after",
]  # fmt: skip

HOURS_PER_DAY = 24.0
THETA = 1.1
"""Growth of the rate per degC from 20 degC; other waters differ (doubling per 8 to 12 degC = 1.06 to 1.09)."""

MIN_SAMPLES = 4
MAX_RATE_PER_DAY = 100.0


class FitReason(StrEnum):
    """Whether a rate was fitted, or why not."""

    FITTED = "fitted"
    TOO_FEW_SAMPLES = "too_few_samples"
    NO_SPREAD_IN_TIME = "no_spread_in_time"
    NO_CHLORINE = "no_chlorine"
    NOT_CONVERGED = "not_converged"


@dataclass(frozen=True, slots=True)
class DecayFit:
    """A fitted first-order decay; NaN throughout unless ``reason`` is FITTED.

    ``rate`` with ``rate_low`` and ``rate_high`` [1/day] and ``initial`` with its ends [mg/L] at ``confidence``;
    ``residual_sd`` scatter of the samples about the curve [mg/L]; ``samples`` used and ``dropped`` (missing or negative).
    """

    reason: FitReason
    rate: float
    rate_low: float
    rate_high: float
    initial: float
    initial_low: float
    initial_high: float
    residual_sd: float
    samples: int
    dropped: int
    confidence: float

    @property
    def is_decaying(self) -> bool:
        """Whether the interval of the rate lies above zero: otherwise no decay was shown."""
        return self.rate_low > 0.0


@dataclass(frozen=True, slots=True)
class ExpectedResidual:
    """Residual expected at the end of a way, all (n,) [mg/L]: best value and the interval a single sample should fall in."""

    value: Values
    low: Values
    high: Values


def residual_after(initial: ArrayLike, rate: ArrayLike, hours: ArrayLike) -> Values:
    """Residual left after first-order bulk decay.

    Parameters
    ----------
    initial : (n,) float64
        Residual at the start. [mg/L]
    rate : (n,) float64 or scalar
        Bulk decay rate at the water's temperature. [1/day]
    hours : (n,) float64
        Time on the way (water age). [h]

    Returns
    -------
    (n,) float64
        ``initial * exp(-rate * hours / 24)`` [mg/L]; NaN where an input is missing.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    .. [1] Rossman, "EPANET 2.2 User Manual", US EPA 600/R-20/133, 2020, section 3.4 (bulk reactions).

    Examples
    --------
    >>> residual_after([0.8], 0.5, [24.0]).round(3)
    array([0.485])
    """
    c, k, h = aligned(initial=initial, rate=rate, hours=hours)
    with np.errstate(over="ignore", invalid="ignore"):
        left = c * np.exp(-k * h / HOURS_PER_DAY)
    return np.where(np.isfinite(left), left, np.nan)


def rate_at(rate: ArrayLike, temperature: ArrayLike, reference: float = 20.0, theta: float = THETA) -> Values:
    """Decay rate at another temperature.

    Parameters
    ----------
    rate : (n,) float64
        Rate at ``reference``. [1/day]
    temperature : (n,) float64
        Water temperature. [degC]
    reference : float
        Temperature the rate is known at. [degC]
    theta : float
        Growth per degC.

    Returns
    -------
    (n,) float64
        ``rate * theta ** (temperature - reference)`` [1/day]; NaN where an input is missing.

    Raises
    ------
    ValueError
        If the shapes differ or ``theta`` is not positive.

    References
    ----------
    .. [1] Koechling, "Assessment and Modeling of Chlorine Reactions with Natural Organic Matter", 1998; EPANET manual, App. D.

    Examples
    --------
    >>> rate_at([0.5], [10.0]).round(3)
    array([0.193])
    """
    k, t = aligned(rate=rate, temperature=temperature)
    return np.asarray(k * _growth(t, reference, theta), dtype=np.float64)


def equivalent_hours(hours: ArrayLike, temperature: ArrayLike, reference: float = 20.0, theta: float = THETA) -> Values:
    """Time at the reference temperature that takes as much chlorine as ``hours`` at ``temperature``.

    Samples taken at different temperatures are fitted together over these hours; the rate then holds at ``reference``.
    Arguments, units and errors as `rate_at`.

    >>> equivalent_hours([10.0], [21.0]).round(3)
    array([11.])
    """
    h, t = aligned(hours=hours, temperature=temperature)
    return np.asarray(h * _growth(t, reference, theta), dtype=np.float64)


def fit_decay(hours: ArrayLike, residual: ArrayLike, confidence: float = 0.95) -> DecayFit:
    """Rate and initial residual of the curve nearest to samples.

    Parameters
    ----------
    hours : (n,) float64
        Time since the first sample, or water age. [h]
    residual : (n,) float64
        Residual of each sample. [mg/L]
    confidence : float
        Level of the intervals, above 0 and below 1.

    Returns
    -------
    DecayFit
        With `FitReason` where no curve could be fitted. Missing and negative samples are dropped and counted.

    Raises
    ------
    ValueError
        If the shapes differ or the confidence is no share.

    Notes
    -----
    Least squares of ``C0 exp(-k t)`` in mg/L, not of its logarithm: DPD and amperometric errors are additive, and samples
    near zero must not carry the most weight. The interval is the linear one, estimate +- t(n - 2) x standard error, which
    takes the samples as independent; minute data of one sensor are not, so thin them before.

    Examples
    --------
    >>> fit = fit_decay([0.0, 12.0, 24.0, 48.0], [0.80, 0.62, 0.49, 0.29])
    >>> round(fit.rate, 3), round(fit.initial, 3), fit.is_decaying
    (0.502, 0.8, True)
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    h, c = aligned(hours=hours, residual=residual)
    good = np.isfinite(h) & np.isfinite(c) & (c >= 0.0)
    dropped = int(good.size - good.sum())
    days, c = h[good] / HOURS_PER_DAY, c[good]
    reason = _refusal(days, c)
    if reason is not None:
        return _no_fit(reason, len(c), dropped, confidence)
    # Solved in units of the samples themselves, so that hours and weeks, 0.05 and 5 mg/L, are one problem.
    span, scale, start = float(np.ptp(days)), float(c.max()), float(days.min())
    x, y = (days - start) / span, c / scale

    def misfit(p: Values) -> Values:
        return np.asarray(p[0] * np.exp(-p[1] * x) - y, dtype=np.float64)

    def slopes(p: Values) -> Values:
        fade = np.exp(-p[1] * x)
        return np.column_stack([fade, -p[0] * x * fade])

    top = MAX_RATE_PER_DAY * span
    solved = scipy.optimize.least_squares(misfit, _first_guess(x, y, top), slopes, bounds=([0.0, -20.0], [np.inf, top]))
    covariance, noise = _covariance(solved.jac, misfit(solved.x))
    if not solved.success or covariance is None:
        return _no_fit(FitReason.NOT_CONVERGED, len(c), dropped, confidence)
    rate, at_start = float(solved.x[1]) / span, float(solved.x[0]) * scale
    factor = float(scipy.stats.t.ppf(0.5 + confidence / 2.0, len(c) - 2))
    back = float(np.exp(np.clip(rate * start, -700.0, 700.0)))
    # C0 at hour 0 when the first sample is later: d ln C0 = d ln C(start) + start dk.
    gradient = np.array([scale * back, at_start * back * start / span])
    rate_error = factor * float(np.sqrt(covariance[1, 1])) / span
    initial_error = factor * float(np.sqrt(gradient @ covariance @ gradient))
    initial = at_start * back
    return DecayFit(
        FitReason.FITTED, rate, rate - rate_error, rate + rate_error, initial, initial - initial_error,
        initial + initial_error, noise * scale, len(c), dropped, confidence,
    )  # fmt: skip


def expected_residual(fit: DecayFit, outlet: ArrayLike, hours: ArrayLike) -> ExpectedResidual:
    """Residual expected where the water arrives, with the interval that a single sample there should fall in.

    Parameters
    ----------
    fit : DecayFit
        Decay of this works.
    outlet : (n,) float64
        Residual at the works outlet when the water left. [mg/L]
    hours : (n,) float64
        Travel time, in the same (equivalent) hours as the fit. [h]

    Returns
    -------
    ExpectedResidual
        NaN where an input is missing, the travel time is negative or nothing was fitted.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    The interval joins what is uncertain of the rate, ``C t dk``, and the scatter of the samples, both at the fit's
    confidence, as independent; it does not know of an uncertain travel time. No end lies below zero.

    Examples
    --------
    >>> fit = fit_decay([0.0, 12.0, 24.0, 48.0], [0.80, 0.62, 0.49, 0.29])
    >>> end = expected_residual(fit, [0.6], [30.0])
    >>> end.value.round(2), bool(end.low[0] < end.value[0] < end.high[0])
    (array([0.32]), True)
    """
    c, h = aligned(outlet=outlet, hours=hours)
    h = np.where(h >= 0.0, h, np.nan)
    value = residual_after(c, fit.rate, h)
    factor = scipy.stats.t.ppf(0.5 + fit.confidence / 2.0, max(fit.samples - 2, 1))
    by_rate = value * h / HOURS_PER_DAY * (fit.rate_high - fit.rate_low) / 2.0
    half = np.hypot(by_rate, factor * fit.residual_sd)
    return ExpectedResidual(value, np.maximum(value - half, 0.0), value + half)


class EpaWater(StrEnum):
    """Which coefficients of the EPA decay model apply."""

    RAW = "raw"
    COAGULATED = "coagulated"


_EPA = {
    EpaWater.RAW: (-0.8147, -2.2808, -1.2971, (1.2, 16.0)),
    EpaWater.COAGULATED: (-0.8404, -0.4040, -0.9108, (1.0, 11.1)),
}
EPA_HOURS = (0.25, 120.0)


def epa_residual(dose: ArrayLike, hours: ArrayLike, toc: ArrayLike, uv254: ArrayLike, water: EpaWater) -> Values:
    """Free chlorine by the EPA (2001) decay model, for waters whose organic matter is known and whose decay is not.

    Parameters
    ----------
    dose : (n,) float64
        Chlorine dosed. [mg/L]
    hours : (n,) float64
        Time since dosing. [h]
    toc : (n,) float64
        Total organic carbon. [mg/L]
    uv254 : (n,) float64
        Absorbance at 254 nm. [1/cm]
    water : EpaWater
        Raw or coagulated.

    Returns
    -------
    (n,) float64
        Residual [mg/L]; NaN where an input is missing, not positive, or outside TOC 1.2-16 (raw) or 1.0-11.1 mg/L
        (coagulated) and 0.25-120 h.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    Solves ``a C0 ln(C0/C) - b (C0/UV)^c TOC t + C0 - C = 0`` for C. The left side is largest at ``C = -a C0``, positive
    there, and falls towards minus infinity as C goes to zero, so the one root lies between and bisection finds it.

    References
    ----------
    .. [1] US EPA, "Water Treatment Plant Model, Version 2.0, User's Manual", 2001.
    """
    c0, h, carbon, uv = aligned(dose=dose, hours=hours, toc=toc, uv254=uv254)
    a, b, c, (toc_low, toc_high) = _EPA[water]
    good = np.isfinite(c0) & (c0 > 0) & np.isfinite(uv) & (uv > 0)
    good &= (carbon >= toc_low) & (carbon <= toc_high) & (h >= EPA_HOURS[0]) & (h <= EPA_HOURS[1])
    c0, h, carbon, uv = (np.where(good, column, 1.0) for column in (c0, h, carbon, uv))
    demand = -b * (c0 / uv) ** c * carbon * h
    # In u = ln(C0/C) the equation is a C0 u + demand + C0 (1 - exp(-u)) = 0, free of underflow however little is left.
    low, high = np.full(c0.shape, -np.log(-a)), (demand / c0 + 1.0) / -a + 1.0
    for _ in range(80):
        middle = (low + high) / 2.0
        is_positive = a * c0 * middle + demand + c0 * -np.expm1(-middle) > 0
        low, high = np.where(is_positive, middle, low), np.where(is_positive, high, middle)
    return np.where(good, c0 * np.exp(-low), np.nan)


def _growth(temperature: Values, reference: float, theta: float) -> Values:
    if not theta > 0:
        raise ValueError(f"theta {theta} is not positive")
    return np.asarray(theta ** (temperature - reference), dtype=np.float64)


def _refusal(days: Values, residual: Values) -> FitReason | None:
    if len(residual) < MIN_SAMPLES:
        return FitReason.TOO_FEW_SAMPLES
    if len(np.unique(days)) < 3:
        return FitReason.NO_SPREAD_IN_TIME
    return None if (residual > 0).sum() >= 2 else FitReason.NO_CHLORINE


def _first_guess(x: Values, y: Values, top: float) -> tuple[float, float]:
    """Straight line through the logarithms: near enough to start from."""
    some = y > 0.02
    if some.sum() < 2 or np.ptp(x[some]) == 0.0:
        return 1.0, min(1.0, top / 2.0)
    slope, intercept = np.polyfit(x[some], np.log(y[some]), 1)
    return float(np.exp(np.clip(intercept, -3.0, 3.0))), float(np.clip(-slope, -10.0, min(10.0, top / 2.0)))


def _covariance(jacobian: Values, misfits: Values) -> tuple[Values | None, float]:
    noise = float(np.sqrt(misfits @ misfits / (len(misfits) - 2)))
    normal = jacobian.T @ jacobian
    if not np.linalg.cond(normal) < 1e12:
        return None, noise
    return np.asarray(np.linalg.inv(normal) * noise**2, dtype=np.float64), noise


def _no_fit(reason: FitReason, samples: int, dropped: int, confidence: float) -> DecayFit:
    nan = float("nan")
    return DecayFit(reason, nan, nan, nan, nan, nan, nan, nan, samples, dropped, confidence)
