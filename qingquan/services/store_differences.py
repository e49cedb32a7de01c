"""What differs between the readings of the log and those of a store, by series and time span. Pure."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey

__all__ = ["Difference", "checksum", "located", "runs"]

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Difference:
    """Readings of a series that differ from what the log says, between two times [ms], both included.

    ``kind``: ``missing`` (the log has it, the store has not), ``value`` (the store holds another value), ``conflict`` (a
    contradicting value is not in the side table), ``extra`` (the store has what no message brought).
    """

    kind: str
    key: SeriesKey
    first: int
    last: int
    count: int


def runs(kind: str, keys: Sequence[SeriesKey], series: Ints, observed_at: Ints, wrong: Mask) -> list[Difference]:
    """Wrong rows, in order of series, then time, as spans: neighbours of one series make one."""
    place = np.flatnonzero(wrong)
    if not len(place):
        return []
    is_begin = np.concatenate([[True], (np.diff(place) != 1) | (np.diff(series[place]) != 0)])
    begin = np.flatnonzero(is_begin)
    end = np.concatenate([begin[1:], [len(place)]])
    return [
        Difference(kind, keys[int(series[place[b]])], int(observed_at[place[b]]), int(observed_at[place[e - 1]]), int(e - b))
        for b, e in zip(begin, end, strict=True)
    ]  # fmt: skip


def located(series: Ints, observed_at: Ints, in_series: Ints, in_at: Ints) -> tuple[Ints, Mask]:
    """Place of each identity among others, both in order of series, then time, and whether it is there at all."""
    pairs = np.dtype([("series", np.int64), ("at", np.int64)])
    asked, held = np.empty(len(series), pairs), np.empty(len(in_series), pairs)
    asked["series"], asked["at"] = series, observed_at
    held["series"], held["at"] = in_series, in_at
    place = np.searchsorted(held, asked)
    inside = place < len(held)
    found = np.zeros(len(asked), bool)
    found[inside] = held[place[inside]] == asked[inside]
    return place.astype(np.int64), found


def checksum(keys: Sequence[SeriesKey], series: Ints, observed_at: Ints, bits: Ints) -> int:
    """Sum of a 64-bit hash of every key, time and value: it does not depend on the order."""
    names = np.zeros(len(keys), np.uint64)
    for number in np.unique(series).tolist():
        digest = hashlib.blake2b("\0".join(keys[number]).encode(), digest_size=8).digest()
        names[number] = int.from_bytes(digest, "big")
    mixed = _mixed(names[series] ^ _mixed(observed_at.astype(np.uint64)) ^ _mixed(_mixed(bits.view(np.uint64))))
    return int(mixed.sum(dtype=np.uint64))


def _mixed(number: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each number spread over all bits (the finisher of SplitMix64)."""
    number = (number + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))
