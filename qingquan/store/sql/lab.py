"""Laboratory samples and their results. What a laboratory wrote is stored as it wrote it: ``<0.05`` stays ``<`` 0.05."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, insert, select, text

from qingquan.domain.lab import LabOperator, LabResult, LabSample, LabVerdict
from qingquan.store.sql.columns import bounded_key, finite_or_none
from qingquan.store.sql.schema import lab_result, lab_sample
from qingquan.store.sql.statements import Page, insert_unless_taken, page_of, region

__all__ = [
    "add_results",
    "get_sample",
    "hold_uploads",
    "judged_results",
    "list_samples",
    "samples_by_number",
    "save_samples",
    "taken_numbers",
]

# PostgreSQL lets several transactions write at once; uploads take turns by this advisory lock. Any constant serves.
UPLOAD_LOCK = 5_204_252

# Numbers asked for in one query; a database bounds the variables of a statement.
ASKED_AT_ONCE = 500


def hold_uploads(connection: Connection) -> None:
    """Let no other upload in until the transaction ends. On SQLite a writing transaction is alone anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": UPLOAD_LOCK})


def save_samples(connection: Connection, samples: Iterable[LabSample]) -> list[LabSample]:
    """Store new samples with their results; those stored, with the ids they got, in the order given.

    A sample whose (county, number, version) is taken is left out, never overwritten: ask `taken_numbers` beforehand
    to tell the laboratory.
    """
    stored: list[LabSample] = []
    results: list[dict[str, Any]] = []
    for sample in samples:
        number = insert_unless_taken(connection, lab_sample, _sample_row(sample), key=["county", "number", "version"])
        if number is not None:
            stored.append(replace(sample, id=number))
            results += [_result_row(number, result) for result in sample.results]
    if results:
        connection.execute(insert(lab_result), results)
    return stored


def taken_numbers(connection: Connection, county: str, numbers: Collection[str]) -> set[str]:
    """Those of the laboratory's sample numbers that the county has already."""
    query = select(lab_sample.c.number).where(
        lab_sample.c.county == county, lab_sample.c.number.in_(map(bounded_key, numbers))
    )
    return set(connection.scalars(query))


def add_results(connection: Connection, sample_id: int, results: Iterable[LabResult]) -> None:
    """Add results to a stored sample. That it has none of these parameters yet is the caller's to see to."""
    rows = [_result_row(sample_id, result) for result in results]
    if rows:
        connection.execute(insert(lab_result), rows)


def samples_by_number(connection: Connection, county: str, numbers: Collection[str]) -> dict[str, LabSample]:
    """Those of the laboratory's sample numbers that the county has, newest version of each, with their results."""
    asked = list(dict.fromkeys(map(bounded_key, numbers)))
    table = lab_sample.c
    found: dict[str, LabSample] = {}
    for first in range(0, len(asked), ASKED_AT_ONCE):
        query = select(lab_sample).where(table.county == county, table.number.in_(asked[first : first + ASKED_AT_ONCE]))
        rows = connection.execute(query.order_by(table.version)).all()
        found |= {sample.number: sample for sample in _samples(connection, rows)}
    return found


def judged_results(
    connection: Connection, county: str, works: str, parameters: Collection[str]
) -> list[tuple[LabSample, LabResult]]:
    """All results of a works for these parameters on which there is a verdict, oldest sample first.

    The samples come without their other results.
    """
    sample, result = lab_sample.c, lab_result.c
    decided = (LabVerdict.COMPLIANT.value, LabVerdict.EXCEEDED.value)
    where = (
        sample.county == county,
        sample.works == works,
        result.parameter.in_(parameters),
        result.verdict.in_(decided),
    )
    joined = lab_result.join(lab_sample, sample.id == result.sample_id)
    rows = connection.execute(
        select(lab_result).select_from(joined).where(*where).order_by(sample.sampled_at, result.id)
    ).all()
    of_works = select(lab_sample).where(sample.county == county, sample.works == works)
    samples = {row.id: _sample(row, ()) for row in connection.execute(of_works)}
    return [(samples[row.sample_id], _result(row)) for row in rows]


def get_sample(connection: Connection, sample_id: int) -> LabSample | None:
    """One sample with its results; ``None`` if there is none."""
    row = connection.execute(select(lab_sample).where(lab_sample.c.id == sample_id)).one_or_none()
    return None if row is None else _samples(connection, [row])[0]


