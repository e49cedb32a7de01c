"""Of which counties the province knows less than their edge does: silence there says nothing about the works."""

from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.edges import Edge, EdgeLink
from qingquan.edge_table import load_edges
from qingquan.errors import StoreUnavailable
from qingquan.store.sql.edges import load_edge_links
from qingquan.store.sql.engine import reading

__all__ = ["LEVEL_WITHIN_S", "Unheard", "is_level"]

# A few looks may find a message on its way.
LEVEL_WITHIN_S = 20.0


class Unheard:
    """Looks at the edges' links, where there are edges."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self._clock, self._engine = config.clock, engine
        self._edges = load_edges(config.edges_file)

    def counties(self) -> frozenset[str]:
        """Codes of the counties whose edge is unheard or behind; all of them while the database does not tell."""
        if not self._edges:
            return frozenset()
        try:
            with reading(self._engine) as connection:
                links = load_edge_links(connection)
        except StoreUnavailable:
            links = {}
        now, within = self._clock.now_ms(), LEVEL_WITHIN_S * 1000 * self._clock.speed
        return frozenset(
            county for edge in self._edges if not is_level(edge, links, now, within) for county in edge.counties
        )


def is_level(edge: Edge, links: dict[str, EdgeLink], now_ms: int, within_ms: float) -> bool:
    """Whether what the province knows of the edge's counties was what the edge knew a moment ago."""
    link = links.get(edge.name)
    return link is not None and link.level_at is not None and now_ms - link.level_at <= within_ms
