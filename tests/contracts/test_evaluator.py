"""The evaluator on a real reading log and a real database: what devices send becomes findings, incidents and messages, once."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from qingquan.config import Config
from qingquan.domain.findings import DisinfectionState, Finding, FindingKind
from qingquan.domain.incidents import Incident, IncidentState, Message
from qingquan.domain.readings import Topic
from qingquan.domain.works import Contact, Role, Works
from qingquan.services import evaluator
from qingquan.services.evaluator import Evaluator
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.findings import list_findings
from qingquan.store.sql.incidents import list_incidents
from qingquan.store.sql.outbox import list_messages
from qingquan.store.sql.progress import SNAPSHOT_PARTITION, applied_sequence, counts, set_applied_sequence
from qingquan.store.sql.register import save_works
from qingquan.store.sql.state import load_works_states
from qingquan.testing.engine import MINUTE, make_works
from qingquan.testing.servers import running_reading_log

LOW, MISSING = FindingKind.DISINFECTION_LOW, FindingKind.DISINFECTION_MISSING
CONTACTS = (Contact(Role.CARETAKER, "张三", "13800000001"), Contact(Role.MANAGER, "李四", "13900000002"))


def works(name: str = "A", *parameters: str) -> Works:
    return make_works(name, parameters or ("free_chlorine", "flow"), contacts=CONTACTS)


class Stage:
    """A log, a database, and the evaluator between them. Minutes count from now: readings carry times the log believes."""

    def __init__(self, config: Config, engine: Engine) -> None:
        self.config, self.engine = config, engine
        self.now = config.clock.now_ms()

    def register(self, *register: Works) -> None:
        with writing(self.engine) as connection:
            save_works(connection, list(register))

    async def publish(self, minutes: Iterable[int], name: str = "A", **values: float | None) -> int:
        """A message a minute; the log's last sequence."""
        last = 0
        async with await ReadingLog.connect(self.config, name="device") as log:
            for minute in minutes:
                shown = {key: value for key, value in ({"flow": 8.0} | values).items() if value is not None}
                payload = json.dumps({"t": self.now + minute * MINUTE, "v": shown}).encode()
                last = await log.publish(Topic("520425", name, "outlet", "json"), payload)
        return last

    @asynccontextmanager
    async def evaluating(self, *, killed: bool = False) -> AsyncIterator[None]:
        """While the evaluator runs; afterwards it is told to stop, or just torn away."""
        stop = asyncio.Event()
        task = asyncio.create_task(Evaluator(self.config, self.engine).run(stop))
        try:
            yield
        finally:
            if killed:
                task.cancel()
            stop.set()
            with suppress(asyncio.CancelledError):
                await task

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {[(f.kind, f.start, f.end, f.late) for f in self.findings()]}"
            await asyncio.sleep(0.05)

    async def judged(self, sequence: int) -> None:
        await self.until(lambda: self.applied() >= sequence, f"judged up to {sequence}")

    def applied(self) -> int:
        with reading(self.engine) as connection:
            return applied_sequence(connection, 0)

    def findings(self, *kinds: FindingKind) -> list[Finding]:
        with reading(self.engine) as connection:
            return list(list_findings(connection, kinds=kinds))

    def finding(self, kind: FindingKind) -> Finding:
        (only,) = self.findings(kind)
        return only

    def incidents(self) -> list[Incident]:
        with reading(self.engine) as connection:
            return list(list_incidents(connection))

    def messages(self) -> list[Message]:
        with reading(self.engine) as connection:
            return list(list_messages(connection))

    def steps(self) -> list[str]:
        return sorted({one.step for one in self.messages()})

    def counted(self) -> tuple[int, int]:
        """Messages of devices, and readings."""
        with reading(self.engine) as connection:
            totals = counts(connection)
        return totals["evaluated.messages"] - totals.get("evaluated.canaries", 0), totals["evaluated.readings"]

    def state(self, name: str = "A") -> DisinfectionState | None:
        with reading(self.engine) as connection:
            return next((one.disinfection for one in load_works_states(connection) if one.works == name), None)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    for name in ("TICK_S", "REGISTER_POLL_S", "REFRESH_S"):
        monkeypatch.setattr(evaluator, name, 0.05)
    monkeypatch.setattr(evaluator, "SILENCE_HOLD_S", 1e9)
    with running_reading_log(tmp_path) as config:
        upgrade(config.sql_url)
        engine = open_database(config.sql_url)
        yield Stage(config, engine)
        engine.dispose()


