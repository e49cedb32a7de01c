"""Sensors on the works page and over a county: health, reasons, days to service; maintenance begun and ended here."""

import asyncio
from collections.abc import Awaitable, Callable
from html import escape

from fastapi import Request
from nicegui import ui

from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.page_parts import store_lost
from dashboards.web.quality_port import MaintenancePort, QualityPort
from dashboards.web.refusals import refusal_words
from dashboards.web.texts import Texts
from dashboards.web.words import day_time, parameter_name, point_name
from qingquan.domain.maintenance import Maintenance
from qingquan.domain.quality import Health, HealthReason
from qingquan.domain.works import Works
from qingquan.errors import BrokerLost, NotFound, StoreUnavailable, TransitionRefused

__all__ = ["maintenance_strip", "sensors_page", "sensors_section"]

Refresh = Callable[[], Awaitable[None]]
REFRESH_S = 60.0
GOOD, FAIR = 80, 50
MOST_REASONS = 3
DEFAULT_MIN = 60


async def sensors_section(console: Console, works: Works, t: Texts) -> None:
    """Adds maintenance that lasts, the sensors, and the way to begin and end maintenance; nothing where nobody keeps them."""
    quality, desk = console.actions.quality, console.actions.maintenance
    if quality is None:
        return
    with ui.element("section").classes("panel sensors").props("id=sensors"):
        html(f'<div class="panel-head"><h2>{escape(t("sensors.title"))}</h2></div>')
        running = ui.element("div")
        rows = html("")
        html(f'<p class="quiet">{escape(t("sensors.hint"))}</p>')

        async def refresh() -> None:
            rows.set_content(await _rows(quality, works, t))
            if desk is not None:
                await _show_running(desk, running, works, refresh, t)

        if desk is not None and works.points:
            _begin_form(desk, works, refresh, t)
    await refresh()
    ui.timer(REFRESH_S, refresh, immediate=False)


async def sensors_page(console: Console, request: Request) -> None:
    """The worst sensors of all works."""
    t = page_texts(request, console.language)
    with frame(console, request, t, "county", t("sensors.county"), "narrow"):
        html(
            f"<h1>{escape(t('sensors.county'))}</h1><p class=muted>{escape(t('sensors.county_hint'))}</p>",
            "list-head",
            "section",
        )
        if console.actions.quality is None:
            html(empty_state(t("sensors.county_none")), "panel")
            return
        try:
            worst = await asyncio.to_thread(console.actions.quality.worst)
            named = {(one.county, one.id): one for one in await asyncio.to_thread(console.data.works)}
        except StoreUnavailable:
            html(store_lost(t), "panel")
            return
        lines = "".join(
            _county_line(county, works, health, named.get((county, works)), t) for county, works, health in worst
        )
        html(lines or empty_state(t("sensors.county_none")), "panel sensors")


async def maintenance_strip(console: Console, region: str, t: Texts, works: Works | None = None) -> str:
    """Line that names the points under maintenance, of a works or of a region; empty where there are none."""
    if console.actions.maintenance is None:
        return ""
    try:
        running = await asyncio.to_thread(console.actions.maintenance.running, region)
        entries = (
            {one.id: one for one in await asyncio.to_thread(console.data.works, region)}
            if works is None
            else {works.id: works}
        )
    except StoreUnavailable:
        return ""
    names = []
    for one in running:
        entry = entries.get(one.works)
        if entry is None:
            continue
        place = next((point_name(point, t) for point in entry.points if point.id == one.point), one.point)
        words = place if works is not None else f"{entry.name} · {place}"
        names.append(f'<a href="/works/{escape(one.county)}/{escape(one.works)}#sensors">{escape(words)}</a>')
    joined = escape(t("quality.and")).join(names)
    return escape(t("maintenance.strip", names="§")).replace("§", joined) if names else ""


async def _rows(quality: QualityPort, works: Works, t: Texts) -> str:
    try:
        found = await asyncio.to_thread(quality.sensors, works.county, works.id)
    except StoreUnavailable:
        return store_lost(t)
    places = {point.id: point_name(point, t) for point in works.points}
    many = len(works.points) > 1
    shown = "".join(_line(one, f"{places.get(one.point, one.point)} · " if many else "", t) for one in found)
    return shown or f'<p class="quiet">{escape(t("sensors.none"))}</p>'


def _line(health: Health, place: str, t: Texts) -> str:
    name = f"{place}{parameter_name(health.parameter, t)}"
    return f'<div class="sensor {_grade(health)}"><span class="sensor-top"><b>{escape(name)}</b>{_score(health, t)}</span>{_why(health, t)}</div>'


