"""What a day's or month's figures amount to under the averaging basis of its limit, and months from days. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from qingquan.domain.compliance import Compliance, ComplianceVerdict
from rules.compliance import MIN_COVERAGE

__all__ = ["PERCENT_OF_SAMPLES", "month_of", "verdict"]

PERCENT_OF_SAMPLES = {"share_95": 0.95, "month_share_95": 0.95}
"""Share of the samples that must meet the bound, by basis."""

_EVERY_VALUE = ("instant", "every_sample", "hour", "4h")
_MEANS = {"day": 1, "month": 28}
"""Fewest days that a mean on this basis is taken over."""


def verdict(figures: Compliance) -> ComplianceVerdict:
    """What the figures amount to.

    * every value (or window mean): one exceedance exceeds; without one, enough of the period must be known;
    * mean over a day or a calendar month: the mean over the known time against the bound, once enough is known;
    * share of samples: at least that share of the usable readings within the bound, once enough is known;
    * month bases say nothing about a single day, and bases of laboratory samples (repeat sample, running annual mean)
      nothing can be decided from online readings: undecided.
    """
    is_known = _known(figures) >= MIN_COVERAGE * (figures.end - figures.start)
    if figures.basis in _EVERY_VALUE:
        missed = figures.usable - figures.met if figures.basis in ("instant", "every_sample") else 0
        if figures.exceeding_ms > 0 or missed > 0:
            return ComplianceVerdict.EXCEEDING
        return ComplianceVerdict.COMPLIANT if is_known and figures.end > figures.start else ComplianceVerdict.UNDECIDED
    is_month = len(figures.period) == len("2026-05")
    if not is_known or (figures.basis.startswith("month") and not (is_month and _is_whole(figures))):
        return ComplianceVerdict.UNDECIDED
    if figures.basis in _MEANS:
        if figures.mean is None or (figures.basis == "day" and is_month):
            return ComplianceVerdict.UNDECIDED
        low = figures.low if figures.low is not None else figures.mean
        high = figures.high if figures.high is not None else figures.mean
        return _either(low <= figures.mean <= high)
    needed = PERCENT_OF_SAMPLES.get(figures.basis)
    if needed is None or not figures.usable:
        return ComplianceVerdict.UNDECIDED
    return _either(figures.met >= needed * figures.usable)


def month_of(days: Sequence[Compliance], period: str, start: int, end: int, cadence_ms: int) -> Compliance:
    """A month from those of its days that have figures, in any order.

    ``start`` and ``end`` bound the month (up to now while it lasts): days without figures are unknown time and count as
    expected. An exceedance over midnight counts once. The limit named is that of the last day; a month in which the
    limit changed is judged day by day against each day's own.

    Raises
    ------
    ValueError
        If there are no days.
    """
    if not days:
        raise ValueError(f"{period}: a month needs a day with figures")
    days = sorted(days, key=lambda day: day.start)
    known = sum(_known(day) for day in days)
    area = sum(day.mean * _known(day) for day in days if day.mean is not None)
    weight = sum(_known(day) for day in days if day.mean is not None)
    longest, joined = _longest(days)
    worst = max((day for day in days if day.worst is not None), key=_excess, default=None)
    states: Counter[str] = Counter()
    for day in days:
        states.update(day.states)
    figures = replace(
        days[-1],
        period=period,
        start=start,
        end=end,
        expected=max(round((end - start) / cadence_ms), 0),
        received=sum(day.received for day in days),
        usable=sum(day.usable for day in days),
        met=sum(day.met for day in days),
        compliant_ms=sum(day.compliant_ms for day in days),
        exceeding_ms=sum(day.exceeding_ms for day in days),
        unknown_ms=end - start - known,
        mean=area / weight if weight else None,
        worst=None if worst is None else worst.worst,
        worst_at=None if worst is None else worst.worst_at,
        longest_ms=longest,
        episodes=sum(day.episodes for day in days) - joined,
        head_ms=days[0].head_ms if days[0].start == start else 0,
        tail_ms=days[-1].tail_ms if days[-1].end == end else 0,
        findings=sum(day.findings for day in days),
        states=dict(states),
    )
    if figures.basis == "day":
        return replace(figures, verdict=_from_days(days, figures))
    return replace(figures, verdict=verdict(figures))


def _either(is_met: bool) -> ComplianceVerdict:
    return ComplianceVerdict.COMPLIANT if is_met else ComplianceVerdict.EXCEEDING


def _known(day: Compliance) -> int:
    return day.compliant_ms + day.exceeding_ms


def _is_whole(figures: Compliance) -> bool:
    return figures.end - figures.start >= _MEANS["month"] * 23 * 3_600_000


def _from_days(days: Sequence[Compliance], month: Compliance) -> ComplianceVerdict:
    if any(day.verdict is ComplianceVerdict.EXCEEDING for day in days):
        return ComplianceVerdict.EXCEEDING
    decided = sum(day.end - day.start for day in days if day.verdict is ComplianceVerdict.COMPLIANT)
    is_enough = decided >= MIN_COVERAGE * (month.end - month.start)
    return ComplianceVerdict.COMPLIANT if is_enough else ComplianceVerdict.UNDECIDED


def _longest(days: Sequence[Compliance]) -> tuple[int, int]:
    """Longest exceedance with those over midnight joined; how many were joined to the one before."""
    longest, joined, running = 0, 0, 0
    before: Compliance | None = None
    for day in days:
        follows = before is not None and before.end == day.start and running > 0 and day.head_ms > 0
        joined += follows
        is_through = day.head_ms > 0 and day.head_ms == day.end - day.start
        head = (running if follows else 0) + day.head_ms
        longest = max(longest, day.longest_ms, head)
        running = head if is_through else day.tail_ms
        before = day
    return longest, joined


def _excess(day: Compliance) -> float:
    """How far beyond the nearer bound the day's worst value lies, as a share of the bound; negative inside."""
    assert day.worst is not None
    over = [(day.worst - day.high) / (abs(day.high) or 1.0)] if day.high is not None else []
    under = [(day.low - day.worst) / (abs(day.low) or 1.0)] if day.low is not None else []
    return max(over + under, default=0.0)
