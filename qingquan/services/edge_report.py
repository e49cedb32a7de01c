"""`qingquan edges`: how the province's county edges stand, and what a log server that is not ours needs for them."""

from typing import Any

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.edges import Edge, EdgeLink
from qingquan.edge_table import load_edges
from qingquan.errors import ConfigurationError
from qingquan.store.reading_log.leaf import edge_users, leaf_faults, leaf_nodes
from qingquan.store.sql.edges import load_edge_links
from qingquan.store.sql.engine import check_schema, open_database, reading

__all__ = ["edge_rows", "edge_table_lines", "is_well", "server_lines"]

_NEVER = {"zh": "从未", "en": "never"}


def edge_rows(config: Config) -> list[dict[str, Any]]:
    """A row for each edge of the table: who it is, when it was heard, what waits, why it is not taken.

    Raises
    ------
    ConfigurationError
        If no edge is set, the table is faulty, or the database's schema is not this version's.
    """
    edges = _edges(config)
    engine = open_database(config.sql_url)
    try:
        check_schema(engine)
        with reading(engine) as connection:
            links = load_edge_links(connection)
    finally:
        engine.dispose()
    return [_row(edge, links.get(edge.name, EdgeLink(edge.name, 0))) for edge in edges]


def edge_table_lines(rows: list[dict[str, Any]], language: str) -> list[str]:
    """The rows as text, one line each."""
    return [
        f"{row['name']} ({', '.join(row['counties'])}): {_said(row, language)}"
        + (f"  {row['fault']}" if row["fault"] else "")
        for row in rows
    ]


def is_well(rows: list[dict[str, Any]]) -> bool:
    """Whether every edge is heard and taken."""
    return all(row["is_heard"] and not row["fault"] for row in rows)


def server_lines(config: Config) -> list[str]:
    """Blocks for the configuration of a NATS server that others start: users of the account, and the listener."""
    _edges(config)
    if faults := leaf_faults(config):
        raise ConfigurationError(faults)
    return [
        "# into the list `users` of the account WQ",
        *edge_users(config).splitlines(),
        "# at the top level",
        *leaf_nodes(config).splitlines(),
    ]


def _edges(config: Config) -> tuple[Edge, ...]:
    edges = load_edges(config.edges_file)
    if not edges:
        raise ConfigurationError(["edges_file: no [[edge]]: name a file with the province's county edges"])
    return edges


def _row(edge: Edge, link: EdgeLink) -> dict[str, Any]:
    return {
        "name": edge.name, "counties": list(edge.counties), "alerts": edge.told_by.value,
        "is_heard": link.heard_at is not None and link.heard_at == link.checked_at,
        "heard_at": None if link.heard_at is None else from_ms(link.heard_at).isoformat(),
        "level_at": None if link.level_at is None else from_ms(link.level_at).isoformat(),
        "last_sequence": link.last_sequence, "waiting": link.waiting, "fault": link.fault,
    }  # fmt: skip


def _said(row: dict[str, Any], language: str) -> str:
    heard = row["heard_at"] or _NEVER[language]
    if language == "en":
        return f"{'heard' if row['is_heard'] else 'unheard'}, last at {heard}; {row['waiting']} messages wait there; told by {row['alerts']}"
    told = {"edge": "边缘站", "province": "省级平台"}[row["alerts"]]
    return f"{'在线' if row['is_heard'] else '失联'}，最近联系 {heard}；待上传 {row['waiting']} 条；告警由{told}通知"
