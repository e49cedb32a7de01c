"""`qingquan bench province`: a simulated day of a province, from readings to the messages people get.

Every works is simulated and judged, minute by minute; findings go through incidents, ladders, outbox and the relay with its budgets,
in the database, on the simulated clock. Prefectures of nine counties stand each for itself, with an alerter and a database of its own,
as many at a time as the machine has cores. Not in it: broker, log, decoding, and the providers, in whose place
stands a channel that takes everything at once (`bench storm` has doubles of the providers). Four of five incidents are taken on
ten minutes after somebody was told; nobody answers the fifth.
"""

import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from sqlalchemy import Engine, func, select

from alerts.apply import apply_findings, attend
from alerts.channels.base import Outcome, Verdict
from alerts.messages import AlertSettings
from alerts.outbox import Relay
from alerts.passing_on import pass_on
from alerts.policy import WECOM_ROBOT
from alerts.stand_in import needing_another_way, stand_in
from qingquan.config import Config
from qingquan.domain.findings import Finding, Severity
from qingquan.domain.incidents import IncidentState, Message, MessageState
from qingquan.domain.works import Equipment, Works
from qingquan.services.bench.machine import describe
from qingquan.services.bench.province_load import COUNTIES, COUNTY_SIZE, duty_of, faults_of, prefecture
from qingquan.services.bench.truth import LOSSES, RECOVERY_MS, START_MS, _taken
from qingquan.services.folds import Fold
from qingquan.services.rulesets import load_ruleset
from qingquan.services.silence import Silence
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.sql.delivery import stranded, unheard_rungs
from qingquan.store.sql.duty import save_persons
from qingquan.store.sql.engine import open_database, reading, upgrade, writing
from qingquan.store.sql.incidents import acknowledge
from qingquan.store.sql.register import save_works
from qingquan.store.sql.rungs import is_any_due
from qingquan.store.sql.schema import incident, outbox
from rules.engine import evaluate
from rules.plan import compile_plan
from rules.state import new_state
from simulators.faults import FaultKind
from simulators.generate import frame_of, series_keys, simulation
from simulators.simulation import Simulation

__all__ = ["run_province"]

SHARE = 0.01
ANSWERED = 0.8
ANSWER_MS = 600_000
# Between two rounds of the alerter, on the simulated clock.
ROUND_S = 5
PEOPLE = ("aliyun_sms", "aliyun_voice", "wecom_app")
GROUP = "wecom_robot"
FAR = 2**62

Key = tuple[str, str]


class _Taking:
    """A channel that takes everything at once and remembers what it took."""

    can_be_asked = False
    gives_receipts = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.reaches = "group" if name == GROUP else "person"
        self.taken: list[Message] = []

    def send(self, message: Message) -> Outcome:
        """Take one message."""
        self.taken.append(message)
        return Outcome(Verdict.DELIVERED)

    def send_fallback(self, message: Message) -> Outcome | None:  # noqa: ARG002
        """Nothing is refused."""
        return None

    def ask(self, message: Message) -> Outcome:  # noqa: ARG002
        """Nothing is uncertain."""
        return Outcome(Verdict.DELIVERED)

    def close(self) -> None:
        """Nothing to release."""


class _Desk:
    """The alerting side of a day: what is applied, climbed, sent and answered, on the simulated clock."""

    def __init__(self, engine: Engine, register: Sequence[Works], config: Config, seed: int) -> None:
        self.engine, self.seed, self.now = engine, seed, START_MS
        self.works: Mapping[Key, Works] = {(one.county, one.id): one for one in register}
        self.settings = AlertSettings.from_config(config)
        self.channels = [_Taking(name) for name in (*PEOPLE, GROUP)]
        self._relays = [
            Relay(engine, one, lambda: self.now, worker="bench", random=Random(seed))  # noqa: S311
            for one in self.channels
        ]
        self._seen: set[int] = set()

    def apply(self, findings: Sequence[Finding], now: int) -> None:
        """What the evaluator does with its findings."""
        self.now = now
        if findings:
            with writing(self.engine) as connection:
                apply_findings(connection, findings, self.works, now, self.settings)

    def minute(self) -> None:
        """What the alerter does until the next readings."""
        begin = self.now
        for second in range(0, 60, ROUND_S):
            self.now = begin + second * 1000
            if self.now >= self._earliest():
                self._round()
        self._answer()

    def _earliest(self) -> int:
        """When there is something to do at the earliest: rounds before it would find nothing."""
        waiting = outbox.c.state.in_((MessageState.QUEUED.value, MessageState.SENDING.value))
        with reading(self.engine) as connection:
            due = connection.scalar(select(func.min(outbox.c.due_at)).where(waiting))
            look = connection.scalar(select(func.min(incident.c.next_at)))
        return min((at for at in (due, look) if at is not None), default=FAR)

    def _round(self) -> None:
        with reading(self.engine) as connection:
            is_due = is_any_due(connection, self.now)
            is_stranded = bool(stranded(connection, 1) or unheard_rungs(connection, self.now, WECOM_ROBOT))
        if is_due:
            with writing(self.engine) as connection:
                attend(connection, self.works.get, self.now, self.settings)
        for relay in self._relays:
            while relay.step():
                pass
        if is_stranded:
            with writing(self.engine) as connection:
                stand_in(connection, needing_another_way(connection, self.now), self.now)
                pass_on(connection, self.now, self.settings.style)

    def _answer(self) -> None:
        with writing(self.engine) as connection:
            query = select(incident.c.id).where(
                incident.c.state == IncidentState.OPEN.value, incident.c.severity >= int(Severity.MAJOR),
                incident.c.opened_at <= self.now - ANSWER_MS, incident.c.id.not_in(self._seen),
            )  # fmt: skip
            for (number,) in connection.execute(query).all():
                told = select(func.min(outbox.c.sent_at)).where(
                    outbox.c.incident_id == number, outbox.c.channel.in_(PEOPLE)
                )
                at = connection.scalar(told)
                if at is None or at > self.now - ANSWER_MS:
                    continue
                self._seen.add(number)
                if Random(self.seed * 1_000_003 + number).random() < ANSWERED:  # noqa: S311
                    acknowledge(connection, number, "模拟管水员", self.now)