def play(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(story)


def test_a_low_residual_becomes_finding_incident_messages_and_state(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-40, 1), free_chlorine=0.2))
            await stage.until(lambda: stage.state() is DisinfectionState.LOW, "state is LOW")

    stage.register(works())
    play(story())
    low = stage.finding(LOW)
    assert (low.start, low.end, low.late, low.limit, low.extreme) == (stage.now - 40 * MINUTE, None, False, 0.3, 0.2)
    (incident,) = stage.incidents()
    assert (incident.state, incident.finding_ids, incident.late) == (IncidentState.OPEN, (low.id,), False)
    assert {one.receiver for one in stage.messages() if one.channel == "aliyun_sms"} >= {"13800000001"}
    assert stage.steps() == ["firing"]
    assert stage.counted() == (41, 82)


def test_what_begins_before_a_restart_ends_after_it_once(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-60, -19), free_chlorine=0.2))
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-19, 1), free_chlorine=0.6))
            await stage.until(lambda: stage.finding(LOW).end is not None, "LOW over")

    stage.register(works())
    play(story())
    low = stage.finding(LOW)
    assert (low.start, low.end) == (stage.now - 60 * MINUTE, stage.now - 19 * MINUTE)
    (incident,) = stage.incidents()
    assert incident.state is IncidentState.RESOLVED
    assert stage.counted() == (61, 122)


def test_what_was_applied_before_a_crash_is_neither_counted_nor_told_again(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-90, -80), free_chlorine=0.2))
        async with stage.evaluating(killed=True):
            await stage.judged(await stage.publish(range(-80, -40), free_chlorine=0.2))
            await stage.judged(await stage.publish(range(-40, -19), free_chlorine=0.6))
        before.append(stage.findings())
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-19, 1), free_chlorine=0.6))

    before: list[list[Finding]] = []
    stage.register(works())
    play(story())
    assert stage.findings() == before[0]
    (incident,) = stage.incidents()
    assert incident.state is IncidentState.RESOLVED
    assert stage.counted() == (91, 182)
    assert len({(one.step, one.channel, one.receiver) for one in stage.messages()}) == len(stage.messages())


def test_a_lost_snapshot_is_made_up_for_by_the_log(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-40, -19), free_chlorine=0.2))
        for file in (stage.config.data_path / "snapshots").iterdir():
            file.unlink()
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-19, 1), free_chlorine=0.2))
            await stage.until(lambda: stage.findings(LOW), "LOW")

    stage.register(works())
    play(story())
    assert stage.finding(LOW).start == stage.now - 40 * MINUTE
    assert stage.counted() == (41, 82)


def test_a_finding_older_than_what_is_left_of_the_log_still_ends(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            last = await stage.publish(range(-60, -29), free_chlorine=0.2)
            await stage.judged(last)
        for file in (stage.config.data_path / "snapshots").iterdir():
            file.unlink()
        async with await ReadingLog.connect(stage.config, name="purge") as log:
            await log.purge_to(last)
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-29, 1), free_chlorine=0.6))
            await stage.until(lambda: stage.finding(LOW).end is not None, "LOW over")

    stage.register(works())
    play(story())
    assert stage.finding(LOW).start == stage.now - 60 * MINUTE
    assert [one.state for one in stage.incidents()] == [IncidentState.RESOLVED]


