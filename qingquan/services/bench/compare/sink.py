"""InfluxDB 1.x, asked from outside by InfluxQL: how much has arrived, and when the marked readings did."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

__all__ = ["MarkWatch", "Sink"]

TIMEOUT_S = 60.0


class Sink:
    """A database of a server. Not for use by two threads at once."""

    def __init__(self, url: str, database: str) -> None:
        self.url = url
        self.database = database
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)

    def create(self) -> None:
        """Make the database."""
        self._asked("POST", f'CREATE DATABASE "{self.database}"')

    def count(self, start: int, end: int, works: Sequence[str] = ()) -> int:
        """Readings of free chlorine, one a message, with start <= time < end [ms]; of these works alone, if any are named.

        Over thousands of works it costs the server a tenth of a second of processor time and more.
        """
        span = f"time >= {start}ms AND time < {end}ms"
        if works:
            span += " AND (" + " OR ".join(f"works = '{one}'" for one in works) + ")"
        rows = self._asked("GET", f"SELECT count(free_chlorine) FROM reading WHERE {span}")  # noqa: S608 - our own numbers
        return int(rows[0][1]) if rows else 0

    def times(self, works: str, after: int) -> list[int]:
        """Times [ms] of a works' readings that are later than ``after``."""
        place = f"works = '{works}' AND time > {after}ms"
        rows = self._asked("GET", f"SELECT free_chlorine FROM reading WHERE {place}")  # noqa: S608 - our own names
        return [int(row[0]) for row in rows]

    def close(self) -> None:
        """Release the connection."""
        self._connection.close()

    def _asked(self, method: str, query: str) -> list[list[Any]]:
        target = "/query?" + urlencode({"db": self.database, "epoch": "ms", "q": query})
        self._connection.request(method, target)
        answer = self._connection.getresponse()
        found = json.loads(answer.read())
        series = found.get("results", [{}])[0].get("series", [])
        rows: list[list[Any]] = series[0]["values"] if series else []
        return rows


class MarkWatch:
    """Notes when each reading of one works is first found in the sink, in a thread of its own while entered."""

    def __init__(self, url: str, database: str, works: str, look_s: float = 0.01) -> None:
        self._sink = Sink(url, database)
        self._works = works
        self._look_s = look_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="mark-watch", daemon=True)
        self.found: dict[int, float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._sink.close()

    def wait(self, count: int, wait_s: float) -> None:
        """Until so many are found, or ``wait_s`` is over."""
        deadline = time.monotonic() + wait_s
        while len(self.found) < count and time.monotonic() < deadline:
            time.sleep(self._look_s)

    def _watch(self) -> None:
        newest = 0
        while not self._stop.wait(self._look_s):
            times = self._sink.times(self._works, newest)
            now = time.time()
            for at in times:
                self.found.setdefault(at, now)
            newest = max(times, default=newest)
