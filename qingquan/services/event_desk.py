"""The console's desk for sudden changes: events with people's marks, detectors, known patterns."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from alerts.apply import AlertSettings
from dashboards.web.events_port import FIGURES_DAYS, DetectorWord, HistoryEntry, SeenEvent
from qingquan.clock import Clock
from qingquan.domain.findings import Finding, FindingKind
from qingquan.errors import NotFound, TransitionRefused
from qingquan.services.detector_silence import tell_silence
from qingquan.services.detector_word import detector_says
from qingquan.services.event_shapes import shape_of
from qingquan.store.ports import SeriesReader
from qingquan.store.sql import events
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.events import DetectorFigures, EventMark, EventQuery, EventSwitch, KnownEvent
from qingquan.store.sql.findings import get_finding
from qingquan.store.sql.register import get_works
from qingquan.store.sql.statements import Page
from rules.events.marks import Mark, MarkVerdict, real_share
from rules.reasons import CONTRIBUTORS

__all__ = ["StoreEventDesk"]

HELD = "disinfection_not_ok"
DAY_MS = 86_400_000
WorksKey = tuple[str, str]


class _Books(NamedTuple):
    """What people said, by works."""

    marks: Mapping[WorksKey, Sequence[EventMark]]
    switches: Mapping[WorksKey, EventSwitch]


class StoreEventDesk:
    """`EventDesk` over the stores. Safe to use from several threads."""

    def __init__(
        self, engine: Engine, series: SeriesReader, clock: Clock, settings: AlertSettings | None = None
    ) -> None:  # fmt: skip
        self._engine, self._series, self._clock = engine, series, clock
        self._settings = settings or AlertSettings()

    def events(self, query: EventQuery) -> Page[SeenEvent]:
        with reading(self._engine) as connection:
            page = events.list_events(connection, query)
        return Page([SeenEvent(*one) for one in page.items], page.total)

    def mark(self, event: str, verdict: str, by: str) -> SeenEvent:
        now = self._clock.now_ms()
        with writing(self._engine) as connection:
            found = _event(connection, event)
            mark = EventMark(event, found.county, found.works, MarkVerdict(verdict), found.extreme or 0.0, now, by)
            before = events.marks_of_events(connection, [event]).get(event)
            if before is not None and (before.verdict, before.marked_by) == (mark.verdict, by):
                # Pressed twice.
                return SeenEvent(found, before)
            events.save_mark(connection, mark)
            self._tell_silence(connection, found.county, found.works, now)
        return SeenEvent(found, mark)

    def detector(self, county: str, works: str) -> DetectorWord:
        with reading(self._engine) as connection:
            _known_works(connection, county, works)
            return _word((county, works), _books(connection))

    def detectors(self, region: str) -> Sequence[DetectorWord]:
        with reading(self._engine) as connection:
            books = _books(connection)
        keys = {key for key in (*books.marks, *books.switches) if key[0].startswith(region)}
        return sorted((_word(key, books) for key in keys), key=lambda one: (not one.is_silent, one.county, one.works))

    def switch(self, county: str, works: str, is_silent: bool | None, by: str) -> DetectorWord:
        with writing(self._engine) as connection:
            _known_works(connection, county, works)
            now = self._clock.now_ms()
            events.set_switch(connection, county, works, EventSwitch(is_silent, now, by))
            self._tell_silence(connection, county, works, now)
            return _word((county, works), _books(connection))

    def figures(self, region: str, works: str = "") -> Sequence[DetectorFigures]:
        now = self._clock.now_ms()
        with reading(self._engine) as connection:
            return events.detector_figures(connection, region, works, now - FIGURES_DAYS * DAY_MS, now)

    def patterns(self, region: str, works: str) -> Sequence[KnownEvent]:
        with reading(self._engine) as connection:
            return events.list_patterns(connection, region, works)

    def save_pattern(self, event: str, name: str, by: str) -> KnownEvent:
        with reading(self._engine) as connection:
            found = _event(connection, event)
            known = events.list_patterns(connection, found.county, found.works)
        if found.end is None:
            raise TransitionRefused("the event still lasts: its shape is not known yet")
        if HELD in found.evidence:
            raise TransitionRefused("disinfection was not OK during the event: it cannot be called benign")
        if any((one.point, one.name) == (found.point, name) for one in known):
            raise TransitionRefused(f"the point has a pattern of the name {name!r}")
        columns = [code for code in str(found.evidence.get(CONTRIBUTORS, "")).split(";") if code]
        shape = shape_of(self._series, (found.county, found.works, found.point), columns, found.start, found.end)
        if shape is None:
            raise TransitionRefused("too few readings are stored before or during the event to know its shape")
        pattern = KnownEvent(
            0, found.county, found.works, found.point, name, event, {code: list(row) for code, row in shape.shape.items()},
            shape.length_ms, self._clock.now_ms(), by,
        )  # fmt: skip
        with writing(self._engine) as connection:
            number = events.save_pattern(connection, pattern)
            saved = events.get_pattern(connection, number)
        assert saved is not None
        return saved

    def delete_pattern(self, pattern_id: int, by: str) -> None:
        with writing(self._engine) as connection:
            if not events.delete_pattern(connection, pattern_id, self._clock.now_ms(), by):
                raise NotFound(f"pattern {pattern_id}")

    def _tell_silence(self, connection: Connection, county: str, works: str, now: int) -> None:
        """Tell the county if marks have just silenced a detector, or let it speak again."""
        entry, word = get_works(connection, county, works), _word((county, works), _books(connection))
        if entry is None:
            return
        by_person = word.switch is not None and word.switch.is_silent is True
        tell_silence(connection, entry, word.real_share, word.is_silent and not by_person, now, self._settings)

    def history(self, county: str, works: str) -> Sequence[HistoryEntry]:
        with reading(self._engine) as connection:
            return [HistoryEntry(*row) for row in events.history_of(connection, county, works)]


def _event(connection: Connection, event: str) -> Finding:
    found = get_finding(connection, event)
    if found is None or found.kind is not FindingKind.WATER_EVENT:
        raise NotFound(f"event {event}")
    return found


def _known_works(connection: Connection, county: str, works: str) -> None:
    if get_works(connection, county, works) is None:
        raise NotFound(f"works {county}:{works}")


def _books(connection: Connection) -> _Books:
    return _Books(events.list_marks(connection), events.switches(connection))


def _word(key: WorksKey, books: _Books) -> DetectorWord:
    marks, switch = books.marks.get(key, ()), books.switches.get(key)
    threshold, is_silent = detector_says(marks, switch)
    real = sum(one.verdict == MarkVerdict.REAL for one in marks)
    taken = [Mark(one.marked_at, one.peak, MarkVerdict(one.verdict)) for one in marks]
    return DetectorWord(*key, threshold, is_silent, switch, real, len(marks) - real, real_share(taken))
