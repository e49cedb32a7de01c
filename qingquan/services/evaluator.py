"""The evaluator: reads the log from its own position, judges, and writes what it finds in one transaction.

Exactly once: findings, incidents, messages, counts and the sequence they cover commit together; the snapshot of the state
follows. After a crash the state resumes from the snapshot, and what the database already covers is judged again
silently, until state and database stand at the same sequence.
"""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import structlog
from sqlalchemy import Connection, Engine

from alerts.apply import AlertSettings, apply_findings
from ingest.decode import Decoder, PointDirectory
from qingquan.clock import to_ms
from qingquan.config import Config
from qingquan.domain.findings import DisinfectionState, Finding
from qingquan.domain.judgeable import NotJudged, judgeable
from qingquan.domain.readings import LogMessage, SeriesCatalog
from qingquan.domain.state import WorksState
from qingquan.domain.works import Works
from qingquan.errors import ConfigurationError, StoreUnavailable
from qingquan.services.alive import beat
from qingquan.services.compiled_loop import compile_loop_apart
from qingquan.services.first_verdict import FirstVerdicts
from qingquan.services.folds import Folds, Tables
from qingquan.services.lasting import JUDGED_KINDS, reconciled
from qingquan.services.one_log import require_one_log
from qingquan.services.ruleset_watch import RulesetWatch
from qingquan.services.scopes import EVALUATOR, Scope, WholeLog, claim_whole_log, holder_name
from qingquan.services.silence import Silence
from qingquan.services.single import ended_by_successor, sole_process
from qingquan.services.standing import Standing
from qingquan.services.unheard import Unheard
from qingquan.standards.loader import load_standards
from qingquan.standards.profiles import load_profiles
from qingquan.store.reading_log import ReadingLog
from qingquan.store.sql.engine import check_schema, open_database, reading, writing
from qingquan.store.sql.findings import get_findings
from qingquan.store.sql.findings import open_findings as stored_open
from qingquan.store.sql.progress import (
    add_counts,
)
from qingquan.store.sql.register import register_version, scan_works, works_by_key
from qingquan.store.sql.rulesets import save_ruleset_status
from qingquan.store.sql.state import save_works_states
from qingquan.tasks import unless_stopped
from rules.engine import RULE_ERRORS, open_findings
from rules.late import merge_late
from rules.reasons import sentence

__all__ = ["Evaluator", "run"]

FETCH_MESSAGES = 4096
WAIT_S = 0.1
TICK_S = 1.0
# In so many turns a tick the partitions' works are written: of a province some thousand stand otherwise than a second ago, and an
# alarm does not wait until all of them are in the database.
STATE_TURNS = 4
REGISTER_POLL_S = 3.0
REFRESH_S = 10.0
IDLE_S = 1.0
# Under load the evidence of a lasting finding is told in such steps, at rest to the last reading.
EVIDENCE_STEP_MS = 600_000
# After a start devices need a moment to reconnect; their silence until then is ours, not theirs.
SILENCE_HOLD_S = 10.0
LONGEST_PAUSE_S = 5.0
# A snapshot may take at most this share of the time.
SNAPSHOT_SHARE = 0.1
FOR_EVER_S = 1e9

T = TypeVar("T")
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Round:
    """Snapshots of all partitions under way: log sequence that the first of them covers, and how long they took so far."""

    covered: int
    took_s: float = 0.0


