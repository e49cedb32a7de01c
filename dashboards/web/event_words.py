"""Sudden changes in words, and as bands on charts. Pure."""

from collections.abc import Iterable, Sequence

from dashboards.web.chart import Span
from dashboards.web.texts import Texts
from dashboards.web.words import CONTRIBUTORS, contributor_words, zone
from qingquan.clock import from_ms
from qingquan.domain.findings import Finding, FindingKind

__all__ = ["contributors_of", "event_bands", "events_of", "with_events"]

BAND = "rgba(124, 82, 176, 0.15)"
LABEL = "#5b3a8c"


def contributors_of(event: Finding) -> list[tuple[str, float]]:
    """Parameters that changed with their shares of the votes, most telling first."""
    codes = [code for code in str(event.evidence.get(CONTRIBUTORS, "")).split(";") if code]
    return [(code, float(event.evidence.get(f"share.{code}", 0.0))) for code in codes]


def events_of(findings: Iterable[Finding], point: str, parameter: str) -> list[Finding]:
    """Events of a point to which a parameter contributed, oldest first; none of silenced detectors."""
    return sorted(
        (
            one
            for one in findings
            if one.kind is FindingKind.WATER_EVENT
            and one.point == point
            and not one.withdrawn
            and "silent" not in one.evidence
            and parameter in {code for code, _ in contributors_of(one)}
        ),
        key=lambda one: one.start,
    )


def event_bands(events: Sequence[Finding], span: Span, tz: str, t: Texts) -> list[list[dict[str, object]]]:
    """Areas of a chart, each labelled with what changed."""
    moment = from_ms(span.end).astimezone(zone(tz)).utcoffset()
    shift = round(moment.total_seconds() * 1000) if moment else 0
    least = (span.end - span.start) // 150
    bands: list[list[dict[str, object]]] = []
    for one in events:
        last = span.end if one.end is None else one.end
        begin, end = max(one.start, span.start), min(max(last, one.start + least), span.end)
        if begin < end:
            bands.append([{"xAxis": begin + shift, "name": contributor_words(one, t)}, {"xAxis": end + shift}])
    return bands


def with_events(
    options: dict[str, object], events: Sequence[Finding], span: Span, tz: str, t: Texts
) -> dict[str, object]:
    """Options of a chart with its events drawn; only the newest bands are labelled, where labels would lie on each other."""
    bands = event_bands(events, span, tz, t)
    if not bands:
        return options
    wide = (span.end - span.start) * 0.22
    after: float | None = None
    for band in reversed(bands):
        at = float(str(band[0]["xAxis"]))
        if after is not None and after - at < wide:
            band[0]["name"] = ""
        else:
            after = at
    drawn = {
        "name": t("event.band"), "type": "line", "data": [], "silent": True, "animation": False,
        "markArea": {
            "silent": True, "animation": False, "itemStyle": {"color": BAND},
            "label": {"color": LABEL, "fontSize": 11, "position": "insideBottom"}, "data": bands,
        },
    }  # fmt: skip
    series = options["series"]
    assert isinstance(series, list)
    return {**options, "series": [*series, drawn]}
