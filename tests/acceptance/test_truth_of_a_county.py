"""A simulated day of a whole county with every kind of fault: what the documentation says about it is so."""

import re

import pytest

from qingquan.config import Config
from qingquan.packages import TREE
from qingquan.services.bench.truth import TruthTable, run_truth, table_text

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def table() -> TruthTable:
    return run_truth(Config())


def test_no_loss_of_disinfection_is_found_late(table: TruthTable) -> None:
    losses = [row for row in table.rows if row.kind in ("dosing_stop", "tank_empty")]
    assert [(row.lost, row.in_time) for row in losses] == [(50, 50), (30, 30)]
    assert table.missed == ()


def test_nothing_is_called_missing_falsely(table: TruthTable) -> None:
    assert table.false == ()


def without_delays(text: str) -> list[list[str]]:
    """Words and counts of the table's lines. Delays may differ a little from machine to machine, counts may not."""
    lines = text[: text.index("未及时")].splitlines()
    return [re.sub(r"-?[\d.]+ min", "", line).split() for line in lines if line.strip()]


def test_the_documented_table_is_the_one_printed(table: TruthTable) -> None:
    page = (TREE / "docs" / "detection.md").read_text(encoding="utf-8")
    assert without_delays(page.split("```")[1]) == without_delays(table_text(table))
