"""A county that runs: model, instruments, faults and links put together, one step at a time.

A step brings the true state to its time, lets faults begin and end, reads the instruments that are due and decides
what their devices send now, what they keep for a later upload, and what nobody will ever see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from math import gcd

import numpy as np
import numpy.typing as npt

from qingquan.domain.flags import Flag
from qingquan.domain.readings import SeriesKey
from qingquan.domain.works import PointKind, Works
from simulators.casting import cast_faults
from simulators.faults import ActiveFaults, FaultKind
from simulators.instruments import INSTRUMENTS, Instruments
from simulators.scenario import Scenario
from simulators.truth import Truth
from simulators.works_model import WorksModel, draw_traits

__all__ = ["TRANSPORT_MS", "Record", "Sender", "Sending", "Simulation", "layout"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

WARM_UP_MS = 180_000  # after power returns the cells polarise: the device calls its residual suspect
TRANSPORT_MS = 400  # from the device's clock tick to the log
# What a standing cell tends to.
SETTLED_NTU = 0.03
OUTGASSED_PH = 0.3
ROOM_DEGC = 23.0

# True values an instrument can look at, one row each of the table built every step.
_CHANNELS = (
    "zero", "outlet", "network_1", "network_2", "network_3", "network_4", "cell", "total", "source_ntu", "outlet_ntu",
    "ph", "degc", "cell_ntu", "cell_ph", "cell_degc", "flow", "level_m", "stock_pct", "doser", "sample_flow", "power", "pressure", "conductivity", "orp",
)  # fmt: skip
_CHANNEL = {name: k for k, name in enumerate(_CHANNELS)}
_PLAIN = {
    "ph": "ph", "temperature": "degc", "flow": "flow", "tank_level": "level_m", "disinfectant_level": "stock_pct",
    "doser_running": "doser", "sample_flow": "sample_flow", "power": "power", "pressure": "pressure",
    "conductivity": "conductivity", "orp": "orp",
}  # fmt: skip
_IN_CELL = {"turbidity": "cell_ntu", "ph": "cell_ph", "temperature": "cell_degc"}


@dataclass(frozen=True, slots=True)
class Sender:
    """One sampling point of one device: its series are ``first`` to ``last`` (not part of it) of the layout."""

    works: int
    point: str
    parameters: tuple[str, ...]
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Record:
    """What a point measured at one time by the device's own clock, ``observed_at`` [ms]. ``flag`` are `Flag` numbers."""

    observed_at: int
    values: tuple[float, ...]
    flag: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sending:
    """What leaves the devices in one step.

    ``live``: senders that send the reading of now; ``live_at`` [ms] when each does, ``live_observed`` its own clock's time.
    ``value`` and ``flag`` hold the readings of all series; only those of live senders count. ``uploads``: sender, time, and
    records kept until now, oldest first. ``works`` order is that of time within the step.
    """

    at_ms: int
    live: Ints
    live_at: Ints
    live_observed: Ints
    value: Floats
    flag: npt.NDArray[np.uint8]
    uploads: list[tuple[int, int, list[Record]]]


