"""Who is told of a county with an edge, on every database: at the province nobody, with the reason; somebody once it has to take over."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from alerts.apply import AlertSettings, apply_findings, attend
from alerts.explain import explain, explained_words
from alerts.ladder import facts_of
from qingquan.domain.edges import Edge, EdgeLink, ToldBy
from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.incidents import Message, MessageState
from qingquan.store.sql.edges import load_edge_links, save_edge_links
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.incidents import get_incident, list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.testing.alerts import MINUTE, START, example_finding, example_works, register_of
from qingquan.testing.databases import engine

__all__ = ["engine"]

NOW = START + 35 * MINUTE
HOUR = 60 * MINUTE
WORKS = register_of(example_works())
EDGE = Edge("puding", ("520425",), "secret", ToldBy.EDGE, take_over_after_ms=HOUR)


def settings(edge: Edge) -> AlertSettings:
    return AlertSettings(edges=dict.fromkeys(edge.counties, edge))


def applied(engine: Engine, finding: Finding, edge: Edge, now: int = NOW) -> int:
    with writing(engine) as connection:
        return apply_findings(connection, [finding], WORKS, now, settings(edge)).messages_queued


def link(engine: Engine, *, checked_at: int, heard_at: int) -> None:
    with writing(engine) as connection:
        save_edge_links(connection, [EdgeLink(EDGE.name, checked_at, heard_at)])


def messages(engine: Engine) -> list[Message]:
    with reading(engine) as connection:
        return list(list_messages(connection).items)


def attended(engine: Engine, now: int) -> int:
    with writing(engine) as connection:
        return attend(connection, WORKS.get, now, settings(EDGE)).messages_queued


def test_the_province_shows_the_incident_and_writes_down_why_nobody_is_told(engine: Engine) -> None:
    link(engine, checked_at=NOW, heard_at=NOW)
    assert applied(engine, example_finding(), EDGE) == 0
    (held,) = messages(engine)
    assert (held.state, held.error) == (MessageState.NOT_SENT, "由县级边缘站puding通知，本级只显示")
    with reading(engine) as connection:
        (incident,) = list_incidents(connection).items
        facts = facts_of(connection, [incident], NOW, settings(EDGE))
    told = explain(incident, WORKS["520425", "W0077"], facts, NOW, settings(EDGE), settings(EDGE).style)
    first, *others = explained_words(told, settings(EDGE).style).splitlines()
    assert first.startswith(f"事件 {incident.id}")
    assert others == ["暂不通知：由县级边缘站puding通知，本级只显示"], "what the edge tells when is not known here"
    # Neither time nor the end makes a message of it.
    assert [attended(engine, NOW + minutes * MINUTE) for minutes in (1, 16, 61, 300)] == [0, 0, 0, 0]
    over = example_finding(end=NOW + 310 * MINUTE)
    assert applied(engine, over, EDGE, NOW + 310 * MINUTE) == 0
    attended(engine, NOW + 330 * MINUTE)
    assert [one.state for one in messages(engine)] == [MessageState.NOT_SENT]
    with reading(engine) as connection:
        found = get_incident(connection, incident.id)
    assert found is not None
    assert found.state.is_over


@pytest.mark.parametrize("told_by", [ToldBy.PROVINCE])
def test_the_province_tells_where_the_row_says_so(engine: Engine, told_by: ToldBy) -> None:
    assert applied(engine, example_finding(), replace(EDGE, told_by=told_by)) == 3


def test_a_laboratory_result_is_told_by_the_province(engine: Engine) -> None:
    result = example_finding(kind=FindingKind.LAB_EXCEEDANCE, parameter="arsenic", severity=example_finding().severity)
    assert applied(engine, result, EDGE) == 3


def test_the_province_takes_over_what_it_finds_while_the_edge_is_unheard_and_says_it_once(engine: Engine) -> None:
    link(engine, checked_at=NOW, heard_at=NOW - 2 * HOUR)
    assert applied(engine, example_finding(), EDGE) == 0, "it has not looked for the edge again yet"
    later = NOW + 2 * MINUTE
    link(engine, checked_at=later, heard_at=NOW - 2 * HOUR)
    assert attended(engine, later) == 3
    assert attended(engine, later + MINUTE) == 0


def test_what_comes_with_an_edge_that_is_back_is_not_told(engine: Engine) -> None:
    """Its backlog is judged before the next look finds it: the look before had missed it for hours."""
    link(engine, checked_at=NOW - MINUTE // 30, heard_at=NOW - 2 * HOUR)
    assert applied(engine, example_finding(), EDGE) == 0
    link(engine, checked_at=NOW + MINUTE, heard_at=NOW + MINUTE)
    assert [attended(engine, NOW + minutes * MINUTE) for minutes in (2, 20, 100)] == [0, 0, 0]


def test_a_link_stands_in_the_database_as_it_was_found(engine: Engine) -> None:
    first = EdgeLink("a", 5, 4, 3, 2, 1, "made", "fault")
    with writing(engine) as connection:
        save_edge_links(connection, [first, EdgeLink("b", 5)])
        save_edge_links(connection, [EdgeLink("b", 6, 6)])
    with reading(engine) as connection:
        assert load_edge_links(connection) == {"a": first, "b": EdgeLink("b", 6, 6)}
