"""The adviser over real stores: it reads the series through the recorder's socket and writes advice beside what is judged."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import Engine

from alerts.apply import apply_findings
from qingquan.clock import Clock
from qingquan.config import Config
from qingquan.domain.disinfection import Delivery, DisinfectionFacts, Segment
from qingquan.domain.findings import DisinfectionState, FindingKind, Severity
from qingquan.domain.readings import SeriesKey
from qingquan.domain.state import WorksState
from qingquan.domain.works import PointKind, SamplingPoint, Works
from qingquan.errors import StoreUnavailable
from qingquan.services.adviser import Adviser
from qingquan.store.series.duckdb import DuckdbSeriesStore
from qingquan.store.series.remote import RemoteSeriesStore
from qingquan.store.sql.disinfection import get_advice, save_facts
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.register import save_works
from qingquan.store.sql.state import save_works_states
from qingquan.testing.alerts import example_finding, example_works
from qingquan.testing.databases import sqlite_engine
from qingquan.testing.series import Row, ServedStore, rows_of

__all__ = ["sqlite_engine"]

NOW = 1_780_020_000_000  # 2026-05-29 10:00 at the works
MINUTE, DAY = 60_000, 86_400_000
OUTLET = SamplingPoint(
    "outlet",
    PointKind.OUTLET,
    "出厂水",
    ("free_chlorine", "flow", "doser_running", "disinfectant_level", "temperature", "ph"),
)
WORKS = example_works("W0077", points=(OUTLET,))
STEADY = {"flow": 8.0, "doser_running": 1.0, "temperature": 15.0, "ph": 7.5}


class Fixed(Config):
    """Settings whose clock stands."""

    @property
    def clock(self) -> Clock:
        return _Standing()


class _Standing(Clock):
    def now_ms(self) -> int:
        return NOW


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ServedStore]:
    served = ServedStore(DuckdbSeriesStore(tmp_path / "s.duckdb"), tmp_path / "r.sock")
    yield served
    served.close()


def record(store: ServedStore, residual: np.ndarray, works: Works = WORKS) -> None:
    """One reading a minute up to now, with what stands beside it, and two weeks of a tank that loses 4 % a day."""
    rows = []

    def row(parameter: str, at: int, value: float) -> Row:
        return Row(SeriesKey(works.county, works.id, "outlet", parameter), at, float(value), 1)

    for n, value in enumerate(residual):
        rows.append(row("free_chlorine", NOW - (len(residual) - 1 - n) * MINUTE, value))
    rows += [row(name, NOW, value) for name, value in STEADY.items()]
    rows += [row("disinfectant_level", NOW - n * DAY // 8, 40 + n * 0.5) for n in range(14 * 8)]
    store.append(rows_of(rows), "test", 1)


def stand(engine: Engine, state: DisinfectionState) -> None:
    with writing(engine) as connection:
        save_works(connection, [WORKS])
        held = WorksState(WORKS.county, WORKS.id, state, NOW - 30 * MINUTE, NOW, stale=False)
        save_works_states(connection, [held])


def test_a_loss_gets_its_verdict_on_page_and_incident_within_a_look(sqlite_engine: Engine, store: ServedStore) -> None:
    record(store, np.concatenate([0.5 + 0.01 * np.sin(np.arange(690) / 7), np.zeros(30)]))
    stand(sqlite_engine, DisinfectionState.MISSING)
    finding = example_finding(county=WORKS.county, works=WORKS.id, kind=FindingKind.DISINFECTION_MISSING)
    with writing(sqlite_engine) as connection:
        facts = DisinfectionFacts(
            tank_volume_l=200.0, store_temperature_c=30.0, segments=(Segment("清水池", 100.0, 0.5, 20.0),),
            deliveries=(Delivery(NOW - 30 * DAY, 120.0),),
        )  # fmt: skip
        save_facts(connection, WORKS.county, WORKS.id, facts, NOW, "t")
        apply_findings(connection, [finding], {(WORKS.county, WORKS.id): WORKS}, NOW)
    assert Adviser(Fixed(), sqlite_engine, store).step(0.0) == 1
    with reading(sqlite_engine) as connection:
        advice = get_advice(connection, WORKS.county, WORKS.id)
        (incident,) = list_incidents(connection).items
    assert advice is not None
    document = advice.document
    assert document["verdict"]["cause"] == "sensor_step"
    # 40 % left at 4 % a day.
    assert document["stock"]["days"] == pytest.approx(10.0, abs=0.5)
    assert document["stock"]["litres_left"] == pytest.approx(80.0, abs=2)
    assert document["strength"]["now_g_l"] == pytest.approx(93.0, abs=0.5)
    assert document["contact"]["giardia"]["ratio"] == 0.0
    assert document["unknown"] == {"decay": "no_travel_time"}
    assert incident.summary["verdict_cause"] == "sensor_step"
    assert incident.summary["verdict_sentence_zh"] == document["verdict"]["sentence_zh"]


def test_a_store_that_is_gone_costs_advice_and_nothing_else(sqlite_engine: Engine, tmp_path: Path) -> None:
    stand(sqlite_engine, DisinfectionState.MISSING)
    adviser = Adviser(Fixed(), sqlite_engine, RemoteSeriesStore(tmp_path / "nobody.sock", 0.2))
    with pytest.raises(StoreUnavailable):
        adviser.step(0.0)
    with reading(sqlite_engine) as connection:
        assert get_advice(connection, WORKS.county, WORKS.id) is None


def test_trouble_is_looked_at_every_two_minutes_and_at_once_when_it_changes(
    sqlite_engine: Engine, store: ServedStore
) -> None:
    record(store, np.full(60, 0.2))
    stand(sqlite_engine, DisinfectionState.LOW)
    adviser = Adviser(Fixed(), sqlite_engine, store)
    assert [adviser.step(second) for second in (0.0, 2.0, 119.0, 121.0)] == [1, 0, 0, 1]
    stand(sqlite_engine, DisinfectionState.MISSING)
    assert adviser.step(123.0) == 1


def test_a_forecast_is_told_to_the_group_by_day_and_ends_when_the_fall_does(
    sqlite_engine: Engine, store: ServedStore
) -> None:
    falling = 0.55 + 0.05 * np.arange(720)[::-1] / 60 + 0.004 * np.cos(np.arange(720))
    record(store, falling)
    stand(sqlite_engine, DisinfectionState.OK)
    adviser = Adviser(Fixed(), sqlite_engine, store)
    adviser.step(0.0)
    with reading(sqlite_engine) as connection:
        (finding,) = list_findings(connection, kinds=[FindingKind.RESIDUAL_FALLING]).items
        channels = {one.channel for one in list_messages(connection).items}
        (incident,) = list_incidents(connection).items
    assert (finding.severity, finding.end) == (Severity.MINOR, None)
    assert "小时后将低于0.3 mg/L" in finding.reason
    assert channels == {"wecom_robot"}
    assert incident.summary["cause"] == "forecast"
    # Looked at again it is no news; once the residual is low the state machine speaks, and the forecast is over.
    adviser.step(700.0)
    stand(sqlite_engine, DisinfectionState.LOW)
    adviser.step(701.0)
    with reading(sqlite_engine) as connection:
        (finding,) = list_findings(connection, kinds=[FindingKind.RESIDUAL_FALLING]).items
    assert finding.end is not None


def test_by_night_a_forecast_wakes_nobody(sqlite_engine: Engine, store: ServedStore) -> None:
    falling = 0.55 + 0.05 * np.arange(720)[::-1] / 60 + 0.004 * np.cos(np.arange(720))
    record(store, falling)
    stand(sqlite_engine, DisinfectionState.OK)
    with writing(sqlite_engine) as connection:
        # Ten in the morning at Guiyang is three at night in London.
        save_works(connection, [replace(WORKS, time_zone="Europe/London", name="夜")])
    Adviser(Fixed(), sqlite_engine, store).step(0.0)
    with reading(sqlite_engine) as connection:
        (finding,) = list_findings(connection, kinds=[FindingKind.RESIDUAL_FALLING]).items
        assert finding.severity is Severity.INFO
        assert list_messages(connection).items == []
