"""`ConsoleData` over the relational store and the series store."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Engine

from dashboards.web.ports import (
    Counts,
    FindingQuery,
    IncidentQuery,
    LabQuery,
    MessageQuery,
    PartHealth,
    QuarantineQuery,
)
from qingquan.domain.findings import Finding, Severity
from qingquan.domain.incidents import Incident, IncidentEvent, Message
from qingquan.domain.lab import LabSample
from qingquan.domain.readings import SeriesKey
from qingquan.domain.state import WorksState
from qingquan.domain.works import Works
from qingquan.errors import QingquanError, StoreUnavailable
from qingquan.store.ports import SeriesReader, Trend
from qingquan.store.sql.engine import reading, writing
from qingquan.store.sql.findings import get_findings, list_findings
from qingquan.store.sql.incidents import LEASE_MS, acknowledge, events_of, get_incident, list_incidents
from qingquan.store.sql.lab import list_samples
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.progress import counts
from qingquan.store.sql.quarantine import QuarantineEntry, counts_by_reason, list_quarantined
from qingquan.store.sql.register import get_works, load_works, register_version
from qingquan.store.sql.rulesets import RulesetStatus, ruleset_statuses
from qingquan.store.sql.state import load_works_states
from qingquan.store.sql.statements import Page

__all__ = ["StoreData"]

# Running total, kept by the evaluator, of the messages of the log that it has judged.
EVALUATED = "evaluated.messages"
# Running totals, kept by the log server, of what it turned away; messages at QoS 0 are among them by name only.
DOOR = "mqtt_"
QOS0 = "mqtt_qos0_messages"


class StoreData:
    """The console's view of the stores. Safe to use from several threads.

    ``logged`` asks how many messages the reading log has taken so far, ``None`` while it does not answer. It is asked last,
    so that what came of the messages is never more than came in. ``lease_ms`` is how long an acknowledgement holds, by severity.
    """

    def __init__(
        self,
        engine: Engine,
        series: SeriesReader,
        logged: Callable[[], int | None],
        lease_ms: Mapping[Severity, int] | None = None,
    ) -> None:
        self._engine = engine
        self._series = series
        self._logged = logged
        self._lease_ms = lease_ms or LEASE_MS

    def register_version(self) -> int:
        with reading(self._engine) as connection:
            return register_version(connection)

    def works(self, region: str = "") -> Sequence[Works]:
        with reading(self._engine) as connection:
            return load_works(connection, region or None)

    def one_works(self, county: str, works: str) -> Works | None:
        with reading(self._engine) as connection:
            return get_works(connection, county, works)

    def states(self, region: str = "") -> Sequence[WorksState]:
        with reading(self._engine) as connection:
            return load_works_states(connection, region or None)

    def findings(self, query: FindingQuery) -> Page[Finding]:
        with reading(self._engine) as connection:
            return list_findings(
                connection, county=query.region, works=query.works, kinds=query.kinds, is_open=query.is_open,
                from_ms=query.from_ms, to_ms=query.to_ms, limit=query.limit, offset=query.offset,
            )  # fmt: skip

    def findings_by_id(self, finding_ids: Sequence[str]) -> Sequence[Finding]:
        if not finding_ids:
            return []
        with reading(self._engine) as connection:
            return get_findings(connection, finding_ids)

    def incidents(self, query: IncidentQuery) -> Page[Incident]:
        with reading(self._engine) as connection:
            return list_incidents(
                connection, county=query.region, works=query.works, states=query.states, worst_first=True,
                limit=query.limit, offset=query.offset,
            )  # fmt: skip

    def incident(self, incident_id: int) -> Incident | None:
        with reading(self._engine) as connection:
            return get_incident(connection, incident_id)

    def incident_events(self, incident_id: int) -> Sequence[IncidentEvent]:
        with reading(self._engine) as connection:
            return events_of(connection, incident_id)

    def acknowledge(self, incident_id: int, by: str, at_ms: int) -> Incident:
        with writing(self._engine) as connection:
            incident = get_incident(connection, incident_id)
            lease_ms = None if incident is None else self._lease_ms[incident.severity]
            return acknowledge(connection, incident_id, by, at_ms, lease_ms)

    def messages(self, query: MessageQuery) -> Page[Message]:
        with reading(self._engine) as connection:
            return list_messages(
                connection, county=query.region, incident_id=query.incident, states=query.states,
                limit=query.limit, offset=query.offset,
            )  # fmt: skip

    def lab_samples(self, query: LabQuery) -> Page[LabSample]:
        with reading(self._engine) as connection:
            return list_samples(
                connection, county=query.region, works=query.works, limit=query.limit, offset=query.offset
            )

    def quarantine(self, query: QuarantineQuery) -> Page[QuarantineEntry]:
        with reading(self._engine) as connection:
            return list_quarantined(
                connection, county=query.region, reasons=query.reasons, limit=query.limit, offset=query.offset
            )

    def counts(self) -> Counts:
        with reading(self._engine) as connection:
            totals, quarantined = counts(connection), counts_by_reason(connection)
        refused = {name: count for name, count in totals.items() if name.startswith(DOOR) and name != QOS0}
        try:
            recorded = self._series.counts()
        except StoreUnavailable:
            return Counts(self._logged(), totals.get(EVALUATED, 0), None, None, None, None, quarantined, refused)
        return Counts(
            logged=self._logged(), evaluated=totals.get(EVALUATED, 0), recorded=recorded.messages, readings=recorded.readings,
            duplicates=recorded.duplicates, conflicts=recorded.conflicts, quarantined=quarantined, refused=refused,
        )  # fmt: skip

    def trend(
        self, key: SeriesKey, start: int, end: int, step_ms: int | None = None, aggregates: Sequence[str] = ("mean",)
    ) -> Trend:
        return self._series.range(key, start, end, step_ms, aggregates)

    def health(self) -> Sequence[PartHealth]:
        checks: tuple[tuple[str, Callable[[], object]], ...] = (
            ("database", self.register_version), ("series_store", self._series.counts),
        )  # fmt: skip
        parts = [_answers(name, check) for name, check in checks]
        is_logged = self._logged() is not None
        parts.append(self._rules())
        return [*parts, PartHealth("reading_log", is_logged, "" if is_logged else "does not answer")]

    def _rules(self) -> PartHealth:
        try:
            with reading(self._engine) as connection:
                return _rules_health(ruleset_statuses(connection))
        except StoreUnavailable:
            return PartHealth("ruleset", True, "unknown: the database does not answer")


def _rules_health(statuses: Sequence[RulesetStatus]) -> PartHealth:
    """Refused rules do not stop anything: the old ones judge on, so the part is up and its detail tells of it."""
    told = [
        f"{one.service}: {one.version}" + (f" stays in force; refused: {one.error}" if one.error else "")
        for one in statuses
    ]
    return PartHealth("ruleset", True, "; ".join(told) or "no evaluator has reported yet")


def _answers(name: str, check: Callable[[], object]) -> PartHealth:
    try:
        check()
    except QingquanError as error:
        return PartHealth(name, False, str(error))
    return PartHealth(name, True)
