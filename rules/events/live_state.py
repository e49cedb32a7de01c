"""Events live: readings on their way, and what must survive a restart."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rules.events.detector import DetectorState, new_state
from rules.events.live_plan import LivePlan
from rules.events.operations import Operations, new_operations

__all__ = ["NEVER", "LiveReadings", "LiveState", "Longs"]

NEVER = -(2**62)

POINT = np.dtype(
    [
        ("first", np.int64),  # first row judged
        ("judged", np.int64),  # newest row judged
        ("newest", np.int64),  # newest reading seen
        ("start", np.int64),  # first row of the open event, NEVER without one
        ("last", np.int64),  # its newest event row
        ("peak", np.float32),
        ("late", np.uint8),
        ("held", np.uint8),  # whether disinfection was not OK during the event
        ("silent", np.uint8),  # whether its end was told since nothing more came; a later row may still go on with it
    ],
    align=True,
)
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LiveReadings:
    """Columns of readings: ``point`` and ``column`` from `LivePlan.place`, ``at`` [ms], ``value`` (NaN = missing), ``received`` [ms].

    A province has two minutes of them waiting, hence the small numbers.
    """

    point: npt.NDArray[np.int32]
    column: npt.NDArray[np.int16]
    at: Longs
    value: npt.NDArray[np.float64]
    received: Longs

    @staticmethod
    def none() -> "LiveReadings":
        none = np.empty(0, np.int64)
        return LiveReadings(np.empty(0, np.int32), np.empty(0, np.int16), none, np.empty(0), none)

    def of(self, chosen: npt.NDArray[np.bool_] | Longs) -> "LiveReadings":
        """Those chosen by a mask or an order."""
        return LiveReadings(
            self.point[chosen], self.column[chosen], self.at[chosen], self.value[chosen], self.received[chosen]
        )

    def with_more(self, other: "LiveReadings") -> "LiveReadings":
        """These, then the others."""
        if not len(self.at):
            return other
        return LiveReadings(
            np.concatenate((self.point, other.point)), np.concatenate((self.column, other.column)),
            np.concatenate((self.at, other.at)), np.concatenate((self.value, other.value)),
            np.concatenate((self.received, other.received)),
        )  # fmt: skip


class LiveState:
    """Everything that must survive a restart, in flat arrays; changed by `fold_readings`."""

    def __init__(self, plan: LivePlan) -> None:
        self.detectors: list[DetectorState] = [
            new_state(one, blocks) for one, blocks in zip(plan.plans, plan.blocks, strict=True)
        ]
        self.operations: Operations = new_operations(plan.flows, max(plan.works, 1))
        self.newest: Longs = np.full(max(plan.works, 1), NEVER, np.int64)
        self.heard: Longs = np.full(max(plan.works, 1), NEVER, np.int64)
        self.disorder: Longs = np.full(max(plan.works, 1), NEVER, np.int64)
        self.points = np.zeros(len(plan.points), POINT)
        for name in ("first", "judged", "newest", "start"):
            self.points[name] = NEVER
        self.votes: Longs = np.zeros((len(plan.points), plan.width), np.int64)
        self.waiting = LiveReadings.none()
        self.overtaken = 0

    def carried(self, before: LivePlan, after: LivePlan) -> "LiveState":
        """This state under a changed register: points with the same columns go on, others begin anew."""
        new = LiveState(after)
        place = np.full((len(before.points), before.width + before.flows), -1, np.int16)
        target = np.full(len(before.points), -1, np.int32)
        for old_n, one in enumerate(before.points):
            n = after.index(one.key)
            if n < 0 or after.points[n].columns != one.columns:
                continue
            target[old_n] = n
            new.points[n] = self.points[old_n]
            new.votes[n, : len(one.columns)] = self.votes[old_n, : len(one.columns)]
            _copy_block(self, before, old_n, new, after, n)
            for code in (*one.columns, *one.operations):
                _, old_column = before.place(one.key, code)
                if old_column >= 0:
                    place[old_n, old_column] = after.place(one.key, code)[1]
            works, old_works = after.works_of[n], before.works_of[old_n]
            for mine, theirs in ((new.newest, self.newest), (new.heard, self.heard), (new.disorder, self.disorder)):
                mine[works] = max(mine[works], theirs[old_works])
            new.operations.excuse[works] = self.operations.excuse[old_works]
            if after.points[n].operations == one.operations:
                begin, old_begin, kept = works * after.flows, old_works * before.flows, min(after.flows, before.flows)
                new.operations.flows[begin : begin + kept] = self.operations.flows[old_begin : old_begin + kept]
        column = place[self.waiting.point, self.waiting.column]
        moved = LiveReadings(
            target[self.waiting.point], column, self.waiting.at, self.waiting.value, self.waiting.received
        )
        new.waiting = moved.of((moved.point >= 0) & (moved.column >= 0))
        new.overtaken = self.overtaken
        return new


def _copy_block(old: LiveState, before: LivePlan, old_n: int, new: LiveState, after: LivePlan, n: int) -> None:
    width = len(before.points[old_n].columns)
    source, target = old.detectors[before.shape_of[old_n]], new.detectors[after.shape_of[n]]
    a, b = int(before.block_of[old_n]) * width, int(after.block_of[n]) * width
    target.series[b : b + width] = source.series[a : a + width]
    target.tracks[b : b + width] = source.tracks[a : a + width]