class Simulation:
    """A county under a scenario. The same works, scenario, start and seed give the same run, step by step.

    Attributes: ``keys`` (series), ``senders``, ``truth``, ``model``, ``notes`` (plans that found too few works),
    ``step_s``, ``now_ms`` (time of the next step).
    """

    def __init__(self, works: Sequence[Works], scenario: Scenario, start_ms: int, seed: int) -> None:
        if not works:
            raise ValueError("a simulation needs at least one works")
        self.works = works
        self.scenario = scenario
        self.step_s = reduce(gcd, (row.cadence_s for row in works), 60)
        self.start_ms = start_ms - start_ms % (self.step_s * 1000)
        self.now_ms = self.start_ms
        self._seed = seed
        self._step = 0
        self.senders, self.keys = layout(works)
        traits = draw_traits(works, seed)
        self.model = WorksModel(traits, seed, self.start_ms, rain_factor=scenario.rain)
        self.instruments = Instruments([key.parameter for key in self.keys], seed)
        self.truth = Truth(works, traits.is_chlorine_dioxide)
        self._place_series()
        self._place_senders(np.random.default_rng([seed, 41]))
        names = {(s.works, s.point, code): s.first + k for s in self.senders for k, code in enumerate(s.parameters)}
        self.faults = ActiveFaults(len(works), names, len(self.keys))
        self.notes: list[str] = []
        self._round = 0
        self._fault_number = 1
        self._shown: Floats = np.full(len(self.keys), np.nan)
        self._mains_back_ms = np.zeros(len(works), np.int64)
        self._kept: dict[int, list[Record]] = {}
        self._was_down = np.zeros(len(works), bool)

    def step(self) -> Sending:
        """Advance by one step and tell what the devices send in it."""
        now = self.now_ms
        self._begin_round(now)
        begun, ended = self.faults.move_to(now)
        for fault in begun:
            self.truth.begin(fault)
        for fault in ended:
            self.truth.end(fault)
            if fault.kind is FaultKind.POWER_CUT:
                self._mains_back_ms[fault.works] = now
        self.model.step(now, self.step_s, self.faults.controls)
        self.truth.observe(now, self.model.outlet, self.model.flow)
        value, flag = self._readings(now)
        sending = self._sending(now, value, flag)
        self._step += 1
        self.now_ms += self.step_s * 1000
        return sending

    def _begin_round(self, now: int) -> None:
        repeat_ms = round(self.scenario.repeat_h * 3_600_000)
        due = self.start_ms + self._round * repeat_ms
        if now < due or (self._round > 0 and repeat_ms == 0):
            return
        faults, notes = cast_faults(
            self.scenario, self.works, due, self._seed, round_=self._round, first_number=self._fault_number
        )
        self.faults.add(faults)
        self._fault_number += len(faults)
        self._round += 1
        self.notes = notes

    def _place_series(self) -> None:
        works = np.array([s.works for s in self.senders for _ in s.parameters], np.int64)
        kinds = {(w, p.id): p.kind for w, row in enumerate(self.works) for p in row.points}
        channel = [
            _CHANNEL[_channel(self.works[s.works], kinds[s.works, s.point], code)]
            for s in self.senders
            for code in s.parameters
        ]
        self._series_works = works
        self._take = np.array(channel, np.int64) * len(self.works) + works
        self._is_residual = np.array(
            [self.works[w].disinfectant.residual == key.parameter for w, key in zip(works, self.keys, strict=True)],
            bool,
        )

    def _place_senders(self, rng: np.random.Generator) -> None:
        n, step_ms = len(self.works), self.step_s * 1000
        # A device wakes at its own second of the minute and its clock is off by up to two seconds.
        phase = rng.integers(0, step_ms, n)
        self._clock_ms = rng.integers(-2000, 2001, n)
        self.is_iso: Mask = rng.random(n) < 0.15  # devices that write the time as text, to the second
        of = np.array([s.works for s in self.senders], np.int64)
        self._sender_works = of
        self.sender_of_series = np.repeat(np.arange(len(of)), [s.last - s.first for s in self.senders])
        self._sender_phase = phase[of]
        order = np.argsort(self._sender_phase, kind="stable")
        self._in_order = order.astype(np.int64)
        every = np.array([max(1, row.cadence_s // self.step_s) for row in self.works], np.int64)
        self._every, self._every_at = every, (rng.random(n) * every).astype(np.int64)
        upload = np.array([max(1, row.upload_interval_s // self.step_s) for row in self.works], np.int64)
        self._upload, self._upload_at = upload, (rng.random(n) * upload).astype(np.int64)
        self._is_buffered = upload > every

    def _readings(self, now: int) -> tuple[Floats, npt.NDArray[np.uint8]]:
        faults = self.faults
        truth = self._true_values(now).ravel()[self._take]
        value = self.instruments.read(truth, now, self.step_s, faults.offset)
        value = np.where(faults.flat & ~np.isnan(self._shown), self._shown, value)
        self._shown = np.where(np.isnan(value), self._shown, value)
        flag = np.full(len(value), int(Flag.NOT_EVALUATED), np.uint8)
        warming = (now - self._mains_back_ms < WARM_UP_MS)[self._series_works] & self._is_residual
        flag[warming] = int(Flag.SUSPECT)
        flag[np.isnan(value)] = int(Flag.MISSING)
        return value, flag

    def _true_values(self, now: int) -> Floats:
        """Table (channels, works) of everything an instrument can look at."""
        m, f, n = self.model, self.faults, len(self.works)
        mains_off = f.mains_off_since > 0
        # Without mains the sample pump stands too; then the water in the cell loses its disinfectant where it is.
        standing_since = np.where(f.no_sample_since > 0, f.no_sample_since, f.mains_off_since)
        decay_min = np.where(f.no_sample_since > 0, f.decay_min, 30.0)
        stood_min = np.where(standing_since > 0, (now - standing_since) / 60_000, 0.0)
        cell = m.outlet * np.clip(1 - stood_min / decay_min, 0.0, 1.0) ** 2
        # All instruments of an outlet hang on one sample line. In standing water particles sink, carbon dioxide leaves for the
        # air and the room warms or cools it; how fast depends on the cell, as does the residual's decay.
        settled = np.exp(-stood_min / decay_min)
        cell_ntu = SETTLED_NTU + (m.outlet_ntu - SETTLED_NTU) * settled
        cell_ph = m.ph + OUTGASSED_PH * -np.expm1(-stood_min / 45)
        cell_degc = ROOM_DEGC + (m.degc - ROOM_DEGC) * np.exp(-stood_min / 60)
        wetness = m.weather.wetness[m.traits.township]
        return np.stack([
            np.zeros(n), m.outlet, *m.network, cell, 1.12 * m.outlet, m.source_ntu, m.outlet_ntu,
            m.ph, m.degc, cell_ntu, cell_ph, cell_degc, m.flow, m.level * m.traits.storage_height_m, 100 * m.stock,
            m.doser.astype(float), (standing_since == 0).astype(float), (~mains_off).astype(float),
            300 - 40 * (m.flow / m.traits.mean_flow - 1), 420 - 60 * np.minimum(wetness, 2), 320 + 330 * m.outlet / (m.outlet + 0.2),
        ])  # fmt: skip

    def _sending(self, now: int, value: Floats, flag: npt.NDArray[np.uint8]) -> Sending:
        f = self.faults
        off_min = (now - f.mains_off_since) / 60_000
        silent = (f.mains_off_since > 0) & (off_min >= f.silent_after_min)
        due = ((self._step - self._every_at) % self._every == 0) & ~silent
        held = self._is_buffered | f.link_down
        of = self._sender_works[self._in_order]
        live = self._in_order[(due & ~held)[of]]
        at = now + self._sender_phase
        observed = at + (self._clock_ms + f.clock_ms)[self._sender_works]
        observed = np.where(self.is_iso[self._sender_works], observed - observed % 1000, observed)
        for s in np.flatnonzero((due & held)[self._sender_works]).tolist():
            self._keep(s, int(observed[s]), value, flag)
        can_send = ~f.link_down & ~silent
        uploading = can_send & (
            self._was_down | (self._is_buffered & ((self._step - self._upload_at) % self._upload == 0))
        )
        self._was_down = (self._was_down | f.link_down) & ~can_send
        uploads = [
            (s, int(at[s]), self._kept.pop(s)) for s in self._in_order[uploading[of]].tolist() if s in self._kept
        ]
        return Sending(now, live, at[live], observed[live], value, flag, uploads)

    def _keep(self, s: int, observed_at: int, value: Floats, flag: npt.NDArray[np.uint8]) -> None:
        sender = self.senders[s]
        span = slice(sender.first, sender.last)
        record = Record(observed_at, tuple(value[span].tolist()), tuple(flag[span].tolist()))
        self._kept.setdefault(s, []).append(record)


def layout(works: Sequence[Works]) -> tuple[list[Sender], list[SeriesKey]]:
    """Senders and series in the order of the register. Parameters that no instrument here measures are left out."""
    senders: list[Sender] = []
    keys: list[SeriesKey] = []
    for w, row in enumerate(works):
        for point in row.points:
            measured = tuple(code for code in point.parameters if code in INSTRUMENTS)
            if measured:
                senders.append(Sender(w, point.id, measured, len(keys), len(keys) + len(measured)))
                keys += [SeriesKey(row.county, row.id, point.id, code) for code in measured]
    return senders, keys


def _channel(works: Works, kind: PointKind, code: str) -> str:
    """Which true value an instrument for ``code`` at a point of this kind looks at."""
    if kind is PointKind.OUTLET and code in _IN_CELL:
        return _IN_CELL[code]
    if code in _PLAIN:
        return _PLAIN[code]
    if code == "turbidity":
        return "source_ntu" if kind is PointKind.SOURCE else "outlet_ntu"
    if code == works.disinfectant.residual:
        return {
            PointKind.SOURCE: "zero",
            PointKind.TREATMENT: "outlet",
            PointKind.OUTLET: "cell",
            PointKind.NETWORK: "network_2",
            PointKind.NETWORK_END: "network_4",
        }[kind]
    return "total" if code == "total_chlorine" and works.disinfectant.residual == "free_chlorine" else "zero"
