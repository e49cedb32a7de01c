"""After a start nobody is told anything until the state is loaded.

A platform that has just come up sees works as they were, not as they are: readings of the outage are still in the log. Messages
due meanwhile stay in the outbox and go out afterwards, or are called off by what the evaluators find on the way.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.operations import ServiceSign
from qingquan.store.sql.engine import reading
from qingquan.store.sql.operations import load_signs

__all__ = ["EVALUATOR", "Hold", "RestartHold"]

EVALUATOR = "evaluator"
# An evaluator not heard of for so long is no longer waited for; the watchdog tells of it. In the wall's time.
GONE_S = 60.0
LOOK_EVERY_S = 1.0

_log = structlog.get_logger("alerter")


@dataclass(slots=True)
class Hold:
    """Whether to hold, from the signs of the evaluators. Pure: seconds that never jump come in.

    ``least_s`` is how long at least after our start and after that of an evaluator, ``most_s`` how long at most.
    """

    begun_s: float
    least_s: float
    most_s: float
    _seen: dict[str, float] = field(default_factory=dict)
    _held_since: float | None = None
    _ignored_until: float = 0.0

    def __post_init__(self) -> None:
        self._held_since = self.begun_s

    @property
    def is_holding(self) -> bool:
        """As of the last look."""
        return self._held_since is not None

    def look(self, signs: list[ServiceSign], now_s: float, wall_ms: int) -> bool:
        """Whether messages wait at this moment."""
        alive = [one for one in signs if one.service == EVALUATOR and (wall_ms - one.seen_at) / 1000 <= GONE_S]
        for one in alive:
            if one.instance not in self._seen:
                self._seen[one.instance] = now_s - max(0.0, (wall_ms - one.started_at) / 1000)
        if self.least_s <= 0 or now_s < self._ignored_until:
            self._held_since = None
            return False
        starts = [self.begun_s, *(self._seen[one.instance] for one in alive)]
        is_settled = (
            all(one.is_caught_up for one in alive) if alive else now_s - self.begun_s >= max(GONE_S, self.least_s)
        )
        if is_settled and now_s - max(starts) >= self.least_s:
            self._held_since = None
            return False
        if self._held_since is None:
            self._held_since = now_s
        if now_s - self._held_since >= max(self.most_s, self.least_s):
            # An evaluator that starts again and again must not silence us: for as long as we held, starts are ignored.
            self._ignored_until = now_s + max(self.most_s, self.least_s)
            self._held_since = None
            return False
        return True


class RestartHold:
    """Asked by every thread of the alerter before each step; looks at the database now and then."""

    def __init__(self, config: Config, engine: Engine, seconds: Callable[[], float] = time.monotonic) -> None:
        speed = config.clock.speed
        self._engine, self._seconds = engine, seconds
        self._hold = Hold(seconds(), config.restart_hold_s / speed, config.restart_hold_most_s / speed)
        self._is_off = config.restart_hold_s <= 0
        self._looked_s = -LOOK_EVERY_S
        self._is_told = False
        self._lock = threading.Lock()

    def is_on(self) -> bool:
        """Whether messages wait. Raises `StoreUnavailable` when the database does not answer."""
        if self._is_off:
            return False
        with self._lock:
            return self._is_on()

    def held(self, step: Callable[[], int]) -> Callable[[], int]:
        """The step of a thread of the alerter, doing nothing while messages wait."""
        return lambda: 0 if self.is_on() else step()

    def _is_on(self) -> bool:
        now_s = self._seconds()
        if now_s - self._looked_s < LOOK_EVERY_S:
            return self._hold.is_holding
        self._looked_s = now_s
        with reading(self._engine) as connection:
            signs = load_signs(connection)
        is_holding = self._hold.look(signs, now_s, time.time_ns() // 1_000_000)
        if is_holding != self._is_told:
            _log.info("messages_held" if is_holding else "messages_go_out", why="state is being loaded after a start")
            self._is_told = is_holding
        return is_holding
