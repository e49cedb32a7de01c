"""Tables of operations: signs of life of our services, what the watchdog measured last, heartbeats of other installations.

Times here are of the wall, ms since epoch, UTC, also where a demo clock runs: they tell of machines, not of water.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Table, Text

from qingquan.store.sql.columns import MILLISECONDS, FreeText
from qingquan.store.sql.schema import metadata

__all__ = ["heartbeat", "operations_measure", "service_sign"]

# One row for each process that has ever run: services by name, instances by host and number.
service_sign = Table(
    "service_sign",
    metadata,
    Column("service", Text, primary_key=True),
    Column("instance", Text, primary_key=True),
    Column("started_at", MILLISECONDS, nullable=False),
    Column("seen_at", MILLISECONDS, nullable=False),
    Column("rss_bytes", BigInteger, nullable=False),
    Column("cpu_s", Double, nullable=False),
    # Whether it has caught up with the log since it started; empty where it reads no log.
    Column("is_caught_up", Boolean),
    Column("version", Text, nullable=False),
    # Which reading log it reads; empty where it reads none.
    Column("log", Text),
)

operations_measure = Table(
    "operations_measure",
    metadata,
    Column("name", Text, primary_key=True),
    Column("label", FreeText, primary_key=True),
    Column("value", Double, nullable=False),
    Column("at", MILLISECONDS, nullable=False),
)

# The last heartbeat of each installation that we watch.
heartbeat = Table(
    "heartbeat",
    metadata,
    Column("sender", Text, primary_key=True),
    Column("received_at", MILLISECONDS, nullable=False),
    # The sender's time in its signature: an older or equal one is a repetition of what was overheard.
    Column("sent_at", MILLISECONDS, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("detail", FreeText, nullable=False),
)
