"""Generated pages are as new as the tables they come from."""

from dataclasses import fields
from pathlib import Path

import pytest

from qingquan.config import Config
from qingquan.packages import TREE
from qingquan.services import reference_docs
from qingquan.services.reference_docs import reference_files, write_reference
from qingquan.standards.loader import load_standards


@pytest.mark.parametrize("name", sorted(reference_files()))
def test_a_generated_file_is_not_older_than_its_table(name: str) -> None:
    assert (TREE / name).read_text(encoding="utf-8") == reference_files()[name], "run `make docs`"


def test_every_setting_stands_on_the_page_with_its_environment_variable() -> None:
    page = reference_files()["docs/configuration.md"]
    assert all(f"| `{row.name}` | `QINGQUAN_{row.name.upper()}` |" in page for row in fields(Config))


def test_every_limit_row_and_every_parameter_stands_on_the_page() -> None:
    page = reference_files()["docs/parameters-and-limits.md"]
    tables = load_standards()
    assert all(f"| `{limit.id}` |" in page for limit in tables.limits)
    assert all(f"| `{code}` |" in page for code in tables.parameters)


def test_limits_are_written_as_the_standard_has_them() -> None:
    page = reference_files()["docs/parameters-and-limits.md"]
    (row,) = [line for line in page.splitlines() if "`gb5749-2022.free_chlorine.outlet`" in line]
    assert "| 0.3 to 2 | mg/L | Table 2 |" in row


def test_writing_twice_changes_nothing_the_second_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_docs, "TREE", tmp_path)
    assert write_reference() == sorted(reference_files())
    assert write_reference() == []
