"""Decay on one way, fitted from what left the works and what arrived: one rate from many pairs of residuals. Pure.

`rules.decay.fit_decay` needs samples at several water ages. A works with one outlet and one place at the end has a single age and
many days instead: pairs of residual at the outlet, one travel time earlier, and residual at the end.
"""

import numpy as np
import scipy
from numpy.typing import ArrayLike

from rules.ct_required import Values, aligned
from rules.decay import HOURS_PER_DAY, MAX_RATE_PER_DAY, DecayFit, FitReason

__all__ = ["MIN_PAIRS", "fit_decay_pairs", "paired"]

MS_PER_HOUR = 3_600_000.0
MIN_PAIRS = 4


def fit_decay_pairs(outlet: ArrayLike, end: ArrayLike, hours: ArrayLike, confidence: float = 0.95) -> DecayFit:
    """Rate of first-order decay that best leads from outlet residuals to end residuals.

    Parameters
    ----------
    outlet, end : (n,) float64
        Residual when the water left and when it arrived. [mg/L]
    hours : (n,) float64 or scalar
        Travel time, in equivalent hours where temperatures differ (`rules.decay.equivalent_hours`). [h]
    confidence : float
        Level of the interval, above 0 and below 1.

    Returns
    -------
    DecayFit
        ``initial`` and its ends are NaN: every pair has its own. Pairs with a missing or negative value, or with no residual at the
        outlet, are dropped and counted. A negative rate is possible: then no decay was shown (`DecayFit.is_decaying`).

    Raises
    ------
    ValueError
        If the shapes differ or the confidence is no share.

    Notes
    -----
    Least squares of ``outlet * exp(-k t) - end`` in mg/L with one unknown; interval ``k +- t(n - 1) x standard error``, pairs taken as
    independent. At least 4 pairs.

    Examples
    --------
    >>> fit = fit_decay_pairs([0.8, 0.6, 0.7, 0.5], [0.49, 0.36, 0.42, 0.31], 24.0)
    >>> round(fit.rate, 2), fit.is_decaying
    (0.5, True)
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    c, e, h = aligned(outlet=outlet, end=end, hours=hours)
    good = np.isfinite(c) & np.isfinite(e) & np.isfinite(h) & (c > 0) & (e >= 0) & (h > 0)
    dropped = int(good.size - good.sum())
    c, e, days = c[good], e[good], h[good] / HOURS_PER_DAY
    if len(c) < MIN_PAIRS:
        return _none(FitReason.TOO_FEW_SAMPLES, len(c), dropped, confidence)
    if not (e > 0).any():
        return _none(FitReason.NO_CHLORINE, len(c), dropped, confidence)

    def misfit(k: Values) -> Values:
        return np.asarray(c * np.exp(-k[0] * days) - e, dtype=np.float64)

    def slope(k: Values) -> Values:
        return np.asarray((-days * c * np.exp(-k[0] * days))[:, np.newaxis], dtype=np.float64)

    # What arrives is never much more than what left; a rate this negative is a wrong pairing and stays at the bound.
    low = -2.0 / float(days.max())
    some = e > 0
    guess = float(np.clip(np.median(np.log(c[some] / e[some]) / days[some]), low / 2, MAX_RATE_PER_DAY / 2))
    solved = scipy.optimize.least_squares(misfit, [guess], slope, bounds=([low], [MAX_RATE_PER_DAY]))
    power = float((solved.jac**2).sum())
    if not solved.success or not power > 0:
        return _none(FitReason.NOT_CONVERGED, len(c), dropped, confidence)
    rest = misfit(solved.x)
    scatter = float(np.sqrt(rest @ rest / (len(c) - 1)))
    half = float(scipy.stats.t.ppf(0.5 + confidence / 2.0, len(c) - 1) * scatter / np.sqrt(power))
    rate, nan = float(solved.x[0]), float("nan")
    return DecayFit(
        FitReason.FITTED, rate, rate - half, rate + half, nan, nan, nan, scatter, len(c), dropped, confidence
    )  # fmt: skip


def paired(
    outlet_at: ArrayLike, outlet: ArrayLike, end_at: ArrayLike, end: ArrayLike, hours: float, within_h: float = 1.0
) -> tuple[Values, Values, Values]:
    """Residuals at the end with the residual at the outlet one travel time earlier: times at the end [ms], outlet, end.

    The outlet's value is the nearest within ``within_h`` of that moment; an end without one is left out. NaN are left out.

    >>> hour = 3_600_000
    >>> paired([0, hour, 2 * hour], [0.8, 0.7, 0.6], [25 * hour, 60 * hour], [0.4, 0.3], 24.0)[1:]
    (array([0.7]), array([0.4]))
    """
    a, c = _ordered(outlet_at, outlet)
    b, e = _ordered(end_at, end)
    if not len(a) or not len(b):
        return np.empty(0), np.empty(0), np.empty(0)
    wanted = b - hours * MS_PER_HOUR
    after = np.clip(np.searchsorted(a, wanted), 0, len(a) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(a[before] - wanted) <= np.abs(a[after] - wanted), before, after)
    near = np.abs(a[nearest] - wanted) <= within_h * MS_PER_HOUR
    return b[near], c[nearest[near]], e[near]


def _ordered(at: ArrayLike, values: ArrayLike) -> tuple[Values, Values]:
    t, v = aligned(at=at, values=values)
    good = np.isfinite(t) & np.isfinite(v)
    order = np.argsort(t[good], kind="stable")
    return t[good][order], v[good][order]


def _none(reason: FitReason, samples: int, dropped: int, confidence: float) -> DecayFit:
    nan = float("nan")
    return DecayFit(reason, nan, nan, nan, nan, nan, nan, nan, samples, dropped, confidence)
