"""Where each works stands, for pages and API: rows of those works whose standing has changed."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from qingquan.domain.findings import DisinfectionState, Finding
from qingquan.domain.readings import SeriesKey
from qingquan.domain.state import WorksState
from qingquan.domain.works import Disinfectant, Equipment, PointKind, Works
from qingquan.services.folds import Fold
from rules.engine import UNIT_STATES
from rules.forms import Layout
from rules.layout import LOCAL_BITS, NEVER
from rules.plan import Plan

__all__ = ["MOST_AT_ONCE", "Standing"]

MOST_AT_ONCE = 256
"""Works of one partition written in one call. After an outage a province's works all change at once: their rows must not hold
up the judging, nor keep the database from others."""


class Standing:
    """Remembers what was last written, so that only changes are."""

    def __init__(self) -> None:
        # A hash each, by partition and number of the works, 0 where nothing was written: the states themselves would be the
        # largest thing an evaluator keeps.
        self._written: dict[int, tuple[Layout, npt.NDArray[np.int64]]] = {}
        self._quiet: dict[int, frozenset[SeriesKey]] = {}
        self._turn: dict[int, int] = {}
        self._aged: dict[int, tuple[Plan, npt.NDArray[np.int64], npt.NDArray[np.bool_]]] = {}

    def changed(self, fold: Fold, now: int, silent: Mapping[SeriesKey, Finding]) -> list[WorksState]:
        """States of the works judged, silent, heard again or gone stale since the last call, as far as they differ."""
        quiet = frozenset(silent)
        touched = fold.touched.copy()
        fold.touched[:] = False
        for key in quiet ^ self._quiet.get(fold.partition, frozenset()):
            number = fold.plan.works_number.get((key.county, key.works))
            if number is not None:
                touched[number] = True
        self._quiet[fold.partition] = quiet
        touched |= self._newly_aged(fold, now)
        numbers = self._first_of(fold, np.flatnonzero(touched))
        by_works: dict[tuple[str, str], list[Finding]] = {}
        for finding in silent.values():
            by_works.setdefault((finding.county, finding.works), []).append(finding)
        fresh = []
        written = self._written_of(fold)
        for number, state in _states(fold, numbers, now, by_works):
            told = _hash(state) or 1
            if written[number] != told:
                written[number] = told
                fresh.append(state)
        return fresh

    def _written_of(self, fold: Fold) -> npt.NDArray[np.int64]:
        """What was written of each works of the plan; of another plan's, what this one has as well."""
        layout = fold.plan.layout
        before, written = self._written.get(fold.partition, (None, np.zeros(0, np.int64)))
        if before is not layout:
            was, written = written, np.zeros(len(layout.works), np.int64)
            numbers = {} if before is None else before.works_number
            for number, name in enumerate(layout.works):
                if name in numbers:
                    written[number] = was[numbers[name]]
            self._written[fold.partition] = layout, written
        return written

    def _first_of(self, fold: Fold, numbers: npt.NDArray[np.int64]) -> list[int]:
        """As many as fit into one call: works with findings first, then the others by turns; the rest stays touched."""
        if len(numbers) <= MOST_AT_ONCE:
            return [int(number) for number in numbers]
        after = np.searchsorted(numbers, self._turn.get(fold.partition, 0))
        turns = [int(number) for number in np.roll(numbers, -after)]
        spoken_of = fold.state.said.keys()
        chosen = sorted(turns, key=lambda number: number not in spoken_of)[:MOST_AT_ONCE]
        self._turn[fold.partition] = chosen[-1] + 1
        fold.touched[numbers] = True
        fold.touched[chosen] = False
        return chosen

    def _newly_aged(self, fold: Fold, now: int) -> npt.NDArray[np.bool_]:
        """Works whose newest reading has become too old, or is fresh again, since the last call."""
        plan, after, before = self._aged.get(fold.partition, (None, None, None))
        if plan is not fold.plan or after is None:
            after, before = np.array([works.stale_after_s * 1000 for works in fold.plan.works], np.int64), None
        aged = now - (fold.state.works["newest"] >> LOCAL_BITS) > after
        self._aged[fold.partition] = (fold.plan, after, aged)
        return np.ones(len(aged), np.bool_) if before is None else aged != before


