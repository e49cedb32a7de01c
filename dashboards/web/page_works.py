"""Works page: what it is, how it stands, how it got there."""

import asyncio
from html import escape

from fastapi import Request
from nicegui import ui

from dashboards.web.chart import WINDOWS, Span, Window
from dashboards.web.disinfection_parts import disinfection_section
from dashboards.web.feed import WorksRow
from dashboards.web.layout import Console, empty_state, frame, html, page_texts, simulated_chip
from dashboards.web.marks import glyph, severity_chip
from dashboards.web.page_parts import incident_lines, store_lost
from dashboards.web.page_sensors import maintenance_strip, sensors_section
from dashboards.web.ports import FindingQuery, IncidentQuery
from dashboards.web.texts import Texts
from dashboards.web.trends import ChartView, is_drawable, load_chart
from dashboards.web.words import (
    clause_words,
    clock_time,
    duration,
    finding_words,
    masked_phone,
    number,
    parameter_name,
    point_name,
)
from qingquan.domain.findings import Finding
from qingquan.domain.incidents import Incident
from qingquan.domain.works import SamplingPoint, Works
from qingquan.errors import StoreUnavailable
from qingquan.standards.loader import load_standards

__all__ = ["works_page"]

LIVE_S = 1.0
ADVICE_S = 10.0


async def works_page(console: Console, request: Request, county: str, works_id: str) -> None:
    """One works, live."""
    t = page_texts(request, console.language)
    window = next((w for w in WINDOWS if w.name == request.query_params.get("window")), WINDOWS[1])
    view = await console.feed.view(county)
    row = view.rows.get(works_id)
    if row is None:
        with frame(console, request, t, "county", t("page.not_found"), "narrow"):
            html(empty_state(t("page.no_works", id=works_id)) if view.is_live else store_lost(t), "panel")
        return
    works = row.works
    with frame(console, request, t, "county", works.name, "works"):
        html(_head(works, t), "works-head", "section")
        banner = html(_banner(row, console, t), "works-now", "section")
        strip = html("", "maintenance-strip")

        async def show_maintenance() -> None:
            words = await maintenance_strip(console, county, t, works)
            strip.set_content(words)
            strip.set_visibility(bool(words))

        await show_maintenance()
        ui.timer(ADVICE_S, show_maintenance, immediate=False)
        with ui.element("div").classes("works-cols"):
            with ui.element("div").classes("works-main"):
                html(_trend_head(works, window, t), "trend-head", "section")
                charts = await _charts(console, works, window, t)
                section = await disinfection_section(console, works, t)
                depth = html(section, "panel advice", "section")
                depth.set_visibility(bool(section))
            with ui.element("aside").classes("works-side"):
                now_box = html("", "panel", "section")
                incident_box = html("", "panel", "section")
                await sensors_section(console, works, t)
                html(_facts(works, t), "panel", "section")
        await _fill_side(console, works, now_box, incident_box, t)
    shown = row

    async def refresh() -> None:
        nonlocal shown
        latest = (await console.feed.view(county)).rows.get(works_id)
        if latest is not None and latest != shown:
            banner.set_content(_banner(latest, console, t))
            if latest.worst != shown.worst or latest.state.disinfection != shown.state.disinfection:
                await _fill_side(console, works, now_box, incident_box, t)
            shown = latest

    async def look_again() -> None:
        depth.set_content(await disinfection_section(console, works, t))

    ui.timer(LIVE_S, refresh)
    ui.timer(ADVICE_S, look_again, immediate=False)
    _redraw(console, works, window, charts, t)


Drawn = list[tuple[SamplingPoint, str, ui.html, ui.echart, ChartView]]


