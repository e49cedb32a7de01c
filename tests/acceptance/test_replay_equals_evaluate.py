"""A recorded file through the running system (MQTT, log, evaluator, SQL; recorder, DuckDB) against `evaluate` of the same file.

Every value of the file is accounted for, and the findings are the same, column by column.
"""

import csv
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pytest

from ingest.mapping import Mapping, load_mapping, works_of
from qingquan.services.file_evaluation import FINDING_COLUMNS, finding_row
from qingquan.store.series.duckdb_order import EVERY_READING
from qingquan.store.sql.engine import open_database, reading
from qingquan.store.sql.findings import list_findings
from qingquan.testing.system import ROOT, System, child_environment, running_system, system_settings

pytestmark = pytest.mark.slow

Row = dict[str, str]

GECCO = ROOT.parent / "shared" / "data" / "gecco" / "gecco2018_train.csv.gz"
MINUTE = 60_000
MAPPING = """
time = "Time"
tz = "+08:00"
county = "520425"
works = "W0042"
point = "outlet"
disinfectant = "free_chlorine"
[points]
end = "network_end"
[columns]
Cl = { parameter = "free_chlorine", unit = "mg/L" }
Turb = { parameter = "turbidity", unit = "NTU" }
pH = { parameter = "ph", unit = "pH unit" }
ClEnd = { parameter = "free_chlorine", unit = "mg/L", point = "end" }
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the running system made of a file, and what `evaluate` did."""

    mapping: Mapping
    replayed: dict[str, int]
    evaluated: dict[str, int]
    counts: dict[str, Any]
    stored: dict[int, int]
    live: list[Row]
    filed: list[Row]


def run(settings: dict[str, str], *arguments: str, status: int = 0) -> Any:
    """Run a command of ours; what it printed, decoded."""
    done = subprocess.run(
        [sys.executable, "-m", "qingquan", *arguments], env=settings, cwd=ROOT, capture_output=True, text=True, timeout=900
    )  # fmt: skip
    assert done.returncode == status, (arguments, done.returncode, done.stderr[-2000:])
    return json.loads(done.stdout)


