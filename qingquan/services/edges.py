"""The province's end of its county edges: takes their readings into the log, and notes every few seconds how each stands.

An edge that cannot be taken as the table says (other counties, a log made anew) is left out, by name, until it is mended; the others go
on. What stands in the database is what alerting, judging of silence and the watchdog go by.
"""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import structlog
from nats.aio.client import Client
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.edges import Edge, EdgeLink
from qingquan.edge_table import load_edges
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.services.alive import beat
from qingquan.store.reading_log import resolve_log_config
from qingquan.store.reading_log.connection import ApiRefused, JetStreamApi, connect
from qingquan.store.reading_log.uplink import EdgeLook, edge_filters, ensure_sources, let_go, look_at_edge
from qingquan.store.sql.edges import load_edge_links, save_edge_links
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.tasks import unless_stopped

__all__ = ["EdgeKeeper", "followed", "run"]

LOOK_EVERY_S = 2.0
FOR_EVER_S = 1e9

_log = structlog.get_logger("edges")


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; exit status 0.

    Raises
    ------
    ConfigurationError
        If no table is set or it is faulty, or the database's schema is not this version's.
    """
    edges = load_edges(config.edges_file)
    if not edges:
        raise ConfigurationError(["edges_file: no [[edge]]: this service runs at a province that has county edges"])
    asyncio.run(_serve(config, edges))
    return 0


async def _serve(config: Config, edges: Sequence[Edge]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = open_database(config.sql_url)
    check_schema(engine)
    try:
        resolved = resolve_log_config(config)
        client = await unless_stopped(connect(resolved, name="edges", wait_s=FOR_EVER_S), stop)
        if client is None:
            return
        try:
            await EdgeKeeper(config, engine, client, edges).run(stop)
        finally:
            await client.close()
    finally:
        engine.dispose()


class EdgeKeeper:
    """Looks at all edges again and again."""

    def __init__(self, config: Config, engine: Engine, client: Client, edges: Sequence[Edge]) -> None:
        self._config, self._engine, self._client, self._edges = config, engine, client, edges
        self._api = JetStreamApi(client)
        self._links: dict[str, EdgeLink] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        _log.info("edges_started", edges=[edge.name for edge in self._edges])
        while not stop.is_set():
            try:
                await self.look()
            except (BrokerLost, ApiRefused, StoreUnavailable) as error:
                _log.warning("edges_not_looked_at", why=str(error))
            beat(self._config, "edges")
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)

    async def look(self) -> list[EdgeLink]:
        """One round: ask, take or leave out, write down."""
        if not self._client.is_connected:
            # Nothing is known of the edges while the province's own log is away; that is no silence of theirs.
            raise BrokerLost("the province's log does not answer")
        if self._links is None:
            with reading(self._engine) as connection:
                self._links = load_edge_links(connection)
        looks = await asyncio.gather(*(look_at_edge(self._client, edge.name) for edge in self._edges))
        now = self._config.clock.now_ms()
        known = self._links
        links = [followed(edge, known.get(edge.name), look, now) for edge, look in zip(self._edges, looks, strict=True)]
        await ensure_sources(self._api, [edge for edge, link in zip(self._edges, links, strict=True) if not link.fault])
        held = [edge.name for edge, look in zip(self._edges, looks, strict=True) if look is not None and look.is_held]
        if held:
            await let_go(self._client, self._api, held)
        with writing(self._engine) as connection:
            save_edge_links(connection, links)
        for link in links:
            _tell(known.get(link.name), link)
        self._links = {link.name: link for link in links}
        return links


def followed(edge: Edge, held: EdgeLink | None, look: EdgeLook | None, now_ms: int) -> EdgeLink:
    """The edge's row after a look; what is known of it stays while it is unheard."""
    link = replace(held, checked_at=now_ms) if held is not None else EdgeLink(edge.name, now_ms)
    if look is None:
        return link
    log_made = link.log_made or look.log_made
    fault = _fault(edge, look, log_made)
    is_level = not fault and look.undelivered == 0
    return replace(
        link, heard_at=now_ms, level_at=now_ms if is_level else link.level_at, last_sequence=look.last_sequence,
        waiting=look.waiting, log_made=log_made, fault=fault,
    )  # fmt: skip


def _fault(edge: Edge, look: EdgeLook, log_made: str) -> str:
    if look.log_made != log_made:
        return "its log was made anew and counts from 1 again: give it a new name, in edges_file and as its log_domain"
    wanted = edge_filters(edge.counties)
    if list(look.filters) != wanted:
        sent = ", ".join(part.split(".")[3] if part.count(".") > 3 else part for part in look.filters)
        return f"it hands on counties {sent}, edges_file has {', '.join(sorted(edge.counties))}: make log_edge_counties and edges_file alike"
    return ""


def _tell(before: EdgeLink | None, link: EdgeLink) -> None:
    """What changed, once."""
    was_heard = before is not None and before.heard_at == before.checked_at
    is_heard = link.heard_at == link.checked_at
    if is_heard != was_heard or before is None:
        told = _log.info if is_heard else _log.warning
        told("edge_heard" if is_heard else "edge_unheard", edge=link.name, waiting=link.waiting)
    if link.fault and (before is None or before.fault != link.fault):
        _log.error("edge_not_taken", edge=link.name, why=link.fault)