async def _charts(console: Console, works: Works, window: Window, t: Texts) -> Drawn:
    drawn: Drawn = []
    if not works.points:
        html(empty_state(t("works.no_points")), "panel")
        return drawn
    span = _span(console, window)
    findings = await _findings(console, works)
    for point in works.points:
        codes = [code for code in point.parameters if is_drawable(code)]
        if len(works.points) > 1:
            html(f"<h2>{escape(point_name(point, t))}</h2>", "point-name")
        with ui.element("div").classes("charts"):
            for code in codes:
                try:
                    chart = await asyncio.to_thread(load_chart, console, works, point, code, span, findings, t)
                except StoreUnavailable:
                    html(store_lost(t), "panel chart")
                    continue
                with ui.element("section").classes("panel chart" + (" switch" if chart.is_switch else "")):
                    heading = html(chart.heading, "chart-head")
                    plot = ui.echart(chart.options).classes("plot")
                    empty = html(f"<p>{escape(t('chart.no_data'))}</p>", "no-data")
                    empty.set_visibility(chart.is_empty)
                drawn.append((point, code, heading, plot, chart))
    return drawn


def _redraw(console: Console, works: Works, window: Window, charts: Drawn, t: Texts) -> None:
    digests = [chart.digest for *_, chart in charts]

    async def redraw() -> None:
        findings = await _findings(console, works)
        for n, (point, code, heading, plot, _) in enumerate(charts):
            try:
                chart = await asyncio.to_thread(
                    load_chart, console, works, point, code, _span(console, window), findings, t
                )
            except StoreUnavailable:
                return
            if chart.digest != digests[n]:
                digests[n] = chart.digest
                plot.options.clear()
                plot.options.update(chart.options)
                heading.set_content(chart.heading)

    ui.timer(window.refresh_s, redraw, immediate=False)


def _span(console: Console, window: Window) -> Span:
    now = console.clock.now_ms()
    return Span(now - window.ms, now)


async def _findings(console: Console, works: Works) -> list[Finding]:
    try:
        return list(
            (await asyncio.to_thread(console.data.findings, FindingQuery(works.county, works.id, limit=300))).items
        )
    except StoreUnavailable:
        return []


async def _fill_side(console: Console, works: Works, now_box: ui.html, incident_box: ui.html, t: Texts) -> None:
    try:
        open_now = (
            await asyncio.to_thread(console.data.findings, FindingQuery(works.county, works.id, is_open=True))
        ).items
        incidents = (
            await asyncio.to_thread(console.data.incidents, IncidentQuery(works.county, works.id, limit=12))
        ).items
    except StoreUnavailable:
        now_box.set_content(store_lost(t))
        return
    told = [one for one in open_now if "silent" not in one.evidence]
    now_box.set_content(_open_findings(told, t) + _events_link(console, works, t))
    incident_box.set_content(_incidents(incidents, works, t))


def _head(works: Works, t: Texts) -> str:
    return (
        f'<a class="back" href="/county/{escape(works.county)}">← {escape(t("nav.county"))}</a>'
        f"<h1>{escape(works.name)}</h1><span class=muted>{escape(works.township)} · {escape(works.id)}</span>"
        f"{simulated_chip(t) if works.simulated else ''}"
    )


def _banner(row: WorksRow, console: Console, t: Texts) -> str:
    state = row.state
    age = (
        f'{escape(clock_time(state.as_of, row.works.time_zone))} <span data-at="{state.as_of}" data-form="ago" class="muted"></span>'
        if state.as_of is not None
        else escape(t("county.as_of_none"))
    )
    lasting = (
        escape(t("state_since", duration="§")).replace("§", f'<span data-at="{state.since}" data-form="for">{escape(duration(console.clock.now_ms() - state.since, t))}</span>')
        if state.since
        else ""
    )  # fmt: skip
    parameter = load_standards().parameters.get(state.residual_parameter or "")
    residual = f"{number(state.residual, parameter.decimals)} <small>{parameter.unit}</small>" if parameter else "—"
    label = parameter_name(state.residual_parameter, t) if state.residual_parameter else t("works.residual_now")
    old = " old" if state.stale else ""
    return (
        f'<div class="now s-{state.disinfection}">{glyph(state.disinfection, 44)}<div><b id="state-words">{escape(t(f"state_long.{state.disinfection}"))}</b>'
        f"<p>{lasting}</p></div></div>"
        f'<dl class="stats"><div><dt>{escape(label)}</dt><dd class="num{old}">{residual}</dd></div>'
        f'<div><dt>{escape(t("works.turbidity_now"))}</dt><dd class="num{old}">{number(state.turbidity, 2)} <small>NTU</small></dd></div>'
        f'<div class="wide"><dt>{escape(t("works.as_of"))}</dt><dd class="when">{age}</dd></div></dl>'
    )


