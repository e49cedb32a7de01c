"""Ending asyncio tasks for certain."""

import asyncio
from collections.abc import Sequence
from typing import Any

__all__ = ["end_tasks"]

AGAIN_S = 0.5


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
