"""What the console may ask about rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qingquan.store.sql.rulesets import RulesetStatus

__all__ = ["RulesDesk"]


@dataclass(frozen=True, slots=True)
class RulesDesk:
    """``statuses()`` says by what each evaluator judges; ``backtest(works, days, text)`` tries rules on stored history.

    ``text`` is a ruleset (TOML), ``None`` = the one in force; raises `ConfigurationError` where it is faulty and `WrongUse` where
    the works is unknown.
    """

    statuses: Callable[[], Sequence[RulesetStatus]]
    backtest: Callable[[str, int, str | None], Mapping[str, Any]]
