"""A register file goes into the database, whole or in dry run, and comes out again."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine

from ledgers.works_export import register_workbook
from qingquan.domain.works import Contact, Disinfectant, Equipment, PointKind, Role, SamplingPoint, Works
from qingquan.errors import StoreUnavailable, WrongUse
from qingquan.services.works_import import export_works, import_works
from qingquan.standards.loader import load_standards
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.register import load_works, register_version, save_works
from qingquan.testing.databases import engine

__all__ = ["engine"]

PARAMETERS = load_standards().parameters

WORKS = [
    Works(
        county="520425",
        id=f"W{n:04d}",
        name=f"水厂{n}",
        township="猫营镇",
        disinfectant=Disinfectant.FREE_CHLORINE,
        equipment=Equipment.EQUIPPED,
        capacity_m3_d=100.0 + n,
        population=1000 + n,
        points=(SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("free_chlorine", "turbidity")),),
        contacts=(Contact(Role.CARETAKER, "韦师傅", "13800000001"),),
    )
    for n in range(20)
]


@pytest.fixture
def workbook(tmp_path: Path) -> Path:
    path = tmp_path / "register.xlsx"
    path.write_bytes(register_workbook(WORKS, PARAMETERS))
    return path


def held(engine: Engine) -> list[Works]:
    with reading(engine) as connection:
        return load_works(connection)


def test_a_workbook_is_imported_and_exported_the_same(engine: Engine, workbook: Path, tmp_path: Path) -> None:
    report = import_works(workbook, engine)
    assert (report.inserted, report.updated, report.unchanged, report.points, report.rows) == (20, 0, 0, 20, 40)
    assert report.is_clean
    assert held(engine) == WORKS
    again = tmp_path / "again.xlsx"
    again.write_bytes(export_works(engine))
    report = import_works(again, engine)
    assert (report.inserted, report.updated, report.unchanged) == (0, 0, 20)
    with reading(engine) as connection:
        assert register_version(connection) == 1
    again.write_bytes(export_works(engine, "53"))
    assert not import_works(again, engine).is_clean


def test_a_dry_run_tells_the_same_and_writes_nothing(engine: Engine, workbook: Path) -> None:
    tried = import_works(workbook, engine, dry_run=True)
    assert held(engine) == []
    assert tried.lines()[0].startswith("试导入（未写入）：register.xlsx，共 40 行，拒绝 0 行；新增工程 20 处")
    done = import_works(workbook, engine)
    assert replace(done, dry_run=True) == tried


def test_good_rows_are_imported_and_refused_ones_reported(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "w.csv"
    rows = [
        "区县编码,工程编码,工程名称,消毒方式,设计供水规模(m³/d),受益人口",
        "520425,A1,甲厂,次氯酸钠,200,900",
        "520425,A2,乙厂,碘,200,900",
    ]
    path.write_text("\n".join(rows), encoding="gb18030")
    (tmp_path / "w-采样点.csv").write_text(
        "工程编码,采样点编码,类型\nA1,outlet,出厂水\nA2,outlet,出厂水\n", encoding="utf-8-sig"
    )
    report = import_works(path, engine)
    assert [entry.id for entry in held(engine)] == ["A1"]
    assert (report.rows, report.refused, report.points, report.files) == (4, 2, 1, ("w.csv", "w-采样点.csv"))
    assert not report.is_clean
    assert [line.split(": ")[0] for line in report.lines()[1:]] == ["w.csv!D3", "w-采样点.csv!A3"]
    assert report.lines("en")[0].startswith("imported: w.csv, w-采样点.csv: 4 rows, 2 refused; works: 1 new")


def test_works_without_sampling_points_are_named(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "w.xlsx"
    path.write_bytes(register_workbook([replace(entry, points=()) for entry in WORKS], PARAMETERS))
    report = import_works(path, engine)
    assert report.is_clean
    assert report.without_points[0] == "520425/W0000"
    assert "没有采样点" in report.lines()[1]
    assert report.lines()[1].endswith("… (20)")


def test_what_the_sheet_has_no_room_for_survives_an_import(engine: Engine, workbook: Path) -> None:
    rich = replace(
        WORKS[0], note="老厂", tags={"网格": "3"}, simulated=True, population=1,
        contacts=(*WORKS[0].contacts, Contact(Role.CARETAKER, "杨师傅", "", "yang"), Contact(Role.MANAGER, "罗", "", "luo")),
    )  # fmt: skip
    with writing(engine) as connection:
        save_works(connection, [rich])
    report = import_works(workbook, engine)
    assert (report.inserted, report.updated) == (19, 1)
    assert held(engine)[0] == replace(rich, population=1000)


def test_a_file_that_cannot_be_opened_is_wrong_use(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"none\.xlsx: No such file"):
        import_works(tmp_path / "none.xlsx", engine)
    with pytest.raises(WrongUse, match="directory"):
        import_works(tmp_path, engine)


def test_a_file_that_is_no_table_changes_nothing(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "photo.xlsx"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    report = import_works(path, engine)
    assert (report.rows, report.inserted, len(report.refusals)) == (0, 0, 1)
    assert report.lines()[1] == "photo.xlsx: 不是表格文件（binary）: 另存为 .xlsx 或 .csv"


def test_a_database_that_does_not_answer_is_unavailable(workbook: Path) -> None:
    with pytest.raises(StoreUnavailable):
        import_works(workbook, open_database("postgresql://nobody@127.0.0.1:1/none"))
