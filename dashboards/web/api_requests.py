"""What requests to the API may say, and the forms in which a list is answered."""

import csv
import io
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, WithJsonSchema

from dashboards.web.api_models import ListOut

__all__ = [
    "COUNTY",
    "WORKS_ID",
    "Format",
    "Limit",
    "Moment",
    "Offset",
    "Region",
    "RowId",
    "Step",
    "csv_response",
    "listed",
    "only_known_parameters",
    "wants_csv",
]

COUNTY = r"^\d{6}$"
WORKS_ID = r"^[A-Za-z0-9_-]{1,64}$"
EARLIEST_MS = -62_135_596_800_000  # year 1
LATEST_MS = 253_402_300_799_999  # year 9999
LONGEST_STEP_MS = 366 * 24 * 3_600_000
_STEP = re.compile(r"(\d{1,12})(ms|s|m|min|h|d)?", re.ASCII)
_FACTOR = {None: 1, "ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


_MOMENT_SCHEMA = {
    "anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": "^[0-9]{1,14}$"}],
    "examples": ["2026-05-01T08:00:00+08:00", "1777593600000"],
}  # fmt: skip


def only_known_parameters(request: Request) -> None:
    """Refuse query parameters that the operation does not have: a misspelt filter must not answer with everything."""
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        errors = [
            {"loc": ("query", name), "msg": f"unknown parameter; known: {', '.join(sorted(known)) or 'none'}"}
            for name in unknown
        ]
        raise RequestValidationError(errors)


def _moment(given: object) -> int:
    text = str(given).strip()
    if re.fullmatch(r"-?\d{1,14}", text, re.ASCII):
        ms = int(text)
    else:
        try:
            at = datetime.fromisoformat(text.replace(" ", "+") if re.search(r"T.* \d\d:?\d\d$", text) else text)
        except ValueError:
            raise ValueError("give a time with offset (2026-05-01T08:00:00+08:00) or ms since epoch") from None
        if at.tzinfo is None:
            raise ValueError("the time has no offset: write for example 2026-05-01T08:00:00+08:00")
        try:
            ms = round(at.astimezone(UTC).timestamp() * 1000)
        except (OverflowError, OSError):
            raise ValueError("the time is out of range") from None
    if not EARLIEST_MS <= ms <= LATEST_MS:
        raise ValueError("the time is out of range")
    return ms


def _step(given: object) -> int:
    match = _STEP.fullmatch(str(given).strip())
    step = int(match[1]) * _FACTOR[match[2]] if match else 0
    if not 1000 <= step <= LONGEST_STEP_MS:
        raise ValueError("give a step from 1s to 366d, for example 10m, 1h, 1d or 60000 (ms)")
    return step


Moment = Annotated[
    int, BeforeValidator(_moment), WithJsonSchema(_MOMENT_SCHEMA)
]  # fmt: skip
Step = Annotated[
    int,
    BeforeValidator(_step),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,12}(ms|s|m|min|h|d)?$", "examples": ["10m", "1h", "1d"]}),
]
Region = Annotated[
    str, Query(pattern=r"^[0-9]{0,6}$", description="county code or a shorter division code: 52, 5204, 520425; empty = all")
]  # fmt: skip
Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=10**9)]
RowId = Annotated[int, Path(ge=1, le=2**53)]
Format = Annotated[Literal["json", "csv"] | None, Query(description="wins over the Accept header")]


def wants_csv(request: Request, form: str | None) -> bool:
    """Whether the caller asked for CSV: by ``format=csv``, or by an Accept header that names it and not JSON."""
    if form is not None:
        return form == "csv"
    accept = request.headers.get("accept", "")
    return "text/csv" in accept and "application/json" not in accept


def listed(request: Request, form: str | None, items: Sequence[BaseModel], total: int, limit: int, offset: int) -> Any:
    """A page of a list in the form asked for; CSV tells the total in ``X-Total-Count``."""
    if wants_csv(request, form):
        rows = [item.model_dump(mode="json") for item in items]
        return csv_response(rows, {"X-Total-Count": str(total)})
    return ListOut[Any](items=list(items), total=total, limit=limit, offset=offset)


def csv_response(rows: Sequence[dict[str, Any]], headers: dict[str, str] | None = None) -> Response:
    """Rows as CSV, UTF-8 with a byte order mark (Excel needs it); nested values as JSON."""
    out = io.StringIO()
    names = list(rows[0]) if rows else []
    writer = csv.writer(out)
    writer.writerow(names)
    writer.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return Response("\ufeff" + out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, bool):
        return "true" if value else "false"
    # A text that a spreadsheet would run as a formula is shown as text.
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
