"""Flags and health of sensors from the stores, and the API that hands them out and takes maintenance."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from dashboards.web.api import build_api
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.ports import ConsoleActions
from dashboards.web.store_data import StoreData
from qingquan.clock import Clock
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.readings import SeriesKey, Topic
from qingquan.services.maintenance import MaintenanceDesk
from qingquan.services.sensors import SensorDesk
from qingquan.store.ports import SeriesRows
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.sql.engine import writing
from qingquan.store.sql.findings import upsert_findings
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import sqlite_engine  # noqa: F401 (fixture)
from qingquan.testing.engine import make_works

NOW = 1_780_000_020_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
WORKS = make_works(cadence_s=300)
CHLORINE = SeriesKey(WORKS.county, WORKS.id, "outlet", "free_chlorine")
TURBIDITY = CHLORINE._replace(parameter="turbidity")


class Fixed(Clock):
    """A clock that stands."""

    def now_ms(self) -> int:
        return NOW


def put(store: MemorySeriesStore, key: SeriesKey, times: np.ndarray, values: np.ndarray) -> None:
    size = len(times)
    zeros = np.zeros(size, np.int32)
    store.append(SeriesRows([key], zeros, times, times, values, np.ones(size, np.uint8)), "test", 0)


@pytest.fixture
def series() -> MemorySeriesStore:
    store = MemorySeriesStore()
    times = np.arange(NOW - 7 * DAY, NOW, 5 * MINUTE)
    chlorine = np.round(0.5 + 0.05 * np.sin(np.arange(len(times)) / 9), 3)
    chlorine[-5] = 3.0
    put(store, CHLORINE, times, chlorine)
    put(store, CHLORINE, times[-8:-7], np.array([0.9]))
    put(store, TURBIDITY, times[: len(times) // 2], np.full(len(times) // 2, 0.4))
    put(store, CHLORINE._replace(parameter="flow"), times, np.full(len(times), 10.0))
    return store


@pytest.fixture
def api(sqlite_engine: Engine, series: MemorySeriesStore) -> Iterator[TestClient]:  # noqa: F811
    finding = Finding(
        "f1", FindingKind.FLAT_LINE, Severity.MINOR, WORKS.county, WORKS.id, "outlet", "turbidity", NOW - HOUR, None, NOW, 0.4,
        None, "", "flat", "1", "",
    )  # fmt: skip
    with writing(sqlite_engine) as connection:
        save_works(connection, [WORKS])
        upsert_findings(connection, [finding], NOW)
    clock, log = Fixed(), list[tuple[Topic, dict[str, object]]]()

    def publish(topic: Topic, payload: bytes) -> int:
        log.append((topic, json.loads(payload)))
        point = CHLORINE._replace(parameter="maintenance")
        put(series, point, np.array([log[-1][1]["t"]]), np.array([float(log[-1][1]["v"]["maintenance"])]))  # type: ignore[call-overload, index]
        return len(log)

    data = StoreData(sqlite_engine, series, lambda: 0)
    actions = ConsoleActions(
        quality=SensorDesk(sqlite_engine, series, clock, 4 * HOUR),
        maintenance=MaintenanceDesk(sqlite_engine, clock, publish, 240),
    )
    with TestClient(build_api(Console(data, actions, clock, CountyFeed(data, clock)))) as client:
        yield client


def test_a_raw_series_carries_flags_and_the_names_of_the_tests(api: TestClient) -> None:
    ask = {"works": "W1", "point": "outlet", "parameter": "free_chlorine", "from": str(NOW - HOUR), "to": str(NOW)}
    found = api.get("/v1/series", params=ask).json()
    assert found["columns"]["value"][-5] == 3.0
    assert (found["columns"]["flag"][-5], found["tests"][-5]) == (4.0, ["spike", "rate_of_change"])
    assert (found["columns"]["flag"][-8], found["tests"][-8]) == (3.0, ["conflict"])
    assert len(found["observed_at"]) == 12
    assert "spike rate_of_change" in api.get("/v1/series", params={**ask, "format": "csv"}).text


def test_flags_do_not_depend_on_where_reading_begins(series: MemorySeriesStore, sqlite_engine: Engine) -> None:  # noqa: F811
    desk = SensorDesk(sqlite_engine, series, Fixed(), 4 * HOUR)
    _, whole = desk.flagged(WORKS, TURBIDITY, NOW - 7 * DAY, NOW)
    _, late = desk.flagged(WORKS, TURBIDITY, NOW - 5 * DAY, NOW)
    assert whole.flag[-len(late) :].tolist() == late.flag.tolist()
    assert set(late.flag.tolist()) == {4}


def test_sensors_are_listed_worst_first_with_reasons(api: TestClient) -> None:
    found = api.get("/v1/works/W1/sensors").json()["items"]
    scores = {one["parameter"]: one["score"] for one in found}
    assert scores["turbidity"] < 20 < 90 < scores["free_chlorine"]
    assert found[0]["days_to_service"] == 0
    assert {"flat_line", "missing"} <= {one["what"] for one in found[0]["reasons"]} | {
        reason["what"] for one in found for reason in one["reasons"] if one["parameter"] == "turbidity"
    }
    worst = api.get("/v1/sensors", params={"region": "52"}).json()["items"]
    assert (worst[0]["works"], worst[0]["parameter"]) == (found[0]["works"], found[0]["parameter"])
    assert api.get("/v1/works/W9/sensors").status_code == 404


def test_a_sensor_lacks_nothing_before_its_first_reading_ever(sqlite_engine: Engine) -> None:  # noqa: F811
    with writing(sqlite_engine) as connection:
        save_works(connection, [WORKS])
    today = np.arange(NOW - 6 * HOUR, NOW, 5 * MINUTE)
    store = MemorySeriesStore()
    put(store, CHLORINE, today, np.round(0.5 + 0.05 * np.sin(np.arange(len(today)) / 9), 3))
    desk = SensorDesk(sqlite_engine, store, Fixed(), 4 * HOUR)
    (new,) = [one for one in desk.sensors(WORKS.county, WORKS.id) if one.parameter == "free_chlorine"]
    assert (new.score, new.expected) == (100, 72)
    put(store, CHLORINE, np.array([NOW - 30 * DAY]), np.array([0.5]))
    (back,) = [one for one in desk.sensors(WORKS.county, WORKS.id) if one.parameter == "free_chlorine"]
    assert "missing" in [reason.what for reason in back.reasons], "it was there before, and silent for most of the week"


def test_maintenance_is_begun_and_ended_and_flags_the_readings(api: TestClient, series: MemorySeriesStore) -> None:
    body = {"point": "outlet", "by": "李工", "reason": "余氯仪校准", "minutes": 60}
    begun = api.post("/v1/works/W1/maintenance", json=body)
    assert begun.status_code == 201
    assert api.post("/v1/works/W1/maintenance", json=body).status_code == 409
    put(series, CHLORINE, np.array([NOW + MINUTE]), np.array([0.5]))
    ask = {"works": "W1", "point": "outlet", "parameter": "free_chlorine", "from": str(NOW), "to": str(NOW + HOUR)}
    assert api.get("/v1/series", params=ask).json()["tests"] == [["maintenance"]]
    ended = api.post(f"/v1/works/W1/maintenance/{begun.json()['id']}/end", json={"by": "李工"}).json()
    assert ended["ended_by"] == "李工"
    (listed,) = api.get("/v1/works/W1/maintenance").json()["items"]
    assert listed["ended_at"] == ended["ended_at"]


@pytest.mark.parametrize(
    ("change", "status"),
    [({"minutes": 3}, 422), ({"minutes": 300}, 422), ({"by": " "}, 422), ({"reason": ""}, 422), ({"point": "nowhere"}, 404), ({"x": 1}, 422)],
)  # fmt: skip
def test_a_wrong_beginning_is_refused(api: TestClient, change: dict[str, object], status: int) -> None:
    body = {"point": "outlet", "by": "李工", "reason": "校准", "minutes": 60, **change}
    answer = api.post("/v1/works/W1/maintenance", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert api.get("/v1/works/W1/maintenance").json()["items"] == []
