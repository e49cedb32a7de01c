"""Requests made up from the API's own OpenAPI document, in this process: no answer breaks what the document promises."""

import tempfile

import hypothesis
import schemathesis
from fastapi import FastAPI
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import positive_data_acceptance
from starlette.testclient import TestClient

from dashboards.web.api import build_api
from dashboards.web.example import ExampleData
from dashboards.web.example_county import make_county
from dashboards.web.example_events import ExampleEvents
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.ports import ConsoleActions
from qingquan.clock import Clock
from qingquan.config import Config
from qingquan.services.disinfection_desk import Desk
from qingquan.services.duty_desk import RosterDesk
from qingquan.store.sql.engine import open_database, upgrade, writing
from qingquan.store.sql.register import save_works


def make_app() -> FastAPI:
    data = ExampleData(make_county(1_777_600_000_000, works=12))
    desk, duty = make_desks(data)
    actions = ConsoleActions(
        upload=data.upload, redrive=data.redrive, disinfection=desk, duty=duty, events=ExampleEvents(data)
    )
    return build_api(Console(data, actions, Clock(), CountyFeed(data, Clock())))


def make_desks(data: ExampleData) -> tuple[Desk, RosterDesk]:
    """Facts, measurements and rosters over a database of their own; the reading log takes everything."""
    url = f"sqlite:///{FOLDER.name}/desk.db"
    upgrade(url)
    engine = open_database(url)
    with writing(engine) as connection:
        save_works(connection, data.county.works.values())
    return Desk(engine, Clock(), lambda topic, payload: 1), RosterDesk(engine, Config())


FOLDER = tempfile.TemporaryDirectory()


# What a schema cannot say: that a span and a step must go together.
EXCLUDED = {("GET", "/v1/series"): [positive_data_acceptance]}

app = make_app()
client = TestClient(app, raise_server_exceptions=False)
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


# Forms have no types, so made-up wrong ones cannot be sent; uploading has tests of its own.
@schema.exclude(method="POST", path=["/v1/lab/samples", "/v1/measurements/import"]).parametrize()
@hypothesis.settings(max_examples=12, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
def test_no_request_gets_an_answer_the_document_does_not_promise(case: schemathesis.Case) -> None:
    request = case.as_transport_kwargs(base_url="http://testserver")
    request.pop("cookies", None)
    # A body made of plain bytes is `content` to this client.
    if isinstance(request.get("data"), bytes):
        request["content"] = request.pop("data")
    response = client.request(**request)
    response.request.read()
    excluded = EXCLUDED.get((case.method, case.path), [])
    if response.status_code == 501:
        # Parts that stand on other services answer so where those are not; the document says it.
        excluded = [*excluded, not_a_server_error]
    case.validate_response(response, excluded_checks=excluded)


def test_the_document_lists_every_resource() -> None:
    resources = set(make_app().openapi()["paths"])
    assert resources >= {
        "/v1/works", "/v1/works/{id}", "/v1/works/{county}/{id}", "/v1/series", "/v1/findings", "/v1/incidents", "/v1/incidents/{id}",
        "/v1/incidents/{id}/acknowledge", "/v1/lab/samples", "/v1/quarantine", "/v1/counts", "/v1/health",
    }  # fmt: skip