def test_another_log_that_begins_anew_is_judged_from_its_beginning(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating(killed=True):
            await stage.until(lambda: stage.applied() < 1000, "progress taken back")
            await stage.judged(await stage.publish(range(-40, -5), free_chlorine=0.2))
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-5, 1), free_chlorine=0.2))

    stage.register(works())
    with writing(stage.engine) as connection:
        for partition in (0, SNAPSHOT_PARTITION):
            set_applied_sequence(connection, partition, 1000)
    play(story())
    assert stage.finding(LOW).start == stage.now - 40 * MINUTE
    assert stage.counted() == (41, 82)


def test_a_works_registered_while_we_run_is_judged_from_then_on(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-60, -40), "B", free_chlorine=0.2))
            stage.register(works("B"))
            await stage.until(lambda: stage.state("B") is not None, "B has a state")
            await stage.judged(await stage.publish(range(-40, 1), "B", free_chlorine=0.2))

    stage.register(works("A"))
    play(story())
    assert stage.finding(LOW).start == stage.now - 40 * MINUTE


def test_another_disinfectant_withdraws_what_the_former_one_left_open(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-40, 1), free_chlorine=0.2))
            stage.register(replace(works(), disinfectant=works().disinfectant.OZONE))
            await stage.until(lambda: stage.finding(LOW).withdrawn, "LOW withdrawn")

    stage.register(works())
    play(story())
    assert [one.state for one in stage.incidents()] == [IncidentState.RESOLVED]


def test_an_upload_after_its_window_is_recorded_and_wakes_nobody(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-20, 1), free_chlorine=0.6))
            await stage.judged(await stage.publish(range(-300, -240), free_chlorine=0.1))
            await stage.judged(await stage.publish(range(-300, -240), free_chlorine=0.25))

    stage.register(works())
    play(story())
    late = stage.findings(LOW)
    assert {one.rule for one in late} == {"disinfection-low:late"}
    assert all(one.late and one.extreme == 0.1 and "0.10mg/L" in one.reason for one in late)
    assert [(one.late, one.state) for one in stage.incidents()] == [(True, IncidentState.RESOLVED)]
    assert stage.messages() == []
    assert stage.state() is DisinfectionState.OK


def test_what_is_first_told_late_is_told_aloud_once_it_is_live(stage: Stage) -> None:
    async def story() -> None:
        async with stage.evaluating():
            await stage.judged(await stage.publish(range(-150, -60), free_chlorine=0.2))
            await stage.until(lambda: stage.findings(LOW), "LOW")
            seen.append((stage.finding(LOW).late, stage.incidents()[0].late, len(stage.messages())))
            await stage.judged(await stage.publish(range(-60, 1), free_chlorine=0.2))
            await stage.until(stage.messages, "somebody is told")

    seen: list[tuple[bool, bool, int]] = []
    stage.register(works())
    play(story())
    assert seen == [(True, True, 0)]
    assert stage.finding(LOW).late is False
    (incident,) = stage.incidents()
    assert (incident.late, incident.state) == (False, IncidentState.OPEN)
    assert stage.steps() == ["firing"]


def test_silence_is_over_with_the_next_reading_and_its_incident_watched(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        await stage.publish(range(-60, -30), free_chlorine=0.6)
        async with stage.evaluating():
            await stage.until(lambda: len(stage.findings(FindingKind.STALE)) == 2, "both series silent")
            await stage.until(lambda: stage.state() is DisinfectionState.UNKNOWN, "state unknown")
            await stage.judged(await stage.publish([0], free_chlorine=0.6))
            await stage.until(lambda: all(one.end is not None for one in stage.findings(FindingKind.STALE)), "heard")
            await stage.until(lambda: stage.state() is DisinfectionState.OK, "state OK")

    monkeypatch.setattr(evaluator, "SILENCE_HOLD_S", 0.0)
    monkeypatch.setattr("qingquan.services.silence.SETTLED_MS", 0, raising=False)
    stage.register(works())
    play(story())
    assert {(one.start, one.end) for one in stage.findings(FindingKind.STALE)} == {(stage.now - 31 * MINUTE, stage.now)}
    # Good again is not yet settled: the alerter resolves it once it has stayed so (`alerts.apply.attend`).
    assert [one.state for one in stage.incidents()] == [IncidentState.OPEN]
