"""A buffered upload through the real recorder and its store changes the figures of the day it belongs to."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.readings import LogMessage
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.errors import StoreUnavailable
from qingquan.services.compliance import ComplianceWorker
from qingquan.services.compliance_days import day_span
from qingquan.services.recorder import Recorder
from qingquan.store.ports import AppendResult, SeriesRows
from qingquan.store.series.duckdb import DuckdbSeriesStore
from qingquan.store.sql.compliance import dirty_days, versions_of
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.progress import SNAPSHOT_PARTITION, set_applied_sequence
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import sqlite_engine as engine

__all__ = ["engine"]

DAY = "2026-05-03"
SPAN = day_span(DAY, "Asia/Shanghai")
MINUTE = 60_000
NOW = SPAN.end + 3 * 60 * MINUTE


class _Clock:
    def now_ms(self) -> int:
        return NOW


def upload(sequence: int, first: int, last: int, value: float) -> LogMessage:
    """Minutes of the day, sent in one message the next morning."""
    rows = [{"t": SPAN.start + minute * MINUTE, "v": {"turbidity": value}} for minute in range(first, last)]
    return LogMessage(sequence, NOW, "part.0.wq.520425.W0001.outlet.json", json.dumps(rows).encode())


class _Broken(DuckdbSeriesStore):
    """Fails once, after the marks were written and before the rows are."""

    is_broken = True

    def append(self, rows: SeriesRows, reader: str, covered: int, messages: int = 0) -> AppendResult:
        if self.is_broken:
            self.is_broken = False
            raise StoreUnavailable("away for a moment")
        return super().append(rows, reader, covered, messages)


@pytest.fixture
def store(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Broken:
    works = Works(
        "520425", "W0001", "甲水厂", "某镇", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 200.0, 900,
        (SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("turbidity",)),),
    )  # fmt: skip
    with writing(engine) as connection:
        save_works(connection, [works])
        set_applied_sequence(connection, SNAPSHOT_PARTITION, 100)
    monkeypatch.setattr(Config, "clock", property(lambda _: _Clock()))
    return _Broken(tmp_path / "series.duckdb")


def test_a_late_upload_is_marked_before_it_is_stored_and_reckoned_after(engine: Engine, store: _Broken) -> None:
    recorder, worker = Recorder(Config(), engine, store), ComplianceWorker(Config(), engine, store)
    worker.step()  # the day ends without a reading, and is published so

    def received() -> list[int]:
        with reading(engine) as connection:
            versions = versions_of(connection, "520425", "W0001", "outlet", "turbidity", DAY)
        return [one.figures.received for one in versions]

    assert received() == [0]
    with pytest.raises(StoreUnavailable):
        recorder.record([upload(1, 0, 360, 0.5)])
    worker.work_off()
    with reading(engine) as connection:
        assert [mark.sequence for mark in dirty_days(connection, 9)] == [1]
    assert received() == [0]
    recorder.record([upload(1, 0, 360, 0.5)])
    worker.work_off()
    recorder.record([upload(2, 0, 360, 0.5), upload(3, 360, 400, 2.5)])
    worker.work_off()
    assert received() == [0, 360, 400]
    with reading(engine) as connection:
        assert dirty_days(connection, 9) == []
        last = versions_of(connection, "520425", "W0001", "outlet", "turbidity", DAY)[-1].figures
    assert last.exceeding_ms == 40 * MINUTE + 14 * MINUTE
    assert last.compliant_ms == 360 * MINUTE
    store.close()
