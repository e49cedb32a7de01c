"""Operations page: what is wrong with the platform and what to do, then every queue, lag and age, then the services."""

import asyncio
from collections.abc import Sequence
from html import escape

from fastapi import Request
from nicegui import ui

from dashboards.web.layout import Console, empty_state, frame, html, page_texts
from dashboards.web.marks import severity_chip
from dashboards.web.operations_port import OperationsView, WatchView
from dashboards.web.page_parts import store_lost
from dashboards.web.texts import Texts
from dashboards.web.words import duration
from qingquan.domain.operations import ServiceSign
from qingquan.errors import StoreUnavailable

__all__ = ["operations_page"]

LIVE_S = 5.0
MIB = 2**20
GONE_MS = 60_000
_ORDER = {"firing": 0, "pending": 1, "unknown": 2, "ok": 3}
# Totals that tell of what was turned away or failed; the rest is on the metrics page.
_REFUSED = ("mqtt_", "log_", "hub_", "works_not_judged_", "bridge_", "rulesets.refused", "evaluated.rule_errors")


async def operations_page(console: Console, request: Request) -> None:
    """The page, live."""
    t = page_texts(request, console.language)

    async def read() -> tuple[str, str, str, str]:
        port = console.actions.operations
        if port is None:
            return empty_state(t("operations.none")), "", "", ""
        try:
            view = await asyncio.to_thread(port.view)
        except StoreUnavailable:
            return store_lost(t), "", "", ""
        return _summary(view, t), _watches(view, t), _services(view, t), _refused(view, t)

    with frame(console, request, t, "operations", t("operations.title"), "narrow wide"):
        html(
            f"<h1>{escape(t('operations.title'))}</h1><p class=muted>{escape(t('operations.intro'))}</p>",
            "list-head",
            "section",
        )
        boxes = [html(content, "panel ops-panel", "section") for content in await read()]
        for box in boxes:
            box.set_visibility(bool(box.content))

    async def refresh() -> None:
        for box, content in zip(boxes, await read(), strict=True):
            if box.content != content:
                box.set_content(content)
                box.set_visibility(bool(content))

    ui.timer(LIVE_S, refresh, immediate=False)


def _summary(view: OperationsView, t: Texts) -> str:
    if view.taken_at is None:
        return empty_state(t("operations.never"), t("operations.never_hint"))
    if view.is_stale:
        return empty_state(t("operations.stale", age=duration(view.now - view.taken_at, t)), t("operations.never_hint"))
    firing = [one for one in view.watches if one.condition == "firing"]
    unknown = [one for one in view.watches if one.condition == "unknown"]
    words = (
        t("operations.firing", n=len(firing))
        if firing
        else t("operations.fine")
        if not unknown
        else t("operations.unknown", n=len(unknown))
    )
    told = (
        t("operations.contacts", names=t("quality.and").join(view.contacts))
        if view.contacts
        else t("operations.no_contacts")
    )
    beat = t("operations.heartbeat_on") if view.is_heartbeat_on else t("operations.heartbeat_off")
    mark = "ops-firing" if firing else "ops-unknown" if unknown else "ops-ok"
    return f'<div class="ops-summary {mark}"><b>{escape(words)}</b><p class="muted">{escape(told)} {escape(beat)}</p></div>'


def _watches(view: OperationsView, t: Texts) -> str:
    ordered = sorted(view.watches, key=lambda one: (_ORDER[one.condition], -one.watch.severity, one.cause))
    if not ordered:
        return ""
    rows = "".join(_watch_row(one, view.is_stale, t) for one in ordered)
    return f'<div class="panel-head"><h2>{escape(t("operations.watches"))}</h2><span class="count">{len(ordered)}</span></div>{rows}'


def _watch_row(one: WatchView, is_stale: bool, t: Texts) -> str:
    condition = "unknown" if is_stale else one.condition
    bound = one.bound_text[t.language]
    name, _, label = one.cause.partition(":")
    title = t(f"operations.cause.{name}") + (f" · {label}" if label else "")
    said = (
        f'<span class="card-what">{escape(one.text[t.language])} → {escape(one.action[t.language])}</span>'
        if condition == "firing"
        else ""
    )
    link = (
        f'<a href="/incidents/{one.incident_id}">{escape(t("operations.open_incident"))}</a>' if one.incident_id else ""
    )
    chip = severity_chip(one.watch.severity, t) if condition in ("firing", "pending") else ""
    return (
        f'<div class="card ops-row ops-{condition}"><span class="card-top">{chip}<b>{escape(title)}</b>'
        f'<span class="pill ops-pill-{condition}">{escape(t(f"operations.condition.{condition}"))}</span></span>{said}'
        f'<span class="card-end"><span class="num">{escape(one.value_text[t.language] or "–")}</span>'
        f'<small class="muted">{escape(t("operations.bound", bound=bound) if bound else "")}</small>{link}</span></div>'
    )


def _services(view: OperationsView, t: Texts) -> str:
    if not view.signs:
        return ""
    rows = "".join(_service_row(one, view.now, t) for one in _newest(view.signs, view.now))
    return f'<div class="panel-head"><h2>{escape(t("operations.services"))}</h2></div>{rows}'


def _newest(signs: Sequence[ServiceSign], now: int) -> list[ServiceSign]:
    """Everyone alive; of a service without any, the last one."""
    alive = [one for one in signs if now - one.seen_at <= GONE_MS]
    named = {one.service for one in alive}
    last = {one.service: one for one in sorted(signs, key=lambda one: one.seen_at) if one.service not in named}
    return sorted([*alive, *last.values()], key=lambda one: (one.service, one.instance))


def _service_row(one: ServiceSign, now: int, t: Texts) -> str:
    is_alive = now - one.seen_at <= GONE_MS
    seen = t("operations.seen", age=duration(max(0, now - one.seen_at), t))
    caught = (
        ""
        if one.is_caught_up is None
        else t("operations.caught_up")
        if one.is_caught_up
        else t("operations.catching_up")
    )
    facts = (
        t("operations.runs", age=duration(max(0, one.seen_at - one.started_at), t)),
        f"{one.rss_bytes / MIB:.0f} MiB",
        caught,
    )
    state = "ok" if is_alive else "firing"
    return (
        f'<div class="card ops-row ops-{state}"><span class="card-top"><b>{escape(one.service)}</b><small class="muted">{escape(one.instance)}</small></span>'
        f'<span class="card-end"><span>{escape(" · ".join(fact for fact in facts if fact))}</span><small class="muted">{escape(seen)}</small></span></div>'
    )


def _refused(view: OperationsView, t: Texts) -> str:
    found = {name: n for name, n in view.totals.items() if n and name.startswith(_REFUSED)}
    head = f'<div class="panel-head"><h2>{escape(t("operations.refused"))}</h2><span class="push"><a href="/metrics">/metrics</a></span></div>'
    if not found:
        return head + f'<p class="quiet">{escape(t("operations.refused_none"))}</p>'
    rows = "".join(
        f'<div class="card ops-row"><span class="card-top"><code>{escape(name)}</code></span><span class="card-end"><span class="num">{n:,}</span></span></div>'
        for name, n in sorted(found.items())
    )
    return head + rows
