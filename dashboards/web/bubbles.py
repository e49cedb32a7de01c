"""Message bodies for people: WeCom's markdown as a phone shows it, or as plain words. Pure."""

import re
from html import escape

__all__ = ["phone_markup", "plain_words"]

_FONT = re.compile(r"&lt;font color=&quot;(info|comment|warning)&quot;&gt;(.*?)&lt;/font&gt;")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")
# Of an escaped text: no quote, no bracket, no other scheme.
_WEB_LINK = re.compile(r"\[([^\]]+)\]\((https?://[^)\s&<>\"']+)\)")
_TAGS = re.compile(r"</?font[^>]*>")


def phone_markup(text: str) -> str:
    """Markup of a bubble: bold, quoted lines, links and the three colours WeCom knows; everything else is plain text."""
    lines = []
    for line in text.splitlines():
        quoted = line.startswith(">")
        shown = _BOLD.sub(r"<b>\1</b>", escape(line.removeprefix(">").strip()))
        shown = _LINK.sub(r"\1", _WEB_LINK.sub(r'<a href="\2" target="_blank" rel="noreferrer">\1</a>', shown))
        shown = _FONT.sub(r'<span class="f-\1">\2</span>', shown)
        lines.append(f'<span class="quote">{shown}</span>' if quoted else f"<span>{shown}</span>")
    return "".join(lines)


def plain_words(text: str) -> str:
    """The same as one running text without any marks."""
    bare = _TAGS.sub("", _LINK.sub(r"\1", _BOLD.sub(r"\1", text)))
    parts = [line.removeprefix(">").strip() for line in bare.splitlines()]
    return " · ".join(part for part in parts if part)
