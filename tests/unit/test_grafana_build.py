"""The Grafana dashboards say what the tables say."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.grafana.build import build, dashboards, rendered
from dashboards.grafana.limits import BAD, GOOD, drawn_limit, limit_at, limit_text, online_parameters, steps_of
from dashboards.grafana.model import DATASOURCE_UID
from dashboards.grafana.provisioning import FOLDERS, datasource_payload
from dashboards.grafana.text import LANGUAGES
from dashboards.grafana.works import CONTACTS
from qingquan.domain.parameters import Limit, LimitKind, ParameterKind, SupplyClass
from qingquan.packages import TREE
from qingquan.standards.profiles import use_own_profiles
from qingquan.standards.tables import packaged_table

BUILT = TREE / "deploy" / "grafana"


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def panel(dashboard: dict[str, Any], title: str, nth: int = 0) -> dict[str, Any]:
    return [p for p in panels(dashboard) if p["title"] == title][nth]


def steps(of: dict[str, Any]) -> list[tuple[float | None, str]]:
    return [(step["value"], step["color"]) for step in of["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def limit(kind: LimitKind, low: float | None, high: float | None) -> Limit:
    return Limit(
        "x", "GB 0", "x", "", "", "", "any", SupplyClass.ANY, kind, low, high, "mg/L", "instant", "1", date(2023, 4, 1), None, "", "", ""
    )  # fmt: skip


def test_the_repository_holds_no_file_that_is_not_generated() -> None:
    found = {str(path.relative_to(BUILT)) for path in BUILT.rglob("*") if path.is_file()}
    assert found == set(rendered())


def test_build_writes_every_file_and_returns_their_paths(tmp_path: Path) -> None:
    paths = build(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in paths} == set(rendered())
    assert all(path.is_file() for path in paths)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_works_has_a_panel_for_every_online_parameter(language: str) -> None:
    titles = [p["title"] for p in panels(dashboards(language)["works"])]
    for parameter in online_parameters():
        assert (parameter.name_zh if language == "zh" else parameter.name_en) in titles


def test_limits_of_the_outlet_are_drawn_from_the_table() -> None:
    works = dashboards("zh")["works"]
    assert steps(panel(works, "游离氯")) == [(None, BAD), (0.3, GOOD), (2.0000000000000004, BAD)]
    assert steps(panel(works, "pH")) == [(None, BAD), (6.5, GOOD), (8.500000000000002, BAD)]
    assert steps(panel(works, "浑浊度")) == [(None, GOOD), (1.0000000000000002, BAD)]


def test_limits_of_the_network_end_are_its_own() -> None:
    assert steps(panel(dashboards("zh")["works"], "游离氯", nth=1)) == [
        (None, BAD),
        (0.05, GOOD),
        (2.0000000000000004, BAD),
    ]


def test_a_parameter_without_limit_draws_no_line() -> None:
    flow = panel(dashboards("zh")["works"], "出水流量")
    assert flow["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] == {"mode": "off"}
    assert "thresholds" not in flow["fieldConfig"]["defaults"]


def test_the_relaxed_row_for_small_supplies_is_named_beside_the_general_one() -> None:
    description = panel(dashboards("zh")["works"], "浑浊度")["description"]
    assert description.startswith("GB 5749-2022 Table 1: ≤ 1 NTU (gb5749-2022.turbidity)")
    assert "受限时: ≤ 3 NTU" in description


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (limit(LimitKind.MAX, None, 1.0), [(None, GOOD), (1.0000000000000002, BAD)]),
        (limit(LimitKind.MAX_STRICT, None, 1.0), [(None, GOOD), (1.0, BAD)]),
        (limit(LimitKind.MIN, 0.3, None), [(None, BAD), (0.3, GOOD)]),
        (limit(LimitKind.ABSENT, None, None), []),
        (None, []),
    ],
)
def test_a_value_at_an_inclusive_limit_keeps_the_colour_of_compliance(given: Limit | None, expected: list[Any]) -> None:
    assert [(step.value, step.colour) for step in steps_of(given)] == expected


def test_every_contact_has_words_for_both_its_positions() -> None:
    assert set(CONTACTS) == {p.code for p in online_parameters() if p.kind is ParameterKind.STATE}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ["county", "works"])
def test_a_dashboard_is_well_formed(language: str, name: str) -> None:
    dashboard = dashboards(language)[name]
    identifiers = [p["id"] for p in dashboard["panels"]]
    assert len(identifiers) == len(set(identifiers))
    places = {(x, y) for p in dashboard["panels"] for x, y in _cells(p["gridPos"])}
    assert len(places) == sum(p["gridPos"]["w"] * p["gridPos"]["h"] for p in dashboard["panels"]), "panels overlap"
    assert all(x < 24 for x, _ in places)
    assert {target["datasource"]["uid"] for p in panels(dashboard) for target in p["targets"]} == {DATASOURCE_UID}


def test_english_pages_hold_no_chinese_but_the_house_name() -> None:
    for dashboard in dashboards("en").values():
        text = json.dumps(dashboard, ensure_ascii=False)
        assert [c for c in text if "\u4e00" <= c <= "\u9fff"] == []


def test_links_between_the_dashboards_meet_their_addresses() -> None:
    for language in LANGUAGES:
        built = dashboards(language)
        assert f"/d/{built['county']['uid']}?" in built["works"]["links"][0]["url"]
        assert f"/d/{built['works']['uid']}?" in json.dumps(built["county"])


def test_the_provisioned_data_source_is_the_one_that_push_creates() -> None:
    provisioned = yaml.safe_load(rendered()["provisioning/datasources/qingquan.yaml"])["datasources"][0]
    pushed = datasource_payload("$INFLUX_URL", "$INFLUX_DATABASE", "$INFLUX_TOKEN")
    assert {key: provisioned[key] for key in pushed} == pushed


def test_a_provider_stands_for_the_dashboards_of_each_language() -> None:
    providers = yaml.safe_load(rendered()["provisioning/dashboards/qingquan.yaml"])["providers"]
    assert [(p["folderUid"], p["folder"]) for p in providers] == list(FOLDERS.values())
    assert [p["options"]["path"].rsplit("/", 1)[1] for p in providers] == list(LANGUAGES)


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    return [(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])]


def test_a_limit_that_differs_between_counties_is_told_and_not_drawn(tmp_path: Path) -> None:
    assert drawn_limit("turbidity", "outlet") == limit_at("turbidity", "outlet")
    head = packaged_table("profiles.csv").splitlines()[0]
    profile = "c,binding,县,County,520425,gb5749-2022,DB-c,c.csv,none,2025-01-01,,high,test,"
    (tmp_path / "profiles.csv").write_text(f"{head}\n{profile}\n", "utf-8")
    columns = packaged_table("limits_gb5749_2022.csv").splitlines()[0]
    row = "c.turbidity,DB-c,turbidity,浑浊度,Turbidity,sensory,any,any,,max,,0.5,NTU,instant,1,2025-01-01,,high,test,"
    (tmp_path / "c.csv").write_text(f"{columns}\n{row}\n", "utf-8")
    use_own_profiles(str(tmp_path))
    try:
        assert drawn_limit("turbidity", "outlet") is None
        assert "≤ 0.5 NTU (c.turbidity)" in limit_text("turbidity", "outlet", "zh")
        assert drawn_limit("ph", "outlet") == limit_at("ph", "outlet")
    finally:
        use_own_profiles("")
