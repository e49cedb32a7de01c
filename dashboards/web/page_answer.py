"""The page behind the link in a message: one incident, three buttons, a line of text, a photo. For cheap phones on slow lines:
no websocket, no fonts, no pictures, a few kB, and it works without script (which only makes photos smaller before they go).

Whoever holds a link sees its incident and nothing else. Every link that leads nowhere gives the same page, whatever the reason.
"""

import asyncio
import secrets
import time
from html import escape

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from dashboards.web.answer_port import PHOTO_MOST_BYTES, AnswerDesk, AnswerView
from dashboards.web.layout import LANGUAGE_COOKIE, STATIC, Console, page_texts
from dashboards.web.texts import LANGUAGES, Texts, texts_in
from dashboards.web.throttle import Throttle
from dashboards.web.words import day_time, duration, incident_title
from qingquan.clock import to_ms
from qingquan.domain.answers import Answer, AnswerKind, AnswerOutcome
from qingquan.errors import StoreUnavailable

__all__ = ["add_answer_pages"]

LONGEST_TEXT = 200
BODY_MOST_BYTES = PHOTO_MOST_BYTES + 64 * 1024
YEAR_S = 365 * 24 * 3600
# An address, a village's whole mobile network at worst, may open so many pages, and follow so many links that lead nowhere.
PAGES = (120, 60.0)
WRONG = (20, 600.0)

_SHRINK = (
    "var f=document.querySelector('[type=file]');f&&f.addEventListener('change',function(){var p=f.files[0];"
    "if(!p||p.size<4e5||!window.DataTransfer||!window.createImageBitmap)return;createImageBitmap(p).then(function(b){"
    "var s=Math.min(1,1600/Math.max(b.width,b.height)),c=document.createElement('canvas');c.width=b.width*s;c.height=b.height*s;"
    "c.getContext('2d').drawImage(b,0,0,c.width,c.height);c.toBlob(function(o){if(!o||o.size>=p.size)return;"
    "var d=new DataTransfer;d.items.add(new File([o],'p.jpg',{type:'image/jpeg'}));f.files=d.files},'image/jpeg',.8)},function(){})})"
)
_STYLE = (
    ".st{display:inline-block;padding:2px 10px;border-radius:12px;background:#e6edf1;font-size:15px}.st-open{background:#fdeceb;color:#b3201f}"
    ".st-acknowledged{background:#fff3dc;color:#7a4b00}.st-resolved{background:#e0f3ee;color:#0e5b4d}dl{margin:0 0 14px;background:#fff;"
    "border:1px solid #dde4e8;border-radius:8px;padding:4px 12px}dt{color:#4c5f69;font-size:14px;margin-top:8px}dd{margin:0 0 8px}"
    "button{padding:16px;font-size:19px;margin:0 0 10px}.b2{background:#17806d}.b3{background:#b3201f}.b4{background:#fff;color:#0a6f93;"
    "border:1px solid #0a6f93}textarea{width:100%;box-sizing:border-box;font:inherit;padding:10px 12px;border:1px solid #b9c6cd;"
    "border-radius:8px}ul{padding:0;list-style:none}li{padding:8px 0;border-bottom:1px solid #dde4e8}.top{display:flex;"
    "justify-content:space-between;font-size:15px}"
)
_BUTTONS = ((AnswerKind.ACKNOWLEDGED, "b1"), (AnswerKind.FIXED, "b2"), (AnswerKind.HELP, "b3"))


def add_answer_pages(app: FastAPI, console: Console) -> None:
    """Routes ``/a/{token}`` and ``/incidents/{id}/photos/{digest}``."""
    pages, wrong = Throttle(*PAGES), Throttle(*WRONG)

    def turned_away(request: Request) -> Response | None:
        address, now = _address(request), time.monotonic()
        if pages.is_full(address, now) or wrong.is_full(address, now):
            return _neutral(_texts(console, request), 429)
        pages.count(address, now)
        return None

    def nowhere(request: Request) -> Response:
        wrong.count(_address(request), time.monotonic())
        return _neutral(_texts(console, request))

    @app.get("/a/{token}", include_in_schema=False)
    async def show(request: Request, token: str) -> Response:
        """The incident of a link."""
        if (refused := turned_away(request)) is not None:
            return refused
        return await _shown(console, request, token) or nowhere(request)

    @app.post("/a/{token}", include_in_schema=False)
    async def answer(request: Request, token: str) -> Response:
        """Take an answer, then show the page anew."""
        if (refused := turned_away(request)) is not None:
            return refused
        return await _answered(console, request, token) or nowhere(request)

    @app.get("/incidents/{incident_id}/photos/{digest}", include_in_schema=False)
    async def photo(incident_id: int, digest: str) -> Response:
        """A photo that somebody sent in with an answer to this incident."""
        desk = console.actions.answers
        if desk is None or len(digest) != 64 or not 0 < incident_id < 2**53:
            return Response(status_code=404)
        try:
            found = await asyncio.to_thread(desk.photo, incident_id, digest)
        except StoreUnavailable:
            return Response(status_code=503)
        if found is None:
            return Response(status_code=404)
        headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
        return Response(found[0], media_type=found[1], headers=headers)


