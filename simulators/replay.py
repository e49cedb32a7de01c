"""`replay`: recorded rows go out over MQTT as a device would have sent them, one message per row and point.

A row whose values are all missing is sent too, with ``null`` for each: the device spoke and had no value, which is not
silence. A refused row (no readable time) cannot be sent, nor can a refused cell; both are counted. So always
``values + missing + refused_cells == (rows - refused_rows) * columns``.
"""

import json
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from qingquan.config import Config
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import Topic
from qingquan.errors import WrongUse
from simulators.devices import DEFAULT_WINDOW, Devices

__all__ = ["RecordedCell", "RecordedChunk", "RecordedColumn", "ReplayCounts", "payloads_of", "replay"]

PROGRESS_S = 5.0
BACKLOG = 20_000
CONNECT_S = 30.0
DRAIN_S = 60.0


class RecordedColumn(Protocol):
    """A column of the recording."""

    @property
    def name(self) -> str: ...
    @property
    def point(self) -> str: ...
    @property
    def parameter(self) -> Parameter: ...


class RecordedCell(Protocol):
    """Something refused: a row, or with ``column`` one cell of it."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> str: ...


class RecordedChunk(Protocol):
    """Rows in file order; ``values`` has one column per `RecordedColumn`, NaN = missing or refused."""

    @property
    def line(self) -> npt.NDArray[np.int64]: ...
    @property
    def observed_at(self) -> npt.NDArray[np.int64]: ...
    @property
    def values(self) -> npt.NDArray[np.float64]: ...
    @property
    def refused(self) -> Sequence[RecordedCell]: ...
    @property
    def rows(self) -> int: ...


@dataclass(slots=True)
class ReplayCounts:
    """What became of the rows. ``acknowledged`` of ``messages`` are in the reading log, for the broker said so."""

    rows: int = 0
    messages: int = 0
    acknowledged: int = 0
    values: int = 0
    missing: int = 0
    refused_rows: int = 0
    refused_cells: int = 0
    reconnects: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every message was acknowledged."""
        return self.acknowledged == self.messages


def replay(
    chunks: Iterable[RecordedChunk],
    columns: Sequence[RecordedColumn],
    county: str,
    works: str,
    config: Config,
    speed: float | Literal["max"] = 1.0,
    *,
    shift_ms: int = 0,
    window: int = DEFAULT_WINDOW,
    report: Callable[[ReplayCounts], None] | None = None,
    stop: threading.Event | None = None,
) -> ReplayCounts:
    """Publish recorded rows at QoS 1 to the MQTT broker of ``config``, ``speed`` times as fast as they were recorded.

    Readings keep their recorded times, moved by ``shift_ms``. At most ``window`` messages wait for their PUBACK; after a lost
    connection those are sent again. Returns when the broker has answered for everything, or ``stop`` is set.

    Raises
    ------
    BrokerLost
        If the broker cannot be reached at the start, or refuses the user.
    WrongUse
        If ``speed`` is not above 0.
    """
    if speed != "max" and not (0 < speed < math.inf):
        raise WrongUse(f"speed = {speed:g}: allowed: more than 0, or max")
    stop = stop or threading.Event()
    counts = ReplayCounts()
    devices = Devices(config, 1, window=window)
    pace = _Pace(None if speed == "max" else speed, devices, counts, report, stop)
    try:
        devices.connect(CONNECT_S)
        for chunk in chunks:
            for at, topic, payload in payloads_of(chunk, columns, county, works, counts, shift_ms):
                pace.wait_for(at)
                if stop.is_set():
                    return pace.finish(0.0)
                counts.messages += 1
                devices.put(0, "wq/" + "/".join(topic), payload)
        return pace.finish(DRAIN_S)
    finally:
        devices.close()


def payloads_of(
    chunk: RecordedChunk, columns: Sequence[RecordedColumn], county: str, works: str, counts: ReplayCounts, shift_ms: int = 0
) -> Iterator[tuple[int, Topic, bytes]]:  # fmt: skip
    """Time [ms], topic and payload of each message of a chunk, in file order; what is in them is added to ``counts``."""
    refused_cells = {(part.line, part.column) for part in chunk.refused if part.column}
    refused_rows = sum(1 for part in chunk.refused if not part.column)
    counts.rows += chunk.rows
    counts.refused_rows += refused_rows
    counts.refused_cells += len(refused_cells)
    points: dict[str, list[int]] = {}
    for number, column in enumerate(columns):
        points.setdefault(column.point, []).append(number)
    topics = {point: Topic(county, works, point, "json") for point in points}
    for line, at, row in zip(chunk.line.tolist(), chunk.observed_at.tolist(), chunk.values.tolist(), strict=True):
        for point, numbers in points.items():
            content: dict[str, float | None] = {}
            for number in numbers:
                if refused_cells and (line, columns[number].name) in refused_cells:
                    continue
                value = row[number]
                has_value = value == value  # NaN is the one number that is not itself
                content[columns[number].parameter.code] = value if has_value else None
                counts.values += has_value
                counts.missing += not has_value
            if content:
                yield at, topics[point], json.dumps({"t": at + shift_ms, "v": content}, separators=(",", ":")).encode()


class _Pace:
    """Keeps the recording's own pace, the buffer small and the caller informed."""

    def __init__(
        self, speed: float | None, devices: Devices, counts: ReplayCounts,
        report: Callable[[ReplayCounts], None] | None, stop: threading.Event,
    ) -> None:  # fmt: skip
        self._speed = speed
        self._devices = devices
        self._counts = counts
        self._report = report
        self._stop = stop
        self._began = self._reported = time.monotonic()
        self._first: int | None = None
        self._since_pump = 0

    def wait_for(self, at: int) -> None:
        """Wait until a row recorded at ``at`` [ms] is due and the buffer has room. Rows out of order are due at once."""
        if self._first is None:
            self._first = at
        while not self._stop.is_set():
            self._tell()
            ahead_s = 0.0
            if self._speed is not None:
                ahead_s = (at - self._first) / 1000 / self._speed - (time.monotonic() - self._began)
            if ahead_s <= 0 and self._devices.waiting < BACKLOG:
                break
            self._devices.pump(min(max(ahead_s, 0.001), 0.05))
        self._since_pump += 1
        if self._since_pump >= 64 or self._speed is not None:
            self._since_pump = 0
            self._devices.pump(0.0)

    def finish(self, wait_s: float) -> ReplayCounts:
        """Wait for the last acknowledgements, as long as some keep coming within ``wait_s``."""
        before = -1
        while self._devices.acknowledged != before and not self._stop.is_set():
            before = self._devices.acknowledged
            if self._devices.drain(wait_s):
                break
        self._tell(now=True)
        return self._counts

    def _tell(self, *, now: bool = False) -> None:
        moment = time.monotonic()
        if not now and moment - self._reported < PROGRESS_S:
            return
        self._reported = moment
        self._counts.acknowledged = self._devices.acknowledged
        self._counts.reconnects = self._devices.reconnects
        if self._report is not None:
            self._report(self._counts)
