"""What the detector takes from the database: which points to watch, where disinfection is not OK, what marks and people say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection

from qingquan.domain.findings import DisinfectionState
from qingquan.domain.parameters import Parameter, ParameterKind
from qingquan.domain.state import WorksDisinfection
from qingquan.domain.works import Works
from qingquan.services.detector_word import detector_says
from qingquan.standards.event_floors import EventFloor, load_event_floors
from qingquan.store.sql.events import KnownEvent, list_marks, list_patterns, switches
from qingquan.store.sql.state import scan_disinfection
from rules.events.detector import SeriesFloor
from rules.events.live_plan import LivePlan, WatchedPoint

__all__ = ["LEAST_SERIES", "Advice", "WorksKey", "advice_of", "is_held", "watched"]

LEAST_SERIES = 2
"""A point with fewer quality series is not watched: nothing could bear out what one instrument says."""

OPERATIONS = ("flow", "sample_flow", "doser_running", "power")
"""Parameters whose start, or return, after a stop excuses changes (`rules.events.operations`)."""

HELD = (DisinfectionState.LOW, DisinfectionState.MISSING, DisinfectionState.HIGH)
UNKNOWN_HELD_MS = 6 * 3_600_000
"""How long an unknown state is taken for what it may hide. A doubt about a standing sample ends as MISSING after 4 h by the rules; who
stays unknown for longer lacks a working analyser, and frozen for good all its other instruments would alarm for good."""

WorksKey = tuple[str, str]


def watched(works: Iterable[Works], parameters: Mapping[str, Parameter]) -> LivePlan:
    """Points with at least `LEAST_SERIES` expected quality parameters, and the flows of their works."""
    return LivePlan(_watched(works, parameters))


def _watched(works: Iterable[Works], parameters: Mapping[str, Parameter]) -> Iterator[WatchedPoint]:
    floors = load_event_floors()
    number = 0
    # Points of a province are of few kinds: what they follow is kept once for each.
    kinds: dict[tuple[str, ...], tuple[tuple[str, ...], tuple[SeriesFloor, ...], tuple[str, ...]]] = {}
    for one in works:
        is_followed = False
        for point in one.points:
            kind = kinds.get(point.parameters)
            if kind is None:
                kind = kinds[point.parameters] = _followed(point.parameters, parameters, floors)
            quality, noise, operations = kind
            if quality or operations:
                is_followed = True
                yield WatchedPoint((one.county, one.id, point.id), number, quality, noise, operations)
        number += is_followed


def _followed(
    expected: Sequence[str], parameters: Mapping[str, Parameter], floors: Mapping[str, EventFloor]
) -> tuple[tuple[str, ...], tuple[SeriesFloor, ...], tuple[str, ...]]:
    """Quality columns with their floors, and operational parameters, of a point that is expected to send these."""
    codes = [code for code in expected if code in parameters]
    quality = tuple(code for code in codes if parameters[code].kind is ParameterKind.QUALITY)
    if len(quality) < LEAST_SERIES:
        # Its flows still say when the pump of the works starts.
        quality = ()
    noise = tuple(SeriesFloor(floors[code].floor, floors[code].relative) for code in quality)
    return quality, noise, tuple(code for code in codes if code in OPERATIONS)


@dataclass(frozen=True, slots=True)
class Advice:
    """What the database says at one time; arrays by works and points of the plan, ``disinfection`` of the works with known events."""

    held: npt.NDArray[np.bool_]
    thresholds: npt.NDArray[np.float64]
    silent: frozenset[WorksKey]
    disinfection: Mapping[WorksKey, WorksDisinfection]
    known: Mapping[WorksKey, tuple[KnownEvent, ...]]


def is_held(state: WorksDisinfection | None, now: int) -> bool:
    """Whether nothing may be learnt at a works: its water lacks, or may lack, what belongs into it.

    Without a state, equipment or water in motion there is no loss that could become normal.
    """
    if state is None:
        return False
    if state.disinfection is DisinfectionState.UNKNOWN:
        return now - state.since < UNKNOWN_HELD_MS
    return state.disinfection in HELD


def advice_of(connection: Connection, plan: LivePlan, now: int) -> Advice:
    """Read it; ``now`` [ms]."""
    marks, by_hand = list_marks(connection), switches(connection)
    says = {key: detector_says(marks.get(key, ()), by_hand.get(key)) for key in {*marks, *by_hand}}
    known: dict[WorksKey, tuple[KnownEvent, ...]] = {}
    for pattern in list_patterns(connection):
        key = (pattern.county, pattern.works)
        known[key] = (*known.get(key, ()), pattern)
    held = np.zeros(max(plan.works, 1), np.bool_)
    states: dict[WorksKey, WorksDisinfection] = {}
    # Of a province, every few seconds: each is looked at and forgotten.
    for state in scan_disinfection(connection):
        number = plan.works_number(state.county, state.works)
        if number >= 0:
            held[number] = is_held(state, now)
        if known and (state.county, state.works) in known:
            states[state.county, state.works] = state
    thresholds = np.ones(len(plan.points))
    raised = {plan.works_number(*key): threshold for key, (threshold, _) in says.items()}
    for n in np.flatnonzero(np.isin(plan.works_of, list(raised))).tolist():
        thresholds[n] = raised[int(plan.works_of[n])]
    silent = frozenset(key for key, (_, is_silent) in says.items() if is_silent)
    return Advice(held, thresholds, silent, states, known)
