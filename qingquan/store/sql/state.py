"""Where each works stands right now."""

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, select

from qingquan.domain.disinfection import HAND_CHECK, HAND_MEASURED
from qingquan.domain.findings import DisinfectionState, Severity
from qingquan.domain.state import WorksDisinfection, WorksState, by_hand_evidence, with_hand_evidence
from qingquan.store.sql.columns import finite_or_none, without_missing
from qingquan.store.sql.findings import open_findings_of_rules
from qingquan.store.sql.schema import works_state as table
from qingquan.store.sql.statements import insert_or_update, region

__all__ = ["load_works_states", "save_works_states", "scan_disinfection"]

ROWS_AT_ONCE = 1000


def save_works_states(connection: Connection, states: Iterable[WorksState]) -> int:
    """Write states by works; how many rows were new or changed."""
    return insert_or_update(connection, table, [_row(state) for state in states], key=["county", "works"])


def load_works_states(connection: Connection, county: str | None = None) -> list[WorksState]:
    """States of a county, or of all counties under a shorter division code, or all; ordered by county and works.

    A works that was never evaluated has none: whoever shows it shows it as unknown. What people measured beside an instrument is
    taken into account (`with_hand_evidence`).
    """
    where = [region(table.c.county, county)] if county else []
    query = select(table).where(*where).order_by(table.c.county, table.c.works)
    by_hand = open_findings_of_rules(connection, (HAND_CHECK, HAND_MEASURED))
    return [
        with_hand_evidence(_state(row), by_hand.get((row.county, row.works), ())) for row in connection.execute(query)
    ]


def scan_disinfection(connection: Connection) -> Iterator[WorksDisinfection]:
    """How disinfection is at every works ever evaluated, one after the other, in no order; measured by hand as in `load_works_states`.

    For those who look every few seconds and need no more: of a province, whole states take a processor a third of a second.
    """
    columns = table.c.county, table.c.works, table.c.disinfection, table.c.since_at
    by_hand = open_findings_of_rules(connection, (HAND_CHECK, HAND_MEASURED))
    rows = connection.execution_options(yield_per=ROWS_AT_ONCE).execute(select(*columns))
    for county, works, text, since in rows:
        word = _DISINFECTION[text]
        measured = by_hand.get((county, works)) if by_hand else None
        if measured:
            word, since = by_hand_evidence(word, since, measured)
        yield WorksDisinfection(county, works, word, since)


# Quicker than asking the enumeration, once a row.
_DISINFECTION = {one.value: one for one in DisinfectionState}


def _row(state: WorksState) -> dict[str, Any]:
    return {
        "county": state.county,
        "works": state.works,
        "disinfection": state.disinfection.value,
        "since_at": state.since,
        "as_of_at": state.as_of,
        "stale": state.stale,
        "residual": finite_or_none(state.residual),
        "residual_parameter": state.residual_parameter,
        "turbidity": finite_or_none(state.turbidity),
        "worst": None if state.worst is None else int(state.worst),
        "open_findings": state.open_findings,
        "latest": state.latest,
    }


def _state(row: Row[Any]) -> WorksState:
    return WorksState(
        county=row.county,
        works=row.works,
        disinfection=DisinfectionState(row.disinfection),
        since=row.since_at,
        as_of=row.as_of_at,
        stale=row.stale,
        residual=row.residual,
        residual_parameter=row.residual_parameter,
        turbidity=row.turbidity,
        worst=None if row.worst is None else Severity(row.worst),
        open_findings=row.open_findings,
        latest=without_missing(row.latest),
    )
