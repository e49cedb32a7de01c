"""Sudden changes of water quality: the list with people's marks, and of one works its detector, known events and history."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote, unquote, urlencode

from fastapi import Request
from nicegui import ui

from dashboards.web.events_port import FIGURES_DAYS, DetectorWord, EventDesk, HistoryEntry, SeenEvent
from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.page_incidents import LONGEST_NAME, NAME_COOKIE
from dashboards.web.page_parts import offset_of, pager, store_lost
from dashboards.web.refusals import refusal_words
from dashboards.web.texts import Texts
from dashboards.web.words import contributor_words, day_time, duration, number, point_name
from qingquan.domain.works import Works
from qingquan.errors import QingquanError, StoreUnavailable
from qingquan.store.sql.events import DetectorFigures, EventQuery, KnownEvent
from qingquan.store.sql.statements import Page

__all__ = ["events_page"]

PER_PAGE = 30
LIVE_S = 5.0
FIGURES_SHOWN = 5
_FILTERS = {"": "all", "none": "unmarked", "real": "real", "false": "false"}


@dataclass(frozen=True, slots=True)
class _Shown:
    """Everything the page shows; ``word`` and what follows only of a single works."""

    page: Page[SeenEvent]
    works: Mapping[tuple[str, str], Works]
    silent: Sequence[DetectorWord]
    figures: Sequence[DetectorFigures]
    word: DetectorWord | None
    patterns: Sequence[KnownEvent]
    history: Sequence[HistoryEntry]


@dataclass(slots=True)
class _View:
    """What the pieces of the page need of it."""

    console: Console
    desk: EventDesk
    t: Texts
    name: Any
    refresh: Callable[[], Awaitable[None]]

    async def do(self, action: Callable[[str], object]) -> bool:
        """Do what somebody asked, in the name given above; whether it was done."""
        by = (self.name.value or "").strip()[:LONGEST_NAME]
        if not by:
            ui.notify(self.t("event.name_first"), type="warning")
            return False
        try:
            await asyncio.to_thread(action, by)
        except StoreUnavailable:
            ui.notify(self.t("store.lost_never"), type="negative")
            return False
        except QingquanError as error:
            ui.notify(refusal_words(error, self.t), type="warning")
            return False
        ui.run_javascript(f"document.cookie = '{NAME_COOKIE}={quote(by)};path=/;max-age=31536000;samesite=lax'")
        ui.notify(self.t("event.saved"), type="positive")
        await self.refresh()
        return True


async def events_page(console: Console, request: Request) -> None:
    """Events, newest first; with ``works`` in the address the detector of that works, too."""
    t = page_texts(request, console.language)
    desk = console.actions.events
    region, works = (_given(request, name) for name in ("region", "works"))
    chosen = _given(request, "verdict")
    chosen = chosen if chosen in _FILTERS else ""
    query = EventQuery(region, works, chosen, limit=PER_PAGE, offset=offset_of(request))
    with frame(console, request, t, "events", t("event.title"), "narrow wide"):
        with ui.element("section").classes("list-head"):
            html(f"<h1>{escape(t('event.title'))}</h1>{_links(query, t)}", "event-title")
            name = ui.input(t("event.your_name"), value=unquote(request.cookies.get(NAME_COOKIE, "")))
            name.props(f"outlined dense maxlength={LONGEST_NAME} autocomplete=name").classes("event-name")
        html(f'<p class="muted">{escape(t("event.hint"))}</p>', "event-hint")
        if desk is None:
            html(empty_state(t("event.off")), "panel")
            return
        about = ui.element("div")
        box = ui.element("section").classes("panel")
    shown: _Shown | None = None

    async def refresh() -> None:
        nonlocal shown
        try:
            latest = await asyncio.to_thread(_read, console, desk, query)
        except StoreUnavailable:
            shown = None
            box.clear()
            with box:
                html(store_lost(t))
            return
        if latest == shown:
            return
        shown = latest
        about.clear()
        with about:
            _about(view, latest)
        box.clear()
        with box:
            _list(view, latest, query)

    view = _View(console, desk, t, name, refresh)
    await refresh()
    ui.timer(LIVE_S, refresh, immediate=False)


def _given(request: Request, name: str) -> str:
    """A code in the address; empty for anything that is none."""
    text = request.query_params.get(name, "")
    return text if text.isascii() and len(text) <= 64 and text.replace("_", "").replace("-", "").isalnum() else ""


def _read(console: Console, desk: EventDesk, query: EventQuery) -> _Shown:
    page = desk.events(query)
    keys = {(one.finding.county, one.finding.works) for one in page.items}
    silent = [one for one in desk.detectors(query.region) if one.is_silent]
    keys |= {(one.county, one.works) for one in silent}
    figures = list(desk.figures(query.region, query.works))[:FIGURES_SHOWN]
    keys |= {(one.county, one.works) for one in figures}
    of_one = len(query.region) == 6 and bool(query.works)
    entry = console.data.one_works(query.region, query.works) if of_one else None
    works = {key: found for key in sorted(keys) if (found := console.data.one_works(*key)) is not None}
    if entry is None:
        return _Shown(page, works, silent, figures, None, (), ())
    place = (entry.county, entry.id)
    return _Shown(
        page, works | {place: entry}, (), figures, desk.detector(*place), desk.patterns(*place), list(desk.history(*place))[:20]
    )  # fmt: skip


def _links(query: EventQuery, t: Texts) -> str:
    kept = {"region": query.region, "works": query.works}
    links = "".join(
        f'<a href="/events?{escape(urlencode({k: v for k, v in {**kept, "verdict": name}.items() if v}))}"'
        f' class="{"on" if name == query.verdict else ""}">{escape(t(f"event.{words}"))}</a>'
        for name, words in _FILTERS.items()
    )
    return f'<nav class="windows" aria-label="{escape(t("event.verdict"))}">{links}</nav>'


# --- the list ---------------------------------------------------------------------------------------------------------


def _list(view: _View, shown: _Shown, query: EventQuery) -> None:
    t = view.t
    if not shown.page.items:
        html(empty_state(t("event.none")))
        return
    with ui.element("div").classes("rows event-rows"):
        heads = "".join(f"<span>{escape(t(f'event.{key}'))}</span>" for key in ("works", "what", "when", "verdict"))
        html(heads, "line head")
        for one in shown.page.items:
            _line(view, one, shown.works.get((one.finding.county, one.finding.works)))
    kept = {"region": query.region, "works": query.works, "verdict": query.verdict}
    html(pager("/events", kept, query.offset, PER_PAGE, shown.page.total, t))


def _line(view: _View, seen: SeenEvent, works: Works | None) -> None:
    t, event = view.t, seen.finding
    tz = works.time_zone if works else view.console.time_zone
    points = [point for point in works.points if point.id == event.point] if works else []
    where = point_name(points[0], t) if points else event.point
    page = f"/events?region={event.county}&works={event.works}"
    lasting = duration(event.end - event.start, t) if event.end is not None else t("event.lasting")
    with ui.element("div").classes("line"):
        html(
            f'<a href="{escape(page)}"><b>{escape(works.name if works else event.works)}</b></a><small>{escape(where)}</small>'
        )
        html(
            f"<b>{escape(contributor_words(event, t))}</b> {_chips(seen, t)}"
            f"<small>{escape(t('event.score', value=number(event.extreme, 1)))} · "
            f'<a href="/works/{escape(event.county)}/{escape(event.works)}?window={_window(view, event.start)}">{escape(t("event.trend"))}</a></small>'
        )
        html(f"{escape(day_time(event.start, tz))}<small>{escape(lasting)}</small>")
        with ui.element("div").classes("event-does"):
            _verdict(view, seen, tz)


def _chips(seen: SeenEvent, t: Texts) -> str:
    evidence = seen.finding.evidence
    words = [(t("event.known", name=evidence["known"]), "chip-event")] if evidence.get("known") else []
    words += [(t("event.silent"), "chip-stale")] if "silent" in evidence else []
    words += [(t("event.held"), "chip-stale")] if "disinfection_not_ok" in evidence else []
    words += [(t("event.late"), "chip-stale")] if seen.finding.late else []
    chips = "".join(f'<span class="chip {look}">{escape(text)}</span>' for text, look in words)
    return f'<span class="chips">{chips}</span>'


def _window(view: _View, start: int) -> str:
    hours = (view.console.clock.now_ms() - start) / 3_600_000
    return next((name for name, most in (("6h", 6), ("24h", 24), ("7d", 168)) if hours < most), "30d")


def _verdict(view: _View, seen: SeenEvent, tz: str) -> None:
    t, event, mark = view.t, seen.finding, seen.mark
    if mark is not None:
        words = t(
            "event.marked_by",
            verdict=t(f"event.{mark.verdict}"),
            name=mark.marked_by,
            time=day_time(mark.marked_at, tz),
        )
        html(f'<small class="muted">{escape(words)}</small>')
    for verdict in ("real", "false"):
        if mark is None or mark.verdict != verdict:
            look = "outline" if mark is None else "flat"
            button = ui.button(t(f"event.mark_{verdict}"), on_click=_marking(view, event.id, verdict))
            button.props(f"{look} no-caps dense color={'primary' if verdict == 'real' else 'grey-8'}")
    if event.end is not None and "disinfection_not_ok" not in event.evidence and not event.evidence.get("known"):
        ui.button(t("event.pattern_save"), on_click=lambda: _ask_name(view, event.id)).props("flat no-caps dense")


def _marking(view: _View, event: str, verdict: str) -> Callable[[], Awaitable[None]]:
    async def mark() -> None:
        await view.do(lambda by: view.desk.mark(event, verdict, by))

    return mark


def _ask_name(view: _View, event: str) -> None:
    with ui.dialog() as dialog, ui.card():
        name = ui.input(view.t("event.pattern_name")).props(f"outlined dense maxlength={LONGEST_NAME} id=pattern-name")

        async def save() -> None:
            words = (name.value or "").strip()
            if words and await view.do(lambda by: view.desk.save_pattern(event, words, by)):
                dialog.close()

        with ui.row():
            ui.button(view.t("event.pattern_save"), on_click=save).props("unelevated no-caps color=primary")
            ui.button(view.t("event.cancel"), on_click=dialog.close).props("flat no-caps")
    dialog.open()


# --- one works --------------------------------------------------------------------------------------------------------


def _about(view: _View, shown: _Shown) -> None:
    t = view.t
    if shown.word is None:
        if shown.silent:
            links = "".join(_silent_link(one, shown.works) for one in shown.silent)
            html(f"<h2>{escape(t('event.silenced'))}</h2><p>{links}</p>", "panel event-box")
        if shown.figures:
            html(_figures_table(shown, t), "panel event-box")
        return
    works = shown.works[shown.word.county, shown.word.works]
    _detector(view, shown.word, works, shown.figures)
    with ui.element("section").classes("panel event-box"):
        html(f"<h2>{escape(t('event.patterns'))}</h2>")
        if not shown.patterns:
            html(f'<p class="muted">{escape(t("event.patterns_none"))}</p>')
        for one in shown.patterns:
            _pattern(view, one, works)
    if shown.history:
        begun = {one.finding.id: one.finding.start for one in shown.page.items}
        rows = "".join(_did(one, begun, works, t) for one in shown.history)
        html(f"<h2>{escape(t('event.history'))}</h2>{rows}", "panel event-box")


def _figures_table(shown: _Shown, t: Texts) -> str:
    """Works with most events first: a table that tells a detector that helps from one that is noise."""
    heads = "".join(
        f"<th>{escape(t(f'event.{key}'))}</th>" for key in ("works", "weekly", "checked", "real_of", "delay")
    )
    rows = "".join(_figures_row(one, shown.works, t) for one in shown.figures)
    title = t("event.figures", days=FIGURES_DAYS)
    return (
        f'<h2>{escape(title)}</h2><table class="figures"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _figures_row(one: DetectorFigures, works: Mapping[tuple[str, str], Works], t: Texts) -> str:
    entry = works.get((one.county, one.works))
    where = f"/events?region={one.county}&works={one.works}"
    cells = "".join(f'<td class="num">{escape(text)}</td>' for text in _figures(one, t))
    return f'<tr><td><a href="{escape(where)}">{escape(entry.name if entry else one.works)}</a></td>{cells}</tr>'


def _figures(one: DetectorFigures, t: Texts) -> tuple[str, str, str, str]:
    """Alerts a week, marked of events, share of real ones, median delay."""
    marked = one.real + one.false
    share = f"{one.real / marked:.0%}" if marked else "—"
    delay = "—" if one.delay_ms is None else duration(one.delay_ms, t)
    return number(one.told / (FIGURES_DAYS / 7), 1), f"{marked}/{one.events}", share, delay


def _silent_link(one: DetectorWord, works: Mapping[tuple[str, str], Works]) -> str:
    entry = works.get((one.county, one.works))
    where = f"/events?region={one.county}&works={one.works}"
    return f'<a class="chip chip-stale" href="{escape(where)}">{escape(entry.name if entry else one.works)}</a> '


def _figures_line(one: DetectorFigures, t: Texts) -> str:
    weekly, checked, share, delay = _figures(one, t)
    return t("event.figures_line", days=FIGURES_DAYS, weekly=weekly, checked=checked, share=share, delay=delay)


def _detector(view: _View, word: DetectorWord, works: Works, figures: Sequence[DetectorFigures]) -> None:
    t, switch = view.t, word.switch
    state = t("event.is_silent" if word.is_silent else "event.speaks")
    by = t("event.by_marks")
    if switch is not None and switch.is_silent is not None:
        by = t("event.by_person", name=switch.by, time=day_time(switch.since, works.time_zone))
    facts = [t("event.threshold", value=f"{word.threshold:g}"), t("event.counts", real=word.real, false=word.false)]
    facts += [t("event.share", share=f"{word.real_share:.0%}")] if word.real_share is not None else []
    facts += [_figures_line(one, t) for one in figures]
    rows = "".join(f'<p class="muted">{escape(fact)}</p>' for fact in facts)
    with ui.element("section").classes("panel event-box"):
        html(
            f"<h2>{escape(works.name)} · {escape(t('event.detector'))}</h2><p><b>{escape(state)}</b>"
            f" <small class=muted>{escape(by)}</small></p>{rows}"
        )
        with ui.element("div").classes("does"):
            _switch(view, word, is_silent=not word.is_silent)
            if switch is not None and switch.is_silent is not None:
                _switch(view, word, is_silent=None)


def _switch(view: _View, word: DetectorWord, *, is_silent: bool | None) -> None:
    key = {True: "do_silence", False: "do_speak", None: "do_marks"}[is_silent]

    async def switch() -> None:
        await view.do(lambda by: view.desk.switch(word.county, word.works, is_silent, by))

    ui.button(view.t(f"event.{key}"), on_click=switch).props(f"outline no-caps dense color=primary id={key}")


def _pattern(view: _View, one: KnownEvent, works: Works) -> None:
    t = view.t
    by = t(
        "event.pattern_by",
        length=duration(one.length_ms, t),
        name=one.saved_by,
        time=day_time(one.saved_at, works.time_zone),
    )

    async def delete() -> None:
        await view.do(lambda by: view.desk.delete_pattern(one.id, by))

    with ui.element("div").classes("does"):
        html(f"<b>{escape(one.name)}</b> <small class=muted>{escape(by)}</small>")
        ui.button(t("event.pattern_delete"), on_click=delete).props("flat no-caps dense color=grey-8")


def _did(one: HistoryEntry, begun: Mapping[str, int], works: Works, t: Texts) -> str:
    """``begun``: event to its start, of those shown."""
    key = f"event.did.{one.action}"
    words = t(key, detail=one.detail) if t.has(key) else one.action
    if one.detail in begun:
        words += (
            f"（{day_time(begun[one.detail], works.time_zone)}）"
            if t.language == "zh"
            else f" ({day_time(begun[one.detail], works.time_zone)})"
        )
    return f'<p><span class="muted">{escape(day_time(one.at, works.time_zone))}</span> {escape(one.by)} {escape(words)}</p>'
