"""The transition table and the decisions around it, case by case."""

from dataclasses import replace
from typing import Any

import pytest

from alerts.lifecycle import (
    RECOVERING_UNTIL,
    STAYS,
    TRANSITIONS,
    Change,
    Step,
    belongs_to,
    cause_of,
    chronological,
    decide,
    has_gone_silent,
    is_replayed,
    resettled,
    steps_to_tell,
    transition_of,
)
from qingquan.clock import from_ms
from qingquan.domain.findings import FindingKind, Severity
from qingquan.domain.incidents import Incident, IncidentState, TransitionReason
from qingquan.testing.alerts import MINUTE, START, example_finding

K, R = FindingKind, TransitionReason
OPEN, ACKNOWLEDGED, RESOLVED = IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.RESOLVED
NOW = START + 35 * MINUTE


def opened(**fields: Any) -> Incident:
    """An incident opened by the example finding."""
    incident = decide(example_finding(), None, (), NOW).incident
    assert incident is not None
    return replace(incident, id=1, **fields)


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (K.DISINFECTION_LOW, "disinfection"),
        (K.DISINFECTION_MISSING, "disinfection"),
        (K.DISINFECTION_HIGH, "disinfection"),
        (K.DISINFECTION_UNKNOWN, "disinfection"),
        (K.EXCEEDANCE, "exceedance:free_chlorine"),
        (K.LAB_EXCEEDANCE, "lab:free_chlorine"),
        (K.STALE, "silent"),
        (K.NEVER_SEEN, "silent"),
        (K.OUT_OF_RANGE, "instrument"),
        (K.FLAT_LINE, "instrument"),
    ],
)
def test_every_kind_of_finding_has_its_cause(kind: FindingKind, cause: str) -> None:
    assert cause_of(example_finding(kind=kind)) == cause


def test_no_row_of_the_table_reopens_what_is_resolved() -> None:
    assert {row.after for (before, _), row in TRANSITIONS.items() if before is RESOLVED} == {
        RESOLVED,
        IncidentState.CLOSED,
    }


def test_no_late_row_tells_anybody() -> None:
    assert all(
        row.step is None
        for (_, change), row in TRANSITIONS.items()
        if change in (Change.LATE_LASTING, Change.LATE_OVER)
    )


def test_open_and_acknowledged_know_the_same_changes() -> None:
    by_state = {state: {change for before, change in TRANSITIONS if before is state} for state in (OPEN, ACKNOWLEDGED)}
    assert by_state[OPEN] - by_state[ACKNOWLEDGED] == {Change.ACKNOWLEDGED}
    assert by_state[ACKNOWLEDGED] - by_state[OPEN] == {Change.LEASE_EXPIRED}


def test_every_state_has_an_answer_to_every_change_and_only_one() -> None:
    every = {(state, change) for state in (None, *IncidentState) for change in Change}
    assert set(TRANSITIONS) | STAYS == every
    assert not set(TRANSITIONS) & STAYS
    assert all(row.reasons for row in TRANSITIONS.values()), "nothing changes without a reason"


def test_a_pair_nobody_has_thought_of_is_an_error() -> None:
    with pytest.raises(LookupError, match="no transition from open by nonsense"):
        transition_of(OPEN, "nonsense")  # type: ignore[arg-type]


def test_good_data_are_watched_before_an_incident_is_over() -> None:
    silence = example_finding(kind=FindingKind.STALE)
    incident = decide(silence, None, (), NOW).incident
    assert incident is not None
    over = replace(silence, end=NOW)
    watched = decide(over, incident, [silence], NOW, (), 300_000).incident
    assert watched is not None
    assert watched.state is OPEN
    held = resettled(watched, [over], (), NOW, 300_000).incident
    assert held is not None
    assert (held.state, held.summary[RECOVERING_UNTIL]) == (OPEN, str(NOW + 300_000))
    relapsed = resettled(held, [silence], (), NOW + 1000, 300_000).incident
    assert relapsed is not None
    assert RECOVERING_UNTIL not in relapsed.summary, "the watch begins anew"
    done = resettled(held, [over], (), NOW + 300_000, 300_000).incident
    assert done is not None
    assert done.state is RESOLVED


