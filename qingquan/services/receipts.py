"""The doors at which providers push receipts: ``POST /receipts/<token>/<channel>``, answered as each provider wants it."""

import asyncio
import secrets

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from sqlalchemy import Engine

from alerts.receipts import ANSWERS, record_receipts
from qingquan.config import Config
from qingquan.errors import StoreUnavailable

__all__ = ["receipts_router"]

MOST_BYTES = 1_048_576

_log = structlog.get_logger("receipts")


def receipts_router(engine: Engine, config: Config) -> APIRouter:
    """Routes of the doors; none of them opens while ``receipts_token`` is empty. A database that is away makes providers repeat."""
    router = APIRouter(include_in_schema=False)

    @router.post("/receipts/{token}/{channel}")
    async def push(token: str, channel: str, request: Request) -> JSONResponse:
        wanted = config.receipts_token
        if not wanted or not secrets.compare_digest(token.encode(), wanted.encode()) or channel not in ANSWERS:
            return JSONResponse({"code": 404}, status_code=404)
        raw = bytearray()
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MOST_BYTES:
                return JSONResponse({"code": 413}, status_code=413)
        clock = config.clock
        try:
            counts = await asyncio.to_thread(record_receipts, engine, channel, bytes(raw), clock.now_ms(), clock.speed)
        except StoreUnavailable:
            return JSONResponse({"code": 503}, status_code=503)
        _log.info("receipts", channel=channel, **counts)
        # What cannot be read will not read better the next time: it is counted, and taken.
        return JSONResponse(ANSWERS[channel])

    return router
