"""County page: what a duty officer sees first."""

import asyncio
from html import escape

from fastapi import Request
from nicegui import ui

from dashboards.web.county_rows import changes, headline, incident_cards, lost_words, rows_data, tiles
from dashboards.web.feed import CountyView
from dashboards.web.layout import Console, empty_state, frame, html, page_texts, script_json, simulated_chip
from dashboards.web.page_sensors import maintenance_strip
from dashboards.web.texts import Texts
from dashboards.web.words import clock_time, county_name

__all__ = ["county_page", "home_page"]

# Longer than the feed keeps what it read: else every other look would find the same.
LIVE_S = 0.5


async def home_page(console: Console, request: Request) -> None:
    """The county where there is one; a choice where there are several."""
    works = await asyncio.to_thread(console.data.works)
    counties = sorted({entry.county for entry in works})
    if len(counties) <= 1:
        await county_page(console, request, counties[0] if counties else "")
        return
    t = page_texts(request, console.language)
    with frame(console, request, t, "county", t("county.choose"), "narrow"):
        html(f"<h1>{escape(t('county.choose'))}</h1>")
        for code in counties:
            entries = [entry for entry in works if entry.county == code]
            name = county_name(entries[0], code, t)
            html(
                f'<a class="card" href="/county/{code}"><b>{escape(name)}</b>'
                f"<small>{code} · {escape(t('county.works', n=len(entries)))}</small></a>"
            )


async def county_page(console: Console, request: Request, code: str) -> None:
    """Tiles, list, map and open incidents of one county, live."""
    t = page_texts(request, console.language)
    view = await console.feed.view(code)
    any_works = next((row.works for row in view.rows.values()), None)
    name = county_name(any_works, code, t) if code else t("nav.county")
    with frame(console, request, t, "county", name, "county"):
        html(_head(view, name, t, console), "county-head", "section")
        if not view.rows:
            html(empty_state(t("county.empty"), t("county.empty_hint")), "panel")
            if view.is_live:
                return
        html(
            f'<p id="headline" class="headline" aria-live="polite">{headline(view, t)}</p>{tiles(view, t)}', "overview"
        )
        words = await maintenance_strip(console, code, t)
        if words:
            html(words, "maintenance-strip")
        drills = f'<a class="worst-sensors" id="to-drills" href="/drills?region={escape(code)}">{escape(t("incident.drill_start"))} →</a>'
        roster = f'<a class="worst-sensors" href="/duty?region={escape(code)}">{escape(t("duty.title"))} →</a>'
        html(f'<a class="worst-sensors" href="/sensors">{escape(t("sensors.county"))} →</a>{roster}{drills}')
        with ui.element("div").classes("cols"):
            with ui.element("section").classes("panel list"):
                html(_filters(view, t), "panel-head")
                grid = _grid(view, t)
            with ui.element("aside").classes("side"):
                html(_incidents(view, t), "panel incidents", "section")
                with ui.element("section").classes("panel map"):
                    html(f"<h2>{escape(t('county.map'))}</h2>", "panel-head")
                    located = any(row.works.latitude is not None for row in view.rows.values())
                    if located:
                        chart = ui.leaflet(center=(0, 0), zoom=9, options=_MAP_OPTIONS).classes("leaflet")
                        chart.clear_layers()
                    else:
                        html(empty_state(t("county.map_none")))
        ui.add_body_html(
            f"<script>QQ.county.start({script_json({'grid': grid.id, 'map': chart.id if located else None})})</script>"
        )
    _keep_live(console, code, t, view)


_MAP_OPTIONS = {
    "preferCanvas": True, "attributionControl": False, "zoomControl": False, "zoomSnap": 0.25, "scrollWheelZoom": True,
    "fadeAnimation": False, "zoomAnimation": False,
}  # fmt: skip


def _keep_live(console: Console, code: str, t: Texts, shown: CountyView) -> None:
    seen = shown.number

    async def send_changes() -> None:
        nonlocal seen
        view = await console.feed.view(code)
        if view.number == seen:
            return
        ui.run_javascript(f"QQ.county.change({script_json(changes(view, seen, t, console.time_zone))})")
        seen = view.number

    ui.timer(LIVE_S, send_changes)


