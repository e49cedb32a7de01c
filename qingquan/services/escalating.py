"""What time alone brings about for incidents: rungs due, leases run out, silences, observations and drills at their end.

Runs as a thread of the alerter; several alerters may run. Whoever gets an incident's row first does its work, in one
transaction, so no lease is needed and nothing is done twice. The clock is ours, as everywhere: on a demo clock hours pass in
minutes, and the clock set back makes things late, never double.
"""

from collections.abc import Callable

import structlog
from sqlalchemy import Connection, Engine

from alerts.apply import AlertSettings, attend
from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.register import get_works, register_version
from qingquan.store.sql.rungs import is_any_due

__all__ = ["Escalator", "WorksLookup"]

AT_ONCE = 25
"""Incidents looked at in one transaction, so that an alarm does not wait for more of them."""

_log = structlog.get_logger("alerter")


class WorksLookup:
    """Works by county and id, read when asked for and kept until the register changes."""

    def __init__(self) -> None:
        self._version = -1
        self._works: dict[tuple[str, str], Works | None] = {}

    def of(self, connection: Connection) -> Callable[[tuple[str, str]], Works | None]:
        """The register as this transaction sees it."""
        version = register_version(connection)
        if version != self._version:
            self._version, self._works = version, {}

        def found(key: tuple[str, str]) -> Works | None:
            if key not in self._works:
                self._works[key] = get_works(connection, *key) if key[1] else None
            return self._works[key]

        return found


class Escalator:
    """Steps through the incidents that want looking at. Raises `StoreUnavailable` when the database does not answer."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._engine = engine
        self._clock = config.clock
        self._settings = AlertSettings.from_config(config)
        self._lookup = WorksLookup()

    def step(self) -> int:
        """Do what is due; how many messages came of it, plus one while there is more to look at."""
        with reading(self._engine) as connection:
            if not is_any_due(connection, self._clock.now_ms()):
                return 0
        with writing(self._engine) as connection:
            done = attend(connection, self._lookup.of(connection), self._clock.now_ms(), self._settings, AT_ONCE)
        if done.messages_queued or done.resolved:
            _log.info(
                "ladders_climbed", incidents=done.looked_at, resolved=done.resolved, messages=done.messages_queued
            )
        return done.messages_queued + (done.looked_at >= AT_ONCE)
