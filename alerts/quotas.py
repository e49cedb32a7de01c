"""The budgets of the channels, as data (`quotas.toml`). Pure but for reading their file."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from qingquan.errors import ConfigurationError

__all__ = ["CLASSES", "Limit", "load_quotas", "parse_quotas", "quota_faults"]

CLASSES = ("critical", "alarm", "recovery")
SCOPES = ("receiver", "account")


@dataclass(frozen=True, slots=True)
class Limit:
    """So many handed over within ``seconds``, per receiver or for the account; one ceiling for each class, over one count."""

    scope: str
    seconds: int
    most: Mapping[str, int]


@cache
def load_quotas(path: str = "") -> Mapping[str, tuple[Limit, ...]]:
    """Limits by channel; of the file that ships where ``path`` is empty.

    Raises
    ------
    ConfigurationError
        With every fault at once: file, key, value found, values allowed.
    """
    if not path:
        return parse_quotas(files("alerts").joinpath("quotas.toml").read_text(encoding="utf-8"), "alerts/quotas.toml")
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: cannot be read: {error}"]) from error
    return parse_quotas(text, path)


def quota_faults(path: str) -> list[str]:
    """What stands against a file of budgets."""
    try:
        load_quotas(path)
    except ConfigurationError as error:
        return list(error.faults)
    return []


def parse_quotas(text: str, where: str) -> Mapping[str, tuple[Limit, ...]]:
    """The limits a text states; see `load_quotas`."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError([f"{where}: not TOML: {error}"]) from error
    faults: list[str] = []
    quotas = {channel: _limits(f"{where}: {channel}", rows, faults) for channel, rows in table.items()}
    if faults:
        raise ConfigurationError(faults)
    return quotas


def _limits(where: str, rows: Any, faults: list[str]) -> tuple[Limit, ...]:
    if not isinstance(rows, dict) or set(rows) - set(SCOPES):
        faults.append(f"{where}: allowed keys: {', '.join(SCOPES)}")
        return ()
    found = []
    for scope in SCOPES:
        given = rows.get(scope, [])
        if not isinstance(given, list):
            faults.append(f"{where}.{scope} = {given!r}: allowed: a list of spans")
            continue
        found += [_limit(f"{where}.{scope}[{n}]", scope, row, faults) for n, row in enumerate(given, start=1)]
    return tuple(limit for limit in found if limit is not None)


def _limit(where: str, scope: str, row: Any, faults: list[str]) -> Limit | None:
    wanted = {"seconds", *CLASSES}
    if not isinstance(row, dict) or set(row) != wanted or any(type(value) is not int for value in row.values()):
        faults.append(f"{where} = {row!r}: allowed: whole numbers for {', '.join(sorted(wanted))}")
        return None
    before = len(faults)
    if row["seconds"] < 1:
        faults.append(f"{where}.seconds = {row['seconds']}: allowed: 1 or more")
    faults += [f"{where}.{name} = {row[name]}: allowed: 0 or more" for name in CLASSES if row[name] < 0]
    if max(row["alarm"], row["recovery"]) > row["critical"]:
        faults.append(f"{where}.critical = {row['critical']}: allowed: at least what alarm and recovery have")
    return None if len(faults) > before else Limit(scope, row["seconds"], {name: row[name] for name in CLASSES})