def _trend_head(works: Works, window: Window, t: Texts) -> str:
    links = "".join(
        f'<a href="?window={w.name}" class="{"on" if w is window else ""}"{" aria-current=true" if w is window else ""}>{escape(t(f"window.{w.name}"))}</a>'
        for w in WINDOWS
    )
    point = f'<span class="muted">{escape(point_name(works.points[0], t))}</span>' if len(works.points) == 1 else ""
    return f'<h2>{escape(t("works.trends"))}</h2>{point}<nav class="windows" aria-label="{escape(t("works.window"))}">{links}</nav>'


def _open_findings(findings: list[Finding], t: Texts) -> str:
    head = f'<div class="panel-head"><h2>{escape(t("works.open_findings"))}</h2></div>'
    if not findings:
        return head + f'<p class="quiet">{escape(t("works.open_none"))}</p>'
    rows = "".join(
        f'<div class="card sevline-{f.severity.word}"><span class="card-top">{severity_chip(f.severity, t)}<b>{escape(finding_words(f, t))}</b></span>'
        f'<span class="card-end"><span data-at="{f.start}" data-form="for"></span><span>{escape(clause_words(f.clause, t))}</span></span></div>'
        for f in sorted(findings, key=lambda f: (-f.severity, f.start))
    )
    return head + rows


def _events_link(console: Console, works: Works, t: Texts) -> str:
    if console.actions.events is None:
        return ""
    where = f"/events?region={works.county}&works={works.id}"
    return f'<p class="quiet"><a href="{escape(where)}">{escape(t("event.of_works"))} →</a></p>'


def _incidents(incidents: list[Incident], works: Works, t: Texts) -> str:
    head = f'<div class="panel-head"><h2>{escape(t("works.incidents"))}</h2></div>'
    if not incidents:
        return head + f'<p class="quiet">{escape(t("works.incidents_none"))}</p>'
    return head + incident_lines(incidents, {works.id: works}, t)


def _restrictions(works: Works, t: Texts) -> list[tuple[str, str]]:
    """What the register states beyond a limited source, on which rows of the standard depend."""
    names = ("treatment_limited", "groundwater_limited", "raw_permanganate_above_6")
    stated = [t(f"fact.{name}") for name in names if getattr(works, name)]
    return [("fact.limited", ("、" if t.language == "zh" else ", ").join(stated))] if stated else []


def _facts(works: Works, t: Texts) -> str:
    supply = (
        "supply_limited"
        if works.is_small_supply and works.source_limited
        else "supply_small"
        if works.is_small_supply
        else "supply_large"
    )
    people = "".join(
        f"<dt>{escape(t(f'role.{c.role}'))}</dt><dd>{escape(c.name)} <span class=muted>{escape(masked_phone(c.phone))}</span></dd>"
        for c in works.contacts
    )
    rows = (
        ("fact.id", works.id), ("fact.township", works.township), ("fact.supply", t(f"fact.{supply}")),
        ("fact.disinfectant", t(f"disinfectant.{works.disinfectant}")), ("fact.equipment", t(f"equipment.{works.equipment}")),
        ("fact.capacity", t("fact.capacity_value", n=f"{works.capacity_m3_d:g}")),
        ("fact.population", t("fact.population_value", n=f"{works.population:,}")),
        ("fact.cadence", t("fact.cadence_value", cadence=duration(works.cadence_s * 1000, t), upload=duration(works.upload_interval_s * 1000, t))),
        ("fact.time_zone", works.time_zone), *_restrictions(works, t),
    )  # fmt: skip
    facts = "".join(f"<dt>{escape(t(key))}</dt><dd>{escape(value)}</dd>" for key, value in rows)
    note = f'<p class="quiet">{escape(works.note)}</p>' if works.note else ""
    return (
        f'<div class="panel-head"><h2>{escape(t("works.facts"))}</h2></div><dl class="facts">{facts}{people}</dl>{note}'
    )
