"""What an evaluator is responsible for: the whole log, or one partition that others may take over.

A scope knows where position and snapshot are kept, and lets no transaction through once another owner has come.
"""

import os
import secrets
import socket
from collections.abc import Iterable
from typing import Protocol

import structlog
from sqlalchemy import Connection

from qingquan.config import Config
from qingquan.domain.findings import Finding
from qingquan.domain.works import Works
from qingquan.errors import ConfigurationError
from qingquan.services.snapshots import FileSnapshots, HeldSnapshots, Snapshots
from qingquan.store.reading_log.kept_state import KeptState
from qingquan.store.reading_log.partition import partition_of
from qingquan.store.sql import ownership
from qingquan.store.sql.progress import (
    SNAPSHOT_PARTITION,
    applied_sequence,
    rewind_applied_sequences,
    set_applied_sequence,
)

__all__ = ["EVALUATOR", "OnePartition", "Scope", "WholeLog", "claim_whole_log", "holder_name"]

EVALUATOR = "evaluator"

_log = structlog.get_logger(__name__)


class Scope(Protocol):
    """Part of the log, and the books kept about it."""

    partition: int | None
    snapshots: Snapshots

    def fence(self, connection: Connection) -> None:
        """Inside a transaction: raise `OwnershipLost` unless we are the owner until its end."""
        ...

    def applied(self, connection: Connection) -> int:
        """Log sequence up to which findings are in the database."""
        ...

    def advance(self, connection: Connection, applied: int) -> None:
        """Note that findings up to ``applied`` are in the database."""
        ...

    def saved(self, connection: Connection, covered: int) -> None:
        """Note that snapshots reach up to ``covered``: the log may forget what lies before."""
        ...

    def rewind(self, connection: Connection, sequence: int) -> None:
        """Take back what lies beyond ``sequence``."""
        ...

    def works(self, works: Iterable[Works]) -> list[Works]:
        """Those judged here."""
        ...

    def findings(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those of works judged here."""
        ...

    async def publish(self, covered: int) -> None:
        """Make the saved snapshots those that a successor will find."""
        ...


class WholeLog:
    """All partitions, one process, snapshots in the data folder. ``epoch`` is that of `claim_whole_log`, if it was claimed."""

    partition: int | None = None

    def __init__(self, config: Config, epoch: int | None = None) -> None:
        self.snapshots: Snapshots = FileSnapshots(config.data_path / "snapshots")
        self._epoch = epoch

    def fence(self, connection: Connection) -> None:
        """See `Scope.fence`."""
        if self._epoch is not None:
            ownership.require_owner(connection, EVALUATOR, ownership.WHOLE_LOG, self._epoch)

    def applied(self, connection: Connection) -> int:
        """See `Scope.applied`."""
        return applied_sequence(connection, 0)

    def advance(self, connection: Connection, applied: int) -> None:
        """See `Scope.advance`."""
        set_applied_sequence(connection, 0, applied)

    def saved(self, connection: Connection, covered: int) -> None:
        """See `Scope.saved`."""
        set_applied_sequence(connection, SNAPSHOT_PARTITION, covered)

    def rewind(self, connection: Connection, sequence: int) -> None:
        """See `Scope.rewind`."""
        rewind_applied_sequences(connection, sequence)

    def works(self, works: Iterable[Works]) -> list[Works]:
        """See `Scope.works`."""
        return list(works)

    def findings(self, findings: Iterable[Finding]) -> list[Finding]:
        """See `Scope.findings`."""
        return list(findings)

    async def publish(self, covered: int) -> None:
        """Nothing: they are on disk."""


class OnePartition:
    """One partition, owned under an epoch; its snapshot is kept by the log's own engine."""

    def __init__(self, config: Config, partition: int, epoch: int, state: KeptState, parts: dict[str, bytes]) -> None:
        self.partition: int | None = partition
        self._number = partition
        self._partitions = config.log_partitions
        self._epoch = epoch
        self._state = state
        self._held = HeldSnapshots()
        self._held.parts = parts
        self.snapshots: Snapshots = self._held

    @staticmethod
    def state_name(partition: int) -> str:
        """Name of a partition's kept state."""
        return f"{EVALUATOR}.{partition}"

    def fence(self, connection: Connection) -> None:
        """See `Scope.fence`."""
        ownership.require_owner(connection, EVALUATOR, self._number, self._epoch)

    def applied(self, connection: Connection) -> int:
        """See `Scope.applied`."""
        return ownership.applied_of(connection, EVALUATOR, self._number)

    def advance(self, connection: Connection, applied: int) -> None:
        """See `Scope.advance`; the row for all partitions follows the slowest."""
        ownership.advance(connection, EVALUATOR, self._number, applied=applied)
        set_applied_sequence(connection, 0, ownership.least_applied(connection, EVALUATOR))

    def saved(self, connection: Connection, covered: int) -> None:
        """See `Scope.saved`."""
        ownership.advance(connection, EVALUATOR, self._number, snapshot=covered)
        set_applied_sequence(connection, SNAPSHOT_PARTITION, ownership.least_snapshot(connection, EVALUATOR))

    def rewind(self, connection: Connection, sequence: int) -> None:
        """See `Scope.rewind`."""
        ownership.rewind(connection, EVALUATOR, self._number, sequence)
        rewind_applied_sequences(connection, sequence)

    def works(self, works: Iterable[Works]) -> list[Works]:
        """See `Scope.works`."""
        return [one for one in works if partition_of(one.county, one.id, self._partitions) == self._number]

    def findings(self, findings: Iterable[Finding]) -> list[Finding]:
        """See `Scope.findings`."""
        return [one for one in findings if partition_of(one.county, one.works, self._partitions) == self._number]

    async def publish(self, covered: int) -> None:
        """See `Scope.publish`; raises `OwnershipLost` when another owner has come."""
        await self._state.commit(self.state_name(self._number), covered, self._held.parts)


def holder_name() -> str:
    """A name for this process that no other has: machine, process id, and a few letters for containers that share both."""
    return f"{socket.gethostname().replace('.', '-')}-{os.getpid()}-{secrets.token_hex(3)}"


def claim_whole_log(connection: Connection, service: str, holder: str) -> int:
    """Own the whole log from now on; the epoch. Another process that owned it is fenced off.

    Raises
    ------
    ConfigurationError
        If the partitions have been shared: each has a position of its own, which one reader of everything cannot follow.
    """
    if ownership.is_shared(connection, service):
        raise ConfigurationError(
            [
                f"log_sharing = 'off': the partitions of this database have been shared by several {service}s: set log_sharing = "
                "'on' (one process may own all of them)"
            ]
        )
    return ownership.claim(connection, service, ownership.WHOLE_LOG, holder)
