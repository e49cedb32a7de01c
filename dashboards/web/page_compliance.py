"""Compliance pages: a county's month by works, and a works' month day by day."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from html import escape
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui

from dashboards.web.compliance_port import ComplianceQuery
from dashboards.web.layout import Console, empty_state, frame, html, page_texts, simulated_chip
from dashboards.web.marks import glyph
from dashboards.web.page_parts import offset_of, pager, store_lost
from dashboards.web.texts import Texts
from dashboards.web.words import clause_words, clock_time, duration, number, parameter_name, point_name, zone
from qingquan.clock import from_ms
from qingquan.domain.compliance import Compliance, ComplianceVerdict
from qingquan.domain.findings import DisinfectionState
from qingquan.domain.works import Works
from qingquan.errors import StoreUnavailable
from qingquan.standards.loader import load_standards
from qingquan.store.sql.compliance import Known

__all__ = ["compliance_page", "works_compliance_page"]

PER_PAGE = 60
MOST_ROWS = 20_000
# One shape a verdict, those that stand for the same everywhere: tick, cross, question mark.
_SHAPES = {
    ComplianceVerdict.COMPLIANT: DisinfectionState.OK,
    ComplianceVerdict.EXCEEDING: DisinfectionState.MISSING,
    ComplianceVerdict.UNDECIDED: DisinfectionState.UNKNOWN,
}
_WORST_FIRST = (ComplianceVerdict.EXCEEDING, ComplianceVerdict.UNDECIDED, ComplianceVerdict.COMPLIANT)


async def compliance_page(console: Console, request: Request) -> None:
    """One line a works: verdict and share of every parameter over the month."""
    t = page_texts(request, console.language)
    month = _month_of(request, console)
    offset = offset_of(request)
    try:
        works = {(one.county, one.id): one for one in await asyncio.to_thread(console.data.works)}
        known = await _read(console, ComplianceQuery(month=month, by_month=True, limit=MOST_ROWS))
        waiting = (
            0 if console.actions.compliance is None else await asyncio.to_thread(console.actions.compliance.waiting)
        )
        content = _county(known, works, month, offset, t)
    except StoreUnavailable:
        content, waiting = store_lost(t), 0
    with frame(console, request, t, "compliance", t("compliance.title"), "narrow wide"):
        html(_head("/compliance", month, {}, t), "list-head", "section")
        if waiting:
            html(f"<p class=muted>{escape(t('compliance.waiting', n=waiting))}</p>")
        html(content, "panel", "section")


async def works_compliance_page(console: Console, request: Request, county: str, works_id: str) -> None:
    """A works' month as a calendar for every parameter, with what was known first where that was something else."""
    t = page_texts(request, console.language)
    month = _month_of(request, console)
    try:
        works = await asyncio.to_thread(console.data.one_works, county, works_id)
        days = await _read(console, ComplianceQuery(county, works_id, month=month, limit=MOST_ROWS))
        months = await _read(console, ComplianceQuery(county, works_id, month=month, by_month=True, limit=MOST_ROWS))
    except StoreUnavailable:
        works, days, months = None, [], []
        lost = store_lost(t)
    else:
        lost = "" if works else empty_state(t("page.not_found"), t("page.no_works", id=works_id))
    title = t("compliance.title") if works is None else works.name
    with frame(console, request, t, "compliance", title, "narrow wide"):
        if works is None:
            html(lost, "panel", "section")
            return
        back = f'<a class="back" href="/compliance?month={month}">← {escape(t("compliance.title"))}</a>'
        chip = simulated_chip(t) if works.simulated else ""
        html(f"{back}<h1>{escape(works.name)}</h1>{chip}", "works-head", "section")
        html(
            _head(f"/compliance/{county}/{works_id}", month, {"works": works_id, "region": county}, t),
            "list-head",
            "section",
        )
        if not months:
            html(empty_state(t("compliance.none"), t("compliance.none_hint")), "panel", "section")
        for one in months:
            ui.element("div")
            html(_calendar(one, days, works, t), "panel cal-panel", "section")


async def _read(console: Console, query: ComplianceQuery) -> list[Known]:
    desk = console.actions.compliance
    return [] if desk is None else (await asyncio.to_thread(desk.figures, query)).items


def _month_of(request: Request, console: Console) -> str:
    given = request.query_params.get("month", "")
    if re.fullmatch(r"[12]\d{3}-(0[1-9]|1[0-2])", given, re.ASCII):
        return given
    return from_ms(console.clock.now_ms()).astimezone(zone(console.time_zone)).strftime("%Y-%m")


