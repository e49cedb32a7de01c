"""Owners of partitions: taking one over, and the fence that every transaction of an owner passes.

A process that was stopped for a while cannot know that another has taken its place. So each owner has an epoch, greater than
that of the one before, and every transaction checks inside itself that its epoch still stands: the check locks the row, so a
take-over waits for a transaction that has passed it, and all that come later fail.
"""

from sqlalchemy import ColumnElement, Connection, func, literal_column, select, table, update
from sqlalchemy import column as named
from sqlalchemy.exc import OperationalError

from qingquan.errors import OwnershipLost
from qingquan.store.sql.ownership_schema import partition_owner
from qingquan.store.sql.statements import insert_ignoring

__all__ = [
    "WHOLE_LOG",
    "advance",
    "applied_of",
    "claim",
    "is_shared",
    "least_applied",
    "least_snapshot",
    "list_partitions",
    "require_owner",
    "rewind",
]

WHOLE_LOG = -1
"""In place of a partition: all of them, owned by one process."""

# An owner stopped in the middle of a transaction holds its row locked: PostgreSQL ends such a session after this time, so that the
# take-over need not wait for the one who sleeps. One that is stopped while it sends rows does not count as idle (the server waits
# for the end of what it sends): its session the successor ends, after the same time. SQLite has no such remedy: who is stopped
# inside a transaction holds up everybody.
STOPPED_AFTER_MS = 1500
# PostgreSQL's word for a lock that was not to be had in time.
LOCK_NOT_AVAILABLE = "55P03"

_t = partition_owner


def list_partitions(connection: Connection, service: str, partitions: int, applied: int, snapshot: int = 0) -> None:
    """Make the rows of a service that begins to share; all at once, so that every partition begins where the one reader stood."""
    rows = [
        {"service": service, "partition": n, "epoch": 0, "holder": "", "applied": applied, "snapshot": snapshot}
        for n in range(partitions)
    ]
    insert_ignoring(connection, _t, rows, key=["service", "partition"])


def is_shared(connection: Connection, service: str) -> bool:
    """Whether the partitions of a service have been shared before: each then has a position of its own."""
    query = select(func.count()).where(_t.c.service == service, _t.c.partition != WHOLE_LOG)
    return bool(connection.scalar(query))


def claim(connection: Connection, service: str, partition: int, holder: str, at_least: int = 0) -> int:
    """Become the owner, whoever was it before; the new epoch: greater than any before, and not less than ``at_least``."""
    ours = (_t.c.service == service) & (_t.c.partition == partition)
    # Only where there is none: to insert beside one that its owner has changed waits for that owner.
    if connection.scalar(select(_t.c.epoch).where(ours)) is None:
        row = {"service": service, "partition": partition, "epoch": 0, "holder": "", "applied": 0, "snapshot": 0}
        insert_ignoring(connection, _t, [row], key=["service", "partition"])
    before = _locked_epoch(connection, ours)
    epoch = max(before + 1, at_least)
    connection.execute(update(_t).where(ours).values(epoch=epoch, holder=holder))
    return epoch


def _locked_epoch(connection: Connection, ours: ColumnElement[bool]) -> int:
    """Lock the row of a partition; its epoch. Who holds it too long has lost the partition and is sent away."""
    query = select(_t.c.epoch).where(ours).with_for_update()
    if connection.dialect.name != "postgresql":
        return int(connection.execute(query).scalar_one())
    usual = connection.scalar(select(func.current_setting("lock_timeout")))
    try:
        with connection.begin_nested():
            _set_lock_timeout(connection, str(STOPPED_AFTER_MS))
            epoch = int(connection.execute(query).scalar_one())
            _set_lock_timeout(connection, str(usual))
            return epoch
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
            raise
    # A locked row names the transaction that holds it. Nothing of it is lost: it comes again from the log.
    locks = table("pg_locks", named("pid"), named("locktype"), named("granted"), named("transactionid"))
    holds = (locks.c.locktype == "transactionid") & locks.c.granted & (locks.c.transactionid == literal_column("xmax"))
    connection.execute(select(func.pg_terminate_backend(locks.c.pid)).select_from(_t).join(locks, holds).where(ours))
    return int(connection.execute(query).scalar_one())


def _set_lock_timeout(connection: Connection, value: str) -> None:
    """Until the end of the transaction, or of the savepoint that is rolled back."""
    connection.execute(select(func.set_config("lock_timeout", value, True)))


def require_owner(connection: Connection, service: str, partition: int, epoch: int) -> None:
    """Raise `OwnershipLost` unless ``epoch`` is that of the owner; until the end of the transaction nobody can take over."""
    ours = (_t.c.service == service) & (_t.c.partition == partition)
    query = select(_t.c.epoch, _t.c.holder).where(ours).with_for_update()
    if connection.dialect.name == "postgresql":
        timeout = f"set_config('idle_in_transaction_session_timeout', '{STOPPED_AFTER_MS}', true)"
        query = query.add_columns(literal_column(timeout))
    row = connection.execute(query).one_or_none()
    if row is None or row.epoch != epoch:
        new = "nobody" if row is None else f"{row.holder} (epoch {row.epoch})"
        raise OwnershipLost(f"{service}: owner is now {new}, not epoch {epoch}")


def applied_of(connection: Connection, service: str, partition: int) -> int:
    """Log sequence up to which a partition is applied."""
    query = select(_t.c.applied).where(_t.c.service == service, _t.c.partition == partition)
    return connection.scalar(query) or 0


def advance(
    connection: Connection, service: str, partition: int, *, applied: int | None = None, snapshot: int | None = None
) -> None:
    """Note how far a partition is applied, or how far its snapshot reaches. Neither goes back."""
    for column, value in ((_t.c.applied, applied), (_t.c.snapshot, snapshot)):
        if value is not None:
            ours = (_t.c.service == service) & (_t.c.partition == partition) & (column < value)
            connection.execute(update(_t).where(ours).values({column.name: value}))


def rewind(connection: Connection, service: str, partition: int, sequence: int) -> None:
    """Take back what lies beyond ``sequence``: the log that stood there is gone."""
    for column in (_t.c.applied, _t.c.snapshot):
        ours = (_t.c.service == service) & (_t.c.partition == partition) & (column > sequence)
        connection.execute(update(_t).where(ours).values({column.name: sequence}))


def least_applied(connection: Connection, service: str) -> int:
    """Log sequence up to which all partitions are applied."""
    return _least(connection, service, "applied")


def least_snapshot(connection: Connection, service: str) -> int:
    """Log sequence up to which the snapshots of all partitions reach."""
    return _least(connection, service, "snapshot")


def _least(connection: Connection, service: str, column: str) -> int:
    query = select(func.min(_t.c[column])).where(_t.c.service == service, _t.c.partition != WHOLE_LOG)
    return connection.scalar(query) or 0
