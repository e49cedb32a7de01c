"""A works that cannot be judged is set aside by name and stops nobody."""

from dataclasses import replace
from pathlib import Path

import pytest

from ingest.decode import PointDirectory
from ledgers.works_export import register_workbook
from qingquan.config import Config
from qingquan.domain.findings import DisinfectionState
from qingquan.domain.judgeable import MOST_SERIES, NotJudged, is_time_zone, judgeable
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import PointKind, SamplingPoint, Works
from qingquan.services.evaluator import Evaluator
from qingquan.services.works_import import import_works
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.register import load_works, save_works
from qingquan.testing.databases import current_sqlite
from qingquan.testing.engine import default_ruleset, make_works
from rules.plan import compile_plan

CODES = tuple(load_standards().parameters)


def crowded(name: str) -> Works:
    points = (SamplingPoint(f"p{n}", PointKind.NETWORK_END, "", CODES) for n in range(MOST_SERIES // len(CODES) + 1))
    return make_works(name, points=tuple(points))


GOOD = make_works("W1")
WRONG_ZONE = make_works("W2", time_zone="Asia/Guiyang")


@pytest.mark.parametrize(
    ("name", "expected"), [("Asia/Shanghai", True), ("UTC", True), ("", False), ("Asia", False), ("../etc", False), ("x\0", False)]
)  # fmt: skip
def test_a_time_zone_is_known_by_name(name: str, expected: bool) -> None:
    assert is_time_zone(name) is expected


def test_wrong_entries_are_told_apart_with_the_reason() -> None:
    good, wrong = judgeable([GOOD, WRONG_ZONE, crowded("W3"), make_works("W4", cadence_s=0)])
    assert good == [GOOD]
    assert [(one.id, why) for one, why in wrong] == [
        ("W2", NotJudged.TIME_ZONE), ("W3", NotJudged.TOO_MANY_SERIES), ("W4", NotJudged.NO_CADENCE),
    ]  # fmt: skip


def test_the_door_knows_them_all_the_same() -> None:
    directory = PointDirectory([WRONG_ZONE, GOOD])
    assert directory.lookup("520425", "W1", "outlet") is not None
    assert directory.lookup("520425", "W2", "outlet") is not None


def test_series_nobody_asked_for_never_make_a_works_too_large() -> None:
    points = tuple(SamplingPoint(f"p{n}", PointKind.NETWORK_END, "", ("ph",)) for n in range(100))
    extra = [SeriesKey("520425", "W1", point.id, code) for point in points for code in CODES]
    tables = load_standards()
    plan = compile_plan(
        [make_works(points=points)], tables.parameters, load_profiles().binding, default_ruleset(), extra
    )
    assert len(plan.series) == MOST_SERIES
    assert int(plan.expected.sum()) == 100


def test_the_evaluator_starts_counts_them_and_calls_them_unknown(tmp_path: Path) -> None:
    config = Config(data_dir=str(tmp_path))
    upgrade(config.sql_url)
    engine = open_database(config.sql_url)
    with writing(engine) as connection:
        save_works(connection, [GOOD, WRONG_ZONE, crowded("W3")])
    evaluator = Evaluator(config, engine)
    with reading(engine) as connection:
        evaluator._load_register(connection)
    assert [works.id for fold in evaluator._folds.folds for works in fold.plan.works] == ["W1"]
    assert evaluator._pending == {"works_not_judged_time_zone": 1, "works_not_judged_too_many_series": 1}
    assert {(one.works, one.disinfection) for one in evaluator._unjudged} == {
        ("W2", DisinfectionState.UNKNOWN), ("W3", DisinfectionState.UNKNOWN),
    }  # fmt: skip
    engine.dispose()


def test_an_import_refuses_a_works_with_too_many_series_and_takes_the_others(tmp_path: Path) -> None:
    file = tmp_path / "register.xlsx"
    large = crowded("W3")
    # The sheet's zone is China's; only the number of series is wrong here.
    named = load_standards().parameters
    file.write_bytes(register_workbook([GOOD, large], named))
    url = current_sqlite(tmp_path / "q.db")
    engine = open_database(url)
    report = import_works(file, engine)
    assert [refusal.reason.value for refusal in report.refusals] == ["too_many_series"]
    assert str(len(CODES) * len(large.points)) in report.refusals[0].text("zh")
    assert (report.rows, report.refused, report.inserted) == (2 + 1 + len(large.points), 1 + len(large.points), 1)
    with reading(engine) as connection:
        assert load_works(connection) == [replace(GOOD, id="W1", points=load_works(connection)[0].points)]
    engine.dispose()
