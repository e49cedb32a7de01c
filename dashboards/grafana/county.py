"""Dashboard of a county: who is heard of, whose residual stands below the limit, every works in one table."""

from collections.abc import Sequence

from dashboards.grafana import queries
from dashboards.grafana.limits import (
    BAD,
    GOOD,
    NEUTRAL,
    drawn_limit,
    limit_at,
    limit_text,
    online_parameters,
    residual_minima,
    steps_of,
    unit_text,
)
from dashboards.grafana.model import Column, Dashboard, Panel, Query, Row, Step, Variable
from dashboards.grafana.text import Words, uid_of
from qingquan.domain.parameters import Limit, Parameter, ParameterKind

__all__ = ["county_dashboard"]

LINES = {"drawStyle": "line", "lineWidth": 2, "fillOpacity": 0, "spanNulls": False, "showPoints": "auto"}
LAST = {"reduceOptions": {"calcs": ["lastNotNull"], "values": False, "fields": ""}}


def county_dashboard(language: str) -> Dashboard:
    """The dashboard in one language."""
    words = Words(language)
    return Dashboard(
        uid=uid_of("county", language),
        title=words("清泉 · 县域总览", "Qingquan · county"),
        description=words(
            "数据来自时序库；台账中从未上报过数据的水厂不在此列，以控制台为准。",
            "From the time-series store; works of the register that never sent anything stand only in the console.",
        ),
        variables=_variables(words),
        rows=(
            Row(words("现状", "Now"), _state_panels(words)),
            Row(words("走势", "Over time"), _trend_panels(words)),
            Row(words("各水厂", "Works"), (_works_table(words), _silence_table(words))),
        ),
    )


def _variables(words: Words) -> Sequence[Variable]:
    spans = {
        "15m": words("15 分钟", "15 min"),
        "1h": words("1 小时", "1 h"),
        "8h": words("8 小时", "8 h"),
        "1d": words("1 天", "1 d"),
    }
    return (
        Variable("county", words("县区代码", "County code"), queries.county_values()),
        Variable("outlet", words("出厂水测点", "Outlet point"), queries.point_values(), default="outlet", multi=True),
        Variable("silence", words("静默时长", "Silent after"), choices=spans, default="1h"),
    )


def _state_panels(words: Words) -> Sequence[Panel]:
    codes = [p.code for p in online_parameters()]
    heard = words("在静默时长内有数据的水厂数", "Works heard of within the time chosen as 'silent after'.")
    gone = words(
        "近 30 天有过数据、但在静默时长内无任何数据的水厂数。无数据不等于合格。",
        "Works with data in the last 30 days, but none at all within the time chosen. No data is never a pass.",
    )
    return (
        _stat(words("在报水厂", "Works reporting"), queries.reporting(codes), heard, (Step(None, NEUTRAL),)),
        _stat(words("静默水厂", "Works silent"), queries.silent(codes), gone, (Step(None, GOOD), Step(1, BAD))),
        *(_share(words, p.short_zh, p.name_en, p.code, "<", ">=", low) for p, _, low in _minima()),
        _share(words, "浊度", "Turbidity", "turbidity", ">", "<=", _maximum("turbidity")),
    )


def _stat(title: str, query: str, description: str, steps: Sequence[Step]) -> Panel:
    options = {**LAST, "colorMode": "background", "graphMode": "none", "textMode": "value"}
    return Panel("stat", title, [Query(query)], 4, 5, description, steps=steps, decimals=0, options=options)


def _share(words: Words, zh: str, en: str, code: str, condition: str, otherwise: str, bound: float) -> Panel:
    """Share of works on the wrong side of a bound of the standard."""
    side = words("低于下限", "below limit") if condition == "<" else words("超过限值", "above limit")
    description = (
        words("各水厂出厂水最新值", "Newest value at the outlet of each works")
        + "\n"
        + limit_text(code, "outlet", words.language)
    )
    query = queries.share_beyond(code, f"{condition} {bound:g}", f"{otherwise} {bound:g}")
    options = {**LAST, "colorMode": "background", "graphMode": "none", "textMode": "value"}
    steps = (Step(None, GOOD), Step(1e-9, BAD))
    title = f"{words(zh, en)} {side} {bound:g}"
    return Panel("stat", title, [Query(query)], 4, 5, description, "percentunit", 1, steps, options=options)


