"""API of operations: what the watchdog sees, heartbeats of other installations; `/metrics` and `/readyz` beside the API."""

import asyncio
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from dashboards.web.layout import Console
from dashboards.web.operations_port import OperationsPort, OperationsView, WatchView
from dashboards.web.problems import Problem
from qingquan.clock import from_ms
from qingquan.errors import StoreUnavailable

__all__ = ["WatchOut", "add_operations", "operations_router", "watches_of"]

BODY_MOST = 4096
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class WatchOut(BaseModel):
    """A watched measure; ``condition`` is ``ok``, ``pending``, ``firing`` or ``unknown``."""

    cause: str
    condition: str
    severity: str
    measure: str
    value: float | None
    bound: float
    side: str
    stops_heartbeat: bool
    incident: int | None

    @classmethod
    def of(cls, one: WatchView) -> "WatchOut":
        return cls(
            cause=one.cause, condition=one.condition, severity=one.watch.severity.word, measure=one.watch.measure, value=one.value,
            bound=one.watch.bound, side=one.watch.side.value, stops_heartbeat=one.watch.stops_heartbeat, incident=one.incident_id,
        )  # fmt: skip


class ServiceOut(BaseModel):
    """A process and its last sign of life."""

    service: str
    instance: str
    started_at: datetime
    seen_at: datetime
    rss_bytes: int
    is_caught_up: bool | None
    version: str


class OperationsOut(BaseModel):
    """The platform as the watchdog saw it at ``taken_at``; ``is_stale`` when that is long ago: then nothing here holds."""

    taken_at: datetime | None
    is_stale: bool
    watches: list[WatchOut]
    services: list[ServiceOut]
    measures: dict[str, float]
    contacts: list[str]
    is_heartbeat_on: bool

    @classmethod
    def of(cls, view: OperationsView) -> "OperationsOut":
        return cls(
            taken_at=None if view.taken_at is None else from_ms(view.taken_at), is_stale=view.is_stale,
            watches=[WatchOut.of(one) for one in view.watches],
            services=[
                ServiceOut(
                    service=one.service, instance=one.instance, started_at=from_ms(one.started_at), seen_at=from_ms(one.seen_at),
                    rss_bytes=one.rss_bytes, is_caught_up=one.is_caught_up, version=one.version,
                )
                for one in view.signs
            ],
            measures={f"{one.name}{{{one.label}}}" if one.label else one.name: one.value for one in view.measures},
            contacts=list(view.contacts), is_heartbeat_on=view.is_heartbeat_on,
        )  # fmt: skip


class HeartbeatOut(BaseModel):
    """That a heartbeat was noted."""

    detail: str


def watches_of(console: Console) -> list[WatchOut]:
    """What the watchdog sees, for the page of health; empty where it cannot be told."""
    port = console.actions.operations
    if port is None:
        return []
    try:
        view = port.view()
    except StoreUnavailable:
        return []
    shown = [WatchOut.of(one) for one in view.watches]
    if view.is_stale:
        shown = [one.model_copy(update={"condition": "unknown"}) for one in shown]
    return shown


def operations_router(console: Console) -> APIRouter:
    """Routes below ``/api/v1``."""
    router = APIRouter(tags=["operations"])

    @router.get("/operations", responses={501: {"model": Problem}})
    def operations() -> OperationsOut:
        """What the watchdog sees: queues, lags, ages, services."""
        return OperationsOut.of(_port(console).view())

    refused: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (401, 409, 413, 501)}

    @router.post("/heartbeats", responses=refused)
    async def heartbeat(
        request: Request,
        sender: Annotated[str, Header(alias="x-qingquan-sender", max_length=64)] = "",
        signature: Annotated[str, Header(alias="x-qingquan-signature", max_length=128)] = "",
    ) -> HeartbeatOut:
        """A heartbeat of another installation, signed with the secret agreed for its name."""
        port = _port(console)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_MOST:
                raise HTTPException(413, f"at most {BODY_MOST} bytes")
        answer = await asyncio.to_thread(port.receive, sender, signature, bytes(body))
        if answer.status != 200:
            raise HTTPException(answer.status, answer.detail)
        return HeartbeatOut(detail=answer.detail)

    return router


def add_operations(app: FastAPI, console: Console) -> None:
    """Routes for machines beside the pages: ``/metrics`` for Prometheus, ``/readyz`` for whoever sends traffic here."""

    @app.get("/metrics")
    async def metrics() -> Response:
        port = console.actions.operations
        if port is None:
            return Response(status_code=404)
        return Response(await asyncio.to_thread(port.metrics), media_type=METRICS_TYPE)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        port = console.actions.operations
        why = "" if port is None else await asyncio.to_thread(port.readiness)
        return JSONResponse({"ready": not why, "why": why}, 503 if why else 200)


def _port(console: Console) -> OperationsPort:
    if console.actions.operations is None:
        raise HTTPException(501, "operations are not kept here")
    return console.actions.operations
