"""What operations keeps in the database: signs of life, measures, heartbeats, and what the outbox looks like from outside.

Times of signs, measures and heartbeats are of the wall [ms since epoch].
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, func, select

from qingquan.domain.findings import FindingKind
from qingquan.domain.incidents import IncidentState, MessageState
from qingquan.domain.operations import Measure, ServiceSign
from qingquan.store.sql.compliance_schema import compliance_dirty
from qingquan.store.sql.operations_schema import heartbeat, operations_measure, service_sign
from qingquan.store.sql.schema import evaluator_progress, incident, outbox
from qingquan.store.sql.statements import insert_or_update

__all__ = [
    "Heartbeat",
    "OutboxLook",
    "days_to_reckon",
    "forget_signs",
    "heartbeats",
    "load_measures",
    "load_signs",
    "look_at_outbox",
    "open_operations",
    "progress_rows",
    "receive_heartbeat",
    "save_measures",
    "save_sign",
    "sent_to",
]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last sign of another installation, times of the wall [ms]."""

    sender: str
    received_at: int
    sent_at: int
    received: int
    detail: str


@dataclass(frozen=True, slots=True)
class OutboxLook:
    """Messages by state, and when the longest due of those that should have gone became due [our ms]; ``None`` = none waits."""

    by_state: dict[str, int]
    oldest_due_at: int | None


def save_sign(connection: Connection, sign: ServiceSign) -> None:
    """Note that a process is alive."""
    row = {
        "service": sign.service, "instance": sign.instance, "started_at": sign.started_at, "seen_at": sign.seen_at,
        "rss_bytes": sign.rss_bytes, "cpu_s": sign.cpu_s, "is_caught_up": sign.is_caught_up, "version": sign.version,
        "log": sign.log or None,
    }  # fmt: skip
    insert_or_update(connection, service_sign, [row], key=["service", "instance"])


def load_signs(connection: Connection) -> list[ServiceSign]:
    """All signs, of those alive and those long gone."""
    rows = connection.execute(select(service_sign).order_by(service_sign.c.service, service_sign.c.instance))
    return [
        ServiceSign(
            row.service, row.instance, row.started_at, row.seen_at, row.rss_bytes, row.cpu_s, row.is_caught_up, row.version,
            row.log or "",
        )
        for row in rows
    ]  # fmt: skip


def forget_signs(connection: Connection, before_ms: int) -> None:
    """Drop processes not seen since: they were replaced or taken out of service long ago."""
    connection.execute(delete(service_sign).where(service_sign.c.seen_at < before_ms))


def save_measures(connection: Connection, measures: Iterable[Measure], at_ms: int) -> None:
    """Put these measures in place of all earlier ones."""
    rows = [{"name": one.name, "label": one.label, "value": one.value, "at": at_ms} for one in measures]
    insert_or_update(connection, operations_measure, rows, key=["name", "label"])
    connection.execute(delete(operations_measure).where(operations_measure.c.at != at_ms))


def load_measures(connection: Connection) -> tuple[list[Measure], int | None]:
    """The last measures and when they were taken; ``None`` when never."""
    table = operations_measure
    rows = connection.execute(select(table).order_by(table.c.name, table.c.label)).all()
    return [Measure(row.name, row.value, row.label) for row in rows], max((row.at for row in rows), default=None)


def receive_heartbeat(connection: Connection, sender: str, sent_at: int, received_at: int, detail: str) -> bool:
    """Note a heartbeat; ``False`` and nothing written when it is not later than the last one: a repetition."""
    table = heartbeat
    last = connection.execute(select(table).where(table.c.sender == sender).with_for_update()).one_or_none()
    if last is not None and last.sent_at >= sent_at:
        return False
    count = 1 if last is None else last.received + 1
    row = {"sender": sender, "received_at": received_at, "sent_at": sent_at, "received": count, "detail": detail}
    return insert_or_update(connection, table, [row], key=["sender"], only_greater="sent_at") > 0


def heartbeats(connection: Connection) -> list[Heartbeat]:
    """The last heartbeat of every sender that ever sent one."""
    rows = connection.execute(select(heartbeat).order_by(heartbeat.c.sender))
    return [Heartbeat(row.sender, row.received_at, row.sent_at, row.received, row.detail) for row in rows]


def look_at_outbox(connection: Connection, now_ms: int, counted_since_ms: int) -> OutboxLook:
    """The outbox as it stands at ``now_ms``; ended states are counted from ``counted_since_ms`` on."""
    table = outbox
    waiting = (MessageState.QUEUED.value, MessageState.SENDING.value)
    counted = table.c.state.in_(waiting) | (table.c.created_at >= counted_since_ms)
    rows = connection.execute(select(table.c.state, func.count()).where(counted).group_by(table.c.state))
    by_state = {str(state): int(count) for state, count in rows}
    due = and_(table.c.state.in_(waiting), table.c.due_at <= now_ms)
    return OutboxLook(by_state, connection.scalar(select(func.min(table.c.due_at)).where(due)))


def progress_rows(connection: Connection) -> dict[int, int]:
    """Sequence by partition, readers with a number of their own (below 0) among them."""
    rows = connection.execute(select(evaluator_progress.c.partition, evaluator_progress.c.sequence))
    return {int(row.partition): int(row.sequence) for row in rows}


def days_to_reckon(connection: Connection) -> int:
    """Days of works whose compliance waits to be reckoned."""
    return connection.scalar(select(func.count()).select_from(compliance_dirty)) or 0


def open_operations(connection: Connection) -> dict[str, int]:
    """Open incidents of operations: id by cause."""
    over = (IncidentState.RESOLVED.value, IncidentState.CLOSED.value)
    query = select(incident.c.cause, incident.c.id).where(
        incident.c.kind == FindingKind.OPERATIONS.value, incident.c.state.not_in(over)
    )  # fmt: skip
    return {str(row.cause): int(row.id) for row in connection.execute(query)}


def sent_to(connection: Connection, incident_id: int, step: str) -> Sequence[tuple[str, str]]:
    """Channel and receiver of everybody who has a message of an incident's step, whatever became of it."""
    query = select(outbox.c.channel, outbox.c.receiver).where(
        outbox.c.incident_id == incident_id, outbox.c.step == step
    )
    return [(str(row.channel), str(row.receiver)) for row in connection.execute(query)]
