"""Who may write next on SQLite, where one writes at a time: who raises alarms looks more often than the others."""

from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import text

from qingquan.store.sql import engine as engines
from qingquan.store.sql.engine import TURN_S, URGENT_TURN_S, open_database, writing


@pytest.mark.parametrize(("is_urgent", "turn_s"), [(True, URGENT_TURN_S), (False, TURN_S)])
def test_who_waits_looks_as_often_as_it_is_urgent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_urgent: bool, turn_s: tuple[float, float]
) -> None:
    url = f"sqlite:///{tmp_path / 'q.db'}"
    holder, waiter = open_database(url), open_database(url, is_urgent=is_urgent)
    spans: list[tuple[float, float]] = []
    has_waited = Event()

    def uniform(low: float, high: float) -> float:
        spans.append((low, high))
        has_waited.set()
        return low

    monkeypatch.setattr(engines.random, "uniform", uniform)

    def write() -> None:
        with writing(waiter) as connection:
            connection.execute(text("CREATE TABLE late(n INTEGER)"))

    with writing(holder) as connection:
        connection.execute(text("CREATE TABLE soon(n INTEGER)"))
        thread = Thread(target=write)
        thread.start()
        assert has_waited.wait(10.0)
    thread.join()
    assert set(spans) == {turn_s}
    for one in (holder, waiter):
        one.dispose()


def test_what_is_urgent_looks_several_times_while_others_look_once() -> None:
    assert URGENT_TURN_S[1] < TURN_S[0]
