"""What has fallen silent, and where a works stands: said once, told from the newest data, never better than known."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from qingquan.clock import from_ms
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity
from qingquan.domain.readings import SeriesKey
from qingquan.domain.state import WorksState
from qingquan.domain.works import Disinfectant, Equipment, Works
from qingquan.services.folds import Fold
from qingquan.services.silence import Silence
from qingquan.services.standing import Standing
from qingquan.standards.loader import load_standards
from qingquan.store.sql.engine import open_database, reading, writing
from qingquan.store.sql.findings import upsert_findings
from qingquan.testing.databases import current_sqlite
from qingquan.testing.engine import MINUTE, START, Account, Row, make_works, plan_of
from rules.plan import Plan
from rules.state import new_state

GOOD: Mapping[str, float | None] = {"free_chlorine": 0.6, "flow": 8.0, "doser_running": 1.0}
STALE, NEVER_SEEN = FindingKind.STALE, FindingKind.NEVER_SEEN


class Watch:
    """One fold with its silences and standings, on a clock in minutes."""

    def __init__(self, *works: Works) -> None:
        self.works = works or (make_works("A", ("free_chlorine", "flow", "doser_running")),)
        self.account = Account(plan_of(*self.works))
        self.fold = Fold(0, self.account.plan, self.account.state)
        self.silence = Silence(load_standards().parameters, "zh")
        self.standing = Standing()

    def feed(self, minutes: Iterable[int], works: str = "A", **values: float | None) -> None:
        shown = {**GOOD, **values}
        for m in minutes:
            rows = [
                Row(self.account.plan.slot_of[key], START + m * MINUTE, value)
                for name, value in shown.items()
                if value is not None
                and (key := SeriesKey("520425", works, "outlet", name)) in self.account.plan.slot_of
            ]
            self.silence.hear(self.account.feed(sorted(rows)))
            self.fold.touched[[n for n, one in enumerate(self.works) if one.id == works]] = True

    def told(self, minute: int) -> list[tuple[FindingKind, str, int, int | None]]:
        """Silences that open or close at a minute: kind, parameter, start and end [min]."""
        now = START + minute * MINUTE
        changes = self.silence.changes(self.fold, now, {(one.county, one.id): one for one in self.works})
        return [
            (
                one.kind,
                one.parameter,
                (one.start - START) // MINUTE,
                None if one.end is None else (one.end - START) // MINUTE,
            )
            for one in changes
        ]

    def register(self, *works: Works) -> None:
        self.works = works
        plan = plan_of(*works)
        self.fold.replan(plan)
        self.account.plan, self.account.state = plan, self.fold.state

    def changed(self, minute: int) -> list[WorksState]:
        silent: Mapping[SeriesKey, Finding] = self.silence.of(self.fold)
        return self.standing.changed(self.fold, START + minute * MINUTE, silent)

    def state(self, minute: int) -> WorksState:
        (state,) = self.changed(minute)
        return state


def test_a_series_is_silent_after_a_quarter_of_an_hour_and_said_so_once() -> None:
    watch = Watch()
    watch.feed(range(10))
    assert watch.told(24) == []
    assert {(kind, start) for kind, _, start, _ in watch.told(25)} == {(STALE, 9)}
    assert watch.told(26) == []


def test_a_silence_ends_with_the_first_fresh_reading() -> None:
    watch = Watch()
    watch.feed(range(10))
    watch.told(25)
    watch.feed([22], doser_running=None)  # came later than expected, too soon for the fold to see a gap
    assert sorted(watch.told(26)) == [(STALE, "flow", 9, 22), (STALE, "free_chlorine", 9, 22)]
    assert watch.told(27) == []


def test_a_silence_the_fold_has_seen_both_ends_of_is_not_reported_again() -> None:
    watch = Watch()
    watch.feed(range(10))
    watch.told(25)
    watch.feed([40, 41])
    ends = {(one.kind, one.start, one.end) for one in watch.account.told}
    assert ends == {(STALE, START + 9 * MINUTE, START + 40 * MINUTE)}
    assert watch.told(42) == []
    assert watch.silence.of(watch.fold) == {}


def test_old_readings_out_of_a_buffer_do_not_end_a_silence() -> None:
    watch = Watch()
    watch.feed(range(10))
    watch.told(25)
    for minute in range(10, 60):
        watch.feed([minute])
        assert watch.told(300) == []
    watch.feed(range(60, 301))
    assert {(start, end) for _, _, start, end in watch.told(300)} == {(9, 300)}


def test_a_series_that_never_spoke_is_said_so_a_quarter_of_an_hour_after_we_began_to_listen() -> None:
    watch = Watch()
    assert watch.told(100) == []
    assert watch.told(115) == []
    assert {(kind, start) for kind, _, start, _ in watch.told(116)} == {(NEVER_SEEN, 100)}
    assert watch.told(117) == []
    watch.feed([118])
    assert {(kind, end) for kind, _, _, end in watch.told(119)} == {(NEVER_SEEN, 118)}


def test_a_works_registered_later_has_its_own_quarter_of_an_hour() -> None:
    watch = Watch()
    watch.told(0)
    watch.feed(range(600))
    late = make_works("B", ("flow",))
    watch.register(*watch.works, late)
    assert [one for one in watch.told(600) if one[0] is NEVER_SEEN] == []
    assert [one for one in watch.told(616) if one[0] is NEVER_SEEN] == [(NEVER_SEEN, "flow", 600, None)]


def test_nothing_is_missed_before_a_works_is_commissioned() -> None:
    works = make_works("A", ("flow",), commissioned_at=from_ms(START) + timedelta(hours=2))
    watch = Watch(works)
    assert watch.told(0) == watch.told(119) == watch.told(135) == []
    assert watch.told(136) == [(NEVER_SEEN, "flow", 120, None)]


def test_a_series_taken_out_of_the_register_is_no_longer_missed() -> None:
    watch = Watch()
    watch.feed(range(10))
    assert len(watch.told(30)) == 3
    watch.register(make_works("A", ("free_chlorine", "flow")))
    (gone,) = watch.silence.dropped([watch.fold])
    assert (gone.parameter, gone.withdrawn) == ("doser_running", True)
    assert watch.silence.dropped([watch.fold]) == []


def test_the_silences_of_a_works_that_left_are_withdrawn() -> None:
    watch = Watch(make_works("A", ("flow",)), make_works("B", ("flow",)))
    watch.told(0)
    watch.told(20)
    watch.register(make_works("A", ("flow",)))
    assert [(one.works, one.withdrawn) for one in watch.silence.dropped([watch.fold])] == [("B", True)]


def test_a_series_nobody_expects_is_never_missed() -> None:
    watch = Watch()
    watch.feed(range(10))
    watch.fold.plan.expected[:] = False
    assert watch.told(500) == []


@pytest.fixture
def database(tmp_path: Path) -> Iterable[Engine]:
    url = current_sqlite(tmp_path / "silence.db")
    engine = open_database(url)
    yield engine
    engine.dispose()


def test_after_a_restart_an_open_silence_is_not_said_again_and_closes(database: Engine) -> None:
    watch = Watch()
    watch.feed(range(10), doser_running=None)
    watch.told(10)
    now = START + 30 * MINUTE
    works = {("520425", "A"): watch.works[0]}
    opened = watch.silence.changes(watch.fold, now, works)
    assert {one.kind for one in opened} == {STALE, NEVER_SEEN}
    with writing(database) as connection:
        upsert_findings(connection, opened, now)
    watch.silence = Silence(load_standards().parameters, "zh")
    with reading(database) as connection:
        watch.silence.restore(connection)
    assert watch.told(31) == []
    watch.feed([31])
    closed = {one.id for one in watch.account.told if one.end is not None}
    closed |= {one.id for one in watch.silence.changes(watch.fold, now + 2 * MINUTE, works)}
    assert closed == {one.id for one in opened}


# Standing -----------------------------------------------------------------------------------------------------------


def test_a_works_in_good_order_stands_so_with_its_newest_values() -> None:
    watch = Watch()
    watch.feed(range(30))
    state = watch.state(30)
    assert (state.disinfection, state.stale, state.as_of) == (DisinfectionState.OK, False, START + 29 * MINUTE)
    assert (state.residual, state.residual_parameter, state.worst, state.open_findings) == (
        0.6,
        "free_chlorine",
        None,
        0,
    )
    assert state.latest == {"outlet/free_chlorine": 0.6, "outlet/flow": 8.0, "outlet/doser_running": 1.0}


def test_only_what_has_changed_is_written() -> None:
    watch = Watch(make_works("A"), make_works("B"))
    assert {state.works for state in watch.changed(0)} == {"A", "B"}
    assert watch.changed(1) == []
    watch.feed([2], "B")
    assert [state.works for state in watch.changed(2)] == ["B"]
    assert watch.changed(2) == []


@pytest.mark.parametrize(
    ("values", "state", "worst"),
    [
        ({"free_chlorine": 0.2}, DisinfectionState.LOW, Severity.MAJOR),
        ({"free_chlorine": 2.5}, DisinfectionState.HIGH, Severity.MAJOR),
        ({"free_chlorine": 0.0, "doser_running": 0.0}, DisinfectionState.MISSING, Severity.CRITICAL),
        ({"flow": 0.0}, DisinfectionState.IDLE, None),
        ({"free_chlorine": 9.0}, DisinfectionState.UNKNOWN, Severity.MINOR),
    ],
)
def test_every_state_has_its_word(values: dict[str, Any], state: DisinfectionState, worst: Severity | None) -> None:
    watch = Watch()
    watch.feed(range(40), **values)
    found = watch.state(40)
    assert (found.disinfection, found.worst, found.stale) == (state, worst, False)


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, DisinfectionState.UNKNOWN),
        ({"free_chlorine": 0.2}, DisinfectionState.UNKNOWN),
        ({"free_chlorine": 0.0}, DisinfectionState.MISSING),
    ],
)
def test_without_fresh_data_the_state_is_unknown_but_a_loss_stays_a_loss(
    values: dict[str, Any], state: DisinfectionState
) -> None:
    watch = Watch()
    watch.feed(range(40), **values)
    watch.changed(40)
    watch.told(55)
    found = watch.state(55)
    assert (found.disinfection, found.stale, found.as_of) == (state, True, START + 39 * MINUTE)
    watch.feed([56])
    assert watch.told(56) == []
    assert watch.state(56).stale is False


def test_a_silent_residual_makes_the_state_unknown_while_other_series_go_on() -> None:
    watch = Watch()
    watch.feed(range(10))
    watch.feed(range(10, 30), free_chlorine=None)
    assert [(kind, parameter) for kind, parameter, _, _ in watch.told(30)] == [(STALE, "free_chlorine")]
    found = watch.state(30)
    assert (found.disinfection, found.stale, found.open_findings) == (DisinfectionState.UNKNOWN, True, 1)


def test_a_works_of_which_nothing_ever_came_is_unknown_and_stale() -> None:
    found = Watch().state(0)
    assert (found.disinfection, found.stale, found.as_of, found.latest) == (DisinfectionState.UNKNOWN, True, None, {})


@pytest.mark.parametrize("fields", [{"equipment": Equipment.NOT_EQUIPPED}, {"disinfectant": Disinfectant.NONE}])
def test_a_works_without_equipment_says_so(fields: dict[str, Any]) -> None:
    watch = Watch(make_works("A", **fields))
    watch.feed(range(40), free_chlorine=0.0)
    assert watch.state(40).disinfection is DisinfectionState.NOT_EQUIPPED


def test_equipment_entered_in_the_register_counts_at_once() -> None:
    bare = make_works("A", equipment=Equipment.NOT_EQUIPPED)
    watch = Watch(bare)
    watch.feed(range(40))
    watch.changed(40)
    watch.register(replace(bare, equipment=Equipment.EQUIPPED))
    assert watch.state(40).disinfection is DisinfectionState.OK


def test_a_finding_that_opens_by_a_reading_out_of_order_is_counted_at_once() -> None:
    watch = Watch()
    watch.feed([m for m in range(34) if m != 25], free_chlorine=0.2)
    assert watch.state(34).disinfection is DisinfectionState.LOW
    watch = Watch()
    for minute in range(34):
        watch.feed([minute], free_chlorine=0.6 if minute == 25 else 0.2)
    assert watch.state(34).open_findings == 0
    newest = watch.account.state.works["newest"].tolist()
    watch.feed([25], free_chlorine=0.2)  # contradicts the only good reading: it proves nothing any more
    assert watch.account.state.works["newest"].tolist() == newest
    assert (found := watch.state(34)).open_findings == 1
    assert found.disinfection is DisinfectionState.LOW


def test_a_works_that_stays_in_the_register_is_not_written_again_for_a_change_of_another() -> None:
    one, other = make_works("B"), make_works("C")
    watch = Watch(one, other)
    assert {state.works for state in watch.changed(0)} == {"B", "C"}
    watch.register(make_works("A"), other, make_works("D"))
    assert {state.works for state in watch.changed(0)} == {"A", "D"}
    watch.register(one, other)
    assert {state.works for state in watch.changed(0)} == {"B"}


def test_a_works_of_unexpected_series_alone_goes_stale_as_well() -> None:
    plan: Plan = plan_of(make_works("A", ("flow",)))
    plan.expected[:] = False
    account = Account(plan)
    fold = Fold(0, plan, new_state(plan))
    fold.state = account.state
    account.feed([Row(0, START, 8.0)])
    standing = Standing()
    (fresh,) = standing.changed(fold, START + MINUTE, {})
    (aged,) = standing.changed(fold, START + 16 * MINUTE, {})
    assert (fresh.stale, aged.stale) == (False, True)


def test_instruments_being_worked_on_are_not_missed() -> None:
    watch = Watch(make_works("A", ("free_chlorine", "flow", "doser_running", "maintenance")))
    watch.feed(range(10))
    watch.feed([10], free_chlorine=None, flow=None, doser_running=None, maintenance=1.0)
    assert watch.told(200) == []
    assert {one[1] for one in watch.told(10 + 241)} == {"free_chlorine", "flow", "doser_running"}
