"""What the console reads of compliance; the adapter over the relational store."""

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Engine

from qingquan.store.sql.compliance import Known, count_dirty, list_compliance
from qingquan.store.sql.engine import reading
from qingquan.store.sql.statements import Page

__all__ = ["ComplianceDesk", "ComplianceQuery", "StoreCompliance"]


@dataclass(frozen=True, slots=True)
class ComplianceQuery:
    """Figures by day, or by month, in order of works, point, parameter and period. Empty = any."""

    region: str = ""
    works: str = ""
    point: str = ""
    parameter: str = ""
    month: str = ""
    by_month: bool = False
    limit: int = 100
    offset: int = 0


class ComplianceDesk(Protocol):
    """Compliance figures. Raises `StoreUnavailable` when the store does not answer."""

    def figures(self, query: ComplianceQuery) -> Page[Known]:
        """What is known now, and what was known first where that was something else."""
        ...

    def waiting(self) -> int:
        """How many days of works wait to be reckoned (again)."""
        ...


class StoreCompliance:
    """Figures out of the relational store. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def figures(self, query: ComplianceQuery) -> Page[Known]:
        """See `ComplianceDesk`."""
        with reading(self._engine) as connection:
            return list_compliance(
                connection, county=query.region, works=query.works, point=query.point, parameter=query.parameter,
                month=query.month, by_month=query.by_month, limit=query.limit, offset=query.offset,
            )  # fmt: skip

    def waiting(self) -> int:
        """See `ComplianceDesk`."""
        with reading(self._engine) as connection:
            return count_dirty(connection)
