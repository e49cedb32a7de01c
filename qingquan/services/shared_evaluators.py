"""An evaluator among several: it judges the partitions it holds, each with a position and a snapshot of its own.

Start or kill one at any time. A partition of one that died is taken over when its lease has lapsed; one that slept and wakes
can change nothing: every transaction checks the partition's epoch, and its snapshot is replaced by compare-and-set.
"""

import asyncio
import signal
import time
from collections.abc import Mapping

import structlog
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.errors import StoreUnavailable
from qingquan.services.alive import stand_by
from qingquan.services.compiled_loop import compile_loop_apart
from qingquan.services.evaluator import Evaluator
from qingquan.services.leasing import LeaseKeeper
from qingquan.services.one_log import require_one_log
from qingquan.services.ruleset_watch import RulesetWatch
from qingquan.services.scopes import EVALUATOR, OnePartition, holder_name
from qingquan.services.sharing import share_partitions, when_answered
from qingquan.services.snapshots import FORMAT, FileSnapshots, HeldSnapshots
from qingquan.store.reading_log.kept_state import KeptState
from qingquan.store.sql import ownership
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.progress import SNAPSHOT_PARTITION, applied_sequence

__all__ = ["serve"]

RULES_POLL_S = 3.0

_log = structlog.get_logger(__name__)


async def serve(config: Config) -> None:
    """Judge a share of the partitions until SIGTERM or SIGINT; errors as `qingquan.services.evaluator.run`."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = open_database(config.sql_url, is_urgent=True)
    try:
        holder = holder_name()

        async def join() -> tuple[_Facts, LeaseKeeper, KeptState]:
            check_schema(engine)
            # Before any partition is taken: nobody waits for one that another could judge.
            await asyncio.to_thread(compile_loop_apart, stop.is_set)
            await require_one_log(config, engine, EVALUATOR)
            facts = _Facts(config, engine)
            keeper = LeaseKeeper(config, EVALUATOR, config.log_partitions, holder, facts())
            await keeper.check()
            return facts, keeper, await KeptState.connect(config, "evaluator-state")

        joined = await when_answered(EVALUATOR, join, stop)
        if joined is None:
            return
        facts, keeper, state = joined
        try:

            async def work(partition: int, lease: int, ends: asyncio.Event) -> None:
                scope = await _taken_over(config, engine, state, holder, partition, lease)
                await Evaluator(config, engine, scope).run(ends)

            _log.info("evaluator shares the log", holder=holder, partitions=config.log_partitions)
            await share_partitions(keeper, EVALUATOR, work, stop, facts, lambda: stand_by(config, EVALUATOR))
        finally:
            await state.close()
    finally:
        engine.dispose()


async def _taken_over(
    config: Config, engine: Engine, state: KeptState, holder: str, partition: int, lease: int
) -> OnePartition:
    """First the fence in the database, then the one on the snapshot; from then on the previous owner can change nothing."""
    name = OnePartition.state_name(partition)
    at_least = max(lease, await state.epoch_of(name) + 1)
    epoch = await asyncio.to_thread(_claim, config, engine, holder, partition, at_least)
    parts = await state.take_over(name, epoch)
    if not parts:
        parts = await asyncio.to_thread(_from_files, config, partition)
    return OnePartition(config, partition, epoch, state, parts)


def _claim(config: Config, engine: Engine, holder: str, partition: int, at_least: int) -> int:
    with writing(engine) as connection:
        begun, saved = applied_sequence(connection, 0), applied_sequence(connection, SNAPSHOT_PARTITION)
        if not ownership.is_shared(connection, EVALUATOR):
            # Whoever read the whole log until now is fenced off, and every partition begins where that one stood.
            ownership.claim(connection, EVALUATOR, ownership.WHOLE_LOG, holder)
            ownership.list_partitions(connection, EVALUATOR, config.log_partitions, begun, saved)
        return ownership.claim(connection, EVALUATOR, partition, holder, at_least)


def _from_files(config: Config, partition: int) -> dict[str, bytes]:
    """The snapshot that an evaluator of the whole log has left in this data folder, for the first start among several."""
    files, held = FileSnapshots(config.data_path / "snapshots"), HeldSnapshots()
    snapshot = files.load(partition)
    layout = None if snapshot is None else files.layout(snapshot.plan)
    if snapshot is not None and layout is not None:
        held.save(partition, snapshot, layout)
        _log.info("snapshot taken over from the data folder", partition=partition, covered=snapshot.covered)
    return held.parts


class _Facts:
    """What evaluators must agree on: the ruleset in force and the form of snapshots; followed when another is put in force."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._engine = engine
        self._watch = RulesetWatch(config, engine, EVALUATOR)
        self._fixed = {"snapshot format": str(FORMAT), "partitions": str(config.log_partitions)}
        self._due = 0.0

    def __call__(self) -> Mapping[str, str]:
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + RULES_POLL_S
            try:
                with reading(self._engine) as connection:
                    new = self._watch.changed(connection)
                if new is not None:
                    self._watch.take(new)
            except StoreUnavailable as error:
                _log.debug("ruleset not looked up", why=str(error))
        status = self._watch.status
        return self._fixed | {"ruleset": f"{status.version} ({status.digest})"}
