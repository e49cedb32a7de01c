"""Entering works in the register that a simulator or a recorded file brings along."""

from collections.abc import Sequence

from qingquan.config import Config
from qingquan.domain.works import Works
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.register import load_works, save_works

__all__ = ["register_missing"]


def register_missing(config: Config, entries: Sequence[Works]) -> int:
    """Save those works that the register does not hold yet; how many. Works that people have entered are never changed."""
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    try:
        with reading(engine) as connection:
            held = {(one.county, one.id) for one in load_works(connection)}
        missing = [one for one in entries if (one.county, one.id) not in held]
        if missing:
            with writing(engine) as connection:
                save_works(connection, missing)
        return len(missing)
    finally:
        engine.dispose()
