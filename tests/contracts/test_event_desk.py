"""Sudden changes through the API, over the stores: list, marks, detectors, known events, history."""

import csv
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

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
from qingquan.config import Config
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.readings import SeriesKey
from qingquan.services.detector import Detector
from qingquan.services.detector_watch import advice_of, watched
from qingquan.services.event_desk import StoreEventDesk
from qingquan.standards.loader import load_standards
from qingquan.store.ports import SeriesRows
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.events import detector_figures, note_told
from qingquan.store.sql.findings import list_findings, upsert_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import engine
from qingquan.testing.engine import make_works
from rules.events.live import EventChange

__all__ = ["engine"]

NOW = 1_780_000_020_000
MINUTE, HOUR = 60_000, 3_600_000
WORKS = make_works()
COUNTY, ID = WORKS.county, WORKS.id


SECONDS = itertools.count()


class Later(Clock):
    """A clock that goes on by a second whenever it is asked."""

    def now_ms(self) -> int:
        return NOW + 1000 * next(SECONDS)


def event(number: int, *, county: str = COUNTY, lasting: bool = False, **evidence: float | int | str) -> Finding:
    start = NOW - number * 3 * HOUR
    return Finding(
        id=f"e{number}", kind=FindingKind.WATER_EVENT, severity=Severity.MINOR, county=county, works=ID, point="outlet", parameter="",
        start=start, end=None if lasting else start + 20 * MINUTE, evidence_at=start + 20 * MINUTE, extreme=1.0 + number / 10,
        limit=1.0, clause="", rule="water_event", rule_version="1", reason="浊度、pH突变，持续20分钟（仅供参考，请核实）",
        evidence={"contributors": "turbidity;ph", "share.turbidity": 0.6, "share.ph": 0.4, **evidence},
    )  # fmt: skip


@pytest.fixture
def series() -> MemorySeriesStore:
    store = MemorySeriesStore()
    times = np.arange(NOW - 24 * HOUR, NOW, MINUTE)
    jump = ((times - NOW) % (3 * HOUR)) < 20 * MINUTE
    for code, level, size in (("turbidity", 0.3, 0.8), ("ph", 7.2, -0.4)):
        rows = [SeriesKey(COUNTY, ID, "outlet", code)]
        zeros = np.zeros(len(times), np.int32)
        values = level + size * jump
        store.append(SeriesRows(rows, zeros, times, times, values, np.ones(len(times), np.uint8)), code, 0)
    return store


@pytest.fixture
def api(engine: Engine, series: MemorySeriesStore) -> Iterator[TestClient]:
    with writing(engine) as connection:
        save_works(connection, [WORKS])
        found = [event(1), event(2), event(3, lasting=True), event(4, disinfection_not_ok=1), event(5, county="999999")]
        exceedance = event(6)
        values = {name: getattr(exceedance, name) for name in Finding.__slots__}
        upsert_findings(connection, [*found, Finding(**{**values, "kind": FindingKind.STALE})], NOW)
    clock = Later()
    data = StoreData(engine, series, lambda: 0)
    actions = ConsoleActions(events=StoreEventDesk(engine, series, clock))
    with TestClient(build_api(Console(data, actions, clock, CountyFeed(data, clock)))) as client:
        yield client


def ids(api: TestClient, **query: object) -> list[str]:
    answer = api.get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["items"]]


def mark(api: TestClient, number: int, verdict: str, by: str = "王建国") -> None:
    answer = api.post(f"/v1/events/e{number}/mark", json={"verdict": verdict, "by": by})
    assert answer.status_code == 200, answer.text


def test_events_are_listed_newest_first_paged_and_by_region(api: TestClient) -> None:
    assert ids(api) == ["e1", "e2", "e3", "e4", "e5"]
    assert ids(api, limit=2, offset=1) == ["e2", "e3"]
    assert ids(api, region=COUNTY[:4]) == ["e1", "e2", "e3", "e4"]
    assert ids(api, region="99") == ["e5"]
    assert ids(api, works="another") == []
    assert ids(api, open="true") == ["e3"]
    assert ids(api, **{"from": NOW - 7 * HOUR, "to": NOW - 4 * HOUR}) == ["e2"]
    first = api.get("/v1/events?limit=1").json()
    assert first["total"] == 5
    assert first["items"][0]["contributors"] == [
        {"parameter": "turbidity", "share": 0.6}, {"parameter": "ph", "share": 0.4},
    ]  # fmt: skip


