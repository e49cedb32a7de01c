"""JSON API, mounted at ``/api``: OpenAPI at ``/api/openapi.json``."""

from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, FastAPI, File, Form, HTTPException, Path, Query, Request, Response, UploadFile
from fastapi.openapi.utils import get_openapi

from dashboards.web.api_answers import answers_router
from dashboards.web.api_compliance import compliance_router
from dashboards.web.api_disinfection import disinfection_router
from dashboards.web.api_duty import duty_router
from dashboards.web.api_events import events_router
from dashboards.web.api_models import (
    AcknowledgeIn,
    CountsOut,
    FindingOut,
    HealthOut,
    IncidentDetailOut,
    IncidentOut,
    LabReportOut,
    LabSampleOut,
    ListOut,
    QuarantineOut,
    RedriveIn,
    RedriveOut,
    SeriesOut,
    WorksOut,
)  # fmt: skip
from dashboards.web.api_operations import operations_router, watches_of
from dashboards.web.api_quality import quality_router
from dashboards.web.api_requests import (
    COUNTY,
    WORKS_ID,
    Format,
    Limit,
    Moment,
    Offset,
    Region,
    RowId,
    Step,
    csv_response,
    listed,
    only_known_parameters,
    wants_csv,
)  # fmt: skip
from dashboards.web.api_rules import rules_router
from dashboards.web.layout import Console
from dashboards.web.ports import FindingQuery, IncidentQuery, LabQuery, MessageQuery, QuarantineQuery
from dashboards.web.problems import MEDIA_TYPE, Problem, add_problem_handlers
from dashboards.web.works_lookup import one_works
from qingquan.clock import from_ms
from qingquan.domain.findings import FindingKind
from qingquan.domain.incidents import IncidentState
from qingquan.domain.quality import test_names
from qingquan.domain.readings import QuarantineReason, SeriesKey
from qingquan.domain.works import Works
from qingquan.errors import NotFound
from qingquan.standards.loader import load_standards

__all__ = ["build_api"]

DAY_MS = 24 * 3_600_000
MOST_BUCKETS = 20_000
STEP_COLUMNS = ("mean", "min", "max", "count")
LONGEST_RAW_MS = 7 * DAY_MS
MOST_UPLOAD_BYTES = 20_000_000
_INVALID: dict[int | str, dict[str, Any]] = {422: {"model": Problem}, 503: {"model": Problem}}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem}}
_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}

WorksId = Annotated[
    str, Query(pattern=r"^(\d{6}:)?[A-Za-z0-9_-]{1,64}$", description="id, or county:id where an id is not unique")
]


