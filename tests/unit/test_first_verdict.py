"""What the evaluator can say of a loss at once, and that it reaches incident and message."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from alerts.apply import apply_findings
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.domain.works import Works
from qingquan.services.first_verdict import REMEMBERED, FirstVerdicts, RecentResiduals
from qingquan.services.folds import Fold
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.register import save_works
from qingquan.testing.databases import sqlite_engine
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of
from rules.verdict import Cause

__all__ = ["sqlite_engine"]

KEY = SeriesKey("520425", "A", "outlet", "free_chlorine")


def by_key(*works: Works) -> dict[tuple[str, str], Works]:
    return {(one.county, one.id): one for one in works}


def batch(catalog: SeriesCatalog, rows: list[tuple[SeriesKey, int, float]]) -> ReadingBatch:
    n = len(rows)
    return ReadingBatch(
        np.array([catalog.index(key) for key, _, _ in rows], np.int32),
        np.array([at for _, at, _ in rows], np.int64),
        np.array([value for _, _, value in rows], np.float64),
        np.full(n, 2, np.uint8), np.arange(n, dtype=np.int64), np.zeros(n, np.int64),
    )  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 400)), max_size=300), st.integers(1, 90))
def test_the_last_readings_are_kept_however_they_are_split(rows: list[tuple[int, int]], size: int) -> None:
    works = [make_works(name, ("free_chlorine",)) for name in "AB"]
    keys = [SeriesKey("520425", name, "outlet", "free_chlorine") for name in "AB"]
    keys.append(SeriesKey("520425", "A", "outlet", "flow"))
    catalog, recent = SeriesCatalog(), RecentResiduals()
    recent.register(by_key(*works))
    given_rows = [(keys[which], START + n * 1000, float(value)) for n, (which, value) in enumerate(rows)]
    for first in range(0, len(given_rows), size):
        recent.take(catalog, batch(catalog, given_rows[first : first + size]))
    for key in keys[:2]:
        expected = [(at, value) for one, at, value in given_rows if one == key][-REMEMBERED:]
        times, values = recent.of(key)
        assert list(zip(times.tolist(), values.tolist(), strict=True)) == expected
    assert len(recent.of(keys[2])[0]) == 0


def test_a_register_that_grows_forgets_nothing() -> None:
    recent, catalog = RecentResiduals(), SeriesCatalog()
    recent.register(by_key(make_works("B", ("free_chlorine",)), make_works("A", ("free_chlorine",))))
    recent.take(catalog, batch(catalog, [(KEY, START, 0.5)]))
    recent.register(by_key(make_works("A", ("free_chlorine",)), make_works("C", ("free_chlorine",))))
    recent.take(catalog, batch(catalog, [(KEY, START + MINUTE, 0.25)]))
    assert recent.of(KEY)[1].tolist() == [0.5, 0.25]


def test_of_works_that_leave_the_register_or_change_their_residual_nothing_is_kept() -> None:
    recent, catalog = RecentResiduals(), SeriesCatalog()
    other = KEY._replace(works="B")
    recent.register(by_key(make_works("A", ("free_chlorine",)), make_works("B", ("free_chlorine",))))
    recent.take(catalog, batch(catalog, [(other, START, 0.3), (KEY, START, 0.5)]))
    recent.register(by_key(make_works("A", ("free_chlorine",))))
    assert len(recent.of(other)[1]) == 0
    assert recent.of(KEY)[1].tolist() == [0.5]
    recent.register(by_key(make_works("A", ("free_chlorine",)), make_works("B", ("free_chlorine",))))
    recent.take(catalog, batch(catalog, [(other, START + MINUTE, 0.25)]))
    assert recent.of(other)[1].tolist() == [0.25]
    assert recent.of(KEY)[1].tolist() == [0.5]


@pytest.mark.parametrize(
    ("doser", "cause", "said"),
    [
        (1.0, Cause.SENSOR_STEP, "多半是探头问题，请2小时内用DPD法手工复测"),
        (0.0, Cause.DOSER_STOPPED, "投加泵已停，消毒剂未投加"),
    ],
)
def test_the_first_message_says_what_it_probably_is(
    sqlite_engine: Engine, doser: float, cause: Cause, said: str
) -> None:
    works = make_works("A", ("free_chlorine", "flow", "doser_running"))
    account = Account(plan_of(works))
    fold = Fold(0, account.plan, account.state)
    first, catalog = FirstVerdicts("zh"), SeriesCatalog()
    first.recent.register(by_key(works))
    findings: list[Finding] = []
    for minute in range(80):
        lost = minute >= 30
        shown = {
            "free_chlorine": 0.0 if lost else 0.5 + 0.01 * np.sin(minute), "flow": 8.0, "doser_running": doser if lost else 1.0
        }  # fmt: skip
        at = START + minute * MINUTE
        slots = {name: account.plan.slot_of[KEY._replace(parameter=name)] for name in shown}
        findings += account.feed(sorted(Row(slots[name], at, value) for name, value in shown.items()))
        first.recent.take(catalog, batch(catalog, [(KEY, at, shown["free_chlorine"])]))
        if any(one.kind is FindingKind.DISINFECTION_MISSING for one in findings):
            break
    missing = [one for one in findings if one.kind is FindingKind.DISINFECTION_MISSING]
    fold.state = account.state
    with writing(sqlite_engine) as connection:
        save_works(connection, [works])
        apply_findings(
            connection, missing, {("520425", "A"): works}, START + 70 * MINUTE, verdict_of=lambda one: first.of(one, [fold])
        )  # fmt: skip
    with reading(sqlite_engine) as connection:
        (incident,) = list_incidents(connection).items
        messages = list_messages(connection).items
    assert incident.summary["verdict_cause"] == cause
    assert said in incident.summary["verdict_sentence_zh"]
    assert any(said in one.body for one in messages if one.channel == "wecom_robot")


def test_other_findings_and_unknown_works_get_no_verdict() -> None:
    works = make_works("A", ("free_chlorine",))
    account = Account(plan_of(works))
    fold = Fold(0, account.plan, account.state)
    first = FirstVerdicts("zh")
    finding = Finding(
        "x", FindingKind.STALE, 1, "520425", "A", "outlet", "free_chlorine", 0, None, 0, None, None, "", "", "", ""  # type: ignore[arg-type]
    )  # fmt: skip
    assert first.of(finding, [fold]) is None
    assert first.of(finding, []) is None
