"""Quality flags of a recorded file: every series of it with the others around it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qingquan.domain.quality import Flagged
from qingquan.domain.readings import ReadingBatch, SeriesKey
from qingquan.domain.works import Works
from qingquan.services.quality_flags import Stored, flagged_series

__all__ = ["file_flags", "recorded_cadence_s"]


def file_flags(
    batch: ReadingBatch,
    slots: npt.NDArray[np.int32],
    series: Sequence[SeriesKey],
    works: Works,
    maintenance_most_ms: int,
) -> Flagged:
    """Flags of all readings of a file.

    Parameters
    ----------
    batch : ReadingBatch
        In any order; ``sequence`` is the line of the file, and lines count as the order of arrival.
    slots : (n,) int32
        Which of ``series`` each reading is of.

    Returns
    -------
    Flagged
        In the order of the batch. Where the file is slower than the works' entry says, its own pace is the expected one.
    """
    flag, tests = np.full(len(batch), 2, np.uint8), np.zeros(len(batch), np.int32)
    arrival = np.argsort(batch.sequence, kind="stable")
    rows_of = {series[slot]: arrival[slots[arrival] == slot] for slot in np.unique(slots).tolist()}
    around = {key: _ascending(batch, rows) for key, rows in rows_of.items()}
    for key, rows in rows_of.items():
        own = Stored(batch.observed_at[rows], batch.value[rows], batch.flag[rows])
        pace = max(works.cadence_s, recorded_cadence_s(around[key].times))
        found = flagged_series(replace(works, cadence_s=pace), key, {**around, key: own}, maintenance_most_ms)
        flag[rows], tests[rows] = found.flag, found.tests
    return Flagged(flag, tests)


def recorded_cadence_s(times: npt.NDArray[np.int64]) -> int:
    """Usual time between two readings [s], 0 where that cannot be told; ``times`` ascending [ms]."""
    steps = np.diff(times)
    steps = steps[steps > 0]
    return round(float(np.median(steps)) / 1000) if len(steps) else 0


def _ascending(batch: ReadingBatch, rows: npt.NDArray[np.int64]) -> Stored:
    ordered = rows[np.argsort(batch.observed_at[rows], kind="stable")]
    return Stored(batch.observed_at[ordered], batch.value[ordered], batch.flag[ordered])
