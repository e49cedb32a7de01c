"""Where works stand is written partition by partition, in turns, so that an alarm does not wait for all of a province."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from qingquan.services import evaluator
from qingquan.services.evaluator import STATE_TURNS, Evaluator


@pytest.mark.parametrize("count", [0, 1, 3, 8])
def test_every_partition_has_its_turn_once_in_a_tick(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    monkeypatch.setattr(evaluator, "save_works_states", lambda _connection, states: written.append(states))

    async def in_transaction(body: Any) -> None:
        body(None)

    folds = [SimpleNamespace(partition=n) for n in range(count)]
    judge: Any = SimpleNamespace(
        _folds=SimpleNamespace(folds=folds), _state_turn=0, _unjudged=[], _in_transaction=in_transaction,
        _standing=SimpleNamespace(changed=lambda fold, now, silent: [f"works of {fold.partition}"]),
        _silence=SimpleNamespace(of=lambda fold: {}),
    )  # fmt: skip
    turns = min(STATE_TURNS, max(1, count))
    for _ in range(2 * turns):
        asyncio.run(Evaluator._tell_states(judge, 0))
    assert sorted(state for states in written for state in states) == sorted(
        2 * [f"works of {n}" for n in range(count)]
    )
    assert max(map(len, written), default=0) <= -(-count // STATE_TURNS)


def test_works_that_cannot_be_judged_are_told_with_the_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[list[str]] = []
    monkeypatch.setattr(evaluator, "save_works_states", lambda _connection, states: written.append(states))

    async def in_transaction(body: Any) -> None:
        body(None)

    judge: Any = SimpleNamespace(
        _folds=SimpleNamespace(folds=[]), _state_turn=0, _unjudged=["unjudged"], _in_transaction=in_transaction
    )
    for _ in range(3):
        asyncio.run(Evaluator._tell_states(judge, 0))
    assert written == [["unjudged"]]
