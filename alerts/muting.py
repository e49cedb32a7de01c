"""What keeps an incident from being told for the time being: a silence, its parent, its own restlessness. Pure.

A muted incident stays open, shown and counted. It begins to be told when what mutes it is over, if it is still there then.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alerts.policy import Policy
from qingquan.domain.duty import Silence
from qingquan.domain.edges import Edge, EdgeLink, ToldBy
from qingquan.domain.findings import FindingKind

__all__ = [
    "Mute",
    "MuteReason",
    "answered_by_edge",
    "inhibiting_cause",
    "is_flapping",
    "matches",
    "muting_cause",
    "silence_of",
]


# An edge that comes back is found within this: its backlog must not be taken for news of its absence.
LOOKED_AGAIN_MS = 10_000


class MuteReason(StrEnum):
    """Why an incident is not told now."""

    SILENCED = "silenced"
    INHIBITED = "inhibited"
    GROUPED = "grouped"
    FLAPPING = "flapping"
    KNOWN_PROBLEM = "known_problem"
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class Mute:
    """A reason not to tell. ``until`` [ms] is when to look again; ``None`` = when something changes. ``detail`` says by whom."""

    reason: MuteReason
    detail: str = ""
    until: int | None = None


def answered_by_edge(edge: Edge | None, link: EdgeLink | None, cause: str, opened_at: int) -> Mute | None:
    """The county's edge tells its people itself, from the same readings; ``None`` where the province has to.

    What the edge cannot know, a laboratory result entered at the province, is the province's to tell. So is what the province finds after
    the edge has been unheard for as long as its row says, and only that: of what came before, the edge has told. The province
    must have looked again since it found it, and missed the edge still.
    """
    if edge is None or edge.told_by is not ToldBy.EDGE or cause.partition(":")[0] == "lab":
        return None
    if link is not None and edge.take_over_after_ms and link.unheard_ms() >= edge.take_over_after_ms:
        is_since = opened_at >= (link.heard_at or 0)
        if is_since and link.checked_at >= opened_at + LOOKED_AGAIN_MS:
            return None
    return Mute(MuteReason.EDGE, edge.name)


def muting_cause(cause: str, kind: FindingKind) -> str:
    """The cause as the inhibition table names it."""
    if cause == "disinfection" and kind is FindingKind.DISINFECTION_UNKNOWN:
        return "disinfection_unknown"
    return cause.partition(":")[0]


def inhibiting_cause(cause: str, kind: FindingKind, open_causes: Iterable[str], policy: Policy) -> str:
    """The open cause of the same works that explains this one; empty if there is none."""
    name = muting_cause(cause, kind)
    present = {other.partition(":")[0] for other in open_causes if other != cause}
    return next((parent for parent, mutes in policy.inhibits if parent in present and name in mutes), "")


def matches(silence: Silence, county: str, township: str, works: str, cause: str, now_ms: int) -> bool:
    """Whether a silence keeps an incident quiet now."""
    return (
        silence.start <= now_ms < silence.end
        and county.startswith(silence.county)
        and silence.township in ("", township)
        and silence.works in ("", works)
        and silence.cause in ("", cause, cause.partition(":")[0])
    )


def silence_of(
    silences: Sequence[Silence], county: str, township: str, works: str, cause: str, now_ms: int
) -> Silence | None:
    """The silence that lasts longest of those that fit."""
    fitting = [one for one in silences if matches(one, county, township, works, cause, now_ms)]
    return max(fitting, key=lambda one: (one.end, one.id), default=None)


def is_flapping(opened_at: Collection[int], now_ms: int, policy: Policy) -> bool:
    """Whether a cause comes and goes: so many incidents of it, this one included, were opened within the span."""
    return sum(now_ms - at < policy.flapping_within_ms for at in opened_at) >= policy.flapping_count
