"""Takes values out of the tables of a ruleset by type, and collects every fault instead of raising at the first."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, TypeGuard

from qingquan.domain.findings import Severity

__all__ = ["MINUTE", "RESIDUALS", "TableReader", "is_finite"]

RESIDUALS = ("free_chlorine", "total_chlorine", "chlorine_dioxide", "ozone")
MINUTE = 60_000
# Beyond any bound or time [min] that means something; shuts out TOML's inf and nan and what no int64 of ms can hold.
LARGEST = 1e12


def is_finite(found: object) -> TypeGuard[int | float]:
    """Whether this is a number that means something."""
    return isinstance(found, int | float) and not isinstance(found, bool) and abs(found) < LARGEST


class TableReader:
    """``lines`` gives the line of the file a path stands at, where known."""

    def __init__(self, where: str, lines: Mapping[str, int] | None = None) -> None:
        self.where = where
        self.lines = lines or {}
        self.faults: list[str] = []

    def fault(self, path: str, found: object, allowed: str, *, at: str = "") -> None:
        """Note a fault of ``path``; ``at`` is the path to point at where it is another one."""
        line = self._line(at or path)
        place = f"{self.where}:{line}" if line else self.where
        # TOML has no word for nothing: what is not there is said to be missing.
        said = "(missing)" if found is None else repr(found)
        self.faults.append(f"{place}: {path} = {said}: allowed: {allowed}")

    def _line(self, path: str) -> int:
        """Line of the path, else of the table that should hold it; 0 = unknown."""
        path = path.lstrip(".")
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 0)

    def number(self, table: Mapping[str, Any], path: str, key: str, default: float | None = None) -> float:
        found = table.get(key, default)
        if not is_finite(found) or found < 0:
            self.fault(f"{path}.{key}", found, "a number, 0 or more")
            return 0.0
        return float(found)

    def share(self, table: Mapping[str, Any], path: str, key: str, default: float) -> float:
        found = table.get(key, default)
        if not is_finite(found) or not 0 <= found <= 1:
            self.fault(f"{path}.{key}", found, "a share from 0 to 1")
            return default
        return float(found)

    def count(self, table: Mapping[str, Any], path: str, key: str) -> int:
        found = table.get(key)
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**31:
            self.fault(f"{path}.{key}", found, "a whole number, 0 or more")
            return 0
        return found

    def minutes(self, table: Mapping[str, Any], path: str, key: str, default: float | None = None) -> int:
        return round(self.number(table, path, key, default) * MINUTE)

    def word(self, table: Mapping[str, Any], path: str, key: str, default: str | None = None) -> str:
        found = table.get(key, default)
        if not isinstance(found, str) or (not found and default != ""):
            self.fault(f"{path}.{key}", found, "a word")
            return ""
        return found

    def day(self, table: Mapping[str, Any], path: str, key: str) -> date | None:
        found = table.get(key)
        if found is None:
            return None
        if isinstance(found, datetime) or not isinstance(found, date) or not 1900 < found.year < 2200:
            self.fault(f"{path}.{key}", str(found), "a day, as 2026-01-31 without quotation marks")
            return None
        return found

    def severity(self, table: Mapping[str, Any], path: str, key: str) -> Severity:
        found = table.get(key)
        by_word = {severity.word: severity for severity in Severity}
        if not isinstance(found, str) or found not in by_word:
            self.fault(f"{path}.{key}", found, ", ".join(by_word))
            return Severity.INFO
        return by_word[found]

    def table(self, table: Mapping[str, Any], path: str, key: str) -> Mapping[str, Any]:
        found = table.get(key)
        if not isinstance(found, Mapping):
            self.fault(f"{path}{key}", found, "a table")
            return {}
        return found

    def by_residual(self, table: Mapping[str, Any], path: str, key: str) -> dict[str, float]:
        inner = self.table(table, f"{path}.", key)
        for name in sorted(set(inner) - set(RESIDUALS)):
            self.fault(f"{path}.{key}.{name}", inner[name], f"keys {', '.join(RESIDUALS)}")
        return {name: self.number(inner, f"{path}.{key}", name) for name in RESIDUALS}

    def only(self, table: Mapping[str, Any], path: str, known: tuple[str, ...]) -> None:
        for key in sorted(set(table) - set(known)):
            self.fault(f"{path}{key}", table[key], f"keys {', '.join(known)}")
