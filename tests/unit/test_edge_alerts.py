"""Who tells of a county with an edge: the edge, unless its row or its long silence says otherwise."""

from dataclasses import replace

import pytest

from alerts.muting import LOOKED_AGAIN_MS, Mute, MuteReason, answered_by_edge
from alerts.wording import Style
from alerts.words_why import mute_words
from qingquan.domain.edges import Edge, EdgeLink, ToldBy
from qingquan.services.edges import followed
from qingquan.services.unheard import is_level
from qingquan.store.reading_log.uplink import EdgeLook

NOW = 1_782_000_000_000
HOUR = 3_600_000
EDGE = Edge("puding", ("520403",), "secret", ToldBy.EDGE, take_over_after_ms=HOUR)
HEARD = EdgeLink("puding", checked_at=NOW, heard_at=NOW, level_at=NOW)
SILENT = EdgeLink("puding", checked_at=NOW, heard_at=NOW - 2 * HOUR)
ANSWERED = Mute(MuteReason.EDGE, "puding")
LOOK = EdgeLook("2026-05-01T00:00:00Z", 100, 0, 3, ("part.*.wq.520403.>",))


def test_the_edge_tells_while_it_is_heard_and_while_it_is_not() -> None:
    assert answered_by_edge(EDGE, HEARD, "disinfection", NOW) == ANSWERED
    assert answered_by_edge(EDGE, None, "disinfection", NOW) == ANSWERED
    never = replace(EDGE, take_over_after_ms=0)
    assert answered_by_edge(never, SILENT, "disinfection", NOW - HOUR) == ANSWERED


@pytest.mark.parametrize(
    ("edge", "cause"),
    [(None, "disinfection"), (replace(EDGE, told_by=ToldBy.PROVINCE), "disinfection"), (EDGE, "lab:arsenic")],
)
def test_the_province_tells_where_there_is_no_edge_where_its_row_says_so_and_of_what_the_edge_cannot_know(
    edge: Edge | None, cause: str
) -> None:
    assert answered_by_edge(edge, HEARD, cause, NOW) is None


def test_after_a_long_silence_the_province_tells_of_what_it_finds_since_and_of_nothing_older() -> None:
    assert answered_by_edge(EDGE, SILENT, "disinfection", NOW - HOUR) is None
    assert answered_by_edge(EDGE, SILENT, "disinfection", NOW - 3 * HOUR) == ANSWERED, "the edge has told of that"
    assert answered_by_edge(EDGE, replace(SILENT, heard_at=NOW - HOUR + 1), "disinfection", NOW) == ANSWERED


def test_the_backlog_of_an_edge_that_comes_back_is_no_news_of_its_absence() -> None:
    """Its readings may be judged before the next look finds it: until then nothing is told."""
    opened = NOW - LOOKED_AGAIN_MS + 1
    assert answered_by_edge(EDGE, SILENT, "disinfection", opened) == ANSWERED
    assert answered_by_edge(EDGE, SILENT, "disinfection", opened - 1) is None


@pytest.mark.parametrize("language", ["zh", "en"])
def test_why_nobody_is_told_names_the_edge(language: str) -> None:
    assert "puding" in mute_words(ANSWERED, Style(language), "Asia/Shanghai")


def test_a_look_is_followed_by_what_stands_in_the_row() -> None:
    first = followed(EDGE, None, LOOK, NOW)
    assert first == EdgeLink("puding", NOW, NOW, NOW, 100, 3, LOOK.log_made)
    assert followed(EDGE, first, None, NOW + 5) == replace(first, checked_at=NOW + 5)
    behind = followed(EDGE, first, replace(LOOK, undelivered=7), NOW + 5)
    assert (behind.heard_at, behind.level_at) == (NOW + 5, NOW)


def test_an_edge_that_is_another_than_the_table_says_is_not_taken() -> None:
    first = followed(EDGE, None, LOOK, NOW)
    anew = followed(EDGE, first, replace(LOOK, log_made="2026-06-01T00:00:00Z", last_sequence=1), NOW + 1)
    assert "made anew" in anew.fault
    assert followed(EDGE, anew, replace(LOOK, log_made="2026-06-01T00:00:00Z"), NOW + 2).fault, (
        "until it has a new name"
    )
    other = followed(EDGE, first, replace(LOOK, filters=("part.*.wq.520404.>",)), NOW + 1)
    assert "hands on counties 520404, edges_file has 520403" in other.fault
    assert followed(EDGE, other, LOOK, NOW + 2).fault == ""


def test_a_county_is_known_as_its_edge_knows_it_or_not() -> None:
    links = {"puding": HEARD}
    assert is_level(EDGE, links, NOW + 1000, 20_000)
    assert not is_level(EDGE, links, NOW + 20_001, 20_000)
    assert not is_level(EDGE, {}, NOW, 20_000)
