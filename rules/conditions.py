"""Conditions of a rule as a tree: comparisons of signals, joined by any/all groups. Values only; read by `rules.ruleset`,
compiled by `rules.compound_plan`, put into words by `rules.compound_words`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qingquan.domain.parameters import Parameter
from qingquan.domain.works import PointKind

__all__ = ["AVERAGES", "Condition", "Group", "Operand", "Tree", "leaves_of", "unit_of"]

AVERAGES = ("hour", "day")
"""Averaging bases of the live loop; calendar months belong to the compliance statistics."""

Operand = str | float
"""A signal (parameter code, or ``residual``: the works' own) or a constant."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: a signal, or the ratio or difference of two, above or below a bound.

    ``operands`` holds one entry, or two where ``arithmetic`` is ``ratio`` or ``difference``. ``bound`` is a number in the unit of
    the left side, or ``limit.max``/``limit.min``. ``average`` is ``""``, ``hour`` or ``day``: the mean of the last whole clock
    hour or day at the works. ``at`` takes the signal from another kind of point. ``clear_margin`` moves the bound for clearing.
    """

    operands: tuple[Operand, ...]
    is_above: bool
    bound: float | str
    arithmetic: str = ""
    average: str = ""
    clear_margin: float = 0.0
    at: PointKind | None = None

    @property
    def signals(self) -> tuple[str, ...]:
        """Signals it reads."""
        return tuple(one for one in self.operands if isinstance(one, str))


@dataclass(frozen=True, slots=True)
class Group:
    """Several conditions or groups, of which any one or all must hold (three-valued: unknown is neither)."""

    is_any: bool
    parts: "tuple[Tree, ...]"


Tree = Condition | Group


def leaves_of(tree: Tree) -> Iterator[Condition]:
    """All comparisons of a tree, from left to right."""
    if isinstance(tree, Condition):
        yield tree
    else:
        for part in tree.parts:
            yield from leaves_of(part)


def unit_of(condition: Condition, parameters: Mapping[str, Parameter], residual: str = "free_chlorine") -> str:
    """Unit of the left side: that of the signal; ``1`` for the ratio of two signals of one unit, else ``a/b``."""
    units = [parameters[residual if one == "residual" else one].unit for one in condition.signals]
    if condition.arithmetic != "ratio" or len(condition.operands) < 2:
        return units[0]
    top, bottom = (
        parameters[residual if one == "residual" else one].unit if isinstance(one, str) else "1"
        for one in condition.operands
    )
    if top == bottom:
        return "1"
    return top if bottom == "1" else f"{top}/({bottom})"