def build_api(console: Console) -> FastAPI:
    """The API over a console's data."""
    api = FastAPI(title="Qingquan", version="1", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    add_problem_handlers(api)
    for router in (
        compliance_router(console),
        disinfection_router(console),
        duty_router(console),
        answers_router(console),
        events_router(console),
        operations_router(console),
        quality_router(console),
        rules_router(console),
        _works(console),
        _incidents(console),
        _doors(console),
        _system(console),
    ):
        api.include_router(router, prefix="/v1", responses=_INVALID, dependencies=[Depends(only_known_parameters)])
    api.openapi = lambda: _schema(api)  # type: ignore[method-assign]
    return api


def _works(console: Console) -> APIRouter:
    router = APIRouter(tags=["works"])
    data = console.data

    @router.get("/works", response_model=ListOut[WorksOut], responses=_CSV)
    def works(
        request: Request, region: Region = "", limit: Limit = 100, offset: Offset = 0, format: Format = None
    ) -> Any:
        """The works register with the state of each works, ordered by county and id."""
        entries = data.works(region)
        states = {(s.county, s.works): s for s in data.states(region)}
        shown = [WorksOut.of(w, states.get((w.county, w.id))) for w in entries[offset : offset + limit]]
        return listed(request, format, shown, len(entries), limit, offset)

    @router.get("/works/{id}", responses=_MISSING | {409: {"model": Problem}})
    def works_by_id(id: Annotated[str, Path(pattern=r"^(\d{6}:)?[A-Za-z0-9_-]{1,64}$")]) -> WorksOut:
        """One works by its id, or by ``county:id``; status 409 where several counties use the id."""
        return _with_state(console, one_works(console, id))

    @router.get("/works/{county}/{id}", responses=_MISSING)
    def works_of_county(
        county: Annotated[str, Path(pattern=COUNTY)], id: Annotated[str, Path(pattern=WORKS_ID)]
    ) -> WorksOut:
        """One works."""
        return _with_state(console, one_works(console, f"{county}:{id}"))

    @router.get("/series", responses=_MISSING | _CSV | {409: {"model": Problem}}, response_model=SeriesOut)
    def series(
        request: Request, works: WorksId, point: Annotated[str, Query(pattern=WORKS_ID)],
        parameter: Annotated[str, Query(pattern=r"^[a-z0-9_]{1,64}$")],
        start: Annotated[Moment | None, Query(alias="from")] = None, end: Annotated[Moment | None, Query(alias="to")] = None,
        step: Step | None = None, format: Format = None,
    ) -> Any:  # fmt: skip
        """Readings of a series with ``from`` <= time < ``to`` (default: the last 24 h), raw or by ``step``."""
        entry = one_works(console, works)
        row = load_standards().parameters.get(parameter)
        if row is None:
            raise HTTPException(404, f"no parameter {parameter}; known: {', '.join(load_standards().parameters)}")
        if point not in {p.id for p in entry.points}:
            raise HTTPException(404, f"works {entry.id} has no point {point}")
        until = console.clock.now_ms() if end is None else end
        since = until - DAY_MS if start is None else start
        _check_span(since, until, step)
        key = SeriesKey(entry.county, entry.id, point, parameter)
        tests: list[list[str]] | None = None
        if step is None and console.actions.quality is not None:
            trend, flagged = console.actions.quality.flagged(entry, key, since, until)
            tests = [list(test_names(bits)) for bits in flagged.tests.tolist()]
        else:
            trend = data.trend(key, since, until, step, STEP_COLUMNS)
        times = [from_ms(at) for at in trend.observed_at.tolist()]
        columns = {
            name: [None if np.isnan(v) else v for v in values.tolist()] for name, values in trend.columns.items()
        }
        if wants_csv(request, format):
            return csv_response(
                [
                    {
                        "observed_at": at.isoformat(),
                        **{name: values[n] for name, values in columns.items()},
                        **({} if tests is None else {"tests": " ".join(tests[n])}),
                    }
                    for n, at in enumerate(times)
                ]
            )
        return SeriesOut(
            county=entry.county, works=entry.id, point=point, parameter=parameter, unit=row.unit, step_ms=step,
            observed_at=times, columns=columns, tests=tests,
        )  # fmt: skip

    return router


def _incidents(console: Console) -> APIRouter:
    router = APIRouter(tags=["incidents"])
    data = console.data

    @router.get("/findings", response_model=ListOut[FindingOut], responses=_CSV)
    def findings(
        request: Request, region: Region = "", works: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = "",
        kind: FindingKind | None = None, open: bool | None = None,
        start: Annotated[Moment | None, Query(alias="from")] = None, end: Annotated[Moment | None, Query(alias="to")] = None,
        limit: Limit = 100, offset: Offset = 0, format: Format = None,
    ) -> Any:  # fmt: skip
        """What the engine found, newest start first; ``from`` <= start < ``to``."""
        query = FindingQuery(region, works, (kind,) if kind else (), open, start, end, limit, offset)
        page = data.findings(query)
        return listed(request, format, [FindingOut.of(f) for f in page.items], page.total, limit, offset)

    @router.get("/incidents", response_model=ListOut[IncidentOut], responses=_CSV)
    def incidents(
        request: Request, region: Region = "", works: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = "",
        state: Annotated[list[IncidentState], Query()] = [],  # noqa: B006 - FastAPI copies defaults
        limit: Limit = 100, offset: Offset = 0, format: Format = None,
    ) -> Any:  # fmt: skip
        """Incidents: unresolved first, then worst, then newest."""
        page = data.incidents(IncidentQuery(region, works, tuple(state), limit, offset))
        return listed(request, format, [IncidentOut.of(i) for i in page.items], page.total, limit, offset)

    @router.get("/incidents/{id}", responses=_MISSING)
    def incident(id: RowId) -> IncidentDetailOut:
        """One incident with findings, history and messages."""
        found = data.incident(id)
        if found is None:
            raise NotFound(f"incident {id}")
        return IncidentDetailOut.with_parts(
            found, list(data.findings_by_id(found.finding_ids)), list(data.incident_events(id)),
            list(data.messages(MessageQuery(incident=id)).items),
        )  # fmt: skip

    @router.post("/incidents/{id}/acknowledge", responses=_MISSING | {409: {"model": Problem}, 400: {"model": Problem}})
    def acknowledge(id: RowId, body: AcknowledgeIn) -> IncidentOut:
        """Take an incident on. Again changes nothing: the first person stands. Status 409 once it is resolved."""
        return IncidentOut.of(data.acknowledge(id, body.by.strip(), console.clock.now_ms()))

    return router


def _doors(console: Console) -> APIRouter:
    router = APIRouter(tags=["laboratory and quarantine"])
    data, actions = console.data, console.actions

    @router.get("/lab/samples", response_model=ListOut[LabSampleOut], responses=_CSV)
    def samples(
        request: Request, region: Region = "", works: Annotated[str, Query(pattern=r"^[A-Za-z0-9_-]{0,64}$")] = "",
        limit: Limit = 100, offset: Offset = 0, format: Format = None,
    ) -> Any:  # fmt: skip
        """Lab samples with their results, newest upload first."""
        page = data.lab_samples(LabQuery(region, works, limit, offset))
        return listed(request, format, [LabSampleOut.of(s) for s in page.items], page.total, limit, offset)

    @router.post("/lab/samples", responses={code: {"model": Problem} for code in (400, 413, 501)})
    def upload(
        file: Annotated[UploadFile, File(description="xlsx or csv")],
        uploader: Annotated[str, Form(min_length=1, max_length=60, pattern=r"\S")],
    ) -> LabReportOut:
        """Upload a sheet. Cells that cannot be taken are listed as refusals; the other rows are stored."""
        if actions.upload is None:
            raise HTTPException(501, "uploading is not enabled here")
        content = file.file.read(MOST_UPLOAD_BYTES + 1)
        if len(content) > MOST_UPLOAD_BYTES:
            raise HTTPException(413, f"the file is larger than {MOST_UPLOAD_BYTES} bytes")
        return LabReportOut.of(actions.upload(file.filename or "upload", content, uploader.strip()))

    @router.get("/quarantine", response_model=ListOut[QuarantineOut], responses=_CSV)
    def quarantine(
        request: Request, region: Region = "", reason: QuarantineReason | None = None,
        limit: Limit = 100, offset: Offset = 0, format: Format = None,
    ) -> Any:  # fmt: skip
        """What was set aside, newest first."""
        page = data.quarantine(QuarantineQuery(region, (reason,) if reason else (), limit, offset))
        return listed(request, format, [QuarantineOut.of(e) for e in page.items], page.total, limit, offset)

    @router.post("/quarantine/redrive", responses={code: {"model": Problem} for code in (400, 501)})
    def redrive(body: RedriveIn) -> RedriveOut:
        """Send entries through the door again; those sent before are left out."""
        if actions.redrive is None:
            raise HTTPException(501, "processing again is not enabled here")
        return RedriveOut(sent=actions.redrive(body.ids))

    return router


def _system(console: Console) -> APIRouter:
    router = APIRouter(tags=["system"])

    @router.get("/counts")
    def counts() -> CountsOut:
        """What came in and what came of it: at rest, logged = evaluated = recorded."""
        return CountsOut.of(console.data.counts())

    @router.get("/health", responses={503: {"model": HealthOut}})
    def health(response: Response) -> HealthOut:
        """Whether console and stores answer (status 503 when one does not), and what the watchdog sees."""
        parts = list(console.data.health())
        found = HealthOut.of(parts, console.clock.now_ms(), watches_of(console))
        response.status_code = 200 if all(part.is_up for part in parts) else 503
        return found

    return router


def _with_state(console: Console, works: Works) -> WorksOut:
    return WorksOut.of(works, next((s for s in console.data.states(works.county) if s.works == works.id), None))


def _check_span(since: int, until: int, step: int | None) -> None:
    if since >= until:
        raise HTTPException(422, "from must be before to")
    if step is None and until - since > LONGEST_RAW_MS:
        raise HTTPException(422, "without a step at most 7 days can be asked for: give a step, for example step=1h")
    if step is not None and (until - since) / step > MOST_BUCKETS:
        raise HTTPException(422, f"more than {MOST_BUCKETS} steps: take a longer step or a shorter span")


def _schema(api: FastAPI) -> dict[str, Any]:
    """OpenAPI document; errors are declared as what they are, ``application/problem+json``."""
    if api.openapi_schema is None:
        schema = get_openapi(title=api.title, version=api.version, routes=api.routes)
        schema["servers"] = [{"url": "/api"}]
        for operation in (operation for path in schema["paths"].values() for operation in path.values()):
            for answer in operation["responses"].values():
                content = answer.get("content", {})
                if content.get("application/json", {}).get("schema", {}).get("$ref", "").endswith("/Problem"):
                    content[MEDIA_TYPE] = content.pop("application/json")
        api.openapi_schema = schema
    return api.openapi_schema
