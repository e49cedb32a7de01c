"""Marks of the console: one shape and one colour per state, so that no state is told by colour alone."""

from html import escape

from dashboards.web.texts import Texts
from qingquan.domain.findings import DisinfectionState, Severity

__all__ = ["GLYPHS", "glyph", "icon", "severity_chip", "state_badge"]

# 24 x 24 drawings; `currentColor` is the state's own colour, white the drawing on it.
GLYPHS = {
    DisinfectionState.OK: '<circle cx="12" cy="12" r="10" fill="currentColor"/><path d="M7 12.4l3.4 3.4L17 9" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round"/>',
    DisinfectionState.LOW: '<path d="M2.2 4.5h19.6L12 21.5z" fill="currentColor" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round"/><path d="M12 7.6v6m-2.8-2.6L12 13.8l2.8-2.8" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>',
    DisinfectionState.HIGH: '<path d="M2.2 19.5h19.6L12 2.5z" fill="currentColor" stroke="currentColor" stroke-width="1.6" stroke-linejoin="round"/><path d="M12 16.6v-6m-2.8 2.6L12 10.4l2.8 2.8" fill="none" stroke="#fff" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>',
    DisinfectionState.MISSING: '<path d="M7.6 2h8.8L22 7.6v8.8L16.4 22H7.6L2 16.4V7.6z" fill="currentColor"/><path d="M8.2 8.2l7.6 7.6m0-7.6l-7.6 7.6" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round"/>',
    DisinfectionState.UNKNOWN: '<circle cx="12" cy="12" r="9" fill="#fff" stroke="currentColor" stroke-width="2" stroke-dasharray="3.6 2.05"/><path d="M9.2 9.6a2.9 2.9 0 1 1 4.2 2.6c-.9.5-1.4 1-1.4 1.9" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/><circle cx="12" cy="17" r="1.3" fill="currentColor"/>',
    DisinfectionState.NOT_EQUIPPED: '<rect x="3" y="3" width="18" height="18" rx="2.5" fill="#fff" stroke="currentColor" stroke-width="2"/><path d="M7.5 12h9" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"/>',
    DisinfectionState.IDLE: '<circle cx="12" cy="12" r="9.4" fill="#fff" stroke="currentColor" stroke-width="2"/><path d="M9.6 8.4v7.2m4.8-7.2v7.2" stroke="currentColor" stroke-width="2.4" stroke-linecap="round"/>',
}  # fmt: skip

_ICONS = {
    "drop": '<path d="M12 2.5c3.6 4.3 6.4 7.7 6.4 11.4a6.4 6.4 0 0 1-12.8 0C5.600 10.200 8.400 6.800 12 2.500z" fill="currentColor"/><path d="M8.700 14.200a3.400 3.400 0 0 0 3 3.500" fill="none" stroke="#12323f" stroke-width="1.600" stroke-linecap="round"/>',
    "county": '<path d="M4 6h16M4 12h16M4 18h10" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round"/>',
    "incidents": '<path d="M12 4l9 16H3z" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round"/><path d="M12 10v4" stroke="currentColor" stroke-width="2" stroke-linecap="round"/><circle cx="12" cy="17" r="1.200" fill="currentColor"/>',
    "events": '<path d="M3 17h6.500V7H15v10h6M3 21h18" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>',
    "messages": '<path d="M4 5h16v11H10l-4 4v-4H4z" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round"/>',
    "lab": '<path d="M9 3h6M10 3v6l-5 9.500A1.700 1.700 0 0 0 6.500 21h11a1.700 1.700 0 0 0 1.500-2.500L14 9V3M7.500 15h9" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>',
    "compliance": '<path d="M4 5h16v15H4zM4 9.500h16M8 3v4M16 3v4M8 14.500l2.700 2.700 5-5" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"/>',
    "operations": '<path d="M3 12h4l3-7 4 14 3-7h4" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round" stroke-linecap="round"/>',
    "quarantine": '<path d="M4 8l8-4 8 4v8l-8 4-8-4zM4 8l8 4 8-4M12 12v8" fill="none" stroke="currentColor" stroke-width="2" stroke-linejoin="round"/>',
}  # fmt: skip


def glyph(state: DisinfectionState, size: int = 18) -> str:
    """Drawing of a state as SVG; hidden from screen readers, since the word stands beside it."""
    return f'<svg class="glyph s-{state}" viewBox="0 0 24 24" width="{size}" height="{size}" aria-hidden="true">{GLYPHS[state]}</svg>'


def icon(name: str, size: int = 20) -> str:
    """Drawing of a page or of the product."""
    return (
        f'<svg class="icon" viewBox="0 0 24 24" width="{size}" height="{size}" aria-hidden="true">{_ICONS[name]}</svg>'
    )


def state_badge(state: DisinfectionState, t: Texts) -> str:
    """Shape and word of a state."""
    return f'<span class="state s-{state}">{glyph(state)}<span>{escape(t(f"state.{state}"))}</span></span>'


def severity_chip(severity: Severity, t: Texts) -> str:
    """Word of a severity on its colour, with as many bars as it is urgent."""
    bars = "".join(f'<i class="{"on" if n <= severity else ""}"></i>' for n in range(1, 4))
    return f'<span class="sev sev-{severity.word}"><span class="bars" aria-hidden="true">{bars}</span>{escape(t(f"severity.{severity.word}"))}</span>'