def _head(view: CountyView, name: str, t: Texts, console: Console) -> str:
    as_of = clock_time(view.as_of, console.time_zone) if view.as_of is not None else t("county.as_of_none")
    age = f'<span id="asof-age" data-at="{view.as_of}" data-form="ago"></span>' if view.as_of is not None else ""
    lost = "" if view.is_live else lost_words(view, t, console.time_zone)
    return (
        f"<h1>{escape(name)}</h1><span class=muted>{escape(t('county.works', n=len(view.rows)))}</span>"
        f"{simulated_chip(t) if view.simulated else ''}"
        f'<span class="asof">{escape(t("county.as_of"))} <b id="asof">{escape(as_of)}</b> {age}</span>'
        f'<div id="lost" class="lost" role="alert" {"hidden" if view.is_live else ""}>{escape(lost)}</div>'
    )


def _filters(view: CountyView, t: Texts) -> str:
    townships = sorted({row.works.township for row in view.rows.values()})
    options = "".join(f"<option>{escape(name)}</option>" for name in townships)
    return (
        f'<h2>{escape(t("county.list"))}</h2><span id="shown" class="muted"></span>'
        f'<input id="search" type="search" placeholder="{escape(t("county.search"))}" aria-label="{escape(t("county.search"))}" autocomplete="off">'
        f'<select id="township" aria-label="{escape(t("county.township_all"))}"><option value="">{escape(t("county.township_all"))}</option>{options}</select>'
    )


def _incidents(view: CountyView, t: Texts) -> str:
    return (
        f'<div class="panel-head"><h2>{escape(t("county.incidents"))}</h2><span id="incidents-total" class="count">{view.incidents_total}</span>'
        f'<a class="more" href="/incidents">{escape(t("county.incidents_all"))}</a></div>'
        f'<div id="incidents" class="scroll">{incident_cards(view, t)}</div>'
    )


def _grid(view: CountyView, t: Texts) -> ui.aggrid:
    cells = "QQ.county.cells"
    number = {"type": "rightAligned", "width": 100, "headerClass": "right"}
    columns = [
        {"colId": "state", "headerName": t("column.state"), "field": "s", ":cellRenderer": f"{cells}.state", ":comparator": f"{cells}.worse",
         "sort": "asc", "width": 112, "minWidth": 44},
        {"colId": "works", "headerName": t("column.works"), "field": "n", ":cellRenderer": f"{cells}.works", "flex": 5, "minWidth": 130},
        {"colId": "township", "headerName": t("column.township"), "field": "t", "width": 80},
        {"colId": "residual", "headerName": t("column.residual"), "field": "v", ":cellRenderer": f"{cells}.residual", **number, "width": 132},
        {"colId": "turbidity", "headerName": t("column.turbidity"), "field": "u", ":cellRenderer": f"{cells}.turbidity", **number, "width": 96},
        {"colId": "lasting", "headerName": t("column.lasting"), "field": "si", ":cellRenderer": f"{cells}.lasting", "width": 104},
        {"colId": "asof", "headerName": t("column.as_of"), "field": "a", ":cellRenderer": f"{cells}.age", "width": 90},
        {"colId": "worst", "headerName": t("column.worst"), "field": "w", ":cellRenderer": f"{cells}.worst", "flex": 3, "minWidth": 122},
    ]  # fmt: skip
    return ui.aggrid(
        {
            "columnDefs": columns, "rowData": rows_data(list(view.rows.values()), t), "rowHeight": 36, "headerHeight": 34,
            "defaultColDef": {"sortable": True, "resizable": True, "suppressMovable": True},
            ":getRowId": "(p) => p.data.id", ":isExternalFilterPresent": "QQ.county.isFiltered",
            ":doesExternalFilterPass": "QQ.county.passes", ":onRowClicked": "QQ.county.open",
            ":onGridSizeChanged": "QQ.county.fit", ":getRowHeight": "QQ.county.rowHeight", ":onModelUpdated": "QQ.county.counted",
            ":onFirstDataRendered": "QQ.county.painted", "suppressCellFocus": True, "animateRows": False, "rowBuffer": 8,
            "localeText": {"noRowsToShow": t("county.none_match"), "noMatchingRows": t("county.none_match")},
            "suppressColumnVirtualisation": True, "suppressMenuHide": True,
        },
        auto_size_columns=False,
    ).classes("grid")  # fmt: skip
