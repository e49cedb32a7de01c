"""Marks on detected events, known benign patterns, and who changed what about them."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from sqlalchemy import Connection, delete, insert, select

from qingquan.domain.findings import Finding, FindingKind
from qingquan.store.sql.events_schema import event_history, event_mark, event_pattern, event_switch, event_told
from qingquan.store.sql.findings import get_findings
from qingquan.store.sql.schema import finding
from qingquan.store.sql.statements import Page, insert_ignoring, insert_or_update, page_of, region

__all__ = [
    "UNMARKED", "DetectorFigures", "EventMark", "EventQuery", "EventSwitch", "KnownEvent", "delete_pattern", "detector_figures", "get_pattern",
    "history_of", "list_events", "list_marks", "list_patterns", "marks_of_events", "note_told", "save_mark", "save_pattern", "set_switch", "switches",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class EventMark:
    """A person's newest verdict (``real``/``false``) on an event of score ``peak``."""

    event: str
    county: str
    works: str
    verdict: str
    peak: float
    marked_at: int
    marked_by: str


@dataclass(frozen=True, slots=True)
class KnownEvent:
    """A saved pattern; ``shape``: column to deviations. ``id`` 0 before it is stored."""

    id: int
    county: str
    works: str
    point: str
    name: str
    event: str
    shape: dict[str, list[float]]
    length_ms: int
    saved_at: int
    saved_by: str


@dataclass(frozen=True, slots=True)
class EventSwitch:
    """A person's word on a detector: ``None`` = by the verdicts given after ``since``."""

    is_silent: bool | None
    since: int
    by: str


UNMARKED = "none"


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Events, newest start first. ``region`` is a prefix of the county code; ``verdict``: real, false, none = not marked yet.

    Empty or ``None`` = any. ``from_ms`` <= start < ``to_ms``.
    """

    region: str = ""
    works: str = ""
    verdict: str = ""
    is_open: bool | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    limit: int = 100
    offset: int = 0


def list_events(connection: Connection, query: EventQuery) -> Page[tuple[Finding, EventMark | None]]:
    """Events that fit, with the marks on them; withdrawn ones are left out."""
    table = finding.c
    rows = select(table.id).outerjoin(event_mark, event_mark.c.event == table.id)
    rows = rows.where(table.kind == str(FindingKind.WATER_EVENT), ~table.withdrawn)
    if query.region:
        rows = rows.where(region(table.county, query.region))
    if query.works:
        rows = rows.where(table.works == query.works)
    if query.verdict:
        verdict = event_mark.c.verdict
        rows = rows.where(verdict.is_(None) if query.verdict == UNMARKED else verdict == query.verdict)
    if query.is_open is not None:
        rows = rows.where(table.ended_at.is_(None) if query.is_open else table.ended_at.is_not(None))
    if query.from_ms is not None:
        rows = rows.where(table.started_at >= query.from_ms)
    if query.to_ms is not None:
        rows = rows.where(table.started_at < query.to_ms)
    page = page_of(connection, rows, (table.started_at.desc(), table.id.desc()), query.limit, query.offset)
    ids = [row.id for row in page.items]
    events = {one.id: one for one in get_findings(connection, ids)}
    marks = marks_of_events(connection, ids)
    return Page([(events[id], marks.get(id)) for id in ids], page.total)


@dataclass(frozen=True, slots=True)
class DetectorFigures:
    """What a works' detector came to over a span of time: live events, how many of them were told, marked real, marked false;
    ``delay_ms`` is the median time from an event's begin until it was told, ``None`` where none was told as it happened."""

    county: str
    works: str
    events: int
    told: int
    real: int
    false: int
    delay_ms: int | None


def detector_figures(
    connection: Connection, counties: str, works: str, from_ms: int, to_ms: int
) -> list[DetectorFigures]:  # fmt: skip
    """By works, most events first; ``from_ms`` <= start < ``to_ms``. Late and withdrawn events are no measure and left out."""
    table = finding.c
    rows = (
        select(table.county, table.works, table.started_at, table.evidence, event_mark.c.verdict, event_told.c.told_at)
        .outerjoin(event_mark, event_mark.c.event == table.id)
        .outerjoin(event_told, event_told.c.event == table.id)
        .where(table.kind == str(FindingKind.WATER_EVENT), ~table.withdrawn, ~table.late)
        .where(table.started_at >= from_ms, table.started_at < to_ms)
    )
    if counties:
        rows = rows.where(region(table.county, counties))
    if works:
        rows = rows.where(table.works == works)
    found: dict[tuple[str, str], list[tuple[bool, str | None, int | None]]] = defaultdict(list)
    for row in connection.execute(rows):
        delay = None if row.told_at is None else row.told_at - row.started_at
        found[row.county, row.works].append(("silent" not in row.evidence, row.verdict, delay))
    figures = [_figures(*key, events) for key, events in found.items()]
    return sorted(figures, key=lambda one: (-one.events, one.county, one.works))


