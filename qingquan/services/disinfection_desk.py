"""What people enter about disinfection, and what the console reads of it: facts, measurements by hand, advice.

A measurement goes to the database first and then, of a works without instruments, into the reading log: there it is judged as every
reading is, and a replay gives the same. A log that does not answer keeps nobody from logging: what it has not got is sent again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy import Engine

from ledgers.hand_log_import import OLDEST_DAYS, HandEntry, hand_log_template, hand_point, parse_log, residual_in
from qingquan.clock import Clock, to_ms
from qingquan.domain.disinfection import (
    NOT_FOR_THE_LOG,
    Advice,
    DisinfectionFacts,
    HandFault,
    HandMeasurement,
    HandMethod,
    HandReport,
)
from qingquan.domain.readings import Topic
from qingquan.domain.works import Works
from qingquan.errors import BrokerLost, NotFound
from qingquan.standards.loader import load_standards
from qingquan.store.sql.disinfection import (
    get_advice,
    hand_measurements,
    insert_hand_measurements,
    load_facts,
    mark_logged,
    save_facts,
    unlogged_measurements,
)
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.register import get_works, load_works
from qingquan.store.sql.statements import Page

__all__ = ["Desk", "hand_payload"]

DIALECT = "json"
MINUTE_MS = 60_000
LONGEST_NAME = 60

Publish = Callable[[Topic, bytes], int]
_log = structlog.get_logger("hand_log")


class Desk:
    """Facts, measurements and advice over the relational store. ``publish`` stores a message in the reading log.

    Safe to use from several threads.
    """

    def __init__(self, engine: Engine, clock: Clock, publish: Publish, language: str = "zh") -> None:
        self._engine = engine
        self._clock = clock
        self._publish = publish
        self._language = language

    def advice(self, county: str, works: str) -> Advice | None:
        """What was worked out last."""
        with reading(self._engine) as connection:
            return get_advice(connection, county, works)

    def facts(self, county: str, works: str) -> DisinfectionFacts:
        """What people have entered about contact, dosing and deliveries."""
        with reading(self._engine) as connection:
            return load_facts(connection, county, works)

    def save_facts(self, county: str, works: str, facts: DisinfectionFacts, by: str) -> None:
        """Replace them. Raises `NotFound` where there is no such works."""
        with writing(self._engine) as connection:
            if get_works(connection, county, works) is None:
                raise NotFound(f"works {works} in county {county}")
            save_facts(connection, county, works, facts, self._clock.now_ms(), by)

    def measurements(self, county: str, works: str, limit: int, offset: int) -> Page[HandMeasurement]:
        """Measurements by hand, newest first."""
        with reading(self._engine) as connection:
            return hand_measurements(connection, county, works, limit, offset)

    def log(
        self, works: Works, value: str, person: str, *, point: str = "", observed_at: str | int = "",
        method: str = HandMethod.DPD_COLOUR, note: str = "", source: str = "page",
    ) -> HandMeasurement | list[HandFault]:  # fmt: skip
        """Take one measurement as entered; everything that is wrong with it otherwise.

        ``value`` is a number or ``<`` and a number; ``observed_at`` local time of the works as a form gives it
        (``2026-05-01T08:00``), ms since epoch, or empty for now. The same place and minute again is the fault ``taken``.
        """
        now = self._clock.now_ms()
        entry = _checked(works, value, person, point, observed_at, method, note, now)
        if isinstance(entry, list):
            return entry
        measured = self._kept([entry], now, source)
        if not measured:
            return [HandFault("observed_at", "taken")]
        self.send_unlogged()
        return measured[0]

    def import_log(self, name: str, content: bytes, by: str) -> HandReport:
        """Take the good rows of a sheet; everything refused, by cell."""
        now = self._clock.now_ms()
        with reading(self._engine) as connection:
            works = load_works(connection)
        parsed = parse_log(content, name, works, load_standards().parameters, now)
        taken = self._kept(parsed.entries, now, name, by)
        self.send_unlogged()
        return HandReport(
            parsed.rows, len(taken), len(parsed.entries) - len(taken),
            tuple(refusal.text(self._language) for refusal in parsed.refusals),
        )  # fmt: skip

    def template(self, county: str = "") -> bytes:
        """An empty sheet with the hand-logged works of a region."""
        with reading(self._engine) as connection:
            return hand_log_template(load_works(connection, county or None))

    def send_unlogged(self) -> int:
        """Put into the reading log what it has not got yet; how many went. A log that does not answer is tried again later."""
        with reading(self._engine) as connection:
            waiting = unlogged_measurements(connection)
        sent = 0
        for one in waiting:
            try:
                sequence = self._publish(Topic(one.county, one.works, one.point, DIALECT), hand_payload(one))
            except BrokerLost as error:
                _log.warning("hand_measurements_wait", count=len(waiting) - sent, why=str(error))
                break
            with writing(self._engine) as connection:
                mark_logged(connection, one, sequence)
            sent += 1
        return sent

    def _kept(self, entries: Sequence[HandEntry], now: int, source: str, by: str = "") -> list[HandMeasurement]:
        with reading(self._engine) as connection:
            held = {(e.county, e.works): get_works(connection, e.county, e.works) for e in entries}
        measured = [_measurement(one, held[one.county, one.works], now, source, by) for one in entries]
        with writing(self._engine) as connection:
            return [one for one in measured if insert_hand_measurements(connection, [one])]


def hand_payload(one: HandMeasurement) -> bytes:
    """A measurement as a message of the reading log: a reading like any other, marked as measured by hand.

    "Less than x" is judged at x: no more than that was there, and a floor at or above x has been reached.

    >>> from qingquan.domain.disinfection import HandMethod
    >>> one = HandMeasurement("520425", "W1", "outlet", "free_chlorine", 1000, 0.4, HandMethod.DPD_COLOUR, "Li", 2000)
    >>> hand_payload(one).decode()
    '{"t":1000,"v":{"free_chlorine":0.4},"hand":{"method":"dpd_colour","person":"Li","qualifier":""}}'
    """
    document = {
        "t": one.observed_at,
        "v": {one.parameter: one.value},
        "hand": {"method": one.method.value, "person": one.person, "qualifier": one.qualifier},
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _checked(
    works: Works, value: str, person: str, point: str, observed_at: str | int, method: str, note: str, now: int
) -> HandEntry | list[HandFault]:
    faults: list[HandFault] = []
    parameter = load_standards().parameters.get(works.disinfectant.residual or "")
    where = hand_point(works, point)
    if parameter is None:
        return [HandFault("works", "no_residual")]
    if where is None:
        faults.append(HandFault("point", "unknown", {"allowed": "、".join(one.id for one in works.points)}))
    found = residual_in(0.0, parameter.range_max)(value) if value.strip() else None
    if not isinstance(found, tuple):
        faults.append(
            HandFault("value", "empty" if found is None else "not_a_residual", {"most": f"{parameter.range_max:g}"})
        )
    name = " ".join(person.split())[:LONGEST_NAME]
    if not name:
        faults.append(HandFault("person", "empty"))
    if method not in set(HandMethod):
        faults.append(HandFault("method", "unknown", {"allowed": "、".join(HandMethod)}))
    at = _moment(observed_at, works, now)
    if isinstance(at, HandFault):
        faults.append(at)
    if faults or where is None or not isinstance(found, tuple) or isinstance(at, HandFault):
        return faults
    return HandEntry(
        works.county,
        works.id,
        where.id,
        parameter.code,
        at,
        found[0],
        found[1],
        HandMethod(method),
        name,
        note.strip()[:200],
    )


def _moment(given: str | int, works: Works, now: int) -> int | HandFault:
    """To the minute: a form's clock has no seconds, and the same minute entered again is the same measurement."""
    if given == "":
        return now // MINUTE_MS * MINUTE_MS
    try:
        at = given if isinstance(given, int) else _ms_of(given, works)
    except (ValueError, OverflowError):
        return HandFault("observed_at", "not_a_time")
    if at > now:
        return HandFault("observed_at", "in_the_future")
    if at < now - OLDEST_DAYS * 24 * 60 * MINUTE_MS:
        return HandFault("observed_at", "too_old", {"days": str(OLDEST_DAYS)})
    return at


def _ms_of(text: str, works: Works) -> int:
    at = datetime.fromisoformat(text.strip())
    return to_ms((at if at.tzinfo else at.replace(tzinfo=ZoneInfo(works.time_zone))).astimezone(UTC))


def _measurement(entry: HandEntry, works: Works | None, now: int, source: str, by: str) -> HandMeasurement:
    measured = HandMeasurement(
        entry.county, entry.works, entry.point, entry.parameter, entry.observed_at, entry.value, entry.method, entry.person, now,
        by or entry.person, source, entry.note, qualifier=entry.qualifier,
    )  # fmt: skip
    is_reading = works is not None and works.is_hand_logged
    return measured if is_reading else replace(measured, sequence=NOT_FOR_THE_LOG)
