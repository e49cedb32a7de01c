"""Waiting no longer than anybody wants."""

import asyncio

import pytest

from qingquan.config import Config
from qingquan.store.reading_log.connection import connect
from qingquan.tasks import unless_stopped
from qingquan.testing.ports import free_port


def test_what_is_waited_for_is_given_and_its_error_raised() -> None:
    async def given() -> int:
        await asyncio.sleep(0)
        return 7

    async def fails() -> int:
        raise LookupError("no such thing")

    async def both() -> None:
        stop = asyncio.Event()
        assert await unless_stopped(given(), stop) == 7
        with pytest.raises(LookupError, match="no such thing"):
            await unless_stopped(fails(), stop)

    asyncio.run(both())


@pytest.mark.parametrize("is_set_before", [True, False])
def test_a_stop_ends_what_would_last_for_ever(is_set_before: bool) -> None:
    ended: list[str] = []

    async def lasts() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    async def told() -> None:
        stop = asyncio.Event()
        if is_set_before:
            stop.set()
        asyncio.get_running_loop().call_later(0.01, stop.set)
        assert await asyncio.wait_for(unless_stopped(lasts(), stop), 10) is None

    asyncio.run(told())
    assert ended == ["ended"]


def test_who_waits_and_is_cancelled_leaves_nothing_behind() -> None:
    async def cancelled() -> None:
        waiting = asyncio.ensure_future(unless_stopped(asyncio.Event().wait(), asyncio.Event()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(cancelled())


def test_a_connection_that_is_no_longer_wanted_is_not_tried_on() -> None:
    async def unwanted() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop.set)
        config = Config(log_url=f"nats://127.0.0.1:{free_port()}")
        assert await asyncio.wait_for(unless_stopped(connect(config, name="test", wait_s=1e9), stop), 10) is None
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(unwanted())
