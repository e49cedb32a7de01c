"""`qingquan detect`: one row out per row in, whatever stands in the rows."""

import csv
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ingest.mapping import parse_mapping
from qingquan.cli import app
from qingquan.errors import ConfigurationError
from qingquan.services.event_detection import detector_plan
from qingquan.standards.event_floors import event_floors_from, load_event_floors
from qingquan.standards.loader import load_standards

MAPPING = """
time = "time"
tz = "+08:00"
county = "520425"
works = "w1"
point = "outlet"
disinfectant = "free_chlorine"

[columns]
cl = { parameter = "free_chlorine", unit = "mg/L" }
ntu = { parameter = "turbidity", unit = "NTU" }
end = { parameter = "free_chlorine", unit = "mg/L", point = "end" }
q = { parameter = "flow", unit = "m3/h" }
"""


def recorded(folder: Path, rows: list[list[str]]) -> tuple[Path, Path]:
    file, mapping = folder / "data.csv", folder / "mapping.toml"
    with file.open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["time", "cl", "ntu", "end", "q"], *rows])
    mapping.write_text(MAPPING, encoding="utf-8")
    return file, mapping


def two_days() -> list[list[str]]:
    rng = np.random.default_rng(3)
    start = datetime(2026, 5, 1)  # noqa: DTZ001
    rows = []
    for n in range(2880):
        drop = 0.3 if 2000 <= n < 2020 else 0.0
        cl, ntu, end = 0.5 - drop + rng.normal(0, 0.005), 0.3 + rng.normal(0, 0.003), 0.2 + rng.normal(0, 0.005)
        time = (start + timedelta(minutes=n)).strftime("%Y-%m-%d %H:%M:%S")
        rows.append([time, f"{cl:.3f}", f"{ntu:.3f}", f"{end:.3f}", "20"])
    return rows


def events_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


def run(folder: Path, rows: list[list[str]]) -> tuple[int, list[dict[str, str]], dict[str, int]]:
    file, mapping = recorded(folder, rows)
    out = folder / "events.csv"
    result = CliRunner().invoke(app, ["detect", str(file), "--mapping", str(mapping), "--out", str(out), "--json"])
    return result.exit_code, events_of(out), json.loads(result.stdout)


def test_every_row_has_its_row_and_the_event_its_contributor(tmp_path: Path) -> None:
    status, events, facts = run(tmp_path, two_days())
    assert status == 0
    assert list(events[0]) == ["time", "score", "event", "contributors"]
    assert [row["time"] for row in events] == [row[0] for row in two_days()]
    found = [n for n, row in enumerate(events) if row["event"] == "1"]
    assert found == list(range(2002, 2020))
    assert {events[n]["contributors"] for n in found} == {"outlet/free_chlorine"}
    assert {row["contributors"] for row in events if row["event"] == "0"} == {""}
    assert all((float(row["score"]) >= 1) == (row["event"] == "1") for row in events)
    assert (facts["rows"], facts["events"], facts["event_rows"]) == (2880, 1, 18)


def test_refused_and_empty_rows_stand_in_their_place_and_are_no_events(tmp_path: Path) -> None:
    rows = two_days()
    rows[5] = ["yesterday", "0.5", "0.3", "0.2", "20"]
    rows[2005] = [rows[2005][0], "", "NaN", "", ""]
    rows[2010] = ["", "0.5", "0.3", "0.2", "20"]
    rows[2879] = [rows[2879][0], "0.5", "much", "0.2", "20"]
    status, events, facts = run(tmp_path, rows)
    assert status == 1
    assert [row["time"] for row in events] == [row[0] for row in rows]
    assert [events[n]["event"] for n in (5, 2004, 2005, 2006, 2010)] == ["0", "1", "0", "1", "0"]
    assert (facts["refused_rows"], facts["refused_cells"]) == (2, 1)


def test_the_first_half_of_a_file_gives_the_first_half_of_the_output(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "half").mkdir()
    whole = run(tmp_path / "whole", two_days())[1]
    half = run(tmp_path / "half", two_days()[:2008])[1]
    assert half == whole[:2008]


def test_a_file_is_never_written_over_by_its_own_events(tmp_path: Path) -> None:
    file, mapping = recorded(tmp_path, two_days()[:5])
    before = file.read_bytes()
    result = CliRunner().invoke(app, ["detect", str(file), "--mapping", str(mapping), "--out", str(file)])
    assert result.exit_code == 2
    assert file.read_bytes() == before


def test_a_missing_column_is_named_and_leaves_no_output(tmp_path: Path) -> None:
    file, mapping = recorded(tmp_path, two_days()[:5])
    mapping.write_text(MAPPING.replace("ntu =", "trub ="), encoding="utf-8")
    out = tmp_path / "events.csv"
    result = CliRunner().invoke(app, ["detect", str(file), "--mapping", str(mapping), "--out", str(out)])
    assert result.exit_code == 2
    assert "'trub'" in result.stderr
    assert "columns found: time, cl, ntu, end, q" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.csv", "mapping.toml"]


def test_a_mapping_without_quality_columns_is_refused() -> None:
    head = MAPPING.split("[columns]")[0]
    mapping = parse_mapping(head + '[columns]\nq = { parameter = "flow", unit = "m3/h" }\n', "m.toml")
    with pytest.raises(ConfigurationError, match="none holds a quality parameter"):
        detector_plan(mapping)


def test_columns_are_called_by_parameter_and_by_point_where_that_is_not_enough() -> None:
    plan, places = detector_plan(parse_mapping(MAPPING, "m.toml"))
    assert plan.columns == ("outlet/free_chlorine", "turbidity", "end/free_chlorine")
    assert places == [0, 1, 2]
    assert [one.floor for one in plan.floors] == [0.01, 0.002, 0.01]


def test_wrong_rows_of_the_floors_are_refused_all_at_once() -> None:
    text = (
        "parameter,floor,relative,basis,source\nph,0,0,resolution,x\norp,1,2,resolution,x\nflow,1,0,resolution,x\n"
        "turbidity,0.002,0.01,guess,x\nconductivity,1,0,resolution,x\nconductivity,1,0,resolution,x\n"
    )
    with pytest.raises(ConfigurationError) as refused:
        event_floors_from(text, load_standards().parameters)
    said = "\n".join(refused.value.faults)
    for words in (
        "event_floors.csv:2: floor 0 is not above 0", "event_floors.csv:3: relative 2", "'flow' is no quality parameter",
        "basis 'guess': allowed: repeatability, resolution", "conductivity' stands already", "free_chlorine has no row",
    ):  # fmt: skip
        assert words in said


def test_every_quality_parameter_has_a_floor_from_an_instrument() -> None:
    assert all(one.source and one.floor > 0 for one in load_event_floors().values())
