"""The compliance worker: reckons days and months of works again whenever readings of theirs have come.

What is to be reckoned stands in SQL: the recorder marks past days for which readings came, the worker's calendar marks days
that ended and, now and then, the running one. Marks and figures change in one transaction, and a mark goes only when the
store held the readings it was made for; so after a crash the same days are reckoned again and nothing changes.
"""

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Connection, Engine

from qingquan.config import Config
from qingquan.domain.compliance import Compliance
from qingquan.domain.works import Works
from qingquan.errors import StoreUnavailable
from qingquan.services.alive import beat
from qingquan.services.compliance_days import KINDS, day_span, month_days, month_span, reckoned, reckoning
from qingquan.services.rulesets import load_ruleset
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.ports import SeriesReader
from qingquan.store.series.opening import open_series_reader
from qingquan.store.sql.compliance import (
    DirtyDay,
    calendar_days,
    clear_dirty,
    dirty_days,
    mark_dirty,
    newest_of,
    save_compliance,
    set_calendar_day,
)
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.findings import findings_during
from qingquan.store.sql.progress import SNAPSHOT_PARTITION, applied_sequence
from qingquan.store.sql.register import register_version, scan_works
from rules.compliance_periods import month_of

__all__ = ["ComplianceWorker", "run", "serve"]

READER = "all"
"""The recorder's name in the series store."""

AT_ONCE = 100
"""Works-days reckoned at once."""

WRITTEN_AT_ONCE = 10
"""Works-days whose figures are written in one transaction, so that an alarm does not wait for more of them."""

MARKED_AT_ONCE = 500
"""Works-days marked in one transaction."""

WRITE_PAUSE_S = 0.01
"""Between two transactions: who waits for SQLite looks again within this time, and would not get in between otherwise."""

REST_OF_A_TURN = 1.0
"""Pause after works of the running day, as a share of the time they took: of a province they are minutes of work that nobody waits for,
every quarter of an hour, beside those who raise alarms."""

LONGEST_REST_S = 2.0

PUBLISHED_AFTER_S = 300
"""A period is published so long after its end and the lateness window of its works [s]."""

REFRESHED_EVERY_S = 900
"""How often the running day is reckoned [s of the system's clock]."""

PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0

_log = structlog.get_logger("compliance")


