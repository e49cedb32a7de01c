"""Which ruleset is in force, and noticing that another one is: a stored one that was activated, else the file of the settings.

A faulty one is refused whole: what was in force stays in force, and that is said in the log, in the counts and in the status that
the API shows.
"""

from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

import structlog
from sqlalchemy import Connection, Engine

from qingquan.config import Config
from qingquan.errors import ConfigurationError
from qingquan.services.rulesets import SHIPPED, ruleset_of_text, ruleset_text
from qingquan.store.sql.engine import reading
from qingquan.store.sql.rulesets import RulesetStatus, activation_number, active_ruleset
from rules.ruleset import Ruleset

__all__ = ["RulesetInForce", "RulesetWatch", "digest_of", "ruleset_in_force"]

_log = structlog.get_logger(__name__)
_MOST_TOLD = 20

_Mark = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RulesetInForce:
    """A checked ruleset, its text's digest and where it comes from."""

    ruleset: Ruleset
    digest: str
    source: str


def digest_of(text: str) -> str:
    """Fingerprint of a ruleset's text."""
    return blake2b(text.encode(), digest_size=12).hexdigest()


def ruleset_in_force(config: Config, connection: Connection) -> RulesetInForce:
    """The activated ruleset, else the file's.

    Raises
    ------
    ConfigurationError
        If it is faulty.
    """
    text, source = _text_in_force(config, connection)
    return RulesetInForce(ruleset_of_text(text, source), digest_of(text), source)


def _text_in_force(config: Config, connection: Connection) -> tuple[str, str]:
    stored = active_ruleset(connection)
    if stored is not None:
        return stored.body, f"ruleset {stored.id}"
    return ruleset_text(config), config.rules_file or SHIPPED


class RulesetWatch:
    """What one service judges by. Ask `changed` now and then; when the new ruleset is in use, say `take`."""

    def __init__(self, config: Config, engine: Engine, service: str) -> None:
        self._config = config
        with reading(engine) as connection:
            self._mark = self._look(connection)
            self._held = ruleset_in_force(config, connection)
        self._refused = ""
        self.status = RulesetStatus(
            service, self._held.ruleset.version, self._held.digest, self._held.source, config.clock.now_ms()
        )

    @property
    def ruleset(self) -> Ruleset:
        """The ruleset in use."""
        return self._held.ruleset

    def changed(self, connection: Connection) -> RulesetInForce | None:
        """The ruleset to go over to, if there is one and it is sound. What is refused is told once and stands in ``status``."""
        mark = self._look(connection)
        if mark == self._mark:
            return None
        self._mark = mark
        source = "ruleset"
        try:
            text, source = _text_in_force(self._config, connection)
            if digest_of(text) == self._held.digest:
                self._settle()
                return None
            return RulesetInForce(ruleset_of_text(text, source), digest_of(text), source)
        except ConfigurationError as error:
            self.refuse(error.faults)
            return None

    def refuse(self, faults: list[str]) -> None:
        """Keep what is in force, and say why loudly."""
        told = "; ".join(faults[:_MOST_TOLD])
        _log.error("ruleset refused, the old one stays in force", version=self._held.ruleset.version, faults=faults)
        self.status = replace(self.status, error=told, error_at=self._config.clock.now_ms())

    def take(self, new: RulesetInForce) -> None:
        """From now on judged by the new one."""
        _log.info("ruleset in force", version=new.ruleset.version, was=self._held.ruleset.version, source=new.source)
        self._held = new
        self.status = RulesetStatus(
            self.status.service, new.ruleset.version, new.digest, new.source, self._config.clock.now_ms()
        )

    def _settle(self) -> None:
        """The file is back to what is in force: nothing is refused any more."""
        self.status = replace(self.status, error="", error_at=None)

    def _look(self, connection: Connection) -> _Mark:
        """Changes whenever the ruleset may have."""
        number = activation_number(connection)
        if not self._config.rules_file:
            return (number,)
        try:
            stat = Path(self._config.rules_file).stat()
        except OSError:
            return (number, -1)
        return number, stat.st_mtime_ns, stat.st_size, stat.st_ino
