"""JSON API, mounted at ``/api``: OpenAPI at ``/api/openapi.json``."""

import asyncio

from fastapi import FastAPI, Response
from pydantic import BaseModel

from dashboards.web.layout import Console
from dashboards.web.problems import Problem, add_problem_handlers

__all__ = ["build_api"]


class PartOut(BaseModel):
    """Whether a part answers."""

    name: str
    is_up: bool
    detail: str


class HealthOut(BaseModel):
    """``status`` is ``up`` when every part answers, else ``degraded``."""

    status: str
    now: int
    parts: list[PartOut]


def build_api(console: Console) -> FastAPI:
    """The API over a console's data."""
    api = FastAPI(title="Qingquan", version="1", docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    add_problem_handlers(api)

    @api.get("/v1/health", responses={503: {"model": Problem}}, tags=["system"])
    async def health(response: Response) -> HealthOut:
        """Whether console and stores answer; status 503 when a store does not."""
        parts = await asyncio.to_thread(console.data.health)
        is_up = all(part.is_up for part in parts)
        response.status_code = 200 if is_up else 503
        return HealthOut(
            status="up" if is_up else "degraded",
            now=console.clock.now_ms(),
            parts=[PartOut(name=p.name, is_up=p.is_up, detail=p.detail) for p in parts],
        )

    return api
