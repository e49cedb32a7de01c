"""Every query of every panel, run as Grafana would run it, against a real InfluxDB with recorder-shaped data."""

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
import pytest

from dashboards.grafana.build import dashboards
from dashboards.grafana.limits import online_parameters
from dashboards.grafana.text import LANGUAGES
from qingquan.domain.flags import Flag
from qingquan.domain.readings import SeriesKey
from qingquan.store.series.influx import InfluxSeriesStore
from qingquan.store.series.influx_lines import LineNames, StoredColumns, reading_lines
from qingquan.testing.influx import (
    INFLUX2_ORG,
    INFLUX2_TOKEN,
    influx2_server,
    influx_server,
    influxd2_path,
    influxd_path,
)

COUNTY = "520425"
DATABASE = "qingquan"
MINUTE = 60_000
NOW = time.time_ns() // 1_000_000
START = NOW - 6 * 60 * MINUTE

pytestmark = [
    pytest.mark.debian,
    pytest.mark.skipif(influxd_path() is None, reason="needs the Debian package influxdb"),
]

HEADERS = {"Authorization": f"Token {INFLUX2_TOKEN}"}


@pytest.fixture(scope="module", params=["1.x", *(["2.x"] if influxd2_path() else [])])
def influx(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    is_two = request.param == "2.x"
    with (influx2_server if is_two else influx_server)(tmp_path_factory.mktemp("influx")) as url:
        if is_two:
            with closing(InfluxSeriesStore(url, INFLUX2_TOKEN, INFLUX2_ORG, DATABASE, "v2")) as store:
                store.covered("all")  # makes the buckets
                target = f"{url}/api/v2/write?org={INFLUX2_ORG}&bucket={DATABASE}&precision=ms"
        else:
            post(f"{url}/query", {"q": f'CREATE DATABASE "{DATABASE}"'})
            target = f"{url}/write?db={DATABASE}&precision=ms"
        with urlopen(Request(target, "\n".join(lines()).encode(), HEADERS), timeout=20) as answer:
            assert answer.status == 204
        yield url


def lines() -> list[str]:
    """A county of six works over six hours, in the recorder's own line protocol.

    W-1 measures everything at both points and has flags; W-2 is below the limit; W-3 fell silent two hours ago; W-4
    disinfects with chlorine dioxide; W-5 is turbid; W.6 tests that names are escaped in regular expressions.
    """
    everything = {p.code: (p.range_min + p.range_max) / 2 for p in online_parameters()}
    rows: list[tuple[SeriesKey, int, float, Flag]] = []
    for works, point, fields, until in (
        ("W-1", "outlet", {**everything, "free_chlorine": 0.5, "turbidity": 0.4}, NOW),
        ("W-1", "network_end", everything, NOW),
        ("W-2", "outlet", {"free_chlorine": 0.1, "turbidity": 1.0}, NOW),
        ("W-3", "outlet", {"free_chlorine": 0.6, "turbidity": 0.3}, NOW - 120 * MINUTE),
        ("W-4", "outlet", {"chlorine_dioxide": 0.3, "turbidity": 0.2}, NOW),
        ("W-5", "outlet", {"free_chlorine": 0.3, "turbidity": 1.5}, NOW),
        ("W.6", "outlet", {"ph": 7.2}, NOW),
    ):
        for code, value in fields.items():
            key = SeriesKey(COUNTY, works, point, code)
            rows += [(key, at, value, Flag.NOT_EVALUATED) for at in range(START, until, MINUTE)]
    for n, parameter in enumerate(online_parameters()):
        key = SeriesKey(COUNTY, "W-1", "outlet", parameter.code)
        rows.append((key, NOW - n * 1000, 0.5, Flag.FAIL if n % 2 else Flag.SUSPECT))
        rows.append((key, NOW - n * 1000 - 500, float("nan"), Flag.MISSING))
    keys = list(dict.fromkeys(key for key, *_ in rows))
    ordered = sorted((keys.index(key), at, value, flag) for key, at, value, flag in rows)
    series, at, value, flag = (np.array(column) for column in zip(*ordered, strict=True))
    return reading_lines(
        LineNames().follow(keys), StoredColumns(series, at, at, value, flag.astype(np.uint8), np.ones_like(at))
    )


def post(url: str, form: Mapping[str, str]) -> Any:
    with urlopen(Request(url, urlencode(form).encode(), HEADERS), timeout=20) as answer:
        return json.load(answer)


def substituted(influxql: str, chosen: Mapping[str, str | Sequence[str]]) -> str:
    """The query as Grafana sends it: several values become a group; in a regular expression values are escaped."""
    query = influxql.replace("$timeFilter", f"time >= {START}ms and time <= {NOW}ms").replace("$__interval", "5m")
    for name, value in sorted(chosen.items(), key=lambda item: -len(item[0])):
        escaped = [value] if isinstance(value, str) else list(value)
        pattern = [re.sub(r"([\\^$*+?.()|\[\]{}/])", r"\\\1", one) for one in escaped]
        group = pattern[0] if isinstance(value, str) else f"({'|'.join(pattern)})"
        query = query.replace(f"/^${name}$/", f"/^{group}$/")
        if isinstance(value, str):
            query = query.replace(f"${name}", value)
    assert "$" not in query.replace("$/", ""), f"not every variable is filled in: {query}"
    return query


def rows(url: str, influxql: str, **chosen: str | Sequence[str]) -> list[dict[str, Any]]:
    variables = {
        "county": COUNTY, "works": "W-1", "outlet": ["outlet"], "network_end": ["network_end"], "silence": "1h", "statistic": "mean",
    }  # fmt: skip
    query = substituted(influxql, {**variables, **chosen})
    result = post(f"{url}/query", {"db": DATABASE, "q": query, "epoch": "ms"})["results"][0]
    assert "error" not in result, result
    return [
        {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
        for series in result.get("series", [])
        for row in series["values"]
    ]


def all_targets() -> Iterator[tuple[str, str]]:
    for language in LANGUAGES:
        for name, dashboard in dashboards(language).items():
            for panel in dashboard["panels"]:
                for target in panel.get("targets", []):
                    yield f"{language}/{name}/{panel['id']}{target['refId']}", target["query"]


def query_of(title: str, nth: int = 0) -> str:
    county = dashboards("zh")["county"]
    return str(next(p for p in county["panels"] if p["title"] == title)["targets"][nth]["query"])


@pytest.mark.parametrize("query", [pytest.param(q, id=name) for name, q in all_targets()])
def test_the_query_of_a_panel_returns_rows_with_values(influx: str, query: str) -> None:
    found = rows(influx, query)
    tags = {"time", "county", "works", "point"}
    assert any(value is not None for row in found for column, value in row.items() if column not in tags)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("county", {COUNTY}),
        ("works", {"W-1", "W-2", "W-3", "W-4", "W-5", "W.6"}),
        ("outlet", {"outlet", "network_end"}),
        ("network_end", {"outlet", "network_end"}),
    ],
)
def test_a_choice_offers_what_is_in_the_store(influx: str, name: str, values: set[str]) -> None:
    offered = next(v for v in dashboards("zh")["works"]["templating"]["list"] if v["name"] == name)
    assert {row["value"] for row in rows(influx, offered["query"])} == values


