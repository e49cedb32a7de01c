"""Reading the ruleset file: the one place where rules meet the disk."""

import tomllib
from importlib.resources import files
from pathlib import Path

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.standards.loader import load_standards
from rules.ruleset import Ruleset, parse_ruleset

__all__ = ["load_ruleset"]


def load_ruleset(config: Config) -> Ruleset:
    """The ruleset named in the configuration, else the one that ships.

    Raises
    ------
    ConfigurationError
        All faults at once, with file, key, value found and values allowed.
    """
    where = config.rules_file or "rules/default.toml"
    try:
        if config.rules_file:
            text = Path(config.rules_file).read_text(encoding="utf-8")
        else:
            text = files("rules").joinpath("default.toml").read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise ConfigurationError([f"{where}: cannot be read: {error.strerror}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{where}: not valid TOML: {error}"]) from error
    return parse_ruleset(table, load_standards().parameters, where)
