"""What the console asks about sudden changes of water quality: events, people's marks on them, detectors, known patterns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qingquan.domain.findings import Finding
from qingquan.store.sql.events import DetectorFigures, EventMark, EventQuery, EventSwitch, KnownEvent
from qingquan.store.sql.statements import Page

__all__ = ["FIGURES_DAYS", "DetectorWord", "EventDesk", "HistoryEntry", "SeenEvent"]

FIGURES_DAYS = 28
"""Over how many days the figures of a detector are counted."""


@dataclass(frozen=True, slots=True)
class SeenEvent:
    """An event, and what a person said of it."""

    finding: Finding
    mark: EventMark | None


@dataclass(frozen=True, slots=True)
class DetectorWord:
    """A works' detector: the score it tells from (1 unless marks raised it), whether it is silent, and why.

    ``switch``: a person's word, newest; ``real``, ``false``: marks so far; ``real_share``: of the newest 30, ``None`` before that.
    """

    county: str
    works: str
    threshold: float
    is_silent: bool
    switch: EventSwitch | None
    real: int
    false: int
    real_share: float | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Who did what about a works' events, when [ms]: ``mark_real``, ``silence``, ``save_pattern`` and so on."""

    at: int
    by: str
    action: str
    detail: str


class EventDesk(Protocol):
    """Methods block; callers run them in a thread. Every one raises `StoreUnavailable` when a store does not answer,
    `NotFound` for what does not exist and `TransitionRefused` with a reason for what cannot be done."""

    def events(self, query: EventQuery) -> Page[SeenEvent]:
        """Events that fit, newest start first."""
        ...

    def mark(self, event: str, verdict: str, by: str) -> SeenEvent:
        """Say that an event was ``real`` or ``false``; an earlier word on it is replaced, and stays in the history."""
        ...

    def detector(self, county: str, works: str) -> DetectorWord:
        """How a works' detector stands."""
        ...

    def detectors(self, region: str) -> Sequence[DetectorWord]:
        """Detectors that marks or people have changed, silent ones first."""
        ...

    def figures(self, region: str, works: str = "") -> Sequence[DetectorFigures]:
        """What detectors came to over the last `FIGURES_DAYS` days, those with most events first; works without events are left out."""
        ...

    def switch(self, county: str, works: str, is_silent: bool | None, by: str) -> DetectorWord:
        """Silence a detector, let it speak, or (``None``) leave it to the marks given from now on."""
        ...

    def patterns(self, region: str, works: str) -> Sequence[KnownEvent]:
        """Known benign events, oldest first; ``works`` empty = all of the region."""
        ...

    def save_pattern(self, event: str, name: str, by: str) -> KnownEvent:
        """Take an event's shape as a known benign one."""
        ...

    def delete_pattern(self, pattern_id: int, by: str) -> None:
        """Forget it."""
        ...

    def history(self, county: str, works: str) -> Sequence[HistoryEntry]:
        """What people did, newest first."""
        ...
