"""The platform looking at itself: measures, signs of life, and what is watched."""

from dataclasses import dataclass
from enum import StrEnum

from qingquan.domain.findings import Severity

__all__ = ["Change", "Condition", "Measure", "ServiceSign", "Side", "Watch"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure the watchdog took: ``name`` as in the metrics (without prefix), ``label`` tells its kind apart (``""`` = one only)."""

    name: str
    value: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class ServiceSign:
    """A process that said it is alive. Times are of the wall [ms since epoch].

    ``is_caught_up``: whether it has caught up with the reading log since it started; ``None`` where it reads none. ``log``:
    which one that is, empty where it reads none.
    """

    service: str
    instance: str
    started_at: int
    seen_at: int
    rss_bytes: int
    cpu_s: float
    is_caught_up: bool | None = None
    version: str = ""
    log: str = ""


class Side(StrEnum):
    """On which side of its bound a measure is bad."""

    ABOVE = "above"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Watch:
    """One row of the watchdog's table: a measure, its bound, and how long it must be beyond before somebody is told.

    ``clear`` is the bound on the way back (hysteresis); ``for_s`` and ``clear_s`` [s] how long it must hold either way. With
    ``stops_heartbeat`` the outside watcher hears nothing while the measure is beyond: the chain from device to person is broken.
    """

    cause: str
    measure: str
    side: Side
    bound: float
    clear: float
    for_s: float
    clear_s: float
    severity: Severity
    stops_heartbeat: bool


class Condition(StrEnum):
    """State of a watched measure."""

    OK = "ok"
    PENDING = "pending"
    FIRING = "firing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Change:
    """A watched measure began (``is_firing``) or ceased to be a reason to tell somebody.

    ``cause`` is the watch's, with ``:label`` where the measure has one; ``since`` when it went beyond its bound [our ms].
    """

    cause: str
    watch: Watch
    is_firing: bool
    since: int
    at: int
    value: float
