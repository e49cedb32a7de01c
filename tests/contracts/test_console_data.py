"""One suite for the console's read port: the example twin, and the adapter over SQL and series stores holding the same county."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dashboards.web.example import ExampleData
from dashboards.web.example_county import COUNTY, County, make_county
from dashboards.web.ports import ConsoleData, FindingQuery, IncidentQuery, LabQuery, MessageQuery, QuarantineQuery
from dashboards.web.store_data import StoreData
from qingquan.domain.findings import FindingKind
from qingquan.domain.incidents import IncidentState, MessageState, NewMessage
from qingquan.domain.readings import QuarantineReason, SeriesKey
from qingquan.errors import NotFound, StoreUnavailable, TransitionRefused
from qingquan.store.ports import SeriesRows
from qingquan.store.series.memory import MemorySeriesStore
from qingquan.store.sql.engine import open_database, writing
from qingquan.store.sql.findings import upsert_findings
from qingquan.store.sql.incidents import add_event, insert_incident
from qingquan.store.sql.lab import save_samples
from qingquan.store.sql.outbox import enqueue
from qingquan.store.sql.progress import add_counts
from qingquan.store.sql.quarantine import insert_quarantined
from qingquan.store.sql.register import save_works
from qingquan.store.sql.state import save_works_states
from qingquan.testing.databases import current_sqlite

NOW = 1_777_600_000_000
SERIES = SeriesKey(COUNTY, "W0001", "outlet", "turbidity")


@pytest.fixture
def county() -> County:
    return make_county(NOW, works=60)


@pytest.fixture(params=["twin", "stores"])
def data(request: pytest.FixtureRequest, county: County, tmp_path: Path) -> Iterator[ConsoleData]:
    if request.param == "twin":
        yield ExampleData(county)
        return
    url = current_sqlite(tmp_path / "console.db")
    engine = open_database(url)
    with writing(engine) as connection:
        save_works(connection, county.works.values())
        save_works_states(connection, county.states.values())
        upsert_findings(connection, county.findings.values(), NOW)
        for incident in county.incidents.values():
            stored = insert_incident(connection, incident, str(incident.kind))
            for event in county.events[incident.id]:
                add_event(
                    connection, stored.id, round(event.at.timestamp() * 1000), event.reason, event.actor, event.detail
                )
        enqueue(
            connection,
            [
                NewMessage(m.incident_id, m.step, m.channel, m.receiver, m.receiver_name, m.body, m.created_at)
                for m in county.messages
            ],
        )
        save_samples(connection, county.samples)
        insert_quarantined(connection, [entry.item for entry in county.quarantine])
        add_counts(connection, {"evaluated.messages": 3200})
    series = MemorySeriesStore()
    drawn = ExampleData(county).trend(SERIES, NOW - 3_600_000, NOW + 1)
    n = len(drawn.observed_at)
    series.append(
        SeriesRows(
            [SERIES], np.zeros(n, np.int32), drawn.observed_at, drawn.observed_at, drawn.columns["value"],
            drawn.columns["flag"].astype(np.uint8),
        ),
        "all", 0, 3200,
    )  # fmt: skip
    yield StoreData(engine, series, lambda: 3200)
    engine.dispose()


def test_the_register_is_whole_and_in_order(data: ConsoleData, county: County) -> None:
    assert [w.id for w in data.works()] == sorted(county.works)
    assert data.works("5203") == []
    assert data.one_works(COUNTY, "W0007") == county.works["W0007"]
    assert data.one_works("520424", "W0007") is None


def test_states_come_back_as_they_were_written(data: ConsoleData, county: County) -> None:
    assert {state.works: state for state in data.states("5204")} == county.states


def test_open_findings_are_told_from_all(data: ConsoleData, county: County) -> None:
    assert data.findings(FindingQuery(is_open=True, limit=1000)).total == len(county.findings)
    assert data.findings(FindingQuery(is_open=False)).total == 0
    stale = data.findings(FindingQuery(kinds=(FindingKind.STALE,), limit=1000))
    assert {f.kind for f in stale.items} == {FindingKind.STALE}


def test_findings_are_found_by_their_ids_and_others_are_left_out(data: ConsoleData, county: County) -> None:
    ids = list(county.findings)[:3]
    assert {f.id for f in data.findings_by_id([*ids, "none"])} == set(ids)
    assert list(data.findings_by_id([])) == []


def test_incidents_come_worst_first_in_pages_that_do_not_overlap(data: ConsoleData, county: County) -> None:
    first, second = (data.incidents(IncidentQuery(limit=5, offset=offset)) for offset in (0, 5))
    severities = [i.severity for i in [*first.items, *second.items]]
    assert first.total == len(county.incidents)
    assert severities == sorted(severities, reverse=True)
    assert not {i.id for i in first.items} & {i.id for i in second.items}
    assert {i.state for i in data.incidents(IncidentQuery(states=(IncidentState.OPEN,))).items} == {IncidentState.OPEN}


def test_an_incident_carries_its_findings_and_history(data: ConsoleData, county: County) -> None:
    number, expected = next(iter(county.incidents.items()))
    found = data.incident(number)
    assert found is not None
    assert set(found.finding_ids) == set(expected.finding_ids)
    assert list(data.incident_events(number)) == county.events[number]
    assert data.incident(999_999) is None


def test_the_first_person_to_acknowledge_stands(data: ConsoleData, county: County) -> None:
    number = next(i.id for i in county.incidents.values() if i.state is IncidentState.OPEN)
    before = len(data.incident_events(number))
    assert data.acknowledge(number, "甲", NOW).acknowledged_by == "甲"
    assert data.acknowledge(number, "乙", NOW + 1).acknowledged_by == "甲"
    assert len(data.incident_events(number)) == before + 1
    with pytest.raises(NotFound):
        data.acknowledge(999_999, "甲", NOW)


def test_messages_are_found_by_incident(data: ConsoleData, county: County) -> None:
    number = county.messages[0].incident_id
    assert {m.incident_id for m in data.messages(MessageQuery(incident=number)).items} == {number}
    assert data.messages(MessageQuery(limit=1)).total == len(county.messages)
    assert data.messages(MessageQuery(region="5203")).total == 0


def test_lab_samples_come_newest_upload_first(data: ConsoleData, county: County) -> None:
    page = data.lab_samples(LabQuery(limit=2))
    assert (page.total, [s.number for s in page.items]) == (len(county.samples), ["HY26-0001", "HY26-0002"])
    assert page.items[0].results[0].value is None


def test_quarantine_is_filtered_and_counted_by_reason(data: ConsoleData, county: County) -> None:
    listed = data.quarantine(QuarantineQuery(reasons=(QuarantineReason.BAD_JSON,)))
    assert {entry.item.reason for entry in listed.items} == {QuarantineReason.BAD_JSON}
    counts = data.counts()
    assert counts.quarantined["bad_json"] == listed.total
    assert sum(counts.quarantined.values()) == len(county.quarantine)
    assert (counts.logged, counts.evaluated, counts.recorded) == (3200, 3200, 3200)


def test_a_trend_comes_with_values_and_flags(data: ConsoleData) -> None:
    trend = data.trend(SERIES, NOW - 1_800_000, NOW)
    assert len(trend.observed_at) == len(trend.columns["value"]) == len(trend.columns["flag"]) > 0


def test_everything_answers(data: ConsoleData) -> None:
    assert all(part.is_up for part in data.health())


def test_a_resolved_incident_cannot_be_acknowledged_in_the_store(county: County, tmp_path: Path) -> None:
    from dataclasses import replace

    from qingquan.store.sql.incidents import update_incident

    url = current_sqlite(tmp_path / "resolved.db")
    engine = open_database(url)
    incident = next(iter(county.incidents.values()))
    with writing(engine) as connection:
        stored = insert_incident(connection, replace(incident, finding_ids=()), "silent")
        update_incident(connection, replace(stored, state=IncidentState.RESOLVED, resolved_at=stored.opened_at))
    store = StoreData(engine, MemorySeriesStore(), lambda: None)
    with pytest.raises(TransitionRefused):
        store.acknowledge(stored.id, "甲", NOW)
    engine.dispose()


def test_a_silent_series_store_and_log_count_none_and_show_in_health(tmp_path: Path) -> None:
    class Silent(MemorySeriesStore):
        def counts(self):  # type: ignore[no-untyped-def]
            raise StoreUnavailable("no recorder")

    url = current_sqlite(tmp_path / "silent.db")
    engine = open_database(url)
    store = StoreData(engine, Silent(), lambda: None)
    counts = store.counts()
    assert (counts.logged, counts.evaluated, counts.recorded, counts.readings) == (None, 0, None, None)
    assert [(part.name, part.is_up) for part in store.health()] == [
        ("database", True), ("series_store", False), ("ruleset", True), ("reading_log", False)
    ]  # fmt: skip
    engine.dispose()


def test_an_unsent_message_is_filtered_by_its_state(data: ConsoleData) -> None:
    shown = data.messages(MessageQuery(states=(MessageState.NOT_SENT,), limit=1000)).items
    assert all(message.state is MessageState.NOT_SENT for message in shown)
