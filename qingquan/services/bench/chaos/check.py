"""After a run: log, store, findings, incidents and messages, each held against what was sent."""

import asyncio
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from qingquan.domain.findings import Finding
from qingquan.domain.incidents import MessageState
from qingquan.domain.readings import LogMessage, SeriesCatalog
from qingquan.services.bench.chaos.grid import Found, laid_over, whole
from qingquan.services.bench.chaos.stage import Stage
from qingquan.services.bench.chaos.truth import SILENCES, Truth, cases_of, decoder_of, facts_of
from qingquan.services.bench.chaos.water import Water
from qingquan.store.ports import RecordedCounts
from qingquan.store.reading_log import ReadingLog
from qingquan.store.series.opening import open_series_store
from qingquan.store.sql.engine import reading
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.progress import counts
from qingquan.store.sql.quarantine import counts_by_reason

__all__ = ["Checked", "check", "findings_of", "firing_under_way"]

MOST = 100_000
UNDER_WAY = (MessageState.QUEUED, MessageState.SENDING)


@dataclass
class Checked:
    """What was found, and every difference in words."""

    readings: int
    lost: int
    duplicated: int
    incidents_expected: int
    incidents_found: int
    messages_duplicated: int
    details: dict[str, Any] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def check(stage: Stage, water: Water, truth: Truth) -> Checked:
    """Hold everything against the truth. The writers of the series store have been stopped."""
    sent = whole(water)
    messages = asyncio.run(_logged(stage))
    log, decoded, refused = _in_log(stage, water, messages)
    store, recorded = _in_store(stage, water)
    with reading(stage.engine) as connection:
        totals, quarantined = counts(connection), counts_by_reason(connection)
        incidents = list(list_incidents(connection, limit=MOST).items)
        outbox = list(list_messages(connection, limit=MOST).items)
    cases = cases_of(incidents)
    accepted = stage.accepted()
    twice = Counter((one["channel"], one["to"], one["out_id"] or one["text"]) for one in accepted)
    made = Checked(
        readings=water.readings,
        lost=max(log.missing, store.missing) + store.different + log.different,
        duplicated=store.repeated + store.foreign,
        incidents_expected=truth.incidents.total(),
        incidents_found=(cases & truth.incidents).total(),
        messages_duplicated=sum(count - 1 for count in twice.values()),
    )
    made.details = {
        "log": asdict(log), "store": asdict(store), "truth": asdict(sent), "log_messages": len(messages),
        "recorded": asdict(recorded), "evaluated_readings": totals.get("evaluated.readings", 0), "decoded_readings": decoded,
        "quarantined": dict(quarantined), "messages_told": len(accepted),
        "messages_by_state": dict(Counter(str(one.state) for one in outbox)),
    }  # fmt: skip
    made.faults = [
        *_differing("readings", sent, log, store),
        *_count_faults(decoded, refused, totals, recorded, quarantined),
        *_finding_faults(truth.findings, findings_of(stage)),
        *[f"incident missing: {case} x {times}" for case, times in (truth.incidents - cases).items()],
        *[f"incident nobody expected: {case} x {times}" for case, times in (cases - truth.incidents).items()],
        *[f"told {times} times: {what}" for what, times in twice.items() if times > 1],
    ]
    return made


def findings_of(stage: Stage) -> dict[str, Finding]:
    """What the database says of the water now."""
    with reading(stage.engine) as connection:
        page = list_findings(connection, limit=MOST)
    return {one.id: facts_of(one) for one in page.items if not one.withdrawn and one.kind not in SILENCES}


def firing_under_way(stage: Stage) -> int:
    """Alarms about water that wait for their channel."""
    with reading(stage.engine) as connection:
        waiting = [one for one in list_messages(connection, states=UNDER_WAY, limit=MOST).items if one.step == "firing"]
        water = {one.id for one in list_incidents(connection, limit=MOST).items if one.summary["cause"] != "silent"}
    return sum(one.incident_id in water for one in waiting)


async def _logged(stage: Stage) -> list[LogMessage]:
    async with await ReadingLog.connect(stage.config, name="bench") as log:
        last, reader = await log.last_sequence(), log.reader(1)
        messages: list[LogMessage] = []
        while last and (not messages or messages[-1].sequence < last):
            messages += await reader.fetch(20_000, 2.0)
        return messages


def _in_log(stage: Stage, water: Water, messages: list[LogMessage]) -> tuple[Found, int, Counter[str]]:
    catalog = SeriesCatalog()
    decoded = decoder_of(stage.config, water, catalog).decode(messages)
    place = {key: number for number, key in enumerate(water.keys())}
    series = np.array([place.get(key, -1) for key in catalog], np.int64)
    batch = decoded.batch
    found = laid_over(water, series[batch.series], batch.observed_at, batch.value)
    return found, len(batch), Counter(str(one.reason) for one in decoded.quarantined)


def _in_store(stage: Stage, water: Water) -> tuple[Found, RecordedCounts]:
    with closing(open_series_store(stage.recorder_config)) as store:
        rows = store.readings(water.keys(), 0, 2**60)
        recorded = store.counts()
    series = np.repeat(np.arange(len(rows.first) - 1), np.diff(rows.first))
    return laid_over(water, series, rows.observed_at, rows.value), recorded


def _differing(what: str, sent: Found, log: Found, store: Found) -> list[str]:
    faults = []
    for name, one in (("log", log), ("store", store)):
        if one.missing or one.different or one.foreign or one.checksum != sent.checksum:
            faults.append(f"{what} in the {name}: {asdict(one)}; sent: {asdict(sent)}")
    if store.repeated:
        faults.append(f"{what} in the store: {store.repeated} twice")
    return faults


def _count_faults(
    decoded: int, refused: Counter[str], totals: dict[str, int], recorded: RecordedCounts, quarantined: Any
) -> list[str]:
    faults = []
    if totals.get("evaluated.readings", 0) != decoded:
        faults.append(f"evaluated readings: {totals.get('evaluated.readings', 0)}, in the log: {decoded}")
    booked = recorded.readings + recorded.duplicates + recorded.conflicts
    if booked != decoded or recorded.conflicts:
        faults.append(f"booked by the recorder: {recorded}, in the log: {decoded}")
    if dict(quarantined) != dict(refused):
        faults.append(f"set aside: {dict(quarantined)}, in the log: {dict(refused)}")
    return faults


def _finding_faults(wanted: dict[str, Finding], found: dict[str, Finding]) -> list[str]:
    faults = [f"finding missing: {wanted[id_]}" for id_ in wanted.keys() - found.keys()]
    faults += [f"finding nobody expected: {found[id_]}" for id_ in found.keys() - wanted.keys()]
    return faults + [
        f"finding differs: {found[id_]}, wanted {wanted[id_]}"
        for id_ in wanted.keys() & found.keys()
        if found[id_] != wanted[id_]
    ]
