"""CT that must be delivered: the tabulated value on the safe side, or the Smith-Clark regression. Pure.

Look-up on the safe side means: temperature down to the next tabulated one, pH up, residual up. Nothing is extrapolated:
outside the pH range of a table there is no value and a reason says so. Colder than the coldest row and warmer than the
warmest use that row, as the tables themselves say ("0.5 degC or lower") or as is safe (CT falls with temperature).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qingquan.domain.contact_time import CtAgent, CtRow, Organism

__all__ = ["CtReason", "CtRequirement", "CtTable", "Values", "aligned", "ct_required", "ct_table", "smith_clark_ct"]

Values = NDArray[np.float64]

LINEAR_IN_LOG = frozenset({(CtAgent.FREE_CHLORINE, Organism.GIARDIA)})
"""Tables whose CT scales with the log inactivation; in all others only tabulated levels count."""

PH_DOMAIN = (6.0, 9.0)
TEMPERATURE_DOMAIN_C = (0.5, 25.0)
RESIDUAL_DOMAIN_MG_L = (0.4, 3.0)
"""Domain of the Smith-Clark regression. Outside it: pH gives no value, temperature and residual use the nearest end."""


class CtReason(IntEnum):
    """Why there is a value, or none. The order is that of precedence."""

    EVALUATED = 0
    MISSING = 1
    PH_TOO_LOW = 2
    PH_TOO_HIGH = 3
    NOT_TABULATED = 4


@dataclass(frozen=True, slots=True)
class CtTable:
    """One agent against one organism as a dense array.

    ``ct`` [mg·min/L] has the axes log level, temperature, pH column, residual; ``row`` names the CSV row of each cell.
    An axis the table does not know has length 1 and infinity as its only level.
    """

    agent: CtAgent
    organism: Organism
    levels: Values
    temperatures: Values
    ph_tops: Values
    ph_bottom: float
    residuals: Values
    ct: Values
    row: NDArray[np.str_]

    @property
    def is_linear(self) -> bool:
        return (self.agent, self.organism) in LINEAR_IN_LOG

    def level_for(self, log_inactivation: float) -> int | None:
        """Index of the lowest tabulated level that is enough; ``None`` if none is. Linear tables scale their highest."""
        if self.is_linear:
            return len(self.levels) - 1
        index = int(np.searchsorted(self.levels, log_inactivation))
        return index if index < len(self.levels) else None


@dataclass(frozen=True, slots=True)
class CtRequirement:
    """``ct`` (n,) [mg·min/L], NaN where ``reason`` (n,) is not EVALUATED; ``row`` (n,) names the CSV row, ``""`` where none."""

    ct: Values
    reason: NDArray[np.int8]
    row: NDArray[np.str_]


def ct_table(rows: Iterable[CtRow], agent: CtAgent, organism: Organism) -> CtTable:
    """Rows of one agent and organism as an array.

    Raises
    ------
    ValueError
        If there are no such rows, or they do not fill every combination of their levels.
    """
    chosen = [row for row in rows if row.agent is agent and row.organism is organism]
    if not chosen:
        raise ValueError(f"no CT rows for {organism} by {agent}")
    keys = [
        (row.log_inactivation, row.temperature_c, _or_inf(row.ph_max), _or_inf(row.residual_mg_l)) for row in chosen
    ]
    axes = [np.unique(np.array(axis)) for axis in zip(*keys, strict=True)]
    levels, temperatures, ph_tops, residuals = axes
    ct = np.full([len(axis) for axis in axes], np.nan)
    names = np.full(ct.shape, "", dtype=np.array([row.id for row in chosen]).dtype)
    for key, row in zip(keys, chosen, strict=True):
        at = tuple(int(np.searchsorted(axis, one)) for axis, one in zip(axes, key, strict=True))
        ct[at], names[at] = row.ct_mg_min_l, row.id
    if np.isnan(ct).any():
        raise ValueError(f"{int(np.isnan(ct).sum())} cells are missing for {organism} by {agent}")
    bottoms = [row.ph_min for row in chosen if row.ph_min is not None]
    bottom = min(bottoms, default=-np.inf)
    return CtTable(agent, organism, levels, temperatures, ph_tops, bottom, residuals, ct, names)


def ct_required(
    table: CtTable, log_inactivation: float, temperature: ArrayLike, ph: ArrayLike, residual: ArrayLike
) -> CtRequirement:
    """Tabulated CT for a log inactivation, on the safe side.

    Parameters
    ----------
    table : CtTable
        Agent and organism.
    log_inactivation : float
        Wanted inactivation; free chlorine against Giardia scales linearly, others use the next tabulated level.
    temperature, ph, residual : (n,) float64
        Water temperature [degC], pH, residual at the segment's end [mg/L].

    Returns
    -------
    CtRequirement
        NaN where an input that the table uses is missing or pH is outside the table. A missing pH or residual does not
        matter where the table makes no difference by it.

    Raises
    ------
    ValueError
        If the shapes differ or ``log_inactivation`` is not a positive number.

    Notes
    -----
    Residuals above the highest column (3 mg/L) get that column; `rules.contact_time` then credits no more than 3 mg/L.

    References
    ----------
    .. [1] US EPA, "Disinfection Profiling and Benchmarking: Technical Guidance Manual", EPA 815-R-20-003, 2020, App. B.
    .. [2] US EPA, "Guidance Manual for Compliance with the Filtration and Disinfection Requirements for Public Water
       Systems Using Surface Water Sources", 1991, App. E; 40 CFR 141.74.
    """
    if not (np.isfinite(log_inactivation) and log_inactivation > 0):
        raise ValueError(f"log inactivation {log_inactivation} is not a positive number")
    t, p, c = aligned(temperature=temperature, ph=ph, residual=residual)
    reason = _reason(t, p, c, table)
    level = table.level_for(log_inactivation)
    if level is None:
        reason[reason == CtReason.EVALUATED] = CtReason.NOT_TABULATED
        return CtRequirement(np.full(t.shape, np.nan), reason, np.full(t.shape, "", dtype=table.row.dtype))
    good = reason == CtReason.EVALUATED
    at = (
        level,
        np.maximum(np.searchsorted(table.temperatures, np.where(good, t, 0.0), side="right") - 1, 0),
        _up(table.ph_tops, np.where(good, p, 0.0)),
        _up(table.residuals, np.where(good, c, 0.0)),
    )
    scale = log_inactivation / table.levels[level] if table.is_linear else 1.0
    return CtRequirement(np.where(good, table.ct[at] * scale, np.nan), reason, np.where(good, table.row[at], ""))


def smith_clark_ct(
    log_inactivation: float, temperature: ArrayLike, ph: ArrayLike, residual: ArrayLike
) -> tuple[Values, NDArray[np.int8]]:
    """CT of free chlorine for Giardia by the regression of Smith, Clark et al.

    Parameters
    ----------
    log_inactivation : float
        Wanted inactivation; the regression is linear in it.
    temperature, ph, residual : (n,) float64
        Water temperature [degC], pH, free chlorine [mg/L].

    Returns
    -------
    ct, reason : (n,) float64, (n,) int8
        CT [mg·min/L], NaN where an input is missing or pH is outside 6 to 9; and why (`CtReason`).

    Raises
    ------
    ValueError
        If the shapes differ or ``log_inactivation`` is not a positive number.

    Notes
    -----
    With I the log inactivation, T [degC] and C [mg/L]::

        T <  12.5: CT = 0.353 I (12.006 + exp(2.46 - 0.073 T + 0.125 C + 0.389 pH))
        T >= 12.5: CT = 0.361 I (-2.261 + exp(2.69 - 0.065 T + 0.111 C + 0.361 pH))

    Over all 588 cells of the table it is never below the table and at most 17.4 % above it. The constant -2.261 is the one
    that touches the table; -2.216, seen elsewhere, is taken for a transposition.

    References
    ----------
    .. [1] Smith, Clark, Pierce and Regli, "An Empirical Model for Interpolating C·t Values for Chlorine Inactivation of
       Giardia lamblia", Aqua 44 (5), 1995, 203-211.

    Examples
    --------
    The table has 144 for 10 degC, pH 7.5, 1.6 mg/L and 3 log [mg·min/L].

    >>> ct, reason = smith_clark_ct(3.0, [10.0, 10.0], [7.5, 9.5], [1.6, 1.6])
    >>> ct.round(1), reason
    (array([147.7,   nan]), array([0, 3], dtype=int8))
    """
    if not (np.isfinite(log_inactivation) and log_inactivation > 0):
        raise ValueError(f"log inactivation {log_inactivation} is not a positive number")
    t, p, c = aligned(temperature=temperature, ph=ph, residual=residual)
    reason = _range_reason(p, *PH_DOMAIN)
    reason[~(np.isfinite(t) & np.isfinite(p) & np.isfinite(c))] = CtReason.MISSING
    good = reason == CtReason.EVALUATED
    warm_enough = np.clip(t, *TEMPERATURE_DOMAIN_C)
    strong = np.clip(c, *RESIDUAL_DOMAIN_MG_L)
    p = np.where(good, p, np.nan)
    cold = 0.353 * (12.006 + np.exp(2.46 - 0.073 * warm_enough + 0.125 * strong + 0.389 * p))
    warm = 0.361 * (-2.261 + np.exp(2.69 - 0.065 * warm_enough + 0.111 * strong + 0.361 * p))
    ct = log_inactivation * np.where(warm_enough < 12.5, cold, warm)
    return np.where(good, ct, np.nan), reason


def aligned(**columns: ArrayLike) -> tuple[Values, ...]:
    """Columns as float64 arrays of one shape; `ValueError` names those that differ. Scalars go with every shape."""
    arrays = {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
    shapes = {array.shape for array in arrays.values() if array.ndim}
    if len(shapes) > 1:
        raise ValueError("shapes differ: " + ", ".join(f"{name} {array.shape}" for name, array in arrays.items()))
    shape = shapes.pop() if shapes else (1,)
    return tuple(np.broadcast_to(array, shape) for array in arrays.values())


def _reason(t: Values, p: Values, c: Values, table: CtTable) -> NDArray[np.int8]:
    uses_ph, uses_residual = bool(np.isfinite(table.ph_tops[-1])), bool(np.isfinite(table.residuals[-1]))
    reason = _range_reason(p, table.ph_bottom, float(table.ph_tops[-1]))
    missing = ~np.isfinite(t)
    if uses_ph:
        missing |= ~np.isfinite(p)
    if uses_residual:
        missing |= ~np.isfinite(c)
    reason[missing] = CtReason.MISSING
    return reason


def _range_reason(p: Values, low: float, high: float) -> NDArray[np.int8]:
    reason = np.full(p.shape, CtReason.EVALUATED, dtype=np.int8)
    reason[p < low] = CtReason.PH_TOO_LOW
    reason[p > high] = CtReason.PH_TOO_HIGH
    return reason


def _up(levels: Values, values: Values) -> NDArray[np.intp]:
    """Index of the first level that is not below the value; the last where none is."""
    return np.minimum(np.searchsorted(levels, values), len(levels) - 1)


def _or_inf(value: float | None) -> float:
    return np.inf if value is None else value
