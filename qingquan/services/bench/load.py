"""The load every measurement shares: works with five parameters each, a message a works and round, from a seed.

A round is one message of every works. In a small share of the works the water is bad for a while, so that findings,
incidents and messages are part of what is measured. The same arguments always give the same load.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from qingquan.domain.readings import LogMessage, ReadingBatch, SeriesKey
from qingquan.domain.works import Disinfectant, Equipment, PointKind, SamplingPoint, Works
from qingquan.store.reading_log import partition_of
from rules.plan import Plan
from simulators.county import county

__all__ = ["PARAMETERS", "PARTITIONS", "STEP_MS", "Load"]

PARAMETERS = ("free_chlorine", "turbidity", "ph", "temperature", "flow")
# One object for all works, as the register has it.
POINTS = (SamplingPoint("outlet", PointKind.OUTLET, "出厂水", PARAMETERS),)
USUAL = (0.62, 0.45, 7.3, 17.5, 14.0)
NOISE = (0.04, 0.05, 0.03, 0.2, 0.6)
STEP_MS = 60_000
PARTITIONS = 8
# One works in 200 has cloudy water and little residual, for an hour of each two.
DISTURBED = 0.005
SPELL = 60

_TEMPLATE = '{"t":%d,"v":{"free_chlorine":%.3f,"turbidity":%.3f,"ph":%.2f,"temperature":%.1f,"flow":%.2f}}'


class Load:
    """``works`` works from a simulated county; round r is observed at ``start_ms + r * step_ms``.

    Devices do not report in the order of the register: ``order`` is the fixed order in which they come. ``disturbed`` is the share of
    works whose water is bad now and then.
    """

    def __init__(
        self, works: int, start_ms: int, *, step_ms: int = STEP_MS, seed: int = 1, disturbed: float = DISTURBED
    ) -> None:
        self.start_ms = start_ms
        self.step_ms = step_ms
        self.register = [_measured(one) for one in county(works, seed)]
        self._rng = np.random.default_rng([seed, works])
        self.order: npt.NDArray[np.int64] = self._rng.permutation(works)
        self._is_disturbed = self._rng.random(works) < disturbed
        self._phase = self._rng.integers(0, 2 * SPELL, works)
        self._seed = seed

    def __len__(self) -> int:
        return len(self.register)

    def at(self, number: int) -> int:
        """Time at which round ``number`` is observed [ms]."""
        return self.start_ms + number * self.step_ms

    def values(self, number: int) -> npt.NDArray[np.float64]:
        """Values of a round, (works, parameters), in the order of the register."""
        rng = np.random.default_rng([self._seed, number, 1])
        values = np.array(USUAL) + np.array(NOISE) * rng.standard_normal((len(self), len(PARAMETERS)))
        bad = self._is_disturbed & ((number + self._phase) % (2 * SPELL) < SPELL)
        values[bad, 0] *= 0.3
        values[bad, 1] += 1.5
        return np.maximum(values, 0.0)

    def topics(self) -> list[str]:
        """MQTT topic of each works' message, in the order of arrival."""
        return [f"wq/{one.county}/{one.id}/outlet/json" for one in self._arriving()]

    def payloads(self, number: int) -> list[bytes]:
        """Payloads of a round, in the order of arrival."""
        at = self.at(number)
        return [(_TEMPLATE % (at, *row)).encode() for row in self.values(number)[self.order].tolist()]

    def messages(self, number: int) -> list[LogMessage]:
        """A round as the log hands it out."""
        at, first = self.at(number), number * len(self) + 1
        subjects = [
            f"part.{partition_of(one.county, one.id, PARTITIONS)}.wq.{one.county}.{one.id}.outlet.json"
            for one in self._arriving()
        ]
        payloads = self.payloads(number)
        return [
            LogMessage(first + n, at, subject, payload)
            for n, (subject, payload) in enumerate(zip(subjects, payloads, strict=True))
        ]

    def slots(self, plan: Plan) -> npt.NDArray[np.int32]:
        """Series slot of each reading of a round, in the order of arrival and, within a message, of the parameters."""
        slot_of = plan.slot_of
        rows = [
            [slot_of[SeriesKey(one.county, one.id, "outlet", parameter)] for parameter in PARAMETERS]
            for one in self._arriving()
        ]
        return np.array(rows, np.int32).reshape(-1)

    def batch(self, number: int, slots: npt.NDArray[np.int32]) -> ReadingBatch:
        """A round as decoded columns."""
        count = len(slots)
        at = np.full(count, self.at(number), np.int64)
        values = self.values(number)[self.order].reshape(-1)
        return ReadingBatch(slots, at, values, np.full(count, 2, np.uint8), np.zeros(count, np.int64), at)

    def _arriving(self) -> list[Works]:
        return [self.register[n] for n in self.order.tolist()]


def _measured(one: Works) -> Works:
    """A works that measures the five parameters at its outlet every minute and reports at once."""
    return replace(
        one, disinfectant=Disinfectant.FREE_CHLORINE, equipment=Equipment.EQUIPPED, cadence_s=60, upload_interval_s=60,
        points=POINTS,
    )  # fmt: skip
