"""Readings found somewhere, laid over the grid of those that were sent: what is missing, what is there twice, what is different."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from qingquan.services.bench.chaos.water import Water
from qingquan.services.bench.load import STEP_MS

__all__ = ["Found", "laid_over", "whole"]


@dataclass(frozen=True, slots=True)
class Found:
    """``repeated`` counts rows beyond the first of each reading; ``foreign`` rows that nobody sent; ``checksum`` is over the values in
    the order of the grid."""

    readings: int
    missing: int
    repeated: int
    different: int
    foreign: int
    checksum: str


def whole(water: Water) -> Found:
    """What was sent."""
    return Found(water.readings, 0, 0, 0, 0, _checksum(water.values.reshape(-1)))


def laid_over(
    water: Water, series: npt.NDArray[np.int64], observed_at: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> Found:
    """Rows by number of their series in `Water.keys` (-1 = none of them), time and value."""
    step, rest = np.divmod(observed_at - water.start_ms, STEP_MS)
    ours = (series >= 0) & (rest == 0) & (step >= 0) & (step < water.rounds)
    place = series[ours] * water.rounds + step[ours]
    truth = water.values.reshape(-1)
    times = np.bincount(place, minlength=len(truth))
    grid = np.full(len(truth), np.nan)
    grid[place] = values[ours]
    return Found(
        readings=int((times > 0).sum()),
        missing=int((times == 0).sum()),
        repeated=int(np.maximum(times - 1, 0).sum()),
        different=int((values[ours] != truth[place]).sum()),
        foreign=int((~ours).sum()),
        checksum=_checksum(grid),
    )


def _checksum(values: npt.NDArray[np.float64]) -> str:
    return blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()
