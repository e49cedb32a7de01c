"""Drills: what was held, how long until somebody answered, and a form that holds one."""

import asyncio
from collections.abc import Sequence
from html import escape

from fastapi import Request
from nicegui import ui

from dashboards.web.duty_port import DutyDesk
from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.page_parts import store_lost
from dashboards.web.texts import Texts
from dashboards.web.words import day_time, duration
from qingquan.clock import to_ms
from qingquan.domain.incidents import Incident
from qingquan.domain.works import Works
from qingquan.errors import QingquanError, StoreUnavailable

__all__ = ["drills_page"]

LIVE_S = 2.0


async def drills_page(console: Console, request: Request) -> None:
    """Drills of a region, newest first; in no other list and no count."""
    t = page_texts(request, console.language)
    desk = console.actions.duty
    region = request.query_params.get("region", "")
    with frame(console, request, t, "incidents", t("drill.title"), "narrow wide"):
        hint = f"<p class=muted>{escape(t('incident.drill_hint'))}</p>"
        html(f"<h1>{escape(t('drill.title'))}</h1>{_links(t)}{hint}", "list-head", "section")
        if desk is None:
            html(empty_state(t("drill.none")), "panel")
            return
        try:
            works = await asyncio.to_thread(console.data.works, region)
            drills = await asyncio.to_thread(desk.drills, region)
        except StoreUnavailable:
            html(store_lost(t), "panel")
            return
        _hold_form(desk, works, t)
        names = {(one.county, one.id): one for one in works}
        box = html(_rows(drills, names, console.time_zone, t), "panel", "section")

    async def refresh() -> None:
        try:
            latest = await asyncio.to_thread(desk.drills, region)
        except StoreUnavailable:
            return
        if (content := _rows(latest, names, console.time_zone, t)) != box.content:
            box.set_content(content)

    ui.timer(LIVE_S, refresh, immediate=False)


def _hold_form(desk: DutyDesk, works: Sequence[Works], t: Texts) -> None:
    if not works:
        return
    choices = {f"{one.county}/{one.id}": f"{one.name} · {one.township} · {one.id}" for one in works}
    with ui.element("section").classes("panel duty-form"):
        html(f"<h2>{escape(t('incident.drill_start'))}</h2>")
        chosen = ui.select(choices, label=t("incident.works"), with_input=True).props("outlined dense id=drill-works")
        name = ui.input(t("duty.name")).props("outlined dense maxlength=40")

        async def hold() -> None:
            county, _, id_ = str(chosen.value or "").partition("/")
            if not id_ or not (name.value or "").strip():
                ui.notify(t("drill.needs"), type="warning")
                return
            try:
                await asyncio.to_thread(desk.drill, county, id_, name.value.strip())
            except StoreUnavailable:
                ui.notify(t("store.lost_never"), type="negative")
                return
            except QingquanError as error:
                ui.notify(str(error), type="warning")
                return
            ui.notify(t("incident.drill_done"), type="positive")

        ui.button(t("incident.drill_start"), on_click=hold).props("unelevated no-caps color=primary id=hold-drill")


def _rows(drills: Sequence[Incident], works: dict[tuple[str, str], Works], tz: str, t: Texts) -> str:
    if not drills:
        return empty_state(t("drill.none"))
    return '<div class="rows duty-rows">' + "".join(_row(one, works, tz, t) for one in drills) + "</div>"


def _row(one: Incident, works: dict[tuple[str, str], Works], tz: str, t: Texts) -> str:
    place = works.get((one.county, one.works))
    answered = (
        t(
            "drill.answered",
            name=one.acknowledged_by,
            after=duration(to_ms(one.acknowledged_at) - to_ms(one.opened_at), t),
        )
        if one.acknowledged_at is not None
        else t("drill.unanswered" if one.state.is_over else "drill.running")
    )
    return (
        f'<a class="card" href="/incidents/{one.id}"><span class="card-top"><b>{escape(t("incident.drill", n=one.drill_number))} · '
        f"{escape(place.name if place else one.works)}</b><small>{escape(day_time(one.opened_at, tz))}</small></span>"
        f'<span class="card-what">{escape(answered)}</span></a>'
    )


def _links(t: Texts) -> str:
    pages = (
        ("incidents", t("nav.incidents")), ("duty", t("duty.title")), ("silences", t("silence.title")), ("drills", t("drill.title")),
    )  # fmt: skip
    links = "".join(
        f'<a href="/{name}" class="{"on" if name == "drills" else ""}">{escape(words)}</a>' for name, words in pages
    )
    return f'<nav class="windows">{links}</nav>'
