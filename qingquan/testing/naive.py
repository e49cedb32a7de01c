"""The engine's sentences written down the long way: a reference that looks back over all readings at every reading.

Written from docs/rules.md, docs/quality-flags.md and the comments of `rules/default.toml`, for one outlet with free chlorine, turbidity,
flow, doser, stock and a switch for the sample flow. No state but the readings themselves and what has been said;
hundreds of times slower than the compiled loop, and meant to be read beside the documents.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from qingquan.domain.works import PointKind
from qingquan.standards.loader import load_standards

__all__ = ["NaiveOutlet", "Span"]

MINUTE = 60_000
HOUR = 60 * MINUTE
STALE = 15 * MINUTE
CLEAR, SAMPLES = 15 * MINUTE, 2
GOOD, SUSPECT, FAIL = 1, 3, 4
FLOOR, FLOOR_BEGIN, FLOOR_CLEAR = 0.05, 0.10, 0.15
LOW, LOW_CLEAR, HIGH, VERY_HIGH = 0.3, 0.35, 2.0, 5.0
FLOWING, EMPTY = 0.05, 1.0
EXCEEDANCES = (
    ("turbidity-above-limit", 1.0, 1.0, 30),
    ("turbidity-above-3", 3.0, 2.8, 30),
    ("turbidity-above-5", 5.0, 4.5, 10),
)


class Span(NamedTuple):
    """What was said: ``rule`` from ``start`` to ``end`` (None: lasts), with the worst value."""

    rule: str
    start: int
    end: int | None
    extreme: float | None


class Moment(NamedTuple):
    """A condition at one time: true, false or unknown (None)."""

    t: int
    holds: bool | None
    value: float
    is_clear: bool
    is_sample: bool


@dataclass
class Course:
    """A condition over time: it has to hold for ``for_ms`` of time that is known, and is over when clear for `CLEAR`."""

    rule: str
    for_ms: int
    worst: str = "max"  # max, min or last
    moments: list[Moment] = field(default_factory=list)
    said: list[Span] = field(default_factory=list)
    firing: int | None = None
    firing_worst: float = 0.0

    def begun(self) -> int | None:
        """Since when it has not been false."""
        return self.moments[0].t if self.moments else None

    def known(self) -> int:
        """How long it has held: neither silence nor what is unknown counts."""
        return sum(
            b.t - a.t
            for a, b in zip(self.moments, self.moments[1:], strict=False)
            if b.holds is not None and b.t - a.t <= STALE
        )

    def extreme(self) -> float:
        values = [one.value for one in self.moments if one.holds]
        return {"max": max, "min": min, "last": lambda all_: all_[-1]}[self.worst](values)  # type: ignore[no-any-return, operator]

    def clear_stretch(self) -> list[Moment]:
        """The newest moments that are all clear and follow each other without silence."""
        stretch: list[Moment] = []
        for one in reversed(self.moments):
            if one.holds is not False or not one.is_clear or (stretch and stretch[0].t - one.t > STALE):
                break
            stretch.insert(0, one)
        return stretch

    def is_over(self, t: int) -> bool:
        stretch = self.clear_stretch()
        return bool(stretch) and t - stretch[0].t >= CLEAR and sum(one.is_sample for one in stretch) >= SAMPLES

    def note(self, moment: Moment) -> None:
        """Add a moment; what is false before anything is said begins anew."""
        if self.moments or moment.holds or self.firing is not None:
            self.moments.append(moment)
        if moment.holds is False and self.firing is None:
            self.moments.clear()

    def judge(self, moment: Moment) -> None:
        self.note(moment)
        if self.firing is None:
            if moment.holds and self.known() >= self.for_ms:
                self.firing = self.begun()
        elif moment.holds is False and self.is_over(moment.t):
            self.said.append(Span(self.rule, self.firing, self.clear_stretch()[0].t, self.extreme()))
            self.firing = None
            self.moments.clear()

    def lasting(self) -> list[Span]:
        return self.said + ([] if self.firing is None else [Span(self.rule, self.firing, None, self.extreme())])


class Missing(Course):
    """Loss of disinfection: residual at the floor, dosing off, or both, each with its own time."""

    def __init__(self) -> None:
        super().__init__("disinfection-missing", 0)
        self.floor = Course("floor", 30 * MINUTE, "min")
        self.equipment = Course("equipment", 30 * MINUTE, "min")
        self.both = Course("both", 10 * MINUTE, "min")

    def judge_parts(
        self, t: int, at_floor: bool | None, off: bool | None, value: float, is_evidence: bool, is_back: bool, is_sample: bool
    ) -> None:  # fmt: skip
        parts = (self.floor, self.equipment, self.both)
        both = False if at_floor is False or off is False else (True if at_floor and off else None)
        believed = value if is_evidence else float("inf")
        for part, holds, shown in zip(parts, (at_floor, off, both), (value, believed, value), strict=True):
            part.note(Moment(t, holds, shown, False, False))
        if self.firing is None:
            due = [
                part
                for part in parts
                if part.moments
                and part.known() >= part.for_ms
                # A finding about the residual needs a reading of this stretch at the floor itself, and one there now.
                and (part is self.equipment or (at_floor is True and part.extreme() <= FLOOR))
            ]
            if due:
                self.firing = min(part.moments[0].t for part in due)
                self.firing_worst = min(part.extreme() for part in parts if part.moments)
                self.moments = [Moment(t, True, 0.0, False, False)]
            return
        if (at_floor or off) and is_evidence:
            self.firing_worst = min(self.firing_worst, value)
        is_clear = is_back and not off
        self.moments.append(Moment(t, not is_clear, value, is_clear, is_sample))
        if is_clear and self.is_over(t):
            self.said.append(Span(self.rule, self.firing, self.clear_stretch()[0].t, self.firing_worst))
            self.firing = None
            for part in (self, *parts):
                part.moments.clear()

    def lasting(self) -> list[Span]:
        open_ = [] if self.firing is None else [Span(self.rule, self.firing, None, self.firing_worst)]
        # A loss shown by the equipment alone has no worst residual.
        return [one._replace(extreme=None if one.extreme == float("inf") else one.extreme) for one in self.said + open_]


class Seen(NamedTuple):
    """One reading and its flag."""

    t: int
    value: float
    flag: int


class NaiveOutlet:
    """Reads in order of (time, rank of the parameter as the engine ranks them) and says what there is to say."""

    def __init__(self) -> None:
        self.parameters = load_standards().parameters
        self.readings: dict[str, list[Seen]] = {}
        self.flags: list[int] = []
        self.exceeding = [Course(rule, minutes * MINUTE) for rule, _, _, minutes in EXCEEDANCES]
        self.missing = Missing()
        self.low = Course("disinfection-low", 30 * MINUTE, "min")
        self.high = Course("disinfection-high", 10 * MINUTE)
        self.unknown = Course("disinfection-unknown", 15 * MINUTE, "last")
        self.idle = Course("idle", 10 * MINUTE)
        self.is_stepped = False
        self.was_sound = False
        self.state = "unknown"
        self.silences: list[Span] = []

    def said(self) -> list[Span]:
        """All that was said, in order."""
        courses = (*self.exceeding, self.missing, self.low, self.high, self.unknown)
        return sorted([*self.silences, *(span for one in courses for span in one.lasting())], key=str)

    def signal(self, parameter: str, t: int) -> float | None:
        """The newest value, if it is fresh and its flag good."""
        last = self.readings[parameter][-1] if self.readings.get(parameter) else None
        return last.value if last is not None and t - last.t <= STALE and last.flag == GOOD else None

    def read(self, parameter: str, t: int, value: float) -> None:
        before = self.readings.setdefault(parameter, [])
        if before and t - before[-1].t > STALE:
            self.silences.append(Span("silence", before[-1].t, t, None))
        flag = self.flag(parameter, t, value)
        before.append(Seen(t, value, flag))
        self.flags.append(flag)
        if parameter == "turbidity":
            for course, (_, bound, clear, _) in zip(self.exceeding, EXCEEDANCES, strict=True):
                holds = None if flag != GOOD else value > bound
                course.judge(Moment(t, holds, value, value <= clear, True))
        else:
            self.disinfection(t, parameter == "free_chlorine")

    def flag(self, parameter: str, t: int, value: float) -> int:
        """Instrument range, and how long the value has not moved while there was something to hear and water to measure."""
        facts = self.parameters[parameter]
        low, high = facts.span_at(PointKind.OUTLET)
        if value < low or value > high:
            return FAIL
        if not facts.flat_suspect_h or value <= (FLOOR if parameter == "free_chlorine" else float("-inf")):
            return GOOD
        hours = (t - self.still_since(parameter, t, value)) / HOUR
        if facts.flat_fail_h and hours >= facts.flat_fail_h:
            return FAIL
        return SUSPECT if hours >= facts.flat_suspect_h else GOOD

    def still_since(self, parameter: str, t: int, value: float) -> int:
        """Begin of the flat line that a reading stands in: each has an anchor, and all are within tolerance of it."""
        tolerance = self.parameters[parameter].flat_tolerance
        anchor_t, anchor, last = -1, 0.0, -1
        for at, shown in [*((one.t, one.value) for one in self.readings[parameter]), (t, value)]:
            flow = self.flow_at(at) if parameter in ("free_chlorine", "turbidity") else None
            stands = flow is not None and flow <= 0
            if last < 0 or abs(shown - anchor) > tolerance or at - last > STALE or stands:
                anchor_t, anchor = at, shown
            last = at
        return anchor_t

    def flow_at(self, t: int) -> float | None:
        known = [one for one in self.readings.get("flow", []) if one.t <= t]
        return known[-1].value if known and t - known[-1].t <= STALE and known[-1].flag == GOOD else None

    def disinfection(self, t: int, is_residual: bool) -> None:
        chlorine, flow = self.signal("free_chlorine", t), self.signal("flow", t)
        doser, stock = self.signal("doser_running", t), self.signal("disinfectant_level", t)
        sample_flow = self.signal("sample_flow", t)
        is_evidence = chlorine is not None and (sample_flow is None or sample_flow >= 0.5)
        is_flowing = flow is None or flow > FLOWING
        shown = self.readings.get("free_chlorine", [])
        value = shown[-1].value if shown else 0.0
        is_sample = is_residual and is_evidence
        if is_sample:
            if self.was_sound and value <= FLOOR_BEGIN:
                self.is_stepped = True
            elif value >= FLOOR_CLEAR:
                self.is_stepped = False
            self.was_sound = value >= LOW
        if self.is_stepped:
            is_gone = value <= FLOOR
        else:
            is_gone = value <= FLOOR_BEGIN or (bool(self.missing.floor.moments) and value < FLOOR_CLEAR)
        off: bool | None = None
        if is_flowing and (doser is not None or stock is not None):
            off = (doser is not None and doser < 0.5) or (stock is not None and stock <= EMPTY)
        at_floor = is_gone if is_evidence and is_flowing else None
        is_back = is_flowing and is_evidence and value >= FLOOR_CLEAR
        self.missing.judge_parts(t, at_floor, off, value, is_evidence, is_back, is_sample)
        self.low.judge(
            Moment(t, value < LOW if is_evidence and is_flowing else None, value, value >= LOW_CLEAR, is_sample)
        )
        self.high.judge(Moment(t, value > HIGH if is_evidence else None, value, value <= HIGH, is_sample))
        self.unknown.judge(Moment(t, not is_evidence if is_flowing else None, value, True, is_sample))
        self.idle.note(Moment(t, not is_flowing, 0.0, False, False))
        self.state = self.state_now(is_evidence)

    def state_now(self, is_proven: bool) -> str:
        if self.missing.firing is not None:
            return "missing"
        if self.idle.moments and self.idle.known() >= self.idle.for_ms:
            return "idle"
        for name, course in (("high", self.high), ("unknown", self.unknown), ("low", self.low)):
            if course.firing is not None:
                return name
        if is_proven:
            return "ok"
        return "unknown" if self.state == "idle" else self.state
