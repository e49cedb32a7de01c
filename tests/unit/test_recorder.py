"""The pure parts of the recorder."""

import asyncio
from math import inf, nan, nextafter
from typing import cast

import numpy as np
import pytest

from qingquan.domain.readings import ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.services.recorded_rows import RowMaker, recorded_flags
from qingquan.services.recorder import Recorder, _Stopped, _turn, follow, purge_floor
from qingquan.standards.loader import load_standards
from qingquan.store.reading_log import ReadingLog


@pytest.mark.parametrize(
    ("value", "device", "flag"),
    [
        (0.4, 2, 1),  # the device said nothing: the range test was made and passed
        (0.4, 1, 1),
        (0.4, 3, 3),
        (0.4, 4, 4),
        (0.4, 9, 9),
        (0.0, 2, 1),  # both bounds are inside
        (5.0, 2, 1),
        (nextafter(0.0, -inf), 2, 4),
        (nextafter(5.0, inf), 2, 4),
        (-1.0, 1, 4),  # the instrument cannot have read this, whatever the device says
        (nan, 2, 9),
        (nan, 1, 9),
        (nan, 4, 9),
    ],
)
def test_a_reading_is_flagged_by_its_range_and_by_what_the_device_said(value: float, device: int, flag: int) -> None:
    found = recorded_flags(np.array([value]), np.array([device], np.uint8), np.array([0.0]), np.array([5.0]))
    assert found.tolist() == [flag]
    assert found.dtype == np.uint8


def test_each_series_is_held_against_its_own_range_and_new_series_are_followed() -> None:
    parameters = load_standards().parameters
    catalog = SeriesCatalog()
    maker = RowMaker(catalog, parameters)
    for code in ("ph", "temperature"):
        number = catalog.index(SeriesKey("520425", "W1", "outlet", code))
        high = parameters[code].range_max
        rows = maker.rows(_batch([number, number], [high, high + 1]))
        assert [rows.keys[n].parameter for n in rows.series] == [code, code]
        assert rows.flag.tolist() == [1, 4]


def _batch(series: list[int], values: list[float]) -> ReadingBatch:
    number = len(series)
    return ReadingBatch(
        np.array(series, np.int32),
        np.arange(number, dtype=np.int64),
        np.array(values),
        np.full(number, 2, np.uint8),
        np.ones(number, np.int64),
        np.ones(number, np.int64),
    )


@pytest.mark.parametrize(
    ("covered", "reserve", "floor"),
    [([100, 80], 10, 70), ([100, 80], 0, 80), ([100, 5], 10, 0), ([100, 0], 0, 0), ([], 10, 0)],
)
def test_the_log_is_freed_only_up_to_its_slowest_reader_less_the_reserve(
    covered: list[int], reserve: int, floor: int
) -> None:
    assert purge_floor(covered, reserve) == floor


def test_a_partition_given_back_while_the_store_is_away_ends_its_work_and_nothing_else() -> None:
    class Away:
        partition = 0
        asked = 0

        def covered(self) -> int:
            self.asked += 1
            raise StoreUnavailable("the store does not answer")

    async def run(recorder: Away) -> None:
        stop = asyncio.Event()
        work = asyncio.ensure_future(follow(cast(Recorder, recorder), cast(ReadingLog, None), stop))
        while not recorder.asked:
            await asyncio.sleep(0.01)
        stop.set()
        await asyncio.wait_for(work, 10)

    asyncio.run(run(Away()))


def test_who_waits_for_its_turn_gives_its_partition_back_at_once_and_keeps_no_turn() -> None:
    async def run() -> list[str]:
        turns, stop, seen = asyncio.Semaphore(1), asyncio.Event(), []
        never = asyncio.Event()

        async def waits() -> None:
            async with _turn(turns, stop):
                seen.append("recorded")

        async with _turn(turns, never):
            waiting = asyncio.ensure_future(waits())
            await asyncio.sleep(0.01)
            stop.set()
            await asyncio.wait({waiting}, timeout=5)
            assert isinstance(waiting.exception(), _Stopped)
        async with _turn(turns, never):
            seen.append("next")
        assert not turns.locked()
        return seen

    assert asyncio.run(run()) == ["next"]