def outcome_of(file: Path, mapping_file: Path, folder: Path, status: int = 0, speed: float = 1.0) -> Outcome:
    """Replay the file at full speed and evaluate it; ``status`` is what both commands end with, ``speed`` that of the clock."""
    mapping = load_mapping(mapping_file)
    config = system_settings(folder, clock_speed=speed, clock_epoch_ms=time.time_ns() // 1_000_000)
    settings = child_environment(config)
    given = (str(file), "--mapping", str(mapping_file), "--json")
    with running_system(config, [works_of(mapping)], ("evaluator", "recorder", "web")) as system:
        replayed = run(settings, "replay", *given, "--speed", "max", status=status)
        out = folder / "FINDINGS.csv"
        evaluated = run(settings, "evaluate", *given, "--out", str(out), "--as-of", "now", status=status)
        with out.open(encoding="utf-8", newline="") as table:
            filed = list(csv.DictReader(table))
        last = system.last_sequence()
        system.wait_for(lambda: _is_through(system, last), "evaluated and recorded", 120)
        # An open finding is brought up to date, and silence told, once nothing more comes.
        zone = ZoneInfo(works_of(mapping).time_zone)
        _wait_until_equal(system, filed, zone)
        counts = system.api("counts")
    stored = duckdb.connect(str(config.data_path / "series.duckdb"), read_only=True)
    by_flag = dict(stored.execute(f"SELECT flag, count(*) FROM {EVERY_READING} GROUP BY 1").fetchall())
    stored.close()
    return Outcome(mapping, replayed, evaluated, counts, by_flag, live_findings(config.sql_url, zone), filed)


def _is_through(system: System, last: int) -> bool:
    try:
        counts = system.api("counts")
    except OSError:
        return False
    return bool(counts["evaluated"] == counts["recorded"] == last)


def _wait_until_equal(system: System, filed: list[Row], zone: ZoneInfo) -> None:
    """At most 40 s; whoever compares afterwards shows the difference."""
    try:
        system.wait_for(lambda: live_findings(system.config.sql_url, zone) == filed, "settled", 40)
    except AssertionError:
        if system.last_words():
            return


def live_findings(url: str, zone: ZoneInfo) -> list[Row]:
    """What the database holds and nobody has taken back, as `evaluate` writes it."""
    engine = open_database(url)
    with reading(engine) as connection:
        page = list_findings(connection, limit=100_000)
    engine.dispose()
    standing = [one for one in page.items if not one.withdrawn]
    standing.sort(key=lambda one: (one.start, one.kind, one.point, one.parameter, one.id))
    return [dict(zip(FINDING_COLUMNS, map(str, finding_row(one, zone)), strict=True)) for one in standing]


def made_file(path: Path) -> None:
    """Five days by the minute: two losses of chlorine, turbidity over its limits, gaps, cells without values, spikes, the end
    in the middle of a loss."""
    rng = np.random.default_rng(11)
    minutes = 5 * 1440
    n = np.arange(minutes)
    chlorine = 0.5 + 0.05 * np.sin(n / 200) + rng.normal(0, 0.01, minutes)
    for first, last in ((1000, 1200), (minutes - 100, minutes)):
        chlorine[first:last] = np.maximum(0.02, chlorine[first:last] * np.exp(-(n[first:last] - first) / 8))
    chlorine[3000:3400] = 0.22 + rng.normal(0, 0.005, 400)
    turbidity = 0.4 + rng.normal(0, 0.03, minutes)
    turbidity[2000:2100] += 1.2
    turbidity[4000:4150] += 5.5 * np.exp(-((n[4000:4150] - 4075.0) ** 2) / 1500)
    ph = 7.4 + rng.normal(0, 0.02, minutes)
    ph[5000:5060] = 8.9
    end = chlorine * 0.5
    end[6000:6600] = 0.123
    cells = np.array([chlorine, turbidity, ph, end]).T.round(3).astype(str)
    cells[rng.random(cells.shape) < 0.02] = ""
    cells[500:530, 0] = "NaN"
    cells[700, 1] = "-9999"
    cells[[800, 801], [0, 2]] = "999.0"
    kept = np.ones(minutes, bool)
    kept[2500:2700] = kept[3200:3210] = False
    day = np.datetime64("2026-05-01T00:00:00")
    lines = [
        f"{str(day + np.timedelta64(int(minute), 'm')).replace('T', ' ')},{','.join(cells[minute])}"
        for minute in n[kept]
    ]
    lines.insert(100, "no time at all,0.5,0.4,7.4,0.25")
    lines.insert(200, lines[200].rpartition(",")[0] + ",what")
    del lines[201]
    path.write_text("Time,Cl,Turb,pH,ClEnd\n" + "\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("made")
    made_file(folder / "recorded.csv")
    (folder / "mapping.toml").write_text(MAPPING)
    # A faster clock shortens the wait until the end of the file counts as silence.
    return outcome_of(folder / "recorded.csv", folder / "mapping.toml", folder, status=1, speed=10.0)


def assert_all_accounted_for(outcome: Outcome) -> None:
    """Values recorded, missing and refused make up rows x columns, in the database as in the commands' own counts."""
    replayed, evaluated = outcome.replayed, outcome.evaluated
    missing = outcome.stored.get(9, 0)
    values = sum(outcome.stored.values()) - missing
    refused = replayed["refused_rows"] * len(outcome.mapping.columns) + replayed["refused_cells"]
    assert values + missing + refused == replayed["rows"] * len(outcome.mapping.columns)
    assert (values, missing) == (replayed["values"], replayed["missing"])
    assert replayed["messages"] == replayed["acknowledged"]
    assert outcome.counts["logged"] == outcome.counts["evaluated"] == outcome.counts["recorded"]
    assert outcome.counts["quarantined"] == {}
    assert (outcome.counts["duplicates"], outcome.counts["conflicts"]) == (0, 0)
    assert evaluated["rows"] == replayed["rows"]
    assert (evaluated["refused_rows"], evaluated["refused_cells"]) == (
        replayed["refused_rows"],
        replayed["refused_cells"],
    )


def differences(live: list[Row], filed: list[Row]) -> list[str]:
    """Findings that only one side has, and columns in which the others differ."""
    a, b = {one["id"]: one for one in live}, {one["id"]: one for one in filed}
    lines = [f"only live: {list(a[id_].values())}" for id_ in a.keys() - b.keys()]
    lines += [f"only filed: {list(b[id_].values())}" for id_ in b.keys() - a.keys()]
    lines += [
        f"{a[id_]['kind']} {a[id_]['start']} {column}: {a[id_][column]!r} live, {b[id_][column]!r} filed"
        for id_ in a.keys() & b.keys() for column in FINDING_COLUMNS if a[id_][column] != b[id_][column]
    ]  # fmt: skip
    return sorted(lines)


def test_every_value_of_a_replayed_file_is_recorded_missing_or_refused(made: Outcome) -> None:
    assert_all_accounted_for(made)
    assert (made.replayed["refused_rows"], made.replayed["refused_cells"]) == (1, 1)
    assert made.replayed["missing"] > 400


def test_a_replayed_file_gives_the_findings_that_evaluate_gives(made: Outcome) -> None:
    assert differences(made.live, made.filed) == []
    assert made.live == made.filed
    kinds = {row["kind"] for row in made.filed}
    assert {"disinfection_missing", "disinfection_low", "exceedance", "stale", "flat_line"} <= kinds
    # The loss at the end of the file lasts; so does the silence after it.
    assert {row["kind"] for row in made.filed if not row["end"]} >= {"disinfection_missing", "stale"}


@pytest.mark.proof
@pytest.mark.timeout(900)
@pytest.mark.skipif(not GECCO.exists(), reason="the GECCO 2018 recording is not beside this repository")
def test_the_gecco_recording_replays_whole_and_gives_the_findings_that_evaluate_gives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = outcome_of(GECCO, ROOT / "simulators" / "mappings" / "gecco.toml", tmp_path)
    assert outcome.replayed["rows"] == 139_566
    assert outcome.replayed["refused_rows"] == outcome.replayed["refused_cells"] == 0
    assert_all_accounted_for(outcome)
    with capsys.disabled():
        print(f"\n{outcome.replayed} {len(outcome.filed)} findings")
        print(*differences(outcome.live, outcome.filed)[:40], sep="\n")
    assert differences(outcome.live, outcome.filed)[:20] == []
