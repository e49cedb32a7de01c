"""The compliance worker over a real database and the in-memory series store; the clock is a test's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, Engine

from qingquan.config import Config
from qingquan.domain.compliance import ComplianceVerdict, ComplianceVersion
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.readings import ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.errors import StoreUnavailable
from qingquan.services import compliance
from qingquan.services.compliance import ComplianceWorker
from qingquan.services.compliance_days import day_span, month_span
from qingquan.services.compliance_marks import LateDays
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.sql.compliance import (
    DirtyDay,
    clear_dirty,
    count_dirty,
    dirty_days,
    list_compliance,
    mark_dirty,
    versions_of,
)
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.findings import upsert_findings
from qingquan.store.sql.progress import SNAPSHOT_PARTITION, set_applied_sequence
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import sqlite_engine as engine
from qingquan.testing.series import Row, rows_of

__all__ = ["engine"]

COUNTY = "520425"
ZONE = "Asia/Shanghai"
DAY = "2026-05-03"
START = day_span(DAY, ZONE).start
MINUTE = 60_000
HOUR = 60 * MINUTE
PARTITION = 7


def make(id: str = "W0001", **changes: object) -> Works:
    outlet = SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine", "turbidity", "flow"))
    raw = SamplingPoint("source", PointKind.SOURCE, "源水", ("turbidity",))
    plain = Works(
        COUNTY, id, f"{id}水厂", "某镇", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 5000.0, 20_000, (raw, outlet),
        cadence_s=300,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


@dataclass
class _Clock:
    """Shows what the test sets."""

    shown: int = 0

    def now_ms(self) -> int:
        return self.shown


@dataclass
class System:
    """Worker, database and store, and the clock between them."""

    engine: Engine
    store: MemorySeriesStore
    worker: ComplianceWorker
    clock: _Clock
    sequence: int = 0

    def record(self, parameter: str, values: dict[int, float], works: str = "W0001", *, mark: bool = True) -> None:
        """Values by minute of the day, as the recorder would take them: mark, rows, and the evaluator's snapshot."""
        self.sequence += 1
        if mark:
            with writing(self.engine) as connection:
                mark_dirty(connection, [DirtyDay(COUNTY, works, DAY, self.sequence)])
        key = SeriesKey(COUNTY, works, "outlet", parameter)
        rows = [Row(key, START + minute * MINUTE, value, 1) for minute, value in values.items()]
        self.store.append(rows_of(rows, [self.sequence] * len(rows)), "all", self.sequence, 1)
        self.judge()

    def judge(self) -> None:
        with writing(self.engine) as connection:
            set_applied_sequence(connection, SNAPSHOT_PARTITION, self.sequence)

    def known(self, parameter: str, period: str = DAY, works: str = "W0001") -> list[ComplianceVersion]:
        with reading(self.engine) as connection:
            return versions_of(connection, COUNTY, works, "outlet", parameter, period)

    def waiting(self) -> int:
        with reading(self.engine) as connection:
            return count_dirty(connection)


