"""`qingquan bench upload`: hundreds of gateways come back after hours without a link and upload everything at once, while others live on.

Real log, evaluator, recorder, compliance worker, alerter and gateway double. The works' clocks show the small hours, so that most of what
comes late belongs to a day whose figures are out already. Some of it was bad water: that is told as history, not as an alarm; alarms
of the present, timed into the middle of it all, must come through.
"""

import asyncio
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from sqlalchemy import select

from qingquan.clock import from_ms
from qingquan.config import Config
from qingquan.domain.findings import FindingKind
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import Works
from qingquan.errors import StoreUnavailable
from qingquan.services.bench.alarms import OutboxWatch, told
from qingquan.services.bench.latency import SET_UP_S, completing, leading_up, wait_until
from qingquan.services.bench.load import PARAMETERS, STEP_MS, Load
from qingquan.services.bench.machine import describe
from qingquan.services.bench.sender import Order, Timed, sending
from qingquan.services.bench.system import READERS, MeasuredSystem, TooSlow, measured_system
from qingquan.services.compliance_days import day_span
from qingquan.services.gateway_double import demonstration_settings
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.compliance import versions_of
from qingquan.store.sql.engine import reading
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.schema import incident, outbox
from qingquan.testing.ports import free_port

__all__ = ["run_upload"]

BESIDE = ("gateway-double", "alerter", "compliance")
SMALL_HOUR = 2
TOGETHER = 60
AT_S = 5.0
# One message in so many is sent twice, as after an acknowledgement that was lost.
AGAIN_EVERY = 10
# One gateway in so many had bad water for an hour while it was away.
BAD_EVERY = 10
WAIT_S = 300.0
LOOK_S = 0.05
MOST = 1_000_000


