"""Ending asyncio tasks for certain, and waiting no longer than anybody wants."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

__all__ = ["end_tasks", "unless_stopped"]

AGAIN_S = 0.5

T = TypeVar("T")


async def end_tasks(tasks: Sequence["asyncio.Future[Any]"]) -> list[Any]:
    """Cancel tasks and wait until they have ended; how each ended, errors as values.

    Asked more than once: `asyncio.wait_for` of Python 3.11, which the NATS client uses, loses a cancellation that comes together with
    the answer it waits for, and a connection may hang while it is closed.
    """
    while waiting := [task for task in tasks if not task.done()]:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting, timeout=AGAIN_S)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def unless_stopped(wanted: Awaitable[T], stop: asyncio.Event) -> T | None:
    """What ``wanted`` gives; ``None`` if ``stop`` is set before that: then it is cancelled and has ended."""
    waiting, stopping = asyncio.ensure_future(wanted), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        await end_tasks([waiting, stopping])
