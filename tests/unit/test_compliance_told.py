"""Compliance as the command line and the API tell it."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from dashboards.web.api import build_api
from dashboards.web.compliance_port import StoreCompliance
from dashboards.web.example import ExampleData
from dashboards.web.example_county import make_county
from dashboards.web.feed import CountyFeed
from dashboards.web.layout import Console
from dashboards.web.ports import ConsoleActions
from qingquan.cli import app
from qingquan.clock import Clock
from qingquan.domain.compliance import Compliance, ComplianceVerdict
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.store.sql.compliance import count_dirty, save_compliance
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import current_sqlite

DAY_MS = 86_400_000
FIGURES = Compliance(
    "520425", "W0001", "outlet", "turbidity", "2026-05", 0, 31 * DAY_MS, 44_640, 44_000, 43_900, 43_800, 30 * DAY_MS,
    DAY_MS // 2, DAY_MS // 2, 0.4, 1.6, 5, DAY_MS // 4, 3, 0, 0, 2, "gb5749-2022.turbidity", "GB 5749-2022", "Table 1",
    "instant", None, 1.0, ComplianceVerdict.EXCEEDING, {"ok": DAY_MS},
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    url = current_sqlite(tmp_path / "qingquan.db")
    engine = open_database(url)
    works = Works(
        "520425", "W0001", "甲水厂", "某镇", Disinfectant.FREE_CHLORINE, Equipment.EQUIPPED, 100.0, 900,
        (SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("turbidity",)),),
    )  # fmt: skip
    with writing(engine) as connection:
        save_works(connection, [works])
        save_compliance(
            connection, "520425", [replace(FIGURES, verdict=ComplianceVerdict.COMPLIANT, exceeding_ms=0)], 1000,
            is_published=True,
        )  # fmt: skip
        save_compliance(connection, "520425", [FIGURES], 2000, is_published=True)
    engine.dispose()
    return tmp_path


def told(folder: Path, *arguments: str) -> Any:
    return CliRunner().invoke(app, ["compliance", "--data", str(folder), *arguments])


def test_the_command_tells_what_is_known_now_and_what_was_known_then(folder: Path) -> None:
    [row] = json.loads(told(folder, "--month", "2026-05", "--json").stdout)
    assert (row["verdict"], row["then"]["verdict"]) == ("exceeding", "compliant")
    assert row["compliant_share"] == pytest.approx(30 / 30.5)
    text = told(folder, "--month", "2026-05", "--works", "520425/W0001").stdout
    assert "超标 98.36%" in text
    assert "当时所知 1970-01-01T00:00:01+00:00: 合规 100.00%" in text


def test_csv_has_one_line_a_period(folder: Path) -> None:
    [row] = csv.DictReader(io.StringIO(told(folder, "--month", "2026-05", "--csv").stdout))
    assert (row["works"], row["then_verdict"], row["clause"]) == ("W0001", "compliant", "Table 1")


@pytest.mark.parametrize("wrong", [["--month", "2026-13"], ["--by", "year"], ["--json", "--csv"]])
def test_wrong_use_is_refused_in_one_line(folder: Path, wrong: list[str]) -> None:
    found = told(folder, *wrong)
    assert found.exit_code == 2
    assert len(found.stderr.strip().splitlines()) == 1


def test_a_month_can_be_had_reckoned_again(folder: Path) -> None:
    assert told(folder, "--month", "2026-05", "--recompute").exit_code == 0
    engine = open_database(f"sqlite:///{folder / 'qingquan.db'}")
    with reading(engine) as connection:
        assert count_dirty(connection) == 31
    engine.dispose()
    assert told(folder, "--works", "W9", "--recompute").exit_code == 1


@pytest.fixture
def client(folder: Path) -> TestClient:
    engine = open_database(f"sqlite:///{folder / 'qingquan.db'}")
    data = ExampleData(make_county(1_777_600_000_000, 3))
    clock = Clock()
    console = Console(data, ConsoleActions(compliance=StoreCompliance(engine)), clock, CountyFeed(data, clock))
    return TestClient(build_api(console))


def test_the_api_lists_figures_with_what_was_known_then(client: TestClient) -> None:
    answer = client.get("/v1/compliance", params={"region": "52", "month": "2026-05"}).json()
    [item] = answer["items"]
    assert (answer["total"], item["verdict"], item["then_verdict"], item["version"]) == (1, "exceeding", "compliant", 2)
    assert (item["exceeding_h"], item["limit_id"], item["states_h"]) == (12.0, "gb5749-2022.turbidity", {"ok": 24.0})
    assert client.get("/v1/compliance", params={"by": "day"}).json()["total"] == 0


def test_the_api_gives_csv_and_refuses_what_makes_no_sense(client: TestClient) -> None:
    assert "turbidity" in client.get("/v1/compliance", params={"format": "csv"}).text
    for wrong in ({"month": "2026-13"}, {"by": "year"}, {"works": "a b"}, {"mont": "2026-05"}):
        assert client.get("/v1/compliance", params=wrong).status_code == 422


def test_a_console_without_figures_says_so() -> None:
    data = ExampleData(make_county(1_777_600_000_000, 3))
    console = Console(data, ConsoleActions(), Clock(), CountyFeed(data, Clock()))
    assert TestClient(build_api(console)).get("/v1/compliance").status_code == 501
