"""What the devices of a run send: a dense grid of readings, so that each one can be found again, and a few works in trouble.

Every works measures five parameters by the minute and uploads some minutes at a time, as buffering units do. Its upload interval says
so, hence everything lies within the lateness window: live, whatever the faults of the run delay.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load

__all__ = ["BAD_PAYLOAD", "Sending", "Water"]

TROUBLED = 24
# Long enough for every rule's `for` time.
SPELL = 45
BAD_EVERY = 97
BAD_PAYLOAD = b'{"t": 1, "v": {"ph"'
_TEMPLATE = '{"t":%d,"v":{"free_chlorine":%.3f,"turbidity":%.3f,"ph":%.2f,"temperature":%.1f,"flow":%.2f}}'


@dataclass(frozen=True, slots=True)
class Sending:
    """A message to send, and the number of the works it is of."""

    works: int
    topic: str
    payload: bytes


class Water:
    """``works`` works, ``rounds`` readings of each series, ``together`` of them in one message, the last one just before now."""

    def __init__(self, works: int, rounds: int, together: int, start_ms: int, seed: int) -> None:
        self.rounds, self.together, self.start_ms = rounds, together, start_ms
        self._load = Load(works, start_ms, seed=seed, disturbed=0.0)
        span_s = rounds * STEP_MS // 1000
        # The window is twice the upload interval: the whole run is within it.
        self.register: list[Works] = [replace(one, upload_interval_s=max(3600, span_s)) for one in self._load.register]
        chance = np.random.default_rng([seed, works, 7])
        self._troubled = chance.choice(works, min(TROUBLED, works // 2), replace=False)
        self._begins = chance.integers(1, max(2, rounds - SPELL // 2), len(self._troubled))

    @property
    def readings(self) -> int:
        """How many there are."""
        return len(self.register) * len(PARAMETERS) * self.rounds

    @cached_property
    def values(self) -> npt.NDArray[np.float64]:
        """(works, parameters, rounds), as they are sent."""
        decimals = (3, 3, 2, 1, 2)
        grid = np.stack([self._round(number) for number in range(self.rounds)], axis=2)
        for number, places in enumerate(decimals):
            # The decimal text of a value, read back: numpy's own rounding differs in the last bit now and then.
            texts = np.char.mod(f"%.{places}f", grid[:, number])
            grid[:, number] = texts.astype(np.float64)
        return grid

    def keys(self) -> list[SeriesKey]:
        """Series in the order of `values`."""
        return [SeriesKey(one.county, one.id, "outlet", name) for one in self.register for name in PARAMETERS]

    def messages(self) -> Iterator[Sending]:
        """In the order in which they are sent: an upload of every works, then the next of every works; here and there rubbish."""
        topics = [f"wq/{one.county}/{one.id}/outlet/json" for one in self.register]
        count = 0
        for first in range(0, self.rounds, self.together):
            last = min(first + self.together, self.rounds)
            times = [self.start_ms + number * STEP_MS for number in range(first, last)]
            rows = self.values[:, :, first:last].transpose(0, 2, 1)
            for works in self._load.order.tolist():
                parts = [_TEMPLATE % (at, *row) for at, row in zip(times, rows[works].tolist(), strict=True)]
                yield Sending(works, topics[works], f"[{','.join(parts)}]".encode())
                count += 1
                if count % BAD_EVERY == 0:
                    yield Sending(works, topics[works], BAD_PAYLOAD)

    def _round(self, number: int) -> npt.NDArray[np.float64]:
        values = self._load.values(number)
        for place, (works, begins) in enumerate(zip(self._troubled, self._begins, strict=True)):
            # One spell each, so that incidents can be named.
            if begins <= number < begins + SPELL:
                if place % 2:
                    values[works, 0] = 0.01
                else:
                    values[works, 1] += 6.0
        return values
