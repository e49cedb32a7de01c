"""Measurements by hand at a works with an instrument, over real stores: what they say of the instrument and of the water."""

from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Engine

from qingquan.clock import Clock
from qingquan.config import Config
from qingquan.domain.disinfection import NOT_FOR_THE_LOG, HandMeasurement, HandMethod
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity
from qingquan.domain.maintenance import Maintenance
from qingquan.domain.quality import Trust
from qingquan.domain.readings import SeriesKey
from qingquan.domain.state import WorksState
from qingquan.services.hand_checks import HandChecks, checks_of
from qingquan.services.sensors import SensorDesk
from qingquan.store.ports import SeriesRows
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.sql.disinfection import insert_hand_measurements
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.register import save_works
from qingquan.store.sql.state import load_works_states, save_works_states, scan_disinfection
from qingquan.testing.databases import sqlite_engine
from qingquan.testing.engine import default_ruleset, make_works

__all__ = ["sqlite_engine"]

NOW = 1_780_020_000_000  # Friday 2026-05-29 10:00 at the works
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
WORKS = make_works()
KEY = SeriesKey(WORKS.county, WORKS.id, "outlet", "free_chlorine")


class Standing(Clock):
    """A clock that stands."""

    def now_ms(self) -> int:
        return NOW


class Fixed(Config):
    """Settings whose clock stands."""

    @property
    def clock(self) -> Clock:
        return Standing()


@pytest.fixture
def series() -> MemorySeriesStore:
    """Ten days at 0.50 mg/L, a reading every five minutes."""
    store = MemorySeriesStore()
    times = np.arange(NOW - 10 * DAY, NOW, 5 * MINUTE)
    zeros, ones = np.zeros(len(times), np.int32), np.ones(len(times), np.uint8)
    store.append(SeriesRows([KEY], zeros, times, times, np.full(len(times), 0.5), ones), "test", 0)
    return store


@pytest.fixture
def engine(sqlite_engine: Engine) -> Engine:
    with writing(sqlite_engine) as connection:
        save_works(connection, [WORKS])
    return sqlite_engine


@pytest.fixture
def checks(engine: Engine, series: MemorySeriesStore) -> HandChecks:
    return HandChecks(Fixed(), engine, series, default_ruleset().disinfection)


def measure(engine: Engine, value: float, at: int, qualifier: str = "") -> None:
    one = HandMeasurement(
        WORKS.county, WORKS.id, "outlet", "free_chlorine", at, value, HandMethod.DPD_PHOTOMETER, "张三", NOW,
        sequence=NOT_FOR_THE_LOG, qualifier=qualifier,
    )  # fmt: skip
    with writing(engine) as connection:
        insert_hand_measurements(connection, [one])


def told(engine: Engine) -> dict[FindingKind, Finding]:
    with reading(engine) as connection:
        return {one.kind: one for one in list_findings(connection).items}


def shown(engine: Engine, judged: DisinfectionState = DisinfectionState.OK) -> DisinfectionState:
    """The state that pages, detector and adviser read where the evaluator says ``judged``."""
    with writing(engine) as connection:
        save_works_states(connection, [WorksState(WORKS.county, WORKS.id, judged, NOW - DAY, NOW, stale=False)])
        (state,) = load_works_states(connection)
        (slim,) = scan_disinfection(connection)
    assert slim == (WORKS.county, WORKS.id, state.disinfection, state.since)
    return state.disinfection


def test_a_doubt_becomes_a_failure_and_ends_when_a_measurement_agrees(engine: Engine, checks: HandChecks) -> None:
    measure(engine, 0.48, NOW - 3 * DAY)
    assert checks.look(WORKS) == []
    measure(engine, 0.75, NOW - 2 * DAY)
    checks.look(WORKS)
    doubt = told(engine)[FindingKind.HAND_DISAGREES]
    assert (doubt.severity, doubt.start, doubt.extreme) == (Severity.MINOR, NOW - 2 * DAY, 0.5)
    # Looked at again it is no news.
    assert checks.look(WORKS) == []
    measure(engine, 0.72, NOW - HOUR)
    checks.look(WORKS)
    failed = told(engine)[FindingKind.HAND_DISAGREES]
    assert (failed.id, failed.severity) == (doubt.id, Severity.MAJOR)
    # Failed on a Friday: Monday is the first of five working days.
    assert "6月5日前修复" in failed.reason
    assert failed.evidence["next_hand_at"] == NOW + 3 * HOUR
    with reading(engine) as connection:
        (incident,) = list_incidents(connection).items
    assert (incident.summary["cause"], incident.severity) == ("instrument", Severity.MAJOR)
    assert shown(engine) is DisinfectionState.OK
    measure(engine, 0.55, NOW - 30 * MINUTE)
    checks.look(WORKS)
    assert told(engine)[FindingKind.HAND_DISAGREES].end == NOW - 30 * MINUTE


