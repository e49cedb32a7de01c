"""Recorded data with expert labels, read through the product's own door."""

import csv
import gzip
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ingest.mapping import Mapping, parse_mapping
from ingest.recorded import read_rows
from qingquan.domain.parameters import ParameterKind

__all__ = ["GECCO_YEARS", "Recording", "gecco", "mapping_of", "missing_data", "station_b", "thinned"]

GECCO_YEARS = (2017, 2018)
STATION_B = "canary_station_b/station_b_first60.csv"


@dataclass(frozen=True, slots=True)
class Recording:
    """Rows in file order: times [s since epoch], quality columns (n, m), and which rows experts called an event."""

    file: Path
    mapping: Mapping
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    is_event: npt.NDArray[np.bool_]

    @property
    def weeks(self) -> float:
        return float(self.times[-1] - self.times[0]) / 604_800


def missing_data(folder: Path) -> list[str]:
    """Files of the proof that are not in a folder."""
    wanted = [_gecco_file(year) for year in GECCO_YEARS] + [STATION_B]
    return [name for name in wanted if not (folder / name).is_file()]


def gecco(folder: Path, year: int) -> Recording:
    """The developer file of a GECCO year."""
    file = folder / _gecco_file(year)
    with gzip.open(file, "rt", encoding="utf-8", newline="") as text:
        labels = [row["EVENT"].strip().lower() in ("true", "1") for row in csv.DictReader(text)]
    return _recording(file, mapping_of("gecco"), labels)


def station_b(folder: Path) -> Recording:
    """Station B: nobody labelled it."""
    return _recording(folder / STATION_B, mapping_of("canary_station_b"), None)


def thinned(recording: Recording, minutes: int) -> Recording:
    """Every ``minutes``-th row, as a slow instrument would have it; an event row if any row since the last kept one was."""
    kept = np.arange(0, len(recording.times), minutes)
    since = np.add.reduceat(recording.is_event.astype(np.int64), np.r_[0, kept[:-1] + 1]) > 0
    return Recording(recording.file, recording.mapping, recording.times[kept], recording.values[kept], since)


def mapping_of(name: str) -> Mapping:
    """A mapping that ships beside this module."""
    text = files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    return parse_mapping(text, f"{name}.toml")


def _gecco_file(year: int) -> str:
    return f"gecco/gecco{year}_train.csv.gz"


def _recording(file: Path, mapping: Mapping, labels: list[bool] | None) -> Recording:
    chunks = list(read_rows(file, mapping))
    quality = [n for n, one in enumerate(mapping.columns) if one.parameter.kind is ParameterKind.QUALITY]
    times = np.concatenate([one.observed_at for one in chunks]) // 1000
    values = np.ascontiguousarray(np.concatenate([one.values for one in chunks])[:, quality])
    is_event = np.zeros(len(times), np.bool_) if labels is None else np.array(labels)
    if len(is_event) != len(times):
        raise ValueError(f"{file}: {len(times)} rows taken, {len(is_event)} labels")
    return Recording(file, mapping, times, values, is_event)
