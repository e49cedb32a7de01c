"""Whose turn it is to be advised on: new trouble at once, old trouble every two minutes, works that stand well by turns.

Arrays by works of the register: a province has 58,400, and what is remembered of each does not grow with time.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from qingquan.domain.findings import DisinfectionState
from qingquan.domain.state import WorksDisinfection

__all__ = ["AGAIN_S", "CONCERNED", "ROUND_S", "Turns"]

CONCERNED = (DisinfectionState.MISSING, DisinfectionState.LOW, DisinfectionState.HIGH, DisinfectionState.UNKNOWN)
"""States that ask for a verdict."""

AGAIN_S = 120.0
ROUND_S = 600.0

_STATES = list(DisinfectionState)
_CODES = {state: n for n, state in enumerate(DisinfectionState)}
_STANDS = np.dtype([("number", np.int64), ("code", np.int8), ("since", np.int64)])
_CONCERNED = np.array([state in CONCERNED for state in DisinfectionState])
_NOT_NOW = 9

Key = tuple[str, str]


class Turns:
    """Remembers when each works was advised on last, and how it stood then."""

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._number: dict[Key, int] = {}
        self._take(0)

    def _take(self, count: int) -> None:
        self._at = np.full(count, np.nan)
        self._code = np.zeros(count, np.int8)
        self._since = np.zeros(count, np.int64)

    def register(self, works: Iterable[Key]) -> None:
        """Another register: works that stay are remembered."""
        before = self._number, self._at, self._code, self._since
        self._keys = list(works)
        self._number = {key: n for n, key in enumerate(self._keys)}
        self._take(len(self._number))
        both = [(n, self._number[key]) for key, n in before[0].items() if key in self._number]
        if both:
            was, now = np.array(both).T
            self._at[now], self._code[now], self._since[now] = before[1][was], before[2][was], before[3][was]

    def due(self, states: Iterable[WorksDisinfection], now_s: float) -> Iterator[WorksDisinfection]:
        """Registered works whose turn it is, in that order; ``now_s`` [s] of a clock that only goes forward.

        All states are looked at before it returns, and none of them is kept.
        """
        found = np.fromiter(
            (
                (n, _CODES[one.disinfection], one.since)
                for one in states
                if (n := self._number.get((one.county, one.works))) is not None
            ),
            _STANDS,
        )
        number, code, since = found["number"], found["code"], found["since"]
        told = self._at[number]
        is_new = np.isnan(told) | (self._code[number] != code) | (self._since[number] != since)
        is_concerned = _CONCERNED[code]
        waits = now_s - told >= np.where(is_concerned, AGAIN_S, ROUND_S)
        rank = np.where(is_new, 0, np.where(waits, 1, _NOT_NOW)) + 2 * ~is_concerned
        return (
            WorksDisinfection(*self._keys[int(number[at])], _STATES[int(code[at])], int(since[at]))
            for at in _in_turn(rank, np.where(is_new, 0.0, told))
        )

    def advised(self, state: WorksDisinfection, now_s: float) -> None:
        """Note that a works has been advised on as it stands."""
        n = self._number[state.county, state.works]
        self._at[n], self._code[n], self._since[n] = now_s, _CODES[state.disinfection], state.since


def _in_turn(rank: npt.NDArray[np.int64], told: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    order = np.lexsort((told, rank))
    return order[: np.count_nonzero(rank < _NOT_NOW)]
