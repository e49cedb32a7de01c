"""Begins drills on a running system: at one works, or at a share of a county's works."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from alerts.drills import DRILL, drawn, start_drill
from alerts.messages import AlertSettings
from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.incidents import Incident
from qingquan.errors import NotFound, TransitionRefused, WrongUse
from qingquan.services.escalating import WorksLookup
from qingquan.store.sql.engine import check_schema, open_database, writing
from qingquan.store.sql.incidents import open_incident_for
from qingquan.store.sql.register import load_works
from qingquan.store.sql.rungs import last_drilled

__all__ = ["begin_drill", "begin_drills", "draw_drills"]

# More at once would be a day's work for a county's people, and no drill any more.
MOST_PERCENT = 10.0

T = TypeVar("T")


def begin_drill(config: Config, works: str, by: str) -> Incident:
    """A drill at ``county/id``. Raises `WrongUse` for another form, `NotFound`, `TransitionRefused`."""
    county, _, number = works.partition("/")
    if not number:
        raise WrongUse(f"--works {works}: give county/id, for example 520425/W0077")
    settings, now = AlertSettings.from_config(config), config.clock.now_ms()

    def begun(connection: Connection) -> Incident:
        return start_drill(connection, county, number, by, WorksLookup().of(connection), now, settings)

    return _written(config, begun)


def begin_drills(config: Config, county: str, percent: float, by: str) -> list[Incident]:
    """Drills at a share of a county's works; see `draw_drills`."""
    settings, now = AlertSettings.from_config(config), config.clock.now_ms()
    return _written(config, lambda connection: draw_drills(connection, county, percent, by, now, settings))


def draw_drills(
    connection: Connection, county: str, percent: float, by: str, now_ms: int, settings: AlertSettings
) -> list[Incident]:
    """Drills at a share of a county's works, those first whose last drill is longest ago; the draw of a month can be repeated.

    Raises
    ------
    NotFound
        If the register has no works in that county.
    TransitionRefused
        For a share out of bounds, where nobody says who holds the drills, and where all drawn works have one under way.
    """
    if not 0 < percent <= MOST_PERCENT:
        raise TransitionRefused(f"share = {percent:g} %: allowed: above 0, at most {MOST_PERCENT:g}")
    works = [(one.county, one.id) for one in load_works(connection) if one.county == county]
    if not works:
        raise NotFound(f"works in county {county}")
    month: datetime = from_ms(now_ms).astimezone(ZoneInfo(settings.style.time_zone))
    chosen = drawn(works, last_drilled(connection, county), percent, f"{month:%Y-%m}")
    free = [key for key in chosen if open_incident_for(connection, *key, DRILL) is None]
    if not free:
        raise TransitionRefused(f"a drill is under way at every works drawn in county {county}")
    lookup = WorksLookup().of(connection)
    return [start_drill(connection, *key, by, lookup, now_ms, settings) for key in free]


def _written(config: Config, change: Callable[[Connection], T]) -> T:
    engine = open_database(config.sql_url)
    try:
        check_schema(engine)
        with writing(engine) as connection:
            return change(connection)
    finally:
        engine.dispose()
