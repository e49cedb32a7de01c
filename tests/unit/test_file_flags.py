"""`evaluate --flags`: every value with its flag and the names of the tests."""

import csv
from pathlib import Path

import numpy as np

from ingest.mapping import load_mapping
from qingquan.config import Config
from qingquan.services.file_evaluation import FLAG_COLUMNS, evaluate_file
from qingquan.services.file_flags import recorded_cadence_s

MAPPING = """time = "time"
tz = "Asia/Shanghai"
county = "520425"
works = "W0001"
point = "outlet"
disinfectant = "free_chlorine"

[columns]
cl = {parameter = "free_chlorine", unit = "mg/L"}
ntu = {parameter = "turbidity", unit = "NTU"}
cell = {parameter = "sample_flow", unit = "bool"}
"""


def flags_of(folder: Path, lines: list[str]) -> list[dict[str, str]]:
    (folder / "mapping.toml").write_text(MAPPING, encoding="utf-8")
    (folder / "recording.csv").write_text("time,cl,ntu,cell\n" + "\n".join(lines) + "\n", encoding="utf-8")
    out = folder / "flags.csv"
    evaluate_file(
        folder / "recording.csv", load_mapping(folder / "mapping.toml"), Config(), findings_out=folder / "findings.csv", flags_out=out
    )  # fmt: skip
    with out.open(encoding="utf-8", newline="") as file:
        assert file.readline().strip() == ",".join(FLAG_COLUMNS)
        return [dict(zip(FLAG_COLUMNS, row, strict=True)) for row in csv.reader(file)]


def test_every_value_has_a_flag_and_its_tests_in_file_order(tmp_path: Path) -> None:
    chlorine = np.round(0.5 + 0.02 * np.sin(np.arange(30)), 3)
    lines = [f"2026-05-01 08:{n:02d}:00,{value},0.4{n % 10},1" for n, value in enumerate(chlorine)]
    lines[10] = "2026-05-01 08:10:00,2.4,0.4,1"
    lines[15] = "2026-05-01 08:15:00,0.01,120,0"
    lines[20] = "2026-05-01 08:20:00,,0.41,1"
    lines.append("2026-05-01 08:05:00,0.9,0.41,1")
    rows = flags_of(tmp_path, lines)
    assert len(rows) == 3 * 31
    found = {(row["time"][11:16], row["parameter"], row["value"]): (row["flag"], row["tests"]) for row in rows}
    assert found["08:09", "free_chlorine", "0.508"] == ("1", "")
    assert found["08:10", "free_chlorine", "2.4"] == ("4", "spike rate_of_change")
    assert found["08:15", "free_chlorine", "0.01"] == ("4", "sample_flow")
    assert found["08:15", "turbidity", "120.0"][0] == "4"
    assert "gross_range" in found["08:15", "turbidity", "120.0"][1]
    assert found["08:20", "free_chlorine", ""] == ("9", "missing")
    assert found["08:05", "free_chlorine", "0.9"] == ("3", "out_of_order conflict")
    assert found["08:05", "sample_flow", "1.0"] == ("2", "out_of_order duplicate")
    assert [row["parameter"] for row in rows[:3]] == [row["parameter"] for row in rows[-3:]]


def test_the_pace_of_a_file_is_that_of_most_of_its_readings() -> None:
    assert recorded_cadence_s(np.array([0, 900_000, 1_800_000, 9_000_000])) == 900
    assert recorded_cadence_s(np.array([5])) == 0
