"""Drills: what was held, how long until somebody answered, and a form that holds one."""

import asyncio
from collections.abc import Callable, Sequence
from html import escape

from fastapi import Request
from nicegui import ui

from dashboards.web.duty_port import DutyDesk
from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.page_parts import store_lost
from dashboards.web.refusals import refusal_words
from dashboards.web.texts import Texts
from dashboards.web.words import day_time, duration
from qingquan.clock import to_ms
from qingquan.domain.duty import DrillFigures
from qingquan.domain.incidents import Incident
from qingquan.domain.works import Works
from qingquan.errors import QingquanError, StoreUnavailable
from qingquan.standards.divisions import division_name

__all__ = ["drills_page"]

LIVE_S = 2.0
YEAR_DAYS = 365
# A month's drill, as large as a county's people can bear.
DRAWN_PERCENT = 1.0


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
            figures = await asyncio.to_thread(desk.drill_figures, region, YEAR_DAYS)
        except StoreUnavailable:
            html(store_lost(t), "panel")
            return
        _hold_form(desk, works, t)
        names = {(one.county, one.id): one for one in works}
        summary = html(_summary(figures, t), "drill-figures", "section")
        box = html(_rows(drills, names, console.time_zone, t), "panel", "section")

    async def refresh() -> None:
        try:
            latest = await asyncio.to_thread(desk.drills, region)
            figures = await asyncio.to_thread(desk.drill_figures, region, YEAR_DAYS)
        except StoreUnavailable:
            return
        if (content := _summary(figures, t)) != summary.content:
            summary.set_content(content)
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

        async def begin(hold: Callable[[str], int]) -> None:
            by = (name.value or "").strip()
            if not by:
                ui.notify(t("drill.needs_name"), type="warning")
                return
            try:
                count = await asyncio.to_thread(hold, by)
            except StoreUnavailable:
                ui.notify(t("store.lost_never"), type="negative")
                return
            except QingquanError as error:
                ui.notify(refusal_words(error, t), type="warning")
                return
            ui.notify(t("drill.begun", n=count), type="positive")

        async def hold() -> None:
            county, _, id_ = str(chosen.value or "").partition("/")
            if not id_:
                ui.notify(t("drill.needs"), type="warning")
                return
            await begin(lambda by: len([desk.drill(county, id_, by)]))

        ui.button(t("incident.drill_start"), on_click=hold).props("unelevated no-caps color=primary id=hold-drill")
        counties = sorted({one.county for one in works})
        county = ui.select(
            {code: division_name(code, t.language) for code in counties}, value=counties[0], label=t("drill.county")
        )
        county.props("outlined dense")

        async def draw() -> None:
            await begin(lambda by: len(desk.draw_drills(str(county.value), DRAWN_PERCENT, by)))

        ui.button(t("drill.draw", percent=f"{DRAWN_PERCENT:g}"), on_click=draw).props(
            "outline no-caps color=primary id=draw-drills"
        )
        html(f"<p class=muted>{escape(t('drill.draw_hint'))}</p>")


def _summary(figures: Sequence[DrillFigures], t: Texts) -> str:
    """How the last year's drills went, a line for every county."""
    return "".join(
        f"<p><b>{escape(division_name(one.county, t.language))}</b> {escape(_figures(one, t))}</p>"
        for one in figures
        if one.held
    )


def _figures(one: DrillFigures, t: Texts) -> str:
    counted = t("drill.figures", held=one.held, answered=one.answered)
    if one.median_ms is None or one.longest_ms is None:
        return counted
    return counted + t("drill.spans", median=duration(one.median_ms, t), longest=duration(one.longest_ms, t))


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
