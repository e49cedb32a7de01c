"""Random days at a county: findings, silences, acknowledgements, rosters and hours in any order. What must never happen, never does.

Never two open incidents for one cause; never resolved on silence; never a message to a person outside the route; no rung
skipped or climbed twice; no message after an acknowledgement while it holds.
"""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from alerts.answers import Given, take_answer
from alerts.lifecycle import RECOVERING_UNTIL, Step, is_active
from alerts.messages import step_name
from alerts.policy import Rung
from alerts.routing import rungs_for
from qingquan.clock import to_ms
from qingquan.domain.answers import AnswerKind
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.incidents import Incident, IncidentState, MessageState
from qingquan.errors import TransitionRefused
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import get_findings
from qingquan.store.sql.incidents import acknowledge
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.rungs import rungs_of
from qingquan.testing.alerts import MINUTE, example_finding, example_works, register_of
from qingquan.testing.duty import LEADER, OFFICER, PREFECTURE, STATION, Watch

KINDS = (FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_MISSING, FindingKind.EXCEEDANCE, FindingKind.STALE)
ROUTE = {"13800000001", "13900000002", "group:520425", STATION, OFFICER, LEADER, PREFECTURE}


class AlertMachine(RuleBasedStateMachine):
    """A county with three works and everybody above them."""

    lasting = Bundle("lasting")

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        upgrade(url := f"sqlite:///{Path(self.folder.name) / 'machine.db'}")
        self.watch = Watch(open_database(url))
        self.watch.works = {f"W{n}": example_works(f"W{n}") for n in range(3)}
        self.known: dict[str, Finding] = {}
        self.number = 0

    def teardown(self) -> None:
        self.watch.engine.dispose()
        self.folder.cleanup()

    @rule(target=lasting, kind=st.sampled_from(KINDS), works=st.sampled_from(["W0", "W1", "W2"]))
    def begins(self, kind: FindingKind, works: str) -> Finding:
        self.number += 1
        found = example_finding(
            f"n{self.number}", kind=kind, works=works, start=self.watch.now, evidence_at=self.watch.now,
            severity=Severity.CRITICAL if kind is FindingKind.DISINFECTION_MISSING else Severity.MAJOR,
        )  # fmt: skip
        self.watch.judged(found)
        self.known[found.id] = found
        return found

    @rule(finding=consumes(lasting), withdrawn=st.booleans())
    def ends(self, finding: Finding, withdrawn: bool) -> None:
        now = max(self.watch.now, finding.start)
        is_dark = not withdrawn and finding.kind is not FindingKind.STALE and self._is_silent(finding.works, now)
        self.watch.judged(replace(finding, end=now, evidence_at=now, withdrawn=withdrawn))
        self.known[finding.id] = replace(finding, end=now)
        if is_dark:
            (held,) = [one for one in self.watch.incidents() if finding.id in one.finding_ids]
            assert not held.state.is_over, "an end that came out of the dark proves nothing"

    @rule(target=lasting, finding=consumes(lasting))
    def ends_in_the_dark(self, finding: Finding) -> Finding:
        dark = self.begins(FindingKind.STALE, finding.works)
        assert isinstance(dark, Finding)
        self.time_passes(16)
        self.ends(finding, False)
        return dark

    def _is_silent(self, works: str, before: int) -> bool:
        return any(
            one.kind is FindingKind.STALE and one.end is None and one.works == works and one.start < before
            for one in self.known.values()
        )

    @rule(minutes=st.sampled_from([1, 6, 16, 61, 245, 1500]))
    def time_passes(self, minutes: int) -> None:
        until = self.watch.now + minutes * MINUTE
        while self.watch.now < until:
            self.watch.now = min(until, self.watch.now + max(1, minutes // 8) * MINUTE)
            self.watch.tick()
        for one in self.watch.incidents():
            if one.state is IncidentState.OPEN and one.ladder_at is not None and "muted" not in one.summary:
                assert self._climbed(one) == self._due(one), "no rung due is left out, none comes early"

    def _climbed(self, one: Incident) -> int:
        with reading(self.watch.engine) as connection:
            return sum(row.round == one.round for row in rungs_of(connection, [one.id]))

    def _due(self, one: Incident) -> int:
        """With everybody at their post, a rung is due by its time alone."""
        assert one.ladder_at is not None
        return sum(to_ms(one.ladder_at) + rung.after_ms <= self.watch.now for rung in self._ladder(one))

    def _ladder(self, one: Incident) -> tuple[Rung, ...]:
        works = self.watch.works.get(one.works)
        return rungs_for(
            one.summary["cause"], one.kind, one.severity, works, self.watch.settings.policy, drill=one.is_drill
        )

    @rule(which=st.integers(0, 5))
    def somebody_takes_it_on(self, which: int) -> None:
        incidents = [one for one in self.watch.incidents() if not one.state.is_over]
        if incidents:
            chosen = incidents[which % len(incidents)]
            with writing(self.watch.engine) as connection:
                acknowledge(connection, chosen.id, "王五", self.watch.now)

    @rule(which=st.integers(0, 5), kind=st.sampled_from(AnswerKind), again=st.booleans())
    def somebody_answers(self, which: int, kind: AnswerKind, again: bool) -> None:
        incidents = self.watch.incidents()
        if not incidents:
            return
        before = incidents[which % len(incidents)]
        climbed = self._climbed(before)
        self.number += 1
        for _ in range(1 + again):
            with writing(self.watch.engine) as connection:
                given = Given(before.id, kind, "link", "13800000001", "张三", f"a{self.number}")
                lookup = register_of(*self.watch.works.values()).get
                take_answer(connection, given, lookup, self.watch.now, self.watch.settings)
        (after,) = [one for one in self.watch.incidents() if one.id == before.id]
        assert after.state.is_over is before.state.is_over, "no word ends an incident, and none begins it again"
        if kind is AnswerKind.HELP and not before.state.is_over and before.ladder_at is not None:
            ladder = self._ladder(before)
            wanted = min(len(ladder), climbed + 1)
            assert self._climbed(after) == wanted, "one rung at once, however often it comes"
        if kind in (AnswerKind.ACKNOWLEDGED, AnswerKind.FIXED) and not before.state.is_over:
            assert after.state is IncidentState.ACKNOWLEDGED

    @rule(works=st.sampled_from(["W0", "W1", ""]), hours=st.sampled_from([0.5, 5.0]))
    def somebody_wants_quiet(self, works: str, hours: float) -> None:
        self.watch.silenced(hours, works=works)

    @rule()
    def somebody_holds_a_drill(self) -> None:
        lookup = {"W0077": example_works()}
        self.watch.works |= lookup
        try:
            self.watch.drill()
        except TransitionRefused:
            assert any(not one.state.is_over for one in self.watch.incidents(drills=True))

    @invariant()
    def never_two_open_incidents_for_one_cause(self) -> None:
        unresolved = [one for one in self.watch.incidents() if not one.state.is_over]
        causes = Counter((one.county, one.works, one.summary["cause"]) for one in unresolved)
        assert max(causes.values(), default=0) <= 1

    @invariant()
    def never_resolved_on_silence(self) -> None:
        with reading(self.watch.engine) as connection:
            for one in self.watch.incidents():
                held = get_findings(connection, one.finding_ids)
                if one.state.is_over:
                    assert not any(is_active(finding) for finding in held)
                elif one.works and not any(is_active(finding) for finding in held):
                    assert one.stale or RECOVERING_UNTIL in one.summary

    @invariant()
    def never_a_message_outside_the_route(self) -> None:
        assert {one.to for one in self.watch.heard} <= ROUTE

    @invariant()
    def no_rung_skipped_and_none_twice(self) -> None:
        incidents = [*self.watch.incidents(), *self.watch.incidents(drills=True)]
        with reading(self.watch.engine) as connection:
            rows = rungs_of(connection, [one.id for one in incidents])
        for one in incidents:
            taken = [row.rung for row in rows if (row.incident_id, row.round) == (one.id, one.round)]
            ladder = rungs_for(
                one.summary["cause"], one.kind, one.severity, self.watch.works.get(one.works),
                self.watch.settings.policy, drill=one.is_drill,
            )  # fmt: skip
            assert sorted(taken) == sorted(rung.name for rung in ladder[: len(taken)])

    @invariant()
    def every_rung_climbed_has_left_its_messages(self) -> None:
        incidents = [*self.watch.incidents(), *self.watch.incidents(drills=True)]
        with reading(self.watch.engine) as connection:
            rows = rungs_of(connection, [one.id for one in incidents])
            written = {(one.incident_id, one.step) for one in list_messages(connection, limit=10_000)}
        for one in incidents:
            for row in rows:
                if (row.incident_id, row.round) != (one.id, one.round):
                    continue
                first = step_name(Step.RAISED if one.round else Step.FIRING, one)
                step = first if row.rung == "first" else step_name(Step.ESCALATED, one, row.rung)
                assert (one.id, step) in written, "whoever stands on a rung is told, or it says why not"

    @invariant()
    def no_message_waits_or_goes_after_an_acknowledgement(self) -> None:
        held = {
            one.id: one
            for one in [*self.watch.incidents(), *self.watch.incidents(drills=True)]
            if one.state is IncidentState.ACKNOWLEDGED
        }
        with reading(self.watch.engine) as connection:
            messages = list_messages(connection, limit=10_000).items
        for message in messages:
            taken_on = held.get(message.incident_id)
            if taken_on is None or taken_on.acknowledged_at is None:
                continue
            assert message.state is not MessageState.QUEUED
            assert message.sent_at is None or message.sent_at <= taken_on.acknowledged_at

    @invariant()
    def nothing_is_heard_twice(self) -> None:
        with reading(self.watch.engine) as connection:
            messages = list_messages(connection, limit=10_000).items
        keys = Counter((one.incident_id, one.step, one.receiver, one.channel) for one in messages)
        assert max(keys.values(), default=1) == 1


TestAlertMachine = AlertMachine.TestCase
TestAlertMachine.settings = settings(max_examples=10, stateful_step_count=14, deadline=None)
