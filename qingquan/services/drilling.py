"""Begins a drill on a running system."""

from alerts.drills import start_drill
from alerts.messages import AlertSettings
from qingquan.config import Config
from qingquan.domain.incidents import Incident
from qingquan.errors import WrongUse
from qingquan.services.escalating import WorksLookup
from qingquan.store.sql.engine import check_schema, open_database, writing

__all__ = ["begin_drill"]


def begin_drill(config: Config, works: str, by: str) -> Incident:
    """A drill at ``county/id``. Raises `WrongUse` for another form, `NotFound`, `TransitionRefused`."""
    county, _, number = works.partition("/")
    if not number:
        raise WrongUse(f"--works {works}: give county/id, for example 520425/W0077")
    settings = AlertSettings.from_config(config)
    engine = open_database(config.sql_url)
    try:
        check_schema(engine)
        with writing(engine) as connection:
            lookup = WorksLookup().of(connection)
            return start_drill(connection, county, number, by, lookup, config.clock.now_ms(), settings)
    finally:
        engine.dispose()