def _figures(county: str, works: str, events: list[tuple[bool, str | None, int | None]]) -> DetectorFigures:
    delays = [delay for is_told, _, delay in events if is_told and delay is not None]
    return DetectorFigures(
        county, works, len(events), sum(is_told for is_told, _, _ in events), sum(verdict == "real" for _, verdict, _ in events),
        sum(verdict == "false" for _, verdict, _ in events), round(median(delays)) if delays else None,
    )  # fmt: skip


def note_told(connection: Connection, events: Iterable[str], at: int) -> None:
    """Note when events were first told; later calls change nothing."""
    insert_ignoring(connection, event_told, [{"event": one, "told_at": at} for one in events], key=["event"])


def save_mark(connection: Connection, mark: EventMark) -> None:
    """Store a verdict; an earlier one on the same event is replaced and stays in the history."""
    names = ("event", "county", "works", "verdict", "peak", "marked_at", "marked_by")
    insert_or_update(connection, event_mark, [{name: getattr(mark, name) for name in names}], key=["event"])
    _note(connection, mark.county, mark.works, mark.marked_at, mark.marked_by, f"mark_{mark.verdict}", mark.event)


def list_marks(connection: Connection) -> dict[tuple[str, str], list[EventMark]]:
    """All marks by works."""
    found: dict[tuple[str, str], list[EventMark]] = defaultdict(list)
    for row in connection.execute(select(event_mark)):
        found[row.county, row.works].append(EventMark(*row))
    return found


def marks_of_events(connection: Connection, events: list[str]) -> dict[str, EventMark]:
    """Marks of these events."""
    return {
        row.event: EventMark(*row)
        for row in connection.execute(select(event_mark).where(event_mark.c.event.in_(events)))
    }


def set_switch(connection: Connection, county: str, works: str, switch: EventSwitch) -> None:
    """Silence a works' detector, or let it speak again."""
    row = {"county": county, "works": works, "is_silent": switch.is_silent, "since": switch.since, "by": switch.by}
    insert_or_update(connection, event_switch, [row], key=["county", "works"])
    action = {True: "silence", False: "speak", None: "by_marks"}[switch.is_silent]
    _note(connection, county, works, switch.since, switch.by, action, "")


def switches(connection: Connection) -> dict[tuple[str, str], EventSwitch]:
    """Words on detectors by works."""
    return {
        (row.county, row.works): EventSwitch(row.is_silent, row.since, row.by)
        for row in connection.execute(select(event_switch))
    }


def save_pattern(connection: Connection, known: KnownEvent) -> int:
    """Store a pattern; its id."""
    names = ("county", "works", "point", "name", "event", "shape", "length_ms", "saved_at", "saved_by")
    row = {name: getattr(known, name) for name in names}
    found = int(connection.scalars(insert(event_pattern).returning(event_pattern.c.id), row).one())
    _note(connection, known.county, known.works, known.saved_at, known.saved_by, "save_pattern", known.name)
    return found


def list_patterns(connection: Connection, counties: str = "", works: str = "") -> list[KnownEvent]:
    """Patterns of a region, or of one works; oldest first."""
    query = select(event_pattern).order_by(event_pattern.c.id)
    if counties:
        query = query.where(region(event_pattern.c.county, counties))
    if works:
        query = query.where(event_pattern.c.works == works)
    return [KnownEvent(*row) for row in connection.execute(query)]


def get_pattern(connection: Connection, pattern_id: int) -> KnownEvent | None:
    """One pattern; ``None`` if there is none."""
    row = connection.execute(select(event_pattern).where(event_pattern.c.id == pattern_id)).one_or_none()
    return None if row is None else KnownEvent(*row)


def delete_pattern(connection: Connection, pattern_id: int, at: int, by: str) -> bool:
    """Forget a pattern; ``False`` if there is none."""
    row = connection.execute(select(event_pattern).where(event_pattern.c.id == pattern_id)).one_or_none()
    if row is None:
        return False
    connection.execute(delete(event_pattern).where(event_pattern.c.id == pattern_id))
    _note(connection, row.county, row.works, at, by, "delete_pattern", row.name)
    return True


def history_of(connection: Connection, county: str, works: str, limit: int = 100) -> list[tuple[int, str, str, str]]:
    """Time, person, action and detail, newest first."""
    table = event_history.c
    query = select(table.at, table.by, table.action, table.detail).where(table.county == county, table.works == works)
    return [
        (row.at, row.by, row.action, row.detail)
        for row in connection.execute(query.order_by(table.id.desc()).limit(limit))
    ]


def _note(connection: Connection, county: str, works: str, at: int, by: str, action: str, detail: str) -> None:
    row = {"county": county, "works": works, "at": at, "by": by, "action": action, "detail": detail}
    connection.execute(insert(event_history), row)
