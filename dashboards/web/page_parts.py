"""Parts that several pages share."""

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlencode

from fastapi import Request

from dashboards.web.layout import empty_state
from dashboards.web.marks import severity_chip
from dashboards.web.texts import Texts
from dashboards.web.words import cause_parameter, day_time, finding_title
from qingquan.clock import to_ms
from qingquan.domain.incidents import Incident, IncidentState
from qingquan.domain.works import Works

__all__ = ["handled_words", "incident_lines", "offset_of", "pager", "store_lost"]


def store_lost(t: Texts) -> str:
    """Said in the place of what a store would have told."""
    return empty_state(t("store.lost_never"), t("store.lost_action"))


def handled_words(incident: Incident, t: Texts) -> str:
    """State of an incident, and who has it."""
    word = escape(t(f"incident.state.{incident.state}"))
    by = f" · {escape(incident.acknowledged_by)}" if incident.state is IncidentState.ACKNOWLEDGED else ""
    kind = {
        IncidentState.OPEN: "todo",
        IncidentState.ACKNOWLEDGED: "by",
        IncidentState.RESOLVED: "muted",
        IncidentState.CLOSED: "muted",
    }[incident.state]
    return f'<span class="{kind}">{word}{by}</span>'


def incident_lines(incidents: Sequence[Incident], works: Mapping[str, Works], t: Texts) -> str:
    """Incidents of one works, one under the other."""
    return "".join(
        f'<a class="card sevline-{i.severity.word if not i.state.is_over else "none"}" href="/incidents/{i.id}">'
        f'<span class="card-top">{severity_chip(i.severity, t)}<b>{escape(finding_title(i.kind, cause_parameter(i), t))}</b></span>'
        f'<span class="card-end"><span>{escape(day_time(to_ms(i.opened_at), works[i.works].time_zone))}</span>{handled_words(i, t)}</span></a>'
        for i in incidents
    )


def pager(path: str, query: Mapping[str, str], offset: int, limit: int, total: int, t: Texts) -> str:
    """Where in a list one is, and the way on and back."""
    if total == 0:
        return ""

    def link(key: str, to: int, shown: bool) -> str:
        if not shown:
            return f'<span class="off">{escape(t(key))}</span>'
        given = urlencode({**{k: v for k, v in query.items() if v}, "offset": str(to)})
        return f'<a href="{path}?{escape(given)}">{escape(t(key))}</a>'

    words = t("page.range", first=offset + 1, last=min(offset + limit, total), total=total)
    back, on = (
        link("page.previous", max(0, offset - limit), offset > 0),
        link("page.next", offset + limit, offset + limit < total),
    )
    return f'<div class="pager"><span class="muted">{escape(words)}</span>{back}{on}</div>'


def offset_of(request: Request) -> int:
    """Where in a list the address asks to begin; 0 for anything that is not a number."""
    given = request.query_params.get("offset", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
