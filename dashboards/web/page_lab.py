"""Laboratory page: upload a sheet, see what was taken and what was refused and why."""

import asyncio
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote, unquote

from fastapi import Request
from nicegui import events, ui

from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.page_parts import offset_of, pager, store_lost
from dashboards.web.ports import LabQuery
from dashboards.web.texts import Texts
from dashboards.web.words import clause_words, day_time, parameter_name, point_name
from qingquan.domain.lab import LabOperator, LabRefusal, LabReport, LabResult, LabSample, LabVerdict
from qingquan.domain.works import Works
from qingquan.errors import QingquanError, StoreUnavailable

__all__ = ["lab_page"]

PER_PAGE = 20
MOST_MB = 20
NAME_COOKIE = "qingquan_uploader"
LONGEST_NAME = 60


async def lab_page(console: Console, request: Request) -> None:
    """Upload, its result, and the recent samples."""
    t = page_texts(request, console.language)
    offset = offset_of(request)
    with frame(console, request, t, "lab", t("lab.title"), "narrow wide"):
        html(f"<h1>{escape(t('lab.title'))}</h1>", "list-head", "section")
        with ui.element("section").classes("panel upload"):
            report = _upload_form(console, request, t)
        with ui.element("section"):
            result = html("", "lab-report")
        recent = html(await _recent(console, offset, t), "panel", "section")

    async def show(name: str, content: bytes, by: str) -> None:
        if console.actions.upload is None:
            return
        result.set_content(f'<div class="panel quiet">{escape(t("lab.working", file=name))}</div>')
        try:
            outcome = await asyncio.to_thread(console.actions.upload, name, content, by)
        except QingquanError as error:
            result.set_content(f'<div class="lost">{escape(t("lab.failed", reason=str(error)))}</div>')
            return
        result.set_content(await asyncio.to_thread(_report, console, outcome, t))
        recent.set_content(await _recent(console, offset, t))

    report.append(show)


def _upload_form(console: Console, request: Request, t: Texts) -> list[object]:
    """The form; the caller adds to the list returned what takes a chosen file."""
    takers: list[object] = []
    html(f'<h2>{escape(t("lab.upload"))}</h2><p class="muted">{escape(t("lab.upload_hint"))}</p>')
    if console.actions.upload is None:
        html(f'<p class="quiet">{escape(t("lab.off"))}</p>')
        return takers
    with ui.element("div").classes("upload-row"):
        name = ui.input(t("lab.uploader"), value=unquote(request.cookies.get(NAME_COOKIE, "")))
        name.props(f"outlined dense maxlength={LONGEST_NAME}")
        picker = ui.upload(
            label=t("lab.choose"), auto_upload=True, max_file_size=MOST_MB * 1_000_000,
            on_rejected=lambda: ui.notify(t("lab.too_large", mb=MOST_MB), type="warning"),
        ).props('accept=".xlsx,.csv"').classes("picker")  # fmt: skip
        choose = ui.button(t("lab.choose"), on_click=lambda: picker.run_method("pickFiles"))
        choose.props("unelevated no-caps color=primary id=choose")
        if console.actions.lab_template is not None:
            html(f'<a class="button" href="/lab/template" download>{escape(t("lab.template"))}</a>')

    async def taken(event: events.UploadEventArguments) -> None:
        by = (name.value or "").strip()[:LONGEST_NAME]
        picker.reset()
        if not by:
            ui.notify(t("lab.needs_name"), type="warning")
            return
        ui.run_javascript(f"document.cookie = '{NAME_COOKIE}={quote(by)};path=/;max-age=31536000;samesite=lax'")
        content = await event.file.read()
        for taker in takers:
            await taker(event.file.name, content, by)  # type: ignore[operator]

    picker.on_upload(taken)
    return takers


def _report(console: Console, report: LabReport, t: Texts) -> str:
    exceeded = sum(result.verdict is LabVerdict.EXCEEDED for result in report.results)
    bad = f'<b class="todo">{escape(t("lab.exceeded", n=exceeded))}</b>' if exceeded else ""
    head = f'<div class="panel-head"><h2>{escape(t("lab.taken", samples=len(report.samples), results=len(report.results)))}</h2>{bad}</div>'
    table = _samples(report.samples, _works_of(console, report.samples), console.time_zone, t)
    return f'<div class="panel">{head}{table}</div><div class="panel">{_refusals(report.refusals, t)}</div>'


