# mypy: allow-untyped-calls
"""Other detectors under the same floors, and the simple rule that turns their scores into alarms. Causal, pure."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.ndimage import median_filter

__all__ = ["RIVALS", "RULES", "AlarmRule", "alarm_rules", "alarms"]

THRESHOLDS, CONFIRM, HOLD, LONGEST = 40, (1, 2, 3), (0, 3, 10), (60, 180, 0)
RULES = THRESHOLDS * len(CONFIRM) * len(HOLD) * len(LONGEST)
WINDOW = 60
MAD_TO_SIGMA = 1.4826
DAY_ROWS = 1440.0
DRIFTS = (1.5, 5.0, 10.0)
CLIP, MOST = 50.0, 500.0

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """Alarm from ``threshold`` in ``confirm`` rows on, ``hold`` rows longer, at most ``longest`` rows (0 = without end)."""

    threshold: float
    confirm: int
    hold: int
    longest: int


def alarm_rules(score: Values) -> Iterator[AlarmRule]:
    """`RULES` rules for a score, thresholds between its 0.9 quantile and its largest value."""
    low, high = max(float(np.quantile(score, 0.9)), 1e-6), float(score.max())
    for threshold, confirm, hold, longest in product(
        np.geomspace(low, high, THRESHOLDS + 1)[:-1], CONFIRM, HOLD, LONGEST
    ):
        yield AlarmRule(float(threshold), confirm, hold, longest)


def alarms(score: Values, rule: AlarmRule) -> Mask:
    """Rows in alarm."""
    out = np.zeros(len(score), np.bool_)
    _alarms(score, rule.threshold, rule.confirm, rule.hold, rule.longest, out)
    return out


def rolling_median(values: Values, floors: Values) -> Values:
    """(n,) largest |x - median| / MAD of the last hour over the series; 0 where nothing was measured."""
    return np.asarray(np.nan_to_num(_deviations(values, floors)).max(axis=1))


def mahalanobis(values: Values, floors: Values) -> Values:
    """(n,) distance from the hour's medians under a running covariance of one day."""
    residual = np.clip(np.nan_to_num((values - _medians(values)) / floors), -1e3, 1e3)
    return np.asarray(_distances(residual))


def cusum(values: Values, floors: Values, drift: float) -> Values:
    """(n,) largest two-sided cumulated sum over the series of what exceeds ``drift`` per row; sums stop at 500."""
    medians = _medians(values)
    spread = np.maximum(MAD_TO_SIGMA * _last_hour(np.abs(_filled(values) - medians)), floors)
    z = np.clip(np.nan_to_num((values - medians) / spread), -CLIP, CLIP)
    return np.asarray(_sums(z, drift))


RIVALS: dict[str, tuple[Callable[[Values, Values], Values], ...]] = {
    "rolling median and MAD, 60 min": (rolling_median,),
    "Mahalanobis distance, running covariance of a day": (mahalanobis,),
    "CUSUM, best of three drifts": tuple(partial(cusum, drift=drift) for drift in DRIFTS),
}
"""Detectors by name: (n, m) values and (m,) floors to (n,) scores. Of several variants the best of a year is chosen."""


def _filled(values: Values) -> Values:
    """Missing values taken from the row before; the first ones from the first value."""
    at = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    at = np.maximum.accumulate(at, axis=0)
    first = np.argmax(~np.isnan(values), axis=0)
    return np.take_along_axis(values, np.where(at < 0, first, at), axis=0)


def _last_hour(values: Values) -> Values:
    """Median of the row and the 59 before it."""
    shift = WINDOW - 1 - WINDOW // 2
    return np.asarray(median_filter(values, size=(WINDOW, 1), origin=(shift, 0), mode="nearest"))


def _medians(values: Values) -> Values:
    return _last_hour(_filled(values))


def _deviations(values: Values, floors: Values) -> Values:
    medians = _medians(values)
    spread = np.maximum(MAD_TO_SIGMA * _last_hour(np.abs(_filled(values) - medians)), floors)
    return np.abs(values - medians) / spread


@njit(cache=True)
def _alarms(score, threshold, confirm, hold, longest, out):  # type: ignore[no-untyped-def]
    above = lasting = left = 0
    for i in range(len(score)):
        above = above + 1 if score[i] >= threshold else 0
        if above >= confirm:
            left = hold + 1
        elif left > 0:
            left -= 1
        lasting = lasting + 1 if left > 0 else 0
        out[i] = left > 0 and (longest == 0 or lasting <= longest)


@njit(cache=True)
def _distances(residual):  # type: ignore[no-untyped-def]
    n, m = residual.shape
    covariance = np.eye(m)
    score = np.zeros(n)
    for i in range(n):
        r = residual[i]
        squared = np.dot(r, np.linalg.solve(covariance + 0.1 * np.eye(m), r))
        score[i] = np.sqrt(max(squared, 0.0))
        # An event moves the covariance by a bounded step only.
        step = r * min(1.0, 3.0 / max(score[i], 1e-9))
        covariance += (np.outer(step, step) - covariance) / min(DAY_ROWS, i + 10.0)
    return score


@njit(cache=True)
def _sums(z, drift):  # type: ignore[no-untyped-def]
    n, m = z.shape
    up, down, score = np.zeros(m), np.zeros(m), np.zeros(n)
    for i in range(n):
        for j in range(m):
            up[j] = min(max(0.0, up[j] + z[i, j] - drift), MOST)
            down[j] = min(max(0.0, down[j] - z[i, j] - drift), MOST)
            score[i] = max(score[i], up[j], down[j])
    return score
