"""Findings of the engine."""

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, or_, select

from qingquan.domain.findings import Finding, FindingKind, Severity
from qingquan.store.sql.columns import finite_or_none, without_missing
from qingquan.store.sql.schema import finding as table
from qingquan.store.sql.statements import Page, insert_or_update, page_of, region

__all__ = ["findings_during", "get_finding", "get_findings", "list_findings", "open_findings", "upsert_findings"]


def upsert_findings(connection: Connection, findings: Iterable[Finding], at_ms: int) -> int:
    """Write findings by their id; how many rows were new or changed.

    The same finding again changes nothing, its time of change (``at_ms``) included. The last one wins where an id
    comes twice.
    """
    return insert_or_update(connection, table, [_row(f, at_ms) for f in findings], key=["id"], stamp="updated_at")


def get_finding(connection: Connection, finding_id: str) -> Finding | None:
    """One finding; ``None`` if there is none."""
    row = connection.execute(select(table).where(table.c.id == finding_id)).one_or_none()
    return None if row is None else _finding(row)


def get_findings(connection: Connection, finding_ids: Collection[str]) -> list[Finding]:
    """Those of the findings that exist, oldest first."""
    query = select(table).where(table.c.id.in_(finding_ids)).order_by(table.c.started_at, table.c.id)
    return [_finding(row) for row in connection.execute(query)]


def open_findings(
    connection: Connection, kinds: Collection[FindingKind] | None = None, *, county: str | None = None
) -> list[Finding]:
    """Findings that last, oldest first. Withdrawn ones are not open."""
    where = _filters(county=county, kinds=kinds, is_open=True)
    return [
        _finding(row)
        for row in connection.execute(select(table).where(*where).order_by(table.c.started_at, table.c.id))
    ]


def open_findings_of_rules(connection: Connection, rules: Collection[str]) -> dict[tuple[str, str], list[Finding]]:
    """Findings of these rules that last, by county and works."""
    found: dict[tuple[str, str], list[Finding]] = {}
    query = select(table).where(table.c.ended_at.is_(None), ~table.c.withdrawn, table.c.rule.in_(rules))
    for row in connection.execute(query.order_by(table.c.started_at, table.c.id)):
        found.setdefault((row.county, row.works), []).append(_finding(row))
    return found


def findings_during(
    connection: Connection, county: str, works: Collection[str], kinds: Collection[FindingKind], start: int, end: int
) -> list[Finding]:
    """Findings of these works of one county that held at some time in start <= t < end, oldest first; none withdrawn."""
    query = select(table).where(
        table.c.county == county,
        table.c.works.in_(works),
        table.c.kind.in_([str(kind) for kind in kinds]),
        table.c.started_at < end,
        or_(table.c.ended_at.is_(None), table.c.ended_at > start),
        ~table.c.withdrawn,
    )
    return [_finding(row) for row in connection.execute(query.order_by(table.c.started_at, table.c.id))]


def list_findings(
    connection: Connection,
    *,
    county: str | None = None,
    works: str | None = None,
    kinds: Collection[FindingKind] | None = None,
    severities: Collection[Severity] | None = None,
    is_open: bool | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int = 100,
    offset: int = 0,
) -> Page[Finding]:
    """Findings that fit every filter given, newest start first.

    ``county`` may be a shorter division code. ``from_ms`` <= start < ``to_ms``. An empty filter is no filter. Of open
    findings (``is_open``) the withdrawn are left out, and among those not open they are.
    """
    where = _filters(
        county=county, works=works, kinds=kinds, severities=severities, is_open=is_open, from_ms=from_ms, to_ms=to_ms
    )
    order = (table.c.started_at.desc(), table.c.id.desc())
    page = page_of(connection, select(table).where(*where), order, limit, offset)
    return Page([_finding(row) for row in page.items], page.total)


def _filters(
    *,
    county: str | None = None,
    works: str | None = None,
    kinds: Collection[FindingKind] | None = None,
    severities: Collection[Severity] | None = None,
    is_open: bool | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = []
    if county:
        where.append(region(table.c.county, county))
    if works:
        where.append(table.c.works == works)
    if kinds:
        where.append(table.c.kind.in_([str(kind) for kind in kinds]))
    if severities:
        where.append(table.c.severity.in_([int(severity) for severity in severities]))
    if is_open is not None:
        lasting = table.c.ended_at.is_(None) & ~table.c.withdrawn
        where.append(lasting if is_open else ~lasting)
    if from_ms is not None:
        where.append(table.c.started_at >= from_ms)
    if to_ms is not None:
        where.append(table.c.started_at < to_ms)
    return where


def _row(finding: Finding, at_ms: int) -> dict[str, Any]:
    return {
        "id": finding.id,
        "kind": finding.kind.value,
        "severity": int(finding.severity),
        "county": finding.county,
        "works": finding.works,
        "point": finding.point,
        "parameter": finding.parameter,
        "started_at": finding.start,
        "ended_at": finding.end,
        "evidence_at": finding.evidence_at,
        "extreme": finite_or_none(finding.extreme),
        "limit_value": finite_or_none(finding.limit),
        "clause": finding.clause,
        "rule": finding.rule,
        "rule_version": finding.rule_version,
        "reason": finding.reason,
        "late": finding.late,
        "withdrawn": finding.withdrawn,
        "evidence": finding.evidence,
        "updated_at": at_ms,
    }


def _finding(row: Row[Any]) -> Finding:
    return Finding(
        id=row.id,
        kind=FindingKind(row.kind),
        severity=Severity(row.severity),
        county=row.county,
        works=row.works,
        point=row.point,
        parameter=row.parameter,
        start=row.started_at,
        end=row.ended_at,
        evidence_at=row.evidence_at,
        extreme=row.extreme,
        limit=row.limit_value,
        clause=row.clause,
        rule=row.rule,
        rule_version=row.rule_version,
        reason=row.reason,
        late=row.late,
        withdrawn=row.withdrawn,
        evidence=without_missing(row.evidence),
    )
