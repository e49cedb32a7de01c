"""Lines, tiles, headline and incident list of the county page, as data for the browser. Pure."""

from html import escape

from dashboards.web.feed import STATE_ORDER, CountyView, WorksRow, row_rank
from dashboards.web.incident_words import place_words
from dashboards.web.layout import empty_state
from dashboards.web.marks import glyph, severity_chip
from dashboards.web.texts import Texts
from dashboards.web.words import clock_time, duration, finding_short, incident_title, legal_limit, zone
from qingquan.clock import from_ms, to_ms
from qingquan.domain.findings import DisinfectionState, FindingKind
from qingquan.domain.incidents import Incident, IncidentState
from qingquan.domain.works import Disinfectant, PointKind
from qingquan.standards.loader import load_standards

__all__ = ["changes", "headline", "incident_cards", "row_data", "rows_data", "tiles"]

JsonRow = dict[str, object]
SHOWN_INCIDENTS = 40
RESIDUALS = {one.residual for one in Disinfectant} - {None}


def rows_data(rows: list[WorksRow], t: Texts) -> list[JsonRow]:
    """Lines of the list, for AG Grid and the map."""
    return [row_data(row, t) for row in rows]


def row_data(row: WorksRow, t: Texts) -> JsonRow:
    """One line: short names, because 660 of them travel with the page."""
    works, state = row.works, row.state
    is_untrusted = state.disinfection is DisinfectionState.UNKNOWN
    parameter = load_standards().parameters.get(state.residual_parameter or "")
    return {
        "id": works.id, "c": works.county, "n": works.name, "t": works.township, "s": str(state.disinfection), "r": row_rank(row),
        "si": state.since, "v": state.residual, "d": parameter.decimals if parameter else 2,
        "p": t(f"residual.{state.residual_parameter}") if state.residual_parameter in RESIDUALS else "",
        "vo": 0 if is_untrusted else _outside(row, state.residual_parameter, state.residual), "u": state.turbidity,
        "uo": _outside(row, "turbidity", state.turbidity), "a": state.as_of, "st": state.stale or is_untrusted,
        "w": finding_short(row.worst, t) if row.worst else "", "ws": row.worst.severity.word if row.worst else "",
        "la": works.latitude, "lo": works.longitude, "x": works.simulated,
    }  # fmt: skip


def tiles(view: CountyView, t: Texts) -> str:
    """One button per state, worst first, with shape, number and word."""
    cells = "".join(
        f'<button type="button" class="tile s-{state}" data-state="{state}" aria-pressed="false">{glyph(state, 22)}'
        f'<b>{view.counts.get(state, 0)}</b><span class="word">{escape(t(f"state.{state}"))}</span></button>'
        for state in STATE_ORDER
    )
    bar = "".join(
        f'<i class="s-{state}" style="flex-grow:{view.counts.get(state, 0)}"></i>' for state in reversed(STATE_ORDER)
    )
    return f'<div class="tiles" role="group">{cells}</div><div class="share" aria-hidden="true">{bar}</div>'


def headline(view: CountyView, t: Texts) -> str:
    """The county in one sentence, worst first."""
    if not view.rows:
        return escape(t("headline.nothing"))
    parts = []
    for state in (DisinfectionState.MISSING, DisinfectionState.LOW, DisinfectionState.HIGH):
        if n := view.counts.get(state, 0):
            longest = _longest(view, state, t) if state is DisinfectionState.MISSING else ""
            parts.append(f'<b class="s-{state}">{escape(t(f"headline.{state}", n=n))}</b>{escape(longest)}')
    if not parts:
        parts.append(escape(t("headline.calm").rstrip("。.")))
    turbid = sum(f.kind is FindingKind.EXCEEDANCE and f.parameter == "turbidity" for f in view.findings.values())
    if turbid:
        parts.append(escape(t("headline.turbidity", n=turbid)))
    unknown = view.counts.get(DisinfectionState.UNKNOWN, 0)
    if unknown:
        parts.append(f'<b class="s-unknown">{escape(t("headline.unknown", n=unknown))}</b>')
    sentence = t("headline.join").join(parts) + t("headline.end")
    return sentence + (f" <small>{escape(t('headline.unknown_note'))}</small>" if unknown else "")


