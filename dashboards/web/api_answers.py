"""API of answers: what people said to an incident, notes of the console's, and answers that counted for nothing."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field

from dashboards.web.answer_port import AnswerDesk
from dashboards.web.api_requests import RowId
from dashboards.web.layout import Console
from dashboards.web.problems import Problem
from qingquan.clock import from_ms
from qingquan.domain.answers import Answer

__all__ = ["answers_router"]

_PROBLEMS: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (400, 404, 409, 501)}


class AnswerOut(BaseModel):
    """An answer. ``photo`` is the path of its picture, empty without one."""

    id: int
    incident: int | None
    kind: str
    channel: str
    person: str
    at: datetime
    outcome: str
    text: str
    photo: str
    until: datetime | None

    @classmethod
    def of(cls, one: Answer) -> "AnswerOut":
        photo = f"/incidents/{one.incident_id}/photos/{one.photo.digest}" if one.photo else ""
        return cls(
            id=one.id, incident=one.incident_id, kind=one.kind or "", channel=one.channel, person=one.person, at=from_ms(one.at),
            outcome=one.outcome.value, text=one.text, photo=photo, until=None if one.until is None else from_ms(one.until),
        )  # fmt: skip


class NoteIn(BaseModel):
    """A note, by whom, and within how many hours the work is meant to be done."""

    model_config = ConfigDict(extra="forbid")
    by: Annotated[str, Field(min_length=1, max_length=40, pattern=r"\S")]
    text: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
    hours: Annotated[float, Field(gt=0, le=24, allow_inf_nan=False)] | None = None


def answers_router(console: Console) -> APIRouter:
    """Routes under ``/v1``."""
    router = APIRouter(tags=["answers"], responses=_PROBLEMS)

    def desk() -> AnswerDesk:
        if console.actions.answers is None:
            raise HTTPException(501, "answers are not kept here")
        return console.actions.answers

    @router.get("/incidents/{id}/answers")
    def answers(id: RowId) -> list[AnswerOut]:
        """What people answered, oldest first."""
        return [AnswerOut.of(one) for one in desk().answers(id)]

    @router.post("/incidents/{id}/notes", status_code=201)
    def note(id: RowId, body: NoteIn) -> AnswerOut:
        """Add a note; an acknowledgement that holds is extended by it. Status 409 for an incident that is closed."""
        return AnswerOut.of(desk().note(id, body.by, body.text, body.hours))

    @router.get("/answers/refused")
    def refused(limit: Annotated[int, Query(ge=1, le=500)] = 100) -> list[AnswerOut]:
        """Answers that counted for nothing, with the reason, newest first: strangers, unclear words, no such incident."""
        return [AnswerOut.of(one) for one in desk().refused(limit)]

    return router
