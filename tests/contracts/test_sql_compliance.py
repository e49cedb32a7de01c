"""Compliance figures keep what was known before; dirty marks are neither lost nor worked off twice."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from qingquan.domain.compliance import Compliance, ComplianceVerdict
from qingquan.store.sql.compliance import (
    DirtyDay,
    as_known_at,
    clear_dirty,
    count_dirty,
    dirty_days,
    list_compliance,
    mark_dirty,
    save_compliance,
    versions_of,
)
from qingquan.store.sql.engine import reading, writing
from qingquan.testing.databases import engine

__all__ = ["engine"]

COUNTY = "520425"
DAY_MS = 86_400_000


def figures(works: str = "W0001", period: str = "2026-05-03", **changes: object) -> Compliance:
    plain = Compliance(
        COUNTY, works, "outlet", "turbidity", period, 0, DAY_MS, 1440, 1400, 1390, 1390, 84_000_000, 0, 2_400_000,
        0.51, 0.9, 5, 0, 0, 0, 0, 0, "gb5749-2022.turbidity", "GB 5749-2022", "Table 1", "instant", None, 1.0,
        ComplianceVerdict.COMPLIANT, {"ok": 1},
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def save(engine: Engine, *rows: Compliance, at: int, published: bool = True) -> int:
    with writing(engine) as connection:
        return save_compliance(connection, COUNTY, rows, at, is_published=published)


def known(engine: Engine, period: str = "2026-05-03") -> list[tuple[int, int, int]]:
    with reading(engine) as connection:
        versions = versions_of(connection, COUNTY, "W0001", "outlet", "turbidity", period)
    return [(one.version, one.known_at, one.figures.received) for one in versions]


def test_figures_come_back_as_they_were(engine: Engine) -> None:
    assert save(engine, figures(), at=100) == 1
    with reading(engine) as connection:
        [found] = list_compliance(connection, county="52", month="2026-05").items
    assert (found.now.figures, found.then) == (figures(), None)


def test_the_same_figures_again_change_nothing(engine: Engine) -> None:
    save(engine, figures(), at=100)
    assert save(engine, figures(), at=200) == 0
    assert known(engine) == [(1, 100, 1400)]


def test_what_is_not_published_is_replaced_in_place(engine: Engine) -> None:
    save(engine, figures(received=10), at=100, published=False)
    save(engine, figures(received=20), at=200, published=False)
    save(engine, figures(received=30), at=300)
    assert known(engine) == [(1, 300, 30)]


def test_a_change_of_published_figures_keeps_what_was_known_then(engine: Engine) -> None:
    save(engine, figures(received=10), at=100)
    save(engine, figures(received=20), at=200)
    save(engine, figures(received=30), at=300, published=False)
    assert known(engine) == [(1, 100, 10), (2, 200, 20), (3, 300, 30)]
    with reading(engine) as connection:
        [found] = list_compliance(connection, works="W0001").items
    assert found.now.figures.received == 30
    assert found.then is not None
    assert (found.then.figures.received, found.then.known_at) == (10, 100)


def test_a_month_is_listed_as_it_was_known_at_a_moment(engine: Engine) -> None:
    save(engine, figures(period="2026-05", received=10), at=100)
    save(engine, figures(period="2026-05", received=20), at=200)
    with reading(engine) as connection:
        seen = [[v.figures.received for v in as_known_at(connection, COUNTY, "2026-05", at)] for at in (99, 150, 250)]
    assert seen == [[], [10], [20]]


def test_days_and_months_are_listed_apart_and_by_filter(engine: Engine) -> None:
    save(
        engine, figures(), figures(period="2026-05"), figures(works="W0002"), figures(period="2026-06-01"), at=1
    )  # fmt: skip
    with reading(engine) as connection:
        days = list_compliance(connection, county=COUNTY, month="2026-05")
        months = list_compliance(connection, county=COUNTY, month="2026-05", by_month=True)
        one = list_compliance(connection, works="W0002", parameter="turbidity", point="outlet", limit=1)
    assert [(k.now.figures.works, k.now.figures.period) for k in days] == [
        ("W0001", "2026-05-03"),
        ("W0002", "2026-05-03"),
    ]
    assert [k.now.figures.period for k in months] == ["2026-05"]
    assert (one.total, one.items[0].now.figures.works) == (1, "W0002")


def test_a_mark_with_a_later_sequence_outlives_the_working_off_of_an_earlier_one(engine: Engine) -> None:
    with writing(engine) as connection:
        mark_dirty(connection, [DirtyDay(COUNTY, "W0001", "2026-05-03", 7), DirtyDay(COUNTY, "W0002", "2026-05-03")])
        seen = dirty_days(connection, 10)
    with writing(engine) as connection:
        mark_dirty(connection, [DirtyDay(COUNTY, "W0001", "2026-05-03", 9)])
        mark_dirty(connection, [DirtyDay(COUNTY, "W0001", "2026-05-03", 3)])
        clear_dirty(connection, seen)
        assert dirty_days(connection, 10) == [DirtyDay(COUNTY, "W0001", "2026-05-03", 9)]
        assert count_dirty(connection) == 1


@pytest.mark.parametrize("size", [1, 3])
def test_marks_are_given_out_in_order_and_in_parts(engine: Engine, size: int) -> None:
    marks = [DirtyDay(COUNTY, f"W{n:04}", day) for day in ("2026-05-01", "2026-05-02") for n in range(3)]
    given: list[DirtyDay] = []
    with writing(engine) as connection:
        mark_dirty(connection, reversed(marks))
        while part := dirty_days(
            connection, size, after=(given[-1].day, given[-1].county, given[-1].works) if given else None
        ):
            given += part
    assert given == marks