def incident_cards(view: CountyView, t: Texts) -> str:
    """Unresolved incidents as cards, worst first."""
    if not view.incidents:
        return empty_state(t("county.incidents_none"), t("county.incidents_none_hint"))
    cards = "".join(_card(incident, view, t) for incident in view.incidents[:SHOWN_INCIDENTS])
    more = view.incidents_total - min(len(view.incidents), SHOWN_INCIDENTS)
    link = f'<a class="more" href="/incidents">{escape(t("county.incidents_more", n=more))} →</a>' if more > 0 else ""
    return cards + link


def changes(view: CountyView, after: int, t: Texts, tz: str) -> dict[str, object]:
    """What a browser that has seen view ``after`` must be told."""
    return {
        "number": view.number,
        "rows": rows_data(view.rows_after(after), t),
        "counts": {str(state): view.counts.get(state, 0) for state in STATE_ORDER},
        "headline": headline(view, t),
        "incidents": incident_cards(view, t),
        "total": view.incidents_total,
        "asof": view.as_of,
        "asof_text": clock_time(view.as_of, tz) if view.as_of is not None else t("county.as_of_none"),
        "lost": "" if view.is_live else lost_words(view, t, tz),
    }


def lost_words(view: CountyView, t: Texts, tz: str) -> str:
    """Why the page does not show the present."""
    if not view.read_at:
        return f"{t('store.lost_never')} {t('store.lost_action')}"
    return f"{t('store.lost', time=clock_time(view.read_at, tz))} {t('store.lost_action')}"


def _card(incident: Incident, view: CountyView, t: Texts) -> str:
    row = view.rows.get(incident.works)
    findings = tuple(view.findings[id] for id in incident.finding_ids if id in view.findings)
    name = row.works.name if row else place_words(incident, t)
    township = row.works.township if row else ""
    since = min((f.start for f in findings), default=to_ms(incident.opened_at))
    handled = (
        f'<span class="by">{escape(t("incident.state.acknowledged"))} · {escape(incident.acknowledged_by)}</span>'
        if incident.state is IncidentState.ACKNOWLEDGED
        else f'<span class="todo">{escape(t("incident.state.open"))}</span>'
    )
    return (
        f'<a class="card sevline-{incident.severity.word}" href="/incidents/{incident.id}">'
        f'<span class="card-top">{severity_chip(incident.severity, t)}<b>{escape(name)}</b><small>{escape(township)}</small></span>'
        f'<span class="card-what">{escape(incident_title(incident, findings, t))}</span>'
        f'<span class="card-end"><span data-at="{since}" data-form="for"></span>{handled}</span></a>'
    )


def _longest(view: CountyView, state: DisinfectionState, t: Texts) -> str:
    since = [r.state.since for r in view.rows.values() if r.state.disinfection is state and r.state.since]
    return t("headline.longest", duration=duration(view.read_at - min(since), t)) if since else ""


def _outside(row: WorksRow, parameter: str | None, value: float | None) -> int:
    """-1 below its legal bound at the outlet, 1 above, 0 within or not bounded."""
    outlet = next((p for p in row.works.points if p.kind is PointKind.OUTLET), None)
    if value is None or parameter is None or outlet is None or row.state.as_of is None:
        return 0
    limit = legal_limit(
        row.works, outlet, parameter, from_ms(row.state.as_of).astimezone(zone(row.works.time_zone)).date()
    )
    if limit is None:
        return 0
    return (
        -1 if limit.min is not None and value < limit.min else 1 if limit.max is not None and value > limit.max else 0
    )