def _trend_panels(words: Words) -> Sequence[Panel]:
    codes = [p.code for p in online_parameters()]
    shares = [
        Query(
            queries.share_beyond_trend(p.code, f"< {low:g}", f">= {low:g}"),
            alias=f"{words(p.short_zh, p.name_en)} < {low:g} {p.unit}",
        )
        for p, _, low in _minima()
    ]
    newest = words("最后一段尚未走完，数值偏低属正常。", "The last span is still running, so it counts too few.")
    return (
        Panel(
            "timeseries", words("在报水厂数", "Works reporting"), [Query(queries.reporting_trend(codes), alias=words("水厂", "works"))],
            description=newest, decimals=0, low=0, custom=LINES,
        ),
        Panel(
            "timeseries", words("余量低于下限的水厂占比", "Share of works with residual below limit"), shares,
            unit="percentunit", low=0, high=1, custom=LINES,
        ),
    )  # fmt: skip


def _works_table(words: Words) -> Panel:
    shown = [p for p in online_parameters() if p.kind is ParameterKind.QUALITY]
    labels = [(p.code, _label(words, p)) for p in shown]
    address = f"/d/{uid_of('works', words.language)}?var-county=${{county}}&var-works=${{__data.fields.works}}&${{__url_time_range}}"
    columns = [
        Column("Time", {"custom.hidden": True}),
        Column(
            "works",
            {
                "displayName": words("水厂", "Works"),
                "links": [{"title": words("打开水厂", "Open works"), "url": address}],
            },
        ),
        *(_value_column(words, p) for p in shown),
    ]
    description = words(
        "所选时段内出厂水各指标最新值；颜色按 GB 5749 限值。空白表示无数据。",
        "Newest values at the outlet within the time range, coloured by GB 5749. Blank = no data.",
    )
    return Panel(
        "table", words("各水厂最新值", "Newest values"), [Query(queries.latest_table(labels), table=True)], 16, 16, description,
        columns=columns, options={"showHeader": True, "cellHeight": "sm"},
    )  # fmt: skip


def _value_column(words: Words, parameter: Parameter) -> Column:
    steps = steps_of(drawn_limit(parameter.code, "outlet"))
    properties: dict[str, object] = {"decimals": parameter.decimals}
    if steps:
        properties |= {
            "thresholds": {"mode": "absolute", "steps": [step.as_json() for step in steps]},
            "custom.cellOptions": {"type": "color-text"},
        }
    return Column(_label(words, parameter), properties)


def _silence_table(words: Words) -> Panel:
    columns = [
        Column("value", {"custom.hidden": True}),
        Column("works", {"displayName": words("水厂", "Works")}),
        Column("Time", {"displayName": words("最近数据", "Last data"), "unit": "dateTimeFromNow"}),
    ]
    oldest_first = {"id": "sortBy", "options": {"sort": [{"field": "Time", "desc": False}]}}
    return Panel(
        "table", words("最久无数据的水厂", "Longest silent first"), [Query(queries.last_data(p.code for p in online_parameters()), table=True)],
        8, 16, words("近 30 天有过数据的水厂，最久未上报者在前。", "Works with data in the last 30 days, longest silent first."),
        columns=columns, transformations=(oldest_first,), options={"showHeader": True, "cellHeight": "sm"},
    )  # fmt: skip


def _label(words: Words, parameter: Parameter) -> str:
    return f"{words(parameter.short_zh, parameter.name_en)} {unit_text(parameter.unit)}".strip()


def _minima() -> Sequence[tuple[Parameter, Limit, float]]:
    return residual_minima(online_parameters())


def _maximum(code: str) -> float:
    limit = limit_at(code, "outlet")
    if limit is None or limit.max is None:
        raise LookupError(f"the standard has no upper limit for {code}")
    return limit.max