def test_events_come_as_csv(api: TestClient) -> None:
    answer = api.get("/v1/events?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert answer.headers["x-total-count"] == "5"
    assert [row["id"] for row in rows] == ["e1", "e2", "e3", "e4", "e5"]


def test_a_mark_can_be_changed_and_both_words_stay_in_the_history(api: TestClient) -> None:
    mark(api, 1, "real")
    mark(api, 1, "real")
    assert ids(api, verdict="real") == ["e1"]
    mark(api, 1, "false", "李秀英")
    assert ids(api, verdict="real") == []
    assert ids(api, verdict="none", region=COUNTY) == ["e2", "e3", "e4"]
    history = api.get(f"/v1/events/history/{COUNTY}/{ID}").json()
    assert [(one["by"], one["action"], one["detail"]) for one in history] == [
        ("李秀英", "mark_false", "e1"), ("王建国", "mark_real", "e1"),
    ]  # fmt: skip


def test_a_mark_without_verdict_or_name_is_refused(api: TestClient) -> None:
    for body in ({"verdict": "perhaps", "by": "x"}, {"verdict": "real", "by": " "}, {"verdict": "real"}):
        assert api.post("/v1/events/e1/mark", json=body).status_code == 422
    assert ids(api, verdict="none", region=COUNTY) == ["e1", "e2", "e3", "e4"]


def test_only_events_can_be_marked(api: TestClient) -> None:
    for unknown in ("e6", "nothing"):
        answer = api.post(f"/v1/events/{unknown}/mark", json={"verdict": "real", "by": "x"})
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_thirty_false_marks_silence_a_detector_and_a_person_can_let_it_speak_again(
    api: TestClient, engine: Engine
) -> None:
    with writing(engine) as connection:
        upsert_findings(connection, [event(number) for number in range(100, 130)], NOW)
    for number in range(100, 130):
        mark(api, number, "false")
    where = f"/v1/events/detectors/{COUNTY}/{ID}"
    silent = api.get(where).json()
    assert (silent["silent"], silent["by_person"], silent["marked_false"], silent["real_share"]) == (True, None, 30, 0)
    assert [one["silent"] for one in api.get("/v1/events/detectors", params={"region": COUNTY}).json()] == [True]
    assert api.get("/v1/events/detectors", params={"region": "99"}).json() == []
    plan = watched([WORKS], load_standards().parameters)
    with reading(engine) as connection:
        assert advice_of(connection, plan, NOW).silent == {(COUNTY, ID)}
    spoken = api.post(f"{where}/switch", json={"silent": False, "by": "李秀英"}).json()
    assert (spoken["silent"], spoken["by_person"], spoken["switched_by"]) == (False, False, "李秀英")
    with reading(engine) as connection:
        assert advice_of(connection, plan, NOW).silent == frozenset()
    assert api.post(f"{where}/switch", json={"silent": True, "by": "李秀英"}).json()["silent"]
    left = api.post(f"{where}/switch", json={"silent": None, "by": "李秀英"}).json()
    assert (left["silent"], left["by_person"]) == (False, None)
    actions = [one["action"] for one in api.get(f"/v1/events/history/{COUNTY}/{ID}").json()][:3]
    assert actions == ["by_marks", "silence", "speak"]


def test_a_works_that_is_not_registered_has_no_detector(api: TestClient) -> None:
    assert api.get(f"/v1/events/detectors/{COUNTY}/W9999").status_code == 404
    assert api.post(f"/v1/events/detectors/{COUNTY}/W9999/switch", json={"silent": True, "by": "x"}).status_code == 404


def test_a_benign_event_is_saved_with_its_shape_and_can_be_deleted(api: TestClient) -> None:
    saved = api.post("/v1/events/patterns", json={"event": "e1", "name": "滤池反冲洗", "by": "王建国"})
    assert saved.status_code == 201, saved.text
    pattern = saved.json()
    assert (pattern["name"], pattern["length_min"], set(pattern["shape"])) == ("滤池反冲洗", 20.0, {"turbidity", "ph"})
    assert max(pattern["shape"]["turbidity"]) > 100
    assert min(pattern["shape"]["ph"]) < 0
    assert [one["id"] for one in api.get("/v1/events/patterns", params={"works": ID}).json()] == [pattern["id"]]
    again = api.post("/v1/events/patterns", json={"event": "e2", "name": "滤池反冲洗", "by": "王建国"})
    assert again.status_code == 409
    assert api.delete(f"/v1/events/patterns/{pattern['id']}").status_code == 422
    for status in (204, 404):
        gone = api.delete(f"/v1/events/patterns/{pattern['id']}", params={"by": "王建国"})
        assert gone.status_code == status
    assert api.get("/v1/events/patterns").json() == []


def test_what_lasts_what_fell_into_lost_disinfection_and_what_was_not_measured_is_no_pattern(api: TestClient) -> None:
    for number in (3, 4, 5):
        answer = api.post("/v1/events/patterns", json={"event": f"e{number}", "name": "x", "by": "y"})
        assert answer.status_code == 409


def test_where_nobody_detects_events_it_says_so(engine: Engine, series: MemorySeriesStore) -> None:
    clock = Later()
    data = StoreData(engine, series, lambda: 0)
    with TestClient(build_api(Console(data, ConsoleActions(), clock, CountyFeed(data, clock)))) as client:
        assert client.get("/v1/events").status_code == 501


def figures(api: TestClient, **query: object) -> list[dict[str, object]]:
    answer = api.get("/v1/events/figures", params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, object]] = answer.json()["items"]
    return items


