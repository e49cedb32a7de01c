"""A detector among several: one works, the others stand by and take over, with the state it left in the log's own engine.

State, findings and position go together: the state as of a position is stored before the position is committed, and the one
before it is kept until then, so the position in the database always finds its state.
"""

import asyncio
import signal
from contextlib import closing

import structlog
from sqlalchemy import Connection, Engine

from qingquan.config import Config
from qingquan.services.alive import stand_by
from qingquan.services.compiled_events import compile_events_apart
from qingquan.services.detector import Detector, follow_log
from qingquan.services.leasing import LeaseKeeper
from qingquan.services.one_log import require_one_log
from qingquan.services.scopes import holder_name
from qingquan.services.sharing import share_partitions, when_answered
from qingquan.store.reading_log import ReadingLog
from qingquan.store.reading_log.kept_state import KeptState
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql import ownership
from qingquan.store.sql.engine import check_schema, open_database, writing
from qingquan.tasks import unless_stopped

__all__ = ["serve"]

DETECTOR = "detector"

_log = structlog.get_logger("detector")


async def serve(config: Config) -> None:
    """Detect while no other detector does, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = open_database(config.sql_url)
    try:
        facts = {"partitions": str(config.log_partitions)}
        holder = holder_name()

        async def join() -> tuple[LeaseKeeper, KeptState]:
            check_schema(engine)
            await asyncio.to_thread(compile_events_apart, stop.is_set)
            await require_one_log(config, engine, DETECTOR)
            # The whole log is one piece of work: events are few, and one process has room for a province.
            keeper = LeaseKeeper(config, DETECTOR, 1, holder, facts)
            await keeper.check()
            return keeper, await KeptState.connect(config, "detector-state")

        joined = await when_answered(DETECTOR, join, stop)
        if joined is None:
            return
        keeper, state = joined
        try:

            async def work(_: int, lease: int, ends: asyncio.Event) -> None:
                await _detect(config, engine, state, holder, lease, ends)

            _log.info("detector_stands_by", holder=holder)
            await share_partitions(keeper, DETECTOR, work, stop, lambda: facts, lambda: stand_by(config, DETECTOR))
        finally:
            await state.close()
    finally:
        engine.dispose()


async def _detect(
    config: Config, engine: Engine, state: KeptState, holder: str, lease: int, ends: asyncio.Event
) -> None:
    at_least = max(lease, await state.epoch_of(DETECTOR) + 1)
    epoch = await asyncio.to_thread(_claim, engine, holder, at_least)

    def fence(connection: Connection) -> None:
        ownership.require_owner(connection, DETECTOR, ownership.WHOLE_LOG, epoch)

    parts = await state.take_over(DETECTOR, epoch)
    with closing(open_series_reader(config)) as series:
        detector = Detector(config, engine, series, fence)
        for sequence, raw in parts.items():
            detector.put_state(int(sequence), raw)

        async def publish() -> None:
            """The newest state beside the one that the database points to until the commit."""
            sequence, raw = await asyncio.to_thread(detector.saved_state)
            before = {name: part for name, part in parts.items() if name == str(detector.committed)}
            parts.clear()
            parts.update(before | {str(sequence): raw})
            await state.commit(DETECTOR, sequence, parts)

        connected = await unless_stopped(ReadingLog.connect(config, name="detector", wait_s=1e9), ends)
        if connected is None:
            return
        async with connected as log:
            await log.check_layout()
            await follow_log(config, detector, log, ends, publish)


def _claim(engine: Engine, holder: str, at_least: int) -> int:
    with writing(engine) as connection:
        return ownership.claim(connection, DETECTOR, ownership.WHOLE_LOG, holder, at_least)