def test_a_failed_instrument_in_whose_place_nobody_measures_leaves_the_state_unknown(
    engine: Engine, checks: HandChecks
) -> None:
    measure(engine, 0.75, NOW - 9 * HOUR)
    measure(engine, 0.72, NOW - 5 * HOUR)
    checks.look(WORKS)
    assert told(engine)[FindingKind.HAND_DISAGREES].evidence["hand_overdue"] == NOW - HOUR
    assert shown(engine) is DisinfectionState.UNKNOWN
    # What is worse, or no question of a residual, stays as it is.
    for judged in (
        DisinfectionState.LOW,
        DisinfectionState.MISSING,
        DisinfectionState.IDLE,
        DisinfectionState.NOT_EQUIPPED,
    ):
        assert shown(engine, judged) is judged
    measure(engine, 0.74, NOW - HOUR)
    checks.look(WORKS)
    assert "hand_overdue" not in told(engine)[FindingKind.HAND_DISAGREES].evidence
    assert shown(engine) is DisinfectionState.OK


def test_water_that_people_found_without_residual_is_an_alarm_whatever_the_instrument_reads(
    engine: Engine, checks: HandChecks
) -> None:
    measure(engine, 0.05, NOW - HOUR, "<")
    checks.look(WORKS)
    found = told(engine)
    lost = found[FindingKind.DISINFECTION_MISSING]
    assert (lost.severity, lost.evidence["sensor"]) == (Severity.CRITICAL, 0.5)
    assert "仪表读数0.50 mg/L，以人工测定为准" in lost.reason
    with reading(engine) as connection:
        causes = {one.summary["cause"]: one.severity for one in list_incidents(connection).items}
    assert causes == {"disinfection": Severity.CRITICAL, "instrument": Severity.MINOR}
    assert shown(engine) is DisinfectionState.MISSING
    assert shown(engine, DisinfectionState.LOW) is DisinfectionState.MISSING
    # Some chlorine is back, too little: another finding, and the loss is over.
    measure(engine, 0.2, NOW - 30 * MINUTE)
    checks.look(WORKS)
    found = told(engine)
    assert found[FindingKind.DISINFECTION_MISSING].end == NOW - 30 * MINUTE
    low = found[FindingKind.DISINFECTION_LOW]
    assert (low.limit, low.clause, low.end) == (0.3, "GB 5749-2022 Table 2", None)
    measure(engine, 0.45, NOW - 10 * MINUTE)
    checks.look(WORKS)
    assert {one.end for one in told(engine).values()} == {NOW - 10 * MINUTE, NOW - 30 * MINUTE}
    assert shown(engine) is DisinfectionState.OK


def test_where_both_agree_the_readings_speak_and_an_old_page_of_the_log_alarms_nobody(
    engine: Engine, series: MemorySeriesStore, checks: HandChecks
) -> None:
    measure(engine, 0.02, NOW - 2 * DAY)
    checks.look(WORKS)
    # Typed in days later: the instrument is in doubt; of the water of today it says nothing.
    assert set(told(engine)) == {FindingKind.HAND_DISAGREES}
    late = np.arange(NOW, NOW + HOUR, 5 * MINUTE)
    zeros, ones = np.zeros(len(late), np.int32), np.ones(len(late), np.uint8)
    series.append(SeriesRows([KEY], zeros, late, late, np.full(len(late), 0.02), ones), "test", 1)
    measure(engine, 0.04, NOW + 20 * MINUTE)
    checks.look(WORKS)
    assert FindingKind.DISINFECTION_MISSING not in told(engine)
    assert told(engine)[FindingKind.HAND_DISAGREES].end == NOW + 20 * MINUTE


def test_an_instrument_that_is_silent_takes_nothing_from_what_people_found(engine: Engine, checks: HandChecks) -> None:
    measure(engine, 2.6, NOW + HOUR)
    checks.look(WORKS)
    high = told(engine)[FindingKind.DISINFECTION_HIGH]
    assert (high.limit, "无可比读数" in high.reason) == (2.0, True)


def test_what_was_just_measured_is_looked_at_first_and_once(engine: Engine, checks: HandChecks) -> None:
    measure(engine, 0.5, NOW - 2 * HOUR)
    assert checks.measured() == set()
    measure(engine, 0.5, NOW - HOUR)
    assert checks.measured() == {(WORKS.county, WORKS.id)}
    assert checks.measured() == set()


def test_readings_of_a_maintenance_are_no_measure_and_equal_values_are(
    engine: Engine, series: MemorySeriesStore
) -> None:
    at = NOW - 2 * HOUR
    one = HandMeasurement(
        WORKS.county,
        WORKS.id,
        "outlet",
        "free_chlorine",
        at,
        0.5,
        HandMethod.DPD_COLOUR,
        "张三",
        NOW,
        sequence=NOT_FOR_THE_LOG,
    )
    (found,) = checks_of(series, WORKS, [one], [], NOW)
    assert (found.trust, found.checks[0].sensor) == (Trust.VERIFIED, 0.5)
    kept = Maintenance(
        1, WORKS.county, WORKS.id, "outlet", at - HOUR, "李工", "校准", at + HOUR, True, at + HOUR, "李工"
    )
    assert checks_of(series, WORKS, [one], [kept], NOW) == []
    # What people log in place of an instrument is the series itself.
    assert checks_of(series, WORKS, [replace(one, sequence=7)], [], NOW) == []
    measure(engine, 0.5, at)
    desk = SensorDesk(engine, series, Standing(), 4 * HOUR)
    assert [check.trust for check in desk.hand_checks(WORKS)] == [Trust.VERIFIED]
    assert desk.hand_checks(replace(WORKS, evidence="hand")) == []
