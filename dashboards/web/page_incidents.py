"""Incident list, and the page of one incident."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote, unquote

from fastapi import Request
from nicegui import ui

from dashboards.web.chart import HOUR, Span
from dashboards.web.disinfection_parts import incident_verdict
from dashboards.web.incident_answers import answers_block, fixed_note, note_box, read_answers
from dashboards.web.incident_plan import drill_box, plan_block, read_plan
from dashboards.web.incident_words import facts, finding_rows, history, message_rows, place_words, title_block
from dashboards.web.layout import Console, empty_state, frame, html, page_texts, simulated_chip
from dashboards.web.marks import severity_chip
from dashboards.web.page_parts import handled_words, offset_of, pager, store_lost
from dashboards.web.ports import FindingQuery, IncidentQuery, MessageQuery
from dashboards.web.texts import Texts
from dashboards.web.trends import is_drawable, load_chart
from dashboards.web.words import county_name, day_time, incident_title
from qingquan.clock import to_ms
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Incident, IncidentEvent, IncidentState, Message
from qingquan.domain.works import Works
from qingquan.errors import NotFound, StoreUnavailable, TransitionRefused

__all__ = ["incident_page", "incidents_page"]

NAME_COOKIE = "qingquan_name"
LONGEST_NAME = 40
PER_PAGE = 50
LIVE_S = 1.5
_SILENCES = (FindingKind.STALE, FindingKind.NEVER_SEEN)
_UNRESOLVED = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)
_FILTERS: dict[str, tuple[IncidentState, ...]] = {
    "active": _UNRESOLVED, "open": (IncidentState.OPEN,), "acknowledged": (IncidentState.ACKNOWLEDGED,),
    "resolved": (IncidentState.RESOLVED, IncidentState.CLOSED), "all": (),
}  # fmt: skip


async def incidents_page(console: Console, request: Request) -> None:
    """Incidents, worst first, with filters."""
    t = page_texts(request, console.language)
    chosen = request.query_params.get("state", "active")
    states = _FILTERS.get(chosen, _UNRESOLVED)
    region = request.query_params.get("region", "")
    offset = offset_of(request)
    with frame(console, request, t, "incidents", t("nav.incidents"), "narrow wide"):
        html(f"<h1>{escape(t('nav.incidents'))}</h1>{_filter_links(chosen, region, t)}", "list-head", "section")
        box = html("", "panel", "section")

    async def fill() -> str:
        query = IncidentQuery(region, states=states, limit=PER_PAGE, offset=offset)
        try:
            page = await asyncio.to_thread(console.data.incidents, query)
            return await asyncio.to_thread(_list, console, page.items, page.total, chosen, region, offset, t)
        except StoreUnavailable:
            return store_lost(t)

    box.set_content(await fill())

    async def refresh() -> None:
        content = await fill()
        if content != box.content:
            box.set_content(content)

    ui.timer(LIVE_S, refresh, immediate=False)


def _filter_links(chosen: str, region: str, t: Texts) -> str:
    words = {"active": t("incident.filter_active"), "all": t("incident.filter_all")}
    kept = f"&region={quote(region)}" if region else ""
    links = "".join(
        f'<a href="/incidents?state={name}{kept}" class="{"on" if name == chosen else ""}">'
        f"{escape(words.get(name) or t(f'incident.state.{name}'))}</a>"
        for name in _FILTERS
    )
    links += f'<a href="/duty">{escape(t("duty.title"))}</a><a href="/silences">{escape(t("silence.title"))}</a><a href="/drills">{escape(t("drill.title"))}</a>'
    return f'<nav class="windows" aria-label="{escape(t("incident.filter_state"))}">{links}</nav>'


def _list(
    console: Console, incidents: Sequence[Incident], total: int, chosen: str, region: str, offset: int, t: Texts
) -> str:
    if not incidents:
        return empty_state(t("incident.none"))
    findings = {f.id: f for f in console.data.findings_by_id(tuple(id for i in incidents for id in i.finding_ids))}
    works = {key: console.data.one_works(*key) for key in {(i.county, i.works) for i in incidents}}
    rows = "".join(
        _line(i, works[i.county, i.works], [findings[id] for id in i.finding_ids if id in findings], t)
        for i in incidents
    )
    head = "".join(
        f"<span>{escape(t(key))}</span>"
        for key in ("incident.severity", "incident.works", "incident.what", "incident.since", "incident.duration", "incident.handled")
    )  # fmt: skip
    query = {"state": chosen, "region": region}
    return f'<div class="rows incident-rows"><div class="line head">{head}</div>{rows}</div>{pager("/incidents", query, offset, PER_PAGE, total, t)}'


def _line(incident: Incident, works: Works | None, findings: Sequence[Finding], t: Texts) -> str:
    began = min((f.start for f in findings), default=to_ms(incident.opened_at))
    tz = works.time_zone if works else "Asia/Shanghai"
    lasting = (
        f"<span>{escape(day_time(incident.resolved_at, tz))}</span>"
        if incident.resolved_at is not None
        else f'<span data-at="{began}" data-form="for"></span>'
    )
    where = works.township if works else (county_name(None, incident.county, t) if incident.county else "")
    marks = (
        f' <span class="chip chip-stale">{escape(t("incident.stale"))}</span>'
        if incident.stale and incident.kind not in _SILENCES
        else ""
    )
    return (
        f'<a class="line" href="/incidents/{incident.id}">{severity_chip(incident.severity, t)}'
        f"<span><b>{escape(works.name if works else place_words(incident, t))}</b> <small>{escape(where)}</small></span>"
        f"<span>{escape(incident_title(incident, tuple(findings), t))}{marks}</span>"
        f'<span class="muted">{escape(day_time(began, tz))}</span>{lasting}{handled_words(incident, t)}</a>'
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    """Everything the page of an incident shows."""

    incident: Incident
    works: Works | None
    findings: tuple[Finding, ...]
    events: tuple[IncidentEvent, ...]
    messages: tuple[Message, ...]


def _read(console: Console, incident_id: int) -> _Facts | None:
    data = console.data
    incident = data.incident(incident_id)
    if incident is None:
        return None
    return _Facts(
        incident, data.one_works(incident.county, incident.works), tuple(data.findings_by_id(incident.finding_ids)),
        tuple(data.incident_events(incident_id)), tuple(data.messages(MessageQuery(incident=incident_id)).items),
    )  # fmt: skip


async def incident_page(console: Console, request: Request, given_id: str) -> None:
    """One incident: what, where, since when, how bad, who knows, who has it."""
    t = page_texts(request, console.language)
    incident_id = int(given_id) if given_id.isascii() and given_id.isdigit() and len(given_id) < 16 else 0
    try:
        shown = await asyncio.to_thread(_read, console, incident_id)
    except StoreUnavailable:
        shown = None
        with frame(console, request, t, "incidents", t("nav.incidents"), "narrow"):
            html(store_lost(t), "panel")
        return
    if shown is None:
        with frame(console, request, t, "incidents", t("page.not_found"), "narrow"):
            html(empty_state(t("page.no_incident", id=given_id)), "panel")
        return
    tz = shown.works.time_zone if shown.works else console.time_zone
    title = t("incident.title", id=incident_id)
    with frame(console, request, t, "incidents", title, "incident"):
        simulated = simulated_chip(t) if shown.works and shown.works.simulated else ""
        html(
            f'<a class="back" href="/incidents">← {escape(t("nav.incidents"))}</a><span class="muted">{escape(title)}</span>{simulated}',
            "works-head",
        )
        top = html(title_block(shown.incident, shown.works, shown.findings, t), "incident-top", "section")
        with ui.element("div").classes("works-cols"):
            with ui.element("div").classes("works-main"):
                about = html(
                    incident_verdict(shown.incident, t) + facts(shown.incident, shown.works, shown.findings, t),
                    "panel", "section",
                )  # fmt: skip
                await _evidence(console, shown, t)
                judged = html(finding_rows(shown.findings, tz, t), "panel", "section")
            with ui.element("aside").classes("works-side"):
                box = ui.element("section").classes("panel ack")
                _acknowledge_box(console, box, request, shown, tz, t)
                said = await asyncio.to_thread(read_answers, console, incident_id)
                answered = html(answers_block(said, tz, t), "panel", "section")
                answered.set_visibility(bool(said))
                plan = html(
                    plan_block(await asyncio.to_thread(read_plan, console, incident_id, t.language), tz, t),
                    "panel plan",
                    "section",
                )
                past = html(history(shown.events, tz, t), "panel", "section")
                sent = html(message_rows(shown.messages, tz, t), "panel", "section")
                note_box(console, request, shown.incident, NAME_COOKIE, t)
                drill_box(console, shown.incident, t)

    async def refresh() -> None:
        nonlocal shown
        try:
            latest = await asyncio.to_thread(_read, console, incident_id)
        except StoreUnavailable:
            return
        if latest is None or shown is None or latest == shown:
            return
        top.set_content(title_block(latest.incident, latest.works, latest.findings, t))
        about.set_content(
            incident_verdict(latest.incident, t) + facts(latest.incident, latest.works, latest.findings, t)
        )
        judged.set_content(finding_rows(latest.findings, tz, t))
        past.set_content(history(latest.events, tz, t))
        plan.set_content(plan_block(await asyncio.to_thread(read_plan, console, incident_id, t.language), tz, t))
        sent.set_content(message_rows(latest.messages, tz, t))
        said = await asyncio.to_thread(read_answers, console, incident_id)
        answered.set_content(answers_block(said, tz, t))
        answered.set_visibility(bool(said))
        if _shows_another(latest.incident, shown.incident) or latest.incident.state is not shown.incident.state:
            _acknowledge_box(console, box, request, latest, tz, t)
        shown = latest

    ui.timer(LIVE_S, refresh, immediate=False)


def _shows_another(latest: Incident, shown: Incident) -> bool:
    return latest.summary.get("fixed_by") != shown.summary.get("fixed_by")


def _acknowledge_box(console: Console, box: ui.element, request: Request, shown: _Facts, tz: str, t: Texts) -> None:
    incident = shown.incident
    box.clear()
    with box:
        if incident.state is not IncidentState.OPEN:
            words = t(f"incident.state.{incident.state}")
            by = (
                t(
                    "incident.acknowledged_by",
                    name=incident.acknowledged_by,
                    time=day_time(incident.acknowledged_at, tz),
                )
                if incident.acknowledged_at is not None
                else ""
            )
            html(f'<b class="done">✓ {escape(words)}</b><p>{escape(by)}</p>{fixed_note(incident, t)}', "acked")
            return
        html(f"<p>{escape(t('incident.ack_hint'))}</p>")
        with ui.element("form").classes("ack-form").on("submit.prevent", lambda: take()):
            name = ui.input(t("incident.ack_name"), value=unquote(request.cookies.get(NAME_COOKIE, "")))
            name.props(f"outlined dense maxlength={LONGEST_NAME} autocomplete=name")
            ui.button(t("incident.ack")).props("unelevated no-caps type=submit color=primary id=acknowledge")

    async def take() -> None:
        by = (name.value or "").strip()[:LONGEST_NAME]
        if not by:
            ui.notify(t("incident.ack_needs_name"), type="warning")
            return
        try:
            held = await asyncio.to_thread(console.data.acknowledge, incident.id, by, console.clock.now_ms())
        except (NotFound, TransitionRefused):
            ui.notify(t("incident.ack_gone"), type="warning")
            return
        except StoreUnavailable:
            ui.notify(t("store.lost_never"), type="negative")
            return
        ui.run_javascript(f"document.cookie = '{NAME_COOKIE}={quote(by)};path=/;max-age=31536000;samesite=lax'")
        if held.acknowledged_by == by:
            ui.notify(t("incident.ack_done", name=by), type="positive")
        else:
            ui.notify(t("incident.ack_taken", name=held.acknowledged_by), type="warning")


async def _evidence(console: Console, shown: _Facts, t: Texts) -> None:
    """Trend of the worst finding's series, from some hours before it began."""
    drawable = [f for f in shown.findings if is_drawable(f.parameter)]
    if shown.works is None or not drawable:
        return
    worst = max(drawable, key=lambda f: (f.severity, -f.start))
    point = next((p for p in shown.works.points if p.id == worst.point), None)
    if point is None:
        return
    end = console.clock.now_ms() if worst.end is None else min(worst.end + HOUR, console.clock.now_ms())
    before = max(HOUR, (end - worst.start) // 2)
    span = Span(worst.start - before, end)
    try:
        others = (
            await asyncio.to_thread(console.data.findings, FindingQuery(worst.county, worst.works, limit=300))
        ).items
        chart = await asyncio.to_thread(load_chart, console, shown.works, point, worst.parameter, span, others, t)
    except StoreUnavailable:
        html(store_lost(t), "panel")
        return
    with ui.element("section").classes("panel chart evidence"):
        html(chart.heading, "chart-head")
        ui.echart(chart.options).classes("plot")
        html(f"<p>{escape(t('chart.no_data'))}</p>", "no-data").set_visibility(chart.is_empty)
