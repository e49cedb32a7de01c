"""What the county page shows, kept as rows with a version each, so that a browser is sent changes only."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from dashboards.web.ports import ConsoleData, FindingQuery, IncidentQuery
from qingquan.clock import Clock
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind
from qingquan.domain.incidents import Incident, IncidentState
from qingquan.domain.state import WorksState
from qingquan.domain.works import Equipment, Works
from qingquan.errors import StoreUnavailable

__all__ = ["STATE_ORDER", "CountyFeed", "CountyView", "WorksRow", "row_rank"]

# Worst first: the order of tiles and of the list.
STATE_ORDER = (
    DisinfectionState.MISSING, DisinfectionState.LOW, DisinfectionState.HIGH, DisinfectionState.UNKNOWN,
    DisinfectionState.NOT_EQUIPPED, DisinfectionState.IDLE, DisinfectionState.OK,
)  # fmt: skip
_NO_TROUBLE = (DisinfectionState.OK, DisinfectionState.IDLE, DisinfectionState.NOT_EQUIPPED)
REFRESH_S = 0.3
MOST_COUNTIES = 500
UNRESOLVED = (IncidentState.OPEN, IncidentState.ACKNOWLEDGED)


@dataclass(frozen=True, slots=True)
class WorksRow:
    """One works with everything its line shows."""

    works: Works
    state: WorksState
    worst: Finding | None


@dataclass(frozen=True, slots=True)
class CountyView:
    """A county at a moment. ``changed`` tells for each works the view number at which its line last changed.

    ``is_live`` is False once the store stopped answering: the rest is then the last that was known, at ``read_at``.
    """

    number: int
    read_at: int
    is_live: bool
    rows: Mapping[str, WorksRow] = field(default_factory=dict)
    changed: Mapping[str, int] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()
    incidents_total: int = 0
    findings: Mapping[str, Finding] = field(default_factory=dict)
    counts: Mapping[DisinfectionState, int] = field(default_factory=dict)
    as_of: int | None = None
    simulated: bool = False

    def rows_after(self, number: int) -> list[WorksRow]:
        """Lines that changed after a view."""
        return [row for works, row in self.rows.items() if self.changed[works] > number]


class CountyFeed:
    """Reads a county at most every `REFRESH_S` seconds, however many browsers look at it."""

    def __init__(self, data: ConsoleData, clock: Clock) -> None:
        self._data = data
        self._clock = clock
        self._views: dict[str, CountyView] = {}
        self._read: dict[str, float] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._register: dict[str, tuple[int, tuple[Works, ...]]] = {}

    async def view(self, county: str) -> CountyView:
        """The county now, or as last known with ``is_live`` False when the store does not answer."""
        async with self._locks.setdefault(county, asyncio.Lock()):
            if time.monotonic() - self._read.get(county, -REFRESH_S) >= REFRESH_S or county not in self._views:
                view = await asyncio.to_thread(self._refreshed, county)
                self._forget_oldest()
                self._views[county], self._read[county] = view, time.monotonic()
            return self._views[county]

    def _forget_oldest(self) -> None:
        """Memory is bounded, whatever codes browsers ask for; a county that is looked at was read a moment ago."""
        if len(self._views) >= MOST_COUNTIES:
            oldest = min(self._read, key=lambda county: self._read[county])
            for kept in (self._views, self._read, self._register):
                kept.pop(oldest, None)
            if not self._locks[oldest].locked():
                del self._locks[oldest]

    def _refreshed(self, county: str) -> CountyView:
        last = self._views.get(county, CountyView(0, 0, False))
        try:
            return self._next(county, last)
        except StoreUnavailable:
            return replace(last, is_live=False, number=last.number + 1 if last.is_live else last.number)

    def _next(self, county: str, last: CountyView) -> CountyView:
        works = self._works(county)
        states = {state.works: state for state in self._data.states(county)}
        findings = {f.id: f for f in self._data.findings(FindingQuery(county, is_open=True, limit=100_000)).items}
        incidents = self._data.incidents(IncidentQuery(county, states=UNRESOLVED, limit=60))
        worst = _worst_by_works(findings.values())
        now = self._clock.now_ms()
        rows = {w.id: WorksRow(w, states.get(w.id) or _never_judged(w), worst.get(w.id)) for w in works}
        number = last.number + 1
        changed = {id: last.changed[id] if last.rows.get(id) == row else number for id, row in rows.items()}
        ended = {id for incident in incidents.items for id in incident.finding_ids} - findings.keys()
        findings |= {finding.id: finding for finding in self._data.findings_by_id(tuple(ended))}
        return CountyView(
            number=number, read_at=now, is_live=True, rows=rows, changed=changed, incidents=tuple(sorted(incidents.items, key=_handling)),
            incidents_total=incidents.total, findings=findings, counts=Counter(r.state.disinfection for r in rows.values()),
            as_of=max((r.state.as_of for r in rows.values() if r.state.as_of is not None), default=None),
            simulated=any(w.simulated for w in works),
        )  # fmt: skip

    async def register(self, county: str) -> Mapping[str, Works]:
        """The works of a county by id; empty when the store does not answer and never did."""
        return {id: row.works for id, row in (await self.view(county)).rows.items()}

    def _works(self, county: str) -> tuple[Works, ...]:
        version = self._data.register_version()
        cached = self._register.get(county)
        if cached is None or cached[0] != version:
            cached = self._register[county] = (version, tuple(self._data.works(county)))
        return cached[1]


def row_rank(row: WorksRow) -> int:
    """Place of a line in the list, worst first: a smaller number stands higher.

    Disinfection decides, and within a state the severity of the worst finding. A works whose disinfection is no trouble
    but which has a finding above ``info`` stands before those whose state is merely unknown.
    """
    state = row.state.disinfection
    urgency = 0 if row.worst is None else 1 + int(row.worst.severity)
    if state in _NO_TROUBLE and urgency > 1:
        return 10 * STATE_ORDER.index(DisinfectionState.UNKNOWN) - urgency
    return 10 * STATE_ORDER.index(state) + 5 - urgency


def _worst_by_works(findings: Iterable[Finding]) -> dict[str, Finding]:
    worst: dict[str, Finding] = {}
    for finding in findings:
        held = worst.get(finding.works)
        if held is None or _urgency(finding) > _urgency(held):
            worst[finding.works] = finding
    return worst


def _handling(incident: Incident) -> tuple[int, bool]:
    return -int(incident.severity), incident.state is IncidentState.ACKNOWLEDGED


def _urgency(finding: Finding) -> tuple[int, bool, int]:
    return (int(finding.severity), finding.kind is not FindingKind.STALE, -finding.start)


def _never_judged(works: Works) -> WorksState:
    state = DisinfectionState.UNKNOWN if works.equipment is Equipment.EQUIPPED else DisinfectionState.NOT_EQUIPPED
    return WorksState(works.county, works.id, state, since=0, as_of=None, stale=True)
