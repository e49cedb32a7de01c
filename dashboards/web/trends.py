"""Reads the trends of a works from the store and makes charts of them, for the works page and the incident page."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from dashboards.web.chart import Span, chart_options, doubtful_spans, step_for
from dashboards.web.event_words import events_of, with_events
from dashboards.web.layout import Console
from dashboards.web.texts import Texts
from dashboards.web.words import legal_limit, limit_words, number, parameter_name, unit_name, zone
from qingquan.clock import from_ms
from qingquan.domain.findings import Finding
from qingquan.domain.parameters import Limit, Parameter, ParameterKind
from qingquan.domain.quality import Flagged
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import SamplingPoint, Works
from qingquan.standards.loader import load_standards
from qingquan.store.ports import Trend

__all__ = ["ChartView", "is_drawable", "load_chart"]

LONGEST_FLAGGED_MS = 8 * 24 * 3_600_000
"""Longer spans are read by the step, not reading by reading."""


@dataclass(frozen=True, slots=True)
class ChartView:
    """A chart with its heading; ``digest`` changes with what is drawn."""

    options: dict[str, object]
    heading: str
    is_empty: bool
    is_switch: bool
    digest: tuple[object, ...]


def is_drawable(parameter: str) -> bool:
    """Whether the tables know the parameter: without unit and range there is nothing to draw."""
    return parameter in load_standards().parameters


def load_chart(
    console: Console, works: Works, point: SamplingPoint, parameter: str, span: Span, findings: Sequence[Finding], t: Texts
) -> ChartView:  # fmt: skip
    """Trend of one series over a span. Blocks; raises `StoreUnavailable` when the store does not answer."""
    row = load_standards().parameters[parameter]
    step = step_for(span.end - span.start, works.cadence_s)
    aggregates = ("mean",) if row.kind is ParameterKind.STATE else ("mean", "min", "max")
    key = SeriesKey(works.county, works.id, point.id, parameter)
    flagged = _flagged(console, works, key, span)
    if flagged is not None and step is None:
        trend = flagged[0]
    else:
        trend = console.data.trend(key, span.start, span.end, step, aggregates)
    limit = legal_limit(works, point, parameter, from_ms(span.end).astimezone(zone(works.time_zone)).date())
    gap = max(3 * works.cadence_s * 1000, (step or 0) * 2)
    doubtful = doubtful_spans(trend if flagged is None else flagged[0], findings, span.end, works.cadence_s)
    options = chart_options(trend, row, limit, doubtful, span, t, tz=works.time_zone, gap_ms=gap, flagged=flagged)
    events = events_of(findings, point.id, parameter)
    options = with_events(options, events, span, works.time_zone, t)
    values = trend.columns["value" if "value" in trend.columns else "mean"]
    good = values[~np.isnan(values)]
    latest = float(good[-1]) if len(good) else None
    return ChartView(
        options, _heading(row, limit, latest, t), len(good) == 0, row.kind is ParameterKind.STATE,
        (len(values), int(trend.observed_at[-1]) if len(values) else 0, latest or 0.0, *((one.start, one.end or 0) for one in events)),
    )  # fmt: skip


def _flagged(console: Console, works: Works, key: SeriesKey, span: Span) -> tuple[Trend, Flagged] | None:
    """Readings of the span with their flags; ``None`` for switches, for long spans, and where nobody flags."""
    is_switch = load_standards().parameters[key.parameter].kind is ParameterKind.STATE
    if console.actions.quality is None or is_switch or span.end - span.start > LONGEST_FLAGGED_MS:
        return None
    return console.actions.quality.flagged(works, key, span.start, span.end)


def _heading(row: Parameter, limit: Limit | None, latest: float | None, t: Texts) -> str:
    unit = unit_name(row.unit)
    if row.kind is ParameterKind.STATE:
        shown = "—" if latest is None else t("chart.on" if latest else "chart.off")
    else:
        shown = f"{number(latest, row.decimals)} {unit}".rstrip()
    outside = latest is not None and limit is not None and not limit.is_met_by(latest)
    bound = limit_words(limit, t)
    rule = (
        f'<span class="muted">{escape(t("chart.limits", limit=bound))} · {escape(limit.standard)}</span>'
        if limit
        else ""
    )
    return f'<h3>{escape(parameter_name(row.code, t))}</h3><b class="{"num out" if outside else "num"}">{escape(shown)}</b>{rule}'
