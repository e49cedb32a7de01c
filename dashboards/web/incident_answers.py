"""Answers on an incident's page: who said what from where, with their photos; and the form for a note."""

import asyncio
from collections.abc import Sequence
from html import escape
from urllib.parse import unquote

from fastapi import Request
from nicegui import ui

from dashboards.web.answer_port import AnswerDesk
from dashboards.web.layout import Console, html
from dashboards.web.refusals import refusal_words
from dashboards.web.texts import Texts
from dashboards.web.words import day_time
from qingquan.domain.answers import Answer, AnswerOutcome
from qingquan.domain.incidents import Incident, IncidentState
from qingquan.errors import QingquanError, StoreUnavailable

__all__ = ["answers_block", "fixed_note", "note_box", "read_answers"]

LONGEST_TEXT = 200


def read_answers(console: Console, incident_id: int) -> Sequence[Answer]:
    """Answers, oldest first; none where none are to be had."""
    if console.actions.answers is None:
        return ()
    try:
        return console.actions.answers.answers(incident_id)
    except StoreUnavailable:
        return ()


def answers_block(answers: Sequence[Answer], tz: str, t: Texts) -> str:
    """What people answered, newest first."""
    taken = [one for one in answers if one.outcome is AnswerOutcome.TAKEN and one.kind is not None]
    if not taken:
        return ""
    rows = "".join(_card(one, tz, t) for one in reversed(taken))
    head = f'<div class="panel-head"><h2>{escape(t("answer.so_far"))}</h2><span class="count">{len(taken)}</span></div>'
    return head + rows


def fixed_note(incident: Incident, t: Texts) -> str:
    """That somebody reports it fixed, as long as nothing has shown it."""
    by = incident.summary.get("fixed_by", "")
    if not by or incident.state is not IncidentState.ACKNOWLEDGED:
        return ""
    return f'<p class="note note-fixed">{escape(t("answer.fixed_note", name=by))}</p>'


def note_box(console: Console, request: Request, incident: Incident, name_cookie: str, t: Texts) -> None:
    """A note of the console's: it extends an acknowledgement that holds, up to when the work is meant to be done."""
    desk = console.actions.answers
    if desk is None:
        return
    with ui.element("section").classes("panel drill"):
        html(f"<h2>{escape(t('note.add'))}</h2><p>{escape(t('note.hint'))}</p>")
        text = ui.input(t("note.text")).props(f"outlined dense maxlength={LONGEST_TEXT}")
        hours = ui.input(t("note.hours")).props("outlined dense maxlength=4 inputmode=decimal")
        name = ui.input(t("duty.name"), value=unquote(request.cookies.get(name_cookie, "")))
        name.props("outlined dense maxlength=40")

        async def add() -> None:
            await _added(desk, incident.id, (name.value or "", text.value or "", str(hours.value or "")), t)
            text.value = ""

        ui.button(t("note.add"), on_click=add).props("outline no-caps color=primary id=add-note")


async def _added(desk: AnswerDesk, incident_id: int, given: tuple[str, str, str], t: Texts) -> None:
    by, text, hours = (one.strip() for one in given)
    try:
        span = float(hours) if hours else None
        if span is not None and not 0 < span <= 24:
            raise ValueError(hours)
    except ValueError:
        ui.notify(t("note.hours_wrong"), type="warning")
        return
    if not by or not text:
        ui.notify(t("note.needs"), type="warning")
        return
    try:
        await asyncio.to_thread(desk.note, incident_id, by, text, span)
    except StoreUnavailable:
        ui.notify(t("store.lost_never"), type="negative")
        return
    except QingquanError as error:
        ui.notify(refusal_words(error, t), type="warning")
        return
    ui.notify(t("duty.saved"), type="positive")


def _card(one: Answer, tz: str, t: Texts) -> str:
    way = t(f"answer.way.{one.channel}") if t.has(f"answer.way.{one.channel}") else one.channel
    said = f'<span class="card-what">{escape(one.text)}</span>' if one.text else ""
    photo = (
        f'<a href="/incidents/{one.incident_id}/photos/{one.photo.digest}" target="_blank" rel="noopener">'
        f'<img src="/incidents/{one.incident_id}/photos/{one.photo.digest}" alt="{escape(t("answer.photo"))}" loading="lazy" '
        'style="max-width:100%;max-height:220px;border-radius:6px"></a>'
        if one.photo
        else ""
    )
    return (
        f'<div class="card"><span class="card-top"><b>{escape(one.person)} {escape(t(f"answer.kind.{one.kind}"))}</b>'
        f"<small>{escape(way)}</small></span>{said}{photo}"
        f'<span class="card-end"><span>{escape(day_time(one.at, tz))}</span></span></div>'
    )
