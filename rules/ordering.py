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

__all__ = [
    "BLOCK",
    "MANY_WORKS",
    "Block",
    "blocks",
    "by_rank",
    "by_works",
    "gather",
    "gather_flags",
    "messages",
    "put_back",
]

# From here on walking by works saves more than the sorting costs (`bench scale`).
MANY_WORKS = 16_384
# Rows of a block: 31 bytes each, a quarter of a cache that each core has for itself.
BLOCK = 1 << 14
# So many rows ahead memory is fetched, first what is found by number, then what that leads to.
FAR, NEAR = 48, 24
# So many messages ahead their columns are fetched.
NEXT = 8

# Neighbouring rows of one works and one time: first row, how many. Fewer of them have to be sorted than of rows.
MESSAGE = np.dtype([("row", np.int32), ("rows", np.int32)])
# Of a works: messages and rows, first how many, then where they end in the order of the register.
TALLY = np.dtype([("messages", np.int32), ("rows", np.int32)])

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
def messages(works_of_series, slots, observed_at, begins, owners, tally):
    """Cut a batch where the works or the time changes: the first row of each message in ``begins``, its works in ``owners``.

    ``tally``: `TALLY` of each works, begun with zeros. Returns how many messages there are; ``begins`` ends with the size of the batch.
    """
    size, found, row = len(slots), 0, 0
    while row < size:
        if row + FAR < size:
            prefetch(works_of_series, slots[row + FAR], 0)
            prefetch(tally, works_of_series[max(slots[row + NEAR], 0)], 0)
        mine, at, begin = slots[row], observed_at[row], row
        works = works_of_series[mine] if mine >= 0 else np.int32(0)
        row += 1
        while row < size and mine >= 0 and observed_at[row] == at:
            mine = slots[row]
            if mine < 0 or works_of_series[mine] != works:
                break
            row += 1
        begins[found] = begin
        owners[found] = works
        found += 1
        tally[works].messages += 1
        tally[works].rows += row - begin
    begins[found] = size
    return found


@compiled
def by_works(begins, owners, tally, found):
    """Sort messages by works, each works' own as they came. ``tally`` then says where each works' messages and rows end.

    ``found``: `MESSAGE`, to be filled. Works do not know of each other, so it changes no verdict; their memory is then walked from
    one end to the other.
    """
    size = len(owners)
    message, row = 0, 0
    for works in range(len(tally)):
        mine = tally[works]
        count = mine.messages
        mine.messages = message
        message += count
        row += mine.rows
        mine.rows = row
    for n in range(size):
        if n + FAR < size:
            prefetch(tally, owners[n + FAR], 0)
        if n + NEAR < size:
            prefetch(found, tally[owners[n + NEAR]].messages, 0)
        mine = tally[owners[n]]
        one = found[mine.messages]
        one.row = begins[n]
        one.rows = begins[n + 1] - begins[n]
        mine.messages += 1


@compiled
def gather(found, tally, first, last, source, target):
    """Copy the columns (slots, observed_at, values) of some works' messages, the rows of each in the order of their ranks.

    ``target``: slots, works, observed_at, values; then the rows' numbers.
    """
    (slots, observed_at, values) = source
    (slots_out, works_out, observed_out, values_out, rows) = target
    n, n_before, first_before, count_before = 0, 0, 0, 0
    place = tally[first - 1].messages if first > 0 else 0
    for works in range(first, last):
        while place < tally[works].messages:
            if place + NEXT < len(found):
                begin = found[place + NEXT].row
                end = begin + found[place + NEXT].rows - 1
                prefetch(slots, begin, 0)
                prefetch(slots, end, 0)
                prefetch(observed_at, begin, 0)
                prefetch(values, begin, 0)
                prefetch(values, end, 0)
            first_row, count = found[place].row, found[place].rows
            # Most devices of a county are of one make: their messages have the same parameters in the same order.
            is_alike, before = count == count_before, np.int32(-1)
            if is_alike:
                for k in range(count):
                    row = rows[n_before + k] - first_before + first_row
                    mine = slots[row]
                    is_alike = is_alike and mine > before
                    before = mine
                    slots_out[n + k] = mine
                    rows[n + k] = row
            if not is_alike:
                for k in range(count):
                    at, mine = n + k, slots[first_row + k]
                    while at > n and slots_out[at - 1] > mine:
                        slots_out[at] = slots_out[at - 1]
                        rows[at] = rows[at - 1]
                        at -= 1
                    slots_out[at] = mine
                    rows[at] = first_row + k
            when = observed_at[first_row]
            for at in range(n, n + count):
                works_out[at] = works
                observed_out[at] = when
                values_out[at] = values[rows[at]]
            n_before, first_before, count_before = n, first_row, count
            n += count
            place += 1


@compiled
def gather_flags(rows, flags, target):
    """The flags of rows in another order."""
    for n in range(len(rows)):
        target[n] = flags[rows[n]]


@compiled
def put_back(rows, said, late, all_said, all_late):
    """What became of rows in another order, in the order they came in. ``late`` is left as it was found: all zeros."""
    size = len(rows)
    for n in range(size):
        if n + FAR < size:
            prefetch(all_said, rows[n + FAR], 0)
        all_said[rows[n]] = said[n]
        if late[n]:
            all_late[rows[n]] = 1
            late[n] = 0


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
    if works < MANY_WORKS or len(slots) < works:
        order, owners = np.empty(len(slots), np.int32), np.empty(len(slots), np.int32)
        by_rank(works_of_series, slots, columns[1], owners, order)
        yield Block((slots, owners, *others), order, flags, late, 0, works)
        return
    tally = np.zeros(works, TALLY)
    begins, owners = np.empty(len(slots) + 1, np.int32), np.empty(len(slots), np.int32)
    found = messages(works_of_series, slots, columns[1], begins, owners, tally)
    sorted_messages = np.empty(found, MESSAGE)
    by_works(begins, owners[:found], tally, sorted_messages)
    parts = _parts(tally["rows"], len(slots))
    most = max(end - begin for _, _, begin, end in parts)
    # The same memory for every block: what it takes is in the cache already, and the system has to find none.
    held = tuple(np.empty(most, one.dtype) for one in (slots, owners, columns[1], columns[2], owners, flags))
    came_late = np.zeros(most, np.uint8)
    given = columns[3]
    # Few instruments give any flag: then there is nothing to bring together.
    is_same = given.min() == given.max()
    flags_given = np.full(most, given[0])
    as_it_is = np.arange(most, dtype=np.int32)
    for first, last, begin, end in parts:
        *part, said = (column[: end - begin] for column in held)
        gather(sorted_messages, tally, first, last, columns[:3], tuple(part))
        *brought, rows = part
        if not is_same:
            gather_flags(rows, given, flags_given)
        yield Block(
            (*brought, flags_given[: end - begin]), as_it_is[: end - begin], said, came_late[: end - begin], first, last
        )
        put_back(rows, said, came_late, flags, late)


def _parts(ends: npt.NDArray[np.int32], rows: int) -> list[tuple[int, int, int, int]]:
    """First works, works after the last, first row and row after the last of each block: whole works, so that a works that has to be
    rolled back is so once a batch, about `BLOCK` rows, or as many as one works has."""
    cuts = np.unique(np.searchsorted(ends, np.arange(BLOCK, rows, BLOCK)))
    works = [0, *cuts[cuts > 0].tolist(), len(ends)]
    begins = [0, *ends[cuts[cuts > 0] - 1].tolist(), rows]
    return list(zip(works[:-1], works[1:], begins[:-1], begins[1:], strict=True))
