"""The evaluator's folds: one per partition of the reading log, each with its plan, state and covered sequence."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import structlog

from qingquan.domain.findings import Finding
from qingquan.domain.parameters import Parameter
from qingquan.domain.readings import ReadingBatch, SeriesCatalog, SeriesKey
from qingquan.domain.works import Works
from qingquan.services.snapshots import Snapshot, Snapshots
from qingquan.store.reading_log.partition import partition_of
from rules.engine import evaluate
from rules.forms import PerWorks
from rules.layout import UNSET
from rules.plan import Limits, Plan, compile_plan
from rules.ruleset import Ruleset
from rules.state import State, adopt, new_state, pack, tidy, unpack

__all__ = ["Fold", "Folds", "Tables"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tables:
    """What plans are compiled from besides the register."""

    parameters: Mapping[str, Parameter]
    limits: Limits
    ruleset: Ruleset


class Fold:
    """One partition."""

    def __init__(self, partition: int, plan: Plan, state: State, covered: int = 0) -> None:
        self.partition = partition
        self.plan = plan
        self.state = state
        self.covered = covered
        self.touched = np.ones(len(plan.works), np.bool_)
        """Works judged since somebody last looked and cleared it."""

    def replan(self, plan: Plan) -> None:
        """Go on with another plan; what both know keeps its memory.

        Even where the arrays mean the same, names, equipment and what is expected may have changed.
        """
        if plan.digest != self.plan.digest:
            self.state = adopt(self.plan.layout, self.state, plan)
        self._begin(plan)

    def resume(self, plan: Plan, state: State, covered: int) -> None:
        """Go on from a state of this plan."""
        self.state, self.covered = state, covered
        self._begin(plan)

    def _begin(self, plan: Plan) -> None:
        self.plan = plan
        self.touched = np.ones(len(plan.works), np.bool_)

    def is_firing(self, timer: int) -> bool:
        """Whether a timer's finding lasts."""
        return bool(self.state.timers[0][timer]["firing"] != UNSET)


