"""Frame of every page: head, navigation, clock, language, lost-connection banner."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import quote

from fastapi import Request
from nicegui import ui

from dashboards.web.feed import CountyFeed
from dashboards.web.marks import GLYPHS, icon
from dashboards.web.ports import ConsoleActions, ConsoleData
from dashboards.web.texts import LANGUAGES, Texts, texts_in
from qingquan.clock import Clock

__all__ = [
    "LANGUAGE_COOKIE",
    "STATIC",
    "Console",
    "empty_state",
    "frame",
    "html",
    "page_texts",
    "script_json",
    "simulated_chip",
]

STATIC = Path(__file__).parent / "static"
LANGUAGE_COOKIE = "qingquan_language"
_PAGES = (
    ("county", "/"), ("incidents", "/incidents"), ("events", "/events"), ("messages", "/messages"), ("lab", "/lab"), ("compliance", "/compliance"), ("quarantine", "/quarantine"), ("operations", "/operations"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages work with."""

    data: ConsoleData
    actions: ConsoleActions
    clock: Clock
    feed: CountyFeed
    language: str = "zh"
    time_zone: str = "Asia/Shanghai"


def page_texts(request: Request, default: str) -> Texts:
    """Texts in the language this browser chose, or the default one."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    return texts_in(chosen if chosen in LANGUAGES else default)


def script_json(value: object) -> str:
    """JSON that may stand inside a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def html(content: str, classes: str = "", tag: str = "div") -> ui.html:
    """Markup of ours; everything from outside in it is escaped by the caller."""
    return ui.html(content, sanitize=False, tag=tag).classes(classes)


def simulated_chip(t: Texts) -> str:
    """Mark that what stands beside it is simulated."""
    return (
        f'<span class="chip chip-sim" title="{escape(t("mark.simulated_long"))}">{escape(t("mark.simulated"))}</span>'
    )


def empty_state(title: str, hint: str = "") -> str:
    """Words where a list would be."""
    return f'<div class="empty"><p>{escape(title)}</p>{f"<p class=hint>{escape(hint)}</p>" if hint else ""}</div>'


@contextmanager
def frame(console: Console, request: Request, t: Texts, active: str, title: str, classes: str = "") -> Iterator[None]:
    """Head and navigation around a page's content."""
    client = ui.context.client
    client.page = copy.copy(client.page)
    client.page.language = "zh-CN" if t.language == "zh" else "en-US"
    ui.page_title(f"{title} · {t('app.name')}")
    ui.add_head_html(_head(console, t))
    ui.colors(primary="#0a6f93", positive="#17806d", negative="#b3201f", warning="#b86e00", info="#0a6f93")
    html(_bar(console, request, t, active), "bar", "header")
    with ui.element("main").classes(f"page {classes}").props("id=main"):
        yield


def _head(console: Console, t: Texts) -> str:
    settings = {
        "now": console.clock.now_ms(),
        "speed": console.clock.speed,
        "tz": console.time_zone,
        "lang": t.html_lang,
        "words": {key: t(key) for key in _CLIENT_WORDS},
        "states": {str(state): t(f"state.{state}") for state in GLYPHS},
        "glyphs": {str(state): drawing for state, drawing in GLYPHS.items()},
    }
    lost = json.dumps(f"{t('lost.title')} — {t('lost.body')}", ensure_ascii=False).replace("<", "\\3c ")
    return (
        f'<link rel="stylesheet" href="/static/console.css?{_stamp()}"><style>:root{{--lost:{lost}}}</style>'
        f'<script src="/static/console.js?{_stamp()}"></script><script>QQ.start({script_json(settings)})</script>'
    )


_CLIENT_WORDS = (
    "time.ago_now", "time.ago_s", "time.ago_min", "time.ago_h", "time.ago_d", "time.for_s", "time.for_min", "time.for_h",
    "time.for_h_min", "time.for_d", "time.for_d_h", "cell.stale", "cell.never", "county.none_match", "county.shown", "column.none",
)  # fmt: skip


def _stamp() -> int:
    """Changes with our style and script, so that browsers do not keep old ones."""
    return sum(int((STATIC / name).stat().st_mtime) for name in ("console.css", "console.js"))


def _bar(console: Console, request: Request, t: Texts, active: str) -> str:
    links = "".join(
        f'<a href="{path}" class="{"on" if name == active else ""}"{" aria-current=page" if name == active else ""}>'
        f"{icon(name)}<span>{escape(t(f'nav.{name}'))}</span></a>"
        for name, path in _PAGES
    )
    here = quote(request.url.path + (f"?{request.url.query}" if request.url.query else ""), safe="")
    other = "en" if t.language == "zh" else "zh"
    demo = (
        f'<span class="chip chip-clock">{escape(t("mark.demo_clock", speed=f"{console.clock.speed:g}"))}</span>'
        if console.clock.speed != 1
        else ""
    )
    return (
        f'<a class="skip" href="#main">{escape(t("app.skip"))}</a>'
        f'<a class="brand" href="/">{icon("drop", 26)}<b>{escape(t("app.name"))}</b><small>{escape(t("app.subtitle"))}</small></a>'
        f'<nav aria-label="{escape(t("app.name"))}">{links}</nav>'
        f'<span class="bar-end">{demo}<time id="clock" class="clock"></time>'
        f'<a class="lang" href="/language/{other}?to={here}" title="{escape(t("nav.language_title"))}" lang="{other}">{escape(t("nav.language"))}</a></span>'
    )
