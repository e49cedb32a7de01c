"""The known truth of a run: which fault struck where and when, and when the water really lost its disinfectant."""

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qingquan.clock import from_ms
from qingquan.domain.works import Works
from simulators.faults import KINDS, Fault, FaultKind

__all__ = ["COLUMNS", "LOST_BELOW_MG_L", "LOST_BELOW_MG_L_CLO2", "Truth", "TruthRow"]

# What the truth file calls lost: definitions of this file, not limits of a standard.
LOST_BELOW_MG_L = 0.05
LOST_BELOW_MG_L_CLO2 = 0.02

COLUMNS = (
    "fault_id", "kind", "county", "works", "point", "parameter", "injected_at", "ended_at", "disinfection_lost_at",
    "restored_at", "losses", "has_doser_signal", "has_stock_signal", "has_sample_flow_switch", "has_power_signal",
    "cadence_s", "upload_interval_s", "options",
)  # fmt: skip

BEIJING = timezone(timedelta(hours=8))
AFTERMATH_MS = 24 * 3_600_000  # a loss this soon after a fault that stops dosing is still that fault's


@dataclass(slots=True)
class TruthRow:
    """One fault on one works, or a loss without a fault (``kind`` = natural). Times are simulated ms since epoch.

    ``lost_at``: first step at which the true residual at the outlet was below the mark while water flowed;
    ``restored_at``: the step at which it was above again after the last of ``losses`` such spells. Both are exact to one
    step of the simulation. ``ended_at`` is ``None`` while the fault lasts.
    """

    fault_id: str
    kind: str
    works: int
    point: str
    parameter: str
    injected_at: int
    ended_at: int | None
    options: dict[str, float]
    lost_at: int | None = None
    restored_at: int | None = None
    losses: int = 0


class Truth:
    """Keeps the rows while a simulation runs, and writes them as CSV."""

    def __init__(self, works: Sequence[Works], is_chlorine_dioxide: npt.NDArray[np.bool_]) -> None:
        self._works = works
        self._mark = np.where(is_chlorine_dioxide, LOST_BELOW_MG_L_CLO2, LOST_BELOW_MG_L)
        self._has_residual = np.array([row.disinfectant.residual is not None for row in works], bool)
        self._lost = np.zeros(len(works), bool)
        self._open: dict[int, TruthRow] = {}
        self._by_works: dict[int, list[TruthRow]] = {}
        self._by_id: dict[str, TruthRow] = {}
        self._natural = 0
        self.rows: list[TruthRow] = []

    def begin(self, fault: Fault) -> None:
        """A fault struck."""
        self._add(
            TruthRow(
                fault.id, fault.kind, fault.works, fault.point, fault.parameter, fault.start_ms, None, fault.options
            )
        )

    def end(self, fault: Fault) -> None:
        """A fault is over."""
        self._by_id[fault.id].ended_at = fault.end_ms

    def observe(self, now_ms: int, outlet: npt.NDArray[np.float64], flow: npt.NDArray[np.float64]) -> None:
        """Note losses and restorations in the true state at this step. [mg/L], [m3/h]"""
        below = self._has_residual & (outlet < self._mark)
        lost = below & ((flow > 0) | self._lost)
        if np.array_equal(lost, self._lost):
            return
        for w in np.flatnonzero(lost & ~self._lost).tolist():
            self._note_loss(w, now_ms)
        for w in np.flatnonzero(self._lost & ~lost).tolist():
            self._open.pop(w).restored_at = now_ms
        self._lost = lost

    def write(self, path: Path) -> None:
        """Write all rows, replacing the file in one go."""
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(self._cells(row) for row in self.rows)
        os.replace(part, path)  # noqa: PTH105 - says "replace" plainly

    def _note_loss(self, w: int, now_ms: int) -> None:
        row = self._cause(w, now_ms)
        if row is None:
            self._natural += 1
            residual = self._works[w].disinfectant.residual or ""
            row = TruthRow(f"N{self._natural:05d}", "natural", w, "outlet", residual, now_ms, None, {})
            self._add(row)
        row.lost_at = row.lost_at or now_ms
        row.restored_at = None
        row.losses += 1
        self._open[w] = row

    def _cause(self, w: int, now_ms: int) -> TruthRow | None:
        """The latest fault on the works that stops dosing and lasts, or ended a short while ago."""
        for row in reversed(self._by_works.get(w, [])):
            stops = row.kind != "natural" and KINDS[_kind(row)].stops_dosing
            if stops and (row.ended_at is None or now_ms - row.ended_at <= AFTERMATH_MS):
                return row
        return None

    def _add(self, row: TruthRow) -> None:
        self.rows.append(row)
        self._by_id[row.fault_id] = row
        self._by_works.setdefault(row.works, []).append(row)

    def _cells(self, row: TruthRow) -> list[str]:
        works = self._works[row.works]
        measured = {code for point in works.points for code in point.parameters}
        signals = ("doser_running", "disinfectant_level", "sample_flow", "power")
        return [
            row.fault_id, row.kind, works.county, works.id, row.point, row.parameter, _text(row.injected_at),
            _text(row.ended_at), _text(row.lost_at), _text(row.restored_at), str(row.losses),
            *(str(int(code in measured)) for code in signals), str(works.cadence_s), str(works.upload_interval_s),
            " ".join(f"{name}={value:g}" for name, value in row.options.items()),
        ]  # fmt: skip


def _kind(row: TruthRow) -> FaultKind:
    return FaultKind(row.kind)


def _text(ms: int | None) -> str:
    return "" if ms is None else from_ms(ms).astimezone(BEIJING).isoformat(timespec="seconds")
