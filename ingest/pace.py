"""How often a recorded file has a value: found out from the file where its mapping does not say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ingest.mapping import LONGEST_CADENCE_S, Mapping
from ingest.recorded import read_rows

__all__ = ["paced"]

ROWS_LOOKED_AT = 20_000
LEAST_SHARE = 0.2
"""Columns filled in fewer of the rows have a pace of their own (laboratory results, say); the works is not judged by it."""


def paced(file: Path | str, mapping: Mapping) -> Mapping:
    """The mapping with the cadence of the file: what it states, else the usual time between two values of its slowest column.

    Staleness and lateness rest on the cadence: taken too short, every reading of a slow file would follow on a silence; taken
    too long, silence would go unnoticed.

    Raises
    ------
    ConfigurationError
        As `ingest.recorded.read_rows`.
    """
    if mapping.states_cadence:
        return mapping
    chunk = next(read_rows(file, mapping, ROWS_LOOKED_AT), None)
    if chunk is None:
        return mapping
    found = [
        _usual_step_s(chunk.observed_at[filled])
        for filled in (~np.isnan(chunk.values)).T
        if filled.sum() >= max(2, LEAST_SHARE * len(filled))
    ]
    steps = [step for step in found if step is not None]
    if not steps:
        return mapping
    return replace(mapping, cadence_s=min(max(1, round(max(steps))), LONGEST_CADENCE_S))


def _usual_step_s(times: npt.NDArray[np.int64]) -> float | None:
    """Median time between two different times [s], ``None`` if there are no two."""
    steps = np.diff(np.unique(times))
    return float(np.median(steps)) / 1000 if len(steps) else None
