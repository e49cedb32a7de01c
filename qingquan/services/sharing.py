"""Works on the partitions that this process holds: begins with what it gets, ends what it must give back, drops what it lost."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from qingquan.errors import BrokerLost, OwnershipLost, StoreUnavailable
from qingquan.services.leasing import LeaseKeeper
from qingquan.tasks import end_tasks, unless_stopped

__all__ = ["Work", "share_partitions", "when_answered"]

LOOK_S = 0.1
PAUSE_S = 0.5

T = TypeVar("T")

Work = Callable[[int, int, asyncio.Event], Awaitable[None]]
"""``work(partition, lease, stop)``: works until ``stop`` is set. ``lease`` grows from owner to owner. Raises `OwnershipLost` when
another owner has come: then nothing was written since."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Running:
    task: "asyncio.Future[None]"
    stop: asyncio.Event


async def share_partitions(
    keeper: LeaseKeeper,
    service: str,
    work: Work,
    stop: asyncio.Event,
    facts: Callable[[], Mapping[str, str]],
    when_idle: Callable[[], None],
) -> None:
    """Work on whatever partitions we hold until told to stop; then end all work in order and give everything back.

    ``when_idle`` is called again and again while we hold none, when no work says that this process is alive.
    What ``work`` raises ends everything, except that ownership was lost or a store did not answer.
    """
    running: dict[int, _Running] = {}
    keeper.start()
    try:
        while not stop.is_set():
            keeper.alive(facts())
            held = keeper.held()
            await _drop(service, running, [n for n in running if n not in held])
            await _reap(service, running, keeper)
            offered = keeper.offered()
            for number in offered:
                if number in running:
                    running[number].stop.set()
                else:
                    keeper.release(number)
            for number, lease in keeper.held().items():
                if number not in running and number not in offered:
                    ends = asyncio.Event()
                    running[number] = _Running(asyncio.ensure_future(work(number, lease, ends)), ends)
                    _log.info("partition taken over", service=service, partition=number, lease=lease)
            if not running:
                when_idle()
            await _pause(running, stop)
        await _end(keeper, running, facts)
    finally:
        await end_tasks([one.task for one in running.values()])
        await asyncio.to_thread(keeper.stop)


async def when_answered(service: str, ask: Callable[[], Awaitable[T]], stop: asyncio.Event) -> T | None:
    """What ``ask`` gives, asked again while log or database does not answer; ``None`` when told to stop meanwhile."""
    is_told = False
    while not stop.is_set():
        try:
            return await unless_stopped(ask(), stop)
        except (BrokerLost, StoreUnavailable) as lost:
            if not is_told:
                _log.warning("cannot start yet, trying on", service=service, why=str(lost))
            is_told = True
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PAUSE_S)
    return None


async def _pause(running: Mapping[int, _Running], stop: asyncio.Event) -> None:
    stopping = asyncio.ensure_future(stop.wait())
    waited_for: set[asyncio.Future[Any]] = {stopping, *(one.task for one in running.values())}
    await asyncio.wait(waited_for, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()


async def _drop(service: str, running: dict[int, _Running], lost: list[int]) -> None:
    """End work on partitions whose lease is gone, at once and without a commit; one line for all of them."""
    if not lost:
        return
    gone = [running.pop(number) for number in lost]
    outcomes = await end_tasks([one.task for one in gone])
    why = next((str(one) for one in outcomes if isinstance(one, OwnershipLost)), "lease not renewed in time")
    _log.error("ownership lost, nothing more is written", service=service, partitions=sorted(lost), why=why)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not _is_expected(outcome):
            raise outcome


async def _reap(service: str, running: dict[int, _Running], keeper: LeaseKeeper) -> None:
    """Work that has ended: in order, by losing its partition to another, or because a store did not answer."""
    for number in [n for n, one in running.items() if one.task.done()]:
        (error,) = await end_tasks([running.pop(number).task])
        keeper.release(number)
        if error is None:
            _log.info("partition given back", service=service, partition=number)
        elif isinstance(error, OwnershipLost):
            _log.error("ownership lost, nothing more is written", service=service, partitions=[number], why=str(error))
        elif _is_expected(error):
            # A task that nobody here cancelled was by something that it waited for: it is begun anew like one that lost its log.
            why = str(error) or type(error).__name__
            _log.warning("partition given back, a store does not answer", partition=number, why=why)
            await asyncio.sleep(PAUSE_S)
        else:
            raise error


async def _end(keeper: LeaseKeeper, running: dict[int, _Running], facts: Callable[[], Mapping[str, str]]) -> None:
    for one in running.values():
        one.stop.set()
    while tasks := [one.task for one in running.values() if not one.task.done()]:
        keeper.alive(facts())
        if not keeper.held():
            return
        await asyncio.wait(tasks, timeout=LOOK_S)


def _is_expected(outcome: BaseException) -> bool:
    return isinstance(outcome, asyncio.CancelledError | OwnershipLost | BrokerLost | StoreUnavailable)
