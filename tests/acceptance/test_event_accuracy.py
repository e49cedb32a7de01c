"""Event detection on recorded water with expert labels, through the command's own door. Skips where the data are not there."""

import csv
from pathlib import Path

import numpy as np
import pytest

from qingquan.packages import TREE
from qingquan.services.bench.accuracy.labelled import GECCO_YEARS, gecco, mapping_of, missing_data
from qingquan.services.bench.accuracy.scoring import Scores, scored
from qingquan.services.event_detection import detect_file

DATA = TREE / "../shared/data"

pytestmark = pytest.mark.skipif(
    bool(missing_data(DATA)), reason=f"recorded data not there: {', '.join(missing_data(DATA))}"
)


def scores_of(year: int, folder: Path) -> tuple[Scores, np.ndarray, np.ndarray]:
    recording = gecco(DATA, year)
    out = folder / "events.csv"
    detect_file(recording.file, recording.mapping, out)
    with out.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == len(recording.times)
    score = np.array([float(row["score"]) for row in rows])
    alarm = np.array([row["event"] == "1" for row in rows])
    return scored(alarm, score, recording.is_event, recording.times), alarm, np.isnan(recording.values).all(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize(("year", "least_f1"), list(zip(GECCO_YEARS, (0.80, 0.70), strict=True)))
def test_a_year_reaches_what_was_asked_and_what_the_page_says(year: int, least_f1: float, tmp_path: Path) -> None:
    one, alarm, is_empty = scores_of(year, tmp_path)
    assert one.f1 >= least_f1
    assert one.found >= 0.9 * one.episodes
    assert one.false_per_week <= 1.0
    assert not alarm[is_empty].any()
    page = (TREE / "docs/accuracy.md").read_text(encoding="utf-8")
    assert f"| {year} | {one.f1:.3f} | {one.precision:.3f} | {one.recall:.3f} | {one.found}/{one.episodes} |" in page


def test_station_b_with_a_month_of_lost_chlorine_is_judged_row_by_row(tmp_path: Path) -> None:
    out = tmp_path / "events.csv"
    file = DATA / "canary_station_b/station_b_first60.csv"
    done = detect_file(file, mapping_of("canary_station_b"), out)
    assert done.rows == 4320
    with out.open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == 4320
    lost = next(n for n, row in enumerate(rows) if row["time"] == "02/26/2006 07:00:00")
    named = [row["contributors"] for row in rows[lost : lost + 6] if row["event"] == "1"]
    assert any("network/free_chlorine" in text for text in named)
    assert sum(row["event"] == "1" for row in rows) < 0.2 * len(rows)
