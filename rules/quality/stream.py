"""The same tests as readings come: state in, flags that are new or changed out."""

from dataclasses import dataclass

import numpy as np

from qingquan.domain.quality import Flagged, QualitySettings
from rules.quality.assess import CrossSettings, assess, memory_ms
from rules.quality.columns import Columns

__all__ = ["Amended", "QualityState", "push"]


@dataclass(frozen=True, slots=True)
class QualityState:
    """What the next readings need: the rows of the last stretch in order of arrival, and what was last said of them."""

    rows: Columns
    said: Flagged
    numbers: np.ndarray[tuple[int], np.dtype[np.int64]]
    newest: int
    count: int

    @classmethod
    def empty(cls) -> "QualityState":
        """Nothing heard yet."""
        none = Columns.of(np.empty(0, np.int64), np.empty(0))
        return cls(none, Flagged(np.empty(0, np.uint8), np.empty(0, np.int32)), np.empty(0, np.int64), -(2**62), 0)


@dataclass(frozen=True, slots=True)
class Amended:
    """Flags of the batch, in its order, and of earlier readings whose flag or tests are others now: the number of each in the
    order of arrival since the beginning, its time and its flags.

    A spike is known only when the reading after it is there; a late reading changes what its neighbours look like.
    """

    batch: Flagged
    rows: np.ndarray[tuple[int], np.dtype[np.int64]]
    times: np.ndarray[tuple[int], np.dtype[np.int64]]
    earlier: Flagged


def push(
    state: QualityState, batch: Columns, settings: QualitySettings, cross: CrossSettings, lateness_ms: int
) -> tuple[Amended, QualityState]:
    """Flags after a batch. Any split of the readings into batches ends with the same flags as one batch of all.

    Notes
    -----
    Every test looks back a bounded time, so the state is the rows of that time before the oldest reading that can still
    change; the cost of a push grows with that time, not with history.
    """
    rows = state.rows.followed_by(batch)
    flagged = assess(rows, settings, cross, lateness_ms=lateness_ms)
    before = len(state.rows)
    # Rows further back are there for the others' sake; what was said of them stands.
    is_open = state.rows.times > state.newest - lateness_ms - settings.gap_ms
    is_other = (flagged.flag[:before] != state.said.flag) | (flagged.tests[:before] != state.said.tests)
    changed = np.flatnonzero(is_open & is_other)
    amended = Amended(
        Flagged(flagged.flag[before:], flagged.tests[before:]), state.numbers[changed], rows.times[changed],
        Flagged(flagged.flag[changed], flagged.tests[changed]),
    )  # fmt: skip
    newest = max(state.newest, int(batch.times.max())) if len(batch) else state.newest
    kept = np.flatnonzero(rows.times >= newest - lateness_ms - memory_ms(settings, cross))
    said = Flagged(flagged.flag[kept], flagged.tests[kept])
    numbers = np.r_[state.numbers, np.arange(state.count, state.count + len(batch))]
    return amended, QualityState(rows.take(kept), said, numbers[kept], newest, state.count + len(batch))