def test_the_first_finding_opens_an_incident_and_is_told() -> None:
    decision = decide(example_finding(), None, (), NOW)
    assert decision.incident is not None
    assert decision.incident.state is OPEN
    assert decision.incident.opened_at == from_ms(NOW)
    assert decision.incident.summary["since"] == str(START)
    assert [reason for reason, _ in decision.events] == [R.FIRST_FINDING]
    assert decision.notify == (Step.FIRING,)


def test_the_same_finding_again_changes_nothing() -> None:
    incident = opened()
    decision = decide(example_finding(), incident, [example_finding()], NOW + MINUTE)
    assert decision.incident == incident
    assert not decision.events
    assert not decision.notify


def test_a_worse_value_of_the_same_finding_changes_the_summary_alone() -> None:
    decision = decide(example_finding(extreme=0.0), opened(), [example_finding()], NOW)
    assert decision.incident is not None
    assert decision.incident.summary["value"] == "0.0"
    assert not decision.events
    assert not decision.notify


def test_a_lesser_finding_joins_without_a_word() -> None:
    lesser = example_finding("low", kind=K.DISINFECTION_LOW)
    decision = decide(lesser, opened(), [example_finding()], NOW)
    assert decision.incident is not None
    assert decision.incident.finding_ids == ("f1", "low")
    assert decision.incident.kind is K.DISINFECTION_MISSING
    assert decision.notify == ()


def test_a_worse_finding_raises_the_severity_and_takes_the_acknowledgement_back() -> None:
    minor = decide(example_finding("low", kind=K.DISINFECTION_LOW), None, (), NOW).incident
    assert minor is not None
    held = replace(minor, state=ACKNOWLEDGED, acknowledged_at=from_ms(NOW), acknowledged_by="王五")
    decision = decide(example_finding(), held, [example_finding("low", kind=K.DISINFECTION_LOW)], NOW)
    assert decision.incident is not None
    assert (decision.incident.state, decision.incident.severity) == (OPEN, Severity.CRITICAL)
    assert (decision.incident.acknowledged_at, decision.incident.acknowledged_by) == (None, "")
    assert decision.notify == (Step.RAISED,)


def test_a_finding_that_is_over_when_first_seen_is_recorded_and_not_told() -> None:
    decision = decide(example_finding(end=START + MINUTE), None, (), NOW)
    assert decision.incident is not None
    assert decision.incident.state is RESOLVED
    assert decision.notify == ()


def test_a_finding_withdrawn_before_it_was_seen_makes_no_incident() -> None:
    assert decide(example_finding(end=START + MINUTE, withdrawn=True), None, (), NOW).incident is None


def test_what_was_about_data_ends_because_data_returned() -> None:
    stale = example_finding(kind=K.STALE)
    incident = decide(stale, None, (), NOW).incident
    decision = decide(replace(stale, end=NOW, evidence_at=NOW), incident, [stale], NOW)
    assert [reason for reason, _ in decision.events] == [R.DATA_RETURNED]


def test_one_true_end_among_withdrawn_findings_counts_as_compliant_water() -> None:
    incident = replace(opened(), finding_ids=("f1", "low"))
    taken_back = example_finding("low", kind=K.DISINFECTION_LOW, end=START, withdrawn=True)
    decision = decide(example_finding(end=NOW), incident, [example_finding(), taken_back], NOW)
    assert [reason for reason, _ in decision.events] == [R.WATER_COMPLIANT]


def test_a_late_finding_never_raises_a_live_incident() -> None:
    incident = replace(opened(), severity=Severity.MINOR)
    late = example_finding("late", late=True, end=START + MINUTE)
    decision = decide(late, incident, [example_finding()], NOW)
    assert decision.incident is not None
    assert decision.incident.severity is Severity.MINOR
    assert not decision.incident.late
    assert decision.notify == ()


def test_a_finding_that_ended_before_the_incident_began_is_history_of_its_own() -> None:
    assert not belongs_to(example_finding("before", minute=-60, end=START - 1), opened())
    assert belongs_to(example_finding("during", minute=-60, end=START), opened())
    assert belongs_to(example_finding("lasting", minute=-60), opened())


