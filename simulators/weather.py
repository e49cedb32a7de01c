"""Rain over the townships, and how a karst spring answers it: up within the hour, down over a day."""

import numpy as np
import numpy.typing as npt

__all__ = ["Weather"]

Floats = npt.NDArray[np.float64]

DAY_MS = 86_400_000
RISE_H = 0.7  # filling of the conduits
RECESSION_H = 16.0  # emptying of the conduits
EVENTS_PER_DAY = 0.35
MEAN_RAIN_H = 1.6
MEAN_INTENSITY_MM_H = 6.0


class Weather:
    """Rain [mm/h] per township, drawn day by day, and the turbid flush it sends through the conduits.

    A county-wide storm reaches every township with its own strength and delay. ``wetness`` is dimensionless: about 1
    at the height of an ordinary storm, 0 in dry weather. The same seed gives the same weather at the same time,
    wherever a run starts.
    """

    def __init__(self, townships: int, seed: int, rain_factor: float) -> None:
        self._townships = townships
        self._seed = seed
        self._factor = rain_factor
        self._days: dict[int, list[tuple[Floats, Floats, Floats]]] = {}
        self._fast: Floats = np.zeros(townships)
        self.wetness: Floats = np.zeros(townships)

    def step(self, now_ms: int, dt_s: float) -> None:
        """Move on by ``dt_s`` under the rain that falls now."""
        rain = self.rain(now_ms)
        hours = dt_s / 3600
        self._fast += (rain / MEAN_INTENSITY_MM_H - self._fast) * -np.expm1(-hours / RISE_H)
        # The flush follows the filling while it rises; when the filling has passed, it drains slowly.
        rising = self._fast > self.wetness
        rate = np.where(rising, hours / RISE_H, hours / RECESSION_H)
        self.wetness += (self._fast - self.wetness) * -np.expm1(-rate)

    def rain(self, now_ms: int) -> Floats:
        """Rain intensity per township at a time. [mm/h]"""
        rain = np.zeros(self._townships)
        if self._factor == 0:
            return rain
        today = now_ms // DAY_MS
        for day in (today - 1, today):
            for start, end, intensity in self._storms(day):
                rain += np.where((start <= now_ms) & (now_ms < end), intensity, 0.0)
        return rain * self._factor

    def _storms(self, day: int) -> list[tuple[Floats, Floats, Floats]]:
        found = self._days.get(day)
        if found is None:
            found = self._days[day] = self._drawn(day)
            for old in [d for d in self._days if d < day - 2]:
                del self._days[old]
        return found

    def _drawn(self, day: int) -> list[tuple[Floats, Floats, Floats]]:
        rng = np.random.default_rng([self._seed, 7, day])
        storms = []
        for _ in range(int(rng.poisson(EVENTS_PER_DAY))):
            begin = day * DAY_MS + rng.random() * DAY_MS
            start = begin + rng.random(self._townships) * 5_400_000
            length = 3_600_000 * MEAN_RAIN_H * (0.4 + rng.gamma(2.0, 0.3, self._townships))
            intensity = MEAN_INTENSITY_MM_H * rng.gamma(2.0, 0.5) * rng.uniform(0.3, 1.2, self._townships)
            storms.append((start, start + length, intensity))
        return storms
