"""Room for the embedded log: what is recorded already goes first, then devices are made to wait; JetStream never meets a full disk.

A full disk stops all of JetStream, not one stream, and then nobody can even purge. So the log closes before: its size is set to
what it holds, devices get no PUBACK and keep their readings, the server goes on answering. It opens again once there is room. This
stands in the process of the log's server, for the recorder may be the one that stands still.
"""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from qingquan.config import Config
from qingquan.errors import QingquanError
from qingquan.services.log_space import HELD_SHARE, reserve_now
from qingquan.store.reading_log import LogInfo, ReadingLog

__all__ = ["CLOSED", "OPENED", "PURGED", "LogGuard"]

CLOSED, OPENED, PURGED = "log_closed_for_room", "log_opened_again", "log_messages_purged_for_room"
PURGE_EVERY_S = 1.0
OPEN_AGAIN = 1.25
"""The log opens again when this multiple of the room to be kept is free."""

_log = structlog.get_logger(__name__)


class LogGuard:
    """Looks after the log of ``config`` (resolved). ``covered`` says up to where everything is recorded and judged; 0 = nothing.

    ``usage`` measures a disk, as `shutil.disk_usage` does.
    """

    def __init__(
        self,
        config: Config,
        covered: Callable[[], int],
        usage: "Callable[[Path], tuple[int, int, int]]" = shutil.disk_usage,
    ) -> None:
        self._config, self._covered, self._usage = config, covered, usage
        self._folder = config.data_path / "js"
        self._is_closed = False
        self._purge_due = 0.0

    def look(self, now_s: float | None = None) -> Mapping[str, int]:
        """Free, close or open as the disk demands; what was done, by name. Costs nothing while there is room."""
        now_s = time.monotonic() if now_s is None else now_s
        try:
            total, _, free = self._usage(self._folder)
            if not self._is_closed and self._free_share(free, total) > HELD_SHARE:
                return {}
            return asyncio.run(self._make_room(free, total, now_s))
        except (OSError, QingquanError) as error:
            _log.warning("log_room_unknown", error=str(error))
            return {}

    def _free_share(self, free: int, total: int) -> float:
        """What is free beyond the room to be kept, as a part of the disk."""
        return (free - self._config.log_keep_free_bytes) / max(total, 1)

    async def _make_room(self, free: int, total: int, now_s: float) -> Mapping[str, int]:
        kept = self._config.log_keep_free_bytes
        done: Counter[str] = Counter()
        async with await ReadingLog.connect(self._config, name="log-guard") as log:
            if free < kept and not self._is_closed:
                await log.resize(max(1, (await log.info()).bytes))
                self._is_closed = True
                done[CLOSED] += 1
                _log.error("reading_log_closed", free_bytes=free, kept_free_bytes=kept, reason="disk nearly full")
            if now_s >= self._purge_due:
                self._purge_due = now_s + PURGE_EVERY_S
                done[PURGED] += await self._purge(log, await log.info(), self._free_share(free, total))
            if self._is_closed and free >= OPEN_AGAIN * kept:
                await log.resize(self._config.log_max_bytes)
                self._is_closed = False
                done[OPENED] += 1
                _log.warning("reading_log_open_again", free_bytes=free)
        return +done

    async def _purge(self, log: ReadingLog, info: LogInfo, free_share: float) -> int:
        """Free the oldest part that everybody has covered, the reserve for replays included as far as the room is short."""
        covered = await asyncio.to_thread(self._covered)
        reserve = reserve_now(self._config.log_reserve_messages, info.bytes / self._config.log_max_bytes, free_share)
        floor = min(covered, info.last) - reserve
        if floor < info.first:
            return 0
        await log.purge_to(floor)
        _log.warning("reading_log_purged_for_room", up_to=floor, free_share=round(free_share, 3))
        return floor - info.first + 1
