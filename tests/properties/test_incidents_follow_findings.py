"""Whatever findings come, in whatever batches and however often: incidents stay true to them, and nobody is told twice."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete

from alerts.apply import Applied, apply_findings
from alerts.lifecycle import RECOVERING_UNTIL, cause_of, is_active
from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.domain.incidents import Incident, IncidentState
from qingquan.store.sql import schema
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.routing_schema import incident_rung
from qingquan.testing.alerts import MINUTE, START, example_finding, example_works, register_of

WORKS = register_of(example_works("W1"), example_works("W2"))
KINDS = (
    FindingKind.DISINFECTION_LOW,
    FindingKind.DISINFECTION_MISSING,
    FindingKind.EXCEEDANCE,
    FindingKind.STALE,
    FindingKind.FLAT_LINE,
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    upgrade(url := f"sqlite:///{tmp_path_factory.mktemp('incidents') / 'test.db'}")
    opened = open_database(url)
    yield opened
    opened.dispose()


@st.composite
def lives(draw: st.DrawFn) -> list[Finding]:
    """The judgements on one condition as they follow each other: lasting, worse, over or taken back."""
    kind = draw(st.sampled_from(KINDS))
    start = START + draw(st.integers(0, 20)) * MINUTE
    first = example_finding(
        f"{kind}-{draw(st.integers(0, 10_000))}", kind=kind, works=draw(st.sampled_from(["W1", "W2"])), start=start,
        severity=draw(st.sampled_from([Severity.MINOR, Severity.MAJOR, Severity.CRITICAL])),
        parameter=draw(st.sampled_from(["free_chlorine", "turbidity"])), late=draw(st.booleans()), evidence_at=start,
    )  # fmt: skip
    life = [first]
    for _ in range(draw(st.integers(0, 3))):
        life.append(replace(life[-1], evidence_at=life[-1].evidence_at + MINUTE, extreme=draw(st.floats(0, 1))))
    end = life[-1].evidence_at + MINUTE
    match draw(st.sampled_from(["lasts", "ends", "ends", "withdrawn"])):
        case "ends":
            life.append(replace(life[-1], end=end, evidence_at=end))
        case "withdrawn":
            life.append(replace(life[-1], end=end, withdrawn=True))
    return life


@st.composite
def histories(draw: st.DrawFn) -> list[list[Finding]]:
    """Lives of several conditions woven into each other and cut into batches."""
    waiting = {life[0].id: life for life in draw(st.lists(lives(), min_size=1, max_size=8))}
    batches: list[list[Finding]] = [[]]
    while waiting:
        id_ = draw(st.sampled_from(sorted(waiting)))
        batches[-1].append(waiting[id_].pop(0))
        if not waiting[id_]:
            del waiting[id_]
        if draw(st.booleans()):
            batches.append([])
    return batches


def apply(engine: Engine, findings: list[Finding], minute: int) -> Applied:
    with writing(engine) as connection:
        return apply_findings(connection, findings, WORKS, START + minute * MINUTE)


def wipe(engine: Engine) -> None:
    with writing(engine) as connection:
        for table in (
            incident_rung,
            schema.outbox,
            schema.incident_event,
            schema.incident_finding,
            schema.incident,
            schema.finding,
        ):
            connection.execute(delete(table))


def stored(engine: Engine) -> tuple[dict[str, Finding], list[Incident], list[tuple[int, str, str, str]]]:
    with reading(engine) as connection:
        findings = {finding.id: finding for finding in list_findings(connection, limit=1000)}
        messages = list_messages(connection, limit=1000)
        keys = [(one.incident_id, one.step, one.receiver, one.channel) for one in messages]
        return findings, list(list_incidents(connection, limit=1000)), keys


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=histories())
def test_incidents_follow_findings_and_repeats_change_nothing(engine: Engine, batches: list[list[Finding]]) -> None:
    wipe(engine)
    for minute, batch in enumerate(batches):
        apply(engine, batch, minute)
        before = stored(engine)
        again = apply(engine, batch, minute)
        assert (again.findings_written, again.incidents_opened, again.incidents_resolved, again.messages_queued) == (
            0,
            0,
            0,
            0,
        )
        assert stored(engine) == before
        _check(*before)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=histories())
def test_a_replay_of_everything_opens_and_tells_nothing(engine: Engine, batches: list[list[Finding]]) -> None:
    wipe(engine)
    for minute, batch in enumerate(batches):
        apply(engine, batch, minute)
    _, incidents, messages = stored(engine)
    for minute, batch in enumerate(batches):
        apply(engine, batch, 1000 + minute)
    _, incidents_after, messages_after = stored(engine)
    assert [one.id for one in incidents_after] == [one.id for one in incidents]
    assert messages_after == messages


def _check(findings: dict[str, Finding], incidents: list[Incident], messages: list[tuple[int, str, str, str]]) -> None:
    unresolved = [one for one in incidents if one.state is not IncidentState.RESOLVED]
    causes = Counter((one.county, one.works, one.summary["cause"]) for one in unresolved)
    assert max(causes.values(), default=0) <= 1, "never two open incidents for one cause"
    under_way = {id_ for one in unresolved for id_ in one.finding_ids}
    lasting = {finding.id for finding in findings.values() if is_active(finding)}
    assert lasting <= under_way, "never resolved while a finding is open"
    for one in unresolved:
        held = [findings[id_] for id_ in one.finding_ids]
        assert one.stale or RECOVERING_UNTIL in one.summary or any(is_active(finding) for finding in held), (
            "open without a lasting finding only while stale or watched"
        )
        assert {cause_of(finding) for finding in held} == {one.summary["cause"]}
    assert len(messages) == len(set(messages))
    late = {one.id for one in incidents if one.late}
    assert not late & {incident_id for incident_id, *_ in messages}, "what was recorded late is never told"
