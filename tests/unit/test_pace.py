"""The cadence of a recorded file whose mapping does not state one."""

from pathlib import Path

import pytest

from ingest.mapping import Mapping, parse_mapping
from ingest.pace import paced
from qingquan.config import Config
from qingquan.domain.findings import FindingKind
from qingquan.packages import TREE
from qingquan.services.file_evaluation import evaluate_file

DATA = TREE.parent / "shared" / "data" / "canary_station_b" / "station_b_first60.csv"

MAPPING = """
time = "t"
tz = "+08:00"
county = "520425"
works = "W1"
point = "outlet"
disinfectant = "free_chlorine"
[columns]
cl = { parameter = "free_chlorine", unit = "mg/L" }
ntu = { parameter = "turbidity", unit = "NTU" }
"""


def mapping_with(line: str = "") -> Mapping:
    return parse_mapping(line + MAPPING, "mapping.toml")


def recording(folder: Path, every_min: int, cl: str = "0.6", ntu_every: int = 1) -> Path:
    rows = [
        f"2026-05-{1 + k * every_min // 1440:02d} {k * every_min // 60 % 24:02d}:{k * every_min % 60:02d},{cl},"
        f"{0.4 + 0.01 * (k % 3) if k % ntu_every == 0 else ''}"
        for k in range(200)
    ]
    file = folder / "file.csv"
    file.write_text("\n".join(["t,cl,ntu", *rows]), encoding="utf-8")
    return file


@pytest.mark.parametrize("every_min", [1, 5, 15, 20])
def test_the_usual_step_of_the_file_is_its_cadence(tmp_path: Path, every_min: int) -> None:
    assert paced(recording(tmp_path, every_min), mapping_with()).cadence_s == every_min * 60


def test_a_stated_cadence_stands(tmp_path: Path) -> None:
    assert paced(recording(tmp_path, 15), mapping_with("cadence_s = 30\n")).cadence_s == 30


def test_the_slowest_of_the_columns_that_are_filled_often_sets_the_pace(tmp_path: Path) -> None:
    assert paced(recording(tmp_path, 1, ntu_every=4), mapping_with()).cadence_s == 240
    assert paced(recording(tmp_path, 1, ntu_every=20), mapping_with()).cadence_s == 60


def test_a_file_of_one_row_keeps_the_usual_minute(tmp_path: Path) -> None:
    file = tmp_path / "one.csv"
    file.write_text("t,cl,ntu\n2026-05-01 00:00,0.6,0.4\n", encoding="utf-8")
    assert paced(file, mapping_with()).cadence_s == 60


def test_lost_chlorine_in_a_slow_file_is_missing_and_nothing_is_silent(tmp_path: Path) -> None:
    done = evaluate_file(recording(tmp_path, 20, cl="0.0"), mapping_with(), Config(), findings_out=tmp_path / "out.csv")
    kinds = {one.kind for one in done.findings}
    assert FindingKind.DISINFECTION_MISSING in kinds
    assert FindingKind.STALE not in kinds


def station_b(point: str, more: str = "") -> Mapping:
    return parse_mapping(
        f"""
        {more}
        time = "TimeStep"
        tz = "-05:00"
        county = "990002"
        works = "B"
        point = "{point}"
        disinfectant = "free_chlorine"
        [columns]
        B_CL2_VAL = {{ parameter = "free_chlorine", unit = "mg/L" }}
        B_TURB_VAL = {{ parameter = "turbidity", unit = "NTU" }}
        B_PH_VAL = {{ parameter = "ph", unit = "pH unit" }}
        B_TEMP_VAL = {{ parameter = "temperature", unit = "degF" }}
        """,
        "mapping.toml",
    )


@pytest.mark.skipif(not DATA.exists(), reason="recorded data of CANARY Station B is not here")
@pytest.mark.parametrize("point", ["outlet", "network"])
def test_a_month_without_chlorine_at_station_b_is_said_and_stays_said(tmp_path: Path, point: str) -> None:
    done = evaluate_file(DATA, station_b(point), Config(), findings_out=tmp_path / "out.csv")
    (lost,) = [one for one in done.findings if one.kind is FindingKind.DISINFECTION_MISSING]
    begin, end = 1_140_955_200_000, 1_143_558_000_000  # 2006-02-26 07:00 to 2006-03-28 10:00, local
    assert lost.start == begin
    assert lost.end is not None
    assert lost.end >= end


@pytest.mark.skipif(not DATA.exists(), reason="recorded data of CANARY Station B is not here")
@pytest.mark.parametrize("point", ["outlet", "network"])
def test_the_loss_at_station_b_is_said_with_the_row_that_makes_half_an_hour_of_evidence(
    tmp_path: Path, point: str
) -> None:
    """Rows of 20 min: 07:00 is the first at the floor, 07:20 makes 20 min of evidence, 07:40 more than 30."""
    rows = DATA.read_text(encoding="utf-8").splitlines()
    at = next(n for n, row in enumerate(rows) if row.startswith("02/26/2006 07:00"))
    said = {}
    for more in range(-1, 5):
        cut = tmp_path / "cut.csv"
        cut.write_text("\n".join(rows[: at + more + 1]), encoding="utf-8")
        done = evaluate_file(cut, station_b(point, "cadence_s = 1200"), Config(), findings_out=tmp_path / "out.csv")
        said[20 * more] = [one.start for one in done.findings if one.kind is FindingKind.DISINFECTION_MISSING]
    begin = [1_140_955_200_000]
    assert said == {-20: [], 0: [], 20: [], 40: begin, 60: begin, 80: begin}
