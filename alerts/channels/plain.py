"""A message's markdown, written for groups of WeCom, where a channel shows plain text."""

import re

__all__ = ["cut", "plain_lines", "uncoloured"]

_TAG = re.compile(r"</?font[^<>]*>")
# A masked number, 138****0001, is no bold.
_BOLD = re.compile(r"(?<!\*)\*\*(?!\*)(.+?)(?<!\*)\*\*(?!\*)")
_LINK = re.compile(r"\[([^\[\]]+)\]\(([^()\s]+)\)")


def plain_lines(body: str) -> list[str]:
    """Its lines without marks; a link is its words and its address."""
    bare = _LINK.sub(r"\1 \2", _BOLD.sub(r"\1", uncoloured(body))).replace("`", "")
    return [line.removeprefix(">").strip() for line in bare.splitlines()]


def uncoloured(body: str) -> str:
    """The markdown without colours: their names are WeCom's own."""
    return _TAG.sub("", body)


def cut(text: str, most: int) -> str:
    """The text within so many characters, an ellipsis at the end if it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"