@pytest.fixture
def system(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> System:
    with writing(engine) as connection:
        save_works(connection, [make()])
    clock = _Clock(shown=START + 26 * HOUR)
    monkeypatch.setattr(Config, "clock", property(lambda _: clock))
    store = MemorySeriesStore()
    return System(engine, store, ComplianceWorker(Config(), engine, store), clock)


ALL_DAY = dict.fromkeys(range(0, 1440, 5), 0.5)


def test_a_day_is_published_with_limit_clause_and_coverage(system: System) -> None:
    system.record("free_chlorine", ALL_DAY | {600: 0.1, 605: 0.2})
    system.worker.step()
    [version] = system.known("free_chlorine")
    found = version.figures
    assert version.is_published
    assert (found.expected, found.received, found.usable, found.met) == (288, 288, 288, 286)
    assert (found.exceeding_ms, found.compliant_ms, found.unknown_ms) == (10 * MINUTE, 24 * HOUR - 10 * MINUTE, 0)
    assert (found.worst, found.worst_at) == (0.1, START + 600 * MINUTE)
    assert (found.low, found.high, found.verdict) == (0.3, 2.0, ComplianceVerdict.EXCEEDING)
    assert found.limit_id.startswith("gb5749-2022")
    assert found.standard == "GB 5749-2022"
    assert found.clause
    assert found.states == {"ok": 24 * HOUR}
    assert system.waiting() == 0


def test_a_silent_day_is_unknown_for_every_judged_parameter_and_raw_water_is_not_judged(system: System) -> None:
    system.worker.step()
    with reading(system.engine) as connection:
        rows = [known.now.figures for known in list_compliance(connection, month="2026-05")]
    closed = [one for one in rows if one.period == DAY]
    assert [(one.point, one.parameter) for one in closed] == [("outlet", "free_chlorine"), ("outlet", "turbidity")]
    assert all(one.unknown_ms == 24 * HOUR and one.verdict is ComplianceVerdict.UNDECIDED for one in closed)
    assert closed[0].states == {"unknown": 24 * HOUR}


def test_late_readings_change_day_and_month_and_what_was_known_before_is_kept(system: System) -> None:
    system.record("turbidity", dict.fromkeys(range(0, 720, 5), 0.5))
    system.worker.step()
    first_seen = system.clock.shown
    system.clock.shown += HOUR
    system.record("turbidity", dict.fromkeys(range(720, 1440, 5), 1.4))
    system.worker.step()
    then, now = system.known("turbidity")
    assert (then.figures.received, then.known_at) == (144, first_seen)
    assert (now.figures.received, now.known_at) == (288, first_seen + HOUR)
    assert (then.figures.verdict, now.figures.verdict) == (ComplianceVerdict.UNDECIDED, ComplianceVerdict.EXCEEDING)
    [month] = system.known("turbidity", "2026-05")
    assert (month.figures.received, month.is_published) == (288, False)


def test_others_may_write_while_days_and_months_are_reckoned(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database with one writer would hold up alarms for as long as the reckoning takes."""
    written: list[str] = []

    def while_writing(name: str, reckon: Callable[..., Any]) -> Callable[..., Any]:
        def reckoned(*arguments: Any) -> Any:
            with writing(system.engine) as connection:
                set_applied_sequence(connection, PARTITION, len(written))
            written.append(name)
            return reckon(*arguments)

        return reckoned

    for name in ("reckoning", "reckoned", "month_of"):
        monkeypatch.setattr(compliance, name, while_writing(name, getattr(compliance, name)))
    system.record("turbidity", ALL_DAY)
    system.worker.step()
    assert {"reckoning", "reckoned", "month_of"} == set(written)
    assert system.waiting() == 0


def test_the_same_work_again_changes_nothing(system: System) -> None:
    system.record("turbidity", {0: 0.5})
    system.worker.step()
    before = system.known("turbidity")
    with writing(system.engine) as connection:
        mark_dirty(connection, [DirtyDay(COUNTY, "W0001", DAY)])
    system.clock.shown += MINUTE
    assert system.worker.step() >= 1
    assert system.known("turbidity") == before


def test_a_mark_waits_until_the_store_holds_its_readings(system: System) -> None:
    with writing(system.engine) as connection:
        mark_dirty(connection, [DirtyDay(COUNTY, "W0001", "2026-04-01", 5)])
    system.worker.step()
    assert system.known("turbidity", "2026-04-01") == []
    assert system.waiting() == 1
    system.sequence = 4
    system.record("turbidity", {0: 0.5}, mark=False)
    system.worker.step()
    assert len(system.known("turbidity", "2026-04-01")) == 1


def test_a_mark_stays_until_the_evaluator_has_judged_and_is_then_reckoned_once_more(system: System) -> None:
    system.record("turbidity", {0: 0.5})
    with writing(system.engine) as connection:
        mark_dirty(connection, [DirtyDay(COUNTY, "W0001", DAY, 2)])
    system.store.append(rows_of([]), "all", 2)
    system.worker.step()
    assert system.waiting() == 1
    assert system.worker.work_off() == 0
    system.sequence = 2
    exceeded = Finding(
        "f1", FindingKind.EXCEEDANCE, Severity.MAJOR, COUNTY, "W0001", "outlet", "turbidity", START, START + HOUR,
        START + HOUR, 2.0, 1.0, "", "rule", "1", "",
    )  # fmt: skip
    with writing(system.engine) as connection:
        upsert_findings(connection, [exceeded], 1)
    system.judge()
    assert system.worker.work_off() == 1
    assert system.known("turbidity")[-1].figures.findings == 1
    assert system.waiting() == 0


def test_readings_while_the_instrument_stood_still_are_unknown(system: System) -> None:
    stood = Finding(
        "f2", FindingKind.FLAT_LINE, Severity.MINOR, COUNTY, "W0001", "outlet", "turbidity", START, START + 6 * HOUR,
        START, None, None, "", "flat-line", "1", "",
    )  # fmt: skip
    with writing(system.engine) as connection:
        upsert_findings(connection, [stood], 1)
    system.record("turbidity", ALL_DAY)
    system.worker.step()
    assert system.known("turbidity")[-1].figures.unknown_ms == 6 * HOUR


def test_a_works_that_stands_still_is_idle_and_not_disinfected(system: System) -> None:
    system.record("flow", dict.fromkeys(range(0, 360, 5), 0.0))
    system.record("free_chlorine", ALL_DAY)
    system.worker.step()
    states = system.known("free_chlorine")[-1].figures.states
    assert states["idle"] == pytest.approx(6 * HOUR, abs=10 * MINUTE)
    assert states["idle"] + states["ok"] == 24 * HOUR


def test_a_running_day_is_provisional_and_replaced(system: System) -> None:
    system.clock.shown = START + 6 * HOUR
    system.record("turbidity", {0: 0.5}, mark=False)
    system.worker.step()
    [first] = system.known("turbidity")
    assert (first.is_published, first.figures.end - first.figures.start) == (False, 6 * HOUR)
    system.clock.shown += HOUR
    system.worker.step()
    [second] = system.known("turbidity")
    assert second.figures.end - second.figures.start == 7 * HOUR


def test_days_missed_while_the_worker_was_down_are_made_up(system: System) -> None:
    system.worker.step()
    system.clock.shown += 3 * 24 * HOUR
    system.worker.step()
    assert [len(system.known("turbidity", f"2026-05-0{n}")) for n in (3, 4, 5, 6)] == [1, 1, 1, 1]
    assert all(system.known("turbidity", f"2026-05-0{n}")[0].is_published for n in (3, 4, 5, 6))


def test_marks_are_made_in_parts_and_a_calendar_cut_short_is_followed_again(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    with writing(system.engine) as connection:
        save_works(connection, [make(f"W000{n}") for n in range(1, 6)])
    monkeypatch.setattr(compliance, "MARKED_AT_ONCE", 2)
    sizes: list[int] = []

    def breaks_at_the_third(connection: Connection, days: Sequence[DirtyDay]) -> int:
        sizes.append(len(days))
        if len(sizes) == 3:
            raise StoreUnavailable("gone")
        return mark_dirty(connection, days)

    monkeypatch.setattr(compliance, "mark_dirty", breaks_at_the_third)
    system.worker.prepare()
    with pytest.raises(StoreUnavailable):
        system.worker.follow_calendar()
    # Two transactions are kept: others had their turn in between.
    assert system.waiting() == 4
    assert system.worker.follow_calendar() == 10
    assert system.waiting() == 10
    assert max(sizes) == 2
    assert system.worker.follow_calendar() == 0


def test_figures_are_written_in_parts_and_only_what_was_not_written_is_reckoned_again(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"W000{n}" for n in range(1, 6)]
    with writing(system.engine) as connection:
        save_works(connection, [make(name) for name in names])
        mark_dirty(connection, [DirtyDay(COUNTY, name, DAY) for name in names])
    monkeypatch.setattr(compliance, "WRITTEN_AT_ONCE", 2)
    parts: list[list[str]] = []

    def breaks_at_the_second(connection: Connection, days: Sequence[DirtyDay]) -> None:
        parts.append([one.works for one in days])
        if len(parts) == 2:
            raise StoreUnavailable("gone")
        clear_dirty(connection, days)

    monkeypatch.setattr(compliance, "clear_dirty", breaks_at_the_second)
    system.worker.prepare()
    with pytest.raises(StoreUnavailable):
        system.worker.work_off()
    # The second part's figures went with its marks: whoever is killed in between reckons it once more.
    known = {
        name for name in names if system.known("turbidity", works=name) and system.known("turbidity", "2026-05", name)
    }
    assert known == {"W0001", "W0002"}
    assert system.waiting() == 3
    assert system.worker.work_off() == 3
    assert parts == [["W0001", "W0002"], ["W0003", "W0004"], ["W0003", "W0004"], ["W0005"]]
    assert all(len(system.known("turbidity", works=name)) == 1 for name in names)
    assert system.waiting() == 0


def test_marks_of_works_no_longer_in_the_register_go(system: System) -> None:
    with writing(system.engine) as connection:
        mark_dirty(connection, [DirtyDay(COUNTY, "W9999", DAY)])
    system.worker.step()
    assert system.waiting() == 0


def test_a_months_bounds_are_those_of_the_works_calendar() -> None:
    assert month_span("2026-12", ZONE) == (day_span("2026-12-01", ZONE).start, day_span("2027-01-01", ZONE).start)
    assert day_span("2026-03-29", "Europe/Berlin").end - day_span("2026-03-29", "Europe/Berlin").start == 23 * HOUR


def test_only_days_that_were_over_on_arrival_are_marked() -> None:
    catalog = SeriesCatalog()
    late = LateDays(catalog)
    late.register([make(), make("W0002", time_zone="UTC")])
    keys = [SeriesKey(COUNTY, works, "outlet", "turbidity") for works in ("W0001", "W0002")]
    series = np.array([catalog.index(key) for key in keys for _ in range(3)], np.int32)
    # Just before midnight in Shanghai, at it, and a day before; received a minute after midnight there.
    observed = np.array([START + 24 * HOUR - 1, START + 24 * HOUR, START - 1] * 2, np.int64)
    received = np.full(6, START + 24 * HOUR + MINUTE, np.int64)
    flag, value = np.ones(6, np.uint8), np.ones(6)
    batch = ReadingBatch(series, observed, value, flag, np.ones(6, np.int64), received)
    assert sorted(late.of(batch, 9)) == [
        DirtyDay(COUNTY, "W0001", "2026-05-02", 9),
        DirtyDay(COUNTY, "W0001", DAY, 9),
        DirtyDay(COUNTY, "W0002", "2026-05-02", 9),
    ]
    assert late.of(ReadingBatch.empty(), 1) == []


def test_marks_are_read_back_by_day_first(system: System) -> None:
    with writing(system.engine) as connection:
        mark_dirty(connection, [DirtyDay(COUNTY, "B", "2026-05-02"), DirtyDay(COUNTY, "A", DAY)])
        assert [mark.works for mark in dirty_days(connection, 5)] == ["B", "A"]


def test_a_stop_is_heeded_between_batches_and_nothing_is_lost(system: System) -> None:
    stopped = ComplianceWorker(Config(), system.engine, system.store, lambda: False)
    assert stopped.step() == 0
    assert system.waiting() > 0
    assert system.worker.step() > 0
    assert system.waiting() == 0
