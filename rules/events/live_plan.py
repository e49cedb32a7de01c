"""Events live: which points are followed, and where their values lie in the state."""

from collections.abc import Sequence
from dataclasses import dataclass

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


class LivePlan:
    """Points that are watched, their places in the state. Build anew when the register changes; see `LiveState.carried`."""

    def __init__(self, points: Sequence[WatchedPoint]) -> None:
        self.points = tuple(points)
        self.works = 1 + max((one.works for one in points), default=-1)
        self.works_of = np.array([one.works for one in points], np.int64)
        self.width = max((len(one.columns) for one in points), default=0)
        self.shape_of = np.zeros(len(points), np.int64)
        self.block_of = np.zeros(len(points), np.int64)
        self.plans: list[DetectorPlan] = []
        self.blocks: list[int] = []
        seen: dict[tuple[str, ...], int] = {}
        slots: dict[tuple[int, str], int] = {}
        used: dict[int, int] = {}
        for n, one in enumerate(points):
            shape = seen.setdefault(one.columns, len(seen))
            if shape == len(self.plans):
                self.plans.append(DetectorPlan(one.columns, one.floors))
                self.blocks.append(0)
            self.shape_of[n], self.block_of[n] = shape, self.blocks[shape]
            self.blocks[shape] += 1
            for code in one.operations:
                slot = used.get(one.works, 0)
                if slot < OPERATIONS_PER_WORKS:
                    slots[n, code] = slot
                    used[one.works] = slot + 1
        self._slots = slots
        self._index = {one.key: n for n, one in enumerate(points)}

    def place(self, key: tuple[str, str, str], parameter: str) -> tuple[int, int]:
        """Point and column of a series; columns from `width` on are operational. (-1, -1) = not watched."""
        n = self._index.get(key, -1)
        if n < 0:
            return -1, -1
        if parameter in self.points[n].columns:
            return n, self.points[n].columns.index(parameter)
        slot = self._slots.get((n, parameter))
        return (-1, -1) if slot is None else (n, self.width + slot)

    def index(self, key: tuple[str, str, str]) -> int:
        """Number of a point, -1 if it is not watched."""
        return self._index.get(key, -1)
