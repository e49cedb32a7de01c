"""Disinfection delivered by contact: T10, CT, log inactivation and how it compares with what is required. Pure.

A contact zone is a chain of segments (pipe, clear-water tank, ...). Each has its own T10, residual at its end,
temperature and pH. What a segment achieves is CT delivered over CT required for the wanted inactivation; segments add up
as these ratios, not as CT, because the CT required differs from segment to segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rules.ct_required import (
    RESIDUAL_DOMAIN_MG_L,
    CtReason,
    CtTable,
    Values,
    aligned,
    ct_required,
    smith_clark_ct,
)

__all__ = [
    "Inactivation",
    "SegmentCt",
    "ct_achieved",
    "inactivation",
    "segment_by_regression",
    "segment_by_table",
    "t10",
]


@dataclass(frozen=True, slots=True)
class SegmentCt:
    """What one segment delivers against each tabulated level.

    ``levels`` (L,) log inactivation; ``required`` (L, n) and ``achieved`` (n,) CT [mg·min/L]; ``credited`` (n,) residual
    that was counted [mg/L]; ``reason`` (n,) `CtReason`. ``is_linear`` = inactivation scales with CT.
    """

    levels: Values
    is_linear: bool
    required: Values
    achieved: Values
    credited: Values
    reason: NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Inactivation:
    """Sum over segments, all (n,): CT delivered [mg·min/L], achieved over required, log inactivation, `CtReason`.

    NaN where any segment could not be evaluated. ``log`` of tables that are not linear is the highest tabulated level
    reached, 0 below the lowest.
    """

    achieved: Values
    ratio: Values
    log: Values
    reason: NDArray[np.int8]


def t10(volume: ArrayLike, peak_hourly_flow: ArrayLike, baffling_factor: ArrayLike) -> Values:
    """Effective contact time of a segment: the time that 90 % of the water stays longer than.

    Parameters
    ----------
    volume : (n,) float64
        Water held by the segment, at the lowest level of the hour. [m3]
    peak_hourly_flow : (n,) float64
        Highest hourly flow through it. [m3/h]
    baffling_factor : (n,) float64 or scalar
        0.1 unbaffled, 0.3 poor, 0.5 average, 0.7 superior, 1 plug flow (``baffling_factors.csv``).

    Returns
    -------
    (n,) float64
        T10 [min]; NaN where an input is missing, the volume is negative or nothing flows (no flow, no contact time of water
        delivered).

    Raises
    ------
    ValueError
        If the shapes differ, or a baffling factor is not above 0 and at most 1.

    Notes
    -----
    The 30 or 120 minutes of GB 5749 Table 2 are a contact time of design, neither a T10 nor a CT.

    References
    ----------
    .. [1] US EPA, EPA 815-R-20-003, 2020, section 4.

    Examples
    --------
    50 m3 at 20 m3/h stay 150 min; with average baffling 75 min count.

    >>> t10([50.0, 50.0], [20.0, 0.0], 0.5)
    array([75., nan])
    """
    v, q, factor = aligned(volume=volume, peak_hourly_flow=peak_hourly_flow, baffling_factor=baffling_factor)
    known = np.isfinite(factor)
    if (factor[known] <= 0).any() or (factor[known] > 1).any():
        raise ValueError("baffling factor must be above 0 and at most 1")
    usable = np.isfinite(v) & np.isfinite(q) & known & (v >= 0) & (q > 0)
    with np.errstate(over="ignore"):
        minutes = np.where(usable, v, 0.0) / np.where(usable, q, 1.0) * 60.0 * np.where(usable, factor, 1.0)
    return np.where(usable & np.isfinite(minutes), minutes, np.nan)


def ct_achieved(residual: ArrayLike, contact_time: ArrayLike) -> Values:
    """Disinfection CT delivered at the end of a segment.

    Parameters
    ----------
    residual : (n,) float64
        Residual at the segment's end. [mg/L]
    contact_time : (n,) float64
        Effective contact time T10 at peak hourly flow. [min]

    Returns
    -------
    (n,) float64
        CT, NaN where either input is missing. [mg·min/L]

    Raises
    ------
    ValueError
        If the shapes differ. Negative inputs are not errors: quality flags judge them upstream.

    References
    ----------
    .. [1] 40 CFR 141.74(b)(3): CTcalc = residual disinfectant concentration (mg/L) x T10 (min).

    Examples
    --------
    >>> ct_achieved([0.8], [30.0])
    array([24.])
    """
    c, t = aligned(residual=residual, contact_time=contact_time)
    return np.where(np.isfinite(c) & np.isfinite(t), c, np.nan) * t


def segment_by_table(
    table: CtTable, residual: ArrayLike, contact_time: ArrayLike, temperature: ArrayLike, ph: ArrayLike
) -> SegmentCt:
    """One segment against the EPA table of an agent and organism.

    Parameters
    ----------
    table : CtTable
        Agent and organism.
    residual, contact_time, temperature, ph : (n,) float64
        Residual at the segment's end [mg/L], T10 [min], water temperature [degC], pH.

    Returns
    -------
    SegmentCt
        Values are NaN where an input is missing or pH is outside the table; ``reason`` says which.

    Raises
    ------
    ValueError
        If the shapes differ.

    Notes
    -----
    The required CT of free chlorine against Giardia rises with the residual in steps of up to 5.6 %, so right above a column
    a little more chlorine would count for less. Water that carries 0.41 mg/L carries 0.40 as well: the residual is credited
    at itself (column above) or at the column below (its own row), whichever gives more. Both are literal uses of the
    table, and more residual never lowers the ratio. Above the last column no more than that column is credited.

    Examples
    --------
    >>> from qingquan.domain.contact_time import CtAgent, Organism
    >>> from qingquan.standards.contact_time import load_ct_rows
    >>> from rules.ct_required import ct_table
    >>> giardia = ct_table(load_ct_rows(), CtAgent.FREE_CHLORINE, Organism.GIARDIA)
    >>> one = segment_by_table(giardia, [1.2], [46.0], [15.0], [7.5])
    >>> one.required, one.achieved
    (array([[92.]]), array([55.2]))
    """
    c, t, temp, p = aligned(residual=residual, contact_time=contact_time, temperature=temperature, ph=ph)
    required, reason = _required(table, temp, p, c)
    credited = np.array(c)
    if np.isfinite(table.residuals[-1]):
        below = _column_below(table.residuals, c)
        stepped, _ = _required(table, temp, p, below)
        # A residual below the first column has none under it and stays with itself (NaN compares false).
        use_below = (below / stepped[-1] > c / required[-1]) | (c > table.residuals[-1])
        credited = np.where(use_below, below, c)
        required = np.where(use_below, stepped, required)
    return _segment(table.levels, table.is_linear, required, credited, t, reason)


def segment_by_regression(
    residual: ArrayLike, contact_time: ArrayLike, temperature: ArrayLike, ph: ArrayLike
) -> SegmentCt:
    """One segment of free chlorine against Giardia by the Smith-Clark regression: smooth, and above the table throughout.

    Inputs, result and errors as `segment_by_table`; no more than 3 mg/L is credited, the end of the regression's domain.

    Examples
    --------
    >>> one = segment_by_regression([1.6], [100.0], [10.0], [7.5])
    >>> inactivation(3.0, [one]).ratio.round(2)
    array([1.08])
    """
    c, t, temp, p = aligned(residual=residual, contact_time=contact_time, temperature=temperature, ph=ph)
    required, reason = smith_clark_ct(3.0, temp, p, c)
    return _segment(np.array([3.0]), True, required[np.newaxis], np.minimum(c, RESIDUAL_DOMAIN_MG_L[1]), t, reason)


def inactivation(required_log: float, segments: Sequence[SegmentCt]) -> Inactivation:
    """What a chain of segments achieves against a wanted log inactivation.

    Parameters
    ----------
    required_log : float
        Wanted inactivation, e.g. 3 for Giardia (99.9 %), 4 for viruses (99.99 %).
    segments : sequence of SegmentCt
        Of one agent and organism, each (n,).

    Returns
    -------
    Inactivation
        Ratio at least 1 = enough. NaN with a reason where any segment is not evaluated: a part is never taken for the whole.

    Raises
    ------
    ValueError
        If there is no segment, their shapes or levels differ, or ``required_log`` is not a positive number.

    Notes
    -----
    Ratio = sum over segments of CT delivered / CT required. The log inactivation of free chlorine against Giardia is
    required log x ratio, without an upper end (above 3 log it is extrapolated). For others it is the highest tabulated level
    whose ratio reaches 1. Negative residuals (zero drift of a cell) count as none.

    References
    ----------
    .. [1] 40 CFR 141.74(b)(4): sum of CTcalc/CT99.9 of all sequences.

    Examples
    --------
    >>> from qingquan.domain.contact_time import CtAgent, Organism
    >>> from qingquan.standards.contact_time import load_ct_rows
    >>> from rules.ct_required import ct_table
    >>> giardia = ct_table(load_ct_rows(), CtAgent.FREE_CHLORINE, Organism.GIARDIA)
    >>> pipe = segment_by_table(giardia, [1.2], [10.0], [15.0], [7.5])  # 12 of 92
    >>> tank = segment_by_table(giardia, [1.0], [45.0], [15.0], [7.5])  # 45 of 90
    >>> result = inactivation(3.0, [pipe, tank])
    >>> result.ratio.round(3), result.log.round(2)
    (array([0.63]), array([1.89]))
    """
    if not (np.isfinite(required_log) and required_log > 0):
        raise ValueError(f"log inactivation {required_log} is not a positive number")
    _check_same(segments)
    first = segments[0]
    ratios = np.sum([np.maximum(one.achieved, 0.0) / one.required for one in segments], axis=0)
    achieved = np.sum([one.achieved for one in segments], axis=0)
    reason = np.max([one.reason for one in segments], axis=0)
    if first.is_linear:
        log = first.levels[-1] * ratios[-1]
        return Inactivation(achieved, log / required_log, log, reason)
    reached = np.where(ratios >= 1.0, first.levels[:, np.newaxis], 0.0).max(axis=0)
    log = np.where(np.isnan(ratios[0]), np.nan, reached)
    index = int(np.searchsorted(first.levels, required_log))
    if index < len(first.levels):
        return Inactivation(achieved, ratios[index], log, reason)
    reason = np.where(reason == CtReason.EVALUATED, np.int8(CtReason.NOT_TABULATED), reason)
    return Inactivation(achieved, np.full(log.shape, np.nan), log, reason)


def _segment(
    levels: Values, is_linear: bool, required: Values, credited: Values, contact_time: Values, reason: NDArray[np.int8]
) -> SegmentCt:
    achieved = ct_achieved(credited, contact_time)
    reason = np.where((reason == CtReason.EVALUATED) & np.isnan(achieved), np.int8(CtReason.MISSING), reason)
    good = reason == CtReason.EVALUATED
    return SegmentCt(
        levels, is_linear, np.where(good, required, np.nan), np.where(good, achieved, np.nan), credited, reason
    )


def _required(table: CtTable, t: Values, p: Values, c: Values) -> tuple[Values, NDArray[np.int8]]:
    found = [ct_required(table, float(level), t, p, c) for level in table.levels]
    return np.array([one.ct for one in found]), found[0].reason


def _column_below(columns: Values, residual: Values) -> Values:
    """Highest column at or below the residual, NaN where there is none."""
    index = np.searchsorted(columns, np.where(np.isfinite(residual), residual, -np.inf), side="right") - 1
    return np.where(index >= 0, columns[np.maximum(index, 0)], np.nan)


def _check_same(segments: Sequence[SegmentCt]) -> None:
    if not segments:
        raise ValueError("no segment")
    for one in segments[1:]:
        if one.achieved.shape != segments[0].achieved.shape:
            raise ValueError(f"shapes differ: {segments[0].achieved.shape} and {one.achieved.shape}")
        if not np.array_equal(one.levels, segments[0].levels) or one.is_linear != segments[0].is_linear:
            raise ValueError("segments of different tables cannot be summed")
