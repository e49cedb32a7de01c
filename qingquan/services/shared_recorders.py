"""A recorder among several, for stores that take more than one writer: each records the partitions it holds.

A partition's readings have one owner, so what one recorder writes no other one contradicts. InfluxDB cannot be fenced: an owner that
was stopped while writing and wakes after a take-over may still write the rest of that one batch. These are the same readings
under the same identities as its successor writes, so nothing changes by it; before the next batch it meets the fence.
"""

import asyncio
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from sqlalchemy import Connection, Engine

from qingquan.config import Config
from qingquan.services.alive import stand_by
from qingquan.services.held_register import HeldRegister
from qingquan.services.leasing import LeaseKeeper
from qingquan.services.one_log import require_one_log
from qingquan.services.recorder import READER, Recorder, follow
from qingquan.services.scopes import holder_name
from qingquan.services.sharing import share_partitions, when_answered
from qingquan.store.ports import SeriesStore
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.opening import open_series_store
from qingquan.store.sql import ownership
from qingquan.store.sql.engine import check_schema, open_database, writing
from qingquan.store.sql.progress import RECORDER_PARTITION, set_applied_sequence
from qingquan.tasks import unless_stopped

__all__ = ["OneRecorded", "serve"]

RECORDER = "recorder"
# Appending, upkeep, and telling how far it is.
THREADS_EACH = 3
# So many partitions are decoded and written at once; each takes a core of its own to decode, and InfluxDB another one.
AT_ONCE = 3
SWITCH_S = 0.001


class OneRecorded:
    """The books of one partition; the recorder keeps them instead of those of the whole log."""

    def __init__(self, partition: int, epoch: int) -> None:
        self.partition: int | None = partition
        self.reader = f"{READER}/{partition}"
        self._number, self._epoch = partition, epoch

    def fence(self, connection: Connection) -> None:
        """Inside a transaction: raise `OwnershipLost` unless we are the owner until its end."""
        ownership.require_owner(connection, RECORDER, self._number, self._epoch)

    def show(self, connection: Connection, covered: int) -> int:
        """Note how far this partition is recorded; how far all of them are."""
        ownership.advance(connection, RECORDER, self._number, applied=covered)
        least = ownership.least_applied(connection, RECORDER)
        set_applied_sequence(connection, RECORDER_PARTITION, least)
        return least


async def serve(config: Config, stop: asyncio.Event, reserve: int | None) -> None:
    """Record a share of the partitions until told to stop; errors as `qingquan.services.recorder.run`."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    # An append may take a minute while the server is busy: every partition must find a thread, and who takes one over, too. The
    # thread that renews our leases comes between those that decode, or we lose them for want of a thousandth of a second.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS_EACH * config.log_partitions))
    sys.setswitchinterval(SWITCH_S)
    turns, register = asyncio.Semaphore(AT_ONCE), HeldRegister()
    engine = open_database(config.sql_url)
    keep = config.log_reserve_messages if reserve is None else reserve
    try:
        holder = holder_name()
        facts = {"partitions": str(config.log_partitions), "store": f"{config.influx_url} {config.influx_bucket}"}

        async def join() -> LeaseKeeper:
            check_schema(engine)
            await require_one_log(config, engine, RECORDER)
            keeper = LeaseKeeper(config, RECORDER, config.log_partitions, holder, facts)
            await keeper.check()
            return keeper

        keeper = await when_answered(RECORDER, join, stop)
        if keeper is None:
            return

        async def work(partition: int, lease: int, ends: asyncio.Event) -> None:
            # A store of its own: what a writer remembers of a partition is of no use once another has written to it.
            with closing(open_series_store(config)) as store:
                epoch = await asyncio.to_thread(_claim, config, engine, store, holder, partition, lease)
                recorder = Recorder(config, engine, store, OneRecorded(partition, epoch), register)
                connected = await unless_stopped(ReadingLog.connect(config, name="recorder", wait_s=1e9), ends)
                if connected is None:
                    return
                async with connected as log:
                    await log.check_layout()
                    await follow(recorder, log, ends, keep, turns)

        await share_partitions(keeper, RECORDER, work, stop, lambda: facts, lambda: stand_by(config, RECORDER))
    finally:
        engine.dispose()


def _claim(config: Config, engine: Engine, store: SeriesStore, holder: str, partition: int, lease: int) -> int:
    with writing(engine) as connection:
        if not ownership.is_shared(connection, RECORDER):
            # Every partition begins where the one recorder of the whole log stood; nobody else gets past this row meanwhile.
            begun = store.covered(READER)
            ownership.list_partitions(connection, RECORDER, config.log_partitions, begun)
            for number in range(config.log_partitions):
                store.rewind(f"{READER}/{number}", begun)
        return ownership.claim(connection, RECORDER, partition, holder, lease)
