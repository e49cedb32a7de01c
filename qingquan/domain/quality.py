"""Quality of readings and sensors: names of the tests, their settings, and what they came to."""

from dataclasses import dataclass
from enum import IntFlag, StrEnum

import numpy as np
import numpy.typing as npt

__all__ = [
    "HAND_EVERY_H", "Flagged", "HandCheck", "Health", "HealthReason", "InstrumentCheck", "QualitySettings", "QualityTest", "Trust", "hand_tolerance",
    "test_names",
]  # fmt: skip


class QualityTest(IntFlag):
    """Tests that can be named beside a flag. The bit is what stores and files hold; bits are never given another meaning."""

    MISSING = 1
    GROSS_RANGE = 2
    SPIKE = 4
    RATE_OF_CHANGE = 8
    FLAT_LINE = 16
    ATTENUATED_SIGNAL = 32
    GAP = 64
    OUT_OF_ORDER = 128
    CLOCK = 256
    DEVICE = 512
    SAMPLE_FLOW = 1024
    PH_EFFECT = 2048
    FREE_ABOVE_TOTAL = 4096
    STARVED_CELL = 8192
    MAINTENANCE = 16384
    CONFLICT = 32768
    DUPLICATE = 65536

    @property
    def word(self) -> str:
        """The name in files, the API and texts."""
        return (self.name or "").lower()


def test_names(bits: int) -> tuple[str, ...]:
    """Names of the tests in a set of bits, in the order of the bits."""
    return tuple(test.word for test in QualityTest if bits & test)


# pytest collects functions by this prefix wherever they are imported.
test_names.__test__ = False  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class QualitySettings:
    """What the tests of one parameter ask; spans and thresholds in the parameter's unit, times in ms, 0 = test off.

    ``fail_min``/``fail_max``: what the instrument can read. ``suspect_min``/``suspect_max``: what the water can be.
    Spike thresholds are the larger of the number and ``spike_relative`` x level of the neighbours; ``spike_opposed``: the
    reading must stand out from both neighbours on the same side, so a step is no spike. ``rate`` [unit/s]: a change
    is judged as if it had taken at least ``rate_base_ms``. ``flat_floor``: at or below it a flat line is never called stuck.
    ``attenuated_ms``: length of the window whose range is compared. ``no_sample_flow``: the flag of a reading of
    standing water. ``gap_ms``: a longer silence begins a new stretch.
    """

    parameter: str
    fail_min: float
    fail_max: float
    suspect_min: float
    suspect_max: float
    spike_suspect: float
    spike_fail: float
    spike_relative: float
    spike_opposed: bool
    rate_suspect: float
    rate_fail: float
    rate_base_ms: int
    rate_relative: float
    flat_tolerance: float
    flat_floor: float
    flat_suspect_ms: int
    flat_fail_ms: int
    attenuated_ms: int
    attenuated_suspect: float
    attenuated_fail: float
    no_sample_flow: int
    gap_ms: int

    @property
    def memory_ms(self) -> int:
        """How far back a flag can depend on readings of the same series, gaps apart."""
        return max(self.flat_suspect_ms, self.flat_fail_ms, self.attenuated_ms)


@dataclass(frozen=True, slots=True)
class Flagged:
    """Flags beside untouched readings: ``flag`` (n,) uint8 QARTOD, ``tests`` (n,) int32 bits of `QualityTest`: those
    that made a reading suspect or fail, and those that only tell (gap, out of order, duplicate)."""

    flag: npt.NDArray[np.uint8]
    tests: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.flag)


@dataclass(frozen=True, slots=True)
class HealthReason:
    """What takes points off a sensor's health. ``what`` is a word of the table of texts, ``share`` its measure."""

    what: str
    points: float
    share: float


@dataclass(frozen=True, slots=True)
class Health:
    """Health of one sensor. ``score`` 0 to 100, ``None`` = too little is known. ``days_to_service``: 0 = overdue, ``None`` =
    nothing tells. ``readings`` in the time looked at, of ``expected``."""

    point: str
    parameter: str
    score: int | None
    days_to_service: int | None
    reasons: tuple[HealthReason, ...]
    readings: int
    expected: int


HAND_EVERY_H = 4
"""How often people measure in place of an instrument that failed [h] (15A NCAC 18C .2004)."""
TOLERANCE_ABSOLUTE, TOLERANCE_RELATIVE = 0.1, 0.15
# 0.6 less 0.5 is a rounding error more than 0.1: values read as 0.6 and 0.5 are at the tolerance, not beyond it.
_ROUNDING = 1e-9


def hand_tolerance(by_hand: float) -> float:
    """How far an instrument may read from a hand sample [mg/L]: the larger of 0.1 mg/L or 15 % (EPA Method 334.0).

    >>> hand_tolerance(0.5), hand_tolerance(2.0)
    (0.1, 0.3)
    """
    return max(TOLERANCE_ABSOLUTE, TOLERANCE_RELATIVE * abs(by_hand))


@dataclass(frozen=True, slots=True)
class HandCheck:
    """What people measured at ``at`` [ms] and what the instrument read then [mg/L]; ``is_below``: they found less than ``by_hand``."""

    at: int
    by_hand: float
    sensor: float
    is_below: bool = False

    @property
    def difference(self) -> float:
        """How far the instrument reads from what was measured; 0 where "less than" leaves room for it."""
        return max(0.0, self.sensor - self.by_hand) if self.is_below else self.sensor - self.by_hand

    @property
    def ratio(self) -> float:
        """The difference in tolerances."""
        return self.difference / hand_tolerance(self.by_hand)

    @property
    def is_out(self) -> bool:
        """Whether the two disagree."""
        return abs(self.ratio) > 1 + _ROUNDING


class Trust(StrEnum):
    """What the newest comparisons by hand say of an instrument: the last agreed; it did not; the last two did not."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class InstrumentCheck:
    """An instrument by its comparisons, newest first. ``in_a_row`` of the newest disagree, the first of them at ``since`` [ms]."""

    point: str
    parameter: str
    trust: Trust
    since: int
    in_a_row: int
    checks: tuple[HandCheck, ...]

    @property
    def next_hand_at(self) -> int | None:
        """By when people have to measure again in its place [ms]; ``None`` unless it failed."""
        return self.checks[0].at + HAND_EVERY_H * 3_600_000 if self.trust is Trust.FAILED else None
