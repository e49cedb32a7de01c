"""How the loop is compiled; see docs/decisions/0009."""

from collections.abc import Callable
from typing import Any

from numba import njit

__all__ = ["compiled", "inlined"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile without reference counts: nothing compiled here allocates, and counting cost more than the judging (5 x).

    numba keeps the result beside the source and looks only at that one file for changes: who changes a compiled function that
    another file calls must change the calling file, too.
    """
    return njit(cache=True, _nrt=False)(function)  # type: ignore[call-overload, no-any-return]


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile into the caller. A call hands over every array field by field, which costs more than judging a usual reading."""
    return njit(cache=True, _nrt=False, inline="always")(function)  # type: ignore[call-overload, no-any-return]
