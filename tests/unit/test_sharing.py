"""A start waits for the log. Work on a lost partition ends, also where a cancellation gets lost on its way: else the whole process stands still."""

import asyncio

from qingquan.errors import BrokerLost, StoreUnavailable
from qingquan.services.sharing import _drop, _Running, when_answered


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