def test_silent_works_are_those_not_heard_of_for_the_time_chosen(influx: str) -> None:
    assert [row["number"] for row in rows(influx, query_of("静默水厂"))] == [1]
    assert [row["number"] for row in rows(influx, query_of("在报水厂"))] == [5]
    assert [row["number"] for row in rows(influx, query_of("静默水厂"), silence="8h")] == [0]


def test_reporting_works_fall_where_one_went_silent(influx: str) -> None:
    counted = [row["count"] for row in rows(influx, query_of("在报水厂数"), silence="15m")]
    assert counted[1] == 6
    assert counted[-2] == 5


@pytest.mark.parametrize(
    ("title", "share"), [("余氯 低于下限 0.3", 1 / 4), ("二氧化氯 低于下限 0.1", 0), ("浊度 超过限值 1", 1 / 5)]
)
def test_the_share_counts_only_works_beyond_the_limit_itself(influx: str, title: str, share: float) -> None:
    assert [row["share"] for row in rows(influx, query_of(title))] == pytest.approx([share])


def test_a_share_without_any_data_is_no_zero(influx: str) -> None:
    assert rows(influx, query_of("余氯 低于下限 0.3"), county="000000") == []


def test_the_share_over_time_has_a_value_for_each_span(influx: str) -> None:
    shares = [row["mean"] for row in rows(influx, query_of("余量低于下限的水厂占比"))]
    assert shares[1] == pytest.approx(1 / 4)
    assert shares[-2] == pytest.approx(1 / 3), "W-3 sends no more, so W-2 is one of three"


def test_the_table_of_works_has_a_row_for_each_works_and_blanks_for_what_it_does_not_measure(influx: str) -> None:
    found = {row["works"]: row for row in rows(influx, query_of("各水厂最新值"))}
    assert set(found) == {"W-1", "W-2", "W-3", "W-4", "W-5", "W.6"}
    assert found["W-4"]["余氯 mg/L"] is None
    assert found["W-4"]["二氧化氯 mg/L"] == 0.3


def test_last_data_of_a_silent_works_is_the_time_of_its_last_reading(influx: str) -> None:
    found = {row["works"]: row["time"] for row in rows(influx, query_of("最久无数据的水厂"))}
    assert min(found, key=lambda works: found[works]) == "W-3"
    assert NOW - 121 * MINUTE - 1000 < found["W-3"] < NOW - 119 * MINUTE


def test_a_name_with_a_dot_matches_itself_alone(influx: str) -> None:
    ph = next(p for p in dashboards("zh")["works"]["panels"] if p["title"] == "pH")["targets"][0]["query"]
    assert {row["mean"] for row in rows(influx, ph, works="W.6")} - {None} == {7.2}
    assert rows(influx, ph, works="W?6") == []


def test_several_points_can_be_chosen_at_once(influx: str) -> None:
    chlorine = next(p for p in dashboards("zh")["works"]["panels"] if p["title"] == "游离氯")["targets"][0]["query"]
    assert {row["point"] for row in rows(influx, chlorine, outlet=["outlet", "network_end"])} == {
        "outlet",
        "network_end",
    }


def test_flags_that_only_say_nobody_looked_are_not_counted(influx: str) -> None:
    panel = next(p for p in dashboards("zh")["works"]["panels"] if p["title"] == "可疑、无效与缺测数据条数")
    counted = [row["count"] for target in panel["targets"] for row in rows(influx, target["query"])]
    assert sum(counted) == 2 * len(online_parameters())