@pytest.mark.parametrize(
    ("silence", "is_silent"),
    [
        ({}, True),
        ({"parameter": ""}, True),
        ({"point": "", "parameter": ""}, True),
        ({"parameter": "turbidity"}, False),
        ({"point": "end"}, False),
        ({"end": START + 9 * MINUTE}, False),
        ({"withdrawn": True}, False),
    ],
)
def test_silence_counts_where_it_hides_what_the_incident_rests_on(silence: dict[str, Any], is_silent: bool) -> None:
    quiet = example_finding("s", kind=K.STALE, **{"minute": 5, **silence})
    assert has_gone_silent([example_finding()], [quiet]) is is_silent


def test_an_end_shown_before_the_silence_began_stands() -> None:
    quiet = example_finding("s", kind=K.STALE, minute=30)
    assert not has_gone_silent([example_finding(end=START + 30 * MINUTE)], [quiet])
    assert has_gone_silent([example_finding(end=START + 31 * MINUTE)], [quiet])


def test_a_laboratory_result_does_not_go_stale() -> None:
    quiet = example_finding("s", kind=K.STALE, point="", parameter="")
    assert not has_gone_silent([example_finding(kind=K.LAB_EXCEEDANCE)], [quiet])


def test_silence_sets_the_flag_and_fresh_data_clear_it() -> None:
    quiet = example_finding("s", kind=K.STALE, minute=5)
    gone = resettled(opened(), [example_finding()], [quiet], NOW)
    assert gone.incident is not None
    assert gone.incident.stale
    assert [reason for reason, _ in gone.events] == [R.WENT_STALE]
    assert resettled(gone.incident, [example_finding()], [quiet], NOW).events == ()
    back = resettled(gone.incident, [example_finding()], [], NOW)
    assert back.incident == opened()
    assert [reason for reason, _ in back.events] == [R.FRESH_AGAIN]


def test_an_end_that_waited_for_data_resolves_when_they_are_back() -> None:
    held = replace(opened(), stale=True)
    decision = resettled(held, [example_finding(end=NOW)], [], NOW)
    assert decision.incident is not None
    assert (decision.incident.state, decision.incident.stale) == (RESOLVED, False)
    assert [reason for reason, _ in decision.events] == [R.FRESH_AGAIN, R.WATER_COMPLIANT]
    assert decision.notify == (Step.RECOVERED,)


@pytest.mark.parametrize(
    ("stored", "incoming", "is_old"),
    [
        ({"end": NOW, "evidence_at": START + 5}, {"evidence_at": START + 5}, True),
        ({"end": NOW, "evidence_at": START + 5}, {"evidence_at": START + 6}, False),
        ({"evidence_at": START + 5}, {"evidence_at": START + 4}, True),
        ({"evidence_at": START + 5}, {"evidence_at": START + 5, "extreme": 0.0}, False),
        ({"evidence_at": START + 5}, {"end": NOW, "evidence_at": START + 1}, False),
        ({"end": NOW, "evidence_at": START + 5}, {"end": NOW, "withdrawn": True, "evidence_at": START + 1}, False),
        ({"end": NOW, "withdrawn": True, "evidence_at": START + 5}, {"evidence_at": START + 5}, True),
    ],
)
def test_older_judgements_are_known_by_their_evidence(
    stored: dict[str, Any], incoming: dict[str, Any], is_old: bool
) -> None:
    assert is_replayed(example_finding(**stored), example_finding(**incoming)) is is_old


def test_findings_meet_in_the_order_in_which_they_came_true() -> None:
    brief = example_finding("brief", minute=0, end=START + 10 * MINUTE)
    later = example_finding("later", minute=20)
    at_its_end = example_finding("at-its-end", minute=10)
    order = [(f.id, f.end is None) for f in chronological([later, brief, at_its_end])]
    assert order == [("brief", True), ("at-its-end", True), ("brief", False), ("later", True)]


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ((Step.FIRING,), (Step.FIRING,)),
        ((Step.FIRING, Step.RAISED, Step.RAISED), (Step.FIRING,)),
        ((Step.FIRING, Step.RECOVERED), ()),
        ((Step.RAISED, Step.RECOVERED), (Step.RECOVERED,)),
        ((Step.RAISED, Step.RAISED), (Step.RAISED,)),
        ((), ()),
    ],
)
def test_several_steps_at_one_time_are_told_as_what_remains(steps: tuple[Step, ...], told: tuple[Step, ...]) -> None:
    assert steps_to_tell(steps) == told
