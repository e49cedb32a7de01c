# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="no-untyped-def"
"""In which order the loop walks the readings of a batch: message by message, within each by the works' own order of series.

A device puts the parameters of one message in an order of its own, and devices report in an order of theirs. Judged as it came, the
first would make every message out of order; the second makes the loop wait for the memory of each works, once the state of all works is
larger than the processor's caches. So the rows of a message are walked by rank, and a batch as long as the register is walked in the
order of the register. Works do not know of each other, and each works' own messages stay in the order they came in, so none of it
changes a verdict. The columns themselves stay where they are: the loop asks for them before it needs them.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rules.compiling import compiled, prefetch
from rules.layout import MESSAGE

__all__ = ["MANY_WORKS", "Walk", "by_works", "cut", "walk"]

# From here on walking by works saves more than the sorting costs (`bench scale`).
MANY_WORKS = 16_384
# So many rows or messages ahead memory is fetched, first what is found by number, then what that leads to.
FAR, NEAR = 48, 24


class Walk(NamedTuple):
    """``messages`` (m,) `MESSAGE` in the order in which to judge them; ``patterns`` int32: from where a message says on, in the order of
    their ranks, how far behind its first row each of its rows stands."""

    messages: npt.NDArray[np.void]
    patterns: npt.NDArray[np.int32]


@compiled
def cut(works_of_series, slots, observed_at, patterns, messages):
    """Cut a batch into messages where the works or the time changes, and find the order of ranks within each.

    ``messages``: `MESSAGE`, and ``patterns``, both as many as rows, to be filled. Returns how many messages there are. A row of no
    series is a message of its own.
    """
    size, found, row = len(slots), 0, 0
    pattern, used, count_before = 0, 0, 0
    while row < size:
        if row + FAR < size:
            prefetch(works_of_series, slots[row + FAR], 0)
        mine, at, begin = slots[row], observed_at[row], row
        works = works_of_series[mine] if mine >= 0 else np.int32(0)
        row += 1
        while row < size and mine >= 0 and observed_at[row] == at:
            mine = slots[row]
            if mine < 0 or works_of_series[mine] != works:
                break
            row += 1
        count = row - begin
        # Most devices of a county are of one make: their messages have the same parameters in the same order.
        is_alike, before = count == count_before, np.int32(-2)
        if is_alike:
            for k in range(pattern, pattern + count):
                mine = slots[begin + patterns[k]]
                is_alike = is_alike and mine > before
                before = mine
        if not is_alike:
            pattern, count_before = used, count
            used += count
            for k in range(count):
                to, mine = pattern + k, slots[begin + k]
                while to > pattern and slots[begin + patterns[to - 1]] > mine:
                    patterns[to] = patterns[to - 1]
                    to -= 1
                patterns[to] = k
        one = messages[found]
        one.row = begin
        one.rows = count
        one.works = works
        one.pattern = pattern
        found += 1
    return found


@compiled
def by_works(messages, ends, found):
    """Sort messages by works into ``found``, each works' own as they came.

    ``ends``: (works,) int32, begun with zeros; then the place behind each works' last message.
    """
    size = len(messages)
    for n in range(size):
        if n + FAR < size:
            prefetch(ends, messages[n + FAR].works, 0)
        ends[messages[n].works] += 1
    place = 0
    for works in range(len(ends)):
        count = ends[works]
        ends[works] = place
        place += count
    for n in range(size):
        if n + FAR < size:
            prefetch(ends, messages[n + FAR].works, 0)
            prefetch(found, ends[messages[n + NEAR].works], 0)
        one = messages[n]
        to = found[ends[one.works]]
        to.row = one.row
        to.rows = one.rows
        to.works = one.works
        to.pattern = one.pattern
        ends[one.works] += 1


def walk(
    works_of_series: npt.NDArray[np.int32], works: int, slots: npt.NDArray[np.int32], observed_at: npt.NDArray[Any]
) -> Walk:
    """The way through a batch.

    Parameters
    ----------
    works_of_series : (series,) int32
    works : how many there are
    slots : (n,) int32, negative = of no series here
    observed_at : (n,) int64
    """
    patterns, messages = np.empty(len(slots), np.int32), np.empty(len(slots), MESSAGE)
    messages = messages[: cut(works_of_series, slots, observed_at, patterns, messages)]
    if works < MANY_WORKS or len(slots) < works:
        return Walk(messages, patterns)
    sorted_messages = np.empty(len(messages), MESSAGE)
    by_works(messages, np.zeros(works, np.int32), sorted_messages)
    return Walk(sorted_messages, patterns)
