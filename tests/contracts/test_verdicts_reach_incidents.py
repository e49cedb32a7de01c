"""From readings through the engine to incidents: reopened, withdrawn, replayed and belated verdicts come out right."""

from collections.abc import Iterable

import pytest
from sqlalchemy import Engine

from alerts.apply import Applied, apply_findings
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Incident, IncidentState
from qingquan.domain.works import Contact, Role
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.databases import engine
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of

__all__ = ["engine"]

WORKS = make_works(
    "A",
    ("free_chlorine", "flow", "doser_running", "sample_flow"),
    contacts=(Contact(Role.CARETAKER, "张三", "13800000001"),),
)
PLAN = plan_of(WORKS)
SLOT = {key.parameter: slot for slot, key in enumerate(PLAN.series)}
LOW, MISSING = FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_MISSING


class Line:
    """Readings go in at one end, incidents come out at the other; ``now`` is the newest reading's time unless given."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.account = Account(PLAN)
        self.now = START

    def feed(self, minutes: Iterable[float], now_min: int | None = None, **values: float) -> Applied:
        rows = [Row(SLOT[name], START + round(m * MINUTE), value) for m in minutes for name, value in values.items()]
        self.now = max([self.now, *(row.observed_at for row in rows)]) if now_min is None else START + now_min * MINUTE
        return self.apply(self.account.feed(sorted(rows, key=lambda row: (row.observed_at, row.slot)), self.now))

    def apply(self, findings: list[Finding]) -> Applied:
        with writing(self.engine) as connection:
            return apply_findings(connection, findings, {(WORKS.county, WORKS.id): WORKS}, self.now)

    def findings(self, kind: FindingKind) -> list[Finding]:
        with reading(self.engine) as connection:
            return list(list_findings(connection, kinds=[kind]))

    def incidents(self) -> list[Incident]:
        with reading(self.engine) as connection:
            return sorted(list_incidents(connection), key=lambda one: one.id)

    def states(self) -> list[IncidentState]:
        return [one.state for one in self.incidents()]

    def told(self) -> list[str]:
        with reading(self.engine) as connection:
            return [one.step for one in list_messages(connection) if one.channel == "aliyun_sms"]


@pytest.fixture
def line(engine: Engine) -> Line:
    return Line(engine)


def test_a_closed_finding_opened_again_by_a_reading_out_of_order_reaches_its_incident(line: Line) -> None:
    line.feed(range(40), free_chlorine=0.2)
    line.feed([m for m in range(40, 56) if m != 50], free_chlorine=0.6)
    assert line.states() == [IncidentState.RESOLVED]
    # Above the limit but not clear of it: no evidence of a low residual, yet the clearing begins anew.
    line.feed([50], free_chlorine=0.32)
    (low,) = line.findings(LOW)
    assert (low.end, low.evidence_at) == (None, START + 39 * MINUTE)
    assert line.states() == [IncidentState.RESOLVED, IncidentState.OPEN]
    line.feed(range(56, 70), free_chlorine=0.6)
    (low,) = line.findings(LOW)
    assert low.end == START + 51 * MINUTE
    assert line.states() == [IncidentState.RESOLVED] * 2


def test_a_finding_a_later_reading_disproves_is_withdrawn_with_its_incident(line: Line) -> None:
    line.feed([m for m in range(34) if m != 27], free_chlorine=0.2)
    assert line.states() == [IncidentState.OPEN]
    line.feed([27], free_chlorine=0.6)
    assert [one.withdrawn for one in line.findings(LOW)] == [True]
    assert line.states() == [IncidentState.RESOLVED]


def test_a_withdrawn_finding_that_comes_true_after_all_is_open_again(line: Line) -> None:
    line.feed([m for m in range(34) if m != 27], free_chlorine=0.2)
    line.feed([27], free_chlorine=0.6)
    line.feed([27], free_chlorine=0.1)  # contradicts the good reading: neither counts
    assert [(one.withdrawn, one.end) for one in line.findings(LOW)] == [(False, None)]
    assert line.states()[-1] is IncidentState.OPEN


def test_what_was_opened_and_disproved_in_one_batch_is_never_heard_of(line: Line) -> None:
    minutes = [*(m for m in range(34) if m != 27), 27]
    rows = [Row(SLOT["free_chlorine"], START + m * MINUTE, 0.6 if m == 27 else 0.2) for m in minutes]
    assert line.account.feed(rows) == []
    assert line.account.counts["judged"] == 34


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_whole_history_again_from_an_empty_state_changes_nothing(line: Line, size: int) -> None:
    story = [*((m, 0.6) for m in range(20)), *((m, 0.2) for m in range(20, 70)), *((m, 0.0) for m in range(70, 120)),
             *((m, 0.6) for m in range(120, 150)), *((m, 2.5) for m in range(150, 170))]  # fmt: skip
    for minute, value in story:
        line.feed([minute], free_chlorine=value)
    before = line.findings(LOW), line.findings(MISSING), line.incidents(), line.told()
    again = Line(line.engine)
    rows = [Row(SLOT["free_chlorine"], START + m * MINUTE, value) for m, value in story]
    for first in range(0, len(rows), size):
        again.now = START + 170 * MINUTE
        again.apply(again.account.feed(rows[first : first + size], rows[min(first + size, len(rows)) - 1].observed_at))
    after = line.findings(LOW), line.findings(MISSING), line.incidents(), line.told()
    assert [[(one.id, one.end, one.extreme) for one in part] for part in before[:2]] == [
        [(one.id, one.end, one.extreme) for one in part] for part in after[:2]
    ]
    assert [(one.id, one.state, one.finding_ids) for one in before[2]] == [
        (one.id, one.state, one.finding_ids) for one in after[2]
    ]
    assert before[3] == after[3]


def test_a_loss_without_any_residual_has_no_extreme_and_is_written_once(line: Line) -> None:
    line.feed(range(31), free_chlorine=0.5, flow=8, doser_running=0, sample_flow=0)
    (missing,) = line.findings(MISSING)
    assert missing.extreme is None
    line.feed(range(31, 50), free_chlorine=0.5, flow=8, doser_running=1, sample_flow=1)
    assert line.findings(MISSING)[0].end is not None
    assert line.feed([48.5], flow=8.0) == Applied()


def test_the_end_of_a_live_loss_is_told_although_it_comes_out_of_a_buffer_hours_later(line: Line) -> None:
    line.feed(range(31), free_chlorine=0.0, doser_running=0.0)
    assert line.told() == ["firing"]
    with writing(line.engine) as connection:
        connection.exec_driver_sql("UPDATE outbox SET state = 'accepted'")
    line.feed(range(31, 120), now_min=600, free_chlorine=0.6, doser_running=1.0)
    (missing,) = line.findings(MISSING)
    assert (missing.late, missing.end) == (False, START + 31 * MINUTE)
    assert line.states() == [IncidentState.RESOLVED]
    assert sorted(line.told()) == ["firing", "recovered"]


def test_a_loss_known_only_from_a_buffer_is_history(line: Line) -> None:
    line.feed(range(120), now_min=600, free_chlorine=0.0, doser_running=0.0)
    line.feed(range(120, 150), now_min=601, free_chlorine=0.6, doser_running=1.0)
    assert [(one.late, one.state) for one in line.incidents()] == [(True, IncidentState.RESOLVED)]
    assert line.told() == []
