"""Grammar of MQTT topics and of the subjects under which the reading log stores them.

A device publishes to ``wq/<county>/<works>/<point>/<dialect>``; the log stores it as
``part.<n>.wq.<county>.<works>.<point>.<dialect>``, n being the partition. The county is a 6-digit GB/T 2260 code, the
other parts are ``[A-Za-z0-9_-]{1,64}``: no dot (the broker would turn it into ``//``), no space, no wildcard.
"""

import re
from dataclasses import dataclass

from qingquan.domain.readings import Topic

__all__ = ["BadTopic", "format_subject", "format_topic", "parse_subject", "parse_topic"]

_COUNTY = re.compile(r"[0-9]{6}")
_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PARTITION = re.compile(r"0|[1-9][0-9]{0,5}")


@dataclass(frozen=True, slots=True)
class BadTopic:
    """A topic or subject outside the grammar, and what is wrong with it."""

    text: str
    detail: str


def parse_topic(text: str) -> Topic | BadTopic:
    """Parts of an MQTT topic."""
    return _topic(text, text.split("/"), "wq/<county>/<works>/<point>/<dialect>")


def parse_subject(text: str) -> tuple[int, Topic] | BadTopic:
    """Partition and topic of a stored subject."""
    parts = text.split(".")
    if len(parts) < 2 or parts[0] != "part" or not _PARTITION.fullmatch(parts[1]):
        return BadTopic(text, "expected part.<n>.wq.<county>.<works>.<point>.<dialect>")
    topic = _topic(text, parts[2:], "part.<n>.wq.<county>.<works>.<point>.<dialect>")
    return topic if isinstance(topic, BadTopic) else (int(parts[1]), topic)


def format_topic(topic: Topic) -> str:
    """The MQTT topic a device publishes to."""
    return "wq/" + "/".join(topic)


def format_subject(partition: int, topic: Topic) -> str:
    """The subject under which the reading log stores it."""
    return f"part.{partition}.wq." + ".".join(topic)


def _topic(text: str, parts: list[str], expected: str) -> Topic | BadTopic:
    if len(parts) != 5 or parts[0] != "wq":
        return BadTopic(text, f"expected {expected}")
    if not _COUNTY.fullmatch(parts[1]):
        return BadTopic(text, f"county {parts[1][:80]!r} is not a 6-digit code (GB/T 2260)")
    for name, part in zip(("works", "point", "dialect"), parts[2:], strict=True):
        if not _IDENTIFIER.fullmatch(part):
            return BadTopic(text, f"{name} {part[:80]!r}: allowed are 1 to 64 of A-Z a-z 0-9 _ -")
    return Topic(*parts[1:])
