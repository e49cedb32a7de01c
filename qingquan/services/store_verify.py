"""`qingquan store verify`: reads the part of the log that is still there again and compares it with the store and the counts.

What the log says goes to a spool on disk, so memory stays bounded; the store is asked series by series. It may run beside the system:
the totals are read at one mark of the recorder, the log up to that mark, and what is recorded meanwhile is told apart by reading on.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sqlalchemy import Engine

from ingest.decode import Decoded, Decoder, PointDirectory
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.readings import LogMessage, QuarantineReason, SeriesCatalog, SeriesKey
from qingquan.errors import StoreUnavailable
from qingquan.services.store_differences import Difference, checksum, located, runs
from qingquan.standards.loader import load_standards
from qingquan.store.ports import RecordedCounts, SeriesReader
from qingquan.store.reading_log import LogInfo, ReadingLog
from qingquan.store.series.identity import canonical_bits, stretches
from qingquan.store.series.opening import open_series_reader
from qingquan.store.series.spool import ReadingSpool, Spooled, SpoolTotals
from qingquan.store.sql.engine import open_database, reading
from qingquan.store.sql.quarantine import counts_by_reason, positions_of
from qingquan.store.sql.register import scan_works

__all__ = ["Verified", "verify"]

MESSAGES_AT_ONCE = 20_000
FETCH_S = 2.0
PATIENCE_S = 60.0
READER = "all"
DAY_MS = 86_400_000
_UNREGISTERED = {QuarantineReason.UNKNOWN_WORKS, QuarantineReason.UNKNOWN_POINT}
Say = Callable[[str], None]


@dataclass(slots=True)
class Verified:
    """What was compared and what differs. ``is_whole``: the log still has its first message, so the totals must agree, too."""

    log: LogInfo
    covered: int
    is_whole: bool
    counts: RecordedCounts
    quarantined: dict[str, int]
    messages: int = 0
    refused: int = 0
    rows: SpoolTotals = field(default_factory=lambda: SpoolTotals(0, 0, 0, 0))
    series: int = 0
    logged: Counter[str] = field(default_factory=Counter)
    stored: Counter[str] = field(default_factory=Counter)
    log_checksum: int = 0
    store_checksum: int = 0
    differences: list[Difference] = field(default_factory=list)
    wrong_totals: list[str] = field(default_factory=list)
    lost_refusals: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Nothing differs."""
        return not (self.differences or self.wrong_totals or self.lost_refusals)


def verify(config: Config, say: Say = lambda _: None, store: SeriesReader | None = None) -> Verified:
    """Compare; ``store`` if it is open already. Raises `BrokerLost` or `StoreUnavailable` where log, store or database do not answer."""
    if store is None:
        with closing(open_series_reader(config)) as reader:
            return verify(config, say, reader)
    engine = open_database(config.sql_url)
    try:
        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(_Verifier(config, engine, store, say).run(Path(folder)))
    finally:
        engine.dispose()