class ComplianceWorker:
    """Works marks off. Its methods block; each may be repeated after `StoreUnavailable`.

    ``goes_on`` is asked before every batch: a long list of marks must neither look like a hang nor delay a stop.
    """

    def __init__(
        self, config: Config, engine: Engine, series: SeriesReader, goes_on: Callable[[], bool] = lambda: True
    ) -> None:
        self._goes_on = goes_on
        self._clock = config.clock
        self._engine = engine
        self._series = series
        self._parameters = load_standards().parameters
        self._profiles = load_profiles()
        self._flow_min = load_ruleset(config).disinfection.flow_min
        self._works: dict[tuple[str, str], Works] = {}
        self._register_version = -1
        self._refresh_due = 0.0
        # Marks reckoned although the evaluator had not judged their readings yet: not again before it has.
        self._ahead: set[DirtyDay] = set()

    def step(self) -> int:
        """Mark what the calendar asks for, then reckon what is marked; how many works-days were reckoned."""
        self.prepare()
        self.follow_calendar()
        return self.work_off()

    def follow_calendar(self) -> int:
        """Mark days that have ended since the last look, and the running one; how many marks were made."""
        now = self._clock.now_ms()
        marks: list[DirtyDay] = []
        ended: dict[str, str] = {}
        with reading(self._engine) as connection:
            held = calendar_days(connection)
        for name, group in self._groups().items():
            last = _last_published(now, group[0])
            days = _days_between(held.get(name), last)
            marks += [DirtyDay(one.county, one.id, day) for day in days for one in group]
            if days:
                ended[name] = last
        is_refresh = now / 1000 >= self._refresh_due
        if is_refresh:
            marks += [DirtyDay(one.county, one.id, _day_of(now, one.time_zone)) for one in self._works.values()]
        # A province's marks in one go would hold up alarms for most of a second in a database with one writer.
        for first in range(0, len(marks), MARKED_AT_ONCE):
            if first:
                time.sleep(WRITE_PAUSE_S)
            with writing(self._engine) as connection:
                mark_dirty(connection, marks[first : first + MARKED_AT_ONCE])
        if ended:
            # After the marks: whoever is killed in between makes them once more.
            with writing(self._engine) as connection:
                for name, day in ended.items():
                    set_calendar_day(connection, name, day)
        if is_refresh:
            self._refresh_due = now / 1000 + REFRESHED_EVERY_S
        return len(marks)

    def work_off(self) -> int:
        """Reckon all marked days whose readings the store holds; how many."""
        done = 0
        for part in self._parts():
            if not self._goes_on():
                break
            began = time.monotonic()
            done += self._reckon(part)
            if self._is_running(part[0]):
                time.sleep(min(LONGEST_REST_S, REST_OF_A_TURN * (time.monotonic() - began)))
        return done

    def _is_running(self, mark: DirtyDay) -> bool:
        works = self._works.get((mark.county, mark.works))
        return works is not None and mark.day == _day_of(self._clock.now_ms(), works.time_zone)

    def _parts(self) -> Iterator[list[DirtyDay]]:
        """Marks by day, county and time zone, `AT_ONCE` at most, of those that can be worked off now."""
        covered = self._series.covered(READER)
        after: tuple[str, str, str] | None = None
        while True:
            with reading(self._engine) as connection:
                marks = dirty_days(connection, AT_ONCE, after=after)
                judged = applied_sequence(connection, SNAPSHOT_PARTITION)
            if not marks:
                return
            after = (marks[-1].day, marks[-1].county, marks[-1].works)
            self._ahead = {mark for mark in self._ahead if mark.sequence > judged}
            by_place: dict[tuple[str, str, str], list[DirtyDay]] = defaultdict(list)
            for mark in marks:
                works = self._works.get((mark.county, mark.works))
                if mark.sequence <= covered and mark not in self._ahead:
                    by_place[mark.day, mark.county, "" if works is None else works.time_zone].append(mark)
            yield from by_place.values()

    def _reckon(self, marks: Sequence[DirtyDay]) -> int:
        """Reckon marks of one day, county and time zone, and the month they lie in."""
        now = self._clock.now_ms()
        day, county = marks[0].day, marks[0].county
        works = [self._works[key] for mark in marks if (key := (mark.county, mark.works)) in self._works]
        figures = self._figures(day, county, works, now) if works else []
        months = self._months(county, works, day[:7], figures, now) if figures else []
        for first in range(0, len(marks), WRITTEN_AT_ONCE):
            if first:
                time.sleep(WRITE_PAUSE_S)
            part = marks[first : first + WRITTEN_AT_ONCE]
            names = {mark.works for mark in part}
            self._write(
                part,
                [one for one in figures if one.works in names],
                [one for one in months if one.works in names],
                now,
            )
        return len(marks)

    def _write(
        self, marks: Sequence[DirtyDay], figures: Sequence[Compliance], months: Sequence[Compliance], now: int
    ) -> None:
        county = marks[0].county
        with writing(self._engine) as connection:
            judged = applied_sequence(connection, SNAPSHOT_PARTITION)
            self._save(connection, county, figures, months, now)
            # Findings of these readings may still be missing: what the evaluator has not covered is reckoned once more.
            clear_dirty(connection, [mark for mark in marks if mark.sequence <= judged])
        self._ahead |= {mark for mark in marks if mark.sequence > judged}

    def _figures(self, day: str, county: str, works: Sequence[Works], now: int) -> list[Compliance]:
        span = day_span(day, works[0].time_zone)
        with reading(self._engine) as connection:
            findings = findings_during(connection, county, [one.id for one in works], KINDS, span.start, span.end)
        asked = reckoning(day, works, now, self._profiles, self._parameters, findings, self._flow_min)
        return reckoned(asked, self._series.readings(asked.keys, asked.since, asked.until))

    def _months(
        self, county: str, works: Sequence[Works], month: str, figures: Sequence[Compliance], now: int
    ) -> list[Compliance]:
        """The month of every series of these works from its days: ``figures`` are new, the others as they are known.

        Read before the transaction that writes: one that also read and reckoned would hold up alarms in a database with one writer.
        """
        span = month_span(month, works[0].time_zone)
        with reading(self._engine) as connection:
            known = newest_of(connection, county, [one.id for one in works], month_days(month))
        days = {
            (one.works, one.point, one.parameter, one.period): one
            for one in (*(version.figures for version in known), *figures)
        }
        by_series: dict[tuple[str, str, str], list[Compliance]] = defaultdict(list)
        for one in days.values():
            by_series[one.works, one.point, one.parameter].append(one)
        cadence_ms = {one.id: one.cadence_s * 1000 for one in works}
        end = max(span.start, min(span.end, now))
        return [month_of(parts, month, span.start, end, cadence_ms[key[0]]) for key, parts in by_series.items()]

    def _save(
        self, connection: Connection, county: str, days: Sequence[Compliance], months: Sequence[Compliance], now: int
    ) -> None:
        """Write figures; those are published whose period, and the time that late readings have, is over."""
        parts: dict[bool, list[Compliance]] = {True: [], False: []}
        for figures, span_of in ((days, day_span), (months, month_span)):
            for one in figures:
                works = self._works[one.county, one.works]
                over = span_of(one.period, works.time_zone).end + (works.lateness_s + PUBLISHED_AFTER_S) * 1000
                parts[over <= now].append(one)
        for is_published, part in parts.items():
            if part:
                save_compliance(connection, county, part, now, is_published=is_published)

    def _groups(self) -> dict[str, list[Works]]:
        """Works whose days are published at the same moment."""
        groups: dict[str, list[Works]] = defaultdict(list)
        for one in self._works.values():
            groups[f"{one.time_zone} {one.lateness_s}"].append(one)
        return groups

    def prepare(self) -> None:
        """Take the register as it stands."""
        with reading(self._engine) as connection:
            version = register_version(connection)
            if version == self._register_version:
                return
            self._works = {(one.county, one.id): one for one in scan_works(connection, for_judging=True)}
        self._register_version = version


