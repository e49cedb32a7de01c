"""Reading a TOML table so that every fault in it is found in one go, each with file, key, value found and values allowed."""

import re
from collections.abc import Sequence
from typing import Any

from qingquan.errors import ConfigurationError

__all__ = ["Faults"]

_HOUR = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class Faults:
    """Reads values of a table and collects what is wrong; what is read from a faulty key is a harmless stand-in."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.found: list[str] = []

    def add(self, key: str, value: object, allowed: str) -> None:
        """Note a fault."""
        self.found.append(f"{self.where}: {key} = {value!r}; allowed: {allowed}")

    def end(self) -> None:
        """Raise `ConfigurationError` with all faults, if there are any."""
        if self.found:
            raise ConfigurationError(self.found)

    def only(self, table: dict[str, Any], key: str, known: Sequence[str]) -> None:
        """Note keys of the table that mean nothing."""
        for name in table:
            if name not in known and not (key == "" and name == "version"):
                self.add(f"{key}.{name}".lstrip("."), table[name], f"keys {', '.join(known)}")

    def table(self, table: dict[str, Any], key: str) -> dict[str, Any]:
        """A table within the table."""
        found = table.get(key)
        if not isinstance(found, dict):
            self.add(key, found, "a table")
            return {}
        return found

    def rows(self, table: dict[str, Any], key: str, prefix: str = "") -> list[dict[str, Any]]:
        """A list of tables."""
        found = table.get(key, [])
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            self.add(f"{prefix}.{key}".lstrip("."), found, "a list of tables")
            return []
        return found

    def number(self, table: dict[str, Any], key: str, *, least: int = 0, most: int = 10_000_000) -> int:
        """A whole number, the last part of ``key`` being its name in the table."""
        found = table.get(key.rpartition(".")[2])
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            self.add(key, found, f"a whole number from {least} to {most}")
            return least
        return found

    def span(self, table: dict[str, Any], key: str, unit_ms: int, *, least: int = 0) -> int:
        """A span [ms] given in a unit."""
        return self.number(table, key, least=least, most=100_000) * unit_ms

    def hour(self, table: dict[str, Any], key: str) -> int:
        """A time of day as minutes since midnight."""
        found = table.get(key.rpartition(".")[2])
        match = _HOUR.fullmatch(found) if isinstance(found, str) else None
        if match is None:
            self.add(key, found, "HH:MM")
            return 0
        return int(match[1]) * 60 + int(match[2])

    def name(self, table: dict[str, Any], key: str) -> str:
        """A name: lower-case letters, digits, underscores."""
        found = table.get(key.rpartition(".")[2])
        if not isinstance(found, str) or not _NAME.fullmatch(found):
            self.add(key, found, "lower-case letters, digits and _, at most 32")
            return ""
        return found

    def word(self, table: dict[str, Any], key: str, allowed: Sequence[str]) -> str:
        """One of the words allowed; empty where it is another."""
        found = table.get(key.rpartition(".")[2])
        if not isinstance(found, str) or found not in allowed:
            self.add(key, found, ", ".join(allowed))
            return ""
        return found

    def words(self, table: dict[str, Any], key: str, allowed: Sequence[str]) -> tuple[str, ...]:
        """A list of words allowed, each once."""
        found = table.get(key.rpartition(".")[2])
        if not isinstance(found, list) or not all(isinstance(word, str) and word in allowed for word in found):
            self.add(key, found, f"a list of {', '.join(allowed)}")
            return ()
        return tuple(dict.fromkeys(found))
