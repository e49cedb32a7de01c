"""Puts pages and API together into one ASGI application."""

import asyncio
import mimetypes
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote, urlsplit

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.staticfiles import StaticFiles
from nicegui import ui

from dashboards.web.api import build_api
from dashboards.web.api_operations import add_operations
from dashboards.web.layout import LANGUAGE_COOKIE, STATIC, Console
from dashboards.web.page_answer import add_answer_pages
from dashboards.web.page_compliance import compliance_page, works_compliance_page
from dashboards.web.page_county import county_page, home_page
from dashboards.web.page_drills import drills_page
from dashboards.web.page_duty import duty_page, silences_page
from dashboards.web.page_errors import add_error_pages
from dashboards.web.page_events import events_page
from dashboards.web.page_forms import add_forms
from dashboards.web.page_incidents import incident_page, incidents_page
from dashboards.web.page_lab import lab_page
from dashboards.web.page_messages import messages_page
from dashboards.web.page_operations import operations_page
from dashboards.web.page_quarantine import quarantine_page
from dashboards.web.page_sensors import sensors_page
from dashboards.web.page_works import works_page
from dashboards.web.texts import LANGUAGES

__all__ = ["build_app"]

YEAR_S = 365 * 24 * 3600


Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_app(console: Console, lifespan: Lifespan | None = None, doors: Sequence[APIRouter] = ()) -> FastAPI:
    """The console. Call once per process: NiceGUI keeps its pages in the module.

    ``doors`` are further routes: what is added to the application afterwards, the pages' own mount would hide.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app.mount("/api", build_api(console))
    app.mount("/static", StaticFiles(directory=STATIC))

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers; whether the stores do is at ``/api/v1/health``."""
        return {"status": "up"}

    @app.get("/language/{language}")
    async def language(language: str, to: str = "/") -> RedirectResponse:
        """Keep the language in this browser and go back."""
        parts = urlsplit(to)
        here = to if to.startswith("/") and not to.startswith("//") and not parts.netloc and "\\" not in to else "/"
        response = RedirectResponse(here, 303)
        if language in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, language, max_age=YEAR_S, samesite="lax")
        return response

    @app.get("/lab/template")
    async def lab_template() -> Response:
        """Empty sheet for laboratories."""
        if console.actions.lab_template is None:
            return Response(status_code=404)
        name, content = await asyncio.to_thread(console.actions.lab_template)
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(
            content, media_type=kind, headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
        )

    add_operations(app, console)
    add_forms(app, console)
    add_answer_pages(app, console)
    for door in doors:
        app.include_router(door)
    _add_pages(console)
    add_error_pages(console)
    ui.run_with(
        app, title="清泉", favicon=STATIC / "favicon.svg", language="zh-CN" if console.language == "zh" else "en-US",
        tailwind=False, show_welcome_message=False, reconnect_timeout=10.0,
    )  # fmt: skip
    return app


PAGE_S = 30.0
"""How long a page may take to build: the first flags after a start wait for the compiler, and a busy server is slow, not broken."""


def _add_pages(console: Console) -> None:
    @ui.page("/", response_timeout=PAGE_S)
    async def home(request: Request) -> None:
        await home_page(console, request)

    @ui.page("/county/{code}", response_timeout=PAGE_S)
    async def county(request: Request, code: str) -> None:
        await county_page(console, request, code)

    @ui.page("/works/{county}/{works}", response_timeout=PAGE_S)
    async def works(request: Request, county: str, works: str) -> None:
        await works_page(console, request, county, works)

    @ui.page("/sensors", response_timeout=PAGE_S)
    async def sensors(request: Request) -> None:
        await sensors_page(console, request)

    @ui.page("/incidents", response_timeout=PAGE_S)
    async def incidents(request: Request) -> None:
        await incidents_page(console, request)

    @ui.page("/incidents/{incident_id}", response_timeout=PAGE_S)
    async def incident(request: Request, incident_id: str) -> None:
        await incident_page(console, request, incident_id)

    @ui.page("/events", response_timeout=PAGE_S)
    async def events(request: Request) -> None:
        await events_page(console, request)

    @ui.page("/duty", response_timeout=PAGE_S)
    async def duty(request: Request) -> None:
        await duty_page(console, request)

    @ui.page("/drills", response_timeout=PAGE_S)
    async def drills(request: Request) -> None:
        await drills_page(console, request)

    @ui.page("/silences", response_timeout=PAGE_S)
    async def silences(request: Request) -> None:
        await silences_page(console, request)

    @ui.page("/messages", response_timeout=PAGE_S)
    async def messages(request: Request) -> None:
        await messages_page(console, request)

    @ui.page("/operations", response_timeout=PAGE_S)
    async def operations(request: Request) -> None:
        await operations_page(console, request)

    @ui.page("/lab", response_timeout=PAGE_S)
    async def lab(request: Request) -> None:
        await lab_page(console, request)

    @ui.page("/compliance", response_timeout=PAGE_S)
    async def compliance(request: Request) -> None:
        await compliance_page(console, request)

    @ui.page("/compliance/{county}/{works}", response_timeout=PAGE_S)
    async def works_compliance(request: Request, county: str, works: str) -> None:
        await works_compliance_page(console, request, county, works)

    @ui.page("/quarantine", response_timeout=PAGE_S)
    async def quarantine(request: Request) -> None:
        await quarantine_page(console, request)