def _county_line(county: str, works_id: str, health: Health, works: Works | None, t: Texts) -> str:
    title = works.name if works is not None else works_id
    point = next((one for one in works.points if one.id == health.point), None) if works is not None else None
    place = point_name(point, t) if point is not None else health.point
    name = f"{title} · {place} · {parameter_name(health.parameter, t)}"
    return (
        f'<a class="sensor {_grade(health)}" href="/works/{escape(county)}/{escape(works_id)}#sensors">'
        f'<span class="sensor-top"><b>{escape(name)}</b>{_score(health, t)}</span>{_why(health, t)}</a>'
    )


def _grade(health: Health) -> str:
    if health.score is None:
        return "unknown"
    return "good" if health.score >= GOOD else "fair" if health.score >= FAIR else "bad"


def _score(health: Health, t: Texts) -> str:
    if health.score is None:
        return f'<span class="muted">{escape(t("sensors.unknown"))}</span>'
    days = health.days_to_service
    due = "" if days is None else t("sensors.service_now") if days == 0 else t("sensors.service_in", days=days)
    return f'<span class="num">{escape(t("sensors.score", score=health.score))}</span><small>{escape(due)}</small>'


def _why(health: Health, t: Texts) -> str:
    if health.score is None:
        return ""
    told = [_reason(one, t) for one in health.reasons[:MOST_REASONS]]
    return f'<small class="muted">{escape(t("quality.and").join(told) or t("sensors.sound"))}</small>'


def _reason(reason: HealthReason, t: Texts) -> str:
    """A share of the readings as a percentage; drift, noise and an overdue service by their names alone."""
    what = t(f"quality.{reason.what}")
    if reason.what in ("drift", "noise", "service_overdue", "faulty_now"):
        return what
    share = f"{reason.share:.0%}" if reason.share >= 0.01 else "<1%"
    return t("sensors.reason_share", what=what, share=share)


async def _show_running(desk: MaintenancePort, box: ui.element, works: Works, refresh: Refresh, t: Texts) -> None:
    try:
        lasting = [one for one in await asyncio.to_thread(desk.listed, works.county, works.id) if one.ended_at is None]
    except StoreUnavailable:
        return
    box.clear()
    with box:
        for one in lasting:
            _running_card(desk, one, works, refresh, t)


def _running_card(desk: MaintenancePort, one: Maintenance, works: Works, refresh: Refresh, t: Texts) -> None:
    point = next((point for point in works.points if point.id == one.point), None)
    place = point_name(point, t) if point is not None else one.point
    until = day_time(one.planned_end, works.time_zone)
    with ui.element("div").classes("card maintenance"):
        html(
            f"<b>{escape(t('maintenance.now', point=place))}</b>"
            f"<small class=muted>{escape(t('maintenance.since', by=one.started_by, reason=one.reason, until=until))}</small>"
        )

        by = ui.input(t("maintenance.by")).props("dense outlined maxlength=60")

        async def end() -> None:
            if not (by.value or "").strip():
                ui.notify(t("maintenance.who"), type="warning")
                return
            try:
                await asyncio.to_thread(desk.end, works.county, works.id, one.id, str(by.value))
            except (StoreUnavailable, BrokerLost, NotFound) as error:
                ui.notify(refusal_words(error, t), type="negative")
                return
            ui.notify(t("maintenance.ended"), type="positive")
            await refresh()

        ui.button(t("maintenance.end"), on_click=end).props("outline no-caps dense color=primary")


def _begin_form(desk: MaintenancePort, works: Works, refresh: Refresh, t: Texts) -> None:
    places = {point.id: point_name(point, t) for point in works.points}
    with ui.expansion(t("maintenance.begin")).classes("maintenance-form").props("dense"):
        point = ui.select(places, value=next(iter(places)), label=t("maintenance.point")).props("dense outlined")
        by = ui.input(t("maintenance.by")).props("dense outlined maxlength=60")
        reason = ui.input(t("maintenance.reason")).props("dense outlined maxlength=200")
        minutes = ui.number(t("maintenance.minutes"), value=DEFAULT_MIN, min=5, max=desk.most_min, precision=0)
        minutes.props("dense outlined")
        calibrated = ui.checkbox(t("maintenance.calibrated"), value=True).props("dense")

        async def begin() -> None:
            given = (str(point.value), str(by.value or ""), str(reason.value or ""), int(minutes.value or 0))
            try:
                await asyncio.to_thread(desk.begin, works.county, works.id, *given, bool(calibrated.value))
            except ValueError:
                ui.notify(t("maintenance.wrong", most=desk.most_min), type="warning")
                return
            except TransitionRefused:
                ui.notify(t("maintenance.running"), type="warning")
                return
            except (StoreUnavailable, BrokerLost, NotFound) as error:
                ui.notify(refusal_words(error, t), type="negative")
                return
            ui.notify(t("maintenance.begun"), type="positive")
            await refresh()

        ui.button(t("maintenance.begin"), on_click=begin).props("unelevated no-caps color=primary id=begin-maintenance")
