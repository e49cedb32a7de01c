"""What people ask of rules, by command line or API: try a ruleset on history, put one in force, take it back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from dashboards.web.rules_port import RulesDesk
from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.errors import ConfigurationError, WrongUse
from qingquan.services.explain import works_named
from qingquan.services.ruleset_watch import RulesetInForce, digest_of, ruleset_in_force
from qingquan.services.rulesets import ruleset_of_text
from qingquan.store.ports import SeriesReader
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.register import load_works
from qingquan.store.sql.rulesets import RulesetStatus, activate_ruleset, ruleset_statuses, store_ruleset

if TYPE_CHECKING:
    from qingquan.services.backtest import Backtest

__all__ = ["activate", "deactivate", "make_rules_desk", "read_ruleset", "try_rules"]


def read_ruleset(path: Path) -> tuple[str, RulesetInForce]:
    """Text and checked value of a file. Raises `ConfigurationError`, all faults at once."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: cannot be read: {error}"]) from error
    return text, RulesetInForce(ruleset_of_text(text, str(path)), digest_of(text), str(path))


def try_rules(
    config: Config, engine: Engine, works: str, days: int, until: int, tried: RulesetInForce | None,
    *, reader: SeriesReader | None = None,
) -> "Backtest":  # fmt: skip
    """Backtest of a works (id, or county/id) over the last ``days`` before ``until`` [ms].

    Raises
    ------
    WrongUse
        If the works is unknown or the number of days makes no sense.
    ConfigurationError
        If the ruleset in force is faulty.
    StoreUnavailable
        If a store does not answer.
    """
    # Only here: it loads the engine, for which the console has no other use and every start would wait.
    from qingquan.services.backtest import DAY_MS, LONGEST_DAYS, backtest

    if not 1 <= days <= LONGEST_DAYS:
        raise WrongUse(f"--days {days}: allowed: 1 to {LONGEST_DAYS}")
    county, _, name = works.rpartition("/")
    with reading(engine) as connection:
        register = load_works(connection, county or None)
        in_force = ruleset_in_force(config, connection)
    one: Works = works_named(register, name, works)
    return backtest(config, one, until - days * DAY_MS, until, in_force, tried, reader=reader)


def make_rules_desk(config: Config, engine: Engine, reader: SeriesReader) -> RulesDesk:
    """What the API answers about rules from."""

    def run(works: str, days: int, text: str | None) -> dict[str, Any]:
        from qingquan.services.backtest import backtest_json

        tried = None if text is None else RulesetInForce(ruleset_of_text(text, "ruleset"), digest_of(text), "ruleset")
        return backtest_json(try_rules(config, engine, works, days, config.clock.now_ms(), tried, reader=reader))

    def statuses() -> list[RulesetStatus]:
        with reading(engine) as connection:
            return ruleset_statuses(connection)

    return RulesDesk(statuses, run)


def activate(config: Config, path: Path, by: str) -> int:
    """Check a ruleset, store it and put it in force for all evaluators; its number."""
    text, checked = read_ruleset(path)
    engine = open_database(config.sql_url)
    try:
        with writing(engine) as connection:
            now = config.clock.now_ms()
            number = store_ruleset(connection, checked.digest, checked.ruleset.version, text, now, by)
            activate_ruleset(connection, number, now, by)
            return number
    finally:
        engine.dispose()


def deactivate(config: Config, by: str) -> None:
    """Give the word back to the file of the settings."""
    engine = open_database(config.sql_url)
    try:
        with writing(engine) as connection:
            activate_ruleset(connection, None, config.clock.now_ms(), by)
    finally:
        engine.dispose()
