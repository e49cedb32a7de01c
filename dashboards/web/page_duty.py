"""Duty roster and silences: who answers, who stands in, what is kept quiet and by whom."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from html import escape
from typing import Any

from fastapi import Request
from nicegui import ui

from dashboards.web.duty_port import DutyDesk, DutyWeek
from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.page_parts import store_lost
from dashboards.web.refusals import refusal_words
from dashboards.web.texts import Texts
from dashboards.web.words import day_time
from qingquan.clock import from_ms
from qingquan.domain.duty import DutyPerson, Silence
from qingquan.domain.works import Works
from qingquan.errors import QingquanError, StoreUnavailable
from qingquan.standards.divisions import division_name

__all__ = ["duty_page", "silences_page"]

# What an incident's cause begins with; see `alerts.lifecycle.cause_of`.
CAUSES = ("disinfection", "silent", "power", "instrument", "exceedance", "lab", "hand_log", "rule", "forecast")
ROLES = ("township", "county_duty", "county_leader", "prefecture")


async def duty_page(console: Console, request: Request) -> None:
    """Who is on duty now and this week; swaps, shifts and people entered below."""
    t = page_texts(request, console.language)
    desk = console.actions.duty
    region = request.query_params.get("region", "")
    with frame(console, request, t, "incidents", t("duty.title"), "narrow wide"):
        html(f"<h1>{escape(t('duty.title'))}</h1>{_links('duty', t)}", "list-head", "section")
        if desk is None:
            html(empty_state(t("duty.none")), "panel")
            return
        try:
            week = await asyncio.to_thread(desk.week, region)
        except StoreUnavailable:
            html(store_lost(t), "panel")
            return
        box = html(_week(week, console.time_zone, t), "panel", "section")

        async def refresh() -> None:
            latest = await asyncio.to_thread(desk.week, region)
            box.set_content(_week(latest, console.time_zone, t))

        _duty_forms(desk, week, refresh, t)


def _duty_forms(desk: DutyDesk, week: DutyWeek, refresh: Callable[[], Awaitable[None]], t: Texts) -> None:
    names = {person.id: person.name for person in week.persons}
    if len(names) > 1:
        with ui.element("section").classes("panel duty-form"):
            html(f"<h2>{escape(t('duty.swap'))}</h2>")
            absent, stand_in = _choice(t("duty.swap_absent"), names), _choice(t("duty.swap_stand_in"), names)
            hours, author = _field(t("duty.swap_hours"), "24"), _field(t("duty.name"))

            async def swap() -> None:
                chosen = (absent.value, stand_in.value, _number(hours.value), author.value or "", "")
                await _done(lambda: desk.swap(*chosen), refresh, t)

            _save(t("duty.save"), swap, "swap")
    if names:
        with ui.element("section").classes("panel duty-form"):
            html(f"<h2>{escape(t('duty.shift_add'))}</h2>")
            people = ui.select(names, label=t("duty.people"), multiple=True).props("outlined dense use-chips")
            resting = ui.select(names, label=t("duty.rest_people"), multiple=True).props(
                "outlined dense use-chips id=rest-people"
            )
            days = _field(t("duty.shift_days"), "7")

            async def plan() -> None:
                ids, rest = list(people.value or []), list(resting.value or [])
                await _done(lambda: desk.plan(ids, rest, round(_number(days.value))), refresh, t)

            _save(t("duty.save"), plan, "plan")
    with ui.element("section").classes("panel duty-form"):
        html(f"<h2>{escape(t('duty.add'))}</h2>")
        role = ui.select({name: t(f"duty.role.{name}") for name in ROLES}, label=t("duty.role"), value="county_duty")
        role.props("outlined dense")
        area, township = _field(t("duty.area")), _field(t("duty.township"))
        name, phone = _field(t("duty.person_name")), _field(t("duty.phone"))

        async def add() -> None:
            person = DutyPerson(
                0, str(role.value), (area.value or "").strip(), (township.value or "").strip(), (name.value or "").strip(),
                (phone.value or "").strip(),
            )  # fmt: skip
            await _done(lambda: desk.add_person(person), refresh, t)

        _save(t("duty.save"), add, "add-person")


async def silences_page(console: Console, request: Request) -> None:
    """What is kept quiet until when, by whom and why; a new one below."""
    t = page_texts(request, console.language)
    desk = console.actions.duty
    region = request.query_params.get("region", "")
    with frame(console, request, t, "incidents", t("silence.title"), "narrow wide"):
        head = f"<h1>{escape(t('silence.title'))}</h1>{_links('silences', t)}<p class=muted>{escape(t('silence.hint'))}</p>"
        html(head, "list-head", "section")
        if desk is None:
            html(empty_state(t("silence.none")), "panel")
            return
        box = ui.element("section").classes("panel")

        async def refresh() -> None:
            try:
                found = await asyncio.to_thread(desk.silences, region)
            except StoreUnavailable:
                found = []
            box.clear()
            with box:
                if not found:
                    html(empty_state(t("silence.none")))
                for one in found:
                    _silence(console, desk, one, refresh, t)

        await refresh()
        try:
            register = await asyncio.to_thread(console.data.works, region)
        except StoreUnavailable:
            register = []
        _silence_form(desk, register, region, refresh, t)


def _silence_form(
    desk: DutyDesk, register: Sequence[Works], region: str, refresh: Callable[[], Awaitable[None]], t: Texts
) -> None:
    """What is chosen from the register need not be typed; without one the division code is."""
    counties = {code: division_name(code, t.language) for code in sorted({one.county for one in register})}
    townships = {"": t("silence.any_township")} | {one.township: one.township for one in register if one.township}
    places = {"": t("silence.any_works")} | {f"{one.county}/{one.id}": f"{one.name} · {one.id}" for one in register}
    with ui.element("section").classes("panel duty-form"):
        html(f"<h2>{escape(t('silence.add'))}</h2>")
        first = next(iter(counties), "")
        county = (
            ui.select(counties, label=t("drill.county"), value=region if region in counties else first).props(
                "outlined dense"
            )
            if counties
            else _field(t("duty.area"), region)
        )
        township = ui.select(townships, label=t("silence.township"), value="").props("outlined dense")
        works = ui.select(places, label=t("incident.works"), value="", with_input=True).props("outlined dense")
        causes = {"": t("silence.any_cause")} | {name: t(f"silence.cause.{name}") for name in CAUSES}
        cause = ui.select(causes, label=t("silence.cause"), value="").props("outlined dense id=silence-cause")
        hours = _field(t("silence.hours"), "4")
        author, comment = _field(t("duty.name")), _field(t("duty.comment"))

        async def silence() -> None:
            chosen, _, number = str(works.value or "").partition("/")
            area = chosen or str(county.value or "").strip()
            where = ("", number) if number else (str(township.value or ""), "")
            said = (author.value or "").strip(), (comment.value or "").strip()
            span = _number(hours.value)
            await _done(lambda: desk.silence(area, *where, str(cause.value or ""), span, *said), refresh, t)

        _save(t("duty.save"), silence, "silence")


def _silence(console: Console, desk: DutyDesk, one: Silence, refresh: Callable[[], Awaitable[None]], t: Texts) -> None:
    now = console.clock.now_ms()
    is_over = one.end <= now
    cause = one.cause.partition(":")[0]
    what = t(f"silence.cause.{cause}") if cause in CAUSES else one.cause or t("silence.any_cause")
    where = " · ".join(part for part in (division_name(one.county, t.language), one.township, one.works, what) if part)
    until = t("silence.over") if is_over else t("silence.until", time=day_time(from_ms(one.end), console.time_zone))
    with ui.element("div").classes("card"):
        html(
            f'<span class="card-top"><b>{escape(where)}</b><small>{escape(until)}</small></span>'
            f'<span class="card-what">{escape(t("silence.by", name=one.author, comment=one.comment))}</span>'
        )
        if not is_over:
            by = _field(t("duty.name"))

            async def end() -> None:
                name = (by.value or "").strip()
                if not name:
                    ui.notify(t("drill.needs_name"), type="warning")
                    return
                await _done(lambda: desk.end_silence(one.id, name), refresh, t)

            ui.button(t("silence.end"), on_click=end).props("flat no-caps dense color=primary")


def _week(week: DutyWeek, tz: str, t: Texts) -> str:
    if not week.persons:
        return empty_state(t("duty.none"))
    names = {person.id: person for person in week.persons}
    now = "".join(
        f'<div class="card"><span class="card-top"><b>{escape(t(f"duty.role.{role}"))}</b><small>{escape(township or division_name(area, t.language))}</small></span>'
        f'<span class="card-what">{escape("、".join(people)) if people else escape(t("duty.nobody"))}</span></div>'
        for (role, area, township), people in week.now.items()
    )
    shifts = "".join(
        f'<div class="line"><span>{escape(day_time(from_ms(s.start), tz))} – {escape(day_time(from_ms(s.end), tz))}</span>'
        f"<span><b>{escape(names[s.person_id].name)}</b></span><span>{escape(names[s.person_id].phone)}</span></div>"
        for s in sorted(week.shifts, key=lambda s: s.start)
        if s.person_id in names
    )
    swaps = "".join(
        f'<div class="line"><span>{escape(day_time(from_ms(s.start), tz))} – {escape(day_time(from_ms(s.end), tz))}</span>'
        f"<span>{escape(names[s.absent_id].name)} → <b>{escape(names[s.stand_in_id].name)}</b></span><span>{escape(s.comment)}</span></div>"
        for s in week.swaps
        if s.absent_id in names and s.stand_in_id in names
    )
    blocks = [(t("duty.now"), now), (t("duty.week"), shifts), (t("duty.swap"), swaps)]
    return "".join(
        f'<div class="panel-head"><h2>{escape(title)}</h2></div><div class="rows duty-rows">{rows}</div>'
        for title, rows in blocks
        if rows
    )


def _links(active: str, t: Texts) -> str:
    pages = (
        ("incidents", t("nav.incidents")), ("duty", t("duty.title")), ("silences", t("silence.title")), ("drills", t("drill.title")),
    )  # fmt: skip
    links = "".join(
        f'<a href="/{name}" class="{"on" if name == active else ""}">{escape(words)}</a>' for name, words in pages
    )
    return f'<nav class="windows">{links}</nav>'


def _field(label: str, value: str = "") -> Any:
    return ui.input(label, value=value).props("outlined dense maxlength=60")


def _choice(label: str, options: dict[int, str]) -> Any:
    return ui.select(options, label=label, value=next(iter(options))).props("outlined dense")


def _save(label: str, action: Callable[[], Awaitable[None]], name: str) -> None:
    ui.button(label, on_click=action).props(f"unelevated no-caps color=primary id=save-{name}")


def _number(text: object) -> float:
    try:
        return float(str(text))
    except ValueError:
        return 0.0


async def _done(action: Callable[[], object], refresh: Callable[[], Awaitable[None]], t: Texts) -> None:
    try:
        await asyncio.to_thread(action)
    except StoreUnavailable:
        ui.notify(t("store.lost_never"), type="negative")
        return
    except QingquanError as error:
        ui.notify(refusal_words(error, t), type="warning")
        return
    ui.notify(t("duty.saved"), type="positive")
    await refresh()
