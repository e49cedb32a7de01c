"""Alarms whose moment is known: works that lose their residual, and a look at the outbox from outside.

Each alarm has a works of its own, whose residual has been at the floor for just less than the time MISSING takes; one
reading completes it. Seen is what another process sees: the clock stops when a reader of the database finds the row.
"""

import threading
import time
from collections.abc import Mapping, Set
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from sqlalchemy import Engine, select

from qingquan.domain.findings import FindingKind
from qingquan.domain.works import Contact, Role, Works
from qingquan.errors import StoreUnavailable
from qingquan.services.bench.load import PARAMETERS, STEP_MS
from qingquan.store.sql.engine import reading
from qingquan.store.sql.schema import incident, outbox

__all__ = ["OutboxWatch", "at_floor", "delays", "sound", "told", "topic"]

# What a loss of the residual opens; a works that was silent before may have been told of already.
_LOSSES = (FindingKind.DISINFECTION_LOW.value, FindingKind.DISINFECTION_MISSING.value)


def told(one: Works) -> Works:
    """The works with somebody who is told."""
    return replace(one, contacts=(Contact(Role.CARETAKER, "某（模拟管水员）", "19900000000"),))


def topic(one: Works) -> str:
    """Where the works publishes."""
    return f"wq/{one.county}/{one.id}/outlet/json"


def at_floor(at: int) -> dict[str, object]:
    """A reading of all parameters with next to no residual; values move, so that no sensor seems stuck."""
    return _reading(at, 0.01)


def sound(at: int) -> dict[str, object]:
    """The same with a residual as it should be."""
    return _reading(at, 0.6)


def _reading(at: int, residual: float) -> dict[str, object]:
    wobble = at // STEP_MS % 3
    others = (0.4 + 0.02 * wobble, 7.2 + 0.03 * wobble, 17.0 + 0.1 * wobble, 12.0 + 0.4 * wobble)
    return {"t": at, "v": dict(zip(PARAMETERS, (residual + 0.005 * wobble, *others), strict=True))}


class OutboxWatch:
    """Looks at the outbox every ``look_s`` in a thread of its own while entered, for messages about the ``wanted`` works."""

    def __init__(self, engine: Engine, wanted: Set[str], look_s: float) -> None:
        self._engine = engine
        self._wanted = wanted
        self._look_s = look_s
        self._found: dict[str, float] = {}
        self._newest = 0
        self._stop = threading.Event()
        self._is_complete = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="outbox-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, wait_s: float) -> Mapping[str, float]:
        """When the first message of each works was found [s of `time.time`], once all are, or after ``wait_s``."""
        self._is_complete.wait(wait_s)
        return dict(self._found)

    def _watch(self) -> None:
        while not self._stop.wait(self._look_s):
            works = self._news()
            now = time.time()
            for one in works:
                if one in self._wanted:
                    self._found.setdefault(one, now)
            if len(self._found) == len(self._wanted):
                self._is_complete.set()
                return

    def _news(self) -> list[str]:
        query = (
            select(outbox.c.id, incident.c.works, incident.c.kind)
            .join(incident, incident.c.id == outbox.c.incident_id)
            .where(outbox.c.id > self._newest)
            .order_by(outbox.c.id)
        )
        try:
            with reading(self._engine) as connection:
                rows = connection.execute(query).all()
        except StoreUnavailable:
            return []
        self._newest = rows[-1].id if rows else self._newest
        return [row.works for row in rows if row.kind in _LOSSES]


def delays(seen: Mapping[str, float], published: Mapping[str, float]) -> dict[str, Any]:
    """Distribution of the time from ``published`` to ``seen`` [ms]. Keys: `alarms`, `lost`, `too_early`, `p50_ms` and on.

    Raises
    ------
    ValueError
        If none was seen.
    """
    found = np.array([seen[one] - at for one, at in published.items() if one in seen]) * 1000
    if not len(found):
        raise ValueError(f"none of {len(published)} alarms reached the outbox")
    p50, p90, p99 = np.percentile(found, [50, 90, 99])
    return {
        "alarms": len(published),
        "lost": len(published) - len(found),
        "too_early": int((found < 0).sum()),
        "p50_ms": round(float(p50), 1),
        "p90_ms": round(float(p90), 1),
        "p99_ms": round(float(p99), 1),
        "max_ms": round(float(found.max()), 1),
    }
