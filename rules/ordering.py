# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="no-untyped-def"
"""Readings brought into an order that costs the loop little.

A device puts the parameters of one message in an order of its own, and devices report in an order of theirs. The first would
make every message out of order; the second makes the loop wait for the memory of each works, once the state of all works is
larger than the processor's caches. So a batch as long as the register is walked in the order of the register, in blocks of
rows whose columns stay in the cache. Works do not know of each other, and each works' own rows stay together and in order, so
none of it changes a verdict.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rules.compiling import compiled, prefetch
from rules.kernel import NOT_EVALUATED

__all__ = ["BLOCK", "MANY_WORKS", "Block", "blocks", "by_rank", "by_works", "gather", "put_back"]

# From here on walking by works saves more than the sorting costs (`bench scale`).
MANY_WORKS = 16_384
# Rows of a block: 31 bytes each, a quarter of a cache that each core has for itself.
BLOCK = 1 << 14
# So many rows ahead memory is fetched, first what is found by number, then what that leads to.
FAR, NEAR = 48, 24

Columns = tuple[npt.NDArray[Any], ...]


class Block(NamedTuple):
    """Rows to judge: ``columns`` (slots, works, observed_at, values, flags) and the ``order`` of their numbers, the ``flags`` they are
    given and whether they came ``late``. They are of works from ``first`` up to and without ``last``, who have no others."""

    columns: Columns
    order: npt.NDArray[np.int32]
    flags: npt.NDArray[np.uint8]
    late: npt.NDArray[np.uint8]
    first: int
    last: int


@compiled
def by_rank(works_of_series, slots, observed_at, owners, order):
    """Fill ``owners`` with the works of each row, and ``order`` with the row numbers, so that neighbours of one works and one
    time stand in the order of their ranks.

    A device puts the parameters of one message in an order of its own. Judged in that order each message would be out of
    order and roll its works back.
    """
    size = len(slots)
    for row in range(size):
        if row + FAR < size and slots[row + FAR] >= 0:
            prefetch(works_of_series, slots[row + FAR], 0)
        mine = slots[row]
        works = works_of_series[mine] if mine >= 0 else 0
        owners[row] = works
        at = row
        while at > 0:
            last = order[at - 1]
            if slots[last] <= mine or mine < 0 or owners[last] != works or observed_at[last] != observed_at[row]:
                break
            order[at] = last
            at -= 1
        order[at] = row


@compiled
def by_works(owners, given, ends, order):
    """Sort row numbers by works, each works' own in the order ``given``. ``ends``: works + 1 zeros, then where each works' rows end.

    Works do not know of each other, so it changes no verdict; their memory is then walked from one end to the other.
    """
    size = len(owners)
    for row in range(size):
        if row + FAR < size:
            prefetch(ends, owners[row + FAR] + 1, 0)
        ends[owners[row] + 1] += 1
    for works in range(1, len(ends)):
        ends[works] += ends[works - 1]
    for n in range(size):
        if n + FAR < size:
            prefetch(ends, owners[given[n + FAR]], 0)
        if n + NEAR < size:
            prefetch(order, ends[owners[given[n + NEAR]]], 0)
        row = given[n]
        works = owners[row]
        order[ends[works]] = row
        ends[works] += 1


@compiled
def gather(order, ends, first, last, source, target):
    """Copy columns (slots, observed_at, values, flags) of some works' rows in the order of the works.

    ``target``: slots, works, observed_at, values, flags; then the flag each row is given and whether it came late, begun anew.
    """
    (slots, observed_at, values, flags) = source
    begin = ends[first - 1] if first > 0 else 0
    n = 0
    for works in range(first, last):
        while n < ends[works] - begin:
            if n + FAR < len(order):
                row = order[n + FAR]
                prefetch(slots, row, 0)
                prefetch(observed_at, row, 0)
                prefetch(values, row, 0)
                prefetch(flags, row, 0)
            row = order[n]
            target[0][n] = slots[row]
            target[1][n] = works
            target[2][n] = observed_at[row]
            target[3][n] = values[row]
            target[4][n] = flags[row]
            target[5][n] = NOT_EVALUATED
            target[6][n] = 0
            n += 1


@compiled
def put_back(order, said, late, all_said, all_late):
    """What became of rows in another order, in the order they came in."""
    size = len(order)
    for n in range(size):
        if n + FAR < size:
            prefetch(all_said, order[n + FAR], 0)
        all_said[order[n]] = said[n]
        if late[n]:
            all_late[order[n]] = 1


def blocks(
    columns: Columns, works_of_series: npt.NDArray[np.int32], works: int, flags: npt.NDArray[np.uint8], late: npt.NDArray[np.uint8]
) -> Iterator[Block]:  # fmt: skip
    """A batch in blocks; once the next one is asked for, what became of the rows of the last stands in ``flags`` and ``late``.

    Parameters
    ----------
    columns : (slots, observed_at, values, flags)
    works_of_series : (series,) int32
    works : how many there are
    flags, late : (n,) uint8, to be filled
    """
    slots, *others = columns
    order, owners = np.empty(len(slots), np.int32), np.empty(len(slots), np.int32)
    by_rank(works_of_series, slots, columns[1], owners, order)
    if works < MANY_WORKS or len(slots) < works:
        yield Block((slots, owners, *others), order, flags, late, 0, works)
        return
    ends, moved = np.zeros(works + 1, np.int32), np.empty_like(order)
    by_works(owners, order, ends, moved)
    parts = _parts(ends[:works], len(slots))
    most = max(end - begin for _, _, begin, end in parts)
    # The same memory for every block: what it takes is in the cache already, and the system has to find none.
    held = tuple(np.empty(most, one.dtype) for one in (slots, owners, *others, flags, late))
    as_it_is = np.arange(most, dtype=np.int32)
    for first, last, begin, end in parts:
        rows, part = moved[begin:end], tuple(column[: end - begin] for column in held)
        gather(rows, ends, first, last, columns, part)
        *given, said, came_late = part
        yield Block(tuple(given), as_it_is[: end - begin], said, came_late, first, last)
        put_back(rows, said, came_late, flags, late)


def _parts(ends: npt.NDArray[np.int32], rows: int) -> list[tuple[int, int, int, int]]:
    """First works, works after the last, first row and row after the last of each block: whole works, so that a works that has to be
    rolled back is so once a batch, about `BLOCK` rows, or as many as one works has."""
    cuts = np.unique(np.searchsorted(ends, np.arange(BLOCK, rows, BLOCK)))
    works = [0, *cuts[cuts > 0].tolist(), len(ends)]
    begins = [0, *ends[cuts[cuts > 0] - 1].tolist(), rows]
    return list(zip(works[:-1], works[1:], begins[:-1], begins[1:], strict=True))