def list_samples(
    connection: Connection,
    *,
    county: str | None = None,
    works: str | None = None,
    point: str | None = None,
    parameter: str | None = None,
    verdicts: Collection[LabVerdict] | None = None,
    from_ms: int | None = None,
    to_ms: int | None = None,
    limit: int = 100,
    offset: int = 0,
) -> Page[LabSample]:
    """Samples that fit every filter given, newest upload first; an empty filter is no filter.

    ``county`` may be a shorter division code. ``parameter`` and ``verdicts`` ask for samples with at least one such
    result; all results of a sample come with it. ``from_ms`` <= sampled < ``to_ms``.
    """
    table = lab_sample.c
    where: list[ColumnElement[bool]] = []
    if county:
        where.append(region(table.county, county))
    if works:
        where.append(table.works == works)
    if point:
        where.append(table.point == point)
    if from_ms is not None:
        where.append(table.sampled_at >= from_ms)
    if to_ms is not None:
        where.append(table.sampled_at < to_ms)
    if parameter or verdicts:
        where.append(table.id.in_(_samples_with(parameter, verdicts)))
    query = select(lab_sample).where(*where)
    page = page_of(connection, query, (table.uploaded_at.desc(), table.id.desc()), limit, offset)
    return Page(_samples(connection, page.items), page.total)


def _samples_with(parameter: str | None, verdicts: Collection[LabVerdict] | None) -> Any:
    query = select(lab_result.c.sample_id)
    if parameter:
        query = query.where(lab_result.c.parameter == parameter)
    if verdicts:
        query = query.where(lab_result.c.verdict.in_([str(verdict) for verdict in verdicts]))
    return query


def _samples(connection: Connection, rows: Sequence[Row[Any]]) -> list[LabSample]:
    if not rows:
        return []
    table = lab_result.c
    query = select(lab_result).where(table.sample_id.in_([row.id for row in rows])).order_by(table.sample_id, table.id)
    results: dict[int, list[LabResult]] = {}
    for row in connection.execute(query):
        results.setdefault(row.sample_id, []).append(_result(row))
    return [_sample(row, tuple(results.get(row.id, ()))) for row in rows]


def _sample_row(sample: LabSample) -> dict[str, Any]:
    return {
        "county": sample.county,
        "number": bounded_key(sample.number),
        "version": sample.version,
        "status": sample.status,
        "works": sample.works,
        "point": sample.point,
        "sampled_at": sample.sampled_at,
        "uploaded_at": sample.uploaded_at,
        "uploaded_by": sample.uploaded_by,
        "laboratory": sample.laboratory,
        "source_file": sample.source_file,
        "source_digest": sample.source_digest,
    }


def _sample(row: Row[Any], results: tuple[LabResult, ...]) -> LabSample:
    return LabSample(
        id=row.id,
        number=row.number,
        county=row.county,
        works=row.works,
        point=row.point,
        sampled_at=row.sampled_at,
        uploaded_at=row.uploaded_at,
        uploaded_by=row.uploaded_by,
        laboratory=row.laboratory,
        source_file=row.source_file,
        results=results,
        source_digest=row.source_digest,
        status=row.status,
        version=row.version,
    )


def _result_row(sample_id: int, result: LabResult) -> dict[str, Any]:
    return {
        "sample_id": sample_id,
        "parameter": result.parameter,
        "operator": result.operator.value,
        "value_text": result.value_text,
        "value": finite_or_none(result.value),
        "detection_limit": finite_or_none(result.detection_limit),
        "unit": result.unit,
        "canonical_value": finite_or_none(result.canonical_value),
        "method": result.method,
        "analysed_at": result.analysed_at,
        "verdict": result.verdict.value,
        "limit_text": result.limit,
        "limit_id": result.limit_id,
        "clause": result.clause,
        "source_row": result.row,
        "reason": result.reason,
    }


def _result(row: Row[Any]) -> LabResult:
    return LabResult(
        parameter=row.parameter,
        operator=LabOperator(row.operator),
        value=row.value,
        detection_limit=row.detection_limit,
        unit=row.unit,
        canonical_value=row.canonical_value,
        method=row.method,
        verdict=LabVerdict(row.verdict),
        limit=row.limit_text,
        limit_id=row.limit_id,
        clause=row.clause,
        row=row.source_row,
        value_text=row.value_text,
        analysed_at=row.analysed_at,
        reason=row.reason,
    )