class _Verifier:
    def __init__(self, config: Config, engine: Engine, store: SeriesReader, say: Say) -> None:
        self._engine, self._store, self._say = engine, store, say
        self._config = config
        self._catalog = SeriesCatalog()
        raw_days = config.retention_raw_days
        # Older readings may have been dropped already.
        self._kept_from = config.clock.now_ms() - raw_days * DAY_MS if raw_days else 0
        self._decoder = Decoder(
            PointDirectory([]), self._catalog, load_standards().parameters,
            earliest_ms=to_ms(datetime(config.earliest_accepted_year, 1, 1, tzinfo=UTC)),
            future_tolerance_ms=config.future_tolerance_s * 1000,
        )  # fmt: skip

    async def run(self, folder: Path) -> Verified:
        with reading(self._engine) as connection:
            self._decoder.replace_directory(PointDirectory(scan_works(connection, for_judging=True)))
            quarantined = counts_by_reason(connection)
        counts, covered = await asyncio.to_thread(self._at_one_mark)
        async with await ReadingLog.connect(self._config, name="verify") as log:
            info = await log.info()
            covered = min(covered, info.last)
            # A log that began anew has fewer messages than the store has seen.
            is_whole = info.first <= 1 and counts.messages <= covered
            found = Verified(info, covered, is_whole, counts, quarantined)
            with ReadingSpool(folder) as spool:
                self._say(f"1/3 读日志 log {info.first}–{covered}")
                await self._spool(log, found, spool)
                found.rows = spool.totals()
                self._say(f"2/3 比对时序库 store: {found.rows.rows} readings")
                extra = [one for group in spool.groups() for one in self._compared(group, spool, found)]
            found.series = len(self._catalog)
            found.is_whole &= (await log.info()).first <= 1  # it may have been purged meanwhile
            if found.is_whole:
                self._say("3/3 比对总数 totals")
                found.differences += await self._unexplained(log, covered, extra)
                found.wrong_totals = _wrong_totals(found)
        return found

    def _at_one_mark(self) -> tuple[RecordedCounts, int]:
        """Totals and the mark they belong to: asked until no append came in between."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            before = self._store.covered(READER)
            counts = self._store.counts()
            if self._store.covered(READER) == before:
                return counts, before
            if time.monotonic() > deadline:
                raise StoreUnavailable(f"store: its totals did not stand still for a moment within {PATIENCE_S:g} s")

    async def _spool(self, log: ReadingLog, found: Verified, spool: ReadingSpool) -> None:
        async for messages in _messages(log, max(found.log.first, 1), found.covered):
            decoded = self._decoder.decode(messages)
            doubtful = await asyncio.to_thread(self._doubtful, messages, decoded, found)
            batch = decoded.batch
            spool.add(batch, np.isin(batch.sequence, list(doubtful)) | (batch.observed_at < self._kept_from))
            found.messages += len(messages)
            found.refused += len(decoded.quarantined)

    def _doubtful(self, messages: Sequence[LogMessage], decoded: Decoded, found: Verified) -> set[int]:
        """Messages of which another part was set aside then than would be now: the register has changed in between."""
        with reading(self._engine) as connection:
            kept = positions_of(connection, messages[0].sequence, messages[-1].sequence)
        now = {(item.sequence, item.position): item.reason for item in decoded.quarantined}
        for (sequence, position), reason in now.items():
            if (sequence, position) not in kept and reason not in _UNREGISTERED:
                found.lost_refusals.append((sequence, position, str(reason)))
        return {sequence for sequence, _ in kept.symmetric_difference(now)}

    def _compared(self, group: Spooled, spool: ReadingSpool, found: Verified) -> list[tuple[SeriesKey, int]]:
        """Compare some series; identities of the store that the log has not, in the spans of time that it covers."""
        extra: list[tuple[SeriesKey, int]] = []
        keys = self._keys()
        for part in stretches(group.observed_at):
            chosen = np.sort(part)
            one = group.where(chosen)
            numbers = np.unique(one.series)
            held = self._store.readings(
                [keys[n] for n in numbers.tolist()], int(one.observed_at.min()), int(one.observed_at.max()) + 1
            )
            series = np.repeat(numbers, np.diff(held.first))
            place, is_there = located(one.series, one.observed_at, series, held.observed_at)
            sure = ~one.is_doubtful
            found.differences += runs("missing", keys, one.series, one.observed_at, sure & ~is_there)
            both = np.flatnonzero(is_there)
            bits, held_bits = canonical_bits(one.value[both]), canonical_bits(held.value[place[both]])
            self._count(found, keys, one, is_there)
            found.log_checksum += checksum(
                keys, one.series[sure], one.observed_at[sure], canonical_bits(one.value[sure])
            )
            agreed = np.where(self._is_explained(one, both, held.value[place[both]], spool, found), bits, held_bits)
            counted = sure[both]
            found.store_checksum += checksum(
                keys, one.series[both][counted], one.observed_at[both][counted], agreed[counted]
            )
            _, is_logged = located(series, held.observed_at, one.series, one.observed_at)
            extra += [
                (keys[n], at)
                for n, at in zip(series[~is_logged].tolist(), held.observed_at[~is_logged].tolist(), strict=True)
            ]
        return extra

    def _is_explained(
        self,
        one: Spooled,
        both: npt.NDArray[np.intp],
        held: npt.NDArray[np.float64],
        spool: ReadingSpool,
        found: Verified,
    ) -> npt.NDArray[np.bool_]:
        """Whether the value held agrees with the log; what does not is noted. Where the log no longer has its beginning, a value from
        before may be held: then those of the log must stand among the conflicts."""
        keys = self._keys()
        differs = canonical_bits(one.value[both]) != canonical_bits(held)
        wrong, lost = np.zeros(len(one.series), bool), np.zeros(len(one.series), bool)
        asked = np.flatnonzero((differs | (one.values[both] > 1)) & ~one.is_doubtful[both])
        for number in asked.tolist():
            row = int(both[number])
            series, at = int(one.series[row]), int(one.observed_at[row])
            others = self._store.conflicts(keys[series], at, at + 1).columns["value"]
            aside = set(canonical_bits(np.array(others, np.float64)).tolist())
            came = canonical_bits(np.array(spool.values(series, at))).tolist()
            bits = int(canonical_bits(held[number : number + 1])[0])
            if differs[number] and (found.is_whole or came[0] not in aside):
                wrong[row] = True
            elif not set(came) <= aside | {bits}:
                lost[row] = True
        found.differences += runs("value", keys, one.series, one.observed_at, wrong)
        found.differences += runs("conflict", keys, one.series, one.observed_at, lost)
        return ~wrong[both]

    def _count(self, found: Verified, keys: Sequence[SeriesKey], one: Spooled, is_there: npt.NDArray[np.bool_]) -> None:
        for number in np.unique(one.series).tolist():
            mine = (one.series == number) & ~one.is_doubtful
            found.logged[keys[number].parameter] += int(mine.sum())
            found.stored[keys[number].parameter] += int((mine & is_there).sum())

    async def _unexplained(
        self, log: ReadingLog, covered: int, extra: Sequence[tuple[SeriesKey, int]]
    ) -> list[Difference]:
        """What no message brought: neither those compared nor those recorded meanwhile."""
        left = set(extra)
        if left:
            async for messages in _messages(log, covered + 1, (await log.info()).last):
                batch = self._decoder.decode(messages).batch
                keys = self._keys()
                left -= {(keys[n], at) for n, at in zip(batch.series.tolist(), batch.observed_at.tolist(), strict=True)}
        keys = list(dict.fromkeys(key for key, _ in left))
        number = {key: n for n, key in enumerate(keys)}
        rows = np.array(sorted((number[key], at) for key, at in left), np.int64).reshape(-1, 2)
        return runs("extra", keys, rows[:, 0], rows[:, 1], np.ones(len(rows), bool))

    def _keys(self) -> list[SeriesKey]:
        return [self._catalog.key(number) for number in range(len(self._catalog))]


async def _messages(log: ReadingLog, first: int, last: int) -> AsyncIterator[list[LogMessage]]:
    """Messages of the log from first to last, some at a time; what is purged meanwhile is passed over."""
    reader = log.reader(first)
    reached = first - 1
    try:
        while reached < last:
            messages = [one for one in await reader.fetch(MESSAGES_AT_ONCE, FETCH_S) if one.sequence <= last]
            if messages:
                yield messages
                reached = messages[-1].sequence
            elif await reader.caught_up() is not None or (await log.info()).last < last:
                return
    finally:
        await reader.close()


def _wrong_totals(found: Verified) -> list[str]:
    """Totals that contradict the log; only where nothing is doubtful."""
    if found.rows.doubtful:
        return []
    rows = found.rows
    wanted = {
        "messages": found.messages,
        "readings": rows.identities,
        "conflicts": rows.values - rows.identities,
        "duplicates": rows.rows - rows.values,
    }
    return [
        f"{name}: {count} in the log, {getattr(found.counts, name)} in the store"
        for name, count in wanted.items()
        if getattr(found.counts, name) != count
    ]
