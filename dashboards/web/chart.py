"""Trend of one series as options for ECharts: gaps where data are missing, limits drawn, doubtful spans greyed. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from dashboards.web.chart_flags import flagged_points
from dashboards.web.texts import Texts
from dashboards.web.words import limit_words, parameter_name, unit_name, zone
from qingquan.clock import from_ms
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Limit, Parameter, ParameterKind, plain_number
from qingquan.domain.quality import Flagged
from qingquan.store.ports import Trend

__all__ = ["WINDOWS", "Span", "Window", "chart_options", "doubtful_spans", "points_with_gaps", "step_for"]

MINUTE = 60_000
HOUR = 60 * MINUTE
MOST_POINTS = 1500
FAR = 1e9  # ECharts draws no gradient for a piece without an end
LINE, OUTSIDE, LIMIT, GREY = "#0a6f93", "#b3201f", "#b3201f", "rgba(102,116,124,0.24)"
_STEPS = tuple(n * MINUTE for n in (1, 5, 10, 30, 60, 120, 360, 720, 1440))
SENSOR_FAULTS = (FindingKind.OUT_OF_RANGE, FindingKind.FLAT_LINE)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time to look at, and how often a chart of it is drawn again [s]."""

    name: str
    ms: int
    refresh_s: float


WINDOWS = (
    Window("6h", 6 * HOUR, 5.0), Window("24h", 24 * HOUR, 15.0), Window("7d", 7 * 24 * HOUR, 60.0), Window("30d", 30 * 24 * HOUR, 120.0),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time [ms since epoch, UTC]."""

    start: int
    end: int


def step_for(window_ms: int, cadence_s: int) -> int | None:
    """Bucket length that keeps a chart within `MOST_POINTS`; ``None`` = readings as they are."""
    if window_ms / max(1, cadence_s * 1000) <= MOST_POINTS:
        return None
    return next((step for step in _STEPS if window_ms / step <= MOST_POINTS), _STEPS[-1])


def points_with_gaps(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], longest_ms: int
) -> list[tuple[int, float | None]]:
    """Points of a line; ``None`` between two points further apart than ``longest_ms``, and where a value is missing."""
    points: list[tuple[int, float | None]] = []
    before: int | None = None
    for at, value in zip(times.tolist(), values.tolist(), strict=True):
        if before is not None and at - before > longest_ms:
            points.append((before + 1, None))
        points.append((at, None if np.isnan(value) else value))
        before = at
    return points


def doubtful_spans(trend: Trend, findings: Iterable[Finding], until: int, cadence_s: int) -> list[Span]:
    """Where readings are flagged suspect or fail, or the sensor was found at fault; joined where they touch."""
    half = cadence_s * 500
    spans = [
        Span(f.start, until if f.end is None else f.end)
        for f in findings
        if f.kind in SENSOR_FAULTS and not f.withdrawn and (f.point, f.parameter) == (trend.key.point, trend.key.parameter)
    ]  # fmt: skip
    if "flag" in trend.columns:
        marked = np.isin(trend.columns["flag"], (Flag.SUSPECT, Flag.FAIL))
        spans += [Span(at - half, at + half) for at in trend.observed_at[marked].tolist()]
    joined: list[Span] = []
    for span in sorted(spans, key=lambda s: s.start):
        if joined and span.start <= joined[-1].end + 2 * half:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def chart_options(
    trend: Trend, parameter: Parameter, limit: Limit | None, doubtful: Sequence[Span], span: Span, t: Texts,
    *, tz: str, gap_ms: int, flagged: tuple[Trend, Flagged] | None = None,
) -> dict[str, object]:  # fmt: skip
    """Options of a chart over ``span``. Times are shifted to the works' zone and drawn as UTC, whatever the browser's."""
    is_switch = parameter.kind is ParameterKind.STATE
    name = "value" if "value" in trend.columns else "mean"
    values = trend.columns[name]
    shift = _offset_ms(span.end, tz)
    low, high = (None, None) if limit is None else (limit.min, limit.max)
    bottom, top, step = (0.0, 1.0, 1.0) if is_switch else _axis(trend, low, high, parameter)
    line: dict[str, object] = {
        "name": t("chart.value" if name == "value" else "chart.mean"), "type": "line", "showSymbol": False, "connectNulls": False,
        "data": _shifted(points_with_gaps(trend.observed_at, values, gap_ms), shift), "lineStyle": {"width": 1.6},
        "itemStyle": {"color": LINE}, "step": "end" if is_switch else False, "animation": False,
        "areaStyle": {"color": LINE, "opacity": 0.12} if is_switch else None,
        "markLine": {"silent": True, "symbol": "none", "animation": False, "data": _limit_lines(low, high, t)},
        "markArea": {"silent": True, "itemStyle": {"color": GREY}, "data": _areas(doubtful, span, shift, t)},
    }  # fmt: skip
    series = [line, *_band(trend, shift, gap_ms, t), *(flagged_points(*flagged, shift, t) if flagged else [])]
    options: dict[str, object] = {
        "useUTC": True, "animation": False, "grid": {"left": 46, "right": 14, "top": 12, "bottom": 24},
        "textStyle": {"fontFamily": "inherit"}, "aria": {"enabled": True, "label": {"description": _spoken(trend, parameter, limit, t)}},
        "xAxis": {
            "type": "time", "min": span.start + shift, "max": span.end + shift, "axisLabel": {"hideOverlap": True, "formatter": {"day": "{MM}-{dd}", "hour": "{HH}:{mm}", "minute": "{HH}:{mm}", "month": "{MM}-{dd}", "year": "{MM}-{dd}"}, "color": "#7b8b94", "fontSize": 11},
            "axisLine": {"lineStyle": {"color": "#c6d1d7"}}, "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value", "min": bottom, "max": top, "splitNumber": 3, "interval": step,
            "axisLabel": {"color": "#7b8b94", "fontSize": 11, **({":formatter": f"v => v ? {_js(t('chart.on'))} : {_js(t('chart.off'))}"} if is_switch else {})},
            "splitLine": {"lineStyle": {"color": "#eaeff2"}},
        },
        "tooltip": {
            "trigger": "axis", "confine": True, "axisPointer": {"type": "line"}, "textStyle": {"fontSize": 12},
            ":valueFormatter": f"v => v === null || v === undefined ? '—' : Number(v).toFixed({parameter.decimals}) + {_js(' ' + unit_name(parameter.unit))}",
        },
        "series": series,
    }  # fmt: skip
    if limit is not None and (low is not None or high is not None):
        pieces = [{"gte": low if low is not None else -FAR, "lte": high if high is not None else FAR, "color": LINE}]
        pieces += [{"gte": -FAR, "lt": low, "color": OUTSIDE}] if low is not None else []
        pieces += [{"gt": high, "lte": FAR, "color": OUTSIDE}] if high is not None else []
        options["visualMap"] = {
            "show": False, "type": "piecewise", "seriesIndex": 0, "dimension": 1, "pieces": pieces,
        }  # fmt: skip
    return options


def _limit_lines(low: float | None, high: float | None, t: Texts) -> list[dict[str, object]]:
    style = {"color": LIMIT, "type": "dashed", "width": 1.2}
    rows = (("chart.limit_low", low, "insideStartTop"), ("chart.limit_high", high, "insideStartTop"))
    return [
        {"yAxis": bound, "lineStyle": style, "label": {"position": place, "formatter": t(key, value=plain_number(bound)), "color": LIMIT, "fontSize": 11}}
        for key, bound, place in rows
        if bound is not None
    ]  # fmt: skip


def _areas(doubtful: Sequence[Span], span: Span, shift: int, t: Texts) -> list[list[dict[str, object]]]:
    inside = [
        Span(max(s.start, span.start), min(s.end, span.end))
        for s in doubtful
        if s.end > span.start and s.start < span.end
    ]
    label = {"color": "#4c5f69", "fontSize": 11, "position": "insideTop"}
    wide = (span.end - span.start) * 0.09
    return [
        [
            {"xAxis": s.start + shift, "name": t("chart.flagged") if s.end - s.start > wide else "", "label": label},
            {"xAxis": s.end + shift},
        ]
        for s in inside
    ]  # fmt: skip


def _band(trend: Trend, shift: int, gap_ms: int, t: Texts) -> list[dict[str, object]]:
    """Lowest and highest of each bucket as thin lines, where the trend has buckets."""
    if "min" not in trend.columns or "max" not in trend.columns:
        return []
    return [
        {
            "name": t(key), "type": "line", "showSymbol": False, "connectNulls": False, "animation": False, "silent": True,
            "data": _shifted(points_with_gaps(trend.observed_at, trend.columns[column], gap_ms), shift),
            "lineStyle": {"width": 0.8, "color": LINE, "opacity": 0.45}, "itemStyle": {"color": LINE}, "z": 1,
        }
        for key, column in (("chart.low", "min"), ("chart.high", "max"))
    ]  # fmt: skip


def _axis(trend: Trend, low: float | None, high: float | None, parameter: Parameter) -> tuple[float, float, float]:
    """Ends and step of the value axis: everything measured and both bounds, on round numbers; from nought where near."""
    seen = [column[~np.isnan(column)] for name, column in trend.columns.items() if name not in ("flag", "count")]
    found = [float(edge) for column in seen if len(column) for edge in (column.min(), column.max())]
    known = found + [bound for bound in (low, high) if bound is not None]
    if not known:
        return 0.0, 1.0, 0.5
    bottom, top = min(known), max(known)
    if parameter.range_min == 0 and bottom < 0.6 * top:
        bottom = 0.0
    reach = max(top - bottom, 4 * parameter.precision_floor, 10.0**-parameter.decimals)
    step = _round_step(reach * 1.08 / 4)
    first = math.floor(bottom / step + 1e-9) * step
    return round(first, 6), round(max(math.ceil((top + 0.04 * reach) / step), round(first / step) + 2) * step, 6), step


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(n * power for n in (1, 2, 2.5, 5, 10) if n * power >= step * (1 - 1e-9))


def _spoken(trend: Trend, parameter: Parameter, limit: Limit | None, t: Texts) -> str:
    name = parameter_name(parameter.code, t)
    bound = t("chart.limits", limit=limit_words(limit, t)) if limit is not None else t("chart.no_limit")
    return f"{name} {unit_name(parameter.unit)}; {bound}; {len(trend.observed_at)}"


def _shifted(points: list[tuple[int, float | None]], shift: int) -> list[list[float | int | None]]:
    return [[at + shift, value] for at, value in points]


def _offset_ms(at: int, tz: str) -> int:
    return (from_ms(at).astimezone(zone(tz)).utcoffset() or timedelta()) // timedelta(milliseconds=1)


def _js(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
