"""The works page's section on disinfection: verdict, forecast, stock, contact, decay, measurements by hand. Numbers are the API's."""

import asyncio
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from dashboards.web.layout import Console
from dashboards.web.page_parts import store_lost
from dashboards.web.texts import Texts
from dashboards.web.words import day_time, number
from qingquan.domain.disinfection import Advice, HandMeasurement
from qingquan.domain.incidents import Incident
from qingquan.domain.quality import HandCheck, InstrumentCheck, Trust, hand_tolerance
from qingquan.domain.works import Works
from qingquan.errors import StoreUnavailable

__all__ = ["disinfection_section", "incident_verdict"]

SHOWN = 5


async def disinfection_section(console: Console, works: Works, t: Texts) -> str:
    """Markup of the section; empty where the console keeps nothing about disinfection."""
    desk = console.actions.disinfection
    if desk is None:
        return ""
    try:
        advice = await asyncio.to_thread(desk.advice, works.county, works.id)
        measured = (await asyncio.to_thread(desk.measurements, works.county, works.id, SHOWN, 0)).items
        quality = console.actions.quality
        checks = await asyncio.to_thread(quality.hand_checks, works) if quality is not None and measured else ()
    except StoreUnavailable:
        return _head(works, t, None) + store_lost(t)
    return _head(works, t, advice) + _body(works, advice, t) + _measured(works, measured, checks, t)


def incident_verdict(incident: Incident, t: Texts) -> str:
    """The verdict an incident keeps, as a line of its page; empty without one."""
    text = incident.summary.get(f"verdict_sentence_{t.language}", "")
    return "" if not text else f'<p class="advice-verdict"><b>{escape(t("advice.verdict"))}</b> {escape(text)}</p>'


def _head(works: Works, t: Texts, advice: Advice | None) -> str:
    when = "" if advice is None else escape(t("advice.as_of", time=day_time(advice.computed_at, works.time_zone)))
    log = f'<a class="button" href="/log/{works.county}/{works.id}">{escape(t("handlog.title"))}</a>'
    facts = (
        f'<a class="button" href="/works/{works.county}/{works.id}/disinfection-facts">{escape(t("dfacts.title"))}</a>'
    )
    return (
        f'<div class="panel-head"><h2>{escape(t("advice.title"))}</h2><span class="muted">{when}</span>'
        f'<span class="more">{log} {facts}</span></div>'
    )


def _body(works: Works, advice: Advice | None, t: Texts) -> str:
    if advice is None:
        return f'<p class="quiet">{escape(t("advice.none"))}</p>'
    document = advice.document
    parts = [
        _sentence(document, "verdict", t),
        _sentence(document, "forecast", t),
        '<dl class="advice-rows">',
        _row("advice.stock", _stock(document["stock"], t), t),
        _row("advice.strength", _strength(document["strength"], t) or _why(document, "strength", t), t),
        _row("advice.contact", _contact(document["contact"], t) or _why(document, "contact", t), t),
        _row("advice.decay", _decay(document["decay"], works, t) or _why(document, "decay", t), t),
        "</dl>",
    ]
    return "".join(parts)


def _sentence(document: Mapping[str, Any], section: str, t: Texts) -> str:
    found = document.get(section)
    if not found:
        return ""
    text = found[f"sentence_{t.language}"]
    return f'<p class="advice-{section}"><b>{escape(t(f"advice.{section}"))}</b> {escape(text)}</p>'


def _row(key: str, content: str, t: Texts) -> str:
    return f"<div><dt>{escape(t(key))}</dt><dd>{content}</dd></div>" if content else ""


def _why(document: Mapping[str, Any], section: str, t: Texts) -> str:
    why = document["unknown"].get(section)
    return (
        ""
        if why in (None, "not_hypochlorite", "no_table")
        else f'<span class="muted">{escape(t(f"advice.unknown.{why}"))}</span>'
    )


def _stock(stock: Mapping[str, Any], t: Texts) -> str:
    if stock["days"] is None or stock["reason"] != "estimated":
        words = escape(t(f"advice.stock.{stock['reason']}"))
        level = "" if stock["level_percent"] is None else f'<b class="num">{number(stock["level_percent"], 0)}%</b> '
        return f'{level}<span class="muted">{words}</span>'
    span = t("advice.days_span", low=_n(stock["days_low"], 1), high=_n(stock["days_high"], 1))
    litres = "" if stock["litres_left"] is None else f" · {number(stock['litres_left'], 0)} L"
    return (
        f"<b class=num>{escape(t('advice.days', n=_n(stock['days'], 1)))}</b> <span class=muted>{escape(span)} · "
        f"{number(stock['level_percent'], 0)}%{litres}</span>"
    )


def _strength(strength: Mapping[str, Any] | None, t: Texts) -> str:
    if strength is None:
        return ""
    if strength["now_g_l"] is None:
        return f'<span class="muted">{escape(t("advice.strength_unknown"))}</span>'
    detail = t(
        "advice.strength_detail", initial=_n(strength["initial_g_l"], 0), days=_n(strength["age_days"], 0),
        share=_n(100 * strength["share"], 0), temperature=_n(strength["temperature_c"], 0),
    )  # fmt: skip
    assumed = f" ({t('advice.assumed')})" if strength["is_temperature_assumed"] else ""
    return f"<b class=num>{_n(strength['now_g_l'], 0)} g/L</b> <span class=muted>{escape(detail + assumed)}</span>"