def _refusals(refusals: Sequence[LabRefusal], t: Texts) -> str:
    if not refusals:
        return f'<p class="quiet">{escape(t("lab.refused_none"))}</p>'
    keys = ("lab.cell", "lab.found", "lab.why", "lab.remedy")
    head = "".join(f"<th>{escape(t(key))}</th>" for key in keys)
    rows = "".join(
        f"<tr><td><b>{escape(r.cell or t('lab.row', row=r.row))}</b> <small>{escape(r.sheet)} {escape(r.column)}</small></td>"
        f"<td><code>{escape(r.value)}</code></td><td>{escape(r.detail)}</td><td>{escape(r.remedy)}</td></tr>"
        for r in refusals
    )
    title = escape(t("lab.refused", n=len(refusals)))
    return f'<div class="panel-head"><h2 class="todo">{title}</h2></div><div class="table"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


async def _recent(console: Console, offset: int, t: Texts) -> str:
    head = f'<div class="panel-head"><h2>{escape(t("lab.recent"))}</h2></div>'
    try:
        page = await asyncio.to_thread(console.data.lab_samples, LabQuery(limit=PER_PAGE, offset=offset))
        works = await asyncio.to_thread(_works_of, console, page.items)
    except StoreUnavailable:
        return head + store_lost(t)
    if not page.items:
        return head + empty_state(t("lab.none"), t("lab.none_hint"))
    return head + _samples(page.items, works, console.time_zone, t) + pager("/lab", {}, offset, PER_PAGE, page.total, t)


def _works_of(console: Console, samples: Sequence[LabSample]) -> dict[tuple[str, str], Works]:
    found = {key: console.data.one_works(*key) for key in {(s.county, s.works) for s in samples}}
    return {key: works for key, works in found.items() if works is not None}


def _samples(samples: Sequence[LabSample], works: Mapping[tuple[str, str], Works], tz: str, t: Texts) -> str:
    keys = ("lab.number", "lab.works", "lab.sampled", "lab.parameter", "lab.value", "lab.limit", "lab.verdict")
    head = "".join(f"<th>{escape(t(key))}</th>" for key in keys)
    rows = "".join(_sample_rows(sample, works.get((sample.county, sample.works)), tz, t) for sample in samples)
    return f'<div class="table"><table class="lab"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _sample_rows(sample: LabSample, works: Works | None, tz: str, t: Texts) -> str:
    point = next((p for p in works.points if p.id == sample.point), None) if works else None
    place = f"{escape(works.name if works else sample.works)}<small>{escape(point_name(point, t) if point else sample.point)}</small>"
    when = f"{escape(day_time(sample.sampled_at, works.time_zone if works else tz))}<small>{escape(sample.uploaded_by)}</small>"
    lead = (
        f'<td rowspan="{max(1, len(sample.results))}"><b>{escape(sample.number)}</b><small>{escape(sample.source_file)}</small></td>'
        f'<td rowspan="{max(1, len(sample.results))}">{place}</td><td rowspan="{max(1, len(sample.results))}">{when}</td>'
    )
    cells = [_result_cells(result, t) for result in sample.results] or ["<td colspan=4>—</td>"]
    return "".join(
        f"<tr{' class=first' if n == 0 else ''}>{lead if n == 0 else ''}{cell}</tr>" for n, cell in enumerate(cells)
    )


def _result_cells(result: LabResult, t: Texts) -> str:
    # That a result complies needs no explanation; everything else does.
    is_plain = result.verdict is LabVerdict.COMPLIANT or not result.reason
    why = "" if is_plain else f"<small>{escape(result.reason)}</small>"
    return (
        f"<td>{escape(parameter_name(result.parameter, t))}</td><td class=num>{escape(_value(result, t))} <small>{escape(result.unit)}</small></td>"
        f"<td>{escape(result.limit)} <small>{escape(clause_words(result.clause, t))}</small></td>"
        f'<td><span class="verdict v-{result.verdict}">{escape(t(f"verdict.{result.verdict}"))}</span>{why}</td>'
    )


def _value(result: LabResult, t: Texts) -> str:
    """As the laboratory wrote it: a non-detect is words, never nought."""
    if result.operator is LabOperator.NOT_DETECTED:
        return t("lab.nd")
    sign = "" if result.operator is LabOperator.EQUAL else f"{result.operator} "
    return result.value_text or (f"{sign}{result.value:g}" if result.value is not None else "—")
