"""Forms for phones: a measurement and the facts, without script, refused with everything that is wrong in them."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from dashboards.web.api import build_api
from dashboards.web.example import ExampleData
from dashboards.web.example_county import make_county
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.page_forms import add_forms
from dashboards.web.ports import ConsoleActions
from qingquan.clock import Clock
from qingquan.domain.works import Disinfectant
from qingquan.services.disinfection_desk import Desk
from qingquan.store.sql.engine import open_database, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import current_sqlite


@pytest.fixture
def page(tmp_path: Path) -> Iterator[tuple[TestClient, str]]:
    data = ExampleData(make_county(time.time_ns() // 1_000_000, 12))
    works = next(one for one in data.county.works.values() if one.disinfectant is Disinfectant.FREE_CHLORINE)
    url = current_sqlite(tmp_path / "q.db")
    engine = open_database(url)
    with writing(engine) as connection:
        save_works(connection, data.county.works.values())
    clock = Clock()
    desk = Desk(engine, clock, lambda topic, payload: 1)
    console = Console(data, ConsoleActions(disinfection=desk), clock, CountyFeed(data, clock))
    app = FastAPI()
    app.mount("/api", build_api(console))
    add_forms(app, console)
    yield TestClient(app), f"{works.county}/{works.id}"
    engine.dispose()


def test_a_residual_is_logged_from_a_phone_and_shown_again(page: tuple[TestClient, str]) -> None:
    client, works = page
    assert 'name="value"' in client.get(f"/log/{works}").text
    answer = client.post(f"/log/{works}", data={"value": "0.35", "person": "李四"})
    assert (answer.status_code, "已登记：0.35 mg/L" in answer.text) == (200, True)
    # The phone remembers who measures.
    assert 'value="李四"' in client.get(f"/log/{works}").text
    found = client.get(f"/api/v1/works/{works.replace('/', ':')}/measurements").json()
    assert [(one["value"], one["person"], one["source"]) for one in found["items"]] == [(0.35, "李四", "page")]


def test_a_wrong_entry_comes_back_with_what_is_wrong_and_what_was_typed(page: tuple[TestClient, str]) -> None:
    client, works = page
    answer = client.post(f"/log/{works}", data={"value": "<b>多</b>", "person": ""})
    assert answer.status_code == 422
    assert "只填数字" in answer.text
    assert "&lt;b&gt;多&lt;/b&gt;" in answer.text
    assert "<b>多</b>" not in answer.text


def test_the_form_speaks_english_and_knows_no_strange_works(page: tuple[TestClient, str]) -> None:
    client, works = page
    client.cookies.set("qingquan_language", "en")
    assert "Log a residual" in client.get(f"/log/{works}").text
    assert client.get("/log/520425/W9999").status_code == 404


def test_facts_are_saved_and_shown_again(page: tuple[TestClient, str]) -> None:
    client, works = page
    given = {
        "by": "站长", "giardia_log": "3", "segments.0.name": "清水池", "segments.0.volume_m3": "100", "segments.0.baffling_factor": "0.5",
        "segments.0.peak_flow_m3_h": "20", "deliveries.1.delivered_at": "2026-05-01", "deliveries.1.strength_g_l": "100",
    }  # fmt: skip
    answer = client.post(f"/works/{works}/disinfection-facts", data=given, follow_redirects=False)
    assert answer.status_code == 303
    shown = client.get(f"/works/{works}/disinfection-facts").text
    assert 'value="清水池"' in shown
    assert 'value="2026-05-01"' in shown
    facts = client.get(f"/api/v1/works/{works.replace('/', ':')}/disinfection").json()["facts"]
    assert facts["segments"][0]["volume_m3"] == 100.0


def test_every_wrong_fact_is_marked_in_its_own_cell_and_nothing_is_saved(page: tuple[TestClient, str]) -> None:
    client, works = page
    given = {
        "by": "", "tank_volume_l": "-1", "segments.3.volume_m3": "x", "segments.3.baffling_factor": "2", "segments.3.peak_flow_m3_h": "20",
        "deliveries.0.delivered_at": "never", "deliveries.0.strength_g_l": "900",
    }  # fmt: skip
    answer = client.post(f"/works/{works}/disinfection-facts", data=given)
    assert answer.status_code == 422
    assert answer.text.count('class="bad"') == 6
    assert client.get(f"/api/v1/works/{works.replace('/', ':')}/disinfection").json()["facts"]["segments"] == []


def test_the_api_logs_refuses_and_tells_of_what_is_logged_already(page: tuple[TestClient, str]) -> None:
    client, works = page
    path = f"/api/v1/works/{works.replace('/', ':')}/measurements"
    assert client.post(path, json={"value": 0.35, "person": "李四"}).status_code == 201
    assert client.post(path, json={"value": 0.45, "person": "李四"}).status_code == 409
    refused = client.post(path, json={"value": "many", "person": "李四", "observed_at": "never"})
    assert refused.status_code == 422
    assert "value" in refused.json()["detail"]
    assert "observed_at" in refused.json()["detail"]


def test_the_empty_sheet_is_a_workbook(page: tuple[TestClient, str]) -> None:
    client, _ = page
    assert client.get("/log/template.xlsx").content[:2] == b"PK"
