"""Judges what the watchdog measures: a bound, a bound on the way back, and how long it must hold either way. Pure.

A measure that could not be taken is unknown: it neither raises nor clears. That its source does not answer is a measure of its own.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from qingquan.domain.operations import Change, Condition, Measure, Side, Watch

__all__ = ["Judge", "Standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one watched measure stands. ``cause`` has the measure's label after a colon; ``since`` [our ms] when it went beyond."""

    cause: str
    watch: Watch
    condition: Condition
    value: float | None
    since: int | None


@dataclass(slots=True)
class _Held:
    """What is remembered of one cause; times in seconds that never go back."""

    watch: Watch
    is_firing: bool = False
    beyond_since_s: float | None = None
    good_since_s: float | None = None
    since: int = 0
    value: float | None = None
    is_beyond: bool = False
    is_known: bool = True


@dataclass(slots=True)
class Judge:
    """The fold over rounds of measures. ``firing`` are causes told of before a restart: they go on, and are told of no second time."""

    watches: Sequence[Watch]
    firing: Mapping[str, int] = field(default_factory=dict)
    _held: dict[str, _Held] = field(default_factory=dict)

    def __post_init__(self) -> None:
        by_cause = {watch.cause: watch for watch in self.watches}
        for cause, since in self.firing.items():
            watch = by_cause.get(cause.partition(":")[0])
            if watch is not None:
                self._held[cause] = _Held(watch, is_firing=True, since=since, is_beyond=True)

    def judge(self, measures: Iterable[Measure], elapsed_s: float, now_ms: int) -> list[Change]:
        """What changed by this round. ``elapsed_s`` is a time that never jumps, ``now_ms`` ours for those who read it."""
        found: dict[str, list[Measure]] = {}
        for measure in measures:
            found.setdefault(measure.name, []).append(measure)
        for held in self._held.values():
            held.is_known = False
        changes = [
            self._one(watch, measure, elapsed_s, now_ms)
            for watch in self.watches
            for measure in found.get(watch.measure, [])
        ]
        return [change for change in changes if change is not None]

    def standings(self) -> list[Standing]:
        """How everything stands after the last round; watches whose measure was never taken are unknown."""
        shown = [
            Standing(cause, held.watch, _condition(held), held.value, _since(held))
            for cause, held in self._held.items()
        ]
        seen = {standing.watch.cause for standing in shown}
        shown += [
            Standing(watch.cause, watch, Condition.UNKNOWN, None, None)
            for watch in self.watches
            if watch.cause not in seen
        ]
        return sorted(shown, key=lambda one: one.cause)

    def breaks_chain(self) -> list[str]:
        """Causes for which no heartbeat may go out: beyond their bound now, told of, or not known to be within it."""
        return [
            one.cause for one in self.standings() if one.watch.stops_heartbeat and one.condition is not Condition.OK
        ]

    def _one(self, watch: Watch, measure: Measure, elapsed_s: float, now_ms: int) -> Change | None:
        cause = f"{watch.cause}:{measure.label}" if measure.label else watch.cause
        held = self._held.setdefault(cause, _Held(watch))
        held.value, held.is_known = measure.value, True
        if _is_beyond(watch, measure.value, watch.clear if held.is_firing else watch.bound):
            held.good_since_s = None
            held.is_beyond = True
            if held.beyond_since_s is None:
                held.beyond_since_s = elapsed_s
                held.since = held.since or now_ms
            if held.is_firing or elapsed_s - held.beyond_since_s < watch.for_s:
                return None
            held.is_firing = True
            return Change(cause, watch, True, held.since, now_ms, measure.value)
        held.is_beyond, held.beyond_since_s = False, None
        if not held.is_firing:
            held.since = 0
            return None
        if held.good_since_s is None:
            held.good_since_s = elapsed_s
        if elapsed_s - held.good_since_s < watch.clear_s:
            return None
        since, held.is_firing, held.good_since_s, held.since = held.since, False, None, 0
        return Change(cause, watch, False, since, now_ms, measure.value)


def _is_beyond(watch: Watch, value: float, bound: float) -> bool:
    return value > bound if watch.side is Side.ABOVE else value < bound


def _condition(held: _Held) -> Condition:
    if held.is_firing:
        return Condition.FIRING
    if not held.is_known:
        return Condition.UNKNOWN
    return Condition.PENDING if held.is_beyond else Condition.OK


def _since(held: _Held) -> int | None:
    return held.since if held.is_firing or held.is_beyond else None
