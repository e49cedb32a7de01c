"""How far the evaluator has come, and running totals."""

from collections.abc import Mapping

from sqlalchemy import Connection, or_, select, update

from qingquan.store.sql.schema import counter, evaluator_progress
from qingquan.store.sql.statements import insert_or_update

__all__ = [
    "DETECTOR_PARTITION",
    "RECORDER_PARTITION",
    "SNAPSHOT_PARTITION",
    "add_counts",
    "applied_sequence",
    "counts",
    "rewind_applied_sequences",
    "rewind_detector",
    "set_applied_sequence",
]

# Rows of `evaluator_progress` beside the partitions, which count from 0: how far the recorder has come, how far the detector of events, and how far the
# evaluator's snapshots reach.
RECORDER_PARTITION = -1
SNAPSHOT_PARTITION = -2
DETECTOR_PARTITION = -3


def applied_sequence(connection: Connection, partition: int) -> int:
    """Log sequence up to which a partition's findings are in the database; 0 before the first."""
    table = evaluator_progress
    return connection.scalar(select(table.c.sequence).where(table.c.partition == partition)) or 0


def set_applied_sequence(connection: Connection, partition: int, sequence: int) -> bool:
    """Note that a partition is applied up to ``sequence``. It never goes back: ``False`` if it stood there or further."""
    row = {"partition": partition, "sequence": sequence}
    written = insert_or_update(connection, evaluator_progress, [row], key=["partition"], only_greater="sequence")
    return written > 0


def rewind_applied_sequences(connection: Connection, sequence: int) -> None:
    """Take back the evaluator's progress beyond ``sequence``: the log that stood there is gone, another has begun."""
    table = evaluator_progress
    ours = or_(table.c.partition >= 0, table.c.partition == SNAPSHOT_PARTITION)
    connection.execute(update(table).where(ours, table.c.sequence > sequence).values(sequence=sequence))


def rewind_detector(connection: Connection, sequence: int) -> None:
    """Take back the detector's progress beyond ``sequence``, for the same reason."""
    table = evaluator_progress
    query = update(table).where(table.c.partition == DETECTOR_PARTITION, table.c.sequence > sequence)
    connection.execute(query.values(sequence=sequence))


def add_counts(connection: Connection, increments: Mapping[str, int]) -> None:
    """Add to running totals, each by its name; a total not held yet begins at 0."""
    rows = [{"name": name, "value": value} for name, value in increments.items() if value]
    insert_or_update(connection, counter, rows, key=["name"], add="value")


def counts(connection: Connection) -> dict[str, int]:
    """All running totals."""
    return {row.name: row.value for row in connection.execute(select(counter).order_by(counter.c.name))}