async def _shown(console: Console, request: Request, token: str) -> Response | None:
    t, desk = _texts(console, request), console.actions.answers
    if desk is None:
        return None
    try:
        view = await asyncio.to_thread(desk.view, token)
    except StoreUnavailable:
        return _lost(t)
    if view is None:
        return None
    response = _page(t, _body(console, view, "", t), 200)
    chosen = request.query_params.get("lang", "")
    if chosen in LANGUAGES:
        response.set_cookie(LANGUAGE_COOKIE, chosen, max_age=YEAR_S, samesite="lax")
    return response


async def _answered(console: Console, request: Request, token: str) -> Response | None:
    t, desk = _texts(console, request), console.actions.answers
    if desk is None:
        return None
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > BODY_MOST_BYTES:
        return await _again(console, desk, token, t("answer.photo_too_large", most=PHOTO_MOST_BYTES // 2**20), 413, t)
    try:
        async with request.form(max_fields=8, max_files=1, max_part_size=8192) as form:
            word, nonce = str(form.get("kind") or ""), str(form.get("n") or "")
            text, upload = str(form.get("text") or "")[:LONGEST_TEXT], form.get("photo")
            photo = await upload.read(PHOTO_MOST_BYTES + 1) if isinstance(upload, UploadFile) and upload.size else None
    except (MultiPartException, HTTPException, UnicodeDecodeError):
        word, nonce, text, photo = "", "", "", None
    if word not in list(AnswerKind) or (word == AnswerKind.NOTE and not text.strip() and photo is None):
        return await _again(console, desk, token, t("answer.nothing"), 422, t)
    try:
        done = await asyncio.to_thread(desk.answer, token, AnswerKind(word), text, photo, nonce)
    except StoreUnavailable:
        return _lost(t)
    if done is None:
        return None
    answer, fault = done
    if fault is not None:
        words = t(f"answer.{fault}", most=PHOTO_MOST_BYTES // 2**20)
        kept = f" {t('answer.kept_without')}" if answer is not None else ""
        return await _again(console, desk, token, words + kept, 422, t)
    return _secured(RedirectResponse(request.url.path, 303))


async def _again(console: Console, desk: AnswerDesk, token: str, fault: str, status: int, t: Texts) -> Response | None:
    try:
        view = await asyncio.to_thread(desk.view, token)
    except StoreUnavailable:
        return _lost(t)
    return None if view is None else _page(t, _body(console, view, fault, t), status)


def _body(console: Console, view: AnswerView, fault: str, t: Texts) -> str:
    incident, works = view.incident, view.works
    tz = works.time_zone if works else console.time_zone
    began = min((f.start for f in view.findings), default=to_ms(incident.opened_at))
    until = to_ms(incident.resolved_at) if incident.resolved_at is not None else console.clock.now_ms()
    place = (works.name if works else "") or incident.summary.get("township", "") or incident.works
    drill = f'<p class="bad">{escape(t("incident.drill", n=incident.drill_number))}</p>' if incident.is_drill else ""
    rows = [
        (t("incident.what"), incident_title(incident, view.findings, t)),
        (t("incident.since"), f"{day_time(began, tz)} · {duration(until - began, t)}"),
        (t("answer.action"), view.action),
    ]
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in rows if text)
    other = "en" if t.language == "zh" else "zh"
    return (
        f'<p class="top"><span>{escape(t("answer.for", name=view.person))}</span><a href="?lang={other}">{escape(t("nav.language"))}</a></p>'
        f"<h1>{escape(place)}<small>{escape(works.township if works else '')}</small></h1>{drill}"
        f'<p><span class="st st-{incident.state}">{escape(_state(view, t))}</span></p>'
        f"{_last(view, tz, t)}{f'<p class=bad>{escape(fault)}</p>' if fault else ''}<dl>{facts}</dl>{_form(view, t)}{_answers(view, tz, t)}"
    )


def _state(view: AnswerView, t: Texts) -> str:
    incident = view.incident
    if not incident.state.is_over and "fixed_by" in incident.summary:
        return t("answer.state_fixed")
    return t(f"incident.state.{incident.state}")


def _last(view: AnswerView, tz: str, t: Texts) -> str:
    mine = [one for one in view.answers if one.sender == view.sender and one.outcome is AnswerOutcome.TAKEN]
    if not mine or mine[-1].kind is None:
        return ""
    last = mine[-1]
    return f'<p class="good">{escape(t(f"answer.done.{last.kind}", time=day_time(last.at, tz)))}</p>'


def _form(view: AnswerView, t: Texts) -> str:
    is_over = view.incident.state.is_over
    buttons = "" if is_over else "".join(
        f'<button name="kind" value="{kind}" class="{look}">{escape(t(f"answer.button.{kind}"))}</button>'
        for kind, look in _BUTTONS
    )  # fmt: skip
    over = f"<p>{escape(t('answer.over'))}</p>" if is_over else ""
    return (
        f'{over}<form method="post" enctype="multipart/form-data"><input type="hidden" name="n" value="{secrets.token_hex(8)}">{buttons}'
        f'<label><span>{escape(t("answer.text"))}</span><textarea name="text" rows="2" maxlength="{LONGEST_TEXT}"></textarea></label>'
        f'<label><span>{escape(t("answer.photo"))}</span><input type="file" name="photo" accept="image/jpeg,image/png,image/webp">'
        f"<small>{escape(t('answer.photo_hint', most=PHOTO_MOST_BYTES // 2**20))}</small></label>"
        f'<button name="kind" value="note" class="b4">{escape(t("answer.button.note"))}</button></form>'
    )


def _answers(view: AnswerView, tz: str, t: Texts) -> str:
    taken = [one for one in view.answers if one.outcome is AnswerOutcome.TAKEN and one.kind is not None]
    if not taken:
        return ""
    rows = "".join(f"<li>{_answer(one, tz, t)}</li>" for one in reversed(taken[-10:]))
    return f"<h2>{escape(t('answer.so_far'))}</h2><ul>{rows}</ul>"


def _answer(one: Answer, tz: str, t: Texts) -> str:
    photo = f" · {escape(t('answer.with_photo'))}" if one.photo else ""
    said = f"<br>{escape(one.text)}" if one.text else ""
    return f"{escape(day_time(one.at, tz))} <b>{escape(one.person)}</b> {escape(t(f'answer.kind.{one.kind}'))}{photo}{said}"


def _texts(console: Console, request: Request) -> Texts:
    chosen = request.query_params.get("lang", "")
    return texts_in(chosen) if chosen in LANGUAGES else page_texts(request, console.language)


def _neutral(t: Texts, status: int = 404) -> Response:
    body = f"<h1>{escape(t('answer.nowhere'))}</h1><p>{escape(t('answer.nowhere_hint'))}</p>"
    return _page(t, body, status)


def _lost(t: Texts) -> Response:
    return _page(t, f'<p class="bad">{escape(t("answer.lost"))}</p>', 503)


def _page(t: Texts, body: str, status: int) -> Response:
    nonce = secrets.token_hex(8)
    style = (STATIC / "forms.css").read_text(encoding="utf-8")
    markup = (
        f'<!doctype html><html lang="{t.html_lang}"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<title>{escape(t("answer.title"))} · {escape(t("app.name"))}</title><link rel="icon" href="data:,"><style>{style}{_STYLE}</style>'
        f'<main>{body}</main><script nonce="{nonce}">{_SHRINK}</script></html>'
    )
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'nonce-{nonce}'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    return _secured(HTMLResponse(markup, status, headers={"Content-Security-Policy": policy}))


def _secured(response: Response) -> Response:
    """Neither kept by anything on the way, nor told to whoever comes next, nor found by a search."""
    response.headers.update(
        {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}
    )
    return response


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""