def _head(path: str, month: str, place: dict[str, str], t: Texts) -> str:
    """Month, the way to those before and after, and the table for a spreadsheet."""
    first = date.fromisoformat(f"{month}-01")
    before, after = (first - timedelta(1)).strftime("%Y-%m"), (first + timedelta(32)).strftime("%Y-%m")
    export = urlencode(
        {**place, "month": month, "by": "day" if place else "month", "format": "csv", "limit": MOST_ROWS}
    )
    title = "" if place else f"<h1>{escape(t('compliance.title'))}</h1>"
    return (
        f'{title}<span class="windows cal-months"><a href="{path}?month={before}" aria-label="{escape(t("compliance.before"))}">‹</a>'
        f'<b>{escape(month)}</b><a href="{path}?month={after}" aria-label="{escape(t("compliance.after"))}">›</a></span>'
        f'<span class="cal-legend">{"".join(_mark(verdict, t) for verdict in ComplianceVerdict)}</span>'
        f'<a class="push" href="/api/v1/compliance?{escape(export)}" download="compliance-{month}.csv">{escape(t("compliance.csv"))}</a>'
    )


def _county(known: Sequence[Known], works: dict[tuple[str, str], Works], month: str, offset: int, t: Texts) -> str:
    rows: dict[tuple[str, str], list[Known]] = defaultdict(list)
    for one in known:
        rows[one.now.figures.county, one.now.figures.works].append(one)
    if not rows:
        return empty_state(t("compliance.none"), t("compliance.none_hint"))
    ordered = sorted(rows.items(), key=lambda row: (_WORST_FIRST.index(_worst(row[1])), _share_of(row[1]), row[0]))
    shown = "".join(
        _works_line(place, parts, works.get(place), month, t) for place, parts in ordered[offset : offset + PER_PAGE]
    )
    counts = {verdict: sum(_worst(parts) is verdict for parts in rows.values()) for verdict in _WORST_FIRST}
    summary = "".join(
        f'<span class="cal-count">{_mark(verdict, t)}<b>{counts[verdict]}</b></span>' for verdict in _WORST_FIRST
    )
    turn = pager("/compliance", {"month": month}, offset, PER_PAGE, len(ordered), t)
    return f'<div class="cal-counts">{summary}</div><div class="rows">{shown}</div>{turn}'


def _works_line(place: tuple[str, str], parts: Sequence[Known], works: Works | None, month: str, t: Texts) -> str:
    county, id = place
    name = id if works is None else works.name
    cells = "".join(_cell(one, works, t) for one in parts)
    return (
        f'<a class="line cal-line" href="/compliance/{county}/{id}?month={month}"><span class="cal-name">{glyph(_SHAPES[_worst(parts)])}'
        f'<b>{escape(name)}</b><small class="muted">{escape(id)}</small></span><span class="cal-cells">{cells}</span></a>'
    )


def _cell(one: Known, works: Works | None, t: Texts) -> str:
    figures = one.now.figures
    then = (
        ""
        if one.then is None
        else f' <small class="cal-then">{escape(t("compliance.was", share=_share(one.then.figures, t)))}</small>'
    )
    return (
        f'<span class="cal-cell">{glyph(_SHAPES[figures.verdict], 14)}<span>{escape(_place(figures, works, t))}</span>'
        f"<b>{escape(_share(figures, t))}</b>{then}</span>"
    )


def _calendar(month: Known, days: Sequence[Known], works: Works, t: Texts) -> str:
    """Weeks of one parameter. Days without figures are empty, days not known well enough grey and dashed."""
    of_series = {one.now.figures.period: one for one in days if _series(one.now.figures) == _series(month.now.figures)}
    first = date.fromisoformat(f"{month.now.figures.period}-01")
    blanks = "".join("<i></i>" for _ in range(first.weekday()))
    count = ((first + timedelta(32)).replace(day=1) - first).days
    boxes = "".join(
        _day(first + timedelta(n), of_series.get((first + timedelta(n)).isoformat()), works, t) for n in range(count)
    )
    names = "".join(f"<span>{escape(name)}</span>" for name in t("compliance.weekdays").split())
    return f'{_summary(month, works, t)}<div class="cal"><div class="cal-week">{names}</div><div class="cal-days">{blanks}{boxes}</div></div>'


def _day(day: date, known: Known | None, works: Works, t: Texts) -> str:
    if known is None:
        return f'<span class="cal-day"><small>{day.day}</small></span>'
    one = known.now.figures
    facts = [f"{day.isoformat()} {t(f'compliance.{one.verdict}')}", _facts(one, works, t)]
    then = ""
    if known.then is not None:
        facts.append(_then(known, works, t))
        then = '<i class="cal-changed" aria-hidden="true">↻</i>'
    if not known.now.is_published:
        facts.append(t("compliance.provisional"))
    told = escape(" · ".join(facts))
    return (
        f'<span class="cal-day c-{one.verdict}" tabindex="0" title="{told}" aria-label="{told}"><small>{day.day}{then}</small>'
        f"{glyph(_SHAPES[one.verdict], 16)}<b>{escape(_share(one, t))}</b></span>"
    )


