"""Event detection on recorded water with expert labels, through the command's own door. Skips where the data are not there."""

import csv
from pathlib import Path

import numpy as np
import pytest

from qingquan.packages import TREE
from qingquan.services.bench.accuracy.labelled import GECCO_YEARS, gecco, mapping_of, missing_data, station_b, thinned
from qingquan.services.bench.accuracy.live_part import named, scored_live, told
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


@pytest.mark.proof
@pytest.mark.parametrize(
    ("year", "minutes", "least_found"), [(2017, 15, 30), (2017, 20, 20), (2018, 15, 12), (2018, 20, 9)]
)
def test_slow_instruments_tell_few_false_events_live_and_still_find_what_they_can_see(
    year: int, minutes: int, least_found: int
) -> None:
    slow = thinned(gecco(DATA, year), minutes)
    one = scored_live(slow, told(slow))
    assert one.false_per_week <= 1.0
    assert one.found >= least_found
    assert one.delay_min <= 2 * minutes
    assert one.longest_h <= 12


@pytest.mark.slow
def test_a_month_of_lost_chlorine_stays_an_event_where_nothing_is_learnt_while_it_is_lost() -> None:
    recording = station_b(DATA)
    plain, kept = told(recording), told(recording, "network/free_chlorine")
    assert scored_live(recording, plain).per_week <= 4.0
    assert scored_live(recording, plain).longest_h < 24
    assert scored_live(recording, kept).longest_h > 25 * 24
    assert scored_live(recording, kept).events < len(plain)


@pytest.mark.proof
def test_known_shapes_are_found_again_and_unlike_ones_are_not_called_like() -> None:
    recording = thinned(gecco(DATA, 2017), 5)
    known = named(recording, told(recording))
    assert known.named > known.shapes
    assert known.crossed <= 0.1 * known.named
