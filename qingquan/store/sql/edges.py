"""How the county edges stood at the last look."""

from collections.abc import Iterable
from dataclasses import asdict

from sqlalchemy import Connection, select

from qingquan.domain.edges import EdgeLink
from qingquan.store.sql.edges_schema import edge_link
from qingquan.store.sql.statements import insert_or_update

__all__ = ["load_edge_links", "save_edge_links"]


def save_edge_links(connection: Connection, links: Iterable[EdgeLink]) -> None:
    """Put these rows in place of the earlier ones; edges that are in no table any more keep theirs."""
    insert_or_update(connection, edge_link, [asdict(link) for link in links], key=["name"])


def load_edge_links(connection: Connection) -> dict[str, EdgeLink]:
    """By the edge's name."""
    rows = connection.execute(select(edge_link)).mappings()
    return {str(row["name"]): EdgeLink(**row) for row in rows}
