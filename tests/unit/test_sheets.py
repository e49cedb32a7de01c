"""Uploaded files become sheets of cells, or a reason why not."""

import io
import resource
import zipfile
from datetime import date, datetime

import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from qingquan import sheets as module
from qingquan.sheets import Sheet, SheetFault, Unreadable, column_letters, read_sheets

DAY = datetime(2021, 6, 1)  # noqa: DTZ001 - as spreadsheets have it
TEXT = "区县编码,工程名称\n520425,猫营水厂\n"


def workbook(rows: list[list[object]], merge: str = "") -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True, "default_date_format": "yyyy-mm-dd"}) as book:
        sheet = book.add_worksheet("工程")
        for r, row in enumerate(rows):
            for c, value in enumerate(row):
                if value is not None:
                    sheet.write(r, c, value)
        if merge:
            sheet.merge_range(merge, "合并")
    return buffer.getvalue()


def fault_of(content: bytes) -> SheetFault:
    found = read_sheets(content, "x")
    assert isinstance(found, Unreadable)
    return found.fault


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_csv_is_read_in_the_encodings_office_programs_write(encoding: str) -> None:
    rows = (("区县编码", "工程名称"), ("520425", "猫营水厂"))
    assert read_sheets(TEXT.encode(encoding), "a.csv") == [Sheet("a.csv", rows)]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_may_be_separated_by_comma_semicolon_or_tab(delimiter: str) -> None:
    content = f'\n编码{delimiter}名称\r\n1{delimiter}"甲{delimiter}乙\n丙"\r\n'
    found = read_sheets(content.encode(), "a.csv")
    assert isinstance(found, list)
    (sheet,) = found
    assert sheet.rows[-1] == ("1", f"甲{delimiter}乙\n丙")


def test_a_workbook_is_read_with_types_empty_cells_and_merged_areas() -> None:
    content = workbook([[None], [None, 420.5, "文字"], [DAY, True]], merge="B4:C5")
    found = read_sheets(content, "x.xlsx")
    assert isinstance(found, list)
    (sheet,) = found
    assert sheet.name == "工程"
    assert sheet.rows[1] == ("", 420.5, "文字")
    assert sheet.rows[2][:2] == (date(2021, 6, 1), True)
    assert sheet.merged == ((3, 1, 4, 2),)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", SheetFault.EMPTY),
        (b" \r\n\t", SheetFault.EMPTY),
        (b",,,\n,,\n", SheetFault.EMPTY),
        (workbook([[None]]), SheetFault.EMPTY),
        (b"%PDF-1.7 text", SheetFault.WRONG_TYPE),
        (b"\x89PNG\r\n\x1a\n\x00\x00", SheetFault.WRONG_TYPE),
        (b"a,b\n\xff\xff,1\n", SheetFault.BAD_ENCODING),
        (workbook([["a"]])[:200], SheetFault.DAMAGED),
        (b"PK\x03\x04rubbish", SheetFault.DAMAGED),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\x01" * 600, SheetFault.DAMAGED),
        (b'a,"' + b"x" * 200_000, SheetFault.DAMAGED),
        (b"," * 400, SheetFault.TOO_MANY_ROWS),
    ],
)
def test_what_is_no_table_is_refused_with_its_reason(content: bytes, fault: SheetFault) -> None:
    assert fault_of(content) is fault


def test_an_archive_that_is_no_workbook_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert fault_of(buffer.getvalue()) is SheetFault.WRONG_TYPE


def test_a_file_that_is_too_large_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    assert fault_of(b"a" * 101) is SheetFault.TOO_LARGE


def test_an_archive_that_would_unpack_too_far_is_refused_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 1000)
    assert fault_of(workbook([["a"]])) is SheetFault.TOO_LARGE


def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 3)
    assert fault_of(b"a\nb\nc\nd\n") is SheetFault.TOO_MANY_ROWS
    assert fault_of(workbook([["a"]] * 4)) is SheetFault.TOO_MANY_ROWS
    assert isinstance(read_sheets(workbook([["a"]] * 3), "x"), list)


@pytest.mark.parametrize("cell", [(1_048_575, 0), (0, 16_383), (1_048_575, 16_383), (99_000, 200)])
def test_a_stray_cell_far_out_is_refused_before_it_fills_the_memory(cell: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write(0, 0, "a")
        sheet.write(*cell, "b")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert fault_of(buffer.getvalue()) is SheetFault.TOO_MANY_ROWS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


def test_columns_are_lettered_as_spreadsheets_do() -> None:
    assert [column_letters(n) for n in (0, 25, 26, 51, 52, 701, 702)] == ["A", "Z", "AA", "AZ", "BA", "ZZ", "AAA"]


@given(st.binary(max_size=300))
def test_no_bytes_raise(content: bytes) -> None:
    for head in (b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\xff\xfe"):
        found = read_sheets(head + content, "x")
        assert isinstance(found, Unreadable | list)


@given(st.integers(0, 5000), st.binary(min_size=1, max_size=8))
def test_no_damage_to_a_workbook_raises(position: int, damage: bytes) -> None:
    content = bytearray(GOOD_WORKBOOK)
    position %= len(content)
    content[position : position + len(damage)] = damage
    assert isinstance(read_sheets(bytes(content), "x"), Unreadable | list)


GOOD_WORKBOOK = workbook([["区县编码", "工程名称"], ["520425", "猫营水厂"]], merge="A4:B5")
