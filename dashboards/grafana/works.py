"""Dashboard of a works: one panel per online parameter with the limits of the standard, contacts, flags."""

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
    steps_of,
    unit_text,
)
from dashboards.grafana.model import Column, Dashboard, Panel, Query, Row, Variable
from dashboards.grafana.text import Words, uid_of
from qingquan.domain.flags import Flag
from qingquan.domain.parameters import Limit, Parameter, ParameterKind

__all__ = ["works_dashboard"]

LEGEND = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "none"}}
LINES = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 0, "spanNulls": False, "showPoints": "auto"}
BARS = {"drawStyle": "bars", "fillOpacity": 80, "lineWidth": 0, "stacking": {"mode": "normal"}}

# What the two positions of a contact are called: 0, then 1.
CONTACTS = {
    "doser_running": (("停止", "stopped"), ("运行", "running")),
    "sample_flow": (("断流", "no flow"), ("有水", "flowing")),
    "power": (("停电", "failed"), ("有电", "present")),
    "uv_lamp": (("熄灭", "dark"), ("点亮", "lit")),
    "maintenance": (("无", "none"), ("检修/校准中", "in progress")),
}
FLAGS = {
    Flag.PASS: ("合格", "pass", GOOD),
    Flag.NOT_EVALUATED: ("未检验", "not evaluated", NEUTRAL),
    Flag.SUSPECT: ("可疑", "suspect", "#c98a1b"),
    Flag.FAIL: ("无效", "fail", BAD),
    Flag.MISSING: ("缺测", "missing", NEUTRAL),
}


def works_dashboard(language: str) -> Dashboard:
    """The dashboard in one language."""
    words = Words(language)
    by_kind = {kind: [p for p in online_parameters() if p.kind is kind] for kind in ParameterKind}
    judged_at_end = [p for p in by_kind[ParameterKind.QUALITY] if limit_at(p.code, "network_end") is not None]
    back = {
        "type": "link", "title": words("县域总览", "County"), "icon": "dashboard", "keepTime": True,
        "url": f"/d/{uid_of('county', language)}?var-county=${{county}}",
    }  # fmt: skip
    return Dashboard(
        uid=uid_of("works", language),
        title=words("清泉 · 水厂", "Qingquan · works"),
        description=words(
            "各在线指标的走势与 GB 5749 限值。可疑与无效的数据也画出，见页末质量标记。",
            "Trends of each online parameter with the limits of GB 5749. Suspect and failed readings are drawn too: see flags below.",
        ),
        variables=_variables(words),
        rows=(
            Row(
                words("出厂水水质", "Water quality at the outlet"),
                [_trend(words, p, "outlet") for p in by_kind[ParameterKind.QUALITY]],
            ),
            Row(
                words("管网末梢水质", "Water quality at the network end"),
                [_trend(words, p, "network_end") for p in judged_at_end],
            ),
            Row(words("运行", "Operation"), [_trend(words, p, "outlet") for p in by_kind[ParameterKind.OPERATION]]),
            Row(words("开关量", "Contacts"), [_contact(words, p) for p in by_kind[ParameterKind.STATE]]),
            Row(words("质量标记", "Flags"), _flag_panels(words)),
        ),
        links=(back,),
    )


def _variables(words: Words) -> Sequence[Variable]:
    statistics = {"mean": words("平均", "mean"), "min": words("最小", "min"), "max": words("最大", "max")}
    points = queries.point_values()
    return (
        Variable("county", words("县区代码", "County code"), queries.county_values()),
        Variable("works", words("水厂", "Works"), queries.works_values()),
        Variable("outlet", words("出厂水测点", "Outlet point"), points, default="outlet", multi=True),
        Variable("network_end", words("末梢水测点", "Network-end point"), points, default="network_end", multi=True),
        Variable("statistic", words("时段统计", "Statistic"), choices=statistics, default="mean"),
    )


def _trend(words: Words, parameter: Parameter, place: str) -> Panel:
    """Trend of a parameter at a kind of point; the variable of the same name holds the points of that kind."""
    limit = drawn_limit(parameter.code, place)
    steps = steps_of(limit)
    custom: dict[str, object] = {
        **LINES,
        "thresholdsStyle": {"mode": "dashed" if steps else "off"},
        **_soft_axis(limit),
    }
    return Panel(
        "timeseries",
        words(parameter.name_zh, parameter.name_en),
        [Query(queries.trend(parameter.code, place), alias="$tag_point")],
        height=7,
        description=limit_text(parameter.code, place, words.language)
        if parameter.kind is ParameterKind.QUALITY
        else "",
        unit=_unit(parameter),
        decimals=parameter.decimals,
        steps=steps,
        custom=custom,
        options=LEGEND,
    )


def _soft_axis(limit: Limit | None) -> dict[str, object]:
    """Axis wide enough that the limits are in sight while the water is far from them."""
    if limit is None:
        return {}
    bounds = {"axisSoftMin": limit.min, "axisSoftMax": limit.max}
    return {name: bound for name, bound in bounds.items() if bound is not None}


def _unit(parameter: Parameter) -> str:
    text = unit_text(parameter.unit)
    return f"suffix: {text}" if text else "none"


def _contact(words: Words, parameter: Parameter) -> Panel:
    off, on = CONTACTS[parameter.code]
    return Panel(
        "state-timeline",
        words(parameter.name_zh, parameter.name_en),
        [Query(queries.states(parameter.code), alias="$tag_point")],
        width=8,
        height=5,
        mappings={"0": (words(*off), BAD), "1": (words(*on), GOOD)},
        options={"mergeValues": True, "showValue": "auto", **LEGEND},
    )


def _flag_panels(words: Words) -> Sequence[Panel]:
    labels = [(p.code, words(p.short_zh, p.name_en)) for p in online_parameters()]
    texts = {str(int(flag)): (words(zh, en), colour) for flag, (zh, en, colour) in FLAGS.items()}
    none = words("所选时段内没有可疑、无效或缺测的数据", "no suspect, failed or missing readings in the time range")
    return (
        Panel(
            "timeseries",
            words("可疑、无效与缺测数据条数", "Suspect, failed and missing readings"),
            [Query(queries.flag_counts(code), alias=text) for code, text in labels],
            description=words(
                "未检验、可疑、无效与缺测之和，按指标", "Not evaluated, suspect, failed and missing, by parameter"
            ),
            decimals=0,
            no_value=none,
            low=0,
            custom=BARS,
            options=LEGEND,
        ),
        Panel(
            "table",
            words("最近的标记", "Newest flags"),
            [Query(queries.flag_rows(labels), table=True)],
            mappings=texts,
            no_value="",
            columns=(
                Column("point", {"displayName": words("测点", "Point")}),
                Column("Time", {"displayName": words("时间", "Time")}),
            ),
            custom={"cellOptions": {"type": "color-text"}},
            options={"showHeader": True, "cellHeight": "sm"},
        ),
    )
