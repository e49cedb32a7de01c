"""Who owns which partition of the reading log, and how far it has come: the fence inside the database."""

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from qingquan.store.sql.schema import metadata

__all__ = ["partition_owner"]

# One row a service and partition; partition -1 stands for the whole log, read by one process. The epoch grows with every owner: who
# writes under an older one has lost the partition.
partition_owner = Table(
    "partition_owner",
    metadata,
    Column("service", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("applied", BigInteger, nullable=False),
    Column("snapshot", BigInteger, nullable=False),
)
