"""Aggregates over time steps, as every store must give them. Pure."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from qingquan.domain.flags import Flag
from qingquan.store.ports import AGGREGATES, Readings, Trend

__all__ = ["aggregated", "check_aggregation", "doubted", "is_usable", "joined"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_REDUCTIONS: dict[str, Callable[[Floats, npt.NDArray[np.intp]], Floats]] = {
    "min": np.minimum.reduceat,
    "max": np.maximum.reduceat,
    "mean": np.add.reduceat,
}


def check_aggregation(step_ms: int | None, aggregates: Sequence[str]) -> None:
    """Refuse what no store can answer.

    Raises
    ------
    ValueError
        If the step is not positive, or an aggregate is not one of `AGGREGATES`.
    """
    if step_ms is None:
        return
    unknown = [name for name in aggregates if name not in AGGREGATES]
    if step_ms <= 0:
        raise ValueError(f"step of {step_ms} ms: must be positive")
    if unknown or not aggregates:
        raise ValueError(f"aggregates {list(aggregates)}: allowed: {', '.join(AGGREGATES)}")


def is_usable(value: Floats, flag: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Which readings count in aggregates: neither missing nor failed."""
    return np.logical_not(np.isnan(value) | np.isin(flag, (Flag.FAIL, Flag.MISSING)))


def doubted(flag: npt.NDArray[np.uint8], is_conflicted: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Flags, raised to 3 (suspect) where another value came for the same time."""
    is_good = np.isin(flag, (Flag.PASS, Flag.NOT_EVALUATED))
    return np.where(is_conflicted & is_good, np.uint8(Flag.SUSPECT), flag)


def joined(trends: Sequence[Trend], conflicts: Sequence[Ints]) -> Readings:
    """Raw trends one behind the other, with the times of each one's conflicts."""
    sizes = [len(trend.observed_at) for trend in trends]
    flags = [
        doubted(trend.columns["flag"].astype(np.uint8), np.isin(trend.observed_at, others))
        for trend, others in zip(trends, conflicts, strict=True)
    ]
    return Readings(
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.concatenate([np.empty(0, np.int64), *(trend.observed_at for trend in trends)]),
        np.concatenate([np.empty(0), *(trend.columns["value"] for trend in trends)]),
        np.concatenate([np.empty(0, np.uint8), *flags]),
    )


def aggregated(
    observed_at: Ints, value: Floats, flag: npt.NDArray[np.generic], step_ms: int, aggregates: Sequence[str]
) -> tuple[Ints, dict[str, Floats]]:
    """Bucket starts (multiples of the step since the epoch) and one column per aggregate; empty buckets are left out.

    ``observed_at`` must ascend.
    """
    usable = is_usable(value, flag)
    bucket, value = observed_at[usable] // step_ms * step_ms, value[usable]
    if not len(bucket):
        return np.empty(0, np.int64), {name: np.empty(0) for name in aggregates}
    first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    count = np.diff(np.r_[first, len(bucket)]).astype(np.float64)
    columns: dict[str, Floats] = {}
    for name in aggregates:
        if name == "count":
            columns[name] = count
        elif name == "last":
            columns[name] = value[np.concatenate([first[1:], [len(value)]]) - 1]
        elif name == "good":
            columns[name] = np.add.reduceat((flag[usable] == Flag.PASS).astype(np.float64), first)
        else:
            reduced = _REDUCTIONS[name](value, first)
            columns[name] = reduced / count if name == "mean" else reduced
    return bucket[first], columns
