"""Water on its way through the works of a county, all works at once.

Each works is a chain: source -> filter -> dosing -> contact tank -> outlet -> storage tank and network. Flow is what the
storage tank and the villages ask for; the contact tank is one fully mixed volume with first-order decay; the network is
four such volumes in a row, which gives delay and dispersion. Every volume is advanced by the exact solution over a step
of constant inflow, so that a step may be of any length and no concentration can fall below zero.

This is the truth that instruments look at. It knows no limit of any standard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qingquan.domain.works import Disinfectant, Works
from simulators.weather import Weather

__all__ = ["Controls", "Traits", "WorksModel", "demand_pattern", "draw_traits"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

LOCAL_MS = 8 * 3_600_000  # the county lives on Beijing time
STAGES = 4  # mixed volumes that stand for the network
WARM_UP_H = 36
WARM_UP_STEP_S = 600

_BASE, _PEAK = 0.55, 1.0
_PEAKS_H = ((7.2, 1.5, 1.0), (12.2, 1.3, 0.35), (18.8, 1.8, 1.1))  # hour, width, weight


@dataclass(frozen=True, slots=True)
class Traits:
    """What a works is built like, arrays of one value per works. Hidden from the monitoring system."""

    township: npt.NDArray[np.int64]
    has_residual: Mask
    is_chlorine_dioxide: Mask
    is_intermittent: Mask  # produces from 5 to 23 h only
    mean_flow: Floats  # [m3/h]
    peak_shift_h: Floats
    contact_m3: Floats
    storage_m3: Floats
    storage_height_m: Floats
    network_h: Floats  # travel time to the network end at mean flow
    source_ntu: Floats  # in dry weather
    storm_gain: Floats  # source turbidity in an ordinary storm, as a multiple of dry weather
    passing: Floats  # share of turbidity that passes the filter
    floor_ntu: Floats
    setpoint: Floats  # residual the dosing aims at [mg/L]
    demand: Floats  # disinfectant used up at once [mg/L]
    decay_per_d: Floats  # in the contact tank at 20 degC
    network_decay_per_d: Floats
    trim_per_h: Floats  # integral gain of the dosing controller; 0 = flow-paced only
    stock_days: Floats  # a full tank of disinfectant lasts so long
    water_degc: Floats
    season_degc: Floats
    day_degc: Floats
    ph: Floats


@dataclass(slots=True)
class Controls:
    """What is done to the works from outside during a step, arrays of one value per works."""

    doser_off: Mask
    solution_out: Mask
    mains_off: Mask
    filter_ntu: Floats  # turbidity that breaks through a failed filter; 0 = filter in order

    @staticmethod
    def none(works: int) -> "Controls":
        """Nothing is done."""
        return Controls(np.zeros(works, bool), np.zeros(works, bool), np.zeros(works, bool), np.zeros(works))


def draw_traits(works: Sequence[Works], seed: int) -> Traits:
    """Hidden traits of the works; the same works at the same place in the list gets the same ones for a seed."""
    names = ("shift", "contact", "storage", "height", "network", "turbidity", "gain", "passing", "setpoint", "demand",
             "decay", "network_decay", "trim", "stock", "degc", "ph", "intermittent", "floor")  # fmt: skip
    columns = np.random.default_rng([seed, 11]).random((len(works), len(names))).T
    u = dict(zip(names, columns, strict=True))
    source = np.array([row.tags.get("source", "spring") for row in works])
    spring, river = source == "spring", source == "river"
    disinfectant = [row.disinfectant for row in works]
    clo2 = np.array([d in (Disinfectant.CHLORINE_DIOXIDE, Disinfectant.MIXED_CLO2_CL2) for d in disinfectant], bool)
    townships = {name: k for k, name in enumerate(sorted({row.township for row in works}))}
    mean_flow = np.maximum([row.capacity_m3_d for row in works], 1.0) * 0.65 / 24
    return Traits(
        township=np.array([townships[row.township] for row in works], np.int64),
        has_residual=np.array([d.residual is not None for d in disinfectant], bool),
        is_chlorine_dioxide=clo2,
        is_intermittent=u["intermittent"] < 0.08,
        mean_flow=mean_flow,
        peak_shift_h=1.4 * u["shift"] - 0.7,
        contact_m3=mean_flow * (0.6 + 0.8 * u["contact"]),
        storage_m3=mean_flow * (8 + 8 * u["storage"]),
        storage_height_m=2.5 + 1.5 * u["height"],
        network_h=1.0 + 4.0 * u["network"],
        source_ntu=np.where(river, 4.0, np.where(spring, 1.0, 0.5)) * (0.6 + u["turbidity"]),
        storm_gain=np.where(river, 20.0, np.where(spring, 14.0, 0.8)) * (0.4 + u["gain"]),
        passing=np.where(river, 0.006, 0.012) * (0.6 + u["passing"]),
        floor_ntu=0.10 + 0.25 * u["floor"],
        setpoint=np.where(clo2, 0.22 + 0.18 * u["setpoint"], 0.50 + 0.35 * u["setpoint"]),
        demand=np.where(clo2, 0.08, 0.15) * (0.5 + u["demand"]),
        decay_per_d=0.3 + 0.7 * u["decay"],
        network_decay_per_d=0.4 + 1.2 * u["network_decay"],
        trim_per_h=np.where(u["trim"] < 0.6, 0.25, 0.0),
        stock_days=5 + 12 * u["stock"],
        water_degc=14.5 + 2.5 * u["degc"],
        season_degc=np.where(river, 6.5, 1.5),
        day_degc=np.where(river, 1.5, 0.4),
        ph=7.2 + 0.8 * u["ph"],
    )


def demand_pattern(hour: Floats) -> Floats:
    """Demand over the day as a multiple of its mean: a peak in the morning, a larger one in the evening."""
    return np.asarray(_raw_pattern(np.asarray(hour, float)) / _PATTERN_MEAN)


def _raw_pattern(hour: Floats) -> Floats:
    total = np.full(np.shape(hour), _BASE)
    for middle, width, weight in _PEAKS_H:
        away = (hour - middle + 12) % 24 - 12
        total += _PEAK * weight * np.exp(-((away / width) ** 2))
    return total


_PATTERN_MEAN = float(np.mean(_raw_pattern(np.arange(0, 24, 1 / 60))))


class WorksModel:
    """True state of all works, advanced by `step`. Arrays of one value per works, unless said otherwise.

    ``flow`` [m3/h] and ``outlet`` [mg/L] are at the works' outlet, ``network`` (4, n) [mg/L] on the way to the end,
    ``stock`` is the filled share of the disinfectant tank, ``level`` that of the storage tank.
    """

    def __init__(self, traits: Traits, seed: int, start_ms: int, *, rain_factor: float = 1.0) -> None:
        n = len(traits.mean_flow)
        self.traits = traits
        self._rng = np.random.default_rng([seed, 12])
        self.weather = Weather(int(traits.township.max(initial=0)) + 1, seed, rain_factor)
        self.outlet: Floats = np.where(traits.has_residual, traits.setpoint, 0.0)
        self.network: Floats = np.tile(self.outlet * 0.85, (STAGES, 1))
        self.flow: Floats = traits.mean_flow.copy()
        self.level: Floats = np.full(n, 0.75)
        self.stock: Floats = 0.35 + 0.6 * self._rng.random(n)
        self.source_ntu: Floats = traits.source_ntu.copy()
        self.outlet_ntu: Floats = traits.floor_ntu + traits.source_ntu * traits.passing
        self.ph: Floats = traits.ph.copy()
        self.degc: Floats = traits.water_degc.copy()
        self.doser: Mask = traits.has_residual.copy()
        self._trim: Floats = np.ones(n)
        self._wander: Floats = np.zeros((4, n))  # demand, dosing, source turbidity, pH; mean 0, deviation 1
        warm_ms = WARM_UP_H * 3_600_000
        calm = Controls.none(n)
        for at in range(start_ms - warm_ms, start_ms, WARM_UP_STEP_S * 1000):
            self.step(at, WARM_UP_STEP_S, calm)

    def step(self, now_ms: int, dt_s: float, controls: Controls) -> None:
        """Bring the state to ``now_ms``, ``dt_s`` after the last one, with the controls held over the step."""
        hour = ((now_ms + LOCAL_MS) / 3_600_000) % 24
        self._step_wander(dt_s)
        self.weather.step(now_ms, dt_s)
        self._step_source(now_ms, hour)
        self._step_flow(hour, dt_s, controls)
        self._step_filter(dt_s, controls)
        dosed = self._step_dosing(hour, dt_s, controls)
        self._step_contact(dosed, dt_s)
        self._step_network(dt_s)

    def _step_wander(self, dt_s: float) -> None:
        keep = np.exp(-dt_s / np.array([[1500.0], [900.0], [5400.0], [14400.0]]))
        self._wander *= keep
        self._wander += np.sqrt(1 - keep**2) * self._rng.standard_normal(self._wander.shape)

    def _step_source(self, now_ms: int, hour: float) -> None:
        t = self.traits
        wetness = self.weather.wetness[t.township]
        self.source_ntu = t.source_ntu * (1 + t.storm_gain * wetness) * np.exp(0.12 * self._wander[2])
        season = np.cos(2 * np.pi * (now_ms / 86_400_000 / 365.25 - 0.53))  # warmest in mid July
        self.degc = t.water_degc + t.season_degc * season + t.day_degc * np.cos(2 * np.pi * (hour - 15.5) / 24)
        self.ph = t.ph + 0.04 * self._wander[3] - 0.12 * np.minimum(wetness, 2.0)

    def _step_flow(self, hour: float, dt_s: float, controls: Controls) -> None:
        t = self.traits
        demand = t.mean_flow * demand_pattern(hour + t.peak_shift_h) * np.exp(0.08 * self._wander[0])
        wanted = 0.7 * demand + 0.3 * t.mean_flow * (1 + 4.0 * (0.75 - self.level))
        wanted = np.where(t.is_intermittent, 1.25 * wanted, wanted)
        resting = (t.is_intermittent & (hour < 5 or hour >= 23)) | controls.mains_off
        self.flow = np.where(resting, 0.0, np.clip(wanted, 0.15 * t.mean_flow, 2.5 * t.mean_flow))
        self.level = np.clip(self.level + (self.flow - demand) * dt_s / 3600 / t.storage_m3, 0.02, 1.0)

    def _step_filter(self, dt_s: float, controls: Controls) -> None:
        t = self.traits
        clean = t.floor_ntu * (1 + 0.05 * self._wander[2]) + self.source_ntu * t.passing
        target = np.where(controls.filter_ntu > 0, np.maximum(clean, controls.filter_ntu), clean)
        moving = self.flow > 0
        self.outlet_ntu += np.where(moving, (target - self.outlet_ntu) * -np.expm1(-dt_s / 600), 0.0)

    def _step_dosing(self, hour: float, dt_s: float, controls: Controls) -> Floats:
        """Concentration that enters the contact tank; below zero where the water uses up what it meets there. [mg/L]"""
        t = self.traits
        running = t.has_residual & ~controls.doser_off & (self.flow > 0)
        self.doser = running
        self.stock = np.where(controls.solution_out, 0.0, self.stock)
        use = np.where(running & ~controls.solution_out, self.flow / t.mean_flow, 0.0)
        self.stock = self.stock - use * dt_s / 86_400 / t.stock_days
        # The caretaker fills up by day, before the tank runs dry.
        filling = ~controls.solution_out & (self.stock < 0.2) & ((7 <= hour < 18) | (self.stock < 0.05))
        self.stock = np.where(filling, 0.96, self.stock)
        delivering = running & ~controls.solution_out
        error = np.where(delivering, (t.setpoint - self.outlet) / t.setpoint, 0.0)
        self._trim = np.clip(self._trim + t.trim_per_h * error * dt_s / 3600, 0.7, 1.5)
        demand = t.demand * (1 + 0.15 * np.maximum(self.outlet_ntu - 0.4, 0.0)) * 1.03 ** (self.degc - 15)
        dose = (t.setpoint * (1 + t.decay_per_d * t.contact_m3 / t.mean_flow / 24) + t.demand) * self._trim
        dose = np.where(delivering, dose * (1 + 0.035 * self._wander[1]), 0.0)
        return np.asarray(np.where(t.has_residual, dose - demand, 0.0))

    def _step_contact(self, dosed: Floats, dt_s: float) -> None:
        t = self.traits
        decay = t.decay_per_d / 86_400 * 1.1 ** (self.degc - 20)
        exchange = self.flow / 3600 / t.contact_m3
        self.outlet = np.maximum(_mixed(self.outlet, dosed, exchange, decay, dt_s), 0.0)

    def _step_network(self, dt_s: float) -> None:
        t = self.traits
        decay = t.network_decay_per_d / 86_400 * 1.1 ** (self.degc - 20)
        # The network is fed from the storage tank, so it moves on even while the works rests.
        exchange = np.full(len(t.mean_flow), 1.0) * STAGES / (3600 * t.network_h)
        before = self.outlet
        for k in range(STAGES):
            self.network[k] = _mixed(self.network[k], before, exchange, decay, dt_s)
            before = self.network[k]


def _mixed(held: Floats, entering: Floats, exchange: Floats, decay: Floats, dt_s: float) -> Floats:
    """A fully mixed volume after ``dt_s`` of constant inflow and first-order decay. Rates in 1/s."""
    total = exchange + decay
    rest = exchange * entering / np.maximum(total, 1e-12)
    return np.asarray(rest + (held - rest) * np.exp(-total * dt_s))
