"""The ladder on an incident's page: who was told when, who is next, and why not. And the button that holds a drill."""

import asyncio
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nicegui import ui

from dashboards.web.incident_words import channel_name
from dashboards.web.layout import Console, html
from dashboards.web.refusals import refusal_words
from dashboards.web.texts import Texts
from dashboards.web.words import day_time
from qingquan.domain.incidents import Incident
from qingquan.errors import QingquanError

__all__ = ["drill_box", "plan_block", "read_plan"]


def read_plan(console: Console, incident_id: int, language: str) -> Mapping[str, Any] | None:
    """The plan, ``None`` where none is to be had."""
    if console.actions.duty is None:
        return None
    try:
        return console.actions.duty.explain(incident_id, language)
    except QingquanError:
        return None


def plan_block(plan: Mapping[str, Any] | None, tz: str, t: Texts) -> str:
    """Rung by rung, past and to come."""
    if plan is None:
        return ""
    head = f'<div class="panel-head"><h2>{escape(t("incident.plan"))}</h2></div>'
    held = f'<p class="quiet">{escape(t("incident.plan_held", why=plan["held_by"]))}</p>' if plan["held_by"] else ""
    if not plan["rungs"]:
        # What holds it may be that others tell: the county's edge.
        return f"{head}{held}" if held else f'{head}<p class="quiet">{escape(t("incident.plan_nobody"))}</p>'
    shown = [rung for rung in plan["rungs"] if rung["done"] or not rung["rung"].startswith("repeat_")]
    return head + held + "".join(_rung(rung, tz, t) for rung in shown)


def _rung(rung: Mapping[str, Any], tz: str, t: Texts) -> str:
    mark = t("incident.plan_done") if rung["done"] else t("incident.plan_due")
    told = "".join(
        f"<div><b>{escape(name or audience)}</b> <small>{escape(f'{audience} · ' if name else '')}{escape(channel_name(channel, t))}{escape(_others(others, t))}</small></div>"
        for audience, name, channel, others in rung["told"]
    )
    missing = "".join(
        f'<div class="muted">{escape(audience)} <small>{escape(why)}</small></div>'
        for audience, why in rung["not_told"]
    )
    problem = f"<div><small>{escape(t('incident.plan_problem'))}</small></div>" if rung["opens_problem"] else ""
    return (
        f'<div class="card"><span class="card-top"><b>{escape(day_time(rung["at"], tz))}</b><small>{escape(mark)}</small></span>'
        f'<span class="card-what">{told}{missing}{problem}</span></div>'
    )


def _others(channels: Sequence[str], t: Texts) -> str:
    """The ways that remain where the first does not arrive."""
    return "".join(f" → {channel_name(channel, t)}" for channel in channels)


def drill_box(console: Console, incident: Incident, t: Texts) -> None:
    """Hold a drill at the works of this incident."""
    desk = console.actions.duty
    if desk is None or not incident.works:
        return
    with ui.element("section").classes("panel drill"):
        html(f"<h2>{escape(t('incident.drill_start'))}</h2><p>{escape(t('incident.drill_hint'))}</p>")
        name = ui.input(t("duty.name")).props("outlined dense maxlength=40")

        async def hold() -> None:
            try:
                drill = await asyncio.to_thread(desk.drill, incident.county, incident.works, (name.value or "").strip())
            except QingquanError as error:
                ui.notify(refusal_words(error, t), type="warning")
                return
            ui.notify(t("incident.drill_done"), type="positive")
            ui.navigate.to(f"/incidents/{drill.id}")

        ui.button(t("incident.drill_start"), on_click=hold).props("outline no-caps color=primary id=hold-drill")
