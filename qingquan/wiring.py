"""Composition root: the only module that knows which adapter and which process stands behind which name."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module

from qingquan.config import ENVIRONMENT_PREFIX, Config
from qingquan.errors import StoreUnavailable

__all__ = ["SERVICES", "environment_of", "service"]


def _log_server(config: Config) -> int:
    """The embedded reading log; what its server refused is counted in the database."""
    from qingquan.services import ready
    from qingquan.services.log_server import run
    from qingquan.store.sql.engine import open_database, reading, writing
    from qingquan.store.sql.progress import RECORDER_PARTITION, SNAPSHOT_PARTITION, add_counts, applied_sequence

    engine = open_database(config.sql_url)

    waiting: Counter[str] = Counter()

    def count(increments: Mapping[str, int]) -> None:
        waiting.update(increments)
        with suppress(StoreUnavailable):
            with writing(engine) as connection:
                add_counts(connection, waiting)
            waiting.clear()

    def covered() -> int:
        with reading(engine) as connection:
            return min(applied_sequence(connection, reader) for reader in (RECORDER_PARTITION, SNAPSHOT_PARTITION))

    ready.clear(config, "log-server")
    return run(config, on_counts=count, on_ready=lambda _: ready.say(config, "log-server"), covered=covered)


def _imported(module: str) -> Callable[[Config], int]:
    def run(config: Config) -> int:
        found: Callable[[Config], int] = import_module(f"qingquan.services.{module}").run
        return found(config)

    return run


SERVICES: dict[str, Callable[[Config], int]] = {
    "log-server": _log_server,
    "database-server": _imported("database_server"),
    "evaluator": _imported("evaluator"),
    "recorder": _imported("recorder"),
    "alerter": _imported("alerter"),
    "detector": _imported("detector"),
    "compliance": _imported("compliance"),
    "adviser": _imported("adviser"),
    "web": _imported("web"),
    "watchdog": _imported("watchdog"),
    "bridge": _imported("bridge"),
    "edges": _imported("edges"),
    "gateway-double": _imported("gateway_double"),
}


def service(name: str) -> Callable[[Config], int]:
    """The function that runs a service until it is told to stop."""
    return SERVICES[name]


def environment_of(config: Config) -> dict[str, str]:
    """Settings that differ from their defaults, as environment variables for a child process."""
    return {
        ENVIRONMENT_PREFIX + row.name.upper(): str(value)
        for row in dataclasses.fields(Config)
        if (value := getattr(config, row.name)) != row.default
    }
