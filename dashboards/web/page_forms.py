"""Plain server-rendered forms for caretakers: log a residual, enter facts about disinfection. They work on any phone, without script."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import ValidationError

from dashboards.web.api_disinfection import FactsModel
from dashboards.web.disinfection_port import DisinfectionDesk
from dashboards.web.layout import STATIC, Console, page_texts
from dashboards.web.texts import Texts
from dashboards.web.words import day_time, point_name
from qingquan.clock import from_ms, to_ms
from qingquan.domain.disinfection import DisinfectionFacts, HandFault, HandMeasurement, HandMethod
from qingquan.domain.works import Works
from qingquan.errors import StoreUnavailable

__all__ = ["add_forms"]

NAME_COOKIE = "qingquan_person"
YEAR_S = 365 * 24 * 3600
PLAIN = ("giardia_log", "virus_log", "tank_volume_l", "pump_capacity_l_h", "store_temperature_c", "network_end_hours")
SEGMENT = ("name", "volume_m3", "baffling_factor", "peak_flow_m3_h")
DELIVERY = ("delivered_at", "strength_g_l", "amount_l")
SPARE_ROWS = 2
MOST_FIELDS = 4000

Faults = Mapping[str, str]


def add_forms(app: FastAPI, console: Console) -> None:
    """Routes ``/log/{county}/{works}`` and ``/works/{county}/{works}/disinfection-facts``, and the empty sheet."""

    @app.get("/log/template.xlsx")
    async def template(county: str = "") -> Response:
        """Empty sheet of measurements with the hand-logged works of a county."""
        desk = console.actions.disinfection
        if desk is None:
            return Response(status_code=404)
        content = await asyncio.to_thread(desk.template, county if county.isdigit() else "")
        kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
        return Response(content, media_type=kind, headers={"Content-Disposition": "attachment; filename=hand-log.xlsx"})

    @app.get("/log/{county}/{works}")
    async def log_form(request: Request, county: str, works: str) -> Response:
        """The form, with what was logged last."""
        return await _form(console, request, county, works)

    @app.post("/log/{county}/{works}")
    async def log(request: Request, county: str, works: str) -> Response:
        """Take one measurement; the form again with every fault, or with what was taken."""
        return await _log(console, request, county, works)

    @app.get("/works/{county}/{works}/disinfection-facts")
    async def facts_form(request: Request, county: str, works: str) -> Response:
        """Facts as they are known."""
        return await _facts_form(console, request, county, works)

    @app.post("/works/{county}/{works}/disinfection-facts")
    async def facts(request: Request, county: str, works: str) -> Response:
        """Replace them; the form again with every fault."""
        return await _save_facts(console, request, county, works)


async def _found(
    console: Console, request: Request, county: str, works_id: str
) -> tuple[Works, DisinfectionDesk, Texts] | Response:
    t = page_texts(request, console.language)
    desk = console.actions.disinfection
    if desk is None:
        return HTMLResponse(_page(t, t("page.not_found"), "", "/"), 404)
    try:
        works = await asyncio.to_thread(console.data.one_works, county, works_id)
    except StoreUnavailable:
        return HTMLResponse(_page(t, t("handlog.title"), f"<p class=bad>{escape(t('store.lost_never'))}</p>", "/"), 503)
    if works is None:
        return HTMLResponse(
            _page(t, t("page.not_found"), f"<p>{escape(t('page.no_works', id=works_id))}</p>", "/"), 404
        )
    return works, desk, t


# --- a measurement ----------------------------------------------------------------------------------------------------


async def _form(
    console: Console, request: Request, county: str, works_id: str, given: Mapping[str, str] | None = None,
    faults: Sequence[HandFault] = (), taken: HandMeasurement | None = None,
) -> Response:  # fmt: skip
    found = await _found(console, request, county, works_id)
    if isinstance(found, Response):
        return found
    works, desk, t = found
    try:
        recent = (await asyncio.to_thread(desk.measurements, county, works_id, 5, 0)).items
    except StoreUnavailable:
        recent = []
    values = {
        "person": unquote(request.cookies.get(NAME_COOKIE, "")),
        "observed_at": _local_now(console, works),
    } | dict(given or {})
    wrong = {fault.field: t(f"handlog.fault.{fault.word}", **fault.facts) for fault in faults}
    done = ""
    if taken is not None:
        when = day_time(taken.observed_at, works.time_zone)
        done = f'<p class="good">{escape(t("handlog.taken", value=f"{taken.qualifier}{taken.value:g}", time=when))}</p>'
    elif wrong:
        done = f'<p class="bad">{escape(t("handlog.refused"))} {escape(wrong.get("works", ""))}</p>'
    body = done + _measurement_form(works, values, wrong, t) + _recent(works, recent, t)
    response = HTMLResponse(
        _page(t, t("handlog.title"), body, f"/works/{county}/{works_id}", works.name), 422 if faults else 200
    )
    if taken is not None:
        response.set_cookie(NAME_COOKIE, quote(taken.person), max_age=YEAR_S, samesite="lax")
    return response


async def _log(console: Console, request: Request, county: str, works_id: str) -> Response:
    found = await _found(console, request, county, works_id)
    if isinstance(found, Response):
        return found
    works, desk, t = found
    given = await _given(request)
    try:
        outcome = await asyncio.to_thread(
            lambda: desk.log(
                works, given.get("value", ""), given.get("person", ""), point=given.get("point", ""),
                observed_at=given.get("observed_at", ""), method=given.get("method", HandMethod.DPD_COLOUR), note=given.get("note", ""),
            )
        )  # fmt: skip
    except StoreUnavailable:
        return HTMLResponse(
            _page(t, t("handlog.title"), f"<p class=bad>{escape(t('handlog.lost'))}</p>", request.url.path), 503
        )
    if isinstance(outcome, list):
        return await _form(console, request, county, works_id, given, outcome)
    return await _form(console, request, county, works_id, {"person": outcome.person}, taken=outcome)


def _measurement_form(works: Works, values: Mapping[str, str], wrong: Faults, t: Texts) -> str:
    residual = works.disinfectant.residual
    points = [point for point in works.points if point.kind in ("outlet", "network", "network_end")]
    options = "".join(
        f'<option value="{escape(point.id)}"{" selected" if values.get("point") == point.id else ""}>{escape(point_name(point, t))}</option>'
        for point in sorted(points, key=lambda point: point.kind != "outlet")
    )
    methods = "".join(
        f'<option value="{method}"{" selected" if values.get("method") == method else ""}>{escape(t(f"handlog.method.{method}"))}</option>'
        for method in HandMethod
    )
    name = t(f"handlog.residual.{residual}") if residual else t("handlog.residual.none")
    return (
        '<form method="post">'
        + _field(f"{name} (mg/L)", f'<input name="value" inputmode="decimal" required autofocus maxlength="12" autocomplete="off" value="{escape(values.get("value", ""))}">', wrong.get("value"), t("handlog.value_hint"))
        + _field(t("handlog.person"), f'<input name="person" required maxlength="60" value="{escape(values.get("person", ""))}">', wrong.get("person"))
        + _field(t("handlog.point"), f'<select name="point">{options}</select>', wrong.get("point"))
        + _field(t("handlog.method"), f'<select name="method">{methods}</select>', wrong.get("method"))
        + _field(t("handlog.time"), f'<input type="datetime-local" name="observed_at" value="{escape(values.get("observed_at", ""))}">', wrong.get("observed_at"))
        + _field(t("handlog.note"), f'<input name="note" maxlength="200" value="{escape(values.get("note", ""))}">', None)
        + f'<button>{escape(t("handlog.send"))}</button></form>'
    )  # fmt: skip


def _recent(works: Works, recent: Sequence[HandMeasurement], t: Texts) -> str:
    if not recent:
        return f"<p>{escape(t('handlog.none'))}</p>"
    rows = "".join(
        f"<tr><td>{escape(day_time(one.observed_at, works.time_zone))}<td><b>{escape(one.qualifier)}{one.value:g}</b><td>{escape(one.person)}"
        for one in recent
    )
    return f"<h2>{escape(t('handlog.recent'))}</h2><table>{rows}</table>"


def _local_now(console: Console, works: Works) -> str:
    return from_ms(console.clock.now_ms()).astimezone(ZoneInfo(works.time_zone)).strftime("%Y-%m-%dT%H:%M")


# --- facts ------------------------------------------------------------------------------------------------------------


async def _facts_form(
    console: Console, request: Request, county: str, works_id: str, given: Mapping[str, str] | None = None,
    faults: Faults | None = None,
) -> Response:  # fmt: skip
    found = await _found(console, request, county, works_id)
    if isinstance(found, Response):
        return found
    works, desk, t = found
    if given is None:
        try:
            facts = await asyncio.to_thread(desk.facts, county, works_id)
        except StoreUnavailable:
            return HTMLResponse(
                _page(t, t("dfacts.title"), f"<p class=bad>{escape(t('store.lost_never'))}</p>", "/"), 503
            )
        given = {"by": unquote(request.cookies.get(NAME_COOKIE, "")), **_shown(facts, works)}
    body = _facts_fields(given, faults or {}, t)
    return HTMLResponse(
        _page(t, t("dfacts.title"), body, f"/works/{county}/{works_id}", works.name), 422 if faults else 200
    )


async def _save_facts(console: Console, request: Request, county: str, works_id: str) -> Response:
    found = await _found(console, request, county, works_id)
    if isinstance(found, Response):
        return found
    works, desk, t = found
    given = await _given(request)
    facts, faults = _parsed(given, works, t)
    by = given.get("by", "").strip()[:60]
    if not by:
        faults["by"] = t("handlog.fault.empty")
    if faults or facts is None:
        return await _facts_form(console, request, county, works_id, given, faults)
    try:
        await asyncio.to_thread(desk.save_facts, county, works_id, facts, by)
    except StoreUnavailable:
        return HTMLResponse(_page(t, t("dfacts.title"), f"<p class=bad>{escape(t('store.lost_never'))}</p>", "/"), 503)
    response = RedirectResponse(f"/works/{county}/{works_id}", 303)
    response.set_cookie(NAME_COOKIE, quote(by), max_age=YEAR_S, samesite="lax")
    return response


def _parsed(given: Mapping[str, str], works: Works, t: Texts) -> tuple[DisinfectionFacts | None, dict[str, str]]:
    document: dict[str, Any] = {name: _cell(given.get(name, "")) for name in PLAIN}
    faults: dict[str, str] = {}
    places: dict[tuple[str, int], int] = {}
    for list_name, fields in (("segments", SEGMENT), ("deliveries", DELIVERY)):
        rows: list[dict[str, Any]] = []
        for n in range(50):
            cells = {name: given.get(f"{list_name}.{n}.{name}", "").strip() for name in fields}
            if not any(cells.values()):
                continue
            row: dict[str, Any] = {name: _cell(text) for name, text in cells.items() if name != "name"}
            if "name" in cells:
                row["name"] = cells["name"]
            if "delivered_at" in cells:
                row["delivered_at"] = _day(cells["delivered_at"], works)
            places[list_name, len(rows)] = n
            rows.append(row)
        document[list_name] = rows
    try:
        return FactsModel.model_validate(document).domain(), faults
    except ValidationError as error:
        for one in error.errors():
            where = list(one["loc"])
            if len(where) > 1 and isinstance(where[1], int):
                where[1] = places[str(where[0]), where[1]]
            bounds = one.get("ctx", {})
            allowed = ", ".join(
                f"{sign} {bounds[key]:g}" for key, sign in (("gt", ">"), ("ge", "≥"), ("le", "≤")) if key in bounds
            )
            faults[".".join(map(str, where))] = t("dfacts.allowed", allowed=allowed) if allowed else t("dfacts.number")
        return None, faults


def _cell(text: str) -> str | None:
    return text.strip().replace("，", ".") or None


def _day(text: str, works: Works) -> int | str:
    try:
        return to_ms(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(works.time_zone)))
    except (ValueError, OverflowError):
        return text


def _shown(facts: DisinfectionFacts, works: Works) -> dict[str, str]:
    shown = {name: _text(getattr(facts, name)) for name in PLAIN}
    for n, segment in enumerate(facts.segments):
        shown |= {f"segments.{n}.{name}": _text(getattr(segment, name)) for name in SEGMENT}
    for n, one in enumerate(facts.deliveries):
        day = from_ms(one.delivered_at).astimezone(ZoneInfo(works.time_zone)).date().isoformat()
        shown |= {
            f"deliveries.{n}.delivered_at": day, f"deliveries.{n}.strength_g_l": _text(one.strength_g_l),
            f"deliveries.{n}.amount_l": _text(one.amount_l),
        }  # fmt: skip
    return shown


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _facts_fields(given: Mapping[str, str], faults: Faults, t: Texts) -> str:
    def entry(name: str, kind: str = "text") -> str:
        return f'<input type="{kind}" name="{name}" value="{escape(given.get(name, ""))}">'

    plain = "".join(_field(t(f"dfacts.{name}"), entry(name), faults.get(name)) for name in PLAIN)
    lists = ""
    for list_name, fields in (("segments", SEGMENT), ("deliveries", DELIVERY)):
        used = [int(key.split(".")[1]) for key, text in given.items() if key.startswith(f"{list_name}.") and text]
        head = "".join(f"<th>{escape(t(f'dfacts.{list_name}.{name}'))}" for name in fields)
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td>{entry(f'{list_name}.{n}.{name}', 'date' if name == 'delivered_at' else 'text')}"
                + _wrong(faults.get(f"{list_name}.{n}.{name}"))
                for name in fields
            )
            for n in range(max(used, default=-1) + 1 + SPARE_ROWS)
        )
        hint = t(f"dfacts.{list_name}.hint")
        lists += f"<h2>{escape(t(f'dfacts.{list_name}'))}</h2><small>{escape(hint)}</small><table class=grid><tr>{head}</tr>{rows}</table>"
    by = _field(
        t("dfacts.by"),
        f'<input name="by" required maxlength="60" value="{escape(given.get("by", ""))}">',
        faults.get("by"),
    )
    return f'<form method="post">{plain}{lists}{by}<button>{escape(t("dfacts.save"))}</button></form>'


# --- frame ------------------------------------------------------------------------------------------------------------


async def _given(request: Request) -> dict[str, str]:
    form = await request.form(max_fields=MOST_FIELDS, max_files=0)
    return {name: value for name, value in form.items() if isinstance(value, str)}


def _field(label: str, control: str, wrong: str | None, hint: str = "") -> str:
    small = f"<small>{escape(hint)}</small>" if hint else ""
    return f"<label><span>{escape(label)}</span>{control}{small}{_wrong(wrong)}</label>"


def _wrong(text: str | None) -> str:
    return f'<small class="bad">{escape(text)}</small>' if text else ""


def _page(t: Texts, title: str, body: str, back: str, name: str = "") -> str:
    heading = f"<h1>{escape(name)}<small>{escape(title)}</small></h1>" if name else f"<h1>{escape(title)}</h1>"
    style = (STATIC / "forms.css").read_text(encoding="utf-8")
    return (
        f'<!doctype html><html lang="{t.html_lang}"><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)} · {escape(t('app.name'))}</title><style>{style}</style>"
        f'<main><a href="{escape(back)}">← {escape(t("page.back"))}</a>{heading}{body}</main></html>'
    )