def test_the_figures_of_a_detector_count_what_was_told_checked_and_how_late(api: TestClient, engine: Engine) -> None:
    extra = [event(8, silent=1), event(300)]
    with writing(engine) as connection:
        late = {name: getattr(event(9), name) for name in Finding.__slots__} | {"late": True}
        upsert_findings(connection, [*extra, Finding(**late)], NOW)
        for number, minutes in ((1, 3), (2, 5), (4, 40)):
            note_told(connection, [f"e{number}"], NOW - number * 3 * HOUR + minutes * MINUTE)
        # Told once is told: a second word changes nothing.
        note_told(connection, ["e1"], NOW)
    mark(api, 1, "real")
    mark(api, 2, "false")
    (own,) = figures(api, region=COUNTY)
    assert own == {
        "county": COUNTY, "works": ID, "events": 5, "told": 4, "alerts_per_week": 1.0, "marked_real": 1, "marked_false": 1,
        "real_share": 0.5, "median_delay_s": 300.0,
    }  # fmt: skip
    assert [one["county"] for one in figures(api)] == [COUNTY, "999999"]
    assert figures(api, region="99")[0]["real_share"] is None
    assert figures(api, works="another") == []


def test_the_county_is_told_when_marks_silence_a_detector_and_when_it_tells_again(
    api: TestClient, engine: Engine
) -> None:
    with writing(engine) as connection:
        upsert_findings(connection, [event(number) for number in range(100, 131)], NOW)

    def silences() -> list[Finding]:
        with reading(engine) as connection:
            return list_findings(connection, kinds=[FindingKind.DETECTOR_SILENT]).items

    for number in range(100, 129):
        mark(api, number, "real" if number < 105 else "false")
    assert silences() == []
    # The thirtieth word: five of thirty were real.
    mark(api, 129, "false")
    (told,) = silences()
    assert (told.end, told.severity) == (None, Severity.MINOR)
    assert told.reason == "突变检测已静默（近30次核实中属实17%，不足两成）"
    with reading(engine) as connection:
        (incident,) = list_incidents(connection).items
    assert incident.summary["cause"] == "detector"
    # Another false one is no news; a person who lets it tell again ends it.
    mark(api, 130, "false")
    assert [one.id for one in silences()] == [told.id]
    body = {"silent": False, "by": "王建国"}
    assert api.post(f"/v1/events/detectors/{COUNTY}/{ID}/switch", json=body).status_code == 200
    assert silences()[0].end is not None
    # What a person has silenced needs no telling.
    api.post(f"/v1/events/detectors/{COUNTY}/{ID}/switch", json=body | {"silent": True})
    assert len(silences()) == 1


def test_the_detector_notes_when_it_told_of_an_event_first(engine: Engine, tmp_path: Path) -> None:
    detector = Detector(Config(data_dir=str(tmp_path)), engine)
    detector.resume()
    assert detector.commit() == 0
    now = Config().clock.now_ms()
    change = EventChange(
        (COUNTY, ID, "outlet"), now - 7 * MINUTE, None, now, 1.5, (("ph", 1.0),), late=False, held=False
    )
    for _ in range(2):
        detector._changes[change.key, change.start] = change
        assert detector.commit() == 1
    with reading(engine) as connection:
        (own,) = detector_figures(connection, COUNTY, "", now - HOUR, now + HOUR)
    assert own.delay_ms is not None
    assert 7 * MINUTE <= own.delay_ms < 12 * MINUTE
