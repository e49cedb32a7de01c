"""All services of a database read one reading log: one that names another is refused at its start.

Positions are sequences of a log. Two logs behind one database would take each other's positions for their own, and works would be
judged twice or not at all. A log that was made anew is another matter: then nobody reads the old one any more.
"""

import asyncio
import time
from contextlib import suppress

import structlog
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.operations import ServiceSign
from qingquan.errors import BrokerLost, ConfigurationError, StoreUnavailable
from qingquan.services.signs import SIGN_EVERY_S, own_sign, reads, tell
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import reading
from qingquan.store.sql.operations import load_signs

__all__ = ["require_one_log"]

CONNECT_S = 5.0
# A service whose last sign is older is gone; its clock may be another machine's.
GONE_S = 60.0
# Whoever is alive signs again within this time.
SIGNS_AGAIN_S = SIGN_EVERY_S + 2.0
POLL_S = 0.5

_log = structlog.get_logger(__name__)


async def require_one_log(config: Config, engine: Engine, service: str) -> None:
    """Refuse to start beside a service of the same database that reads another log; then say which one we read.

    A log out of reach is not waited for: readers do that.

    Raises
    ------
    ConfigurationError
        One line with the remedy.
    """
    try:
        async with await ReadingLog.connect(config, name=f"{service}-start", wait_s=CONNECT_S) as log:
            ours = await log.identity()
        before = {one.instance: one.seen_at for one in await _others(engine, service, ours)}
    except (BrokerLost, StoreUnavailable) as lost:
        _log.debug("log not compared", why=str(lost))
        return
    deadline, now = time.monotonic() + SIGNS_AGAIN_S, list[ServiceSign]()
    while before and time.monotonic() < deadline:
        with suppress(StoreUnavailable):
            now = await _others(engine, service, ours)
        for other in now:
            if other.seen_at > before.get(other.instance, 0):
                raise ConfigurationError([_refusal(config, other, ours)])
        await asyncio.sleep(POLL_S)
    if before:
        _log.warning("another reading log than before", log=ours, services=sorted(before))
    reads(ours)
    tell(config, service)


async def _others(engine: Engine, service: str, ours: str) -> list[ServiceSign]:
    def look() -> list[ServiceSign]:
        with reading(engine) as connection:
            return load_signs(connection)

    me, gone_ms = own_sign(service).instance, time.time_ns() // 1_000_000 - GONE_S * 1000
    return [
        one
        for one in await asyncio.to_thread(look)
        if one.log not in ("", ours) and one.instance != me and one.seen_at > gone_ms
    ]


def _refusal(config: Config, other: ServiceSign, ours: str) -> str:
    where = config.log_url or "the embedded server"
    return (
        f"log_url: {other.service} {other.instance} of the same database reads the log made {other.log}, the one at {where} was "
        f"made {ours}: name the same servers in log_url for all services of a database"
    )
