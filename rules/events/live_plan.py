"""Events live: which points are followed, and where their values lie in the state."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from rules.events.detector import DetectorPlan, SeriesFloor

__all__ = ["OPERATIONS_PER_WORKS", "LivePlan", "WatchedPoint"]

OPERATIONS_PER_WORKS = 6
"""Flows and switches followed of one works; further ones are left out."""


@dataclass(frozen=True, slots=True)
class WatchedPoint:
    """A sampling point: block of its works, its quality columns with floors, and its operational parameters."""

    key: tuple[str, str, str]
    works: int
    columns: tuple[str, ...]
    floors: tuple[SeriesFloor, ...]
    operations: tuple[str, ...] = ()


class _Points(Sequence[WatchedPoint]):
    """Points side by side: a province has tens of thousands of them, and few that differ in more than place and works."""

    def __init__(self, points: Iterable[WatchedPoint]) -> None:
        seen: dict[tuple[object, ...], int] = {}
        keys, works, kinds = [], array("q"), array("i")
        for one in points:
            keys.append(one.key)
            works.append(one.works)
            kinds.append(seen.setdefault((one.columns, one.floors, one.operations), len(seen)))
        self.keys: list[tuple[str, str, str]] = keys
        self._works = works
        self._kind_of = kinds
        self._kinds: list[Any] = list(seen)

    @overload
    def __getitem__(self, n: int) -> WatchedPoint: ...

    @overload
    def __getitem__(self, n: slice) -> list[WatchedPoint]: ...

    def __getitem__(self, n: int | slice) -> WatchedPoint | list[WatchedPoint]:
        if isinstance(n, slice):
            return [self[one] for one in range(*n.indices(len(self)))]
        return WatchedPoint(self.keys[n], self._works[n], *self._kinds[self._kind_of[n]])

    def __len__(self) -> int:
        return len(self.keys)


class LivePlan:
    """Points that are watched, their places in the state. Build anew when the register changes; see `LiveState.carried`.

    ``flows`` is how many flows and switches are kept of a works: those of the one that has most.
    """

    def __init__(self, points: Iterable[WatchedPoint]) -> None:
        self.points = _Points(points)
        self._keys = self.points.keys
        count = len(self._keys)
        self.works_of = np.fromiter((one.works for one in self.points), np.int64, count)
        self.works = 1 + int(self.works_of.max(initial=-1))
        self.width = max((len(one.columns) for one in self.points), default=0)
        self.shape_of = np.zeros(count, np.int64)
        self.block_of = np.zeros(count, np.int64)
        self.plans: list[DetectorPlan] = []
        self.blocks: list[int] = []
        seen: dict[tuple[str, ...], int] = {}
        used = np.zeros(max(self.works, 1), np.int64)
        self._first_slot = np.zeros(count, np.int8)
        # County -> works -> number of its first point.
        self._first_point: dict[str, dict[str, int]] = {}
        for n, one in enumerate(self.points):
            shape = seen.setdefault(one.columns, len(seen))
            if shape == len(self.plans):
                self.plans.append(DetectorPlan(one.columns, one.floors))
                self.blocks.append(0)
            self.shape_of[n], self.block_of[n] = shape, self.blocks[shape]
            self.blocks[shape] += 1
            self._first_slot[n] = used[one.works]
            used[one.works] = min(used[one.works] + len(one.operations), OPERATIONS_PER_WORKS)
            county, works, _ = one.key
            first = self._first_point.setdefault(county, {}).setdefault(works, n)
            if (self.works_of[first:n] != one.works).any():
                raise ValueError(f"points of works {works} of county {county} do not lie side by side")
        self.flows = max(int(used.max()), 1)

    def place(self, key: tuple[str, str, str], parameter: str) -> tuple[int, int]:
        """Point and column of a series; columns from `width` on are operational. (-1, -1) = not watched."""
        n = self.index(key)
        if n < 0:
            return -1, -1
        point = self.points[n]
        if parameter in point.columns:
            return n, point.columns.index(parameter)
        if parameter not in point.operations:
            return -1, -1
        slot = int(self._first_slot[n]) + point.operations.index(parameter)
        return (n, self.width + slot) if slot < OPERATIONS_PER_WORKS else (-1, -1)

    def index(self, key: tuple[str, str, str]) -> int:
        """Number of a point, -1 if it is not watched."""
        n = self._first_point.get(key[0], _NONE).get(key[1], -1)
        while 0 <= n < len(self._keys) and self._keys[n][:2] == key[:2]:
            if self._keys[n] == key:
                return n
            n += 1
        return -1

    def works_number(self, county: str, works: str) -> int:
        """Number of a works, -1 if none of its points is watched."""
        n = self._first_point.get(county, _NONE).get(works, -1)
        return -1 if n < 0 else int(self.works_of[n])


_NONE: dict[str, int] = {}
