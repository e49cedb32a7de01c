"""The page on operations names every metric and every cause."""

from alerts.operations_words import PHRASES
from qingquan.packages import TREE
from qingquan.services.metrics import METRICS, PREFIX

PAGE = (TREE / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_metric_stands_in_the_table_with_its_label_and_meaning() -> None:
    rows = {
        f"| `{PREFIX}{name}{'_total' if row.is_counter else ''}` | {f'`{row.label}`' if row.label else ''} | {row.text} |"
        for name, row in METRICS.items()
    }
    assert rows - set(PAGE.splitlines()) == set()


def test_every_cause_has_its_line_in_the_runbook() -> None:
    assert [cause for cause in PHRASES["zh"] if f"\n| `{cause}" not in PAGE] == []
