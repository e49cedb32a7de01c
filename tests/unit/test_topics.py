"""Topics and stored subjects."""

import pytest

from ingest.topics import BadTopic, format_subject, format_topic, parse_subject, parse_topic
from qingquan.domain.readings import Topic

OUTLET = Topic("520425", "W0077", "outlet", "json")


def test_a_topic_is_taken_apart() -> None:
    assert parse_topic("wq/520425/W0077/outlet/json") == OUTLET


def test_a_stored_subject_gives_partition_and_topic() -> None:
    assert parse_subject("part.3.wq.520425.W0077.outlet.json") == (3, OUTLET)


def test_topic_and_subject_are_written_as_they_are_read() -> None:
    assert format_topic(OUTLET) == "wq/520425/W0077/outlet/json"
    assert format_subject(3, OUTLET) == "part.3.wq.520425.W0077.outlet.json"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "expected wq/"),
        ("wq/520425/W0077/outlet", "expected wq/"),
        ("wq/520425/W0077/outlet/json/more", "expected wq/"),
        ("xx/520425/W0077/outlet/json", "expected wq/"),
        ("wq/52042/W0077/outlet/json", "6-digit"),
        ("wq/５２０４２５/W0077/outlet/json", "6-digit"),
        ("wq/520425//outlet/json", "works"),
        ("wq/520425/W 77/outlet/json", "works"),
        ("wq/520425/W.77/outlet/json", "works"),
        ("wq/520425/W0077/out\nlet/json", "point"),
        ("wq/520425/W0077/出厂水/json", "point"),
        ("wq/520425/W0077/outlet\n/json", "point"),
        ("wq/520425/W0077/+/json", "point"),
        (f"wq/520425/W0077/{'a' * 65}/json", "point"),
        ("wq/520425/W0077/outlet/js on", "dialect"),
    ],
)
def test_a_topic_outside_the_grammar_is_refused_with_the_part_named(text: str, word: str) -> None:
    refused = parse_topic(text)
    assert isinstance(refused, BadTopic)
    assert word in refused.detail


@pytest.mark.parametrize(
    "text",
    ["", "part", "part.3", "part.x.wq.520425.W1.outlet.json", "part.03.wq.520425.W1.outlet.json", "wq.520425.W1.outlet.json"],
)  # fmt: skip
def test_a_subject_without_its_partition_is_refused(text: str) -> None:
    assert isinstance(parse_subject(text), BadTopic)
