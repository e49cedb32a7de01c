"""The relational store keeps its word on every database it runs on."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from qingquan.clock import from_ms
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity, finding_id
from qingquan.domain.incidents import Incident, IncidentState, MessageState, NewMessage, TransitionReason
from qingquan.domain.readings import SeriesKey
from qingquan.domain.state import WorksState
from qingquan.domain.works import Contact, Disinfectant, Equipment, PointKind, Role, SamplingPoint, Works
from qingquan.errors import NotFound, TransitionRefused
from qingquan.store.sql import findings, incidents, outbox, progress, register, schema, state
from qingquan.store.sql.engine import reading, writing
from qingquan.testing.databases import engine

__all__ = ["engine"]

T0 = 1_777_600_000_000
MINUTE = 60_000


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    with writing(engine) as opened:
        yield opened


def a_works(number: int = 1, county: str = "520425", **changes: Any) -> Works:
    entry = Works(
        county=county,
        id=f"W{number:04d}",
        name="猫营水厂",
        township="猫营镇",
        disinfectant=Disinfectant.CHLORINE_DIOXIDE,
        equipment=Equipment.EQUIPPED,
        capacity_m3_d=420.5,
        population=3120,
        points=(
            SamplingPoint("outlet", PointKind.OUTLET, "出厂水", ("chlorine_dioxide", "turbidity")),
            SamplingPoint("end1", PointKind.NETWORK_END, "末梢水", ()),
        ),
        contacts=(Contact(Role.CARETAKER, "韦师傅", "13800000001"), Contact(Role.MANAGER, "罗站长", "", "luo")),
        longitude=106.08,
        latitude=25.76,
        commissioned_at=datetime(2021, 6, 1, tzinfo=UTC),
        tags={"网格": "3"},
    )
    return replace(entry, **changes)


def a_finding(start: int = T0, works: str = "W0001", county: str = "520425", **changes: Any) -> Finding:
    key = SeriesKey(county, works, "outlet", "free_chlorine")
    found = Finding(
        id=finding_id(FindingKind.DISINFECTION_LOW, "residual_low", key, start),
        kind=FindingKind.DISINFECTION_LOW,
        severity=Severity.MAJOR,
        county=county,
        works=works,
        point="outlet",
        parameter="free_chlorine",
        start=start,
        end=None,
        evidence_at=start + 5 * MINUTE,
        extreme=0.12,
        limit=0.3,
        clause="Table 2",
        rule="residual_low",
        rule_version="1",
        reason="余氯低于下限",
        evidence={"coverage": 0.95, "n": 31, "pump": "on"},
    )
    return replace(found, **changes)


def an_incident(works: str = "W0001", county: str = "520425", opened: int = T0, **changes: Any) -> Incident:
    made = Incident(
        id=0,
        county=county,
        works=works,
        kind=FindingKind.DISINFECTION_LOW,
        severity=Severity.MAJOR,
        state=IncidentState.OPEN,
        stale=False,
        late=False,
        opened_at=from_ms(opened),
        acknowledged_at=None,
        acknowledged_by="",
        resolved_at=None,
        summary={"title": "余氯偏低"},
    )
    return replace(made, **changes)


def a_message(incident_id: int, receiver: str = "13800000001", due: int = T0, **changes: Any) -> NewMessage:
    made = NewMessage(
        incident_id=incident_id,
        step="fired",
        channel="sms",
        receiver=receiver,
        receiver_name="韦师傅",
        body="猫营水厂余氯 0.12 mg/L，低于 0.3",
        created_at=from_ms(due),
        params={"name": "猫营水厂"},
    )
    return replace(made, **changes)


# --- transactions -----------------------------------------------------------------------------------------------------


def test_a_body_that_raises_leaves_nothing_behind(engine: Engine) -> None:
    def fail_half_way() -> None:
        with writing(engine) as connection:
            progress.add_counts(connection, {"messages": 5})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    with reading(engine) as connection:
        assert progress.counts(connection) == {}


def test_a_reading_transaction_cannot_write(engine: Engine) -> None:
    with pytest.raises(DBAPIError), reading(engine) as connection:
        progress.add_counts(connection, {"messages": 5})
    with writing(engine) as connection:
        progress.add_counts(connection, {"messages": 5})
    with reading(engine) as connection:
        assert progress.counts(connection) == {"messages": 5}


def test_a_reading_transaction_sees_one_state_while_others_write(engine: Engine) -> None:
    with reading(engine) as reader:
        assert progress.counts(reader) == {}
        with writing(engine) as writer:
            progress.add_counts(writer, {"messages": 1})
        assert progress.counts(reader) == {}
    with reading(engine) as reader:
        assert progress.counts(reader) == {"messages": 1}


def test_writers_in_many_threads_lose_no_increment(engine: Engine) -> None:
    def work() -> None:
        for _ in range(20):
            with writing(engine) as connection:
                progress.add_counts(connection, {"b": 1, "a": 2})

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with reading(engine) as connection:
        assert progress.counts(connection) == {"a": 160, "b": 80}


# --- register ---------------------------------------------------------------------------------------------------------


def test_a_works_comes_back_as_it_was_saved(connection: Connection) -> None:
    entry = a_works()
    assert register.save_works(connection, [entry]) == (1, 0)
    assert register.get_works(connection, "520425", "W0001") == entry
    assert register.load_works(connection) == [entry]
    assert register.get_works(connection, "520425", "W0002") is None


def test_saving_counts_new_and_changed_and_leaves_equal_ones_alone(connection: Connection) -> None:
    register.save_works(connection, [a_works(1), a_works(2)])
    version = register.register_version(connection)
    changed = a_works(2, points=(), name="新名")
    assert register.save_works(connection, [a_works(1), changed, a_works(3)]) == (1, 1)
    assert register.register_version(connection) == version + 1
    assert register.load_works(connection) == [a_works(1), changed, a_works(3)]
    assert register.save_works(connection, [changed]) == (0, 0)
    assert register.register_version(connection) == version + 1


def test_a_shorter_division_code_names_all_counties_under_it(connection: Connection) -> None:
    counties = ("510100", "520425", "520499", "520502", "530000")
    register.save_works(connection, [a_works(1, county) for county in counties])
    assert [entry.county for entry in register.load_works(connection, "5204")] == ["520425", "520499"]
    assert [entry.county for entry in register.load_works(connection, "52")] == ["520425", "520499", "520502"]
    assert [entry.county for entry in register.load_works(connection, "520502")] == ["520502"]
    assert register.load_works(connection, "' OR 1=1") == []
    assert all(entry.points and entry.contacts for entry in register.load_works(connection, "52"))


def test_a_register_read_in_pages_is_whole_and_in_order(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [a_works(n, county) for county in ("520425", "520499") for n in (1, 2, 3, 4)]
    entries[5] = replace(entries[5], points=(), contacts=(), tags={"source": "river"})
    register.save_works(connection, reversed(entries))
    for page in (1, 3, 8, 100):
        monkeypatch.setattr(register, "PAGE", page)
        assert list(register.scan_works(connection)) == entries
        assert list(register.scan_works(connection, "520499")) == entries[4:]
        bare = [replace(one, contacts=(), name="", note="", longitude=None, latitude=None) for one in entries]
        assert list(register.scan_works(connection, for_judging=True)) == bare


def test_works_are_found_by_key_with_points_and_contacts(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "PAGE", 2)
    entries = [a_works(n, county) for county in ("520425", "520499") for n in (1, 2, 3)]
    register.save_works(connection, entries)
    wanted = [("520425", "W0001"), ("520425", "W0003"), ("520499", "W0002"), ("520499", "W0009"), ("520425", "W0001")]
    assert register.works_by_key(connection, wanted) == {
        (one.county, one.id): one for one in (entries[0], entries[2], entries[4])
    }
    assert register.works_by_key(connection, []) == {}


def test_text_no_database_can_hold_is_made_visible(connection: Connection) -> None:
    register.save_works(connection, [a_works(name="水\x00厂\ud800", tags={"注": "a\x00b"})])
    entry = register.get_works(connection, "520425", "W0001")
    assert entry is not None
    assert entry.name == "水␀厂?"
    assert entry.tags == {"注": "a␀b"}


# --- findings ---------------------------------------------------------------------------------------------------------


def test_a_finding_comes_back_as_it_was_saved(connection: Connection) -> None:
    found = a_finding(end=T0 + MINUTE, late=True)
    findings.upsert_findings(connection, [found], T0)
    assert findings.get_finding(connection, found.id) == found
    assert findings.get_finding(connection, "none") is None


def test_the_same_findings_again_change_nothing(connection: Connection) -> None:
    batch = [a_finding(T0 + n) for n in range(5)]
    assert findings.upsert_findings(connection, batch, T0) == 5
    assert findings.upsert_findings(connection, batch, T0 + 1) == 0
    assert findings.upsert_findings(connection, [replace(batch[0], end=T0 + 9)], T0 + 2) == 1
    times = (
        connection.execute(select(schema.finding.c.updated_at).order_by(schema.finding.c.started_at)).scalars().all()
    )
    assert times == [T0 + 2, T0, T0, T0, T0]


def test_of_one_finding_given_twice_the_last_stands(connection: Connection) -> None:
    findings.upsert_findings(connection, [a_finding(extreme=0.2), a_finding(extreme=0.1)], T0)
    assert findings.list_findings(connection)[0].extreme == 0.1


def test_a_missing_number_in_a_finding_is_kept_as_missing(connection: Connection) -> None:
    found = a_finding(extreme=float("nan"), evidence={"mean": float("nan"), "n": 2})
    findings.upsert_findings(connection, [found], T0)
    held = findings.get_finding(connection, found.id)
    assert held is not None
    assert (held.extreme, held.evidence) == (None, {"n": 2})


def test_open_findings_leave_out_the_ended_and_the_withdrawn(connection: Connection) -> None:
    batch = [a_finding(T0), a_finding(T0 + 1, end=T0 + 2), a_finding(T0 + 3, withdrawn=True)]
    findings.upsert_findings(connection, batch, T0)
    assert findings.open_findings(connection) == [batch[0]]
    assert findings.open_findings(connection, [FindingKind.STALE]) == []
    assert findings.list_findings(connection, is_open=True).items == [batch[0]]
    assert findings.list_findings(connection, is_open=False).total == 2


def test_lists_are_newest_first_filtered_and_counted_as_a_whole(connection: Connection) -> None:
    batch = [a_finding(T0 + n * MINUTE, works=f"W{n % 3:04d}", county=("520425", "530101")[n % 2]) for n in range(30)]
    findings.upsert_findings(connection, batch, T0)
    page = findings.list_findings(connection, limit=4, offset=2)
    assert page.items == batch[::-1][2:6]
    assert page.total == 30
    assert findings.list_findings(connection, county="52").total == 15
    assert findings.list_findings(connection, county="520425", works="W0002").total == 5
    assert findings.list_findings(connection, severities=[Severity.MINOR]).total == 0
    assert findings.list_findings(connection, kinds=[FindingKind.DISINFECTION_LOW]).total == 30
    span = findings.list_findings(connection, from_ms=T0 + 2 * MINUTE, to_ms=T0 + 4 * MINUTE)
    assert span.items == [batch[3], batch[2]]
    beyond = findings.list_findings(connection, offset=100)
    assert (beyond.items, beyond.total) == ([], 30)


# --- incidents --------------------------------------------------------------------------------------------------------


def test_the_database_itself_refuses_a_second_open_incident_of_one_cause(engine: Engine) -> None:
    with writing(engine) as connection:
        incidents.insert_incident(connection, an_incident(), "disinfection")
        row = dict(connection.execute(select(schema.incident)).one()._mapping) | {"id": 999}
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(insert(schema.incident).values(row))


def test_a_second_open_incident_is_refused_in_words_and_the_transaction_goes_on(connection: Connection) -> None:
    first = incidents.insert_incident(connection, an_incident(), "disinfection")
    with pytest.raises(TransitionRefused, match=r"520425/W0001 with cause disinfection is open already"):
        incidents.insert_incident(connection, an_incident(), "disinfection")
    other = incidents.insert_incident(connection, an_incident(), "silent")
    assert incidents.list_incidents(connection).items == [other, first]


def test_two_connections_that_open_one_cause_at_once_end_with_one_incident(engine: Engine) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def open_one() -> None:
        start.wait()
        try:
            with writing(engine) as connection:
                incidents.insert_incident(connection, an_incident(), "disinfection")
                time.sleep(0.05)
            outcomes.append("opened")
        except TransitionRefused:
            outcomes.append("refused")

    threads = [threading.Thread(target=open_one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["opened", "refused"]


def test_a_resolved_incident_frees_its_cause(connection: Connection) -> None:
    first = incidents.insert_incident(connection, an_incident(), "disinfection")
    done = replace(first, state=IncidentState.RESOLVED, resolved_at=from_ms(T0 + MINUTE))
    incidents.update_incident(connection, done)
    assert incidents.open_incident_for(connection, "520425", "W0001", "disinfection") is None
    second = incidents.insert_incident(connection, an_incident(opened=T0 + 2 * MINUTE), "disinfection")
    assert incidents.open_incident_for(connection, "520425", "W0001", "disinfection") == second
    assert incidents.get_incident(connection, first.id) == done
    with pytest.raises(NotFound):
        incidents.update_incident(connection, replace(first, id=12345))


def test_findings_are_linked_once_and_come_with_the_incident(connection: Connection) -> None:
    batch = [a_finding(T0 + n) for n in range(3)]
    findings.upsert_findings(connection, batch, T0)
    made = incidents.insert_incident(connection, an_incident(finding_ids=(batch[0].id,)), "disinfection")
    assert incidents.link_finding(connection, made.id, batch[1].id)
    assert not incidents.link_finding(connection, made.id, batch[1].id)
    held = incidents.get_incident(connection, made.id)
    assert held is not None
    assert set(held.finding_ids) == {batch[0].id, batch[1].id}
    assert findings.get_findings(connection, held.finding_ids) == batch[:2]
    assert incidents.incidents_of_finding(connection, batch[1].id) == [held]
    assert incidents.incidents_of_finding(connection, batch[2].id) == []


def test_acknowledging_notes_person_and_time_once(connection: Connection) -> None:
    made = incidents.insert_incident(connection, an_incident(), "disinfection")
    taken = incidents.acknowledge(connection, made.id, "罗站长", T0 + MINUTE)
    assert (taken.state, taken.acknowledged_by) == (IncidentState.ACKNOWLEDGED, "罗站长")
    assert taken.acknowledged_at == from_ms(T0 + MINUTE)
    assert incidents.acknowledge(connection, made.id, "别人", T0 + 2 * MINUTE) == taken
    assert incidents.get_incident(connection, made.id) == taken
    history = incidents.events_of(connection, made.id)
    assert [(e.reason, e.actor, e.at) for e in history] == [
        (TransitionReason.ACKNOWLEDGED, "罗站长", from_ms(T0 + MINUTE))
    ]


def test_a_resolved_or_unknown_incident_cannot_be_acknowledged(connection: Connection) -> None:
    made = incidents.insert_incident(connection, an_incident(state=IncidentState.RESOLVED), "disinfection")
    with pytest.raises(TransitionRefused, match="is resolved"):
        incidents.acknowledge(connection, made.id, "罗站长", T0)
    with pytest.raises(NotFound, match="incident 4711"):
        incidents.acknowledge(connection, 4711, "罗站长", T0)
    assert incidents.events_of(connection, made.id) == []


def test_an_acknowledgement_is_not_lost_under_an_update(engine: Engine) -> None:
    with writing(engine) as connection:
        made = incidents.insert_incident(connection, an_incident(), "disinfection")
    held = threading.Event()

    def evaluator() -> None:
        with writing(engine) as connection:
            found = incidents.open_incident_for(connection, "520425", "W0001", "disinfection")
            assert found is not None
            held.set()
            time.sleep(0.1)
            incidents.update_incident(connection, replace(found, severity=Severity.CRITICAL))

    thread = threading.Thread(target=evaluator)
    thread.start()
    held.wait()
    with writing(engine) as connection:
        incidents.acknowledge(connection, made.id, "罗站长", T0)
    thread.join()
    with reading(engine) as connection:
        after = incidents.get_incident(connection, made.id)
    assert after is not None
    assert (after.state, after.severity) == (IncidentState.ACKNOWLEDGED, Severity.CRITICAL)


def test_history_is_kept_in_order_and_has_no_function_that_changes_it(connection: Connection) -> None:
    made = incidents.insert_incident(connection, an_incident(), "disinfection")
    incidents.add_event(connection, made.id, T0, TransitionReason.FIRST_FINDING, detail="余氯 0.12")
    incidents.add_event(connection, made.id, T0, TransitionReason.SEVERITY_RAISED)
    assert [e.reason.value for e in incidents.events_of(connection, made.id)] == ["first_finding", "severity_raised"]
    assert [name for name in incidents.__all__ if "event" in name] == ["add_event", "events_of"]


def test_incidents_are_listed_newest_first_or_worst_first(connection: Connection) -> None:
    def made(opened: int, works: str, **changes: Any) -> Incident:
        return incidents.insert_incident(connection, an_incident(works, opened=opened, **changes), "disinfection")

    oldest = made(T0, "W0001", severity=Severity.CRITICAL)
    middle = made(T0 + 1, "W0002", severity=Severity.MINOR)
    newest = made(T0 + 2, "W0003", severity=Severity.CRITICAL, state=IncidentState.RESOLVED)
    assert incidents.list_incidents(connection).items == [newest, middle, oldest]
    assert incidents.list_incidents(connection, worst_first=True).items == [oldest, middle, newest]
    assert incidents.list_incidents(connection, states=[IncidentState.OPEN], limit=1).total == 2
    assert incidents.list_incidents(connection, works="W0002", county="5204").items == [middle]
    assert incidents.list_incidents(connection, county="53").total == 0
    assert incidents.list_incidents(connection, from_ms=T0 + 1, to_ms=T0 + 2).items == [middle]
    assert incidents.list_incidents(connection, kinds=[FindingKind.STALE]).total == 0


# --- outbox -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def incident_id(engine: Engine) -> int:
    with writing(engine) as connection:
        return incidents.insert_incident(connection, an_incident(), "disinfection").id


def test_the_database_itself_refuses_the_same_message_twice(engine: Engine, incident_id: int) -> None:
    with writing(engine) as connection:
        assert outbox.enqueue(connection, [a_message(incident_id), a_message(incident_id)]) == 1
        assert outbox.enqueue(connection, [a_message(incident_id, body="其他")]) == 0
        row = dict(connection.execute(select(schema.outbox)).one()._mapping) | {"id": 999}
    with pytest.raises(IntegrityError), writing(engine) as connection:
        connection.execute(insert(schema.outbox).values(row))


def test_a_message_is_leased_once_until_its_lease_runs_out(engine: Engine, incident_id: int) -> None:
    with writing(engine) as connection:
        outbox.enqueue(connection, [a_message(incident_id), a_message(incident_id, "B", due=T0 + MINUTE)])
    with writing(engine) as connection:
        (leased,) = outbox.lease_due(connection, T0, "one", 10, MINUTE)
        assert (leased.receiver, leased.state, leased.params) == (
            "13800000001",
            MessageState.QUEUED,
            {"name": "猫营水厂"},
        )
        assert outbox.lease_due(connection, T0, "two", 10, MINUTE) == []
    with writing(engine) as connection:
        again = outbox.lease_due(connection, T0 + MINUTE, "two", 10, MINUTE)
    assert [(m.receiver, m.state) for m in again] == [("13800000001", MessageState.SENDING), ("B", MessageState.QUEUED)]


def test_a_worker_whose_lease_was_taken_over_writes_no_result(engine: Engine, incident_id: int) -> None:
    with writing(engine) as connection:
        outbox.enqueue(connection, [a_message(incident_id)])
        (leased,) = outbox.lease_due(connection, T0, "one", 10, MINUTE)
        outbox.lease_due(connection, T0 + MINUTE, "two", 10, MINUTE)
        assert not outbox.record_result(connection, leased.id, MessageState.REFUSED, worker="one")
        assert outbox.record_result(
            connection, leased.id, MessageState.ACCEPTED, "p-1", "", 1, sent_at_ms=T0 + MINUTE, worker="two"
        )
        held = outbox.get_message(connection, leased.id)
        assert held is not None
        assert (held.state, held.provider_id, held.attempts) == (MessageState.ACCEPTED, "p-1", 1)
        assert held.sent_at == from_ms(T0 + MINUTE)
        assert outbox.lease_due(connection, T0 + 100 * MINUTE, "two", 10, MINUTE) == []


def test_a_failed_attempt_is_due_again_when_told(engine: Engine, incident_id: int) -> None:
    with writing(engine) as connection:
        outbox.enqueue(connection, [a_message(incident_id)])
        (leased,) = outbox.lease_due(connection, T0, "one", 10, MINUTE)
        outbox.record_result(connection, leased.id, MessageState.QUEUED, "", "HTTP 500", 1, T0 + 2 * MINUTE)
        assert outbox.lease_due(connection, T0 + MINUTE, "one", 10, MINUTE) == []
        (again,) = outbox.lease_due(connection, T0 + 2 * MINUTE, "one", 10, MINUTE)
    assert (again.attempts, again.error) == (1, "HTTP 500")


def test_many_workers_lease_every_message_exactly_once(engine: Engine, incident_id: int) -> None:
    with writing(engine) as connection:
        outbox.enqueue(connection, [a_message(incident_id, f"r{n}") for n in range(200)])
    taken: list[str] = []

    def work(name: str) -> None:
        while True:
            with writing(engine) as connection:
                leased = outbox.lease_due(connection, T0, name, 7, MINUTE)
            if not leased:
                return
            taken.extend(message.receiver for message in leased)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(f"r{n}" for n in range(200))


def test_messages_are_listed_newest_first_by_region_and_state(engine: Engine, incident_id: int) -> None:
    with writing(engine) as connection:
        other = incidents.insert_incident(connection, an_incident("W0009", "530101"), "disinfection").id
        outbox.enqueue(connection, [a_message(incident_id), a_message(other, "B", due=T0 + 1, channel="wecom_robot")])
        assert [m.receiver for m in outbox.list_messages(connection)] == ["B", "13800000001"]
        assert [m.receiver for m in outbox.list_messages(connection, county="53")] == ["B"]
        assert outbox.list_messages(connection, works="W0001", incident_id=incident_id).total == 1
        assert outbox.list_messages(connection, states=[MessageState.ACCEPTED]).total == 0
        assert outbox.list_messages(connection, channels=["sms"], limit=1).total == 1
        assert outbox.list_messages(connection, from_ms=T0 + 1, to_ms=T0 + 2).total == 1
        assert [m.receiver for m in outbox.messages_of(connection, other)] == ["B"]


# --- state and progress -----------------------------------------------------------------------------------------------


def test_a_works_state_comes_back_as_it_was_saved(connection: Connection) -> None:
    full = WorksState(
        "520425", "W0001", DisinfectionState.LOW, T0, T0 + 1, True, 0.12, "free_chlorine", 0.6, Severity.MAJOR, 2,
        {"outlet/free_chlorine": 0.12},
    )  # fmt: skip
    bare = WorksState("530101", "W0001", DisinfectionState.UNKNOWN, T0, None, True)
    assert state.save_works_states(connection, [full, bare]) == 2
    assert state.load_works_states(connection) == [full, bare]
    assert state.load_works_states(connection, "5204") == [full]
    assert state.save_works_states(connection, [replace(full, residual=0.4), bare]) == 1
    assert state.load_works_states(connection, "520425")[0].residual == 0.4
    assert sorted(state.scan_disinfection(connection)) == [
        ("520425", "W0001", DisinfectionState.LOW, T0),
        ("530101", "W0001", DisinfectionState.UNKNOWN, T0),
    ]


def test_a_value_that_is_missing_stays_out_of_the_state(connection: Connection) -> None:
    nan = float("nan")
    given = WorksState("520425", "W0001", DisinfectionState.UNKNOWN, T0, T0, False, nan, None, nan, latest={"a/b": nan})
    state.save_works_states(connection, [given])
    (held,) = state.load_works_states(connection)
    assert (held.residual, held.turbidity, held.latest) == (None, None, {})


def test_the_applied_sequence_never_goes_back(connection: Connection) -> None:
    assert progress.applied_sequence(connection, 3) == 0
    assert progress.set_applied_sequence(connection, 3, 2**40)
    assert not progress.set_applied_sequence(connection, 3, 2**40)
    assert not progress.set_applied_sequence(connection, 3, 7)
    assert progress.set_applied_sequence(connection, 4, 7)
    assert (progress.applied_sequence(connection, 3), progress.applied_sequence(connection, 4)) == (2**40, 7)
