"""From decoded readings to rows for the store: the one quality test that needs no memory. Pure."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.domain.works import PointKind, Works
from qingquan.store.ports import SeriesRows

__all__ = ["RowMaker", "recorded_flags"]


class RowMaker:
    """Makes rows of the batches of one catalog; remembers the instrument range of every series."""

    def __init__(self, catalog: SeriesCatalog, parameters: Mapping[str, Parameter]) -> None:
        self._catalog = catalog
        self._parameters = parameters
        self._keys: list[SeriesKey] = []
        self._low = np.empty(0)
        self._high = np.empty(0)
        self._kinds: dict[tuple[str, str, str], PointKind] = {}

    def register(self, works: Iterable[Works]) -> None:
        """Learn which points carry raw water; a point not named is taken for one of finished water."""
        self._kinds = {(one.county, one.id, point.id): point.kind for one in works for point in one.points}
        self._keys, self._low, self._high = [], np.empty(0), np.empty(0)

    def rows(self, batch: ReadingBatch) -> SeriesRows:
        """The batch as rows, flagged by `recorded_flags`."""
        self._follow()
        low, high = self._low[batch.series], self._high[batch.series]
        return SeriesRows(
            self._keys,
            batch.series,
            batch.observed_at,
            batch.received_at,
            batch.value,
            recorded_flags(batch.value, batch.flag, low, high),
            batch.sequence,
        )

    def _follow(self) -> None:
        """The catalog only grows, so only its tail is new."""
        new = [self._catalog.key(number) for number in range(len(self._keys), len(self._catalog))]
        if new:
            spans = [self._parameters[key.parameter].span_at(self._kinds.get(key[:3], PointKind.OUTLET)) for key in new]
            self._keys += new
            self._low = np.r_[self._low, [low for low, _ in spans]]
            self._high = np.r_[self._high, [high for _, high in spans]]


def recorded_flags(
    value: npt.NDArray[np.float64],
    device: npt.NDArray[np.uint8],
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
) -> npt.NDArray[np.uint8]:
    """Flags as recorded.

    Parameters
    ----------
    value : (n,) float64
        Readings in the parameter's unit; NaN = missing.
    device : (n,) uint8
        The device's own quality code; 2 = it said nothing.
    low, high : (n,) float64
        Bounds of what the instrument can read, themselves inside.

    Returns
    -------
    (n,) uint8
        9 where the value is missing; 4 where it lies outside the instrument's range; else what the device said, and 1
        where it said nothing: the range test was made and passed.
    """
    flag = np.where(device == Flag.NOT_EVALUATED, np.uint8(Flag.PASS), device)
    flag = np.where((value < low) | (value > high), np.uint8(Flag.FAIL), flag)
    return np.where(np.isnan(value), np.uint8(Flag.MISSING), flag)
