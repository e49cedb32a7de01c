"""Event detection as a fold over rows: `step` takes rows and the state before them, and says what the rows are.

Any split of the same rows gives the same output. A *row* is what a works measured at one time, one column per series. Advisory:
it says "remarkable", never "safe", and carries no disinfection alarm.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rules.events.kernel import fold_rows
from rules.events.layout import FACTS, SERIES, TRACK
from rules.events.settings import VOTE, EventSetting, setting_rows

__all__ = [
    "THRESHOLD", "DetectorPlan", "DetectorRows", "DetectorState", "RowVerdicts", "SeriesFloor", "new_state", "scores_by_setting", "step",
]  # fmt: skip

THRESHOLD = 1.0
"""Score from which a row is an event: reached when a majority of the settings alarms."""

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SeriesFloor:
    """Smallest noise to assume of a column: the larger of ``floor`` [unit of the parameter] and ``relative`` x baseline."""

    floor: float
    relative: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.floor < np.inf or not 0 <= self.relative < 1:
            raise ValueError(f"floor {self.floor!r} must be above 0, relative {self.relative!r} from 0 to below 1")


@dataclass(frozen=True, slots=True)
class DetectorPlan:
    """Columns by name with their floors, and the settings that vote (an odd number, at most 255)."""

    columns: tuple[str, ...]
    floors: tuple[SeriesFloor, ...]
    settings: tuple[EventSetting, ...] = VOTE
    facts: npt.NDArray[np.void] = field(init=False, repr=False, compare=False)
    table: npt.NDArray[np.void] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.columns) != len(self.floors):
            raise ValueError(f"{len(self.columns)} columns, {len(self.floors)} floors")
        if len(self.settings) % 2 == 0 or len(self.settings) > 255:
            raise ValueError(f"{len(self.settings)} settings; an odd number up to 255 can vote")
        facts = np.array([(one.floor, one.relative) for one in self.floors], FACTS)
        object.__setattr__(self, "facts", facts)
        object.__setattr__(self, "table", setting_rows(self.settings))


@dataclass(frozen=True, slots=True)
class DetectorState:
    """Flat arrays; the fold that passes through owns and changes them. Blocks of ``len(plan.columns)`` series, one per works."""

    series: npt.NDArray[np.void]
    tracks: npt.NDArray[np.void]

    def copy(self) -> "DetectorState":
        return DetectorState(self.series.copy(), self.tracks.copy())


@dataclass(frozen=True, slots=True)
class DetectorRows:
    """Rows in the order in which they are to be judged.

    works : (n,) int64, block of the state
    observed_at : (n,) int64 [ms since epoch]; a time before the works' newest counts as that one
    values : (n, m) float64, NaN = missing
    excused : (n,) bool, an operation explains changes (30 min after a pump start or backwash): no event starts, and the level left
        behind is taken as it is
    held : (n,) bool, disinfection not OK: nothing is learnt, nothing times out
    """

    works: Rows
    observed_at: Rows
    values: npt.NDArray[np.float64]
    excused: Mask
    held: Mask

    @classmethod
    def of_one_works(
        cls, observed_at: Rows, values: npt.NDArray[np.float64], excused: Mask | None = None, held: Mask | None = None
    ) -> "DetectorRows":
        n = len(observed_at)
        none = np.zeros(n, np.bool_)
        return cls(
            np.zeros(n, np.int64),
            observed_at,
            values,
            none if excused is None else excused,
            none if held is None else held,
        )


@dataclass(frozen=True, slots=True)
class RowVerdicts:
    """What rows are.

    score : (n,) float32, 0 where a row has no value; 1 and more where a majority of the settings alarms
    event : (n,) bool
    votes : (n, m) uint8, settings that alarm by this column
    """

    score: npt.NDArray[np.float32]
    event: Mask
    votes: npt.NDArray[np.uint8]

    def contributors(self, row: int, columns: Sequence[str]) -> list[str]:
        """Columns behind an event, most votes first: those with at least half the votes of the first. None without an event."""
        if not self.event[row]:
            return []
        votes = self.votes[row].astype(int)
        most = int(votes.max())
        order = np.argsort(-votes, kind="stable")
        return [columns[j] for j in order.tolist() if votes[j] > 0 and 2 * votes[j] >= most]


def new_state(plan: DetectorPlan, works: int = 1) -> DetectorState:
    """State of works of which nothing was read yet."""
    count = works * len(plan.columns)
    return DetectorState(np.zeros(count, SERIES), np.zeros((count, len(plan.settings)), TRACK))


def step(rows: DetectorRows, state: DetectorState, plan: DetectorPlan, threshold: float = THRESHOLD) -> RowVerdicts:
    """Judge rows; ``state`` is carried forward in place.

    Row t depends on rows up to t only. A row without values scores 0 and is never an event. ``threshold`` of a works may be raised by
    its marks (`rules.events.marks`).
    """
    score, votes, _ = _folded(rows, state, plan, keeps=False)
    return RowVerdicts(score, score >= threshold, votes)


def scores_by_setting(rows: DetectorRows, state: DetectorState, plan: DetectorPlan) -> npt.NDArray[np.float32]:
    """(n, g) scores of each setting alone, for comparing settings; ``state`` is carried forward as in `step`."""
    return _folded(rows, state, plan, keeps=True)[2]


def _folded(
    rows: DetectorRows, state: DetectorState, plan: DetectorPlan, *, keeps: bool
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    n, width = rows.values.shape
    if width != len(plan.columns):
        raise ValueError(f"{width} columns of values, the plan has {len(plan.columns)}")
    count = len(plan.settings)
    score, votes = np.zeros(n, np.float32), np.zeros((n, width), np.uint8)
    each = np.zeros((n if keeps else 1, count), np.float32)
    fold_rows(
        rows.works, rows.observed_at // 1000, rows.values, rows.excused, rows.held, plan.facts, plan.table, state.series,
        state.tracks, each, np.zeros((count, 2), np.float32), score, votes,
    )  # fmt: skip
    return score, votes, each
