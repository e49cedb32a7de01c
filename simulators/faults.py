"""Kinds of faults, what each may be given, and their effect on works, instruments, clocks and links at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from simulators.works_model import Controls

__all__ = ["KINDS", "ActiveFaults", "Fault", "FaultKind", "Kind", "Option"]

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class FaultKind(StrEnum):
    """What can go wrong. The words are those of scenario and truth files."""

    DOSING_STOP = "dosing_stop"
    TANK_EMPTY = "tank_empty"
    SENSOR_FLATLINE = "sensor_flatline"
    SENSOR_OFFSET = "sensor_offset"
    NO_SAMPLE_FLOW = "no_sample_flow"
    TURBIDITY_BREAKTHROUGH = "turbidity_breakthrough"
    POWER_CUT = "power_cut"
    LINK_LOSS = "link_loss"
    WRONG_CLOCK = "wrong_clock"


@dataclass(frozen=True, slots=True)
class Option:
    """A number a kind of fault takes: default and bounds, both inclusive. The unit is in the name."""

    default: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Kind:
    """What a kind of fault needs: numbers, and whether it strikes one series (a point and a parameter)."""

    options: dict[str, Option] = field(default_factory=dict)
    strikes_series: bool = False
    needs_residual: bool = False
    stops_dosing: bool = False


KINDS: dict[FaultKind, Kind] = {
    FaultKind.DOSING_STOP: Kind(needs_residual=True, stops_dosing=True),
    FaultKind.TANK_EMPTY: Kind(needs_residual=True, stops_dosing=True),
    FaultKind.SENSOR_FLATLINE: Kind(strikes_series=True),
    FaultKind.SENSOR_OFFSET: Kind({"offset": Option(0.4, -1000.0, 1000.0)}, strikes_series=True),
    FaultKind.NO_SAMPLE_FLOW: Kind({"decay_min": Option(30.0, 10.0, 60.0)}, needs_residual=True),
    FaultKind.TURBIDITY_BREAKTHROUGH: Kind({"peak_ntu": Option(4.0, 0.5, 90.0)}),
    FaultKind.POWER_CUT: Kind({"battery_min": Option(30.0, 0.0, 1440.0)}),
    FaultKind.LINK_LOSS: Kind(),
    FaultKind.WRONG_CLOCK: Kind({"offset_min": Option(20.0, -525_600.0, 525_600.0)}),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault on one works. Times are simulated ms since epoch; ``end_ms`` is not part of it.

    ``point`` and ``parameter`` name the series that is struck, or ``""``.
    """

    id: str
    kind: FaultKind
    works: int
    start_ms: int
    end_ms: int
    point: str = ""
    parameter: str = ""
    options: dict[str, float] = field(default_factory=dict)


class ActiveFaults:
    """Effect of the faults in force now, as arrays. Rebuilt when one begins or ends, cheap in between.

    Per works: ``controls`` for the model, ``no_sample_since`` and ``mains_off_since`` [ms, 0 = not so] with
    ``decay_min`` and ``silent_after_min``, ``clock_ms`` (added to the device's clock), ``link_down``. Per series:
    ``flat`` and ``offset``.
    """

    def __init__(self, works: int, series_of: dict[tuple[int, str, str], int], series: int) -> None:
        self._n, self._series = works, series
        self._series_of = series_of
        self._waiting: list[Fault] = []
        self.active: list[Fault] = []
        self._rebuild()

    def add(self, faults: Sequence[Fault]) -> None:
        """Plan more faults."""
        self._waiting = sorted([*self._waiting, *faults], key=lambda fault: (fault.start_ms, fault.id))

    def move_to(self, now_ms: int) -> tuple[list[Fault], list[Fault]]:
        """Begin and end what is due. Returns the faults that began and those that ended."""
        begun = [fault for fault in self._waiting if fault.start_ms <= now_ms]
        ended = [fault for fault in self.active if fault.end_ms <= now_ms]
        if begun or ended:
            self._waiting = self._waiting[len(begun) :]
            self.active = [fault for fault in self.active + begun if fault.end_ms > now_ms]
            self._rebuild()
        return begun, ended

    def _rebuild(self) -> None:
        n = self._n
        self.controls = Controls.none(n)
        self.no_sample_since = np.zeros(n, np.int64)
        self.decay_min: Floats = np.ones(n)
        self.mains_off_since = np.zeros(n, np.int64)
        self.silent_after_min: Floats = np.zeros(n)
        self.clock_ms = np.zeros(n, np.int64)
        self.link_down: Mask = np.zeros(n, bool)
        self.flat: Mask = np.zeros(self._series, bool)
        self.offset: Floats = np.zeros(self._series)
        for fault in self.active:
            self._apply(fault)

    def _apply(self, fault: Fault) -> None:
        w = fault.works
        match fault.kind:
            case FaultKind.DOSING_STOP:
                self.controls.doser_off[w] = True
            case FaultKind.TANK_EMPTY:
                self.controls.solution_out[w] = True
            case FaultKind.SENSOR_FLATLINE:
                self.flat[self._struck(fault)] = True
            case FaultKind.SENSOR_OFFSET:
                self.offset[self._struck(fault)] += fault.options["offset"]
            case FaultKind.NO_SAMPLE_FLOW:
                self.no_sample_since[w] = fault.start_ms
                self.decay_min[w] = fault.options["decay_min"]
            case FaultKind.TURBIDITY_BREAKTHROUGH:
                self.controls.filter_ntu[w] = fault.options["peak_ntu"]
            case FaultKind.POWER_CUT:
                self.controls.mains_off[w] = True
                self.mains_off_since[w] = fault.start_ms
                self.silent_after_min[w] = fault.options["battery_min"]
            case FaultKind.LINK_LOSS:
                self.link_down[w] = True
            case FaultKind.WRONG_CLOCK:
                self.clock_ms[w] += round(fault.options["offset_min"] * 60_000)

    def _struck(self, fault: Fault) -> int:
        return self._series_of[fault.works, fault.point, fault.parameter]