class Evaluator:
    """Judges what its scope says: all partitions in one process, or one partition that others may take over."""

    def __init__(self, config: Config, engine: Engine, scope: Scope | None = None) -> None:
        self._scope = scope or WholeLog(config)
        self._config = config
        self._engine = engine
        standards = load_standards()
        self._parameters = standards.parameters
        self._catalog = SeriesCatalog()
        self._decoder = Decoder(
            PointDirectory([]), self._catalog, self._parameters,
            earliest_ms=to_ms(datetime(config.earliest_accepted_year, 1, 1, tzinfo=UTC)),
            future_tolerance_ms=config.future_tolerance_s * 1000,
        )  # fmt: skip
        self._rules = RulesetWatch(config, engine, "evaluator")
        self._rules_told = self._rules.status
        self._rules_written = False
        tables = Tables(self._parameters, load_profiles().binding, self._rules.ruleset)
        self._folds = Folds(tables, config.log_partitions, self._catalog, config.language, self._scope.partition)
        self._snapshots = self._scope.snapshots
        self._silence = Silence(self._parameters, config.language)
        self._unheard = Unheard(config, engine)
        self._standing = Standing()
        self._first = FirstVerdicts(config.language)
        self._settings = AlertSettings.from_config(config)
        self._works: dict[tuple[str, str], Works] = {}
        self._version = -1
        self._is_reconciled = False
        self._applied = 0
        self._covered = 0
        self._pending: dict[str, int] = {}
        self._unjudged: list[WorksState] = []
        self._state_turn = 0
        self._newest_received = 0
        self._due = dict.fromkeys(("tick", "states", "register", "refresh", "snapshot", "idle"), 0.0)
        self._told: dict[str, Finding] = {}
        self._round: _Round | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Judge until told to stop; then finish the batch, snapshot and return."""
        self._restore()
        connecting = ReadingLog.connect(self._config, name="evaluator", wait_s=FOR_EVER_S)
        connected = await unless_stopped(connecting, stop)
        if connected is None:
            return
        async with connected as log:
            await log.check_layout()
            await self._meet(log)
            reader = log.reader(self._covered + 1, partition=self._scope.partition)
            _log.info(
                "evaluator started",
                partition=self._scope.partition,
                covered=self._covered,
                applied=self._applied,
                works=len(self._works),
            )
            started = time.monotonic()
            while not stop.is_set():
                messages = await reader.fetch(FETCH_MESSAGES, WAIT_S)
                if messages:
                    await self._take(messages)
                is_idle = not messages and reader.is_connected
                if is_idle and self._covered < self._applied and (last := await reader.caught_up()) is not None:
                    # What is missing up to there has been purged: nothing is left to judge again.
                    self._covered = max(self._covered, min(last, self._applied))
                if is_idle and self._scope.partition is not None and self._is_due("idle", IDLE_S):
                    # Messages of other partitions: without passing over them the log could never be purged.
                    self._covered = max(self._covered, await reader.caught_up() or 0)
                    self._folds.pass_over(self._covered)
                await self._housekeeping(is_idle, time.monotonic() - started > SILENCE_HOLD_S)
        await self._snapshot()

    def _restore(self) -> None:
        with reading(self._engine) as connection:
            self._applied = self._scope.applied(connection)
            self._load_register(connection)
            self._silence.restore(connection, self._scope.findings)
        self._covered = self._folds.restore(self._snapshots, self._applied)

    async def _meet(self, log: ReadingLog) -> None:
        """A log that ends before what we have judged lost its tail with the power, or is another one: go on from its end."""
        last = await log.ends_before(self._applied)
        if last is not None:
            _log.error("the reading log ends before what was judged", applied=self._applied, last=last)
            self._applied = last
            self._covered = self._folds.go_back(last)
            await self._in_transaction(lambda connection: self._scope.rewind(connection, last))
            # What is on disk covers more than the database now says, and would be thrown away.
            await self._snapshot()

    def _load_register(self, connection: Connection) -> None:
        version = register_version(connection)
        if version == self._version:
            return
        # Whom to tell is looked up when somebody is told.
        works, set_aside = judgeable(self._scope.works(scan_works(connection, for_judging=True)))
        self._version = version
        self._set_aside(set_aside)
        self._is_reconciled = False
        self._decoder.replace_directory(PointDirectory(works))
        self._folds.register(works)
        # By the plans' own names of them: a province's are not kept twice.
        self._works = {
            name: one
            for fold in self._folds.folds
            for name, one in zip(fold.plan.layout.works, fold.plan.works, strict=True)
        }
        self._first.recent.register(self._works)
        _log.info("works register loaded", works=len(works), version=version)

    def _load_rules(self, connection: Connection) -> None:
        """Go over to another ruleset without a restart; what is faulty changes nothing."""
        new = self._rules.changed(connection)
        if new is None:
            return
        try:
            self._folds.rerule(new.ruleset)
        except (ConfigurationError, ValueError) as error:
            self._rules.refuse([str(error)])
            return
        self._rules.take(new)
        # Findings of rules that are gone are taken back, those of changed ones go on under the new rule.
        self._is_reconciled = False

    async def _tell_rules(self) -> None:
        """Write down by which ruleset we judge, whenever that or a refusal changes."""
        status, told = self._rules.status, self._rules_told
        if status is told and self._rules_written:
            return
        is_refusal = bool(status.error) and status.error_at != told.error_at
        is_switch = status.digest != told.digest

        def write(connection: Connection) -> None:
            save_ruleset_status(connection, status)
            add_counts(connection, {"rulesets.refused": int(is_refusal), "rulesets.switched": int(is_switch)})

        await self._in_transaction(write)
        self._rules_told, self._rules_written = status, True

    def _set_aside(self, entries: Sequence[tuple[Works, NotJudged]]) -> None:
        """Works that cannot be judged are unknown, counted and told; they never stop the others."""
        now = self._config.clock.now_ms()
        for one, why in entries:
            _log.error("works cannot be judged", county=one.county, works=one.id, why=str(why), time_zone=one.time_zone)
            name = f"works_not_judged_{why}"
            self._pending[name] = self._pending.get(name, 0) + 1
        self._unjudged = [
            WorksState(one.county, one.id, DisinfectionState.UNKNOWN, now, None, stale=True) for one, _ in entries
        ]

    async def _take(self, messages: Sequence[LogMessage]) -> None:
        """Judge messages; silently as far as the database has already applied them."""
        split = next((n for n, message in enumerate(messages) if message.sequence > self._applied), len(messages))
        if split:
            self._judge(messages[:split])
        if split < len(messages):
            # What the database holds open lasts for these readings already: they may be the ones that end it.
            findings = self._reconciled() + self._judge(messages[split:], counted=True)
            if findings:
                await self._commit(findings)

    def _judge(self, messages: Sequence[LogMessage], *, counted: bool = False) -> list[Finding]:
        decoded = self._decoder.decode(messages)
        failed = self._folds.counts.get(RULE_ERRORS, 0)
        self._covered = messages[-1].sequence
        self._newest_received = messages[-1].received_at
        findings = self._folds.take(decoded.batch, self._covered, self._config.clock.now_ms())
        self._first.recent.take(self._catalog, decoded.batch)
        self._silence.hear(findings)
        if counted:
            failed = self._folds.counts.get(RULE_ERRORS, 0) - failed
            self._count(
                messages=decoded.messages, readings=len(decoded.batch), canaries=decoded.canaries, rule_errors=failed
            )
        return findings

    def _count(self, **increments: int) -> None:
        for name, count in increments.items():
            key = f"evaluated.{name}"
            self._pending[key] = self._pending.get(key, 0) + count

    async def _commit(self, findings: Iterable[Finding]) -> None:
        """Findings, incidents, messages, counts and sequence in one transaction; tried until the database takes it."""
        found = list(findings)
        covered = self._covered

        def write(connection: Connection) -> None:
            merged = self._merged_with_stored(connection, found)
            concerned = works_by_key(connection, {(one.county, one.works) for one in merged})
            apply_findings(
                connection, merged, concerned, self._config.clock.now_ms(), self._settings,
                verdict_of=lambda finding: self._first.of(finding, self._folds.folds),
            )  # fmt: skip
            add_counts(connection, self._pending)
            self._scope.advance(connection, covered)

        await self._in_transaction(write)
        self._applied = max(self._applied, covered)
        self._pending = {}

    async def _in_transaction(self, body: Callable[[Connection], T]) -> T:
        pause = 0.1
        while True:
            try:
                with writing(self._engine) as connection:
                    self._scope.fence(connection)
                    return body(connection)
            except StoreUnavailable as error:
                _log.warning("database does not answer, trying again", why=str(error), pause_s=round(pause, 1))
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
                pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _housekeeping(self, is_idle: bool, past_hold: bool) -> None:
        # While behind the log, "now" is the time of what we read: a backlog must not make everything look silent.
        now = self._config.clock.now_ms() if is_idle or not self._newest_received else self._newest_received
        if self._is_due("register", REGISTER_POLL_S):
            with suppress(StoreUnavailable), reading(self._engine) as connection:
                self._load_register(connection)
                self._load_rules(connection)
            await self._tell_rules()
        if self._is_due("tick", TICK_S):
            is_caught_up = self._covered >= self._applied and (is_idle or self._lag_ms() < self._allowed_lag_ms())
            beat(self._config, "evaluator", is_caught_up)
            # What the database has heard of already is judged again silently; until then the state is one of the past.
            if self._covered >= self._applied:
                judge_silence = past_hold and (is_idle or self._lag_ms() < self._allowed_lag_ms())
                await self._tick(now, judge_silence, is_idle)
        if self._covered >= self._applied and self._is_due("states", TICK_S / STATE_TURNS):
            await self._tell_states(now)
        if self._round is not None or self._is_due("snapshot", self._config.snapshot_interval_s):
            await self._snapshot_next()

    async def _snapshot(self) -> None:
        """Commit, save the state, then say how far it reaches: the log may forget what lies before."""
        await self._commit([])
        self._round = None
        self._folds.save(self._snapshots)
        await self._tell_saved(self._covered)

    async def _snapshot_next(self) -> None:
        """One part of the same: judging goes on between the parts, and what is said to be saved is what the first one covers."""
        began = time.monotonic()
        if self._round is None or self._covered > self._applied:
            await self._commit([])
        if self._round is None:
            self._round = _Round(self._covered)
        is_over = self._folds.save_next(self._snapshots)
        if is_over:
            await self._tell_saved(self._round.covered)
        self._round.took_s += time.monotonic() - began
        if is_over:
            wait_s = max(self._config.snapshot_interval_s, self._round.took_s / SNAPSHOT_SHARE)
            self._due["snapshot"] = time.monotonic() + wait_s
            self._round = None

    async def _tell_saved(self, covered: int) -> None:
        await self._scope.publish(covered)
        await self._in_transaction(lambda connection: self._scope.saved(connection, covered))

    def _lag_ms(self) -> int:
        return self._config.clock.now_ms() - self._newest_received

    def _allowed_lag_ms(self) -> int:
        return round(5000 * self._config.clock_speed)

    async def _tick(self, now: int, judge_silence: bool, is_idle: bool) -> None:
        findings = self._reconciled() + self._silence.dropped(self._folds.folds)
        unheard = self._unheard.counties() if judge_silence else frozenset()
        for fold in self._folds.folds:
            self._silence.listen(fold, now)
            if judge_silence:
                findings += self._silence.changes(fold, now, self._works, unheard)
        if is_idle or self._is_due("refresh", REFRESH_S):
            findings += self._news_of_lasting(now, 1 if is_idle else EVIDENCE_STEP_MS)
        if findings or self._pending:
            await self._commit(findings)

    async def _tell_states(self, now: int) -> None:
        """Where works stand, of those partitions whose turn it is."""
        folds = self._folds.folds[self._state_turn :: STATE_TURNS]
        self._state_turn = (self._state_turn + 1) % min(STATE_TURNS, max(1, len(self._folds.folds)))
        states = self._unjudged + [
            state for fold in folds for state in self._standing.changed(fold, now, self._silence.of(fold))
        ]
        if states:
            await self._in_transaction(lambda connection: save_works_states(connection, states))
            self._unjudged = []

    def _reconciled(self) -> list[Finding]:
        """Once after a start and after every change of the register: open findings that nobody judges any more."""
        if self._is_reconciled:
            return []
        try:
            with reading(self._engine) as connection:
                stored = self._scope.findings(stored_open(connection, JUDGED_KINDS))
        except StoreUnavailable:
            return []
        self._is_reconciled = True
        return reconciled(self._folds.folds, stored, self._config.language)

    def _news_of_lasting(self, now: int, step_ms: int) -> list[Finding]:
        """Open findings whose extreme has moved, whose evidence has aged on by ``step_ms``, or that have become live."""
        news = []
        told = {}
        for fold in self._folds.folds:
            for finding in open_findings(fold.state, fold.plan, self._parameters, now, self._config.language):
                held = self._told.get(finding.id)
                if held is None or _is_news(finding, held, step_ms):
                    news.append(finding)
                    held = finding
                told[finding.id] = held
        self._told = told
        return news

    def _merged_with_stored(self, connection: Connection, findings: list[Finding]) -> list[Finding]:
        """Late findings gather by the hour: what is stored of the same hour is merged, never overwritten."""
        late = [finding.id for finding in findings if finding.rule.endswith(":late")]
        if not late:
            return findings
        held = {finding.id: finding for finding in get_findings(connection, late)}
        return [self._merged(held[one.id], one) if one.id in held else one for one in findings]

    def _merged(self, held: Finding, new: Finding) -> Finding:
        merged = merge_late(held, new)
        reason = sentence(merged, self._parameters.get(merged.parameter), self._config.language)
        return replace(merged, reason=reason)

    def _is_due(self, name: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._due[name]:
            return False
        self._due[name] = now + every_s
        return True


def _is_news(finding: Finding, told: Finding, step_ms: int) -> bool:
    """Whether a lasting finding is to be told again."""
    if (finding.extreme, finding.late) != (told.extreme, told.late):
        return True
    return abs(finding.evidence_at - told.evidence_at) >= step_ms


def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; exit status 0.

    Raises
    ------
    ConfigurationError
        If the database's schema is not this version's, the ruleset is faulty, or another evaluator runs where partitions are
        not shared.
    """
    if config.log_sharing == "on":
        from qingquan.services.shared_evaluators import serve

        asyncio.run(serve(config))
        return 0
    with sole_process(config, EVALUATOR):
        asyncio.run(_serve(config))
    return 0


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = open_database(config.sql_url, is_urgent=True)
    check_schema(engine)
    try:
        await asyncio.to_thread(compile_loop_apart, stop.is_set)
        await unless_stopped(require_one_log(config, engine, EVALUATOR), stop)
        if stop.is_set():
            return
        with writing(engine) as connection:
            epoch = claim_whole_log(connection, EVALUATOR, holder_name())
        with ended_by_successor(EVALUATOR):
            await Evaluator(config, engine, WholeLog(config, epoch)).run(stop)
    finally:
        engine.dispose()
