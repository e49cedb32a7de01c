"""A day of a works as a duty officer would tell it: what the instruments showed, and what the engine has to say.

One line, one moment; time counts from the story's begin. Every signal named keeps its value, one reading a minute, until another
line changes it::

    00:00  free_chlorine=0.60 flow=8 doser_running=1
    00:20  free_chlorine=0.20            # from here on 0.20
    00:49  state OK, no low              # expectations, after the readings of that minute
    00:50  state LOW, low since 00:20
    01:30  free_chlorine=- flow=-        # both fall silent
    02:00  low from 00:20 to 01:10       # a finding that is over, with its span

``free_chlorine=~0.60`` wobbles by 0.02, as live instruments do. A signal of another point than the outlet is written
``end/turbidity=0.4``, and its expectations as ``exceedance of end/turbidity since 00:10``.
"""

import re
from dataclasses import dataclass, field

from qingquan.domain.findings import Finding, FindingKind
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.testing.engine import MINUTE, START, Account, Row, plan_of
from rules.engine import UNIT_STATES, open_findings

__all__ = ["Story", "told"]

KINDS = {
    "low": FindingKind.DISINFECTION_LOW,
    "missing": FindingKind.DISINFECTION_MISSING,
    "high": FindingKind.DISINFECTION_HIGH,
    "unknown": FindingKind.DISINFECTION_UNKNOWN,
    "exceedance": FindingKind.EXCEEDANCE,
    "compound": FindingKind.COMPOUND,
    "flat_line": FindingKind.FLAT_LINE,
    "out_of_range": FindingKind.OUT_OF_RANGE,
    "stale": FindingKind.STALE,
}
LINE = re.compile(r"(\d\d:\d\d)\s+(.+?)\s*(?:#.*)?$")
SIGNAL = re.compile(r"([a-z_/0-9]+)=(-|~?-?[0-9.]+)$")
SAID = re.compile(
    r"(?P<no>no )?(?P<word>[a-z_]+)(?: (?P<severity>minor|major|critical))?(?: of (?P<point>\w+)(?:/(?P<parameter>\w+))?)?"
    r"(?: since (?P<since>\d\d:\d\d))?(?: from (?P<start>\d\d:\d\d) to (?P<end>\d\d:\d\d))?(?: at worst (?P<worst>[0-9.]+))?$"
)


@dataclass
class Story:
    """The account of a story that was told to its end."""

    works: Works
    begin: int = START
    account: Account = field(init=False)
    signals: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.account = Account(plan_of(self.works))

    def state(self, point: str = "outlet") -> str:
        """State of an outlet's disinfection, in capitals."""
        (unit,) = [n for n, key in enumerate(self.account.plan.unit_points) if key.point == point]
        return UNIT_STATES[int(self.account.state.units[0][unit]["state"])].name

    def findings(self) -> list[Finding]:
        """Everything said and not taken back, as of now."""
        lasting = {one.id: one for one in open_findings(self.account.state, self.account.plan, {}, self.begin)}
        return list({**self.account.said, **lasting}.values())

    def minute(self, minute: int) -> None:
        """The readings of a minute, told as one batch."""
        at = self.begin + minute * MINUTE
        rows = [
            Row(self.account.plan.slot_of[self.key(name)], at, _value(word, minute))
            for name, word in self.signals.items()
            if word != "-"
        ]
        self.account.feed(sorted(rows), at)

    def key(self, name: str) -> SeriesKey:
        """Series of ``parameter`` at the outlet, or of ``point/parameter``."""
        point, _, parameter = name.rpartition("/")
        return SeriesKey(self.works.county, self.works.id, point or "outlet", parameter)

    def expect(self, wish: str, line: str) -> None:
        """Hold one expectation against the account."""
        words = wish.split()
        if words[0] == "state":
            found = self.state(words[3] if len(words) > 2 else "outlet")
            assert found == words[1], f"{line}: state is {found}"
            return
        match = SAID.match(wish)
        assert match is not None, f"{line}: cannot read {wish!r}"
        want = match.groupdict()
        fitting = [one for one in self.findings() if self._fits(one, want)]
        heard = "; ".join(self._told(one) for one in self.findings())
        assert bool(fitting) is not bool(want["no"]), f"{line}: {wish!r}, but said was: {heard or 'nothing'}"

    def _fits(self, one: Finding, want: dict[str, str | None]) -> bool:
        is_open = one.end is None if want["end"] is None else one.end == self._ms(want["end"])
        start = want["since"] or want["start"]
        return (
            one.kind is KINDS[str(want["word"])]
            and is_open
            and want["severity"] in (None, one.severity.word)
            and want["point"] in (None, one.point)
            and want["parameter"] in (None, one.parameter)
            and (start is None or one.start == self._ms(start))
            and (want["worst"] is None or one.extreme == float(want["worst"]))
        )

    def _ms(self, clock: str) -> int:
        return self.begin + _minutes(clock) * MINUTE

    def _told(self, one: Finding) -> str:
        span = "-".join("…" if t is None else _clock((t - self.begin) // MINUTE) for t in (one.start, one.end))
        return f"{one.kind} {one.severity.word} {one.point}/{one.parameter} {span} worst {one.extreme}"


def told(works: Works, script: str, begin: int = START) -> Story:
    """Tell a story and hold it against its expectations.

    Raises
    ------
    AssertionError
        At the first expectation that does not hold, with its line and what was said instead.
    ValueError
        Where a line cannot be read.
    """
    story = Story(works, begin)
    lines = [LINE.match(line.strip()) for line in script.strip().splitlines() if line.strip()]
    now = 0
    pending: list[tuple[str, str]] = []
    for number, match in enumerate([*lines, None]):
        if match is None and number < len(lines):
            raise ValueError(f"line {number + 1} of the story cannot be read")
        until = now + 1 if match is None else _minutes(match[1])
        while now < until:
            story.minute(now)
            for wish, line in pending:
                story.expect(wish, line)
            pending, now = [], now + 1
        if match is not None:
            _take(story, match, pending)
    return story


def _take(story: Story, match: re.Match[str], pending: list[tuple[str, str]]) -> None:
    signals = [SIGNAL.match(word) for word in match[2].split()]
    if all(signals):
        story.signals |= {one[1]: one[2] for one in signals if one}
    else:
        pending += [(wish.strip(), match[0]) for wish in match[2].split(",")]


def _value(word: str, minute: int) -> float:
    return float(word.lstrip("~")) + (0.02 * (minute % 2) if word.startswith("~") else 0.0)


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
