"""Reading the ruleset: the one place where rules meet the disk."""

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

from qingquan.config import Config
from qingquan.domain.parameters import Limit
from qingquan.errors import ConfigurationError
from qingquan.services.toml_lines import lines_of
from qingquan.standards.loader import load_standards
from rules.conditions import leaves_of
from rules.ruleset import Ruleset, parse_ruleset

__all__ = ["SHIPPED", "load_ruleset", "ruleset_of_text", "ruleset_table", "ruleset_text"]

SHIPPED = "rules/default.toml"


def load_ruleset(config: Config) -> Ruleset:
    """The ruleset named in the configuration, else the one that ships.

    Raises
    ------
    ConfigurationError
        All faults at once, with file, line, key, value found and values allowed.
    """
    return ruleset_of_text(ruleset_text(config), config.rules_file or SHIPPED)


def ruleset_text(config: Config) -> str:
    """The file itself. Raises `ConfigurationError` where it cannot be read."""
    where = config.rules_file or SHIPPED
    try:
        if config.rules_file:
            return Path(config.rules_file).read_text(encoding="utf-8")
        return files("rules").joinpath("default.toml").read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError([f"{where}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError([f"{where}: not valid TOML: {error}"]) from error


def ruleset_table(text: str, where: str) -> dict[str, Any]:
    """The file as a table. Raises `ConfigurationError` where it is no TOML."""
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError([f"{where}: not valid TOML: {error}"]) from error


def ruleset_of_text(text: str, where: str) -> Ruleset:
    """A checked ruleset; bounds that no row of the standard gives are faults, too.

    Raises
    ------
    ConfigurationError
        All faults at once, with file, line, key, value found and values allowed.
    """
    table = ruleset_table(text, where)
    standards, lines = load_standards(), lines_of(text)
    faults: list[str] = []
    ruleset = None
    try:
        ruleset = parse_ruleset(table, standards.parameters, where, lines)
    except ConfigurationError as error:
        faults += error.faults
    if ruleset is not None:
        faults += _empty_bounds(ruleset, standards.limits, where)
    if faults or ruleset is None:
        raise ConfigurationError(faults)
    return ruleset


def _empty_bounds(ruleset: Ruleset, limits: Iterable[Limit], where: str) -> list[str]:
    """A rule held against a row of the standard that does not exist would never say anything."""
    rows = list(limits)
    faults = []
    for rule in (*ruleset.rules, *ruleset.compounds):
        asked = (
            [(rule.parameter, rule.bound)]
            if rule.when is None
            else [(leaf.signals[0], leaf.bound) for leaf in leaves_of(rule.when)]
        )
        for signal, bound in asked:
            if not isinstance(bound, str) or signal == "residual":
                continue
            side = bound.removeprefix("limit.")
            if not any(row.code == signal and getattr(row, side) is not None for row in rows):
                faults.append(
                    f"{where}: rule {rule.id}: {bound} = {signal!r}: allowed: a parameter of which the standard sets {side}"
                )
    return faults