def _summary(month: Known, works: Works, t: Texts) -> str:
    one = month.now.figures
    head = f"<h2>{escape(_place(one, works, t))}</h2>{_mark(one.verdict, t)}<b>{escape(_share(one, t))}</b>"
    then = f'<p class="cal-then">{escape(_then(month, works, t))}</p>' if month.then is not None else ""
    states = ""
    if one.states:
        total = sum(one.states.values())
        parts = " · ".join(
            f"{t(f'state.{name}')} {length / total:.1%}"
            for name, length in sorted(one.states.items(), key=lambda s: -s[1])
        )
        states = f"<p>{escape(t('compliance.states'))} {escape(parts)}</p>"
    basis = f"{t('compliance.limit')} {_bounds(one)} {_unit(one)} · {one.standard} {clause_words(one.clause, t)}"
    return (
        f'<div class="cal-head">{head}</div><div class="cal-facts"><p>{escape(_facts(one, works, t))}</p>{states}'
        f'<p class="muted">{escape(basis)}</p>{then}</div>'
    )


def _facts(one: Compliance, works: Works, t: Texts) -> str:
    told = [
        t("compliance.times", exceeding=_length(one.exceeding_ms, t), unknown=_length(one.unknown_ms, t)),
        t("compliance.coverage", share=f"{one.coverage:.1%}"),
    ]
    if one.worst is not None and one.worst_at is not None:
        decimals = load_standards().parameters[one.parameter].decimals
        told.append(
            t(
                "compliance.worst",
                value=f"{number(one.worst, decimals)} {_unit(one)}".strip(),
                time=clock_time(one.worst_at, works.time_zone),
            )
        )
    if one.episodes:
        told.append(t("compliance.longest", n=one.episodes, length=_length(one.longest_ms, t)))
    return t("compliance.stop").join(told)


def _then(known: Known, works: Works, t: Texts) -> str:
    """As known then, as known now."""
    assert known.then is not None
    then = known.then.figures
    return t(
        "compliance.then_now", time=clock_time(known.then.known_at, works.time_zone), then=t(f"compliance.{then.verdict}"),
        then_share=_share(then, t), now=t(f"compliance.{known.now.figures.verdict}"), now_share=_share(known.now.figures, t),
    )  # fmt: skip


def _mark(verdict: ComplianceVerdict, t: Texts) -> str:
    shape = _SHAPES[verdict]
    return f'<span class="state s-{shape}">{glyph(shape)}<span>{escape(t(f"compliance.{verdict}"))}</span></span>'


def _place(one: Compliance, works: Works | None, t: Texts) -> str:
    points = [] if works is None else [point for point in works.points if point.id == one.point]
    where = point_name(points[0], t) if points else one.point
    return f"{where} {parameter_name(one.parameter, t)}"


def _share(one: Compliance, t: Texts) -> str:
    """Compliant share of the known time, rounded down: what is not wholly compliant is not shown as 100 %.

    Where too little is known the unknown share stands instead: 100 % of an hour would look like a pass.
    """
    share = one.compliant_share
    if share is None:
        return t("compliance.no_share")
    if one.verdict is ComplianceVerdict.UNDECIDED and one.end > one.start:
        return t("compliance.unknown_share", share=f"{one.unknown_ms / (one.end - one.start):.0%}")
    return f"{int(share * 1000) / 10:.1f}%"


def _share_of(parts: Sequence[Known]) -> float:
    shares = [share for one in parts if (share := one.now.figures.compliant_share) is not None]
    return min(shares, default=1.0)


def _worst(parts: Sequence[Known]) -> ComplianceVerdict:
    return min((one.now.figures.verdict for one in parts), key=_WORST_FIRST.index)


def _series(one: Compliance) -> tuple[str, str]:
    return one.point, one.parameter


def _length(ms: int, t: Texts) -> str:
    return duration(ms, t) if ms else "0"


def _bounds(one: Compliance) -> str:
    if one.low is not None and one.high is not None:
        return f"{one.low:g} – {one.high:g}"
    return f"≤ {one.high:g}" if one.high is not None else f"≥ {one.low:g}" if one.low is not None else ""


def _unit(one: Compliance) -> str:
    unit = load_standards().parameters[one.parameter].unit
    return "" if unit == "pH unit" else unit
