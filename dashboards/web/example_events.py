"""Sudden changes of the example county, invented, and a desk for them in memory."""

import random
import threading
from collections.abc import Sequence

from dashboards.web.event_words import contributors_of
from dashboards.web.events_port import DetectorWord, HistoryEntry, SeenEvent
from dashboards.web.example import ExampleData
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind, Severity, finding_id
from qingquan.domain.readings import SeriesKey
from qingquan.errors import NotFound, TransitionRefused
from qingquan.store.sql.events import UNMARKED, DetectorFigures, EventMark, EventQuery, EventSwitch, KnownEvent
from qingquan.store.sql.statements import Page

__all__ = ["ExampleEvents"]

MINUTE = 60_000
LENGTHS = (14, 18, 21, 22, 23, 45)


class ExampleEvents:
    """`EventDesk` over an example county. Safe to use from several threads."""

    def __init__(self, data: ExampleData) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._marks: dict[str, EventMark] = {}
        self._switches: dict[tuple[str, str], EventSwitch] = {}
        self._patterns: list[KnownEvent] = []
        self._history: list[tuple[tuple[str, str], HistoryEntry]] = []
        self._numbers = 0
        dice = random.Random(11)  # noqa: S311 - invented data, not secrets
        for works, state in list(data.county.states.items())[:40]:
            if state.disinfection in (DisinfectionState.OK, DisinfectionState.MISSING):
                self._put(dice, works)

    def events(self, query: EventQuery) -> Page[SeenEvent]:
        """See `EventDesk`."""
        found = [
            SeenEvent(one, self._marks.get(one.id))
            for one in self._data.county.findings.values()
            if one.kind is FindingKind.WATER_EVENT
            and one.county.startswith(query.region)
            and query.works in ("", one.works)
            and query.is_open in (None, one.end is None)
            and (query.from_ms is None or one.start >= query.from_ms)
            and (query.to_ms is None or one.start < query.to_ms)
        ]
        if query.verdict:
            found = [one for one in found if (one.mark.verdict if one.mark else UNMARKED) == query.verdict]
        found.sort(key=lambda one: -one.finding.start)
        return Page(found[query.offset : query.offset + query.limit], len(found))

    def mark(self, event: str, verdict: str, by: str) -> SeenEvent:
        """See `EventDesk`."""
        found = self._event(event)
        with self._lock:
            now = self._data.county.now
            self._marks[event] = EventMark(event, found.county, found.works, verdict, found.extreme or 0.0, now, by)
            self._note(found.county, found.works, by, f"mark_{verdict}", event)
        return SeenEvent(found, self._marks[event])

    def detector(self, county: str, works: str) -> DetectorWord:
        """See `EventDesk`."""
        if self._data.one_works(county, works) is None:
            raise NotFound(f"works {county}:{works}")
        marks = [one for one in self._marks.values() if (one.county, one.works) == (county, works)]
        real = sum(one.verdict == "real" for one in marks)
        switch = self._switches.get((county, works))
        is_silent = switch is not None and switch.is_silent is True
        return DetectorWord(county, works, 1.0, is_silent, switch, real, len(marks) - real, None)

    def detectors(self, region: str) -> Sequence[DetectorWord]:
        """See `EventDesk`."""
        keys = {*self._switches, *((one.county, one.works) for one in self._marks.values())}
        words = [self.detector(*key) for key in sorted(keys) if key[0].startswith(region)]
        return sorted(words, key=lambda one: not one.is_silent)

    def figures(self, region: str, works: str = "") -> Sequence[DetectorFigures]:
        """See `EventDesk`."""
        found: dict[tuple[str, str], list[Finding]] = {}
        for seen in self.events(EventQuery(region, works, limit=10_000)).items:
            found.setdefault((seen.finding.county, seen.finding.works), []).append(seen.finding)
        figures = [self._figures(*key, events) for key, events in found.items()]
        return sorted(figures, key=lambda one: (-one.events, one.county, one.works))

    def _figures(self, county: str, works: str, events: Sequence[Finding]) -> DetectorFigures:
        verdicts = [mark.verdict for one in events if (mark := self._marks.get(one.id)) is not None]
        told = sum("silent" not in one.evidence for one in events)
        real, false = (sum(verdict == word for verdict in verdicts) for word in ("real", "false"))
        return DetectorFigures(county, works, len(events), told, real, false, 4 * 60_000)

    def switch(self, county: str, works: str, is_silent: bool | None, by: str) -> DetectorWord:
        """See `EventDesk`."""
        self.detector(county, works)
        with self._lock:
            self._switches[county, works] = EventSwitch(is_silent, self._data.county.now, by)
            action = {True: "silence", False: "speak", None: "by_marks"}[is_silent]
            self._note(county, works, by, action, "")
        return self.detector(county, works)

    def patterns(self, region: str, works: str) -> Sequence[KnownEvent]:
        """See `EventDesk`."""
        return [one for one in self._patterns if one.county.startswith(region) and works in ("", one.works)]

    def save_pattern(self, event: str, name: str, by: str) -> KnownEvent:
        """See `EventDesk`."""
        found = self._event(event)
        if found.end is None:
            raise TransitionRefused("the event still lasts: its shape is not known yet")
        shape = {code: [0.0, 8.0, 8.0, 0.0] for code, _ in contributors_of(found)}
        with self._lock:
            self._numbers += 1
            now = self._data.county.now
            known = KnownEvent(
                self._numbers, found.county, found.works, found.point, name, event, shape, found.end - found.start, now, by
            )  # fmt: skip
            self._patterns.append(known)
            self._note(found.county, found.works, by, "save_pattern", name)
        return known

    def delete_pattern(self, pattern_id: int, by: str) -> None:
        """See `EventDesk`."""
        known = next((one for one in self._patterns if one.id == pattern_id), None)
        if known is None:
            raise NotFound(f"pattern {pattern_id}")
        with self._lock:
            self._patterns.remove(known)
            self._note(known.county, known.works, by, "delete_pattern", known.name)

    def history(self, county: str, works: str) -> Sequence[HistoryEntry]:
        """See `EventDesk`."""
        return [entry for key, entry in reversed(self._history) if key == (county, works)]

    def _event(self, event: str) -> Finding:
        found = self._data.county.findings.get(event)
        if found is None or found.kind is not FindingKind.WATER_EVENT:
            raise NotFound(f"event {event}")
        return found

    def _note(self, county: str, works: str, by: str, action: str, detail: str) -> None:
        self._history.append(((county, works), HistoryEntry(self._data.county.now, by, action, detail)))

    def _put(self, dice: random.Random, works_id: str) -> None:
        works = self._data.county.works[works_id]
        residual = works.disinfectant.residual or "ph"
        for _ in range(dice.randint(0, 3)):
            start = self._data.county.now - dice.randint(30, 23 * 60) * MINUTE
            length = dice.choice(LENGTHS) * MINUTE
            behind = dice.choice(((residual, "turbidity"), ("turbidity", "ph"), (residual,), ("ph", "temperature")))
            end = start + length if start + length < self._data.county.now else None
            key = SeriesKey(works.county, works.id, works.points[0].id, "")
            evidence: dict[str, float | int | str] = {"contributors": ";".join(behind)}
            evidence |= {f"share.{code}": round(1 / len(behind), 3) for code in behind}
            evidence |= {"known": "滤池反冲洗"} if dice.random() < 0.15 else {}
            one = Finding(
                id=finding_id(FindingKind.WATER_EVENT, "water_event", key, start), kind=FindingKind.WATER_EVENT,
                severity=Severity.INFO if "known" in evidence else Severity.MINOR, county=works.county, works=works.id,
                point=key.point, parameter="", start=start, end=end, evidence_at=end or self._data.county.now,
                extreme=round(dice.uniform(1.0, 4.0), 2), limit=1.0, clause="", rule="water_event", rule_version="1", reason="",
                evidence=evidence,
            )  # fmt: skip
            self._data.county.findings[one.id] = one