def _states(
    fold: Fold, numbers: Sequence[int], now: int, silent: Mapping[tuple[str, str], list[Finding]]
) -> list[tuple[int, WorksState]]:
    """States of works by number. Their memory is read form by form: a province's works change by the thousand a second."""
    plan, state = fold.plan, fold.state
    chosen = np.array(numbers, np.int64)
    forms = plan.works_facts["form"][chosen]
    found = []
    for form in np.unique(forms).tolist():
        mine = chosen[forms == form]
        facts, shared = plan.works_facts[mine], plan.works_forms[form]
        series = state.series[0][facts["series_first"][:, None] + np.arange(shared["series_count"])]
        units = state.units[0][facts["unit_first"][:, None] + np.arange(shared["unit_count"])]
        names = [f"{point}/{parameter}" for point, parameter in plan.layout.forms[form].series]
        columns = (
            mine, state.works["newest"][mine], series["last_t"], series["last_value"], units["state"], units["since"],
        )  # fmt: skip
        for number, newest, times, values, words, since in zip(*(one.tolist() for one in columns), strict=True):
            latest = {
                name: value for name, at, value in zip(names, times, values, strict=True) if at != NEVER
            }  # fmt: skip
            outlets = list(zip(words, since, strict=True))
            found.append((number, _state(fold, number, now, newest, latest, outlets, silent)))
    return found


def _state(
    fold: Fold, number: int, now: int, newest: int, latest: dict[str, float], outlets: list[tuple[int, int]],
    silent: Mapping[tuple[str, str], list[Finding]],
) -> WorksState:  # fmt: skip
    plan = fold.plan
    works = plan.works[number]
    as_of = None if newest == NEVER else newest >> LOCAL_BITS
    quiet = silent.get((works.county, works.id), [])
    is_stale = as_of is None or now - as_of > works.stale_after_s * 1000 or _is_outlet_silent(fold, number, quiet)
    disinfection, since = _disinfection(outlets, works, is_stale, as_of, now)
    severities = [
        plan.meanings[timer].severity
        for (timer, _), said in fold.state.said.get(number, {}).items()
        if said.end is None and timer >= 0
    ] + [finding.severity for finding in quiet]
    outlet = next((point.id for point in works.points if point.kind is PointKind.OUTLET), "outlet")
    residual = works.disinfectant.residual
    return WorksState(
        county=works.county, works=works.id, disinfection=disinfection, since=since, as_of=as_of, stale=is_stale,
        residual=latest.get(f"{outlet}/{residual}"), residual_parameter=residual,
        turbidity=latest.get(f"{outlet}/turbidity"), worst=max(severities, default=None),
        open_findings=len(severities), latest=latest,
    )  # fmt: skip


def _hash(state: WorksState) -> int:
    """Of what may change of a works from one call to the next."""
    return hash(
        (state.disinfection, state.since, state.as_of, state.stale, state.residual_parameter, state.worst, state.open_findings,
         *state.latest.items())
    )  # fmt: skip


def _is_outlet_silent(fold: Fold, number: int, silent: list[Finding]) -> bool:
    """Whether what shows the disinfection of an outlet (a residual, or an ultraviolet dose) has fallen silent."""
    if not silent:
        return False
    units = fold.plan.unit_points[fold.plan.units_of(number)]
    return any((one.point, one.parameter) == (key.point, key.parameter) for one in silent for key in units)


def _disinfection(
    outlets: list[tuple[int, int]], works: Works, is_stale: bool, as_of: int | None, now: int
) -> tuple[DisinfectionState, int]:
    """The one state of the works: the worst of its outlets; silence makes it unknown, but never erases a loss."""
    if works.equipment is Equipment.NOT_EQUIPPED or works.disinfectant is Disinfectant.NONE:
        return DisinfectionState.NOT_EQUIPPED, as_of or now
    found = [(UNIT_STATES[state], since) for state, since in outlets]
    if not found:
        return DisinfectionState.UNKNOWN, as_of or now
    state, since = min(found, key=lambda one: _ORDER.index(one[0]))
    if is_stale and state is not DisinfectionState.MISSING:
        return DisinfectionState.UNKNOWN, as_of or now
    return state, since if since != NEVER else (as_of or now)


_ORDER = (
    DisinfectionState.MISSING,
    DisinfectionState.HIGH,
    DisinfectionState.LOW,
    DisinfectionState.UNKNOWN,
    DisinfectionState.IDLE,
    DisinfectionState.OK,
    DisinfectionState.NOT_EQUIPPED,
)
