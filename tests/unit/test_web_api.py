"""The API over the example county."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from dashboards.web.api import build_api
from dashboards.web.example import ExampleData
from dashboards.web.example_county import COUNTY, make_county
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.ports import ConsoleActions, Counts, PartHealth
from qingquan.clock import Clock
from qingquan.domain.incidents import IncidentState
from qingquan.domain.works import Works
from qingquan.errors import StoreUnavailable

NOW = 1_777_600_000_000
COUNTIES_OF_TWO = ("520425", "520424")


class FixedClock(Clock):
    """A clock that stands still."""

    def now_ms(self) -> int:
        """The moment of the tests."""
        return NOW


def client_of(data: ExampleData, actions: ConsoleActions | None = None) -> TestClient:
    clock = FixedClock()
    console = Console(data, actions or ConsoleActions(), clock, CountyFeed(data, clock))
    return TestClient(build_api(console), raise_server_exceptions=False)


@pytest.fixture
def data() -> ExampleData:
    return ExampleData(make_county(NOW, works=60))


@pytest.fixture
def api(data: ExampleData) -> TestClient:
    return client_of(data, ConsoleActions(upload=data.upload, redrive=data.redrive))


def test_a_page_of_works_carries_the_total_and_goes_on_where_the_last_ended(api: TestClient) -> None:
    first = api.get("/v1/works", params={"limit": 40}).json()
    second = api.get("/v1/works", params={"limit": 40, "offset": 40}).json()
    assert (first["total"], len(first["items"]), len(second["items"])) == (60, 40, 20)
    assert len({entry["id"] for entry in first["items"] + second["items"]}) == 60


def test_a_works_never_judged_has_no_state_rather_than_a_fine_one(data: ExampleData, api: TestClient) -> None:
    del data.county.states["W0001"]
    assert api.get(f"/v1/works/{COUNTY}/W0001").json()["state"] is None


def test_a_works_is_found_by_its_id_and_by_county_and_id(api: TestClient) -> None:
    answers = [api.get(f"/v1/works/{path}").json() for path in ("W0007", f"{COUNTY}:W0007", f"{COUNTY}/W0007")]
    assert answers[0]["name"]
    assert answers[0] == answers[1] == answers[2]


def test_an_id_that_two_counties_use_is_refused_with_the_ways_to_ask(data: ExampleData) -> None:
    class TwoCounties(ExampleData):
        def works(self, region: str = "") -> Sequence[Works]:
            entry = data.county.works["W0007"]
            return [replace(entry, county=county) for county in COUNTIES_OF_TWO]

    answer = client_of(TwoCounties(data.county)).get("/v1/works/W0007")
    assert answer.status_code == 409
    assert "520424:W0007" in answer.json()["detail"]


def test_lists_can_be_narrowed_to_a_region_by_a_shorter_division_code(api: TestClient) -> None:
    assert api.get("/v1/works", params={"region": "5204"}).json()["total"] == 60
    assert api.get("/v1/works", params={"region": "51"}).json()["total"] == 0


def test_the_phone_numbers_of_contacts_are_masked(api: TestClient) -> None:
    phone = api.get("/v1/works/W0007").json()["contacts"][0]["phone"]
    assert phone[3:7] == "****"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/works/W9999", 404), ("/v1/incidents/999999", 404), ("/v1/nothing", 404), ("/v1/incidents?limit=0", 422),
        ("/v1/works?region=abc", 422), ("/v1/series?works=W0007&point=outlet&parameter=nonsense", 404),
        ("/v1/series?works=W0007&point=nowhere&parameter=ph", 404), ("/v1/series?works=W0007&point=outlet&parameter=ph&step=soon", 422),
        ("/v1/series?works=W0007&point=outlet&parameter=ph&from=2026-05-01T08:00:00", 422),
        ("/v1/series?works=W0007&point=outlet&parameter=ph&from=2&to=1", 422), ("/v1/incidents/99999999999999999999", 422),
    ],
)  # fmt: skip
def test_every_error_is_problem_details_of_one_shape(api: TestClient, path: str, status: int) -> None:
    answer = api.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "instance", "errors"}
    assert (body["status"], body["instance"]) == (status, path.partition("?")[0])


def test_a_request_with_two_faults_names_both(api: TestClient) -> None:
    body = api.get("/v1/works", params={"limit": 5000, "offset": -1}).json()
    assert {row["where"] for row in body["errors"]} == {"query.limit", "query.offset"}


def test_a_fault_of_ours_is_a_problem_without_the_traceback(data: ExampleData) -> None:
    class Broken(ExampleData):
        def counts(self) -> Counts:
            raise ZeroDivisionError("secret detail")

    answer = client_of(Broken(data.county)).get("/v1/counts")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert "secret" not in answer.text


def test_a_store_that_does_not_answer_is_503_with_a_time_to_retry(data: ExampleData) -> None:
    class Lost(ExampleData):
        def works(self, region: str = "") -> Sequence[Works]:
            raise StoreUnavailable("database does not answer")

    answer = client_of(Lost(data.county)).get("/v1/works")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize("how", [{"params": {"format": "csv"}}, {"headers": {"accept": "text/csv"}}])
def test_a_list_comes_as_csv_by_parameter_and_by_accept_header(api: TestClient, how: dict[str, dict[str, str]]) -> None:
    answer = api.get("/v1/works", **how)
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["x-total-count"] == "60"
    assert [row["id"] for row in rows] == [f"W{n:04d}" for n in range(1, 61)]
    assert json.loads(rows[0]["points"])[0]["id"] == "outlet"


def test_a_text_that_a_spreadsheet_would_run_is_shown_as_text(data: ExampleData) -> None:
    data.county.works["W0001"] = replace(data.county.works["W0001"], name="=HYPERLINK(1)")
    rows = list(csv.DictReader(io.StringIO(client_of(data).get("/v1/works?format=csv").content.decode("utf-8-sig"))))
    assert rows[0]["name"] == "'=HYPERLINK(1)"


def test_a_series_is_raw_with_flags_or_by_step_with_aggregates(api: TestClient, data: ExampleData) -> None:
    works = next(s.works for s in data.county.states.values() if s.as_of and not s.stale)
    ask = {"works": works, "point": "outlet", "parameter": "turbidity", "from": str(NOW - 3_600_000), "to": str(NOW)}
    raw, hourly = api.get("/v1/series", params=ask).json(), api.get("/v1/series", params={**ask, "step": "10m"}).json()
    assert set(raw["columns"]) == {"value", "flag"}
    assert set(hourly["columns"]) == {"mean", "min", "max", "count"}
    assert sum(hourly["columns"]["count"]) == len(raw["columns"]["value"]) > 50
    assert (raw["unit"], hourly["step_ms"]) == ("NTU", 600_000)


def test_a_missing_value_of_a_series_is_null(data: ExampleData) -> None:
    import numpy as np

    from qingquan.domain.readings import SeriesKey
    from qingquan.store.ports import Trend

    class OneMissing(ExampleData):
        def trend(
            self,
            key: SeriesKey,
            start: int,
            end: int,
            step_ms: int | None = None,
            aggregates: Sequence[str] = ("mean",),
        ) -> Trend:
            return Trend(key, np.array([NOW]), {"value": np.array([np.nan]), "flag": np.array([9.0])})

    answer = client_of(OneMissing(data.county)).get("/v1/series?works=W0007&point=outlet&parameter=ph")
    assert answer.json()["columns"] == {"value": [None], "flag": [9.0]}


def test_a_year_of_raw_readings_is_refused_with_the_remedy(api: TestClient) -> None:
    answer = api.get(
        "/v1/series", params={"works": "W0007", "point": "outlet", "parameter": "ph", "from": "0", "to": str(NOW)}
    )
    assert answer.status_code == 422
    assert "step=1h" in answer.json()["detail"]


def test_acknowledging_names_the_person_once_and_for_all(data: ExampleData, api: TestClient) -> None:
    number = next(i.id for i in data.county.incidents.values() if i.state is IncidentState.OPEN)
    first = api.post(f"/v1/incidents/{number}/acknowledge", json={"by": " 吴桂兰 "}).json()
    again = api.post(f"/v1/incidents/{number}/acknowledge", json={"by": "another"}).json()
    assert (first["state"], first["acknowledged_by"], again["acknowledged_by"]) == ("acknowledged", "吴桂兰", "吴桂兰")
    assert api.get(f"/v1/incidents/{number}").json()["events"][-1]["actor"] == "吴桂兰"


def test_a_resolved_incident_cannot_be_acknowledged(data: ExampleData, api: TestClient) -> None:
    number = next(iter(data.county.incidents))
    data.county.incidents[number] = replace(data.county.incidents[number], state=IncidentState.RESOLVED)
    assert api.post(f"/v1/incidents/{number}/acknowledge", json={"by": "x"}).status_code == 409


@pytest.mark.parametrize("body", [{}, {"by": ""}, {"by": "  "}, {"by": "x" * 41}])
def test_an_acknowledgement_without_a_name_is_refused(api: TestClient, body: dict[str, str]) -> None:
    assert api.post("/v1/incidents/1/acknowledge", json=body).status_code == 422


def test_an_uploaded_sheet_answers_with_what_was_taken_and_what_was_refused(data: ExampleData, api: TestClient) -> None:
    answer = api.post("/v1/lab/samples", files={"file": ("a.csv", b"x,y")}, data={"uploader": "检测中心"})
    body = answer.json()
    assert (len(body["samples"]), body["samples"][0]["uploaded_by"], body["refusals"][0]["cell"]) == (
        1,
        "检测中心",
        "D7",
    )
    assert api.get("/v1/lab/samples").json()["items"][0]["id"] == body["sample_ids"][0]


def test_what_is_not_enabled_says_so(data: ExampleData) -> None:
    api = client_of(data)
    assert api.post("/v1/lab/samples", files={"file": ("a.csv", b"")}, data={"uploader": "x"}).status_code == 501
    assert api.post("/v1/quarantine/redrive", json={"ids": [1]}).status_code == 501


def test_redriving_twice_sends_once(api: TestClient) -> None:
    assert [api.post("/v1/quarantine/redrive", json={"ids": [1, 2]}).json()["sent"] for _ in range(2)] == [2, 0]


def test_quarantine_is_filtered_by_reason_and_its_counts_add_up(api: TestClient) -> None:
    counts = api.get("/v1/counts").json()["quarantined"]
    listed = {reason: api.get("/v1/quarantine", params={"reason": reason}).json()["total"] for reason in counts}
    assert counts == listed
    assert sum(listed.values()) == api.get("/v1/quarantine").json()["total"] == 23


def test_a_part_that_gives_no_answer_counts_null_and_never_nought(data: ExampleData) -> None:
    class NoLog(ExampleData):
        def counts(self) -> Counts:
            return replace(super().counts(), logged=None)

        def health(self) -> Sequence[PartHealth]:
            return [PartHealth("reading_log", False, "does not answer")]

    api = client_of(NoLog(data.county))
    assert api.get("/v1/counts").json()["logged"] is None
    health = api.get("/v1/health")
    assert (health.status_code, health.json()["status"]) == (503, "degraded")
