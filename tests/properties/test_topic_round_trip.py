"""Topics and subjects round-trip; anything else is a value."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.topics import BadTopic, format_subject, format_topic, parse_subject, parse_topic
from qingquan.domain.readings import Topic

identifiers = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
topics = st.builds(
    Topic, st.from_regex(r"[0-9]{6}", fullmatch=True).filter(str.isascii), identifiers, identifiers, identifiers
)


@given(topics, st.integers(0, 999))
def test_what_is_formatted_parses_to_the_same(topic: Topic, partition: int) -> None:
    assert parse_topic(format_topic(topic)) == topic
    assert parse_subject(format_subject(partition, topic)) == (partition, topic)


@given(st.text())
def test_any_text_is_parsed_or_refused_and_what_is_parsed_formats_back(text: str) -> None:
    for parsed in (parse_topic(text), parse_topic("wq/" + text)):
        assert isinstance(parsed, BadTopic) or format_topic(parsed) in (text, "wq/" + text)
    stored = parse_subject(text)
    assert isinstance(stored, BadTopic) or format_subject(*stored) == text