def run_upload(
    config: Config, gateways: int = 300, hours: float = 6.0, works: int = 660, live_per_s: int = 1000, seconds: float = 30.0,
    alarms: int = 10, say: Callable[[str], None] = lambda _: None, folder: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Measure. ``live_per_s`` readings/s are live for ``seconds``; the upload begins after `AT_S` of them.

    Keys: `uploaded, stored, duplicated, live_delay_p50_s, live_delay_p99_s, live_delay_max_s, messages_for_the_past,
    compliance_recomputed, seconds`, and what explains them. The delay is from the device's sending until judged and recorded.
    """
    with tempfile.TemporaryDirectory(prefix="qingquan-bench-", dir=folder) as name:
        register = _register(config, works + alarms)
        away, struck = register[:gateways], [told(one) for one in register[works:]]
        register = [*away, *register[gateways:works], *struck]
        settings = replace(demonstration_settings(config, free_port()), restart_hold_s=0.0)
        with (
            measured_system(Path(name) / "data", register, settings, say, (*READERS, *BESIDE)) as system,
            sending(system.config) as sender,
        ):
            upload = _Upload.made(away, hours, config.clock.now_ms())
            say(
                f"{gateways} gateways, {hours:g} h, {upload.readings} readings; compliance of {upload.day} is reckoned first"
            )
            _wait(lambda: _reckoned(system, upload, 0) == gateways, "the day's first figures", system)
            began_ms = config.clock.now_ms()
            rate = live_per_s / len(PARAMETERS)
            sender.prepare(Order(works, began_ms, STEP_MS, 0, 1, rate=1e6))
            sender.go(tuple(leading_up(struck, began_ms, seconds, config)))
            warm = sender.result(WAIT_S)
            say("实时数据与补传 live data, and the upload")
            rounds = max(1, -(-round(rate * seconds) // works))
            timed = sorted((*upload.messages, *completing(struck, began_ms, seconds)), key=lambda one: one.after_s)
            sender.prepare(Order(works, began_ms, STEP_MS, 1, rounds, rate=rate))
            first = system.last_sequence()
            wait_until(began_ms / 1000 + SET_UP_S)
            with (
                _Watch(system) as watch,
                OutboxWatch(system.engine, {one.id for one in struck}, LOOK_S) as alarmed,
            ):
                began = time.monotonic()
                sender.go(timed)
                heard = alarmed.wait(seconds + WAIT_S)
                sent = sender.result(WAIT_S)
                last = first + sent.acknowledged
                watch.wait(last)
                covered_s = time.monotonic() - began
                _wait(lambda: _reckoned(system, upload, upload.of_day) == gateways, "the day reckoned again", system)
                recomputed_s = time.monotonic() - began
            return _figures(system, upload, watch, first, sent.timed_at, timed) | {
                "live_readings_per_s": live_per_s, "live_alarms": alarms, "live_alarms_told": len(heard),
                "judged_and_recorded_s": round(covered_s, 2), "recomputed_s": round(recomputed_s, 2),
                "seconds": round(time.monotonic() - began, 1), "reconnects": warm.reconnects + sent.reconnects,
                "restarts": system.restarts(), "machine": describe(),
            }  # fmt: skip


def _register(config: Config, works: int) -> list[Works]:
    """Works in a time zone where it is two in the morning."""
    hour = from_ms(config.clock.now_ms()).hour
    ahead = (SMALL_HOUR - hour + 11) % 24 - 11
    zone = f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"
    load = Load(works, 0, disturbed=0.0)
    return [replace(one, time_zone=zone) for one in load.register]


@dataclass(frozen=True, slots=True)
class _Upload:
    """What comes late: ``of_day`` readings of each series belong to ``day``, which was over."""

    works: Sequence[Works]
    messages: tuple[Timed, ...]
    readings: int
    repeated: int
    begins_ms: int
    ends_ms: int
    day: str
    of_day: int

    @classmethod
    def made(cls, works: Sequence[Works], hours: float, now_ms: int) -> "_Upload":
        minutes = round(hours * 60)
        ends = now_ms // STEP_MS * STEP_MS
        begins = ends - minutes * STEP_MS
        zone = works[0].time_zone
        day, span = _yesterday(now_ms, zone)
        times = np.arange(begins, ends, STEP_MS)
        messages = list(_messages(works, times))
        again = messages[::AGAIN_EVERY]
        repeated = sum(one.payload.count(b'"t"') for one in again) * len(PARAMETERS)
        return cls(
            works, tuple(messages + again), len(works) * minutes * len(PARAMETERS), repeated, int(begins), int(ends), day,
            int(((times >= span[0]) & (times < span[1])).sum()),
        )  # fmt: skip


def _yesterday(now_ms: int, zone: str) -> tuple[str, tuple[int, int]]:
    day = (from_ms(now_ms).astimezone(ZoneInfo(zone)) - timedelta(days=1)).date().isoformat()
    span = day_span(day, zone)
    return day, (span.start, span.end)


def _messages(works: Sequence[Works], times: npt.NDArray[np.int64]) -> Iterator[Timed]:
    chance = np.random.default_rng(5)
    for number, one in enumerate(works):
        usual = np.array((0.6, 0.4, 7.2, 17.0, 12.0)) + np.array((0.03, 0.03, 0.03, 0.2, 0.4)) * chance.standard_normal(
            (len(times), 5)
        )
        if number % BAD_EVERY == 0:
            third = len(times) // 3
            usual[third : third + 60, 0], usual[third : third + 60, 1] = 0.01, 9.0
        for first in range(0, len(times), TOGETHER):
            rows = [
                {"t": at, "v": dict(zip(PARAMETERS, np.round(row, 3).tolist(), strict=True))}
                for at, row in zip(
                    times[first : first + TOGETHER].tolist(), usual[first : first + TOGETHER], strict=True
                )
            ]
            yield Timed(AT_S, f"wq/{one.county}/{one.id}/outlet/json", json.dumps(rows, separators=(",", ":")).encode())


@dataclass
class _Watch:
    """Looks several times a second how far judging and recording are."""

    system: MeasuredSystem
    looks: list[tuple[float, int]] = field(default_factory=list)

    def __enter__(self) -> "_Watch":
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, sequence: int) -> None:
        """Until everything up to there is judged and recorded."""
        _wait(
            lambda: bool(self.looks) and self.looks[-1][1] >= sequence,
            f"judged and recorded up to {sequence}",
            self.system,
        )

    def covered_at(self, sequences: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """When each was seen to be judged and recorded [s of `time.time`]."""
        times, covered = np.array(self.looks).T
        return np.asarray(times[np.minimum(np.searchsorted(covered, sequences), len(times) - 1)], np.float64)

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            with suppress(StoreUnavailable):
                covered = self.system.covered()
                self.looks.append((time.time(), min(covered.evaluated, covered.recorded)))


def _wait(condition: Callable[[], bool], what: str, system: MeasuredSystem) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise TooSlow(f"{what}: not within {WAIT_S:.0f} s; see {system.config.data_path / 'log'}")
        time.sleep(0.2)


def _reckoned(system: MeasuredSystem, upload: _Upload, received: int) -> int:
    """How many works' newest figures of the day say that so many readings of each quality parameter came."""
    done = 0
    with reading(system.engine) as connection:
        for one in upload.works:
            versions = versions_of(connection, one.county, one.id, "outlet", "turbidity", upload.day)
            done += bool(versions) and versions[-1].figures.received == received
    return done


def _figures(
    system: MeasuredSystem,
    upload: _Upload,
    watch: _Watch,
    first: int,
    timed_at: Sequence[float],
    timed: Sequence[Timed],
) -> dict[str, Any]:
    keys = [SeriesKey(one.county, one.id, "outlet", name) for one in upload.works for name in PARAMETERS]
    rows = system.store.readings(keys, upload.begins_ms, upload.ends_ms)
    series = np.repeat(np.arange(len(keys)), np.diff(rows.first))
    # Live readings of the same works are stamped to the millisecond, uploaded ones to the minute.
    uploaded = rows.observed_at % STEP_MS == 0
    pairs = Counter(zip(series[uploaded].tolist(), rows.observed_at[uploaded].tolist(), strict=True))
    sequences, sent_at = asyncio.run(_live(system, first))
    delays = watch.covered_at(sequences) - sent_at
    at = [when for when, one in zip(timed_at, timed, strict=True) if one.after_s == AT_S]
    past, late = _of_the_past(system, upload)
    counts = system.store.counts()
    return {
        "uploaded": upload.readings, "repeated": upload.repeated, "stored": len(pairs), "duplicated": sum(pairs.values()) - len(pairs),
        "duplicates_refused": counts.duplicates, "conflicts": counts.conflicts,
        "live_messages": len(sequences), "live_delay_p50_s": _percentile(delays, 50), "live_delay_p99_s": _percentile(delays, 99),
        "live_delay_max_s": _percentile(delays, 100), "messages_for_the_past": past, "late_findings": late,
        "compliance_recomputed": _reckoned(system, upload, upload.of_day), "upload_handed_over_s": round(max(at) - min(at), 2),
    }  # fmt: skip


def _percentile(values: npt.NDArray[np.float64], share: float) -> float:
    return round(float(np.percentile(values, share)), 2)


async def _live(system: MeasuredSystem, first: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Sequences of the live messages after ``first``, and when each was sent: it says so itself."""
    async with await ReadingLog.connect(system.config, name="bench") as log:
        last, reader, at = await log.last_sequence(), log.reader(first + 1), first
        found: list[tuple[int, float]] = []
        while at < last:
            messages = await reader.fetch(20_000, 2.0)
            at = messages[-1].sequence if messages else at
            found += [(one.sequence, int(one.payload[5:18]) / 1000) for one in messages if one.payload[5:6].isdigit()]
    sequences, sent = zip(*found, strict=True)
    return np.array(sequences, np.int64), np.array(sent, np.float64)


def _of_the_past(system: MeasuredSystem, upload: _Upload) -> tuple[int, int]:
    """Messages about the water of works that were away, and findings that were recorded late instead."""
    ids = {one.id for one in upload.works}
    query = select(incident.c.works, incident.c.cause).join(outbox, outbox.c.incident_id == incident.c.id)
    with reading(system.engine) as connection:
        told = [row for row in connection.execute(query) if row.works in ids and row.cause != "silent"]
        findings = list_findings(connection, limit=MOST).items
    silent = (FindingKind.STALE, FindingKind.NEVER_SEEN)
    return len(told), sum(one.late and one.works in ids and one.kind not in silent for one in findings)
