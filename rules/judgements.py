"""Judgements that a single bound cannot make: sums of ratios, gross beta without K-40, two disinfectants at once. Pure.

All work on arrays of readings that belong together; a missing value makes the answer unknown, never good.
"""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from qingquan.domain.parameters import Limit

__all__ = ["MixedState", "Values", "gross_beta_without_k40", "mixed_residuals", "sum_of_ratios"]

Values = npt.NDArray[np.float64]


class MixedState(IntEnum):
    """What two residuals say together."""

    UNKNOWN = 0
    OK = 1
    LOW = 2
    HIGH = 3


def sum_of_ratios(values: Sequence[Values], bounds: Sequence[float]) -> Values:
    """Sum of values, each divided by its own bound; it must not exceed 1.

    GB 5749-2022 Table 1 (trihalomethanes); WHO uses the same for nitrate with nitrite.

    Parameters
    ----------
    values : k arrays (n,) float64
        Concentrations, each in the unit of its bound.
    bounds : k numbers above 0

    Returns
    -------
    (n,) float64
        NaN where any value is missing: a sum of some of them would pass too easily.

    Raises
    ------
    ValueError
        If there are not as many bounds as values, or a bound is not above 0.

    Examples
    --------
    >>> sum_of_ratios([np.array([0.03]), np.array([0.05])], [0.06, 0.1])
    array([1.])
    """
    if len(values) != len(bounds) or not values:
        raise ValueError(f"{len(values)} values, {len(bounds)} bounds")
    if not all(bound > 0 for bound in bounds):
        raise ValueError(f"bounds must be above 0: {list(bounds)}")
    total = np.zeros_like(values[0])
    for value, bound in zip(values, bounds, strict=True):
        total = total + value / bound
    return total


def gross_beta_without_k40(gross_beta: Values, k40: Values) -> Values:
    """Gross beta activity less that of potassium-40, held against 1 Bq/L (GB 5749-2022 Table 1, guidance).

    Parameters
    ----------
    gross_beta, k40 : (n,) float64
        Measured activities. [Bq/L] A K-40 activity below 0 is counted as none.

    Returns
    -------
    (n,) float64
        Not below 0. Where K-40 was not measured, gross beta itself if it is at most 1 Bq/L, for nothing has to be
        subtracted then; else NaN, as the guidance value cannot be decided. [Bq/L]

    Examples
    --------
    >>> gross_beta_without_k40(np.array([1.3, 0.4, 1.3]), np.array([0.5, np.nan, np.nan]))
    array([0.8, 0.4, nan])
    """
    rest = np.maximum(gross_beta - np.maximum(k40, 0.0), 0.0)
    return np.where(np.isnan(k40) & (gross_beta <= 1.0), gross_beta, rest)


def mixed_residuals(
    chlorine_dioxide: Values, free_chlorine: Values, chlorine_dioxide_row: Limit, free_chlorine_row: Limit
) -> npt.NDArray[np.int8]:
    """State of water treated by a generator of chlorine dioxide with chlorine (GB 5749-2022 Table 2).

    Both residuals must stay within their upper limits; at least one must reach its minimum.

    Parameters
    ----------
    chlorine_dioxide, free_chlorine : (n,) float64
        Residuals read at the same time and point. [mg/L] NaN where there is no trustworthy value.
    chlorine_dioxide_row, free_chlorine_row
        Rows of Table 2 for the point.

    Returns
    -------
    (n,) int8
        `MixedState`. One residual beyond its limit is HIGH whatever the other. With one of them missing the state is UNKNOWN:
        not OK, as the missing one may be beyond its limit, and not LOW, as it may suffice.
    """
    values = ((chlorine_dioxide, chlorine_dioxide_row), (free_chlorine, free_chlorine_row))
    is_high = np.logical_or(*(value > (np.inf if row.max is None else row.max) for value, row in values))
    suffices = np.logical_or(*(value >= (-np.inf if row.min is None else row.min) for value, row in values))
    is_missing = np.isnan(chlorine_dioxide) | np.isnan(free_chlorine)
    state = np.where(suffices, MixedState.OK, MixedState.LOW)
    state = np.where(is_missing, MixedState.UNKNOWN, state)
    return np.where(is_high, MixedState.HIGH, state).astype(np.int8)
