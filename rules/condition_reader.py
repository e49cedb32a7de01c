"""Conditions out of a ruleset's tables: comparisons, groups, averages, ratios; every fault with its path."""

from collections.abc import Mapping
from typing import Any

from qingquan.domain.parameters import Parameter
from qingquan.domain.works import PointKind
from rules.conditions import AVERAGES, Condition, Group, Operand, Tree, leaves_of, unit_of
from rules.table_reader import TableReader, is_finite

__all__ = ["CONDITION_KEYS", "LIMIT_BOUNDS", "MONTH", "ConditionReader"]

LIMIT_BOUNDS = ("limit.min", "limit.max")
SOURCES = ("signal", "ratio", "difference")
CONDITION_KEYS = (*SOURCES, "above", "below", "unit", "average", "clear_margin", "at")
GROUPS = ("any", "all")
MOST_LEAVES, MOST_DEPTH = 12, 8
MONTH = "hour, day (a calendar month is judged by the compliance statistics, not while readings come in)"


class ConditionReader:
    """Reads trees; ``parameters`` are the signals there are."""

    def __init__(self, read: TableReader, parameters: Mapping[str, Parameter]) -> None:
        self.read = read
        self.parameters = parameters

    def tree(self, found: object, path: str, depth: int = 0) -> Tree | None:
        """A condition or group; ``None`` where nothing can be made of it, which has been noted."""
        allowed = f"a table with one of {', '.join((*GROUPS, *SOURCES))}"
        if not isinstance(found, Mapping):
            self.read.fault(path, found, allowed)
            return None
        named = [key for key in (*GROUPS, *SOURCES) if key in found]
        if len(named) != 1:
            self.read.fault(path, sorted(found), allowed)
            return None
        tree = self._group(found, path, named[0], depth) if named[0] in GROUPS else self._condition(found, path)
        if tree is not None and depth == 0 and len(list(leaves_of(tree))) > MOST_LEAVES:
            self.read.fault(path, f"{len(list(leaves_of(tree)))} comparisons", f"at most {MOST_LEAVES}")
        return tree

    def _group(self, found: Mapping[str, Any], path: str, word: str, depth: int) -> Tree | None:
        self.read.only(found, f"{path}.", (word,))
        rows = found[word]
        if not isinstance(rows, list) or not rows:
            self.read.fault(f"{path}.{word}", rows, "a list of conditions, at least one")
            return None
        if depth >= MOST_DEPTH:
            self.read.fault(f"{path}.{word}", f"nested {depth + 1} deep", f"at most {MOST_DEPTH}")
            return None
        parts = [self.tree(row, f"{path}.{word}[{n}]", depth + 1) for n, row in enumerate(rows)]
        good = tuple(part for part in parts if part is not None)
        return Group(word == "any", good) if len(good) == len(parts) else None

    def _condition(self, found: Mapping[str, Any], path: str) -> Condition | None:
        before = len(self.read.faults)
        self.read.only(found, f"{path}.", CONDITION_KEYS)
        arithmetic = next(word for word in SOURCES if word in found)
        operands = self._operands(found[arithmetic], f"{path}.{arithmetic}", arithmetic)
        condition = Condition(
            operands=operands,
            is_above="above" in found,
            bound=self.bound(found, path, is_plain=arithmetic == "signal"),
            arithmetic="" if arithmetic == "signal" else arithmetic,
            average=self.average(found, path),
            clear_margin=self.read.number(found, path, "clear_margin", 0.0),
            at=self._kind(found, path),
        )
        if len(self.read.faults) == before:
            self.unit(condition, found, path)
        return condition if len(self.read.faults) == before else None

    def _operands(self, found: object, path: str, arithmetic: str) -> tuple[Operand, ...]:
        if arithmetic == "signal":
            return (self.signal(found, path),)
        if not isinstance(found, list) or len(found) != 2:
            self.read.fault(path, found, "a list of two: signals or numbers")
            return ()
        operands = tuple(
            float(one) if is_finite(one) else self.signal(one, f"{path}[{n}]") for n, one in enumerate(found)
        )
        if not any(isinstance(one, str) for one in operands):
            self.read.fault(path, found, "at least one signal among the two")
        if arithmetic == "ratio" and operands[1] == 0.0:
            self.read.fault(f"{path}[1]", found[1], "a divisor other than 0")
        return operands

    def signal(self, found: object, path: str) -> str:
        """The code of a signal."""
        if not isinstance(found, str) or (found != "residual" and found not in self.parameters):
            self.read.fault(path, found, f"residual, {', '.join(self.parameters)}")
            return ""
        return found

    def bound(self, found: Mapping[str, Any], path: str, *, is_plain: bool = True) -> float | str:
        """What it is held against; rows of the standard only for a signal as it is."""
        if ("above" in found) == ("below" in found):
            self.read.fault(path, sorted(found), "exactly one of above, below")
            return 0.0
        side = "above" if "above" in found else "below"
        bound = found[side]
        if isinstance(bound, str) and bound in LIMIT_BOUNDS and is_plain:
            return bound
        if not is_finite(bound):
            self.read.fault(f"{path}.{side}", bound, "a number" + (f", {', '.join(LIMIT_BOUNDS)}" if is_plain else ""))
            return 0.0
        return float(bound)

    def average(self, found: Mapping[str, Any], path: str) -> str:
        """Averaging basis, empty for single readings."""
        average = found.get("average", "")
        if average == "month":
            self.read.fault(f"{path}.average", average, MONTH)
        elif average != "" and average not in AVERAGES:
            self.read.fault(f"{path}.average", average, ", ".join(AVERAGES))
        else:
            return str(average)
        return ""

    def _kind(self, found: Mapping[str, Any], path: str) -> PointKind | None:
        at = found.get("at")
        kinds = [kind.value for kind in PointKind]
        if at is None or at in kinds:
            return None if at is None else PointKind(at)
        self.read.fault(f"{path}.at", at, ", ".join(kinds))
        return None

    def unit(self, condition: Condition, found: Mapping[str, Any], path: str) -> None:
        """Refuse a unit nobody knows, one that is not the signal's, and a difference of unlike things."""
        units = {one: self.parameters[_plain(one)].unit for one in condition.signals}
        if condition.arithmetic == "difference" and len(set(units.values())) > 1:
            told = ", ".join(f"{one} [{unit}]" for one, unit in units.items())
            self.read.fault(f"{path}.difference", list(condition.operands), f"two signals of one unit, not {told}")
        given = found.get("unit")
        if given is None:
            return
        known = sorted({parameter.unit for parameter in self.parameters.values()} | {"1"})
        expected = unit_of(condition, self.parameters)
        if not isinstance(given, str) or (given not in known and given != expected):
            self.read.fault(f"{path}.unit", given, f"a known unit, here {expected} (known: {', '.join(known)})")
        elif given != expected:
            self.read.fault(f"{path}.unit", given, f"{expected}, in which {', '.join(units)} comes: convert the bound")


def _plain(signal: str) -> str:
    return "free_chlorine" if signal == "residual" else signal
