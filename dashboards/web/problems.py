"""The one shape of errors of the API: RFC 9457 problem details."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match

from qingquan.errors import BrokerLost, NotFound, StoreUnavailable, TransitionRefused

__all__ = ["MEDIA_TYPE", "FieldError", "Problem", "add_problem_handlers", "problem"]

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One thing wrong with a request: where, and what."""

    where: str = Field(examples=["query.limit"])
    what: str = Field(examples=["Input should be less than or equal to 1000"])


class Problem(BaseModel):
    """Problem details (RFC 9457). ``errors`` lists every fault of a request that did not validate."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no works W0077 in county 520425"])
    instance: str = Field(examples=["/api/v1/works/520425/W0077"])
    errors: list[FieldError] = []


def problem(
    request: Request,
    status: int,
    detail: str,
    errors: list[FieldError] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    """Response with a problem in it."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=request.url.path,
        errors=errors or [],
    )
    return JSONResponse(body.model_dump(), status, headers, MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Give every error of the API the same shape, whoever raised it."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(NotFound, _not_found)
    app.add_exception_handler(TransitionRefused, _refused)
    app.add_exception_handler(StoreUnavailable, _unavailable)
    app.add_exception_handler(BrokerLost, _unavailable)
    app.add_exception_handler(Exception, _fault)


async def _http(request: Request, error: Any) -> JSONResponse:
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods(request))
    return problem(request, error.status_code, str(error.detail), headers=headers)


def _methods(request: Request) -> list[str]:
    """Methods of a path, which several routes may share."""
    matching = (route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE)
    return sorted({method for route in matching for method in getattr(route, "methods", None) or ()})


async def _validation(request: Request, error: Any) -> JSONResponse:
    errors = [
        FieldError(where=".".join(map(str, row["loc"])), what=row["msg"]) for row in jsonable_encoder(error.errors())
    ]
    return problem(request, 422, f"{len(errors)} value(s) of the request are not valid", errors)


async def _not_found(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 404, f"not found: {error}")


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 409, str(error))


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    return problem(request, 503, str(error) or "a store does not answer", headers={"Retry-After": "5"})


async def _fault(request: Request, _: Exception) -> JSONResponse:
    return problem(request, 500, "the server made a mistake; the log has the details")