class Folds:
    """Folds of all partitions, or of ``only`` one, and the way from a decoded batch to them."""

    def __init__(
        self, tables: Tables, partitions: int, catalog: SeriesCatalog, language: str, only: int | None = None
    ) -> None:
        self._tables = tables
        self._partitions = partitions
        self._catalog = catalog
        self._language = language
        self._works: list[list[Works]] = [[] for _ in range(partitions)]
        self._extra: list[set[SeriesKey]] = [set() for _ in range(partitions)]
        self._slots = np.empty(0, np.int32)
        self._fold_of = np.empty(0, np.int16)
        empty = self._compile(0)
        owned = range(partitions) if only is None else (only,)
        self.folds = [Fold(partition, empty, new_state(empty)) for partition in owned]
        self._by_partition = {fold.partition: fold for fold in self.folds}
        self.counts: dict[str, int] = {}
        self._turn = 0
        self._saved_with: dict[int, str] = {}

    def register(self, works: Iterable[Works]) -> None:
        """Judge these works from now on; state of works that stay is kept."""
        self._works = [[] for _ in range(self._partitions)]
        for one in works:
            self._works[partition_of(one.county, one.id, self._partitions)].append(one)
        for fold in self.folds:
            fold.replan(self._compile(fold.partition))
        self._number(0)

    def rerule(self, ruleset: Ruleset) -> None:
        """Judge by another ruleset from now on. Conditions that are the same keep their memory, changed ones begin anew.

        Raises
        ------
        ValueError
            If a plan cannot be made of it: then nothing has changed.
        """
        before = self._tables
        self._tables = replace(before, ruleset=ruleset)
        try:
            plans = [self._compile(fold.partition) for fold in self.folds]
        except ValueError:
            self._tables = before
            raise
        for fold, plan in zip(self.folds, plans, strict=True):
            fold.replan(plan)
        self._number(0)

    def restore(self, snapshots: Snapshots, applied: int) -> int:
        """Load snapshots; the sequence up to which *all* folds are covered.

        A snapshot that covers more than the database has applied belongs to another database: it is not used.
        """
        for fold in self.folds:
            snapshot = snapshots.load(fold.partition)
            if snapshot is None:
                continue
            if snapshot.covered > applied:
                _log.error(
                    "snapshot is ahead of the database, rebuilding from the log",
                    partition=fold.partition, covered=snapshot.covered, applied=applied,
                )  # fmt: skip
                continue
            self._load(fold, snapshot, snapshots)
        self._number(0)
        return min(fold.covered for fold in self.folds)

    def _load(self, fold: Fold, snapshot: Snapshot, snapshots: Snapshots) -> None:
        layout = snapshots.layout(snapshot.plan)
        if layout is None:
            _log.error("snapshot without its layout, rebuilding from the log", partition=fold.partition)
            return
        # Series that devices sent unasked are part of the plan the snapshot was made with.
        known = fold.plan.slot_of
        keys = PerWorks(layout, "series", layout.series_key)
        self._extra[fold.partition] |= {key for key in keys if key not in known}
        plan = self._compile(fold.partition)
        try:
            if plan.digest == snapshot.plan:
                state = unpack(snapshot.packed, plan)
            else:
                state = adopt(layout, unpack(snapshot.packed, layout), plan)
        except (ValueError, KeyError, TypeError) as error:
            _log.error("snapshot does not fit, rebuilding from the log", partition=fold.partition, why=str(error))
            fold.replan(plan)
            return
        fold.resume(plan, state, snapshot.covered)

    def pass_over(self, covered: int) -> None:
        """Up to ``covered`` nothing of these partitions is left in the log."""
        for fold in self.folds:
            fold.covered = max(fold.covered, covered)

    def go_back(self, covered: int) -> int:
        """Count nothing beyond ``covered`` as judged; the sequence up to which all folds are covered."""
        for fold in self.folds:
            fold.covered = min(fold.covered, covered)
        return min(fold.covered for fold in self.folds)

    def save(self, snapshots: Snapshots) -> None:
        """Write a snapshot of every fold."""
        self._turn = 0
        while not self.save_next(snapshots):
            pass

    def save_next(self, snapshots: Snapshots) -> bool:
        """Write the snapshot of the fold whose turn it is; whether a round is over.

        All of a province at once hold up the judging for most of a second. Each fold goes on where its own snapshot was taken.
        """
        fold = self.folds[self._turn]
        tidy(fold.state)
        snapshots.save(fold.partition, Snapshot(fold.plan.digest, fold.covered, pack(fold.state)), fold.plan.layout)
        # A plan may have changed within the round: what a snapshot was made with is kept as long as that one is the newest.
        self._saved_with[fold.partition] = fold.plan.digest
        self._turn = (self._turn + 1) % len(self.folds)
        if self._turn:
            return False
        snapshots.keep_layouts(set(self._saved_with.values()))
        return True

    def take(self, batch: ReadingBatch, covered: int, now: int) -> list[Finding]:
        """Judge a batch; findings opened, changed, closed or withdrawn. Afterwards all folds cover ``covered``."""
        if len(self._catalog) > len(self._slots):
            self._number(len(self._slots))
        findings: list[Finding] = []
        if len(batch):
            slots = self._slots[batch.series]
            owner = self._fold_of[batch.series]
            for fold in self.folds:
                rows = np.flatnonzero((owner == fold.partition) & (batch.sequence > fold.covered))
                if len(rows):
                    findings += self._judge(fold, _rows_of(batch, rows), slots[rows], now)
        for fold in self.folds:
            fold.covered = max(fold.covered, covered)
        return findings

    def _judge(self, fold: Fold, batch: ReadingBatch, slots: npt.NDArray[np.int32], now: int) -> list[Finding]:
        evaluation, fold.state = evaluate(
            batch, slots, fold.state, fold.plan, self._tables.parameters, now, self._language
        )
        fold.touched[fold.plan.works_of_series[slots[slots >= 0]]] = True
        for name, count in evaluation.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count
        return evaluation.findings

    def _number(self, first: int) -> None:
        """Bring the way from catalog numbers to slots up to date; series nobody expected join their plan first."""
        unknown: set[int] = set()
        keys = self._catalog.keys(first)
        owners = [partition_of(key.county, key.works, self._partitions) for key in keys]
        for key, owner in zip(keys, owners, strict=True):
            if key not in self._by_partition[owner].plan.slot_of:
                self._extra[owner].add(key)
                unknown.add(owner)
        for owner in unknown:
            self._by_partition[owner].replan(self._compile(owner))
        if unknown and first:
            first, keys = 0, self._catalog.keys()
            owners = [partition_of(key.county, key.works, self._partitions) for key in keys]
        fresh = [self._by_partition[owner].plan.slot_of.get(key, -1) for key, owner in zip(keys, owners, strict=True)]
        self._slots = np.concatenate([self._slots[:first], np.array(fresh, np.int32)])
        self._fold_of = np.concatenate([self._fold_of[:first], np.array(owners, np.int16)])

    def _compile(self, partition: int) -> Plan:
        return compile_plan(
            self._works[partition], self._tables.parameters, self._tables.limits, self._tables.ruleset,
            sorted(self._extra[partition]),
        )  # fmt: skip


def _rows_of(batch: ReadingBatch, rows: npt.NDArray[np.int64]) -> ReadingBatch:
    return ReadingBatch(
        batch.series[rows], batch.observed_at[rows], batch.value[rows], batch.flag[rows], batch.sequence[rows],
        batch.received_at[rows],
    )  # fmt: skip
