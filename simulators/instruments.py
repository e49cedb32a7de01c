"""Instruments between the water and the number: response, noise, drift, resolution, dropouts, the device's clock."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["INSTRUMENTS", "Instrument", "Instruments"]

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Instrument:
    """Behaviour of one kind of instrument, in the parameter's unit.

    ``noise`` and ``noise_share`` (of the value) are standard deviations, ``response_s`` the time constant,
    ``drift_per_d`` the standard deviation of the slope between two calibrations, ``decimals`` the resolution.
    """

    noise: float
    noise_share: float
    response_s: float
    drift_per_d: float
    decimals: int
    is_switch: bool = False


_CHLORINE = Instrument(0.008, 0.010, 40.0, 0.0015, 2)  # membrane amperometric: T90 below 90 s
_DIOXIDE = Instrument(0.002, 0.010, 40.0, 0.0004, 3)
_SWITCH = Instrument(0.0, 0.0, 0.0, 0.0, 0, is_switch=True)

INSTRUMENTS: dict[str, Instrument] = {
    "free_chlorine": _CHLORINE,
    "total_chlorine": _CHLORINE,
    "chlorine_dioxide": _DIOXIDE,
    "ozone": _DIOXIDE,
    "turbidity": Instrument(0.003, 0.015, 25.0, 0.0006, 3),
    "ph": Instrument(0.008, 0.0, 10.0, 0.002, 2),
    "temperature": Instrument(0.04, 0.0, 60.0, 0.0, 1),
    "conductivity": Instrument(1.0, 0.003, 10.0, 0.05, 0),
    "orp": Instrument(2.0, 0.003, 60.0, 0.1, 0),
    "flow": Instrument(0.0, 0.015, 2.0, 0.0, 2),
    "pressure": Instrument(0.8, 0.003, 1.0, 0.0, 0),
    "tank_level": Instrument(0.003, 0.0, 5.0, 0.0, 2),
    "disinfectant_level": Instrument(0.12, 0.0, 5.0, 0.0, 1),
    "doser_running": _SWITCH,
    "sample_flow": _SWITCH,
    "power": _SWITCH,
}

DRIFT_SPAN_D = 21.0  # a calibration every three weeks brings the drift back to zero
BUBBLE_CHANCE = 5e-5  # per step: a short turbidity spike
DROPOUT_CHANCE = 3e-5  # per step: the device says it has no value


class Instruments:
    """All instruments of a county: one per series, arrays of one value per series."""

    def __init__(self, parameters: list[str], seed: int) -> None:
        kinds = [INSTRUMENTS[code] for code in parameters]
        n = len(kinds)
        self._rng = np.random.default_rng([seed, 21])
        self._noise = np.array([k.noise for k in kinds], float)
        self._share = np.array([k.noise_share for k in kinds], float)
        self._response_s = np.array([max(k.response_s, 1e-3) for k in kinds], float)
        self._drift = np.array([k.drift_per_d for k in kinds], float) * self._rng.standard_normal(n)
        self._calibrated_d = self._rng.random(n) * DRIFT_SPAN_D
        self._scale = 10.0 ** np.array([k.decimals for k in kinds], float)
        self._is_switch = np.array([k.is_switch for k in kinds], bool)
        self._is_optical = np.array([code == "turbidity" for code in parameters], bool)
        self._cell: Floats | None = None

    def read(self, truth: Floats, now_ms: int, dt_s: float, offset: Floats) -> Floats:
        """Numbers the instruments show, NaN where one has no value. ``offset`` is a fault added to the signal."""
        if self._cell is None:
            self._cell = truth.copy()
        self._cell += (truth - self._cell) * -np.expm1(-dt_s / self._response_s)
        days = (now_ms / 86_400_000 + self._calibrated_d) % DRIFT_SPAN_D
        # Noise in the share of the value only where there is a value: a closed valve is a quiet zero.
        noise = (self._noise + self._share * self._cell) * self._rng.standard_normal(len(truth))
        shown = self._cell + noise + self._drift * days + offset
        chance = self._rng.random(len(truth))
        shown = np.where(self._is_optical & (chance < BUBBLE_CHANCE), shown + 1.5, shown)
        shown = np.maximum(np.rint(shown * self._scale) / self._scale, 0.0) + 0.0  # never -0
        shown = np.where(self._is_switch, truth, shown)
        return np.where(~self._is_switch & (chance > 1 - DROPOUT_CHANCE), np.nan, shown)