def run_province(
    config: Config, works: int = 58_400, hours: float = 24.0, seed: int = 1, say: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Simulate, judge, tell, count. All but `seconds`, `speed` and `machine` is the same for the same works, hours and seed."""
    began, size = time.monotonic(), COUNTY_SIZE * COUNTIES
    orders = [(config, n, min(size, works - n * size), hours, seed) for n in range(-(-works // size))]
    days: list[_Day] = []
    with ProcessPoolExecutor(min(len(orders), os.cpu_count() or 1), get_context("spawn")) as pool:
        for day in pool.map(_prefecture_day, orders):
            days.append(day)
            say(
                f"{len(days)} / {len(orders)}, {sum(one.readings for one in days):,} readings, {time.monotonic() - began:.0f} s"
            )
    seconds = time.monotonic() - began
    return {
        "works": works, "counties": -(-works // COUNTY_SIZE), "hours": hours, "seed": seed, "simulated_share": 1.0,
        **_figures(days, works, hours), "seconds": round(seconds, 1), "speed": round(hours * 3600 / seconds, 1),
        "machine": describe(),
    }  # fmt: skip


def _prefecture_day(order: tuple[Config, int, int, float, int]) -> "_Day":
    config, number, works, hours, seed = order
    register = prefecture(number, works, seed)
    model = simulation(register, faults_of(register, SHARE), START_MS, seed + number)
    with tempfile.TemporaryDirectory(prefix="qingquan-bench-") as folder:
        url = f"sqlite:///{Path(folder) / 'province.db'}"
        upgrade(url)
        engine = open_database(url)
        try:
            with writing(engine) as connection:
                save_works(connection, register)
                save_persons(connection, duty_of(register))
            desk = _Desk(engine, register, config, seed + number)
            readings, findings = _judged(config, register, model, desk, round(hours * 3600 / model.step_s))
            return _counted(engine, register, model, desk, readings, findings)
        finally:
            engine.dispose()


def _judged(config: Config, register: Sequence[Works], model: Simulation, desk: _Desk, steps: int) -> tuple[int, int]:
    """The day itself; how many readings and findings there were."""
    tables = load_standards()
    plan = compile_plan(register, tables.parameters, load_profiles().binding, load_ruleset(config))
    fold = Fold(0, plan, new_state(plan))
    silence = Silence(tables.parameters, config.language)
    slots = np.array([plan.slot_of[key] for key in series_keys(register)], np.int32)
    readings = findings = 0
    for _ in range(steps):
        frame = frame_of(model, model.step())
        batch = _taken(frame, config.future_tolerance_s * 1000)
        readings += len(batch)
        evaluation, fold.state = evaluate(batch, slots[batch.series], fold.state, plan, tables.parameters, frame.at_ms)
        said = [*evaluation.findings, *silence.changes(fold, frame.at_ms, desk.works)]
        findings += len(said)
        desk.apply(said, frame.at_ms)
        for _ in range(model.step_s // 60):
            desk.minute()
    return readings, findings


@dataclass(frozen=True, slots=True)
class _Day:
    """What came of a prefecture's day. Spans are (from finding to message [ms], is critical)."""

    readings: int
    findings: int
    faults: int
    incidents: int
    messages: int
    on_file: int
    criticals: list[str]
    false: list[str]
    spans: list[tuple[int, bool]]
    sent: Counter[str]
    not_sent: Counter[str]
    per_person: Counter[str]
    per_group: Counter[str]


def _counted(
    engine: Engine, register: Sequence[Works], model: Simulation, desk: _Desk, readings: int, findings: int
) -> _Day:
    with reading(engine) as connection:
        incidents = connection.execute(select(incident)).all()
        messages = connection.execute(select(outbox)).all()
    # A works without equipment is a standing fact of the register, told to its group once.
    criticals = [
        one
        for one in incidents
        if one.severity == int(Severity.CRITICAL) and not one.late and one.works
        and desk.works[one.county, one.works].equipment is not Equipment.NOT_EQUIPPED
    ]  # fmt: skip
    by_id = {one.id: one for one in incidents}
    addresses = [(one.phone, one.wecom_id) for works in register for one in works.contacts]
    addresses += [(one.phone, one.wecom_id) for one in duty_of(register)]
    # Two addresses of one person are one person.
    known = {address: pair[0] for pair in addresses for address in pair}
    return _Day(
        readings, findings, len(model.truth.rows), len(incidents), len(messages), len(set(known.values())),
        criticals=[one.cause for one in criticals],
        false=[f"{one.county}/{one.works} {one.cause}: {_struck(one, register, model)}" for one in criticals if not _is_true(one, register, model)],
        spans=[
            (one.sent_at - by_id[one.incident_id].opened_at, by_id[one.incident_id].severity == int(Severity.CRITICAL))
            for one in messages
            # What waits for the morning is not counted; a township's message waits for its count.
            if one.step == "firing" and one.sent_at is not None and one.due_at - one.created_at < ANSWER_MS
        ],
        sent=Counter({one.name: len(one.taken) for one in desk.channels}),
        not_sent=Counter(one.why for one in messages if one.state == MessageState.NOT_SENT.value),
        per_person=_counts(desk, known, PEOPLE),
        per_group=_counts(desk, {}, (GROUP,)),
    )  # fmt: skip


def _figures(days: Sequence[_Day], works: int, hours: float) -> dict[str, Any]:
    spans = [span for day in days for span in day.spans]
    false = [line for day in days for line in day.false]
    people = sum((day.per_person for day in days), Counter[str]())
    on_file = sum(day.on_file for day in days)
    return {
        **{name: sum(getattr(day, name) for day in days) for name in ("readings", "findings", "faults", "incidents", "messages")},
        "criticals": sum(len(day.criticals) for day in days),
        "criticals_by_cause": dict(Counter(cause for day in days for cause in day.criticals)),
        "false_criticals": len(false),
        "false_criticals_per_1000_works_day": round(len(false) / (works / 1000) / (hours / 24), 3),
        "false": false[:20],
        "detect_to_message_s": _seconds([ms for ms, _ in spans]),
        "detect_to_message_critical_s": _seconds([ms for ms, is_critical in spans if is_critical]),
        "sent": dict(sum((day.sent for day in days), Counter[str]())),
        "not_sent": dict(sum((day.not_sent for day in days), Counter[str]())),
        "messages_per_person_day": {
            "on_file": on_file, "told": len(people), **_spread([*people.values(), *[0] * (on_file - len(people))]),
            "of_those_told": _spread([*people.values()]),
        },
        "posts_per_group_day": _spread([*sum((day.per_group for day in days), Counter[str]()).values()]),
    }  # fmt: skip


def _is_true(row: Any, register: Sequence[Works], model: Simulation) -> bool:
    """Whether the water of that works really was as bad as said, or dosing stood, an hour of recovery allowed."""
    kinds = (FaultKind.TURBIDITY_BREAKTHROUGH,) if row.cause == "exceedance:turbidity" else LOSSES
    return any(
        one.kind in kinds
        and one.injected_at <= (row.resolved_at or FAR)
        and row.opened_at <= max(one.ended_at or FAR, one.restored_at or one.ended_at or FAR) + RECOVERY_MS
        for one in _rows_of(row, register, model)
    )


def _struck(row: Any, register: Sequence[Works], model: Simulation) -> str:
    return ", ".join(one.kind for one in _rows_of(row, register, model)) or "no fault"


def _rows_of(row: Any, register: Sequence[Works], model: Simulation) -> list[Any]:
    return [one for one in model.truth.rows if register[one.works].id == row.works]


def _seconds(spans_ms: Sequence[int]) -> dict[str, float]:
    if not spans_ms:
        return {}
    return {
        "count": len(spans_ms), "p50": round(statistics.median(spans_ms) / 1000, 1),
        "p99": round(float(np.percentile(spans_ms, 99)) / 1000, 1), "max": round(max(spans_ms) / 1000, 1),
    }  # fmt: skip


def _counts(desk: _Desk, known: Mapping[str, str], channels: Sequence[str]) -> Counter[str]:
    return Counter(
        known.get(message.receiver, message.receiver)
        for channel in desk.channels
        if channel.name in channels
        for message in channel.taken
    )


def _spread(counts: Sequence[int]) -> dict[str, float]:
    if not counts:
        return {}
    return {
        "p50": float(np.percentile(counts, 50)), "p99": round(float(np.percentile(counts, 99)), 1), "max": max(counts),
    }  # fmt: skip