def _day_of(ms: int, zone: str) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(zone)).date().isoformat()


def _last_published(now: int, works: Works) -> str:
    """The last day that is over, and its late readings with it."""
    reached = _day_of(now - (works.lateness_s + PUBLISHED_AFTER_S) * 1000, works.time_zone)
    return (date.fromisoformat(reached) - timedelta(1)).isoformat()


def _days_between(held: str | None, last: str) -> list[str]:
    """Days after ``held`` up to ``last``; only ``last`` where nothing was held before."""
    end = date.fromisoformat(last)
    begin = end if held is None else date.fromisoformat(held) + timedelta(1)
    return [(begin + timedelta(n)).isoformat() for n in range((end - begin).days + 1)]


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; exit status 0.

    Raises
    ------
    ConfigurationError
        If the database's schema is not this version's, or settings of the store are missing.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    engine = open_database(config.sql_url)
    series = open_series_reader(config)
    try:
        serve(config, engine, series, stop)
    finally:
        series.close()
        engine.dispose()
    return 0


def serve(config: Config, engine: Engine, series: SeriesReader, stop: threading.Event) -> None:
    """The service without signal handling: again and again, patiently while a store does not answer."""
    worker: ComplianceWorker | None = None
    pause_s = PAUSE_S

    def goes_on() -> bool:
        beat(config, "compliance")
        return not stop.is_set()

    while not stop.is_set():
        beat(config, "compliance")
        try:
            if worker is None:
                check_schema(engine)
                worker = ComplianceWorker(config, engine, series, goes_on)
                _log.info("compliance_started")
            began = time.monotonic()
            if done := worker.step():
                _log.info("compliance_reckoned", works_days=done, seconds=round(time.monotonic() - began, 2))
            pause_s = PAUSE_S
        except StoreUnavailable as error:
            _log.warning("store_unavailable", why=str(error), pause_s=pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
        stop.wait(pause_s * Random().uniform(0.8, 1.2))  # noqa: S311 (jitter)
