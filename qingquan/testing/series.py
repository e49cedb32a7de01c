"""Rows for the series stores, written short."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qingquan.domain.readings import SeriesKey
from qingquan.store.ports import SeriesRows

__all__ = ["Row", "rows_of"]

DELIVERY_MS = 1500


class Row(NamedTuple):
    """One reading. It was received 1.5 s after it was observed."""

    key: SeriesKey
    observed_at: int
    value: float
    flag: int


def rows_of(rows: Sequence[Row], sequences: Sequence[int] | None = None) -> SeriesRows:
    """Columns of these rows. They came with the log messages ``sequences``; else each is a message of its own, from
    1 on."""
    keys = list(dict.fromkeys(row.key for row in rows))
    number = {key: n for n, key in enumerate(keys)}
    observed_at = np.array([row.observed_at for row in rows], np.int64)
    return SeriesRows(
        keys,
        np.array([number[row.key] for row in rows], np.int32),
        observed_at,
        observed_at + DELIVERY_MS,
        np.array([row.value for row in rows], np.float64),
        np.array([row.flag for row in rows], np.uint8),
        np.array(range(1, len(rows) + 1) if sequences is None else sequences, np.int64),
    )
