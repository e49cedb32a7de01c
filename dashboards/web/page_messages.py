"""Messages page: what was sent to whom, and what the receivers' phones show."""

import asyncio
from collections.abc import Mapping, Sequence
from html import escape

from fastapi import Request
from nicegui import ui

from dashboards.web.bubbles import phone_markup, plain_words
from dashboards.web.incident_words import channel_name, message_state, receiver_words, step_words
from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.page_parts import offset_of, pager, store_lost
from dashboards.web.ports import MessageQuery
from dashboards.web.texts import Texts
from dashboards.web.words import clock_time, day_time, masked_phone
from qingquan.domain.incidents import Message, MessageState
from qingquan.errors import QingquanError, StoreUnavailable

__all__ = ["messages_page"]

LIVE_S = 1.5
PER_PAGE = 50
BUBBLES = 60


async def messages_page(console: Console, request: Request) -> None:
    """Outbox, and beside it the gateway double's phones where there is one."""
    t = page_texts(request, console.language)
    state = request.query_params.get("state", "")
    states = tuple(one for one in MessageState if one == state)
    offset = offset_of(request)
    has_phones = console.actions.phone_messages is not None

    async def outbox() -> str:
        try:
            page = await asyncio.to_thread(
                console.data.messages, MessageQuery(states=states, limit=PER_PAGE, offset=offset)
            )
        except StoreUnavailable:
            return store_lost(t)
        if not page.items:
            return empty_state(t("message.none"), t("message.none_hint"))
        rows = "".join(_line(m, console.time_zone, t) for m in page.items)
        return f'<div class="rows message-rows">{rows}</div>{pager("/messages", {"state": state}, offset, PER_PAGE, page.total, t)}'

    with frame(
        console, request, t, "messages", t("message.title"), "messages" if has_phones else "messages narrow wide"
    ):
        html(f"<h1>{escape(t('message.title'))}</h1>{_filter(state, t)}", "list-head", "section")
        with ui.element("div").classes("message-cols" if has_phones else ""):
            box = html(await outbox(), "panel", "section")
            phones = html(await _phones(console, t), "phones", "section") if has_phones else None

    async def refresh() -> None:
        for place, content in ((box, await outbox()), (phones, await _phones(console, t) if phones else "")):
            if place is not None and place.content != content:
                place.set_content(content)

    ui.timer(LIVE_S, refresh, immediate=False)


def _filter(chosen: str, t: Texts) -> str:
    options = "".join(
        f'<a href="/messages{f"?state={name}" if name else ""}" class="{"on" if name == chosen else ""}">{escape(word)}</a>'
        for name, word in (("", t("message.filter_all")), *((s, t(f"message_state.{s}")) for s in _SHOWN))
    )
    return f'<nav class="windows">{options}</nav>'


_SHOWN = (
    MessageState.QUEUED,
    MessageState.DELIVERED,
    MessageState.ACCEPTED,
    MessageState.REFUSED,
    MessageState.NOT_SENT,
    MessageState.UNKNOWN,
)


def _line(message: Message, tz: str, t: Texts) -> str:
    at = message.sent_at or message.created_at
    step = step_words(message.step, t)
    tries = f" · {escape(t('message.attempts', n=message.attempts))}" if message.attempts > 1 else ""
    return (
        f'<div class="line"><span class="to"><b>{escape(receiver_words(message, t))}</b><small>{escape(channel_name(message.channel, t))}</small></span>'
        f'<span class="body">{escape(plain_words(message.body))}</span>'
        f'<span class="end">{message_state(message, t)}<small class="muted">{escape(day_time(at, tz))}{tries}</small>'
        f'<a href="/incidents/{message.incident_id}">{escape(t("message.incident"))} {message.incident_id} · {escape(step)}</a></span></div>'
    )


async def _phones(console: Console, t: Texts) -> str:
    url = console.actions.phones_url
    way = f'<a href="{escape(url)}" target="_blank">{escape(t("message.phones_answer"))} →</a>' if url else ""
    head = (
        f'<div class="phones-head"><h2>{escape(t("message.phones"))}</h2><span class="chip chip-sim">{escape(t("mark.demo_gateway"))}</span></div>'
        f'<p class="muted">{escape(t("mark.demo_gateway_long"))}</p>{way}'
    )
    if console.actions.phone_messages is None:
        return ""
    try:
        kept = await asyncio.to_thread(console.actions.phone_messages)
    except QingquanError:
        return head + empty_state(t("message.phones_lost"))
    return head + _phone(kept, console, t)


def _phone(kept: Sequence[Mapping[str, object]], console: Console, t: Texts) -> str:
    if not kept:
        return f'<div class="phone">{empty_state(t("message.phones_none"))}</div>'
    bubbles = "".join(
        f'<div class="bubble b-{escape(str(m.get("channel", "")))}"><small>{escape(channel_name(str(m.get("channel", "")), t))} → {escape(_masked(str(m.get("to", ""))))}'
        f" · {escape(clock_time(console.clock.at(int(str(m.get('at', 0)))), console.time_zone))}</small><p>{phone_markup(str(m.get('text', '')))}</p></div>"
        for m in sorted(kept, key=lambda m: -int(str(m.get("at", 0))))[:BUBBLES]
    )
    return f'<div class="phone"><div class="phone-top" aria-hidden="true"></div><div class="phone-screen">{bubbles}</div></div>'


def _masked(receiver: str) -> str:
    return masked_phone(receiver) if receiver.isdigit() else receiver