def _contact(contact: Mapping[str, Any] | None, t: Texts) -> str:
    if contact is None:
        return ""
    ways = ("giardia", "giardia_regression", "virus")
    rows = "".join(_ct_row(way, contact[way], t) for way in ways if contact.get(way))
    segments = "".join(
        f"<li>{escape(one['name'] or '—')}: T10 {_n(one['t10_min'], 1)} min, CT {_n(one['ct'], 1)} mg·min/L</li>"
        for one in contact["segments"]
    )
    keys = ("advice.ct.for", "advice.ct.achieved", "advice.ct.required", "advice.ct.ratio", "advice.ct.log")
    head = "".join(f"<th>{escape(t(key))}</th>" for key in keys)
    return f'<table class="ct"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><ul class="muted">{segments}</ul>'


def _ct_row(way: str, found: Mapping[str, Any], t: Texts) -> str:
    name = f"{t(f'advice.ct.{way}')} {_n(found['wanted_log'], 1)} log"
    if found["reason"] != "evaluated":
        why = t(f"advice.ct.reason.{found['reason']}")
        return f'<tr><td>{escape(name)}</td><td colspan="4" class="muted">{escape(why)}</td></tr>'
    ratio = found["ratio"]
    bad = ' class="todo"' if ratio is not None and ratio < 1 else ""
    cells = "".join(f"<td class=num>{_n(found[key], 1)}</td>" for key in ("ct_achieved", "ct_required"))
    return f"<tr><td>{escape(name)}</td>{cells}<td class=num><b{bad}>{_n(ratio, 2)}</b></td><td class=num>{_n(found['log'], 2)}</td></tr>"


def _decay(decay: Mapping[str, Any] | None, works: Works, t: Texts) -> str:
    if decay is None:
        return ""
    if decay["reason"] != "fitted":
        why = t(f"advice.decay.{decay['reason']}")
        return f'<span class="muted">{escape(why)}</span>'
    rate = t(
        "advice.decay.rate",
        k=_n(decay["rate_per_day"], 2),
        low=_n(decay["rate_low"], 2),
        high=_n(decay["rate_high"], 2),
        n=decay["pairs"],
    )
    text = f"<b class=num>{escape(rate)}</b>"
    if decay["expected"] is None:
        return text
    expected = t(
        "advice.decay.expected", value=_n(decay["expected"], 2), low=_n(decay["expected_low"], 2), high=_n(decay["expected_high"], 2),
        hours=_n(decay["hours"], 0),
    )  # fmt: skip
    measured = t(
        "advice.decay.measured", value=_n(decay["measured"], 2), time=day_time(decay["measured_at"], works.time_zone)
    )
    verdict = t("advice.decay.within" if decay["is_within"] else "advice.decay.outside")
    mark = "muted" if decay["is_within"] else "todo"
    return f'{text}<br>{escape(expected)}<br>{escape(measured)} <span class="{mark}">{escape(verdict)}</span>'


def _measured(
    works: Works, measured: Sequence[HandMeasurement], checks: Sequence[InstrumentCheck], t: Texts
) -> str:  # fmt: skip
    if not measured:
        return f'<p class="quiet">{escape(t("handlog.none"))}</p>' if works.is_hand_logged else ""
    beside = {(one.point, one.parameter, check.at): check for one in checks for check in one.checks}
    rows = "".join(
        f"<tr><td>{escape(day_time(one.observed_at, works.time_zone))}</td><td class=num><b>{escape(one.qualifier)}{one.value:g}</b> mg/L</td>"
        f"{_beside(beside.get((one.point, one.parameter, one.observed_at)), t) if checks else ''}"
        f"<td>{escape(t(f'handlog.method.{one.method}'))}</td><td>{escape(one.person)}</td>"
        f"<td class=muted>{escape(t('handlog.waiting') if one.sequence is None else one.note)}</td></tr>"
        for one in measured
    )
    doubts = "".join(_doubt(one, works, t) for one in checks if one.trust is not Trust.VERIFIED)
    return f'<h3 class="advice-sub">{escape(t("handlog.recent"))}</h3>{doubts}<table class="hand">{rows}</table>'


def _beside(check: HandCheck | None, t: Texts) -> str:
    """What the instrument read then, and whether the two agree."""
    if check is None:
        return f'<td class="muted">{escape(t("handcheck.none"))}</td>'
    words = t("handcheck.sensor", value=f"{check.sensor:.2f}")
    mark = t(
        "handcheck.differs" if check.is_out else "handcheck.agrees", tolerance=f"{hand_tolerance(check.by_hand):.2f}"
    )
    return f'<td>{escape(words)} <span class="{"todo" if check.is_out else "muted"}">{escape(mark)}</span></td>'


def _doubt(check: InstrumentCheck, works: Works, t: Texts) -> str:
    """An instrument that disagrees, and what people do until it agrees."""
    text = t(f"handcheck.{check.trust}", count=check.in_a_row)
    if check.next_hand_at is not None:
        text += t("handcheck.next", time=day_time(check.next_hand_at, works.time_zone))
    return f'<p class="hand-doubt todo">{escape(text)}</p>'


def _n(value: float | None, decimals: int) -> str:
    return "—" if value is None else f"{value:.{decimals}f}"
