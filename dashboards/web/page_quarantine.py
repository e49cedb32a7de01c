"""Quarantine page: what could not be taken as a reading, why, and the way back."""

import asyncio
from html import escape

from fastapi import Request
from nicegui import ui

from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.page_parts import offset_of, pager, store_lost
from dashboards.web.ports import QuarantineQuery
from dashboards.web.quarantine_words import detail_words
from dashboards.web.texts import Texts
from dashboards.web.words import clock_time, day_time
from qingquan.domain.readings import QuarantineReason
from qingquan.errors import QingquanError, StoreUnavailable
from qingquan.store.sql.quarantine import QuarantineEntry

__all__ = ["quarantine_page"]

PER_PAGE = 50
PREVIEW = 240
LIVE_S = 3.0


async def quarantine_page(console: Console, request: Request) -> None:
    """Counts by reason, the list, and re-driving."""
    t = page_texts(request, console.language)
    chosen = request.query_params.get("reason", "")
    reasons = tuple(reason for reason in QuarantineReason if reason == chosen)
    offset = offset_of(request)
    shown: list[QuarantineEntry] = []

    async def read() -> tuple[str, str]:
        query = QuarantineQuery(reasons=reasons, limit=PER_PAGE, offset=offset)
        try:
            page = await asyncio.to_thread(console.data.quarantine, query)
            counts = dict((await asyncio.to_thread(console.data.counts)).quarantined)
        except StoreUnavailable:
            return "", store_lost(t)
        shown[:] = page.items
        if not page.total and not reasons:
            return "", empty_state(t("quarantine.none"), t("quarantine.none_hint"))
        rows = "".join(_line(entry, console.time_zone, t) for entry in page.items)
        turn = pager("/quarantine", {"reason": chosen}, offset, PER_PAGE, page.total, t)
        return _counts(counts, chosen, t), f'<div class="rows quarantine-rows">{rows}</div>{turn}'

    async def redrive() -> None:
        if console.actions.redrive is None:
            return
        ids = [entry.id for entry in shown if entry.redriven_at is None]
        try:
            sent = await asyncio.to_thread(console.actions.redrive, ids)
        except QingquanError as error:
            ui.notify(str(error), type="negative")
            return
        ui.notify(t("quarantine.redrive_done", n=sent), type="positive")
        await refresh()

    with frame(console, request, t, "quarantine", t("quarantine.title"), "narrow wide"):
        counted, listed = await read()
        with ui.element("section").classes("list-head"):
            html(f"<h1>{escape(t('quarantine.title'))}</h1><p class=muted>{escape(t('quarantine.intro'))}</p>")
            if console.actions.redrive is not None:
                waiting = sum(entry.redriven_at is None for entry in shown)
                button = ui.button(t("quarantine.redrive_shown", n=waiting), on_click=redrive)
                button.props("unelevated no-caps color=primary id=redrive").classes("push")
                button.set_visibility(waiting > 0)
        tiles = html(counted, "reasons", "section")
        box = html(listed, "panel", "section")

    async def refresh() -> None:
        counted, listed = await read()
        for place, content in ((tiles, counted), (box, listed)):
            if place.content != content:
                place.set_content(content)
        if console.actions.redrive is not None:
            waiting = sum(entry.redriven_at is None for entry in shown)
            button.set_text(t("quarantine.redrive_shown", n=waiting))
            button.set_visibility(waiting > 0)

    ui.timer(LIVE_S, refresh, immediate=False)


def _counts(counts: dict[str, int], chosen: str, t: Texts) -> str:
    links = "".join(
        f'<a class="reason {"on" if reason == chosen else ""}" href="/quarantine{"" if reason == chosen else f"?reason={reason}"}">'
        f"<b>{n}</b><span>{escape(t(f'quarantine.{reason}'))}</span></a>"
        for reason, n in sorted(counts.items(), key=lambda row: -row[1])
    )
    total = f'<a class="reason {"" if chosen else "on"}" href="/quarantine"><b>{sum(counts.values())}</b><span>{escape(t("quarantine.all"))}</span></a>'
    return total + links


def _line(entry: QuarantineEntry, tz: str, t: Texts) -> str:
    item = entry.item
    text = item.payload[: PREVIEW * 4].decode("utf-8", errors="replace")
    preview = text[:PREVIEW] + ("…" if len(text) > PREVIEW else "")
    done = (
        f'<span class="by">{escape(t("quarantine.redriven", time=day_time(entry.redriven_at, tz)))}</span>'
        if entry.redriven_at is not None
        else ""
    )
    return (
        f'<div class="line"><span class="why"><b>{escape(t(f"quarantine.{item.reason}"))}</b><small>{escape(detail_words(item.detail, t.language))}</small></span>'
        f'<span class="payload"><code>{escape(preview)}</code><small class="muted">{escape(item.subject)} {escape(item.position)} · SHA-256 {escape(item.digest[:12])}…</small></span>'
        f'<span class="end"><small class="muted">{escape(clock_time(item.received_at, tz))}</small><small class="muted">#{item.sequence}</small>{done}</span></div>'
    )
