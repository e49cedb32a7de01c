"""A start waits for the log. Work on a lost partition ends, also where a cancellation gets lost on its way: else the whole process stands still."""

import asyncio
from collections.abc import Mapping

import pytest
from nats.aio.client import Client

from qingquan.errors import BrokerLost, StoreUnavailable
from qingquan.services.leasing import LeaseKeeper
from qingquan.services.sharing import _drop, _reap, _Running, share_partitions, when_answered
from qingquan.store.reading_log.connection import _Client


def test_a_cancellation_that_comes_together_with_an_answer_is_not_lost() -> None:
    async def run() -> tuple[dict[int, _Running], int]:
        loop = asyncio.get_running_loop()
        answers = [loop.create_future() for _ in range(2)]
        answered = 0

        async def work() -> None:
            nonlocal answered
            for answer in answers:
                # As the NATS client waits. Python 3.11 returns the answer and forgets that it was cancelled.
                await asyncio.wait_for(answer, 60)
                answered += 1

        running = {3: _Running(asyncio.ensure_future(work()), asyncio.Event())}
        await asyncio.sleep(0.01)
        answers[0].set_result(None)
        await asyncio.wait_for(_drop("evaluator", running, [3]), 10)
        return running, answered

    running, answered = asyncio.run(run())
    assert running == {}
    assert answered < 2


def test_work_that_hangs_while_it_is_closed_does_not_hold_up_the_others() -> None:
    async def run() -> bool:
        closing = asyncio.Event()

        async def work() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                closing.set()
                await asyncio.sleep(60)

        running = {0: _Running(asyncio.ensure_future(work()), asyncio.Event())}
        await asyncio.sleep(0.01)
        await asyncio.wait_for(_drop("evaluator", running, [0]), 10)
        return closing.is_set()

    assert asyncio.run(run())


def test_a_log_or_database_that_does_not_answer_at_the_start_is_asked_again_until_it_does_or_the_service_is_stopped() -> (
    None
):
    async def run(answers_at: int, stops_at: int) -> tuple[str | None, int]:
        stop, asked = asyncio.Event(), 0

        async def ask() -> str:
            nonlocal asked
            asked += 1
            if asked == stops_at:
                stop.set()
            if asked < answers_at:
                raise BrokerLost("no answer") if asked % 2 else StoreUnavailable("no answer")
            return "joined"

        return await when_answered("evaluator", ask, stop), asked

    assert asyncio.run(run(answers_at=3, stops_at=9)) == ("joined", 3)
    assert asyncio.run(run(answers_at=9, stops_at=2)) == (None, 2)


class Keeper(LeaseKeeper):
    """Only remembers what was given back."""

    def __init__(self) -> None:
        self.released: list[int] = []

    def release(self, number: int) -> None:
        self.released.append(number)


def test_closing_a_connection_that_is_being_made_anew_does_not_cancel_who_closes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library waits in two places for one future; who is cancelled in the one cancels the other."""

    async def run() -> tuple[str, list[int]]:
        socket_closed = asyncio.get_running_loop().create_future()

        async def waits() -> None:
            await socket_closed

        async def close(_self: Client) -> None:
            reconnecting.cancel()
            await socket_closed

        reconnecting = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        monkeypatch.setattr(Client, "close", close)

        async def work() -> None:
            await _Client().close()
            raise BrokerLost("the log is away")

        keeper = Keeper()
        task = asyncio.ensure_future(work())
        await asyncio.wait({task})
        assert not task.cancelled()
        await _reap("evaluator", {4: _Running(task, asyncio.Event())}, keeper)
        return str(task.exception()), keeper.released

    assert asyncio.run(run()) == ("the log is away", [4])


def test_who_closes_a_connection_can_still_be_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> bool:
        async def close(_self: Client) -> None:
            await asyncio.sleep(60)

        monkeypatch.setattr(Client, "close", close)
        task = asyncio.ensure_future(_Client().close())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task}, timeout=5)
        return task.cancelled()

    assert asyncio.run(run())


def test_work_that_something_else_cancelled_is_given_back_and_ends_nothing() -> None:
    async def run() -> list[int]:
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await asyncio.wait({task})
        keeper, running = Keeper(), {2: _Running(task, asyncio.Event())}
        await _reap("recorder", running, keeper)
        assert running == {}
        return keeper.released

    assert asyncio.run(run()) == [2]


class Shares(Keeper):
    """Holds what it is told to hold."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: dict[int, int] = {}

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def alive(self, facts: Mapping[str, str]) -> None:
        pass

    def held(self) -> dict[int, int]:
        return self.holds

    def offered(self) -> set[int]:
        return set()


def test_who_holds_nothing_says_that_it_stands_by_and_who_works_leaves_that_to_its_work() -> None:
    """Where a container's health test looks: a detector that stands by was taken for one that hangs."""

    async def run() -> tuple[int, int]:
        keeper, stop, begun, idle = Shares(), asyncio.Event(), asyncio.Event(), 0

        def when_idle() -> None:
            nonlocal idle
            idle += 1

        async def work(_: int, __: int, ends: asyncio.Event) -> None:
            begun.set()
            await ends.wait()

        sharing = asyncio.ensure_future(share_partitions(keeper, "detector", work, stop, dict, when_idle))
        while idle < 3:
            await asyncio.sleep(0.01)
        keeper.holds = {0: 1}
        await asyncio.wait_for(begun.wait(), 10)
        before = idle
        await asyncio.sleep(0.3)
        during = idle - before
        stop.set()
        await asyncio.wait_for(sharing, 10)
        return before, during

    before, during = asyncio.run(run())
    assert before >= 3
    assert during == 0
