"""Calibration and maintenance: begun and ended by people, told to judging through the reading log.

Judging must come to the same result whenever the log is read again, so what it knows of maintenance are readings: `maintenance` =
1 at the beginning, 0 at the end, on the point's own topic. The row in the database says who and why.
"""

import json
from collections.abc import Callable

from sqlalchemy import Engine

from qingquan.clock import Clock
from qingquan.domain.maintenance import MAINTENANCE, Maintenance
from qingquan.domain.readings import Topic
from qingquan.errors import BrokerLost, NotFound, TransitionRefused
from qingquan.store.sql import maintenance as table
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.register import get_works

__all__ = ["MaintenanceDesk"]

MINUTE = 60_000
SHORTEST_MIN = 5


class MaintenanceDesk:
    """Begins, ends and lists maintenance. ``publish`` stores a message in the reading log. Safe to use from several threads.

    ``most_min``: the longest that may be planned [min], the ruleset's ``maintenance_most_min``: judging goes on by itself then.
    """

    def __init__(self, engine: Engine, clock: Clock, publish: Callable[[Topic, bytes], int], most_min: int) -> None:
        self._engine = engine
        self._clock = clock
        self._publish = publish
        self.most_min = most_min

    def begin(
        self, county: str, works: str, point: str, by: str, reason: str, minutes: int, calibrated: bool = True
    ) -> Maintenance:
        """Begin now, planned to last ``minutes``.

        Raises
        ------
        NotFound
            No such works or point.
        TransitionRefused
            It lasts already.
        ValueError
            ``minutes`` is not from 5 to ``most_min``; name or reason is empty.
        """
        by, reason = by.strip(), reason.strip()
        if not by or not reason:
            raise ValueError("give a name and a reason")
        if not SHORTEST_MIN <= minutes <= self.most_min:
            raise ValueError(f"{minutes} min: allowed: {SHORTEST_MIN} to {self.most_min}")
        now = self._clock.now_ms()
        with writing(self._engine) as connection:
            entry = get_works(connection, county, works)
            if entry is None or point not in {one.id for one in entry.points}:
                raise NotFound(f"point {point} of works {works} in county {county}")
            if any((one.works, one.point) == (works, point) for one in table.running_maintenance(connection, county)):
                raise TransitionRefused(f"point {point} of works {works} is under maintenance already")
            new = Maintenance(0, county, works, point, now, by, reason, now + minutes * MINUTE, calibrated)
            new_id = table.insert_maintenance(connection, new)
        self.send_unsent()
        return next(one for one in self.listed(county, works) if one.id == new_id)

    def end(self, county: str, works: str, maintenance_id: int, by: str) -> Maintenance:
        """End now. Again changes nothing. Raises `NotFound` where the works has no such maintenance."""
        if not by.strip():
            raise ValueError("give a name")
        with writing(self._engine) as connection:
            if maintenance_id not in {one.id for one in table.list_maintenance(connection, county, works, 1000)}:
                raise NotFound(f"maintenance {maintenance_id} of works {works} in county {county}")
            table.end_maintenance(connection, maintenance_id, self._clock.now_ms(), by.strip())
        self.send_unsent()
        return next(one for one in self.listed(county, works, 1000) if one.id == maintenance_id)

    def listed(self, county: str, works: str, limit: int = 50) -> list[Maintenance]:
        """Of one works, newest first."""
        with reading(self._engine) as connection:
            return table.list_maintenance(connection, county, works, limit)

    def running(self, region: str = "") -> list[Maintenance]:
        """What lasts in a region."""
        with reading(self._engine) as connection:
            return table.running_maintenance(connection, region)

    def every_minute(self) -> None:
        """End what has passed its planned end, and send what the log has not got yet."""
        with writing(self._engine) as connection:
            for one in table.overdue(connection, self._clock.now_ms()):
                table.end_maintenance(connection, one.id, one.planned_end, "")
        self.send_unsent()

    def send_unsent(self) -> int:
        """Send beginnings and ends to the log; how many it has taken. While it does not answer they wait here."""
        with reading(self._engine) as connection:
            waiting = table.unsent(connection)
        sent = 0
        for one, is_end in waiting:
            at = one.ended_at if is_end else one.started_at
            payload = json.dumps({"t": at, "v": {MAINTENANCE: 0 if is_end else 1}}).encode()
            try:
                sequence = self._publish(Topic(one.county, one.works, one.point, "json"), payload)
            except BrokerLost:
                return sent
            with writing(self._engine) as connection:
                table.mark_sent(connection, one.id, is_end, sequence)
            sent += 1
        return sent
