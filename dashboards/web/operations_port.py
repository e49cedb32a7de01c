"""What the console asks about the platform itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qingquan.domain.operations import Measure, ServiceSign, Watch

__all__ = ["HeartbeatAnswer", "OperationsPort", "OperationsView", "WatchView"]


@dataclass(frozen=True, slots=True)
class WatchView:
    """A watched measure: ``condition`` is ``ok``, ``pending``, ``firing`` or ``unknown``; ``text`` and ``action`` by language."""

    cause: str
    watch: Watch
    condition: str
    value: float | None
    text: Mapping[str, str]
    action: Mapping[str, str]
    value_text: Mapping[str, str]
    bound_text: Mapping[str, str]
    incident_id: int | None = None


@dataclass(frozen=True, slots=True)
class OperationsView:
    """The platform as the watchdog saw it at ``taken_at`` [ms of the wall]; ``None`` = it has never looked."""

    taken_at: int | None
    now: int
    is_stale: bool
    watches: Sequence[WatchView] = ()
    measures: Sequence[Measure] = ()
    signs: Sequence[ServiceSign] = ()
    totals: Mapping[str, int] = field(default_factory=dict)
    contacts: Sequence[str] = ()
    is_heartbeat_on: bool = False


@dataclass(frozen=True, slots=True)
class HeartbeatAnswer:
    """What became of a heartbeat: HTTP status and a word on why."""

    status: int
    detail: str


class OperationsPort(Protocol):
    """Methods block; callers run them in a thread."""

    def view(self) -> OperationsView:
        """Everything. Raises `StoreUnavailable` when the database does not answer."""
        ...

    def metrics(self) -> bytes:
        """Text for Prometheus; also when the database does not answer."""
        ...

    def readiness(self) -> str:
        """Why the console cannot serve now; empty = it can."""
        ...

    def receive(self, sender: str, signature: str, body: bytes) -> HeartbeatAnswer:
        """Take a heartbeat of another installation. Raises `StoreUnavailable` when the database does not answer."""
        ...
